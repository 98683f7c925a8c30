# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clocks that are wrong, and times at which the daemon cannot run.

Operations are in the order in which they were accepted, whatever the wall clock says. And nothing is
too late because the daemon was stopped, or its machine paused: it looks first at what came meanwhile.
"""

import signal
import time
from datetime import datetime

import pytest
from cloudsim import APPLIANCE_VM

FOREVER = 3600.0


# ---- the clock is set back ----

HOURS = 3600
YEARS = 365 * 24 * HOURS


def listed(world):
    """All operations as lists show them; lists are newest first by time and by id."""
    records = world.daemon.get("/api/v1/operations")
    for mark in ("created_at", "id"):
        assert [r[mark] for r in records] == sorted((r[mark] for r in records), reverse=True)
    return [r["id"] for r in records]


def begin_by_clocks(make_world, *seconds_ahead):
    """A world in which a volume is being resized while a detach and an attach wait; before each of
    them the daemon is killed, and started with another clock."""
    world = make_world(start=False)
    world.daemon.program = "volume-daemon-crash"
    world.daemon.wall_ahead.write_text("0")
    world.start()
    volume, _ = world.attached()
    world.cloud.set(job_delay=FOREVER)
    operations = [world.daemon.resize(volume, 2)]
    world.await_jobs("resizeVolume")
    for ahead, ask in zip(seconds_ahead, (world.daemon.detach, world.daemon.attach), strict=True):
        world.daemon.kill()
        world.daemon.wall_ahead.write_text(str(ahead))
        world.cloud.set(clock=ahead)
        world.daemon.start().wait_healthy()
        operations.append(ask(volume))
    return world, volume, operations


@pytest.mark.parametrize("seconds_ahead", [(0, -4 * HOURS), (-4 * HOURS, -8 * HOURS),
                                           (30 * YEARS, 0)], ids=str)
def test_the_order_of_acceptance_survives_a_clock_that_steps_back(make_world, seconds_ahead):
    world, volume, operations = begin_by_clocks(make_world, *seconds_ahead)
    assert listed(world)[:3] == [operation["id"] for operation in reversed(operations)]
    world.daemon.kill()
    world.daemon.start().wait_healthy()
    world.cloud.set(job_delay=0)
    world.cloud.hurry()
    # An attach before the detach would fail, as the volume is attached.
    for operation in operations:
        world.daemon.completed(operation)
    assert world.cloud.volume(volume)["vm"] == APPLIANCE_VM
    assert listed(world)[:3] == [operation["id"] for operation in reversed(operations)]


def test_records_are_in_order_while_the_clock_steps_back(make_world):
    world = make_world(start=False)
    world.daemon.program = "volume-daemon-crash"
    world.start()
    volume = world.volume()
    first = world.daemon.completed(world.daemon.attach(volume))
    world.daemon.wall_ahead.write_text(str(-4 * HOURS))
    second = world.daemon.completed(world.daemon.detach(volume))
    assert listed(world) == [second["id"], first["id"]]
    assert first["completed_at"] <= second["created_at"] <= second["completed_at"]
    # It is the time of the first, and goes on from there.
    assert abs((moment(second["created_at"]) - moment(first["completed_at"])).seconds) < 60


def moment(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


# ---- the daemon cannot run ----

# So long that a busy machine stops the daemon within it.
WAIT = 8.0


def stop(world):
    world.daemon.process.send_signal(signal.SIGSTOP)


def go_on_late(world):
    """Time that nobody can hurry: the deadlines of the stopped daemon pass, which began before its stop."""
    time.sleep(WAIT)
    world.daemon.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("poll_max", ["100ms", "10min"])
def test_a_job_that_ended_while_the_daemon_was_stopped_has_ended(make_world, poll_max):
    world = make_world(cloud={"job_wait": f"{WAIT:g}s", "poll_max": poll_max})
    world.cloud.set(job_delay=FOREVER, plug_delay=FOREVER)
    volume = world.volume()
    operation = world.daemon.attach(volume)
    world.await_jobs("attachVolume")
    stop(world)
    world.cloud.hurry()
    world.cloud.wait_idle()
    go_on_late(world)
    record = world.daemon.completed(operation)
    world.assert_is(record["response"]["device_path"], volume)


def test_a_disk_that_came_while_the_daemon_was_stopped_has_come(make_world):
    world = make_world(device={"wait": f"{WAIT:g}s"})
    world.cloud.set(plug_delay=FOREVER)
    operation = world.daemon.attach(world.volume())
    world.daemon.log.wait(lambda line: operation["id"] in line and "await-device" in line)
    stop(world)
    world.cloud.hurry()
    go_on_late(world)
    world.daemon.completed(operation)


def test_an_answer_that_came_while_the_daemon_was_stopped_is_read(make_world):
    world = make_world(cloud={"timeout": f"{WAIT:g}s"})
    world.cloud.set_faults([{"do": "slow", "command": "attachVolume", "seconds": WAIT / 2}])
    operation = world.daemon.attach(world.volume())
    world.cloud.wait_request("attachVolume")
    stop(world)
    go_on_late(world)
    world.daemon.completed(operation)
    asked = [request["command"] for request in world.cloud.requests()]
    assert asked.count("attachVolume") == 1
