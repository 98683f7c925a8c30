# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs written for the earlier daemon go on unchanged: each test is one of their ways to use it."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import cloudsim
import pytest
from cloudsim import APPLIANCE_VM, GIB, OFFERING_CUSTOM, OTHER_VM, ZONE
from support.py import earlier
from support.py.nbd import NBDClient
from support.py.waiting import DEADLINE, eventually

from .callers import POLL_PAUSE, CallError, VolumeClient

NOBODY = "00000000-0000-4000-8000-000000000000"


def test_a_migration(world, client):
    """Create, attach, and at once the export, once; then all is taken down again."""
    volume = client.completed(client.create_volume, "web-disk-0", 2 * GIB, OFFERING_CUSTOM, ZONE)["volume_id"]
    attached = client.completed(client.attach_volume, volume, APPLIANCE_VM)
    world.assert_is(attached["device_path"], volume)
    export = client.get_nbd_export(volume)
    assert (export["export_name"], export["status"]) == (f"migration-vol-{volume}", "active")
    assert export["device_path"]
    with NBDClient(f"nbd://127.0.0.1:{export['port']}/{export['export_name']}") as nbd:
        nbd.write(7)
    device = client.get_volume_device(volume)
    assert device["volume_id"] == device["volume_uuid"] == volume
    assert device["device_path"] == attached["device_path"]
    assert client.completed(client.detach_volume, volume)["volume_id"] == volume
    assert client.get_nbd_export(volume) is None
    client.completed(client.delete_volume, volume)
    assert world.data_volumes() == []


def test_a_wait_with_the_client_s_own_pauses(world):
    client = VolumeClient(world.daemon.port, POLL_PAUSE)
    client.completed(client.attach_volume, world.volume(), APPLIANCE_VM)


def test_a_wait_sees_through_a_restart(world, client):
    """Errors of a poll are swallowed, and the same operation is asked for again."""
    world.cloud.set(job_delay=3600)
    volume = world.volume()
    operation = client.attach_volume(volume, APPLIANCE_VM)
    world.await_jobs("attachVolume")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.wait_for_completion, operation)
        world.daemon.stop()
        world.daemon.configure(http={"listen": f"127.0.0.1:{client.port}"})
        world.cloud.restart()
        world.cloud.attach_behind(volume, vm=APPLIANCE_VM)
        world.daemon.start()
        assert waiting.result(DEADLINE)["device_path"]


def test_the_context_of_an_attach_is_taken(world, client):
    volume = world.volume()
    client.completed(lambda: client.attach_volume(volume, APPLIANCE_VM, vm_name="web", disk_id="disk-2000",
                                                  request_persistent_name=True))
    assert client.get_volume_device(volume)["device_path"]


def test_failed_execution_cleanup(world, client):
    """Detach and attach one after the other, with no wait in between: both succeed."""
    volume = world.volume()
    client.completed(client.attach_volume, volume, OTHER_VM)
    operations = [client.detach_volume(volume), client.attach_volume(volume, APPLIANCE_VM)]
    for operation in operations:
        client.wait_for_completion(operation, 60)
    world.assert_is(client.get_volume_device(volume)["device_path"], volume)


def test_the_disks_of_a_test_vm_come_back(world, client):
    """Whatever is listed is detached and attached to the appliance: no root disk may be."""
    volumes = [world.volume(), world.volume()]
    for volume in volumes:
        client.completed(client.attach_volume, volume, OTHER_VM)
    eventually(lambda: len(client.list_volumes(OTHER_VM)) == 2, "the list")
    listed = client.list_volumes(OTHER_VM)
    assert {v["volume_id"] for v in listed} == set(volumes)
    for row in listed:
        assert row["vm_id"] == OTHER_VM and row["device_path"].startswith("remote-vm-") and row["attached_at"]
    operations = [begin for row in listed for begin in
                  (client.detach_volume(row["volume_id"]), client.attach_volume(row["volume_id"], APPLIANCE_VM))]
    for operation in operations:
        client.wait_for_completion(operation)
    assert client.list_volumes(OTHER_VM) == []
    assert world.cloud.world.root_volume(OTHER_VM).vm == OTHER_VM


def test_a_failover(world, client):
    """The volume leaves the appliance, becomes the root disk of another VM, and comes back."""
    volume, vm = world.volume(), world.rootless_vm()
    client.completed(client.attach_volume, volume, APPLIANCE_VM)
    client.completed(client.detach_volume, volume)
    response = client.completed(client.attach_volume_as_root, volume, vm)
    assert (response["volume_id"], response["vm_id"], response["device_id"]) == (volume, vm, 0)
    assert client.get_nbd_export(volume) is None
    client.completed(client.detach_volume, volume)
    client.completed(client.attach_volume, volume, APPLIANCE_VM)
    assert client.get_nbd_export(volume)["status"] == "active"


def test_the_cleanup_of_a_failover_test(world, client):
    """The VM is stopped and the volume comes back; without the permission to expunge, the VM stays."""
    volume = world.volume()
    client.completed(client.attach_volume, volume, OTHER_VM)
    response = client.completed(client.cleanup_test_failover, volume, OTHER_VM, APPLIANCE_VM)
    assert (response["test_vm_id"], response["volume_id"], response["oma_vm_id"], response["vm_deleted"]) == \
        (OTHER_VM, volume, APPLIANCE_VM, False)
    world.assert_is(response["device_path"], volume)
    assert client.get_nbd_export(volume)["status"] == "active"


def test_exports_by_name(world, client):
    """The export that came with the attachment gets the program's names."""
    volume = world.volume()
    client.completed(client.attach_volume, volume, APPLIANCE_VM)
    export = client.create_nbd_export(volume, "web", "vm-143", 1)
    assert (export["export_name"], export["vm_id"], export["disk_number"]) == (f"migration-vol-{volume}", "vm-143", 1)
    status, found = client.call("GET", "/api/v1/exports?vm_name=web&status=active")
    assert (status, found["count"], found["exports"][0]["volume_id"]) == (200, 1, volume)
    for _ in range(2):
        client.delete_nbd_export(volume)
    assert client.get_nbd_export(volume) is None


def test_snapshots_of_all_disks_of_a_vm(world, client):
    """Told while the volumes are here, needed when they are elsewhere."""
    context = earlier.CONTEXT
    volumes = [world.volume(), world.volume()]
    assert client.snapshots("ctx-none") == {"vm_context_id": "ctx-none", "snapshots": [], "count": 0}
    for number, volume in enumerate(volumes):
        client.completed(client.attach_volume, volume, APPLIANCE_VM)
        told = client.track_snapshot(volume, context, f"snap-{number}")
        assert told["snapshot_id"] == f"snap-{number}" and told["volume_uuid"] == volume
    kept = client.snapshots(context)
    assert kept["count"] == 2
    by_volume = {row["volume_uuid"]: row for row in kept["snapshots"]}
    for number, volume in enumerate(volumes):
        row = by_volume[volume]
        assert (row["snapshot_id"], row["snapshot_status"]) == (f"snap-{number}", "ready")
        assert row["device_path"] == client.get_volume_device(volume)["device_path"]
    client.completed(client.detach_volume, volumes[0])
    client.update_snapshot(volumes[0], "rollback_complete")
    rows = {row["volume_uuid"]: row for row in client.snapshots(context)["snapshots"]}
    assert rows[volumes[0]]["snapshot_status"] == "rollback_complete"
    assert rows[volumes[0]]["snapshot_id"] == "snap-0"
    assert client.clear_snapshots(context)["snapshots_cleared"] == 2
    assert client.snapshots(context)["snapshots"] == []


def test_errors_have_their_parts(world, client):
    with pytest.raises(CallError) as refused:
        client.get_volume_device(NOBODY)
    assert (refused.value.status, refused.value.code) == (404, "NOT_FOUND") and refused.value.error
    with pytest.raises(CallError) as refused:
        client.get_operation(NOBODY)
    assert refused.value.status == 404
    with pytest.raises(CallError) as refused:
        client.create_volume("x", 1, OFFERING_CUSTOM, ZONE)
    assert (refused.value.status, refused.value.details) == (400, {"field": "size"})
    operation = client.attach_volume(NOBODY, APPLIANCE_VM)
    with pytest.raises(AssertionError, match=NOBODY):
        client.wait_for_completion(operation, 60)


def test_health_and_metrics(world, client):
    client.health_check()
    assert client.call("GET", "/api/v1/health")[0] == 200
    assert client.call("GET", "/api/v1/health")[1]["details"]["implementation_status"] == "complete"
    client.completed(client.attach_volume, world.volume(), APPLIANCE_VM)
    status, metrics = client.call("GET", "/api/v1/metrics")
    assert (status, metrics["operations_by_type"]["attach"]) == (200, 1)
    assert client.call("GET", "/api/v1/operations?status=pending") == (200, [])


SCRIPT = """
set -e
id=$(curl -s -X POST "$1/api/v1/volumes/$2/detach" | jq -r .id)
for _ in $(seq 200); do
  status=$(curl -s "$1/api/v1/operations/$id" | jq -r .status)
  [ "$status" = completed ] && exit 0
  [ "$status" = failed ] && exit 1
  sleep 0.1
done
exit 2
"""


def test_a_shell_script(world, client):
    volume = world.volume()
    client.completed(client.attach_volume, volume, APPLIANCE_VM)
    done = subprocess.run(["sh", "-c", SCRIPT, "sh", f"http://localhost:{client.port}", volume],
                          capture_output=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done
    assert world.cloud.volume(volume)["vm"] is None


# ---- SQL beside the API ----

def test_sql_of_the_hub(hub):
    """Reads and writes of the tables while the daemon runs."""
    client, store, volume = VolumeClient(hub.daemon.port), hub.daemon.store, hub.volume_before
    eventually(lambda: client.get_nbd_export(volume)["status"] == "active", "the export")
    path = client.get_volume_device(volume)["device_path"]
    hub.assert_is(path, volume)
    assert store.rows(f"SELECT device_path FROM device_mappings WHERE volume_uuid = '{volume}'") == [[path]]
    assert store.rows(f"SELECT m.device_path FROM ossea_volumes v JOIN device_mappings m ON m.volume_uuid = v.volume_id "
                      f"WHERE v.vm_context_id = '{earlier.CONTEXT}'") == [[path]]
    store.rows(f"INSERT INTO vm_disks (job_id, vm_context_id, disk_id) VALUES ('job-web', '{earlier.CONTEXT}', 'd'); "
               f"UPDATE nbd_exports SET vm_disk_id = 1 WHERE volume_id = '{volume}'; "
               f"UPDATE device_mappings SET operation_mode = 'failover' WHERE vm_context_id = '{earlier.CONTEXT}'")
    new = client.completed(client.create_volume, "web-disk-1", GIB, OFFERING_CUSTOM, ZONE)["volume_id"]
    client.completed(client.attach_volume, new, APPLIANCE_VM)
    client.completed(client.detach_volume, volume)
    client.completed(client.attach_volume, volume, OTHER_VM)
    assert client.get_volume_device(volume)["device_path"].startswith("remote-vm-")
    assert [row["volume_id"] for row in client.list_volumes(cloudsim.APPLIANCE_VM)] == [new]


def test_snapshots_in_the_columns_of_the_hub(hub):
    """They show what is kept, again after each attachment; a value from before is kept first."""
    client, store, volume = VolumeClient(hub.daemon.port), hub.daemon.store, hub.volume_before
    context = earlier.CONTEXT

    def columns():
        return store.rows(f"SELECT ossea_snapshot_id, snapshot_status, snapshot_created_at IS NULL "
                          f"FROM device_mappings WHERE volume_uuid = '{volume}'")

    (row,) = client.snapshots(context)["snapshots"]
    assert (row["volume_uuid"], row["snapshot_id"], row["snapshot_status"]) == (volume, "snap-7", "ready")
    client.update_snapshot(volume, "rollback_complete")
    assert columns() == [["snap-7", "rollback_complete", "1"]]
    client.track_snapshot(volume, context, "snap-8")
    assert columns() == [["snap-8", "ready", "0"]]
    client.completed(client.detach_volume, volume)
    assert columns() == []
    client.completed(client.attach_volume, volume, APPLIANCE_VM)
    assert columns() == [["snap-8", "ready", "0"]]
    assert client.clear_snapshots(context)["snapshots_cleared"] == 1
    assert columns() == [["NULL", "none", "1"]]
    hub.daemon.stop()
    hub.daemon.start().wait_healthy()
    assert VolumeClient(hub.daemon.port).snapshots(context)["snapshots"] == []
