"""Worlds for tests; see harness.py. The programs come from the build directory VOLD_BUILD names."""

from contextlib import ExitStack

import pytest

from .harness import World


@pytest.fixture
def make_world(tmp_path):
    """Makes worlds with keys of their own in the configuration: make_world(device={"wait": "1s"});
    with start=False nothing runs yet but the cloud."""
    with ExitStack() as stack:
        count = 0

        def make(start=True, **changes):
            nonlocal count
            count += 1
            folder = tmp_path / str(count)
            folder.mkdir()
            world = World(folder, **changes)
            stack.callback(world.close)
            return world.start() if start else world

        yield make


@pytest.fixture
def world(make_world):
    """A cloud, a bus and a daemon that knows them."""
    return make_world()


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory):
    """One world for all tests of a file that leave it as it was."""
    folder = tmp_path_factory.mktemp("shared")
    world = World(folder)
    try:
        yield world.start()
    finally:
        world.close()
