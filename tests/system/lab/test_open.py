# SPDX-License-Identifier: LGPL-2.1-or-later
"""A disk in hand: whatever happens to its name, an opened disk is the volume's."""

import cloudsim

from .scene import kernel_names_only, pattern

SWAPS = 20
ROUNDS_MAX = 20
LINE = 36  # the mark of a volume begins with its id


@kernel_names_only
def test_names_change_hands_while_disks_are_opened(lab):
    """One program opens the disk of a volume again and again, while the disk and another one of the
    same size take turns under its name."""
    volume, other = lab.new_volume(), lab.new_volume()
    assert lab.attach(volume) == "/dev/vdb"
    output = lab.vm.spawn("opener", f"while :; do volumectl open {volume} --read-only -- "
                                    f"sh -c 'head -c {LINE} <&3 && echo'; done")
    lab.vm.wait_output(output, f"^{volume}$")

    here, away = volume, other
    for _ in range(ROUNDS_MAX):
        for _ in range(SWAPS):
            lab.cloud.unplug_volume(here)
            lab.cloud.plug_volume(away, cloudsim.GIB)
            here, away = away, here
        if has_refused(lab.vm.read_file(output)):
            break
    lab.vm.run("systemctl stop opener")

    said = lab.vm.read_file(output)
    # A disk that has gone meanwhile is read as an empty one, or not at all.
    opened = [line for line in said.decode().splitlines() if line and not line.startswith(("volumectl: ", "head: "))]
    assert set(opened) == {volume}, set(opened)
    assert has_refused(said)
    lab.wait_disk(volume)
    done = lab.vm.run(f"volumectl open {volume} -- head -c {LINE} /dev/fd/3", timeout=120)
    assert done.out.encode() == pattern(volume)[:LINE]


def has_refused(said):
    return b"gone" in said or b"another disk" in said
