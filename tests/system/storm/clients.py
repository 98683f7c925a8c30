# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients of a daemon that may die at any moment.

A client wants each of its changes made, once. It gives each a key of its own and repeats the request with this key
until it has an answer: the operation, or a refusal. What a client was told stands in its `Ledger`, which the truth is
compared with at the end.
"""

import http.client
import json
import re
import subprocess
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

import cloudsim
from support.py.harness import DEADLINE, FINAL, NAME, BusError

PATIENCE = 3 * DEADLINE # seconds; an operation lives through many lives of the daemon
REMEMBERED = 10         # requests that an owner may repeat
RETRY = 0.05            # seconds until a request without an answer is repeated
# Of an error that says the daemon did not take the request, or nobody knows.
COME_BACK = (429, 503, 504)
COME_BACK_WORDS = ("TooManyRequests", "ServiceUnavailable", "Timeout", None)


class Completions:
    """The signals OperationCompleted: how often each operation was said to have ended."""

    def __init__(self, bus):
        self._process = subprocess.Popen(
            ["busctl", f"--address={bus.address}", "--json=short", "monitor",
             "--match=type='signal',member='OperationCompleted'"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert "Monitoring" in self._process.stderr.readline()
        self.counts = {}
        self._told = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        with self._process.stdout as stream:
            for line in stream:
                id = json.loads(line)["payload"]["data"][1]
                with self._told:
                    self.counts[id] = self.counts.get(id, 0) + 1
                    self._told.notify_all()

    def wait(self, id, seconds):
        with self._told:
            return self._told.wait_for(lambda: id in self.counts, seconds)

    def close(self):
        self._process.terminate()
        self._process.wait(DEADLINE)
        self._process.stderr.close()
        self._thread.join(DEADLINE)


@dataclass
class Ledger:
    """What all clients were told."""

    accepted: dict = field(default_factory=dict)    # operation -> its kind
    ended: dict = field(default_factory=dict)       # operation -> (status, time of its end)
    refused: int = 0
    repeated: int = 0


class RestClient:
    """Asks over REST and waits by long polls."""

    def __init__(self, world):
        self.world, self.daemon = world, world.daemon

    def _ask(self, *request):
        """An answer; None if the daemon died, or is not there."""
        try:
            return self.daemon.rest(*request)
        except (OSError, http.client.HTTPException):
            return None

    def change(self, kind, volume, body, key):
        """The operation; None: asked again it may be accepted; False: it is refused."""
        verb, path = ("DELETE", "") if kind == "delete" else ("POST", f"/{kind}")
        path = "/api/v1/volumes" + (f"/{volume}{path}" if kind != "create" else "")
        answer = self._ask(verb, path, body or None, {"Idempotency-Key": key})
        if answer is None or answer.status in COME_BACK:
            return None
        assert answer.status != 500, f"{kind} of {volume}: {answer.body}"
        return answer.json["id"] if answer.status == 201 else False

    def cancel(self, id):
        """Try to."""
        self._ask("POST", f"/api/v1/operations/{id}/cancel")

    def status(self, id):
        """Of an operation, perhaps after a while; None: no answer."""
        answer = self._ask("GET", f"/api/v1/operations/{id}?wait=5")
        if answer is None or answer.status in COME_BACK:
            return None
        assert answer.status == 200, f"{id}, which was accepted: {answer.body}"
        return answer.json["status"]


class BusClient:
    """Calls methods and waits for the signal."""

    SIGNATURES = {"create": "ssts", "attach": "ss", "detach": "s", "resize": "st", "delete": "s"}

    def __init__(self, world, completions):
        self.world, self.bus, self.completions = world, world.bus, completions

    def change(self, kind, volume, body, key):
        arguments = [body[name] for name in ("name", "disk_offering_id", "size", "zone_id")] \
            if kind == "create" else [volume, *body.values()]
        try:
            path = self.bus.manager(f"{kind.title()}Volume", self.SIGNATURES[kind] + "a{sv}", *arguments, 1,
                                    "request_id", "s", key)
        except BusError as error:
            assert error.word != "InternalError", f"{kind} of {volume}: {error}"
            return None if error.word in COME_BACK_WORDS else False
        return re.sub("_([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), path.rpartition("/")[2])

    def cancel(self, id):
        with suppress(BusError):
            self.bus.manager("CancelOperation", "sa{sv}", id, 0)

    def status(self, id):
        self.completions.wait(id, 2)
        try:
            path = self.bus.manager("GetOperation", "s", id)
            return self.bus.properties(path, f"{NAME}.Operation")["Status"]
        except BusError as error:
            # Killed in between, the daemon has no object for an ended operation.
            assert error.word in COME_BACK_WORDS or error.name.endswith("UnknownObject"), \
                f"{id}, which was accepted: {error}"
            return None


class Owner(threading.Thread):
    """Somebody who owns one volume at a time, does with it what volumes are for, and looks at the truth."""

    def __init__(self, name, surface, ledger, rng, goes_on):
        super().__init__(name=name, daemon=True)
        self.surface, self.world, self.ledger, self.rng, self.goes_on = surface, surface.world, ledger, rng, goes_on
        self.volume = self.volume_name = None
        self.keys = 0
        self.accepted = deque(maxlen=REMEMBERED)    # requests and their operations
        self.error = None

    def run(self):
        try:
            while self.goes_on():
                self._turn()
        except Exception as error:      # for the thread that waits for the storm's end
            self.error = error

    def _row(self):
        return self.world.cloud.volume(self.volume) if self.volume else None

    def _turn(self):
        if self.accepted and self.rng.random() < 0.3:
            self._repeat()
        row = self._row()
        if not row or row["removed"] or row["state"] == "Destroy":
            self._create()
        elif row["vm"]:
            self._do(self.rng.choices(("detach", "reattach", "resize", "delete"), (5, 3, 2, 1))[0], row)
        else:
            self._do(self.rng.choices(("attach", "resize", "delete"), (7, 1, 2))[0], row)

    def _create(self):
        self.volume_name = f"{self.name}-{self.keys}"
        id = self._ask("create", {"name": self.volume_name, "size": cloudsim.GIB, "zone_id": cloudsim.ZONE,
                                  "disk_offering_id": cloudsim.OFFERING_CUSTOM})
        completed = id and self._await(id) == "completed"
        # A volume keeps its longer name if CloudStack refuses to rename it.
        names = {v["id"]: v["name"] for v in self.world.data_volumes()}
        named = [i for i, name in names.items() if name == self.volume_name or name == f"{self.volume_name}-{id}"]
        assert len(named) <= 1, f"{self.volume_name} was made more than once: {named}"
        if completed:
            assert named, f"{id} created {self.volume_name}, which is not there: {names}"
        self.volume = named[0] if named else None

    def _do(self, kind, row):
        vm = self.rng.choices((cloudsim.APPLIANCE_VM, cloudsim.OTHER_VM), (4, 1))[0]
        body = {"attach": {"vm_id": vm}, "resize": {"size": row["size"] + cloudsim.GIB}}.get(kind, {})
        if kind == "reattach":          # without a wait in between, as one of the existing clients does
            first, second = self._ask("detach", {}), self._ask("attach", {"vm_id": vm})
            ends = [self._await(id) for id in (first, second) if id]
            if ends == ["completed"] * 2:
                self._check("attach", {"vm_id": vm})
            return
        id = self._ask(kind, body)
        if id and self._await(id) == "completed":
            self._check(kind, body)

    def _ask(self, kind, body):
        """The operation, None when it is refused."""
        self.keys += 1
        request = kind, self.volume, body, f"{self.name}-{self.keys}"
        id = self._until_answered(*request)
        if not id:
            self.ledger.refused += 1
            return None
        self.ledger.accepted[id] = kind
        self.accepted.append((request, id))
        if self.rng.random() < 0.1:
            self.surface.cancel(id)
        return id

    def _repeat(self):
        """As a client does that was killed itself; the operation may have ended long ago."""
        request, id = self.rng.choice(self.accepted)
        again = self._until_answered(*request)
        assert again == id, f"{request} was {id} and is {again}"
        self.ledger.repeated += 1

    def _until_answered(self, kind, volume, body, key):
        until = time.monotonic() + PATIENCE
        while (id := self.surface.change(kind, volume, body, key)) is None:
            assert time.monotonic() < until, f"{key}: no answer for {PATIENCE} s"
            time.sleep(RETRY)
        return id

    def _await(self, id):
        until = time.monotonic() + PATIENCE
        while (status := self.surface.status(id)) not in FINAL:
            assert time.monotonic() < until, f"{id} has not ended for {PATIENCE} s: {status}"
            if status is None:
                time.sleep(RETRY)
        self.ledger.ended[id] = status
        return status

    def _check(self, kind, body):
        """An operation says that it is completed: it is."""
        row, where = self._row(), f"{kind} of {self.volume}, which is completed"
        if kind == "delete":
            assert row["removed"] or row["state"] == "Destroy", (where, row)
        elif kind == "resize":
            assert row["size"] == body["size"], (where, row)
        else:
            assert row["vm"] == body.get("vm_id"), (where, row)
        disks = [] if row["removed"] else self.world.disks_of(self.volume)
        if len(disks) != (row["vm"] == cloudsim.APPLIANCE_VM):
            jobs = [job for job in self.world.cloud.state()["jobs"] if job["volume"] == self.volume]
            raise AssertionError((where, row, disks, jobs))
        for disk in disks:
            self.world.assert_is(self.world.path(disk), self.volume)
