# SPDX-License-Identifier: LGPL-2.1-or-later
"""What org.migratekit.VolumeDaemon1(5) says of dictionaries, held against what comes over the bus.

The page is all that a programmer has to know a key from. So a key that is not on the page is a mistake, also one deep
inside a property, and so is a value of another type than the page has.
"""

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

PAGE = Path(__file__).resolve().parents[3] / "data/man/org.migratekit.VolumeDaemon1.5"
# CloudStack has keys of its own, and so do callers.
OPEN = {"cloudstack_data"}
_TYPES = {"s": str, "b": bool, "x": int, "t": int, "q": int, "u": int, "d": (int, float), "a{sv}": dict, "av": list}


@dataclass
class Page:
    dictionaries: dict = field(default_factory=dict)    # name -> key -> (type, name of the dictionary inside or None)
    properties: dict = field(default_factory=dict)      # "Volume" -> property -> the same
    answers: dict = field(default_factory=dict)         # method of the Manager -> name of a dictionary


@cache
def page():
    found, section, rows, key, method = Page(), "", None, None, None
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if start := re.match(r"\.S[hs] (.+)", line):
            section, rows, key, method = start[1], None, None, None
            if known := re.match(r"Properties of (\w+)", section):
                rows = found.properties.setdefault(known[1], {})
            elif re.fullmatch(r"[a-z_]+", section):
                rows = found.dictionaries.setdefault(section, {})
        elif start := re.match(r'\.It Fn (\w+) ', line):
            method = start[1] if section == "Methods of the Manager" else None
        elif (start := re.match(r'\.It Va "(.+)" Pq Li "(.+)"', line)) and rows is not None:
            key = start[1]
            rows[key] = (start[2], None)
        elif start := re.match(r"\.Sx ([a-z_]+) \.", line):
            if rows is not None and key:
                rows[key] = (rows[key][0], start[1])
            elif method:
                found.answers[method] = start[1]
    return found


def _check_value(where, value, kind, inside):
    wanted = _TYPES[kind]
    assert isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool)), f"{where} is {value!r}"
    if inside and kind == "av":
        for item in value:
            check(inside, item, where)
    elif inside:
        check(inside, value, where)


def check(name, value, where=""):
    """A dictionary against the page."""
    rows = page().dictionaries[name]
    for key, item in value.items():
        path = f"{where or name}.{key}"
        if key in rows:
            _check_value(path, item, *rows[key])
        else:
            assert name in OPEN, f"the manual page does not have {path}"


def check_properties(interface, values):
    """Properties of an object by their names on D-Bus. Those of the Manager are no dictionaries."""
    rows = page().properties.get(interface.rsplit(".", 1)[1])
    for name, value in values.items() if rows else ():
        _check_value(f"{interface}.{name}", value, *rows[name])


def check_answer(method, answer):
    """The answer of a method of the Manager, if it is a dictionary or a list of them."""
    for item in answer if isinstance(answer, list) else [answer]:
        if method in page().answers:
            check(page().answers[method], item)
