# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real block devices behind the nodes of a simulated /sys/block, for programs that open a disk."""

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest


def _run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@contextmanager
def loop_device(image):
    """A loop device over a file, while it is needed; the test is skipped where there can be none."""
    try:
        loop = _run("losetup", "--find", "--show", image)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no loop device can be had here")
    try:
        yield Path(loop)
    finally:
        _run("losetup", "--detach", loop)


def lead(world, name, loop):
    """The node of a disk leads to this device, as if the kernel had given it the name."""
    node = world.folder / "disks/dev" / name
    node.unlink()
    node.symlink_to(loop)


@contextmanager
def real_disk(world, path):
    """The disk at a path of the world becomes a real block device with the contents that it has."""
    name = Path(path).name
    disks = world.folder / "disks"
    with loop_device(disks / "dev" / name) as loop:
        number = os.stat(loop).st_rdev
        by_number = disks / "dev/block"
        by_number.mkdir(exist_ok=True)
        (by_number / f"{os.major(number)}:{os.minor(number)}").symlink_to(disks / "block" / name)
        # The kernel numbers the disks: no other one has this number in this boot.
        fresh = disks / "aside/diskseq"
        fresh.write_text(Path(f"/sys/block/{loop.name}/diskseq").read_text())
        fresh.rename(disks / "block" / name / "diskseq")
        lead(world, name, loop)
        yield loop
        (by_number / f"{os.major(number)}:{os.minor(number)}").unlink()
