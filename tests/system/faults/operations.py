# SPDX-License-Identifier: LGPL-2.1-or-later
"""The operations that faults meet, the calls they consist of, and what must be true at their end.

An operation here is one that has been made ready to begin, on a volume of its own, so that many can
run at the same time in one world and be told apart in the record of the cloud's requests.
"""

import re
from dataclasses import dataclass

from cloudsim import APPLIANCE_VM, GIB, OFFERING_CUSTOM, OTHER_VM, ZONE
from support.py import shapes
from support.py.harness import TOP

# What each operation asks CloudStack when nothing goes wrong, in order. A test counts them.
CALLS = {
    "create": ("createVolume", "queryAsyncJobResult", "updateVolume", "queryAsyncJobResult"),
    "attach": ("listVolumes", "attachVolume", "queryAsyncJobResult"),
    "attach-elsewhere": ("listVolumes", "attachVolume", "queryAsyncJobResult"),
    "attach-root": ("listVolumes", "attachVolume", "queryAsyncJobResult"),
    "cleanup": ("listVolumes", "listVolumes", "detachVolume", "queryAsyncJobResult",
                "attachVolume", "queryAsyncJobResult"),
    "detach": ("listVolumes", "detachVolume", "queryAsyncJobResult"),
    "resize": ("listVolumes", "resizeVolume", "queryAsyncJobResult"),
    "snapshot": ("listVolumes", "createSnapshot", "queryAsyncJobResult", "listSnapshots"),
    "revert": ("listSnapshots", "listVolumes", "revertSnapshot", "queryAsyncJobResult",
               "listVolumes"),
    "delete-snapshot": ("listSnapshots", "deleteSnapshot", "queryAsyncJobResult", "listSnapshots"),
    "delete": ("listVolumes", "detachVolume", "queryAsyncJobResult", "destroyVolume",
               "queryAsyncJobResult"),
}


def types():
    """The types of operations the daemon knows, from its own table of words."""
    source = (TOP / "src/spec/records.c").read_text()
    words = re.search(r"operation_type_names\[\] = {(.*?)}", source, re.DOTALL)[1]
    return set(re.findall(r'= "([\w-]+)"', words))


@dataclass(frozen=True)
class Call:
    """One call of one operation: the `nth` of that command."""

    operation: str
    command: str
    nth: int

    def __str__(self):
        return f"{self.operation}-{self.command}-{self.nth}"


def calls_of(operation):
    commands = CALLS[operation]
    return [Call(operation, command, commands[:index + 1].count(command))
            for index, command in enumerate(commands)]


# The operation begins when its volume is found; a fault at that question refuses it.
_BEFORE = {Call("revert", "listSnapshots", 1), Call("delete-snapshot", "listSnapshots", 1)}
ALL_CALLS = [call for operation in CALLS for call in calls_of(operation) if call not in _BEFORE]


class Operation:
    """One operation, from before its beginning to what is left of it."""

    def __init__(self, world, kind, name):
        self.world, self.daemon, self.kind, self.name = world, world.daemon, kind, name
        self.volume = None if kind == "create" else world.volume(name=name)
        self.id = self.record = self.vm = self.snapshot = None

    def make_ready(self):
        """What has to be done before it can begin; the operation that does it, or None."""
        if self.kind == "attach-root":
            self.vm = self.world.rootless_vm()
        if self.kind == "cleanup":
            self.vm = self.world.cloud.put_vm(name="test", state="Running")["id"]
            path = f"/api/v1/volumes/{self.volume}/attach"
            return self.daemon.begin("POST", path, {"vm_id": self.vm})
        if self.kind in ("revert", "delete-snapshot"):
            self.snapshot = self.world.cloud.put_snapshot(self.volume)["id"]
        if self.kind in ("detach", "resize", "delete"):
            return self.daemon.attach(self.volume)
        return None

    @property
    def subject(self):
        """The part of a fault's rule that makes it strike this operation only."""
        return {"name": self.name} if self.kind == "create" else {"volume": self.volume}

    def begin(self):
        path = f"/api/v1/volumes/{self.volume}"
        ask = {
            "create": ("POST", "/api/v1/volumes",
                       {"name": self.name, "size": GIB, "zone_id": ZONE,
                        "disk_offering_id": OFFERING_CUSTOM}),
            "attach": ("POST", path + "/attach", {"vm_id": APPLIANCE_VM}),
            "attach-elsewhere": ("POST", path + "/attach", {"vm_id": OTHER_VM}),
            "attach-root": ("POST", path + "/attach-root", {"vm_id": self.vm}),
            "cleanup": ("POST", "/api/v1/cleanup/test-failover",
                        {"test_vm_id": self.vm, "volume_id": self.volume,
                         "oma_vm_id": APPLIANCE_VM}),
            "detach": ("POST", path + "/detach"),
            "resize": ("POST", path + "/resize", {"size": 2 * GIB}),
            "snapshot": ("POST", path + "/snapshots", {"name": self.name}),
            "revert": ("POST", f"/api/v1/snapshots/{self.snapshot}/revert", {}),
            "delete-snapshot": ("DELETE", f"/api/v1/snapshots/{self.snapshot}"),
            "delete": ("DELETE", path),
        }[self.kind]

        self.id = self.daemon.begin(*ask)["id"]
        return self

    def end(self):
        self.record = shapes.check_ended(self.daemon.ended(self.id))
        return self

    def completed(self):
        assert self.end().record["status"] == "completed", f"{self.record}\n{self.daemon.tail}"
        self.assert_true()
        return self

    @property
    def done(self):
        return self.record["status"] == "completed"

    # -- what is left

    def assert_true(self, disk_left=False, renamed=True, detached=False):
        """What the record says last is what is, in the cloud, in the guest and among the mappings.
        `disk_left`: the guest has or lacks a disk that the cloud does not know of.
        `detached`: by what failed later on."""
        if self.kind == "create":
            self._assert_created(renamed)
        else:
            row = self.world.cloud.volume(self.volume)
            assert row["removed"] == (self.kind == "delete" and self.done), row
            assert row["vm"] == self._vm(detached), row
            if not disk_left:
                self._assert_disk(row["vm"] == APPLIANCE_VM)
            assert row["size"] == self._size(), row
        self._assert_snapshots()
        mapping = self._mapping()
        assert bool(mapping) == self._mapped(detached), mapping
        if self.kind == "resize" and not disk_left:
            assert mapping["size"] == row["size"], mapping
        if self.kind == "attach" and self.done:
            assert mapping["device_path"] == self.record["response"]["device_path"]

    def _vm(self, detached):
        """The machine that the volume must be attached to now, if what was said is true."""
        if self.kind == "attach":
            return APPLIANCE_VM if self.done else None
        if self.kind == "attach-elsewhere":
            return OTHER_VM if self.done else None
        if self.kind == "attach-root":
            return self.vm if self.done else None
        if self.kind == "cleanup":
            return APPLIANCE_VM if self.done else self.vm
        if self.kind == "resize":
            return APPLIANCE_VM
        if self.kind in ("snapshot", "revert", "delete-snapshot"):
            return None
        return None if self.done or detached else APPLIANCE_VM

    def _size(self):
        """What CloudStack has done stays, also when the kernel does not follow."""
        done = self.done or self.record["step"] == "await-size"
        return 2 * GIB if self.kind == "resize" and done else GIB

    def _mapped(self, detached):
        # A disk that stays in the guest keeps its name from others.
        stays = detached and self.record["error_code"] == "TIMEOUT"
        return self.kind != "create" and (stays or self._vm(detached) is not None)

    def _mapping(self):
        found = [m for m in self.daemon.get("/api/v1/mappings")["mappings"]
                 if m["volume_id"] == (self.volume or self.record["volume_id"])]
        assert len(found) <= 1, found
        return found[0] if found else None

    def _assert_created(self, renamed):
        found = [v for v in self.world.data_volumes() if v["name"].startswith(self.name)]
        assert [v["id"] for v in found] == ([self.record["volume_id"]] if self.done else []), found
        if self.done and renamed:
            assert found[0]["name"] == self.name

    def _assert_snapshots(self):
        found = [s for s in self.world.cloud.state()["snapshots"]
                 if s["volume"] == self.volume and not s["removed"]]
        kept = {"snapshot": self.done, "revert": True, "delete-snapshot": not self.done}
        assert len(found) == kept.get(self.kind, False), found

    def _assert_disk(self, attached):
        disks = [self.world.path(name) for name in self.world.disks_of(self.volume)]
        assert len(disks) == attached, disks
        if attached:
            self.world.assert_is(self._mapping()["device_path"], self.volume)
            assert disks == [self._mapping()["device_path"]]


def make_operations(world, kinds, prefix=""):
    """Operations on volumes of their own, ready to begin."""
    made = [Operation(world, kind, f"{prefix}{kind}-{index:03}")
            for index, kind in enumerate(kinds)]
    for operation in [operation.make_ready() for operation in made]:
        if operation:
            world.daemon.completed(operation)
    return made
