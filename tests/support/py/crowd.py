# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients that do not behave: raw connections, many of them, and what they cost the daemon."""

import os
import resource
import socket
import struct
import time
from pathlib import Path

from .harness import DEADLINE

GROWTH = 128            # MiB that an attack may cost
TICKS = os.sysconf("SC_CLK_TCK")


def many(count):
    """So many connections, or as many as this process may have."""
    return min(count, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 300)


class Client:
    """A connection to the daemon's REST interface, with bytes as they are."""

    def __init__(self, daemon, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(DEADLINE)
        self.socket.connect(("127.0.0.1", daemon.port))

    def send(self, text):
        self.socket.sendall(text if isinstance(text, bytes) else text.encode())
        return self

    def get(self, path):
        return self.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")

    def push(self, data):
        """Send what the daemon takes; how much that was. It may have closed the connection."""
        self.socket.setblocking(False)
        try:
            return self.socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            return None

    def answer(self):
        """All that comes until the daemon closes, or until one whole answer is there."""
        text = b""
        while not _is_whole(text) and (more := self.socket.recv(65536)):
            text += more
        return text.decode()

    def is_answered(self):
        """True if an answer has begun to come, or the daemon has closed the connection; nothing is read."""
        self.socket.setblocking(False)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
            return True
        except BlockingIOError:
            return False
        except OSError:
            return True

    def is_closed(self):
        """True if the daemon has closed it; what has come is thrown away."""
        self.socket.setblocking(False)
        try:
            while self.socket.recv(65536):
                pass
            return True
        except BlockingIOError:
            return False
        except OSError:
            return True

    def reset(self):
        """Leave as a process that is killed with bytes unread."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        self.socket.close()


def _is_whole(text):
    head, end, body = text.partition(b"\r\n\r\n")
    if not end:
        return False
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return len(body) >= int(line.split(b":")[1])
    return True


class Crowd(list):
    """Many clients; all have left when it ends."""

    def __init__(self, daemon, count=0, **options):
        super().__init__(Client(daemon, **options) for _ in range(count))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for client in self:
            client.close()


class Costs:
    """What a process uses, beside what it used when this was made."""

    def __init__(self, daemon):
        self.proc = Path(f"/proc/{daemon.process.pid}")
        (self.proc / "clear_refs").write_text("5")      # the peak begins anew
        self.resident = self._status("VmRSS")

    def _status(self, name):
        return int((self.proc / "status").read_text().split(f"{name}:")[1].split()[0]) / 1024

    @property
    def growth(self):
        """MiB more than before."""
        return self._status("VmRSS") - self.resident

    @property
    def peak_growth(self):
        return self._status("VmHWM") - self.resident

    def _descriptors(self, begin):
        """The number of descriptors whose link begins so."""
        count = 0
        for entry in (self.proc / "fd").iterdir():
            try:
                count += os.readlink(entry).startswith(begin)
            except FileNotFoundError:
                pass
        return count

    def descriptors_of(self, file):
        """The number of descriptors of a file."""
        return self._descriptors(str(file))

    def sockets(self):
        """The number of sockets it holds."""
        return self._descriptors("socket:")

    def _cpu(self):
        fields = (self.proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def cpu_share(self, seconds=1.0):
        """The share of one core that it uses in the next moment."""
        before, begun = self._cpu(), time.monotonic()
        time.sleep(seconds)
        return (self._cpu() - before) / (time.monotonic() - begun)


def timed(ask):
    """The result of a call, and how long it took."""
    begun = time.monotonic()
    result = ask()
    return result, time.monotonic() - begun
