# SPDX-License-Identifier: LGPL-2.1-or-later
"""A soak: the same clients under the same trouble with CloudStack, beside questions of all kinds, clients who listen and
leave, an administrator, disks of other programs that come and go, and restarts of the database, while the daemon runs
on. What it holds must not grow, and at the end nothing is left that no client needs.
"""

import time

import cloudsim
from support.py import metrics_text
from support.py.crowd import Client
from support.py.harness import eventually
from support.py.stores import KIND, server

from .storm import CloudTrouble, Disturber

GROWTH_MAX = 32         # MiB of its own memory, from the first third of the time to the end

QUESTIONS = ("/health", "/volumes?limit=50", "/volumes?refresh=true", "/volumes/{volume}", "/volumes/{volume}/device",
             "/vms/{vm}/volumes", "/mappings", "/devices", "/devices/vda/volume", "/exports", "/exports/{volume}",
             "/exports/orphaned/count", "/offerings", "/zones?limit=1", "/vms?limit=50", "/volumes/{volume}/users", "/volumes/{volume}/snapshots", "/operations?limit=20", "/operations?status=failed", "/operations/{operation}",
             "/operations/{operation}?wait=1")
# With answers of their own: who notes a snapshot, an administrator.
NOTED_FOR = "soak"
TOKENS = ("first", "second")
CARE = (("/exports/validate", None), ("/exports/cleanup", {"dry_run": True}), ("/admin/force-sync", {"dry_run": True}))


class Questions(Disturber):
    """Everything that can be asked without a change. An answer may be a refusal, but not a fault of the daemon."""

    PAUSE = (0, 0.1)

    def disturb(self):
        ledger, volumes = self.storm.ledger, self.world.data_volumes()
        names = {"vm": cloudsim.APPLIANCE_VM, "volume": self.rng.choice(volumes)["id"] if volumes else cloudsim.ZONE,
                 "operation": self.rng.choice([*ledger.accepted] or ["op-none"])}
        if self.rng.random() < 0.1:
            path, body = self.rng.choice(CARE)
            answer = self.world.daemon.rest("POST", "/api/v1" + path, body)
        else:
            answer = self.world.daemon.rest("GET", "/api/v1" + self.rng.choice(QUESTIONS).format(**names))
        assert answer.status != 500, answer.body


class Listeners(Disturber):
    """Clients of event streams and long polls, who leave in all ways, in the middle too."""

    PATHS = ("/events", "/operations/{operation}?wait=30", "/volumes?limit=100")
    MOST = 20

    def __init__(self, storm):
        super().__init__(storm)
        self.clients = []

    def disturb(self):
        if len(self.clients) == self.MOST or (self.clients and self.rng.random() < 0.4):
            client = self.clients.pop(self.rng.randrange(len(self.clients)))
            self.rng.choice((client.close, client.reset, client.half_close))()
            client.close()
            return
        operation = self.rng.choice([*self.storm.ledger.accepted] or ["op-none"])
        self.clients.append(Client(self.world.daemon).get(
            "/api/v1" + self.rng.choice(self.PATHS).format(operation=operation)))

    def calm(self):
        for client in self.clients:
            client.close()


class Administrator(Disturber):
    """Pauses changes and lets them go on, reloads the configuration, makes and revokes tokens, asks for plans, and notes
    snapshots."""

    PAUSE = (0.2, 2)

    def disturb(self):
        volume = self.rng.choice(self.world.data_volumes() or [{"id": cloudsim.ZONE}])["id"]
        self.rng.choice((self._pause, self._reload, self._tokens, self._plan, self._note))(volume)

    def _ask(self, verb, path, body=None):
        """An answer may be a refusal."""
        answer = self.world.daemon.rest(verb, "/api/v1" + path, body)
        assert answer.status != 500, answer.body
        return answer

    def _pause(self, volume):
        self._ask("POST", "/admin/pause", {"reason": "soak"})
        self._ask("GET", "/health")
        self._resume()

    def _resume(self):
        """Until it is heard: a store that is away makes the daemon refuse."""
        eventually(lambda: self._ask("POST", "/admin/resume", {"reason": "soak"}).status < 300, "changes go on")

    def _reload(self, volume):
        self._ask("POST", "/admin/reload")

    def _tokens(self, volume):
        name = self.rng.choice(TOKENS)
        if self._ask("POST", "/tokens", {"name": name, "scope": "read"}).status >= 300:
            self._ask("DELETE", f"/tokens/{name}")
        self._ask("GET", "/tokens")

    def _plan(self, volume):
        self._ask("POST", f"/volumes/{volume}/attach", {"vm_id": cloudsim.APPLIANCE_VM, "dry_run": True})

    def _note(self, volume):
        self._ask("POST", "/snapshots/track", {"volume_uuid": volume, "vm_context_id": NOTED_FOR,
                                               "snapshot_id": cloudsim.ZONE})
        self._ask("PUT", f"/snapshots/{volume}", {"snapshot_status": "old"})
        self._ask("GET", f"/snapshots/vm/{NOTED_FOR}")

    def calm(self):
        self._resume()
        for name in TOKENS:
            eventually(lambda: self._ask("DELETE", f"/tokens/{name}").status in (200, 204, 404), "a token is revoked")
        eventually(lambda: self._ask("DELETE", f"/snapshots/vm/{NOTED_FOR}").status < 300, "snapshots are forgotten")


class DeviceChurn(Disturber):
    """Disks that no volume stands for."""

    def __init__(self, storm):
        super().__init__(storm)
        self.disks = []

    def disturb(self):
        if self.disks and self.rng.random() < 0.5 or len(self.disks) == 8:
            self.world.cloud.unplug_disk(key=self.disks.pop(self.rng.randrange(len(self.disks))))
        else:
            disk = self.world.cloud.plug_disk(self.rng.randint(1, 8) * cloudsim.GIB, f"foreign {self.count}")
            self.disks.append(disk["key"])

    def calm(self):
        for key in self.disks:
            self.world.cloud.unplug_disk(key=key)


class StoreTrouble(Disturber):
    """The database is killed and comes back; SQLite has nobody to kill."""

    PAUSE = (5, 20)

    def disturb(self):
        if KIND != "mariadb":
            return
        server().kill()
        time.sleep(self.rng.uniform(0, 2))
        server().start()


class Memory(Disturber):
    """Disturbs nobody: it notes the memory that the daemon has for itself."""

    PAUSE = (1, 1)

    def __init__(self, storm):
        super().__init__(storm)
        self.samples = []

    def disturb(self):
        with open(f"/proc/{self.world.daemon.process.pid}/status", encoding="ascii") as status:
            lines = dict(line.split(":", 1) for line in status)
        self.samples.append(int(lines["RssAnon"].split()[0]) / 1024)

    @property
    def growth(self):
        """MiB, of the mean of the last tenth over that of the tenth behind the first third."""
        tenth = max(1, len(self.samples) // 10)
        early, late = self.samples[len(self.samples) // 3:][:tenth], self.samples[-tenth:]
        return sum(late) / len(late) - sum(early) / len(early)


DISTURBERS = (CloudTrouble, Questions, Listeners, Administrator, DeviceChurn, StoreTrouble, Memory)


# -- nothing too many

TIMERS_MORE = 10    # than at the start: of connections that are kept, to CloudStack and the database, and of retries

# What tells of volumes, exports, names, snapshots and tokens that are gone; and of operations that never were.
LEFT = ("SELECT id FROM device_mappings", "SELECT id FROM nbd_exports", "SELECT id FROM device_names",
        "SELECT id FROM tracked_snapshots", "SELECT id FROM volume_daemon_tokens",
        "SELECT h.id FROM volume_operation_history h LEFT JOIN volume_operations o ON o.id = h.operation_id "
        "WHERE o.id IS NULL")


def timers(world):
    return metrics_text.read(world.daemon.rest("GET", "/metrics").body.decode())["volumed_loop_timers", ()]


def rows_left(world):
    """The rows that should be gone, once the daemon has ended."""
    return {sql: rows for sql in LEFT if (rows := world.daemon.store.rows(sql))}
