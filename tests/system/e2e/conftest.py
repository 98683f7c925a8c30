# SPDX-License-Identifier: LGPL-2.1-or-later
"""Worlds for tests; see harness.py of support. The programs come from the build directory VOLD_BUILD names."""

import pytest
from support.py import folders
from support.py.fixtures import make_watched_world as make_world  # noqa: F401  (a fixture)
from support.py.harness import World
from support.py.stores import pytest_collection_modifyitems, pytest_configure  # noqa: F401  (hooks)


@pytest.fixture
def world(make_world):
    """A cloud, a bus and a daemon that knows them."""
    return make_world()


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory):
    """One world for all tests of a file that leave it as it was."""
    folder = tmp_path_factory.mktemp("shared")
    world = World(folder, watched=True)
    try:
        yield world.start()
    finally:
        world.close()
    folders.let_go(folder)
