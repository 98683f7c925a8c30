# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a page of operations costs, near and far, with filters, and a history, among ten thousand, a hundred thousand
and a million. A page without filters, the newest operations in the order of their key, is what the others are
measured beside: the same number of rows, read by key.
"""

import http.client
import json
import re
import statistics
import time

from cloudsim import ids
from cloudsim.sim import CloudSim
from rig import BenchError, configure, serving, started
from stores import kinds
from table import growth, paired, ratio_at_most

SIZES = (10000, 100000, 1000000)
LIMIT = 100         # operations of a page
PART = 50000        # rows that are made in one statement
ROUNDS = 25
FLAT = 1.5

# Of operation i. Each value that a filter names has at least a page among the first ten thousand; both values of
# the last filter together are one in ten thousand.
FILL = """
INSERT INTO volume_operations (id, type, status, volume_id, vm_id, request, context, created_at,
    updated_at, completed_at, needs_attention, undoing)
WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})
SELECT {id}, CASE WHEN {tens} % 100 = 13 THEN 'resize' ELSE 'attach' END,
    CASE WHEN {hundreds} % 100 = 7 THEN 'failed' ELSE 'completed' END, {volume}, {vm}, '{{}}', '{{}}', {time},
    {time}, {time}, 0, 0 FROM n
"""
FILL_HISTORY = """
INSERT INTO volume_operation_history (id, operation_id, changed_at, previous_status, new_status, details)
SELECT REPLACE(id, 'op-', ''), id, created_at, NULL, 'pending', '{{}}' FROM volume_operations
WHERE id BETWEEN '{first}' AND '{last}'
"""
SERIAL = "-0000-7000-8000-000000000000"
# Each dialect's expressions, and the leave to count so far.
DIALECTS = {
    "SQLite": ({"id": f"printf('op-%08x{SERIAL}', i)", "volume": "printf('%08x-0000-4000-8000-000000000000', i % 100)",
                "vm": "printf('%08x-0000-4000-8000-000000000001', i % 100)",
                "time": "datetime({begin} + i, 'unixepoch') || '.000'", "tens": "(i / 10)", "hundreds": "(i / 100)"},
               []),
    "MariaDB": ({"id": f"CONCAT('op-', LPAD(LOWER(HEX(i)), 8, '0'), '{SERIAL}')",
                 "volume": "CONCAT(LPAD(LOWER(HEX(i % 100)), 8, '0'), '-0000-4000-8000-000000000000')",
                 "vm": "CONCAT(LPAD(LOWER(HEX(i % 100)), 8, '0'), '-0000-4000-8000-000000000001')",
                 "time": "DATE_ADD('1970-01-01', INTERVAL {begin} + i SECOND)", "tens": "(i DIV 10)",
                 "hundreds": "(i DIV 100)"},
                ["SET SESSION max_recursive_iterations = 10000000"])}
VOLUME = "00000005-0000-4000-8000-000000000000"
FILTERS = {"status=failed": "status=failed", "type=resize": "type=resize", "a volume": f"volume_id={VOLUME}",
           "a machine": f"vm_id={VOLUME[:-1]}1", "a volume, status=failed": f"volume_id={VOLUME}&status=failed",
           "type=resize, status=failed": "type=resize&status=failed"}


def measure(bench):
    with kinds(bench.run, *DIALECTS) as stores:
        for name, new in stores:
            yield from measure_store(bench, name, new())


def measure_store(bench, name, store):
    with CloudSim(0, "none") as sim, serving(bench.build, bench.run, sim, bench.disks, store=store.settings):
        pass    # it has made the tables
    times, filled, begin = {}, 0, int(time.time()) - max(SIZES)
    for size in bench.sizes(*SIZES):
        fill(name, store, begin, filled, size)
        filled = size
        with CloudSim(0, "none") as sim:
            config = configure(bench.run, sim, bench.disks, store=store.settings)
            with started(bench.build, bench.run, config) as daemon:
                for what, pairs in measure_pages(daemon, size).items():
                    yield paired(f"{name}, {size:,} operations: {what}", pairs, "ms", aim=ratio_at_most(FLAT),
                                 how=f"{LIMIT} a page, medians of {ROUNDS}")
                    times.setdefault(what, {})[size] = statistics.median(ours for ours, _ in pairs)
    for what, by_size in times.items():
        if len(by_size) > 1:
            yield growth(f"{name}: {what}", by_size, FLAT)


def fill(name, store, begin, filled, size):
    expressions, before = DIALECTS[name]
    expressions = {key: text.format(begin=begin) for key, text in expressions.items()}
    for first in range(filled, size, PART):
        last = min(first + PART, size) - 1
        store.run(*before, FILL.format(first=first, last=last, **expressions))
        store.run(FILL_HISTORY.format(first=f"op-{first:08x}{SERIAL}", last=f"op-{last:08x}{SERIAL}"))


def measure_pages(daemon, size):
    """Pairs of milliseconds of each kind of read, and of the first page that was read in turns."""
    connection = http.client.HTTPConnection(daemon.url.removeprefix("http://"))
    first = f"/api/v1/operations?limit={LIMIT}"
    operation = f"op-{size // 2:08x}{SERIAL}"
    paths = {"the last page": last_page(connection, first, size),
             "a history": f"/api/v1/operations/{operation}/history"}
    paths |= {f"first page of {what}": f"{first}&{words}" for what, words in FILTERS.items()}
    for path in (first, *paths.values()):
        read(connection, path)
    pairs = {what: [(read(connection, path), read(connection, first)) for _ in range(ROUNDS)]
             for what, path in paths.items()}
    connection.close()
    return pairs


def last_page(connection, first, size):
    """The path of the last full page. The path to it is followed by the largest pages that there are."""
    path, left = f"{first.partition('=')[0]}=1000", size
    while left > 1000:
        connection.request("GET", path)
        answer = connection.getresponse()
        left -= len(json.load(answer))
        path = re.match(r'<(.*)>; rel="next"$', answer.headers["Link"])[1]
    return path.replace("limit=1000", f"limit={LIMIT}")


def read(connection, path):
    """Milliseconds of an answer."""
    moment = time.monotonic()
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise BenchError(f"{path}: {body}")
    return (time.monotonic() - moment) * 1000
