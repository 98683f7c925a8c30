# SPDX-License-Identifier: LGPL-2.1-or-later
"""volumectl store: what works on a store while the daemon is stopped."""

import resource
import signal
import sqlite3
import subprocess
from contextlib import closing
from datetime import datetime, timedelta

import pytest
from support.py import stores
from support.py.programs import program

sqlite_only = pytest.mark.skipif(stores.KIND != "sqlite", reason="it breaks the SQLite file by hand")


def store(*arguments):
    return subprocess.run([program("volumectl"), "store", *map(str, arguments)], capture_output=True,
                          text=True, check=False)


def worked(*arguments):
    done = store(*arguments)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


# Of volumes that are elsewhere by now.
KEPT = [
    "INSERT INTO device_names (id, volume_id, name, created_at) VALUES ('name-1', 'volume-1', 'vol00000001', "
    "'2026-01-02 03:04:05.006'), ('name-2', 'volume-2', 'vol00000002', NULL)",
    "INSERT INTO nbd_exports (id, volume_id, export_name, device_path, port, status, read_only, size, metadata, "
    "updated_at) VALUES ('export-1', 'volume-1', 'migration-vol-1', '/dev/mapper/vol00000001', 10809, 'active', 1, "
    "5368709120, '{\"a\": \"ä\"}', '2026-01-02 03:04:05.006'), ('export-2', 'volume-2', 'migration-vol-2', NULL, "
    "0, 'failed', 0, 0, NULL, NULL)",
]


@pytest.fixture
def lived(world):
    """A daemon that has seen something, and is stopped."""
    for _ in range(2):
        world.attached()
    volume, _ = world.attached()
    world.daemon.completed(world.daemon.detach(volume))
    world.daemon.ended(world.daemon.attach("00000000-0000-4000-8000-000000000000"))
    world.daemon.stop()
    for sql in KEPT:
        world.daemon.store.rows(sql)
    return world


def password(place, option="--password-file"):
    file = place.settings.get("password_file")
    return [option, file] if file else []


ALL = ["SELECT id, type, status, volume_id, error, created_at, completed_at FROM volume_operations ORDER BY id",
       "SELECT id, volume_id, device_path, size, diskseq, boot_id FROM device_mappings ORDER BY id",
       "SELECT id, operation_id, previous_status, new_status, details FROM volume_operation_history ORDER BY id",
       "SELECT id, volume_id, name, created_at FROM device_names ORDER BY id",
       "SELECT id, volume_id, export_name, device_path, port, status, read_only, size, metadata, created_at, "
       "updated_at FROM nbd_exports ORDER BY id"]


def test_copy_there_and_back(lived, tmp_path):
    here = lived.daemon.store
    there = stores.server().database() if stores.KIND != "mariadb" else stores.SqliteFile(tmp_path)
    text = worked("copy", here.settings["url"], there.settings["url"],
                  *password(here, "--from-password-file"), *password(there))
    assert "Every row is the same in both." in text
    again = stores.SqliteFile(tmp_path / "again")
    (tmp_path / "again").mkdir()
    worked("copy", there.settings["url"], again.settings["url"],
           *password(there, "--from-password-file"))
    for sql in ALL:
        assert again.rows(sql) and again.rows(sql) == here.rows(sql)
    # The daemon goes on with the copy as if it had never had another.
    lived.daemon.configure(store={"password_file": None, **there.settings})
    lived.daemon.start().wait_healthy()
    assert len(lived.daemon.get("/api/v1/operations")) == 5
    lived.attached()


def test_copy_into_a_store_that_is_not_empty(lived, tmp_path):
    url = lived.daemon.store.settings["url"]
    worked("copy", url, f"sqlite://{tmp_path}/a.db", *password(lived.daemon.store, "--from-password-file"))
    done = store("copy", url, f"sqlite://{tmp_path}/a.db", *password(lived.daemon.store, "--from-password-file"))
    assert done.returncode == 1 and "not empty" in done.stderr and "volume_operations" in done.stderr


def full_disk():
    """No file of this process may become larger."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))


@sqlite_only
def test_copy_onto_a_full_disk(lived, tmp_path):
    """It says what it waits for, and can be ended."""
    lived.daemon.store.rows(
        "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 30000) INSERT INTO "
        "device_names (id, volume_id, name) SELECT 'name-' || i, 'volume-' || i, 'vol' || i FROM n")
    copy = subprocess.Popen(
        [program("volumectl"), "store", "copy", lived.daemon.store.settings["url"], f"sqlite://{tmp_path}/to.db"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=full_disk)
    assert f"waiting: the store file {tmp_path}/to.db cannot be used" in copy.stderr.readline()
    copy.kill()
    copy.communicate()


@pytest.mark.parametrize("arguments", [["check"], ["prune", "--older-than", "90d"], ["copy"]],
                         ids=lambda arguments: arguments[0])
def test_a_file_that_is_not_there_is_not_made(tmp_path, arguments):
    """Otherwise a mistyped name would be an empty store in which all is well."""
    to = [f"sqlite://{tmp_path}/to.db"] if arguments[0] == "copy" else []
    done = store(*arguments, f"sqlite://{tmp_path}/typo.db", *to)
    assert done.returncode == 1 and f"there is no store file {tmp_path}/typo.db" in done.stderr, done
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["check", "prune"])
def test_not_while_the_daemon_runs(world, command):
    done = store(command, "--config", world.daemon.config,
                 *(["--older-than", "90d"] if command == "prune" else []))
    assert done.returncode == 1 and "in use by another volume-daemon" in done.stderr, done.stderr


def test_a_store_that_is_well(lived):
    text = worked("check", "--config", lived.daemon.config)
    assert text.endswith(" 0 faults\n")


# {0} is the first operation; transitions are counted from its first.
FAULTS = [
    ("UPDATE volume_operations SET status = 'dancing' WHERE id = '{0}'", "\"dancing\", which is not known"),
    ("UPDATE volume_operations SET request = '[1]' WHERE id = '{0}'", "column request is no JSON object"),
    ("UPDATE volume_operations SET completed_at = NULL WHERE id = '{0}'", "but not when it ended"),
    ("UPDATE volume_operations SET completed_at = '2001-01-01 00:00:00.000' WHERE id = '{0}'", "before it began"),
    ("UPDATE volume_operations SET status = 'failed' WHERE id = '{0}'", "its history ends with completed"),
    ("UPDATE volume_operation_history SET new_status = 'lost' WHERE id = '{2}'", "no status"),
    ("DELETE FROM volume_operation_history WHERE id = '{1}'", "but it was nothing"),
    ("UPDATE volume_operation_history SET previous_status = 'failed' WHERE id = '{3}'", "goes on from failed"),
    ("UPDATE volume_operation_history SET new_status = 'pending' WHERE id = '{3}'", "cannot go from executing"),
    ("UPDATE nbd_exports SET status = 'dancing' WHERE id = 'export-2'", "\"dancing\", which is not known"),
]
# These a server refuses by itself.
GUARDED = [
    ("UPDATE volume_operations SET request = '{{\"a\":' WHERE id = '{0}'", "column request is no JSON"),
    ("UPDATE volume_operations SET created_at = 'yesterday' WHERE id = '{0}'", "\"yesterday\", which is not known"),
    ("DELETE FROM volume_operations WHERE id = '{0}'", "there is no operation"),
    ("UPDATE nbd_exports SET metadata = '{{' WHERE id = 'export-2'", "column metadata is no JSON"),
]


@pytest.mark.parametrize("sql, words", [*FAULTS, *(pytest.param(*row, marks=sqlite_only) for row in GUARDED)],
                         ids=[words for _, words in FAULTS + GUARDED])
def test_what_is_wrong_is_named(lived, sql, words):
    place = lived.daemon.store
    operation = place.rows("SELECT id FROM volume_operations ORDER BY id LIMIT 1")[0][0]
    transitions = place.rows("SELECT id FROM volume_operation_history WHERE operation_id = "
                             f"'{operation}' ORDER BY id")
    place.rows(sql.format(operation, *(row[0] for row in transitions)))
    done = store("check", "--config", lived.daemon.config)
    assert done.returncode == 1
    assert words in done.stdout, done.stdout


@sqlite_only
@pytest.mark.parametrize("table, key_words", [("device_mappings", "device /"), ("device_names", "name vol"),
                                              ("nbd_exports", "export migration-vol-")])
def test_keys_that_are_not_unique_any_more(lived, table, key_words):
    with closing(sqlite3.connect(lived.daemon.store.path)) as file, file:
        text = file.execute(f"SELECT sql FROM sqlite_schema WHERE name = '{table}'").fetchone()[0]
        file.execute(f"ALTER TABLE {table} RENAME TO old")
        file.execute(text.split("CONSTRAINT")[0].rstrip().rstrip(",") + ") STRICT")
        for key in ("a", "b"):
            file.execute(f"INSERT INTO {table} SELECT * FROM old")
            file.execute(f"UPDATE {table} SET id = id || '{key}'")
    done = store("check", "--config", lived.daemon.config)
    assert done.returncode == 1
    assert f"{table} " in done.stdout and "is that of row" in done.stdout, done.stdout
    assert key_words in done.stdout, done.stdout


def age(world, days):
    """All operations are so much older than they are."""
    def earlier(text):
        return str(datetime.fromisoformat(text) - timedelta(days=days))[:23]

    rows = world.daemon.store.rows("SELECT id, created_at, completed_at FROM volume_operations")
    assert rows
    for id, created, completed in rows:
        world.daemon.store.rows(f"UPDATE volume_operations SET created_at = '{earlier(created)}', "
                                f"completed_at = '{earlier(completed)}' WHERE id = '{id}'")


def test_prune(lived):
    age(lived, 100)
    lived.daemon.start().wait_healthy()
    lived.attached()
    lived.daemon.stop()
    lived.daemon.store.rows("UPDATE volume_operations SET needs_attention = 1 WHERE status = 'failed'")
    arguments = ["--config", lived.daemon.config, "--older-than"]
    assert "0 operations removed" in worked("prune", *arguments, "101d")
    assert "4 operations would be removed" in worked("prune", *arguments, "99d", "--dry-run")
    assert "4 operations removed" in worked("prune", *arguments, "99d")
    assert "0 operations removed" in worked("prune", *arguments, "99d")
    left = lived.daemon.store.rows("SELECT status, needs_attention FROM volume_operations ORDER BY id")
    assert left == [["failed", "1"], ["completed", "0"]]
    assert lived.daemon.store.rows("SELECT COUNT(*) FROM volume_operation_history WHERE operation_id NOT IN "
                                   "(SELECT id FROM volume_operations)") == [["0"]]
    worked("check", "--config", lived.daemon.config)


@pytest.mark.parametrize("arguments, words", [
    ([], "backup, check, copy, prune, plan and accept"),
    (["dance"], "backup, check, copy, prune, plan and accept"), (["copy", "a"], "FROM and TO"),
    (["copy", "a", "a"], "the same"), (["check", "a", "b"], "one URL"), (["prune"], "--older-than"),
    (["prune", "--older-than", "1h"], "at least 1d"), (["prune", "--older-than"], "lacks its value"),
    (["check", "--colour"], "unknown option")])
def test_wrong_usage(arguments, words):
    done = store(*arguments)
    assert done.returncode == 2 and words in done.stderr and not done.stdout


def test_help():
    assert "volumectl store copy FROM TO" in worked("--help")


@pytest.mark.parametrize("url, words", [
    ("oracle://x", "cannot begin with"), ("memory:", "in memory"),
    ("sqlite:///nonexistent/x.db", "/nonexistent"), ("mariadb://me:opensesame@h/d", "password_file")])
def test_a_url_that_cannot_be(url, words):
    done = store("check", url)
    assert done.returncode == 1 and words in done.stderr, done.stderr
    assert "opensesame" not in done.stderr
