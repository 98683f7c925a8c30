# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which device is a volume? The daemon's answers, checked against a real kernel.

A test marks a volume's contents on the host and reads the mark back in the guest from the device
the daemon names. Volumes all have the same size; only their identity tells them apart. Where the
order of things matters the test makes it, either by delays in the cloud's jobs or by taking the
plugging out of the cloud's hands (the `no_plug` fault) and doing it at the chosen moment.
"""

import json
import statistics

import cloudsim

from .product import EXIT_CONFLICT, EXIT_NOT_FOUND
from .scene import PROGRAMS, device_of, kernel_names_only, node, pattern, wait_served

DELAYS = 3      # an odd number, for the median


def no_plug(volume):
    """Let the attach job of a volume succeed without anything happening in the guest."""
    return {"do": "no_plug", "command": "attachVolume", "volume": volume}


def delay(kind, volume, seconds):
    return {"do": kind, "command": "attachVolume", "volume": volume, "seconds": seconds}


def attach_until_devices_missing(lab, *volumes):
    """Begin attaches whose jobs have ended but whose devices have not come; returns their ids."""
    lab.cloud.set_faults([no_plug(volume) for volume in volumes])
    operations = [lab.product.begin("attach", volume) for volume in volumes]
    lab.cloud.wait_for(lambda sim: all(sim.world.volumes[volume].vm for volume in volumes),
                       timeout=300)
    return operations


def test_attach_names_the_device_and_detach_frees_it(lab):
    volume = lab.product.volumectl(
        "create", "--name", "lab", "--size", "1GiB", "--offering", cloudsim.OFFERING_CUSTOM,
        "--zone", cloudsim.ZONE)["volume_id"]
    lab.mark(volume)

    device = lab.attach(volume)

    assert lab.disks() == {"vda": cloudsim.serial_of(lab.root_volume),
                           "vdb": cloudsim.serial_of(volume)}
    assert device == "/dev/vdb"
    assert lab.contents(device) == pattern(volume)
    mapping = lab.product.volumectl("device", volume)
    assert mapping["device_path"] == device
    assert mapping["matched_by"] == "identity"
    assert mapping["size"] == cloudsim.GIB
    assert lab.product.volumectl("which", device)["volume_id"] == volume

    detached = lab.product.volumectl("detach", volume)

    assert detached["status"] == "completed"
    assert list(lab.disks()) == ["vda"]
    assert lab.cloud.volume(volume)["vm"] is None
    assert lab.product.try_volumectl("device", volume).rc == EXIT_NOT_FOUND
    assert lab.product.try_volumectl("which", device).rc == EXIT_NOT_FOUND

    # The kernel gives the name to the next disk.
    other = lab.new_volume()
    assert lab.attach(other) == device
    assert lab.contents(device) == pattern(other)
    assert lab.product.volumectl("which", device)["volume_id"] == other
    assert lab.product.try_volumectl("device", volume).rc == EXIT_NOT_FOUND


@kernel_names_only
def test_two_attaches_at_once_when_the_second_device_comes_first(lab):
    first, second = lab.new_volume(), lab.new_volume()
    operations = attach_until_devices_missing(lab, first, second)

    lab.plug(second)
    lab.plug(first)
    devices = [device_of(lab.wait(operation)) for operation in operations]

    assert devices == ["/dev/vdc", "/dev/vdb"]
    assert lab.contents(devices[0]) == pattern(first)
    assert lab.contents(devices[1]) == pattern(second)


@kernel_names_only
def test_a_disk_that_comes_completes_its_attach_soon(lab, record_property):
    """The guest's clock tells how long after the kernel's event; that is told, not judged."""
    told = lab.vm.spawn("completion-delay", f"exec {PROGRAMS}/completion_delay")
    lab.vm.wait_output(told, "listening")
    for _ in range(DELAYS):
        volume = lab.new_volume()
        operation, = attach_until_devices_missing(lab, volume)
        lab.vm.run(f"until volumectl operation {operation} --json | grep -q '\"step\":\"await-device\"'; do sleep .2; done",
                   timeout=300)
        lab.plug(volume)
        assert device_of(lab.wait(operation)) == "/dev/vdb"
        lab.product.volumectl("detach", volume)
    lab.vm.run("systemctl stop completion-delay")
    delays = [int(line.split()[1]) / 1000 for line in lab.vm.read_file(told).decode().splitlines()
              if line.startswith("completed")]
    assert len(delays) == DELAYS
    record_property("figure", f"kernel event to OperationCompleted: {statistics.median(delays):.1f} ms, median of "
                              f"{DELAYS}, {min(delays):.1f} to {max(delays):.1f}")


@kernel_names_only
def test_a_disk_swapped_behind_our_back_is_not_taken_for_the_old_one(lab):
    first, second = lab.new_volume(), lab.new_volume()
    assert lab.attach(first) == "/dev/vdb"

    with lab.monitor() as monitor:
        lab.cloud.detach_behind(first)
        lab.cloud.attach_behind(second)
        monitor.wait_signal("DeviceAdded", "/dev/vdb")

    assert lab.contents("/dev/vdb") == pattern(second)
    which = lab.product.try_volumectl("which", "/dev/vdb")
    assert which.rc == EXIT_NOT_FOUND or json.loads(which.out)["volume_id"] == second
    device, = [d for d in lab.product.volumectl("devices") if d["device_path"] == "/dev/vdb"]
    assert device.get("volume_id") != first
    mapping = lab.product.try_volumectl("device", first)
    assert mapping.rc == EXIT_NOT_FOUND or json.loads(mapping.out)["linux_state"] == "gone"


@kernel_names_only
def test_a_partition_is_of_its_disk(lab):
    volume = lab.new_volume()
    device = lab.attach(volume)

    lab.vm.run(f"addpart {device} 1 2048 2048")

    for name in (f"{device}1", f"virtio-{cloudsim.serial_of(volume)}-part1"):
        assert lab.product.volumectl("which", name)["volume_id"] == volume


@kernel_names_only
def test_scsi_disk(lab):
    lab.cloud.set(bus="scsi")
    volume = lab.new_volume()

    device = lab.attach(volume)

    assert device == "/dev/sda"
    assert lab.contents(device) == pattern(volume)
    assert lab.product.volumectl("device", volume)["matched_by"] == "identity"
    # The daemon may rescan it.
    lab.vm.run("nsenter --mount --target $(systemctl show --property=MainPID --value "
               "volume-daemon) sh -c 'echo 1 >/sys/block/sda/device/rescan'")
    assert lab.product.volumectl("detach", volume)["status"] == "completed"
    assert "sda" not in lab.disks()


@kernel_names_only
def test_foreign_disks_are_not_claimed_by_a_waiting_attach(lab):
    volume = lab.new_volume()
    operation, = attach_until_devices_missing(lab, volume)

    foreign = {"/dev/vdb": None, "/dev/vdc": "0f" * 10}
    with lab.monitor() as monitor:
        for device, serial in foreign.items():
            lab.cloud.plug_disk(cloudsim.GIB, serial)
            monitor.wait_signal("DeviceAdded", device)
    waiting = lab.product.volumectl("operation", operation)
    which = [lab.product.try_volumectl("which", device).rc for device in foreign]
    lab.plug(volume)
    ended = lab.wait(operation)

    assert waiting["status"] == "executing"
    assert which == [EXIT_NOT_FOUND] * len(foreign)
    assert device_of(ended) == "/dev/vdd"
    assert lab.contents("/dev/vdd") == pattern(volume)


def test_the_doctor_tells_which_container_has_what_the_daemon_needs(lab):
    """What a container runtime would share of this machine, without a runtime."""
    for shared, verdict, words in (
            ("env", "ok", "has the host's devices, processes and network"),
            ("unshare --ipc --net", "wrong",
             "semaphores are not the host's, so that udev does not answer device mapper; the network is not")):
        said = lab.vm.run(f"container=oci {shared} volumectl doctor --json", check=False).out

        check, = [check for check in json.loads(said)["checks"] if check["check"] == "container"]
        assert check["verdict"] == verdict and words in check["text"], check


def test_attaches_that_wait_go_on_after_a_restart_and_a_crash(lab):
    """One waits for CloudStack and one for its device."""
    no_device, no_answer = lab.new_volume(), lab.new_volume()
    waiting = attach_until_devices_missing(lab, no_device)
    lab.cloud.set_faults([delay("job_delay", no_answer, 3600), delay("plug_delay", no_answer, 3600)])
    waiting.append(lab.product.begin("attach", no_answer))
    lab.cloud.wait_request("attachVolume", count=2, timeout=300)

    lab.product.restart()
    lab.product.await_cloud()
    lab.product.kill()
    lab.product.start()
    lab.plug(no_device)
    lab.cloud.hurry()

    for operation, volume in zip(waiting, (no_device, no_answer)):
        assert_is(lab, device_of(lab.wait(operation)), volume)
    assert len(lab.jobs("attachVolume")) == 2


def assert_is(lab, device, volume):
    assert lab.contents(device) == pattern(volume)
    assert lab.product.volumectl("which", device)["volume_id"] == volume


def test_everything_goes_on_after_a_power_loss(lab):
    """Two attaches that wait, one for CloudStack and one for its device, and two volumes in use."""
    served = [lab.new_volume(), lab.new_volume()]
    for volume in served:
        lab.attach(volume)
    no_device, no_answer = lab.new_volume(), lab.new_volume()
    waiting = attach_until_devices_missing(lab, no_device)
    lab.cloud.set_faults([delay("job_delay", no_answer, 3600), delay("plug_delay", no_answer, 3600)])
    waiting.append(lab.product.begin("attach", no_answer))
    lab.cloud.wait_request("attachVolume", count=4, timeout=300)

    lab.vm.reset()
    lab.product.start()
    lab.plug(no_device)
    lab.cloud.hurry()

    for operation, volume in zip(waiting, (no_device, no_answer)):
        assert_is(lab, device_of(lab.wait(operation)), volume)
    assert len(lab.jobs("attachVolume")) == 4
    for volume in served:
        wait_served(lab, volume)
        assert lab.contents(node(volume)) == pattern(volume)


def test_a_reboot_that_renames_disks(lab):
    first, second = lab.new_volume(), lab.new_volume()
    assert (lab.attach(first), lab.attach(second)) == ("/dev/vdb", "/dev/vdc")

    lab.product.kill()
    for volume in (first, second):
        lab.cloud.unplug_volume(volume)
    for volume in (second, first):
        lab.plug(volume)
    lab.vm.reset()
    lab.product.start()
    lab.product.await_cloud()
    report = lab.product.volumectl("sync")["report"]

    assert report["drift"] == []
    for volume, device in ((first, "/dev/vdc"), (second, "/dev/vdb")):
        assert lab.contents(device) == pattern(volume)
        mapping = lab.product.volumectl("device", volume)
        assert (mapping["device_path"], mapping["linux_state"]) == (device, "detected")
        assert lab.product.volumectl("which", device)["volume_id"] == volume
    journal = lab.product.journal()
    assert f"device-renamed: volume {first} was /dev/vdb and is /dev/vdc" in journal
    assert f"device-renamed: volume {second} was /dev/vdc and is /dev/vdb" in journal


def test_a_disk_detached_behind_our_back(lab):
    volume = lab.new_volume()
    lab.attach(volume)

    with lab.monitor() as monitor:
        lab.cloud.detach_behind(volume)
        # The daemon may compare by itself before it is asked to, since a disk has gone.
        lab.product.volumectl("sync")
        monitor.wait_signal("DriftFound", f'"detached-outside".*{volume}')

    assert list(lab.disks()) == ["vda"]
    assert lab.product.try_volumectl("device", volume).rc == EXIT_NOT_FOUND
    assert lab.attach(volume) == "/dev/vdb"
    assert lab.contents("/dev/vdb") == pattern(volume)


def test_cloudstack_and_kernel_disagree_about_a_disk(lab):
    volume = lab.new_volume()
    lab.attach(volume)

    lab.cloud.detach_behind(volume, guest=False)
    found, = lab.product.volumectl("sync")["report"]["failed"]
    still_there = lab.product.volumectl("device", volume)
    lab.cloud.attach_behind(volume, guest=False)
    known_again = lab.product.volumectl("sync")["report"]["repaired"]
    with lab.monitor() as monitor:
        lab.cloud.detach_behind(volume, row=False)
        monitor.wait_signal("DeviceRemoved", "/dev/vdb")
    missing, = lab.product.volumectl("sync")["report"]["failed"]

    assert found["kind"] == "device-unexpected"
    assert (still_there["device_path"], still_there["cloudstack_state"]) == ("/dev/vdb", "detached")
    assert [drift["kind"] for drift in known_again] == ["attached-outside"]
    assert missing["kind"] == "device-missing"
    assert lab.product.volumectl("device", volume)["linux_state"] == "gone"


def test_the_root_disk_is_never_ours(lab):
    for words in (["export", lab.root_volume], ["detach", lab.root_volume, "--keep-name"],
                  ["delete", lab.root_volume], ["attach", lab.root_volume]):
        refused = lab.product.try_volumectl(*words)
        assert refused.rc != 0, words
    root, = lab.product.volumectl("devices")
    which = lab.product.try_volumectl("which", "/dev/vda")
    device = lab.product.try_volumectl("device", lab.root_volume)
    mappings = lab.product.volumectl("mappings")
    detach = lab.product.try_volumectl("detach", lab.root_volume)
    forced = lab.product.try_volumectl("detach", lab.root_volume, "--force")

    assert root["device_path"] == "/dev/vda"
    assert "volume_id" not in root
    assert which.rc == EXIT_NOT_FOUND
    assert device.rc == EXIT_NOT_FOUND
    assert mappings == []
    assert detach.rc == EXIT_CONFLICT
    assert forced.rc == EXIT_CONFLICT
    assert lab.vm.mapper_nodes() == ["control"]
    assert lab.jobs("detachVolume") == lab.jobs("attachVolume") == []
