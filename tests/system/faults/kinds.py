# SPDX-License-Identifier: LGPL-2.1-or-later
"""The faults, and what an operation must make of each.

The faults are those the simulated cloud knows: each of its kinds, with each of its switches, with
values for what it needs to be told. A kind that is new there is met here without further ado, as
noise that an operation must survive, until `outcome()` says otherwise.
"""

import itertools
from dataclasses import dataclass

from cloudsim.commands import COMMANDS
from cloudsim.errors import DEFAULT_TEXTS
from cloudsim.faults import KINDS

# Of the daemon under test; what is slow is slower than this.
TIMEOUT_MS = 2000

SWITCHES = ("after", "bare", "effect")
VALUES = {
    "seconds": {"slow": [TIMEOUT_MS * 1.5 / 1000], "date_skew": [3600, -3600], "refuse_connect": [0.1],
                "job_delay": [0.3], "plug_delay": [0.3], "runs_on": [0.3], "late": [1, 3, 6, 12]},
    "code": {"status": list(DEFAULT_TEXTS), "html": [200, 502, 504]},
    "polls": {"job_pending": [3]},
    "size": {"wrong_size": [3 << 30]},
}
JOB_GROUPS = ("job_delay", "plug_delay", "job_pending", "runs_on", "job_end", "guest")
CHANGES = tuple(name for name, command in COMMANDS.items() if command.makes_job)
# CloudStack's word that it will not, now or ever; other codes ask for patience.
REFUSALS = tuple(code for code in DEFAULT_TEXTS if code not in (401, 429, 503))
REFUSAL_TEXT = "Only on Tuesdays, says the fault script."


@dataclass(frozen=True)
class Fault:
    do: str
    options: tuple = ()

    def __str__(self):
        return "-".join([self.do, *(name if value is True else f"{value}"
                                    for name, value in self.options if name != "text")])

    def __getitem__(self, name):
        return dict(self.options).get(name)

    def rule(self, **rest):
        return {"do": self.do, **dict(self.options), **rest}

    @property
    def about_jobs(self):
        return KINDS[self.do][0] in JOB_GROUPS

    @property
    def in_guest(self):
        return KINDS[self.do][0] == "guest"

    def meets(self, call):
        """Can it strike this call at all?"""
        return call.command in CHANGES or not (self.about_jobs or self.do == "other_job")


def _faults_of(do):
    _, allowed, needed = KINDS[do]
    switches = [name for name in SWITCHES if name in allowed]
    if do == "status":
        switches = []       # a refusal is CloudStack's word that nothing has happened
    needs = [[(name, value) for value in VALUES[name].get(do, VALUES[name].get("slow", [1]))]
             for name in sorted(needed)]
    for values in itertools.product(*needs):
        for chosen in itertools.product([False, True], repeat=len(switches)):
            options = values + tuple((n, True) for n, on in zip(switches, chosen) if on)
            yield Fault(do, options + _text(do, dict(options)))


def _text(do, options):
    if do != "status":
        return ()
    if options["code"] == 429:
        return (("text", "The limit is reached, please retry after [50] ms."),)
    return (("text", REFUSAL_TEXT),) if options["code"] in REFUSALS else ()


FAULTS = [fault for do in KINDS for fault in _faults_of(do)]


@dataclass(frozen=True)
class Outcome:
    """`code` is the word of the error, None for success. `said` are CloudStack's code and text."""

    code: str | None = None
    said: tuple | None = None
    attention: bool = False
    disk_left: bool = False     # the guest differs from what CloudStack knows
    renamed: bool = True
    detached: bool = False      # by a deletion, or without the guest


def outcome(fault, call):
    """What the operation must make of this fault at this call."""
    if fault.do == "status" and fault["code"] in REFUSALS:
        return _outcome_of_refusal(fault, call)
    if fault.do == "job_fail":
        return _outcome_of_failed_job(fault, call)
    # Only its job tells whether a volume was reverted.
    if fault.do == "other_job" and call.command == "revertSnapshot":
        return Outcome("CLOUDSTACK_ERROR", attention=True)
    in_guest = call.operation in ("attach", "detach", "delete")
    if fault.do == "no_plug" and in_guest and call.command in ("attachVolume", "detachVolume"):
        gone = call.command == "detachVolume"
        return Outcome("TIMEOUT", attention=gone, disk_left=gone, detached=gone)
    # The undo takes the volume back to the machine of the test.
    if fault.do == "no_plug" and call.operation == "cleanup" and call.command == "attachVolume":
        return Outcome("TIMEOUT")
    if fault.in_guest and call.command == "resizeVolume":
        return Outcome("TIMEOUT", attention=True, disk_left=True)
    if fault.do == "wrong_size" and call.operation in ("attach", "cleanup") and \
            call.command == "attachVolume":
        return Outcome("CONFLICT")
    return Outcome()


# What was made is looked at until it is shown.
LOOKS_AT_THE_END = (("revert", "listVolumes", 2), ("delete-snapshot", "listSnapshots", 2))


def _outcome_of_refusal(fault, call):
    """A question that failed inside CloudStack is asked again. If CloudStack does not show a job,
    the volume is looked at. A volume that cannot be renamed is one all the same."""
    if call.command == "updateVolume":
        return Outcome(renamed=False)
    if call.command not in CHANGES:
        if (call.operation, call.command, call.nth) in LOOKS_AT_THE_END:
            return Outcome()
        if fault["code"] == 530 or call.command == "queryAsyncJobResult":
            return Outcome()
    return Outcome("CLOUDSTACK_ERROR", (fault["code"], REFUSAL_TEXT),
                   detached=call.command == "destroyVolume")


def _outcome_of_failed_job(fault, call):
    # The volume is there before its job is, and it is the volume that counts; a destruction whose
    # job was lost is asked for again, and so is a renaming.
    if fault["bare"] and call.command in ("createVolume", "destroyVolume", "updateVolume",
                                          "deleteSnapshot"):
        return Outcome()
    if call.command == "updateVolume":
        return Outcome(renamed=False)
    return Outcome("CLOUDSTACK_ERROR", disk_left=bool(fault["effect"]),
                   attention=bool(fault["bare"]) and call.command == "revertSnapshot",
                   said=None if fault["bare"] else (530, "the fault script says so"),
                   detached=call.command == "destroyVolume")
