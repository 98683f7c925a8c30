"""What each kind of job does to a volume.

A work object has a life in five parts, called by the job runner: `check` refuses what the server
refuses before the job queues; `begin` runs when its turn has come and checks again what may have
changed since; `guest` is the hypervisor's part; `finish` writes the row and returns the result;
`abort` puts the row back when the job fails. All but `guest` run under the world's lock.

One behaviour is kept that looks like a mistake because it is one in the real server: a detach
remembers the machine it was asked about but, when its turn comes, clears whatever attachment the
row then has. Two detaches in flight for one volume can undo an attach to another machine.
"""

import time

from . import ids
from .errors import UNSUPPORTED, ApiError, internal, invalid


class Work:
    """Nothing but reading the row back, which is all that the job of a plain create does."""

    vm = None       # the machine whose queue the job passes through

    def __init__(self, sim, volume):
        self.sim = sim
        self.world = sim.world
        self.volume = volume

    def check(self):
        pass

    def begin(self):
        pass

    def guest(self, plan):
        pass

    def guest_failure(self, text):
        """How the job words what went wrong in the guest."""
        return text

    def finish(self):
        return {"volume": self.world.volume_row(self.volume)}

    def abort(self):
        pass

    def in_guest(self, vm):
        """Is that the machine whose devices we make, and is it running?"""
        return vm == self.world.appliance and self.world.machines[vm].state == "Running"


class Rename(Work):
    def __init__(self, sim, volume, name):
        super().__init__(sim, volume)
        self.name = name

    def finish(self):
        if self.name:
            self.volume.name = self.name
        return super().finish()


class Attach(Work):
    def __init__(self, sim, volume, machine, deviceid):
        super().__init__(sim, volume)
        self.machine = machine
        self.vm = machine.id
        self.deviceid = deviceid
        self.before = None      # the state to fall back to; None until the work has begun

    def check(self):
        volume, machine, world = self.volume, self.machine, self.world
        limit = self.sim.settings.max_data_volumes
        if volume.vm is not None:
            raise invalid("Please specify a volume that is not attached to any VM.")
        if volume.removed or volume.state in ("Destroy", "Destroying", "Expunging", "Expunged"):
            raise invalid("Please specify a volume that is not destroyed.")
        if machine.state in ("Destroyed", "Expunging"):
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

    def _check_root(self):
        if self.world.root_volume(self.vm):
            raise invalid("Vm already has root volume attached to it")
        if self.machine.state != "Stopped":
            raise invalid("Please specify a stopped VM to attach a ROOT volume to.")

    def begin(self):
        volume = self.volume
        if volume.vm is not None:
            raise internal(f"volume: {volume.name} is already attached to a VM: "
                           f"{self.world.machines[volume.vm].name}")
        if volume.state not in ("Allocated", "Ready", "Uploaded"):
            raise internal(f"Volume: {volume.name} is in {volume.state}. "
                           "It should be in Ready or Allocated state")
        self.deviceid = self._choose_deviceid()
        self.before = volume.state
        volume.state = "Attaching"

    def _choose_deviceid(self):
        """The lowest free id, or the wanted one. 3 belongs to the CD-ROM drive."""
        used = {v.deviceid: v for v in self.world.attached_to(self.vm)}
        highest = self.sim.settings.max_data_volumes + 1
        legal = [d for d in range(1, highest + 1) if d != 3]
        if self.deviceid is None:
            free = next((d for d in legal if d not in used), None)
            if free is None:
                raise internal(f"All device Ids are used by vm {self.vm}")
            return free
        if self.deviceid != 0 and self.deviceid not in legal:
            raise internal(f"deviceId should be 0,1,2,4-{highest}")
        if self.deviceid in used:
            raise internal(f"deviceId {self.deviceid} is used by vol "
                           f"{used[self.deviceid].name} on vm {self.machine.name}")
        return self.deviceid

    def guest(self, plan):
        if self.in_guest(self.vm):
            self.sim.plug_volume(self.volume.id, plan.size or self.volume.size)

    def guest_failure(self, text):
        return f"Failed to attach volume {self.volume.name} to VM {self.machine.name}; {text}"

    def finish(self):
        volume = self.volume
        volume.state, volume.vm, volume.deviceid = "Ready", self.vm, self.deviceid
        volume.attached = time.time()
        if self.deviceid == 0:
            volume.type = "ROOT"
        return super().finish()

    def abort(self):
        if self.before:
            self.volume.state = self.before


class Detach(Work):
    def __init__(self, sim, volume):
        super().__init__(sim, volume)
        self.vm = volume.vm

    def check(self):
        if self.volume.vm is None:
            raise invalid("The specified volume is not attached to a VM.")
        state = self.world.machines[self.vm].state
        if state not in ("Running", "Stopped", "Destroyed"):
            raise invalid("Please specify a VM that is either running or stopped.")
        if self.volume.type == "ROOT" and state == "Running":
            raise invalid("Please specify a stopped VM to detach its ROOT volume.")

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
        return super().finish()


class Resize(Work):
    def __init__(self, sim, volume, gib, shrink_ok):
        super().__init__(sim, volume)
        self.vm = volume.vm
        self.size = gib * ids.GIB
        self.shrink_ok = shrink_ok
        self.before = None

    def check(self):
        volume = self.volume
        limit = self.sim.settings.max_size_gib
        if volume.removed or volume.state not in ("Ready", "Allocated"):
            raise _unsupported(f"Volume should be in ready or allocated state before attempting "
                               f"a resize. Volume {volume.id} is in state {volume.state}.")
        if not 0 < self.size <= limit * ids.GIB:
            raise _unsupported(f"Requested size is out of range: 1 to {limit} GiB.")
        if self.size < volume.size:
            if not self.shrink_ok:
                raise _unsupported("Going from existing size of "
                                   f"{volume.size} to size of {self.size} would shrink the "
                                   "volume. Need to sign off by supplying the shrinkok "
                                   "parameter with value of true.")
            if volume.state == "Ready":
                raise _unsupported("Unable to shrink volumes of type QCOW2")

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


class Destroy(Work):
    """destroyVolume, and the body of the synchronous deleteVolume."""

    def __init__(self, sim, volume, expunge):
        super().__init__(sim, volume)
        self.expunge = expunge

    def check(self):
        volume = self.volume
        if volume.removed:
            raise invalid(f"Unable to find volume with ID: {volume.serial_number}")
        if volume.vm is not None:
            raise invalid("Please specify a volume that is not attached to any VM.")
        if volume.state == "Snapshotting":
            raise invalid("There are snapshot operations in progress on the volume, "
                          "unable to delete it")
        if volume.state not in ("Allocated", "Ready", "Uploaded", "Destroy", "UploadError"):
            raise invalid(f"Volume: {volume.name} is in {volume.state} state and cannot be "
                          "deleted.")
        if not self.expunge and volume.state in ("Allocated", "Uploaded"):
            raise invalid(f"A volume in the {volume.state} state can only be destroyed with "
                          "expunge.")

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
