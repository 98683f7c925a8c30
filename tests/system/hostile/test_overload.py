"""Everything at once: as many operations as there may be, thousands of connections whose clients send half requests,
do not read, or want streams of events, and more requests than are answered.
"""

import json
import re
from collections import Counter
from contextlib import suppress

from support.py.harness import FINAL, eventually
from support.py.crowd import GROWTH, Costs, Crowd, many, timed
from support.py.streams import Stream

OPERATIONS = 10000      # operations.max
CALLERS = 100
STREAMS = 1000
PLACES = 256            # http.max_requests, also of streams
TOTAL = 5000            # connections
LATER = 10000           # ms; a stream with a place is told a shorter time
PATIENCE = 1200         # seconds, until all operations have ended on a busy machine

# What clients send and leave at that: half a head, half a body, a question whose answer they do not read.
HALVES = (b"GET /api/v1/volu", b"POST /api/v1/volumes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{",
          b"GET /api/v1/operations?limit=500 HTTP/1.1\r\nHost: localhost\r\n\r\n")


class Health:
    """How long the slowest answer took, of questions asked now and then."""

    def __init__(self, daemon):
        self._daemon, self.late = daemon, 0

    def ask(self):
        answer, seconds = timed(lambda: self._daemon.rest("GET", "/api/v1/health"))
        # The store may be late on a busy machine, and health says so.
        assert answer.status in (200, 503), answer.body
        self.late = max(self.late, seconds)


def operations(world):
    """All of them, in whole pages."""
    path = "/api/v1/operations?limit=1000"
    while path:
        answer = world.daemon.rest("GET", path)
        yield from answer.json
        path = answer.headers["Link"] and answer.headers["Link"][1:].split(">")[0]


def active(world):
    return world.daemon.health()["details"]["active_operations"]


def fill(world, volume, health):
    """The ids of the operations that were accepted until there is room for no more, and the answers to the others."""
    request = f"POST /api/v1/volumes/{volume}/detach HTTP/1.1\r\nHost: localhost\r\n\r\n"
    accepted, refused = set(), []
    with Crowd(world.daemon, CALLERS) as crowd:
        while not any(text.startswith("HTTP/1.1 429") for text in refused):
            for caller in crowd:
                caller.send(request)
            health.ask()
            for text in (caller.answer() for caller in crowd):
                if text.startswith("HTTP/1.1 201"):
                    accepted.add(json.loads(text.partition("\r\n\r\n")[2])["id"])
                else:
                    refused.append(text)
    return accepted, refused


def check_refusals(texts):
    """Each says when to come back; how many there are of each status."""
    for text in texts:
        assert text.startswith(("HTTP/1.1 429", "HTTP/1.1 503")) and "\r\nRetry-After: " in text, text
    return Counter(text[9:12] for text in texts)


def open_streams(world, crowd, health):
    """How many streams go on; the others are told nothing but the time to come back after, and end."""
    for number, client in enumerate(crowd):
        client.get("/api/v1/events")
        if number % 100 == 0:
            health.ask()
    going = 0
    for client in crowd:
        text = b""
        while not (told := re.search(rb"retry: (\d+)\r?\n", text)):
            more = client.socket.recv(65536)
            assert more, text
            text += more
        assert text.startswith(b"HTTP/1.1 200"), text
        has_place = int(told[1]) < LATER
        assert has_place or b"data:" not in text, text
        going += has_place
    return going


def crowd_in(world, health):
    """Thousands of connections, each with a request of which something is missing."""
    crowd = Crowd(world.daemon)
    for number in range(many(TOTAL) - STREAMS):
        crowd.extend(Crowd(world.daemon, 1, receive_buffer=4096))
        crowd[-1].push(HALVES[number % len(HALVES)])
        if number % 100 == 0:
            health.ask()
    return crowd


def ask_much(world, crowd, health):
    """The answers to more questions at once than are answered; who has got none was closed for the sake of others."""
    answers = []
    for client in crowd:
        client.push(b"GET /api/v1/operations?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    health.ask()
    for client in crowd:
        with suppress(OSError):
            if text := client.answer():
                answers.append(text)
    return answers


def test_everything_at_once(hasty_world, figure):
    world = hasty_world
    world.cloud.set(job_delay=3600)
    volume = world.volume()
    first = world.daemon.attach(volume)
    health, costs = Health(world.daemon), Costs(world.daemon)
    begun = costs
    accepted, refused = fill(world, volume, health)
    assert len(accepted) == OPERATIONS - 1
    of_operations, costs = costs.peak_growth, Costs(world.daemon)
    with Crowd(world.daemon, STREAMS) as streams:
        going = open_streams(world, streams, health)
        with crowd_in(world, health), Crowd(world.daemon, 2 * PLACES) as askers:
            answers = ask_much(world, askers, health)
        growth = costs.peak_growth
    counts = check_refusals(refused + [text for text in answers if not text.startswith("HTTP/1.1 200")])

    # It recovers when they have left: all who were let in get what they were promised.
    with Stream(world.daemon) as stream:
        world.cloud.set(job_delay=0)
        world.cloud.hurry()
        stream.ended(first["id"])
    _, seconds = timed(lambda: eventually(lambda: not active(world), "all operations end", PATIENCE))
    ended = {record["id"] for record in operations(world) if record["status"] in FINAL}
    assert accepted <= ended, f"accepted, and not ended: {accepted - ended}"
    world.daemon.completed(world.daemon.create())
    figure(f"{OPERATIONS} queued operations, {many(TOTAL)} connections with half requests and unread answers, "
           f"{STREAMS} streams of events at once",
           "health within 5 s, growth less than 256 MiB for operations and 256 MiB for clients, others told to come "
           "back, nothing lost",
           f"{1000 * health.late:.1f} ms, {of_operations:.0f} MiB for operations and {growth:.0f} MiB for clients, "
           f"then {begun.growth:.0f} MiB, {going} streams, "
           f"{counts['429']} times 429, {counts['503']} times 503; lost 0, the queue empty after {seconds:.1f} s")
    assert health.late < 5 and max(of_operations, growth) < 2 * GROWTH and going <= PLACES
