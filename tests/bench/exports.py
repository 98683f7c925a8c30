# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an export that comes and goes costs, beside the engine's own commands, and those who read another one; and how
fast clients read and write through an export, beside the same engine on the raw device.
"""

import json
import os
import statistics
import subprocess
import threading
import time

from cloudsim import ids
from cloudsim.plug import make_plug
from cloudsim.sim import CloudSim
from engine import engine
from rig import BenchError, serving
from table import Figure, paired, ratio_at_least, ratio_at_most

STREAM = 256 << 20      # bytes that a client reads
CHANGES = 10            # of each kind in a round

# fio's words for each kind of work, and the figure that counts.
WORKS = {
    "sequential read": ("bw", "KiB/s", "--rw=read --bs=256k --iodepth=8"),
    "sequential write": ("bw", "KiB/s", "--rw=write --bs=256k --iodepth=8"),
    "random read of 4 KiB": ("iops", "a second", "--rw=randread --bs=4k --iodepth=16"),
    "random write of 4 KiB": ("iops", "a second", "--rw=randwrite --bs=4k --iodepth=16"),
    "random read of 4 KiB, 4 connections":
        ("iops", "a second", "--rw=randread --bs=4k --iodepth=4 --numjobs=4 --group_reporting"),
}


def measure(bench):
    with CloudSim(0, make_plug(bench.disks.plug)) as sim:
        volumes = [sim.put_volume(name=f"bench-{index}", size=ids.GIB, state="Ready")["id"] for index in range(2)]
        with (serving(bench.build, bench.run, sim, bench.disks, engine="qemu-storage-daemon") as daemon,
              engine(bench.run) as bare):
            devices = [attach(daemon, volume) for volume in volumes]
            yield from measure_changes(bench, daemon, bare, volumes[1], devices[1])
            yield from measure_beside(bench, daemon, *volumes, devices[0])
            yield from measure_works(bench, daemon, bare, volumes[0], devices[0])


def attach(daemon, volume):
    """The device of the volume, with random content."""
    daemon.finish(daemon.ask("POST", f"/api/v1/volumes/{volume}/attach", {"vm_id": ids.APPLIANCE_VM})["id"])
    device = daemon.ask("GET", f"/api/v1/volumes/{volume}/device")["device_path"]
    with open(device, "r+b") as disk:
        for _ in range(STREAM >> 20):
            disk.write(os.urandom(1 << 20))
    return device


# -- coming and going

def measure_changes(bench, daemon, bare, volume, device):
    """Nobody reads, and each change of ours is followed by one of the engine alone."""
    pairs = {"add": [], "remove": []}
    for _ in range(bench.rounds * CHANGES):
        removed = timed(lambda: remove_export(daemon, volume))[0]
        added, name = timed(lambda: bare.add(device))
        bare_removed = timed(lambda: bare.remove(name))[0]
        pairs["add"].append((timed(lambda: add_export(daemon, volume))[0], added))
        pairs["remove"].append((removed, bare_removed))
    for what, figures in pairs.items():
        yield paired(f"export {what}", figures, "ms", aim=ratio_at_most(1.5), how=f"median of {len(figures)}")


def timed(change):
    """(milliseconds, the answer)"""
    moment = time.monotonic()
    answer = change()
    return (time.monotonic() - moment) * 1000, answer


def add_export(daemon, volume):
    return daemon.ask("POST", "/api/v1/exports", {"volume_id": volume})


def remove_export(daemon, volume):
    return daemon.ask("DELETE", f"/api/v1/exports/{volume}")


def measure_beside(bench, daemon, read, changed, device):
    """One volume is read while the export of another one comes and goes, and in turns while not."""
    uri = uri_of(daemon, read)
    taken, pairs = {"remove": [], "add": []}, []
    read_all(uri)
    for _ in range(bench.rounds):
        alone = read_all(uri)
        stop = threading.Event()
        changer = threading.Thread(target=change_until, args=(stop, daemon, changed, taken))
        changer.start()
        try:
            pairs.append((read_all(uri), alone))
        finally:
            stop.set()
            changer.join()
    for what, figures in taken.items():
        yield Figure(f"export {what}, while another one is read", statistics.median(figures), "ms",
                     how=f"median of {len(figures)}, {min(figures):.1f} to {max(figures):.1f}")
    yield paired("throughput of that reader, to an undisturbed one", pairs, "MiB/s",
                 how=f"{bench.rounds} pairs of {STREAM >> 20} MiB, no errors")


def uri_of(daemon, volume):
    export = daemon.ask("GET", f"/api/v1/exports/{volume}")
    return f"nbd://127.0.0.1:{export['port']}/{export['export_name']}"


def read_all(uri):
    """MiB a second that a client reads of an export; it fails when an answer does."""
    moment = time.monotonic()
    subprocess.run(["nbdcopy", uri, "null:"], check=True, capture_output=True)
    return (STREAM >> 20) / (time.monotonic() - moment)


def change_until(stop, daemon, volume, taken):
    """Remove and add one export over and over; notes how long each took, in ms."""
    while not stop.is_set():
        for what, change in (("remove", remove_export), ("add", add_export)):
            taken[what].append(timed(lambda: change(daemon, volume))[0])


# -- through an export

def measure_works(bench, daemon, bare, volume, device):
    """The device stays exported by both; the engine alone serves it over TCP, as the daemon's does."""
    sides = (uri_of(daemon, volume), bare.uri(bare.add(device)))
    for what, (figure, unit, words) in WORKS.items():
        for side in sides:
            work(bench, side, words, 1)
        pairs = [tuple(work(bench, side, words, bench.seconds)[figure] for side in sides)
                 for _ in range(bench.rounds)]
        yield paired(f"NBD, {what}", pairs, unit, aim=ratio_at_least(0.97),
                     how=f"median of {bench.rounds} pairs of {bench.seconds} s")


def work(bench, uri, words, seconds):
    """What fio says of its first, and only, group."""
    done = subprocess.run(["fio", "--name=bench", "--ioengine=nbd", f"--uri={uri}", "--time_based",
                           f"--runtime={seconds}", f"--size={STREAM}", "--output-format=json", *words.split()],
                          cwd=bench.run, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"fio: {done.stdout}{done.stderr}")
    job = json.loads(done.stdout[done.stdout.index("{"):])["jobs"][0]
    return job["read"] if job["read"]["total_ios"] else job["write"]
