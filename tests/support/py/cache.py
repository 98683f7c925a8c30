# SPDX-License-Identifier: LGPL-2.1-or-later
"""A folder outside the tree for what takes long to make and stays the same: the disk of an appliance, packages of a
commit. Each thing is a folder of its own; to delete them all is always safe."""

import contextlib
import fcntl
import os
import tempfile
from pathlib import Path


def cached(name, make):
    """The folder of this name. If it is not there, `make(result, work)` fills `result` and may use `work` for what it
    needs meanwhile. It is made beside the final place and renamed, so that a folder that exists is complete."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(os.environ.get("VOLD_LAB_CACHE") or Path(base, "volume-daemon-lab"))
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / name
    with _locked(cache / f"{name}.lock"):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(prefix="build.", dir=cache) as work:
                result = Path(work, "result")
                result.mkdir()
                make(result, Path(work))
                result.rename(folder)
    return folder


@contextlib.contextmanager
def _locked(path):
    """Hold a file lock: of two sessions that start together, one makes the thing and the other waits."""
    with open(path, "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
