# SPDX-License-Identifier: LGPL-2.1-or-later
"""A disk in hand: whatever happens to its name, an opened disk is the volume's."""

import cloudsim
import pytest

from .scene import pattern

SWAPS = 50
LINE = 36  # the mark of a volume begins with its id


@pytest.mark.usefixtures("kernel_names_only")
def test_names_change_hands_while_disks_are_opened(lab):
    """One program opens the disk of a volume again and again, while the disk and another one of the
    same size take turns under its name."""
    volume, other = lab.new_volume(), lab.new_volume()
    assert lab.attach(volume) == "/dev/vdb"
    output = lab.vm.spawn("opener", f"while :; do volumectl open {volume} --read-only -- "
                                    f"sh -c 'head -c {LINE} <&3 && echo'; done")
    lab.vm.wait_output(output, f"^{volume}$")

    here, away = volume, other
    for _ in range(SWAPS):
        lab.cloud.unplug_volume(here)
        lab.cloud.plug_volume(away, cloudsim.GIB)
        here, away = away, here
    lab.vm.wait_output(output, "^volumectl: ")
    lab.vm.run("systemctl stop opener")

    lines = lab.vm.read_file(output).decode().splitlines()
    # A disk that has gone meanwhile is read as an empty one, or not at all.
    opened = [line for line in lines if line and not line.startswith(("volumectl: ", "head: "))]
    assert set(opened) == {volume}, set(opened)
    assert any("gone" in line or "another disk" in line for line in lines)
    # It is here again.
    done = lab.vm.run(f"volumectl open {volume} -- head -c {LINE} /dev/fd/3", timeout=120)
    assert done.out.encode() == pattern(volume)[:LINE]


def test_the_disk_is_opened_before_the_job_has_ended(lab):
    volume = lab.new_volume()
    lab.cloud.set_faults([{"do": "job_delay", "command": "attachVolume", "seconds": 3600.0}])

    lab.vm.run(f"volumectl attach {volume} --wait=device >/run/device", timeout=120)

    assert lab.vm.read_file("/run/device").decode() == "/dev/vdb\n"
    done = lab.vm.run(f"volumectl open {volume} -- head -c {LINE} /dev/fd/3", timeout=120)
    assert done.out.encode() == pattern(volume)[:LINE]
    operation, = lab.product.volumectl("operations")
    assert operation["status"] == "executing"
