# SPDX-License-Identifier: LGPL-2.1-or-later
"""A program on a terminal of its own, and a person who reads it and types."""

import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
import time

from .waiting import DEADLINE


class Terminal:
    """Runs a command with stdin, stdout and stderr on a terminal, which is its own: Ctrl-C and the like reach it.
    `said` is all that came so far."""

    def __init__(self, command, environment, columns=80, rows=24, **changes):
        self._ours, theirs = pty.openpty()
        self.resize(columns, rows)
        self.mode_before = self.mode()
        environment = {**environment, "TERM": "xterm", **changes}
        self._process = subprocess.Popen(["setsid", "--ctty", *(str(word) for word in command)], stdin=theirs,
                                         stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        self._said = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        try:
            while part := os.read(self._ours, 4096):
                self._said += part
        except OSError:
            pass                # how a terminal says that its other end is closed

    @property
    def said(self):
        return self._said.decode(errors="replace").replace("\r\n", "\n")

    def wait(self, text):
        until = time.monotonic() + DEADLINE
        while text not in self.said:
            assert time.monotonic() < until and self._thread.is_alive(), f"not {text!r} in {self.said!r}"
            time.sleep(0.01)

    def type(self, text):
        os.write(self._ours, text.encode())

    def resize(self, columns, rows):
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def mode(self):
        """Echo, reading by lines and the like."""
        return termios.tcgetattr(self._ours)

    def signal(self, number):
        self._process.send_signal(number)

    def end(self):
        """The exit status."""
        status = self._process.wait(DEADLINE)
        self._thread.join(DEADLINE)
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait(DEADLINE)
        self._thread.join(DEADLINE)
        os.close(self._ours)
