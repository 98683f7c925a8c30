# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the jobs about machines and their snapshots do.

They pass through their machine's queue like the jobs of its volumes. The guest that the tests see
takes no part: a machine that stops keeps its disks plugged.
"""

from .errors import internal, invalid
from .work import Work


class MachineWork(Work):
    def __init__(self, call, machine):
        super().__init__(call)
        self.machine = machine
        self.vm = machine.id
        self.instance = ("VirtualMachine", machine.id)

    def finish(self):
        self.machine.offering = self._offering()
        return {"virtualmachine": self.call.rows.machine(self.machine)}

    def _offering(self):
        root = self.world.root_volume(self.vm)
        return root.offering if root and not root.from_template else None


class Start(MachineWork):
    def check(self):
        if not self.world.root_volume(self.vm):
            raise internal("Unable to create deployment, no usable volumes found for the VM: "
                           f"{self.machine.serial_number}")

    def finish(self):
        self.machine.state = "Running"
        for volume in self.world.attached_to(self.vm):
            volume.state, volume.path = "Ready", volume.path or volume.name
        return super().finish()


class Stop(MachineWork):
    def finish(self):
        self.machine.state = "Stopped"
        return super().finish()


class DestroyMachine(MachineWork):
    """With `expunge` the machine goes with its root disk; its data disks are detached."""

    def __init__(self, call, machine, expunge):
        super().__init__(call, machine)
        self.expunge = expunge

    def finish(self):
        if not self.expunge:
            self.machine.state = "Destroyed"
            return super().finish()
        self.machine.state, self.machine.removed = "Expunging", True
        for volume in self.world.attached_to(self.vm):
            if volume.type == "ROOT":
                volume.state, volume.removed = "Expunged", True
            volume.vm = volume.deviceid = volume.attached = None
        # The row of a machine that is no more, under the name of a class that is none.
        return {"null": {"affinitygroup": [], "nic": [], "securitygroup": [], "tags": []}}


class TakeSnapshot(Work):
    """While a machine has snapshots, its volumes are neither attached nor detached."""

    instance = ("VmSnapshot", None)

    def __init__(self, call, machine):
        super().__init__(call)
        self.vm = machine.id
        self.snapshot = self.world.add_machine_snapshot(machine)
        self.created = self.snapshot.id

    def finish(self):
        self.snapshot.state = "Ready"
        return {"vmsnapshot": self.call.rows.machine_snapshot(self.snapshot)}

    def abort(self):
        self.snapshot.state, self.snapshot.removed = "Error", True


class DeleteSnapshot(Work):
    instance = ("VmSnapshot", None)

    def __init__(self, call, snapshot):
        super().__init__(call)
        self.vm, self.snapshot = snapshot.vm, snapshot

    def check(self):
        if self.snapshot.removed:
            raise invalid(f"unable to find the vm snapshot with id {self.snapshot.serial_number}")

    def finish(self):
        self.snapshot.removed = True
        return super().finish()
