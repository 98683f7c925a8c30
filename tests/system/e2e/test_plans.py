# SPDX-License-Identifier: LGPL-2.1-or-later
"""Plans of changes: what would happen, and what would refuse it, without any of it happening.

Each change over REST has `dry_run`, D-Bus has GetPlan, and volumectl has --dry-run: all three must
say the same of each change, of one that could be made and of one that could not. What a plan says
is held against what the change does.
"""

import json
import re
from types import SimpleNamespace
from urllib.parse import quote, urlencode

import pytest
from cloudsim import (APPLIANCE_VM, GIB, OFFERING_CUSTOM, OFFERING_FIXED, OTHER_VM, OTHER_ZONE,
                      STOPPED_VM, ZONE)
from support.py import shapes
from support.py.harness import TOP, BusError, World
from support.py.stores import any_store, each_store
from support.py.waiting import eventually

from .surfaces import Ctl, _variant, _written, methods, on_every_surface

pytestmark = [any_store, pytest.mark.xdist_group("plans")]

NOBODY = "00000000-0000-4000-8000-000000000000"
# They answer with reports of their own.
REPORT_THEMSELVES = {"admin.force-sync", "export.cleanup", "export.cleanup-age"}
FOREVER = 3600.0


# ---- asking ----

def over_rest(world, name, arguments):
    method = methods()[name]
    path, rest = method.path, dict(arguments, dry_run=True)
    for argument in method.path_arguments:
        path = path.replace(f"{{{argument}}}", quote(str(rest.pop(argument)), safe=""))
    if method.verb == "DELETE":
        query = urlencode({key: _written(value) for key, value in rest.items()})
        answer = world.daemon.rest("DELETE", f"{path}?{query}")
    else:
        answer = world.daemon.rest(method.verb, path, rest)
    assert answer.status == 200, (name, answer.status, answer.body)
    return answer.json


def over_bus(world, name, arguments):
    """The change is named as D-Bus names it."""
    words = [word for key, value in arguments.items() for word in (key, *_variant(value))]
    return world.bus.manager("GetPlan", "sa{sv}", methods()[name].member, len(arguments), *words)


def over_ctl(world, name, arguments):
    method, rest = methods()[name], dict(arguments)
    words = [method.command, *(_written(rest.pop(n)) for n in Ctl(world)._positional(method))]
    for key, value in rest.items():
        words += [f"--{Ctl.OPTIONS.get(key, key.replace('_', '-'))}={_written(value)}"]
    done = world.daemon.ctl(*words, "--dry-run", "--json")
    plan = json.loads(done.stdout)
    assert (done.returncode == 0) == (plan["refused_by"] == []), (done, plan)
    return plan


def kept(world):
    """All that a change could change, as far as anybody can see it."""
    daemon, cloud = world.daemon, world.cloud.state()
    return {**{path: daemon.get(f"/api/v1/{path}") for path in (
                "operations?limit=1000", "mappings", "exports", "tokens", "snapshots/vm/ctx")},
            "paused": daemon.health()["details"].get("paused"),
            **{part: cloud[part] for part in ("volumes", "snapshots", "jobs", "vms", "devices")}}


def plan_of(world, name, /, **arguments):
    """The plan of a change, which all surfaces tell alike; asking for it changes nothing."""
    before = kept(world)
    world.cloud.clear_requests()
    plan = over_rest(world, name, arguments)
    asked = {request["command"] for request in world.cloud.requests()}
    assert all(command.startswith(("list", "query")) for command in asked), asked
    assert plan["method"] == name
    for other in (over_bus, over_ctl):
        assert other(world, name, arguments) == plan, other.__name__
    assert kept(world) == before
    return plan


def steps(plan):
    return [step["step"] for step in plan["would"]]


def refusals(plan):
    return {refusal["check"]: refusal.get("reason") for refusal in plan["refused_by"]}


def unchecked(plan):
    return {doubt["check"] for doubt in plan["unchecked"]}


# ---- one world, in which all of it could be done ----

@pytest.fixture(scope="module")
def s(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plans")
    world = World(folder, export={"engine": "nbdkit"}, operations={"allow_vm_expunge": "yes"})
    try:
        yield furnish(world.start())
    finally:
        world.close()


def furnish(world):
    daemon, cloud = world.daemon, world.cloud
    (here, device), free, unserved = world.attached(2), world.volume(2, name="free"), world.attached()[0]
    assert daemon.rest("DELETE", f"/api/v1/exports/{unserved}").status == 200
    on_test_vm, test_vm = world.on_test_vm()
    assert daemon.rest("POST", "/api/v1/tokens", {"name": "ci"}).status == 201
    assert daemon.rest("POST", "/api/v1/snapshots/track", {
        "volume_uuid": here, "vm_context_id": "ctx", "snapshot_id": "snap-1"}).status == 200
    return SimpleNamespace(
        world=world, here=here, device=device, free=free, unserved=unserved, on_test_vm=on_test_vm,
        test_vm=test_vm, rootless=world.rootless_vm(), snapshot=cloud.put_snapshot(free)["id"],
        snapshot_here=cloud.put_snapshot(here)["id"], fresh=world.volume(state="Allocated"),
        deleted=world.volume(state="Destroy"),
        far_vm=cloud.put_vm(name="far", zone=OTHER_ZONE)["id"])


ATTACHING = ["ask-cloud", "await-job", "await-device", "name", "read", "export", "publish"]
NEW = {"name": "n", "size": GIB, "disk_offering_id": OFFERING_CUSTOM, "zone_id": ZONE}

# Of each change: arguments, and the steps of its plan.
GOOD = {
    "volume.create": (lambda s: NEW, ["ask-cloud", "await-job", "rename"]),
    "volume.attach": (lambda s: {"volume_id": s.free, "vm_id": APPLIANCE_VM},
                      ["check", *ATTACHING]),
    "volume.attach-root": (lambda s: {"volume_id": s.free, "vm_id": s.rootless},
                           ["check", "ask-cloud", "await-job", "publish"]),
    "volume.detach": (lambda s: {"volume_id": s.here},
                      ["check", "close-export", "flush", "take-name", "ask-cloud", "await-job",
                       "await-gone"]),
    "volume.delete": (lambda s: {"volume_id": s.free},
                      ["check", "await-gone", "destroy", "await-destroyed"]),
    "volume.resize": (lambda s: {"volume_id": s.here, "size": 3 * GIB},
                      ["check", "ask-cloud", "await-job", "await-size", "grow", "grow-export",
                       "publish"]),
    "volume.cleanup": (lambda s: {"test_vm_id": s.test_vm, "volume_id": s.on_test_vm,
                                  "oma_vm_id": APPLIANCE_VM, "delete_vm": True},
                       ["check", "stop", "detach", "begin", *ATTACHING, "permit", "expunge"]),
    "volume.snapshot": (lambda s: {"volume_id": s.here}, ["check", "ask-cloud", "await-job"]),
    "volume.revert": (lambda s: {"id": s.snapshot}, ["check", "ask-cloud", "await-job"]),
    "volume.delete-snapshot": (lambda s: {"id": s.snapshot}, ["ask-cloud", "await-job"]),
    "export.create": (lambda s: {"volume_id": s.unserved}, ["change"]),
    "export.delete": (lambda s: {"volume_id": s.here}, ["change"]),
    "snapshot.track": (lambda s: {"volume_uuid": s.here, "vm_context_id": "ctx",
                                  "snapshot_id": "snap-2"}, ["change"]),
    "snapshot.update": (lambda s: {"id": s.here, "snapshot_id": "snap-3"}, ["change"]),
    "snapshot.untrack": (lambda s: {"vm_context_id": "ctx"}, ["change"]),
    "token.create": (lambda s: {"name": "new", "scope": "change"}, ["change"]),
    "token.revoke": (lambda s: {"name": "ci"}, ["change"]),
    "admin.pause": (lambda s: {"reason": "a look"}, ["change"]),
    "admin.resume": (lambda s: {}, ["change"]),
    "admin.reload": (lambda s: {}, ["change"]),
}
# Their good case has to be brought about; see below.
BROUGHT_ABOUT = {"operation.cancel", "operation.resolve", "volume.forget"}

# Of each change: arguments, and the check that refuses it, with its reason.
REFUSED = {
    "volume.create": (lambda s: {**NEW, "disk_offering_id": OFFERING_FIXED}, "offering", None),
    "volume.attach": (lambda s: {"volume_id": s.here, "vm_id": OTHER_VM}, "volume-attached", None),
    "volume.attach-root": (lambda s: {"volume_id": s.free, "vm_id": STOPPED_VM}, "root-disk",
                           None),
    "volume.detach": (lambda s: {"volume_id": s.free}, "volume-attached", None),
    "volume.delete": (lambda s: {"volume_id": NOBODY}, "volume", None),
    "volume.resize": (lambda s: {"volume_id": s.free, "size": GIB}, "shrink", None),
    "volume.cleanup": (lambda s: {"test_vm_id": s.test_vm, "volume_id": s.here,
                                  "oma_vm_id": APPLIANCE_VM}, "volume-attached", None),
    "volume.snapshot": (lambda s: {"volume_id": NOBODY}, "volume", None),
    "volume.revert": (lambda s: {"id": s.snapshot_here}, "vm-state", "vm_running"),
    "volume.delete-snapshot": (lambda s: {"id": NOBODY}, "state", None),
    "volume.forget": (lambda s: {"volume_id": s.here}, "state", None),
    "export.create": (lambda s: {"volume_id": s.free}, "state", None),
    "snapshot.track": (lambda s: {"volume_uuid": NOBODY, "vm_context_id": "ctx",
                                  "snapshot_id": "snap-2"}, "state", None),
    "snapshot.update": (lambda s: {"id": NOBODY, "snapshot_id": "snap-3"}, "state", None),
    "token.create": (lambda s: {"name": "ci"}, "state", None),
    "token.revoke": (lambda s: {"name": "nobody"}, "state", None),
    "operation.cancel": (lambda s: {"operation_id": "op-" + NOBODY}, "state", None),
    "operation.resolve": (lambda s: {"operation_id": "op-" + NOBODY, "as": "done"}, "state", None),
}
# Nothing refuses them but rights and the store; of an export, its clients (see below).
NEVER_REFUSED = {"admin.pause", "admin.resume", "snapshot.untrack", "export.delete", "admin.reload"}


def test_every_change_is_here():
    """By the table of methods: a change over REST that no row below plans is a test that is missing."""
    source = (TOP / "src/spec/methods.c").read_text()
    rows = re.findall(r"^\t\[METHOD_\w+\] = {\n(.*?)^\t},", source, re.MULTILINE | re.DOTALL)
    changes = {re.search(r'\.name = "([^"]*)"', row)[1] for row in rows
               if "ACCESS_READ" not in row and "HTTP_GET" not in row}
    assert changes & on_every_surface().keys() - REPORT_THEMSELVES == GOOD.keys() | BROUGHT_ABOUT == REFUSED.keys() | NEVER_REFUSED


@pytest.mark.parametrize("name", GOOD)
def test_a_change_that_could_be_made(s, name):
    arguments, expected = GOOD[name]
    plan = plan_of(s.world, name, **arguments(s))
    assert (steps(plan), plan["refused_by"], plan["unchecked"]) == (expected, [], []), plan
    assert all(re.fullmatch("[A-Z].*[.:].*", step["text"]) for step in plan["would"]), plan


@pytest.mark.parametrize("name", REFUSED)
def test_a_change_that_would_be_refused(s, name):
    arguments, check, reason = REFUSED[name]
    plan = plan_of(s.world, name, **arguments(s))
    assert refusals(plan) == {check: reason}, plan


def test_a_reload(world):
    def texts():
        return {step["step"]: step["text"] for step in plan_of(world, "admin.reload")["would"]}

    assert "has not changed" in texts()["change"]
    world.daemon.configure(reconcile={"interval": "77s"}, device={"probe_timeout": "31s"})
    seen = texts()
    assert "reconcile.interval" in seen["change"] and "device.probe_timeout" in seen["restart"]
    assert world.daemon.ctl("reload").returncode == 0
    assert "reconcile.interval" not in texts().get("change", "")
    world.daemon.configure(reconcile={"interval": "now and then"})
    plan = plan_of(world, "admin.reload")
    assert refusals(plan) == {"configuration": None} and "reconcile.interval" in plan["refused_by"][0]["text"]


# ---- what a plan says is what the change does ----

def finished(world, name, arguments):
    """Make the change; the operation when it has ended, or the error."""
    method, path, rest = methods()[name], methods()[name].path, dict(arguments)
    for argument in method.path_arguments:
        path = path.replace(f"{{{argument}}}", rest.pop(argument))
    answer = world.daemon.rest(method.verb, path, rest or None)
    return world.daemon.ended(answer.json) if answer.status == 201 else answer.json


def history(world, record):
    rows = world.daemon.get(f"/api/v1/operations/{record['id']}/history")["history"]
    seen = [row.get("step") for row in rows]
    return [step for at, step in enumerate(seen) if step and step not in seen[:at]]


@pytest.mark.parametrize("name", ["volume.attach", "volume.resize", "volume.detach", "volume.cleanup",
                                  "volume.delete", "volume.create"])
def test_the_steps_are_those_that_are_taken(world, name):
    (here, _), free = world.attached(), world.volume()
    on_test_vm, test_vm = world.on_test_vm()
    arguments = {"volume.attach": {"volume_id": free, "vm_id": APPLIANCE_VM},
                 "volume.resize": {"volume_id": here, "size": 2 * GIB},
                 "volume.cleanup": {"test_vm_id": test_vm, "volume_id": on_test_vm,
                                    "oma_vm_id": APPLIANCE_VM}, "volume.create": NEW}
    arguments = arguments.get(name, {"volume_id": here})
    plan = over_rest(world, name, arguments)
    record = finished(world, name, arguments)
    assert record["status"] == "completed" and plan["refused_by"] == [], (plan, record)
    # Steps that have nothing to do are passed through.
    assert [step for step in history(world, record) if step in steps(plan)] == steps(plan)


def refused_alike(world, name, check, reason, /, **arguments):
    """The plan refuses, and then the change does, with the same reason. If it was found out without
    figures or words of CloudStack's, the words are the same, too. The words of the plan."""
    (refusal,) = plan_of(world, name, **arguments)["refused_by"]
    assert (refusal["check"], refusal.get("reason")) == (check, reason), refusal
    told = finished(world, name, arguments)
    if "status" in told:
        shapes.check_ended(told)
        assert (told["status"], told.get("error_reason"), told["error_code"]) == \
            ("failed", reason, refusal["code"]), (refusal, told)
    else:
        assert (told["code"], told.get("details", {}).get("reason")) == (refusal["code"], reason)
    if reason not in ("quota", "forbidden_command"):
        assert told["error"].startswith(refusal["text"]), (refusal, told)
    return refusal["text"]


# Of each check that needs no other state than that of the one world: a change that it refuses.
ALIKE = {
    "attach-volume": ("volume.attach", "volume", None, lambda s: {"volume_id": NOBODY, "vm_id": APPLIANCE_VM}),
    "attach-root-volume": ("volume.attach-root", "volume", None, lambda s: {"volume_id": NOBODY, "vm_id": s.rootless}),
    "detach-volume": ("volume.detach", "volume", None, lambda s: {"volume_id": NOBODY}),
    "delete-volume": ("volume.delete", "volume", None, lambda s: {"volume_id": NOBODY}),
    "resize-volume": ("volume.resize", "volume", None, lambda s: {"volume_id": NOBODY, "size": GIB}),
    "snapshot-volume": ("volume.snapshot", "volume", None, lambda s: {"volume_id": NOBODY}),
    "attach-attached": ("volume.attach", "volume-attached", None, lambda s: {"volume_id": s.here, "vm_id": OTHER_VM}),
    "attach-root-attached": ("volume.attach-root", "volume-attached", None,
                             lambda s: {"volume_id": s.here, "vm_id": s.rootless}),
    "detach-free": ("volume.detach", "volume-attached", None, lambda s: {"volume_id": s.free}),
    "cleanup-elsewhere": ("volume.cleanup", "volume-attached", None,
                          lambda s: {"test_vm_id": s.test_vm, "volume_id": s.here, "oma_vm_id": APPLIANCE_VM}),
    "attach-vm": ("volume.attach", "vm", "unknown_vm", lambda s: {"volume_id": s.free, "vm_id": NOBODY}),
    "attach-root-vm": ("volume.attach-root", "vm", "unknown_vm", lambda s: {"volume_id": s.free, "vm_id": NOBODY}),
    "attach-zone": ("volume.attach", "zone", None, lambda s: {"volume_id": s.free, "vm_id": s.far_vm}),
    "attach-root-disk": ("volume.attach-root", "root-disk", None,
                         lambda s: {"volume_id": s.free, "vm_id": STOPPED_VM}),
    "attach-deleted": ("volume.attach", "volume-deleted", None,
                       lambda s: {"volume_id": s.deleted, "vm_id": APPLIANCE_VM}),
    "attach-root-deleted": ("volume.attach-root", "volume-deleted", None,
                            lambda s: {"volume_id": s.deleted, "vm_id": s.rootless}),
    "resize-deleted": ("volume.resize", "volume-deleted", None, lambda s: {"volume_id": s.deleted, "size": 2 * GIB}),
    "resize-shrink": ("volume.resize", "shrink", None, lambda s: {"volume_id": s.free, "size": GIB}),
    "snapshot-state": ("volume.snapshot", "volume-state", None, lambda s: {"volume_id": s.fresh}),
    "revert-here": ("volume.revert", "vm-state", "vm_running", lambda s: {"id": s.snapshot_here}),
    "create-fixed": ("volume.create", "offering", None, lambda s: {**NEW, "disk_offering_id": OFFERING_FIXED}),
    "create-offering": ("volume.create", "offering", "unknown_offering",
                        lambda s: {**NEW, "disk_offering_id": NOBODY}),
    "create-zone": ("volume.create", "zone", "unknown_zone", lambda s: {**NEW, "zone_id": NOBODY}),
}


@pytest.mark.parametrize("row", ALIKE)
def test_a_refusal_that_is_foreseen_is_that_of_the_change(s, row):
    """In our words, and not in CloudStack's."""
    name, check, reason, arguments = ALIKE[row]
    refused_alike(s.world, name, check, reason, **arguments(s))


def test_vm_snapshots(world):
    (here, _), free = world.attached(), world.volume()
    world.cloud.client().run("createVMSnapshot", virtualmachineid=APPLIANCE_VM)
    for name, more in (("volume.detach", {}), ("volume.delete", {}),
                       ("volume.resize", {"size": 2 * GIB})):
        refused_alike(world, name, "vm-snapshots", "vm_snapshots", volume_id=here, **more)
    refused_alike(world, "volume.attach", "vm-snapshots", "vm_snapshots", volume_id=free,
                  vm_id=APPLIANCE_VM)
    # A volume that is attached to nothing is resized all the same.
    assert plan_of(world, "volume.resize", volume_id=free, size=2 * GIB)["refused_by"] == []


def test_device_slots(world):
    world.cloud.set(max_data_volumes=2)
    world.attached()
    last, one_too_many = world.volume(), world.volume()
    wish = {"vm_id": APPLIANCE_VM}
    assert plan_of(world, "volume.attach", volume_id=last, **wish)["refused_by"] == []
    world.daemon.completed(world.daemon.attach(last))
    refused_alike(world, "volume.attach", "device-slot", "no_device_slot", volume_id=one_too_many,
                  **wish)


@pytest.mark.parametrize("role", [{"admin": False}, {"domain": "acme"}], ids=["user", "domain-admin"])
def test_quota(world, role):
    """Of the account that the keys belong to, which is not the only one in its domain."""
    limit, volume = world.cloud.put_account, world.attached()[0]
    limit("bob", **role)
    limit("admin", **role, limit_gib=0)
    text = refused_alike(world, "volume.create", "quota", "quota", **NEW)
    assert "1 GiB of primary storage more" in text
    text = refused_alike(world, "volume.resize", "quota", "quota", volume_id=volume, size=3 * GIB)
    assert "2 GiB" in text
    limit("admin", limit_gib=None, limit_volumes=0, limit_snapshots=0)
    text = refused_alike(world, "volume.create", "quota", "quota", **NEW)
    assert "1 volume more" in text
    text = refused_alike(world, "volume.snapshot", "quota", "quota", volume_id=volume)
    assert "1 snapshot more" in text
    limit("admin", limit_volumes=None, limit_snapshots=None)
    assert plan_of(world, "volume.create", **NEW)["refused_by"] == []


def test_no_quota_holds_for_a_root_administrator(world):
    world.cloud.put_account("bob")
    world.cloud.put_account("admin", limit_volumes=0)
    plan = plan_of(world, "volume.create", **NEW)
    assert (plan["refused_by"], plan["unchecked"]) == ([], [])
    world.daemon.completed(world.daemon.create())


def test_quota_of_several_accounts_is_not_known(world):
    """A setting of CloudStack's shows all accounts of the domain, of which none is told to be the own one."""
    world.cloud.put_account("bob")
    world.cloud.set(view_all_accounts=True)
    plan = plan_of(world, "volume.create", **NEW)
    assert (plan["refused_by"], unchecked(plan)) == ([], {"quota"})
    # The owner of a volume is known.
    assert unchecked(plan_of(world, "volume.resize", volume_id=world.volume(), size=2 * GIB)) == set()


@pytest.mark.parametrize("name, command", [
    ("volume.create", "createVolume"), ("volume.attach", "attachVolume"),
    ("volume.detach", "detachVolume"), ("volume.resize", "resizeVolume"),
    ("volume.snapshot", "createSnapshot")])
def test_rights_of_the_key(world, name, command):
    (here, _), free = world.attached(), world.volume()
    world.cloud.put_account("admin", forbidden=(command,))
    arguments = {"volume.create": NEW, "volume.resize": {"volume_id": here, "size": 2 * GIB},
                 "volume.attach": {"volume_id": free, "vm_id": APPLIANCE_VM}}
    assert command in refused_alike(world, name, "rights", "forbidden_command",
                                    **arguments.get(name, {"volume_id": here}))


def test_a_command_that_another_one_replaces(world):
    volume = world.volume()
    world.cloud.put_account("admin", forbidden=("destroyVolume",))
    assert plan_of(world, "volume.delete", volume_id=volume)["refused_by"] == []
    world.cloud.put_account("admin", forbidden=("destroyVolume", "deleteVolume"))
    assert refusals(plan_of(world, "volume.delete", volume_id=volume)) == {"rights": "forbidden_command"}


def test_states_of_volume_and_vm(world):
    deleted, elsewhere = world.volume(state="Destroy"), world.volume()
    wish = {"vm_id": APPLIANCE_VM}
    refused_alike(world, "volume.attach", "volume-deleted", None, volume_id=deleted, **wish)
    other_zone = world.cloud.put_vm(name="stopping", state="Stopping")["id"]
    assert refusals(plan_of(world, "volume.attach", volume_id=elsewhere, vm_id=other_zone)) == \
        {"vm-state": None}
    refused_alike(world, "volume.attach", "vm", "unknown_vm", volume_id=elsewhere, vm_id=NOBODY)
    world.cloud.put_account("bob")
    bobs = world.volume(owner="bob")
    refused_alike(world, "volume.attach", "owner", "other_account", volume_id=bobs, **wish)
    world.cloud.set(version="4.23")
    safe = world.volume(protected=True)
    refused_alike(world, "volume.delete", "delete-protection", "delete_protection", volume_id=safe)


def test_clients_of_the_export(s):
    """The server says which export its clients use only if there is one; then the plan names them."""
    volume, world = s.here, s.world
    world.connect(volume)
    eventually(lambda: world.daemon.get(f"/api/v1/exports/{volume}")["clients"]["addresses"], "the client shows")
    for name in ("volume.detach", "export.delete"):
        plan = plan_of(world, name, volume_id=volume)
        assert refusals(plan) == {"nbd-clients": "in_use"} or unchecked(plan) == {"nbd-clients"}, plan
        assert plan_of(world, name, volume_id=volume, force=True)["refused_by"] == []


# ---- what is in the way of all changes ----

def test_a_pause_and_other_operations(world):
    daemon = world.daemon
    world.cloud.set(job_delay=FOREVER)
    volume = world.volume()
    running = daemon.attach(volume)
    world.cloud.wait_request("queryAsyncJobResult")
    plan = over_rest(world, "volume.detach", {"volume_id": volume})
    assert (plan["would"][0]["step"], running["id"] in plan["would"][0]["text"]) == ("queue", True)
    cancel = over_bus(world, "operation.cancel", {"operation_id": running["id"]})
    assert (steps(cancel), cancel["refused_by"]) == (["change"], [])
    assert daemon.rest("POST", "/api/v1/admin/pause", {"reason": "the storage is moved"}).status == 200
    plan = over_rest(world, "volume.attach", {"volume_id": world.volume(), "vm_id": APPLIANCE_VM})
    (refusal,) = plan["refused_by"]
    assert (refusal["check"], refusal["code"]) == ("pause", "SERVICE_UNAVAILABLE")
    assert "the storage is moved" in refusal["text"]
    assert daemon.operation(running["id"])["status"] == "executing"
    daemon.rest("POST", f"/api/v1/operations/{running['id']}/cancel")
    world.cloud.restart(effects=False)
    daemon.ended(running)


def test_what_an_administrator_settles(world):
    """In a pause the daemon repairs nothing."""
    volume, _ = world.attached()
    world.cloud.set_faults([{"do": "no_plug", "command": "attachVolume"},
                            {"do": "job_fail", "code": 530, "command": "detachVolume", "times": 0}])
    left = world.volume()
    begun = world.daemon.attach(left)
    assert world.daemon.rest("POST", "/api/v1/admin/pause", {"reason": "a look"}).status == 200
    world.cloud.wait_request("attachVolume", 2)
    world.daemon.rest("POST", f"/api/v1/operations/{begun['id']}/cancel")
    assert world.daemon.ended(begun)["needs_attention"]
    settle = {"operation_id": begun["id"], "as": "undone"}
    assert refusals(plan_of(world, "operation.resolve", **settle)) == {"state": None}
    world.cloud.detach_behind(left)
    plan = plan_of(world, "operation.resolve", **settle)
    assert (steps(plan), plan["refused_by"]) == (["change"], [])
    with world.monitor() as monitor:
        world.cloud.detach_behind(volume)
        monitor.wait("MappingChanged", lambda arguments: arguments[:2] == [volume, ""])
    plan = plan_of(world, "volume.forget", volume_id=volume)
    assert (plan["refused_by"], volume in plan["would"][0]["text"]) == ([], True)


def test_a_cloud_that_does_not_tell(world):
    """What CloudStack does not answer is unchecked, and the change goes on all the same."""
    volume = world.volume()
    wish = {"volume_id": volume, "vm_id": APPLIANCE_VM}
    world.cloud.set_faults([{"do": "status", "code": 530, "command": command, "times": 0}
                            for command in ("listApis", "listVMSnapshot", "listHypervisorCapabilities")])
    plan = over_rest(world, "volume.attach", wish)
    assert (plan["refused_by"], unchecked(plan)) == ([], {"rights", "vm-snapshots", "device-slot"})
    assert all("could not be checked" in doubt["text"] for doubt in plan["unchecked"])
    assert steps(plan) == ["check", *ATTACHING]
    world.daemon.completed(world.daemon.attach(volume))


def test_wrong_questions(shared_world):
    daemon, bus = shared_world.daemon, shared_world.bus
    answer = daemon.rest("POST", "/api/v1/volumes", {"name": "n", "dry_run": True})
    assert (answer.status, answer.json["details"]["field"]) == (400, "disk_offering_id")
    for method, word in (("NoSuchMethod", "NoSuchPath"), ("GetVolume", "InvalidRequest"),
                         ("ForceSync", "InvalidRequest"), ("AttachVolume", "InvalidRequest")):
        with pytest.raises(BusError) as refused:
            bus.manager("GetPlan", "sa{sv}", method, 0)
        assert refused.value.word == word, refused.value
    with pytest.raises(BusError, match="colour"):
        bus.manager("GetPlan", "sa{sv}", "Pause", 1, "colour", "s", "red")


# ---- nothing is stored ----

TABLES = ("volume_operations", "volume_operation_history", "device_mappings", "nbd_exports",
          "tracked_snapshots", "volume_daemon_tokens", "device_names")


@each_store
def test_nothing_is_stored(make_world):
    """The rows of the store are the same after the plans of all changes, keys of requests and all."""
    world = make_world()
    state = furnish(world)

    def rows():
        world.daemon.stop()
        found = {table: sorted(world.daemon.store.rows(f"SELECT * FROM {table}")) for table in TABLES}
        world.daemon.start().wait_healthy()
        return found

    before = rows()
    for table in (GOOD, REFUSED):
        for name, (arguments, *_) in table.items():
            over_rest(world, name, arguments(state))
    answer = world.daemon.rest("POST", "/api/v1/volumes", {**NEW, "dry_run": True},
                               headers={"Idempotency-Key": "k"})
    assert (answer.status, answer.json["refused_by"]) == (200, [])
    assert rows() == before
    # The key is free.
    answer = world.daemon.rest("POST", "/api/v1/volumes", NEW, headers={"Idempotency-Key": "k"})
    assert answer.status == 201
    world.daemon.completed(answer.json)
