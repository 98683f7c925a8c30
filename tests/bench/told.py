# SPDX-License-Identifier: LGPL-2.1-or-later
"""How soon many subscribers are told that one operation has ended: by signals on a bus, and by event streams."""

import statistics
import time

from cloudsim import ids
from cloudsim.sim import CloudSim
from rig import await_line, program, running, serving
from table import Figure, at_most, growth

SIZES = (1, 10, 100, 1000)
ROUNDS = 30
DESCRIPTORS = 4096      # the usual limit is lower than 1,000 and those that a program needs besides
WAYS = {"signals": ("bus", "OperationCompleted"), "event streams": ("rest", '"change":"ended"')}


def measure(bench):
    with CloudSim(0, "none", job_delay=3600) as sim:
        volume = sim.put_volume(name="bench", size=ids.GIB)["id"]
        with serving(bench.build, bench.run, sim, bench.disks, descriptors=DESCRIPTORS, requests_at_once=2000) as daemon:
            path = f"/api/v1/volumes/{volume}"
            daemon.ask("POST", f"{path}/attach", {"vm_id": ids.OTHER_VM})
            for way, (kind, text) in WAYS.items():
                where = daemon.bus.partition("path=")[2] if kind == "bus" else daemon.url.rpartition(":")[2]
                p99 = {}
                for count in bench.sizes(*SIZES):
                    p99[count] = yield from measure_count(bench, daemon, path, way, [kind, where, str(count), text])
                if len(p99) > 1:
                    yield growth(f"one completion, {way}, p99", p99)


def measure_count(bench, daemon, path, way, arguments):
    """The median p99, in ms."""
    log = bench.run / "bench_listeners.log"
    with running([program(bench.build, "tests/bench/bench_listeners"), *arguments], log) as process:
        await_line(process, log, "listening")
        times = [tell(daemon, path, process, log, round) for round in range(ROUNDS)]
    half, most, last = (statistics.median(figures) for figures in zip(*times))
    yield Figure(f"one completion to {int(arguments[2]):,} subscribers, {way}, p99", most, "ms", aim=at_most(50),
                 how=f"median of {ROUNDS}, from the request that ends the operation; p50 {half:.1f}, "
                     f"the last one {last:.1f}")
    return most


def tell(daemon, path, process, log, round):
    """Milliseconds until half, all but a hundredth, and all subscribers know that an operation was cancelled which
    waits behind another one."""
    operation = daemon.ask("POST", f"{path}/detach")["id"]
    begin = time.monotonic()
    daemon.ask("POST", f"/api/v1/operations/{operation}/cancel")
    await_line(process, log, r"listening\n(told.*\n){" + str(round + 1) + "}")
    line = log.read_text().splitlines()[-1]
    return [int(moment) / 1000 - begin * 1000 for moment in line.split()[2:]]
