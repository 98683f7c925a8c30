# SPDX-License-Identifier: LGPL-2.1-or-later
"""A storm: clients at work while their daemon is killed, and CloudStack loses and delays, refuses and restarts.

Each part takes its chances from a generator of its own, which the seed begins: so a seed repeats the decisions, while
the threads meet as the machine has it.
"""

import os
import random
import threading
import time
from collections import Counter

import cloudsim
from support.py.harness import DEADLINE, eventually

from .clients import PATIENCE, BusClient, Completions, Ledger, Owner, RestClient
from .truth import Truth, operations_of

OWNERS = 8
LOGS_KEPT = 20
CONFIG = {"device": {"stable_names": "yes", "hold_seconds": "3600"}, "export": {"engine": "qemu-storage-daemon"},
          "reconcile": {"interval": "2s"}}

# The commands that an operation may have done once, its undo included.
CHANGES = {"create": ("createVolume", "destroyVolume"), "attach": ("attachVolume", "detachVolume"),
           "detach": ("detachVolume",), "resize": ("resizeVolume",), "delete": ("detachVolume", "destroyVolume")}
COMMANDS = ("createVolume", "updateVolume", "attachVolume", "detachVolume", "resizeVolume", "destroyVolume",
            "listVolumes", "listAsyncJobs", "queryAsyncJobResult", "*")
FAULTS = ({"do": "cut_before"}, {"do": "cut_after"}, {"do": "cut_within"}, {"do": "half"}, {"do": "empty"},
          {"do": "empty", "after": True}, {"do": "html", "code": 502}, {"do": "html", "code": 504, "after": True},
          {"do": "status", "code": 503}, {"do": "status", "code": 530}, {"do": "status", "code": 429},
          {"do": "slow", "seconds": 0.5}, {"do": "slow", "seconds": 3}, {"do": "late", "seconds": 1},
          {"do": "refuse_connect", "seconds": 0.3}, {"do": "job_delay", "seconds": 1},
          {"do": "plug_delay", "seconds": 0.5}, {"do": "job_pending", "polls": 3}, {"do": "job_fail", "code": 530},
          {"do": "job_fail", "bare": True})


def length():
    """Of a test, in seconds."""
    return float(os.environ.get("VOLD_STORM_SECONDS", "40"))


class Disturber(threading.Thread):
    """Does something bad again and again, until the storm is over; then what it does is put right."""

    PAUSE = (0.1, 1.0)      # seconds between

    def __init__(self, storm):
        super().__init__(name=type(self).__name__, daemon=True)
        self.storm, self.world, self.error = storm, storm.world, None
        self.rng = storm.generator(self.name)
        self.count = 0

    def run(self):
        try:
            while not self.await_turn():
                self.disturb()
                self.count += 1
            self.calm()
        except Exception as error:      # for the thread that waits for the storm's end
            self.error = error

    def await_turn(self):
        """Whether the storm is over instead."""
        return self.storm.over.wait(self.rng.uniform(*self.PAUSE))

    def disturb(self):
        raise NotImplementedError

    def calm(self):
        """Nothing by default."""


class Killer(Disturber):
    """kill -9, while the daemon works, and while it starts. Its clock are the requests that CloudStack meets, so that
    on each machine some work is done between two kills."""

    REQUESTS_MAX = 80
    WAIT = 5.0              # seconds at most: without CloudStack there are none
    PAUSE = (0, 0.05)       # to the moments between two requests

    def __init__(self, storm):
        super().__init__(storm)
        self.requests, self.met = 0, threading.Condition()
        self.world.cloud.interrupt = self._count

    def _count(self, moment, command):
        with self.met:
            self.requests += moment == "before"
            self.met.notify_all()
        return False

    def await_turn(self):
        with self.met:
            due = self.requests + self.rng.randint(0, self.REQUESTS_MAX)
            self.met.wait_for(lambda: self.requests >= due, self.WAIT)
        return super().await_turn()

    def disturb(self):
        daemon = self.world.daemon
        self._keep_log()
        daemon.kill()
        while self.rng.random() < 0.2:
            daemon.launch()
            time.sleep(self.rng.uniform(0, 0.1))
            daemon.kill()
            self.count += 1
        daemon.start()

    def _keep_log(self):
        folder = self.world.folder / "logs"
        folder.mkdir(exist_ok=True)
        (folder / str(self.count)).write_text(self.world.daemon.text)
        (folder / str(self.count - LOGS_KEPT)).unlink(missing_ok=True)


class CloudTrouble(Disturber):
    """Faults of requests, no server at all, and restarts of the server."""

    PAUSE = (0.1, 0.8)

    def disturb(self):
        cloud, chance = self.world.cloud, self.rng.random()
        if chance < 0.05:
            cloud.restart()
            repair_guest(self.world)
        elif chance < 0.1:
            cloud.down(self.rng.uniform(0.1, 1.5))
        else:
            cloud.set_faults([{**self.rng.choice(FAULTS), "command": self.rng.choice(COMMANDS),
                               "nth": self.rng.randint(1, 3), "times": self.rng.randint(1, 2)}
                              for _ in range(self.rng.randint(1, 3))])
        cloud.clear_requests()

    def calm(self):
        self.world.cloud.clear_faults()
        self.world.cloud.up()
        self.world.cloud.hurry()


def repair_guest(world):
    """A job that a restart has lost may have changed the guest alone. On real servers an administrator mends that.

    No job begins meanwhile: the disk of an attachment that came between the look and the repair would be taken away.
    """
    sim = world.cloud
    with sim.world.lock:
        busy = {job.volume_id for job in sim.world.jobs.values()
                if job.status == cloudsim.jobs.PENDING or not job.acted.is_set()}
        plugged = {disk.key for disk in sim.plug.disks()}
        for volume in sim.world.volumes.values():
            if volume.type != "DATADISK" or volume.removed or volume.id in busy:
                continue
            is_attached = volume.vm == cloudsim.APPLIANCE_VM
            if volume.id in plugged and not is_attached:
                sim.unplug_volume(volume.id)
            elif volume.id not in plugged and is_attached:
                sim.plug_volume(volume.id, volume.size)


class Storm:
    def __init__(self, world, seed, disturbers):
        self.world, self.seed = world, seed
        self.over = threading.Event()
        self.ledger = Ledger()
        world.cloud.set(max_data_volumes=100)
        self.completions = Completions(world.bus)
        self.owners = [Owner(f"owner{number}", self._surface(number), self.ledger, self.generator(number),
                             lambda: not self.over.is_set()) for number in range(OWNERS)]
        self.disturbers = [disturber(self) for disturber in disturbers]

    def generator(self, name):
        return random.Random(f"{self.seed}/{name}")

    def _surface(self, number):
        return BusClient(self.world, self.completions) if number % 2 else RestClient(self.world)

    def run(self, seconds):
        """To its end, when all operations have ended and nothing disturbs any more."""
        for thread in (*self.owners, *self.disturbers):
            thread.start()
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._error():
            time.sleep(0.1)
        self.over.set()
        for thread in (*self.disturbers, *self.owners):
            thread.join(PATIENCE + DEADLINE)
            assert not thread.is_alive(), f"{thread.name} does not end"
        if self._error():
            raise self._error()

    def _error(self):
        return next((thread.error for thread in (*self.owners, *self.disturbers) if thread.error), None)

    def check(self):
        """The truth, once it has come to rest; nothing is lost or done twice."""
        world = self.world
        world.daemon.wait_healthy()
        world.cloud.wait_idle()
        repair_guest(world)
        self._settle()
        self._check_operations()
        self._check_jobs()

    def _settle(self):
        truth, found = Truth(self.world), []

        def look():
            self.world.daemon.rest("POST", "/api/v1/admin/force-sync")
            found[:] = truth.differences()
            return not found

        try:
            eventually(look, "all agree")
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *found, self.world.daemon.tail])) from None

    def _check_operations(self):
        records, ledger = operations_of(self.world.daemon), self.ledger
        self.lost = ledger.accepted.keys() - records.keys()
        repairs = repairs_of(records, ledger.accepted)
        self.doubled = records.keys() - ledger.accepted.keys() - repairs
        assert not self.lost, f"accepted, and not there: {self.lost}"
        assert not self.doubled, f"nobody was told of: {[records[id] for id in self.doubled]}"
        changed = {id: (status, records[id]["status"]) for id, status in ledger.ended.items()
                   if records[id]["status"] != status}
        assert not changed, f"ended in one way, and then in another: {changed}"
        twice = {id: count for id, count in self.completions.counts.items() if count > 1}
        assert not twice, f"said to have ended more than once: {twice}"
        assert "completed" in ledger.ended.values(), f"nothing was done: {ledger.ended}"

    def _check_jobs(self):
        """CloudStack has done no more than there were operations that ask for it."""
        records = operations_of(self.world.daemon).values()
        wanted, done = Counter(), Counter()
        for record in records:
            wanted.update((command, record["volume_id"]) for command in CHANGES[record["type"]])
        for job in self.world.cloud.state()["jobs"]:
            if job["status"] == cloudsim.jobs.SUCCEEDED and job["command"] != "updateVolume":
                done[job["command"], job["volume"]] += 1
        assert done <= wanted, f"done more often than asked for: {done - wanted}"

    def clear(self):
        """Delete everything: nothing is left, of names, exports and disks either."""
        daemon = self.world.daemon
        for operation in [daemon.delete(v["id"]) for v in self.world.data_volumes() if v["state"] != "Destroy"]:
            daemon.completed(operation)
            self.ledger.accepted[operation["id"]] = "delete"
        self._settle()
        assert not [v for v in self.world.data_volumes() if v["state"] != "Destroy"]
        assert not os.listdir(self.world.folder / "disks/dev/maps")

    def figures(self, seconds):
        kinds, ends = Counter(self.ledger.accepted.values()), Counter(self.ledger.ended.values())
        disturbed = listed({disturber.name: disturber.count for disturber in self.disturbers})
        return (f"{seconds:.0f} s, seed {self.seed}: {disturbed}; {len(self.ledger.accepted)} operations "
                f"({listed(kinds)}; {listed(ends)}), {self.ledger.refused} refused, {self.ledger.repeated} repeated; "
                f"lost {len(self.lost)}, doubled {len(self.doubled)}")


def repairs_of(records, accepted):
    """The operations that the daemon itself began. Of those that put right the leftovers of a client's operation, one
    is enough."""
    repairs = {id: record["request"]["repairs"] for id, record in records.items()
               if record["caller"] == {"surface": "daemon"}}
    repaired = [origin for id, origin in repairs.items()
                if origin.startswith("op-") and records[id]["status"] == "completed"]
    assert accepted.keys() >= set(repaired), f"repairs of operations that nobody was told of: {repairs}"
    assert len(set(repaired)) == len(repaired), f"repaired more than once: {repaired}"
    return repairs.keys()


def listed(counts):
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
