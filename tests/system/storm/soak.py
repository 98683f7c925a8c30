"""A soak: the same clients under the same trouble with CloudStack, beside questions of all kinds, disks of other
programs that come and go, and restarts of the database, while the daemon runs on. What it holds must not grow.
"""

import time

import cloudsim
from support.py.stores import KIND, server

from .storm import CloudTrouble, Disturber

GROWTH_MAX = 32         # MiB of its own memory, from the first third of the time to the end

QUESTIONS = ("/health", "/volumes?limit=50", "/volumes?refresh=true", "/volumes/{volume}", "/volumes/{volume}/device",
             "/vms/{vm}/volumes", "/mappings", "/devices", "/devices/vda/volume", "/exports", "/exports/{volume}",
             "/exports/orphaned/count", "/offerings", "/zones?limit=1", "/vms?limit=50", "/volumes/{volume}/users", "/volumes/{volume}/snapshots", "/operations?limit=20", "/operations?status=failed", "/operations/{operation}",
             "/operations/{operation}?wait=1")
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


DISTURBERS = (CloudTrouble, Questions, DeviceChurn, StoreTrouble, Memory)
