# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which device a volume became.

The promise before all others is that the daemon never names the wrong device. The folder the
simulator keeps in the place of /sys/block is the kernel here: whatever the daemon says about a
device is compared with what the disk behind that name says of itself.
"""

from concurrent.futures import ThreadPoolExecutor

import cloudsim
import pytest
from cloudsim import APPLIANCE_VM, GIB, OTHER_VM, serial_of
from support.py import shapes
from support.py.waiting import eventually

from .surfaces import SURFACES, Refused

NOBODY = "00000000-0000-4000-8000-000000000000"
FOREVER = 3600.0


def device_of(world, volume):
    """The mapping of a volume, None if there is none."""
    answer = world.daemon.rest("GET", f"/api/v1/volumes/{volume}/device")
    if answer.status == 404:
        return None
    assert answer.status == 200, answer
    return shapes.MAPPING.check(answer.json)


def assert_taken_back(world, record, code, *words):
    """An attach that failed and left nothing behind: not in the cloud, not here."""
    shapes.check_ended(record)
    assert record["status"] == "failed" and record["error_code"] == code, record
    assert all(word in record["error"] for word in words), record["error"]
    assert "needs_attention" not in record, record
    volume = record["volume_id"]
    assert world.cloud.volume(volume)["vm"] is None
    assert device_of(world, volume) is None
    assert world.disks_of(volume) == []


# ---- several at once ----

@pytest.mark.parametrize("bus", ["virtio", "scsi"])
def test_two_of_equal_size_at_once_get_each_its_own(world, bus):
    world.cloud.set(bus=bus)
    volumes = [world.volume() for _ in range(2)]
    with ThreadPoolExecutor() as pool:
        operations = list(pool.map(world.daemon.attach, volumes))
    paths = [world.daemon.completed(o)["response"]["device_path"] for o in operations]
    assert len(set(paths)) == 2
    for volume, path in zip(volumes, paths):
        assert [path.rsplit("/", 1)[1]] == world.disks_of(volume)
        assert device_of(world, volume)["device_path"] == path


def test_many_at_once_in_the_guest_s_own_order(world):
    """Jobs end in another order than disks appear, and disks in another than was asked."""
    volumes = [world.volume() for _ in range(8)]
    world.cloud.set_faults([{"do": "plug_delay", "command": "attachVolume", "volume": volume,
                             "seconds": 0.05 * (8 - i)} for i, volume in enumerate(volumes)])
    operations = [world.daemon.attach(volume) for volume in volumes]
    paths = [world.daemon.completed(o)["response"]["device_path"] for o in operations]
    assert len(set(paths)) == len(volumes)
    for volume, path in zip(volumes, paths):
        world.assert_is(path, volume)


def test_a_name_is_used_again_by_another_volume(world):
    first, path = world.attached()
    world.daemon.completed(world.daemon.detach(first))
    second, again = world.attached()
    assert again == path        # the kernel gives the lowest free name
    world.assert_is(path, second)
    assert device_of(world, first) is None
    assert world.daemon.get("/api/v1/devices/vdb/volume")["volume_id"] == second


# ---- disks nobody asked for ----

@pytest.mark.parametrize("serial", [None, serial_of(NOBODY), "QM00001"],
                         ids=["silent", "another volume's", "no volume's"])
def test_a_disk_plugged_behind_our_back_is_not_claimed(world, serial):
    world.cloud.set_faults([{"do": "plug_delay", "command": "attachVolume", "seconds": FOREVER}])
    volume = world.volume()
    operation = world.daemon.attach(volume)
    world.cloud.wait_request("attachVolume")
    with world.monitor() as monitor:
        behind = world.cloud.plug_disk(GIB, serial)
        monitor.wait("DeviceAdded", lambda a: a[0] == world.path(behind["name"]))
    assert world.daemon.operation(operation["id"])["status"] == "executing"
    world.cloud.plug_volume(volume, GIB)
    path = world.daemon.completed(operation)["response"]["device_path"]
    assert path != world.path(behind["name"])
    world.assert_is(path, volume)
    assert world.daemon.rest("GET", f"/api/v1/devices/{behind['name']}/volume").status == 404


def test_a_disk_behind_our_back_alone_does_not_make_an_attachment(make_world):
    world = make_world(device={"wait": "3s"})       # within which the disk is plugged
    world.cloud.set_faults([{"do": "no_plug", "command": "attachVolume"}])
    volume = world.volume()
    operation = world.daemon.attach(volume)
    world.cloud.wait_request("attachVolume")
    behind = world.cloud.plug_disk(GIB)
    record = world.daemon.ended(operation)
    assert_taken_back(world, record, "CONFLICT", world.path(behind["name"]), "does not identify itself")


# ---- early, late, wrong, never ----

def test_a_device_before_its_job_has_ended(world):
    world.cloud.set(job_delay=FOREVER)
    volume = world.volume()
    with world.monitor() as monitor:
        operation = world.daemon.attach(volume)
        monitor.wait("DeviceAdded")
        world.cloud.wait_request("queryAsyncJobResult", 2)
        assert device_of(world, volume) is None     # not before CloudStack says so
        world.cloud.restart(effects=True)
        # The job was lost and the volume not attached, but the disk is there: back with it.
        record = world.daemon.ended(operation)
    assert record["status"] == "failed", record
    assert device_of(world, volume) is None


def test_the_appearing_device_makes_the_daemon_look_at_its_job(make_world):
    """With polls an hour apart only the disk itself can have brought the last one."""
    world = make_world(cloud={"poll_min": "60s", "poll_max": "60s"})
    world.cloud.set(plug_delay=0.2, job_delay=0.1)
    volume = world.volume()
    path = world.daemon.completed(world.daemon.attach(volume))["response"]["device_path"]
    world.assert_is(path, volume)


def test_a_device_long_after_its_job_has_ended(world):
    world.cloud.set_faults([{"do": "no_plug", "command": "attachVolume"}])
    volume = world.volume()
    with world.monitor() as monitor:
        operation = world.daemon.attach(volume)
        monitor.wait_changed(_object(operation), Step="await-device")
        assert world.daemon.operation(operation["id"])["step"] == "await-device"
        world.cloud.plug_volume(volume, GIB)
        record = world.daemon.completed(operation)
    world.assert_is(record["response"]["device_path"], volume)


def test_a_device_that_is_slow_to_tell_its_serial(world):
    world.cloud.set_faults([{"do": "no_plug", "command": "attachVolume"}])
    volume = world.volume()
    with world.monitor() as monitor:
        operation = world.daemon.attach(volume)
        monitor.wait_changed(_object(operation), Step="await-device")
        silent = world.cloud.plug_disk(GIB)["name"]
        # It has had its time and is taken for a disk without identity.
        monitor.wait("DeviceAdded", lambda a: a[0] == world.path(silent))
    (world.folder / "disks/block" / silent / "serial").write_text(serial_of(volume))
    record = world.daemon.completed(operation)
    assert record["response"]["device_path"] == world.path(silent)
    assert record["response"]["matched_by"] == "identity"


@pytest.mark.parametrize("size", [GIB // 2, 2 * GIB])
def test_a_device_of_the_wrong_size_is_refused_and_taken_back(make_world, size):
    world = make_world(device={"wait": "500ms"})
    world.cloud.set_faults([{"do": "wrong_size", "command": "attachVolume", "size": size}])
    record = world.daemon.ended(world.daemon.attach(world.volume()))
    assert_taken_back(world, record, "CONFLICT", world.path("vdb"), str(size), str(GIB))


def test_a_device_that_never_appears_fails_and_is_taken_back(make_world):
    world = make_world(device={"wait": "500ms"})
    world.cloud.set_faults([{"do": "no_plug", "command": "attachVolume"}])
    volume = world.volume()
    record = world.daemon.ended(world.daemon.attach(volume))
    assert_taken_back(world, record, "TIMEOUT", "await-device", volume)
    # Nothing stands in the way of the next try.
    world.assert_is(world.daemon.completed(world.daemon.attach(volume))["response"]["device_path"],
                    volume)


# ---- where disks do not say who they are ----

def test_without_serials_a_single_attachment_goes_by_size(make_world):
    world = silent_world(make_world)
    volume = world.volume()
    response = world.daemon.completed(world.daemon.attach(volume))["response"]
    assert response["matched_by"] == "size"
    assert [response["device_path"].rsplit("/", 1)[1]] == world.disks_of(volume)
    assert device_of(world, volume)["matched_by"] == "size"


def test_without_serials_attachments_go_one_at_a_time(make_world):
    world = silent_world(make_world)
    volumes = [world.volume() for _ in range(3)]
    operations = [world.daemon.attach(volume) for volume in volumes]
    for volume, operation in zip(volumes, operations):
        path = world.daemon.completed(operation)["response"]["device_path"]
        assert [path.rsplit("/", 1)[1]] == world.disks_of(volume)


def test_without_serials_two_candidates_are_an_error(make_world):
    world = silent_world(make_world, device={"wait": "500ms"})
    # Nobody learns of the job's end before both disks are there.
    world.cloud.set_faults([{"do": "no_plug", "command": "attachVolume"},
                            {"do": "status", "command": "queryAsyncJobResult", "code": 530,
                             "times": 0}])
    with world.monitor() as monitor:
        operation = world.daemon.attach(world.volume())
        world.cloud.wait_request("attachVolume")
        paths = [world.path(world.cloud.plug_disk(GIB)["name"]) for _ in range(2)]
        for path in paths:
            monitor.wait("DeviceAdded", lambda a, path=path: a[0] == path)
    world.cloud.clear_faults()
    record = world.daemon.ended(operation)
    assert_taken_back(world, record, "CONFLICT", *paths, "both new")


def silent_world(make_world, **changes):
    """Not even the root disk says who it is."""
    world = make_world(start=False, **changes)
    (world.folder / "disks/block/vda/serial").write_text("")
    world.cloud.set(bus="none")
    return world.start()


# ---- other machines ----

def test_volumes_in_the_same_slot_of_another_machine(world):
    """CloudStack's number of the slot is not ours to rely on: it need not even be told."""
    world.cloud.set(hide_deviceid=True)
    volumes = [world.volume() for _ in range(3)]
    for volume in volumes:
        world.daemon.completed(world.daemon.attach(volume, OTHER_VM))
    assert {device_of(world, volume)["device_path"] for volume in volumes} == \
        {f"remote-vm-{OTHER_VM}-{volume}" for volume in volumes}


@pytest.mark.parametrize("vm", [OTHER_VM, cloudsim.STOPPED_VM])
def test_on_another_machine_the_mapping_names_machine_and_volume(world, vm):
    volume = world.volume()
    response = world.daemon.completed(world.daemon.attach(volume, vm))["response"]
    assert response["device_path"] == f"remote-vm-{vm}-{volume}"
    mapping = device_of(world, volume)
    assert (mapping["vm_id"], mapping["linux_state"], mapping["operation_mode"]) == \
        (vm, "n/a", "failover")
    assert mapping["device_path"] == response["device_path"]
    assert world.disks_of(volume) == []
    assert world.daemon.completed(world.daemon.detach(volume))["vm_id"] == vm
    assert device_of(world, volume) is None


# ---- names that change hands ----

def swap(world, one, other):
    """What a reboot does: the same disks, under each other's names."""
    for volume in (one, other):
        world.cloud.unplug_volume(volume)
    for volume in (other, one):
        world.cloud.plug_volume(volume, GIB)


def test_names_swapped_while_the_daemon_was_down(world):
    one, first = world.attached()
    other, second = world.attached()
    world.daemon.stop()
    swap(world, one, other)
    world.daemon.start()
    # From the very first answer on: a name that was noted must not be told any more.
    for volume, path in ((one, second), (other, first)):
        assert device_of(world, volume)["device_path"] == path
        world.assert_is(path, volume)
        name = path.rsplit("/", 1)[1]
        assert world.daemon.get(f"/api/v1/devices/{name}/volume")["volume_id"] == volume


def test_names_swapped_under_the_running_daemon(world):
    one, first = world.attached()
    other, second = world.attached()
    with world.monitor() as monitor:
        swap(world, one, other)
        for volume in (one, other):
            told = device_of(world, volume)["device_path"]
            if not told.startswith("gone-"):
                world.assert_is(told, volume)
        monitor.wait("MappingChanged", lambda a: a[:2] == [one, second])
        monitor.wait("MappingChanged", lambda a: a[:2] == [other, first])
    assert device_of(world, one)["device_path"] == second
    assert device_of(world, other)["device_path"] == first


def test_a_disk_that_goes_while_the_daemon_is_down_is_gone(world):
    volume, path = world.attached()
    world.daemon.stop()
    world.cloud.unplug_volume(volume)
    stranger = world.cloud.plug_disk(GIB, serial_of(NOBODY))
    assert world.path(stranger["name"]) == path     # it took the name
    world.daemon.start()
    mapping = device_of(world, volume)
    assert mapping["linux_state"] == "gone" and mapping["device_path"] != path
    assert world.daemon.rest("GET", "/api/v1/devices/vdb/volume").status == 404


def test_a_stranger_that_takes_the_name_is_never_told(world):
    """Between two scans the daemon knows of nothing, and must look before it answers."""
    volume, path = world.attached()
    for _ in range(20):
        world.cloud.unplug_volume(volume)
        behind = world.cloud.plug_disk(GIB, serial_of(NOBODY))
        assert world.path(behind["name"]) == path
        assert device_of(world, volume)["device_path"] != path
        assert world.daemon.rest("GET", "/api/v1/devices/vdb/volume").status == 404
        world.cloud.unplug_disk(behind["key"])
        world.cloud.plug_volume(volume, GIB)
        eventually(lambda: device_of(world, volume)["device_path"] == path, "the disk is back")


def test_a_resized_disk_is_noticed(world):
    volume, path = world.attached()
    world.cloud.resize_plugged(volume, 2 * GIB)
    eventually(lambda: device_of(world, volume)["size"] == 2 * GIB, "the new size")
    assert device_of(world, volume)["device_path"] == path


# ---- disks in use ----

def hold(world):
    """Make the first disk a part of another device, as LVM does."""
    block = world.folder / "disks/block"
    (block / "vdb/holders/dm-0").mkdir()
    (block / "dm-0").mkdir()
    (block / "dm-0/dev").write_text("253:0\n")


def test_a_disk_that_is_held_is_not_pulled_away(world):
    """Part of another device, as with LVM; only `force` says that this is meant."""
    volume, path = world.attached()
    hold(world)
    for verb, way in (("POST", "/detach"), ("DELETE", "")):
        answer = world.daemon.rest(verb, f"/api/v1/volumes/{volume}{way}")
        assert answer.status == 409
        assert f"{path} is in use: held by dm-0" in answer.json["error"], answer.json
    assert world.daemon.get("/api/v1/operations?type=detach") == []
    assert world.cloud.volume(volume)["vm"] == APPLIANCE_VM and world.disks_of(volume)
    world.daemon.completed(
        world.daemon.begin("POST", f"/api/v1/volumes/{volume}/detach", {"force": True}))
    assert world.disks_of(volume) == []


def test_a_disk_in_use_is_not_given_away_though_cloudstack_calls_it_detached(world):
    volume, path = world.attached()
    hold(world)
    world.cloud.detach_behind(volume, guest=False)
    world.cloud.clear_requests()
    # The first makes the second wait, so that it is judged when its turn comes.
    for operation in (world.daemon.attach(volume, OTHER_VM), world.daemon.delete(volume)):
        record = world.daemon.failed(operation)
        assert record["error_code"] == "CONFLICT"
        assert f"{path} and in use: held by dm-0" in record["error"], record
    answer = world.daemon.rest("DELETE", f"/api/v1/volumes/{volume}")
    assert answer.status == 409 and "held by dm-0" in answer.json["error"], answer
    asked = {request["command"] for request in world.cloud.requests()}
    assert not asked & {"attachVolume", "detachVolume", "destroyVolume", "deleteVolume"}
    assert world.data_volumes()


def test_an_unused_disk_that_cloudstack_calls_detached_is_waited_for(make_world):
    world = make_world(device={"wait": "3s"})
    volume, path = world.attached()
    world.cloud.detach_behind(volume, guest=False)
    record = world.daemon.failed(world.daemon.attach(volume, OTHER_VM))
    assert record["error_code"] == "CONFLICT" and f"still here as {path}" in record["error"]
    attach = world.daemon.attach(volume, OTHER_VM)
    world.daemon.log.wait(lambda line: attach["id"] in line and "check" in line)
    world.cloud.unplug_volume(volume)
    world.daemon.completed(attach)
    assert world.cloud.volume(volume)["vm"] == OTHER_VM


# ---- from device to volume ----

def test_every_way_to_name_a_device(world):
    volume, path = world.attached()
    serial = serial_of(volume)
    for name in ("vdb", "/dev/vdb", "dev/vdb", path, f"virtio-{serial}",
                 f"/dev/disk/by-id/virtio-{serial}"):
        encoded = name.replace("/", "%2F")
        found = shapes.MAPPING.check(world.daemon.get(f"/api/v1/devices/{encoded}/volume"))
        assert (found["volume_id"], found["device_path"]) == (volume, path)
        assert world.daemon.ctl_json("which", name)["volume_id"] == volume
        assert world.bus.manager("GetVolumeForDevice", "s", name).endswith(
            volume.replace("-", "_2d").removeprefix("0"))


@pytest.fixture
def asked(world):
    """On each surface: the answer's volume and device, or the word and the text of the refusal."""
    surfaces = [make(world) for make in SURFACES.values()]

    def ask(name):
        answers = set()
        for surface in surfaces:
            try:
                found = surface.ask("device.volume", device=name)
                answers.add((found["volume_id"], found["device_path"]))
            except Refused as refused:
                answers.add((refused.word, refused.text.removeprefix("volumectl: ").rstrip()))
        assert len(answers) == 1, answers
        return answers.pop()

    yield ask
    for surface in surfaces:
        surface.close()


def test_a_partition_is_of_its_disk(world, asked):
    volume, path = world.attached()
    block = world.folder / "disks/block"
    (block / "vdb/vdb1").mkdir()
    (block / "vdb/vdb1/partition").write_text("1\n")
    for name in ("vdb1", "/dev/vdb1", f"{path}1",
                 f"/dev/disk/by-id/virtio-{serial_of(volume)}-part1"):
        assert asked(name) == (volume, path)
    (block / "vda/vda1/partition").write_text("1\n")     # of the root disk
    assert asked("vda1") == ("NOT_FOUND", f"device {world.path('vda')} is mapped to no volume")


def test_why_a_device_is_no_volume(world, asked):
    block = world.folder / "disks/block"
    (block / "nvme0n1/nvme0n1p1").mkdir(parents=True)
    (block / "nvme0n1/size").write_text("2097152\n")
    (block / "nvme0n1/nvme0n1p1/partition").write_text("1\n")
    (block / "dm-0").mkdir()
    for name in ("nvme0n1", "/dev/nvme0n1p1"):
        word, text = asked(name)
        assert word == "NOT_FOUND"
        assert "disk nvme0n1" in text and "device.buses" in text and name in text
    word, text = asked("/dev/dm-0")
    assert word == "NOT_FOUND" and "is not a disk" in text
    assert asked("/dev/vdx9") == ("NOT_FOUND", "there is no device /dev/vdx9")


def test_no_volume_for_a_device(world):
    """Among them devices of the right name in the wrong folder, which are others."""
    volume, _ = world.attached()
    for name in ("vdz", "vda", "vdb1", "/dev/vdz", "virtio-", "../vdb", "/tmp/vdb", "/vdb",
                 "/dev/mapper/vdb", "/dev/disk/by-path/vdb", "dev/../vdb", "/dev//vdb",
                 serial_of(volume), volume):
        encoded = name.replace("/", "%2F")
        answer = world.daemon.rest("GET", f"/api/v1/devices/{encoded}/volume")
        assert answer.status == 404 and answer.json["code"] == "NOT_FOUND", (name, answer)
        assert name in answer.json["error"]


# ---- what is on it ----

def test_the_contents_of_a_mapped_disk_are_told(world):
    """A swap area's signature needs no tool to be made."""
    volume = world.volume()
    page = bytearray(4096)
    page[-10:] = b"SWAPSPACE2"
    page[1024:1032] = (1).to_bytes(4, "little") + (255).to_bytes(4, "little")
    page[1036:1052] = bytes(range(16))
    page[1052:1056] = b"disc"
    with open(world.folder / "disks/images" / f"{volume}.img", "wb") as image:
        image.write(page)
    world.daemon.completed(world.daemon.attach(volume))
    mapping = eventually(lambda: (m := device_of(world, volume)) and m.get("filesystem") and m,
                         "what is on the disk")
    assert (mapping["filesystem"], mapping["label"]) == ("swap", "disc")
    assert mapping["filesystem_uuid"] == "00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert world.daemon.get(f"/api/v1/volumes/{volume}")["linux_data"]["label"] == "disc"


def _object(operation):
    return "/org/migratekit/VolumeDaemon1/operation/" + operation["id"].replace("-", "_2d")
