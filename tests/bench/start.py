# SPDX-License-Identifier: LGPL-2.1-or-later
"""A start that finds much in its store: from exec to READY."""

import contextlib
import json
import os
import socket
import sqlite3
import statistics
import time
import uuid

from cloudsim import ids
from cloudsim.sim import CloudSim
from rig import PATIENCE, await_line, configure, memory, program, running, serving
from table import Figure, at_most, growth

SIZES = (100, 1000, 10000)
EMPTY_MS, FULL_MS = 50, 300


def measure(bench):
    """Stores with so many unfinished attaches and as many mappings, grown from one of each that the daemon has
    written itself."""
    times = {}
    for count in (0, *bench.sizes(*SIZES)):
        fill_store(bench, count)
        with CloudSim(0, "none") as sim:
            config = configure(bench.run, sim, bench.disks, poll="500ms")
            bus, log = f"unix:path={bench.run}/bus", bench.run / "dbus.log"
            with running(["dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address={bus}",
                          "--print-address"], log) as process:
                await_line(process, log, "unix:")
                for state, change in (("down", sim.down), ("up", sim.up)):
                    change()
                    taken = [await_ready(bench, config, bus) for _ in range(bench.rounds)]
                    middle = times[count] = statistics.median(ms for ms, _ in taken)
                    yield Figure(f"start to ready, {count:,} mappings and as many unfinished, CloudStack {state}",
                                 middle, "ms", aim=at_most(FULL_MS if count else EMPTY_MS),
                                 how=f"median of {bench.rounds}; {max(mib for _, mib in taken):.1f} MiB resident then")
    del times[0]
    if len(times) > 1:
        yield growth("start to ready", times)


def fill_store(bench, count):
    with CloudSim(0, "none") as sim:
        mapped, pending = (sim.put_volume(name=name, size=ids.GIB)["id"] for name in "mp")
        with serving(bench.build, bench.run, sim, bench.disks) as daemon:
            if not count:
                return
            daemon.finish(daemon.ask("POST", f"/api/v1/volumes/{mapped}/attach",
                                     {"vm_id": ids.OTHER_VM})["id"])
            sim.set(job_delay=3600)
            operation = daemon.ask("POST", f"/api/v1/volumes/{pending}/attach",
                                   {"vm_id": ids.OTHER_VM})["id"]
            daemon.await_step(operation, "await-job")
            daemon.process.kill()
            daemon.process.wait()
    with contextlib.closing(sqlite3.connect(bench.run / "bench.db")) as database, database:
        database.execute("DELETE FROM volume_operations WHERE id <> ?", [operation])

        def another_operation(row, index):
            volume, job = str(uuid.uuid4()), str(uuid.uuid4())
            old = json.loads(row["context"])["job_id"]
            return {"id": row["id"][:-8] + f"{index:08x}", "volume_id": volume,
                    "context": row["context"].replace(old, job),
                    "request": row["request"] and row["request"].replace(pending, volume)}

        def another_mapping(row, index):
            volume = str(uuid.uuid4())
            return {"id": row["id"][:-8] + f"{index:08x}", "volume_id": volume,
                    "volume_uuid": volume, "device_path": f"{row['device_path']}-{index}"}

        multiply(database, "volume_operations", count - 1, another_operation)
        multiply(database, "device_mappings", count - 1, another_mapping)


def multiply(database, table, count, change):
    """Copies of a table's only row; `change` gives each its own values."""
    database.row_factory = sqlite3.Row
    row, = database.execute(f"SELECT * FROM {table}").fetchall()
    for index in range(count):
        copy = dict(row) | change(dict(row), index)
        database.execute(f"INSERT INTO {table} ({', '.join(copy)}) "
                         f"VALUES ({', '.join('?' * len(copy))})", list(copy.values()))


def await_ready(bench, config, bus):
    """Start the daemon on the store as it is: (milliseconds until it says READY, MiB resident then)."""
    address = bench.run / "notify"
    address.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(address))
        notify.settimeout(PATIENCE)
        begin = time.monotonic()
        with running([program(bench.build, "src/daemon/volume-daemon"), "--config", str(config)],
                     bench.run / "daemon.log",
                     env=os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": bus,
                                       "NOTIFY_SOCKET": str(address)}) as process:
            while b"READY=1" not in notify.recv(4096):
                pass
            taken = time.monotonic() - begin
            resident = memory(process.pid).resident
            process.kill()
    return taken * 1000, resident
