# SPDX-License-Identifier: LGPL-2.1-or-later
"""promtool, which judges metrics and rules for Prometheus.

Debian's package has a program that needs nothing else, but the package depends on many others. So the
program is taken out of the package, into the build directory under test, unless it is installed.
"""

import fcntl
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path


@cache
def promtool():
    """The path of the program."""
    if installed := shutil.which("promtool"):
        return installed
    folder = Path(os.environ["VOLD_BUILD"]) / "promtool"
    folder.mkdir(exist_ok=True)
    program = folder / "promtool"
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            _fetch(folder / "package", program)
    return str(program)


def _fetch(folder, program):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    # apt drops its rights for a download, and the folder may be closed to others
    _run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", "prometheus"], folder)
    _run(["dpkg-deb", "--extract", *folder.glob("prometheus_*.deb"), "."], folder)
    (folder / "usr/bin/promtool").rename(program)
    shutil.rmtree(folder)


def _run(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.stderr}")
