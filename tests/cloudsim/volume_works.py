# SPDX-License-Identifier: LGPL-2.1-or-later
"""What each kind of job does to a volume.

One behaviour is kept that looks like a mistake because it is one in the real server: a detach
remembers the machine it was asked about but, when its turn comes, clears whatever attachment the
row then has. Two detaches in flight for one volume can undo an attach to another machine.
"""

from . import ids
from .accounts import check_limits
from .errors import UNSUPPORTED, ApiError, denied, internal, invalid
from .plug import PlugError
from .work import Work


class VolumeWork(Work):
    """Of a volume; its result is the volume's row."""

    def __init__(self, call, volume):
        super().__init__(call)
        self.volume = volume
        self.instance = ("Volume", volume.id)

    def result(self):
        return {"volume": self.call.rows.volume(self.volume)}

    def check_tasks(self):
        """What some servers refuse in place of making it wait in the machine's queue."""
        if self.sim.settings.one_task_a_vm and self.vm and any(
                v.state == "Snapshotting" for v in self.world.attached_to(self.vm)):
            raise invalid("There is other active volume snapshot tasks on the instance to which "
                          "the volume is attached, please try again later")


class Create(VolumeWork):
    """The row is there already. A volume made from a snapshot gets its storage at once."""

    def __init__(self, call, volume):
        super().__init__(call, volume)
        self.created = volume.id

    def guest(self, plan):
        if self.volume.snapshot:
            self.sim.plug.copy(self.volume.snapshot, self.volume.id)

    def finish(self):
        if self.volume.snapshot:
            self.volume.state, self.volume.path = "Ready", self.world.new_uuid()
        return super().finish()

    def failed(self):
        self.volume.state = "Destroy"


class Rename(VolumeWork):
    def __init__(self, call, volume, name):
        super().__init__(call, volume)
        self.name = name

    def finish(self):
        if self.name is not None and not self.sim.settings.rename_ignored:
            self.volume.name = self.name
        return super().finish()


class Attach(VolumeWork):
    def __init__(self, call, volume, machine, deviceid):
        super().__init__(call, volume)
        self.machine = machine
        self.vm = machine.id
        self.deviceid = deviceid
        self.before = None      # the state to fall back to; None until the work has begun
        self.size = volume.size

    def check(self):
        volume, machine, world = self.volume, self.machine, self.world
        limit = self.sim.settings.max_data_volumes
        self.check_tasks()
        if volume.vm is not None:
            raise invalid("Please specify a volume that is not attached to any VM.")
        if volume.removed or volume.state in ("Destroy", "Destroying", "Expunging", "Expunged"):
            raise invalid("Please specify a volume that is not destroyed.")
        if machine.removed or machine.state in ("Destroyed", "Expunging"):
            raise invalid("Please specify a valid User VM.")
        if machine.state not in ("Running", "Stopped"):
            raise invalid("Please specify a VM that is on of the following states: "
                          "[Running, Stopped].")
        if self.deviceid == 0:
            self._check_root()
        elif len([v for v in world.attached_to(machine.id) if v.type != "ROOT"]) >= limit:
            raise invalid(f"The specified VM already has the maximum number of data disks "
                          f"({limit}) attached. Please specify another VM.")
        if volume.zone != machine.zone:
            raise invalid("Please specify a VM that is in the same zone as the volume.")
        if volume.state not in ("Allocated", "Ready", "Uploaded"):
            raise invalid("Volume state must be in Allocated, Ready or in Uploaded state")
        self._check_machine()

    def _check_root(self):
        if self.machine.state != "Stopped":
            raise invalid("Root volume detach can happen only when vm is in states: Stopped or "
                          "Destroyed")
        if self.world.root_volume(self.vm):
            raise invalid("Vm already has root volume attached to it")

    def _check_machine(self):
        machine, name = self.machine, self.world.instance_name(self.machine)
        if self.world.snapshots_of_machine(self.vm):
            raise invalid(self.call.version.text("attach to snapshots", vm=f"{name}/{machine.id}"))
        if machine.owner != self.volume.owner:
            raise internal(
                f'Entity VM instance {{id: "{machine.serial_number}", name: "{name}", '
                f'uuid: "{machine.id}", type="User"}} and entity '
                "org.apache.cloudstack.storage.volume.VolumeObject@"
                f"{self.volume.serial_number:x} belong to different accounts")

    def begin(self):
        volume = self.volume
        if volume.vm is not None:
            raise internal(self.call.version.text("attached meanwhile", volume=volume.name,
                                                  machine=self.world.machines[volume.vm].name))
        if volume.state not in ("Allocated", "Ready", "Uploaded"):
            raise internal(f"Volume: {volume.name} is in {volume.state}. "
                           "It should be in Ready or Allocated state")
        self.deviceid = self._choose_deviceid()
        self.before = volume.state
        self.size = self._stored_size()
        volume.state = "Attaching"

    def _stored_size(self):
        """A volume that was never attached gets its storage now, in the storage's own units."""
        unit = self.sim.settings.storage_unit_gib * ids.GIB
        size = self.volume.size
        return -(-size // unit) * unit if self.before == "Allocated" else size

    def _choose_deviceid(self):
        """The lowest free id, or the wanted one. 3 belongs to the CD-ROM drive."""
        used = {v.deviceid: v for v in self.world.attached_to(self.vm)}
        highest = self.sim.settings.max_data_volumes + 1
        legal = [d for d in range(1, highest + 1) if d != 3]
        if self.deviceid is None:
            free = next((d for d in legal if d not in used), None)
            if free is None:
                raise internal(f"All device Ids are used by vm {self.machine.serial_number}")
            return free
        if self.deviceid != 0 and self.deviceid not in legal:
            raise internal(f"deviceId should be 0,1,2,4-{highest}")
        if self.deviceid in used:
            raise internal(self.call.version.text(
                "device used", deviceid=self.deviceid, volume=used[self.deviceid].name,
                machine=self.machine.name, number=self.machine.serial_number))
        return self.deviceid

    def guest(self, plan):
        slots = self.sim.settings.pci_slots
        if (slots is not None and self.machine.state == "Running"
                and len([v for v in self.world.attached_to(self.vm) if v.type != "ROOT"]) >= slots):
            raise PlugError("org.libvirt.LibvirtException: internal error: No more available PCI "
                            "slots")
        if self.in_guest(self.vm):
            self.sim.plug_volume(self.volume.id, plan.size or self.size, self.deviceid)

    def guest_failure(self, text):
        return f"Failed to attach volume {self.volume.name} to VM {self.machine.name}; {text}"

    def finish(self):
        volume = self.volume
        volume.vm, volume.deviceid, volume.size = self.vm, self.deviceid, self.size
        if self.deviceid == 0:
            volume.type = "ROOT"
            if self.before == "Allocated":
                # It is done all the same: the machine starts from the volume.
                raise internal("Command failed due to Internal Server Error")
        volume.state, volume.attached = "Ready", self.world.now()
        volume.path = volume.path or volume.name
        return super().finish()

    def abort(self):
        if self.before:
            self.volume.state = self.before


class Detach(VolumeWork):
    """Without a volume's id it fails, whether or not a machine and a device id are given."""

    def __init__(self, call, volume):
        if volume:
            super().__init__(call, volume)
            self.vm = volume.vm
        else:
            Work.__init__(self, call)

    def check(self):
        volume, args = self.volume, self.call.args
        if volume is None and args.virtualmachineid and args.deviceid is not None:
            raise internal('Cannot invoke "java.lang.Long.longValue()" because "<parameter2>" is '
                           "null")
        if volume is None:
            raise invalid("Please provide either a volume id, or a tuple(device id, instance id)")
        if volume.vm is None:
            raise invalid("The specified volume is not attached to a VM.")
        self.check_tasks()
        state = self.world.machines[self.vm].state
        if state not in ("Running", "Stopped", "Destroyed"):
            raise invalid("Please specify a VM that is either running or stopped.")
        if volume.type == "ROOT" and state == "Running":
            raise invalid("Root volume detach can happen only when vm is in states: Stopped or "
                          "Destroyed")
        if self.world.snapshots_of_machine(self.vm):
            raise invalid(self.call.version.text("detach from snapshots"))

    def guest(self, plan):
        if self.in_guest(self.vm):
            self.sim.unplug_volume(self.volume.id)

    def guest_failure(self, text):
        machine = self.world.machines[self.vm]
        return (f"Failed to detach volume {self.volume.name} from VM {machine.name}; "
                "com.cloud.utils.exception.CloudRuntimeException: InternalErrorException: Could "
                "not detach volume after sending the command and waiting for [10000] "
                "milliseconds. Probably the VM does not support the sent detach command or the "
                f"device is busy at the moment. Try again in a couple of minutes. ({text})")

    def finish(self):
        volume = self.volume
        volume.vm = volume.deviceid = volume.attached = None
        volume.type = "DATADISK"
        return super().finish()


class Resize(VolumeWork):
    def __init__(self, call, volume, gib, shrink_ok):
        super().__init__(call, volume)
        self.vm = volume.vm
        self.size = volume.size if gib is None else gib * ids.GIB
        self.shrink_ok = shrink_ok
        self.before = None

    def check(self):
        volume, most = self.volume, self.sim.settings.max_volume_gib
        self.check_tasks()
        if volume.removed or volume.state not in ("Ready", "Allocated"):
            raise _unsupported(f"Volume should be in ready or allocated state before attempting "
                               f"a resize. Volume {volume.id} is in state {volume.state}.")
        if self.size <= 0:
            raise _unsupported("Requested size is less than or equal to zero")
        if self.vm is not None and self.world.snapshots_of_machine(self.vm):
            raise _unsupported("A volume that is attached to a VM with any VM snapshots cannot be "
                               "resized.")
        if self.size > most * ids.GIB:
            raise _unsupported(f"Requested volume size is {_readable(self.size)}, but the maximum "
                               f"size allowed is {most} GB.")
        if self.size < volume.size:
            self._check_shrinking()
        else:
            self._check_limits()

    def _check_shrinking(self):
        volume = self.volume
        if not self.shrink_ok:
            raise _unsupported(self.call.version.text("shrink", before=volume.size,
                                                      after=self.size))
        if volume.state == "Ready" and self.sim.settings.hypervisor == "KVM":
            raise _unsupported("Unable to shrink volumes of type QCOW2")

    def _check_limits(self):
        owner = self.world.accounts[self.volume.owner]
        try:
            check_limits(owner, self.world.volumes_of(owner), self.size - self.volume.size)
        except ApiError as error:
            raise internal(error.text) from error

    def begin(self):
        volume = self.volume
        if volume.state not in ("Ready", "Allocated"):
            raise internal(self.guest_failure(f"state {volume.state}"))
        self.before = volume.state
        if volume.state == "Ready":
            volume.state = "Resizing"

    def guest(self, plan):
        if self.vm is not None and self.in_guest(self.vm):
            self.sim.resize_plugged(self.volume.id, plan.size or self.size)

    def guest_failure(self, text):
        return (f"Failed to resize volume operation of volume UUID: [{self.volume.id}] "
                f"due to - {text}")

    def finish(self):
        self.volume.state, self.volume.size = self.before, self.size
        return super().finish()

    def abort(self):
        if self.before:
            self.volume.state = self.before


class Destroy(VolumeWork):
    """destroyVolume, and the body of the synchronous deleteVolume."""

    def __init__(self, call, volume, expunge):
        super().__init__(call, volume)
        self.expunge = expunge

    def check(self):
        volume = self.volume
        if volume.removed:
            raise invalid(f"Unable to find volume with ID: {volume.serial_number}")
        self._check_expunge()
        if volume.vm is not None:
            raise invalid("Please specify a volume that is not attached to any VM.")
        if volume.protected:
            raise invalid(f"Volume [id = {volume.id}, name = {volume.name}] has delete protection "
                          "enabled and cannot be deleted.")
        if volume.state == "Snapshotting":
            raise invalid("There are snapshot operations in progress on the volume, "
                          "unable to delete it")
        if volume.state not in ("Allocated", "Ready", "Uploaded", "Destroy", "UploadError"):
            raise invalid(f"Volume: {volume.name} is in {volume.state} state and cannot be "
                          "deleted.")

    def _check_expunge(self):
        if self.expunge:
            if not (self.call.account.admin or self.sim.settings.users_expunge):
                raise denied("Expunging a volume can only be done by an Admin. Or when the "
                             "allow.user.expunge.recover.volume key is set.")
        elif self.volume.state in ("Allocated", "Uploaded"):
            raise invalid("The volume in Allocated/Uploaded state can only be expunged not "
                          "destroyed/recovered")

    def begin(self):
        self.check()

    def guest(self, plan):
        if self.expunge:
            self.sim.plug.forget(self.volume.id)

    def finish(self):
        if not self.expunge:
            self.volume.state = "Destroy"
        else:
            self.volume.state, self.volume.removed = "Expunged", True
        return super().finish()


def _unsupported(text):
    """resizeVolume alone answers broken rules with this family of code."""
    return ApiError(UNSUPPORTED, text)


def _readable(size):
    gib = size / ids.GIB
    return f"{gib / 1024:.4f} TB" if gib >= 1024 else f"{gib:.2f} GB"
