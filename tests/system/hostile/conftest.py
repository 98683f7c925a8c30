# SPDX-License-Identifier: LGPL-2.1-or-later
"""Worlds for the tests; they open more connections than a process usually may."""

import resource

import pytest
from support.py.fixtures import make_world  # noqa: F401  (a fixture)

CLIENT_DESCRIPTORS = 8192


@pytest.fixture(scope="session", autouse=True)
def many_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(CLIENT_DESCRIPTORS, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def world(make_world):  # noqa: F811
    return make_world()


@pytest.fixture
def hasty_world(make_world):  # noqa: F811
    """One whose callers are not told to come back because they are fast, as they are on a machine that does nothing else."""
    return make_world(http={"anonymous_requests": 1_000_000})


@pytest.fixture
def figure(record_property):
    """Prints a figure: the row of the table in data/doc/SECURITY.md, its limit there, what was measured."""
    def print_figure(row, limit, measured):
        record_property("figure", f"{row} | {limit} | {measured}")
    return print_figure
