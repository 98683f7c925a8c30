#!/usr/bin/python3
"""Becomes a program that may only make the system calls that a unit of systemd allows.

A call that is not allowed ends the process, so that none goes unnoticed; under systemd it fails with EPERM, as here
those do of which it is known that their failure harms nothing. Without a running
systemd this is as near as a test can come to SystemCallFilter=. Use: filtered.py UNIT PROGRAM [ARGUMENT...]
"""

import errno
import os
import subprocess
import sys

import seccomp

# SQLite, as root, gives each file to the owner of the database, who has it already; libnuma, in qemu, tries this one to
# learn whether the kernel has it.
HARMLESS = ("fchown", "set_mempolicy")


def members(name):
    """The system calls of a group, or the one of that name."""
    if not name.startswith("@"):
        return {name}
    said = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter", name], capture_output=True, text=True,
                          check=True).stdout
    words = [line.strip() for line in said.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
    return set().union(*map(members, words))


def allowed(unit):
    """The calls that the unit's lines leave: the first line allows, a line with ~ takes away."""
    calls = set()
    with open(unit, encoding="utf-8") as file:
        for line in file:
            key, _, value = line.strip().partition("=")
            if key != "SystemCallFilter":
                continue
            takes = value.startswith("~")
            named = set().union(*map(members, value.lstrip("~").split()))
            calls = calls - named if takes else calls | named
    assert calls, f"{unit} has no filter"
    # systemd itself needs this one to start the program.
    return calls | {"execve"}


def main(unit, *command):
    bounds = seccomp.SyscallFilter(defaction=seccomp.KILL_PROCESS)
    for call in allowed(unit):
        try:
            bounds.add_rule(seccomp.ALLOW, call)
        except (RuntimeError, ValueError):     # of another architecture
            pass
    for call in HARMLESS:
        bounds.add_rule(seccomp.ERRNO(errno.EPERM), call)
    bounds.load()
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
