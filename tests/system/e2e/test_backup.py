# SPDX-License-Identifier: LGPL-2.1-or-later
"""Backup and check of the store of a running daemon, and what a caller may do wrong with them."""

import os
import signal
import socket
import sqlite3
import subprocess
import threading
from contextlib import closing, contextmanager

import pytest
from support.py import stores
from support.py.descriptors import call_with_file
from support.py.harness import BusError
from support.py.waiting import eventually

sqlite_only = pytest.mark.skipif(stores.KIND != "sqlite", reason="a server's own tool makes the backup")
# Of old operations, with requests of 2 kB: a copy of many steps, which a test can meet while it is made.
ROWS = 20_000


def fill(store):
    """Only while no daemon has the file."""
    store.rows(f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) INSERT INTO "
               "volume_operations (id, type, status, volume_id, request, created_at, updated_at, completed_at) "
               "SELECT 'op-old-' || i, 'create', 'completed', 'volume-' || i, "
               "'{\"name\":\"' || hex(zeroblob(1000)) || '\"}', '2026-01-02 03:04:05.006', "
               "'2026-01-02 03:04:05.006', '2026-01-02 03:04:05.006' FROM n")


@pytest.fixture
def world(make_world):
    return make_world()


@pytest.fixture
def large(make_world):
    """A world with a large store, of which a copy takes a while."""
    world = make_world(start=False)
    world.bus.start()
    world.daemon.start().wait_healthy()
    world.daemon.stop()
    fill(world.daemon.store)
    world.daemon.start().wait_healthy()
    return world


def copy_of(world):
    """The unfinished copy beside the store."""
    return world.daemon.store.path.with_name(world.daemon.store.path.name + ".copy")


@contextmanager
def backup_under_way(world, file):
    """volumectl, while the daemon makes the copy for its backup."""
    with world.daemon.ctl_start("store", "backup", file) as backup:
        eventually(copy_of(world).exists, "a copy is made")
        yield backup


def operations_in(file):
    """{id: status} of a backup; the file stays as it is."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)) as store:
        return dict(store.execute("SELECT id, status FROM volume_operations"))


def leftovers(folder, *expected):
    return sorted(path.name for path in folder.iterdir() if path.name not in expected)


# ---- a backup ----

class Load:
    """Clients that make changes until they are told to stop; `accepted` are the operations."""

    def __init__(self, world, clients=3):
        self._world, self._stop = world, threading.Event()
        self.accepted = []
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def _run(self):
        while not self._stop.is_set():
            self.accepted.append(self._world.daemon.create()["id"])

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()


@sqlite_only
def test_a_backup_under_load_restores_everything_that_was_accepted(large, tmp_path):
    daemon = large.daemon
    with Load(large) as load:
        for number in range(2):
            eventually(lambda: len(load.accepted) > 10 * (number + 1), "changes are accepted")
            before, file = list(load.accepted), tmp_path / f"{number}.backup"
            with backup_under_way(large, file) as backup:
                assert backup.wait() == 0, backup.err.all()
            # The commits went on while the copy was made, and what was accepted before is in it.
            assert len(load.accepted) > len(before)
            assert set(before) <= set(operations_in(file))
    for id in load.accepted:
        daemon.completed(id)
    told = daemon.ctl_json("store", "backup", tmp_path / "last.backup")
    assert told["newest_operation"] == max(load.accepted)
    assert told["bytes"] == (tmp_path / "last.backup").stat().st_size
    assert (tmp_path / "last.backup").stat().st_mode & 0o777 == 0o600
    daemon.stop()
    with closing(sqlite3.connect(tmp_path / "last.backup")) as store:
        assert store.execute("PRAGMA user_version").fetchone() == (told["schema_version"],)
    # As STORES.md says.
    daemon.store.path.unlink()
    subprocess.run(["cp", tmp_path / "last.backup", daemon.store.path], check=True)
    daemon.start().wait_healthy()
    assert {id: daemon.operation(id)["status"] for id in load.accepted} == dict.fromkeys(load.accepted, "completed")
    large.attached()
    assert daemon.ctl("store", "check").returncode == 0


@sqlite_only
def test_a_name_that_is_taken(world, tmp_path):
    file = tmp_path / "store.backup"
    file.write_text("precious")
    refused = world.daemon.ctl("store", "backup", file)
    assert refused.returncode != 0 and "exists already" in refused.stderr and "--force" in refused.stderr
    assert file.read_text() == "precious"
    world.attached()
    done = world.daemon.ctl("store", "backup", "--force", file)
    assert done.returncode == 0, done.stderr
    assert list(operations_in(file).values()) == ["completed"]
    device = world.daemon.ctl("store", "backup", "--force", "/dev/full")
    assert device.returncode != 0 and "no regular file" in device.stderr
    nowhere = world.daemon.ctl("store", "backup", tmp_path / "nowhere/store.backup")
    assert nowhere.returncode != 0 and "No such file or directory" in nowhere.stderr
    assert not leftovers(tmp_path, file.name, "1")


def test_a_stopped_daemon_is_not_started(world, tmp_path):
    world.daemon.stop()
    done = world.daemon.ctl("store", "backup", tmp_path / "store.backup")
    assert done.returncode != 0 and "not running" in done.stderr and "store copy" in done.stderr
    assert world.bus.owner() is None


# ---- what a caller may hand over ----

@contextmanager
def handed(kind, folder):
    opened = []
    if kind == "pipe":
        opened += os.pipe()[::-1]
    elif kind == "fifo":
        os.mkfifo(folder / "fifo")
        opened.append(os.open(folder / "fifo", os.O_RDWR))
    elif kind == "socket":
        opened += [end.detach() for end in socket.socketpair()]
    elif kind == "folder":
        opened.append(os.open(folder, os.O_RDONLY))
    elif kind in ("/dev/full", "/dev/null"):
        opened.append(os.open(kind, os.O_WRONLY))
    elif kind == "content":
        (folder / "full").write_text("precious")
        opened.append(os.open(folder / "full", os.O_RDWR))
    else:
        flags = {"reading": os.O_RDONLY, "appending": os.O_WRONLY | os.O_APPEND, "path": os.O_PATH}[kind]
        (folder / "file").touch()
        opened.append(os.open(folder / "file", flags))
    try:
        yield opened[0]
    finally:
        for fd in opened:
            os.close(fd)


@sqlite_only
@pytest.mark.parametrize("kind, words", [
    ("pipe", "a pipe"), ("fifo", "a pipe"), ("socket", "a socket"), ("folder", "a folder"), ("/dev/full", "a device"),
    ("/dev/null", "a device"), ("content", "has content"), ("reading", "for reading"), ("appending", "for appending"),
    ("path", "for reading")])
def test_a_file_that_cannot_become_a_backup(world, tmp_path, kind, words):
    with handed(kind, tmp_path) as fd, pytest.raises(BusError) as refused:
        call_with_file(world.bus, "StoreBackup", fd)
    assert refused.value.word == "InvalidRequest", refused.value
    assert "empty regular file" in refused.value.text and words in refused.value.text
    assert not copy_of(world).exists()
    if kind == "content":
        assert (tmp_path / "full").read_text() == "precious"
    assert world.daemon.ctl("store", "backup", tmp_path / "good").returncode == 0


@pytest.fixture
def small(tmp_path):
    """A folder with a file system that is too small."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "none", folder], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@sqlite_only
def test_no_room_for_the_backup(small, large):
    done = large.daemon.ctl("store", "backup", small / "store.backup")
    assert done.returncode != 0 and "No space left on device" in done.stderr, done
    assert not leftovers(small) and not copy_of(large).exists()
    large.daemon.completed(large.daemon.create())


@sqlite_only
def test_no_room_for_the_copy(small, make_world, tmp_path):
    """The room that is left belongs to the commits."""
    world = make_world(store={"url": f"sqlite://{small}/store.db"})
    done = world.daemon.ctl("store", "backup", tmp_path / "store.backup")
    assert done.returncode != 0 and "has no room for a copy" in done.stderr, done
    assert leftovers(small) == ["store.db", "store.db-wal"] and not (tmp_path / "store.backup").exists()
    world.daemon.completed(world.daemon.create())


# ---- interrupted ----

@sqlite_only
def test_one_at_a_time(large, tmp_path):
    with backup_under_way(large, tmp_path / "first") as backup:
        second = large.daemon.ctl("store", "backup", tmp_path / "second")
        check = large.daemon.ctl("store", "check")
        assert backup.wait() == 0, backup.err.all()
    for refused in (second, check):
        assert refused.returncode != 0 and "is under way" in refused.stderr, refused
    assert leftovers(tmp_path, "1") == ["first"]
    assert large.daemon.ctl("store", "backup", tmp_path / "second").returncode == 0


@sqlite_only
def test_a_caller_that_leaves(large, tmp_path):
    with backup_under_way(large, tmp_path / "first") as backup:
        backup.interrupt()
    assert not leftovers(tmp_path, "1")
    eventually(lambda: large.daemon.ctl("store", "backup", tmp_path / "second").returncode == 0, "the next backup")
    assert not copy_of(large).exists()


@sqlite_only
def test_a_daemon_that_stops(large, tmp_path):
    with backup_under_way(large, tmp_path / "first") as backup:
        large.daemon.process.send_signal(signal.SIGTERM)
        assert large.daemon.exits() == 0
        assert backup.wait() != 0
    assert "volume-daemon" in backup.err.all()[-1]
    assert not leftovers(tmp_path, "1") and not copy_of(large).exists()
    large.daemon.start().wait_healthy()
    assert large.daemon.ctl("store", "backup", tmp_path / "second").returncode == 0


@sqlite_only
def test_a_daemon_that_dies(large, tmp_path):
    with backup_under_way(large, tmp_path / "first") as backup:
        large.daemon.kill()
        assert backup.wait() != 0
    large.daemon.start().wait_healthy()
    assert not leftovers(tmp_path, "1") and not copy_of(large).exists()


# ---- a check ----

def test_other_users_may_not(world):
    with pytest.raises(BusError) as refused:
        world.bus.manager("StoreCheck", "a{sv}", 0, user=65534)
    assert refused.value.word == "Forbidden" and "volumedaemon1.admin" in refused.value.text


def test_a_check_of_a_store_that_is_well(world):
    world.attached()
    done = world.daemon.ctl("store", "check")
    assert done.returncode == 0 and done.stdout.endswith(" 0 faults\n"), done
    told = world.daemon.ctl_json("store", "check")
    assert told["faults"] == 0 and told["rows"] > 1 and told["report"] == {"faults": []}
    if stores.KIND == "sqlite":
        assert not copy_of(world).exists()


def test_a_check_names_the_row(world, tmp_path):
    """A row that breaks a rule is in the backup as well: it is the store as it is."""
    world.attached()
    world.daemon.stop()
    id = world.daemon.store.rows("SELECT id FROM volume_operations")[0][0]
    world.daemon.store.rows("UPDATE volume_operations SET completed_at = '2001-01-01 00:00:00.000'")
    world.daemon.start().wait_healthy()
    done = world.daemon.ctl("store", "check")
    assert done.returncode == 1
    assert f"volume_operations {id}: it changed or ended before it began\n" in done.stdout
    assert done.stdout.endswith(" 1 faults\n")
    if stores.KIND != "sqlite":
        return
    backup = world.daemon.ctl("store", "backup", tmp_path / "store.backup")
    assert backup.returncode == 0 and "1 of the store's" in backup.stdout, backup


def spoil_index(path):
    """A row that an index does not know: the quick check at the start does not see it."""
    with closing(sqlite3.connect(path)) as store:
        name, sql = store.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL AND "
                                  "tbl_name = 'volume_operations' LIMIT 1").fetchone()
        store.execute("PRAGMA writable_schema = ON")
        store.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?",
                      (sql.replace(sql[sql.rindex("("):], "(id) WHERE id = ''"), name))
        store.commit()
    with closing(sqlite3.connect(path)) as store:
        store.execute("INSERT INTO volume_operations SELECT * FROM volume_operations WHERE FALSE")
        columns = [row[1] for row in store.execute("PRAGMA table_info(volume_operations)")]
        others = ", ".join(columns[1:])
        store.execute(f"INSERT INTO volume_operations (id, {others}) SELECT 'op-spoilt', {others} "
                      "FROM volume_operations LIMIT 1")
        store.execute("PRAGMA writable_schema = ON")
        store.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (sql, name))
        store.commit()


@sqlite_only
def test_a_check_finds_damage(world, tmp_path):
    world.attached()
    world.daemon.stop()
    spoil_index(world.daemon.store.path)
    world.daemon.start().wait_healthy()
    done = world.daemon.ctl("store", "check")
    assert done.returncode == 1 and "missing from index" in done.stdout, done
    backup = world.daemon.ctl("store", "backup", tmp_path / "store.backup")
    assert backup.returncode != 0 and "damaged" in backup.stderr and "missing from index" in backup.stderr
    assert not (tmp_path / "store.backup").exists()


@sqlite_only
def test_a_damaged_backup_is_found(large, tmp_path):
    """By the check of a file, before somebody needs it."""
    file = tmp_path / "store.backup"
    assert large.daemon.ctl("store", "backup", file).returncode == 0
    assert large.daemon.ctl("store", "check", f"sqlite://{file}").returncode == 0
    with open(file, "r+b") as damaged:
        damaged.seek(file.stat().st_size // 2 // 4096 * 4096)
        damaged.write(b"\xff" * 4096)
    done = large.daemon.ctl("store", "check", f"sqlite://{file}")
    assert done.returncode == 1 and ("page" in done.stdout or "malformed" in done.stderr), done


# ---- a server ----

@pytest.mark.skipif(stores.KIND == "sqlite", reason="it is about a database server")
def test_a_database_has_its_own_tool(world, tmp_path):
    done = world.daemon.ctl("store", "backup", tmp_path / "store.backup")
    assert done.returncode != 0 and "mariadb-dump --single-transaction" in done.stderr, done
    tables = {row[0] for row in world.daemon.store.rows("SHOW TABLES")} - {"volume_daemon_lease"}
    assert all(table in done.stderr for table in tables), (tables, done.stderr)
    assert not (tmp_path / "store.backup").exists()
