# SPDX-License-Identifier: LGPL-2.1-or-later
"""Volumes that become root disks of other machines, as the programs of a failover ask for it."""

import cloudsim
import pytest

from .surfaces import SURFACES, Refused


@pytest.fixture(params=SURFACES)
def surface(request, world):
    surface = SURFACES[request.param](world)
    yield surface
    surface.close()


def changes(world):
    """What CloudStack was asked to change."""
    return [r["command"] for r in world.cloud.requests()
            if r["command"] in ("attachVolume", "detachVolume")]


def as_root(world, volume, vm, **more):
    return world.daemon.begin("POST", f"/api/v1/volumes/{volume}/attach-root",
                              {"vm_id": vm, **more})


def test_a_volume_becomes_the_root_disk(make_world):
    world = make_world(export={"engine": "qemu-storage-daemon"})
    volume, vm = world.volume(), world.rootless_vm()
    record = world.daemon.completed(as_root(world, volume, vm))
    assert record["request"] == {"volume_id": volume, "vm_id": vm, "replace": False,
                                 "device_id": 0, "attach_as": "root"}
    assert record["response"]["message"] == f"Volume attached as the root disk of VM {vm}"
    row = world.cloud.volume(volume)
    assert (row["vm"], row["type"], row["deviceid"]) == (vm, "ROOT", 0)
    assert world.daemon.get("/api/v1/exports")["exports"] == []
    mapping = world.daemon.get(f"/api/v1/volumes/{volume}/device")
    assert mapping["device_path"] == f"remote-vm-{vm}-{volume}"
    # The way back.
    world.daemon.completed(world.daemon.detach(volume))
    assert world.cloud.volume(volume)["type"] == "DATADISK"


def test_the_failure_that_is_none(world):
    """CloudStack reports a failed job for a volume that was never attached, and has attached it."""
    volume, vm = world.volume(state="Allocated"), world.rootless_vm()
    record = world.daemon.completed(as_root(world, volume, vm))
    assert "Command failed due to Internal Server Error" in record["response"]["message"]
    assert world.cloud.world.root_volume(vm).id == volume
    assert changes(world) == ["attachVolume"]


def test_never_on_this_machine(world, surface):
    with pytest.raises(Refused) as refused:
        surface.ask("volume.attach-root", volume_id=world.volume(), vm_id=cloudsim.APPLIANCE_VM)
    assert refused.value.word == "INVALID_REQUEST"
    assert "is this machine" in refused.value.text
    assert changes(world) == []


def test_a_machine_that_runs(world, surface):
    record = surface.done("volume.attach-root", volume_id=world.volume(), vm_id=cloudsim.OTHER_VM)
    assert (record["status"], record["error_code"], record["error_reason"]) == \
        ("failed", "CONFLICT", "vm_running")
    assert f"VM {cloudsim.OTHER_VM} is Running" in record["error"]
    assert changes(world) == []


def test_a_root_disk_that_is_there(world, surface):
    """It is named, and makes way when that is asked for."""
    vm, volume = cloudsim.STOPPED_VM, world.volume()
    old = world.cloud.world.root_volume(vm).id
    record = surface.done("volume.attach-root", volume_id=volume, vm_id=vm)
    assert (record["status"], record["error_code"]) == ("failed", "CONFLICT")
    assert f"volume {old}" in record["error"] and "replace" in record["error"]
    assert changes(world) == []
    record = surface.completed("volume.attach-root", volume_id=volume, vm_id=vm, replace=True)
    assert f"volume {old}" in record["response"]["message"]
    assert world.cloud.world.root_volume(vm).id == volume
    assert world.cloud.volume(old)["vm"] is None


def test_an_old_root_disk_is_put_back(world):
    vm, volume = cloudsim.STOPPED_VM, world.volume()
    old = world.cloud.world.root_volume(vm).id
    world.cloud.set_faults([{"do": "job_fail", "code": 530, "text": "No host", "times": 0,
                             "command": "attachVolume", "volume": volume}])
    record = world.daemon.failed(as_root(world, volume, vm, replace=True))
    assert "No host" in record["error"] and "needs_attention" not in record
    assert world.cloud.world.root_volume(vm).id == old
    assert world.cloud.volume(volume)["vm"] is None


def test_words_of_the_request(world):
    path = f"/api/v1/volumes/{world.volume()}/attach-root"
    vm = world.rootless_vm()
    for body, field in (({"vm_id": vm, "device_id": 1}, "device_id"),
                        ({"vm_id": vm, "attach_as": "data"}, "attach_as"),
                        ({"vm_id": "none"}, "vm_id"), ({}, "vm_id")):
        answer = world.daemon.rest("POST", path, body)
        assert (answer.status, answer.json["details"]["field"]) == (400, field), answer
    assert world.daemon.rest("POST", path, {"vm_id": vm, "device_id": 0, "attach_as": "root"}
                             ).status == 201
