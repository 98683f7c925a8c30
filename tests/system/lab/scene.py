# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a test has in its hands: a daemon in an appliance in a cloud, and the means to compare.

A volume is told by its contents: the cloud's side of a test writes a pattern into the file behind
the volume, the guest's side reads it from a device.
"""

import json
from pathlib import Path

import cloudsim
from cloudsim.settings import Settings
from cloudsim.world import World
import pytest

from .product import BusMonitor

# The cloud invents its ids from a seed, so the root volume's can be known before any cloud runs.
ROOT_VOLUME = World(Settings(), 0, cloudsim.ZONE, cloudsim.APPLIANCE_VM, cloudsim.API_KEY,
                    cloudsim.SECRET_KEY).root_volume(cloudsim.APPLIANCE_VM).id

# Where the appliance has the programs of the tests themselves.
PROGRAMS = Path("/usr/local/bin")
PATTERN_SIZE = 4096

# Nobody holds a disk that goes, so the kernel gives its name to the next one.
kernel_names_only = pytest.mark.configured(stable_names="no", engine="none")

BLOCK = 4096
# Where the NBD client writes, out of the way of other writers.
NBD_START = 64 << 20


class Lab:
    """A daemon in an appliance in a cloud, and the hands of a test."""

    def __init__(self, vm, product, cloud, images, root_volume):
        self.vm = vm
        self.product = product
        self.cloud = cloud
        self.root_volume = root_volume
        self._images = images

    def new_volume(self):
        """A volume in the cloud, its contents marked; returns its id.

        All volumes are of one size, so that size never tells them apart.
        """
        volume = self.cloud.put_volume(size=cloudsim.GIB)["id"]
        self.mark(volume)
        return volume

    def mark(self, volume):
        """Make the contents of a volume those that prove it to be that volume."""
        (self._images / f"{volume}.img").write_bytes(pattern(volume))

    def attach(self, volume):
        """Attach a volume through the daemon; returns the device it names."""
        return device_of(self.product.volumectl("attach", volume))

    def wait(self, operation):
        """Wait for the end of an operation; returns it."""
        return self.product.volumectl("wait", operation)

    def plug(self, volume):
        """Plug a volume whose attach job was told to leave the guest alone."""
        self.cloud.plug_volume(volume, cloudsim.GIB)

    def wait_disk(self, volume):
        """Wait until the guest has the disk of a plugged volume: its kernel needs a second or more."""
        self.vm.run(f"udevadm wait --timeout=120 /dev/disk/by-id/virtio-{cloudsim.serial_of(volume)}", timeout=150)

    def contents(self, device):
        """The part of a device where new_volume() left its mark."""
        return self.vm.read_file(device, PATTERN_SIZE)

    def contents_behind(self, volume, start, size):
        """What the cloud has of a volume."""
        with open(self._images / f"{volume}.img", "rb") as image:
            image.seek(start)
            return image.read(size)

    def settle(self):
        """Wait until the kernel and udev know of every disk plugged or unplugged so far."""
        self.vm.run("udevadm settle")

    def disks(self):
        """The disks the kernel shows: name to serial, for a SCSI disk an empty one."""
        listing = self.vm.run(
            'cd /sys/block; for d in [vs]d*; do echo "$d $(cat $d/serial 2>/dev/null)"; done').out
        return {name: serial.strip() for name, _, serial in
                (line.partition(" ") for line in listing.splitlines())}

    def jobs(self, command):
        """The cloud's jobs of one kind."""
        return [job for job in self.cloud.state()["jobs"] if job["command"] == command]

    def monitor(self):
        return BusMonitor(self.vm)


def pattern(volume):
    """The contents that prove a device to be a volume."""
    return (volume.encode() * PATTERN_SIZE)[:PATTERN_SIZE]


def node(volume):
    """Where a volume's name is."""
    return f"/dev/mapper/vol{volume[:8]}"


def uri(volume):
    return f"nbd://127.0.0.1/migration-vol-{volume}"


def wait_served(lab, volume):
    # Each look takes the processor from the engine that is being started.
    lab.vm.run(f"until nbdinfo --size {uri(volume)} >/dev/null 2>&1; do sleep 1; done", timeout=150)


def engine_pid(lab):
    # Its exit code follows the health, which may be degraded by the engine.
    return json.loads(lab.product.try_volumectl("health").out)["details"].get("nbd_pid")


def nbd_writer_of(volume):
    """Writes block after block through one connection, and tells when all are on the disk."""
    return f"""{{ n=0
    until [ -e /run/enough ]; do
        echo write -q -P $((n % 255 + 1)) $(({NBD_START} + n * {BLOCK})) {BLOCK}
        n=$((n + 1))
        sleep .1
    done
    echo flush; echo quit; echo $n >/run/served; }} |
        {{ echo ready; stdbuf -i0 qemu-io -f raw {uri(volume)}; }} && echo served $(cat /run/served)
    exec sleep infinity"""


def assert_nbd_writer_lost_nothing(lab, volume, output):
    """Once /run/enough tells it to end: each block that it wrote is on the disk, and none gave it an error."""
    served = int(lab.vm.wait_output(output, "served").split()[-1])
    assert served > 0
    assert lab.contents_behind(volume, NBD_START, served * BLOCK) == \
        b"".join(bytes([n % 255 + 1]) * BLOCK for n in range(served))
    assert "rror" not in lab.vm.read_file(output).decode()


def device_of(operation):
    """The device a completed attach names."""
    assert operation["status"] == "completed", operation
    return operation["response"]["device_path"]
