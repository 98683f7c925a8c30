"""What the cloud knows: zones, offerings, machines, volumes.

This is the simulator's database. Rows are plain dataclasses; every reader and writer holds
`World.lock`, and whoever changes something calls `notify()` so that anybody waiting for the change
wakes up at once (`World.wait_for`). Removed volumes stay as rows, as in the real database: their
UUID is still recognised, it merely no longer shows in lists. That is the difference between
"already gone" and "never existed", which a client has to be able to tell apart.
"""

import random
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone

from . import ids

ACCOUNT = {"account": "tester", "domainid": "3e8f62b1-09a4-4d7c-b5e2-f1c60d9384a7",
           "domain": "ROOT"}

VOLUME_STATES = (
    "Allocated", "Creating", "Ready", "Migrating", "Snapshotting", "RevertSnapshotting",
    "Resizing", "Expunging", "Expunged", "Destroy", "Destroying", "UploadOp", "Copying",
    "Uploaded", "NotUploaded", "UploadInProgress", "UploadError", "UploadAbandoned", "Attaching",
    "Restoring", "Consolidating", "RestoreError")


@dataclass
class Zone:
    id: str
    name: str


@dataclass
class Offering:
    id: str
    name: str
    size: int | None            # bytes; None lets the caller choose

    @property
    def custom(self):
        return self.size is None


@dataclass
class Machine:
    id: str
    name: str
    zone: str
    state: str = "Running"
    created: float = field(default_factory=time.time)


@dataclass
class Volume:
    id: str
    serial_number: int          # the database key, which leaks into one refusal text
    name: str
    zone: str
    offering: str
    size: int                   # bytes
    state: str = "Allocated"
    type: str = "DATADISK"
    vm: str | None = None
    deviceid: int | None = None
    attached: float | None = None
    created: float = field(default_factory=time.time)
    removed: bool = False


def serial_of(volume_id):
    """What a KVM guest sees as the disk's serial: the UUID's first twenty hex digits."""
    return volume_id.replace("-", "")[:20]


def stamp(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S+0000")


class World:
    def __init__(self, seed, zone, appliance):
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self._random = random.Random(seed)
        self.appliance = appliance
        self.jobs = {}          # every job ever, by id
        self.pending = {}       # those that still read as pending, oldest first
        self.zones = {z.id: z for z in (Zone(zone, "zone-1"), Zone(ids.OTHER_ZONE, "zone-2"))}
        self.offerings = {o.id: o for o in (
            Offering(ids.OFFERING_CUSTOM, "custom", None),
            Offering(ids.OFFERING_FIXED, "fixed", ids.FIXED_SIZE_GIB * ids.GIB))}
        self.machines = {}
        self.volumes = {}
        with self.lock:
            self.add_machine(Machine(appliance, "appliance", zone))
            self.add_machine(Machine(ids.OTHER_VM, "other", zone))
            self.add_machine(Machine(ids.STOPPED_VM, "stopped", zone, "Stopped"))

    # -- changes and waiting for them

    def notify(self):
        self._changed.notify_all()

    def wait_for(self, predicate, timeout):
        """Wait until `predicate()` holds. The caller holds the lock."""
        return self._changed.wait_for(predicate, timeout)

    def new_uuid(self):
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    # -- rows

    def add_machine(self, machine):
        """A new machine always brings its root disk, which occupies device id 0."""
        self.machines[machine.id] = machine
        self.add_volume(name=f"ROOT-{machine.name}", zone=machine.zone,
                        offering=ids.OFFERING_FIXED, size=8 * ids.GIB, state="Ready",
                        type="ROOT", vm=machine.id, deviceid=0, attached=time.time())

    def add_volume(self, **fields):
        volume_id = fields.pop("id", None) or self.new_uuid()
        volume = Volume(id=volume_id, serial_number=len(self.volumes) + 1, **fields)
        self.volumes[volume.id] = volume
        self.notify()
        return volume

    def attached_to(self, vm):
        return [v for v in self.volumes.values() if v.vm == vm and not v.removed]

    def root_volume(self, vm):
        return next((v for v in self.attached_to(vm) if v.type == "ROOT"), None)

    def job_on(self, volume_id):
        """The newest job that still reads as pending for this volume."""
        return next((j for j in reversed(self.pending.values()) if j.volume_id == volume_id), None)

    # -- rows as the API shows them

    def volume_row(self, v):
        offering = self.offerings[v.offering]
        row = {"id": v.id, "name": v.name, "zoneid": v.zone,
               "zonename": self.zones[v.zone].name, "type": v.type}
        hidden = v.state == "Destroy" or v.removed
        if v.vm and not hidden:
            machine = self.machines[v.vm]
            row |= {"deviceid": v.deviceid, "virtualmachineid": v.vm, "vmname": machine.name,
                    "vmdisplayname": machine.name, "vmstate": machine.state,
                    "attached": stamp(v.attached)}
        row |= {"size": v.size, "created": stamp(v.created), "state": v.state, **ACCOUNT,
                "storagetype": "shared", "provisioningtype": "thin",
                "diskofferingid": offering.id, "diskofferingname": offering.name,
                "destroyed": hidden, "isextractable": v.vm is None, "deleteprotection": False,
                "tags": []}
        job = self.job_on(v.id)
        if job:
            row |= {"jobid": job.id, "jobstatus": 0}
        return row

    def machine_row(self, m):
        return {"id": m.id, "name": m.name, "displayname": m.name, **ACCOUNT,
                "created": stamp(m.created), "state": m.state, "zoneid": m.zone,
                "zonename": self.zones[m.zone].name, "hypervisor": "KVM", "rootdeviceid": 0,
                "rootdevicetype": "ROOT", "details": {}}

    def zone_row(self, z):
        return {"id": z.id, "name": z.name, "networktype": "Advanced",
                "allocationstate": "Enabled", "localstorageenabled": False, "type": "Core"}

    def offering_row(self, o):
        return {"id": o.id, "name": o.name, "displaytext": o.name,
                "disksize": 0 if o.custom else o.size // ids.GIB, "iscustomized": o.custom,
                "iscustomizediops": False, "storagetype": "shared", "provisioningtype": "thin",
                "cacheMode": "none", "displayoffering": True, "state": "Active"}
