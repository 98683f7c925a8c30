# SPDX-License-Identifier: LGPL-2.1-or-later
"""Worlds in which programs of the earlier daemon meet ours: on an empty store, and on the database they have."""

import cloudsim
import pytest
from support.py import earlier, stores
from support.py.fixtures import make_world  # noqa: F401  (a fixture)

from .callers import VolumeClient

QEMU = "qemu-storage-daemon"


@pytest.fixture(params=["empty", "taken-over"])
def world(request, make_world):  # noqa: F811
    world = make_world(start=False, export={"engine": QEMU})
    if request.param == "taken-over":
        if stores.KIND != "mariadb":
            pytest.skip("the earlier daemon's database is a MariaDB")
        earlier.make_production(world.daemon.store)
    return world.start()


@pytest.fixture
def client(world):
    return VolumeClient(world.daemon.port)


@pytest.fixture
def hub(make_world):  # noqa: F811
    """A world with the hub's tables and a volume that is attached, in a database that was taken over."""
    if stores.KIND != "mariadb":
        pytest.skip("the earlier daemon's database is a MariaDB")
    world = make_world(start=False, export={"engine": QEMU})
    earlier.make_production(world.daemon.store)
    world.volume_before = world.volume()
    world.cloud.attach_behind(world.volume_before, vm=cloudsim.APPLIANCE_VM)
    earlier.put_volume(world.daemon.store, world.volume_before)
    world.start()
    world.daemon.wait_healthy()
    return world
