# SPDX-License-Identifier: LGPL-2.1-or-later
"""Talk to the guest agent inside the appliance.

qemu-guest-agent answers JSON, one object a line, over a virtio serial port that QEMU shows the host
as a unix socket. The port knows no connections: what an earlier, interrupted conversation left in
it comes out later. Each conversation therefore opens with a marker byte and a number of our own,
and everything before their echo is thrown away.

The agent tells of the end of a command only when asked, and each question costs an emulated processor as much as a small
program. So a shell writes a byte to a second port when it ends.
"""

import base64
import itertools
import json
import select
import socket
import time
from typing import NamedTuple

_MARKER = b"\xff"

# In the guest, the port for ends; udev names it.
END_PORT = "ended"
_TELL_END = f"trap 'echo 2>/dev/null >/dev/virtio-ports/{END_PORT}' EXIT\n"
# A shell ends soon after this. One that was killed, or has become another program, tells nothing.
_SOON_S, _ASK_ANYWAY_S = 0.005, 2

# Ends all that the agent has started but this shell.
_KILL_ALL = """for pid in $(cat /sys/fs/cgroup$(cut -d : -f 3 /proc/self/cgroup)/cgroup.procs); do
    [ $pid = $$ ] || [ $pid = $PPID ] || kill -KILL $pid
done"""
_KILL_PATIENCE_S = 60


class AgentError(Exception):
    """The agent refused a request, or does not answer."""


class Output(NamedTuple):
    """How a command in the guest ended. `code` is 128 + the signal for one that was killed."""

    code: int
    out: bytes
    err: bytes


class Agent:
    """One conversation with the guest agent."""

    _numbers = itertools.count(1)

    def __init__(self, path, end_path, timeout):
        self._socket, self._ends = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        self._received = b""
        try:
            self._ends.connect(str(end_path))
            self._socket.connect(str(path))
            self._synchronise(time.monotonic() + timeout)
        except BaseException:
            self.close()
            raise

    def close(self):
        self._socket.close()
        self._ends.close()

    def execute(self, shell, command, stdin=b"", timeout=60):
        """Run a command in a shell of the guest and wait for its end. It is killed, and what it has started, if that
        comes later than `timeout`."""
        deadline = time.monotonic() + timeout
        self._wait_told(0)      # of an earlier one
        pid = self._start(deadline, shell, _TELL_END + command, stdin)
        status = self._wait_exited(pid, deadline)
        if not status:
            deadline = time.monotonic() + _KILL_PATIENCE_S
            self._start(deadline, "/bin/sh", _KILL_ALL)
            status = self._wait_exited(pid, deadline)
            if not status:
                raise AgentError(f"a command could not be killed: {command}")
        code = status["exitcode"] if "exitcode" in status else 128 + status["signal"]
        return Output(code, base64.b64decode(status.get("out-data", "")),
                      base64.b64decode(status.get("err-data", "")))

    def _start(self, deadline, shell, command, stdin=b""):
        return self._call(deadline + _KILL_PATIENCE_S, "guest-exec", {
            "path": shell, "arg": ["-c", command], "capture-output": True,
            "input-data": base64.b64encode(stdin).decode()})["pid"]

    def _wait_exited(self, pid, deadline):
        """What the agent says of a process that has ended, or None."""
        wait = _ASK_ANYWAY_S
        while True:
            if self._wait_told(min(wait, max(deadline - time.monotonic(), 0))):
                wait = _SOON_S
                time.sleep(wait)    # each question that comes too early costs the guest one more
            status = self._call(deadline + _KILL_PATIENCE_S, "guest-exec-status", {"pid": pid})
            if status["exited"]:
                return status
            if time.monotonic() > deadline:
                return None
            wait = min(2 * wait, _ASK_ANYWAY_S)

    def _wait_told(self, timeout):
        """Wait until a shell tells that it ends."""
        told = select.select([self._ends], [], [], timeout)[0]
        return bool(told) and bool(self._ends.recv(4096))

    def _synchronise(self, deadline):
        number = next(self._numbers)
        self._socket.sendall(_MARKER)
        self._send("guest-sync-delimited", {"id": number})
        while True:
            self._read_until(_MARKER, deadline)
            if json.loads(self._read_until(b"\n", deadline)).get("return") == number:
                return

    def _call(self, deadline, command, arguments):
        self._send(command, arguments)
        reply = json.loads(self._read_until(b"\n", deadline))
        if "error" in reply:
            raise AgentError(f"{command}: {reply['error']['desc']}")
        return reply["return"]

    def _send(self, command, arguments):
        request = {"execute": command, "arguments": arguments}
        self._socket.sendall(json.dumps(request).encode() + b"\n")

    def _read_until(self, end, deadline):
        while end not in self._received:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                raise AgentError("the guest agent does not answer") from None
            if not data:
                raise AgentError("QEMU closed the guest agent's port")
            self._received += data
        found, _, self._received = self._received.partition(end)
        return found
