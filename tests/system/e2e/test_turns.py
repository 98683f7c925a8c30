# SPDX-License-Identifier: LGPL-2.1-or-later
"""One job a machine.

CloudStack makes the changes of a machine one after the other, and loses those that wait when it is
started anew. So they wait in the daemon, pending, in the order they were asked for; and no attach
and no detach of a volume is sent while an earlier job of that volume, whose ever it is, goes on.
"""

import os
import signal
import subprocess

import pytest

from cloudsim import APPLIANCE_VM, OTHER_VM
from support.py.harness import FINAL, NAME
from support.py.stores import any_store, each_store
from support.py.waiting import eventually

from .surfaces import object_path

pytestmark = any_store

FOREVER = 3600.0
OPERATION = f"{NAME}.Operation"


def jobs_of(world, vm):
    """Begin and end of each job of a machine, in the order of their begin."""
    with world.cloud.world.lock:
        return [(job.created, job.completed) for job in world.cloud.world.jobs.values()
                if job.work.vm == vm]


def assert_one_at_a_time(world, vm, count):
    jobs = jobs_of(world, vm)
    assert len(jobs) == count, jobs
    for (_, end), (begin, _) in zip(jobs, jobs[1:]):
        assert end is not None and end <= begin, jobs


def sent(world, *commands):
    """The volumes of these commands, in the order they came to CloudStack."""
    return [r["params"]["id"] for r in world.cloud.requests() if r["command"] in commands]


def await_waiting(world, operation, other):
    """The operation as it waits for another."""
    def waits():
        record = world.daemon.operation(operation["id"])
        return record if other["id"] in record.get("waits_for", "") else None

    record = eventually(waits, f"{operation['id']} waits for {other['id']}")
    assert record["status"] == "pending" and "step" not in record
    return record


def stuck(world, vm=OTHER_VM):
    """An attach whose job does not end before the cloud is hurried; and its volume."""
    world.cloud.set(job_delay=FOREVER)
    volume = world.volume()
    operation = world.daemon.attach(volume, vm)
    world.await_jobs("attachVolume", 1)
    world.cloud.set(job_delay=0.05)
    return operation, volume


def test_one_job_after_the_other(world):
    volumes = [world.volume() for _ in range(4)]
    begun = [world.daemon.attach(volume) for volume in volumes]
    ended = [world.daemon.completed(operation) for operation in begun]
    for record, volume in zip(ended, volumes):
        world.assert_is(record["response"]["device_path"], volume)
    assert sent(world, "attachVolume") == volumes
    begun = [world.daemon.resize(volumes[0], 2), world.daemon.detach(volumes[1]),
             world.daemon.delete(volumes[2]), world.daemon.detach(volumes[0])]
    for operation in begun:
        world.daemon.completed(operation)
    assert_one_at_a_time(world, APPLIANCE_VM, 8)


def test_machines_do_not_wait_for_each_other(world):
    first, _ = stuck(world)
    second = world.daemon.attach(world.volume(), OTHER_VM)
    await_waiting(world, second, first)
    volume, _ = world.attached()
    world.daemon.completed(world.daemon.create())
    world.daemon.completed(world.daemon.detach(volume))
    world.daemon.completed(world.daemon.delete(volume))
    await_waiting(world, second, first)
    world.cloud.hurry()
    world.daemon.completed(first)
    world.daemon.completed(second)
    assert_one_at_a_time(world, OTHER_VM, 2)


def test_every_surface_says_what_is_waited_for(world):
    with world.monitor() as monitor:
        first, _ = stuck(world)
        second = world.daemon.attach(world.volume(), OTHER_VM)
        text = f"operation {first['id']} on the same VM"
        path = object_path("operation", second["id"])
        monitor.wait_shown(path, WaitsFor=text)
        assert await_waiting(world, second, first)["waits_for"] == text
        assert [o["waits_for"] for o in world.daemon.get("/api/v1/operations?status=pending")] == \
            [text]
        done = subprocess.run(["busctl", "get-property", NAME, path, OPERATION, "WaitsFor"],
                              env=world.bus.environment, capture_output=True, text=True, check=True)
        assert done.stdout == f's "{text}"\n'
        with world.daemon.ctl_start("wait", second["id"]) as waiting:
            waiting.err.wait(lambda line: line.endswith(f": pending; waits: {text}"))
            world.cloud.hurry()
            world.daemon.completed(second)
            assert waiting.wait() == 0
        monitor.wait_changed(path, WaitsFor="")
    assert "waits_for" not in world.daemon.operation(second["id"])


def test_the_volume_is_waited_for_first(world):
    """A detach behind an attach of the same volume waits for that, and for the machine's turn when
    it comes: behind what was asked for before."""
    first, volume = stuck(world)
    other = world.daemon.attach(world.volume(), OTHER_VM)
    detach = world.daemon.detach(volume)
    await_waiting(world, other, first)
    record = await_waiting(world, detach, first)
    assert record["waits_for"] == f"operation {first['id']} on the same volume"
    world.cloud.hurry()
    ended = [world.daemon.completed(operation) for operation in (first, other, detach)]
    assert [r["completed_at"] for r in ended] == sorted(r["completed_at"] for r in ended)
    assert_one_at_a_time(world, OTHER_VM, 3)


def test_what_waits_is_cancelled_at_once(world):
    first, _ = stuck(world)
    volumes = [world.volume(), world.volume()]
    second, third = [world.daemon.attach(volume, OTHER_VM) for volume in volumes]
    await_waiting(world, third, second)
    answer = world.daemon.rest("POST", f"/api/v1/operations/{second['id']}/cancel")
    assert (answer.status, answer.json["status"]) == (200, "cancelled")
    await_waiting(world, third, first)
    world.cloud.hurry()
    world.daemon.completed(third)
    assert volumes[0] not in sent(world, "attachVolume", "detachVolume")


@each_store
def test_the_order_survives_a_kill(world):
    first, _ = stuck(world)
    second, third = [world.daemon.attach(world.volume(), OTHER_VM) for _ in range(2)]
    await_waiting(world, third, second)
    world.daemon.kill()
    world.daemon.start()
    await_waiting(world, second, first)
    await_waiting(world, third, second)
    world.cloud.hurry()
    ended = [world.daemon.completed(operation) for operation in (first, second, third)]
    assert [r["completed_at"] for r in ended] == sorted(r["completed_at"] for r in ended)
    assert_one_at_a_time(world, OTHER_VM, 3)


def test_a_lost_server_loses_one_job(world):
    """Of three attaches one had been sent, so only that one has to be asked for again."""
    first, _ = stuck(world)
    second, third = [world.daemon.attach(world.volume(), OTHER_VM) for _ in range(2)]
    await_waiting(world, third, second)
    world.cloud.set(restart_removes=True)
    world.cloud.restart()
    world.daemon.failed(first)
    world.daemon.completed(second)
    world.daemon.completed(third)


# -- jobs of other clients

def snapshot(world, volume):
    """Another client's snapshot of the volume, which does not end before the cloud is hurried."""
    world.cloud.set(job_delay=FOREVER)
    world.cloud.client().call("createSnapshot", volumeid=volume)
    world.cloud.wait_for(lambda sim: sim.world.volumes[volume].state == "Snapshotting")
    world.cloud.set(job_delay=0.05)


def test_another_clients_snapshot_of_the_machine_is_waited_for(world):
    volume, _ = world.attached()
    snapshot(world, volume)
    other = world.volume()
    attach, detach = world.daemon.attach(other), world.daemon.detach(volume)
    record = eventually(lambda: volume in (r := world.daemon.operation(attach["id"]))
                        .get("waits_for", "") and r, "the attach waits for the volume's machine")
    assert record["step"] == "check"
    # Other machines have nothing to do with it, and what waits can be cancelled.
    world.daemon.completed(world.daemon.attach(world.volume(), OTHER_VM))
    assert world.daemon.rest("POST", f"/api/v1/operations/{attach['id']}/cancel").status == 200
    assert world.daemon.ended(attach)["status"] == "cancelled"
    assert other not in sent(world, "attachVolume") and not sent(world, "detachVolume")
    world.cloud.hurry()
    world.daemon.completed(detach)
    assert world.cloud.volume(other)["vm"] is None


def test_a_refusal_because_of_another_job_is_waited_out(make_world):
    """The job begins between the look and the request, of which none expires on a busy machine."""
    world = make_world(cloud={"timeout": "60s"})
    volume, _ = world.attached()
    world.cloud.set(one_task_a_vm=True)
    other = world.volume()

    def interrupt(moment, asked):
        if (moment, asked) == ("before", "attachVolume"):
            world.cloud.interrupt = lambda moment, asked: False
            world.cloud.put_volume(id=volume, state="Snapshotting")
        return False

    world.cloud.interrupt = interrupt
    attach = world.daemon.attach(other)
    eventually(lambda: "another job" in world.daemon.operation(attach["id"]).get("waits_for", ""),
               "the attach waits")
    world.cloud.put_volume(id=volume, state="Ready")
    world.daemon.completed(attach)
    assert sent(world, "attachVolume").count(other) == 2


# -- a job of yesterday

def lag(world, volume):
    """Another client's detach, which has its effect, goes on and will have it once more. Its job."""
    world.cloud.set_faults([{"do": "runs_on", "command": "detachVolume", "volume": volume,
                             "seconds": FOREVER}])
    job = world.cloud.client().call("detachVolume", id=volume)["jobid"]
    world.cloud.wait_for(lambda sim: sim.world.volumes[volume].vm is None)
    world.cloud.clear_faults()
    return job


@pytest.mark.parametrize("vm", (APPLIANCE_VM, OTHER_VM), ids=("here", "elsewhere"))
def test_a_late_detach_undoes_no_attach(world, vm):
    volume = world.volume()
    world.daemon.completed(world.daemon.attach(volume, OTHER_VM))
    job = lag(world, volume)
    world.cloud.clear_requests()
    attach = world.daemon.attach(volume, vm)
    eventually(lambda: job in world.daemon.operation(attach["id"]).get("waits_for", ""),
               "the attach waits for the job")
    # Other volumes of the machine have nothing to do with it.
    world.daemon.completed(world.daemon.attach(world.volume(), vm))
    assert volume not in sent(world, "attachVolume")
    world.cloud.hurry()
    world.daemon.completed(attach)
    world.cloud.wait_idle()
    assert world.cloud.volume(volume)["vm"] == vm


def test_a_late_detach_of_ours_is_waited_for(world):
    volume, _ = world.attached()
    world.cloud.set_faults([{"do": "runs_on", "command": "detachVolume", "seconds": FOREVER}])
    detach, attach = world.daemon.detach(volume), world.daemon.attach(volume)
    world.cloud.wait_for(lambda sim: sim.world.volumes[volume].vm is None)
    await_waiting(world, attach, detach)
    assert sent(world, "attachVolume") == [volume]
    world.cloud.hurry()
    world.daemon.completed(detach)
    record = world.daemon.completed(attach)
    world.assert_is(record["response"]["device_path"], volume)
    assert world.cloud.volume(volume)["vm"] == APPLIANCE_VM


@each_store
@pytest.mark.parametrize("command", ("attachVolume", "detachVolume"))
def test_a_late_detach_that_began_while_the_daemon_was_down(world, command):
    """The daemon died before its request was sent, so the volume looked free when it last looked."""
    volume = world.volume()
    if command == "detachVolume":
        world.daemon.completed(world.daemon.attach(volume, OTHER_VM))

    pid = world.daemon.process.pid

    def interrupt(moment, asked):
        if (moment, asked) != ("before", command):
            return False
        os.kill(pid, signal.SIGKILL)
        return True

    world.cloud.interrupt = interrupt
    operation = world.daemon.attach(volume, OTHER_VM) if command == "attachVolume" else \
        world.daemon.detach(volume)
    world.daemon.dies()
    world.cloud.interrupt = lambda moment, asked: False
    if command == "attachVolume":
        world.cloud.client().run("attachVolume", id=volume, virtualmachineid=APPLIANCE_VM)
    job = lag(world, volume)
    world.cloud.clear_requests()
    world.daemon.start()
    eventually(lambda: job in world.daemon.operation(operation["id"]).get("waits_for", ""),
               "the operation waits for the job")
    assert sent(world, command) == []
    world.cloud.hurry()
    if command == "attachVolume":
        world.daemon.completed(operation)
        assert world.cloud.volume(volume)["vm"] == OTHER_VM
    else:
        world.daemon.ended(operation)
        assert world.cloud.volume(volume)["vm"] is None
    assert world.daemon.operation(operation["id"])["status"] in FINAL
