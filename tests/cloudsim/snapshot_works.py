# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the jobs about snapshots do.

A snapshot keeps the size and, where disks have contents, a copy of the contents. While it is taken
its volume is `Snapshotting`, and the machine's queue makes a detach wait.
"""

from .errors import internal, invalid
from .work import Work


class SnapshotWork(Work):
    def __init__(self, call, snapshot):
        super().__init__(call)
        self.snapshot = snapshot
        self.volume = self.world.volumes[snapshot.volume]
        self.instance = ("Snapshot", snapshot.id)


class Take(SnapshotWork):
    def __init__(self, call, volume, snapshot):
        super().__init__(call, snapshot)
        self.vm = volume.vm
        self.created = snapshot.id
        self.before = None

    def begin(self):
        if self.volume.state != "Ready":
            raise internal("Failed to create snapshot due to an internal error creating snapshot "
                           f"for volume {self.volume.id}")
        self.before = self.volume.state
        self.volume.state, self.snapshot.state = "Snapshotting", "BackingUp"

    def guest(self, plan):
        self.sim.plug.copy(self.volume.id, self.snapshot.id)

    def finish(self):
        self.volume.state, self.snapshot.state = self.before, "BackedUp"
        return {"snapshot": self.call.rows.snapshot(self.snapshot)}

    def abort(self):
        if self.before:
            self.volume.state = self.before
        self.snapshot.state, self.snapshot.removed = "Error", True


class Revert(SnapshotWork):
    def __init__(self, call, snapshot):
        super().__init__(call, snapshot)
        self.vm = self.volume.vm

    def check(self):
        if self.snapshot.removed or self.snapshot.state != "BackedUp":
            raise invalid(f"Snapshot with id: {self.snapshot.serial_number} is not in BackedUp "
                          "state")
        if self.vm and self.world.machines[self.vm].state != "Stopped":
            raise invalid(self.call.version.text("revert not stopped"))
        if self.sim.settings.hypervisor != "KVM":
            raise internal("Revert snapshot command failed for snapshot with id "
                           f"{self.snapshot.serial_number}, because this command is supported only "
                           "for KVM hypervisor")

    def guest(self, plan):
        self.sim.plug.copy(self.snapshot.id, self.volume.id)

    def finish(self):
        self.volume.size = self.snapshot.size
        return super().finish()


class Delete(SnapshotWork):
    def check(self):
        if self.snapshot.removed:
            raise invalid(f"Snapshot with id: {self.snapshot.serial_number} is already destroyed")

    def guest(self, plan):
        self.sim.plug.forget(self.snapshot.id)

    def finish(self):
        self.snapshot.state, self.snapshot.removed = "Destroyed", True
        return super().finish()
