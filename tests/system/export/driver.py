# SPDX-License-Identifier: LGPL-2.1-or-later
"""The exports alone, around a real engine: the questions for exporter.c and its answers."""

import json
import os
import queue
import subprocess
import threading
from pathlib import Path

from support.py.waiting import DEADLINE, eventually

PROGRAM = Path(os.environ["VOLD_BUILD"]).resolve() / "tests/system/export/exporter"
QEMU, NBDKIT = "qemu-storage-daemon", "nbdkit"
MIB = 1024 * 1024


def run(*command):
    """Run a command that must succeed; returns its output."""
    result = subprocess.run(command, capture_output=True, timeout=DEADLINE)
    assert result.returncode == 0, (command, result.stderr.decode())
    return result.stdout.decode()


def fails(*command):
    """Run a command that must fail; returns its error output."""
    result = subprocess.run(command, capture_output=True, timeout=DEADLINE)
    assert result.returncode != 0, (command, result.stdout)
    return result.stderr.decode()


class Driver:
    """Answers are dicts with "code" ("OK" or an error's word) and "text"."""

    def __init__(self, folder, engine, listen="127.0.0.1:0", timeout_ms=30000, tls="-", qmp="-"):
        self.tokens = 0
        self.answers = {}
        self.lines = queue.Queue()
        self.lost = 0
        self.log = folder / "log"
        with open(self.log, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [PROGRAM, engine, folder / "run", listen, str(timeout_ms), tls, qmp],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))
        self.lines.put(None)

    def _take(self):
        line = self.lines.get(timeout=DEADLINE)
        assert line is not None, "the exporter has ended"
        if line.get("event") == "lost":
            self.lost += 1
        else:
            self.answers[line["token"]] = line

    def begin(self, *words):
        """Asks without waiting; the token is for end()."""
        self.tokens += 1
        self.process.stdin.write(f"{self.tokens} {' '.join(map(str, words))}\n")
        self.process.stdin.flush()
        return str(self.tokens)

    def end(self, token):
        while token not in self.answers:
            self._take()
        return self.answers.pop(token)

    def ask(self, *words):
        return self.end(self.begin(*words))

    def do(self, *words):
        answer = self.ask(*words)
        assert answer["code"] == "OK", (words, answer)
        return answer

    def refused(self, code, *words):
        """The text of an answer that must be this error."""
        answer = self.ask(*words)
        assert answer["code"] == code, (words, answer)
        return answer["text"]

    def exports(self):
        return {export["name"]: export for export in self.do("list")["exports"]}

    def await_unused(self, name):
        """An engine lets a connection go some time after its client has ended."""
        eventually(lambda: not self.exports()[name]["clients"], f"the end of the clients of {name}")

    def health(self):
        return self.ask("health")

    def await_lost(self, count):
        while self.lost < count:
            self._take()

    def uri(self, name, scheme="nbd"):
        return f"{scheme}://127.0.0.1:{self.health()['port']}/{name}"

    def kill(self):
        self.process.kill()
        self._finish()

    def _finish(self):
        self.process.stdin.close()
        status = self.process.wait(DEADLINE)
        self.reader.join(DEADLINE)
        self.process.stdout.close()
        return status

    def close(self):
        """End it as the daemon ends. It must have nothing left then; sanitizers also see memory."""
        if self.process.returncode is None:
            assert self._finish() == 0, self.log.read_text(errors="replace")


class Client:
    """An NBD client that stays connected: qemu-io with commands on its standard input. It is connected
    once there is such an object."""

    def __init__(self, uri):
        self.process = subprocess.Popen(["stdbuf", "-oL", "qemu-io", "-f", "raw", uri], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        self.say("length", "\n")

    def say(self, command, *until):
        """The answer, up to and including the line with one of these texts. One command at a time:
        qemu-io looks for more only when something comes."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = ""
        while not any(text in answer for text in until):
            line = self.process.stdout.readline()
            assert line, f"the client has ended: {answer}"
            answer += line
        return answer

    def write(self, byte, offset=0, size=MIB):
        answer = self.say(f"write -f -P {byte} {offset} {size}", "ops/sec", "failed")
        assert f"wrote {size}/{size} bytes" in answer, answer

    def write_fails(self):
        assert "failed" in self.say("write -f 0 4k", "ops/sec", "failed")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(DEADLINE)
        self.process.stdout.close()
