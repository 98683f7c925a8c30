# SPDX-License-Identifier: LGPL-2.1-or-later
"""Talk to the guest agent inside the appliance.

qemu-guest-agent answers JSON, one object a line, over a virtio serial port that QEMU shows the host
as a unix socket. The port knows no connections: what an earlier, interrupted conversation left in
it comes out later. Each conversation therefore opens with a marker byte and a number of our own,
and everything before their echo is thrown away.
"""

import base64
import itertools
import json
import socket
import time
from typing import NamedTuple

_MARKER = b"\xff"

# The agent tells of a finished command only when asked, which costs the guest time: the longer a
# command takes, the more rarely it is asked.
_ASK_AGAIN_S = (0.01, 0.2)


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

    def __init__(self, path, timeout):
        self._socket = socket.socket(socket.AF_UNIX)
        self._received = b""
        try:
            self._socket.connect(str(path))
            self._synchronise(time.monotonic() + timeout)
        except BaseException:
            self.close()
            raise

    def close(self):
        self._socket.close()

    def execute(self, argv, stdin=b"", timeout=60):
        """Run a program in the guest and wait for its end."""
        begin = time.monotonic()
        deadline = begin + timeout
        pid = self._call(deadline, "guest-exec", {
            "path": argv[0], "arg": argv[1:], "capture-output": True,
            "input-data": base64.b64encode(stdin).decode()})["pid"]
        while True:
            status = self._call(deadline, "guest-exec-status", {"pid": pid})
            if status["exited"]:
                break
            shortest, longest = _ASK_AGAIN_S
            time.sleep(min(max((time.monotonic() - begin) / 10, shortest), longest))
        code = status["exitcode"] if "exitcode" in status else 128 + status["signal"]
        return Output(code, base64.b64decode(status.get("out-data", "")),
                      base64.b64decode(status.get("err-data", "")))

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
