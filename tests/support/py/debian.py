# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Debian that this machine has, for roots that mmdebstrap makes of it, and our packages for it."""

import hashlib
import os
import platform
import subprocess
from pathlib import Path

from .cache import cached

TOP = Path(__file__).resolve().parents[3]


def suite():
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


def sources():
    """The Debian archives that this machine uses, as lines of a sources.list."""
    lines = _said("apt-get", "indextargets", "--format", "deb $(REPO_URI) $(RELEASE) $(COMPONENT)",
                  "Created-By: Packages", "Origin: Debian").splitlines()
    if not lines:
        raise RuntimeError("apt knows no Debian archive: run apt-get update")
    return lines


def apt_settings():
    """How apt reaches them (proxies, retries), as the text of an apt.conf."""
    return _said("apt-config", "dump", "--no-empty", "Acquire")


def packages(commit, options=""):
    """A folder with the Debian packages of a commit, built now if the cache lacks them or this machine has other
    packages than at that time: compilers, libraries, debhelper. `options` is dpkg's DEB_BUILD_OPTIONS."""
    def build(result, _):
        _said(TOP / "data/debian/build", result, commit, stdin=subprocess.DEVNULL,
              env=os.environ | {"DEB_BUILD_OPTIONS": options})

    tree = _said("git", "-C", TOP, "rev-parse", f"{commit}^{{tree}}").strip()
    machine = hashlib.sha256(_said("dpkg-query", "--show").encode()).hexdigest()
    return cached("-".join(["packages", tree[:16], machine[:16], *options.split()]), build)


def installable(folder):
    """The packages in it that a user installs."""
    return sorted(file for file in folder.glob("*.deb") if "-dbgsym" not in file.name)


def has_history():
    """A shallow clone has not, so it knows no older package; git fetch --unshallow brings it."""
    return _said("git", "-C", TOP, "rev-parse", "--is-shallow-repository").strip() == "false"


def first_packaged():
    """The oldest commit that has packages: what a machine may have installed before this one."""
    return _said("git", "-C", TOP, "log", "--diff-filter=A", "--format=%H", "--", "data/debian/control").split()[-1]


def _said(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return done.stdout
