# SPDX-License-Identifier: LGPL-2.1-or-later
"""The programs under test, and how a test holds them.

A test's world is a simulated CloudStack, a private message bus and the daemon, each a real process
(the cloud: real sockets) with its files in the test's own folder. Whatever a program says is read
by a thread and kept as `Lines`, which can be waited for; so can signals on the bus and requests to
the cloud. Nothing here sleeps, apart from `eventually()`, for the few things nobody announces.

A daemon that ends with a sanitizer's report, or not with exit status 0 when it is told to stop,
fails the test that ran it, whatever that was about; so does one that leaks descriptors, threads or
processes (holdings.py), and a reply that the OpenAPI document does not have (openapi.py).
"""

import gzip
import http.client
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cloudsim

from . import openapi, told
from .holdings import Holdings, processes_of
from .nbd import NBDClient
from .programs import program
from .stores import new_store
from .waiting import DEADLINE, Lines, eventually

TOP = Path(__file__).resolve().parents[3]
NAME = "org.migratekit.VolumeDaemon1"
ROOT = "/org/migratekit/VolumeDaemon1"
MANAGER = NAME + ".Manager"
ERROR_PREFIX = NAME + ".Error."

# How long a daemon may take to end after SIGTERM; this one is a promise.
STOP_DEADLINE = 10.0

FINAL = ("completed", "failed", "cancelled")
_SANITIZER = re.compile(r"Sanitizer|runtime error:")


# ---- the bus ----

# As the system bus has it: names may be owned and methods called only where a policy file allows
# it. Ours does; it names root as the daemon's user, here that is the user of the tests.
_BUS_CONFIG = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>{address}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  <include>{policy}</include>
  <policy user="{uid}">
    <allow own="{name}"/>
    <allow own="org.freedesktop.PolicyKit1"/>
    <allow send_destination="org.freedesktop.PolicyKit1"/>
  </policy>
</busconfig>
"""


class Bus:
    """A message bus of our own, at an address that stays the same when it restarts. If it is
    watched, a Monitor hears all of it, and its end is that of the bus."""

    def __init__(self, folder, watched=False):
        self.watched, self._monitor = watched, None
        self._config = folder / "bus.conf"
        # Abstract, so that other users reach the bus without access to the folder.
        self.address = f"unix:abstract={folder}/bus"
        self.environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.address}
        self._config.write_text(_BUS_CONFIG.format(
            address=self.address, policy=TOP / f"dbus/{NAME}.conf", uid=os.getuid(), name=NAME))
        self._process = None

    def start(self):
        with open(self._config.with_name("bus.log"), "a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                ["dbus-daemon", f"--config-file={self._config}", "--nofork", "--nopidfile",
                 "--print-address"], stdout=subprocess.PIPE, stderr=log, text=True)
        assert self._process.stdout.readline().startswith("unix:"), "the bus did not start"
        if self.watched:
            self._monitor = Monitor(self)

    def stop(self):
        process, self._process = self._process, None
        monitor, self._monitor = self._monitor, None
        if process:
            process.terminate()
            process.wait(DEADLINE)
            process.stdout.close()
        if monitor:
            monitor.close()
            told.check(monitor.messages.all())

    def call(self, path, interface, member, signature="", *arguments, destination=NAME, user=None):
        """Call a method by busctl, perhaps as another user, and return the list of its results as
        plain Python values."""
        command = ["busctl", f"--address={self.address}", "--json=short", "call", "--",
                   destination, path, interface, member]
        if signature:
            command += [signature, *map(str, arguments)]
        if user is not None:
            command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command]
        # Of an error busctl prints the text; the name is in its debug output only.
        environment = {**self.environment, "SYSTEMD_LOG_LEVEL": "debug"}
        done = subprocess.run(command, env=environment, text=True, capture_output=True,
                              timeout=DEADLINE, check=False)
        if done.returncode:
            name = re.findall(r"type=error .* error-name=(\S+)", done.stderr)
            text = re.findall(r"^Call failed: (.*)$", done.stderr, re.MULTILINE)
            raise BusError(name[-1] if name else "", text[-1] if text else done.stderr)
        if not done.stdout.strip():
            return []
        reply = json.loads(done.stdout)
        return plain_all(reply["type"], reply["data"])

    def manager(self, member, signature="", *arguments, **rest):
        """Call a method of the Manager and return its one result."""
        return self.call(ROOT, MANAGER, member, signature, *arguments, **rest)[0]

    def properties(self, path, interface):
        return self.call(path, "org.freedesktop.DBus.Properties", "GetAll", "s", interface)[0]

    def owner(self):
        """The connection that owns the daemon's name, or None."""
        try:
            return self.call("/org/freedesktop/DBus", "org.freedesktop.DBus", "GetNameOwner", "s",
                             NAME, destination="org.freedesktop.DBus")[0]
        except BusError:
            return None


class BusError(Exception):
    """An error answer. `name` is D-Bus's, `word` the part behind our prefix."""

    def __init__(self, name, text):
        super().__init__(f"{name}: {text}")
        self.name, self.text = name, text
        self.word = name.removeprefix(ERROR_PREFIX) if name.startswith(ERROR_PREFIX) else None


def split_signature(signature):
    """The complete types of a signature: "sa{sv}" is s and a{sv}."""
    types, depth, start = [], 0, 0
    for index, letter in enumerate(signature):
        depth += (letter in "({") - (letter in ")}")
        if depth == 0 and letter != "a":
            types.append(signature[start:index + 1])
            start = index + 1
    return types


def plain(kind, data):
    """busctl's JSON of one value of a type, with the variants opened."""
    if kind == "v":
        return plain(data["type"], data["data"])
    if kind.startswith("a{"):
        return {key: plain(kind[3:-1], value) for key, value in data.items()}
    if kind.startswith("a"):
        return [plain(kind[1:], value) for value in data]
    return data


def plain_all(signature, values):
    kinds = split_signature(signature)
    return [plain(kind, value) for kind, value in zip(kinds, values, strict=True)]


@dataclass
class Message:
    """One message on the bus."""

    type: str
    path: str
    interface: str
    member: str
    signature: str
    arguments: list

    @classmethod
    def parse(cls, line):
        row = json.loads(line)
        payload = row.get("payload") or {"type": "", "data": []}
        return cls(row["type"], row.get("path"), row.get("interface"), row.get("member"),
                   payload["type"], plain_all(payload["type"], payload["data"]))


class Monitor:
    """`busctl monitor`: everything that passes over the bus from the moment this object exists.

    What the signals tell is checked by the rules of told.py when a test has come to its end."""

    def __init__(self, bus):
        self._process = subprocess.Popen(
            ["busctl", f"--address={bus.address}", "--json=short", "monitor"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert "Monitoring" in self._process.stderr.readline()
        self.messages = Lines(self._process.stdout, Message.parse)

    def close(self):
        self._process.terminate()
        self._process.wait(DEADLINE)
        self._process.stderr.close()
        self.messages.join()

    def __enter__(self):
        return self

    def __exit__(self, failed, *_):
        self.close()
        if not failed:
            told.check(self.messages.all())

    def signals(self, member):
        """Signals of that name so far."""
        return [m for m in self.messages.all() if m.type == "signal" and m.member == member]

    def wait(self, member, fits=lambda arguments: True, since=0):
        """The first signal of that name whose arguments fit."""
        return self.messages.wait(
            lambda m: m.type == "signal" and m.member == member and fits(m.arguments), since)

    def wait_changed(self, path, **properties):
        """The first PropertiesChanged of an object that has these values."""
        return self.messages.wait(
            lambda m: m.member == "PropertiesChanged" and m.path == path
            and all(m.arguments[1].get(name) == value for name, value in properties.items()))

    def wait_shown(self, path, **properties):
        """The first signal by which an object has these values, from its beginning or later."""
        def shows(message):
            if message.member == "InterfacesAdded" and message.arguments[0] == path:
                values = next(iter(message.arguments[1].values()))
            elif message.member == "PropertiesChanged" and message.path == path:
                values = message.arguments[1]
            else:
                return False
            return properties.items() <= values.items()

        return self.messages.wait(shows)

    def completed(self, operation_id):
        """The OperationCompleted of an operation."""
        return self.wait("OperationCompleted", lambda arguments: arguments[1] == operation_id)


# ---- the daemon ----

@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self):
        zipped = self.headers["Content-Encoding"] == "gzip"
        return gzip.decompress(self.body) if zipped else self.body

    @property
    def json(self):
        return json.loads(self.text)


def config_text(sections):
    """A configuration file; keys whose value is None are left out."""
    lines = []
    for section, keys in sections.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {value}" for key, value in keys.items() if value is not None]
    return "\n".join(lines) + "\n"


class Daemon:
    """One volume-daemon: its configuration, its store and, while it runs, its process."""

    def __init__(self, folder, bus, cloud, /, **changes):
        """`changes` are keys to configure besides or instead of ours: device={"wait": "1s"}."""
        self.folder, self.bus = folder, bus
        # The one of tests/system/crash reads from these files when to die, how many seconds its
        # wall clock is ahead, and which machine it runs on.
        self.program, self.crash_at = "volume-daemon", folder / "crash-at"
        self.wall_ahead, self.machine_id = folder / "wall-ahead", folder / "machine-id"
        self.starter = []  # a program, with arguments, that becomes this one
        self.passed = []  # listening sockets of the test's that it inherits, as from systemd
        self.store = new_store(folder)
        # Not below the test's folder, whose name is too long for that of a socket.
        self.run = tempfile.TemporaryDirectory(prefix="vold-")
        self.config = folder / "volume-daemon.conf"
        self.sections = {
            "cloud": {"url": cloud.url, "api_key_file": _key(folder / "api-key", cloud.api_key),
                      "secret_key_file": _key(folder / "secret-key", cloud.secret_key),
                      "timeout": "2s", "poll_min": "20ms", "poll_max": "200ms"},
            "appliance": {"vm_id": cloudsim.APPLIANCE_VM},
            "device": {"sysfs_root": folder / "disks", "dev_root": folder / "disks/dev",
                       "scan_interval": "50ms", "wait": "30s", "stable_names": "no"},
            "export": {"engine": "none", "listen": "127.0.0.1:0", "run_dir": self.run.name},
            "http": {"listen": "127.0.0.1:0"},
            "store": self.store.settings,
            "log": {"level": "debug"},
        }
        self.configure(**changes)
        self.process = self.log = self.url = self.port = self.holdings = None

    def configure(self, **changes):
        for section, keys in changes.items():
            self.sections.setdefault(section, {}).update(keys)
        self.config.write_text(config_text(self.sections))

    # -- its life

    def launch(self):
        """Start the process without waiting for anything."""
        descriptors = [held.fileno() for held in self.passed]
        self.process = subprocess.Popen(
            [*_renumber(descriptors), *self.starter, program(self.program), "--config", self.config],
            pass_fds=descriptors,
            env={**self.bus.environment, "VOLD_CRASH_AT": self.crash_at,
                 "VOLD_WALL_AHEAD": self.wall_ahead, "VOLD_MACHINE_ID": self.machine_id},
            stderr=subprocess.PIPE, text=True, errors="replace")
        self.log = Lines(self.process.stderr)
        self.holdings = None

    def start(self, wait_for_bus=True):
        """Start it and wait until it serves."""
        self.launch()
        line = self.log.wait(lambda line: "listening on" in line)
        self.url = line.split("listening on ")[1]
        self.port = int(self.url.rsplit(":", 1)[1])
        if wait_for_bus:
            self.log.wait(lambda line: "bus: connected" in line)
        self.holdings = self.held()
        return self

    def held(self):
        return Holdings(self.process.pid, self.run.name)

    def check_leaks(self):
        """Wait until the daemon holds no more than it needs."""
        leaks, store = [], self.sections["store"]["url"].removeprefix("sqlite://")

        def look():
            leaks[:] = self.held().leaks(self.holdings, self.port, store)
            return not leaks

        try:
            eventually(look, "what is not needed any more is let go", STOP_DEADLINE)
        except AssertionError as error:
            raise AssertionError(f"{error}: {leaks}\n{self.tail}") from None

    def stop(self, at_work=False):
        """SIGTERM, which must end it soon, cleanly and without a sanitizer's complaint. at_work: clients go on with
        their requests, so that it never holds as little as when it is idle."""
        if not self.process:
            return
        try:
            if self.holdings and not at_work and self.process.poll() is None:
                self.check_leaks()
        finally:
            self._terminate()

    def _terminate(self):
        process, self.process = self.process, None
        left = processes_of(process.pid, self.run.name)
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"runs on {STOP_DEADLINE} s after SIGTERM:\n{self.tail}") from None
        self.log.join()
        self.check_log()
        assert status == 0, f"ended with {status}:\n{self.tail}"
        left = [child for child in left if child.runs()]
        assert not left, f"left behind: {left}\n{self.tail}"

    def kill(self):
        """SIGKILL: no chance to do anything any more."""
        process, self.process = self.process, None
        process.kill()
        process.wait(DEADLINE)
        self.log.join()
        self.check_log()

    def dies(self):
        """Wait until it is killed, by whomever."""
        status = self.exits()
        assert status == -signal.SIGKILL, f"ended with {status}:\n{self.tail}"

    def exits(self):
        """Wait until it ends by itself; its exit status."""
        process, self.process = self.process, None
        status = process.wait(DEADLINE)
        self.log.join()
        self.check_log()
        return status

    def fails_to_start(self):
        """Start it, which must fail; its log."""
        self.launch()
        assert self.exits() == 1
        assert "listening on" not in self.text
        return self.text

    @property
    def text(self):
        return "\n".join(self.log.all())

    @property
    def tail(self):
        """The end of the log, for messages of failed assertions."""
        return "\n".join(self.log.all()[-40:])

    def check_log(self):
        assert not _SANITIZER.search(self.text), self.text

    # -- asking it

    def rest(self, method, path, body=None, headers=None):
        """One request on a connection of its own. A body that is no text or bytes goes as JSON."""
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE + 60)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        finally:
            connection.close()
        openapi.check_reply(method, path, answer.status, answer.headers, answer.text)
        return answer

    def get(self, path):
        """The body of an answer that must be 200."""
        answer = self.rest("GET", path)
        assert answer.status == 200, (path, answer.body)
        return answer.json

    def begin(self, method, path, body=None):
        """A change that must be accepted; the operation as it was then. As a client does, it tries
        again when it is told to: a busy machine makes store and cloud late."""
        until = time.monotonic() + DEADLINE
        while (answer := self.rest(method, path, body)).status == 503 and time.monotonic() < until:
            time.sleep(0.1)
        assert answer.status == 201, (path, answer.body)
        return answer.json

    def operation(self, id):
        return self.get(f"/api/v1/operations/{id}")

    def ended(self, operation, deadline=DEADLINE):
        """Wait, by long polls, until an operation has ended, and return it."""
        id = operation if isinstance(operation, str) else operation["id"]
        until = time.monotonic() + deadline
        while (record := self.get(f"/api/v1/operations/{id}?wait=10"))["status"] not in FINAL:
            assert time.monotonic() < until, f"it has not ended: {record}\n{self.tail}"
        return record

    def completed(self, operation):
        record = self.ended(operation)
        assert record["status"] == "completed", f"{record}\n{self.tail}"
        return record

    def failed(self, operation):
        record = self.ended(operation)
        assert record["status"] == "failed", f"{record}\n{self.tail}"
        return record

    # -- the changes, shortly

    def create(self, gib=1, name="data"):
        return self.begin("POST", "/api/v1/volumes", {
            "name": name, "size": gib * cloudsim.GIB, "disk_offering_id": cloudsim.OFFERING_CUSTOM,
            "zone_id": cloudsim.ZONE})

    def attach(self, volume, vm=cloudsim.APPLIANCE_VM):
        return self.begin("POST", f"/api/v1/volumes/{volume}/attach", {"vm_id": vm})

    def detach(self, volume, **options):
        return self.begin("POST", f"/api/v1/volumes/{volume}/detach", options or None)

    def resize(self, volume, gib, **options):
        return self.begin("POST", f"/api/v1/volumes/{volume}/resize",
                          {"size": gib * cloudsim.GIB, **options})

    def delete(self, volume):
        return self.begin("DELETE", f"/api/v1/volumes/{volume}")

    def health(self):
        return self.get("/api/v1/health")

    def wait_healthy(self):
        """Until it accepts changes, whatever else is not well."""
        eventually(lambda: self.health()["details"]["accepting_changes"], "changes are accepted")

    # -- the other programs

    def ctl(self, *arguments):
        """Run volumectl to its end."""
        done = subprocess.run([program("volumectl"), *map(str, arguments)],
                              env=self.bus.environment, text=True, capture_output=True,
                              timeout=DEADLINE, check=False)
        assert not _SANITIZER.search(done.stderr), done.stderr
        return done

    def ctl_json(self, *arguments):
        """The output of volumectl with --json; volumectl must succeed."""
        done = self.ctl(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def ctl_start(self, *arguments):
        """Run volumectl beside the test; a Running."""
        # As from a terminal: where the tests run in the background, a shell may have made them ignore SIGINT.
        return Running(["env", "--default-signal=INT", program("volumectl"), *map(str, arguments)],
                       self.bus.environment)


def _renumber(descriptors):
    """A shell that becomes a program to which these descriptors are the first after standard error, as systemd's are."""
    if not descriptors:
        return []
    assert min(descriptors) >= 3 + len(descriptors), "they would overwrite each other"
    moves = " ".join(f"{3 + place}<&{fd} {fd}<&-" for place, fd in enumerate(descriptors))
    return ["bash", "-c", f'exec {moves}; export LISTEN_PID=$$ LISTEN_FDS={len(descriptors)}; exec "$@"', "bash"]


def _key(path, key):
    path.write_text(key + "\n")
    path.chmod(0o600)
    return path


class Running:
    """A program that runs beside the test."""

    def __init__(self, command, environment):
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.out, self.err = Lines(self.process.stdout), Lines(self.process.stderr)

    def wait(self):
        """Its exit status."""
        status = self.process.wait(DEADLINE)
        self.out.join()
        self.err.join()
        return status

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.wait()


# ---- all together ----

class World:
    """A cloud whose disks show up in a folder like /sys/block, a bus, and a daemon between them."""

    def __init__(self, folder, /, watched=False, **changes):
        self.folder = folder
        self.cloud = cloudsim.CloudSim(plug=f"tree:{folder / 'disks'}", job_delay=0)
        self.bus = Bus(folder, watched)
        self.daemon = Daemon(folder, self.bus, self.cloud, **changes)
        self._clients = []

    def start(self):
        self.bus.start()
        self.daemon.start().wait_healthy()
        return self

    def close(self):
        try:
            self.daemon.stop()
        finally:
            for client in self._clients:
                client.close()
            self.cloud.close()
            self.daemon.run.cleanup()
            self.bus.stop()

    def monitor(self):
        return Monitor(self.bus)

    def watching(self, monitor, *options):
        """`volumectl watch`, which hears every signal from now on."""
        running = self.daemon.ctl_start("watch", *options)
        monitor.messages.wait(lambda m: m.member == "AddMatch" and "NameOwnerChanged" in m.arguments[0]
                              and NAME in m.arguments[0])
        return running

    # -- volumes

    def volume(self, gib=1, **row):
        """A volume that is already in the cloud; its id."""
        return self.cloud.put_volume(size=gib * cloudsim.GIB, **row)["id"]

    def rootless_vm(self, **row):
        """Another machine, stopped and without a root disk; its id."""
        vm = self.cloud.put_vm(name="rootless", state="Stopped", **row)["id"]
        self.cloud.detach_behind(self.cloud.world.root_volume(vm).id)
        return vm

    def on_test_vm(self, **row):
        """A volume that the daemon has attached to another machine, which runs; both ids."""
        volume, vm = self.volume(**row), self.cloud.put_vm(name="test", state="Running")["id"]
        path = f"/api/v1/volumes/{volume}/attach"
        self.daemon.completed(self.daemon.begin("POST", path, {"vm_id": vm}))
        return volume, vm

    def attached(self, gib=1):
        """A volume that the daemon has attached to the appliance; its id and its device's path."""
        volume = self.volume(gib)
        return volume, self.daemon.completed(self.daemon.attach(volume))["response"]["device_path"]

    def export_uri(self, volume):
        port = self.daemon.get(f"/api/v1/exports/{volume}")["port"]
        return f"nbd://127.0.0.1:{port}/migration-vol-{volume}"

    def connect(self, volume):
        """An NBD client of a volume, connected until the world ends."""
        self._clients.append(NBDClient(self.export_uri(volume)))
        return self._clients[-1]

    def path(self, name):
        """The daemon's path of a device the kernel would call so."""
        return str(self.folder / "disks/dev" / name)

    def serial_at(self, path):
        """The serial of the disk at a path. The tree stands for the kernel: this is the truth."""
        return (self.folder / "disks/block" / Path(path).name / "serial").read_text()

    def assert_is(self, path, volume):
        assert self.serial_at(path) == cloudsim.serial_of(volume), f"{path} is not volume {volume}"

    def data_volumes(self):
        """The cloud's volumes that are no machine's root."""
        return [v for v in self.cloud.state()["volumes"]
                if v["type"] == "DATADISK" and not v["removed"]]

    def await_jobs(self, command, count=1):
        """Wait until the cloud has made so many jobs of one kind; a request that came need not be
        one yet, and a restart loses only what is one."""
        self.cloud.wait_for(lambda sim: [job["command"] for job in sim.state()["jobs"]]
                            .count(command) >= count)

    def disks_of(self, volume):
        """The devices of a volume in the guest: none or one, if all is well."""
        return [d["name"] for d in self.cloud.state()["devices"] if d["key"] == volume]
