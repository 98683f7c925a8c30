# SPDX-License-Identifier: LGPL-2.1-or-later
"""REST over TLS, as curl and Python's http.client know it; and an address that other machines reach."""

import gzip
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
from datetime import timedelta

import pytest
from support.py.certificates import Authority
from support.py.programs import program
from support.py.stores import any_store
from support.py.waiting import DEADLINE, eventually

pytestmark = any_store

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="it makes a network of its own")
FOREIGN = "192.0.2.7"
NAMES = f"IP:127.0.0.1,IP:{FOREIGN},DNS:appliance.example.org"
# Becomes the daemon, in a network that has this machine's loopback device and one address of other machines.
ELSEWHERE = ["unshare", "--net", "sh", "-c",
             f"ip link set lo up && ip address add {FOREIGN}/32 dev lo && exec \"$@\"", "sh"]
LIFE = timedelta(days=90)


class Certificates:
    """The folder of http.tls_dir, and who signs what is in it."""

    def __init__(self, folder):
        self.authority = Authority(folder / "authority")
        self.folder = folder / "tls"
        self.folder.mkdir()
        self._count = 0
        self.renew()

    def renew(self, files=("cert", "key"), begins=timedelta(hours=-1), ends=LIFE):
        """A new pair, of which these files are put in place; the file of the new certificate."""
        self._count += 1
        pair = dict(zip(("cert", "key"), self.authority.sign(f"server{self._count}", NAMES, begins, ends), strict=True))
        for file in files:
            shutil.copy(pair[file], self.folder / f".{file}")
            os.replace(self.folder / f".{file}", self.folder / f"server-{file}.pem")
        return pair["cert"]


@pytest.fixture
def certificates(tmp_path):
    return Certificates(tmp_path)


class Encrypted:
    """The encrypted address of a daemon that listens on a plain one as well."""

    def __init__(self, world, certificates):
        self.world, self.certificates = world, certificates
        line = world.daemon.log.wait(lambda line: "listening on https://" in line)
        self.port = int(line.rsplit(":", 1)[1])

    def connect(self):
        context = ssl.create_default_context(cafile=self.certificates.authority.file)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=DEADLINE + 60, context=context)

    def ask(self, verb, path, body=None, headers=None):
        connection = self.connect()
        try:
            connection.request(verb, path, body and json.dumps(body), headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def certificate(self):
        """What a new connection is shown."""
        with socket.create_connection(("127.0.0.1", self.port), DEADLINE) as plain:
            context = ssl.create_default_context(cafile=self.certificates.authority.file)
            with context.wrap_socket(plain, server_hostname="appliance.example.org") as stream:
                return ssl.DER_cert_to_PEM_cert(stream.getpeercert(True))

    def curl(self, *arguments):
        return subprocess.run(
            ["curl", "--silent", "--show-error", "--cacert", self.certificates.authority.file, "--resolve",
             f"appliance.example.org:{self.port}:127.0.0.1", "--write-out", "\n%{http_code}", *arguments],
            capture_output=True, text=True, timeout=DEADLINE, check=False)


@pytest.fixture
def encrypted(make_world, certificates):
    world = make_world(http={"listen": "127.0.0.1:0 https://127.0.0.1:0", "tls_dir": certificates.folder})
    return Encrypted(world, certificates)


def told(encrypted):
    return encrypted.world.daemon.health()["details"]["rest_certificate"]


# ---- clients ----

def test_the_life_of_a_volume(encrypted):
    """Changes, long polls and events, each over TLS, with the largest list that is not too long for a page."""
    volume = encrypted.world.volume()
    events = encrypted.connect()
    events.request("GET", "/api/v1/events")
    stream = events.getresponse()
    assert stream.readline().startswith(b"retry: ")
    status, headers, body = encrypted.ask("POST", f"/api/v1/volumes/{volume}/attach",
                                          {"vm_id": encrypted.world.daemon.sections["appliance"]["vm_id"]})
    assert status == 201 and headers["Location"].startswith("/api/v1/operations/")
    record = json.loads(body)
    while record["status"] not in ("completed", "failed"):
        status, _, body = encrypted.ask("GET", headers["Location"] + "?wait=10")
        assert status == 200
        record = json.loads(body)
    assert record["status"] == "completed", record
    ended = b""
    while f'"{record["id"]}"'.encode() not in ended or b'"completed"' not in ended:
        ended = stream.readline()
        assert ended
    events.close()
    status, headers, body = encrypted.ask("GET", "/api/v1/openapi.json", headers={"Accept-Encoding": "gzip"})
    assert status == 200 and headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(body)) == json.loads(encrypted.ask("GET", "/api/v1/openapi.json")[2])


def test_curl(encrypted):
    done = encrypted.curl(f"https://appliance.example.org:{encrypted.port}/health")
    assert done.returncode == 0 and done.stdout.endswith("\n200"), done
    done = encrypted.curl("-d", "no json", "--resolve", "appliance.example.org:443:127.0.0.1",
                          f"https://appliance.example.org:{encrypted.port}/api/v1/volumes")
    assert done.returncode == 0 and done.stdout.endswith("\n400"), done
    # An answer that ends the connection.
    done = encrypted.curl("-H", "Connection: close", "-H", "Transfer-Encoding: x", "--http1.1",
                          f"https://appliance.example.org:{encrypted.port}/health")
    assert done.returncode == 0 and done.stdout.endswith("\n400"), done
    for host, status in (("appliance.example.org", 200), ("other.example.org", 421)):
        done = encrypted.curl("-H", f"Host: {host}", f"https://127.0.0.1:{encrypted.port}/health")
        assert done.returncode == 0 and done.stdout.endswith(f"\n{status}"), done


def test_a_client_in_the_clear(encrypted):
    done = encrypted.curl(f"http://127.0.0.1:{encrypted.port}/health")
    assert done.returncode == 0 and done.stdout.endswith("\n400") and "https" in done.stdout, done
    plain = encrypted.world.daemon.port
    done = encrypted.curl(f"https://127.0.0.1:{plain}/health")
    assert done.returncode != 0 and "200" not in done.stdout, done


def test_old_versions(encrypted):
    done = encrypted.curl("--tls-max", "1.1", "--tlsv1.0", "--ciphers", "DEFAULT@SECLEVEL=0",
                          f"https://127.0.0.1:{encrypted.port}/health")
    assert done.returncode == 35, done


def test_a_client_that_ends_its_direction(encrypted):
    """It gets its answer, and then the end, in the words of TLS."""
    context = ssl.create_default_context(cafile=encrypted.certificates.authority.file)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    with socket.create_connection(("127.0.0.1", encrypted.port), DEADLINE) as plain:
        with context.wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as stream:
            stream.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            answer = b""
            while part := stream.recv(65536):  # raises if the end is torn off
                answer += part
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_handshake_that_goes_on_for_too_long_hinders_nobody(encrypted):
    """Its end is that of every request, which tests/unit/api/rest/test_tls.c shows with a clock of its own."""
    with socket.create_connection(("127.0.0.1", encrypted.port), DEADLINE) as slow:
        slow.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert encrypted.ask("GET", "/health")[0] == 200


# ---- certificates ----

def test_a_renewed_certificate_needs_no_restart(encrypted):
    assert told(encrypted) == "healthy" and encrypted.world.daemon.health()["status"] == "healthy"
    kept = encrypted.connect()
    kept.request("GET", "/health")
    kept.getresponse().read()
    renewed = encrypted.certificates.renew().read_text()
    eventually(lambda: encrypted.certificate() == renewed, "the new certificate")
    kept.request("GET", "/health")
    assert kept.getresponse().status == 200
    kept.close()


def test_half_of_a_renewal_waits_for_the_other_half(encrypted):
    before = encrypted.certificate()
    encrypted.certificates.renew(files=["cert"])
    eventually(lambda: encrypted.certificate() and "does not belong to" in told(encrypted), "the fault is told")
    assert encrypted.certificate() == before
    health = encrypted.world.daemon.health()
    assert health["status"] == "degraded" and health["details"]["accepting_changes"]
    shown = encrypted.world.daemon.ctl("health").stdout
    assert "does not belong to" in shown, shown
    renewed = encrypted.certificates.renew().read_text()
    eventually(lambda: encrypted.certificate() == renewed, "the new certificate")
    assert told(encrypted) == "healthy"


@pytest.mark.parametrize("begins, ends, words", [
    (timedelta(days=-80), timedelta(days=10), "expires at"),
    (timedelta(days=-80), timedelta(hours=-1), "has expired; renew it"),
    (timedelta(hours=1), LIFE, "is not valid yet")], ids=["soon", "expired", "future"])
def test_a_certificate_out_of_its_time(make_world, certificates, begins, ends, words):
    """The daemon starts: its other addresses are in order."""
    certificates.renew(begins=begins, ends=ends)
    world = make_world(http={"listen": "127.0.0.1:0 https://127.0.0.1:0", "tls_dir": certificates.folder})
    encrypted = Encrypted(world, certificates)
    assert words in told(encrypted) and world.daemon.health()["status"] == "degraded"
    assert any(words in line and "rest: " in line for line in world.daemon.log.all())
    done = encrypted.curl(f"https://127.0.0.1:{encrypted.port}/health")
    assert (done.returncode == 0) == (words == "expires at"), done
    assert 'volumed_health{part="rest_certificate"} 0' in world.daemon.rest("GET", "/metrics").body.decode()


# ---- configurations ----

def refuse_open_key(certificates):
    (certificates.folder / "server-key.pem").chmod(0o644)


def remove_key(certificates):
    (certificates.folder / "server-key.pem").unlink()


def replace_key(certificates):
    certificates.renew(files=["key"])


def replace_kind(certificates):
    """A key of RSA where the certificate has one of a curve."""
    subprocess.run(["openssl", "genrsa", "-out", certificates.folder / "server-key.pem", "2048"], check=True,
                   capture_output=True)


@pytest.mark.parametrize("listen, keys, spoil, words", [
    (f"{FOREIGN}:8443", {}, None, [f"write https://{FOREIGN}:8443", "http.require_token = yes", "http.tls_dir"]),
    (f"https://{FOREIGN}:8443", {}, None, ["http.require_token = yes", "volumectl token create"]),
    (f"https://{FOREIGN}:8443", {"tls_dir": None, "require_token": "yes"}, None, ["http.tls_dir must name a folder"]),
    ("127.0.0.1:0", {}, None, ["http.tls_dir is set, but no connection would be encrypted"]),
    ("https://127.0.0.1:0", {}, refuse_open_key, ["may be used by others", "chmod 600"]),
    ("https://127.0.0.1:0", {}, remove_key, ["server-key.pem", "No such file"]),
    ("https://127.0.0.1:0", {}, replace_key, ["does not belong to"]),
    ("https://127.0.0.1:0", {}, replace_kind, ["does not belong to"]),
], ids=["plain", "no-token", "no-folder", "no-address", "open-key", "no-key", "other-key", "other-kind"])
def test_refused_at_the_start(make_world, certificates, listen, keys, spoil, words):
    if spoil:
        spoil(certificates)
    world = make_world(start=False, http={"listen": listen, "tls_dir": certificates.folder, **keys})
    world.bus.start()
    log = world.daemon.fails_to_start()
    assert all(word in log for word in words), log
    done = check_config(world)
    assert done.returncode == 1 and all(word in done.stderr for word in words), done


@pytest.mark.parametrize("spoil, words", [
    (refuse_open_key, ["may be used by others", "chmod 600"]), (remove_key, ["server-key.pem", "No such file"]),
    (replace_key, ["does not belong to"]), (replace_kind, ["does not belong to"])],
    ids=["open-key", "no-key", "other-key", "other-kind"])
def test_refused_for_the_nbd_server(make_world, certificates, spoil, words):
    """By the same rules: the server itself would serve with a key that others may read."""
    spoil(certificates)
    world = make_world(start=False, export=nbd_server(certificates))
    world.bus.start()
    lines = world.daemon.config.read_text().splitlines()
    blamed = next(number for number, line in enumerate(lines, 1) if line.startswith("tls_dir"))
    log = world.daemon.fails_to_start()
    assert all(word in log for word in [*words, f"volume-daemon.conf:{blamed}: "]), log
    done = check_config(world)
    assert done.returncode == 1 and all(word in done.stderr for word in words), done


@pytest.mark.parametrize("part", ["http", "export"])
def test_the_check_of_the_configuration_tells_of_an_expiry(make_world, certificates, part):
    certificates.renew(begins=timedelta(days=-80), ends=timedelta(hours=-1))
    world = make_world(start=False, **{part: {"http": {"listen": "https://127.0.0.1:0", "tls_dir": certificates.folder},
                                              "export": nbd_server(certificates)}[part]})
    done = check_config(world)
    assert done.returncode == 0 and "server-cert.pem" in done.stderr and "has expired; renew it" in done.stderr, done


def nbd_server(certificates):
    shutil.copy(certificates.authority.file, certificates.folder / "ca-cert.pem")
    return {"engine": "nbdkit", "listen": "127.0.0.1:0", "tls_dir": certificates.folder}


def check_config(world):
    return subprocess.run([program("volume-daemon"), "--config", world.daemon.config, "--check-config"],
                          capture_output=True, text=True, timeout=DEADLINE, check=False)


@needs_root
def test_other_machines(make_world, certificates, tmp_path):
    """An address that is not loopback, in a network of its own, which has the same files and no database server."""
    world = make_world(start=False, store={"url": f"sqlite://{tmp_path}/far.db"})
    local = f"{world.daemon.run.name}/http.sock"
    world.daemon.starter = ELSEWHERE
    world.daemon.configure(http={"listen": f"https://0.0.0.0:8443 unix:{local}", "tls_dir": certificates.folder,
                                 "require_token": "yes"})
    world.daemon.launch()
    world.daemon.log.wait(lambda line: "listening on unix:" in line)

    def curl(*arguments):
        done = subprocess.run(
            ["nsenter", f"--target={world.daemon.process.pid}", "--net", "curl", "--silent", "--show-error",
             "--cacert", certificates.authority.file, "--write-out", "\n%{http_code}", *arguments],
            capture_output=True, text=True, timeout=DEADLINE, check=False)
        assert done.returncode == 0, done
        body, status = done.stdout.rsplit("\n", 1)
        return int(status), json.loads(body)

    status, token = curl("--unix-socket", local, "-d", '{"name": "far", "scope": "read"}', "http://localhost/api/v1/tokens")
    assert status == 201, token
    shown = ("-H", f"Authorization: Bearer {token['token']}")
    there = f"https://{FOREIGN}:8443/api/v1/health"
    assert curl(there)[0] == 401
    status, health = curl(*shown, there)
    assert status in (200, 503) and health["details"]["rest_access"].endswith("programs with a token")
    assert curl(*shown, "-d", "{}", f"https://{FOREIGN}:8443/api/v1/admin/force-sync")[0] == 403
    assert curl(*shown, f"http://{FOREIGN}:8443/health")[0] == 400
