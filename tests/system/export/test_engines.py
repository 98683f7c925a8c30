# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real engines behind src/nbd/exporter.h, and real clients of them: libnbd's and QEMU's."""

import os
import re
import shutil
import signal
import socket
import subprocess
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support.py.certificates import FAULTS, Authority
from support.py.ports import free_port
from support.py.waiting import eventually

from .driver import MIB, NBDKIT, PROGRAM, QEMU, Client, Driver, fails, run

NAME = "migration-vol-0c8f5a1e-3b7d-4e2f-9a6c-1d2e3f4a5b6c"
OTHER = "migration-vol-1c8f5a1e-3b7d-4e2f-9a6c-1d2e3f4a5b6c"


@pytest.fixture
def start(tmp_path):
    """start(engine, **options) is a driver that ends with the test; also several of them in turn."""
    with ExitStack() as stack:
        def make(engine, **options):
            driver = Driver(tmp_path, engine, **options)
            stack.callback(driver.close)
            return driver

        yield make


@pytest.fixture(params=[QEMU, NBDKIT])
def engine(request):
    return request.param


@pytest.fixture
def driver(start, engine):
    return start(engine)


@pytest.fixture
def disk(tmp_path):
    return make_disk(tmp_path / "disk")


def make_disk(path, size=8 * MIB):
    path.write_bytes(b"")
    os.truncate(path, size)
    return path


def size_over_nbd(uri):
    return int(run("nbdinfo", "--size", uri))


def gone(pid):
    """Also when its parent has not asked yet how it ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    # It may go between the two calls.
    except (FileNotFoundError, ProcessLookupError):
        return True


# ---- the common use ----

def test_served_and_not_any_more(driver, disk):
    driver.do("add", NAME, disk)
    driver.do("check", NAME, 8 * MIB)
    uri = driver.uri(NAME)
    assert size_over_nbd(uri) == 8 * MIB
    run("qemu-io", "-f", "raw", "-c", f"write -P 7 1M {MIB}", uri)
    assert disk.read_bytes()[MIB:2 * MIB] == b"\7" * MIB
    driver.await_unused(NAME)
    seen = driver.exports()
    assert seen == {NAME: {"name": NAME, "device_path": str(disk), "read_only": False,
                           "certain": True, "clients": []}}
    driver.do("remove", NAME)
    assert driver.exports() == {}
    assert NAME in driver.refused("NOT_FOUND", "check", NAME)
    fails("nbdinfo", "--size", uri)


def test_asked_twice(driver, disk):
    for _ in range(2):
        driver.do("add", NAME, disk)
    assert list(driver.exports()) == [NAME]
    for _ in range(2):
        driver.do("remove", NAME)


def test_a_name_and_a_size_are_checked(driver, disk):
    driver.do("add", NAME, disk)
    assert str(8 * MIB) in driver.refused("CONFLICT", "check", NAME, 4 * MIB)
    assert OTHER in driver.refused("NOT_FOUND", "check", OTHER)
    driver.refused("INVALID_REQUEST", "add", "../x", disk)
    driver.refused("NOT_FOUND", "add", NAME, disk.parent / "nowhere")


def test_a_block_device(driver, disk):
    try:
        loop = run("losetup", "--find", "--show", disk).strip()
    except AssertionError:
        pytest.skip("no loop device can be had here")
    try:
        driver.do("add", NAME, loop)
        driver.do("check", NAME, 8 * MIB)
        content = disk.parent / "content"
        content.write_bytes(os.urandom(8 * MIB))
        run("nbdcopy", "--flush", content, driver.uri(NAME))
        run("qemu-img", "compare", "-f", "raw", "-F", "raw", content, driver.uri(NAME))
        with open(loop, "rb") as device:
            assert device.read() == content.read_bytes()
        driver.await_unused(NAME)
        driver.do("remove", NAME)
        os.close(os.open(loop, os.O_RDONLY | os.O_EXCL))  # nobody else holds it
    finally:
        run("losetup", "--detach", loop)


def test_on_a_unix_socket(start, engine, disk, tmp_path):
    path = tmp_path / "nbd.sock"
    driver = start(engine, listen=f"unix:{path}")
    driver.do("add", NAME, disk)
    driver.do("check", NAME, 8 * MIB)
    uri = f"nbd+unix:///{NAME}?socket={path}"
    assert size_over_nbd(uri) == 8 * MIB
    driver.await_unused(NAME)
    with Client(uri) as client:
        client.write(1)
        assert driver.exports()[NAME]["clients"] == ["a local process"]


def test_the_device_of_a_name_is_replaced(driver, disk, tmp_path):
    driver.do("add", NAME, disk)
    driver.do("add", NAME, make_disk(tmp_path / "disk2", 4 * MIB))
    assert size_over_nbd(driver.uri(NAME)) == 4 * MIB
    assert driver.exports()[NAME]["device_path"] == str(tmp_path / "disk2")


def test_another_device_under_the_path(driver, disk, tmp_path):
    driver.do("add", NAME, disk)
    disk.rename(tmp_path / "old")
    make_disk(disk).write_bytes(b"\5" * 8 * MIB)
    driver.do("add", NAME, disk)
    run("qemu-io", "-f", "raw", "-c", "read -P 5 0 8M", driver.uri(NAME))


def test_a_device_that_grew(driver, disk):
    driver.do("add", NAME, disk)
    os.truncate(disk, 16 * MIB)
    driver.do("add", NAME, disk)
    driver.do("check", NAME, 16 * MIB)


def test_read_only(start, disk):
    driver = start(QEMU)
    driver.do("add", NAME, disk, "ro")
    assert driver.exports()[NAME]["read_only"]
    assert '"is_read_only": true' in run("nbdinfo", "--json", driver.uri(NAME))
    fails("qemu-io", "-f", "raw", "-c", "write 0 4k", driver.uri(NAME))
    driver.await_unused(NAME)
    driver.do("add", NAME, disk)
    run("qemu-io", "-f", "raw", "-c", "write 0 4k", driver.uri(NAME))


def test_read_only_is_not_promised(start, disk):
    driver = start(NBDKIT)
    assert QEMU in driver.refused("INVALID_REQUEST", "add", NAME, disk, "ro")
    assert driver.exports() == {}


# ---- clients ----

def test_clients_are_named_and_kept(driver, disk):
    driver.do("add", NAME, disk)
    with Client(driver.uri(NAME)) as client:
        client.write(1)
        seen = driver.exports()[NAME]
        assert len(seen["clients"]) == 1
        address = seen["clients"][0]
        assert address.startswith("127.0.0.1:")
        assert f"in use by NBD client {address}" in driver.refused("CONFLICT", "remove", NAME)
        client.write(2)
    driver.await_unused(NAME)
    driver.do("remove", NAME)


def test_a_client_keeps_its_device(driver, disk, tmp_path):
    other = make_disk(tmp_path / "disk2")
    driver.do("add", NAME, disk)
    with Client(driver.uri(NAME)) as client:
        client.write(1)
        driver.refused("CONFLICT", "add", NAME, other)
        client.write(2)
    assert disk.read_bytes()[:MIB] == b"\2" * MIB and not any(other.read_bytes())
    driver.await_unused(NAME)
    driver.do("add", NAME, other)


def test_by_force(start, disk, tmp_path):
    driver = start(QEMU)
    driver.do("add", NAME, disk)
    driver.do("add", OTHER, make_disk(tmp_path / "disk2"))
    with Client(driver.uri(NAME)) as client, Client(driver.uri(OTHER)) as other:
        client.write(1)
        other.write(1)
        assert not driver.exports()[NAME]["certain"]  # two clients, two exports
        driver.do("remove", NAME, "force")
        other.write(2)
        client.write_fails()
        assert list(driver.exports()) == [OTHER]


def test_by_force_the_simple_engine_starts_anew(start, disk, tmp_path):
    driver = start(NBDKIT)
    driver.do("add", NAME, disk)
    driver.do("add", OTHER, make_disk(tmp_path / "disk2"))
    pid = driver.health()["pid"]
    with Client(driver.uri(NAME)) as client:
        client.write(1)
        driver.do("remove", NAME, "force")
        client.write_fails()
    assert driver.health()["pid"] not in (0, pid)
    assert list(driver.exports()) == [OTHER]
    assert size_over_nbd(driver.uri(OTHER)) == 8 * MIB


def test_force_without_clients_harms_nobody(driver, disk, tmp_path):
    """Our own handshake, which has just ended, is no client."""
    driver.do("add", OTHER, make_disk(tmp_path / "disk2"))
    pid = driver.health()["pid"]
    with Client(driver.uri(OTHER)) as other:
        for byte in range(10):
            driver.do("add", NAME, disk)
            driver.do("check", NAME, 8 * MIB)
            driver.do("remove", NAME, "force")
            other.write(byte)
    assert driver.health()["pid"] == pid


def test_others_do_not_notice(driver, disk, tmp_path):
    driver.do("add", NAME, disk)
    content = tmp_path / "content"
    content.write_bytes(os.urandom(8 * MIB))
    with Client(driver.uri(NAME)) as client:
        for turn in range(10):
            others = [make_disk(tmp_path / f"disk{turn}-{i}", MIB) for i in range(3)]
            tokens = [driver.begin("add", path.name, path) for path in others]
            client.write(turn)
            assert all(driver.end(token)["code"] == "OK" for token in tokens)
            run("nbdcopy", content, driver.uri(NAME))
            tokens = [driver.begin("remove", path.name) for path in others]
            run("qemu-img", "compare", "-f", "raw", "-F", "raw", content, driver.uri(NAME))
            assert all(driver.end(token)["code"] == "OK" for token in tokens)
        client.write(99)
    assert list(driver.exports()) == [NAME]


# ---- TLS ----

def make_certificates(folder, *owners):
    folder.mkdir()
    (folder / "ca.cnf").write_text("subjectAltName = IP:127.0.0.1\n")
    ca, ca_key = folder / "ca-cert.pem", folder / "ca-key.pem"
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=ca",
        "-keyout", ca_key, "-out", ca)
    for owner in owners:
        key, request = folder / f"{owner}-key.pem", folder / f"{owner}.csr"
        run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={owner}",
            "-keyout", key, "-out", request)
        run("openssl", "x509", "-req", "-days", "2", "-in", request, "-CA", ca, "-CAkey", ca_key,
            "-CAcreateserial", "-extfile", folder / "ca.cnf", "-out", folder / f"{owner}-cert.pem")
    return folder


def test_tls(start, engine, disk, tmp_path):
    certificates = make_certificates(tmp_path / "pki", "server")
    driver = start(engine, tls=str(certificates))
    driver.do("add", NAME, disk)
    driver.do("check", NAME, 8 * MIB)
    uri = driver.uri(NAME, "nbds")
    assert size_over_nbd(f"{uri}?tls-certificates={certificates}") == 8 * MIB
    fails("nbdinfo", "--size", driver.uri(NAME))  # in the clear
    strangers = make_certificates(tmp_path / "strangers", "server")
    fails("nbdinfo", "--size", f"{uri}?tls-certificates={strangers}")


@pytest.mark.parametrize("fault", ["authority", "expired", "future"])
def test_tls_with_a_certificate_out_of_order(start, engine, disk, tmp_path, fault):
    authority = Authority(tmp_path / "pki")
    cert, key = authority.sign_with(fault, "faulty")
    folder = authority.file.parent
    shutil.copy(cert, folder / "server-cert.pem")
    shutil.copy(key, folder / "server-key.pem")
    driver = start(engine, tls=str(folder))
    reasons = []

    def look():
        reasons[:] = [driver.health()["reason"]]
        return FAULTS[fault][0] in reasons[0]

    try:
        eventually(look, "the fault is named")
    except AssertionError:
        raise AssertionError(reasons) from None
    assert str(folder / "server-cert.pem") in reasons[0]
    cert, key = authority.sign("renewed")
    cert.replace(folder / "server-cert.pem")
    key.replace(folder / "server-key.pem")
    eventually(lambda: driver.health()["ok"], "the new certificate is used")


def test_the_certificate_expires_while_the_engine_runs(start, engine, disk, tmp_path):
    for lifetime in 5, 30, 150:
        driver = start_with_certificate(start, engine, disk, tmp_path / f"pki-{lifetime}", timedelta(seconds=lifetime))
        if driver:
            break
    assert driver, "the first answers come in 150 s"
    answers = []

    def look():
        answers[:] = [driver.ask("check", NAME, 8 * MIB)]
        return "its certificate has expired" in answers[0]["text"]

    eventually(look, "the expiry is named")
    assert answers[0]["code"] == "SERVICE_UNAVAILABLE"


def start_with_certificate(start, engine, disk, folder, lifetime):
    """A driver that serves the disk, or None: on a slow machine the certificate may expire before it is in use."""
    earliest_end = datetime.now() + lifetime - timedelta(seconds=1)
    cert, key = Authority(folder).sign("server", ends=lifetime)
    assert (cert, key) == (folder / "server-cert.pem", folder / "server-key.pem")
    driver = start(engine, tls=str(folder))
    answers = [driver.ask("add", NAME, disk), driver.ask("check", NAME, 8 * MIB)]
    if all(answer["code"] == "OK" for answer in answers):
        return driver
    driver.close()
    assert datetime.now() > earliest_end, answers
    return None


def test_tls_with_certificates_of_clients(start, engine, disk, tmp_path):
    certificates = make_certificates(tmp_path / "pki", "server", "client")
    driver = start(engine, tls=str(certificates))
    driver.do("add", NAME, disk)
    driver.do("check", NAME, 8 * MIB)
    uri = driver.uri(NAME, "nbds")
    assert size_over_nbd(f"{uri}?tls-certificates={certificates}") == 8 * MIB
    anonymous = tmp_path / "anonymous"
    anonymous.mkdir()
    (anonymous / "ca-cert.pem").write_bytes((certificates / "ca-cert.pem").read_bytes())
    fails("nbdinfo", "--size", f"{uri}?tls-certificates={anonymous}")


# ---- when something dies or hangs ----

def test_the_engine_is_killed(driver, disk):
    driver.await_lost(1)
    driver.do("add", NAME, disk)
    pid = driver.health()["pid"]
    os.kill(pid, signal.SIGKILL)
    driver.await_lost(2)
    assert driver.exports() == {}
    driver.do("add", NAME, disk)
    assert size_over_nbd(driver.uri(NAME)) == 8 * MIB
    health = driver.health()
    assert health["ok"] and health["restarts"] == 1 and health["pid"] not in (0, pid)


def test_the_engine_ends_with_its_owner(driver, disk):
    driver.do("add", NAME, disk)
    pid = driver.health()["pid"]
    driver.close()
    assert gone(pid)


def test_the_engine_survives_a_crash_of_its_owner(start, disk):
    driver = start(QEMU)
    driver.do("add", NAME, disk)
    pid = driver.health()["pid"]
    with Client(driver.uri(NAME)) as client:
        client.write(1)
        driver.kill()
        client.write(2)
        heir = start(QEMU)
        heir.await_lost(1)  # it has not seen this engine before
        assert list(heir.exports()) == [NAME]
        heir.do("add", NAME, disk)
        assert heir.health()["pid"] == pid
        client.write(3)
    heir.close()
    assert gone(pid)


def test_an_engine_that_hangs_is_known_to_an_heir(start, disk):
    driver = start(QEMU)
    driver.do("add", NAME, disk)
    pid = driver.health()["pid"]
    driver.kill()
    os.kill(pid, signal.SIGSTOP)
    try:
        for _ in range(4):  # until nobody more can connect
            heir = start(QEMU)
            assert heir.health()["pid"] == pid
            heir.kill()
    finally:
        os.kill(pid, signal.SIGCONT)
    heir = start(QEMU)
    heir.await_lost(1)
    assert list(heir.exports()) == [NAME] and heir.health()["pid"] == pid


def test_links_of_yesterday_are_not_served(start, disk):
    driver = start(NBDKIT)
    driver.do("add", NAME, disk)
    pid = driver.health()["pid"]
    driver.kill()
    eventually(lambda: gone(pid), "it ends with its owner")
    heir = start(NBDKIT)
    heir.await_lost(1)
    assert heir.exports() == {}
    heir.refused("NOT_FOUND", "check", NAME)


def test_an_engine_with_other_settings_is_replaced(start, disk):
    driver = start(QEMU, listen=f"127.0.0.1:{free_port()}")
    driver.do("add", NAME, disk)
    pid = driver.health()["pid"]
    driver.kill()
    port = free_port()
    heir = start(QEMU, listen=f"127.0.0.1:{port}")
    heir.await_lost(1)
    assert gone(pid)
    heir.do("add", NAME, disk)
    assert size_over_nbd(f"nbd://127.0.0.1:{port}/{NAME}") == 8 * MIB


def test_the_port_is_taken(start, engine, disk):
    port = free_port()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        driver = start(engine, listen=f"127.0.0.1:{port}")
        # Also when the engine, of no use without its port, has ended.
        eventually(lambda: driver.health()["pid"] == 0 and "another program listens" in driver.health()["reason"],
                   "it is told")
    driver.await_lost(1)
    driver.do("add", NAME, disk)
    assert size_over_nbd(driver.uri(NAME)) == 8 * MIB


def test_a_hanging_engine(start, disk):
    driver = start(QEMU, timeout_ms=1000)
    driver.do("add", NAME, disk)
    pid = driver.health()["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        driver.refused("TIMEOUT", "list")
        driver.refused("TIMEOUT", "check", NAME)
        health = driver.health()
        assert not health["ok"] and "does not answer" in health["reason"]
    finally:
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: driver.ask("list")["code"] == "OK", "it answers again")
    assert driver.health()["ok"] and driver.health()["pid"] == pid


SILENT_NBDKIT = """#!/usr/bin/python3
import socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])))
time.sleep(600)
"""

SILENT_QEMU = """#!/usr/bin/python3
import os, re, signal, socket, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
server = socket.socket(socket.AF_UNIX)
server.bind(re.search("path=([^,]*)", " ".join(sys.argv))[1])
server.listen()
with open(sys.argv[sys.argv.index("--pidfile") + 1], "w") as file:
    print(os.getpid(), file=file)
time.sleep(600)
"""


@pytest.mark.parametrize("engine, program", [(QEMU, SILENT_QEMU), (NBDKIT, SILENT_NBDKIT)],
                         ids=[QEMU, NBDKIT])
def test_an_engine_that_says_nothing_is_replaced(start, tmp_path, monkeypatch, engine, program):
    path = tmp_path / "bin" / engine
    path.parent.mkdir()
    path.write_text(program, encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
    driver = start(engine)
    eventually(lambda: driver.health()["pid"] != 0, "it is started")
    pid = driver.health()["pid"]

    eventually(lambda: "does not answer" in driver.health()["reason"], "that is told")
    path.unlink()
    eventually(lambda: gone(pid), "it is ended")
    driver.await_lost(1)
    assert driver.health()["ok"]


# ---- an engine that is not ours ----

UNIT = Path(__file__).resolve().parents[3] / "data/volume-daemon-export.service"


@contextmanager
def unit(folder):
    """The engine as its unit starts it, but with its socket in this folder; yields its pid."""
    text = UNIT.read_text(encoding="utf-8").replace("/run/volume-daemon-export", str(folder))
    for key in ("ExecStart", "ExecStartPost"):
        subprocess.run(re.search(f"^{key}=(.*)$", text, re.M)[1].split(), check=True)
    pid_file = re.search("^PIDFile=(.*)$", text, re.M)[1]
    pid = int(Path(pid_file).read_text(encoding="utf-8"))
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: gone(pid), "it has ended")


def test_an_engine_of_its_own_unit(start, disk, tmp_path):
    path = tmp_path / "qmp.sock"
    listen = f"127.0.0.1:{free_port()}"
    driver = start(QEMU, listen=listen, qmp=str(path))
    eventually(lambda: "start its unit" in driver.health()["reason"], "it is told")
    with unit(tmp_path) as pid:
        driver.await_lost(1)
        driver.do("add", NAME, disk)
        assert driver.health()["pid"] == pid
        driver.close()
        assert not gone(pid)
        assert size_over_nbd(f"nbd://{listen}/{NAME}") == 8 * MIB
        driver = start(QEMU, listen=listen, qmp=str(path))
        assert list(driver.exports()) == [NAME]
    driver.await_lost(1)
    with unit(tmp_path):
        driver.await_lost(2)
        assert driver.exports() == {}
        driver.do("add", NAME, disk)
        driver.do("check", NAME, 8 * MIB)
