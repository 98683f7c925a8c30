# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the figures are measured with: a daemon on a bus of its own, a cloud, disks, and the moments
when things come.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from cloudsim import ids    # noqa: E402

PATIENCE = 120.0    # seconds, until something that must come is given up
NETLINK_KOBJECT_UEVENT = 15
KERNEL_GROUP = 1


class BenchError(Exception):
    """Nothing can be measured, and why."""


# -- programs

def program(build, path):
    found = build / path
    if not os.access(found, os.X_OK):
        raise BenchError(f"{found} is not there; build it first, or set VOLD_BUILD")
    return str(found)


@contextlib.contextmanager
def running(command, log, **options):
    """A program that runs during the block, its output in the file `log`."""
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT,
                                   stdin=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def await_line(process, log, pattern):
    """Wait until the program has said so; returns the match."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        text = Path(log).read_text(errors="replace")
        if found := re.search(pattern, text):
            return found
        if process.poll() is not None:
            raise BenchError(f"{process.args[0]} ended with {process.returncode}:\n{text}")
        time.sleep(0.01)
    raise BenchError(f"{process.args[0]} did not say {pattern!r}:\n{text}")


# -- the daemon and what it needs

class Daemon:
    """A daemon on a bus of its own, with its REST address and its process."""

    def __init__(self, process, url, bus):
        self.process, self.url, self.bus = process, url, bus

    def ask(self, verb, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=verb,
                                         headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=PATIENCE + 60) as reply:
            return json.load(reply)

    def await_step(self, operation, step):
        """Until the operation is in this step."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            record = self.ask("GET", f"/api/v1/operations/{operation}")
            if record.get("step") == step:
                return
            if record["status"] in ("completed", "failed", "cancelled"):
                raise BenchError(f"{operation} ended before {step}: {record}")
            time.sleep(0.005)
        raise BenchError(f"{operation} did not come to {step}: {record}")

    def finish(self, operation):
        record = self.ask("GET", f"/api/v1/operations/{operation}?wait=60")
        if record["status"] != "completed":
            raise BenchError(f"{operation} did not complete: {record}")


# A second: far more than the default, which would be measured otherwise. The bench says so.
REQUESTS = 1000000
CONFIG = """\
[http]
listen = 127.0.0.1:0
anonymous_requests = {requests}
anonymous_connections = 100000
max_requests = {at_once}
[cloud]
url = {cloud}
api_key_file = {run}/api-key
secret_key_file = {run}/secret-key
poll_min = {poll}
[appliance]
vm_id = {appliance}
[device]
sysfs_root = {sysfs}
dev_root = {dev}
buses = {buses}
scan_interval = {scan}
[export]
engine = {engine}
listen = 127.0.0.1:0
run_dir = {run}/export
[operations]
max = 1000000
[store]
{store}
"""


def configure(run, sim, disks, scan="2s", poll="20ms", engine="none", store=None, requests_at_once=256):
    """The daemon's configuration file; `store` has the keys of that section."""
    for name, key in (("api-key", sim.api_key), ("secret-key", sim.secret_key)):
        (run / name).touch(0o600)
        (run / name).write_text(key + "\n")
    store = store or {"url": f"sqlite://{run}/bench.db"}
    config = run / "volume-daemon.conf"
    config.write_text(CONFIG.format(run=run, requests=REQUESTS, cloud=sim.url, appliance=ids.APPLIANCE_VM, scan=scan,
                                    sysfs=disks.sysfs, dev=disks.dev, buses=disks.buses,
                                    poll=poll, engine=engine, at_once=requests_at_once,
                                    store="\n".join(f"{k} = {v}" for k, v in store.items())))
    return config


@contextlib.contextmanager
def serving(build, run, sim, disks, descriptors=1024, **settings):
    """A fresh daemon that knows the volumes of the cloud; settings: those of `configure`."""
    clear_store(run)
    with started(build, run, configure(run, sim, disks, **settings), descriptors) as daemon:
        wait_for_volumes(daemon, sim)
        yield daemon


def clear_store(run):
    for stale in run.glob("bench.db*"):
        stale.unlink()


@contextlib.contextmanager
def started(build, run, config, descriptors=1024, starter=()):
    """A daemon with this configuration, on whatever is in its store; it and its bus may open so many files. `starter`
    is a program, with arguments, that runs the daemon."""
    limited = ["prlimit", f"--nofile={descriptors}:{descriptors}"]
    bus = f"unix:path={run}/bus"
    with contextlib.ExitStack() as stack:
        log = run / "dbus.log"
        process = stack.enter_context(running(
            [*limited, "dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address={bus}",
             "--print-address"], log))
        await_line(process, log, "unix:")
        log = run / "daemon.log"
        process = stack.enter_context(running(
            [*limited, *starter, program(build, "src/daemon/volume-daemon"), "--config", str(config)], log,
            env=os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": bus}))
        url = await_line(process, log, r"listening on (http://[\w.:]+)")[1]
        yield Daemon(process, url, bus)


def wait_for_volumes(daemon, sim):
    known = len([v for v in sim.state()["volumes"] if v["type"] == "DATADISK"])
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.HTTPError):
            if count_volumes(daemon) >= known:
                return
        time.sleep(0.02)
    raise BenchError("the daemon did not get to know the volumes")


def count_volumes(daemon):
    first = path = "/api/v1/volumes?limit=1000"
    count = 0
    while path:
        answer = daemon.ask("GET", path)
        count += answer["count"]
        path = f"{first}&cursor={answer['next_cursor']}" if answer.get("next_cursor") else None
    return count


def metric(daemon, name):
    """The sum of all samples of that name."""
    with urllib.request.urlopen(f"{daemon.url}/metrics", timeout=PATIENCE) as reply:
        return sum(float(value) for value in
                   re.findall(rf"^{name}(?:{{.*}})? (\S+)$", reply.read().decode(), re.M))


# -- the costs of a process

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def switches(pid):
    """Voluntary context switches of all threads: each is a wake-up that ended in waiting."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        total += int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", status.read_text(), re.M)[1])
    return total


@dataclass(frozen=True)
class Memory:
    """In MiB; `own` is what no other process shares: of files private to this one, and anonymous."""

    resident: float
    own: float


def memory(pid):
    kib = {key: int(value) for key, value in
           re.findall(r"^(\w+): +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)}
    return Memory(kib["Rss"] / 1024, kib["Anonymous"] / 1024)


# -- moments

class Witness(threading.Thread):
    """Notes when each thing came that `read` returns, until it returns None."""

    def __init__(self, read):
        super().__init__(daemon=True)
        self._read, self._seen, self._changed = read, [], threading.Condition()
        self.start()

    def run(self):
        while (thing := self._read()) is not None:
            moment = time.monotonic()
            with self._changed:
                self._seen.append((moment, thing))
                self._changed.notify_all()

    def forget(self):
        with self._changed:
            self._seen.clear()

    def first(self, fits, patience=PATIENCE):
        """The moment of the first thing that fits; waits for it."""
        def found():
            return next((moment for moment, thing in self._seen if fits(thing)), None)

        with self._changed:
            if not self._changed.wait_for(lambda: found() is not None, patience):
                raise BenchError("an event did not come")
            return found()


@contextlib.contextmanager
def signals(daemon, run):
    """A Witness of the daemon's signals."""
    command = ["busctl", f"--address={daemon.bus}", "--json=short", "monitor",
               "--match=type='signal',interface='org.migratekit.VolumeDaemon1.Manager'"]
    with open(run / "busctl.log", "wb") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors,
                                   stdin=subprocess.DEVNULL)
    try:
        await_monitor(daemon)
        yield Witness(lambda: process.stdout.readline() or None)
    finally:
        process.terminate()
        process.wait()


def await_monitor(daemon):
    """Until busctl listens: a monitor has no name but is counted."""
    command = ["busctl", f"--address={daemon.bus}", "--json=short", "call", "org.freedesktop.DBus",
               "/org/freedesktop/DBus", "org.freedesktop.DBus.Debug.Stats", "GetStats"]
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            time.sleep(1)   # a bus without statistics: no way to know
            return
        stats = json.loads(done.stdout)["data"][0]
        # The daemon, busctl's monitor and the asking busctl itself.
        if stats["ActiveConnections"]["data"] >= 3:
            return
        time.sleep(0.02)
    raise BenchError("busctl monitor did not start")


# -- disks, and the moment they appear

class LoopDisks:
    """Real block devices; the moment is when the kernel's own event reaches this process."""

    what = "kernel event to OperationCompleted"
    how = "loop devices"
    sysfs, dev, buses, scan = "/sys", "/dev", "loop", "2s"

    def __init__(self, run):
        self.plug = f"loop:{run}/disks"
        events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_KOBJECT_UEVENT)
        events.bind((0, KERNEL_GROUP))
        self._witness = Witness(lambda: events.recv(8192))

    def appear(self, sim, volume, size):
        self._witness.forget()
        sim.plug_volume(volume, size)
        name = next(d["name"] for d in sim.state()["devices"] if d["key"] == volume)
        prefix, suffix = b"change@", f"/block/{name}".encode()
        return self._witness.first(
            lambda event: event.startswith(prefix) and event.split(b"\0")[0].endswith(suffix))

    def work(self, run):
        """Whether this kernel lets us make such a disk and tells of it."""
        trial = run / "trial"
        with open(trial, "wb") as file:
            file.truncate(1 << 20)
        done = subprocess.run(["losetup", "-f", "--show", trial], capture_output=True, text=True)
        if done.returncode:
            return False
        try:
            self._witness.first(lambda event: b"/block/loop" in event, 2)
            return True
        except BenchError:
            return False
        finally:
            subprocess.run(["losetup", "-d", done.stdout.strip()], check=False)


class TreeDisks:
    """A folder that looks like sysfs. No kernel tells of it, so only short scans show what the
    daemon itself takes."""

    what = "disk to OperationCompleted"
    how = "a folder scanned every 20 ms"
    buses, scan = "virtio", "20ms"

    def __init__(self, run):
        top = f"{run}/disks"
        Path(top, "block").mkdir(parents=True)   # as in a machine without disks
        self.plug, self.sysfs, self.dev = f"tree:{top}", top, f"{top}/dev"

    def appear(self, sim, volume, size):
        moment = time.monotonic()
        sim.plug_volume(volume, size)
        return moment


def make_disks(run):
    if os.geteuid() == 0 and shutil.which("losetup"):
        disks = LoopDisks(run)
        if disks.work(run):
            return disks
    return TreeDisks(run)
