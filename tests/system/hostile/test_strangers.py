# SPDX-License-Identifier: LGPL-2.1-or-later
"""Users of the machine whom the daemon does not know, beside the daemon.

They may say of themselves what they like, and hold what everybody may hold. None of it is use of a
volume, so none of it keeps a volume from being detached, or makes that take long.
"""

import pytest
from support.py.crowd import timed
from support.py.strangers import Stranger

LIMIT = "a detachment completes within 5 s"

TMPFS_NAMED = """
mount(argv[0], "/mnt", "tmpfs")
"""

# Spaces, which are shown as "\\040": lines of 14 KB, 21 MB of them, as 23,000 common mounts have.
MANY_MOUNTS = """
mount("none", "/mnt", "tmpfs")
deep = "/mnt/" + "/".join([" " * 200] * 18)
os.makedirs(deep)
for number in range(1500):
    os.mkdir(f"{deep}/{number}")
    mount("/mnt", f"{deep}/{number}", "none", 4096)
"""

PROCESSES, FILES = 300, 900

MANY_FILES = """
import signal
done, tell = os.pipe()
for _ in range(int(argv[0])):
    if os.fork():
        continue
    libc.prctl(1, signal.SIGKILL)                       # it ends with its parent
    for _ in range(int(argv[1])):
        os.dup(0)
    os.write(tell, b".")
    signal.pause()
for _ in range(int(argv[0])):
    os.read(done, 1)
"""

SILENT = """
import socket
connections = [socket.create_connection(("127.0.0.1", int(argv[0]))) for _ in range(3)]
"""


def detached(world, volume, stranger):
    """How long the detachment takes beside a stranger, and beside no stranger."""
    other, _ = world.attached()
    undisturbed = timed(lambda: world.daemon.completed(world.daemon.detach(other)))[1]
    with stranger:
        seconds = timed(lambda: world.daemon.completed(world.daemon.detach(volume)))[1]
    assert seconds < max(50, 10 * undisturbed)
    return f"{seconds:.2f} s ({undisturbed:.2f} s undisturbed)"


def test_a_mount_that_names_the_disk_as_its_source(world, figure):
    volume, path = world.attached()
    stranger = Stranger(TMPFS_NAMED, "/dev/" + path.rsplit("/", 1)[1], namespace=True)
    figure("a user mounts a tmpfs that has the name of the disk", LIMIT, detached(world, volume, stranger))


def test_a_namespace_full_of_mounts(world, figure):
    volume, _ = world.attached()
    figure("a namespace of a user with 21 MB of mounts", LIMIT,
           detached(world, volume, Stranger(MANY_MOUNTS, namespace=True)))


def test_a_user_with_many_open_files(world, figure):
    """The scan looks at the files of each user up to a bound, and the log names it."""
    volume, _ = world.attached()
    figure(f"a user with {PROCESSES} processes of {FILES} open files each", LIMIT,
           detached(world, volume, Stranger(MANY_FILES, PROCESSES, FILES)))
    assert "left out the open files of user 65534 behind the first 65536" in world.daemon.text


@pytest.mark.parametrize("engine", ["qemu-storage-daemon", "nbdkit"])
def test_connections_to_the_nbd_port_that_say_nothing(make_world, engine, figure):
    world = make_world(export={"engine": engine})
    volume, _ = world.attached()
    port = world.daemon.get(f"/api/v1/exports/{volume}")["port"]
    figure(f"connections to the NBD port that say nothing ({engine})", LIMIT,
           detached(world, volume, Stranger(SILENT, port)))
