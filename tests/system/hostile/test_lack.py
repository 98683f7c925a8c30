# SPDX-License-Identifier: LGPL-2.1-or-later
"""A daemon that may not have more descriptors or threads."""

import os
import resource
from contextlib import contextmanager

from support.py.harness import eventually
from support.py.crowd import Costs, Crowd, timed

DESCRIPTORS = 320


@contextmanager
def no_descriptor(pid):
    """The process can open nothing more."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    numbers = {int(number) for number in os.listdir(f"/proc/{pid}/fd")}
    free = next(number for number in range(len(numbers) + 1) if number not in numbers)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def test_more_connections_than_descriptors(make_world, figure):
    """Connections are what a stranger can have the most of; what the daemon needs for its work is kept."""
    world = make_world(start=False)
    world.daemon.starter = ["prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}"]
    world.start()
    undisturbed = min(timed(world.daemon.health)[1] for _ in range(5))
    costs = Costs(world.daemon)
    with Crowd(world.daemon, 10 * DESCRIPTORS) as crowd:
        late = max(timed(world.daemon.health)[1] for _ in range(20))
        assert costs.sockets() < DESCRIPTORS
        world.attached()
        assert sum(stranger.is_closed() for stranger in crowd) >= len(crowd) - DESCRIPTORS
    figure(f"{10 * DESCRIPTORS} connections, {DESCRIPTORS} descriptors", "health within 1 s, an attachment completes",
           f"{1000 * late:.1f} ms ({1000 * undisturbed:.1f} ms undisturbed)")
    assert late < 10
    assert "Too many open files" not in world.daemon.text


def refused(make_world, *limits):
    """The last words of a daemon that may not start so."""
    world = make_world(start=False)
    world.bus.start()
    world.daemon.starter = ["prlimit", *limits]
    return world.daemon.fails_to_start()


def test_too_few_descriptors_to_start(make_world):
    assert "LimitNOFILE" in refused(make_world, "--nofile=100:100")


def test_no_thread_to_start(make_world):
    """Limits of threads do not bind root; but no machine has the memory for such a stack."""
    assert "cannot be started: Resource temporarily unavailable" in refused(make_world, f"--stack={1 << 50}:")


def test_descriptors_that_are_gone_later(world, figure):
    """As if another part of the daemon had lost them: clients that do nothing make room for the next."""
    costs = Costs(world.daemon)
    with Crowd(world.daemon, 50) as crowd:
        eventually(lambda: costs.sockets() >= 50, "all are accepted")
        with no_descriptor(world.daemon.process.pid):
            late = max(timed(world.daemon.health)[1] for _ in range(5))
    figure("no descriptor left", "health within 1 s", f"{1000 * late:.1f} ms")
    assert late < 10
