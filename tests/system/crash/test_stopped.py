# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon stands still between the commit of a change and its request, and goes on too late.

A machine can be suspended, or a process stopped, at any moment. The request that the daemon then
sends expires one time-out (2 s) after the commit: CloudStack refuses it, and the operation looks
what there is and asks anew. A daemon that sees how late it is commits once more before it asks; it
does not see that only the server's clock went on.
"""

import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.py.waiting import eventually

from .scenarios import SCENARIOS

CHANGES = {"create": ("ask-cloud", "createVolume"), "attach": ("ask-cloud", "attachVolume"),
           "detach": ("ask-cloud", "detachVolume"), "resize": ("ask-cloud", "resizeVolume"),
           "delete": ("destroy", "destroyVolume")}


def is_stopped(process):
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def know_the_clock(world):
    """The daemon measures the server's clock before its first change."""
    spare = world.volume()
    world.daemon.completed(world.daemon.attach(spare))
    world.daemon.completed(world.daemon.rest("DELETE", f"/api/v1/volumes/{spare}").json)


def stand_still(cloud, seconds):
    """For longer than a test may last, only the server's clock goes on."""
    if seconds < 60:
        cloud.pause(seconds)
    else:
        cloud.set(clock=seconds)


@pytest.mark.parametrize("seconds", [5, 600])
@pytest.mark.parametrize("name", CHANGES)
def test_stopped_before_its_request(make_world, name, seconds):
    step, command = CHANGES[name]
    scenario = next(s for s in SCENARIOS if s.name == name)
    world = make_world(start=False, reconcile={"interval": "1h"})
    world.daemon.program = "volume-daemon-crash"
    world.start()
    know_the_clock(world)
    before = scenario.prepare(world)
    world.daemon.crash_at.write_text(f"{name}/{step}/stop")
    process = world.daemon.process
    with ThreadPoolExecutor() as clients:
        # The stop may come before the answer has left the daemon.
        told = clients.submit(scenario.begin, world, before.volume)
        eventually(lambda: is_stopped(process), "the stop")
        world.daemon.crash_at.unlink()
        jobs = Counter(job["command"] for job in world.cloud.state()["jobs"])
        assert command not in [r["command"] for r in world.cloud.requests()]
        stand_still(world.cloud, seconds)
        process.send_signal(signal.SIGCONT)

    record = world.daemon.completed({"id": told.result()})
    outcomes = [r["outcome"] for r in world.cloud.requests() if r["command"] == command]
    assert outcomes.count(200) == 1 and set(outcomes) <= {200, 401}, outcomes
    if seconds == 600:
        assert outcomes[0] == 401, outcomes
    world.cloud.wait_idle()
    jobs = Counter(job["command"] for job in world.cloud.state()["jobs"]) - jobs
    assert jobs[command] == 1, jobs
    scenario.check(world, before, record)
