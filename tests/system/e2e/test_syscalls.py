"""The daemon and its NBD engines under the system calls that their units allow.

filtered.py ends a process at the first call that is not allowed, so a test that passes has made none. The search for
leaks of a build with sanitizers makes such calls at its end, so it is left out. With systemd,
device mapper and real disks the same is seen in tests/system/lab.
"""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from support.py.harness import TOP
from support.py.nbd import NBDClient
from support.py.ports import free_port
from support.py.waiting import eventually

FILTERED = Path(__file__).with_name("filtered.py")
UNITS = {"volume-daemon.service": TOP / "data/volume-daemon.service.in",
         "volume-daemon-export.service": TOP / "data/volume-daemon-export.service"}


def under(unit):
    return ["/usr/bin/python3", FILTERED, UNITS[unit]]


def test_a_call_that_is_not_allowed_ends_the_process():
    """The filter is there at all."""
    done = subprocess.run([*under("volume-daemon.service"), "chgrp", str(os.getgid()), "/dev/null"], check=False)
    assert done.returncode == -signal.SIGSYS


@pytest.mark.parametrize("engine", ["qemu-storage-daemon", "nbdkit"])
def test_the_life_of_a_volume(make_world, engine, tmp_path, monkeypatch):
    monkeypatch.setenv("ASAN_OPTIONS", "detect_leaks=0:abort_on_error=1")
    world = make_world(start=False, export={"engine": engine}, http={"listen": f"127.0.0.1:0 unix:{tmp_path}/h.sock"})
    world.daemon.starter = under("volume-daemon.service")
    world.start()
    volume = world.daemon.completed(world.daemon.create(2))["volume_id"]
    device = world.daemon.completed(world.daemon.attach(volume))["response"]["device_path"]
    world.assert_is(device, volume)
    with NBDClient(world.export_uri(volume)) as client:
        client.write(7)
    world.daemon.completed(world.daemon.resize(volume, 3))
    assert world.daemon.rest("POST", "/api/v1/admin/reload").status == 200
    assert world.daemon.rest("GET", "/metrics").status == 200
    backup = tmp_path / "backup.db"
    if "sqlite" in world.daemon.sections["store"]["url"]:
        assert world.daemon.ctl("store", "backup", backup).returncode == 0
    world.daemon.stop()
    world.daemon.start()
    eventually(lambda: world.daemon.get(f"/api/v1/exports/{volume}")["status"] == "active", "it is exported again")
    world.daemon.completed(world.daemon.detach(volume))
    world.daemon.completed(world.daemon.delete(volume))


def test_the_server_of_the_export_unit(make_world, tmp_path):
    """Started as the unit starts it, but for its folder."""
    command = re.search(r"(?m)^ExecStart=(.*)$", UNITS["volume-daemon-export.service"].read_text())[1]
    command = command.replace("/run/volume-daemon-export", str(tmp_path)).split()
    subprocess.run([*under("volume-daemon-export.service"), *command], check=True)
    server = int((tmp_path / "pid").read_text())
    try:
        world = make_world(export={"engine": "qemu-storage-daemon", "qmp_socket": str(tmp_path / "qmp.new"),
                                   "listen": f"127.0.0.1:{free_port()}"})
        volume, _ = world.attached()
        with NBDClient(world.export_uri(volume)) as client:
            client.write(7)
            world.daemon.stop()
            client.write(8)
            world.daemon.start()
            eventually(lambda: world.daemon.get(f"/api/v1/exports/{volume}")["status"] == "active", "it is exported")
            client.write(9)
        world.daemon.completed(world.daemon.detach(volume))
    finally:
        os.kill(server, signal.SIGTERM)
