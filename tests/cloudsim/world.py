# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the cloud knows: accounts, zones, offerings, machines, volumes, snapshots, tags.

This is the simulator's database. Rows are plain dataclasses; every reader and writer holds
`World.lock`, and a writer calls `notify()` so that those who wait for the change wake up at once
(`World.wait_for`). Removed rows stay, as in the real database: their UUID is still recognised, it
merely no longer shows in lists. That is the difference between "already gone" and "never existed",
which a client has to be able to tell apart. `rows.py` says how the API shows them.
"""

import random
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timezone

from . import ids
from .accounts import Account, Domain

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
    owner: str
    state: str = "Running"
    serial_number: int = 0      # the database key, which leaks into some texts
    created: float = 0.0
    offering: str | None = None     # of the volume it was last started from, if not its own root
    removed: bool = False


@dataclass
class Volume:
    id: str
    serial_number: int
    name: str
    zone: str
    offering: str
    size: int                   # bytes
    owner: str
    path: str | None = None     # on the storage; a volume that was never attached has none
    state: str = "Allocated"
    type: str = "DATADISK"
    from_template: bool = False     # made with its machine, and described by the machine's offering
    snapshot: str | None = None     # that it was made from
    vm: str | None = None
    deviceid: int | None = None
    attached: float | None = None
    created: float = 0.0
    removed: bool = False
    protected: bool = False     # from deletion


@dataclass
class Snapshot:
    id: str
    serial_number: int
    name: str
    volume: str
    size: int
    owner: str
    created: float
    state: str = "Allocated"
    removed: bool = False


@dataclass
class MachineSnapshot:
    id: str
    serial_number: int
    name: str
    vm: str
    owner: str
    created: float
    state: str = "Allocated"
    removed: bool = False


@dataclass
class Tag:
    key: str
    value: str
    resource: str               # its id
    kind: str                   # and what it is: Volume, Snapshot, UserVm
    owner: str


def serial_of(volume_id):
    """What a KVM guest sees as the disk's serial: the UUID's first twenty hex digits."""
    return volume_id.replace("-", "")[:20]


def stamp(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S+0000")


class World:
    def __init__(self, settings, seed, zone, appliance, api_key, secret_key):
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self._settings = settings
        self._random = random.Random(seed)
        self.appliance = appliance
        self.jobs = {}          # every job ever, by id
        self.pending = {}       # those that still read as pending, oldest first
        self.zones = {z.id: z for z in (Zone(zone, "zone-1"), Zone(ids.OTHER_ZONE, "zone-2"))}
        self.offerings = {o.id: o for o in (
            Offering(ids.OFFERING_CUSTOM, "custom", None),
            Offering(ids.OFFERING_FIXED, "fixed", ids.FIXED_SIZE_GIB * ids.GIB))}
        self.domains = {"ROOT": Domain(ids.ROOT_DOMAIN, 1, "ROOT")}
        self.accounts, self.machines, self.volumes = {}, {}, {}
        self.snapshots, self.machine_snapshots, self.tags = {}, {}, []
        with self.lock:
            self.admin = self.add_account(id=ids.ADMIN, user=ids.ADMIN_USER, name="admin",
                                          admin=True, api_key=api_key, secret_key=secret_key)
            self.add_machine(id=appliance, name="appliance", zone=zone)
            self.add_machine(id=ids.OTHER_VM, name="other", zone=zone)
            self.add_machine(id=ids.STOPPED_VM, name="stopped", zone=zone, state="Stopped")

    # -- changes and waiting for them

    def notify(self):
        self._changed.notify_all()

    def wait_for(self, predicate, timeout):
        """Wait until `predicate()` holds. The caller holds the lock."""
        return self._changed.wait_for(predicate, timeout)

    def new_uuid(self):
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def now(self):
        """The time by the server's clock."""
        return time.time() + self._settings.clock

    # -- rows

    def domain(self, name):
        if name not in self.domains:
            self.domains[name] = Domain(self.new_uuid(), len(self.domains) + 1, name)
        return self.domains[name]

    def add_account(self, name, domain="ROOT", **fields):
        domain = self.domain(domain)
        # Number 1 is the server's own account.
        fields = {"id": self.new_uuid(), "user": self.new_uuid(),
                  "number": len(self.accounts) + 2} | fields
        account = Account(name=name, domain=domain, **fields)
        self.accounts[account.id] = account
        return account

    def account_named(self, name):
        return next((a for a in self.accounts.values() if a.name == name), None)

    def project(self, id):
        """The account that a project is."""
        return next((a for a in self.accounts.values() if a.project == id), None)

    def add_machine(self, *, root_size=8 * ids.GIB, **fields):
        """A new machine always brings its root disk, which occupies device id 0."""
        fields = {"owner": self.admin.id, "created": self.now()} | fields
        machine = Machine(serial_number=len(self.machines) + 3, **fields)
        self.machines[machine.id] = machine
        self.add_volume(name=f"ROOT-{machine.serial_number}", zone=machine.zone,
                        owner=machine.owner, offering=ids.OFFERING_FIXED, size=root_size,
                        state="Ready", type="ROOT", path=self.new_uuid(), from_template=True,
                        vm=machine.id, deviceid=0, attached=machine.created)
        return machine

    def add_volume(self, **fields):
        fields = {"id": fields.pop("id", None) or self.new_uuid(), "owner": self.admin.id,
                  "created": self.now()} | fields
        volume = Volume(serial_number=len(self.volumes) + 1, **fields)
        if volume.path is None and volume.state != "Allocated":
            volume.path = volume.name
        self.volumes[volume.id] = volume
        self.notify()
        return volume

    def add_snapshot(self, volume, name):
        snapshot = Snapshot(self.new_uuid(), len(self.snapshots) + 1, name, volume.id,
                            volume.size, volume.owner, self.now())
        self.snapshots[snapshot.id] = snapshot
        return snapshot

    def add_machine_snapshot(self, machine):
        digits = "".join(filter(str.isdigit, stamp(self.now())[:19]))
        snapshot = MachineSnapshot(
            self.new_uuid(), len(self.machine_snapshots) + 1,
            f"{self.instance_name(machine)}_VS_{digits}", machine.id, machine.owner, self.now())
        self.machine_snapshots[snapshot.id] = snapshot
        return snapshot

    def instance_name(self, machine):
        return f"i-{self.accounts[machine.owner].number}-{machine.serial_number}-VM"

    def volumes_of(self, owner):
        return [v for v in self.volumes.values() if v.owner == owner.id and not v.removed]

    def attached_to(self, vm):
        return [v for v in self.volumes.values() if v.vm == vm and not v.removed]

    def root_volume(self, vm):
        return next((v for v in self.attached_to(vm) if v.type == "ROOT"), None)

    def snapshots_of_machine(self, vm):
        return [s for s in self.machine_snapshots.values() if s.vm == vm and not s.removed]

    def tags_of(self, id):
        return [tag for tag in self.tags if tag.resource == id]

    def job_on(self, kind, id):
        """The newest job that still reads as pending for this volume or machine."""
        return next((j for j in reversed(self.pending.values()) if j.instance == (kind, id)), None)
