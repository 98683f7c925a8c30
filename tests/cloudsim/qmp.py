# SPDX-License-Identifier: LGPL-2.1-or-later
"""A small client for QEMU's machine protocol.

QMP is newline-separated JSON over a Unix socket. QEMU greets, the client must answer with
`qmp_capabilities`, and from then on each command gets one reply, in order, while events may arrive
between any two lines. So every line is either the reply somebody waits for or an event to keep;
`wait_event` looks through the kept ones first, which makes it safe to start waiting after the
command that causes the event. QEMU serves one client per socket at a time: two users need two
sockets.
"""

import json
import socket
import threading
import time
from collections import deque


class QMPError(Exception):
    """A command QEMU refused, a deadline that passed, or a connection that ended."""


class NotFound(QMPError):
    """A command about a device that is not there."""


class QMP:
    def __init__(self, path, timeout=180.0):
        """Connect to the socket at `path`; `timeout` bounds each command, in seconds."""
        self._timeout = timeout
        self._lock = threading.RLock()
        self._events = deque(maxlen=1000)
        self._buffer = b""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(str(path))
            greeting = self._read(time.monotonic() + timeout)
            if "QMP" not in greeting:
                raise QMPError(f"no QMP greeting on {path}: {greeting}")
            self.command("qmp_capabilities")
        except BaseException:
            self._socket.close()
            raise

    def close(self):
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def command(self, name, /, **arguments):
        """Run a command and return its `return` value. Underscores in argument names become
        the dashes QEMU uses."""
        request = {"execute": name}
        if arguments:
            request["arguments"] = {k.replace("_", "-"): v for k, v in arguments.items()}
        with self._lock:
            deadline = time.monotonic() + self._timeout
            try:
                self._socket.sendall(json.dumps(request).encode() + b"\n")
            except OSError as error:
                raise QMPError(f"{name}: {error}") from error
            while True:
                message = self._read(deadline)
                if "event" in message:
                    self._events.append(message)
                elif "error" in message:
                    kind = NotFound if message["error"]["class"] == "DeviceNotFound" else QMPError
                    raise kind(f"{name}: {message['error']['desc']}")
                else:
                    return message["return"]

    def wait_event(self, name, timeout, **data):
        """Wait for an event whose data contains all of `data`, and return it. Other events are
        kept for later calls."""
        def wanted(message):
            have = message.get("data", {})
            return message["event"] == name and all(have.get(k) == v for k, v in data.items())

        with self._lock:
            deadline = time.monotonic() + timeout
            for message in self._events:
                if wanted(message):
                    self._events.remove(message)
                    return message
            while True:
                message = self._read(deadline)
                if "event" not in message:
                    raise QMPError(f"reply without a command: {message}")
                if wanted(message):
                    return message
                self._events.append(message)

    def _read(self, deadline):
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0:
                raise QMPError("QEMU did not answer in time")
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                continue
            except OSError as error:
                raise QMPError(str(error)) from error
            if not data:
                raise QMPError("QEMU closed the connection")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return json.loads(line)
