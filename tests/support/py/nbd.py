# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client of the exports."""

import subprocess

from .waiting import DEADLINE


class NBDClient:
    """A client that stays connected: qemu-io with commands on its standard input. It is connected
    once there is such an object."""

    def __init__(self, uri, read_only=False):
        self.process = subprocess.Popen(
            ["stdbuf", "-oL", "qemu-io", "-f", "raw", *(["-r"] if read_only else []), uri],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.say("length", "\n")

    def say(self, command, until):
        """The answer to a command, up to and including the line with that text. One command at a
        time: qemu-io looks for more only when something comes."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = ""
        while until not in answer:
            line = self.process.stdout.readline()
            assert line, f"the client has ended: {answer}"
            answer += line
        return answer

    def write(self, byte, offset=0, size=1 << 20):
        answer = self.say(f"write -f -P {byte} {offset} {size}", "ops/sec")
        assert f"wrote {size}/{size} bytes" in answer, answer

    def close(self):
        self.process.stdin.close()
        self.process.wait(DEADLINE)
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
