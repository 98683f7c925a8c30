# SPDX-License-Identifier: LGPL-2.1-or-later
"""The database server in trouble, while the daemon runs and at its start.

What holds for a file on a broken disk holds here: a change that could not be kept is refused before
anything has happened, what is known is still told, what is under way waits, and when the server is
back all goes on by itself. What a server can do besides: be cut off in the middle of a COMMIT.
"""

import os
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import cloudsim
import pytest
from support.py import stores
from support.py.certificates import FAULTS, Authority
from support.py.mariadb import MariaDB, Relay
from support.py.mariadb.impostor import Impostor
from support.py.mariadb.server import PASSWORD, new_folder

from .trouble import FOREVER, refused, unhealthy, unhealthy_soon, wait_well

pytestmark = pytest.mark.skipif(stores.KIND != "mariadb", reason="it is about MariaDB")


@pytest.fixture
def server():
    """One of the test's own, which it may treat as it likes."""
    server = MariaDB().start()
    yield server
    server.kill()


def through(database, port, options=""):
    return {"store": {**database.settings, "url": database.url(port, options=options)}}


# ---- away, in every way ----

@contextmanager
def stopped(server, _database):
    server.stop()
    yield
    server.start()


@contextmanager
def killed(server, _database):
    server.kill()
    yield
    server.start()


@contextmanager
def frozen(server, _database):
    server.freeze()
    yield
    server.thaw()


@contextmanager
def read_only(server, _database):
    server.sql("SET GLOBAL read_only = 1")
    yield
    server.sql("SET GLOBAL read_only = 0")


@contextmanager
def out_of_connections(server, database):
    """One is left, which is not enough."""
    server.sql(f"GRANT USAGE ON *.* TO {database.user} WITH MAX_USER_CONNECTIONS 1")
    server.sql(f"KILL USER {database.user}")
    yield
    server.sql(f"GRANT USAGE ON *.* TO {database.user} WITH MAX_USER_CONNECTIONS 0")


@contextmanager
def no_rights(server, database):
    server.sql(f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {database.user}")
    server.sql(f"KILL USER {database.user}")
    yield
    server.sql(f"GRANT ALL ON {database.name}.* TO {database.user}")


@pytest.mark.parametrize("away, words", [
    (stopped, ["check the server"]), (killed, ["check the server"]), (frozen, []),
    (read_only, ["only reads"]), (out_of_connections, ["max_connections"]),
    (no_rights, ["give the user"])], ids=lambda x: getattr(x, "__name__", ""))
def test_away_and_back(server, make_world, away, words):
    database = server.database()
    world = make_world(store=database.settings)
    daemon = world.daemon
    volumes = [world.volume() for _ in range(3)]
    shown = world.attached()
    world.cloud.clear_requests()
    world.cloud.set_faults([{"do": "slow", "seconds": FOREVER, "command": "attachVolume", "times": 3}])
    running = [daemon.attach(volume) for volume in volumes]
    world.cloud.wait_request("attachVolume")     # the others wait for its end

    with away(server, database):
        unhealthy_soon(daemon)
        text = refused(daemon)
        assert all(word in text for word in words), text
        assert PASSWORD not in text
        unhealthy(daemon)
        assert daemon.get(f"/api/v1/volumes/{shown[0]}/device")["device_path"] == shown[1]
        assert [daemon.operation(o["id"])["status"] for o in running] == \
            ["executing", "pending", "pending"]

    wait_well(daemon)
    for operation, volume in zip(running, volumes):
        world.assert_is(daemon.completed(operation)["response"]["device_path"], volume)
    daemon.completed(daemon.detach(volumes[0]))
    daemon.stop()
    assert_in_order(database, running)
    assert PASSWORD not in daemon.text


def assert_in_order(database, operations):
    for operation in operations:
        steps = [row[0] for row in database.rows(
            "SELECT new_status FROM volume_operation_history WHERE operation_id = "
            f"'{operation['id']}' ORDER BY id")]
        assert steps[0] == "pending" and steps[-1] == "completed", steps
        assert set(steps[1:-1]) == {"executing"}
    doubles = database.rows("SELECT volume_id FROM device_mappings GROUP BY volume_id HAVING COUNT(*) > 1")
    assert not doubles


# ---- a COMMIT whose answer never comes ----

@pytest.fixture
def wired(make_world):
    """A world whose daemon reaches the server by a wire that can be cut."""
    relay = Relay(stores.server().port)
    world = make_world(start=False)
    world.daemon.configure(**through(world.daemon.store, relay.port))
    yield world.start(), relay
    world.daemon.stop()
    relay.close()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("statement", ["UPDATE volume_daemon_lease SET writes", "COMMIT"], ids=["first", "last"])
def test_cut_while_a_request_is_accepted(wired, statement, after):
    world, relay = wired
    volume = world.volume()
    relay.cut_at(statement, after)
    operation = world.daemon.attach(volume)
    world.assert_is(world.daemon.completed(operation)["response"]["device_path"], volume)
    assert relay.cuts == 1
    assert len(world.daemon.get("/api/v1/operations")) == 1
    world.daemon.stop()
    assert_in_order(world.daemon.store, [operation])


def test_cut_at_every_commit_of_an_operation(wired):
    world, relay = wired
    before = 0
    for after in (False, True):
        for nth in range(1, 8):
            volume = world.volume()
            relay.cut_at("COMMIT", after, nth)
            operation = world.daemon.attach(volume)
            world.assert_is(world.daemon.completed(operation)["response"]["device_path"], volume)
            world.daemon.completed(world.daemon.detach(volume))
            assert relay.cuts == before + 1
            before = relay.cuts
    world.daemon.stop()
    statuses = world.daemon.store.rows("SELECT status, COUNT(*) FROM volume_operations GROUP BY status")
    assert statuses == [["completed", "28"]]
    assert world.daemon.store.rows("SELECT volume_id FROM device_mappings") == []


def test_nothing_is_promised_that_may_be_lost(wired):
    """The wire is cut for good in the middle of a COMMIT: the answer comes when it is mended."""
    world, relay = wired
    for _ in range(10):
        answer, waited = asked_over_a_cut_wire(world, relay)
        if waited:
            break
        # Another COMMIT of the daemon's came first, so the request has met a store that is away.
        assert answer.status == 503, answer
        wait_well(world.daemon)
    assert waited and answer.status == 201, answer
    world.daemon.completed(answer.json)
    assert len(world.daemon.get("/api/v1/operations")) == 1


def asked_over_a_cut_wire(world, relay):
    """The answer to an attachment, and whether it came only after the wire was mended."""
    volume = world.volume()
    relay.cut_at("COMMIT", True, stay=True)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(world.daemon.rest, "POST", f"/api/v1/volumes/{volume}/attach",
                              {"vm_id": cloudsim.APPLIANCE_VM})
        unhealthy_soon(world.daemon)
        refused(world.daemon)
        waited = not waiting.done()
        relay.mend()
        return waiting.result(), waited


# ---- hosts, encryption, names ----

def test_the_next_host_is_used(server, make_world):
    database = server.database()
    relay = Relay(server.port)
    world = make_world(store={**database.settings, "url": database.url(relay.port, server.port)})
    relay.cut()
    world.attached()
    assert world.daemon.health()["status"] == "healthy"
    relay.close()


def test_no_host_at_start(make_world):
    database = stores.server().database()
    world = make_world(start=False, **through(database, 1))
    world.bus.start()
    text = world.daemon.fails_to_start()
    assert "127.0.0.1:1" in text and "check the server" in text and PASSWORD not in text


def test_a_password_in_the_url(make_world):
    world = make_world(start=False, store={"url": "mariadb://me:opensesame@127.0.0.1/volumes"})
    world.bus.start()
    text = world.daemon.fails_to_start()
    assert "password_file" in text and "opensesame" not in text


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A certificate for 127.0.0.1 that signs itself, where the server can read it."""
    folder = stores.server().folder / "tls"
    folder.mkdir(exist_ok=True)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem",
         "-out", folder / "cert.pem"], check=True, capture_output=True)
    (folder / "key.pem").chmod(0o644)
    return folder


@pytest.fixture
def encrypted(certificates):
    server = MariaDB(**{"ssl-cert": certificates / "cert.pem", "ssl-key": certificates / "key.pem",
                        "require-secure-transport": "on"}).start()
    yield server
    server.kill()


def test_tls(encrypted, certificates, make_world):
    database = encrypted.database()
    options = f"?tls=verify&ca={certificates / 'cert.pem'}"
    world = make_world(**through(database, encrypted.port, options))
    world.attached()


def test_tls_with_a_certificate_nobody_vouches_for(encrypted, make_world):
    world = make_world(start=False, **through(encrypted.database(), encrypted.port, "?tls=verify"))
    world.bus.start()
    text = world.daemon.fails_to_start()
    assert "certificate" in text and "ca= in the store url" in text


@pytest.fixture
def disordered(tmp_path):
    """A server and a function that gives it a certificate with one of FAULTS."""
    authority = Authority(tmp_path / "pki")
    folder = new_folder()
    files = {"ssl-cert": folder / "cert.pem", "ssl-key": folder / "key.pem"}

    def certify(fault):
        for made, used in zip(authority.sign_with(fault), files.values(), strict=True):
            used.write_bytes(made.read_bytes())
            used.chmod(0o644)

    certify(None)
    server = MariaDB(**files).start()
    yield server, authority, certify
    server.kill()


def test_tls_with_a_certificate_out_of_order(disordered, make_world):
    server, authority, certify = disordered
    database = server.database()
    for fault, words in FAULTS.items():
        certify(fault)
        server.sql("FLUSH SSL")
        world = make_world(start=False, **through(
            database, server.port, f"?tls=verify&ca={authority.file}"))
        world.bus.start()
        text = world.daemon.fails_to_start()
        assert not [word for word in words if word not in text], (fault, text)
        assert [other for other in FAULTS if FAULTS[other][0] in text] == [fault], text


def test_a_server_without_tls_is_not_trusted(make_world):
    database = stores.server().database()
    world = make_world(start=False, **through(database, stores.server().port, "?tls=on"))
    world.bus.start()
    assert "does not offer TLS" in world.daemon.fails_to_start()


# ---- another program in the place of the server ----

def options_of(tls, certificates):
    return f"?tls={tls}" + (f"&ca={certificates / 'cert.pem'}" if tls == "verify" else "")


@pytest.mark.parametrize("tls", ["on", "verify"])
def test_without_tls_a_later_server_learns_nothing(make_world, encrypted, certificates, tls):
    """It takes the place of the server while the daemon runs."""
    relay = Relay(encrypted.port)
    with Impostor("mysql_native_password") as impostor:
        world = make_world(**through(encrypted.database(), relay.port, options_of(tls, certificates)))
        world.attached()
        relay.cut()
        relay.mend(impostor.port)
        assert "does not offer TLS" in unhealthy_soon(world.daemon)
        assert world.daemon.rest("POST", f"/api/v1/volumes/{world.volume()}/attach",
                                 {"vm_id": cloudsim.APPLIANCE_VM}).status == 503
        relay.cut()
        relay.mend(encrypted.port)
        wait_well(world.daemon)
        world.attached()
    world.daemon.stop()
    relay.close()
    assert impostor.logins == []


def test_a_server_that_stops_in_its_greeting(make_world):
    """It waits for a client that goes on without having seen all of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        def greet():
            with listener.accept()[0] as client:
                client.sendall(b"\x4a\0\0\0\x0a5.5")
                return client.recv(100)

        told = pool.submit(greet)
        port = listener.getsockname()[1]
        world = make_world(start=False, **through(stores.server().database(), port, "?tls=on"))
        world.bus.start()
        assert "cannot be used" in world.daemon.fails_to_start()
        assert told.result() == b""


@pytest.fixture
def frugal():
    """A server that takes 16 KiB in a statement."""
    server = MariaDB(**{"max-allowed-packet": "16384"}).start()
    yield server
    server.kill()


def test_a_request_too_large_for_the_server(frugal, make_world):
    daemon = make_world(store=frugal.database().settings).daemon
    body = {"name": "large", "size": cloudsim.GIB, "disk_offering_id": cloudsim.OFFERING_CUSTOM,
            "zone_id": cloudsim.ZONE}
    answer = daemon.rest("POST", "/api/v1/volumes", body | {"metadata": {"text": "x" * 16_000}})
    assert answer.status == 413 and answer.json["code"] == "TOO_LARGE", answer
    assert "max_allowed_packet" in answer.json["error"]
    assert daemon.rest("GET", "/health").status == 200
    answer = daemon.rest("POST", "/api/v1/volumes", body | {"metadata": {"text": "x" * 4_000}})
    assert answer.status == 201, answer
    daemon.completed(answer.json)
    assert len(daemon.get("/api/v1/operations")) == 1


@pytest.fixture
def replicated():
    """A server whose replicas get statements, the default of MySQL 5 and MariaDB 10.1."""
    server = MariaDB(**{"log-bin": "log", "binlog-format": "STATEMENT"}).start()
    yield server
    server.kill()


def test_a_server_that_logs_statements(replicated, make_world):
    world = make_world(store=replicated.database().settings)
    volume = world.volume()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: world.attached(), range(8)))
    world.daemon.completed(world.daemon.attach(volume))
    world.daemon.stop()
    world.daemon.start().wait_healthy()
    world.daemon.completed(world.daemon.detach(volume))


def test_what_others_write_with_sql_is_refused_by_its_own_name(world):
    volume, path = world.attached()
    row = world.daemon.store.rows("SELECT vm_id FROM device_mappings")[0][0]
    with pytest.raises(AssertionError, match="Duplicate entry .* for key 'unique_device_path'"):
        world.daemon.store.rows("INSERT INTO device_mappings (id, volume_id, vm_id, device_path) VALUES "
                                f"('x', 'y', '{row}', '{path}')")
    assert world.daemon.get(f"/api/v1/volumes/{volume}/device")["device_path"] == path
