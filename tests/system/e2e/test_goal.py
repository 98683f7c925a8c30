# SPDX-License-Identifier: LGPL-2.1-or-later
"""The goal counts, and not the word of a job.

CloudStack's jobs may fail and do what was asked, or succeed and do nothing, and some storages make
a volume larger when it is first attached. The daemon looks at the volume: an operation that reached
its goal is completed and tells what CloudStack said, one that did not is failed and says how the
volume is.
"""

import pytest
from cloudsim import APPLIANCE_VM, GIB, OTHER_VM
from support.py import shapes
from support.py.stores import any_store

pytestmark = any_store

FAILURE = ("; CloudStack's job reported a failure all the same: Command failed due to Internal "
           "Server Error")


def completed_in_spite(world, operation):
    record = shapes.check_ended(world.daemon.completed(operation))
    assert record["response"]["message"].endswith(FAILURE), record
    assert not record.get("needs_attention"), record
    return record["response"]


def failed(world, operation, *words):
    record = shapes.check_ended(world.daemon.failed(operation))
    assert record["error_code"] == "CLOUDSTACK_ERROR", record
    for some in words:
        assert some in record["error"], record
    return record


def assert_size(world, volume, gib):
    """CloudStack, the daemon's view of it, the mapping and the disk agree."""
    size = gib * GIB
    shown = world.daemon.get(f"/api/v1/volumes/{volume}")
    mapping = world.daemon.get(f"/api/v1/volumes/{volume}/device")
    assert world.cloud.volume(volume)["size"] == size
    assert (shown["size"], mapping["size"]) == (size, size)
    world.assert_is(mapping["device_path"], volume)


# ---- a job that failed and did it ----

@pytest.mark.parametrize("vm", [APPLIANCE_VM, OTHER_VM])
def test_an_attachment_that_failed_and_is_there(world, vm):
    volume = world.volume(state="Allocated")
    world.cloud.set(fail_but_do=["attachVolume"])
    response = completed_in_spite(world, world.daemon.attach(volume, vm))
    assert world.cloud.volume(volume)["vm"] == vm
    mapping = world.daemon.get(f"/api/v1/volumes/{volume}/device")
    assert mapping["vm_id"] == vm
    if vm == APPLIANCE_VM:
        world.assert_is(response["device_path"], volume)
    assert not [r for r in world.cloud.requests() if r["command"] == "detachVolume"]


def test_a_detachment_that_failed_and_is_done(world):
    volume, _ = world.attached()
    world.cloud.set(fail_but_do=["detachVolume"])
    completed_in_spite(world, world.daemon.detach(volume))
    assert world.cloud.volume(volume)["vm"] is None
    assert world.disks_of(volume) == []
    assert world.daemon.rest("GET", f"/api/v1/volumes/{volume}/device").status == 404


def test_a_resize_that_failed_and_is_done(world):
    volume, _ = world.attached()
    world.cloud.set(fail_but_do=["resizeVolume"])
    response = completed_in_spite(world, world.daemon.resize(volume, 2))
    assert response["size"] == 2 * GIB
    assert_size(world, volume, 2)


def test_a_deletion_that_failed_and_is_done(world):
    volume, _ = world.attached()
    world.cloud.set(fail_but_do=["detachVolume", "destroyVolume"])
    world.daemon.completed(world.daemon.delete(volume))
    assert world.cloud.volume(volume)["removed"]


# ---- a job that succeeded and did nothing ----

def test_an_attachment_that_succeeded_and_is_not_there(world):
    volume = world.volume()
    world.cloud.set(succeed_but_do_not=["attachVolume"])
    failed(world, world.daemon.attach(volume),
           f"CloudStack reported that volume {volume} was attached, but the volume is not attached")
    assert world.cloud.volume(volume)["vm"] is None
    assert world.daemon.rest("GET", f"/api/v1/volumes/{volume}/device").status == 404
    world.cloud.set(succeed_but_do_not=[])
    world.daemon.completed(world.daemon.attach(volume))


def test_a_detachment_that_succeeded_and_is_not_done(world):
    volume, path = world.attached()
    world.cloud.set(succeed_but_do_not=["detachVolume"])
    failed(world, world.daemon.detach(volume),
           f"was detached, but the volume is still attached to VM {APPLIANCE_VM}")
    assert world.cloud.volume(volume)["vm"] == APPLIANCE_VM
    assert world.daemon.get(f"/api/v1/volumes/{volume}/device")["device_path"] == path
    world.cloud.set(succeed_but_do_not=[])
    world.daemon.completed(world.daemon.detach(volume))


def test_a_resize_that_succeeded_and_changed_nothing(world):
    volume, _ = world.attached()
    world.cloud.set(succeed_but_do_not=["resizeVolume"])
    failed(world, world.daemon.resize(volume, 2),
           f"was resized, but the volume has {GIB} bytes instead of {2 * GIB}")
    assert_size(world, volume, 1)


def test_a_deletion_that_succeeded_and_is_not_done(world):
    volume = world.volume()
    world.cloud.set(succeed_but_do_not=["destroyVolume"])
    failed(world, world.daemon.delete(volume), "was destroyed, but the volume still exists")
    assert not world.cloud.volume(volume)["removed"]
    assert world.daemon.rest("GET", f"/api/v1/volumes/{volume}").status == 200


def test_an_attachment_that_cannot_be_taken_back(make_world):
    """The error of the operation says what stays."""
    world = make_world(device={"wait": "1s"})
    volume = world.volume()
    world.cloud.set(succeed_but_do_not=["detachVolume"])
    world.cloud.set_faults([{"do": "no_plug", "command": "attachVolume"}])
    record = world.daemon.failed(world.daemon.attach(volume))
    assert record["needs_attention"], record
    assert f"the volume is still attached to VM {APPLIANCE_VM}" in record["error"], record
    assert world.cloud.volume(volume)["vm"] == APPLIANCE_VM


# ---- what stays ----

def test_a_disk_that_does_not_follow_a_resize(make_world):
    world = make_world(device={"wait": "1s"})
    volume, _ = world.attached()
    world.cloud.set_faults([{"do": "no_plug", "command": "resizeVolume"}])
    record = world.daemon.failed(world.daemon.resize(volume, 2))
    for words in (f"the kernel shows {world.daemon.get(f'/api/v1/volumes/{volume}/device')['device_path']} with {GIB}",
                  f"CloudStack has resized volume {volume} from {GIB} to {2 * GIB} bytes, and that stays"):
        assert words in record["error"], record
    assert world.cloud.volume(volume)["size"] == 2 * GIB


def test_a_disk_that_does_not_follow_a_detachment(make_world):
    world = make_world(device={"wait": "1s"})
    volume, _ = world.attached()
    world.cloud.set_faults([{"do": "no_plug", "command": "detachVolume"}])
    record = world.daemon.failed(world.daemon.detach(volume))
    assert f"volume {volume} stays detached from VM {APPLIANCE_VM}" in record["error"], record
    assert world.cloud.volume(volume)["vm"] is None


# ---- a storage that rounds up ----

@pytest.mark.parametrize("delays", [{"job_delay": 0.5}, {"plug_delay": 0.5}], ids=["disk first", "job first"])
def test_a_storage_that_rounds_up(world, delays):
    volume = world.volume(12, state="Allocated")
    assert world.daemon.get(f"/api/v1/volumes/{volume}?refresh=true")["size"] == 12 * GIB
    world.cloud.set(storage_unit_gib=16, **delays)
    record = world.daemon.completed(world.daemon.attach(volume))
    assert record["response"]["size"] == 16 * GIB
    assert record["response"]["matched_by"] == "identity"
    assert_size(world, volume, 16)
    sync = world.daemon.rest("POST", "/api/v1/admin/force-sync", {"dry_run": True})
    assert sync.json["report"]["drift"] == [], sync.json


def test_a_disk_of_another_size_is_never_named(make_world):
    """The size of the job's answer counts, and this disk has the one from before it."""
    world = make_world(device={"wait": "1s"})
    volume = world.volume(12, state="Allocated")
    world.cloud.set(storage_unit_gib=16)
    world.cloud.set_faults([{"do": "wrong_size", "command": "attachVolume", "size": 12 * GIB}])
    record = world.daemon.failed(world.daemon.attach(volume))
    assert record["error_code"] == "CONFLICT", record
    assert f"has {12 * GIB} bytes where CloudStack says {16 * GIB}" in record["error"], record
    assert world.cloud.volume(volume)["vm"] is None
