# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whose volumes they are: projects, other accounts, and an appliance that is another VM."""

import cloudsim
import pytest
from support.py.stores import any_store

pytestmark = any_store

PROJECT_IS = {"one": lambda project: project, "all": lambda project: "all"}


@pytest.fixture
def make_owned(make_world):
    """Makes worlds whose daemon has the keys of alice, an ordinary user. She is a member of the
    project "ours", which owns the appliance's VM; `configured` is "one", "all" or None."""
    def make(configured, owner="ours"):
        world = make_world(start=False)
        alice = world.cloud.put_account("alice", domain="acme")
        world.project = world.cloud.put_project("ours", ["alice"], domain="acme")["project"]
        world.cloud.put_vm(id=cloudsim.APPLIANCE_VM, owner=owner)
        for name, key in (("api-key", "api_key"), ("secret-key", "secret_key")):
            (world.folder / name).write_text(alice[key])
        if configured:
            world.daemon.configure(cloud={"project_id": PROJECT_IS[configured](world.project)})
        return world.start()

    return make


def owner_of(world, volume):
    """The name of the account or project that owns a volume."""
    state = world.cloud.state()
    owner, = [v["owner"] for v in state["volumes"] if v["id"] == volume]
    return next(a["name"] for a in state["accounts"] if a["id"] == owner)


def new_volume(**more):
    return {"name": "data", "size": cloudsim.GIB, "zone_id": cloudsim.ZONE,
            "disk_offering_id": cloudsim.OFFERING_CUSTOM, **more}


def create(world, **more):
    operation = world.daemon.begin("POST", "/api/v1/volumes", new_volume(**more))
    return world.daemon.completed(operation)["response"]["volume_id"]


def sync(world):
    answer = world.daemon.rest("POST", "/api/v1/admin/force-sync")
    assert answer.status == 200, answer
    return answer.json["report"]


def known(world):
    return {volume["volume_id"] for volume in world.daemon.get("/api/v1/volumes")["volumes"]}


@pytest.mark.parametrize("configured", ["one", "all"])
def test_a_volume_of_a_project_lives(make_owned, configured):
    world = make_owned(configured)
    volume = create(world, **({"project_id": world.project} if configured == "all" else {}))
    assert owner_of(world, volume) == "ours"
    path = world.daemon.completed(world.daemon.attach(volume))["response"]["device_path"]
    world.assert_is(path, volume)
    assert sync(world)["drift"] == []
    assert volume in known(world)
    world.daemon.completed(world.daemon.resize(volume, 2))
    world.daemon.completed(world.daemon.detach(volume))
    world.daemon.completed(world.daemon.delete(volume))
    assert volume not in known(world)


def test_with_all_projects_the_accounts_own_are_there_too(make_owned):
    world = make_owned("all")
    own, ours = create(world), create(world, project_id=world.project)
    assert (owner_of(world, own), owner_of(world, ours)) == ("alice", "ours")
    sync(world)
    assert known(world) >= {own, ours}


def test_volumectl_names_the_project(make_owned):
    world = make_owned("all")
    done = world.daemon.ctl("create", "--name", "data", "--size", "1GiB", "--offering",
                            cloudsim.OFFERING_CUSTOM, "--zone", cloudsim.ZONE, "--project",
                            world.project)
    assert done.returncode == 0, done.stderr
    assert owner_of(world, done.stdout.strip()) == "ours"


@pytest.mark.parametrize("configured", ["one", None])
def test_a_project_out_of_sight_gets_no_volume(make_owned, configured):
    world = make_owned(configured)
    other = world.cloud.put_project("theirs", ["alice"], domain="acme")["project"]
    answer = world.daemon.rest("POST", "/api/v1/volumes", new_volume(project_id=other))
    assert (answer.status, answer.json["details"]) == (400, {"field": "project_id"}), answer.json
    assert "cloud.project_id" in answer.json["error"]
    assert not [r for r in world.cloud.requests() if r["command"] == "createVolume"]


def test_without_the_key_an_error_names_projects(make_owned):
    world = make_owned(None)
    volume = world.volume(owner="ours")
    answer = world.daemon.rest("GET", f"/api/v1/volumes/{volume}")
    assert answer.status == 404 and "cloud.project_id" in answer.json["error"], answer.json
    record = world.daemon.failed(world.daemon.attach(volume))
    assert "or belongs to a project; see cloud.project_id" in record["error"]


def test_an_administrators_view_of_a_project(world):
    """Found by its id, but in no list: it neither goes nor comes."""
    world.cloud.put_project("ours")
    world.cloud.put_vm(id=cloudsim.APPLIANCE_VM, owner="ours")
    volume = world.volume(owner="ours")
    world.daemon.completed(world.daemon.attach(volume))
    detached = world.volume(owner="ours")
    assert world.daemon.rest("GET", f"/api/v1/volumes/{detached}").status == 200
    with world.monitor() as monitor:
        for _ in range(3):
            assert sync(world)["drift"] == []
            assert known(world) >= {volume, detached}
        assert not [m for m in monitor.signals("InterfacesRemoved")
                    if "/volume/" in m.arguments[0]]
        world.cloud.put_volume(id=detached, removed=True)
        sync(world)
        assert detached not in known(world)


def test_a_vm_of_another_owner(make_owned):
    """CloudStack lets an administrator ask, and refuses with internal numbers."""
    world = make_owned("all", owner="admin")
    world.cloud.put_account("alice", admin=True)
    volume = create(world, project_id=world.project)
    record = world.daemon.failed(world.daemon.attach(volume))
    assert f"volume {volume} and VM {cloudsim.APPLIANCE_VM} belong to different" in record["error"]


def test_the_appliance_is_another_vm(make_world):
    world = make_world(appliance={"vm_id": cloudsim.OTHER_VM})
    volume = world.volume()
    record = world.daemon.failed(world.daemon.attach(volume))
    assert record["error_code"] == "CONFLICT", record
    health = world.daemon.health()
    for text in (record["error"], health["device_monitor"]):
        assert cloudsim.APPLIANCE_VM in text and cloudsim.OTHER_VM in text
        assert "appliance.vm_id" in text
    assert health["status"] == "degraded"
    assert not world.disks_of(volume)
    assert [v["vm"] for v in world.data_volumes()] == [None]
