"""What the daemon adds to the time of CloudStack's own jobs, and how often it asks for that.

The simulated CloudStack knows to the moment when each job began and ended. What is left of the time from the request to
the operation's end is ours. Three clients work at once, each on a machine of its own: so few jobs that each is queried
by itself. The first rounds teach the daemon how long the jobs take, and do not count.
"""

import statistics
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

from cloudsim import ids
from cloudsim.sim import CloudSim
from rig import serving
from table import Figure, at_most

LENGTHS = (0.05, 0.2, 1, 3, 12)     # seconds
LANES = 3
LEARNING = 3                        # rounds
MEDIAN_MAX, SLOWEST_MAX = 100, 250  # ms
CALLS_MAX = 9 + 6 + 6 + 6 + 6 + 9   # of a round


class Lane:
    """A client with a machine of its own, which does one thing after the other."""

    def __init__(self, daemon, sim, number):
        self._daemon, self._sim, self._number = daemon, sim, number
        self._vm = sim.put_vm(name=f"lane-{number}")["id"]
        self._volume = None
        self.taken = defaultdict(list)

    def _time(self, what, verb, path, body=None):
        with self._sim.world.lock:
            before = set(self._sim.world.jobs)
        begin = time.monotonic()
        operation = self._daemon.ask(verb, path, body)["id"]
        self._daemon.finish(operation)
        total = time.monotonic() - begin
        self._volume = self._daemon.ask("GET", f"/api/v1/operations/{operation}")["volume_id"]
        with self._sim.world.lock:
            jobs = [job.completed - job.created for job in self._sim.world.jobs.values()
                    if job.id not in before and job.volume_id == self._volume]
        self.taken[what].append((total - sum(jobs)) * 1000)

    def go_round(self, index):
        self._time("create", "POST", "/api/v1/volumes", {
            "name": f"job-{self._number}-{index}", "size": ids.GIB, "zone_id": ids.ZONE,
            "disk_offering_id": ids.OFFERING_CUSTOM})
        path = f"/api/v1/volumes/{self._volume}"
        self._time("attach", "POST", f"{path}/attach", {"vm_id": self._vm})
        self._time("resize", "POST", f"{path}/resize", {"size": 2 * ids.GIB})
        self._time("detach", "POST", f"{path}/detach")
        self._time("attach", "POST", f"{path}/attach", {"vm_id": self._vm})
        self._time("delete of an attached volume", "DELETE", path)


def measure(bench):
    for length in LENGTHS:
        with CloudSim(0, "none", job_delay=length) as sim, \
                serving(bench.build, bench.run, sim, bench.disks, poll="500ms") as daemon:
            yield from measure_length(daemon, sim, length, bench.rounds)


def measure_length(daemon, sim, length, rounds):
    lanes = [Lane(daemon, sim, number) for number in range(LANES)]
    with ThreadPoolExecutor(LANES) as pool:
        for index in range(LEARNING + rounds):
            if index == LEARNING:
                sim.clear_requests()
                for lane in lanes:
                    lane.taken.clear()
            list(pool.map(lambda lane, index=index: lane.go_round(index), lanes))
    calls = len(sim.requests()) / (LANES * rounds)
    for what in lanes[0].taken:
        taken = [figure for lane in lanes for figure in lane.taken[what]]
        yield Figure(f"{what}, jobs of {length:g} s: ours", statistics.median(taken), "ms", aim=at_most(MEDIAN_MAX),
                     how=f"median of {len(taken)}; what the operation takes beside its jobs")
        yield Figure(f"{what}, jobs of {length:g} s: the slowest", max(taken), "ms", aim=at_most(SLOWEST_MAX),
                     how=f"of {len(taken)}")
    yield Figure(f"calls of a volume's life, jobs of {length:g} s", calls, "", aim=at_most(CALLS_MAX),
                 how="create, attach, resize, detach, attach, delete")
