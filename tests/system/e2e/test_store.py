# SPDX-License-Identifier: LGPL-2.1-or-later
"""The SQLite file in trouble, while the daemon runs and at its start.

A change that could not be kept is refused before anything has happened. What is known is still
told, what is under way waits with its next commit, and when the store is well again all goes on by
itself. At the start there is nothing to wait with: the daemon says what is wrong and ends, and
leaves the file as it was.
"""

import os
import sqlite3
import subprocess
from contextlib import closing

import pytest
from support.py import stores
from support.py.harness import Bus, Daemon
from support.py.waiting import eventually

from .trouble import FOREVER, refused, unhealthy, unhealthy_soon, wait_well

pytestmark = pytest.mark.skipif(stores.KIND != "sqlite", reason="it is about the SQLite file")


def mount(folder, *arguments):
    """Mount a file system for the test, or skip it where that cannot be done."""
    folder.mkdir()
    done = subprocess.run(["mount", *map(str, arguments), folder], capture_output=True, text=True,
                          check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def small(tmp_path):
    """A folder with a small file system of its own."""
    folder = tmp_path / "small"
    mount(folder, "-t", "tmpfs", "-o", "size=2m,mode=0700", "none")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def broken_disk(tmp_path):
    """A folder with a file system that a failing disk can make read-only, and what does that."""
    image, folder = tmp_path / "image", tmp_path / "broken"
    image.write_bytes(b"")
    os.truncate(image, 8 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    mount(folder, "-o", "loop", image)
    yield folder, lambda: subprocess.run(["mount", "-o", "remount,abort", folder], check=False)
    subprocess.run(["umount", folder], check=True)


def store_in(folder):
    return {"store": {"url": f"sqlite://{folder}/store.db"}}


class Filler:
    """A file that takes all the room of a file system."""

    def __init__(self, folder):
        self.path = folder / "filler"

    def fill(self):
        with open(self.path, "ab", buffering=0) as file:
            for size in (1 << 16, 1 << 10, 1):
                try:
                    while file.write(b"x" * size) == size:
                        pass
                except OSError:
                    pass

    def free(self):
        self.path.unlink()


# ---- while it runs ----

def test_a_full_disk(small, make_world):
    world = make_world(**store_in(small))
    daemon, filler = world.daemon, Filler(small)
    volumes = [world.volume() for _ in range(3)]
    world.cloud.set_faults([{"do": "slow", "seconds": FOREVER, "command": "attachVolume",
                             "times": 3}])
    running = [daemon.attach(volume) for volume in volumes]
    world.cloud.wait_request("attachVolume")     # the others wait for its end
    filler.fill()

    # The first that needs a commit finds out; each of those under way needs some.
    assert "full" in unhealthy_soon(daemon)
    text = refused(daemon)
    assert "store.db" in text and "full" in text and "make room" in text, text
    assert "store.db" in unhealthy(daemon)
    # Questions are answered, and what is under way is neither lost nor failed.
    assert {v["id"] for v in daemon.get("/api/v1/operations")} == {o["id"] for o in running}
    assert [daemon.operation(o["id"])["status"] for o in running] == \
        ["executing", "pending", "pending"]
    assert daemon.get(f"/api/v1/volumes/{volumes[0]}")["volume_id"] == volumes[0]

    filler.free()
    wait_well(daemon)
    for operation, volume in zip(running, volumes):
        world.assert_is(daemon.completed(operation)["response"]["device_path"], volume)
    daemon.completed(daemon.detach(volumes[0]))
    daemon.stop()
    with closing(sqlite3.connect(small / "store.db")) as store:
        for operation in running:
            steps = [row[0] for row in store.execute(
                "SELECT new_status FROM volume_operation_history WHERE operation_id = ?"
                " ORDER BY id", [operation["id"]])]
            assert steps[0] == "pending" and steps[-1] == "completed", steps
            assert set(steps[1:-1]) == {"executing"}


def test_a_log_on_a_small_disk(small, make_world):
    """Each operation is some 30 pages of log, and the disk has 512."""
    world = make_world(**store_in(small))
    volume = world.volume()
    for _ in range(25):
        world.daemon.completed(world.daemon.attach(volume))
        world.daemon.completed(world.daemon.detach(volume))
    assert world.daemon.rest("GET", "/health").status == 200


def test_a_disk_that_fails_while_it_is_used(broken_disk, make_world):
    folder, fail = broken_disk
    world = make_world(**store_in(folder))
    volume, path = world.attached()
    fail()
    text = refused(world.daemon)
    assert str(folder) in text and "file system" in text, text
    assert str(folder) in unhealthy(world.daemon)
    assert world.daemon.get(f"/api/v1/volumes/{volume}/device")["device_path"] == path
    assert world.daemon.get("/api/v1/operations")
    world.daemon.stop()


def test_a_file_that_is_damaged_while_it_is_used(make_world):
    world = make_world()
    operation = world.daemon.operation(world.daemon.completed(
        world.daemon.attach(world.volume()))["id"])
    world.daemon.stop()
    # More than fits into SQLite's cache, or nothing would be read again.
    with closing(sqlite3.connect(world.daemon.store.path)) as store, store:
        columns = [row[1] for row in store.execute("PRAGMA table_info(volume_operations)")]
        rest = ", ".join(c for c in columns if c != "id")
        store.execute(
            f"INSERT INTO volume_operations (id, {rest}) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL"
            " SELECT i + 1 FROM n WHERE i < 20000) SELECT substr(?, 1, 29) || printf('%010d', i),"
            f" {rest} FROM n, volume_operations WHERE id = ?", [operation["id"]] * 2)
    world.daemon.start().wait_healthy()
    size = world.daemon.store.path.stat().st_size
    with open(world.daemon.store.path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))

    text = refused(world.daemon)
    assert str(world.daemon.store.path) in text and "damaged" in text and "backup" in text, text
    assert "damaged" in unhealthy(world.daemon)
    text = start_fails_after_stop(world.daemon)
    assert str(world.daemon.store.path) in text and "damaged" in text and "backup" in text, text
    assert world.daemon.store.path.stat().st_size == size


def start_fails_after_stop(daemon):
    daemon.stop()
    return daemon.fails_to_start()


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_a_file_that_is_moved_away_and_put_back(world, suffix):
    daemon = world.daemon
    volume = world.volume()
    file = daemon.store.path.with_name(daemon.store.path.name + suffix)
    away = file.rename(file.with_name("away"))
    text = refused(daemon)
    assert str(file) in text and "put it back" in text, text
    assert str(file) in unhealthy(daemon)

    file.write_bytes(b"")
    eventually(lambda: "replaced" in unhealthy(daemon), "the other file")
    assert "restart" in refused(daemon)
    away.rename(file)
    wait_well(daemon)
    daemon.completed(daemon.attach(volume))


# ---- at the start ----

def test_a_file_that_is_not_a_store_is_left_alone(make_world):
    world = make_world(start=False)
    garbage = b"not a database at all " * 1000
    world.daemon.store.path.write_bytes(garbage)
    text = world.daemon.fails_to_start()
    assert str(world.daemon.store.path) in text and "move it away" in text, text
    assert world.daemon.store.path.read_bytes() == garbage


def test_a_file_system_that_cannot_be_written(small, make_world):
    world = make_world(**store_in(small))
    world.daemon.stop()
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    text = world.daemon.fails_to_start()
    assert str(small / "store.db") in text and "writable" in text, text
    world.daemon.configure(store={"url": f"sqlite://{small}/new.db"})
    text = world.daemon.fails_to_start()
    assert str(small / "new.db") in text and "Read-only file system" in text, text


def test_a_second_daemon(world, tmp_path):
    """On a bus of its own, so that nothing else is in its way."""
    world.attached()
    folder = tmp_path / "second"
    folder.mkdir()
    bus = Bus(folder)
    bus.start()
    try:
        second = Daemon(folder, bus, world.cloud, **store_in(tmp_path))
        second.configure(store=world.daemon.store.settings, device=world.daemon.sections["device"])
        text = second.fails_to_start()
    finally:
        bus.stop()
    assert str(world.daemon.store.path) in text and "already in use" in text, text
    assert f"process {world.daemon.process.pid} (volume-daemon)" in text, text
    world.attached()        # the first one has not noticed

    world.daemon.kill()
    world.daemon.start().wait_healthy()     # nothing is left of the lock
