# SPDX-License-Identifier: LGPL-2.1-or-later
"""A volume's whole life, over each surface, and every method on every surface.

There is one table of methods, and three surfaces are made from it. These tests hold them to that:
the same questions are asked over REST, D-Bus and volumectl, and the answers must be the same
objects with the contract's names and types. A row of the table without an example here fails.
"""

import os
import pwd
from xml.etree import ElementTree

import cloudsim
import pytest
from support.py import shapes, stores
from support.py.harness import BusError
from support.py.loops import real_disk

from .surfaces import (SURFACES, Refused, bus_arguments, commands_without_a_method, interface, methods,
                       object_path, on_every_surface)

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(params=SURFACES)
def surface(request, world):
    surface = SURFACES[request.param](world)
    yield surface
    surface.close()


def create(surface, gib=1, **more):
    return surface.completed("volume.create", name="data", size=gib * cloudsim.GIB,
                             disk_offering_id=cloudsim.OFFERING_CUSTOM, zone_id=cloudsim.ZONE,
                             **more)


# ---- the life ----

def test_whole_life(world, surface):
    created = create(surface, gib=3)
    volume = created["volume_id"]
    assert created["type"] == "create" and "vm_id" not in created
    assert [v["id"] for v in world.data_volumes()] == [volume]
    assert world.cloud.volume(volume)["name"] == "data"
    assert world.cloud.volume(volume)["size"] == 3 * cloudsim.GIB
    shown = shapes.VOLUME.check(surface.ask("volume.get", volume_id=volume))
    assert shown["name"] == shown["cloudstack_data"]["name"] == "data"
    assert "attached_at" not in shown

    attached = surface.completed("volume.attach", volume_id=volume, vm_id=cloudsim.APPLIANCE_VM)
    response = attached["response"]
    path = response["device_path"]
    assert attached["vm_id"] == response["vm_id"] == cloudsim.APPLIANCE_VM
    assert response["size"] == 3 * cloudsim.GIB and response["matched_by"] == "identity"
    assert response["by_id_path"] == f"/dev/disk/by-id/virtio-{cloudsim.serial_of(volume)}"
    world.assert_is(path, volume)

    shown = shapes.VOLUME.check(surface.ask("volume.get", volume_id=volume))
    assert (shown["volume_id"], shown["vm_id"], shown["device_path"]) == \
        (volume, cloudsim.APPLIANCE_VM, path)
    assert shown["state"] == "Ready" and shown["size"] == 3 * cloudsim.GIB
    assert shown["name"] == shown["cloudstack_data"]["name"] == "data"
    assert shown["linux_data"]["device_path"] == path
    assert shown["last_operation"] == {"id": attached["id"], "type": "attach",
                                       "status": "completed"}
    mapping = shapes.MAPPING.check(surface.ask("volume.device", volume_id=volume))
    assert (mapping["device_path"], mapping["volume_uuid"], mapping["linux_state"]) == \
        (path, volume, "detected")
    assert (shown["type"], shown["attached_at"]) == ("DATADISK", mapping["attached_at"])
    assert mapping["cloudstack_device_id"] == world.cloud.volume(volume)["deviceid"]

    detached = surface.completed("volume.detach", volume_id=volume)
    assert detached["response"]["device_path"] == path
    assert detached["vm_id"] == cloudsim.APPLIANCE_VM
    assert world.disks_of(volume) == [] and world.cloud.volume(volume)["vm"] is None
    with pytest.raises(Refused) as refused:
        surface.ask("volume.device", volume_id=volume)
    assert refused.value.word == "NOT_FOUND"
    assert "device_path" not in surface.ask("volume.get", volume_id=volume)

    deleted = surface.completed("volume.delete", volume_id=volume)
    assert deleted["volume_id"] == volume
    assert world.data_volumes() == []
    with pytest.raises(Refused) as refused:
        surface.ask("volume.get", volume_id=volume)
    assert refused.value.word == "NOT_FOUND"

    history = shapes.OPERATION.check_all(surface.ask("operation.list"))
    assert [o["id"] for o in history] == \
        [deleted["id"], detached["id"], attached["id"], created["id"]]
    assert {o["status"] for o in history} == {"completed"}


def test_delete_detaches_first(world, surface):
    volume, path = world.attached()
    record = surface.completed("volume.delete", volume_id=volume)
    assert record["volume_id"] == volume
    assert world.data_volumes() == [] and world.disks_of(volume) == []
    with pytest.raises(Refused):
        surface.ask("device.volume", device=path)


def test_size_is_rounded_up_and_the_real_one_reported(world, surface):
    record = surface.completed("volume.create", name="odd", size=cloudsim.GIB + 1,
                               disk_offering_id=cloudsim.OFFERING_CUSTOM, zone_id=cloudsim.ZONE)
    assert world.cloud.volume(record["volume_id"])["size"] == 2 * cloudsim.GIB
    assert record["response"]["size"] == 2 * cloudsim.GIB
    assert record["request"]["size"] == cloudsim.GIB + 1


def test_names_keep_their_letters(world, surface):
    name = "Größe 5 µ & ?=# \"'\\ 数据"
    record = surface.completed("volume.create", name=name, size=cloudsim.GIB,
                               disk_offering_id=cloudsim.OFFERING_CUSTOM, zone_id=cloudsim.ZONE)
    assert world.cloud.volume(record["volume_id"])["name"] == name
    assert surface.ask("volume.get", volume_id=record["volume_id"])["name"] == name


def test_the_longest_name_there_may_be(world, surface):
    name = "ü" * 255
    record = surface.completed("volume.create", name=name, size=cloudsim.GIB,
                               disk_offering_id=cloudsim.OFFERING_CUSTOM, zone_id=cloudsim.ZONE)
    assert world.cloud.volume(record["volume_id"])["name"] == name


def test_what_is_not_there(world, surface):
    for name, arguments, code in (
            ("volume.attach", {"volume_id": NOBODY, "vm_id": cloudsim.APPLIANCE_VM}, "NOT_FOUND"),
            ("volume.detach", {"volume_id": NOBODY}, "NOT_FOUND"),
            ("volume.delete", {"volume_id": NOBODY}, "NOT_FOUND"),
            ("volume.resize", {"volume_id": NOBODY, "size": cloudsim.GIB}, "NOT_FOUND"),
            ("volume.attach", {"volume_id": world.volume(), "vm_id": NOBODY}, "CLOUDSTACK_ERROR")):
        record = surface.done(name, **arguments)
        assert (record["status"], record["error_code"]) == ("failed", code), record
        assert NOBODY in record["error"], record


def test_everything_is_told_alike_after_a_restart(world):
    """What lived in memory comes from the store now."""
    volume, _ = world.attached()
    world.daemon.failed(world.daemon.attach(volume))
    world.daemon.completed(world.daemon.create(gib=2))
    paths = ["/api/v1/operations", f"/api/v1/volumes/{volume}/device", "/api/v1/mappings",
             "/api/v1/devices"]
    paths += [f"/api/v1/operations/{o['id']}" for o in world.daemon.get(paths[0])]
    before = [world.daemon.get(path) for path in paths]
    world.daemon.stop()
    world.daemon.start()
    assert [world.daemon.get(path) for path in paths] == before


# ---- every method on every surface ----

def volume_attach(world, surface):
    record = surface.completed("volume.attach", volume_id=world.volume(),
                               vm_id=cloudsim.APPLIANCE_VM)
    assert record["type"] == "attach"


def volume_attach_root(world, surface):
    vm = world.rootless_vm()
    record = surface.completed("volume.attach-root", volume_id=world.volume(), vm_id=vm,
                               replace=False)
    assert (record["type"], record["request"]["attach_as"], record["response"]["device_id"]) == \
        ("attach", "root", 0)
    assert record["response"]["device_path"] == surface.device_elsewhere(vm, record["volume_id"])
    assert world.cloud.world.root_volume(vm).id == record["volume_id"]


def volume_cleanup(world, surface):
    volume, test = world.on_test_vm()
    record = surface.completed("volume.cleanup", test_vm_id=test, volume_id=volume,
                               oma_vm_id=cloudsim.APPLIANCE_VM, delete_vm=True)
    assert (record["type"], record["response"]["vm_deleted"]) == ("cleanup", False)
    world.assert_is(record["response"]["device_path"], volume)


def volume_detach(world, surface):
    volume, path = world.attached()
    record = surface.completed("volume.detach", volume_id=volume, force=False)
    assert (record["type"], record["response"]["device_path"]) == ("detach", path)


def volume_delete(world, surface):
    volume = world.volume()
    assert surface.completed("volume.delete", volume_id=volume)["type"] == "delete"


def volume_resize(world, surface):
    volume, path = world.attached()
    record = surface.completed("volume.resize", volume_id=volume, size=2 * cloudsim.GIB)
    assert (record["type"], record["response"]["device_path"]) == ("resize", path)
    # 1 byte more is 1 GiB more.
    record = surface.completed("volume.resize", volume_id=volume, size=2 * cloudsim.GIB + 1,
                               allow_shrink=True)
    assert (record["response"]["previous_size"], record["response"]["size"]) == \
        (2 * cloudsim.GIB, 3 * cloudsim.GIB)


def volume_create(world, surface):
    note = {"purpose": "test", "count": 3, "nested": {"yes": True}}
    record = create(surface, metadata=note)
    assert record["request"]["metadata"] == note


def volume_list(world, surface):
    wanted = {create(surface, gib)["volume_id"] for gib in (1, 2, 3)}
    found = shapes.VOLUME.check_all(surface.ask("volume.list", name="data"))
    assert {v["volume_id"] for v in found} == wanted
    assert len(surface.ask("volume.list", name="data", limit=2)) == 2
    assert surface.ask("volume.list", vm_id=cloudsim.STOPPED_VM, name="data") == []


def volume_get(world, surface):
    volume = world.volume(2, name="behind")
    shown = shapes.VOLUME.check(surface.ask("volume.get", volume_id=volume))
    assert (shown["name"], shown["size"]) == ("behind", 2 * cloudsim.GIB)
    assert "vm_id" not in shown


def volume_device(world, surface):
    volume, path = world.attached()
    mapping = shapes.MAPPING.check(surface.ask("volume.device", volume_id=volume))
    assert mapping["device_path"] == path


def volume_users(world, surface):
    volume, path = world.attached()
    assert surface.ask("volume.users", volume_id=volume) == []
    block = world.folder / "disks/block"
    (block / "vdb/holders/dm-0").mkdir()
    (block / "dm-0").mkdir()
    (block / "dm-0/dev").write_text("253:0\n")
    (user,) = shapes.USER.check_all(surface.ask("volume.users", volume_id=volume))
    assert (user["use"], user["is_system"]) == ("held by dm-0", False)
    assert path.endswith(user["device_path"])
    with pytest.raises(Refused) as refused:
        surface.ask("volume.users", volume_id=NOBODY)
    assert refused.value.word == "NOT_FOUND"


def pages(surface, name, shape):
    """All rows, and the same one by one."""
    rows = shape.check_all(surface.ask(name))
    for before, row in zip([{}] + rows, rows):
        cursor = {"cursor": before["id"]} if before else {}
        assert surface.ask(name, limit=1, **cursor) == [row]
    assert [r["id"] for r in rows] == sorted(r["id"] for r in rows)
    return {row["id"]: row for row in rows}


def vm_list(world, surface):
    found = pages(surface, "vm.list", shapes.VM)
    assert {id for id, vm in found.items() if vm["is_appliance"]} == {cloudsim.APPLIANCE_VM}
    assert found[cloudsim.STOPPED_VM]["state"] == "Stopped"
    made = world.cloud.put_vm(name="made a moment ago")["id"]
    assert [vm["id"] for vm in surface.ask("vm.list", name="made a moment ago")] == [made]
    assert surface.ask("vm.list", name="made a moment") == []


def offering_list(world, surface):
    found = pages(surface, "offering.list", shapes.OFFERING)
    assert found[cloudsim.OFFERING_CUSTOM]["size"] == 0
    assert found[cloudsim.OFFERING_FIXED]["size"] == 5 * cloudsim.GIB


def zone_list(world, surface):
    found = pages(surface, "zone.list", shapes.ZONE)
    assert cloudsim.ZONE in found


def right_list(world, surface):
    world.cloud.put_account("admin", forbidden=("resizeVolume", "destroyVolume"))
    found = {row["name"]: row for row in shapes.RIGHT.check_all(surface.ask("right.list"))}
    assert {row["allowed"] for name, row in found.items() if name not in ("resizeVolume", "destroyVolume")} == {"yes"}
    assert (found["resizeVolume"]["allowed"], found["destroyVolume"]["allowed"]) == ("no", "unneeded")
    assert found["attachVolume"]["needed_to"] == "attach the volume"


def vm_volumes(world, surface):
    volume, _ = world.attached()
    found = shapes.VOLUME.check_all(surface.ask("vm.volumes", vm_id=cloudsim.APPLIANCE_VM))
    assert [(v["volume_id"], v["type"]) for v in found] == [(volume, "DATADISK")]
    root = world.cloud.world.root_volume(cloudsim.APPLIANCE_VM).id
    found = shapes.VOLUME.check_all(surface.ask("vm.volumes", vm_id=cloudsim.APPLIANCE_VM, type="all"))
    assert {v["volume_id"]: v["type"] for v in found} == {volume: "DATADISK", root: "ROOT"}
    assert surface.ask("vm.volumes", vm_id=NOBODY) == []


def mapping_list(world, surface):
    assert surface.ask("mapping.list") == []
    pairs = {world.attached(), world.attached(2)}
    found = shapes.MAPPING.check_all(surface.ask("mapping.list"))
    assert {(m["volume_id"], m["device_path"]) for m in found} == pairs


def device_list(world, surface):
    volume, path = world.attached()
    found = shapes.DEVICE.check_all(surface.ask("device.list"))
    by_path = {d["device_path"]: d for d in found}
    assert by_path.keys() == {world.path("vda"), path}
    assert by_path[path]["volume_id"] == volume
    assert by_path[path]["serial"] == cloudsim.serial_of(volume)
    assert "volume_id" not in by_path[world.path("vda")]


def device_volume(world, surface):
    volume, path = world.attached()
    answer = surface.ask("device.volume", device=path)
    assert (answer["volume_id"], answer["device_path"]) == (volume, path)


def operation_list(world, surface):
    assert surface.ask("operation.list") == []
    volume, _ = world.attached()
    world.daemon.completed(world.daemon.detach(volume))
    both = shapes.OPERATION.check_all(surface.ask("operation.list", volume_id=volume))
    assert [o["type"] for o in both] == ["detach", "attach"]
    assert surface.ask("operation.list", type="attach", status="completed") == both[1:]
    assert surface.ask("operation.list", limit=1) == both[:1]
    assert surface.ask("operation.list", cursor=both[0]["id"]) == both[1:]
    assert surface.ask("operation.list", until=both[0]["created_at"]) == both[1:]
    assert surface.ask("operation.list", since=both[0]["created_at"]) == both[:1]


def operation_get(world, surface):
    volume = world.volume()
    record = world.daemon.completed(world.daemon.attach(volume))
    assert surface.ask("operation.get", operation_id=record["id"]) == record


def operation_history(world, surface):
    volume = world.volume()
    record = surface.completed("volume.attach", volume_id=volume, vm_id=cloudsim.APPLIANCE_VM)
    history = shapes.TRANSITION.check_all(surface.ask("operation.history", operation_id=record["id"]))
    assert (history[0]["previous_status"], history[0]["new_status"]) == ("", "pending")
    assert history[-1]["new_status"] == "completed"
    for before, after in zip(history, history[1:]):
        assert after["previous_status"] == before["new_status"]
    assert [row["step"] for row in history if "step" in row][0] == "check"
    assert history[0]["caller"] == record["caller"]
    assert [row for row in history if "caller" in row] == history[:1]
    user = pwd.getpwuid(os.geteuid()).pw_name
    if isinstance(surface, SURFACES["rest"]):
        assert record["caller"].keys() == {"surface", "address"}
        assert record["caller"]["address"].startswith("127.0.0.1:")
        words = f"address {record['caller']['address']}"
    else:
        assert record["caller"] == {"surface": "bus", "uid": os.geteuid(), "user": user,
                                    "bus_name": record["caller"]["bus_name"]}
        words = f"user {user} ({os.geteuid()}), connection {record['caller']['bus_name']}"
    assert {row["asked_by"] for row in history} == {words}
    with pytest.raises(Refused) as refused:
        surface.ask("operation.history", operation_id="op-x")
    assert refused.value.word == "NOT_FOUND"


def operation_cancel(world, surface):
    world.cloud.set(job_delay=3600)
    operation = world.daemon.attach(world.volume())
    world.cloud.wait_request("queryAsyncJobResult")
    shapes.OPERATION.check(surface.ask("operation.cancel", operation_id=operation["id"]))
    world.cloud.restart(effects=False)      # what never ends would never be taken back
    record = world.daemon.ended(operation)
    assert (record["status"], record["error_code"]) == ("cancelled", "CONFLICT")
    with pytest.raises(Refused) as refused:
        surface.ask("operation.cancel", operation_id=operation["id"])
    assert refused.value.word == "CONFLICT"


def admin_force_sync(world, surface):
    volume, _ = world.attached()
    assert shapes.check_sync(surface.ask("admin.force-sync"))["drift"] == []
    world.cloud.detach_behind(volume)
    report = shapes.check_sync(surface.ask("admin.force-sync", dry_run=True))
    assert [d["volume_id"] for d in report["failed"]] == [volume] and report["dry_run"]
    report = shapes.check_sync(surface.ask("admin.force-sync", dry_run=False))
    assert [d["kind"] for d in report["repaired"]] == ["detached-outside"]


def admin_pause(world, surface):
    shapes.MESSAGE.check(surface.ask("admin.pause", reason="the storage is moved"))
    for restarted in (False, True):
        with pytest.raises(Refused, match="the storage is moved") as refused:
            surface.ask("volume.attach", volume_id=world.volume(), vm_id=cloudsim.APPLIANCE_VM)
        assert refused.value.word == "SERVICE_UNAVAILABLE"
        health = shapes.HEALTH.check(surface.ask("health.get"))
        assert (health["status"], health["details"]["paused"]) == ("degraded", "the storage is moved")
        if not restarted:
            world.daemon.stop()
            world.daemon.start()


def admin_resume(world, surface):
    surface.ask("admin.pause", reason="a moment")
    shapes.MESSAGE.check(surface.ask("admin.resume"))
    shapes.MESSAGE.check(surface.ask("admin.resume", reason="it is over"))
    volume_attach(world, surface)


def admin_reload(world, surface):
    report = shapes.RELOAD.check(surface.ask("admin.reload"))["report"]
    assert (report["changed"], report["needs_restart"]) == ([], [])
    world.daemon.configure(reconcile={"interval": "2min"}, device={"probe_timeout": "31s"})
    report = shapes.RELOAD.check(surface.ask("admin.reload"))["report"]
    assert (report["changed"], report["needs_restart"]) == (["reconcile.interval"], ["device.probe_timeout"])
    world.daemon.configure(reconcile={"interval": "soon"})
    with pytest.raises(Refused, match=r"volume-daemon\.conf:\d+: reconcile\.interval must be") as refused:
        surface.ask("admin.reload")
    assert refused.value.word == "CONFLICT"


def operation_resolve(world, surface):
    """An attachment whose disk does not come and which cannot be undone. In a pause the daemon repairs nothing."""
    world.cloud.set_faults([{"do": "no_plug", "command": "attachVolume"},
                            {"do": "job_fail", "code": 530, "command": "detachVolume", "times": 0}])
    volume = world.volume()
    begun = world.daemon.attach(volume)
    surface.ask("admin.pause", reason="a look")
    world.cloud.wait_request("attachVolume")
    world.daemon.rest("POST", f"/api/v1/operations/{begun['id']}/cancel")
    record = shapes.check_ended(world.daemon.ended(begun))
    assert record["needs_attention"], record
    with pytest.raises(Refused, match="not undone") as refused:
        surface.ask("operation.resolve", **{"operation_id": record["id"], "as": "undone"})
    assert refused.value.word == "CONFLICT"
    world.cloud.detach_behind(volume)
    settled = shapes.OPERATION.check(
        surface.ask("operation.resolve", **{"operation_id": record["id"], "as": "undone"}))
    assert settled["status"] == record["status"] and not settled.get("needs_attention")
    assert "settled" in settled["error"]


def volume_forget(world, surface):
    volume, _ = world.attached()
    with pytest.raises(Refused) as refused:
        surface.ask("volume.forget", volume_id=volume)
    assert refused.value.word == "CONFLICT"
    surface.ask("admin.pause", reason="a look")
    world.cloud.detach_behind(volume)
    shapes.MESSAGE.check(surface.ask("volume.forget", volume_id=volume))
    assert world.daemon.get("/api/v1/mappings")["mappings"] == []


def health_get(world, surface):
    health = shapes.HEALTH.check(surface.ask("health.get"))
    assert health["status"] == health["cloudstack_health"] == "healthy"
    assert health["details"]["appliance_id"] == cloudsim.APPLIANCE_VM
    assert health["details"]["device_count"] == 1


def take(world, surface, volume, **more):
    record = surface.completed("volume.snapshot", volume_id=volume, **more)
    assert (record["type"], record["volume_id"]) == ("snapshot", volume)
    return record["response"]


def volume_snapshot(world, surface):
    volume, _ = world.attached()
    taken = take(world, surface, volume, name="before the upgrade")
    assert taken["name"].startswith("before the upgrade-op-")
    assert take(world, surface, volume)["name"].startswith("snapshot-op-")
    (first, second) = world.cloud.state()["snapshots"]
    assert (first["id"], first["volume"], first["state"]) == (taken["snapshot_id"], volume, "BackedUp")
    fresh = world.volume(state="Allocated")
    record = surface.done("volume.snapshot", volume_id=fresh)
    assert (record["status"], record["error_code"]) == ("failed", "CONFLICT")
    assert "never attached" in record["error"]
    record = surface.done("volume.snapshot", volume_id=NOBODY)
    assert (record["status"], record["error_code"]) == ("failed", "NOT_FOUND")


def volume_snapshots(world, surface):
    volume = world.volume(2)
    assert surface.ask("volume.snapshots", volume_id=volume) == []
    kept = world.cloud.put_snapshot(volume)
    (shown,) = shapes.VOLUME_SNAPSHOT.check_all(surface.ask("volume.snapshots", volume_id=volume))
    assert (shown["id"], shown["volume_id"], shown["name"], shown["state"], shown["size"]) == \
        (kept["id"], volume, "before", "BackedUp", 2 * cloudsim.GIB)
    with pytest.raises(Refused) as refused:
        surface.ask("volume.snapshots", volume_id=NOBODY)
    assert refused.value.word == "NOT_FOUND"


def volume_revert(world, surface):
    volume, _ = world.attached()
    kept = world.cloud.put_snapshot(volume)["id"]
    record = surface.done("volume.revert", id=kept)
    assert (record["status"], record["error_reason"]) == ("failed", "vm_running")
    world.daemon.completed(world.daemon.detach(volume))
    record = surface.completed("volume.revert", id=kept)
    assert (record["type"], record["volume_id"], record["response"]["snapshot_id"]) == \
        ("revert", volume, kept)
    with pytest.raises(Refused) as refused:
        surface.ask("volume.revert", id=NOBODY)
    assert refused.value.word == "NOT_FOUND"


def volume_delete_snapshot(world, surface):
    volume = world.volume()
    kept = world.cloud.put_snapshot(volume)["id"]
    record = surface.completed("volume.delete-snapshot", id=kept)
    assert (record["type"], record["volume_id"]) == ("delete-snapshot", volume)
    assert surface.ask("volume.snapshots", volume_id=volume) == []
    with pytest.raises(Refused) as refused:
        surface.ask("volume.delete-snapshot", id=kept)
    assert refused.value.word == "NOT_FOUND"


def track(surface, volume, **more):
    return shapes.TRACKED.check(surface.ask("snapshot.track", volume_uuid=volume, vm_context_id="ctx-db1",
                                            snapshot_id="snap-1", **more))


def snapshot_track(world, surface):
    volume, path = world.attached()
    assert track(surface, volume, snapshot_name="before")["volume_uuid"] == volume
    (kept,) = shapes.SNAPSHOT.check_all(surface.ask("snapshot.list", vm_context_id="ctx-db1"))
    assert (kept["volume_uuid"], kept["snapshot_id"], kept["snapshot_status"], kept["device_path"]) == \
        (volume, "snap-1", "ready", path)
    with pytest.raises(Refused) as refused:
        track(surface, NOBODY)
    assert refused.value.word == "NOT_FOUND"


def snapshot_list(world, surface):
    """What is kept outlives the attachment and the daemon, and ends with the volume."""
    assert surface.ask("snapshot.list", vm_context_id="ctx-db1") == []
    volume, _ = world.attached()
    track(surface, volume)
    world.daemon.completed(world.daemon.detach(volume))
    before = surface.ask("snapshot.list", vm_context_id="ctx-db1")
    assert [s["volume_uuid"] for s in before] == [volume] and before[0]["device_path"] == ""
    world.daemon.stop()
    world.daemon.start().wait_healthy()
    assert surface.ask("snapshot.list", vm_context_id="ctx-db1") == before
    world.daemon.completed(world.daemon.delete(volume))
    assert surface.ask("snapshot.list", vm_context_id="ctx-db1") == []


def snapshot_update(world, surface):
    volume, _ = world.attached()
    track(surface, volume)
    before = surface.ask("snapshot.list", vm_context_id="ctx-db1")[0]
    shapes.UPDATED.check(surface.ask("snapshot.update", id=volume, snapshot_status="rollback_complete"))
    after = surface.ask("snapshot.list", vm_context_id="ctx-db1")[0]
    assert after == before | {"snapshot_status": "rollback_complete", "updated_at": after["updated_at"]}


def snapshot_untrack(world, surface):
    volumes = {world.attached()[0], world.attached()[0]}
    for volume in volumes:
        track(surface, volume)
    other, _ = world.attached()
    surface.ask("snapshot.track", volume_uuid=other, vm_context_id="ctx-other", snapshot_id="snap-2")
    done = shapes.UNTRACKED.check(surface.ask("snapshot.untrack", vm_context_id="ctx-db1"))
    assert (done["vm_context_id"], done["snapshots_cleared"]) == ("ctx-db1", 2)
    assert surface.ask("snapshot.list", vm_context_id="ctx-db1") == []
    assert len(surface.ask("snapshot.list", vm_context_id="ctx-other")) == 1
    assert surface.ask("snapshot.untrack", vm_context_id="ctx-db1")["snapshots_cleared"] == 0


def metrics_get(world, surface):
    volume, _ = world.attached()
    world.daemon.failed(world.daemon.attach(volume))
    metrics = shapes.METRICS.check(surface.ask("metrics.get"))
    assert (metrics["total_operations"], metrics["active_mappings"]) == (2, 1)
    assert metrics["operations_by_type"]["attach"] == 2
    assert {word: n for word, n in metrics["operations_by_status"].items() if n} == {"completed": 1, "failed": 1}
    assert metrics["error_rate_percent"] == 50 and metrics["average_response_time_ms"] > 0


def test_metrics_survive_a_restart(world):
    volume, _ = world.attached()
    before = world.daemon.get("/api/v1/metrics")
    world.daemon.stop()
    world.daemon.start()
    after = shapes.METRICS.check(world.daemon.get("/api/v1/metrics"))
    counted = [name for name in before if name not in ("timestamp", "details")]
    assert [after[name] for name in counted] == [before[name] for name in counted]
    assert before["total_operations"] == 1


def store_plan(world, surface):
    plan = shapes.STORE_PLAN.check(surface.ask("store.plan"))
    assert (plan["state"], plan["report"]) == ("current", {"operations": []})


def token_create(world, surface):
    made = shapes.NEW_TOKEN.check(surface.ask("token.create", name="ci", scope="change"))
    assert (made["name"], made["scope"]) == ("ci", "change")
    assert world.daemon.rest("GET", "/api/v1/operations", headers={
        "Authorization": f"Bearer {made['token']}"}).status == 200
    with pytest.raises(Refused) as refused:
        surface.ask("token.create", name="ci")
    assert refused.value.word == "CONFLICT"
    for name in ("a b", ".a", "x" * 65, "a/b"):
        with pytest.raises(Refused) as refused:
            surface.ask("token.create", name=name)
        assert refused.value.word in ("INVALID_REQUEST", "exit code 2")
    assert surface.ask("token.create", name="reader")["scope"] == "read"


def token_list(world, surface):
    assert surface.ask("token.list") == []
    for name in ("b", "a"):
        surface.ask("token.create", name=name, scope="admin")
    tokens = shapes.TOKEN.check_all(surface.ask("token.list"))
    assert [(token["name"], token["scope"]) for token in tokens] == [("a", "admin"), ("b", "admin")]


def token_revoke(world, surface):
    with pytest.raises(Refused) as refused:
        surface.ask("token.revoke", name="ci")
    assert refused.value.word == "NOT_FOUND"
    token = surface.ask("token.create", name="ci")["token"]
    shapes.MESSAGE.check(surface.ask("token.revoke", name="ci"))
    assert surface.ask("token.list") == []
    assert world.daemon.rest("GET", "/api/v1/operations", headers={
        "Authorization": f"Bearer {token}"}).status == 401


def store_accept(world, surface):
    with pytest.raises(Refused) as refused:
        surface.ask("store.accept")
    assert refused.value.word == "CONFLICT"
    world.daemon.stop()
    world.daemon.configure(appliance={"vm_id": cloudsim.OTHER_VM})
    world.daemon.start()
    assert shapes.STORE_PLAN.check(surface.ask("store.plan"))["state"] == "past"
    shapes.MESSAGE.check(surface.ask("store.accept"))
    assert surface.ask("store.plan")["state"] == "current"


def served(world):
    """A volume that is served, in a world that serves volumes from now on."""
    world.daemon.stop()
    world.daemon.configure(export={"engine": "qemu-storage-daemon"})
    world.daemon.start().wait_healthy()
    return world.attached()[0]


def export_create(world, surface):
    volume = served(world)
    surface.ask("export.delete", volume_id=volume)
    made = shapes.EXPORT.check(surface.ask("export.create", volume_id=volume, vm_name="db1"))
    assert (made["volume_id"], made["status"], made["vm_name"]) == (volume, "active", "db1")
    again = surface.ask("export.create", volume_id=volume, vm_id="vm-143", disk_number=2, metadata={"job": "7"})
    assert again == made | {"vm_id": "vm-143", "disk_number": 2, "metadata": {"job": "7"},
                            "updated_at": again["updated_at"]}


def export_list(world, surface):
    assert surface.ask("export.list") == []
    volume = served(world)
    found = shapes.EXPORT.check_all(surface.ask("export.list", status="active"))
    assert [e["volume_id"] for e in found] == [volume]
    assert surface.ask("export.list", volume_id=NOBODY) == []
    surface.ask("export.create", volume_id=volume, vm_name="db1")
    assert [e["volume_id"] for e in surface.ask("export.list", vm_name="db1")] == [volume]
    assert surface.ask("export.list", vm_name="db2") == []


def export_get(world, surface):
    volume = served(world)
    export = shapes.EXPORT.check(surface.ask("export.get", volume_id=volume))
    assert export["export_name"] == f"migration-vol-{volume}"
    assert export["clients"] == {"addresses": [], "certain": True}


def export_delete(world, surface):
    volume = served(world)
    surface.ask("export.delete", volume_id=volume, force=True)
    with pytest.raises(Refused) as refused:
        surface.ask("export.get", volume_id=volume)
    assert refused.value.word == "NOT_FOUND"


def export_validate(world, surface):
    served(world)
    assert shapes.check_validation(surface.ask("export.validate")) == []


def export_cleanup(world, surface):
    served(world)
    report = shapes.check_cleanup(surface.ask("export.cleanup", dry_run=True))
    assert (report["checked"], report["orphaned"], report["dry_run"]) == (1, [], True)


def export_cleanup_age(world, surface):
    served(world)
    report = shapes.check_cleanup(surface.ask("export.cleanup-age", max_age_hours=24))
    assert (report["checked"], report["orphaned"], report["dry_run"]) == (1, [], True)


def export_orphans(world, surface):
    served(world)
    orphans = shapes.ORPHANS.check(surface.ask("export.orphans"))
    assert orphans["orphaned_exports_count"] == 0


def store_backup(world, surface):
    """volumectl asks over the bus: busctl cannot hand over a file."""
    if stores.KIND == "sqlite":
        shapes.BACKUP.check(world.daemon.ctl_json("store", "backup", world.folder / "backup"))
    else:
        assert "mariadb-dump" in world.daemon.ctl("store", "backup", world.folder / "backup").stderr
    surface.answered.add("store.backup")


def volume_open(world, surface):
    """volumectl asks over the bus: busctl cannot take a file over."""
    volume, path = world.attached()
    with real_disk(world, path):
        assert world.daemon.ctl("open", volume, "--", "true").returncode == 0
    surface.answered.add("volume.open")


def plan_get(world, surface):
    """What a plan says is in test_plans.py."""
    plan = world.bus.manager("GetPlan", "sa{sv}", "DeleteVolume", 1, "volume_id", "s", world.volume())
    assert plan["would"] and plan["refused_by"] == []
    surface.answered.add("plan.get")


def store_check(world, surface):
    report = shapes.STORE_CHECK.check(surface.ask("store.check"))
    assert report["faults"] == 0 and report["report"] == {"faults": []}


@pytest.mark.parametrize("surface, name", [
    (surface, name) for name in methods() for surface in SURFACES
    if surface == "bus" or name in on_every_surface()], indirect=["surface"])
def test_every_method(world, surface, name):
    globals()[name.replace(".", "_").replace("-", "_")](world, surface)
    assert name in surface.answered


GOOD = {"s": NOBODY, "t": cloudsim.GIB, "a{sv}": 0}
BAD = {"s": "", "t": 0}     # a text that must be given, a size below all limits


def good_value(name, kind):
    return "DeleteVolume" if name == "method" else GOOD[kind]


def bad_calls(arguments):
    """What is wrong with each call, and its signature and arguments as busctl takes them."""
    signature = "".join(kind for _, kind in arguments)
    good = [good_value(name, kind) for name, kind in arguments]
    for number, (name, kind) in enumerate(arguments):
        if kind == "a{sv}":
            yield "colour", signature, [*good[:number], 1, "colour", "s", "red"]
        else:
            yield name, signature, [*good[:number], BAD[kind], *good[number + 1:]]
    yield None, signature + "s", [*good, "more"]


# busctl hands over no open file; test_backup.py does.
@pytest.mark.parametrize("name", sorted(methods().keys() - {"store.backup"}))
def test_every_method_refuses_bad_calls(shared_world, name):
    """On the bus: each argument, an option that there is not, an argument too many, and a caller
    without the right to call."""
    member = methods()[name].member
    arguments = bus_arguments("Manager", member)
    before = shared_world.daemon.get("/api/v1/operations")
    for field, signature, words in bad_calls(arguments):
        with pytest.raises(BusError) as refused:
            shared_world.bus.manager(member, signature, *words)
        if field:
            assert refused.value.word == "InvalidRequest" and field in refused.value.text, refused.value
        else:
            assert refused.value.name == "org.freedesktop.DBus.Error.InvalidArgs"
    if os.getuid() == 0:    # only root can ask as somebody else
        with pytest.raises(BusError) as refused:
            shared_world.bus.manager(member, "".join(kind for _, kind in arguments),
                                     *(good_value(*argument) for argument in arguments), user=65534)
        assert refused.value.word == "Forbidden", refused.value
    assert shared_world.daemon.get("/api/v1/operations") == before


def test_surfaces_have_the_tables_methods(world):
    """A method of a surface that is not in the table would not be tested above."""
    xml = ElementTree.fromstring(interface("Manager"))
    assert {m.get("name") for m in xml.iter("method")} == {m.member for m in methods().values()}
    for word in ("Volume", "Operation", "Export"):
        xml = ElementTree.fromstring(interface(word))
        assert {m.get("name") for m in xml.iter("method")} == \
            {m.object_member for m in methods().values()
             if m.scope == word.upper() and m.object_member}
    text = world.daemon.ctl("help").stdout.split("Commands:\n")[1].split("\n\n")[0]
    assert {line.split()[0] for line in text.splitlines()} == \
        {m.command for m in on_every_surface().values()} | commands_without_a_method()
    for method in on_every_surface().values():
        answer = world.daemon.rest("OPTIONS", method.path.replace("{", "").replace("}", ""))
        assert method.verb in answer.headers["Allow"], method


# ---- methods on objects ----

def test_methods_of_a_volumes_own_object(world):
    bus = SURFACES["bus"](world)
    try:
        volume = bus.completed("volume.create", name="data", size=cloudsim.GIB,
                               disk_offering_id=cloudsim.OFFERING_CUSTOM,
                               zone_id=cloudsim.ZONE)["volume_id"]
        seen = []
        for name, arguments in (("volume.attach", {"vm_id": cloudsim.APPLIANCE_VM}),
                                ("volume.resize", {"size": 2 * cloudsim.GIB}),
                                ("volume.snapshot", {}), ("volume.detach", {}), ("volume.delete", {})):
            path = bus.on_object(name, volume, **arguments)
            record = next(o for o in world.daemon.get("/api/v1/operations")
                          if object_path("operation", o["id"]) == path)
            assert world.daemon.completed(record)["volume_id"] == volume
            seen.append(record["type"])
        assert seen == ["attach", "resize", "snapshot", "detach", "delete"]
    finally:
        bus.close()


def test_cancel_on_an_operations_own_object(world):
    world.cloud.set(job_delay=3600)
    operation = world.daemon.attach(world.volume())
    world.cloud.wait_request("queryAsyncJobResult")
    bus = SURFACES["bus"](world)
    try:
        bus.on_object("operation.cancel", operation["id"])
    finally:
        bus.close()
    world.cloud.restart(effects=False)
    assert world.daemon.ended(operation)["status"] == "cancelled"
