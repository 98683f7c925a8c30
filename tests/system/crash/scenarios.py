# SPDX-License-Identifier: LGPL-2.1-or-later
"""The operations that are killed: how each begins, how it must end, and what is true afterwards.

An operation that is new needs a row here, and one that is taken back for each step that can be;
the tests fail for a step of the daemon's tables that no row reaches.
"""

import json
import os
import subprocess
from dataclasses import dataclass, field
from typing import NamedTuple

import cloudsim
from support.py.programs import program
from support.py.nbd import NBDClient


def steps():
    """The daemon's step tables: rows of operation, step and whether it can be taken back."""
    done = subprocess.run([program("steps")], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


class Before(NamedTuple):
    """What there was before the operation began."""

    volume: str                         # it is about; a create must leave this one alone
    client: NBDClient | None
    operations: frozenset


@dataclass(frozen=True)
class Scenario:
    name: str
    operation: str
    path: str                           # of the POST; DELETE when there is no body
    body: dict | None = None
    attached: bool = False              # before
    kept: bool = False                  # before: detached with its name kept
    client: bool = False                # of its export, connected all the time
    status: str = "completed"
    faults: tuple = ()                  # what makes it fail; a "volume" is the scenario's
    fails_at: str | None = None         # the step that does
    config: dict = field(default_factory=dict)
    settings: dict = field(default_factory=dict)    # of the cloud
    role: dict = field(default_factory=dict)        # of the daemon's account
    again: tuple = ()                   # steps that run a second time, in a weaker form
    without: tuple = ()                 # steps that do not apply or run at once: no commit enters them
    row: dict = field(default_factory=dict)         # of the volume
    there: bool = False                 # before: attached to a machine that runs
    snapshot: bool = False              # before: it has one
    root: bool = True                   # the machine that is not running has its root disk

    def __str__(self):
        return self.name

    @property
    def type(self):
        """Of the record; one type may have several step tables."""
        return {"attach-root": "attach"}.get(self.operation, self.operation)

    @property
    def undone(self):
        return self.status != "completed"

    @property
    def served(self):
        """Whether volumes have names and exports."""
        return self.config is _SERVED

    def prepare(self, world):
        """Make everything as it is to be before; a Before."""
        volume, client = world.volume(name="old one", **self.row), None
        if not self.root:
            world.cloud.detach_behind(world.cloud.world.root_volume(cloudsim.STOPPED_VM).id)
        if self.attached or self.kept:
            world.daemon.completed(world.daemon.attach(volume))
        if self.there:
            path = _ATTACH.format(volume)
            world.daemon.completed(world.daemon.begin("POST", path, _THERE))
        if self.snapshot:
            world.cloud.put_snapshot(volume)
        if self.client:
            client = world.connect(volume)
            client.write(1)
        if self.kept:
            world.daemon.completed(world.daemon.detach(volume, keep_name=True))
            world.cloud.plug_disk(cloudsim.GIB, "another disk")     # gets the kernel's name
        world.cloud.set_faults([{**fault, "volume": volume} if "volume" in fault else fault
                                for fault in self.faults])
        world.cloud.set(**self.settings)
        world.cloud.put_account("admin", **self.role)
        world.cloud.clear_requests()
        operations = frozenset(r["id"] for r in world.daemon.get("/api/v1/operations"))
        return Before(volume, client, operations)

    def begin(self, world, volume):
        """Ask for it. The operation's id, or None when the daemon died before it could answer."""
        verb = "POST" if self.body is not None else "DELETE"
        try:
            body = self.body and {name: value or volume for name, value in self.body.items()}
            snapshot = world.cloud.state()["snapshots"][0]["id"] if self.snapshot else None
            answer = world.daemon.rest(verb, self.path.format(volume, snapshot), body or None)
        except OSError:
            return None
        assert answer.status == 201, answer
        return answer.json["id"]

    def check(self, world, before, record):
        """Everything happened once, or, when there is no record or it was taken back, nothing."""
        volume = before.volume
        done = record is not None and record["status"] == "completed"
        assert record is None or record["status"] == self.status, record
        new = [v for v in world.data_volumes()
               if v["id"] != volume and not v["name"].startswith("ROOT-")]
        assert len(new) == (done and self.operation == "create"), new
        if new:
            kept = "rename_ignored" in self.settings
            name = f"new one-{record['id']}" if kept else "new one"
            assert (new[0]["id"], new[0]["name"]) == (record["volume_id"], name)
            assert (record["response"]["message"] == "Volume created") != kept, record
        row = world.cloud.volume(volume)
        destroyed = row["removed"] or row["state"] == "Destroy"
        assert destroyed == (done and self.operation == "delete")
        old_vm = cloudsim.APPLIANCE_VM if self.attached else cloudsim.OTHER_VM if self.there else None
        if self.operation == "cleanup":
            self.check_test_vm(world, done)
        if self.operation == "attach-root":
            self.check_root(world, volume, done)
        vm = {"attach": self.body and self.body.get("vm_id"), "detach": None, "delete": None,
              "create": None, "resize": old_vm, "snapshot": old_vm, "revert": None,
              "delete-snapshot": None,
              "cleanup": cloudsim.APPLIANCE_VM}[self.type] if done else old_vm
        assert row["vm"] == vm
        size = self.body["size"] if done and self.operation == "resize" else cloudsim.GIB
        assert row["size"] == size
        disks = [world.path(name) for name in world.disks_of(volume)]
        mappings = world.daemon.get("/api/v1/mappings")["mappings"]
        assert [m["volume_id"] for m in mappings] == ([volume] if vm else [])
        assert len(disks) == (vm == cloudsim.APPLIANCE_VM)
        if disks:
            assert (mappings[0]["device_path"], mappings[0]["size"]) == (disks[0], size)
            world.assert_is(disks[0], volume)
        self.check_snapshots(world, record, done)
        if self.served:
            keeps = self.kept or (done and bool(self.body.get("keep_name")))
            check_served(world, volume, before.client, disks[0] if disks else None, keeps, size)


    def check_snapshots(self, world, record, done):
        """One for one operation that took one; a revert was made once."""
        names = [s["name"] for s in world.cloud.state()["snapshots"] if not s["removed"]]
        taken = [f"snapshot-{record['id']}"] if done and self.operation == "snapshot" else []
        kept = ["before"] if self.snapshot and not (done and self.operation == "delete-snapshot") else []
        assert names == kept + taken
        reverts = [job for job in world.cloud.state()["jobs"] if job["command"] == "revertSnapshot"]
        assert len(reverts) == (done and self.operation == "revert")

    def check_test_vm(self, world, done):
        """It runs as before, or it is stopped, or it is gone."""
        machine = world.cloud.world.machines[cloudsim.OTHER_VM]
        deleted = done and "operations" in self.config
        assert (machine.removed, machine.state) == \
            (deleted, "Expunging" if deleted else "Stopped" if done else "Running")

    def check_root(self, world, volume, done):
        """The machine has the new root disk or its old one, if it had one, and never none."""
        root = world.cloud.world.root_volume(cloudsim.STOPPED_VM)
        assert root if done or self.root else not root
        assert (root is not None and root.id == volume) == done


def map_of(world, volume):
    """A volume's map, as maps.c keeps it: name, table, number and size of the disk, state."""
    try:
        return os.readlink(world.folder / "disks/dev/maps" / volume).split()
    except FileNotFoundError:
        return None


def check_served(world, volume, client, path, keeps, size=cloudsim.GIB):
    """The name and the export lead to the disk, wait for it to come back, or are gone."""
    name = f"vol{volume[:8]}"
    if path:
        number = (world.folder / "disks/block" / os.path.basename(path) / "dev").read_text()
        assert map_of(world, volume) == [name, "linear", number.strip(), str(size), "runs"]
        (client or world.connect(volume)).write(2)
        assert os.path.samefile(world.path(f"mapper/{name}"), path)
        with open(path, "rb") as disk:
            assert disk.read(4096) == b"\2" * 4096
    elif keeps:
        assert map_of(world, volume)[0] == name and map_of(world, volume)[-1] == "suspended"
        again = world.daemon.completed(world.daemon.attach(volume))["response"]
        assert again["persistent_device_name"] == name
        check_served(world, volume, client, again["device_path"], keeps)
    else:
        assert map_of(world, volume) is None
        assert world.daemon.get("/api/v1/exports")["exports"] == []
        if client:
            client.say("write 0 512", "write failed")


# The map waits for as long as the test takes, and longer.
_SERVED = {"device": {"stable_names": "yes", "hold_seconds": "3600"},
           "export": {"engine": "qemu-storage-daemon"}}
_NEW = {"name": "new one", "size": cloudsim.GIB, "disk_offering_id": cloudsim.OFFERING_CUSTOM,
        "zone_id": cloudsim.ZONE}
_HERE, _THERE = {"vm_id": cloudsim.APPLIANCE_VM}, {"vm_id": cloudsim.OTHER_VM}
_ROOT, _REPLACE = {"vm_id": cloudsim.STOPPED_VM}, {"vm_id": cloudsim.STOPPED_VM, "replace": True}
_KEEP, _FORCE = {"keep_name": True}, {"force": True}
_FAILS = {"do": "job_fail", "code": 530, "times": 0}
_CLEANUP = "/api/v1/cleanup/test-failover"
_TEST = {"test_vm_id": cloudsim.OTHER_VM, "volume_id": None, "oma_vm_id": cloudsim.APPLIANCE_VM}
_NO_SERVER = {"device": {"wait": "500ms"},
              "export": {"engine": "qemu-storage-daemon", "listen": "127.0.0.1:1",
                         "qmp_socket": "/nowhere/qmp.sock"}}
_CREATE, _ATTACH = "/api/v1/volumes", "/api/v1/volumes/{}/attach"
_ATTACH_ROOT = "/api/v1/volumes/{}/attach-root"
_DETACH, _DELETE = "/api/v1/volumes/{}/detach", "/api/v1/volumes/{}"
_SNAPSHOT, _REVERT = "/api/v1/volumes/{}/snapshots", "/api/v1/snapshots/{1}/revert"
_RESIZE, _LARGER = "/api/v1/volumes/{}/resize", {"size": 2 * cloudsim.GIB}

SCENARIOS = (
    Scenario("create", "create", _CREATE, _NEW),
    Scenario("attach", "attach", _ATTACH, _HERE),
    Scenario("attach elsewhere", "attach", _ATTACH, _THERE,
             without=("await-device", "name", "read", "export", "publish")),
    Scenario("attach as root", "attach-root", _ATTACH_ROOT, _ROOT, root=False,
             row={"state": "Allocated"}, without=("detach-old", "publish")),
    Scenario("attach as root, replacing", "attach-root", _ATTACH_ROOT, _REPLACE, without=("publish",)),
    Scenario("cleanup", "cleanup", _CLEANUP, _TEST, there=True, without=("expunge",)),
    Scenario("cleanup with a deletion", "cleanup", _CLEANUP, _TEST | {"delete_vm": True},
             there=True, config={"operations": {"allow_vm_expunge": "yes"}}),
    Scenario("detach", "detach", _DETACH, {}, attached=True),
    Scenario("detach under a client that waits", "detach", _DETACH, _KEEP, attached=True,
             client=True, config=_SERVED, without=("close-export",)),
    Scenario("detach elsewhere", "detach", _DETACH, {}, there=True,
             without=("close-export", "flush", "take-name", "await-gone")),
    Scenario("attach of what a client waits for", "attach", _ATTACH, _HERE, kept=True,
             client=True, config=_SERVED),
    Scenario("detach by force", "detach", _DETACH, _FORCE, attached=True, client=True,
             config=_SERVED),
    Scenario("resize", "resize", _RESIZE, _LARGER, attached=True, without=("grow-export",)),
    Scenario("resize of what clients use", "resize", _RESIZE, _LARGER, attached=True, client=True,
             config=_SERVED),
    Scenario("resize, detached", "resize", _RESIZE, _LARGER,
             without=("await-size", "grow", "grow-export", "publish")),
    Scenario("snapshot", "snapshot", _SNAPSHOT, {}, attached=True),
    Scenario("revert", "revert", _REVERT, {}, snapshot=True),
    Scenario("delete a snapshot", "delete-snapshot", "/api/v1/snapshots/{1}", snapshot=True),
    Scenario("delete, attached", "delete", _DELETE, attached=True),
    Scenario("delete", "delete", _DELETE,
             without=("close-export", "flush", "take-name", "ask-cloud", "await-job", "await-gone")),
    Scenario("delete without the right to expunge", "delete", _DELETE, attached=True,
             settings={"users_expunge": False}, role={"admin": False},
             again=("destroy", "await-destroyed")),
    Scenario("delete without destroyVolume", "delete", _DELETE, attached=True,
             role={"forbidden": ["destroyVolume"]}, again=("destroy",)),
    Scenario("create under a name that stays", "create", _CREATE, _NEW,
             settings={"rename_ignored": True}),
    Scenario("create whose renaming is lost", "create", _CREATE, _NEW, again=("rename",),
             faults=({"do": "job_fail", "bare": True, "command": "updateVolume"},)),
    Scenario("create that fails", "create", _CREATE, _NEW, status="failed",
             fails_at="await-job", faults=({**_FAILS, "command": "createVolume"},)),
    Scenario("attach that fails", "attach", _ATTACH, _HERE, status="failed",
             fails_at="await-job", faults=({**_FAILS, "command": "attachVolume"},)),
    Scenario("attach as root that fails", "attach-root", _ATTACH_ROOT, _REPLACE, status="failed",
             fails_at="await-job",
             faults=({**_FAILS, "command": "attachVolume", "volume": ...},)),
    Scenario("attach without a device", "attach", _ATTACH, _HERE, status="failed",
             fails_at="await-device",
             faults=({"do": "no_plug", "command": "attachVolume", "times": 0},),
             config={"device": {"wait": "500ms"}}),
    Scenario("attach without an NBD server", "attach", _ATTACH, _HERE, status="failed",
             fails_at="export",
             config=_NO_SERVER),
    Scenario("cleanup without an NBD server", "cleanup", _CLEANUP, _TEST, there=True,
             status="failed", fails_at="export", config=_NO_SERVER),
    Scenario("snapshot that fails", "snapshot", _SNAPSHOT, {}, status="failed",
             fails_at="await-job", faults=({**_FAILS, "command": "createSnapshot"},)),
    Scenario("detach that fails", "detach", _DETACH, {}, attached=True, status="failed",
             fails_at="await-job", faults=({**_FAILS, "command": "detachVolume"},)),
    Scenario("detach under a client that fails", "detach", _DETACH, _KEEP, attached=True,
             client=True, config=_SERVED, status="failed", fails_at="await-job",
             faults=({**_FAILS, "command": "detachVolume"},)),
    Scenario("detach by force that fails", "detach", _DETACH, _FORCE, attached=True,
             config=_SERVED, status="failed", fails_at="await-job",
             faults=({**_FAILS, "command": "detachVolume"},)),
    Scenario("delete that fails", "delete", _DELETE, attached=True, status="failed",
             fails_at="await-job", faults=({**_FAILS, "command": "detachVolume"},)),
)


def moments():
    """Every commit there is: (scenario, its name). The first and the last enter no step."""
    rows = steps()
    for scenario in SCENARIOS:
        own = [row for row in rows if row["operation"] == scenario.operation]
        if scenario.undone:
            last = next(i for i, row in enumerate(own) if row["step"] == scenario.fails_at)
            names = [f"undo {row['step']}" for row in own[:last + 1] if row["undo"]]
        else:
            names = ["accept", *(row["step"] for row in own if row["step"] not in scenario.without),
                     *(f"{step} again" for step in scenario.again)]
        for name in (*names, "end"):
            yield scenario, name
