# SPDX-License-Identifier: LGPL-2.1-or-later
"""The simulator as a whole: one object that tests start, steer and close.

Everything a test may do to the cloud behind its API is a method of `CloudSim`; the control API
over HTTP calls the same methods with the same arguments. Each runs under the world's lock unless
it touches the guest, which may block.
"""

import logging
import threading
import time
from dataclasses import asdict, fields

from . import ids
from .client import Client
from .commands import Api
from .faults import FaultScript
from .jobs import PENDING, JobRunner
from .plug import Disk, Plug, PlugError, make_plug
from .server import API_PATH, Listener, router
from .settings import Settings
from .versions import VERSIONS
from .world import VOLUME_STATES, World, serial_of

log = logging.getLogger("cloudsim")


class CloudSim:
    def __init__(self, port=0, plug="none", *, api_key=ids.API_KEY, secret_key=ids.SECRET_KEY,
                 appliance=ids.APPLIANCE_VM, zone=ids.ZONE, seed=0, faults=(), **settings):
        """Start a cloud on 127.0.0.1. `plug` is a specification as on the command line or a Plug;
        further keyword arguments are those of Settings."""
        self.settings = Settings()
        self.world = World(self.settings, seed, zone, appliance, api_key, secret_key)
        self.faults = FaultScript()
        self.jobs = JobRunner(self)
        self.api = Api(self)
        # Called with "before" or "after" the effect and a request's command; True cuts it off.
        self.interrupt = lambda moment, command: False
        self._slots = {}    # of the plugged volumes; the rows may say otherwise
        self._requests = []
        self._closing = threading.Event()
        self._behind = 0
        self._hurried = 0
        self.set(**settings)
        self.set_faults(list(faults))
        self.plug = plug if isinstance(plug, Plug) else make_plug(plug)
        root = self.world.root_volume(appliance)
        self.plug.open(Disk(root.id, serial_of(root.id), root.size, "virtio"))
        try:
            self._listener = Listener(port, router(self), self.settings)
        except OSError:
            self.plug.close()
            raise
        self.port = self._listener.port

    @property
    def base_url(self):
        return f"http{'s' if self.settings.certificate else ''}://127.0.0.1:{self.port}"

    @property
    def url(self):
        return self.base_url + API_PATH

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Stop listening, end all jobs as they are, unplug everything."""
        self._closing.set()
        self._listener.close()
        self.jobs.close()
        self.plug.close()

    def client(self, account="admin"):
        """A client with the keys of an account."""
        with self.world.lock:
            account = self.world.account_named(account)
        return Client(self.url, account.api_key, account.secret_key)

    # The administrator's keys, which a test may change under the daemon.

    @property
    def api_key(self):
        return self.world.admin.api_key

    @api_key.setter
    def api_key(self, key):
        self.world.admin.api_key = key

    @property
    def secret_key(self):
        return self.world.admin.secret_key

    @secret_key.setter
    def secret_key(self, key):
        self.world.admin.secret_key = key

    @property
    def version(self):
        return VERSIONS[self.settings.version]

    # -- looking

    def state(self):
        with self.world.lock:
            world = self.world
            state = {
                "settings": asdict(self.settings),
                "zones": [asdict(z) for z in world.zones.values()],
                "offerings": [asdict(o) for o in world.offerings.values()],
                "accounts": [{k: v for k, v in asdict(a).items() if k != "secret_key"}
                             for a in world.accounts.values()],
                "vms": [asdict(m) for m in world.machines.values()],
                "volumes": [asdict(v) for v in world.volumes.values()],
                "snapshots": [asdict(s) for s in world.snapshots.values()],
                "tags": [asdict(t) for t in world.tags],
                "jobs": [{"jobid": j.id, "command": j.command, "volume": j.volume_id,
                          "status": j.status, "code": j.code, "result": j.result}
                         for j in world.jobs.values()],
                "faults": self.faults.rows(),
            }
        return state | {"devices": [disk.row() for disk in self.plug.disks()]}

    def volume(self, id):
        """A volume's row in the database, also when it is removed."""
        with self.world.lock:
            return asdict(self.world.volumes[id])

    def wait_for(self, predicate, timeout=180.0):
        """Wait until `predicate(sim)`, which runs under the lock, returns something true, and
        return that. Raises TimeoutError."""
        with self.world.lock:
            found = self.world.wait_for(lambda: predicate(self), timeout)
        if not found:
            raise TimeoutError("the cloud did not come to the state waited for")
        return found

    def wait_idle(self, timeout=180.0):
        """Wait until no job runs any more and no late change in the guest is due."""
        self.wait_for(lambda sim: all(job.status != PENDING and job.acted.is_set()
                                      for job in sim.world.jobs.values()), timeout)

    def wait_request(self, command, count=1, timeout=180.0):
        """Wait until `command` has come `count` times since the record was last cleared, and
        return those requests."""
        def enough(_):
            found = [r for r in self._requests if r["command"] == command]
            return found if len(found) >= count else None

        return self.wait_for(enough, timeout)

    # -- the record of requests

    def requests(self):
        with self.world.lock:
            return [dict(r) for r in self._requests]

    def clear_requests(self):
        with self.world.lock:
            self._requests.clear()

    def record(self, method, command, params, faults):
        entry = {"time": time.time(), "method": method, "command": command,
                 "params": {k: v for k, v in params.items()
                            if k not in ("command", "response", "apikey", "signature")},
                 "faults": [rule.do for rule in faults.values()], "outcome": None}
        with self.world.lock:
            self._requests.append(entry)
            self.world.notify()
        return entry

    def record_outcome(self, entry, reply):
        """`reply` None is a connection cut without an answer."""
        with self.world.lock:
            entry["outcome"] = reply.status if reply else "cut"
            self.world.notify()
        log.info("%s %s %s -> %s", entry["method"], entry["command"], entry["params"],
                 entry["outcome"])
        if reply and reply.description:
            log.info("  %s", reply.description)

    # -- steering

    def set(self, **settings):
        """Change settings (settings.py); jobs already submitted keep their timing."""
        with self.world.lock:
            self.settings.set(**settings)

    def set_faults(self, rules, append=False):
        self.faults.load(rules, append)

    def clear_faults(self):
        self.faults.load([], append=False)

    def restart(self, effects=False):
        """The management server restarts and loses its pending jobs. With `effects` what they
        had begun happens in the guest all the same."""
        self.jobs.restart(effects)

    def down(self, seconds=None):
        """Refuse connections, for so many seconds or until up()."""
        self._listener.down()
        if seconds is not None:
            threading.Thread(target=self._up_again, args=(seconds,), name="up",
                             daemon=True).start()

    def up(self):
        self._listener.up()

    def _up_again(self, seconds):
        if not self.pause(seconds):
            self.up()

    def later(self, seconds, entry, execute):
        """Hold a request back whose connection is cut: execute it after so many seconds. What came
        of it stands in the record as `late`."""
        hurried = self._hurried

        def wait_and_execute():
            with self.world.lock:
                self.world.wait_for(
                    lambda: self._closing.is_set() or self._hurried != hurried, seconds)
            if not self._closing.is_set():
                outcome = execute().status
                with self.world.lock:
                    entry["late"] = outcome
                    self.world.notify()

        threading.Thread(target=wait_and_execute, name="late", daemon=True).start()

    def pause(self, seconds):
        """Sleep, unless the simulator closes. True if it does."""
        return self._closing.wait(seconds)

    # -- the guest, behind the daemon's back

    def hurry(self):
        """End the delays of all jobs and late requests there are, and those of the jobs' changes in
        the guest, too."""
        self._hurried += 1
        self.jobs.hurry()

    def plug_disk(self, size, serial=None, bus=None, name=None):
        """Plug a disk no volume stands for. Returns it; its `key` is for unplug_disk()."""
        self._behind += 1
        return self.plug.plug(Disk(f"behind-{self._behind}", serial, size,
                                   bus or self.settings.bus, name)).row()

    def unplug_disk(self, key=None, name=None):
        """Unplug by key (a volume's id, or what plug_disk() said) or by device name."""
        key = key or next((d.key for d in self.plug.disks() if d.name == name), None)
        if key is None:
            raise ValueError(f"nothing is plugged as {name}")
        self.plug.unplug(key)
        if key not in self.world.volumes:
            self.plug.forget(key)

    def plug_volume(self, id, size, slot=None):
        """In the slot of its row, if it is not said."""
        bus = self.settings.bus
        slot = self.world.volumes[id].deviceid if slot is None else slot
        if self.settings.slots_of_guest:
            self._check_slot(id, slot)
        self.plug.plug(Disk(id, None if bus == "none" else serial_of(id), size, bus))
        self._slots.setdefault(id, slot)

    def _check_slot(self, id, slot):
        holder = next((key for key, used in self._slots.items() if used == slot), None)
        if holder:
            raise PlugError(f"org.libvirt.LibvirtException: XML error: target 'vd{chr(97 + slot)}' "
                            f"duplicated for disk sources '/mnt/{holder}' and '/mnt/{id}'")
        if id in self._slots:
            raise PlugError("org.libvirt.LibvirtException: internal error: unable to execute QEMU "
                            "command 'blockdev-add': Failed to get \"write\" lock")

    def unplug_volume(self, id):
        self.plug.unplug(id)
        self._slots.pop(id, None)

    def resize_plugged(self, id, size):
        self.plug.resize(id, size)

    # -- the database, behind the daemon's back

    def put_volume(self, **row):
        """Make a volume row, or change the one with that `id`. Nothing happens in the guest."""
        with self.world.lock:
            if row.get("state", "Ready") not in VOLUME_STATES:
                raise ValueError(f"no volume state {row['state']}")
            row = self._owned(row)
            volume = self.world.volumes.get(row.get("id"))
            if volume:
                self._change(volume, row)
            else:
                zone = next(iter(self.world.zones))
                volume = self.world.add_volume(**{
                    "name": "behind", "zone": zone, "offering": ids.OFFERING_CUSTOM,
                    "size": ids.GIB, "state": "Ready", **row})
            if volume.vm and volume.attached is None:
                volume.attached = self.world.now()
            return asdict(volume)

    def put_snapshot(self, volume, name="before"):
        """Make a snapshot of a volume; its row."""
        with self.world.lock:
            snapshot = self.world.add_snapshot(self.world.volumes[volume], name)
            snapshot.state = "BackedUp"
            self.plug.copy(volume, snapshot.id)
            return asdict(snapshot)

    def put_vm(self, id=None, **row):
        """Make a machine, with its root volume, or change the one with that `id`."""
        with self.world.lock:
            row = self._owned(row)
            machine = self.world.machines.get(id)
            if machine:
                self._change(machine, row)
            else:
                machine = self.world.add_machine(**{
                    "id": id or self.world.new_uuid(), "name": "behind",
                    "zone": next(iter(self.world.zones)), **row})
            return asdict(machine)

    def put_account(self, name, **row):
        """Make an account with keys of its own, or change the one of that name: its domain, its
        role (`admin`, `forbidden` commands) and its limits (`limit_gib`, `limit_volumes`,
        `limit_snapshots`)."""
        with self.world.lock:
            account = self.world.account_named(name)
            if account:
                if "domain" in row:
                    row["domain"] = self.world.domain(row["domain"])
                self._change(account, row)
            else:
                account = self.world.add_account(name, **{
                    "api_key": f"api-{name}", "secret_key": f"secret-{name}", **row})
            return asdict(account)

    def put_project(self, name, members=(), **row):
        """Make a project, whose members are accounts by name. Returns it; as an owner it is known
        by its name, to `projectid` by its `project`."""
        with self.world.lock:
            return asdict(self.world.add_account(name, **{
                "project": self.world.new_uuid(), "members": list(members), **row}))

    def _owned(self, row):
        """Owners are named by their names."""
        if "owner" not in row:
            return row
        account = self.world.account_named(row["owner"])
        if account is None:
            raise ValueError(f"no account {row['owner']}")
        return {**row, "owner": account.id}

    def _change(self, entity, row):
        known = {f.name for f in fields(entity)}
        if row.keys() - known:
            raise ValueError(f"no fields {sorted(row.keys() - known)}")
        for name, value in row.items():
            setattr(entity, name, value)
        self.world.notify()

    def attach_behind(self, volume, vm=None, deviceid=None, row=True, guest=True):
        """Somebody else attaches a volume: in the database, in the guest, or both."""
        with self.world.lock:
            v = self.world.volumes[volume]
            vm = vm or self.world.appliance
            if row:
                used = {other.deviceid for other in self.world.attached_to(vm)} | {3}
                v.vm, v.state, v.attached = vm, "Ready", self.world.now()
                v.path = v.path or v.name
                v.deviceid = deviceid or next(d for d in range(1, 1000) if d not in used)
            size = v.size
            self.world.notify()
        if guest and vm == self.world.appliance:
            self.plug_volume(volume, size)

    def detach_behind(self, volume, row=True, guest=True):
        with self.world.lock:
            v = self.world.volumes[volume]
            if row:
                v.vm = v.deviceid = v.attached = None
            self.world.notify()
        if guest:
            self.unplug_volume(volume)
