# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fault scripts: what goes wrong, on which request, how often.

A script is a list of rules. Each says which requests it is about (`command`, or `*`; optionally
`volume`, an id, or `name`, the beginning of a volume's name), which of those it strikes (from the
`nth` on, `times` in a row, 0 for ever) and what it does (`do`). For example, the second attach
loses its answer, and every poll takes half a second:

    [{"command": "attachVolume", "nth": 2, "do": "cut_after"},
     {"command": "queryAsyncJobResult", "do": "slow", "seconds": 0.5, "times": 0}]

Kinds fall into groups, and of each group at most one rule strikes a request, the first in the
list that is due. So one request may be slow *and* answered with 503, while two `status` rules in
a row strike two successive requests. Rules about jobs count only commands that make jobs.
"""

import threading
from dataclasses import dataclass, field

from .commands import COMMANDS

# kind -> (group, the options it takes, those of them it cannot do without)
KINDS = {
    "slow": ("pace", {"seconds"}, {"seconds"}),
    "date_skew": ("clock", {"seconds"}, {"seconds"}),
    "status": ("answer", {"code", "text", "cserrorcode", "after"}, {"code"}),
    "html": ("answer", {"code", "after"}, {"code"}),
    "empty": ("answer", {"after"}, set()),
    "half": ("answer", set(), set()),
    "other_job": ("answer", set(), set()),
    "cut_before": ("answer", set(), set()),
    "cut_after": ("answer", set(), set()),
    "cut_within": ("answer", set(), set()),
    "late": ("answer", {"seconds"}, {"seconds"}),
    "refuse_connect": ("answer", {"seconds"}, {"seconds"}),
    "job_delay": ("job_delay", {"seconds"}, {"seconds"}),
    "plug_delay": ("plug_delay", {"seconds"}, {"seconds"}),
    "job_pending": ("job_pending", {"polls"}, {"polls"}),
    "runs_on": ("runs_on", {"seconds"}, {"seconds"}),
    "job_fail": ("job_end", {"code", "text", "bare", "effect"}, set()),
    "no_plug": ("guest", set(), set()),
    "wrong_size": ("guest", {"size"}, {"size"}),
}

HELP = """\
kinds of fault ("do") and their options:
  slow seconds             answer only after so many seconds
  date_skew seconds        the server's clock is off by so much (Date header, expires)
  status code [text] [cserrorcode] [after]
                           refuse in the error envelope; "after": true has the effect first
  html code [after]        what a proxy says: a status with a web page
  empty [after]            HTTP 200 without a body
  half                     after the effect, only the first half of the answer: JSON without end
  other_job                after the effect, the answer names a job that does not exist
  cut_before, cut_after    close the connection before or after the effect, without an answer
  cut_within               after the effect, close the connection in the middle of the answer
  late seconds             close the connection without an answer, and have the effect only after so
                           many seconds, unless the request has expired by then
  refuse_connect seconds   cut this request and accept no connection for so long
  job_delay, plug_delay seconds
                           this job's own timing
  job_pending polls        the finished job reads as pending for so many more polls
  runs_on seconds          the job has its effect but reads as pending for so many more seconds, and
                           at its end has the effect on the row once more, whatever it is by then: a
                           late detach clears a newer attachment (apache/cloudstack#14214)
  job_fail [code] [text] [bare] [effect]
                           the job fails; "bare" leaves jobresult out, "effect" lets the guest
                           see the change all the same
  no_plug                  the job succeeds but nothing happens in the guest
  wrong_size size          the device appears with this many bytes
"""

_COMMON = {"do", "command", "volume", "name", "nth", "times"}
_JOB_GROUPS = {"job_delay", "plug_delay", "job_pending", "runs_on", "job_end", "guest"}


@dataclass
class Rule:
    do: str
    command: str = "*"
    volume: str | None = None
    name: str | None = None
    nth: int = 1
    times: int = 1
    options: dict = field(default_factory=dict)
    seen: int = 0
    struck: int = 0

    @classmethod
    def parse(cls, row):
        kind = row.get("do")
        if kind not in KINDS:
            raise ValueError(f"unknown fault {kind!r}")
        if row.get("command", "*") not in ("*", *COMMANDS):
            raise ValueError(f"unknown command {row['command']!r}")
        _, allowed, needed = KINDS[kind]
        options = {name: value for name, value in row.items() if name not in _COMMON}
        if options.keys() - allowed:
            raise ValueError(f"{kind} does not take {sorted(options.keys() - allowed)}")
        if needed - options.keys():
            raise ValueError(f"{kind} needs {sorted(needed - options.keys())}")
        return cls(options=options, **{n: v for n, v in row.items() if n in _COMMON})

    @property
    def group(self):
        return KINDS[self.do][0]

    @property
    def spent(self):
        return self.times and self.struck >= self.times

    def waits_for(self, command, volumes):
        """May a request for that command about these volumes be one of this rule's?"""
        return (not self.spent and self.command in ("*", command)
                and (self.volume is None or self.volume in volumes))

    def strikes(self, command, volumes, name, makes_job):
        """Count a request and say whether it is this rule's turn."""
        if not self.waits_for(command, volumes):
            return False
        if self.name is not None and not (name or "").startswith(self.name):
            return False
        if self.group in _JOB_GROUPS and not makes_job:
            return False
        self.seen += 1
        if self.seen < self.nth:
            return False
        self.struck += 1
        return True

    def row(self):
        return {"do": self.do, "command": self.command, "volume": self.volume, "name": self.name,
                "nth": self.nth, "times": self.times, **self.options, "seen": self.seen,
                "struck": self.struck}


# A rule that strikes a number of times about one volume meets requests about that volume alone: one for several is
# refused as if an id among them were unknown, and does not count.
_ASK_ALONE = Rule("status", options={"code": 431, "text": "Unable to find the volumes by these ids"})


class FaultScript:
    def __init__(self):
        self._lock = threading.Lock()
        self._rules = []

    def load(self, rows, append):
        rules = [Rule.parse(row) for row in rows]
        with self._lock:
            self._rules = self._rules + rules if append else rules

    def strike(self, command, volumes, name, makes_job):
        """The faults due for one request, about the volumes of those ids, and of that name where
        it is one: a dict from group to rule."""
        due = {}
        with self._lock:
            if len(volumes) > 1 and any(r.volume and r.times and r.waits_for(command, volumes)
                                        for r in self._rules):
                return {_ASK_ALONE.group: _ASK_ALONE}
            for rule in self._rules:
                if rule.group not in due and rule.strikes(command, volumes, name, makes_job):
                    due[rule.group] = rule
        return due

    def while_loaded(self, rule, act):
        """Do what a rule says, unless it was cleared since it struck: what is cleared has ended."""
        with self._lock:
            if any(loaded is rule for loaded in self._rules):
                act()

    def rows(self):
        with self._lock:
            return [rule.row() for rule in self._rules]
