"""What an export that comes and goes costs, and those who read another one."""

import os
import statistics
import subprocess
import threading
import time

from cloudsim import ids
from cloudsim.plug import make_plug
from cloudsim.sim import CloudSim
from rig import serving
from table import Figure, paired

STREAM = 256 << 20      # bytes that a client reads


def measure(bench):
    with CloudSim(0, make_plug(bench.disks.plug)) as sim:
        volumes = [sim.put_volume(name=f"bench-{index}", size=ids.GIB, state="Ready")["id"] for index in range(2)]
        with serving(bench.build, bench.run, sim, bench.disks, engine="qemu-storage-daemon") as daemon:
            for volume in volumes:
                daemon.finish(daemon.ask("POST", f"/api/v1/volumes/{volume}/attach",
                                         {"vm_id": ids.APPLIANCE_VM})["id"])
            yield from measure_beside(bench, daemon, *volumes)


def measure_beside(bench, daemon, read, changed):
    """One volume is read while the export of another one comes and goes, and in turns while not."""
    with open(daemon.ask("GET", f"/api/v1/volumes/{read}/device")["device_path"], "r+b") as disk:
        for _ in range(STREAM >> 20):
            disk.write(os.urandom(1 << 20))
    export = daemon.ask("GET", f"/api/v1/exports/{read}")
    uri = f"nbd://127.0.0.1:{export['port']}/{export['export_name']}"
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


def read_all(uri):
    """MiB a second that a client reads of an export; it fails when an answer does."""
    moment = time.monotonic()
    subprocess.run(["nbdcopy", uri, "null:"], check=True, capture_output=True)
    return (STREAM >> 20) / (time.monotonic() - moment)


def change_until(stop, daemon, volume, taken):
    """Remove and add one export over and over; notes how long each took, in ms."""
    while not stop.is_set():
        for what, verb, path, body in (
                ("remove", "DELETE", f"/api/v1/exports/{volume}", None),
                ("add", "POST", "/api/v1/exports", {"volume_id": volume})):
            moment = time.monotonic()
            daemon.ask(verb, path, body)
            taken[what].append((time.monotonic() - moment) * 1000)
