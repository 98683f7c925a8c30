# SPDX-License-Identifier: LGPL-2.1-or-later
"""Volumes served over NBD, by the real engines and read by real clients (libnbd's and QEMU's)."""

import os
import signal
import subprocess

import cloudsim
import pytest
from support.py import shapes
from support.py.nbd import NBDClient
from support.py.ports import free_port
from support.py.waiting import DEADLINE, eventually

from .surfaces import SURFACES, Refused

QEMU, NBDKIT = "qemu-storage-daemon", "nbdkit"
MIB = 1024 * 1024


def run(*command, input=None):
    """A command that must succeed; what it printed."""
    result = subprocess.run(command, capture_output=True, input=input, timeout=DEADLINE)
    assert result.returncode == 0, (command, result.stderr.decode())
    return result.stdout


def fails(*command):
    """A command that must fail; what it said."""
    result = subprocess.run(command, capture_output=True, timeout=DEADLINE)
    assert result.returncode != 0, (command, result.stdout)
    return result.stderr.decode()


@pytest.fixture(params=[QEMU, NBDKIT])
def world(request, make_world):
    return make_world(export={"engine": request.param})


@pytest.fixture
def qemu_world(make_world):
    return make_world(export={"engine": QEMU})


def export_of(world, volume):
    return shapes.EXPORT.check(world.daemon.get(f"/api/v1/exports/{volume}"))


def size_over_nbd(address):
    return int(run("nbdinfo", "--size", address))


def engine_pid(world):
    return world.daemon.get("/api/v1/health")["details"]["nbd_pid"]


def is_served(world, volume):
    return world.daemon.get(f"/api/v1/exports/{volume}")["status"] == "active"


# ---- with the volume ----

def test_an_attached_volume_is_served(world):
    volume, path = world.attached(2)
    export = export_of(world, volume)
    assert (export["status"], export["size"], export["device_path"]) == \
        ("active", 2 * cloudsim.GIB, path)
    address = world.export_uri(volume)
    assert size_over_nbd(address) == 2 * cloudsim.GIB
    run("qemu-io", "-f", "raw", "-c", f"write -P 7 1M {MIB}", address)
    with open(path, "rb") as disk:
        disk.seek(MIB)
        assert disk.read(MIB) == b"\7" * MIB
    world.daemon.completed(world.daemon.detach(volume))
    assert world.daemon.rest("GET", f"/api/v1/exports/{volume}").status == 404
    fails("nbdinfo", "--size", address)


def test_what_one_wrote_the_next_reads(world, tmp_path):
    volume, _ = world.attached()
    other, _ = world.attached()
    content = tmp_path / "content"
    content.write_bytes(os.urandom(3 * MIB))
    os.truncate(content, cloudsim.GIB)
    run("nbdcopy", content, world.export_uri(volume))
    for _ in range(3):
        world.daemon.completed(world.daemon.detach(volume))
        world.daemon.completed(world.daemon.attach(volume))
        assert run("nbdinfo", "--size", world.export_uri(other)).strip() == b"%d" % cloudsim.GIB
        run("qemu-img", "compare", "-f", "raw", "-F", "raw", content, world.export_uri(volume))


def test_others_do_not_notice(qemu_world):
    volume, _ = qemu_world.attached()
    with NBDClient(qemu_world.export_uri(volume)) as client:
        pid = engine_pid(qemu_world)
        for byte in range(3):
            other, _ = qemu_world.attached()
            client.write(byte)
            qemu_world.daemon.completed(qemu_world.daemon.detach(other, force=True))
            client.write(byte + 10)
        assert engine_pid(qemu_world) == pid


# ---- who uses it ----

def test_a_client_keeps_its_volume(world):
    volume, path = world.attached()
    with NBDClient(world.export_uri(volume)) as client:
        client.write(1)
        clients = export_of(world, volume)["clients"]
        assert len(clients["addresses"]) == 1
        refused = world.daemon.rest("POST", f"/api/v1/volumes/{volume}/detach")
        assert refused.status == 409
        assert f"NBD client {clients['addresses'][0]}" in refused.json["error"], refused
        client.write(2)
        assert is_served(world, volume) and world.cloud.volume(volume)["vm"]
        world.daemon.completed(world.daemon.detach(volume, force=True))
        assert world.disks_of(volume) == []


def test_only_who_has_a_client_is_kept(world):
    """The servers do not tell whose their clients are."""
    (used, _), (idle, _) = world.attached(), world.attached()
    with NBDClient(world.export_uri(used)) as client:
        client.write(1)
        refused = world.daemon.rest("POST", f"/api/v1/volumes/{used}/detach")
        assert refused.status == 409, refused
        assert "NBD client 127.0.0.1:" in refused.json["error"], refused
        world.daemon.completed(world.daemon.detach(idle))
        client.write(2)
    world.daemon.completed(world.daemon.detach(used))


def test_a_client_keeps_the_size_it_knows(qemu_world):
    volume, _ = qemu_world.attached()
    address = qemu_world.export_uri(volume)

    def grown_to(gib):
        operation = qemu_world.daemon.resize(volume, gib)
        response = qemu_world.daemon.completed(operation)["response"]
        assert response["size"] == gib * cloudsim.GIB
        return response

    with NBDClient(address) as client:
        client.write(1)
        response = grown_to(2)
        assert response["export_size"] == cloudsim.GIB
        assert "its NBD clients keep the size they know" in response["message"]
        assert "127.0.0.1:" in response["message"]
        client.write(2)
        assert size_over_nbd(address) == cloudsim.GIB
    response = grown_to(3)
    assert (response["export_size"], response["message"]) == (3 * cloudsim.GIB, "Volume resized")
    assert size_over_nbd(address) == 3 * cloudsim.GIB


def test_without_clients_nobody_is_named(world):
    volume, _ = world.attached()
    assert export_of(world, volume)["clients"] == {"addresses": [], "certain": True}


# ---- other programs on its disk ----

class Holder:
    """A map of multipath on a disk, as sysfs shows it."""

    def __init__(self, world, disk):
        self._link = world.folder / "disks/block" / disk / "holders/dm-7"
        self._map = world.folder / "disks/block/dm-7"

    def come(self):
        (self._map / "dm").mkdir(parents=True)
        (self._map / "dev").write_text("253:7\n")
        (self._map / "dm/name").write_text("mpatha\n")
        self._link.mkdir(parents=True)

    def go(self):
        self._link.rmdir()


def waits_for(world, volume, user):
    """Pending, not served, and everybody is told because of whom."""
    export = export_of(world, volume)
    linux_data = world.daemon.get(f"/api/v1/volumes/{volume}")["linux_data"]
    return (export["status"] == linux_data["export_status"] == "pending" and
            user in export["error"] and export["error"] == linux_data["export_error"])


def attached_while_held(world):
    """Somebody was at the disk as soon as it came; the volume, what was answered, and the holder."""
    world.cloud.set(job_delay=3600)
    volume, holder = world.volume(), Holder(world, "vdb")
    with world.monitor() as monitor:
        operation = world.daemon.attach(volume)
        monitor.wait("DeviceAdded", lambda a: a[0] == world.path("vdb"))
        holder.come()
    world.cloud.hurry()
    return volume, world.daemon.completed(operation)["response"], holder


def refusal_of_an_export(surface, volume):
    """None while the daemon itself tries to serve the volume."""
    with pytest.raises(Refused) as refused:
        surface.ask("export.create", volume_id=volume)
    return None if "another request works on volume" in refused.value.text else refused.value


def test_a_disk_in_use_is_not_exported_until_it_is_free(world):
    volume, response, holder = attached_while_held(world)
    assert response["device_path"] == world.path("vdb")
    assert response["export_status"] == "pending"
    assert "held by mpatha" in response["export_error"]
    assert "but without its export" in response["message"]
    assert waits_for(world, volume, "held by mpatha")
    assert "migration-vol" in fails("nbdinfo", "--size", world.export_uri(volume))
    for name in SURFACES:
        surface = SURFACES[name](world)
        refused = eventually(lambda: refusal_of_an_export(surface, volume), "the disk is looked at")
        assert refused.word == "CONFLICT"
        assert "held by mpatha" in refused.text
        surface.close()
    holder.go()
    eventually(lambda: is_served(world, volume), "it is served")
    assert size_over_nbd(world.export_uri(volume)) == cloudsim.GIB


def test_a_disk_in_use_is_not_exported_by_another_engine_or_daemon(world):
    volume, _ = world.attached()
    holder = Holder(world, "vdb")
    holder.come()
    os.kill(engine_pid(world), signal.SIGKILL)
    eventually(lambda: waits_for(world, volume, "held by mpatha"), "it waits")
    world.daemon.kill()
    world.daemon.start()
    eventually(lambda: waits_for(world, volume, "held by mpatha"), "it still waits")
    fails("nbdinfo", "--size", world.export_uri(volume))
    holder.go()
    eventually(lambda: is_served(world, volume), "it is served")


def test_a_disk_in_use_is_not_exported_when_its_detachment_fails(qemu_world):
    volume, _ = qemu_world.attached()
    qemu_world.cloud.set(job_delay=3600)
    qemu_world.cloud.set_faults([{"do": "job_fail", "command": "detachVolume"}])
    operation = qemu_world.daemon.detach(volume)
    qemu_world.await_jobs("detachVolume")
    holder = Holder(qemu_world, "vdb")
    holder.come()
    qemu_world.cloud.hurry()
    qemu_world.daemon.failed(operation)
    assert waits_for(qemu_world, volume, "held by mpatha")
    holder.go()
    eventually(lambda: is_served(qemu_world, volume), "it is served")


# ---- by request ----

@pytest.mark.parametrize("name", SURFACES)
def test_removed_and_made_again(qemu_world, name):
    volume, _ = qemu_world.attached()
    surface = SURFACES[name](qemu_world)
    address = qemu_world.export_uri(volume)
    surface.ask("export.delete", volume_id=volume)
    with pytest.raises(Refused) as refused:
        surface.ask("export.get", volume_id=volume)
    assert refused.value.word == "NOT_FOUND"
    assert "migration-vol" in fails("nbdinfo", "--size", address)
    made = shapes.EXPORT.check(surface.ask("export.create", volume_id=volume, read_only=True))
    assert (made["status"], made["read_only"]) == ("active", True)
    assert size_over_nbd(address) == cloudsim.GIB
    assert b'"is_read_only": true' in run("nbdinfo", "--json", address)
    found = shapes.EXPORT.check_all(surface.ask("export.list"))
    assert [e["volume_id"] for e in found] == [volume]
    surface.close()


def test_a_client_keeps_its_export(world):
    volume, _ = world.attached()
    with NBDClient(world.export_uri(volume)) as client:
        client.write(1)
        answer = world.daemon.rest("DELETE", f"/api/v1/exports/{volume}")
        assert answer.status == 409 and "NBD client 127.0.0.1:" in answer.json["error"]
        client.write(2)
        assert world.daemon.rest("DELETE", f"/api/v1/exports/{volume}?force=true").status == 200
    assert world.daemon.rest("GET", f"/api/v1/exports/{volume}").status == 404


def test_only_what_is_attached_here_is_exported(qemu_world):
    answer = qemu_world.daemon.rest("POST", "/api/v1/exports", {"volume_id": qemu_world.volume()})
    assert answer.status == 409 and "attach it first" in answer.json["error"]


def test_read_only_needs_an_engine_that_can(make_world):
    world = make_world(export={"engine": NBDKIT})
    volume, _ = world.attached()
    assert world.daemon.rest("DELETE", f"/api/v1/exports/{volume}").status == 200
    answer = world.daemon.rest("POST", "/api/v1/exports",
                               {"volume_id": volume, "read_only": True})
    assert answer.status == 400 and "qemu-storage-daemon" in answer.json["error"]
    eventually(lambda: world.daemon.rest("GET", f"/api/v1/exports/{volume}").status == 404,
               "the wish is dropped")


# ---- when something dies ----

def test_the_engine_is_killed(world):
    volume, _ = world.attached()
    other, _ = world.attached(2)
    pid = engine_pid(world)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: engine_pid(world) not in (0, pid), "another engine runs")
    eventually(lambda: is_served(world, volume) and is_served(world, other), "it is served again")
    assert size_over_nbd(world.export_uri(volume)) == cloudsim.GIB
    assert size_over_nbd(world.export_uri(other)) == 2 * cloudsim.GIB


def test_the_daemon_is_killed(world):
    volume, _ = world.attached()
    world.daemon.kill()
    world.daemon.start()
    eventually(lambda: is_served(world, volume), "it is served again")
    assert size_over_nbd(world.export_uri(volume)) == cloudsim.GIB


def test_a_client_survives_the_daemon(qemu_world):
    volume, _ = qemu_world.attached()
    with NBDClient(qemu_world.export_uri(volume)) as client:
        client.write(1)
        pid = engine_pid(qemu_world)
        qemu_world.daemon.kill()
        client.write(2)
        qemu_world.daemon.start()
        eventually(lambda: is_served(qemu_world, volume), "it is served again")
        assert engine_pid(qemu_world) == pid
        client.write(3)


@pytest.fixture
def foreign_engine(tmp_path):
    """As its own unit runs it: the process, and how the daemon is told of it."""
    path = tmp_path / "foreign.sock"
    process = subprocess.Popen([QEMU, "--chardev", f"socket,id=qmp,path={path},server=on,wait=off",
                                "--monitor", "chardev=qmp,mode=control"])
    eventually(path.exists, "it takes commands")
    yield process, {"engine": QEMU, "qmp_socket": str(path), "listen": f"127.0.0.1:{free_port()}"}
    process.kill()
    process.wait()


def test_an_engine_of_somebody_else_has_volumes_open_and_lets_them_go(make_world, foreign_engine):
    process, options = foreign_engine
    world = make_world(export=options)
    volume, _ = world.attached()
    assert size_over_nbd(world.export_uri(volume)) == cloudsim.GIB
    assert engine_pid(world) == process.pid
    world.daemon.completed(world.daemon.detach(volume))
    assert process.poll() is None


def test_without_the_program_volumes_are_not_attached(make_world, tmp_path):
    world = make_world(start=False, export={"engine": QEMU}, device={"wait": "2s"})
    (tmp_path / "bin").mkdir()
    world.daemon.bus.environment["PATH"] = str(tmp_path / "bin")
    world.bus.start()
    world.daemon.start()
    eventually(lambda: world.daemon.health()["cloudstack_health"] == "healthy", "CloudStack is seen")
    health = world.daemon.health()
    assert health["status"] == "degraded"
    assert "install Debian's package" in health["nbd_health"]
    assert "install Debian's package" in world.daemon.ctl("health").stdout
    volume = world.volume()
    record = world.daemon.failed(world.daemon.attach(volume))
    assert "install Debian's package qemu-system-common" in record["error"]
    assert world.cloud.volume(volume)["vm"] is None
