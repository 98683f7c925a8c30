# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures of several suites: a conftest.py imports the ones that its tests take."""

from contextlib import ExitStack

import pytest

from . import folders
from .harness import World


def _worlds(tmp_path, watched, session):
    failed = session.testsfailed
    with ExitStack() as stack:
        count = 0

        def make(start=True, **changes):
            nonlocal count
            count += 1
            folder = tmp_path / str(count)
            folder.mkdir()
            world = World(folder, watched=watched, **changes)
            stack.callback(world.close)
            return world.start() if start else world

        yield make
    if session.testsfailed == failed:
        for number in range(count):
            folders.let_go(tmp_path / str(number + 1))


@pytest.fixture
def make_world(tmp_path, request):
    """Makes worlds with keys of their own in the configuration: make_world(device={"wait": "1s"});
    with start=False nothing runs yet but the cloud."""
    yield from _worlds(tmp_path, watched=False, session=request.session)


@pytest.fixture
def make_watched_world(tmp_path, request):
    """The same, with a monitor on the bus that checks all that passes by the rules of told.py."""
    yield from _worlds(tmp_path, watched=True, session=request.session)
