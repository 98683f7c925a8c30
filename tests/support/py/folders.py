# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where pytest makes the folders of tests: in memory, if there is plenty of it.

A world makes and removes dozens of files, and its daemon a store. A file system on a disk takes a third of the system's
time of a test for them: without a journal ext4 gives no inode out that was freed in the last minute, and looks at each of
these for each new file.
"""

import os
import shutil
from pathlib import Path

MEMORY = Path("/dev/shm")
# Of the memory and of the file system. Worlds of tests that pass are removed; what stays is less than a tenth of it.
NEEDED = 8 << 30


def _available():
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return 0


def _is_plenty():
    try:
        found = os.statvfs(MEMORY)
    except OSError:
        return False
    # Tests start programs that they have written there.
    usable = not found.f_flag & (os.ST_NOEXEC | os.ST_RDONLY) and os.access(MEMORY, os.W_OK)
    return usable and min(found.f_bavail * found.f_frsize, _available()) >= NEEDED


def use_memory():
    """For all folders of pytest from now on, of its workers, too."""
    if "PYTEST_DEBUG_TEMPROOT" not in os.environ and _is_plenty():
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(MEMORY)


def let_go(folder):
    """Nobody needs a folder any more. On a disk it stays, as pytest has it: to remove it is dear there."""
    if MEMORY in Path(folder).parents:
        shutil.rmtree(folder, ignore_errors=True)
