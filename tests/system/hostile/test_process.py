# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon as a process among others: its signals, its memory, its log, its share of time."""

import os
import pwd
import re
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest
from support.py.harness import World
from support.py.waiting import eventually

NOBODY = pwd.getpwnam("nobody")


SIGNALS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGPIPE)


def test_signals_that_mean_nothing(world, figure):
    pid = world.daemon.process.pid
    for number in SIGNALS:
        os.kill(pid, number)
        world.attached()
        assert world.daemon.process.pid == pid and world.daemon.process.poll() is None, number.name
    figure(", ".join(number.name for number in SIGNALS), "the daemon goes on", f"{len(SIGNALS)} attachments completed")


def test_an_engine_has_signals_as_usual(make_world):
    world = make_world(export={"engine": "qemu-storage-daemon"})
    world.attached()
    pid = world.daemon.get("/api/v1/health")["details"]["nbd_pid"]
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    assert not int(status["SigIgn"], 16) & 1 << (signal.SIGHUP - 1)


def test_a_log_that_is_not_read(world, figure):
    """The reader of stderr stands still, and the pipe fills; it learns later how much it missed."""
    world.daemon.log.pause()
    try:
        for _ in range(60):     # 3 KB each in the log, of 64 that fit
            assert world.daemon.rest("GET", "/api/v1/volumes/" + "x" * 3000).status == 404
        world.attached()
    finally:
        world.daemon.log.go_on()

    def told():
        world.daemon.rest("GET", "/api/v1/volumes/x")       # the next line brings the number
        return re.search(r"(\d+) lines were dropped: the log did not take them", world.daemon.text)

    lost = eventually(told, "the number of lost lines")
    figure("a log that is not read", "an attachment completes, lost lines are counted", f"{lost[1]} lines lost")


STOPPED_S = 3


def test_a_daemon_that_cannot_run(world, figure):
    """It is late, and says so; the database, whose answers it was late to read, is well."""
    world.daemon.process.send_signal(signal.SIGSTOP)
    time.sleep(STOPPED_S)
    world.daemon.process.send_signal(signal.SIGCONT)
    health = world.daemon.health()
    told = re.fullmatch(r"the daemon could not run for (\d+) ms, \d+ s ago", health["details"]["loop_late"])
    assert told and health["details"]["loop_late_count"] > 0, health
    assert health["database_health"] == "healthy"
    world.daemon.log.wait(lambda line: "the daemon could not run for" in line)
    figure(f"the daemon is stopped for {STOPPED_S} s", "health says so, the database is well", f"{told[1]} ms told")


@pytest.fixture
def world_of_nobody():
    """A daemon that runs as nobody, in a folder that nobody may reach, unlike pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="vold-"))
    world = World(folder)
    world.daemon.starter = ["setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}",
                            "--clear-groups"]
    for path in (folder, *folder.rglob("*"), world.daemon.run.name):
        os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
    try:
        # The bus gives the daemon's name to root alone.
        world.daemon.start(wait_for_bus=False).wait_healthy()
        yield world
    finally:
        world.close()
        shutil.rmtree(folder)


def test_its_memory_is_its_own(world):
    limits = Path(f"/proc/{world.daemon.process.pid}/limits").read_text()
    assert [line.split()[4:6] for line in limits.splitlines() if "core file" in line] == [["0", "0"]]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_a_user_cannot_look_into_a_daemon_of_theirs(world_of_nobody):
    """Not even the daemon's own user; the daemon itself finds the users of a disk as ever."""
    daemon = world_of_nobody.daemon
    assert f"Uid:\t{NOBODY.pw_uid}" in Path(f"/proc/{daemon.process.pid}/status").read_text()
    assert os.stat(f"/proc/{daemon.process.pid}/environ").st_uid == 0
    volume, _ = world_of_nobody.attached()
    daemon.completed(daemon.detach(volume))
