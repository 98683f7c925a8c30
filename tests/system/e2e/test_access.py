# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where another program says how CloudStack is reached: in a row of the table ossea_configs.

The configuration goes before it, value by value; the row is followed while the daemon runs, and nothing
that is wrong with it stops what works.
"""

import cloudsim
import pytest
from support.py import stores
from support.py.secrecy import assert_no_secret
from support.py.waiting import eventually

from .trouble import FOREVER

pytestmark = pytest.mark.skipif(stores.KIND != "mariadb", reason="only a shared database has the table")

TABLE = """
CREATE TABLE ossea_configs (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(191) NOT NULL,
    api_url VARCHAR(191) NOT NULL, api_key VARCHAR(191) NOT NULL, secret_key VARCHAR(191) NOT NULL,
    domain VARCHAR(191), zone VARCHAR(191) NOT NULL, oma_vm_id VARCHAR(191), is_active BOOLEAN DEFAULT TRUE,
    updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP)"""
NOTHING = {"cloud": {"url": None, "api_key_file": None, "secret_key_file": None}, "appliance": {"vm_id": None}}
OTHER_KEYS = {"api_key": "another-api-key-0123456789", "secret_key": "another-secret-key-987654321"}


def put_row(world, name="main", **changes):
    """A row of the table; api_url None is the address of the server alone."""
    if "api_url" in changes and not changes["api_url"]:
        changes["api_url"] = world.cloud.url.removesuffix("/client/api")
    row = {"api_url": world.cloud.url, "api_key": world.cloud.api_key, "secret_key": world.cloud.secret_key,
           "zone": cloudsim.ZONE, "oma_vm_id": cloudsim.APPLIANCE_VM} | changes
    texts = ", ".join("NULL" if value is None else f"'{value}'" for value in row.values())
    world.daemon.store.rows(f"INSERT INTO ossea_configs (name, {', '.join(row)}) VALUES ('{name}', {texts})")


def told(world, *words, since=0):
    return world.daemon.log.wait(lambda line: all(word in line for word in words), since)


@pytest.fixture
def make_told(make_world):
    """A world that has the table, with a row in it, before its daemon starts."""
    def make(settings=None, **row):
        world = make_world(start=False, **settings or NOTHING)
        world.daemon.store.rows(TABLE)
        put_row(world, **row)
        return world.start()
    return make


def appliance(world):
    return world.daemon.health()["details"]["appliance_id"]


def works(world):
    volume, path = world.attached()
    world.assert_is(path, volume)


def test_the_row_says_all(make_told):
    world = make_told()
    works(world)
    told(world, 'row "main"', "api_url, api_key, secret_key, oma_vm_id, zone")
    assert appliance(world) == cloudsim.APPLIANCE_VM
    world.daemon.stop()
    assert_no_secret(world, "log", world.daemon.text)


def test_blanks_in_the_row(make_world):
    world = make_world(start=False, **NOTHING)
    world.daemon.store.rows(TABLE)
    put_row(world, api_url=f" {world.cloud.url}\t", api_key=f"{world.cloud.api_key} ",
            secret_key=f"\t{world.cloud.secret_key}\r\n", oma_vm_id=f"{cloudsim.APPLIANCE_VM} ")
    works(world.start())
    world.daemon.store.rows("UPDATE ossea_configs SET secret_key = CONCAT('open ', secret_key)")
    told(world, "secret_key in table ossea_configs: character 5 of the key", "not used")


def test_keys_change_while_it_runs(make_told):
    world = make_told()
    volume = world.volume()
    world.cloud.set_faults([{"do": "slow", "seconds": 3, "command": "attachVolume"}])
    running = world.daemon.attach(volume)
    world.cloud.wait_request("attachVolume")
    assert_no_secret(world, "log", world.daemon.text)
    world.cloud.api_key, world.cloud.secret_key = OTHER_KEYS.values()
    since = len(world.daemon.log.all())
    world.daemon.store.rows("UPDATE ossea_configs SET api_key = '{api_key}', secret_key = '{secret_key}'"
                            .format(**OTHER_KEYS))
    told(world, "taken from row", since=since)
    eventually(lambda: world.daemon.health()["status"] == "healthy", "health")
    world.assert_is(world.daemon.completed(running)["response"]["device_path"], volume)
    works(world)
    world.daemon.stop()
    assert_no_secret(world, "log", world.daemon.text)


def test_an_address_changes_while_it_runs(make_told):
    world = make_told()
    world.daemon.store.rows("UPDATE ossea_configs SET api_url = 'http://127.0.0.1:1/client/api'")
    eventually(lambda: world.daemon.health()["cloudstack_health"] != "healthy", "CloudStack's absence")
    world.daemon.store.rows(f"UPDATE ossea_configs SET api_url = '{world.cloud.url}'")
    world.daemon.wait_healthy()
    works(world)


def test_the_appliance_is_told_while_it_runs(make_told):
    world = make_told(oma_vm_id=None)
    volume = world.volume()
    assert appliance(world) == ""
    # The disk appears here, and the daemon does not know that the VM is this machine.
    record = world.daemon.failed(world.daemon.attach(volume))
    assert record["error_code"] == "CONFLICT" and "set appliance.vm_id to" in record["error"]
    world.daemon.store.rows(f"UPDATE ossea_configs SET oma_vm_id = '{cloudsim.APPLIANCE_VM}'")
    eventually(lambda: appliance(world) == cloudsim.APPLIANCE_VM, "the id")
    world.daemon.wait_healthy()
    works(world)


def test_another_appliance_waits_for_what_is_under_way(make_told):
    world = make_told(oma_vm_id=cloudsim.OTHER_VM)
    world.cloud.set_faults([{"do": "slow", "seconds": FOREVER, "command": "attachVolume", "times": 0}])
    running = world.daemon.attach(world.volume())
    world.cloud.wait_request("attachVolume")
    world.daemon.store.rows(f"UPDATE ossea_configs SET oma_vm_id = '{cloudsim.APPLIANCE_VM}'")
    told(world, "changes to", cloudsim.APPLIANCE_VM, "no operation is under way")
    assert appliance(world) == cloudsim.OTHER_VM
    world.cloud.set_faults([])
    world.daemon.ended(running)
    eventually(lambda: appliance(world) == cloudsim.APPLIANCE_VM, "the id")
    works(world)


def created(world, **zone):
    """The answer to a creation that names no zone or this one."""
    return world.daemon.rest("POST", "/api/v1/volumes", {
        "name": "data", "size": 1 << 30, "disk_offering_id": cloudsim.OFFERING_CUSTOM, **zone})


def test_the_zone_of_those_who_name_none(make_told):
    world = make_told()
    for zone in ({}, {"zone_id": None}, {"zone_id": cloudsim.ZONE}):
        volume = world.daemon.completed(created(world, **zone).json)["volume_id"]
        assert world.daemon.get(f"/api/v1/volumes/{volume}")["zone_id"] == cloudsim.ZONE
    world.bus.manager("CreateVolume", "sstsa{sv}", "data", cloudsim.OFFERING_CUSTOM, 1 << 30, "", 0)
    done = world.daemon.ctl("create", "--name", "data", "--size", "1GiB", "--offering",
                            cloudsim.OFFERING_CUSTOM, "--wait")
    assert done.returncode == 0, done


def zone_of_a_new_one(world):
    volume = world.daemon.completed(created(world).json)["volume_id"]
    return world.daemon.get(f"/api/v1/volumes/{volume}")["zone_id"]


def requests(world, command):
    return [r for r in world.cloud.requests() if r["command"] == command]


def test_a_zone_by_name(make_told):
    world = make_told(zone="Zone-2", api_url=None)
    assert zone_of_a_new_one(world) == zone_of_a_new_one(world) == cloudsim.OTHER_ZONE
    assert len(requests(world, "listZones")) == 1
    since = len(world.daemon.log.all())
    world.daemon.store.rows("UPDATE ossea_configs SET zone = 'the big one'")
    told(world, "taken from row", since=since)
    refused = created(world)
    assert refused.status == 400 and refused.json["details"] == {"field": "zone_id"}
    assert '"the big one"' in refused.json["error"]


def test_an_address_without_a_path(make_told):
    world = make_told(api_url=None)
    works(world)


def test_the_zone_of_the_configuration(make_world):
    world = make_world(cloud={"zone": cloudsim.ZONE})
    assert zone_of_a_new_one(world) == cloudsim.ZONE


def test_the_newest_of_two_counts(make_told):
    world = make_told()
    put_row(world, "stale", api_key="wrong")
    world.daemon.store.rows("UPDATE ossea_configs SET updated_at = '2020-01-01' WHERE name = 'stale'")
    told(world, "2 rows", '"main"', "counts")
    works(world)
    world.daemon.stop()
    world.daemon.start().wait_healthy()
    told(world, "2 rows", '"main"')
    works(world)


def test_what_is_null_is_the_configuration_s(make_told):
    world = make_told({"cloud": NOTHING["cloud"]}, oma_vm_id=None)
    assert appliance(world) == cloudsim.APPLIANCE_VM
    works(world)


def test_the_configuration_goes_before(make_told):
    """In all it says; the row here is right in the secret key only."""
    world = make_told({"cloud": {"secret_key_file": None}}, api_url="http://127.0.0.1:1/", api_key="wrong",
                      oma_vm_id=cloudsim.OTHER_VM)
    assert appliance(world) == cloudsim.APPLIANCE_VM
    works(world)


def test_without_the_table(make_world):
    world = make_world(start=False, appliance={"vm_id": None})
    dmi = world.folder / "disks/class/dmi/id"
    dmi.mkdir(parents=True)
    (dmi / "product_uuid").write_text(cloudsim.APPLIANCE_VM.upper() + "\n")
    world.start()
    told(world, "no table ossea_configs")
    assert appliance(world) == cloudsim.APPLIANCE_VM
    works(world)


def test_the_row_comes_later(make_world):
    world = make_world(start=False, cloud=NOTHING["cloud"])
    world.bus.start()
    world.daemon.start()
    told(world, "volumes cannot be changed", "cloud.url is not set", "ossea_configs")
    assert world.daemon.rest("POST", f"/api/v1/volumes/{world.volume()}/detach").status == 503
    world.daemon.store.rows(TABLE)
    put_row(world)
    world.daemon.wait_healthy()
    works(world)


@pytest.mark.parametrize("damage, words", [
    ("UPDATE ossea_configs SET api_url = 'ftp://cloud'", ["stay in use", "http://"]),
    ("UPDATE ossea_configs SET api_key = ''", ["stay in use", "cloud.api_key_file", "ossea_configs"]),
    ("UPDATE ossea_configs SET oma_vm_id = 'this one'", ["oma_vm_id", "no UUID"]),
    ("UPDATE ossea_configs SET is_active = FALSE", ["no row", "stay in use"]),
    ("ALTER TABLE ossea_configs DROP COLUMN secret_key", ["secret_key", "stay in use"]),
    ("DROP TABLE ossea_configs", ["no table ossea_configs", "stay in use"])],
    ids=lambda x: x.split()[-1] if isinstance(x, str) else "")
def test_what_is_wrong_with_it_hurts_nobody(make_told, damage, words):
    world = make_told()
    world.daemon.store.rows(damage)
    told(world, *words)
    works(world)
    world.daemon.stop()
    assert "next start" not in world.daemon.text
