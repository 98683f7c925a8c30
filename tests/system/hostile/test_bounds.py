# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients that send slowly, half, or do not read: what they cost, and what others notice."""

import time

from support.py.harness import eventually
from support.py.crowd import GROWTH, Client, Costs, Crowd, many, timed

HEAD = "POST /api/v1/volumes HTTP/1.1\r\nHost: localhost\r\n"


def test_slow_requests(world, figure):
    """A byte now and then, on thousands of connections."""
    count = many(5000)
    undisturbed = min(timed(world.daemon.health)[1] for _ in range(5))
    costs = Costs(world.daemon)
    late = 0
    with Crowd(world.daemon) as crowd:
        for _ in range(10):
            crowd.extend(Crowd(world.daemon, count // 10))
            for client in crowd:
                client.push(b"G" if client is crowd[-1] else b"X")
            late = max(late, timed(world.daemon.health)[1])
        held = costs.sockets()
        eventually(lambda: sum(client.is_closed() for client in crowd) >= count - 1280, "the oldest are closed")
        growth = costs.peak_growth
    figure(f"{count} connections that send a byte now and then", "growth less than 128 MiB, health within 1 s",
           f"{growth:.0f} MiB, {held} connections held, {1000 * late:.1f} ms ({1000 * undisturbed:.1f} ms undisturbed)")
    assert growth < GROWTH and late < 10


def test_headers_that_cost_much(world, figure):
    """Thousands of short headers in each request that never ends."""
    costs = Costs(world.daemon)
    headers = "a:b\r\n" * 3000
    with Crowd(world.daemon, many(1000)) as crowd:
        for client in crowd:
            client.push((HEAD + headers).encode())
        late = max(timed(world.daemon.health)[1] for _ in range(5))
        growth = costs.peak_growth
    figure(f"{len(crowd)} requests with 3000 headers each", "growth less than 128 MiB", f"{growth:.0f} MiB")
    assert growth < GROWTH and late < 10


def test_a_request_has_half_a_minute(world, figure):
    """However steadily its bytes come."""
    client = Client(world.daemon)
    client.send(HEAD)
    begun = time.monotonic()
    while not client.is_closed():
        client.push(b"x")
        time.sleep(0.2)
        assert time.monotonic() - begun < 300
    seconds = time.monotonic() - begun
    figure("a request whose bytes come steadily, without end", "closed after 30 s", f"{seconds:.1f} s")
    assert seconds > 25


def test_unfinished_bodies(world, figure):
    """Each a byte short of its 1 MB, about as long as a body may be."""
    length = 1_000_000
    costs = Costs(world.daemon)
    rest = bytes(length - 1)
    late = 0
    with Crowd(world.daemon, many(1000)) as crowd:
        left = {}
        for client in crowd:
            client.send(HEAD + f"Content-Length: {length}\r\n\r\n")
            left[client] = len(rest)
        until = time.monotonic() + 20
        while left and time.monotonic() < until:
            for client in list(left):
                sent = client.push(rest[:left[client]])
                left[client] -= sent or 0
                if sent is None or not left[client]:
                    del left[client]
            late = max(late, timed(world.daemon.health)[1])
        growth = costs.peak_growth
    kept = given_back(costs)
    figure(f"{len(crowd)} unfinished bodies of 1 MB", "growth less than 128 MiB, then given back",
           f"{growth:.0f} MiB, then {kept:.0f} MiB, health within {1000 * late:.0f} ms")
    assert not left, f"{len(left)} have not been taken and not been closed"
    assert growth < GROWTH and late < 10
    assert world.daemon.rest("GET", "/api/v1/operations").status == 200


def test_clients_that_do_not_read(world, figure):
    """Each asks for as much as there is."""
    for number in range(1000):
        world.cloud.put_volume(name=f"{number:0255}")
    path = "/api/v1/volumes?limit=1000&refresh=true"
    size = len(world.daemon.rest("GET", path).body)
    path = "/api/v1/volumes?limit=1000"
    count = len(world.daemon.get(path)["volumes"])
    costs = Costs(world.daemon)
    late = 0
    with Crowd(world.daemon, 500, receive_buffer=4096) as crowd:
        for number, client in enumerate(crowd):
            client.get(path)
            if number % 50 == 49:
                late = max(late, timed(world.daemon.health)[1])
                eventually(client.is_answered, "the lists are made")
        growth = costs.peak_growth
        assert len(world.daemon.get(path)["volumes"]) == count
    kept = given_back(costs)
    figure(f"500 clients that do not read answers of {size / 1e6:.1f} MB", "growth less than 128 MiB, then given back",
           f"{growth:.0f} MiB, then {kept:.0f} MiB, health within {1000 * late:.0f} ms")
    assert growth < GROWTH and late < 10


def given_back(costs):
    """MiB that are still held when the clients have gone."""
    eventually(lambda: costs.growth < 32, "memory is given back")
    return costs.growth
