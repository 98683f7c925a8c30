# SPDX-License-Identifier: LGPL-2.1-or-later
"""The end of a failover test: a volume comes back from the machine of the test to the appliance."""

import cloudsim
import pytest

from .surfaces import SURFACES, Refused

PERMITTED = {"operations": {"allow_vm_expunge": "yes"}}


@pytest.fixture(params=SURFACES)
def surface(request, world):
    surface = SURFACES[request.param](world)
    yield surface
    surface.close()


def clean_up(world, volume, test, **more):
    return world.daemon.begin("POST", "/api/v1/cleanup/test-failover", {
        "test_vm_id": test, "volume_id": volume, "oma_vm_id": cloudsim.APPLIANCE_VM, **more})


def machine(world, vm):
    return world.cloud.world.machines[vm]


def asked(world, command):
    return [r for r in world.cloud.requests() if r["command"] == command]


def test_a_volume_comes_back(world):
    volume, test = world.on_test_vm()
    record = world.daemon.completed(clean_up(world, volume, test, delete_vm=False,
                                             force_clean=False))
    assert record["type"] == "cleanup" and record["vm_id"] == test
    response = record["response"]
    assert (response["test_vm_id"], response["oma_vm_id"], response["vm_deleted"]) == \
        (test, cloudsim.APPLIANCE_VM, False)
    world.assert_is(response["device_path"], volume)
    assert world.daemon.get(f"/api/v1/volumes/{volume}/device")["device_path"] == \
        response["device_path"]
    assert machine(world, test).state == "Stopped"
    assert [r["params"]["forced"] for r in asked(world, "stopVirtualMachine")] == ["true"]


def test_it_is_exported_when_it_is_back(make_world):
    world = make_world(export={"engine": "qemu-storage-daemon"})
    volume, test = world.on_test_vm()
    assert world.daemon.get("/api/v1/exports")["exports"] == []
    record = world.daemon.completed(clean_up(world, volume, test))
    assert record["response"]["export_status"] == "active"
    world.connect(volume).write(1)


def test_by_force_the_machine_is_not_stopped(world):
    volume, test = world.on_test_vm()
    world.daemon.completed(clean_up(world, volume, test, force_clean=True))
    assert machine(world, test).state == "Running"
    assert asked(world, "stopVirtualMachine") == []


def test_a_root_disk_comes_back(world):
    volume, test = world.volume(), world.rootless_vm()
    path = f"/api/v1/volumes/{volume}/attach-root"
    world.daemon.completed(world.daemon.begin("POST", path, {"vm_id": test}))
    world.cloud.put_vm(test, state="Running")
    world.daemon.completed(clean_up(world, volume, test, force_clean=True))
    assert machine(world, test).state == "Stopped"
    assert world.cloud.volume(volume)["type"] == "DATADISK"


def test_it_comes_to_this_machine_alone(world, surface):
    volume, test = world.on_test_vm()
    world.cloud.clear_requests()
    for vms, words in (((test, cloudsim.OTHER_VM), "oma_vm_id must be this machine"),
                       ((cloudsim.APPLIANCE_VM, cloudsim.APPLIANCE_VM), "is this machine")):
        with pytest.raises(Refused) as refused:
            surface.ask("volume.cleanup", test_vm_id=vms[0], volume_id=volume, oma_vm_id=vms[1])
        assert refused.value.word == "INVALID_REQUEST" and words in refused.value.text
    assert asked(world, "stopVirtualMachine") == asked(world, "detachVolume") == []


def test_a_volume_that_is_elsewhere(world, surface):
    volume, _ = world.on_test_vm()
    other = world.cloud.put_vm(name="other", state="Running")["id"]
    record = surface.done("volume.cleanup", test_vm_id=other, volume_id=volume,
                          oma_vm_id=cloudsim.APPLIANCE_VM)
    assert (record["status"], record["error_code"]) == ("failed", "CONFLICT")
    assert asked(world, "stopVirtualMachine") == asked(world, "detachVolume") == []


def test_words_of_the_request(world):
    for body, field in (({}, "test_vm_id"), ({"test_vm_id": "x"}, "test_vm_id")):
        answer = world.daemon.rest("POST", "/api/v1/cleanup/test-failover", body)
        assert (answer.status, answer.json["details"]["field"]) == (400, field), answer


# ---- the machine of the test ----

def test_it_is_kept_without_permission(world, surface):
    volume, test = world.on_test_vm()
    record = surface.completed("volume.cleanup", test_vm_id=test, volume_id=volume,
                               oma_vm_id=cloudsim.APPLIANCE_VM, delete_vm=True)
    assert not record["response"]["vm_deleted"]
    assert "allow_vm_expunge" in record["response"]["message"]
    assert asked(world, "destroyVirtualMachine") == []


def test_it_is_deleted_with_permission(make_world):
    world = make_world(**PERMITTED)
    volume, test = world.on_test_vm()
    root = world.cloud.world.root_volume(test).id
    record = world.daemon.completed(clean_up(world, volume, test, delete_vm=True))
    assert record["response"]["vm_deleted"]
    assert machine(world, test).removed and world.cloud.volume(root)["removed"]
    world.assert_is(record["response"]["device_path"], volume)
    assert [r["params"]["expunge"] for r in asked(world, "destroyVirtualMachine")] == ["true"]


def test_it_is_kept_with_its_data(make_world):
    """Another volume is still attached to it, or its root disk is one that the daemon put there."""
    world = make_world(**PERMITTED)
    volume, test = world.on_test_vm()
    other = world.volume(vm=test, deviceid=2)
    record = world.daemon.completed(clean_up(world, volume, test, delete_vm=True))
    assert not record["response"]["vm_deleted"] and other in record["response"]["message"]
    replica, rootless = world.volume(), world.rootless_vm()
    path = f"/api/v1/volumes/{replica}/attach-root"
    world.daemon.completed(world.daemon.begin("POST", path, {"vm_id": rootless}))
    data = world.volume()
    world.daemon.completed(world.daemon.begin("POST", f"/api/v1/volumes/{data}/attach",
                                              {"vm_id": rootless}))
    record = world.daemon.completed(clean_up(world, data, rootless, delete_vm=True))
    assert not record["response"]["vm_deleted"] and replica in record["response"]["message"]
    assert asked(world, "destroyVirtualMachine") == []


def test_a_machine_that_never_had_the_volume_is_kept(make_world):
    world = make_world(**PERMITTED)
    volume = world.volume()
    record = world.daemon.completed(clean_up(world, volume, cloudsim.OTHER_VM, delete_vm=True))
    assert not record["response"]["vm_deleted"]
    assert asked(world, "destroyVirtualMachine") == []
    world.assert_is(record["response"]["device_path"], volume)


def test_a_role_that_may_not_delete_machines(make_world):
    world = make_world(**PERMITTED)
    world.cloud.put_account("admin", forbidden=["destroyVirtualMachine"])
    volume, test = world.on_test_vm()
    record = world.daemon.completed(clean_up(world, volume, test, delete_vm=True))
    assert not record["response"]["vm_deleted"]
    assert "destroyVirtualMachine" in record["response"]["message"]


# ---- undone ----

def test_everything_goes_back(world):
    volume, test = world.on_test_vm()
    world.cloud.set_faults([{"do": "job_fail", "code": 530, "text": "No host",
                             "command": "attachVolume"}])
    record = world.daemon.failed(clean_up(world, volume, test))
    assert "No host" in record["error"] and "needs_attention" not in record
    assert world.cloud.volume(volume)["vm"] == test
    assert machine(world, test).state == "Running"
