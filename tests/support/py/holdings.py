# SPDX-License-Identifier: LGPL-2.1-or-later
"""The descriptors, threads and processes that a daemon holds.

None of them may grow with the work of the daemon. Those of the moment when it begins to serve are
compared with those of its end, when it is idle; an engine, a client, a thread that was started when
it was first needed account for the rest.
"""

import os
from collections import Counter

# Threads that do the same kind of work; hanging disks, which cost more, no test here has.
THREADS_OF_A_KIND = 4

SQLITE_TEMPORARY = "/etilqs_"  # in the names of SQLite's temporary files

KTHREADD = 2  # the parent of the kernel's own threads

# Connections that CloudStack has reset: curl keeps them among those to be used again, and looks at one only then.
RESET_CONNECTIONS = 2

CLOSE_WAIT = 8  # of a TCP connection: the peer has closed, we have not


def _read(path):
    """The text of a file in /proc, "" when its process is gone. Each test reads thousands of them, in the plainest
    way that there is."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _descriptors(pid):
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            yield os.readlink(f"/proc/{pid}/fd/{number}")
        except FileNotFoundError:  # closed in between
            pass


def _sockets(pid, wanted):
    """The sockets the kernel knows: their inodes, and which of them were left by their peers, with
    the local port. Long tables come last, and are not read when all that are wanted are known."""
    known, left = set(), {}
    for table, column in (("unix", 6), ("netlink", 9), ("udp", 9), ("udp6", 9), ("tcp", 9), ("tcp6", 9)):
        if known.issuperset(wanted):
            break
        for line in _read(f"/proc/{pid}/net/{table}").splitlines()[1:]:
            row = line.split()
            known.add(row[column])
            if table.startswith("tcp") and int(row[3], 16) == CLOSE_WAIT:
                left[row[column]] = int(row[1].rpartition(":")[2], 16)
    return known, left


class Process:
    """A process as it was when it was found: its pid may be another one's later."""

    def __init__(self, pid):
        self.pid = pid
        # "PID (NAME) STATE PARENT ...", where NAME may hold anything.
        head, _, rest = _read(f"/proc/{pid}/stat").rpartition(")")
        self.fields = rest.split()
        self.name = head.partition("(")[2]

    @property
    def state(self):
        return self.fields[0] if self.fields else "X"

    @property
    def parent(self):
        return int(self.fields[1]) if self.fields else 0

    def runs(self):
        """True while it is there and is the same; a zombie has ended."""
        now = Process(self.pid)
        return now.state not in "XZ" and now.fields[19] == self.fields[19]

    def __repr__(self):
        return f"process {self.pid}, {self.name}, state {self.state}"


def processes_of(pid, folder):
    """The daemon's children and, of whomever they are the children, the engines in its folder."""
    found = (Process(int(entry)) for entry in os.listdir("/proc") if entry.isdigit())
    return [process for process in found if process.pid != pid and process.parent != KTHREADD and
            (process.parent == pid or folder in _read(f"/proc/{process.pid}/cmdline"))]


class Holdings:
    """The holdings of a process at this moment."""

    def __init__(self, pid, folder):
        self._pid = pid
        self.processes = processes_of(pid, folder)
        while True:
            self._read_descriptors(pid)
            # A process that came or went meanwhile has left its pipes on one side only.
            now = processes_of(pid, folder)
            if [(p.pid, p.state == "Z") for p in now] == [(p.pid, p.state == "Z") for p in self.processes]:
                break
            self.processes = now

    def _read_descriptors(self, pid):
        self.engines = sum(process.state != "Z" for process in self.processes)
        targets = list(_descriptors(pid))
        self.files = Counter(target for target in targets if target.startswith("/"))
        self.kinds = Counter(target.partition("[")[0] if target.startswith("pipe") else target
                             for target in targets if not target.startswith("/"))
        self.sockets = [target[len("socket:["):-1] for target in targets
                        if target.startswith("socket:")]
        self.threads = Counter(_read(f"/proc/{pid}/task/{thread}/comm").strip()
                               for thread in os.listdir(f"/proc/{pid}/task"))

    def leaks(self, before, port, store):
        """The holdings that should not be there, a text each: `before` are those of the start, `port`
        is the port of the clients, `store` a path that the store's files begin with."""
        found = [f"{count} more descriptors of {path}"
                 for path, count in (self.files - before.files).items()
                 if not path.startswith(store) and SQLITE_TEMPORARY not in path]
        more_engines = max(0, self.engines - before.engines)
        for kind, limit in (("pipe:", before.kinds["pipe:"] + more_engines),
                            ("anon_inode:[pidfd]", self.engines),
                            ("anon_inode:[eventfd]", self.threads.total()),
                            ("anon_inode:[eventpoll]", before.kinds["anon_inode:[eventpoll]"])):
            if self.kinds[kind] > limit:
                found.append(f"{self.kinds[kind]} descriptors {kind}, at most {limit} are of use")
        found += [f"{count} more threads {name}"
                  for name, count in (self.threads - before.threads).items()
                  if count > THREADS_OF_A_KIND]
        known, left = _sockets(self._pid, self.sockets)
        lost = [f"socket {inode}, which is not connected" for inode in self.sockets if inode not in known]
        if len(lost) > RESET_CONNECTIONS:
            found += lost
        found += [f"socket {inode}, whose client has gone" for inode in self.sockets if left.get(inode) == port]
        return found + [f"{process}: nobody waited for it" for process in self.processes
                        if process.state == "Z"]
