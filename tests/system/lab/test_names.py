# SPDX-License-Identifier: LGPL-2.1-or-later
"""Names and exports that follow their volume, with the whole daemon on a real kernel.

Who uses a volume here knows its name in /dev/mapper or its export over NBD and nothing else. What
they wrote is compared on the cloud's side, in the file behind the volume.
"""

import hashlib
import itertools
import json

import cloudsim
import pytest

from .product import EXIT_CONFLICT, EXIT_UNAVAILABLE
from .scene import (BLOCK, assert_nbd_writer_lost_nothing, engine_pid, nbd_writer_of, node, pattern, uri,
                    wait_served)

CYCLES = 16

MOUNT_POINT = "/run/in-use"


# Like Product.volumectl(), it tries again as long as the store is late.
CHANGE = f"""set -e
    change() {{
        code=0; volumectl "$@" --json || code=$?
        if [ $code = {EXIT_UNAVAILABLE} ]; then change "$@"; else return $code; fi
    }}
    """


def number(text):
    """A block that shows which one it is."""
    return b"%0*d" % (BLOCK, text)


class Client:
    """An NBD client that stays connected and does what it is told, one thing at a time."""

    def __init__(self, vm, unit, volume):
        self._vm = vm
        self._unit = unit
        self._fifo = f"/run/{unit}.fifo"
        vm.run(f"rm -f {self._fifo}; mkfifo {self._fifo}")
        # Opened to read and write, so that it sees no end between two commands.
        self._output = vm.spawn(unit, f"exec stdbuf -i0 -oL qemu-io -f raw {uri(volume)} "
                                      f"<>{self._fifo}")

    def write(self, byte, block):
        self.begin_write(byte, block)
        self.wait_written(block)

    def begin_write(self, byte, block):
        self._vm.run(f"echo write -f -P {byte} {block * BLOCK} {BLOCK} >{self._fifo}")

    def wait_written(self, block):
        self._vm.wait_output(self._output,
                             f"wrote {BLOCK}/{BLOCK} bytes at offset {block * BLOCK}$")

    def close(self):
        self._vm.run(f"systemctl stop {self._unit}", check=False)


class Users:
    """Programs that use a disk, each a unit."""

    def __init__(self, vm):
        self._vm = vm
        self._numbers = itertools.count()
        self._units = []

    def __call__(self, command):
        self._units.append(f"user-{next(self._numbers)}")
        output = self._vm.spawn(self._units[-1], command)
        self._vm.wait_output(output, "ready")
        return output

    def end(self):
        if self._units:
            self._vm.run(f"systemctl stop {' '.join(self._units)}", check=False)
        self._units.clear()


@pytest.fixture
def client(lab):
    """Connects clients, and disconnects them at the end."""
    clients = []

    def connect(volume):
        clients.append(Client(lab.vm, f"client-{len(clients)}", volume))
        return clients[-1]

    yield connect
    for one in clients:
        one.close()


@pytest.fixture
def user(lab):
    """Runs programs that use a disk, each until the end of the test or until told."""
    users = Users(lab.vm)
    yield users
    users.end()


def detach(lab, volume, *words):
    detached = lab.product.volumectl("detach", volume, *words)
    assert detached["status"] == "completed", detached


def is_served(lab, volume):
    return lab.vm.run(f"nbdinfo --size {uri(volume)}", check=False).rc == 0


def read_by_name(lab, volume):
    return lab.contents(node(volume))


# ---- a name is a promise ----

@pytest.mark.slowest
def test_a_volume_keeps_its_name_and_its_contents(lab):
    """The kernel's name changes each time; the name, the export and what was written do not.

    Two volumes take turns in being the first that comes, and so the kernel's first disk.
    """
    volumes = [lab.new_volume(), lab.new_volume()]
    expected = {volume: pattern(volume) for volume in volumes}
    bytes_of = {volume: range(n, CYCLES + 1, 2) for n, volume in enumerate(volumes, 1)}

    for turn in range(CYCLES // 2):
        told = lab.vm.run(CHANGE + "".join(
            [f"change attach {volume}\n" for volume in volumes] +
            [cycle_script(volume, bytes_of[volume][:turn + 1]) for volume in volumes] +
            [f"change detach {volume}\n" for volume in volumes]), timeout=240)
        lines = told.out.splitlines()
        for n, volume in enumerate(volumes):
            attached, read, detached = (lines[part * 2 + n] for part in range(3))
            response = json.loads(attached)["response"]
            assert response["device_path"] == f"/dev/vd{'bc'[n]}"
            assert response["persistent_device_name"] == f"vol{volume[:8]}"
            assert read.split()[0] == hashlib.sha256(expected[volume]).hexdigest(), told
            assert json.loads(detached)["status"] == "completed"
            expected[volume] += number(turn) + bytes([bytes_of[volume][turn]]) * BLOCK
            found = lab.contents_behind(volume, 0, len(expected[volume]))
            assert found == expected[volume]
        volumes.reverse()


def cycle_script(volume, written):
    """Prints the sum of all there is, read by name, and checks over NBD what was written over NBD,
    a block of each byte but the last one; writes a block by name and the last one over NBD."""
    *earlier, new = written
    blocks = 1 + 2 * len(earlier)
    reads = "".join(f"-c 'read -P {byte} {(2 + 2 * n) * BLOCK} {BLOCK}' "
                    for n, byte in enumerate(earlier))
    return f"""
    dd if={node(volume)} bs={BLOCK} count={blocks} iflag=direct status=none | sha256sum
    printf %0{BLOCK}d {len(earlier)} |
        dd of={node(volume)} bs={BLOCK} seek={blocks} iflag=fullblock oflag=direct status=none \\
            conv=notrunc
    qemu-io -f raw {reads} -c 'write -f -P {new} {(blocks + 1) * BLOCK} {BLOCK}' {uri(volume)} >&2
    """


def test_two_volumes_that_begin_alike(lab):
    digits = "0abcdef0"
    first, second = (lab.cloud.put_volume(id=f"{digits}-{n * 4}-4{n * 3}-8{n * 3}-{n * 12}")["id"]
                     for n in ("1", "2"))
    names = []
    for volume in (first, second):
        lab.mark(volume)
        names.append(lab.product.volumectl("attach", volume)["response"]["persistent_device_name"])

    assert names == [f"vol{digits}", f"vol{digits}2222"]
    assert lab.contents(f"/dev/mapper/{names[0]}") == pattern(first)
    assert lab.contents(f"/dev/mapper/{names[1]}") == pattern(second)

    # The short name is the first one's for good, even while it is away.
    for volume in (first, second):
        detach(lab, volume)
    assert lab.product.volumectl("attach", second)["response"]["persistent_device_name"] == names[1]
    assert lab.contents(f"/dev/mapper/{names[1]}") == pattern(second)


# ---- detached and back, under its users ----

def test_users_go_on_when_the_volume_comes_back(lab, user):
    """A writer of the name and an NBD client write all the time; each block of each is compared."""
    volume, other = lab.new_volume(), lab.new_volume()
    device = lab.attach(volume)
    pid = engine_pid(lab)
    lab.vm.run("rm -f /run/enough")
    writer = user(writer_of(volume))
    client = user(nbd_writer_of(volume))

    detach(lab, volume, "--keep-name")
    assert list(lab.disks()) == ["vda"]
    lab.attach(other)
    assert lab.attach(volume) != device

    assert engine_pid(lab) == pid
    lab.vm.run("touch /run/enough")
    written = int(lab.vm.wait_output(writer, "^wrote").split()[1])
    assert written > 0
    assert lab.contents_behind(volume, 0, written * BLOCK) == b"".join(map(number, range(written)))
    assert_nbd_writer_lost_nothing(lab, volume, client)


def writer_of(volume):
    """Writes block after block through a name it has opened once."""
    return f"""exec 3<>{node(volume)}; n=0; echo ready
    until [ -e /run/enough ]; do
        printf %0{BLOCK}d $n |
            dd bs={BLOCK} iflag=fullblock oflag=direct status=none >&3 || exit
        n=$((n + 1))
        sleep .1
    done
    echo wrote $n"""


@pytest.mark.configured(hold_seconds=3)
def test_users_are_told_when_the_volume_does_not_come_back(lab, user):
    volume = lab.new_volume()
    lab.attach(volume)
    output = user(f"exec 3<>{node(volume)}; echo ready; "
                  f"while dd if=/dev/zero bs={BLOCK} count=1 seek=9 oflag=direct "
                  "conv=notrunc status=none >&3; do sleep .2; done; "
                  "exec 3>&-; echo failed; exec sleep infinity")

    detach(lab, volume, "--keep-name")

    lab.vm.wait_output(output, "Input/output error")
    lab.vm.wait_output(output, "failed")
    lab.vm.run(f"while [ -e {node(volume)} ]; do sleep .2; done")
    lab.attach(volume)
    assert read_by_name(lab, volume) == pattern(volume)


# ---- who dies ----

def test_exports_are_served_again_when_the_engine_died(lab, client):
    volumes = [lab.new_volume(), lab.new_volume()]
    for volume in volumes:
        lab.attach(volume)
    client(volumes[0]).write(1, 1)
    pid = engine_pid(lab)

    lab.vm.run(f"kill -KILL {pid}")

    for volume in volumes:
        wait_served(lab, volume)
    assert engine_pid(lab) != pid
    client(volumes[0]).write(2, 2)
    client(volumes[1]).write(3, 1)
    assert lab.contents_behind(volumes[0], 0, 3 * BLOCK) == \
        pattern(volumes[0]) + b"\1" * BLOCK + b"\2" * BLOCK
    assert lab.contents_behind(volumes[1], BLOCK, BLOCK) == b"\3" * BLOCK


@pytest.fixture
def engine_unit(lab):
    """The engine as a unit of its own, for the daemon to use; its name."""
    unit = "volume-daemon-export.service"
    lab.product.configure(engine_socket="/run/volume-daemon-export/qmp.sock")
    lab.vm.run(f"systemctl start {unit}")
    lab.product.restart()
    yield unit
    lab.product.configure()
    lab.vm.run(f"systemctl kill --signal=KILL {unit}; systemctl stop {unit}")


def test_an_engine_of_its_own_unit(lab, client, engine_unit):
    volume, other = lab.new_volume(), lab.new_volume()
    for one in (volume, other):
        lab.attach(one)
    writer = client(volume)
    writer.write(1, 1)
    pid = unit_pid(lab, engine_unit)

    lab.product.restart()
    writer.write(2, 2)
    detach(lab, other)
    assert not is_served(lab, other)
    writer.write(3, 3)
    lab.attach(other)
    assert engine_pid(lab) == unit_pid(lab, engine_unit) == pid

    lab.vm.run(f"systemctl kill --signal=KILL {engine_unit}")
    for one in (volume, other):
        wait_served(lab, one)
    client(volume).write(4, 4)
    assert engine_pid(lab) == unit_pid(lab, engine_unit) != pid
    assert lab.contents_behind(volume, 0, 5 * BLOCK) == \
        pattern(volume) + b"".join(bytes([byte]) * BLOCK for byte in (1, 2, 3, 4))


def unit_pid(lab, unit):
    return int(lab.vm.run(f"systemctl show --property=MainPID --value {unit}").out)


def test_clients_do_not_notice_that_the_daemon_died(lab, client):
    volume, other = lab.new_volume(), lab.new_volume()
    lab.attach(volume)
    writer = client(volume)
    writer.write(1, 1)
    pid = engine_pid(lab)

    lab.product.crash()

    writer.write(2, 2)
    assert engine_pid(lab) == pid
    lab.attach(other)
    wait_served(lab, other)
    writer.write(3, 3)
    assert engine_pid(lab) == pid
    assert lab.contents_behind(volume, 0, 4 * BLOCK) == \
        pattern(volume) + b"".join(bytes([byte]) * BLOCK for byte in (1, 2, 3))


@pytest.mark.configured(stable_names="no")     # as on a machine without device mapper
def test_a_mounted_disk_is_exported_after_umount(lab, user):
    """No name keeps the mount and the export apart, so the daemon does."""
    volume = lab.new_volume()
    link = f"/dev/disk/by-id/virtio-{cloudsim.serial_of(volume)}"
    lab.vm.run(f"mkfs.ext4 -q {lab.attach(volume)}")
    detach(lab, volume)
    lab.cloud.set_faults([{"do": "job_delay", "command": "attachVolume", "volume": volume,
                           "seconds": 3600}])
    operation = lab.product.begin("attach", volume)
    user(f"mkdir -p {MOUNT_POINT}; until mount {link} {MOUNT_POINT}; do sleep .1; done; "
         f"echo ready; exec sleep infinity")
    lab.cloud.hurry()

    response = lab.wait(operation)["response"]

    assert response["export_status"] == "pending"
    assert f"mounted at {MOUNT_POINT}" in response["message"]
    assert not is_served(lab, volume)
    lab.vm.run(f"umount {MOUNT_POINT}")
    wait_served(lab, volume)

    lab.vm.run(f"mount {link} {MOUNT_POINT}; kill -KILL {engine_pid(lab)}")
    lab.vm.run(f"until volumectl export-show {volume} --json | grep 'mounted at {MOUNT_POINT}'; "
               "do sleep 1; done", timeout=150)
    assert not is_served(lab, volume)
    lab.vm.run(f"umount {MOUNT_POINT}")
    wait_served(lab, volume)


# ---- detach harms nobody ----

IN_USE = {
    "mounted": (
        f"mkfs.ext4 -q {{node}} && mkdir -p {MOUNT_POINT} && mount {{node}} {MOUNT_POINT} && "
        f"trap 'umount {MOUNT_POINT}; exit' TERM",
        f"mounted at {MOUNT_POINT}"),
    "swap": (
        "mkswap -q {node} 2>/dev/null || mkswap {node}; swapon {node} && "
        "trap 'swapoff {node}; exit' TERM", "swap"),
    "device mapper on top": (
        "dmsetup create --table '0 2048 linear {node} 0' top && "
        "trap 'dmsetup remove --retry top; exit' TERM", "held by top"),
    "open": ("exec 3<{node}", "opened by "),
    # The last one, since the kernel unmounts only a moment after the end of the namespace.
    "mounted in a namespace": (
        f"mkfs.ext4 -q {{node}} && mkdir -p {MOUNT_POINT} && "
        f"unshare --mount sh -c 'mount {{node}} {MOUNT_POINT}; echo ready; exec sleep infinity'",
        f"mounted at {MOUNT_POINT}"),
}


def test_a_volume_in_use_is_not_detached(lab, user):
    volume = lab.new_volume()
    lab.attach(volume)
    for how, (command, shown) in IN_USE.items():
        user(command.format(node=node(volume)) + "; echo ready; sleep infinity & wait")

        refused = lab.product.try_volumectl("detach", volume)

        assert refused.rc == EXIT_CONFLICT, (how, refused)
        assert shown in refused.err, (how, refused)
        user.end()
    assert lab.jobs("detachVolume") == []
    assert is_served(lab, volume)


def test_lvm_keeps_its_volume(lab):
    """Whether LVM or the name was first: who attaches learns which, and what LVM uses stays."""
    volume = lab.new_volume()
    lab.attach(volume)
    lvm = f"--quiet --config 'devices {{ global_filter = [ \"a|^{node(volume)}$|\", \"r|.*|\" ] }}'"
    lab.vm.run(f"set -e; pvcreate {lvm} {node(volume)}; vgcreate {lvm} lab {node(volume)}; "
               f"lvcreate {lvm} --name data --extents 1 --zero n --wipesignatures n lab; "
               f"printf kept | dd of=/dev/lab/data conv=fsync; vgchange {lvm} -an lab")
    detach(lab, volume)

    response = lab.product.volumectl("attach", volume)["response"]

    lab.settle()
    lab.vm.run("while systemctl --quiet is-active lvm-activate-lab; do sleep .1; done")
    if response["persistent_device_name"]:
        assert b"LABELONE" in lab.contents(node(volume))
        lab.vm.run(f"[ -e /dev/lab/data ] || vgchange {lvm} -ay lab")
    else:
        assert "held by lab-data" in response["message"]
    refused = lab.product.try_volumectl("detach", volume)
    assert refused.rc == EXIT_CONFLICT, refused
    assert "held by lab-data" in refused.err
    assert lab.vm.read_file("/dev/lab/data", 4) == b"kept"
    lab.vm.run("vgchange --quiet -an lab")
    detach(lab, volume)
    assert list(lab.disks()) == ["vda"]


def test_a_client_keeps_its_volume_and_force_takes_it(lab, client):
    volume = lab.new_volume()
    lab.attach(volume)
    writer = client(volume)
    writer.write(1, 1)

    refused = lab.product.try_volumectl("detach", volume)

    assert refused.rc == EXIT_CONFLICT, refused
    assert "NBD client 127.0.0.1:" in refused.err
    writer.write(2, 2)
    detach(lab, volume, "--force")
    assert list(lab.disks()) == ["vda"]
    assert not is_served(lab, volume)
    assert lab.contents_behind(volume, BLOCK, 2 * BLOCK) == b"\1" * BLOCK + b"\2" * BLOCK


def test_force_detaches_what_is_open(lab, user):
    volume = lab.new_volume()
    lab.attach(volume)
    user(f"exec 3<{node(volume)}; echo ready; exec sleep infinity")
    assert lab.product.try_volumectl("detach", volume).rc == EXIT_CONFLICT

    detach(lab, volume, "--force")

    assert list(lab.disks()) == ["vda"]
    assert lab.cloud.volume(volume)["vm"] is None


# ---- left-overs ----

def test_what_is_left_of_a_name_goes_and_what_is_not_ours_stays(lab):
    away = lab.new_volume()
    foreign = "volffffffff"
    lab.product.stop()
    lab.vm.run(f"dmsetup create vol{away[:8]} --uuid VOLD-{away} --table '0 2048 error'; "
               f"dmsetup create {foreign} --uuid OTHER-1 --table '0 2048 error'")
    try:
        lab.product.start()

        lab.vm.run(f"while dmsetup info vol{away[:8]}; do sleep .2; done")
        uuid = lab.vm.run(f"dmsetup info -c --noheadings -o uuid {foreign}").out.strip()
        assert uuid == "OTHER-1"
        assert lab.vm.run(f"dmsetup table {foreign}").out.strip() == "0 2048 error"
        lab.attach(away)
        assert read_by_name(lab, away) == pattern(away)
    finally:
        lab.vm.run(f"dmsetup remove --retry {foreign}")
