# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon in the place of an earlier one: its database with volumes attached, and columns of other programs."""

import subprocess

import cloudsim
import pytest
from support.py import earlier, stores
from support.py.harness import program
from support.py.waiting import eventually

from .test_devices import device_of, swap
from .test_reconcile import sync

QEMU = "qemu-storage-daemon"
on_mariadb = pytest.mark.skipif(stores.KIND != "mariadb", reason="the earlier daemon's database is a MariaDB")


@pytest.fixture
def world(make_world):
    """Nothing runs but the cloud and the bus; the daemon can be started."""
    world = make_world(start=False, export={"engine": QEMU}, reconcile={"interval": "1h"})
    world.bus.start()
    return world


def attached_before(world, vm=cloudsim.APPLIANCE_VM):
    volume = world.volume()
    world.cloud.attach_behind(volume, vm=vm)
    earlier.put_volume(world.daemon.store, volume, vm)
    return volume


@on_mariadb
def test_attached_volumes_are_taken_over(world):
    store = world.daemon.store
    earlier.make_production(store)
    here, there = attached_before(world), attached_before(world, cloudsim.OTHER_VM)
    plan = subprocess.run([program("volume-daemon"), "--config", world.daemon.config, "--plan-takeover"],
                          capture_output=True, text=True, check=False)
    assert (plan.returncode, plan.stderr) == (0, ""), plan
    sentences = plan.stdout.splitlines()
    assert "device_mappings: column volume_id is filled from column volume_uuid where it is empty" in sentences
    assert "device_mappings: 2 rows are kept" in sentences
    for _ in range(2):
        world.daemon.start().wait_healthy()
        mapping = device_of(world, here)
        assert (mapping["volume_uuid"], mapping["linux_state"]) == (here, "detected")
        assert mapping["by_id_path"] == earlier.by_id(here)
        world.assert_is(mapping["device_path"], here)
        assert device_of(world, there)["device_path"].startswith(f"remote-vm-{cloudsim.OTHER_VM}")
        eventually(lambda: world.daemon.get(f"/api/v1/exports/{here}")["status"] == "active", "its export")
        assert sync(world)["drift"] == []
        if sentences:
            logged = [line for line in world.daemon.log.all() if "store: take-over: " in line]
            assert [line.split("take-over: ")[1] for line in logged] == sentences
            sentences = []
        world.daemon.stop()
    assert earlier.foreign_of(store, here) == earlier.FOREIGN
    assert earlier.foreign_of(store, there)["device_mappings"] == earlier.FOREIGN["device_mappings"]
    assert store.rows("SHOW TABLES LIKE '%set_aside'") == []
    world.daemon.start().wait_healthy()

    def hub(volume):
        return store.rows(f"SELECT status, device_path FROM ossea_volumes WHERE volume_id = '{volume}'")

    world.daemon.completed(world.daemon.detach(here))
    assert hub(here) == [["detached", "NULL"]]
    path = world.daemon.completed(world.daemon.attach(here))["response"]["device_path"]
    assert hub(here) == [["attached", path]]
    contexts = f"SELECT vm_context_id FROM device_mappings WHERE volume_id = '{here}' UNION ALL " \
        f"SELECT vm_context_id FROM nbd_exports WHERE volume_id = '{here}'"
    assert store.rows(contexts) == [[earlier.CONTEXT]] * 2
    world.daemon.completed(world.daemon.detach(there))
    assert hub(there) == [["detached", "NULL"]]
    # The hub deletes its machine, and the volume stays attached.
    store.rows("DELETE FROM vm_replication_contexts")
    sync(world)
    eventually(lambda: store.rows(contexts) == [["NULL"]] * 2, "its owner is forgotten")
    assert device_of(world, here)["device_path"] == path


@on_mariadb
def test_rows_that_no_daemon_should_have_written(world):
    """They are kept or set aside, and harm neither the daemon nor the volumes beside them."""
    world.bus.stop()
    world.bus.watched = False       # it shows them as they are, which the watcher would refuse
    world.bus.start()
    store = world.daemon.store
    earlier.make_production(store)
    volume = attached_before(world)
    odd = [("", "", 0), ("no-uuid", cloudsim.APPLIANCE_VM, 0), ("7", "", 0), (world.volume(), "", 0),
           (world.volume(), "no-uuid", 0), (world.volume(), cloudsim.OTHER_VM, -1)]
    store.rows("".join(
        f"INSERT INTO device_mappings (volume_uuid, vm_id, device_path, cloudstack_state, linux_state, size) VALUES "
        f"('{id}', '{vm}', 'odd-{number}', '', '', {size}); INSERT INTO nbd_exports (volume_id, export_name, port, "
        f"device_path, config_path, status) VALUES ('{id}', 'odd-{number}', -1, '', '', 'odd'); "
        for number, (id, vm, size) in enumerate(odd)))
    for _ in range(2):
        world.daemon.start().wait_healthy()
        sync(world)
        world.assert_is(device_of(world, volume)["device_path"], volume)
        world.daemon.stop()
    reasons = store.rows("SELECT set_aside_because FROM device_mappings_set_aside ORDER BY 1")
    assert reasons == [["it has no volume_id"], ["its size is below 0"]]
    world.daemon.start().wait_healthy()


def test_columns_of_other_programs_keep_their_values(world):
    """Through all that happens to a volume but a detach, which removes the row."""
    store, daemon = world.daemon.store, world.daemon
    daemon.start().wait_healthy()
    (one, _), (other, _) = world.attached(), world.attached()
    daemon.stop()
    earlier.add_foreign_columns(store)
    for volume in (one, other):
        earlier.set_foreign(store, volume)

    def kept(what):
        daemon.stop()
        for volume in (one, other):
            assert earlier.foreign_of(store, volume) == earlier.FOREIGN, what
        daemon.start().wait_healthy()

    daemon.start().wait_healthy()
    kept("a restart")
    paths = {volume: device_of(world, volume)["device_path"] for volume in (one, other)}
    with world.monitor() as monitor:
        swap(world, one, other)
        monitor.wait("MappingChanged", lambda a: a[:2] == [one, paths[other]])
        monitor.wait("MappingChanged", lambda a: a[:2] == [other, paths[one]])
    kept("names that change hands")
    daemon.stop()
    swap(world, other, one)
    daemon.start().wait_healthy()
    kept("names that change hands while the daemon is down")
    world.cloud.unplug_volume(one)
    eventually(lambda: device_of(world, one)["linux_state"] == "gone", "it is gone")
    kept("a disk that is gone")
    world.cloud.plug_volume(one, cloudsim.GIB)
    eventually(lambda: device_of(world, one)["linux_state"] == "detected", "it is back")
    kept("a disk that is back")
    daemon.completed(daemon.resize(one, 2))
    kept("a resize")
    world.cloud.detach_behind(one, guest=False)
    sync(world)
    kept("a drift that is told")
    world.cloud.attach_behind(one, guest=False)
    assert sync(world)["failed"] == []
    kept("a drift that is repaired")
    daemon.completed(daemon.detach(one))
    daemon.stop()
    assert earlier.foreign_of(store, one) == {"device_mappings": None, "nbd_exports": None}
    assert earlier.foreign_of(store, other) == earlier.FOREIGN
    daemon.start().wait_healthy()
