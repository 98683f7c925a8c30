# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the daemon costs while nobody asks it. The reference of its memory is a program that does nothing, linked with
the same libraries. And what it costs CloudStack: a list of all volumes is dear there and comes seldom, so an hour is
measured in a twentieth of its time, on a server and with an interval that are as much faster.
"""

import math
import time

from cloudsim import ids
from cloudsim.sim import CloudSim
from rig import (PATIENCE, BenchError, await_line, clear_store, configure, cpu_seconds, memory, metric, program,
                 running, serving, started, switches, wait_for_volumes)
from table import Figure, at_most, growth, single

QUIET = 10      # seconds after the start, until what it began has ended; the store tidies up last
SECONDS = 60    # so the comparison of each minute is among them
OWN_MAX = {10: 4, 100: 4, 1000: 10, 10000: 40}      # MiB, of so many volumes
VOLUMES = 10000
FASTER = 20
ROW_SECONDS = 0.9 / 500     # of a real server, for each row of a list
INTERVAL = 60               # seconds, reconcile.interval
BUSY = "volumed_cloudstack_request_duration_seconds_sum"


def measure(bench):
    log, owns = bench.run / "bench_empty.log", {}
    with running([program(bench.build, "tests/bench/bench_empty")], log) as process:
        await_line(process, log, "loaded")
        empty = memory(process.pid)
    for count in bench.sizes(*OWN_MAX):
        with CloudSim(0, "none") as sim:
            for index in range(count):
                sim.put_volume(name=f"bench-{index}", size=ids.GIB)
            with serving(bench.build, bench.run, sim, bench.disks) as daemon:
                owns[count] = yield from watch(daemon.process.pid, f"idle with {count:,} volumes", OWN_MAX[count], empty)
    if len(owns) > 1:
        yield growth("idle: own memory", owns)
    if bench.sizes(VOLUMES):
        yield from measure_cloud(bench)


def watch(pid, what, own_max, empty):
    """MiB of its own."""
    time.sleep(QUIET)
    wakes, used = switches(pid), cpu_seconds(pid)
    time.sleep(SECONDS)
    wakes, used = switches(pid) - wakes, cpu_seconds(pid) - used
    held = memory(pid)
    yield single(f"{what}: own memory", held.own, "MiB", empty.own, aim=at_most(own_max), how="private and anonymous")
    yield single(f"{what}: resident memory", held.resident, "MiB", empty.resident)
    yield Figure(f"{what}: wake-ups", wakes / SECONDS, "a second", aim=at_most(0.6),
                 how=f"all threads, over {SECONDS} s")
    yield Figure(f"{what}: processor", used / SECONDS * 100, "%", aim=at_most(0.05),
                 how=f"over {SECONDS} s, of which the kernel counts hundredths")
    return held.own


def measure_cloud(bench):
    """From the end of one list of all volumes to that of the next one, with all other requests between them."""
    with CloudSim(0, "none", row_delay=ROW_SECONDS / FASTER) as sim:
        for index in range(VOLUMES):
            sim.put_volume(name=f"bench-{index}", size=ids.GIB)
        config = configure(bench.run, sim, bench.disks)
        config.write_text(f"{config.read_text()}[reconcile]\ninterval = {INTERVAL // FASTER}s\n")
        clear_store(bench.run)
        with started(bench.build, bench.run, config) as daemon:
            wait_for_volumes(daemon, sim)
            await_whole_list(daemon)
            sim.clear_requests()
            begin, busy = time.monotonic(), metric(daemon, BUSY)
            await_whole_list(daemon)
            taken = time.monotonic() - begin
            busy = metric(daemon, BUSY) - busy
            asked = len(sim.requests())
    how = f"{asked} requests in {taken:.0f} s, on a server that is {FASTER} times as fast"
    yield Figure(f"idle with {VOLUMES:,} volumes: CloudStack requests", asked / taken * 60 / FASTER, "a minute",
                 aim=at_most(12), how=how)
    yield Figure(f"idle with {VOLUMES:,} volumes: time of CloudStack's server", busy / taken * 100, "%",
                 aim=at_most(1.2), how=how)


def await_whole_list(daemon):
    """Until the daemon has a newer list of all volumes than now, if it has one now."""
    deadline, last = time.monotonic() + PATIENCE * FASTER, list_age(daemon)
    while (age := list_age(daemon)) >= last:
        if time.monotonic() > deadline:
            raise BenchError("no list of all volumes came")
        last = age
        time.sleep(0.2)


def list_age(daemon):
    """Seconds."""
    age = daemon.ask("GET", "/api/v1/health")["details"]["volume_list_age_seconds"]
    return math.inf if age < 0 else age
