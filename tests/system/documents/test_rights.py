# SPDX-License-Identifier: LGPL-2.1-or-later
"""The rights that the documents name are enough, and none of them is one too many."""

import re

import cloudsim
import pytest
from support.py.harness import World
from support.py.mariadb import MariaDB
from support.py.mariadb.server import RIGHTS

from .document import TOP

GRANT = re.compile(r"^GRANT (.+) ON volumes\.\* TO", re.MULTILINE)


def source(path):
    return (TOP / path).read_text(encoding="utf-8")


# ---- CloudStack ----

def features():
    """For each feature of the table in OPERATIONS.md its commands, with those that each feature needs."""
    section = source("data/doc/OPERATIONS.md").split("### Of the CloudStack key")[1].split("### ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")][1:]
    first = re.findall(r"`(\w+)`", rows[0][1])
    return {feature: {*first, *re.findall(r"`(\w+)`", commands)} for feature, commands in rows}


def all_commands():
    return set(re.findall(r'\[CLOUD_COMMAND_\w+\] = \{ "(\w+)",', source("src/cloud/cloud_call.c")))


def show(world, volume):
    world.daemon.rest("POST", "/api/v1/admin/force-sync", {})
    assert world.daemon.get("/api/v1/volumes?refresh=true")["volumes"]
    assert world.daemon.get(f"/api/v1/volumes/{volume}")["volume_id"] == volume


def attach_and_detach(world, volume):
    world.daemon.completed(world.daemon.attach(volume))
    world.daemon.completed(world.daemon.detach(volume))


def create(world, _):
    assert world.daemon.completed(world.daemon.create())["response"]["volume_id"]


def resize(world, volume):
    world.daemon.completed(world.daemon.resize(volume, 2))


def delete(world, _):
    world.daemon.completed(world.daemon.delete(world.volume()))


def snapshots(world, volume):
    path = f"/api/v1/volumes/{volume}/snapshots"
    taken = world.daemon.completed(world.daemon.begin("POST", path, {}))["response"]["snapshot_id"]
    assert world.daemon.get(path)["snapshots"]
    world.daemon.completed(world.daemon.begin("POST", f"/api/v1/snapshots/{taken}/revert", {}))
    world.daemon.completed(world.daemon.begin("DELETE", f"/api/v1/snapshots/{taken}"))


def root_disks(world, _):
    path = f"/api/v1/volumes/{world.volume()}/attach-root"
    world.daemon.completed(world.daemon.begin("POST", path, {"vm_id": world.rootless_vm()}))


def failover_test(world, _):
    volume, vm = world.on_test_vm()
    world.daemon.completed(world.daemon.begin("POST", "/api/v1/cleanup/test-failover", {
        "test_vm_id": vm, "volume_id": volume, "oma_vm_id": cloudsim.APPLIANCE_VM}))


def names(world, _):
    for listed in ("vms", "offerings", "zones"):
        assert world.daemon.get(f"/api/v1/{listed}")[listed]


DEEDS = [show, attach_and_detach, create, resize, delete, snapshots, root_disks, failover_test, names]


def test_a_role_with_the_commands_of_a_feature_can_do_it(make_world):
    world = make_world()
    volume = world.volume()
    for deed, (feature, commands) in zip(DEEDS, features().items(), strict=True):
        assert commands <= all_commands(), feature
        # The clock is measured by a command that may be refused.
        world.cloud.put_account("admin", forbidden=tuple(all_commands() - commands))
        deed(world, volume)


def test_each_command_that_the_daemon_knows_has_its_row():
    section = source("data/doc/CLOUDSTACK.md").split("## Commands that the account needs")[1].split("\n## ")[0]
    cells = " ".join(line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`([a-z]\w+[A-Z]\w*)`", cells)) == all_commands()


# ---- the database ----

@pytest.fixture(scope="module")
def server():
    started = MariaDB().start()
    yield started
    started.stop()


def test_the_rights_of_the_database_user_are_the_ones_of_all_other_tests():
    """Each test on MariaDB runs with RIGHTS and no more."""
    assert GRANT.search(source("data/doc/STORES.md"))[1] == RIGHTS
    assert f'rights="{RIGHTS}"' in source("tests/quickstart")


# The others are for tables that are changed.
@pytest.mark.parametrize("right", [right for right in RIGHTS.split(", ") if right not in ("INDEX", "REFERENCES")])
def test_without_one_of_them_the_daemon_refuses_to_start(server, make_world, right):
    database = server.database()
    server.sql(f"REVOKE {right} ON {database.name}.* FROM {database.user}@'%'")
    world = make_world(start=False, store=database.settings)
    assert "give the user" in world.daemon.fails_to_start()
