# SPDX-License-Identifier: LGPL-2.1-or-later
"""All commands, and the execution of one.

The tables stand in a file for each subject: `volume_commands.py`, `machine_commands.py`,
`snapshot_commands.py`, `cloud_commands.py`.
"""

from . import cloud_commands, errors, machine_commands, snapshot_commands, volume_commands
from .command import Call
from .jobs import Plan

COMMANDS = {**volume_commands.COMMANDS, **machine_commands.COMMANDS, **snapshot_commands.COMMANDS,
            **cloud_commands.COMMANDS}


class Api:
    def __init__(self, sim):
        self.sim = sim
        self.world = sim.world

    def allowed(self, account):
        """The commands that the server knows and the account's role allows."""
        unknown = {*self.sim.settings.unknown_commands, *account.forbidden}
        return {name for name, command in COMMANDS.items()
                if name not in unknown and (account.is_root or not command.only_root)}

    def makes_job(self, name):
        return COMMANDS[name].makes_job

    def execute(self, name, params, faults, account):
        """Run one authenticated command and return the inside of its answer."""
        command = COMMANDS[name]
        with self.world.lock:
            call = Call(self.sim, account, name, command, params)
            if command.makes_job and self.sim.settings.maintenance:
                raise errors.no_new_jobs(self.sim.settings.maintenance,
                                         call.version.text("no new jobs"))
            outcome = command.function(call)
            if command.makes_job:
                outcome = self._submit(call, outcome, faults)
        if command.after:
            command.after(call)
        if command.lists and self.sim.settings.row_delay:
            rows = max((len(rows) for rows in outcome.values() if isinstance(rows, list)),
                       default=0)
            self.sim.pause(rows * self.sim.settings.row_delay)
        return outcome

    def _submit(self, call, work, faults):
        job = self.sim.jobs.submit(call, work, call.params.get("customjobid"),
                                   Plan.make(self.sim.settings, call.name, faults))
        return {"id": work.created, "jobid": job.id} if call.command.creates else {"jobid": job.id}
