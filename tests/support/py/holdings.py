# SPDX-License-Identifier: LGPL-2.1-or-later
"""The descriptors, threads and processes that a daemon holds.

None of them may grow with the work of the daemon. Those of the moment when it begins to serve are
compared with those of its end, when it is idle; an engine, a client, a thread that was started when
it was first needed account for the rest.
"""

import ctypes
import errno
import os
import socket
from collections import Counter

# Threads that do the same kind of work; hanging disks, which cost more, no test here has.
THREADS_OF_A_KIND = 4

SQLITE_TEMPORARY = "/etilqs_"  # in the names of SQLite's temporary files

KTHREADD = 2  # the parent of the kernel's own threads

# Connections that CloudStack has reset: curl keeps them among those to be used again, and looks at one only then.
RESET_CONNECTIONS = 2

# States of TCP: there is no connection; the peer has closed, we have not.
TCP_CLOSE, TCP_CLOSE_WAIT = 7, 8

_LIBC = ctypes.CDLL(None, use_errno=True)
_PIDFD_GETFD = 438  # on all architectures


def _read(path):
    """The text of a file in /proc, "" when its process is gone. Each test reads thousands of them, in the plainest
    way that there is."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _descriptors(pid):
    """Number and target of each."""
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            yield int(number), os.readlink(f"/proc/{pid}/fd/{number}")
        except FileNotFoundError:  # closed in between
            pass


def _is_lost(held):
    """Whether the kernel knows no peer of a socket, and cannot come to know one."""
    if held.family in (socket.AF_UNIX, socket.AF_NETLINK):
        return False
    if held.type == socket.SOCK_STREAM:
        return _tcp_state(held) == TCP_CLOSE
    return not held.getsockname()[1]


def _tcp_state(held):
    return held.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


def _is_left(held, port):
    """Whether it is a connection to this port whose client has closed it."""
    return (held.family in (socket.AF_INET, socket.AF_INET6) and held.type == socket.SOCK_STREAM
            and _tcp_state(held) == TCP_CLOSE_WAIT and held.getsockname()[1] == port)


def _each_socket(pid, sockets):
    """Each socket of a process, by its text, as a socket of ours. The kernel's tables would say the same; they hold
    all sockets of the machine, thousands while tests run side by side."""
    process = os.pidfd_open(pid)
    try:
        for number, text in sockets:
            copy = _LIBC.syscall(_PIDFD_GETFD, process, number, 0)
            if copy < 0:
                error = ctypes.get_errno()
                if error != errno.EBADF:  # closed in between
                    raise OSError(error, os.strerror(error), f"socket {number} of process {pid}")
            elif os.readlink(f"/proc/self/fd/{copy}") != text:  # another one by now
                os.close(copy)
            else:
                with socket.socket(fileno=copy) as held:
                    yield text, held
    finally:
        os.close(process)


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

    @property
    def started(self):
        """When, in the kernel's ticks."""
        return int(self.fields[19]) if self.fields else 0

    def runs(self):
        """True while it is there and is the same; a zombie has ended."""
        now = Process(self.pid)
        return now.state not in "XZ" and now.started == self.started

    def __repr__(self):
        return f"process {self.pid}, {self.name}, state {self.state}"


# Command lines of processes that are older than a daemon that was looked at: they do not change, and are never those
# of its children. By the number in /proc and its inode there, which no other process gets.
_older = {}


def processes_of(pid, folder):
    """The daemon's children and, of whomever they are the children, the engines in its folder."""
    found, started = [], Process(pid).started
    for entry in os.scandir("/proc"):
        key = entry.name, entry.inode()
        if not entry.name.isdigit() or folder not in _older.get(key, folder):
            continue
        process = Process(int(entry.name))
        if process.pid == pid:
            continue
        command = "" if process.parent == KTHREADD else _read(f"/proc/{process.pid}/cmdline")
        if process.parent == pid or folder in command:
            found.append(process)
        if process.started < started:
            _older[key] = command
    return found


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
        descriptors = list(_descriptors(pid))
        targets = [target for _, target in descriptors]
        self.files = Counter(target for target in targets if target.startswith("/"))
        self.kinds = Counter(target.partition("[")[0] if target.startswith("pipe") else target
                             for target in targets if not target.startswith("/"))
        self.sockets = [(number, target) for number, target in descriptors if target.startswith("socket:")]
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
        lost = []
        for text, held in _each_socket(self._pid, self.sockets):
            if _is_lost(held):
                lost.append(f"{text}, which is not connected")
            elif _is_left(held, port):
                found.append(f"{text}, whose client has gone")
        if len(lost) > RESET_CONNECTIONS:
            found += lost
        return found + [f"{process}: nobody waited for it" for process in self.processes
                        if process.state == "Z"]
