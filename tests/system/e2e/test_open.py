# SPDX-License-Identifier: LGPL-2.1-or-later
"""A disk in hand: the open disk of a volume, and the moment in which it can be had."""

import os
import subprocess
import sys
from pathlib import Path

import cloudsim
import pytest
from support.py import loops, shapes
from support.py.harness import TOP
from support.py.loops import loop_device, real_disk
from support.py.programs import program
from support.py.stores import any_store

from .surfaces import methods, on_every_surface

pytestmark = any_store

EXIT_USAGE, EXIT_CONFLICT = 2, 9
EXAMPLES = TOP / "data/doc/examples"
TEXT = b"the data of this volume"
LONG_JOB = {"do": "job_delay", "command": "attachVolume", "seconds": 3600.0}


@pytest.fixture
def disk(world):
    """An attached volume whose disk is a real one: its id, its path and the device behind it."""
    volume, path = world.attached()
    with open(path, "r+b") as contents:
        contents.write(TEXT)
    with real_disk(world, path) as loop:
        yield volume, path, loop


def contents_of(loop):
    with open(loop, "rb") as device:
        return device.read(len(TEXT))


# ---- volumectl open ----

def test_a_command_has_the_disk(world, disk):
    volume, _, loop = disk
    run = world.daemon.ctl("open", volume, "--", "sh", "-c",
                           f"echo $VOLUME_DEVICE; head -c {len(TEXT)} <&3; exit 7")
    assert run.stdout == f"{loop}\n{TEXT.decode()}", run.stderr
    assert run.returncode == 7  # the command's own


def test_a_command_writes_to_the_disk(world, disk):
    volume, _, loop = disk
    written = TEXT[::-1]
    run = world.daemon.ctl("open", volume, "--", sys.executable, "-c",
                           f"import os; os.pwrite(3, {written!r}, 0); os.fsync(3)")
    assert run.returncode == 0, run.stderr
    assert contents_of(loop) == written


def test_a_disk_opened_for_reading_cannot_be_written(world, disk):
    volume, _, loop = disk
    run = world.daemon.ctl("open", "--read-only", volume, "--", sys.executable, "-c",
                           "import os; os.pwrite(3, b'x', 0)")
    assert run.returncode == 1 and "Bad file descriptor" in run.stderr
    assert contents_of(loop) == TEXT


def test_the_command_has_no_other_file_of_ours(world, disk):
    volume, _, _ = disk
    run = world.daemon.ctl("open", volume, "--", "sh", "-c", "ls /proc/$$/fd")
    assert run.stdout.split() == ["0", "1", "2", "3"]


def test_what_is_no_command(world, disk):
    volume, _, _ = disk
    assert world.daemon.ctl("open", volume, "--", "/no/such/program").returncode == 127
    assert world.daemon.ctl("open", volume, "--", "/etc/passwd").returncode == 126
    for arguments in (["open"], ["open", volume], ["open", volume, "--"],
                      ["open", "--", "true"], ["open", volume, "--wrong", "--", "true"]):
        run = world.daemon.ctl(*arguments)
        assert run.returncode == EXIT_USAGE and "volumectl help open" in run.stderr, arguments


# ---- what is refused ----

def refused(world, volume, words, *options):
    run = world.daemon.ctl("open", *options, volume, "--", "echo", "not this")
    assert (run.returncode, run.stdout) == (EXIT_CONFLICT, ""), run
    assert words in run.stderr


def test_another_disk_under_the_name_is_refused(world, disk):
    """Between the daemon's last look and the opening the name passes to another disk of this size."""
    volume, path, loop = disk
    other = world.folder / "other.img"
    with open(other, "wb") as image:
        image.truncate(cloudsim.GIB)
    name = os.path.basename(path)
    with loop_device(other) as stranger:
        loops.lead(world, name, stranger)
        refused(world, volume, "was another disk")
        loops.lead(world, name, loop)
        assert world.daemon.ctl("open", volume, "--", "true").returncode == 0


def test_a_volume_that_is_not_here_is_refused(world):
    volume, _ = world.attached()
    world.daemon.completed(world.daemon.detach(volume))
    refused(world, volume, "is not attached to this machine", "--read-only")


def test_it_is_on_the_bus_alone():
    assert "volume.open" in methods() and "volume.open" not in on_every_surface()


def test_with_an_nbd_client_it_is_read_alone(make_world):
    world = make_world(export={"engine": "qemu-storage-daemon"})
    volume, _ = world.attached()
    world.connect(volume)
    refused(world, volume, "over NBD by")
    # The client does not matter; here the disk is a file.
    refused(world, volume, "is no block device", "--read-only")


# ---- as soon as the disk is here ----

def test_the_disk_is_told_before_the_job_has_ended(world):
    volume = world.volume()
    world.cloud.set_faults([LONG_JOB])
    with world.monitor() as monitor:
        operation = world.daemon.attach(volume)["id"]
        _, path, device = monitor.wait("DeviceReady").arguments
        world.assert_is(path, volume)
        shapes.DEVICE.check(device)
        assert (device["volume_id"], device["device_path"]) == (volume, path)
        assert world.daemon.operation(operation)["status"] == "executing"
        with real_disk(world, path):
            assert world.daemon.ctl("open", volume, "--", "true").returncode == 0


def test_attach_waits_for_the_disk_alone(world):
    volume = world.volume()
    world.cloud.set_faults([LONG_JOB])
    run = world.daemon.ctl("attach", volume, "--wait=device", "--timeout", "60s")
    assert run.returncode == 0, run.stderr
    world.assert_is(run.stdout.strip(), volume)
    operation, = [o for o in world.daemon.get("/api/v1/operations") if o["volume_id"] == volume]
    assert operation["status"] == "executing"


def test_attach_elsewhere_waits_for_the_end(world):
    volume = world.volume()
    run = world.daemon.ctl("attach", volume, "--vm", cloudsim.OTHER_VM, "--wait=device")
    assert run.returncode == 0, run.stderr
    assert world.cloud.volume(volume)["vm"] == cloudsim.OTHER_VM


def test_only_attach_waits_for_a_disk(world):
    run = world.daemon.ctl("health", "--wait=device")
    assert run.returncode == EXIT_USAGE and "attach with one volume" in run.stderr
    run = world.daemon.ctl("attach", world.volume(), "--wait=disk")
    assert run.returncode == EXIT_USAGE and "device" in run.stderr


# ---- the examples of the documentation ----

@pytest.fixture(scope="module")
def c_example(tmp_path_factory):
    built = tmp_path_factory.mktemp("example") / "open_device"
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libsystemd"], check=True,
                           capture_output=True, text=True).stdout.split()
    subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", EXAMPLES / "open_device.c", "-o", built,
                    *flags], check=True)
    return [built]


@pytest.fixture(params=["c", "python", "shell"])
def example(request):
    if request.param == "c":
        return request.getfixturevalue("c_example")
    if request.param == "python":
        return [sys.executable, EXAMPLES / "open_device.py"]
    return ["sh", EXAMPLES / "open_device.sh"]


def test_example(world, disk, example):
    """Each copies the disk of a volume to its output, as far as anybody reads it."""
    volume, _, _ = disk
    environment = {**world.bus.environment,
                   "PATH": f"{Path(program('volumectl')).parent}:{os.environ['PATH']}"}
    with subprocess.Popen([*example, volume], env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as copying:
        copied = copying.stdout.read(len(TEXT))
        copying.kill()
        assert copied == TEXT, copying.stderr.read()
    run = subprocess.run([*example, "00000000-0000-4000-8000-000000000000"], env=environment,
                         capture_output=True, check=False)
    assert run.returncode != 0 and b"00000000-0000-4000-8000-000000000000" in run.stderr
