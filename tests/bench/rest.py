# SPDX-License-Identifier: LGPL-2.1-or-later
"""What REST costs beside an evhttp that sends a text of equal length to everybody."""

import re
import subprocess
import urllib.request

from cloudsim import ids
from cloudsim.sim import CloudSim
from rig import REQUESTS, BenchError, await_line, cpu_seconds, program, running, serving
from table import paired, ratio_at_least, ratio_at_most

CONNECTIONS = 64
UNITS = {"us": 1, "ms": 1000, "s": 1e6}


def measure(bench):
    with CloudSim(0, "none") as sim:
        volume = sim.put_volume(name="bench", size=ids.GIB)["id"]
        with serving(bench.build, bench.run, sim, bench.disks) as daemon:
            operation = daemon.ask("POST", f"/api/v1/volumes/{volume}/attach", {"vm_id": ids.OTHER_VM})["id"]
            daemon.finish(operation)
            for what, path in (("volume", f"volumes/{volume}"), ("mapping", f"volumes/{volume}/device"),
                               ("operation", f"operations/{operation}")):
                yield from measure_path(bench, daemon, what, f"{daemon.url}/api/v1/{path}")


def measure_path(bench, daemon, what, ours):
    """In turns, because a neighbour's load changes by the minute."""
    with urllib.request.urlopen(ours) as reply:
        length = len(reply.read())
    log = bench.run / "bench_http.log"
    with running([program(bench.build, "tests/bench/bench_http"), str(length)], log) as process:
        bare = await_line(process, log, r"listening on (http://[\w.:]+)")[1]
        sides = ((daemon.process, ours), (process, bare))
        for side in sides:
            load(*side, CONNECTIONS, 1)
        many, one = ([tuple(load(*side, connections, bench.seconds) for side in sides) for _ in range(bench.rounds)]
                     for connections in (CONNECTIONS, 1))
    how = (f"median of {bench.rounds} pairs of {bench.seconds} s, {length} bytes; "
           f"`http.anonymous_requests` raised to {REQUESTS:,}")
    yield paired(f"GET {what}, {CONNECTIONS} connections", figures(many, "rate"), "a second",
                 aim=ratio_at_least(0.9), how=how)
    yield paired(f"GET {what}, {CONNECTIONS} connections, processor", figures(many, "cpu"), "µs of CPU")
    for part in ("p50", "p99"):
        yield paired(f"GET {what}, one connection, {part}", figures(one, part), "µs", aim=ratio_at_most(1.15))


def figures(pairs, name):
    return [tuple(side[name] for side in pair) for pair in pairs]


def load(process, url, connections, seconds):
    """What wrk sees, and the server's CPU microseconds a request."""
    before = cpu_seconds(process.pid)
    done = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", url], capture_output=True,
                          text=True, check=True)
    used = cpu_seconds(process.pid) - before
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise BenchError(f"wrk at {url}:\n{done.stdout}")
    requests = int(re.search(r"(\d+) requests in", done.stdout)[1])
    found = {f"p{part}": float(value) * UNITS[unit]
             for part, value, unit in re.findall(r"^ +(\d+)% +([\d.]+)(us|ms|s)$", done.stdout, re.M)}
    return found | {"rate": float(re.search(r"Requests/sec:\s*([\d.]+)", done.stdout)[1]),
                    "cpu": used / requests * 1e6}
