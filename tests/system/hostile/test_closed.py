# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which users of this machine may use volumes, by REST and NBD: all of them, or root and a group alone; and addresses
that another program took first."""

import configparser
import grp
import http.client
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.py import openapi
from support.py.harness import TOP
from support.py.ports import free_port
from support.py.waiting import DEADLINE, eventually

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="it becomes other users")
NOBODY = 65534
# Stands for the group volume-daemon, which the tests' machine need not have.
GROUP = "daemon"
QEMU, NBDKIT = "qemu-storage-daemon", "nbdkit"


# ---- users ----

def as_user(*command, member=False):
    """A command of a user who is a member of the group, or of no group."""
    groups = [f"--groups={grp.getgrnam(GROUP).gr_gid}"] if member else ["--clear-groups"]
    return subprocess.run(["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", *groups, *command],
                          capture_output=True, text=True, timeout=DEADLINE, check=False)


ASK = """
import socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
client.sendall(b"GET /api/v1/volumes HTTP/1.0\\r\\n\\r\\n")
answer = b""
while part := client.recv(65536):
    answer += part
print(answer.decode())
"""


def ask_as_user(path, member=False):
    """What a user sees who asks for the volumes over a unix socket: a status, or the reason for none."""
    done = as_user(sys.executable, "-c", ASK, path, member=member)
    return int(done.stdout.split()[1]) if done.stdout else done.stderr.splitlines()[-1]


def ask(path, verb="GET", target="/api/v1/health"):
    """An answer over a unix socket, as JSON."""
    connection = http.client.HTTPConnection("localhost", timeout=DEADLINE)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    try:
        connection.request(verb, target)
        response = connection.getresponse()
        answer = response.read()
        openapi.check_reply(verb, target, response.status, response.headers, answer)
        return json.loads(answer)
    finally:
        connection.close()


def open_folder(world):
    """The folder for sockets, which other users may enter as they may enter /run/volume-daemon."""
    Path(world.daemon.run.name).chmod(0o755)
    return Path(world.daemon.run.name)


def listens_on_tcp(pid):
    """The TCP addresses on which a process listens."""
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.update(re.findall(r"socket:\[(\d+)\]", os.readlink(fd)))
        except FileNotFoundError:
            pass
    rows = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()]
    return [row[1] for row in rows if row[3] == "0A" and row[9] in inodes]


def closed_world(make_world, **more):
    """A world whose daemon has the shipped configuration, with its own folder in place of /run/volume-daemon."""
    world = make_world(start=False)
    folder = open_folder(world)
    shipped = configparser.ConfigParser()
    shipped.read_string((TOP / "data/volume-daemon-closed.conf").read_text()
                        .replace("/run/volume-daemon", str(folder)))
    assert shipped["http"]["group"] == "volume-daemon"
    shipped["http"]["group"] = GROUP
    sections = {name: dict(shipped[name]) for name in shipped.sections()}
    sections["export"]["engine"] = QEMU
    for name, keys in more.items():
        sections[name].update(keys)
    world.daemon.configure(**sections)
    world.bus.start()
    world.daemon.launch()
    world.daemon.log.wait(lambda line: "listening on" in line)
    world.daemon.log.wait(lambda line: "bus: connected" in line)
    return world, folder


# ---- the shipped configuration ----

@needs_root
@pytest.mark.parametrize("engine", [QEMU, NBDKIT])
def test_the_closed_configuration(make_world, engine, figure):
    world, folder = closed_world(make_world, export={"engine": engine})
    rest, nbd = folder / "http.sock", folder / "nbd.sock"
    eventually(lambda: ask(rest)["details"]["accepting_changes"], "changes are accepted")
    volume = world.volume()
    assert world.daemon.ctl("attach", volume).returncode == 0
    export = f"nbd+unix:///migration-vol-{volume}?socket={nbd}"
    for file in (rest, nbd):
        status = file.stat()
        assert (status.st_mode & 0o777, status.st_gid) == (0o660, grp.getgrnam(GROUP).gr_gid), file
    # Root and members may do all, others nothing.
    assert ask_as_user(rest, member=True) == 200
    assert as_user("nbdinfo", "--size", export, member=True).stdout.strip() == str(1 << 30)
    refusals = [ask_as_user(rest), as_user("nbdinfo", "--size", export).stderr]
    assert all("Permission denied" in words for words in refusals), refusals
    figure(f"another user with the closed configuration ({engine})", "refused by REST and NBD",
           f"{len(refusals)} of 2 refused")
    # There is no way around.
    health = ask(rest)
    assert health["details"]["rest_access"] == health["details"]["nbd_access"] == f"root and the group {GROUP}"
    assert not listens_on_tcp(world.daemon.process.pid) and not listens_on_tcp(health["details"]["nbd_pid"])
    assert "every local user" not in world.daemon.text
    world.daemon.stop()
    assert not rest.exists()


def test_the_default_is_told(make_world):
    world = make_world(export={"engine": QEMU})
    assert "full access to volumes: over REST every local user, over NBD every local user" in world.daemon.text
    details = world.daemon.health()["details"]
    assert details["rest_access"] == details["nbd_access"] == "every local user"


# ---- addresses of REST ----

@needs_root
def test_several_addresses(make_world):
    world = make_world(start=False)
    path = open_folder(world) / "http.sock"
    world.daemon.configure(http={"listen": f"127.0.0.1:0, [::1]:0 unix:{path}", "group": GROUP})
    world.start()
    lines = [line.split("listening on ")[1] for line in world.daemon.log.all() if "listening on" in line]
    assert len(lines) == 3 and lines[2] == f"unix:{path}"
    six = http.client.HTTPConnection("::1", int(lines[1].rsplit(":", 1)[1]), timeout=DEADLINE)
    six.request("GET", "/api/v1/health")
    assert six.getresponse().status == 200
    six.close()
    assert world.daemon.health()["details"]["rest_access"] == "every local user"
    assert ask(path)["status"] == "healthy"
    # Not by a file whose mode lets others in, either.
    assert "Permission denied" in ask_as_user(path)
    path.chmod(0o666)
    assert ask_as_user(path) == 403
    assert ask_as_user(path, member=True) == 200


def test_a_socket_that_a_killed_daemon_left(make_world):
    world = make_world(start=False)
    path = open_folder(world) / "http.sock"
    world.daemon.configure(http={"listen": f"127.0.0.1:0 unix:{path}"})
    world.start()
    world.daemon.kill()
    assert path.exists()
    world.daemon.start().wait_healthy()
    assert ask(path)["status"] == "healthy"


def test_a_group_that_does_not_exist(make_world):
    world = make_world(start=False)
    path = open_folder(world) / "http.sock"
    world.daemon.configure(http={"listen": f"127.0.0.1:0 unix:{path}", "group": "no-such-group"})
    world.start()
    assert path.stat().st_mode & 0o777 == 0o600
    assert "there is no group no-such-group, so only root may connect" in world.daemon.text


@pytest.mark.parametrize("kind", ["tcp", "unix", "file"])
def test_an_address_of_rest_that_is_taken(make_world, kind):
    world = make_world(start=False)
    path = open_folder(world) / "http.sock"
    taken = socket.socket(socket.AF_INET if kind == "tcp" else socket.AF_UNIX)
    with taken:
        if kind == "file":
            path.write_text("precious")
        else:
            taken.bind(("127.0.0.1", 0) if kind == "tcp" else str(path))
            taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}" if kind == "tcp" else f"unix:{path}"
        world.daemon.configure(http={"listen": address})
        world.bus.start()
        text = world.daemon.fails_to_start()
        reason = "the file there is no socket" if kind == "file" else "another program listens there already (ss -l"
        assert f"can't listen on {address}: {reason}" in text, text
        assert "set http.listen to another address" in text
    assert kind == "tcp" or path.exists()


# ---- the address of NBD ----

@pytest.mark.parametrize("engine", [QEMU, NBDKIT])
def test_an_address_of_nbd_that_is_taken(make_world, engine):
    """The attachment does not wait for it, and the export comes when the address is free."""
    port = free_port()
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", port))
        stranger.listen()
        # An attachment that waits would wait for longer than the test.
        world = make_world(export={"engine": engine, "listen": f"127.0.0.1:{port}"}, device={"wait": "10min"})
        words = f"another program listens on 127.0.0.1:{port} already (ss -ltnp names it)"
        eventually(lambda: words in world.daemon.health()["nbd_health"], "the stranger is told of")
        volume, _ = world.attached()
        export = world.daemon.get(f"/api/v1/exports/{volume}")
        assert export["status"] == "pending" and words in export["error"], export
    eventually(lambda: world.daemon.get(f"/api/v1/exports/{volume}")["status"] == "active", "the export is made")
    assert world.daemon.health()["nbd_health"] == "healthy"
