# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Debian that this machine has, for roots that mmdebstrap makes of it."""

import platform
import subprocess


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


def _said(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
