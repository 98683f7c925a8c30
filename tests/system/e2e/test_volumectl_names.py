# SPDX-License-Identifier: LGPL-2.1-or-later
"""volumectl for a person who knows volumes by their names, and several of them at once."""

import json

import pytest
from cloudsim import APPLIANCE_VM, OTHER_VM, ZONE
from support.py.stores import any_store, each_store
from support.py.waiting import eventually

pytestmark = any_store

TWINS = ("0195a1f0-7c3e-7b11-8f00-0123456789ab", "0195a1f0-7c3e-7b11-8f00-0123456789ac")


def known(world, *volumes):
    """The daemon's list has these volumes, which are made behind its back."""
    answer = world.daemon.get("/api/v1/volumes?limit=1000&refresh=true")
    assert set(volumes) <= {volume["volume_id"] for volume in answer["volumes"]}
    return volumes


def named(world, *names):
    return known(world, *(world.volume(name=name) for name in names))


def value(done, name):
    assert done.returncode == 0, done
    return dict(line.split(None, 1) for line in done.stdout.splitlines())[name]


# ---- one volume ----

def test_a_life_by_names(world):
    """As `volumectl --help` shows it."""
    ctl = world.daemon.ctl
    offering = next(o for o in ctl("offerings", "--json") and json.loads(ctl("offerings", "--json").stdout)
                    if not o["size"])["name"]
    zone = next(z for z in json.loads(ctl("zones", "--json").stdout) if z["id"] == ZONE)["name"]
    volume = ctl("create", "--name", "data", "--size", "1GiB", "--offering", offering, "--zone", zone).stdout.strip()
    path = ctl("attach", "data").stdout.strip()
    world.assert_is(path, volume)
    assert value(ctl("show", volume[:8]), "volume_id") == volume
    assert value(ctl("device", volume[:13].upper()), "device_path") == path
    assert value(ctl("show", volume[:9] + "…"), "volume_id") == volume      # as a narrow table shows it
    assert ctl("users", "data").returncode == 0
    assert ctl("detach", "data").returncode == 0
    other = next(v for v in json.loads(ctl("vms", "--json").stdout) if v["id"] == OTHER_VM)
    assert ctl("attach", "data", "--vm", other["name"]).returncode == 0
    assert world.daemon.get(f"/api/v1/volumes/{volume}")["vm_id"] == OTHER_VM
    assert value(ctl("show", "data"), "vm_id") == OTHER_VM
    listed = json.loads(ctl("list", "--vm", other["name"], "--json").stdout)
    assert volume in [v["volume_id"] for v in listed]


@pytest.mark.parametrize("word", ["twin", TWINS[0][:20]])
def test_an_ambiguous_word_shows_all_and_does_nothing(world, word):
    known(world, *(world.volume(id=id, name="twin") for id in TWINS))
    done = world.daemon.ctl("delete", word)
    assert done.returncode == 9 and done.stdout == ""
    assert all(id in done.stderr for id in TWINS) and done.stderr.count("twin") >= 2, done.stderr
    assert world.daemon.get("/api/v1/operations") == []


def test_a_name_that_looks_like_the_beginning_of_another_uuid(world):
    """Both are meant: the person decides, not the program."""
    volume, = known(world, world.volume(id=TWINS[0], name="data"))
    other, = named(world, TWINS[0][:8])
    done = world.daemon.ctl("delete", TWINS[0][:8])
    assert done.returncode == 9 and volume in done.stderr and other in done.stderr
    assert world.daemon.ctl("show", TWINS[0]).returncode == 0


def test_a_word_for_nothing(world):
    done = world.daemon.ctl("delete", "no\x1bsuch")
    assert done.returncode == 6 and "'no?such'" in done.stderr and "volumectl list" in done.stderr
    assert world.daemon.ctl("show", "019").returncode == 6          # too short for a UUID


# ---- lists ----

def test_lists_go_to_their_end(make_world):
    world = make_world(start=False)
    volumes = [world.volume() for _ in range(1100)]
    world.start()
    eventually(lambda: world.daemon.health()["details"]["known_volumes"] > len(volumes), "the list of all volumes")
    listed = world.daemon.ctl_json("list")
    assert {v["volume_id"] for v in listed} >= set(volumes)
    assert len({v["volume_id"] for v in listed}) == len(listed)
    assert len(world.daemon.ctl("list").stdout.splitlines()) == len(listed) + 1
    for limit in (1, 1050):
        assert len(json.loads(world.daemon.ctl("list", "--limit", limit, "--json").stdout)) == limit
    behind = json.loads(world.daemon.ctl("list", "--limit", 2, "--cursor", listed[0]["volume_id"], "--json").stdout)
    assert [v["volume_id"] for v in behind] == [v["volume_id"] for v in listed[1:3]]


def test_columns(world):
    volume, = named(world, "data")
    done = world.daemon.ctl("list", "--columns", "size,name", "--limit", "1000")
    heading, *rows = done.stdout.splitlines()
    assert heading.split() == ["SIZE", "NAME"] and ["1GiB", "data"] in [row.split() for row in rows]
    listed = json.loads(world.daemon.ctl("list", "--columns", "volume_id,name", "--json").stdout)
    assert {"volume_id": volume, "name": "data"} in listed


# ---- many at once ----

def test_many_at_once(world):
    volumes = named(world, "one", "two", "three")
    done = world.daemon.ctl("attach", "one", "two", volumes[2])
    heading, *rows = done.stdout.splitlines()
    assert done.returncode == 0 and heading.split() == ["VOLUME", "STATUS", "RESULT"]
    for volume, word, row in zip(volumes, ("one", "two", volumes[2]), rows, strict=True):
        shown, status, path = row.split()
        assert (shown, status) == (word, "completed")
        world.assert_is(path, volume)
    done = world.daemon.ctl("delete", *volumes, "--json")
    assert [record["status"] for record in json.loads(done.stdout)] == ["completed"] * 3
    assert world.data_volumes() == []


def test_many_at_once_and_one_fails(world):
    named(world, "one", "two", "three")
    assert world.daemon.ctl("attach", "two").returncode == 0
    done = world.daemon.ctl("attach", "one", "two", "three")
    rows = {row.split()[0]: row.split()[1] for row in done.stdout.splitlines()[1:]}
    assert done.returncode == 9 and rows == {"one": "completed", "two": "failed", "three": "completed"}
    assert "volumectl: two: " in done.stderr
    done = world.daemon.ctl("detach", "one", "no-such-volume", "three")
    assert done.returncode == 6 and done.stdout == ""               # nothing was begun
    assert world.daemon.ctl("device", "one").returncode == 0


def test_a_change_that_is_refused_beside_others(world):
    one, two = named(world, "one", "two")
    assert world.daemon.ctl("pause", "a look").returncode == 0
    done = world.daemon.ctl("attach", one, two, "--json")
    assert done.returncode == 17
    assert [(r["volume_id"], r["status"], r["error_code"]) for r in json.loads(done.stdout)] == \
        [(one, "refused", "ServiceUnavailable"), (two, "refused", "ServiceUnavailable")]
    assert "a look" in done.stderr


def test_all_volumes_of_a_machine(world):
    one, two, elsewhere = named(world, "one", "two", "elsewhere")
    assert world.daemon.ctl("attach", one, two).returncode == 0
    assert world.daemon.ctl("attach", elsewhere, "--vm", OTHER_VM).returncode == 0
    done = world.daemon.ctl("detach", "--vm", APPLIANCE_VM, "--all")
    assert done.returncode == 0
    assert {row.split()[0] for row in done.stdout.splitlines()[1:]} == {"one", "two"}
    assert world.daemon.get(f"/api/v1/volumes/{elsewhere}")["vm_id"] == OTHER_VM
    again = world.daemon.ctl("detach", "--vm", APPLIANCE_VM, "--all", "--json")
    assert (again.returncode, again.stdout) == (0, "[]\n") and "No data volume" in again.stderr


def test_many_without_waiting(world):
    world.cloud.set(job_delay=3600)
    one, two = named(world, "one", "two")
    done = world.daemon.ctl("attach", one, two, "--no-wait", "--json")
    begun = json.loads(done.stdout)
    assert done.returncode == 0 and [r["volume_id"] for r in begun] == [one, two]
    assert {world.daemon.operation(r["id"])["type"] for r in begun} == {"attach"}
    assert world.daemon.ctl("attach", one, two, "--request-id", "x").returncode == 2


def test_plans_of_many(world):
    one, two = named(world, "one", "two")
    assert world.daemon.ctl("attach", "two").returncode == 0
    before = len(world.daemon.get("/api/v1/operations"))
    done = world.daemon.ctl("attach", "one", "two", "--dry-run")
    first, second = done.stdout.split("two:\n")
    assert done.returncode == 9, done                               # that of the worse plan
    assert first.startswith("one:\nWould:\n") and "Refused by:" not in first
    assert "Refused by:" in second and "already" in second
    done = world.daemon.ctl("detach", "--vm", APPLIANCE_VM, "--all", "--dry-run", "--json")
    (plan,) = json.loads(done.stdout)
    assert done.returncode == 0 and (plan["volume_id"], plan["method"]) == (two, "volume.detach") and plan["would"]
    done = world.daemon.ctl("delete", one, "00000000-0000-4000-8000-000000000000", "--dry-run")
    assert done.returncode == 6 and done.stdout.count("Would:") == 2, done
    assert len(world.daemon.get("/api/v1/operations")) == before
    assert {volume["id"] for volume in world.data_volumes()} == {one, two}


# ---- waiting for a device ----

def test_wait_device(world):
    volume, = named(world, "data")
    with world.daemon.ctl_start("wait-device", "data") as waiting:
        waiting.err.wait(lambda line: line.startswith("waiting: ") and volume in line)
        path = world.daemon.completed(world.daemon.attach(volume))["response"]["device_path"]
        assert waiting.wait() == 0 and waiting.out.all() == [path]
    assert json.loads(world.daemon.ctl("wait-device", volume, "--json").stdout) == {"device_path": path}


@each_store
def test_wait_device_outlives_the_daemon(world):
    volume, path = world.attached()
    world.daemon.stop()
    with world.daemon.ctl_start("wait-device", volume) as waiting:
        waiting.err.wait(lambda line: "volume-daemon is not running" in line)
        world.daemon.start()
        assert waiting.wait() == 0 and waiting.out.all() == [path]


def test_wait_device_in_vain(world):
    elsewhere, = named(world, "elsewhere")
    assert world.daemon.ctl("attach", elsewhere, "--vm", OTHER_VM).returncode == 0
    done = world.daemon.ctl("wait-device", "elsewhere", "--timeout", "3s")
    assert done.returncode == 18 and f"is attached to VM {OTHER_VM}" in done.stderr
    done = world.daemon.ctl("wait-device", "no-such-volume", "--timeout", "3s")
    assert done.returncode == 18 and "no-such-volume" in done.stderr
    assert world.daemon.ctl("wait-device").returncode == 2


# ---- drain ----

def test_drain(world):
    world.cloud.set(job_delay=0.5)
    begun = world.daemon.attach(world.volume())
    done = world.daemon.ctl("drain", "upgrade of CloudStack")
    assert done.returncode == 0 and "nothing runs" in done.stdout
    assert world.daemon.operation(begun["id"])["status"] == "completed"
    assert world.daemon.health()["details"]["paused"] == "upgrade of CloudStack"
    assert world.daemon.ctl("resume").returncode == 0


def test_drain_in_vain(world):
    world.cloud.set(job_delay=3600)
    begun = world.daemon.attach(world.volume())
    world.await_jobs("attachVolume")
    done = world.daemon.ctl("drain", "--timeout", "3s")
    assert done.returncode == 18 and begun["id"] in done.stderr
    assert world.daemon.health()["details"]["paused"]
    assert world.daemon.ctl("drain", "a", "b").returncode == 2
    world.cloud.restart()
    world.daemon.failed(begun)


# ---- cancel ----

def test_cancel_waits(world):
    world.cloud.set(job_delay=3600)
    begun = world.daemon.attach(world.volume())
    world.await_jobs("attachVolume")
    with world.daemon.ctl_start("cancel", begun["id"]) as cancelling:
        cancelling.err.wait(lambda line: f"{begun['id']}: undoing, " in line)
        world.cloud.restart()
        assert cancelling.wait() == 0, cancelling.err.all()
    assert world.daemon.operation(begun["id"])["status"] == "cancelled"
    done = world.daemon.ctl("cancel", begun["id"])
    assert done.returncode == 9, done
