"""What the daemon adds to the time of CloudStack's own jobs, and how often it asks for that.

The simulated CloudStack knows to the moment when each job began and ended. What is left of the time from the request to
the operation's end is ours. Three clients work at once, each on a machine of its own: so few jobs that each is queried
by itself. The first jobs of a length teach the daemon, and are shown apart.
"""

import statistics
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

from rig import serving, show
from cloudsim import ids
from cloudsim.sim import CloudSim

LENGTHS = (0.05, 0.2, 1, 3, 12)     # seconds
LANES = 3
LEARNING = 4                        # operations of a kind by which the daemon learns


class Lane:
    """A client with a machine of its own, which does one thing after the other."""

    def __init__(self, daemon, sim, number, taken):
        self._daemon, self._sim, self._taken = daemon, sim, taken
        self._vm = sim.put_vm(name=f"lane-{number}")["id"]
        self._number = number

    def _own(self, before):
        """The seconds of the jobs that came since then, for the volumes of this client."""
        with self._sim.world.lock:
            return {job.id: job.completed - job.created for job in self._sim.world.jobs.values()
                    if job.completed and job.id not in before and job.volume_id == self._volume}

    def _time(self, what, verb, path, body=None):
        with self._sim.world.lock:
            before = set(self._sim.world.jobs)
        begin = time.monotonic()
        operation = self._daemon.ask(verb, path, body)["id"]
        self._daemon.finish(operation)
        total = time.monotonic() - begin
        self._volume = self._daemon.ask("GET", f"/api/v1/operations/{operation}")["volume_id"]
        self._taken[what].append((total - sum(self._own(before).values())) * 1000)

    def go_round(self, index):
        self._time("create", "POST", "/api/v1/volumes", {
            "name": f"job-{self._number}-{index}", "size": ids.GIB, "zone_id": ids.ZONE,
            "disk_offering_id": ids.OFFERING_CUSTOM})
        path = f"/api/v1/volumes/{self._volume}"
        self._time("attach", "POST", f"{path}/attach", {"vm_id": self._vm})
        self._time("resize", "POST", f"{path}/resize", {"size": 2 * ids.GIB})
        self._time("detach", "POST", f"{path}/detach")
        self._time("attach", "POST", f"{path}/attach", {"vm_id": self._vm})
        self._time("delete", "DELETE", path)


def _show(length, taken, sim, rounds):
    calls = len(sim.requests()) / (LANES * rounds)
    for what, figures in taken.items():
        first, later = figures[:LEARNING], sorted(figures[LEARNING:])
        show(f"{what}, jobs of {length:g} s: ours", f"{statistics.median(later):.0f} ms",
             f"median of {len(later)}; 99 of 100 within "
             f"{later[min(len(later) - 1, int(len(later) * 0.99))]:.0f}; the first {len(first)}: "
             + ", ".join(f"{figure:.0f}" for figure in first))
    show(f"calls of a volume's life, jobs of {length:g} s", f"{calls:.1f}",
         "create, attach, resize, detach, attach, delete; at most 39 wanted")


def measure_jobs(build, run, disks, rounds, lengths=LENGTHS):
    for length in lengths:
        with CloudSim(0, "none", job_delay=length) as sim:
            taken = defaultdict(list)
            with serving(build, run, sim, disks, poll="500ms") as daemon, \
                    ThreadPoolExecutor(LANES) as pool:
                lanes = [Lane(daemon, sim, number, taken) for number in range(LANES)]
                for index in range(rounds):
                    if index == 1:
                        sim.clear_requests()
                    list(pool.map(lambda lane: lane.go_round(index), lanes))
            _show(length, taken, sim, rounds - 1)
