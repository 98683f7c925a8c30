# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the daemon costs while nobody asks it. The reference of its memory is a program that does nothing, linked with
the same libraries.
"""

import time

from cloudsim import ids
from cloudsim.sim import CloudSim
from rig import await_line, cpu_seconds, memory, program, running, serving, switches
from table import Figure, at_most, growth, single

SECONDS = 30
OWN_MAX = {10: 4, 100: 4, 1000: 10, 10000: 40}      # MiB, of so many volumes


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


def watch(pid, what, own_max, empty):
    """MiB of its own."""
    time.sleep(3)       # what the start began has ended
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
