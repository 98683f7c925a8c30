# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a process holds too much is noticed: this one plays the daemon that leaks."""

import os
import signal
import socket
import subprocess
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.py.holdings import RESET_CONNECTIONS, THREADS_OF_A_KIND, Holdings, Process, processes_of
from support.py.waiting import eventually

STORE = "/nowhere/store"


@pytest.fixture
def leaks(tmp_path):
    """A function that returns what has leaked since now."""
    before = Holdings(os.getpid(), str(tmp_path))
    return lambda port=0: Holdings(os.getpid(), str(tmp_path)).leaks(before, port, STORE)


def test_nothing(leaks):
    assert leaks() == []


def test_a_file(leaks, tmp_path):
    with open(tmp_path / "file", "wb"):
        assert leaks() == [f"1 more descriptors of {tmp_path}/file"]
    assert leaks() == []


def test_a_pipe(leaks):
    ends = os.pipe()
    assert len(leaks()) == 1 and "pipe:" in leaks()[0]
    for end in ends:
        os.close(end)
    assert leaks() == []


def test_sockets_without_a_peer(leaks):
    with ExitStack() as stack:
        for _ in range(RESET_CONNECTIONS):
            stack.enter_context(socket.socket())
        assert leaks() == []
        stack.enter_context(socket.socket())
        assert len(leaks()) == RESET_CONNECTIONS + 1 and "not connected" in leaks()[0]
    assert leaks() == []


def test_a_client_that_has_gone(leaks):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        with server.accept()[0]:
            assert leaks(port) == []
            client.close()
            eventually(lambda: leaks(port), "it is noticed")
            assert "whose client has gone" in leaks(port)[0]
        assert leaks(port) == []


def test_a_process_nobody_waits_for(leaks, tmp_path):
    process = subprocess.Popen(["sleep", "1000"])
    assert leaks() == []
    (child,) = (child for child in processes_of(os.getpid(), str(tmp_path)) if child.pid == process.pid)
    assert child.runs()
    process.send_signal(signal.SIGKILL)
    eventually(lambda: not child.runs(), "it has ended")
    assert len(leaks()) == 1 and "nobody waited for it" in leaks()[0]
    process.wait()
    assert leaks() == []


def started_after(old):
    """Whether the kernel, which counts starts in hundredths of a second, gives a new process a later one."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        try:
            return Process(process.pid).started > old.started
        finally:
            process.kill()


def test_an_engine_that_is_older_than_the_daemon(tmp_path):
    """It is nobody's child, and it has been seen before: by a look at a daemon of another folder."""
    file, folder = tmp_path / "its-file", str(tmp_path / "its")
    file.touch()

    def found(pid, folder=folder):
        return [process.pid for process in processes_of(pid, folder)]

    orphan = int(subprocess.run(["sh", "-c", 'tail -f "$0" >/dev/null 2>&1 & echo $!', file],
                                capture_output=True, text=True, check=True).stdout)
    try:
        eventually(lambda: Path(f"/proc/{orphan}/cmdline").read_bytes().startswith(b"tail"), "it is tail")
        assert orphan in found(os.getpid())
        # The kernel counts its start in hundredths of a second.
        old = Process(orphan)
        eventually(lambda: started_after(old), "a process that is younger")
        with subprocess.Popen(["sleep", "1000"]) as daemon:
            try:
                for _ in range(2):
                    assert found(daemon.pid, str(tmp_path / "another")) == []
                    assert found(daemon.pid) == [orphan]
            finally:
                daemon.kill()
    finally:
        os.kill(orphan, signal.SIGKILL)
    eventually(lambda: not old.runs(), "it has ended")
    assert orphan not in found(os.getpid())


def test_threads(leaks):
    gate = threading.Event()
    with ExitStack() as stack:
        for _ in range(THREADS_OF_A_KIND + 1):
            thread = threading.Thread(target=gate.wait)
            thread.start()
            stack.callback(thread.join)
        stack.callback(gate.set)
        assert len(leaks()) == 1 and "more threads" in leaks()[0]
    eventually(lambda: leaks() == [], "they have ended")
