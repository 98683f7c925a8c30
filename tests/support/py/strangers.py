# SPDX-License-Identifier: LGPL-2.1-or-later
"""A user whom the daemon does not know: programs that run as `nobody`."""

import os
import subprocess
import sys

from .waiting import DEADLINE

UID = 65534


def command_of(*command):
    """The command line that runs a command as the stranger."""
    return ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", *command]


class Stranger:
    """A Python program of the stranger, which prints "ready" and then stays until it is ended.
    `namespace`: in user and mount namespaces of its own, in which it is root. The program reads its
    arguments in `argv`, and may call `mount(source, target, type)`."""

    PRELUDE = """
import ctypes, os, sys, time
argv = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
def mount(source, target, kind, flags=0):
    if libc.mount(source.encode(), target.encode(), kind.encode(), flags, None):
        raise OSError(ctypes.get_errno(), f"mount on {target}")
"""

    def __init__(self, program, *arguments, namespace=False):
        text = self.PRELUDE + program + "\nprint('ready', flush=True)\ntime.sleep(3600)\n"
        python = ["unshare", "-Urm", sys.executable] if namespace else [sys.executable]
        self._command = command_of(*python, "-c", text, *map(str, arguments))

    def __enter__(self):
        self._process = subprocess.Popen(self._command, cwd="/", env={"PATH": os.environ["PATH"]},
                                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        line = self._process.stdout.readline()
        if line != "ready\n":
            self.__exit__()
            raise AssertionError(f"the stranger did not come so far: {line}")
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait(DEADLINE)
        self._process.stdout.close()
