# SPDX-License-Identifier: LGPL-2.1-or-later
"""Packages of npm that judge the daemon's surfaces or make clients of them, in the versions of tests/npm."""

import fcntl
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

_SOURCE = Path(__file__).resolve().parents[2] / "npm"
_FILES = ("package.json", "package-lock.json")
NODE_NEEDED = 20  # the oldest Node.js that they run on


@cache
def node_version():
    """The major version of Node.js."""
    return int(subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout[1:].split(".")[0])


@cache
def npm_folder():
    """Where the programs are. The first that asks installs them all, in the build directory under test."""
    folder = Path(os.environ["VOLD_BUILD"]) / "npm"
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if any(not _is_current(folder, file) for file in _FILES):
            _install(folder)
    return folder


def npm_program(name):
    """The path of a program."""
    return str(npm_folder() / "node_modules/.bin" / name)


def _is_current(folder, file):
    installed = folder / "node_modules" / file     # copied there when all is installed
    return installed.exists() and installed.read_bytes() == (_SOURCE / file).read_bytes()


def _install(folder):
    for file in _FILES:
        shutil.copyfile(_SOURCE / file, folder / file)
    done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder,
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"npm ci: {done.stderr}")
    for file in _FILES:
        shutil.copyfile(folder / file, folder / "node_modules" / file)
