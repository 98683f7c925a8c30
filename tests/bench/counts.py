#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counts the instructions of ten hot paths of the daemon, and compares them with those in counts.json.

	tests/bench/counts.py             compare: exit status 1 if a path has grown by more than a twentieth
	tests/bench/counts.py --update    write what was counted, for this compiler, into counts.json

The daemon itself runs under valgrind's callgrind, and clients make it go each path many times. Only instructions of the
daemon's own functions count, not those of libraries. Unlike times they hardly depend on the machine and on what else
runs there, but on the compiler: counts.json has a part for each version. With a compiler that it does not know, nothing
is compared, and a line says so. If the daemon refuses requests all the time, as on a machine that is too busy for it,
everything is counted once more, and then that is a failure. VOLD_BUILD names the build, which has to be one with the
default options.
"""

import argparse
import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rig import BenchError, configure, make_disks, program, started, wait_for_volumes    # first: where packages are
from cloudsim import ids
from cloudsim.sim import CloudSim

KEPT = Path(__file__).with_name("counts.json")
GROWTH_MAX = 1.05
MANAGER = ("org.migratekit.VolumeDaemon1", "/org/migratekit/VolumeDaemon1", "org.migratekit.VolumeDaemon1.Manager")
VOLUMES = 200


class Callgrind:
    """A daemon under callgrind, which counts from one take() to the next."""

    def __init__(self, pid, folder, binary):
        self._pid, self._folder, self._binary, self._dumps = pid, folder, binary, 0

    def _say(self, *words):
        done = subprocess.run(["vgdb", f"--pid={self._pid}", f"--vgdb-prefix={self._folder}/vgdb", *words],
                              capture_output=True, text=True)
        if done.returncode:
            raise BenchError(f"vgdb: {done.stderr}")

    def begin(self):
        self._say("instrumentation", "on")
        self.take()

    def take(self):
        """Instructions of each of our functions since the last time."""
        self._say("dump")
        self._dumps += 1
        return own_costs(self._folder / f"callgrind.{self._dumps}", self._binary)


def own_costs(dump, binary):
    """Of each function in the binary itself, without those that it calls."""
    names, costs = {}, Counter()
    is_ours, function, is_call = False, None, False
    for line in dump.read_text().splitlines():
        key, found, value = line.partition("=")
        if found and key in ("ob", "fn", "cob", "cfn", "fl", "fi", "fe", "cfi", "cfl", "calls"):
            number, _, name = value.partition(" ")
            kind = key[-2:]
            if name and kind in ("ob", "fn"):
                names[kind, number] = name
            if key == "ob":
                is_ours = names["ob", number] == binary
            elif key == "fn":
                function = re.sub(r"'\d+$", "", names["fn", number])
            is_call = key == "calls"
        elif line[:1] in "+-*0123456789" and line:
            # the line behind "calls=" has the cost of the function that is called
            if is_ours and not is_call:
                costs[function] += int(line.split()[1])
            is_call = False
    return costs


# -- the paths

class Busy(Exception):
    """A machine that is so busy that the daemon did something else than what it was asked for, and what."""


@dataclass(frozen=True)
class World:
    daemon: object
    http: http.client.HTTPConnection
    volumes: list
    machines: list
    attached: list

    def ask(self, path, verb="GET", body=None):
        self.http.request(verb, "/api/v1" + path, None if body is None else json.dumps(body),
                          {"Content-Type": "application/json"})
        answer = self.http.getresponse()
        text = answer.read()
        if answer.status in (429, 503):
            raise Busy(f"{verb} {path}: {answer.status} {text.decode()}")
        if answer.status not in (200, 201):
            raise BenchError(f"{verb} {path}: {text}")
        return text

    def call(self, *words):
        subprocess.run(["busctl", f"--address={self.daemon.bus}", "call", *MANAGER, *words], capture_output=True,
                       check=True)


def attach(world, turn):
    """From the request to the end, on a volume and a machine of its own, by a job that has ended when it is looked
    at."""
    volume = world.volumes[1 + turn]
    operation = json.loads(world.ask(f"/volumes/{volume}/attach", "POST", {"vm_id": world.machines[turn]}))["id"]
    if b'"completed"' not in world.ask(f"/operations/{operation}?wait=60"):
        raise BenchError(f"{operation} did not complete")
    world.attached.append(volume)


BATCHES = 4
TRIES = 4       # times as many batches, while the daemon refuses requests

# What is done so many times, in so many batches, with the number of the time, of all. An attach may look at its job
# once more or less, so each is a batch.
PATHS = {
    "attach": (1, 24, attach),
    "GET volume": (100, BATCHES, lambda world, turn: world.ask(f"/volumes/{world.attached[0]}")),
    "GET mapping": (100, BATCHES, lambda world, turn: world.ask(f"/volumes/{world.attached[0]}/device")),
    "GET 100 volumes": (10, BATCHES, lambda world, turn: world.ask("/volumes?limit=100")),
    "GET 20 operations": (20, BATCHES, lambda world, turn: world.ask("/operations?limit=20")),
    "GET health": (50, BATCHES, lambda world, turn: world.ask("/health")),
    "D-Bus GetDevice": (20, BATCHES, lambda world, turn: world.call("GetDevice", "s", world.attached[0])),
    "D-Bus ListVolumes, 100": (5, BATCHES, lambda world, turn: world.call("ListVolumes", "a{sv}", "1", "limit", "u", "100")),
    "comparison with CloudStack, 200 volumes": (3, BATCHES, lambda world, turn: world.ask("/admin/force-sync", "POST", {})),
    # Behind the first operation on the volume, whose job does not end.
    "accept": (50, BATCHES, lambda world, turn: world.ask(f"/volumes/{world.volumes[0]}/detach", "POST")),
}


def count(build, run):
    """Instructions of each path, {path: {function: instructions}}. The best of some batches counts: what else the
    daemon does, because time goes by, is not a path's."""
    binary = program(build, "src/daemon/volume-daemon")
    callgrind = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", f"--vgdb-prefix={run}/vgdb",
                 f"--callgrind-out-file={run}/callgrind"]
    with CloudSim(0, "none") as sim:
        volumes = [sim.put_volume(id=f"{index:08x}-0000-4000-8000-000000000000", name=f"v{index}", size=ids.GIB)["id"]
                   for index in range(VOLUMES)]
        machines = [sim.put_vm(name=f"m{index}")["id"] for index in range(VOLUMES)]
        config = configure(run, sim, make_disks(run), scan="10min")
        config.write_text(f"{config.read_text()}[reconcile]\ninterval = 1d\n")
        with started(build, run, config, starter=callgrind) as daemon:
            wait_for_volumes(daemon, sim)
            with contextlib.closing(http.client.HTTPConnection(daemon.url.removeprefix("http://"))) as connection:
                world = World(daemon, connection, volumes, machines, [])
                profile = Callgrind(daemon.process.pid, run, binary)
                profile.begin()
                counted = {path: count_path(profile, world, *rest) for path, rest in PATHS.items() if path != "accept"}
                sim.set(job_delay=3600)
                begin_long_attach(world)
                counted["accept"] = count_path(profile, world, *PATHS["accept"])
                return counted


def begin_long_attach(world):
    for _ in range(TRIES):
        try:
            world.http.close()
            return world.ask(f"/volumes/{world.volumes[0]}/attach", "POST", {"vm_id": ids.OTHER_VM})
        except (Busy, OSError, http.client.HTTPException) as error:
            last = error
    raise Busy(last)


def count_path(profile, world, times, wanted, walk):
    batches, last = [], None
    for batch in range(TRIES * wanted):
        try:
            # The daemon closes a connection that has been quiet for half a minute.
            world.http.close()
            world.ask("/health")
            profile.take()
            for turn in range(times):
                walk(world, batch * times + turn)
        except (Busy, OSError, http.client.HTTPException, subprocess.CalledProcessError) as error:
            last = error
            continue
        batches.append({function: cost / times for function, cost in profile.take().items()})
        if len(batches) == wanted:
            return min(batches, key=lambda costs: sum(costs.values()))
    raise Busy(last)


def count_or_again(build):
    for _ in range(2):
        try:
            with tempfile.TemporaryDirectory(prefix="volume-counts.") as run:
                return count(build, Path(run))
        except Busy as busy:
            print(f"counts: the daemon did not do what it was asked for: {busy}")
    return None


# -- comparing

def compiler(build):
    """What the binary says of its compiler."""
    done = subprocess.run(["readelf", "-p", ".comment", program(build, "src/daemon/volume-daemon")],
                          capture_output=True, text=True, check=True)
    return re.search(r"\]\s+(\S.*)", done.stdout)[1].strip()


def differences(kept, counted):
    """A line for each path, and whether it has grown too much."""
    for path, costs in counted.items():
        total, before = round(sum(costs.values())), kept.get(path)
        if before is None:
            yield f"{path}: {total:,} instructions, which are new: write them down with --update", True
        else:
            yield f"{path}: {total:,} instructions, {total / before:.3f} of the {before:,} before", \
                total > before * GROWTH_MAX


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="write the counts into counts.json")
    options = parser.parse_args()
    build = Path(os.environ["VOLD_BUILD"]).resolve()
    kept, version = json.loads(KEPT.read_text()), compiler(build)
    if version not in kept and not options.update:
        print(f"counts: skipped: {KEPT.name} has no part for {version}")
        return 0
    counted = count_or_again(build)
    if not counted:
        print("counts: nothing could be compared")
        return 1
    if options.update:
        kept[version] = {path: round(sum(costs.values())) for path, costs in counted.items()}
        KEPT.write_text(json.dumps(kept, indent=2) + "\n")
        return 0
    has_grown = False
    for line, grown in differences(kept[version], counted):
        print(("GROWN: " if grown else "") + line)
        has_grown |= grown
    return has_grown


if __name__ == "__main__":
    sys.exit(main())
