# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks for the appliance: what an attach looks like from inside the guest.

A plug back end makes disks appear and vanish. `none` makes nothing, `tree` keeps a directory that
looks like sysfs, `loop` makes loop devices out of sparse files, and `qmp` hot-plugs into a running
QEMU. All four share one interface and its bookkeeping: a disk is known by a key (the volume's id,
or a made-up one for a disk plugged behind everybody's back), plugging a disk that is there and
unplugging one that is not both succeed, as with KVM's agent, and the contents live in a sparse
file per key, so that they survive a detach.

Calls may block for as long as the guest takes. They are serialised by the back end's own lock and
must be made without the world's.
"""

import errno
import fcntl
import logging
import os
import shutil
import subprocess
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from .qmp import QMP, NotFound, QMPError

log = logging.getLogger("cloudsim")

SECTOR = 512
BUSES = ("virtio", "scsi", "none")
UNPLUG_DEADLINE = 10.0      # seconds; as long as the real agent waits
LOOP_CLR_FD = 0x4C01        # of linux/loop.h


class PlugError(Exception):
    """The guest or the host would not have it."""


@dataclass
class Disk:
    key: str
    serial: str | None
    size: int                   # bytes
    bus: str
    name: str | None = None     # wished for, or given by the back end

    def row(self):
        return asdict(self)


class Plug:
    """The `none` back end, and the bookkeeping of the others: they fill in the `_` methods."""

    def __init__(self, images=None):
        self._lock = threading.Lock()
        self._disks = {}
        self._doomed = set()
        self._images = images and Path(images)
        if self._images:
            # Ids repeat from run to run, and a new volume must not hold what an earlier run wrote.
            _claim(self._images)
            for left in self._images.glob("*.img"):
                left.unlink()

    def open(self, root):
        """Start, with the appliance's root disk where the back end wants one."""

    def plug(self, disk):
        with self._lock:
            if disk.key not in self._disks:
                self._insert(disk)
                self._disks[disk.key] = disk
            return self._disks[disk.key]

    def unplug(self, key):
        with self._lock:
            if disk := self._disks.get(key):
                self._remove(disk)
                del self._disks[key]
            if key in self._doomed:
                self._discard(key)

    def resize(self, key, size):
        with self._lock:
            if disk := self._disks.get(key):
                self._resize(disk, size)
                disk.size = size

    def forget(self, key):
        """The volume is gone for good: drop its contents, once nothing uses them any more."""
        with self._lock:
            self._doomed.add(key)
            if key not in self._disks:
                self._discard(key)

    def copy(self, source, target):
        """Give one key the contents of another, where there are contents."""
        with self._lock:
            if self._images and self._image(source).exists():
                _run("cp", "--sparse=always", str(self._image(source)), str(self._image(target)))

    def disks(self):
        with self._lock:
            return list(self._disks.values())

    def close(self):
        for disk in self.disks():
            try:
                self.unplug(disk.key)
            except PlugError as error:
                log.warning("%s stays: %s", disk.name or disk.key, error)

    # -- contents

    def _image(self, key):
        return self._images / f"{key}.img"

    def _make_image(self, key, size):
        """A sparse file of that size. What is in it stays: a test may have written it."""
        path = self._image(key)
        path.touch()
        os.truncate(path, size)
        return path

    def _discard(self, key):
        if self._images:
            self._image(key).unlink(missing_ok=True)

    # -- for the back ends

    def _insert(self, disk):
        pass

    def _remove(self, disk):
        pass

    def _resize(self, disk, size):
        pass


class TreePlug(Plug):
    """A directory like sysfs: `block/<name>/` with attributes, `dev/<name>` for the node. Of the
    many attributes of the kernel it has those that somebody reads, and folders among them: each
    file costs a file system more than all the rest that the plug of a disk takes.

    An entry is made beside `block` and renamed into it, so no scan ever sees half of one. The
    kernel never gives a sysfs inode number out twice, while an ordinary file system does so at
    the first chance; directories of unplugged disks are therefore emptied but kept aside, which
    keeps their numbers taken.
    """

    def __init__(self, directory):
        top = Path(directory)
        _claim(top)
        self._block, self._dev, self._aside = top / "block", top / "dev", top / "aside"
        for folder in (self._block, self._dev, self._aside):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        super().__init__(top / "images")
        self._diskseq = 0
        self._gone = 0

    def open(self, root):
        self.plug(root)
        partition = self._aside / "vda1"
        _write_tree(partition, {"partition": "1\n", "dev": "254:1\n",
                                "size": f"{root.size // SECTOR - 4096}\n"})
        partition.rename(self._block / "vda" / "vda1")

    def close(self):
        """All disks go at once. What was in their folders stays aside: to remove it file by file
        is dear, and a file system without a journal then looks for new inodes for a minute."""
        with self._lock:
            self._block.rename(self._aside / "block")
            self._block.mkdir()
            for disk in self._disks.values():
                (self._dev / disk.name).unlink()
            self._disks.clear()
            for key in self._doomed:
                self._discard(key)

    def _insert(self, disk):
        prefix = "sd" if disk.bus == "scsi" else "vd"
        taken = {d.name for d in self._disks.values()}
        index, name = next((i, n) for i, n in _names(prefix) if n not in taken)
        if disk.name and disk.name in taken:
            raise PlugError(f"{disk.name} is taken")
        disk.name = disk.name or name
        self._diskseq += 1
        os.link(self._make_image(disk.key, disk.size), self._dev / disk.name)
        fresh = self._aside / disk.name
        _write_tree(fresh, self._attributes(disk, index))
        fresh.rename(self._block / disk.name)

    def _remove(self, disk):
        self._gone += 1
        grave = self._aside / f"gone-{self._gone}"
        (self._block / disk.name).rename(grave)
        (self._dev / disk.name).unlink()
        for entry in grave.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def _resize(self, disk, size):
        os.truncate(self._image(disk.key), size)
        fresh = self._aside / "size"
        fresh.write_text(f"{size // SECTOR}\n")
        fresh.rename(self._block / disk.name / "size")

    def _attributes(self, disk, index):
        scsi = disk.bus == "scsi"
        major, minor = (8 if scsi else 254), 16 * index
        attributes = {
            "dev": f"{major}:{minor}\n", "size": f"{disk.size // SECTOR}\n",
            "diskseq": f"{self._diskseq}\n", "ro": "0\n", "removable": "0\n",
            "inflight": "       0        0\n", "queue/logical_block_size": "512\n",
            "holders/": None,
        }
        if scsi:
            attributes["device/vendor"] = "QEMU    \n"
            if disk.serial:
                serial = disk.serial.encode()
                attributes |= {
                    "device/vpd_pg80": b"\x00\x80" + len(serial).to_bytes(2, "big") + serial,
                    "device/wwid": f"t10.QEMU    QEMU HARDDISK   {disk.serial}\n"}
        else:
            # Virtio always has the attribute; without a serial it reads as nothing.
            attributes |= {"serial": disk.serial or "", "device/vendor": "0x1af4\n"}
        return attributes


class LoopPlug(Plug):
    """Loop devices over sparse files. They have no serial; their backing file tells who they are.

    Other loop devices of the host are never touched: a device is detached only while the kernel
    says that it is backed by the very file it was made for. Whoever lists loop devices opens each
    of them, so a device that was told to go may stay for a moment, or be gone before it is told.
    """

    def __init__(self, directory):
        super().__init__(Path(directory).resolve())

    def _insert(self, disk):
        image = self._make_image(disk.key, disk.size)
        disk.name = Path(_run("losetup", "-f", "--show", str(image))).name

    def _remove(self, disk):
        # While it is open here, the kernel gives it no other file.
        with open(f"/dev/{disk.name}", "rb") as device:
            if not self._is_ours(disk):
                return
            _end_loop(device)
        # The kernel has no event for the end of a loop device that somebody held open.
        deadline = time.monotonic() + UNPLUG_DEADLINE
        while self._is_ours(disk):
            if time.monotonic() > deadline:
                raise PlugError(f"{disk.name} is busy")
            time.sleep(0.005)

    def _resize(self, disk, size):
        os.truncate(self._image(disk.key), size)
        _run("losetup", "-c", f"/dev/{disk.name}")

    def _is_ours(self, disk):
        try:
            backing = Path(f"/sys/block/{disk.name}/loop/backing_file").read_text()
        except OSError:
            return False
        return backing.rstrip("\n").removesuffix(" (deleted)") == str(self._image(disk.key))


def _end_loop(device):
    try:
        fcntl.ioctl(device, LOOP_CLR_FD)
    except OSError as error:
        if error.errno != errno.ENXIO:      # it is ending already
            raise PlugError(f"{device.name}: {error.strerror}") from error


class QmpPlug(Plug):
    """Real disks in a running QEMU, plugged the way the real agent does it. The connection is made
    with the first disk, so QEMU may start after the simulator."""

    def __init__(self, socket, directory):
        super().__init__(Path(directory).resolve())
        self._socket = socket
        self._qmp = None
        self._ids = {}
        self._leaving = set()   # asked to go, but the guest has not let go yet
        self._made = 0

    def close(self):
        super().close()
        if self._qmp:
            self._qmp.close()

    def _insert(self, disk):
        self._made += 1
        # Short, because QEMU allows 31 characters in a node name and a volume's id has 36.
        node, device = f"simnode{self._made}", f"simdisk{self._made}"
        image = self._make_image(disk.key, disk.size)
        options = {"driver": "scsi-hd" if disk.bus == "scsi" else "virtio-blk-pci",
                   "drive": node, "id": device}
        if disk.serial:
            options["serial"] = disk.serial
        self._command("blockdev-add", driver="file", filename=str(image), node_name=node)
        try:
            self._command("device_add", **options)
        except PlugError:
            self._command("blockdev-del", node_name=node)
            raise
        self._ids[disk.key] = node, device

    def _remove(self, disk):
        node, device = self._ids[disk.key]
        if self._ask_to_go(device, disk.key in self._leaving):
            self._leaving.add(disk.key)
            try:
                self._qmp.wait_event("DEVICE_DELETED", UNPLUG_DEADLINE, device=device)
            except QMPError as error:
                raise PlugError(f"the guest did not let go of {device}: {error}") from error
        self._leaving.discard(disk.key)
        self._command("blockdev-del", node_name=node)
        del self._ids[disk.key]

    def _ask_to_go(self, device, is_leaving):
        """Returns whether there is an end to wait for: a slow guest may eject a disk unasked, right after the one that
        was in its slot before."""
        try:
            self._command("device_del", id=device)
        except PlugError as error:
            if isinstance(error.__cause__, NotFound):
                return False
            if not is_leaving:   # else QEMU only says that it is on its way
                raise
        return True

    def _resize(self, disk, size):
        self._command("block_resize", node_name=self._ids[disk.key][0], size=size)

    def _command(self, name, **arguments):
        try:
            if self._qmp is None:
                self._qmp = QMP(self._socket)
            return self._qmp.command(name, **arguments)
        except (QMPError, OSError) as error:
            raise PlugError(str(error)) from error


def make_plug(spec):
    """The back end for `none`, `tree:DIR`, `loop:DIR` or `qmp:SOCKET,DIR`."""
    kind, _, rest = spec.partition(":")
    if kind == "none" and not rest:
        return Plug()
    if kind == "tree" and rest:
        return TreePlug(rest)
    if kind == "loop" and rest:
        return LoopPlug(rest)
    if kind == "qmp" and "," in rest:
        return QmpPlug(*rest.split(",", 1))
    raise ValueError(f"no such plug: {spec!r}")


def _names(prefix):
    """(0, vda), (1, vdb), ... (26, vdaa): the kernel's own order."""
    index = 0
    while True:
        letters, rest = "", index
        while rest >= 0:
            letters, rest = chr(ord("a") + rest % 26) + letters, rest // 26 - 1
        yield index, prefix + letters
        index += 1


def _claim(top):
    """Make sure that a folder about to be cleared is one of ours, not for example the root."""
    marker = top / "made-by-cloudsim"
    top.mkdir(parents=True, exist_ok=True)
    if any(top.iterdir()) and not marker.exists():
        raise PlugError(f"{top} has contents that are not the simulator's")
    marker.touch()


def _write_tree(top, files):
    """A folder with files of these contents; a name that ends with a slash is that of a folder."""
    os.mkdir(top)
    folders = set()
    for name, content in files.items():
        folder = name.rpartition("/")[0]
        if folder and folder not in folders:
            folders.add(folder)
            os.mkdir(f"{top}/{folder}")
        if content is not None:
            with open(f"{top}/{name}", "wb", buffering=0) as file:
                file.write(content if isinstance(content, bytes) else content.encode())


def _run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise PlugError(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout.strip()
