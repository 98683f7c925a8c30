# SPDX-License-Identifier: LGPL-2.1-or-later
"""How many requests for a change are accepted. A request is answered once it is in the store, so what an accept costs
is measured beside programs that insert the same rows and do nothing else, on the same store in turns.
"""

import re
import subprocess

from cloudsim import ids
from cloudsim.sim import CloudSim
from rig import HERE, BenchError, program, serving
from stores import kinds
from table import paired, ratio_at_least

CLIENTS = (1, 16, 64)
VOLUMES = 64


def measure(bench):
    with kinds(bench.run, "SQLite", "MariaDB", "Galera") as stores:
        for name, new in stores:
            pairs = {count: [] for count in CLIENTS}
            for _ in range(bench.rounds):
                measure_round(bench, new(), pairs)
            for count, rates in pairs.items():
                yield paired(f"durable accepts, {name}, {count} clients", rates, "a second", aim=ratio_at_least(0.6),
                             how=f"median of {bench.rounds} pairs of {bench.seconds} s")


def measure_round(bench, store, pairs):
    with CloudSim(0, "none", job_delay=3600) as sim:
        volumes = [sim.put_volume(name=f"bench-{index}", size=ids.GIB)["id"] for index in range(VOLUMES)]
        with serving(bench.build, bench.run, sim, bench.disks, poll="5s", store=store.settings) as daemon:
            for volume in volumes:
                daemon.ask("POST", f"/api/v1/volumes/{volume}/attach", {"vm_id": ids.OTHER_VM})
            ours = {count: accepts(daemon, volumes, count, bench.seconds) for count in pairs}
    for count, rate in ours.items():
        pairs[count].append((rate, inserts(bench.build, store, count, bench.seconds)))


def accepts(daemon, volumes, clients, seconds):
    """Answered attachments a second. Each queues up behind one that CloudStack does not end."""
    done = subprocess.run(
        ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "-s", str(HERE / "attach.lua"), daemon.url,
         "--", ids.OTHER_VM, *volumes], capture_output=True, text=True, check=True)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise BenchError(f"wrk:\n{done.stdout}")
    return float(re.search(r"Requests/sec:\s*([\d.]+)", done.stdout)[1])


def inserts(build, store, clients, seconds):
    """The same rows, by a program that has nothing else to do."""
    done = subprocess.run([program(build, "tests/bench/bench_store"), str(clients), str(seconds),
                           *store.arguments], capture_output=True, text=True)
    if done.returncode:
        raise BenchError(done.stderr)
    return float(done.stdout.split()[0])
