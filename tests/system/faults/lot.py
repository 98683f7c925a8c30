# SPDX-License-Identifier: LGPL-2.1-or-later
"""One world in which operations meet one fault, each at a call of its own."""

import time

from support.py import folders
from support.py.harness import World
from support.py.secrecy import everything_said

from .kinds import TIMEOUT_MS, outcome
from .operations import ALL_CALLS, CALLS, make_operations

# A disk that never comes is waited for in vain; one whose name still belongs to a volume that is
# held up in its detachment comes when that has ended.
WAIT_IN_VAIN, WAIT = "2s", "60s"


def requests_of(operation, requests, state):
    """Those about an operation's volume, by the state of CloudStack."""
    id = operation.volume or operation.record and operation.record["volume_id"]
    ids = {id, operation.snapshot, *(s["id"] for s in state["snapshots"]
                                     if id and s["volume"] == id)} - {None}
    jobs = {job["jobid"] for job in state["jobs"] if id and job["volume"] == id}
    return [r for r in requests
            if r["params"].get("jobid") in jobs or r["params"].get("id") in ids
            or r["params"].get("name", "").startswith(operation.name)]


class Lot:
    """What is wrong with an operation's end is kept in `errors`, for the test of that cell."""

    def __init__(self, folder, fault, times=1, window=0.0, server=None, cloud=None):
        """With `times` 0 the fault lasts for a window of so many seconds, and then is over. `server`
        are cloudsim's settings, `cloud` more of the daemon's."""
        self.fault, self.times, self.window = fault, times, window
        self.calls = self.calls_of(fault)
        # With a request for everybody and no list of jobs, each call of each operation is made.
        self.world = World(folder, cloud={"timeout": f"{TIMEOUT_MS}ms", "job_wait": "10min" if window else "60s",
                                          "parallel": 256, **(cloud or {})},
                           device={"wait": WAIT_IN_VAIN if fault.in_guest else WAIT})
        self.world.cloud.set(max_data_volumes=100, **(server or {}))
        if not window:
            self.world.cloud.put_account("admin", forbidden=["listAsyncJobs"])

    @staticmethod
    def calls_of(fault):
        return [call for call in ALL_CALLS if fault.meets(call)]

    def run(self):
        try:
            self._run(self.world.start())
            self.world.daemon.stop()
        finally:
            self.world.close()
        self.details = dict(self.world.daemon.store.rows(
            "SELECT id, COALESCE(error_details, '{}') FROM volume_operations"))
        if not any(self.errors.values()):
            folders.let_go(self.world.folder)
        return self

    def _run(self, world):
        operations = make_operations(world, [call.operation for call in self.calls])
        self.operations = dict(zip(self.calls, operations))
        world.cloud.clear_requests()
        world.cloud.set_faults(self._rules())
        for operation in operations:
            operation.begin()
        if self.window:
            self._let_it_last(world)
        for operation in operations:
            operation.end()
        world.cloud.wait_idle()
        self.errors = {call: self._check(call) for call in self.calls}
        if not self.window:
            self._keep_figures(world)
        world.cloud.clear_faults()
        self.said = dict(everything_said(world))
        self.recovered = self._recover()

    def _rules(self):
        # A server's clock is wrong for everybody.
        if self.window and self.fault.do == "date_skew":
            return [self.fault.rule(times=0)]
        return [self.fault.rule(command=call.command, nth=call.nth, times=self.times,
                                **operation.subject)
                for call, operation in self.operations.items()]

    def _let_it_last(self, world):
        """Only the daemon asks in that time: a client that is refused, and tries again and again,
        makes it compare its volumes with CloudStack each time."""
        world.cloud.clear_requests()
        begun = time.monotonic()
        before = world.daemon.health()["details"]["cloudstack_api_calls"]
        world.cloud.pause(self.window)
        self.api_calls = world.daemon.health()["details"]["cloudstack_api_calls"] - before
        self._keep_figures(world)
        self.lasted = time.monotonic() - begun
        world.cloud.clear_faults()
        world.cloud.up()

    def _keep_figures(self, world):
        state, self.all_requests = world.cloud.state(), world.cloud.requests()
        self.struck = {call: rule["struck"] for call, rule in zip(self.calls, state["faults"])}
        self.requests = {call: requests_of(operation, self.all_requests, state)
                         for call, operation in self.operations.items()}

    def _check(self, call):
        due = outcome(self.fault, call)
        try:
            self.operations[call].assert_true(due.disk_left, due.renamed, due.detached)
        except AssertionError as error:
            return error
        return None

    def _recover(self):
        """Without a restart: health, and each operation once more."""
        try:
            self.world.daemon.wait_healthy()
            for operation in make_operations(self.world, CALLS, "again-"):
                operation.begin().completed()
        except AssertionError as error:
            return error
        return None
