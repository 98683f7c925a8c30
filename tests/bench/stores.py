"""What the stores cost: how many requests are accepted, and how a page far back is read.

A request is answered once it is in the store, so what an accept costs is measured beside programs
that insert the same rows and do nothing else, on the same store in turns.
"""

import contextlib
import http.client
import json
import re
import sqlite3
import statistics
import subprocess
import time

from cloudsim import ids
from cloudsim.sim import CloudSim
from rig import HERE, BenchError, configure, program, serving, show, started
from support.py.mariadb import Galera, MariaDB

# Unlike in the tests a commit is on the disk when it is answered.
DURABLE = {"innodb-flush-log-at-trx-commit": "1", "innodb-flush-method": "fsync",
           "innodb-buffer-pool-size": "256M", "innodb-log-file-size": "256M"}
VOLUMES = 64
PAGE, PAGES = 100, 10000
PART = 50000    # rows that are made in one statement


class Sqlite:
    """The file of a daemon."""

    def __init__(self, run):
        self.settings = None
        self.arguments = ["sqlite", str(run / "bench.db")]
        self._path = run / "bench.db"

    def run(self, *statements):
        with contextlib.closing(sqlite3.connect(self._path)) as database, database:
            for statement in statements:
                database.execute(statement)


class Server:
    """A database in a server or cluster."""

    def __init__(self, database):
        self.settings = database.settings
        self.arguments = ["mariadb", str(database.server.port), database.user,
                          str(database.password_file), database.name]
        self.run = lambda *statements: database.rows("; ".join(statements))


@contextlib.contextmanager
def kinds(run):
    """(name, a function that makes a new store) of each kind."""
    with contextlib.ExitStack() as stack:
        server, cluster = MariaDB(**DURABLE), Galera(**DURABLE)
        for each in (server, cluster):
            stack.callback(each.stop)
            each.start()
        yield [("SQLite", lambda: Sqlite(run)),
               ("MariaDB", lambda: Server(server.database())),
               ("Galera", lambda: Server(cluster.database()))]


# -- accepts

def accepts(daemon, volumes, clients, seconds):
    """Answered attachments a second. Each queues up behind one that CloudStack does not end."""
    done = subprocess.run(
        ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "-s", str(HERE / "attach.lua"), daemon.url,
         "--", ids.OTHER_VM, *volumes], capture_output=True, text=True, check=True)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise BenchError(f"wrk:\n{done.stdout}")
    return float(re.search(r"Requests/sec:\s*([\d.]+)", done.stdout)[1])


def inserts(build, store, clients, seconds):
    """The same rows, by a program that has nothing else to do."""
    done = subprocess.run([program(build, "tests/bench/bench_store"), str(clients), str(seconds),
                           *store.arguments], capture_output=True, text=True)
    if done.returncode:
        raise BenchError(done.stderr)
    return float(done.stdout.split()[0])


def measure_accepts(build, run, disks, stores, clients, rounds, seconds):
    for name, new in stores:
        pairs = {count: [] for count in clients}
        for _ in range(rounds):
            store = new()
            with CloudSim(0, "none", job_delay=3600) as sim:
                volumes = [sim.put_volume(name=f"bench-{index}", size=ids.GIB)["id"]
                           for index in range(VOLUMES)]
                with serving(build, run, sim, disks, poll="5s", store=store.settings) as daemon:
                    for volume in volumes:
                        daemon.ask("POST", f"/api/v1/volumes/{volume}/attach",
                                   {"vm_id": ids.OTHER_VM})
                    ours = [accepts(daemon, volumes, count, seconds) for count in clients]
            for count, rate in zip(clients, ours):
                pairs[count].append((rate, inserts(build, store, count, seconds)))
        for count, figures in pairs.items():
            show(f"{name}: durable accepts, to inserts, {count} clients",
                 f"{statistics.median(a / b for a, b in figures):.2f}",
                 f"{statistics.median(a for a, _ in figures):,.0f} to "
                 f"{statistics.median(b for _, b in figures):,.0f} a second; "
                 f"median of {rounds} pairs of {seconds} s")


# -- pages

# One that has ended, for each number. The ids grow with time, as the daemon's do.
FILL = """
INSERT INTO volume_operations (id, type, status, volume_id, vm_id, request, context, created_at,
    updated_at, completed_at, needs_attention, undoing)
WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})
SELECT {id}, 'attach', 'completed', '{volume}', '{vm}', '{{}}', '{{}}', '{time}', '{time}', '{time}',
    0, 0 FROM n
"""
# What each calls the id of number i, and the leave to count so far.
DIALECTS = {
    "SQLite": ("printf('op-%08x-0000-7000-8000-000000000000', i)", []),
    "MariaDB": ("CONCAT('op-', LPAD(LOWER(HEX(i)), 8, '0'), '-0000-7000-8000-000000000000')",
                ["SET SESSION max_recursive_iterations = 10000000"])}


def fill(name, store):
    number, before = DIALECTS[name]
    now = time.strftime("%Y-%m-%d %H:%M:%S.000", time.gmtime())
    for first in range(0, PAGE * PAGES, PART):
        store.run(*before, FILL.format(id=number, time=now, first=first, last=first + PART - 1,
                                       volume=ids.APPLIANCE_VM, vm=ids.OTHER_VM))


def page(connection, path):
    """(path of the next page or None, ms) of one."""
    moment = time.monotonic()
    connection.request("GET", path)
    answer = connection.getresponse()
    count = len(json.load(answer))
    taken = time.monotonic() - moment
    if count != PAGE:
        raise BenchError(f"{path} has {count} operations")
    following = re.match(r'<(.*)>; rel="next"$', answer.headers.get("Link", ""))
    return following and following[1], taken * 1000


def measure_pages(build, run, disks, stores, rounds):
    for name, new in stores:
        if name not in DIALECTS:
            continue
        store = new()
        with CloudSim(0, "none") as sim:
            with serving(build, run, sim, disks, store=store.settings):
                pass    # it has made the tables
            fill(name, store)
            config = configure(run, sim, disks, store=store.settings)
            with started(build, run, config) as daemon:
                connection = http.client.HTTPConnection(daemon.url.removeprefix("http://"))
                first = path = f"/api/v1/operations?limit={PAGE}"
                count = 0
                while path:
                    last, count = path, count + 1
                    path, _ = page(connection, path)
                if count != PAGES:
                    raise BenchError(f"there are {count} pages, not {PAGES}")
                pairs = [(page(connection, first)[1], page(connection, last)[1])
                         for _ in range(rounds)]
                connection.close()
        near, far = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
        show(f"{name}: page {PAGES:,}, to the first one", f"{far / near:.2f}",
             f"{far:.2f} ms to {near:.2f} ms; {PAGE} operations each, medians of {rounds}")
