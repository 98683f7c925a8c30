# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the bus is told, and what can be said on it.

Clients on D-Bus do not ask again and again, they listen. So every signal's name, signature and
contents are promises, and the first of them is that a signal is true: what it tells is durable
before it is sent. The daemon also has to live without a bus, and to come back when the bus does.
"""

import os
import subprocess

import pytest
from cloudsim import APPLIANCE_VM, GIB, OFFERING_CUSTOM, OTHER_VM, ZONE, serial_of
from support.py import shapes
from support.py.harness import MANAGER, NAME, ROOT, TOP, BusError, Daemon, Running
from support.py.programs import program
from support.py.secrecy import assert_no_secret
from support.py.told import Copy

from .surfaces import interface, object_path

NOBODY = "00000000-0000-4000-8000-000000000000"
OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"


# ---- signals ----

def test_signals_of_an_operation(world):
    with world.monitor() as monitor:
        operation = world.daemon.create()
        completed = monitor.completed(operation["id"])
        path = object_path("operation", operation["id"])

        started = monitor.wait("OperationStarted")
        assert (started.path, started.interface, started.signature) == (ROOT, MANAGER, "osss")
        assert started.arguments == [path, operation["id"], "create", ""]

        assert (completed.path, completed.interface) == (ROOT, MANAGER)
        assert completed.signature == "osssssa{sv}"
        record = world.daemon.operation(operation["id"])
        assert completed.arguments == [path, operation["id"], "create", "completed",
                                       record["volume_id"], "", record]
        shapes.check_ended(completed.arguments[6])

        added = monitor.wait("InterfacesAdded", lambda a: a[0] == path)
        assert (added.path, added.interface) == (ROOT, OBJECT_MANAGER)
        assert added.arguments[1][NAME + ".Operation"]["Id"] == operation["id"]

        # Every step is told, and nothing about it comes after the end.
        steps = [added.arguments[1][NAME + ".Operation"]["Step"]]
        steps += [m.arguments[1]["Step"] for m in monitor.signals("PropertiesChanged")
                  if m.path == path and "Step" in m.arguments[1]]
        assert [step for step in steps if step] == ["ask-cloud", "await-job", "rename"]
        order = [m for m in monitor.messages.all() if m in (added, started, completed)
                 or m.member == "PropertiesChanged" and m.path == path]
        assert order[:2] == [added, started] and order[-1] is completed
        assert len(monitor.signals("OperationCompleted")) == 1


def test_signals_of_a_device_and_its_mapping(world):
    volume = world.volume(2)
    with world.monitor() as monitor:
        attach = world.daemon.attach(volume)
        told = monitor.completed(attach["id"]).arguments
        path = told[5]
        assert told[2:5] == ["attach", "completed", volume]
        world.assert_is(path, volume)

        added = monitor.wait("DeviceAdded")
        assert added.signature == "sa{sv}" and added.arguments[0] == path
        device = shapes.DEVICE.check(added.arguments[1])
        assert (device["serial"], device["size"]) == (serial_of(volume), 2 * GIB)
        mapped = monitor.wait("MappingChanged")
        assert mapped.signature == "ssa{sv}" and mapped.arguments[:2] == [volume, path]
        shapes.MAPPING.check(mapped.arguments[2])
        changed = monitor.wait_changed(object_path("volume", volume), DevicePath=path)
        assert changed.arguments[0] == NAME + ".Volume"
        monitor.wait_shown(object_path("volume", volume), VmId=APPLIANCE_VM)

        since = len(monitor.messages)
        detach = world.daemon.detach(volume)
        assert monitor.completed(detach["id"]).arguments[5] == path
        gone = monitor.wait("DeviceRemoved", since=since)
        assert gone.signature == "sa{sv}" and gone.arguments[0] == path
        unmapped = monitor.wait("MappingChanged", lambda a: not a[1], since=since)
        assert unmapped.arguments[0] == volume
        monitor.wait_changed(object_path("volume", volume), DevicePath="")
        monitor.wait_changed(object_path("volume", volume), VmId="")


def test_properties_are_there_when_the_end_is_told(world):
    """A client that looks at the copies that its library keeps, and asks nothing."""
    volume = world.volume(2)
    with world.monitor() as monitor:
        since, copy = 0, Copy()
        for change in (world.daemon.attach, world.daemon.detach):
            operation = change(volume)
            completed = monitor.completed(operation["id"])
            heard = monitor.messages.all()
            for message in heard[since:heard.index(completed)]:
                copy.hear(message)
            since = heard.index(completed)
            shown = copy.objects[object_path("volume", volume), NAME + ".Volume"]
            attached = change == world.daemon.attach
            assert shown["DevicePath"] == (completed.arguments[5] if attached else "")
            assert shown["VmId"] == (APPLIANCE_VM if attached else "")
            assert shown["LastOperation"] == {
                "id": operation["id"], "type": operation["type"], "status": "completed"}
            assert shown["LinuxData"].get("state") == ("detected" if attached else None)


def test_signals_of_a_volume_that_comes_and_goes(world):
    with world.monitor() as monitor:
        volume = world.daemon.completed(world.daemon.create())["volume_id"]
        path = object_path("volume", volume)
        added = monitor.wait("InterfacesAdded", lambda a: a[0] == path)
        assert added.arguments[1][NAME + ".Volume"]["VolumeId"] == volume
        world.daemon.completed(world.daemon.delete(volume))
        removed = monitor.wait("InterfacesRemoved", lambda a: a[0] == path)
        assert NAME + ".Volume" in removed.arguments[1]


def test_how_far_an_operation_is_and_when_it_ends(world):
    """The first attachment teaches the daemon what the second takes, also across a restart."""
    volume, _ = world.attached()
    world.daemon.completed(world.daemon.detach(volume))
    world.daemon.stop()
    world.daemon.start().wait_healthy()
    with world.monitor() as monitor:
        operation = world.daemon.attach(volume)
        path = object_path("operation", operation["id"])
        completed = monitor.completed(operation["id"]).arguments[6]
        changes = [m.arguments[1] for m in monitor.signals("PropertiesChanged") if m.path == path]
    told = [change["Progress"] for change in changes if "Progress" in change]
    assert told == sorted(told) and told[-1] == 1 and any(0 < part < 1 for part in told)
    assert any(change.get("ExpectedEnd", "") >= completed["started_at"] for change in changes)
    assert completed["created_at"] <= completed["started_at"] <= completed["completed_at"]
    stored = next(o for o in world.daemon.get("/api/v1/operations") if o["id"] == operation["id"])
    for record in (completed, stored, world.daemon.operation(operation["id"])):
        assert (record["progress"], record["started_at"]) == (1, completed["started_at"])
        assert "expected_end" not in record


def test_signals_of_failure(world):
    volume = world.volume()
    with world.monitor() as monitor:
        operation = world.daemon.detach(volume)
        told = monitor.completed(operation["id"]).arguments
        assert told[2:6] == ["detach", "failed", volume, ""]
        details = shapes.check_ended(told[6])
        assert details["error_code"] == "Conflict"


@pytest.mark.parametrize("signal", ["OperationStarted", "MappingChanged", "OperationCompleted"])
def test_a_signal_tells_what_is_durable(world, signal):
    """Whoever has heard it may rely on it, even if the daemon dies at that very moment."""
    volume = world.volume()
    with world.monitor() as monitor:
        operation = world.daemon.attach(volume)
        heard = monitor.wait(signal)
        world.daemon.kill()
    world.daemon.start()
    now = world.daemon.operation(operation["id"])
    if signal == "OperationStarted":
        assert heard.arguments[1] == now["id"]
    else:
        assert now["status"] == "completed"
        mapping = world.daemon.get(f"/api/v1/volumes/{volume}/device")
        assert mapping["device_path"] in heard.arguments
    world.daemon.completed(operation)


# ---- objects ----

def test_all_objects_at_once(world):
    volume, path = world.attached()
    operation = world.daemon.get("/api/v1/operations")[0]
    objects, = world.bus.call(ROOT, OBJECT_MANAGER, "GetManagedObjects")
    shown = objects[object_path("volume", volume)][NAME + ".Volume"]
    assert (shown["VolumeId"], shown["DevicePath"], shown["VmId"]) == (volume, path, APPLIANCE_VM)
    shown = objects[object_path("operation", operation["id"])][NAME + ".Operation"]
    assert (shown["Id"], shown["Status"]) == (operation["id"], "completed")
    assert shown["Response"]["device_path"] == path
    volumes = {p for p in objects if p.startswith(ROOT + "/volume/")}
    assert volumes == {object_path("volume", v["volume_id"])
                       for v in world.daemon.get("/api/v1/volumes")["volumes"]}


def test_the_managers_properties(world):
    version = subprocess.run([program("volume-daemon"), "--version"], capture_output=True,
                             text=True, check=True).stdout.split()[1]
    assert world.bus.properties(ROOT, MANAGER) == {
        "Version": version, "ApplianceId": APPLIANCE_VM, "InterfaceVersion": 1,
        "UnlistedVolumes": 0, "UnlistedOperations": 0, "UnlistedExports": 0}


def test_objects_that_do_not_exist(world):
    for path in (object_path("volume", NOBODY), object_path("operation", "op-x"),
                 ROOT + "/volume", ROOT + "/volume/_", ROOT + "/volume/a/b", ROOT + "/export/x"):
        with pytest.raises(BusError) as refused:
            world.bus.call(path, NAME + ".Volume", "Delete", "a{sv}", 0)
        assert refused.value.name.startswith("org.freedesktop.DBus.Error.Unknown"), refused.value


# ---- errors ----

@pytest.mark.parametrize("member, arguments, word, text", [
    ("GetVolume", ("s", NOBODY), "NotFound", NOBODY),
    ("GetDevice", ("s", NOBODY), "NotFound", NOBODY),
    ("GetDevice", ("s", "x"), "InvalidRequest", "volume_id"),
    ("GetDevice", ("s", ""), "InvalidRequest", "volume_id"),
    ("GetOperation", ("s", "op-x"), "NotFound", "op-x"),
    ("CancelOperation", ("sa{sv}", "op-x", 0), "NotFound", "op-x"),
    ("GetVolumeForDevice", ("s", "vdz"), "NotFound", "vdz"),
    ("AttachVolume", ("ssa{sv}", NOBODY, "x", 0), "InvalidRequest", "vm_id"),
    ("AttachVolume", ("ssa{sv}", NOBODY, OTHER_VM, 1, "colour", "s", "red"), "InvalidRequest",
     "colour"),
    ("AttachVolume", ("ssa{sv}", NOBODY, OTHER_VM, 1, "vm_name", "s", "web"), "InvalidRequest",
     "vm_name"),
    ("DetachVolume", ("sa{sv}", NOBODY, 1, "force", "s", "yes"), "InvalidRequest", "force"),
    ("DetachVolume", ("sa{sv}", NOBODY, 2, "force", "b", "true", "force", "b", "true"),
     "InvalidRequest", "twice"),
    ("ListOperations", ("a{sv}", 1, "limit", "s", "3"), "InvalidRequest", "limit"),
    ("ListOperations", ("a{sv}", 1, "limit", "x", "-1"), "InvalidRequest", "limit"),
    ("ListOperations", ("a{sv}", 1, "limit", "t", str(2 ** 64 - 1)), "InvalidRequest", "limit"),
    ("ListOperations", ("a{sv}", 1, "since", "s", "yesterday"), "InvalidRequest", "since"),
    ("CreateVolume", ("sstsa{sv}", "", OFFERING_CUSTOM, GIB, ZONE, 0), "InvalidRequest", "name"),
    ("CreateVolume", ("sstsa{sv}", "a\nb", OFFERING_CUSTOM, GIB, ZONE, 0), "InvalidRequest",
     "name"),
    ("CreateVolume", ("sstsa{sv}", "data", OFFERING_CUSTOM, 0, ZONE, 0), "InvalidRequest", "size"),
    ("CreateVolume", ("sstsa{sv}", "data", OFFERING_CUSTOM, 2 ** 63, ZONE, 0), "InvalidRequest",
     "size"),
    ("CreateVolume", ("sstsa{sv}", "data", OFFERING_CUSTOM, GIB, ZONE, 1, "metadata", "s", "x"),
     "InvalidRequest", "metadata"),
    ("CreateVolume", ("sstsa{sv}", "data", OFFERING_CUSTOM, GIB, ZONE, 1, "metadata", "a{sv}", 1,
                      "x", "d", "nan"), "InvalidRequest", "metadata"),
])
def test_calls_that_are_refused(shared_world, member, arguments, word, text):
    with pytest.raises(BusError) as refused:
        shared_world.bus.manager(member, *arguments)
    assert refused.value.word == word, refused.value
    assert text in refused.value.text
    assert shared_world.daemon.get("/api/v1/operations") == []


@pytest.mark.parametrize("member, arguments", [
    ("AttachVolume", ("ss", NOBODY, OTHER_VM)), ("GetDevice", ()), ("GetHealth", ("s", "x")),
    ("CreateVolume", ("sssa{sv}", "data", OFFERING_CUSTOM, ZONE, 0))])
def test_calls_of_another_signature(shared_world, member, arguments):
    with pytest.raises(BusError) as refused:
        shared_world.bus.manager(member, *arguments)
    assert refused.value.name == "org.freedesktop.DBus.Error.InvalidArgs"


def test_methods_that_do_not_exist(shared_world):
    with pytest.raises(BusError) as refused:
        shared_world.bus.manager("EjectVolume")
    assert refused.value.name == "org.freedesktop.DBus.Error.UnknownMethod"


def test_metadata_of_every_type_comes_back(world):
    path = world.bus.manager(
        "CreateVolume", "sstsa{sv}", "data", OFFERING_CUSTOM, GIB, ZONE, 1, "metadata", "a{sv}", 6,
        "text", "s", "µ", "truth", "b", "true", "small", "y", 255, "large", "t", 2 ** 53 - 1,
        "list", "as", 2, "a", "b", "number", "d", 1.5)
    record = world.daemon.completed(world.daemon.get("/api/v1/operations")[0])
    assert path == object_path("operation", record["id"])
    assert record["request"]["metadata"] == {
        "text": "µ", "truth": True, "small": 255, "large": 2 ** 53 - 1, "list": ["a", "b"],
        "number": 1.5}


# ---- as people do it ----

def test_busctl_as_it_is_written_down(world):
    """The two commands of the documentation, letter by letter."""
    volume = world.volume()
    environment = {**world.bus.environment, "VOLUME": volume, "VM": APPLIANCE_VM}
    watching = Running(["busctl", "monitor", NAME], world.bus.environment)
    with watching:
        watching.err.wait(lambda line: "Monitoring" in line)
        done = subprocess.run(
            "busctl call org.migratekit.VolumeDaemon1 /org/migratekit/VolumeDaemon1"
            " org.migratekit.VolumeDaemon1.Manager AttachVolume 'ssa{sv}' $VOLUME $VM 0",
            shell=True, env=environment, capture_output=True, text=True, check=True)
        path = done.stdout.split('"')[1]
        assert done.stdout.startswith("o ")
        watching.out.wait(lambda line: "Member=OperationCompleted" in line)
        watching.out.wait(lambda line: path in line)
    operation = world.daemon.get("/api/v1/operations")[0]
    assert path == object_path("operation", operation["id"])
    world.assert_is(operation["response"]["device_path"], volume)


def test_busctl_introspects_every_interface(world):
    volume, _ = world.attached()
    operation = world.daemon.get("/api/v1/operations")[0]
    for path, word in ((ROOT, "Manager"), (object_path("volume", volume), "Volume"),
                       (object_path("operation", operation["id"]), "Operation")):
        done = subprocess.run(["busctl", "introspect", NAME, path, f"{NAME}.{word}"],
                              env=world.bus.environment, capture_output=True, text=True, check=True)
        shown = {line.split()[0][1:] for line in done.stdout.splitlines() if line.startswith(".")}
        declared = {line.split('name="')[1].split('"')[0] for line in interface(word).splitlines()
                    if line.lstrip().startswith(("<method", "<signal", "<property"))}
        assert shown == declared


@pytest.mark.parametrize("word", ["Manager", "Volume", "Operation", "Export"])
def test_shipped_interfaces_are_those_of_the_program(word):
    assert (TOP / f"dbus/{NAME}.{word}.xml").read_text() == interface(word)


# ---- who may ----

@pytest.mark.skipif(os.getuid() != 0, reason="only root can ask as somebody else")
def test_others_need_a_permission(shared_world):
    """Where polkit does not run, nobody but root and the daemon's own user gets anything."""
    for member, arguments in (("GetHealth", ()), ("DeleteVolume", ("sa{sv}", NOBODY, 0))):
        with pytest.raises(BusError) as refused:
            shared_world.bus.manager(member, *arguments, user=65534)
        assert refused.value.word == "Forbidden", refused.value
    assert shared_world.daemon.get("/api/v1/operations") == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can ask as somebody else")
def test_objects_are_public_and_hold_no_secret(world):
    volume, path = world.attached()
    objects, = world.bus.call(ROOT, OBJECT_MANAGER, "GetManagedObjects", user=65534)
    assert objects[object_path("volume", volume)][NAME + ".Volume"]["DevicePath"] == path
    assert_no_secret(world, "the objects on the bus", str(objects))


# ---- a bus that is not there ----

def test_the_daemon_starts_without_a_bus_and_connects_when_it_appears(make_world):
    world = make_world(start=False)
    world.daemon.start(wait_for_bus=False)
    world.daemon.wait_healthy()
    volume, path = world.attached()
    world.bus.start()
    world.daemon.log.wait(lambda line: "bus: connected" in line)
    assert world.bus.manager("GetVolumeForDevice", "s", path) == object_path("volume", volume)


def test_the_bus_restarts(world):
    world.cloud.set(job_delay=3600)
    operation = world.daemon.attach(world.volume())
    world.cloud.wait_request("queryAsyncJobResult")
    world.bus.stop()
    world.daemon.log.wait(lambda line: "the connection was lost" in line)
    assert world.daemon.operation(operation["id"])["status"] == "executing"
    world.bus.start()
    with world.monitor() as monitor:
        world.daemon.log.wait(lambda line: "connected again" in line)
        path = world.bus.manager("GetOperation", "s", operation["id"])
        assert world.bus.properties(path, NAME + ".Operation")["Status"] == "executing"
        world.cloud.restart()
        assert monitor.completed(operation["id"]).arguments[3] == "failed"


def test_a_daemon_stops_cleanly_when_the_bus_is_away(world):
    world.bus.stop()
    world.daemon.log.wait(lambda line: "the connection was lost" in line)
    world.daemon.stop()


# ---- two of them ----

def test_a_second_daemon_with_the_same_name_is_refused(world):
    folder = world.folder / "second"
    folder.mkdir()
    second = Daemon(folder, world.bus, world.cloud)
    second.configure(device={"sysfs_root": world.folder / "disks"})
    owner = world.bus.owner()
    second.launch()
    assert second.exits() == 1
    assert "another volume-daemon" in second.tail
    assert world.bus.owner() == owner
    assert world.daemon.health()["status"] == "healthy"


def test_a_second_daemon_with_the_same_store_is_refused(world):
    folder = world.folder / "second"
    folder.mkdir()
    second = Daemon(folder, world.bus, world.cloud)
    second.configure(store=world.daemon.store.settings,
                     device={"sysfs_root": world.folder / "disks"})
    second.launch()
    assert second.exits() == 1
    assert "already in use by another volume-daemon" in second.tail
    world.attached()        # the first is not disturbed
