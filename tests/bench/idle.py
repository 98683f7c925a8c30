"""What the daemon costs while nobody asks it."""

import time

from cloudsim import ids
from cloudsim.sim import CloudSim
from rig import cpu_seconds, memory, serving, switches
from table import Figure, at_most

SECONDS = 30
OWN_MAX = {10: 4, 1000: 10, 10000: 40}      # MiB, of so many volumes


def measure(bench):
    for count in bench.sizes(*OWN_MAX):
        with CloudSim(0, "none") as sim:
            for index in range(count):
                sim.put_volume(name=f"bench-{index}", size=ids.GIB)
            with serving(bench.build, bench.run, sim, bench.disks) as daemon:
                yield from watch(daemon.process.pid, f"idle with {count:,} volumes", OWN_MAX[count])


def watch(pid, what, own_max):
    time.sleep(3)       # what the start began has ended
    wakes, used = switches(pid), cpu_seconds(pid)
    time.sleep(SECONDS)
    wakes, used = switches(pid) - wakes, cpu_seconds(pid) - used
    held = memory(pid)
    yield Figure(f"{what}: own memory", held.own, "MiB", aim=at_most(own_max), how=f"{held.resident:.1f} MiB resident")
    yield Figure(f"{what}: wake-ups", wakes / SECONDS, "a second", aim=at_most(0.6),
                 how=f"all threads, over {SECONDS} s")
    yield Figure(f"{what}: processor", used / SECONDS * 100, "%", aim=at_most(0.05))
