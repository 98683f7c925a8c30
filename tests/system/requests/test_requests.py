# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whatever is asked, the answer stands in the OpenAPI document, and none is the daemon's own failure.

In a run of all suites the requests are the same each time. With VOLD_REQUESTS_SECONDS it is a search of that length,
from the seed VOLD_REQUESTS_SEED on.
"""

import http.client
import os
import time
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from support.py import openapi
from support.py.waiting import DEADLINE

from .requests import arguments_of, elsewhere, seeds, written

OPERATIONS = [found["operationId"] for verbs in openapi.document()["paths"].values() for found in verbs.values()]
STREAM = "event.stream"
EXAMPLES = 30
SECONDS = int(os.environ.get("VOLD_REQUESTS_SECONDS", "0"))
SEED = int(os.environ.get("VOLD_REQUESTS_SEED", "1"))
# Of the answers; a busy machine may make the store late.
UNAVAILABLE_MAX = 0.05


def at_random(strategy, ask):
    """Ask with values of the strategy: a fixed number, or for a share of the seconds of a search. The first failure
    counts: a request that is sent again meets another daemon."""
    failures, until = [], time.monotonic() + SECONDS / (len(OPERATIONS) + 1)

    def once(values):
        if failures:
            return
        try:
            ask(values)
        except (AssertionError, OSError, http.client.HTTPException) as error:
            failures.append(f"VOLD_REQUESTS_SEED={number}: {values}: {error!r}")

    for number in seeds(SEED):
        seed(number)(settings(max_examples=EXAMPLES, database=None, deadline=None, phases=[Phase.generate],
                              suppress_health_check=list(HealthCheck))(given(strategy)(once)))()
        assert not failures, failures[0]
        if time.monotonic() >= until:
            return


def known_ids(world):
    """Ids of what there is; at least two volumes and a snapshot."""
    volumes = [volume["id"] for volume in world.data_volumes()]
    while len(volumes) < 2:
        volumes.append(world.volume())
    if not world.cloud.state()["snapshots"]:
        world.cloud.put_snapshot(volumes[0])
    state = world.cloud.state()
    operations = [operation["id"] for operation in world.daemon.get("/api/v1/operations?limit=3")]
    return volumes[:4] + [snapshot["id"] for snapshot in state["snapshots"]][:2] + \
        [vm["id"] for vm in state["vms"]] + operations


def open_stream(daemon, target, headers):
    """The beginning of a stream that goes on: the answer is judged by its head."""
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=DEADLINE)
    try:
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        body = None if answer.status == 200 else answer.read()
        openapi.check_reply("GET", target, answer.status, answer.headers, body)
        if answer.status == 200:
            assert answer.readline().startswith(b"retry: ")
        return answer.status
    finally:
        connection.close()


@pytest.mark.parametrize("id", OPERATIONS)
def test_requests_of_the_document(world, id):
    known, statuses = known_ids(world), Counter()

    def ask(values):
        verb, target, headers, body = written(id, values, known)
        if id == STREAM:
            status = open_stream(world.daemon, target, headers)
        else:
            status = world.daemon.rest(verb, target, body, headers).status      # which compares with the document
        assert status < 500 or status == 503, (verb, target, headers, body, status)
        statuses[status] += 1
        if id == "admin.pause":
            world.daemon.rest("POST", "/api/v1/admin/resume")

    at_random(arguments_of(id), ask)
    assert statuses[503] <= UNAVAILABLE_MAX * statuses.total(), statuses


def test_requests_of_no_document(world):
    def ask(request):
        verb, path = request
        if "events" not in path:    # which would not end
            assert world.daemon.rest(verb, f"/{path}").status < 500, request

    at_random(elsewhere(), ask)


def test_it_is_well_afterwards(world):
    """All that was begun ends, and the daemon takes one more change."""
    world.daemon.wait_healthy()
    for status in ("executing", "pending"):
        for operation in world.daemon.get(f"/api/v1/operations?status={status}&limit=1000"):
            world.daemon.ended(operation)
    world.daemon.completed(world.daemon.create())
