# SPDX-License-Identifier: LGPL-2.1-or-later
"""How many requests for a change are accepted. A request is answered once it is in the store, so what an accept costs
is measured beside programs that insert the same rows and do nothing else, on the same store in turns. Commits of
operations that run meanwhile are no accepts, and have a column of their own.
"""

import re
import statistics
import subprocess

from cloudsim import ids
from cloudsim.sim import CloudSim
from rig import HERE, BenchError, metric, program, serving
from stores import kinds
from table import paired, ratio_at_least

CLIENTS = (1, 16, 64)
VOLUMES = 64
CHANGES = "volumed_store_batch_size_sum"    # that are in the store


def measure(bench):
    with kinds(bench.run, "SQLite", "MariaDB", "Galera") as stores:
        for name, new in stores:
            pairs, others = ({count: [] for count in CLIENTS} for _ in range(2))
            for _ in range(bench.rounds):
                measure_round(bench, new(), pairs, others)
            for count, rates in pairs.items():
                yield paired(f"durable accepts, {name}, {count} clients", rates, "a second", aim=ratio_at_least(0.6),
                             beside=f"{statistics.median(others[count]):.1f} commits a second of running operations",
                             how=f"median of {bench.rounds} pairs of {bench.seconds} s")


def measure_round(bench, store, pairs, others):
    with CloudSim(0, "none", job_delay=3600) as sim:
        volumes = [sim.put_volume(name=f"bench-{index}", size=ids.GIB)["id"] for index in range(VOLUMES)]
        with serving(bench.build, bench.run, sim, bench.disks, poll="5s", store=store.settings) as daemon:
            for volume in volumes:
                daemon.ask("POST", f"/api/v1/volumes/{volume}/attach", {"vm_id": ids.OTHER_VM})
            ours = {count: accepts(daemon, volumes, count, bench.seconds) for count in pairs}
    for count, (rate, other) in ours.items():
        pairs[count].append((rate, inserts(bench.build, store, count, bench.seconds)))
        others[count].append(other)


def accepts(daemon, volumes, clients, seconds):
    """Answered attachments a second, and other changes that were committed. Each attachment queues up behind one that
    CloudStack does not end."""
    before = metric(daemon, CHANGES)
    done = subprocess.run(
        ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "-s", str(HERE / "attach.lua"), daemon.url,
         "--", ids.OTHER_VM, *volumes], capture_output=True, text=True, check=True)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise BenchError(f"wrk:\n{done.stdout}")
    requests = int(re.search(r"(\d+) requests in", done.stdout)[1])
    # wrk leaves when its time is over, and a request of each client may be under way then.
    other = max(0, metric(daemon, CHANGES) - before - requests - clients)
    return float(re.search(r"Requests/sec:\s*([\d.]+)", done.stdout)[1]), other / seconds


def inserts(build, store, clients, seconds):
    """The same rows, by a program that has nothing else to do."""
    done = subprocess.run([program(build, "tests/bench/bench_store"), str(clients), str(seconds),
                           *store.arguments], capture_output=True, text=True)
    if done.returncode:
        raise BenchError(done.stderr)
    return float(done.stdout.split()[0])
