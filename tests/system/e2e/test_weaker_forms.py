# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commands that the server does not know, or does not allow this account.

The next weaker form is asked for, the operation completes, and its message says what is left.
"""

import cloudsim
import pytest
from support.py.stores import any_store

pytestmark = any_store

FOREVER = 3600
FORBIDDEN = ("destroyVolume",)


def deny_expunge(world):
    world.cloud.put_account("admin", admin=False)
    world.cloud.set(users_expunge=False)


def forbid(world):
    world.cloud.put_account("admin", forbidden=list(FORBIDDEN))


def forget(world):
    world.cloud.set(unknown_commands=list(FORBIDDEN))


def asked(world, volume):
    """The requests that destroy this volume, in their order; `!` marks expunging."""
    marks = {"true": "!"}
    return [r["command"] + marks.get(r["params"].get("expunge"), "") for r in world.cloud.requests()
            if r["command"] in ("destroyVolume", "deleteVolume") and r["params"]["id"] == volume]


def jobs_asked(world):
    """The job ids under which a volume was to be destroyed."""
    return [r["params"]["customjobid"] for r in world.cloud.requests()
            if r["command"] == "destroyVolume"]


def used_volume(world, attached=False):
    """A volume with storage."""
    volume, _ = world.attached()
    if not attached:
        world.daemon.completed(world.daemon.detach(volume))
    return volume


def is_known(world, volume):
    return world.daemon.rest("GET", f"/api/v1/volumes/{volume}").status == 200


@pytest.mark.parametrize("attached", [False, True])
def test_deleted_without_the_right_to_expunge(world, attached):
    volume = used_volume(world, attached)
    deny_expunge(world)
    record = world.daemon.completed(world.daemon.delete(volume))
    assert world.cloud.volume(volume)["state"] == "Destroy"
    assert "bin until its purge delay" in record["response"]["message"], record
    assert asked(world, volume) == ["destroyVolume!", "destroyVolume"]
    assert len(set(jobs_asked(world))) == 2


@pytest.mark.parametrize("take", [forbid, forget])
@pytest.mark.parametrize("attached", [False, True])
def test_deleted_without_destroyVolume(world, take, attached):
    volume = used_volume(world, attached)
    take(world)
    record = world.daemon.completed(world.daemon.delete(volume))
    assert world.cloud.volume(volume)["removed"]
    assert record["response"]["message"] == "Volume deleted"
    assert asked(world, volume)[-1] == "deleteVolume"
    assert "destroyVolume" not in asked(world, volume)      # without expunging
    assert not is_known(world, volume)


def test_the_answer_to_deleteVolume_is_lost(world):
    volume = used_volume(world)
    forbid(world)
    world.cloud.set_faults([{"do": "cut_after", "command": "deleteVolume"}])
    record = world.daemon.completed(world.daemon.delete(volume))
    assert world.cloud.volume(volume)["removed"]
    assert record["response"]["message"] == "Volume deleted"


def test_a_volume_without_storage_can_only_be_expunged(world):
    """Nothing is left to try, and the error says what an administrator can do."""
    volume = world.volume(state="Allocated")
    deny_expunge(world)
    record = world.daemon.failed(world.daemon.delete(volume))
    assert "only an administrator may expunge volumes" in record["error"], record
    assert asked(world, volume) == ["destroyVolume!", "destroyVolume", "deleteVolume"]
    assert not world.cloud.volume(volume)["removed"] and is_known(world, volume)


@pytest.mark.parametrize("attached", [False, True])
def test_a_failed_deletion_says_what_it_has_done(world, attached):
    volume = used_volume(world, attached)
    world.cloud.put_account("admin", forbidden=["destroyVolume", "deleteVolume"])
    record = world.daemon.failed(world.daemon.delete(volume))
    assert "does not allow the command deleteVolume" in record["error"], record
    said = f"the volume has been detached from VM {cloudsim.APPLIANCE_VM}, and stays detached"
    assert (said in record["error"]) == attached, record
    assert world.cloud.volume(volume)["vm"] is None and is_known(world, volume)


@pytest.mark.parametrize("take", [forbid, forget])
def test_a_creation_is_undone_without_destroyVolume(world, take):
    take(world)
    world.cloud.set_faults([{"do": "job_fail", "command": "createVolume"}])
    record = world.daemon.failed(world.daemon.create(name="for nothing"))
    assert "needs_attention" not in record, record
    assert not [v for v in world.data_volumes() if v["name"].startswith("for nothing")]


# ---- what proves that a volume is gone ----

def begin_held(world, volume):
    """A deletion whose job will never end."""
    world.cloud.set_faults([{"do": "job_delay", "seconds": FOREVER, "command": "destroyVolume"}])
    operation = world.daemon.delete(volume)
    world.await_jobs("destroyVolume")
    return operation


@pytest.mark.parametrize("removes", [False, True])
def test_a_deletion_whose_job_is_lost_is_asked_for_again(world, removes):
    """Also if the server has removed the volume with the job, as 4.18 does: then it says so."""
    volume = world.volume()
    operation = begin_held(world, volume)
    world.cloud.set(restart_removes=removes)
    world.cloud.restart()
    record = world.daemon.completed(operation)
    assert record["response"]["message"] == "Volume deleted"
    assert asked(world, volume) == ["destroyVolume!"] * 2
    assert len(set(jobs_asked(world))) == 2
    assert world.cloud.volume(volume)["removed"] and not is_known(world, volume)


def test_a_volume_that_is_only_out_of_sight_is_not_called_deleted(world):
    """No list shows it, because it is another account's by now."""
    volume = used_volume(world, attached=True)
    world.cloud.put_account("admin", admin=False)
    world.cloud.put_account("bob")
    operation = begin_held(world, volume)
    world.cloud.put_volume(id=volume, owner="bob")
    world.cloud.restart()
    record = world.daemon.failed(operation)
    assert "belongs to another account" in record["error"], record
    assert "has been detached" in record["error"], record
    assert not world.cloud.volume(volume)["removed"]


def test_jobs_that_are_lost_each_time_end_the_deletion(world):
    volume = world.volume()
    world.cloud.set_faults([{"do": "job_fail", "bare": True, "command": "destroyVolume",
                             "times": 0}])
    record = world.daemon.failed(world.daemon.delete(volume))
    assert "(asked 6 times)" in record["error"], record
    assert len(set(jobs_asked(world))) == 6
    world.cloud.clear_faults()
    world.daemon.completed(world.daemon.delete(volume))
