# SPDX-License-Identifier: LGPL-2.1-or-later
"""What CloudStack refuses, and what the client hears.

A client cannot read CloudStack's sentences: they name internal numbers, and they differ between
versions. It hears what was refused, why, and what helps, with the ids that it knows, and a program
has one word for the cause. All surfaces tell the same.
"""

import re
import threading

import pytest
from cloudsim import APPLIANCE_VM, GIB, OFFERING_CUSTOM, OTHER_VM, ZONE
from support.py import shapes
from support.py.harness import NAME, TOP
from support.py.stores import any_store, each_store
from support.py.waiting import eventually

from .surfaces import object_path

pytestmark = any_store

NOBODY = "00000000-0000-4000-8000-000000000000"
VERSIONS = ("4.18", "4.23")
# Texts in which CloudStack names a row of its database.
NUMBER = re.compile(r"\bvm \d|\bid: |\bid \[|\"id\":|i-2-\d|entity does not exist")


def fails(world, operation, reason, *words, told=True):
    """The operation fails with that reason and these words, and every surface says so. `told`:
    CloudStack's words are in the log."""
    record = shapes.check_ended(world.daemon.failed(operation))
    assert record["error_reason"] == reason, record
    assert not [w for w in words if w not in record["error"]], record["error"]
    if reason != "quota":
        assert not NUMBER.search(record["error"]), record["error"]
    path = object_path("operation", record["id"])
    properties = world.bus.properties(path, f"{NAME}.Operation")
    assert (properties["ErrorReason"], properties["Error"]) == (reason, record["error"])
    assert world.daemon.ctl_json("operation", record["id"])["error_reason"] == reason
    line = f"operation={record['id']} CloudStack's words"
    assert not told or any(line in l for l in world.daemon.log.all())
    return record


def create(world, **changes):
    return world.daemon.begin("POST", "/api/v1/volumes", {
        "name": "data", "size": GIB, "zone_id": ZONE, "disk_offering_id": OFFERING_CUSTOM,
        **changes})


def test_every_reason_has_a_shape():
    words = re.findall(r'\[ERR_REASON_\w+\] = "(\w+)"', (TOP / "src/base/err.c").read_text())
    assert set(words) == set(shapes.REASONS)


# ---- the VM ----

def test_words_that_nobody_knows(world):
    """The checks of a plan find the reason; without one, CloudStack's own words are all there is."""
    unspoken = {"do": "status", "code": 530, "text": "Out of sorts", "command": "attachVolume"}
    here, free = world.attached()[0], world.volume()
    world.cloud.client().run("createVMSnapshot", virtualmachineid=APPLIANCE_VM)
    world.cloud.set_faults([unspoken])
    record = fails(world, world.daemon.attach(free), "vm_snapshots", free, APPLIANCE_VM, "has VM snapshots",
                   "Out of sorts", told=False)
    assert record["error_code"] == "CLOUDSTACK_ERROR"
    world.cloud.set_faults([{**unspoken, "command": "detachVolume"}])
    fails(world, world.daemon.detach(here), "vm_snapshots", here, "has VM snapshots", "Out of sorts", told=False)
    world.cloud.set_faults([unspoken])
    record = world.daemon.failed(world.daemon.attach(free, OTHER_VM))
    assert "Out of sorts" in record["error"] and "error_reason" not in record, record


@pytest.mark.parametrize("version", VERSIONS)
def test_a_vm_with_vm_snapshots(world, version):
    world.cloud.set(version=version)
    volume, _ = world.attached()
    world.cloud.client().run("createVMSnapshot", virtualmachineid=APPLIANCE_VM)
    words = (f"VM {APPLIANCE_VM} has VM snapshots", "listVMSnapshot", "try again")
    other = world.volume()
    fails(world, world.daemon.attach(other), "vm_snapshots", f"volume {other} cannot be attached",
          *words)
    for ask, done in ((world.daemon.detach, "detached"), (world.daemon.delete, "deleted"),
                      (lambda v: world.daemon.resize(v, 2), "resized")):
        fails(world, ask(volume), "vm_snapshots", f"volume {volume} cannot be {done}", *words)
    assert world.cloud.volume(volume)["vm"] == APPLIANCE_VM and world.disks_of(volume)


def test_the_signal_tells_the_reason(world):
    world.cloud.client().run("createVMSnapshot", virtualmachineid=APPLIANCE_VM)
    with world.monitor() as monitor:
        operation = world.daemon.attach(world.volume())
        details = monitor.completed(operation["id"]).arguments[6]
        assert details["error_reason"] == "vm_snapshots"
        monitor.wait_changed(object_path("operation", operation["id"]), ErrorReason="vm_snapshots")


def test_a_vm_with_as_many_disks_as_it_takes(world):
    world.cloud.set(max_data_volumes=1)
    world.attached()
    volume = world.volume()
    fails(world, world.daemon.attach(volume), "no_device_slot",
          f"volume {volume} cannot be attached: VM {APPLIANCE_VM} has as many disks",
          "Detach another volume from it")


def test_a_running_vm_without_a_pci_slot(world):
    world.cloud.set(pci_slots=1)
    world.attached()
    volume = world.volume()
    fails(world, world.daemon.attach(volume), "no_device_slot", "no free PCI slot",
          f"volume {volume} cannot be attached: VM {APPLIANCE_VM}", "Stop the VM")
    world.cloud.set(pci_slots=2)
    world.daemon.completed(world.daemon.attach(volume))


def test_all_slots_taken_meanwhile(world):
    volume = world.volume()
    world.cloud.set_faults([{"do": "job_fail", "command": "attachVolume", "code": 530,
                             "text": "All device Ids are used by vm 3"}])
    fails(world, world.daemon.attach(volume), "no_device_slot", f"VM {APPLIANCE_VM} has as many")


@pytest.mark.parametrize("version", VERSIONS)
def test_another_accounts_vm(world, version):
    world.cloud.set(version=version)
    world.cloud.put_account("bob")
    volume = world.volume(owner="bob")
    fails(world, world.daemon.attach(volume), "other_account",
          f"volume {volume} and VM {APPLIANCE_VM} belong to different accounts")


@pytest.mark.parametrize("vm", [NOBODY, OTHER_VM], ids=["never there", "deleted"])
def test_an_unknown_vm(world, vm):
    world.cloud.put_vm(id=OTHER_VM, removed=True)
    volume = world.volume()
    fails(world, world.daemon.attach(volume, vm), "unknown_vm",
          f"volume {volume} cannot be attached: the VM {vm} (vm_id) does not exist",
          "listVirtualMachines")


# ---- the request ----

@pytest.mark.parametrize("field, reason, command", [
    ("disk_offering_id", "unknown_offering", "listDiskOfferings"),
    ("zone_id", "unknown_zone", "listZones")])
def test_an_unknown_offering_or_zone(world, field, reason, command):
    fails(world, create(world, **{field: NOBODY}), reason, f"{NOBODY} ({field}) does not exist",
          f"CloudStack's {command} shows the right ones")
    assert world.data_volumes() == []


@pytest.mark.parametrize("limit", [{"limit_volumes": 1}, {"limit_gib": 3}])
def test_a_quota(world, limit):
    volume = world.volume(2)
    world.cloud.put_account("admin", admin=False, **limit)
    fails(world, create(world, size=2 * GIB), "quota", "the volume cannot be created",
          "has reached a limit", "Maximum amount of resources", "(code 535)")
    if "limit_gib" in limit:
        fails(world, world.daemon.resize(volume, 8), "quota", f"volume {volume} cannot be resized",
              "Requested Resource Amount = (6.00 GB)", "(code 530)")


@pytest.mark.parametrize("shown", [True, False])
def test_a_protected_volume(world, shown):
    """CloudStack shows the protection, or only refuses the deletion."""
    volume = world.volume()
    world.cloud.set(version="4.23" if shown else "4.18")
    world.cloud.put_volume(id=volume, protected=True)
    fails(world, world.daemon.delete(volume), "delete_protection",
          f"volume {volume} cannot be deleted", "deleteprotection=false", told=not shown)
    world.cloud.put_volume(id=volume, protected=False)
    world.daemon.completed(world.daemon.delete(volume))


def test_a_protected_volume_stays_attached(world):
    world.cloud.set(version="4.23")
    volume, path = world.attached()
    world.cloud.put_volume(id=volume, protected=True)
    record = fails(world, world.daemon.delete(volume), "delete_protection",
                   f"volume {volume} cannot be deleted", "deleteprotection=false", told=False)
    assert "detached" not in record["error"]
    assert world.cloud.volume(volume)["vm"] == APPLIANCE_VM and world.disks_of(volume)
    assert world.daemon.get(f"/api/v1/volumes/{volume}/device")["device_path"] == path
    assert not [r for r in world.cloud.requests()
                if r["command"] in ("detachVolume", "destroyVolume")]
    # A protected volume may be detached.
    world.daemon.completed(world.daemon.detach(volume))


def test_a_forbidden_command(world):
    volume = world.volume()
    world.cloud.put_account("admin", forbidden=["resizeVolume"])
    fails(world, world.daemon.resize(volume, 2), "forbidden_command",
          "does not allow the command resizeVolume", "Ask an administrator of CloudStack")
    world.cloud.put_account("admin", forbidden=[])
    world.daemon.completed(world.daemon.resize(volume, 2))


def test_an_error_answer_tells_the_reason(world):
    """What fails before there is an operation."""
    world.cloud.put_account("admin", forbidden=["listVolumes"])
    answer = world.daemon.rest("GET", f"/api/v1/volumes/{NOBODY}?refresh=true")
    error = shapes.ERROR.check(answer.json)
    assert (answer.status, error["details"]["reason"]) == (422, "forbidden_command"), error
    assert error["details"]["cloudstack_error_code"] == 432
    world.cloud.put_account("admin", forbidden=[])


def test_a_disk_in_use(world):
    volume, path = world.attached()
    block = world.folder / "disks/block"
    (block / "vdb/holders/dm-0").mkdir()
    (block / "dm-0").mkdir()
    (block / "dm-0/dev").write_text("253:0\n")
    answer = world.daemon.rest("POST", f"/api/v1/volumes/{volume}/detach")
    error = shapes.ERROR.check(answer.json)
    assert (answer.status, error["code"]) == (409, "CONFLICT")
    assert error["details"] == {"reason": "in_use"} and f"{path} is in use" in error["error"]
    world.daemon.completed(world.daemon.detach(volume, force=True))


@each_store
def test_the_reason_survives_a_restart(world):
    world.cloud.set(max_data_volumes=0)
    record = world.daemon.failed(world.daemon.attach(world.volume()))
    world.daemon.stop()
    world.daemon.start()
    found = world.daemon.operation(record["id"])
    assert found == record and found["error_reason"] == "no_device_slot"


# ---- a server that stops ----

def waits(world, operation):
    """The operation waits until CloudStack takes changes again, and says so."""
    return eventually(lambda: "takes no new commands" in (
        r := world.daemon.operation(operation["id"])).get("waits_for", "") and r, "it waits")


@pytest.mark.parametrize("version, code", [("4.18", 530), ("4.23", 530), ("4.23", 503)])
def test_maintenance_is_waited_out(world, version, code):
    """The operations go on when CloudStack takes jobs again, and each is done once."""
    volume, _ = world.attached()
    world.cloud.set(version=version, maintenance=code)
    operations = [world.daemon.detach(volume)]
    world.cloud.wait_request("detachVolume")
    waits(world, operations[0])
    operations.append(create(world))
    waits(world, operations[1])
    told = eventually(lambda: "takes no new commands" in (h := world.daemon.health())
                      ["cloudstack_health"] and h, "its word")
    assert told["status"] == "degraded" and f"(code {code})" in told["cloudstack_health"]
    # A question that is answered does not make it well.
    assert world.daemon.rest("GET", f"/api/v1/volumes/{volume}?refresh=true").status == 200
    assert world.daemon.health()["status"] == "degraded"
    assert {world.daemon.operation(o["id"])["status"] for o in operations} == {"executing"}
    world.cloud.set(maintenance=None)
    for operation in operations:
        world.daemon.completed(operation)
    assert world.cloud.volume(volume)["vm"] is None
    assert len(world.data_volumes()) == 2
    assert world.daemon.health()["status"] == "healthy"


@each_store
def test_operations_do_not_begin_while_the_server_stops(world):
    """What waits keeps its export, can be cancelled, and outlives the daemon."""
    volume, path = world.attached()
    world.cloud.set(maintenance=530)
    first = world.daemon.attach(world.volume(), world.cloud.put_vm(name="first")["id"])
    waits(world, first)
    volumes = [world.volume() for _ in range(20)]
    attaches = [world.daemon.attach(v, world.cloud.put_vm(name=f"vm-{i}")["id"])
                for i, v in enumerate(volumes)]
    detach = world.daemon.detach(volume)
    for operation in (*attaches, detach):
        assert waits(world, operation)["step"] == "check"
    cancelled, *attaches = attaches
    for operation in (cancelled, detach):
        answer = world.daemon.rest("POST", f"/api/v1/operations/{operation['id']}/cancel")
        assert answer.status == 200, answer
        assert world.daemon.ended(operation)["status"] == "cancelled"
    assert world.daemon.get(f"/api/v1/volumes/{volume}/device")["device_path"] == path
    asked = [r for r in world.cloud.requests() if r["command"] in ("attachVolume", "detachVolume")]
    assert {r["params"]["id"] for r in asked} == {volume, first["volume_id"]}   # and not these
    world.daemon.kill()
    world.daemon.start()
    waits(world, first)
    world.cloud.set(maintenance=None)
    for operation in (first, *attaches):
        world.daemon.completed(operation)
    assert {v["id"] for v in world.data_volumes() if v["vm"]} == \
        {volume, first["volume_id"], *volumes[1:]}


def test_many_operations_ask_a_stopping_server_as_one(world):
    """They had begun before, each on a machine of its own. One request in two seconds finds out
    for all of them."""
    stopping = threading.Event()

    def interrupt(moment, asked):
        if (moment, asked) == ("before", "attachVolume"):
            stopping.wait()
        return False

    world.cloud.interrupt = interrupt
    try:
        attaches = [world.daemon.attach(world.volume(), world.cloud.put_vm(name=f"vm-{i}")["id"])
                    for i in range(20)]
        for attach in attaches:
            eventually(lambda: world.daemon.operation(attach["id"]).get("step") == "ask-cloud",
                       "it is about to ask")
        world.cloud.set(maintenance=530)
    finally:
        stopping.set()
    for attach in attaches:
        waits(world, attach)
    world.cloud.clear_requests()
    first, *_, last = world.cloud.wait_request("attachVolume", count=3)
    assert last["time"] - first["time"] > 2, "each asks for itself"
    world.cloud.set(maintenance=None)
    for attach in attaches:
        world.daemon.completed(attach)
    assert {v["id"] for v in world.data_volumes() if v["vm"]} == \
        {attach["volume_id"] for attach in attaches}


def test_the_operation_that_met_the_maintenance_is_cancelled(world):
    """Its export was closed, and comes back."""
    volume, path = world.attached()
    world.cloud.set(maintenance=530)
    detach = world.daemon.detach(volume)
    assert waits(world, detach)["step"] == "ask-cloud"
    assert world.daemon.rest("POST", f"/api/v1/operations/{detach['id']}/cancel").status == 200
    record = world.daemon.ended(detach)
    assert (record["status"], record.get("needs_attention")) == ("cancelled", None), record
    assert world.daemon.get(f"/api/v1/volumes/{volume}/device")["device_path"] == path
    world.cloud.set(maintenance=None)
    assert world.cloud.volume(volume)["vm"] == APPLIANCE_VM


def test_a_job_that_the_stopping_server_did_not_do(world):
    """It was accepted before; its part for the VM was not."""
    volume = world.volume()
    world.cloud.set_faults([{
        "do": "job_fail", "command": "attachVolume", "code": 530,
        "text": "A shutdown has been triggered. Can not accept new jobs"}])
    record = fails(world, world.daemon.attach(volume), "maintenance", "did not do the job",
                   "try again", told=False)
    assert record["error_code"] == "SERVICE_UNAVAILABLE"
    world.daemon.completed(world.daemon.attach(volume))
