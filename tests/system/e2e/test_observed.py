# SPDX-License-Identifier: LGPL-2.1-or-later
"""What real CloudStack servers were seen to answer, and what the daemon makes of it."""

import cloudsim
import pytest
from support.py.stores import any_store, each_store
from support.py.waiting import eventually

pytestmark = any_store


def create(world, name):
    return world.daemon.rest("POST", "/api/v1/volumes", {
        "name": name, "size": cloudsim.GIB, "zone_id": cloudsim.ZONE,
        "disk_offering_id": cloudsim.OFFERING_CUSTOM})


@pytest.mark.parametrize("name", ["\U0001f600", "disk \U0001f4be 1", "\U0010fffd"])
def test_a_name_that_cloudstack_cannot_store(world, name):
    answer = create(world, name)
    assert answer.status == 400, answer
    assert f"U+{max(map(ord, name)):04X}" in answer.json["error"], answer.json
    assert not [r for r in world.cloud.requests() if r["command"] == "createVolume"]


@pytest.mark.parametrize("ahead", [-7200, 7200])
def test_the_date_of_a_proxy_is_not_the_servers(world, ahead):
    world.cloud.set(proxy_date=ahead)
    volume = world.volume()
    world.daemon.completed(world.daemon.attach(volume))
    world.daemon.completed(world.daemon.detach(volume))
    world.daemon.wait_healthy()
    assert abs(world.daemon.health()["details"]["cloudstack_clock_ahead_ms"]) < 3000


@pytest.mark.parametrize("enforced", [False, True])
@pytest.mark.parametrize("ahead", [-2100, 2100])
def test_a_servers_clock_that_differs(make_world, ahead, enforced):
    """A change expires one time-out after its commit, by the server's clock. The time-out is long enough for a request
    that a busy machine sends late, and short beside the difference."""
    world = make_world(cloud={"timeout": "60s"})
    world.cloud.set(clock=ahead, enforce_post=enforced)
    volume = world.volume()
    world.daemon.completed(world.daemon.attach(volume))
    world.daemon.completed(world.daemon.detach(volume))
    world.daemon.wait_healthy()
    found = world.daemon.health()["details"]["cloudstack_clock_ahead_ms"]
    assert abs(found - ahead * 1000) < 3000
    refused = [r for r in world.cloud.requests()
               if r["outcome"] == 401 and r["command"] in ("attachVolume", "detachVolume")]
    assert not refused


def test_a_command_that_the_server_does_not_know(world):
    """It is told at once and as what it is, and everything else goes on."""
    volume = world.volume()
    world.daemon.completed(world.daemon.attach(volume))
    world.cloud.set(unknown_commands=["resizeVolume"])
    answer = world.daemon.rest("POST", f"/api/v1/volumes/{volume}/resize",
                               {"size": 2 * cloudsim.GIB})
    record = world.daemon.ended(answer.json["id"])
    assert (record["status"], record["error_code"]) == ("failed", "CLOUDSTACK_ERROR")
    assert "does not know the command resizeVolume" in record["error"]
    assert "key" not in record["error"].replace("keys are answered", "")
    assert world.daemon.health()["status"] == "healthy"
    world.daemon.completed(world.daemon.detach(volume))


def test_a_server_that_cannot_rename(world):
    """The volume keeps the longer name under which it was made."""
    world.cloud.set(unknown_commands=["updateVolume"])
    record = world.daemon.completed(create(world, "plain").json)
    assert world.cloud.volume(record["volume_id"])["name"] == f"plain-{record['id']}"


def test_a_server_that_does_not_list_jobs(world):
    world.cloud.set(unknown_commands=["listAsyncJobs"], job_delay=0.5)
    operations = [world.daemon.attach(world.volume()) for _ in range(8)]
    for operation in operations:
        world.daemon.completed(operation)
    world.daemon.wait_healthy()


def test_a_restart_that_removes_volumes(world):
    """Observed: the volume of a lost attachment is gone from the API, and its data is not."""
    world.cloud.set(restart_removes=True, job_delay=3600)
    volume = world.volume()
    operation = world.daemon.attach(volume)
    world.cloud.wait_request("queryAsyncJobResult")
    world.cloud.restart()
    record = world.daemon.failed(operation)
    for words in ("no longer lists volume " + volume, "data is probably still on the storage",
                  "ask the administrator"):
        assert words in record["error"], record
    assert "try again" not in record["error"], record


def lose(world):
    """A volume that a restart of the management server has removed."""
    world.cloud.set(restart_removes=True, job_delay=3600, plug_delay=3600)
    volume = world.volume()
    operation = world.daemon.attach(volume)
    world.cloud.wait_request("queryAsyncJobResult")
    world.cloud.restart()
    world.cloud.set(job_delay=0, plug_delay=0)
    world.daemon.failed(operation)
    return volume, operation["id"]


@each_store
def test_a_volume_lost_while_the_daemon_is_down(world):
    world.cloud.set(restart_removes=True, job_delay=3600, plug_delay=3600)
    volume = world.volume()
    operation = world.daemon.attach(volume)
    world.await_jobs("attachVolume")
    world.daemon.kill()
    world.cloud.restart()
    world.daemon.start()
    record = world.daemon.failed(operation)
    assert "no longer lists volume " + volume in record["error"], record
    assert record["needs_attention"]
    eventually(lambda: is_told(world, volume), "health's word of it")


def lost_drifts(world):
    world.daemon.wait_healthy()     # after a start, the store is looked at first
    report = world.daemon.rest("POST", "/api/v1/admin/force-sync").json["report"]
    assert [d["kind"] for d in report["drift"]] == ["volume-lost"] * len(report["drift"])
    assert not report["repaired"]
    return [(d["volume_id"], d["operation_id"]) for d in report["drift"]]


def is_told(world, volume):
    health = world.daemon.health()
    told = volume in health["cloudstack_health"]
    assert health["status"] == ("degraded" if told else "healthy"), health
    assert (volume in health["details"]["volumes_lost"]) == told
    return told


def needs_attention(world, operation):
    return world.daemon.get(f"/api/v1/operations/{operation}").get("needs_attention", False)


def assert_served_nowhere(world):
    assert world.daemon.get("/api/v1/mappings")["mappings"] == []
    assert world.daemon.get("/api/v1/exports")["exports"] == []


@each_store
def test_a_lost_volume_is_kept_until_it_shows_again(world):
    """It is told by health and as drift, also by the next daemon; and other volumes go on."""
    volume, operation = lose(world)
    assert lost_drifts(world) == [(volume, operation)]
    assert is_told(world, volume)
    assert_served_nowhere(world)
    world.daemon.stop()
    world.daemon.start()
    assert lost_drifts(world) == [(volume, operation)]
    assert is_told(world, volume) and needs_attention(world, operation)
    assert_served_nowhere(world)
    world.daemon.completed(world.daemon.attach(world.volume()))

    world.cloud.put_volume(id=volume, state="Allocated", removed=False)
    assert lost_drifts(world) == []
    eventually(lambda: not needs_attention(world, operation), "the settling")
    assert not is_told(world, volume)
    world.daemon.completed(world.daemon.attach(volume))


def test_a_lost_volume_is_given_up(world):
    volume, operation = lose(world)
    assert lost_drifts(world) == [(volume, operation)]
    answer = world.daemon.rest("DELETE", f"/api/v1/volumes/{volume}")
    assert world.daemon.ended(answer.json["id"])["error_code"] == "NOT_FOUND"
    eventually(lambda: not needs_attention(world, operation), "the settling")
    assert not is_told(world, volume)
    assert lost_drifts(world) == []
