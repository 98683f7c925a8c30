# SPDX-License-Identifier: LGPL-2.1-or-later
"""An NBD engine that does not answer: its clients wait, and nothing but the health tells them why."""

import os
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.py.crowd import timed
from support.py.waiting import eventually

LIMIT = "health says so within 5 s"
ENGINES = pytest.mark.parametrize("engine", ["qemu-storage-daemon", "nbdkit"])


@contextmanager
def stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def freezer():
    """The folder of cgroups that can freeze their processes, the switch, and its two positions; None: there is none."""
    for folder, switch, words in (("/sys/fs/cgroup/freezer", "freezer.state", ("FROZEN", "THAWED")),
                                  ("/sys/fs/cgroup/unified", "cgroup.freeze", ("1", "0")),
                                  ("/sys/fs/cgroup", "cgroup.freeze", ("1", "0"))):
        if os.path.exists(f"{folder}/cgroup.procs") and os.access(folder, os.W_OK):
            return Path(folder), switch, words
    return None


@contextmanager
def frozen(pid):
    """In a cgroup of its own; neither a state of the process nor a signal shows it."""
    if not freezer():
        pytest.skip("no cgroup can be frozen here")
    folder, switch, (freeze, thaw) = freezer()
    group, home = folder / f"volume-daemon-{pid}", folder / "cgroup.procs"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    try:
        (group / "cgroup.procs").write_text(str(pid))
        (group / switch).write_text(freeze)
        yield
    finally:
        (group / switch).write_text(thaw)
        home.write_text(str(pid))
        eventually(lambda: not (group / "cgroup.procs").read_text(), "the cgroup is empty")
        group.rmdir()


def told_within(daemon, words):
    """The seconds until the health of the engine has these words."""
    return timed(lambda: eventually(lambda: words in daemon.health()["nbd_health"], f"health tells: {words}"))[1]


@ENGINES
@pytest.mark.parametrize("ill", [stopped, frozen], ids=lambda ill: ill.__name__)
def test_an_engine_that_does_not_answer(make_world, engine, ill, figure):
    world = make_world(export={"engine": engine})
    world.attached()
    health = world.daemon.health()
    pid = health["details"]["nbd_pid"]
    assert health["nbd_health"] == "healthy"
    with ill(pid):
        words = "is stopped and does not answer" if ill is stopped else "hangs or is frozen"
        seconds = told_within(world.daemon, f"{engine} (pid {pid}) {words}")
    told_within(world.daemon, "healthy")
    figure(f"{engine} is {ill.__name__}", LIMIT, f"{seconds:.1f} s")
    assert seconds < 50
