# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many operations at once: their calls of CloudStack, processor time and memory."""

import time
from collections import Counter

from cloudsim import ids
from cloudsim.sim import CloudSim
from rig import cpu_seconds, memory, serving
from table import Figure, at_most

SIZES = (1, 100, 1000)
CALLS_MAX = {1: {"attach": 6, "resize": 6, "detach": 6, "create": 9, "delete of an attached volume": 9}}


def measure(bench):
    """To other machines, four volumes each: their disks are not ours to see, and a machine's jobs
    queue up."""
    for count in bench.sizes(*SIZES):
        with CloudSim(0, "none", job_delay=1.5) as sim:
            machines = [sim.put_vm(name=f"bench-{index}")["id"] for index in range(-(-count // 4))]
            volumes = [sim.put_volume(name=f"bench-{index}", size=ids.GIB)["id"]
                       for index in range(count)]
            with serving(bench.build, bench.run, sim, bench.disks, poll="500ms") as daemon:
                yield from measure_count(daemon, sim, machines, volumes)


def measure_count(daemon, sim, machines, volumes):
    count = len(volumes)

    def attach(index):
        return daemon.ask("POST", f"/api/v1/volumes/{volumes[index]}/attach", {"vm_id": machines[index // 4]})

    def detach(index):
        return daemon.ask("POST", f"/api/v1/volumes/{volumes[index]}/detach")

    def create(index):
        return daemon.ask("POST", "/api/v1/volumes", {
            "name": f"new-{index}", "size": ids.GIB, "zone_id": ids.ZONE, "disk_offering_id": ids.OFFERING_CUSTOM})

    def resize(index):
        return daemon.ask("POST", f"/api/v1/volumes/{volumes[index]}/resize", {"size": 2 * ids.GIB})

    def delete(index):
        return daemon.ask("DELETE", f"/api/v1/volumes/{volumes[index]}")

    # The first change of all also finds out about the server's clock.
    for begin in (attach, detach):
        daemon.finish(begin(0)["id"])
    for begin in (attach, resize, detach, create):
        yield from finish_all(daemon, sim, begin.__name__, begin, count)
    for operation in [attach(index)["id"] for index in range(count)]:
        daemon.finish(operation)
    yield from finish_all(daemon, sim, "delete of an attached volume", delete, count)
    yield Figure(f"resident memory after {count} of each at once", memory(daemon.process.pid).resident, "MiB",
                 aim=at_most(40))


def finish_all(daemon, sim, what, begin, count):
    """Begin so many changes one right after the other, and count what all of them ask the cloud."""
    sim.clear_requests()
    moment, used = time.monotonic(), cpu_seconds(daemon.process.pid)
    operations = [begin(index)["id"] for index in range(count)]
    for operation in operations:
        daemon.finish(operation)
    taken, used = time.monotonic() - moment, cpu_seconds(daemon.process.pid) - used
    asked = Counter(request["command"] for request in sim.requests())
    detail = ", ".join(f"{number} {command}" for command, number in asked.most_common())
    yield Figure(f"{what}, {count} at once: CloudStack calls each", asked.total() / count, "",
                 aim=at_most(CALLS_MAX.get(count, {}).get(what, 3)), how=f"{taken:.1f} s; {detail}")
    if count >= 100:        # the kernel counts processor time in hundredths of a second
        yield Figure(f"{what}, {count} at once: CPU each", used / count * 1000, "ms", aim=at_most(2))
