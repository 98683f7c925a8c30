# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bodies that cost more to understand than to send."""

import subprocess
import sys
import time

import pytest
from support.py.crowd import GROWTH, Costs, timed
from support.py.waiting import DEADLINE, Lines

CALLERS = 8
SECONDS = 3


def percentile(times):
    """The 99th: one answer that a busy machine made late does not count."""
    return sorted(times)[(len(times) - 1) * 99 // 100]


def late_health(daemon, seconds=SECONDS):
    """The 99th percentile of health's answers for some seconds."""
    late, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        late.append(timed(daemon.health)[1])
        time.sleep(0.005)
    return percentile(late)


# A process of its own, so that it takes no time from the one that measures.
CALLER = """
import http.client, sys
values, port = map(int, sys.argv[1:])
body = b"[" + b"0," * (values - 2) + b"0]"
while True:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("POST", "/api/v1/volumes", body)
    answer = connection.getresponse()
    print(answer.status, answer.read().decode(), flush=True)
    connection.close()
"""


def disturb(daemon, values):
    """Callers that send an array of so many values all the time: how late health is, and what they are answered."""
    callers = [subprocess.Popen([sys.executable, "-c", CALLER, str(values), str(daemon.port)], stdout=subprocess.PIPE,
                                text=True) for _ in range(CALLERS)]
    try:
        answers = [caller.stdout.readline() for caller in callers]
        return late_health(daemon), answers
    finally:
        for caller in callers:
            caller.kill()
            caller.communicate()


def test_bodies_of_many_values(world, figure):
    undisturbed = late_health(world.daemon, 1)
    costs = Costs(world.daemon)
    late, answers = disturb(world.daemon, 500_000)
    assert all(answer.startswith("413") and "50000 values" in answer for answer in answers), answers
    allowed, answers = disturb(world.daemon, 50_000)
    assert all(answer.startswith("400") for answer in answers), answers
    figure(f"{CALLERS} callers with bodies of 500,000 values of JSON", "99 % of health within 100 ms",
           f"{1000 * late:.1f} ms, with 50,000 values {1000 * allowed:.1f} ms ({1000 * undisturbed:.1f} ms undisturbed)")
    # Ten times the limit; a busy machine is late without callers as well.
    limit = max(1, 50 * undisturbed)
    assert late < limit and allowed < limit and costs.peak_growth < GROWTH


# A CloudStack that answers everything with millions of zeros; likewise.
MANY_VALUES = """
import http.server, os

os.nice(19)     # it sends as much as it can, and others measure

class ManyValues(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    body = b"[" + b"0," * 3_900_000 + b"0]"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)
        print("answered", flush=True)

    do_POST = do_GET

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), ManyValues)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture
def many_values():
    """Its port, and what it prints."""
    server = subprocess.Popen([sys.executable, "-c", MANY_VALUES], stdout=subprocess.PIPE, text=True)
    lines = Lines(server.stdout)
    try:
        yield int(lines.wait(str.strip)), lines
    finally:
        server.kill()
        server.wait()


def test_a_reply_of_many_values(make_world, many_values, figure):
    port, lines = many_values
    world = make_world(start=False, cloud={"url": f"http://127.0.0.1:{port}/client/api", "timeout": "10s"})
    world.bus.start()
    world.daemon.start()
    costs = Costs(world.daemon)
    times = []
    until = time.monotonic() + DEADLINE
    while sum(line == "answered" for line in lines.all()) < 5:
        assert time.monotonic() < until, lines.all()
        times.append(timed(lambda: world.daemon.rest("GET", "/health"))[1])
    late = percentile(times + answer_times(world.daemon))
    assert "values of JSON" in world.daemon.rest("GET", "/health").json["cloudstack_health"]
    figure("replies of CloudStack with 4 million values", "99 % of health within 100 ms, growth less than 128 MiB",
           f"{1000 * late:.1f} ms, {costs.peak_growth:.0f} MiB")
    assert late < 1 and costs.peak_growth < GROWTH


def answer_times(daemon):
    """How long health's answers take, whatever they say, for a second."""
    times, until = [], time.monotonic() + 1
    while time.monotonic() < until:
        times.append(timed(lambda: daemon.rest("GET", "/health"))[1])
    return times
