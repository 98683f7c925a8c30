# SPDX-License-Identifier: LGPL-2.1-or-later
"""What D-Bus costs: calls of GetDevice beside a bare sd-bus service, whose answers are a text of as many bytes, or the
same dictionary."""

import json
import os
import re
import struct
import subprocess

from cloudsim import ids
from cloudsim.sim import CloudSim
from rig import BenchError, await_line, program, running, serving
from table import paired, ratio_at_least, ratio_at_most

MANAGER = ("org.migratekit.VolumeDaemon1", "/org/migratekit/VolumeDaemon1", "org.migratekit.VolumeDaemon1.Manager")
BARE = ("org.migratekit.Bench", "/", "org.migratekit.Bench")
SIZES = {"b": 4, "i": 4, "u": 4, "x": 8, "t": 8, "d": 8}    # bytes of a value, by its type; all others are texts
IN_FLIGHT = (1, 64)


def measure(bench):
    with CloudSim(0, "none") as sim:
        volume = sim.put_volume(name="bench", size=ids.GIB)["id"]
        with serving(bench.build, bench.run, sim, bench.disks) as daemon:
            daemon.finish(daemon.ask("POST", f"/api/v1/volumes/{volume}/attach", {"vm_id": ids.OTHER_VM})["id"])
            answer = get_device(daemon, volume)
            length = length_of(answer)
            bus = os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": daemon.bus}
            tool, log = program(bench.build, "tests/bench/bench_bus"), bench.run / "bench_bus.log"
            # a text has its length before it and a zero behind
            entries = [word for key, value in answer.items() for word in (key, value["type"], str(value["data"]))]
            with running([tool, "serve", str(length - 5), *entries], log, env=bus) as process:
                await_line(process, log, "serving")
                sides = ((*MANAGER, "GetDevice", volume), (*BARE, "Echo", volume), (*BARE, "List", volume))
                for in_flight in IN_FLIGHT:
                    for side in sides:
                        load(tool, bus, in_flight, 1, side)
                    turns = [tuple(load(tool, bus, in_flight, bench.seconds, side) for side in sides)
                             for _ in range(bench.rounds)]
                    how = f"median of {bench.rounds} pairs of {bench.seconds} s, {length} bytes"
                    what = f"D-Bus GetDevice, {in_flight} in flight"
                    yield from lines([(ours, echo) for ours, echo, _ in turns], what, how)
                    yield from lines([(ours, bare) for ours, _, bare in turns], f"{what}, beside its dictionary", how)


def lines(pairs, what, how):
    rates, p50, p99 = ([tuple(side[index] for side in pair) for pair in pairs] for index in range(3))
    yield paired(what, rates, "a second", aim=ratio_at_least(0.85), how=how)
    yield paired(f"{what}, p50", p50, "µs", aim=ratio_at_most(1 / 0.85))
    yield paired(f"{what}, p99", p99, "µs")


def load(tool, bus, in_flight, seconds, call):
    """(calls a second, µs that half of them took, µs of all but a hundredth)"""
    done = subprocess.run([tool, "call", str(in_flight), str(seconds), *call], env=bus, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(done.stderr)
    return tuple(map(float, re.match(r"([\d.]+) a second, p50 (\d+) us, p99 (\d+) us", done.stdout).groups()))


def get_device(daemon, volume):
    """The daemon's answer, a dictionary of variants."""
    done = subprocess.run(["busctl", f"--address={daemon.bus}", "--json=short", "call", *MANAGER, "GetDevice", "s", volume],
                          capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["data"][0]


def length_of(dictionary):
    """Its bytes in the body of a message."""
    at = 8      # the length of the dictionary, and the boundary of its first entry
    for key, value in dictionary.items():
        at = padded(at, 8) + len(text(key))
        at += len(f"x{value['type']}x")     # a length, a type and a zero
        at = padded(at, SIZES.get(value["type"], 4))
        at += SIZES.get(value["type"]) or len(text(value["data"]))
    return at


def text(content):
    """As it is on the bus."""
    return struct.pack("<I", len(content.encode())) + content.encode() + b"\0"


def padded(at, boundary):
    return -(-at // boundary) * boundary
