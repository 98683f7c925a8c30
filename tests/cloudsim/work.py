# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a job does, in parts that the job runner calls.

A work object has a life in five parts: `check` refuses what the server refuses before the job
queues; `begin` runs when its turn has come and checks again what may have changed since; `guest` is
the hypervisor's part; `finish` writes the row and returns the result; `abort` puts the row back
when the job fails. All but `guest` run under the world's lock.
"""


class Work:
    """A job without an effect of its own."""

    vm = None           # the machine whose queue the job passes through
    volume = None       # the volume whose disk in the guest it may change
    instance = None     # what the job says it is about: (kind, id); some have no id
    created = None      # the id of what was made for it

    def __init__(self, call):
        self.call = call
        self.sim = call.sim
        self.world = call.world

    def check(self):
        pass

    def begin(self):
        pass

    def guest(self, plan):
        pass

    def guest_failure(self, text):
        """How the job words what went wrong in the guest."""
        return text

    def result(self):
        return {"success": True}

    def finish(self):
        return self.result()

    def abort(self):
        pass

    def failed(self):
        """Behind `abort`, unless the job is lost."""

    def in_guest(self, vm):
        """Is that the machine whose devices we make, and is it running?"""
        return vm == self.world.appliance and self.world.machines[vm].state == "Running"
