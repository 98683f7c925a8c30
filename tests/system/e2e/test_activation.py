"""Sockets of REST that a service manager holds.

The test is the service manager: it opens the sockets, starts the daemon with them, and keeps them while the daemon is
stopped, killed and started again. Clients that connect meanwhile wait, and none is refused. With systemd itself
the same is seen in tests/system/lab.
"""

import contextlib
import fcntl
import http.client
import json
import os
import pwd
import socket
import subprocess
import threading
import time
import uuid
from pathlib import Path

import cloudsim
import pytest
from support.py.stores import any_store, each_store
from support.py.waiting import DEADLINE, eventually

pytestmark = any_store

NOBODY = pwd.getpwnam("nobody")


def _high(held):
    """The same socket under a number that no passed descriptor gets."""
    with held:
        return socket.socket(fileno=fcntl.fcntl(held.fileno(), fcntl.F_DUPFD_CLOEXEC, 100))


def tcp():
    return _high(socket.create_server(("127.0.0.1", 0), backlog=4096))


def unix(path, mode=0o660):
    held = socket.socket(socket.AF_UNIX)
    held.bind(str(path))
    os.chmod(path, mode)
    held.listen(4096)
    return _high(held)


@pytest.fixture
def held():
    """Keeps sockets open until the end of the test."""
    with contextlib.ExitStack() as stack:
        yield stack.enter_context


def port_of(held):
    return held.getsockname()[1]


def ask_unix(path, user=None):
    """The status and the body of the answer to curl over a unix socket."""
    as_user = [] if user is None else ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    done = subprocess.run([*as_user, "curl", "--silent", "--max-time", str(DEADLINE), "--unix-socket", path,
                           "--write-out", "\\n%{http_code}", "http://localhost/health"],
                          capture_output=True, text=True, timeout=DEADLINE + 10, check=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


# ---- which sockets are served ----

def test_the_first_request_waits_for_the_daemon_and_is_answered(make_world, held):
    """The client is there before the daemon is."""
    world = make_world(start=False)
    sockets = [held(tcp())]
    world.daemon.passed = sockets
    world.daemon.configure(http={"listen": f"127.0.0.1:{port_of(sockets[0])}"})
    client = http.client.HTTPConnection("127.0.0.1", port_of(sockets[0]), timeout=DEADLINE)
    client.request("GET", "/health")
    world.start()
    answer = client.getresponse()
    assert answer.status in (200, 503) and b"status" in answer.read()
    client.close()


def test_tcp_and_unix_are_served_besides_the_configured_address(make_world, held, tmp_path):
    path = tmp_path / "http.sock"
    tmp_path.chmod(0o755)
    world = make_world(start=False)
    sockets = [held(tcp()), held(unix(path, mode=0o666))]
    world.daemon.passed = sockets
    world.start()
    said = [line.split("listening on ")[1] for line in world.daemon.log.all() if "listening on" in line]
    assert said[:2] == [f"http://127.0.0.1:{port_of(sockets[0])}", f"unix:{path}"] and len(said) == 3
    assert world.daemon.rest("GET", "/health").status == 200
    world.daemon.port = int(said[2].rsplit(":", 1)[1])
    assert world.daemon.rest("GET", "/health").status == 200
    assert ask_unix(path)[0] == 200
    # http.listen does not name this address, so the log names it.
    added, = [line for line in world.daemon.log.all() if "systemd passed a socket on" in line]
    assert f"on 127.0.0.1:{port_of(sockets[0])}, which http.listen does not name" in added and "without TLS" in added


def test_an_address_that_was_passed_is_not_bound_again(make_world, held):
    world = make_world(start=False)
    world.daemon.passed = [held(tcp())]
    address = f"127.0.0.1:{port_of(world.daemon.passed[0])}"
    world.daemon.configure(http={"listen": f"{address} 127.0.0.1:0"})
    world.start()
    said = [line.split("listening on ")[1] for line in world.daemon.log.all() if "listening on" in line]
    assert said[0] == f"http://{address}" and len(said) == 2
    assert not [line for line in world.daemon.log.all() if "which http.listen does not name" in line]


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user")
def test_the_peer_of_a_passed_unix_socket_is_checked(make_world, held):
    """Its mode lets everybody in here; the daemon does not."""
    world = make_world(start=False)
    # Not below pytest's folder, which each start of a pytest closes to other users.
    folder = Path(world.daemon.run.name)
    folder.chmod(0o755)
    path = folder / "passed.sock"
    world.daemon.passed = [held(tcp()), held(unix(path, mode=0o666))]
    world.start()
    assert ask_unix(path)[0] == 200
    status, body = ask_unix(path, NOBODY)
    assert status == 403 and "may use this socket" in body


def test_a_closed_configuration_takes_no_tcp(make_world, held, tmp_path):
    world = make_world(start=False)
    world.daemon.passed = [held(tcp())]
    world.daemon.configure(http={"listen": f"unix:{tmp_path}/own.sock"})
    world.bus.start()
    said = world.daemon.fails_to_start()
    assert "disable volume-daemon.socket" in said and "volume-daemon-unix.socket" in said


def is_accepted(server, client):
    """The server's end of a connection has an inode from accept() on."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table][1:]
    return any(row[1].endswith(f":{server:04X}") and row[2].endswith(f":{client:04X}") and row[9] != "0"
               for row in rows)


def test_a_stop_waits_for_the_request_of_a_client_that_is_connected(world):
    """Only new clients are left to the next daemon."""
    client = http.client.HTTPConnection("127.0.0.1", world.daemon.port, timeout=DEADLINE)
    client.connect()
    eventually(lambda: is_accepted(world.daemon.port, client.sock.getsockname()[1]), "the connection is accepted")
    world.daemon.process.terminate()
    world.daemon.log.wait(lambda line: "stopping" in line)
    client.request("GET", "/metrics")
    answer = client.getresponse()
    assert (answer.status, answer.headers["Connection"]) == (200, "close")
    answer.read()
    client.close()
    assert world.daemon.exits() == 0


# ---- nobody is refused ----

class Load:
    """Clients that ask for the health, and one that creates volumes, each request on a new connection. A creation that
    got no answer is sent again with the same key; a creation that was answered is acknowledged."""

    CLIENTS = 3

    def __init__(self, port):
        self.port = port
        self.refused, self.reset, self.answered, self.slowest = 0, 0, 0, 0.0
        self.acknowledged = []
        self._lock = threading.Lock()
        self._ends = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(self._look,)) for _ in range(self.CLIENTS)]
        self._threads.append(threading.Thread(target=self._run, args=(self._create,)))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ends.set()
        for thread in self._threads:
            thread.join(2 * DEADLINE)
            assert not thread.is_alive(), "a client has no answer"

    def _run(self, work):
        while not self._ends.is_set():
            work()

    def _ask(self, *request):
        """The answer, or None if the connection broke."""
        begun = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        try:
            connection.request(*request)
            answer = connection.getresponse()
            status, body = answer.status, answer.read()
        except ConnectionRefusedError:
            with self._lock:
                self.refused += 1
            return None
        except (ConnectionError, http.client.HTTPException):
            with self._lock:
                self.reset += 1
            return None
        finally:
            connection.close()
        with self._lock:
            self.answered += 1
            self.slowest = max(self.slowest, time.monotonic() - begun)
        return status, body

    def _look(self):
        self._ask("GET", "/health")

    def _create(self):
        key = str(uuid.uuid4())
        body = (f'{{"name": "{key}", "size": {cloudsim.GIB}, "disk_offering_id": "{cloudsim.OFFERING_CUSTOM}", '
                f'"zone_id": "{cloudsim.ZONE}"}}')
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        while (answer := self._ask("POST", "/api/v1/volumes", body, headers)) is None or answer[0] == 503:
            if self._ends.is_set():
                return
            time.sleep(0.02)    # as a client does that was told to come back
        assert answer[0] == 201, answer
        with self._lock:
            self.acknowledged.append((answer[1], key))

    def await_more(self):
        """Until requests of both kinds were answered from now on."""
        seen, created = self.answered, len(self.acknowledged)
        eventually(lambda: self.answered > seen + 20 and len(self.acknowledged) > created, "answers go on")

    @property
    def words(self):
        return (f"{self.answered} answered, {self.refused} refused, {self.reset} reset, "
                f"{len(self.acknowledged)} creations acknowledged, slowest answer {self.slowest:.1f} s")


@each_store
@pytest.mark.parametrize("how", ["restart", "crash"])
def test_no_connection_is_refused_and_no_acknowledged_operation_is_lost(make_world, held, how, record_property):
    world = make_world(start=False)
    world.daemon.passed = [held(tcp())]
    world.start()
    with Load(port_of(world.daemon.passed[0])) as load:
        for _ in range(3):
            load.await_more()
            if how == "restart":
                world.daemon.stop(at_work=True)
            else:
                world.daemon.kill()
            world.daemon.start()
        load.await_more()
    record_property("figure", f"3 times {how} under load: {load.words}")
    assert load.refused == 0, load.words
    operations = [json.loads(body)["id"] for body, _ in load.acknowledged]
    assert len(set(operations)) == len(operations)
    for operation in operations:
        world.daemon.completed(operation)
    made = [volume["name"] for volume in world.data_volumes()]
    assert sorted(set(made)) == sorted(made), "a volume was made twice"
    assert {key for _, key in load.acknowledged} <= set(made)
