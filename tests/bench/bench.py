#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The figures of data/doc/FIGURES.md, measured on this machine now.

How long an attach takes from the kernel's disk to the D-Bus signal, what the idle daemon costs, what
its REST costs beside an evhttp that sends a fixed text, what many operations at once cost
CloudStack, what an export that comes and goes costs those who read another one, how long a start
takes that finds very much unfinished, and what the stores cost. Asserts nothing: figures depend on the machine, only
their ratios travel. VOLD_BUILD names the build to measure.
"""

import argparse
import contextlib
import json
import os
import re
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from pathlib import Path

# First, since it shows where the packages of the tests are.
from rig import (PATIENCE, REQUESTS, BenchError, await_line, configure, make_disks, program, running,
                 serving, show, signals)
import stores
from cloudsim import ids
from cloudsim.plug import PlugError, make_plug
from cloudsim.sim import CloudSim

TICKS = os.sysconf("SC_CLK_TCK")


def measure_attach(daemon, sim, disks, run, count):
    """Each disk is plugged by hand once the daemon has seen the job end and only waits for it."""
    sim.set_faults([{"do": "no_plug", "command": "attachVolume", "times": 0}])
    volumes = [v for v in sim.state()["volumes"] if v["type"] == "DATADISK"]
    taken = []
    with signals(daemon, run) as witness:
        for index in range(count):
            volume = volumes[index % len(volumes)]
            path = f"/api/v1/volumes/{volume['id']}"
            operation = daemon.ask("POST", f"{path}/attach", {"vm_id": ids.APPLIANCE_VM})["id"]
            daemon.await_step(operation, "await-device")
            witness.forget()
            begin = disks.appear(sim, volume["id"], volume["size"])
            end = witness.first(lambda line: b'"OperationCompleted"' in line
                                and operation.encode() in line and b'"completed"' in line)
            taken.append((end - begin) * 1000)
            daemon.finish(daemon.ask("POST", f"{path}/detach")["id"])
    sim.clear_faults()
    show(f"attach: {disks.what}", f"{statistics.median(taken):.1f} ms",
         f"median of {count}, {min(taken):.1f} to {max(taken):.1f}; {disks.how}")


def switches(pid):
    """Voluntary context switches of all threads: each is a wake-up that ended in waiting."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        total += int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", status.read_text(), re.M)[1])
    return total


def measure_idle(daemon, sim, seconds):
    pid = daemon.process.pid
    time.sleep(3)       # what the start began has ended
    before = switches(pid)
    time.sleep(seconds)
    rate = (switches(pid) - before) / seconds
    status = Path(f"/proc/{pid}/status").read_text()
    resident, own = (int(re.search(rf"^{key}:\s*(\d+)", status, re.M)[1]) / 1024
                     for key in ("VmRSS", "RssAnon"))
    show("idle: resident memory", f"{resident:.1f} MiB", f"{own:.1f} MiB of it not shared")
    show("idle: wake-ups a second", f"{rate:.2f}", f"all threads, over {seconds} s")


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def load(process, url, seconds):
    """(requests a second, server's CPU microseconds a request) under wrk."""
    before = cpu_seconds(process.pid)
    done = subprocess.run(["wrk", "-t1", "-c32", f"-d{seconds}s", url], capture_output=True,
                          text=True, check=True)
    used = cpu_seconds(process.pid) - before
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise BenchError(f"wrk at {url}:\n{done.stdout}")
    requests = int(re.search(r"(\d+) requests in", done.stdout)[1])
    rate = float(re.search(r"Requests/sec:\s*([\d.]+)", done.stdout)[1])
    return rate, used / requests * 1e6


def measure_http(daemon, sim, build, run, rounds, seconds):
    """In turns, because a neighbour's load changes by the minute."""
    volume = next(v["id"] for v in sim.state()["volumes"] if v["type"] == "DATADISK")
    ours = f"{daemon.url}/api/v1/volumes/{volume}"
    with urllib.request.urlopen(ours) as reply:
        length = len(reply.read())
    log = run / "bench_http.log"
    with running([program(build, "tests/bench/bench_http"), str(length)], log) as process:
        bare = await_line(process, log, r"listening on (http://[\w.:]+)")[1]
        load(daemon.process, ours, 1)
        load(process, bare, 1)
        pairs = [(load(daemon.process, ours, seconds), load(process, bare, seconds))
                 for _ in range(rounds)]
    rates = [daemon[0] / bare[0] for daemon, bare in pairs]
    costs = [bare[1] / daemon[1] for daemon, bare in pairs]
    how = (f"median of {rounds} pairs of {seconds} s, {length} bytes; "
           f"http.anonymous_requests raised to {REQUESTS:,}")

    def middle(side, figure):
        return statistics.median(pair[side][figure] for pair in pairs)

    show("GET volume, requests a second to bare", f"{statistics.median(rates):.2f}",
         f"{middle(0, 0):,.0f} to {middle(1, 0):,.0f}; {how}")
    show("GET volume, requests a CPU second to bare", f"{statistics.median(costs):.2f}",
         f"{middle(0, 1):.1f} and {middle(1, 1):.1f} us of CPU each")


# -- exports

STREAM = 256 << 20      # bytes that a client reads


def read_all(uri):
    """Seconds that a client needs to read an export; it fails when an answer does."""
    moment = time.monotonic()
    subprocess.run(["nbdcopy", uri, "null:"], check=True, capture_output=True)
    return time.monotonic() - moment


def change_until(stop, daemon, volume, taken):
    """Remove and add one export over and over; notes how long each took, in ms."""
    while not stop.is_set():
        for what, verb, path, body in (
                ("remove", "DELETE", f"/api/v1/exports/{volume}", None),
                ("add", "POST", "/api/v1/exports", {"volume_id": volume})):
            moment = time.monotonic()
            daemon.ask(verb, path, body)
            taken[what].append((time.monotonic() - moment) * 1000)


def measure_exports(daemon, sim, rounds):
    """One volume is read while the export of another one comes and goes, and in turns while not."""
    volumes = [v["id"] for v in sim.state()["volumes"] if v["type"] == "DATADISK"][:2]
    for volume in volumes:
        daemon.finish(daemon.ask("POST", f"/api/v1/volumes/{volume}/attach",
                                 {"vm_id": ids.APPLIANCE_VM})["id"])
    read, changed = volumes
    with open(daemon.ask("GET", f"/api/v1/volumes/{read}/device")["device_path"], "r+b") as disk:
        for _ in range(STREAM >> 20):
            disk.write(os.urandom(1 << 20))
    export = daemon.ask("GET", f"/api/v1/exports/{read}")
    uri = f"nbd://127.0.0.1:{export['port']}/{export['export_name']}"
    taken, ratios = {"remove": [], "add": []}, []
    read_all(uri)
    for _ in range(rounds):
        alone = read_all(uri)
        stop = threading.Event()
        changer = threading.Thread(target=change_until, args=(stop, daemon, changed, taken))
        changer.start()
        try:
            ratios.append(alone / read_all(uri))
        finally:
            stop.set()
            changer.join()
    for what, figures in taken.items():
        show(f"export {what}, while another one is read", f"{statistics.median(figures):.1f} ms",
             f"median of {len(figures)}, {min(figures):.1f} to {max(figures):.1f}")
    show("throughput of the reader, to undisturbed", f"{statistics.median(ratios):.2f}",
         f"median of {rounds} pairs of {STREAM >> 20} MiB, no errors")


# -- many at once

def finish_all(daemon, sim, what, begin, count):
    """Begin so many changes one right after the other, and count what all of them ask the cloud."""
    sim.clear_requests()
    moment = time.monotonic()
    operations = [begin(index)["id"] for index in range(count)]
    for operation in operations:
        daemon.finish(operation)
    taken = time.monotonic() - moment
    asked = Counter(request["command"] for request in sim.requests())
    detail = ", ".join(f"{number} {command}" for command, number in asked.most_common())
    show(f"{what}: CloudStack calls each, {count} at once", f"{asked.total() / count:.2f}",
         f"{taken:.1f} s; {detail}")


def measure_many(build, run, disks, counts):
    """To other machines, four volumes each: their disks are not ours to see, and a machine's jobs
    queue up."""
    for count in counts:
        with CloudSim(0, "none", job_delay=1.5) as sim:
            machines = [sim.put_vm(name=f"bench-{index}")["id"] for index in range(-(-count // 4))]
            volumes = [sim.put_volume(name=f"bench-{index}", size=ids.GIB)["id"]
                       for index in range(count)]
            with serving(build, run, sim, disks, poll="500ms") as daemon:
                def attach(index):
                    return daemon.ask("POST", f"/api/v1/volumes/{volumes[index]}/attach",
                                      {"vm_id": machines[index // 4]})

                def detach(index):
                    return daemon.ask("POST", f"/api/v1/volumes/{volumes[index]}/detach")

                def create(index):
                    return daemon.ask("POST", "/api/v1/volumes", {
                        "name": f"new-{index}", "size": ids.GIB, "zone_id": ids.ZONE,
                        "disk_offering_id": ids.OFFERING_CUSTOM})

                def resize(index):
                    return daemon.ask("POST", f"/api/v1/volumes/{volumes[index]}/resize",
                                      {"size": 2 * ids.GIB})

                def delete_attached(index):
                    return daemon.ask("DELETE", f"/api/v1/volumes/{volumes[index]}")

                # The first change of all also finds out about the server's clock.
                for begin in (attach, detach):
                    daemon.finish(begin(0)["id"])
                for begin in (attach, resize, detach, create):
                    finish_all(daemon, sim, begin.__name__, begin, count)
                for operation in [attach(index)["id"] for index in range(count)]:
                    daemon.finish(operation)
                finish_all(daemon, sim, "delete of an attached volume", delete_attached, count)


# -- a start that finds much

def multiply(database, table, count, change):
    """Copies of a table's only row; `change` gives each its own values."""
    database.row_factory = sqlite3.Row
    row, = database.execute(f"SELECT * FROM {table}").fetchall()
    for index in range(count):
        copy = dict(row) | change(dict(row), index)
        database.execute(f"INSERT INTO {table} ({', '.join(copy)}) "
                         f"VALUES ({', '.join('?' * len(copy))})", list(copy.values()))


def fill_store(build, run, disks, count):
    """A store with so many unfinished attaches and as many mappings, grown from one of each that
    the daemon has written itself."""
    with CloudSim(0, "none") as sim:
        mapped, pending = (sim.put_volume(name=name, size=ids.GIB)["id"] for name in "mp")
        with serving(build, run, sim, disks) as daemon:
            daemon.finish(daemon.ask("POST", f"/api/v1/volumes/{mapped}/attach",
                                     {"vm_id": ids.OTHER_VM})["id"])
            sim.set(job_delay=3600)
            operation = daemon.ask("POST", f"/api/v1/volumes/{pending}/attach",
                                   {"vm_id": ids.OTHER_VM})["id"]
            daemon.await_step(operation, "await-job")
            daemon.process.kill()
            daemon.process.wait()
    with contextlib.closing(sqlite3.connect(run / "bench.db")) as database, database:
        database.execute("DELETE FROM volume_operations WHERE id <> ?", [operation])

        def another_operation(row, index):
            volume, job = str(uuid.uuid4()), str(uuid.uuid4())
            old = json.loads(row["context"])["job_id"]
            return {"id": row["id"][:-8] + f"{index:08x}", "volume_id": volume,
                    "context": row["context"].replace(old, job),
                    "request": row["request"] and row["request"].replace(pending, volume)}

        def another_mapping(row, index):
            volume = str(uuid.uuid4())
            return {"id": row["id"][:-8] + f"{index:08x}", "volume_id": volume,
                    "volume_uuid": volume, "device_path": f"{row['device_path']}-{index}"}

        multiply(database, "volume_operations", count - 1, another_operation)
        multiply(database, "device_mappings", count - 1, another_mapping)


def await_ready(build, config, run, bus):
    """Start the daemon on the store as it is: (seconds until it says READY, MiB resident then)."""
    address = run / "notify"
    address.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(address))
        notify.settimeout(PATIENCE)
        begin = time.monotonic()
        with running([program(build, "src/daemon/volume-daemon"), "--config", str(config)],
                     run / "daemon.log",
                     env=os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": bus,
                                       "NOTIFY_SOCKET": str(address)}) as process:
            while b"READY=1" not in notify.recv(4096):
                pass
            taken = time.monotonic() - begin
            status = Path(f"/proc/{process.pid}/status").read_text()
            resident = int(re.search(r"^VmRSS:\s*(\d+)", status, re.M)[1]) / 1024
            process.kill()
    return taken, resident


def measure_restart(build, run, disks, count, rounds):
    fill_store(build, run, disks, count)
    with CloudSim(0, "none") as sim:
        config = configure(run, sim, disks, poll="500ms")
        bus = f"unix:path={run}/bus"
        with running(["dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address={bus}",
                      "--print-address"], run / "dbus.log") as process:
            await_line(process, run / "dbus.log", "unix:")
            for state, change in (("down", sim.down), ("up", sim.up)):
                change()
                taken = [await_ready(build, config, run, bus) for _ in range(rounds)]
                show(f"start with {count} unfinished, CloudStack {state}",
                     f"{statistics.median(second for second, _ in taken):.2f} s",
                     f"median of {rounds} until READY, {count} mappings; "
                     f"{max(resident for _, resident in taken):.1f} MiB resident then")


def bench(build, run, options):
    disks = make_disks(run)
    measure_many(build, run, disks, options.many)
    measure_restart(build, run, disks, options.unfinished, options.rounds)
    with stores.kinds(run) as kinds:
        stores.measure_accepts(build, run, disks, kinds, options.clients, options.rounds,
                               options.seconds)
        stores.measure_pages(build, run, disks, kinds, 10 * options.rounds)
    with CloudSim(0, make_plug(disks.plug)) as sim:
        for index in range(25):
            sim.put_volume(name=f"bench-{index}", size=ids.GIB, state="Ready")
        with serving(build, run, sim, disks, scan=disks.scan) as daemon:
            measure_attach(daemon, sim, disks, run, options.attaches)
        with serving(build, run, sim, disks) as daemon:
            measure_idle(daemon, sim, options.idle)
            measure_http(daemon, sim, build, run, options.rounds, options.seconds)
        with serving(build, run, sim, disks, engine="qemu-storage-daemon") as daemon:
            measure_exports(daemon, sim, options.rounds)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attaches", type=int, default=25, help="how many (default %(default)s)")
    parser.add_argument("--idle", type=int, default=20,
                        help="seconds to watch (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5,
                        help="pairs of each ratio (default %(default)s)")
    parser.add_argument("--seconds", type=int, default=3, help="of each load (default %(default)s)")
    parser.add_argument("--many", type=int, nargs="*", default=[1, 100, 1000],
                        help="operations at once (default %(default)s)")
    parser.add_argument("--unfinished", type=int, default=10000,
                        help="operations and mappings a start finds (default %(default)s)")
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 16, 64],
                        help="that ask for changes at once (default %(default)s)")
    options = parser.parse_args()
    try:
        if "VOLD_BUILD" not in os.environ:
            raise BenchError("set VOLD_BUILD to the build directory")
        with tempfile.TemporaryDirectory(prefix="volume-bench.") as run:
            bench(Path(os.environ["VOLD_BUILD"]).resolve(), Path(run), options)
    except (BenchError, PlugError, OSError, subprocess.SubprocessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
