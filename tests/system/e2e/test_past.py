# SPDX-License-Identifier: LGPL-2.1-or-later
"""A store from the past, or of another machine.

A store that comes back from a backup, a snapshot or a template tells of an older world. The daemon
notices that at its start, only reads, says what it saw, and goes on after `volumectl store accept`;
no operation of the old store asks CloudStack for its change once more. Whatever is other people's
is no sign.
"""

import json
import pty
import shlex
import subprocess
from contextlib import suppress
from os import close, read, write
from shutil import copyfile

import pytest
from cloudsim import APPLIANCE_VM, OTHER_VM
from support.py import shapes, stores
from support.py.programs import program
from support.py.waiting import eventually

FOREVER = 3600

# A table comes after the tables that its rows refer to.
TABLES = ["volume_operations", "device_mappings", "volume_operation_history", "device_names",
          "nbd_exports", "volume_daemon_marks", "tracked_snapshots", "volume_daemon_tokens"]


def save(world):
    """Keep a copy of the store of a daemon that does not run."""
    store = world.daemon.store
    if stores.KIND == "sqlite":
        for suffix in ("", "-wal"):
            with suppress(FileNotFoundError):
                copyfile(f"{store.path}{suffix}", f"{store.path}.saved{suffix}")
        return
    for table in TABLES:
        store.rows(f"CREATE OR REPLACE TABLE saved_{table} AS SELECT * FROM {table}")


def revert(world):
    """Bring the copy back."""
    store = world.daemon.store
    if stores.KIND == "sqlite":
        store.path.with_name(store.path.name + "-wal").unlink(missing_ok=True)
        for suffix in ("", "-wal"):
            with suppress(FileNotFoundError):
                copyfile(f"{store.path}.saved{suffix}", f"{store.path}{suffix}")
        return
    for table in TABLES:
        store.rows(f"DELETE FROM {table}")
    for table in TABLES:
        store.rows(f"INSERT INTO {table} SELECT * FROM saved_{table}")


def as_root(world, program, *arguments, **files):
    """A client program of the database server."""
    server = world.daemon.store.server
    subprocess.run([program, "--no-defaults", f"--socket={server.socket}", "--user=root", *arguments],
                   check=True, **files)


def back_up(world, file):
    """The backup that volumectl makes of a running daemon's store, or says how to make."""
    done = world.daemon.ctl("store", "backup", file)
    if stores.KIND == "sqlite":
        ok(done)
        return
    command = shlex.split(done.stderr[done.stderr.index("mariadb-dump"):].splitlines()[0])
    tables = command[command.index("DATABASE") + 1:-1]
    with file.open("wb") as out:
        as_root(world, *command[:2], world.daemon.store.name, *tables, stdout=out)


def restore(world, file):
    """As STORES.md says."""
    store = world.daemon.store
    if stores.KIND != "sqlite":
        with file.open("rb") as dump:
            as_root(world, "mariadb", store.name, stdin=dump)
        return
    for name in (store.path.name, store.path.name + "-wal"):
        store.path.with_name(name).unlink(missing_ok=True)
    copyfile(file, store.path)
    store.path.chmod(0o600)


def mark(world, name):
    rows = world.daemon.store.rows(f"SELECT value FROM volume_daemon_marks WHERE id = '{name}'")
    return rows[0][0] if rows else None


def state(world):
    return world.daemon.health()["details"]["store_state"]


def assert_past(world, *words):
    """It only reads, and says why."""
    eventually(lambda: state(world) == "past", "the sign")
    health = shapes.HEALTH.check(world.daemon.health())
    assert health["status"] == "degraded" and not health["details"]["accepting_changes"]
    for word in (*words, "volumectl store plan", "volumectl store accept"):
        assert word in health["database_health"], health
    assert world.daemon.get("/api/v1/operations") is not None
    for answer in (world.daemon.rest("POST", f"/api/v1/volumes/{world.volume()}/attach",
                                     {"vm_id": APPLIANCE_VM}),
                   world.daemon.rest("POST", "/api/v1/admin/force-sync"),
                   world.daemon.rest("POST", "/api/v1/exports", {"volume_id": world.volume()})):
        assert answer.status == 503, answer
        assert answer.json["error"] == health["database_health"]


def plan(world):
    return json.loads(ok(world.daemon.ctl("store", "plan", "--json")))


def ok(done):
    assert done.returncode == 0, done
    return done.stdout


def accept(world):
    text = ok(world.daemon.ctl("store", "accept", "--yes"))
    assert "one from the past" in text and "accepted" in text, text
    world.daemon.wait_healthy()
    return text


def assert_starts_normally(world):
    world.daemon.stop()
    world.daemon.start().wait_healthy()
    assert state(world) == "current"
    assert ok(world.daemon.ctl("store", "plan")) == "The store is current: nothing has to be accepted.\n"
    done = world.daemon.ctl("store", "accept", "--yes")
    assert done.returncode == 9 and "nothing to accept" in done.stderr, done


def requested(world, command):
    return [r for r in world.cloud.requests() if r["command"] == command]


def younger_id(world):
    """An id as this store makes them, younger than all in it."""
    return f"7fffffff-0000-7000-8000-{mark(world, 'store_id')}"


def lived(world):
    """The daemon has made ids, and is stopped."""
    volume, _ = world.attached()
    world.daemon.stop()
    return volume


# ---- the signs ----

def test_a_job_that_the_store_does_not_know(make_world):
    """The store is a copy from before an attachment whose job is under way."""
    world = make_world()
    lived(world)
    save(world)
    world.daemon.start().wait_healthy()
    volume = world.volume()
    world.cloud.set(job_delay=FOREVER)
    lost = world.daemon.attach(volume)
    world.await_jobs("attachVolume", 2)
    job = next(j for j in world.cloud.state()["jobs"] if j["status"] == 0)
    assert job["jobid"].endswith(mark_of(lost)), job
    world.daemon.kill()
    revert(world)
    world.daemon.start()
    assert_past(world, job["jobid"])
    assert plan(world)["report"] == {"operations": []}
    text = accept(world)
    assert "No operation is unfinished." in text
    world.cloud.set(job_delay=0)
    world.cloud.hurry()
    world.cloud.wait_idle()
    # What the old job did is found, and nothing is done twice.
    eventually(lambda: world.daemon.rest("POST", "/api/v1/admin/force-sync").status == 200, "a sync")
    eventually(lambda: world.daemon.rest("GET", f"/api/v1/volumes/{volume}/device").status == 200,
               "the mapping")
    world.assert_is(world.daemon.get(f"/api/v1/volumes/{volume}/device")["device_path"], volume)
    assert len(requested(world, "attachVolume")) == 2
    world.daemon.completed(world.daemon.detach(volume))
    assert_starts_normally(world)


def test_a_backup_that_is_restored(make_world, tmp_path):
    """The world has gone on since the backup, and a job is under way that the backup does not know."""
    world = make_world()
    volume, _ = world.attached()
    file = tmp_path / "store.backup"
    back_up(world, file)
    later = world.volume()
    world.daemon.completed(world.daemon.detach(volume))
    world.cloud.set(job_delay=FOREVER)
    lost = world.daemon.attach(later)
    world.await_jobs("attachVolume", 2)
    world.daemon.stop()
    restore(world, file)
    world.daemon.start()
    assert_past(world, mark_of(lost))
    # The old rows are shown, and nothing follows from them.
    assert [m["volume_uuid"] for m in world.daemon.get("/api/v1/mappings")["mappings"]] == [volume]
    assert plan(world)["report"] == {"operations": []}
    accept(world)
    world.cloud.set(job_delay=0)
    world.cloud.hurry()
    world.cloud.wait_idle()
    eventually(lambda: world.daemon.rest("POST", "/api/v1/admin/force-sync").status == 200, "a sync")
    eventually(lambda: [m["volume_uuid"] for m in world.daemon.get("/api/v1/mappings")["mappings"]] == [later],
               "the mappings of today")
    world.assert_is(world.daemon.get(f"/api/v1/volumes/{later}/device")["device_path"], later)
    assert len(requested(world, "attachVolume")) == 2 and len(requested(world, "detachVolume")) == 1
    assert ok(world.daemon.ctl("store", "check")).endswith(" 0 faults\n")
    assert_starts_normally(world)


def mark_of(operation):
    """The last 12 digits of an id name its store."""
    return operation["id"][-12:]


def test_a_volume_that_the_store_does_not_know(make_world):
    world = make_world()
    lived(world)
    unknown = younger_id(world)
    left = world.volume(name=f"data-op-{unknown}")
    world.daemon.start()
    assert_past(world, left, f"op-{unknown}")
    accept(world)
    world.daemon.stop()
    assert mark(world, "store_id") != unknown[-12:]
    world.daemon.start().wait_healthy()
    assert state(world) == "current"


def test_another_vm(make_world):
    """The VM was cloned."""
    world = make_world()
    volume = lived(world)
    assert mark(world, "vm_id") == APPLIANCE_VM
    world.daemon.configure(appliance={"vm_id": OTHER_VM})
    world.daemon.start()
    assert_past(world, APPLIANCE_VM, OTHER_VM)
    # The rows of the other machine are untouched until then.
    assert [m["volume_uuid"] for m in world.daemon.get("/api/v1/mappings")["mappings"]] == [volume]
    accept(world)
    assert_starts_normally(world)


def test_an_appliance_that_was_wrong(make_world):
    """A disk here has proven the configured VM wrong; the right one is no sign, however late."""
    world = make_world(appliance={"vm_id": OTHER_VM})
    assert "appliance.vm_id" in world.daemon.failed(world.daemon.attach(world.volume()))["error"]
    for _ in range(2):
        world.daemon.stop()
        assert not mark(world, "vm_id")
        world.daemon.start()
        eventually(lambda: state(world) == "current", "the look at CloudStack")
    world.daemon.stop()
    world.daemon.configure(appliance={"vm_id": APPLIANCE_VM})
    world.daemon.start().wait_healthy()
    world.attached()
    world.daemon.stop()
    assert mark(world, "vm_id") == APPLIANCE_VM


@pytest.mark.parametrize("known", [True, False], ids=["other", "new"])
def test_another_machine(make_world, known):
    """Only a store that is a file belongs to the machine; a machine without an id is not another."""
    world = make_world(start=False)
    world.daemon.program = "volume-daemon-crash"
    if known:
        world.daemon.machine_id.write_text("a" * 32)
    world.start()
    lived(world)
    world.daemon.machine_id.write_text("b" * 32)
    world.daemon.start()
    if known and stores.KIND == "sqlite":
        assert_past(world, "another machine")
        accept(world)
        assert_starts_normally(world)
    else:
        world.daemon.wait_healthy()
    world.daemon.stop()
    assert mark(world, "machine_id") == ("b" * 32 if stores.KIND == "sqlite" else None)


def test_what_is_no_sign(make_world):
    """Jobs and volumes of others, and what the store has known and forgotten."""
    world = make_world()
    volume = lived(world)
    store_id = mark(world, "store_id")
    world.volume(name="data-op-7fffffff-0000-7000-8000-0123456789ab")  # of another store
    world.volume(name=f"data-op-00000000-0000-7000-8000-{store_id}")   # of an operation removed long ago
    world.volume(name=f"data-op-7fffffff-0000-4000-8000-{store_id}")   # no id of ours
    world.volume(name=f"holidays {store_id}")
    world.cloud.set(job_delay=FOREVER)
    client = world.cloud.client()
    other = world.volume()
    client.call("attachVolume", id=other, virtualmachineid=OTHER_VM)
    client.call("attachVolume", id=world.volume(), virtualmachineid=OTHER_VM,
                customjobid="7fffffff-0000-7000-8000-0123456789ab")
    world.daemon.start().wait_healthy()
    assert state(world) == "current"
    world.cloud.set(job_delay=0)
    world.daemon.completed(world.daemon.detach(volume))


def test_pruned_operations_are_known(make_world):
    """All operations have left the store, and one of their volumes still has the longer name."""
    world = make_world()
    lived(world)
    newest = world.daemon.store.rows("SELECT MAX(id) FROM volume_operations")[0][0]
    world.volume(name=f"data-{newest}")
    for table in ("volume_operations", "volume_operation_history"):
        world.daemon.store.rows(f"UPDATE {table} SET " + (
            "completed_at = '2001-01-01 00:00:00.000', created_at = '2001-01-01 00:00:00.000'"
            if table == "volume_operations" else "changed_at = '2001-01-01 00:00:00.000'"))
    done = subprocess.run([program("volumectl"), "store", "prune", "--older-than", "90d", "--config",
                           world.daemon.config], capture_output=True, text=True, check=False)
    assert "1 operations removed" in done.stdout, done
    world.daemon.start().wait_healthy()
    assert state(world) == "current"


def test_a_store_without_marks(make_world):
    """As an earlier daemon leaves it."""
    world = make_world()
    lived(world)
    world.daemon.store.rows("DELETE FROM volume_daemon_marks")
    world.daemon.start().wait_healthy()
    assert state(world) == "current"
    operation = world.daemon.attach(world.volume())
    world.daemon.completed(operation)
    world.daemon.stop()
    assert mark(world, "store_id") == operation["id"][-12:]
    assert mark(world, "vm_id") == APPLIANCE_VM


# ---- unfinished operations ----

def attaching(world):
    """A volume, and its attachment that waits for its job."""
    lived(world)
    world.daemon.start().wait_healthy()
    volume = world.volume()
    world.cloud.set(job_delay=FOREVER)
    begun = world.daemon.attach(volume)
    world.await_jobs("attachVolume", 2)
    return volume, begun


def starts_past(world):
    """CloudStack shows a younger operation of the store when the daemon starts again."""
    world.volume(name=f"data-op-{younger_id(world)}")
    world.daemon.start()
    assert_past(world)


def test_an_old_operation_looks_and_asks_for_nothing(make_world):
    """One waits for its job, one has not begun; then CloudStack loses the job."""
    world = make_world()
    volume, begun = attaching(world)
    waiting = world.daemon.detach(volume)
    world.daemon.kill()
    starts_past(world)
    assert {o["id"]: o["status"] for o in world.daemon.get("/api/v1/operations")
            if o["id"] in (begun["id"], waiting["id"])} == \
        {begun["id"]: "executing", waiting["id"]: "pending"}
    answer = world.daemon.rest("POST", f"/api/v1/operations/{waiting['id']}/cancel")
    assert answer.status == 503, answer
    planned = {o["id"]: o for o in plan(world)["report"]["operations"]}
    assert "not requested again" in planned[begun["id"]]["plan"]
    assert planned[begun["id"]]["step"] == "await-job" and planned[begun["id"]]["volume_id"] == volume
    assert "the operation ends as failed, since it has not begun" in planned[waiting["id"]]["plan"]
    text = accept(world)
    assert f"{begun['id']}: attach, volume {volume}" in text, text
    world.cloud.set(job_delay=0)
    world.cloud.restart(effects=False)
    record = world.daemon.failed(begun)
    assert "accepted as one from the past" in record["error"] or "lost the job" in record["error"]
    assert not record.get("needs_attention"), record
    record = world.daemon.failed(waiting)
    assert record["error_code"] == "CONFLICT" and "ask again" in record["error"], record
    assert len(requested(world, "attachVolume")) == 2 and not requested(world, "detachVolume")
    assert world.cloud.volume(volume)["vm"] is None
    # The volume is free for a new request.
    world.daemon.completed(world.daemon.attach(volume))
    assert_starts_normally(world)


def test_an_old_operation_whose_goal_is_reached_goes_on(make_world):
    world = make_world()
    volume, begun = attaching(world)
    world.daemon.kill()
    starts_past(world)
    world.cloud.set(job_delay=0)
    world.cloud.hurry()
    world.cloud.wait_idle()
    accept(world)
    path = world.daemon.completed(begun)["response"]["device_path"]
    world.assert_is(path, volume)
    assert len(requested(world, "attachVolume")) == 2


def test_an_old_operation_that_has_not_asked(make_world):
    """It died between the commit of its request and the request."""
    world = make_world(start=False)
    world.daemon.program = "volume-daemon-crash"
    world.start()
    lived(world)
    world.daemon.start().wait_healthy()
    volume = world.volume()
    world.daemon.crash_at.write_text("attach/ask-cloud/after")
    begun = world.daemon.attach(volume)
    world.daemon.dies()
    world.daemon.crash_at.unlink()
    starts_past(world)
    accept(world)
    assert "look at the volume" in world.daemon.failed(begun)["error"] or \
        "try again" in world.daemon.failed(begun)["error"]
    assert len(requested(world, "attachVolume")) == 1, "the old request was made"
    assert world.cloud.volume(volume)["vm"] is None


# ---- accepting ----

@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_at_the_accept(make_world, moment):
    world = make_world(start=False)
    world.daemon.program = "volume-daemon-crash"
    world.start()
    volume, _ = attaching(world)
    waiting = world.daemon.detach(volume)
    world.daemon.kill()
    starts_past(world)
    world.daemon.crash_at.write_text(f"store/accept/{moment}")
    assert world.daemon.ctl("store", "accept", "--yes").returncode != 0
    world.daemon.dies()
    world.daemon.crash_at.unlink()
    world.daemon.start()
    if moment == "before":
        assert_past(world)
        accept(world)
    else:
        world.daemon.wait_healthy()
    # What was accepted as old stays old.
    assert "ask again" in world.daemon.failed(waiting)["error"]
    assert not requested(world, "detachVolume")
    assert_starts_normally(world)


def test_accept_asks_on_a_terminal(make_world):
    world = make_world()
    lived(world)
    world.daemon.configure(appliance={"vm_id": OTHER_VM})
    world.daemon.start()
    assert_past(world)
    done = world.daemon.ctl("store", "accept")
    assert done.returncode == 2 and "--yes" in done.stderr and "one from the past" in done.stdout, done
    for answer, accepted in (("\n", False), ("n\n", False), ("y\n", True)):
        ours, theirs = pty.openpty()
        asked = subprocess.Popen([program("volumectl"), "store", "accept"], stdin=theirs,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                 env=world.bus.environment)
        write(ours, answer.encode())
        out, err = asked.communicate(timeout=60)
        close(theirs)
        close(ours)
        assert "[y/N]" in err and ("accepted" in out) == accepted, (out, err)
        assert (asked.returncode == 0) == accepted
    world.daemon.wait_healthy()


# ---- CloudStack at the start ----

def test_cloudstack_that_does_not_answer_at_the_start(make_world):
    world = make_world()
    volume = lived(world)
    world.cloud.down()
    world.daemon.start()
    health = world.daemon.health()
    assert health["details"]["store_state"] == "checking"
    assert "at the latest 60 s after it answers" in health["database_health"], health
    assert [m["volume_uuid"] for m in world.daemon.get("/api/v1/mappings")["mappings"]] == [volume]
    assert world.daemon.rest("POST", f"/api/v1/volumes/{volume}/detach").status == 503
    world.cloud.up()
    world.daemon.wait_healthy()
    assert state(world) == "current"
    world.daemon.completed(world.daemon.detach(volume))


def test_a_cloudstack_that_lists_no_jobs(make_world):
    """The volumes tell all the same."""
    world = make_world()
    lived(world)
    world.cloud.set(unknown_commands=["listAsyncJobs"])
    world.daemon.start().wait_healthy()
    world.daemon.stop()
    left = world.volume(name=f"data-op-{younger_id(world)}")
    world.daemon.start()
    assert_past(world, left)


def test_a_fresh_store_asks_nothing(make_world):
    world = make_world()
    assert state(world) == "current"
    assert not requested(world, "listAsyncJobs")
