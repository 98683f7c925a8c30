# SPDX-License-Identifier: LGPL-2.1-or-later
"""The name of a new volume: what CloudStack has is shown, and a name that it did not give is told."""

import pytest
from support.py import shapes
from support.py.stores import any_store

pytestmark = any_store


@pytest.fixture
def world(make_world):
    """Nothing is compared but when it is asked for."""
    return make_world(reconcile={"interval": "1h"})


def ignore(world):
    world.cloud.set(rename_ignored=True)


def forbid(world):
    world.cloud.put_account("admin", forbidden=["updateVolume"])


def forget(world):
    world.cloud.set(unknown_commands=["updateVolume"])


def lose(world):
    world.cloud.set_faults([{"do": "job_fail", "bare": True, "command": "updateVolume",
                             "times": 0}])


WAYS = [(ignore, "did not rename it, as a server before 4.16"),
        (forbid, "does not allow the command updateVolume"),
        (forget, "does not know the command updateVolume"),
        (lose, "lost the job each time")]


def sync(world):
    return shapes.check_sync(world.daemon.rest("POST", "/api/v1/admin/force-sync").json)


def renames(world):
    return [r for r in world.cloud.requests() if r["command"] == "updateVolume"]


@pytest.mark.parametrize("take, why", WAYS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_volume_that_cannot_be_renamed(world, take, why):
    take(world)
    record = world.daemon.completed(world.daemon.create(name="plain"))
    volume, name = record["volume_id"], f"plain-{record['id']}"
    assert world.cloud.volume(volume)["name"] == name
    assert record["response"]["name"] == name
    message = record["response"]["message"]
    assert f"not renamed from {name} to plain" in message and why in message, record
    shown = world.daemon.get(f"/api/v1/volumes/{volume}")
    assert shown["name"] == name and shown["cloudstack_data"]["name"] == name


def test_the_name_that_was_asked_for(world):
    record = world.daemon.completed(world.daemon.create(name="plain"))
    assert record["response"]["name"] == "plain"
    assert record["response"]["message"] == "Volume created"
    shown = world.daemon.get(f"/api/v1/volumes/{record['volume_id']}")
    assert shown["name"] == shown["cloudstack_data"]["name"] == "plain"
    assert sync(world)["drift"] == []


def test_a_renaming_that_was_lost_is_asked_for_again(world):
    world.cloud.set_faults([{"do": "job_fail", "bare": True, "command": "updateVolume"}])
    record = world.daemon.completed(world.daemon.create(name="plain"))
    assert world.cloud.volume(record["volume_id"])["name"] == "plain"
    assert record["response"]["message"] == "Volume created"
    first, second = renames(world)
    assert first["params"]["customjobid"] != second["params"]["customjobid"]


@pytest.mark.parametrize("attached", [False, True])
def test_a_name_that_was_not_given_is_told_once(world, attached):
    ignore(world)
    volume = world.daemon.completed(world.daemon.create(name="plain"))["volume_id"]
    if attached:
        world.daemon.completed(world.daemon.attach(volume))
    with world.monitor() as monitor:
        for _ in range(2):
            found, = sync(world)["failed"]
            assert (found["kind"], found["volume_id"]) == ("not-renamed", volume)
        monitor.wait("DriftFound", lambda a: a[0] == "not-renamed")
        assert len(monitor.signals("DriftFound")) == 1
    world.cloud.put_volume(id=volume, name="plain")
    assert sync(world)["drift"] == []
