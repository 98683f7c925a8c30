# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a command is, and one call of it.

Each command is a row of a table (`volume_commands.py` and its neighbours): which parameters it
cannot do without, which of them name an entity, and the function that does the work. What all
commands have in common (parse, look up, refuse in the server's order and words) happens once, in
`Call`. Synchronous functions return the inside of the answer; asynchronous ones return a piece of
work for the job runner.
"""

import re
from dataclasses import dataclass
from types import SimpleNamespace

from . import errors
from .errors import GENERIC, PARAM_ERROR, ApiError
from .rows import Rows

MAX_LENGTH = 255
ALL_PROJECTS = "-1"

# The kinds of entity that parameters name: where their rows are, and the server's word for them.
_WORDS = {"volumes": "Volume", "machines": "VirtualMachine", "snapshots": "Snapshot",
          "machine_snapshots": "VMSnapshot"}

# Line feed and carriage return pass; tab and delete do not.
_CONTROL = re.compile(r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True)
class Command:
    function: object
    package: str = ""           # of the server's class, which jobs show
    class_name: str | None = None       # where it is not the command's own
    for_admins: bool = True     # administrators have a class of their own
    needs: tuple = ()
    refs: tuple = ()            # (parameter, kind of entity)
    numbers: tuple = ()
    texts: tuple = ()           # (parameter, its name in the server's code): bounded in length
    blanks: tuple = ()          # parameters that may be given without a value
    makes_job: bool = False
    creates: bool = False       # the answer carries the new entity's id
    lists: bool = False
    only_root: bool = False
    takes_removed: bool = False         # finds out by itself that an entity was removed
    after: object = None        # runs without the world's lock, before the answer


class Call:
    """One command of one caller. `args` has the parameters, ids replaced by their rows."""

    def __init__(self, sim, account, name, command, params):
        self.sim, self.world, self.version = sim, sim.world, sim.version
        self.account, self.name, self.command, self.params = account, name, command, params
        self.rows = Rows(sim, account)
        self.args = self._arguments()

    @property
    def cmd(self):
        """The name of the server's class."""
        command = self.command
        name = command.class_name or self.name[0].upper() + self.name[1:]
        if self.account.admin and command.for_admins:
            return f"org.apache.cloudstack.api.command.admin.{command.package}.{name}CmdByAdmin"
        return f"org.apache.cloudstack.api.command.user.{command.package}.{name}Cmd"

    # -- parameters

    def _arguments(self):
        command = self.command
        for key, value in self.params.items():
            if _CONTROL.search(value):
                text = self.version.text("control", key=key, value=value)
                raise ApiError(PARAM_ERROR, text, GENERIC)
        args = {key: value for key, value in self.params.items()
                if value != "" or key in command.blanks}
        for key in command.needs:
            if key not in args:
                raise errors.missing(self.name, key)
        for key in command.numbers:
            if key in args:
                args[key] = self._number(key, args[key])
        for key, inner_name in command.texts:
            if len(args.get(key, "")) > MAX_LENGTH:
                raise errors.too_long(self.name, inner_name, MAX_LENGTH)
        if "projectid" in args:
            args["projectid"] = self._project(args["projectid"])
        if command.lists and "id" in args and "ids" in args:
            raise errors.invalid("Specify either id or ids but not both parameters")
        for key, kind in command.refs:
            if key in args:
                args[key] = self._entity(key, kind, args[key])
        if command.lists and "ids" in args:
            kind = dict(command.refs)["id"]
            args["ids"] = [self._entity("ids", kind, one.strip())
                           for one in args["ids"].split(",")]
        return _Arguments(args)

    def _number(self, key, text):
        if not re.fullmatch(r"[+-]?\d{1,18}", text):
            raise errors.bad_number(self.name, key, text)
        return int(text)

    def _project(self, value):
        if value == ALL_PROJECTS and self.command.lists:
            return ALL_PROJECTS
        project = self.world.project(value)
        if project is None:
            raise errors.bad_value(self.name, "projectid", value)
        self.account.check_use(project)
        return project

    def _entity(self, key, kind, value):
        row = getattr(self.world, kind).get(value)
        if row is None:
            raise errors.bad_value(self.name, key, value)
        if self.command.lists or kind not in _WORDS:
            return row
        if row.removed and self.version.removed_are_unknown and not self.command.takes_removed:
            raise errors.removed(_WORDS[kind], row.serial_number)
        self.account.check_use(self.world.accounts[row.owner])
        return row


class _Arguments(SimpleNamespace):
    """Parameters as attributes; one that was not given is None."""

    def __init__(self, values):
        super().__init__(**values)

    def __getattr__(self, _):
        return None


def truth(text):
    return (text or "").lower() == "true"
