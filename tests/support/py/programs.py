# SPDX-License-Identifier: LGPL-2.1-or-later
"""The programs under test."""

import os
from pathlib import Path

_FOLDERS = {"volume-daemon": "src/daemon", "volumectl": "src/volumectl", "steps": "tests/system/crash",
            "volume-daemon-crash": "tests/system/crash", "lease_client": "tests/system/e2e",
            "life": "tests/system/clients"}


def program(name):
    """The path of a program in the build directory under test."""
    build = os.environ.get("VOLD_BUILD")
    if not build:
        raise RuntimeError("VOLD_BUILD must name the meson build directory to test")
    return str(Path(build) / _FOLDERS[name] / name)
