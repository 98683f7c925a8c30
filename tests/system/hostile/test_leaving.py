# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients that leave while they wait, however they leave."""

import pytest
from support.py.harness import eventually
from support.py.crowd import Costs, Crowd, timed

POLLS = 256             # http.max_requests


@pytest.fixture
def polled(world):
    """An operation that goes on, and its long poll."""
    world.cloud.set(job_delay=3600)
    operation = world.daemon.attach(world.volume())
    world.cloud.wait_request("queryAsyncJobResult")
    path = f"/api/v1/operations/{operation['id']}?wait="
    yield path + "60"
    eventually(lambda: world.daemon.rest("GET", path + "1").status == 200, "there is a place to wait")
    world.cloud.restart()
    world.daemon.failed(operation)


def wait_all(daemon, crowd, path):
    """Until each of the crowd waits: the daemon takes what has come before it takes what comes later."""
    for stranger in crowd:
        stranger.get(path)
    for _ in range(3):
        daemon.health()
    assert daemon.rest("GET", path.replace("wait=60", "wait=1")).status == 429


def let_go(costs, sockets):
    """Wait until the connections are held no more; how long that took. CloudStack may have got some meanwhile."""
    return timed(lambda: eventually(lambda: costs.sockets() < sockets + POLLS // 16, "they are let go", 10))[1]


def test_long_polls_that_reset(world, polled, figure):
    costs = Costs(world.daemon)
    sockets = costs.sockets()
    with Crowd(world.daemon, POLLS) as crowd:
        wait_all(world.daemon, crowd, polled)
        for stranger in crowd:
            stranger.reset()
        seconds = let_go(costs, sockets)
    share = costs.cpu_share()
    figure(f"{POLLS} long polls whose clients reset", "all let go within 1 s, then less than 5 % of a core",
           f"{seconds:.2f} s, {100 * share:.1f} %")
    assert seconds < 10 and share < 0.05
    assert world.daemon.rest("GET", polled.replace("wait=60", "wait=1")).status == 200


def test_long_polls_that_are_half_closed(world, polled, figure):
    costs = Costs(world.daemon)
    sockets = costs.sockets()
    with Crowd(world.daemon, POLLS) as crowd:
        wait_all(world.daemon, crowd, polled)
        for stranger in crowd:
            stranger.half_close()
        answers, seconds = timed(lambda: [stranger.answer() for stranger in crowd])
        for answer in answers:
            assert answer.startswith("HTTP/1.1 200") and '"status":"executing"' in answer
        seconds += let_go(costs, sockets)
    share = costs.cpu_share()
    figure(f"{POLLS} long polls that are half-closed", "all answered with the operation within 1 s, then less than 5 % "
           "of a core", f"{seconds:.2f} s, {100 * share:.1f} %")
    assert seconds < 10 and share < 0.05


def test_more_long_polls_than_places(world, polled, figure):
    """They take no place from questions and changes; those that find no place are told to come back."""
    extra = 50
    undisturbed = min(timed(world.daemon.health)[1] for _ in range(5))
    with Crowd(world.daemon, POLLS + extra) as crowd:
        for stranger in crowd:
            stranger.get(polled)
        late = min(timed(world.daemon.health)[1] for _ in range(5))
        created_late = min(timed(world.daemon.create)[1] for _ in range(3))
        refused = [text for text in (stranger.answer() for stranger in crowd[POLLS:])
                   if text.startswith("HTTP/1.1 429")]
        assert len(refused) == extra and all("Retry-After:" in text for text in refused)
    figure(f"{POLLS} + {extra} long polls", f"health and changes in less than 100 ms, {extra} times 429",
           f"{1000 * late:.1f} ms ({1000 * undisturbed:.1f} ms undisturbed), a creation {1000 * created_late:.1f} ms, "
           f"{len(refused)} times 429")
    # A place that is not there is waited for until a long poll ends, after a minute.
    assert late < 10 and created_late < 10
