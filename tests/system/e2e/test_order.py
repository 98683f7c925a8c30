# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who goes first.

Operations on one volume queue in the order they were asked for, and whether one is allowed is
decided when its turn comes, not when it is asked: a client may send a detach and an attach back to
back. Operations on volumes of different machines do not wait for each other.
"""

from cloudsim import APPLIANCE_VM, OTHER_VM
from support.py import shapes
from support.py.harness import FINAL
from support.py.stores import any_store, each_store

pytestmark = any_store

FOREVER = 3600.0


def test_detach_and_attach_back_to_back_both_succeed(world):
    volume, _ = world.attached()
    detach, attach = world.daemon.detach(volume), world.daemon.attach(volume)
    first, second = world.daemon.completed(detach), world.daemon.completed(attach)
    assert first["completed_at"] <= second["completed_at"]
    world.assert_is(second["response"]["device_path"], volume)
    asked = [r["command"] for r in world.cloud.requests() if r["params"].get("id") == volume]
    assert [c for c in asked if c.startswith(("attach", "detach"))] == \
        ["attachVolume", "detachVolume", "attachVolume"]


def test_a_chain_of_everything_sent_at_once(world):
    volume = world.volume()
    operations = []
    for vm in (APPLIANCE_VM, OTHER_VM, APPLIANCE_VM):
        operations += [world.daemon.attach(volume, vm), world.daemon.detach(volume)]
    operations.append(world.daemon.delete(volume))
    records = [world.daemon.completed(operation) for operation in operations]
    assert [r["completed_at"] for r in records] == sorted(r["completed_at"] for r in records)
    assert world.data_volumes() == []


@each_store
def test_who_waits_is_seen_to_wait_and_is_judged_at_its_turn(world):
    world.cloud.set(job_delay=FOREVER)
    volume = world.volume()
    first = world.daemon.attach(volume)
    world.cloud.wait_request("queryAsyncJobResult")
    second = world.daemon.attach(volume)        # accepted: it may be possible by then
    assert second["status"] == "pending"
    assert world.daemon.operation(second["id"])["status"] == "pending"
    assert world.daemon.operation(first["id"])["status"] == "executing"
    shown = world.daemon.get(f"/api/v1/volumes/{volume}")["last_operation"]
    assert (shown["id"], shown["status"]) == (second["id"], "pending")
    listed = world.daemon.get("/api/v1/operations?status=pending")
    assert [o["id"] for o in listed] == [second["id"]]

    world.cloud.restart()       # the job is lost, and the first fails: now the second may
    assert world.daemon.failed(first)
    world.await_jobs("attachVolume", 2)
    assert world.daemon.operation(second["id"])["status"] == "executing"
    world.cloud.restart()
    world.daemon.failed(second)


def test_a_second_attach_fails_at_its_turn(world):
    volume = world.volume()
    first, second = world.daemon.attach(volume), world.daemon.attach(volume, OTHER_VM)
    world.daemon.completed(first)
    record = shapes.check_ended(world.daemon.failed(second))
    assert record["error_code"] == "CONFLICT" and APPLIANCE_VM in record["error"]
    assert world.cloud.volume(volume)["vm"] == APPLIANCE_VM


def test_a_detach_of_what_is_not_attached_fails(world):
    record = shapes.check_ended(world.daemon.failed(world.daemon.detach(world.volume())))
    assert record["error_code"] == "CONFLICT" and "not attached" in record["error"]


def test_other_volumes_do_not_wait(world):
    slow, quick = world.volume(), world.volume()
    world.cloud.set_faults([{"do": "slow", "command": "attachVolume", "volume": slow,
                             "seconds": FOREVER}])
    waiting = world.daemon.attach(slow)
    world.cloud.wait_request("attachVolume")
    world.daemon.completed(world.daemon.attach(quick, OTHER_VM))
    assert world.daemon.operation(waiting["id"])["status"] not in FINAL


def test_one_who_waits_can_be_cancelled_and_the_next_moves_up(world):
    volume = world.volume()
    world.cloud.set(job_delay=FOREVER, plug_delay=FOREVER)
    first = world.daemon.attach(volume)
    world.cloud.wait_request("queryAsyncJobResult")
    second, third = world.daemon.attach(volume), world.daemon.delete(volume)
    answer = world.daemon.rest("POST", f"/api/v1/operations/{second['id']}/cancel")
    assert answer.status == 200, answer
    assert world.daemon.ended(second)["status"] == "cancelled"
    assert world.daemon.operation(third["id"])["status"] == "pending"
    world.cloud.set(job_delay=0)
    world.cloud.restart()
    world.daemon.failed(first)
    world.daemon.completed(third)
    asked = [r["params"]["id"] for r in world.cloud.requests() if r["command"] == "attachVolume"]
    assert asked == [volume]


def test_a_volume_others_work_on_is_waited_for(world):
    """CloudStack queues by machine, not by volume: two jobs on one volume can cross."""
    volume = world.volume()
    client = world.cloud.client()
    world.cloud.set_faults([{"do": "job_delay", "command": "updateVolume", "seconds": FOREVER}])
    client.call("updateVolume", id=volume, name="theirs")
    world.cloud.clear_requests()
    operation = world.daemon.attach(volume)
    world.cloud.wait_request("listVolumes", 2)
    assert not [r for r in world.cloud.requests() if r["command"] == "attachVolume"]
    world.cloud.restart()
    world.daemon.completed(operation)


def test_what_can_only_go_forward_is_not_cancelled(world):
    volume, _ = world.attached()
    world.cloud.set(job_delay=FOREVER)
    operation = world.daemon.detach(volume)
    world.await_jobs("detachVolume")
    answer = world.daemon.rest("POST", f"/api/v1/operations/{operation['id']}/cancel")
    assert answer.status == 409 and answer.json["code"] == "CONFLICT"
    world.cloud.restart()
    world.daemon.failed(operation)
