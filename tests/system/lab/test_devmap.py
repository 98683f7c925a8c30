# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stable names on a real device mapper, with disks that come and go and a udevd that may be silent.

The module under test is driven by the small program devmap_check, which runs under the same
restrictions as the daemon's unit. What a user of a name sees is seen by other programs: dd, which
reads and writes through the name, and dmsetup, which plays the other owner of maps.
"""

import os
import re
import shlex
import statistics

import pytest

from .scene import PROGRAMS

VOLUME_A = "0abcdef0-1111-4111-8111-111111111111"
VOLUME_B = "0abcdef0-2222-4222-8222-222222222222"
NAME = "vol0abcdef0"
NODE = f"/dev/mapper/{NAME}"

CHECK, SWAP_PAUSE = str(PROGRAMS / "devmap_check"), str(PROGRAMS / "swap_pause")
UNIT_FILE = "/usr/lib/systemd/system/volume-daemon.service"
SANDBOX = re.compile(r"^((?:Capability|NoNew|Device|Lock|MemoryDeny|Protect|Private|Restrict"
                     r"|SystemCall)\w*=.*)$", re.MULTILINE)

# What serves a name over NBD, each in the least number of words.
ENGINES = {
    "qemu-storage-daemon": [
        "qemu-storage-daemon",
        "--blockdev",
        f"driver=host_device,node-name=disk,filename={NODE},cache.direct=on,aio=native",
        "--nbd-server", "addr.type=inet,addr.host=127.0.0.1,addr.port=10809",
        "--export", "type=nbd,id=disk,node-name=disk,name=disk,writable=on"],
    "nbdkit": [
        "nbdkit", "--foreground", "--ipaddr", "127.0.0.1", "--port", "10809",
        "file", "dir=/run/exports"],
}
EXPORT = "nbd://127.0.0.1/disk"

MIB = 1 << 20
LONG_MS = 60_000
SHORT_MS = 2_000
SWAPS = 20

FIRST, SECOND = b"1" * 4096, b"2" * 4096


class Disk:
    """A disk in the appliance, and the file behind it."""

    def __init__(self, vm, path, name, size):
        self._vm = vm
        self.path = path
        self.id = f"map-{name}"
        self.serial = name
        path.write_bytes(b"")
        os.truncate(path, size)
        vm.qmp.command("blockdev-add", driver="file", filename=str(path), node_name=self.id)
        vm.qmp.command("device_add", driver="virtio-blk-pci", drive=self.id, id=self.id,
                       serial=name)
        link = f"/dev/disk/by-id/virtio-{name}"
        vm.run(f"until [ -e {link} ]; do sleep .05; done")
        self.kernel_name = vm.run(f"basename $(readlink -f {link})").out.strip()
        self.number = vm.run(f"cat /sys/block/{self.kernel_name}/dev").out.strip()
        self.size = size
        self._plugged = True

    def unplug(self):
        if self._plugged:
            self._plugged = False
            self._vm.qmp.command("device_del", id=self.id)
            self._vm.qmp.wait_event("DEVICE_DELETED", 60, device=self.id)
            self._vm.qmp.command("blockdev-del", node_name=self.id)

    def grow(self, size):
        self._vm.qmp.command("block_resize", node_name=self.id, size=size)
        self._vm.run(f"until [ $(cat /sys/block/{self.kernel_name}/size) = {size // 512} ]; "
                     "do sleep .05; done")
        self.size = size

    def block(self, number):
        """What the cloud finds in a block of 4096 bytes."""
        with open(self.path, "rb") as file:
            file.seek(number * 4096)
            return file.read(4096)


class Maps:
    """The module under test, disks for it, and what other programs do with its maps."""

    def __init__(self, vm, folder):
        self.vm = vm
        self._folder = folder
        self._disks = []
        self._properties = SANDBOX.findall(vm.read_file(UNIT_FILE).decode())
        self.log = ""

    def plug(self, name, size=16 * MIB):
        disk = Disk(self.vm, self._folder / f"{name}.img", name, size)
        self._disks.append(disk)
        return disk

    def _restricted(self, *words):
        return shlex.join(["systemd-run", "--quiet", "--collect",
                           *(f"--property={line}" for line in self._properties), *words])

    def start_engine(self, *words):
        """Start an engine of exports as the daemon's child would run, and wait until it serves."""
        self.vm.run(self._restricted("--unit=engine", *words))
        self.vm.run(f"until nbdinfo --size {EXPORT}; do systemctl is-active engine || exit; "
                    "sleep .2; done")

    def check(self, *words, timeout_ms=LONG_MS, cookie_ms=LONG_MS):
        """Run verbs under the daemon's restrictions; returns the lines that tell their outcome."""
        command = self._restricted("--wait", "--pipe", CHECK, str(timeout_ms), str(cookie_ms),
                                   *words)
        result = self.vm.run(command, timeout=150, check=False)
        self.log = result.err
        assert result.rc == 0, result
        return result.out.splitlines()

    def activate(self, disk, name=NAME, volume=VOLUME_A, **how):
        return self.check(*activating(disk, name, volume), **how)

    def listed(self):
        """The maps of ours: [name, volume, target, device, size, state, open=N]."""
        *maps, end = self.check("list")
        assert end == "ok"
        rows = [line.split()[1:] for line in maps]
        return [row[:2] + row[3:] for row in rows]    # the kernel's name is not promised

    def write(self, block, data, node=NODE):
        self.vm.write_file("/run/data", data)
        return self.vm.run(f"dd if=/run/data of={node} bs=4096 count=1 seek={block} oflag=direct "
                           "conv=notrunc", check=False)

    def open_writer(self, block, data):
        """A program that has the name open and writes a block when told to; see go()."""
        self.vm.write_file("/run/writer-data", data)
        self.vm.run("rm -f /run/go && mkfifo /run/go")
        return self.vm.spawn("writer", f"exec 3<>{NODE}; echo open; read -r _ < /run/go; "
                             f"if dd if=/run/writer-data bs=4096 count=1 seek={block} oflag=direct "
                             "conv=notrunc >&3; then echo written; else echo failed; fi; "
                             "exec sleep infinity")

    def open_client(self, half, end):
        """A client of the export that writes block after block, and waits half-way; see go()."""
        def commands(pattern, blocks):
            # What follows a flush is answered when all is on the disk.
            writes = "".join(f"write -P {pattern} {n * 4096} 4096\n" for n in blocks)
            return (writes + "flush\nlength\n").encode()

        self.vm.write_file("/run/before", commands(FIRST[0], range(half)))
        self.vm.write_file("/run/after", commands(SECOND[0], range(half, end)))
        self.vm.run("rm -f /run/go && mkfifo /run/go")
        # qemu-io does not look at lines that the C library has read ahead until more come.
        return self.vm.spawn("writer", "{ cat /run/before; read -r _ < /run/go; echo goes on >&2; "
                             f"cat /run/after; }} | stdbuf -i0 qemu-io -f raw {EXPORT}; "
                             "echo ended; exec sleep infinity")

    def go(self):
        self.vm.run("echo > /run/go")

    def wait_blocked(self):
        """Until the writer waits for the disk, without ever being interrupted."""
        self.vm.run("until cat /proc/[0-9]*/stat 2>/dev/null | grep -qF ' (dd) D '; do "
                    "sleep .05; done", timeout=120)

    def stop_writer(self):
        self.vm.run("systemctl stop writer", check=False)

    def clean(self):
        vm = self.vm
        vm.run("systemctl kill --signal=CONT systemd-udevd; systemctl start "
               "systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udevd",
               check=False)
        vm.run("dmsetup info -c --noheadings -o name | while read -r map; do "
               "dmsetup resume $map; done; systemctl stop writer engine; udevadm settle; "
               "dmsetup remove_all --retry; udevadm settle; dmsetup udevcomplete_all --yes",
               check=False, timeout=120)
        for disk in self._disks:
            disk.unplug()


def activating(disk, name, volume):
    return ["activate", name, volume, disk.number, str(disk.size)]


@pytest.fixture
def maps(appliance, tmp_path):
    maps = Maps(appliance, tmp_path)
    yield maps
    maps.clean()


def test_a_name_leads_to_its_disk(maps):
    disk = maps.plug("first")

    assert maps.activate(disk) == ["ok"]

    assert maps.listed() == [
        [NAME, VOLUME_A, "linear", disk.number, str(disk.size), "runs", "open=0"]]
    assert maps.write(3, FIRST).rc == 0
    assert disk.block(3) == FIRST
    links = maps.vm.run("ls /dev/disk/by-id").out.split()
    assert f"dm-name-{NAME}" in links and f"dm-uuid-VOLD-{VOLUME_A}" in links

    before = maps.vm.run("cat /sys/kernel/uevent_seqnum").out
    assert maps.activate(disk) == ["ok"]
    assert maps.vm.run("cat /sys/kernel/uevent_seqnum").out == before    # nothing was changed
    maps.vm.run("udevadm settle")

    assert maps.check("remove", VOLUME_A, "remove", VOLUME_A, "list") == ["ok", "ok", "ok"]
    assert maps.vm.run(f"ls -d {NODE} /dev/disk/by-id/dm-*", check=False).out == ""


def test_a_user_goes_on_when_the_volume_comes_back_as_another_disk(maps):
    first = maps.plug("first")
    assert maps.activate(first) == ["ok"]
    assert maps.write(0, FIRST).rc == 0
    output = maps.open_writer(1, SECOND)
    maps.vm.wait_output(output, "open")
    kernel_name = maps.vm.run(f"readlink {NODE}").out

    assert maps.check("suspend", VOLUME_A) == ["ok"]
    maps.go()
    maps.wait_blocked()
    first.unplug()
    second = maps.plug("second")
    assert second.number != first.number
    assert maps.listed()[0][-2:] == ["suspended", "open=1"]
    assert b"written" not in maps.vm.read_file(output)
    assert maps.activate(second) == ["ok"]

    maps.vm.wait_output(output, "written")
    assert second.block(1) == SECOND
    assert first.block(0) == FIRST and first.block(1) == bytes(4096)
    assert maps.vm.run(f"readlink {NODE}").out == kernel_name


def test_who_writes_hardly_notices_a_swap(maps, record_property):
    """Each block is on the disk the name led to; how long they had to wait is told, not judged. Every other swap is
    dmsetup's."""
    disks = [maps.plug(name, size=256 * MIB) for name in ("first", "second")]

    told = maps.vm.run(shlex.join([SWAP_PAUSE, NAME, VOLUME_A, str(disks[0].size), str(SWAPS),
                                   *(disk.number for disk in disks)]), timeout=300).out

    swaps = [(line.split()[0], *map(int, line.split()[1:])) for line in told.splitlines()]
    assert len(swaps) == SWAPS
    for index, (_, _, first, last) in enumerate(swaps):
        disk, other = disks[(index + 1) % 2], disks[index % 2]
        assert last > first
        for block in range(first, last + 1):
            assert int(disk.block(block)) == block
            assert other.block(block) == bytes(4096)
    ours, by_hand = ([pause / 1000 for maker, pause, _, _ in swaps if maker == wanted] for wanted in ("swap", "dmsetup"))
    record_property("figure", f"a name swapped under a writer: it waits {statistics.median(ours):.1f} ms, "
                              f"median of {len(ours)}, {min(ours):.1f} to {max(ours):.1f}; by dmsetup "
                              f"{statistics.median(by_hand):.1f} ms, {min(by_hand):.1f} to {max(by_hand):.1f}")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_client_goes_on_over_nbd(maps, engine):
    """The client writes block after block; half-way the disk goes and comes back."""
    first = maps.plug("first", size=MIB)
    assert maps.activate(first) == ["ok"]
    maps.vm.run(f"mkdir -p /run/exports && ln -sf {NODE} /run/exports/disk")
    maps.start_engine(*ENGINES[engine])
    assert maps.vm.run(f"nbdinfo --size {EXPORT}").out.strip() == str(first.size)
    half, end = first.size // 8192, first.size // 4096
    output = maps.open_client(half, end)
    maps.vm.wait_output(output, "1 MiB$")

    assert maps.check("suspend", VOLUME_A) == ["ok"]
    maps.go()
    maps.vm.wait_output(output, "goes on")
    first.unplug()
    second = maps.plug("second", size=MIB)
    assert maps.activate(second) == ["ok"]

    maps.vm.wait_output(output, "ended")
    assert b"rror" not in maps.vm.read_file(output)
    assert [first.block(n) for n in range(half)] == [FIRST] * half
    assert [second.block(n) for n in range(half, end)] == [SECOND] * (end - half)
    assert first.block(half) == bytes(4096) and second.block(half - 1) == bytes(4096)


def test_who_waits_is_told_when_the_volume_does_not_come_back(maps):
    disk = maps.plug("first")
    assert maps.activate(disk) == ["ok"]
    output = maps.open_writer(1, SECOND)
    maps.vm.wait_output(output, "open")
    assert maps.check("suspend", VOLUME_A) == ["ok"]
    maps.go()
    maps.wait_blocked()

    assert maps.check("wipe", VOLUME_A, "wipe", VOLUME_A) == ["ok", "ok"]

    maps.vm.wait_output(output, "failed")
    assert "Input/output error" in maps.write(2, SECOND).err
    assert disk.block(1) == bytes(4096)
    # It may still come back to who kept it open.
    assert maps.activate(disk) == ["ok"]
    assert maps.write(2, SECOND).rc == 0
    assert disk.block(2) == SECOND


def test_a_map_in_use_is_not_removed(maps):
    disk = maps.plug("first")
    assert maps.activate(disk) == ["ok"]
    maps.vm.wait_output(maps.open_writer(1, SECOND), "open")

    line, = maps.check("remove", VOLUME_A)

    assert line.startswith("CONFLICT") and NODE in line
    assert maps.write(0, FIRST).rc == 0
    # udevd looks at what a writer has closed; that is no user.
    maps.stop_writer()
    assert maps.check("remove", VOLUME_A) == ["ok"]
    assert maps.vm.run(f"ls {NODE}", check=False).rc != 0


def test_what_belongs_to_others_is_not_touched(maps):
    disk = maps.plug("first")
    maps.vm.run(f"dmsetup create {NAME} --uuid OTHER-1 --table '0 2048 error'")
    foreign = maps.vm.run(f"dmsetup info {NAME}; dmsetup table {NAME}").out

    line, = maps.activate(disk)

    assert line.startswith("CONFLICT") and NAME in line
    assert maps.listed() == []
    assert maps.check("wipe", VOLUME_A, "remove", VOLUME_A) == ["ok", "ok"]
    assert maps.check("suspend", VOLUME_A)[0].startswith("NOT_FOUND")
    # Under a longer name it goes; and back to the taken one it does not.
    assert maps.activate(disk, name=f"{NAME}111") == ["ok"]
    assert maps.activate(disk)[0].startswith("CONFLICT")
    assert maps.listed()[0][:2] == [f"{NAME}111", VOLUME_A]
    assert maps.vm.run(f"dmsetup info {NAME}; dmsetup table {NAME}").out == foreign


def test_two_volumes_that_begin_alike(maps):
    first, second = maps.plug("first"), maps.plug("second")

    assert maps.activate(first) == ["ok"]
    assert maps.activate(second, volume=VOLUME_B)[0].startswith("CONFLICT")
    assert maps.activate(second, name=f"{NAME}2222", volume=VOLUME_B) == ["ok"]

    assert maps.write(0, FIRST).rc == 0
    assert maps.write(0, SECOND, node=f"{NODE}2222").rc == 0
    assert (first.block(0), second.block(0)) == (FIRST, SECOND)
    # The name is free again and is taken over: the map is renamed, and nothing is left behind.
    assert maps.check("remove", VOLUME_A) == ["ok"]
    assert maps.activate(second, volume=VOLUME_B) == ["ok"]
    assert maps.vm.mapper_nodes() == ["control", NAME]
    assert maps.write(1, SECOND).rc == 0 and second.block(1) == SECOND


def test_a_disk_somebody_holds(maps):
    disk = maps.plug("first")
    maps.vm.run(f"mkfs.ext4 -q /dev/{disk.kernel_name} && mount /dev/{disk.kernel_name} /mnt")
    try:
        line, = maps.activate(disk)
    finally:
        maps.vm.run("umount /mnt")

    assert line.startswith("CONFLICT") and disk.number in line
    assert maps.listed() == []
    assert maps.activate(disk) == ["ok"]


def test_a_disk_grows_under_its_users(maps):
    disk = maps.plug("first")
    assert maps.activate(disk) == ["ok"]
    output = maps.open_writer(5000, SECOND)    # behind the end
    maps.vm.wait_output(output, "open")
    small, disk.size = disk.size, 32 * MIB

    # As long as the disk is smaller, it is refused, and nothing is changed.
    assert maps.activate(disk)[0].startswith("SERVICE_UNAVAILABLE")
    assert maps.write(0, FIRST).rc == 0
    assert maps.vm.run(f"blockdev --getsize64 {NODE}").out.strip() == str(small)

    disk.grow(32 * MIB)
    assert maps.activate(disk) == ["ok"]
    assert maps.vm.run(f"blockdev --getsize64 {NODE}").out.strip() == str(disk.size)
    maps.go()
    maps.vm.wait_output(output, "written")
    assert disk.block(5000) == SECOND


def test_udevd_does_not_answer(maps):
    first, second = maps.plug("first"), maps.plug("second")
    maps.vm.run("systemctl kill --signal=STOP systemd-udevd")

    assert maps.check(*activating(first, NAME, VOLUME_A), *activating(second, f"{NAME}2222", VOLUME_B),
                      "remove", VOLUME_B, cookie_ms=SHORT_MS) == ["ok", "ok", "ok"]

    assert maps.log.count("udevd has not answered") == 1
    assert maps.write(0, FIRST).rc == 0 and first.block(0) == FIRST
    assert maps.vm.mapper_nodes() == ["control", NAME]
    assert "0x" not in maps.vm.run("dmsetup udevcookies").out
    # When it is back, it takes over.
    maps.vm.run("systemctl kill --signal=CONT systemd-udevd; udevadm settle")
    assert maps.vm.mapper_nodes() == ["control", NAME]
    assert maps.check("remove", VOLUME_A) == ["ok"]
    assert maps.log == ""
    assert maps.vm.mapper_nodes() == ["control"]


def test_no_udevd(maps):
    disk, second = maps.plug("first"), maps.plug("second")
    maps.vm.run("systemctl stop systemd-udevd-control.socket systemd-udevd-kernel.socket "
                "systemd-udevd")

    assert maps.activate(disk) == ["ok"]
    assert maps.write(0, FIRST).rc == 0 and disk.block(0) == FIRST
    assert maps.activate(second) == ["ok"]
    assert maps.write(0, SECOND).rc == 0 and second.block(0) == SECOND
    assert maps.activate(second, name=f"{NAME}111") == ["ok"]
    assert maps.vm.mapper_nodes() == ["control", f"{NAME}111"]
    assert maps.check("remove", VOLUME_A) == ["ok"]
    assert maps.vm.mapper_nodes() == ["control"]


def test_a_disk_that_hangs_stops_nobody_else(maps):
    first, second = maps.plug("first"), maps.plug("second")
    maps.vm.run(f"dmsetup create slow --uuid OTHER-1 --table '0 32768 linear {first.number} 0'")
    slow = maps.vm.run("dmsetup info -c --noheadings -o major,minor slow").out.strip()
    assert maps.check("activate", NAME, VOLUME_A, slow, str(first.size)) == ["ok"]
    output = maps.open_writer(1, SECOND)
    maps.vm.wait_output(output, "open")
    maps.vm.run("dmsetup suspend --noflush --nolockfs slow")
    maps.go()
    maps.wait_blocked()

    outcome = maps.check("suspend", VOLUME_A, "list", *activating(second, "second", VOLUME_B), "suspend",
                         VOLUME_A, "remove", VOLUME_B, timeout_ms=5000)

    assert outcome[0].startswith("TIMEOUT") and VOLUME_A in outcome[0]
    assert NAME in outcome[1] and outcome[2:4] == ["ok", "ok"]
    assert outcome[4].startswith("SERVICE_UNAVAILABLE")
    assert outcome[5] == "ok"
    # The disk answers again: nobody has lost anything.
    maps.vm.run("dmsetup resume slow")
    assert maps.activate(first) == ["ok"]
    maps.vm.wait_output(output, "written")
    assert first.block(1) == SECOND
