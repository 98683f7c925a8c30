# SPDX-License-Identifier: LGPL-2.1-or-later
"""What others do behind the daemon's back, seen by those who use it.

Each kind of drift is made with the simulated cloud and the tree of disks; the report, the signal
and what is answered afterwards are what a user notices. The rules themselves are tested in C.
"""

import cloudsim
import pytest
from support.py import shapes
from support.py.waiting import eventually


def sync(world, **arguments):
    answer = world.daemon.rest("POST", "/api/v1/admin/force-sync", arguments or None)
    assert answer.status == 200, answer
    return shapes.check_sync(answer.json)


def kinds(report, array):
    return [(d["kind"], d["volume_id"]) for d in report[array]]


def device(world, volume):
    return world.daemon.rest("GET", f"/api/v1/volumes/{volume}/device")


@pytest.fixture
def world(make_world):
    """Nothing is compared but when it is asked for."""
    return make_world(reconcile={"interval": "1h"})


def test_nothing_to_do(world):
    world.attached()
    report = sync(world)
    assert report == {"checked": report["checked"], "dry_run": False, "drift": [], "repaired": [],
                      "failed": []}
    assert report["checked"] == len(world.cloud.state()["volumes"])


def test_attached_outside(world):
    volume = world.volume()
    with world.monitor() as monitor:
        world.cloud.attach_behind(volume)
        assert kinds(sync(world), "repaired") == [("attached-outside", volume)]
        found = monitor.wait("DriftFound", lambda a: a[0] == "attached-outside").arguments[1]
        assert shapes.DRIFT.check(found)["volume_id"] == volume
        changed = monitor.wait("MappingChanged", lambda a: a[0] == volume)
    path = device(world, volume).json["device_path"]
    world.assert_is(path, volume)
    assert changed.arguments[1] == path
    assert sync(world)["drift"] == []


def test_detached_outside(world):
    volume, path = world.attached()
    world.cloud.detach_behind(volume)
    report = sync(world, dry_run=True)
    assert kinds(report, "failed") == [("detached-outside", volume)] and not report["repaired"]
    assert device(world, volume).status == 200
    assert kinds(sync(world), "repaired") == [("detached-outside", volume)]
    assert device(world, volume).status == 404
    world.daemon.completed(world.daemon.attach(volume))


def test_deleted_outside(world):
    volume, _ = world.attached()
    world.cloud.detach_behind(volume)
    world.cloud.put_volume(id=volume, removed=True)
    assert kinds(sync(world), "repaired") == [("deleted-outside", volume)]
    assert device(world, volume).status == 404


def test_moved_to_another_vm(world):
    volume, _ = world.attached()
    world.cloud.detach_behind(volume)
    world.cloud.attach_behind(volume, vm=cloudsim.OTHER_VM)
    assert kinds(sync(world), "repaired") == [("moved", volume)]
    mapping = shapes.MAPPING.check(device(world, volume).json)
    assert mapping["vm_id"] == cloudsim.OTHER_VM and mapping["linux_state"] == "n/a"
    assert mapping["device_path"].startswith(f"remote-vm-{cloudsim.OTHER_VM}-")


def test_a_slot_that_was_emptied_outside_is_taken_by_the_next(world):
    first, second = world.volume(), world.volume()
    world.daemon.completed(world.daemon.attach(first, cloudsim.OTHER_VM))
    world.cloud.detach_behind(first)
    world.daemon.completed(world.daemon.attach(second, cloudsim.OTHER_VM))
    assert device(world, second).json["vm_id"] == cloudsim.OTHER_VM
    assert kinds(sync(world), "repaired") == [("detached-outside", first)]
    assert device(world, first).status == 404


def test_disk_gone_although_attached(world):
    volume, path = world.attached()
    with world.monitor() as monitor:
        world.cloud.detach_behind(volume, row=False)
        report = sync(world)
        assert kinds(report, "failed") == [("device-missing", volume)]
        sync(world)
        monitor.wait("DriftFound", lambda a: a[0] == "device-missing")
        assert len(monitor.signals("DriftFound")) == 1      # said once while it lasts
    assert device(world, volume).json["linux_state"] == "gone"
    world.cloud.attach_behind(volume, row=False)
    eventually(lambda: device(world, volume).json["linux_state"] == "detected", "the disk is back")
    assert sync(world)["drift"] == []


def test_disk_there_although_detached(world):
    volume, path = world.attached()
    world.cloud.detach_behind(volume, guest=False)
    assert kinds(sync(world), "failed") == [("device-unexpected", volume)]
    mapping = device(world, volume).json
    assert (mapping["device_path"], mapping["cloudstack_state"]) == (path, "detached")
    world.cloud.unplug_volume(volume)
    eventually(lambda: kinds(sync(world), "repaired") == [("detached-outside", volume)],
               "the mapping is dropped")
    assert device(world, volume).status == 404


# -- a late detachment has cleared an attachment, and its disk is still here

def cleared(world):
    """A volume of the second slot, while the first is free."""
    first, _ = world.attached()
    volume, path = world.attached()
    world.daemon.completed(world.daemon.detach(first))
    world.cloud.detach_behind(volume, guest=False)
    world.cloud.clear_requests()
    return volume, path


def refresh(world, volume):
    assert world.daemon.rest("GET", f"/api/v1/volumes/{volume}?refresh=true").status == 200


def repaired(world, volume):
    """The operation that a comparison began for it, when it was time."""
    return eventually(lambda: [d["operation_id"] for d in sync(world)["repaired"]
                               if d["volume_id"] == volume], "the repair begins")[0]


def attaches(world):
    return [r["params"] for r in world.cloud.requests() if r["command"] == "attachVolume"]


def test_a_disk_that_contradicts_cloudstack_is_told_at_once(world):
    """The next comparison is an hour away; a client reads the volume."""
    volume, path = cleared(world)
    with world.monitor() as monitor:
        refresh(world, volume)
        found = monitor.wait("DriftFound", lambda a: a[0] == "device-unexpected").arguments[1]
    assert found["volume_id"] == volume and path in found["found"]
    assert "attached again" in found["action"]


def test_a_detachment_that_leaves_its_disk_is_told_at_once(make_world):
    world = make_world(reconcile={"interval": "1h"}, device={"wait": "1s"})
    volume, path = world.attached()
    world.cloud.set_faults([{"do": "no_plug", "command": "detachVolume"}])
    with world.monitor() as monitor:
        world.daemon.failed(world.daemon.detach(volume))
        found = monitor.wait("DriftFound", lambda a: a[0] == "device-unexpected").arguments[1]
    assert found["volume_id"] == volume
    # The same detachment is made after all.
    repaired(world, volume)
    eventually(lambda: device(world, volume).status == 404, "it is detached")
    assert world.disks_of(volume) == [] and world.cloud.volume(volume)["vm"] is None


def test_it_is_attached_again_in_its_slot(make_world):
    world = make_world(reconcile={"interval": "1h"}, device={"wait": "1s"})
    volume, path = cleared(world)
    record = world.daemon.completed({"id": repaired(world, volume)})
    assert (record["type"], record["response"]["device_path"]) == ("attach", path)
    assert [(a["id"], a["deviceid"]) for a in attaches(world)] == [(volume, "2")]
    row = world.cloud.volume(volume)
    assert (row["vm"], row["deviceid"]) == (cloudsim.APPLIANCE_VM, 2)
    assert device(world, volume).json["cloudstack_state"] == "attached"
    assert sync(world)["drift"] == []
    world.daemon.completed(world.daemon.detach(volume))
    assert world.disks_of(volume) == []


def test_a_disk_in_use_is_not_attached_again(make_world):
    world = make_world(reconcile={"interval": "1h"}, device={"wait": "1s"})
    volume, path = cleared(world)
    block = world.folder / "disks/block"
    holder = block / world.disks_of(volume)[0] / "holders/dm-0"
    (block / "dm-0").mkdir()
    (block / "dm-0/dev").write_text("253:0\n")
    holder.mkdir()
    eventually(lambda: "held by dm-0" in sync(world)["failed"][0]["action"], "its users are seen")
    record = world.daemon.failed(world.daemon.attach(volume))
    assert record["error_reason"] == "in_use" and "held by dm-0" in record["error"]
    assert attaches(world) == []
    holder.rmdir()
    world.daemon.completed({"id": repaired(world, volume)})


def test_a_hypervisor_that_keeps_the_disk(make_world):
    world = make_world(reconcile={"interval": "1h"}, device={"wait": "1s"})
    volume, path = cleared(world)
    world.cloud.set(slots_of_guest=True)
    record = world.daemon.failed({"id": repaired(world, volume)})
    assert record["error_reason"] == "disk_remains"
    assert "stop" in record["error"].lower() and "duplicated" in record["error"]
    assert world.disks_of(volume) and world.cloud.volume(volume)["vm"] is None
    # CloudStack gives the slot, which it believes to be free, to another volume: the same words.
    world.attached()
    record = world.daemon.failed(world.daemon.attach(world.volume()))
    assert record["error_reason"] == "disk_remains"


def test_orphan_of_a_request_that_came_twice(world):
    created = world.daemon.completed(world.daemon.create())
    twin = world.volume(name=f"data-{created['id']}", state="Allocated")
    stranger = world.volume(name="data-op-00000000-0000-7000-8000-000000000000", state="Allocated")
    report = sync(world)
    assert kinds(report, "repaired") == [("orphan", twin)]
    assert world.daemon.completed({"id": report["repaired"][0]["operation_id"]})["type"] == "delete"
    assert {v["id"] for v in world.data_volumes()} == {created["volume_id"], stranger}


def test_it_happens_by_itself(make_world):
    world = make_world(reconcile={"interval": "1s"})
    volume = world.volume()
    with world.monitor() as monitor:
        world.cloud.attach_behind(volume)
        monitor.wait("DriftFound", lambda a: a[0] == "attached-outside")
        world.cloud.detach_behind(volume)
        monitor.wait("DriftFound", lambda a: a[0] == "detached-outside")


def test_at_the_start(world):
    volume, _ = world.attached()
    world.daemon.stop()
    world.cloud.detach_behind(volume)
    world.daemon.start().wait_healthy()
    eventually(lambda: device(world, volume).status == 404, "the mapping is dropped")


def test_names_changed_while_nobody_looked(world):
    """As after a reboot: two disks have swapped their names."""
    volumes = [world.attached()[0], world.attached()[0]]
    world.daemon.kill()
    names = [world.disks_of(v)[0] for v in volumes]
    for volume in volumes:
        world.cloud.unplug_volume(volume)
    for volume in reversed(volumes):
        world.cloud.plug_volume(volume, cloudsim.GIB)
    assert [world.disks_of(v)[0] for v in volumes] == names[::-1]
    world.daemon.start().wait_healthy()
    for volume in volumes:
        eventually(lambda: device(world, volume).status == 200, "the volume is found")
        world.assert_is(device(world, volume).json["device_path"], volume)


def test_while_cloudstack_is_away(world):
    world.cloud.down()
    answer = world.daemon.rest("POST", "/api/v1/admin/force-sync")
    assert answer.status == 503 and answer.json["code"] == "SERVICE_UNAVAILABLE"
    world.cloud.up()
    world.daemon.wait_healthy()
    assert sync(world)["drift"] == []


def test_volumectl_sync(world):
    volume, _ = world.attached()
    world.cloud.detach_behind(volume)
    dry = world.daemon.ctl("sync", "--dry-run")
    assert dry.returncode == 0 and "detached-outside" in dry.stdout and volume in dry.stdout
    assert "1 repaired" in world.daemon.ctl("sync").stdout
    assert "nothing differs" in world.daemon.ctl("sync").stdout


def test_volumectl_shows_each_drift_on_a_line(world):
    volumes = [world.attached()[0], world.attached()[0]]
    for volume in volumes:
        world.cloud.detach_behind(volume)
    lines = world.daemon.ctl("sync", "--dry-run").stdout.splitlines()
    drifts = [line for line in lines if line.startswith("report.drift ")]
    assert len(drifts) == 2 and all("kind=detached-outside, volume_id=" in line for line in drifts)
