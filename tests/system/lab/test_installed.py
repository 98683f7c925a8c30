# SPDX-License-Identifier: LGPL-2.1-or-later
"""From the Debian packages to a daemon at work, and back: all that an administrator of the appliance does.

All tests share a machine that had nothing of ours. The packages are installed once, with three lines of configuration;
each test leaves the machine as it was, and one removes the packages. The last begins with the packages of the first
commit that had any, and upgrades them.

The machine has AppArmor as Debian has it. After each test the kernel has refused the daemon nothing.
"""

import json
import re

import cloudsim
from cloudsim import plug
import pytest
from support.py import debian
from support.py.waiting import eventually

from .product import BUS_NAME, EXIT_CONFLICT, EXIT_FORBIDDEN, EXIT_UNAUTHORIZED, UNIT, Product
from .scene import (ROOT_VOLUME, Lab, assert_nbd_writer_lost_nothing, device_of, engine_pid, nbd_writer_of, node,
                    pattern, wait_served)
from .vm import CLOUD_ADDRESS, Appliance

PACKAGES = ("libvolumeclient1", "volume-daemon", "volumectl")
CONF = "/etc/volume-daemon/volume-daemon.conf"
SOCKET = "volume-daemon.socket"
EXPORT_UNIT = "volume-daemon-export.service"
ORDINARY = "ordinary"           # a user without any right
# A client that is patient on a busy machine.
PATIENCE_S = 900
CURL = f"curl --silent --show-error --max-time {PATIENCE_S}"
URL = "http://127.0.0.1:8090"

# One machine is one worker's.
pytestmark = pytest.mark.xdist_group("installed")


def edit(vm, section, key, value):
    """Set a key in the configuration that the package brought, where it stands in a comment."""
    line = f"{key} = {value}"
    vm.run(rf"sed -i '/^\[{section}\]$/,/^\[/ s|^#\?{key} =.*|{line}|' {CONF} && grep -q '^{line}$' {CONF}")


def install(vm, source):
    """As an administrator who keeps the configuration that is there."""
    vm.run("rm --recursive --force /root/packages")
    for package in PACKAGES:
        file, = source.glob(f"{package}_*.deb")
        vm.write_file(f"/root/packages/{file.name}", file.read_bytes())
    vm.run("DEBIAN_FRONTEND=noninteractive dpkg --install --force-confold /root/packages/*.deb", PATIENCE_S)


def purge(vm):
    return vm.run(f"dpkg --purge {' '.join(PACKAGES)}", timeout=300)


def set_up(vm):
    """Three lines of configuration, and the keys that they name."""
    vm.write_file("/etc/volume-daemon/api-key", cloudsim.API_KEY, mode="0600")
    vm.write_file("/etc/volume-daemon/secret-key", cloudsim.SECRET_KEY, mode="0600")
    edit(vm, "cloud", "url", f"http://{CLOUD_ADDRESS}/client/api")
    edit(vm, "cloud", "api_key_file", "/etc/volume-daemon/api-key")
    edit(vm, "cloud", "secret_key_file", "/etc/volume-daemon/secret-key")


def ask(vm, words, check=True):
    """Ask REST, with further words for curl."""
    return vm.run(f"{CURL} {words}", PATIENCE_S + 60, check)


def health(vm):
    return json.loads(ask(vm, f"--fail {URL}/health").out)


def refusals(vm):
    """The accesses that AppArmor has refused, or would have refused in complain mode, since the boot."""
    said = vm.run("journalctl --sync && journalctl --quiet --no-pager --boot --output=cat --grep='apparmor=\"'",
                  PATIENCE_S).out.splitlines()
    assert any('apparmor="STATUS"' in line for line in said)      # of the profile that was loaded
    return [line for line in said if re.search('apparmor="(ALLOWED|DENIED)"', line)]


def asked_for(cloud, command):
    """How many jobs of a kind CloudStack was asked for."""
    with cloud.world.lock:
        return sum(job.command == command for job in cloud.world.jobs.values())


def attaches(cloud):
    return asked_for(cloud, "attachVolume")


def unit_property(vm, name, unit=UNIT):
    return vm.run(f"systemctl show --property={name} --value {unit}").out.strip()


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A Debian that never had the daemon, in a cloud of its own."""
    folder = tmp_path_factory.mktemp("machine")
    with (pytest.MonkeyPatch.context() as patches,
          Appliance(folder, cloudsim.APPLIANCE_VM, ROOT_VOLUME, audited=True) as vm):
        patches.setattr(plug, "UNPLUG_DEADLINE", 120)       # an emulated guest is slow
        vm.start()
        vm.wait_ready()
        vm.run("systemctl unmask --quiet apparmor && systemctl start apparmor", timeout=300)
        with cloudsim.CloudSim(plug=f"qmp:{vm.cloud_qmp_path},{folder / 'images'}") as cloud:
            vm.connect_cloud(cloud.port)
            yield Lab(vm, Product(vm), cloud, folder / "images", ROOT_VOLUME)


@pytest.fixture(scope="module")
def machine(bare):
    """With the packages, three lines of configuration and an enabled socket."""
    install(bare.vm, debian.packages("HEAD"))
    assert unit_property(bare.vm, "ActiveState") == unit_property(bare.vm, "ActiveState", SOCKET) == "inactive"
    set_up(bare.vm)
    bare.vm.run(f"systemctl enable --now {SOCKET}")
    return bare


@pytest.fixture
def lab(machine):
    """The shared machine, without volumes."""
    yield machine
    machine.cloud.clear_faults()
    machine.cloud.set(bus="virtio")
    for row in machine.product.volumectl("mappings"):
        machine.product.volumectl("detach", row["volume_id"], "--force")
    assert refusals(machine.vm) == []


def test_the_first_request_starts_the_daemon(lab):
    lab.vm.run(f"systemctl stop {UNIT}")
    assert unit_property(lab.vm, "ActiveState") == "inactive"
    lab.vm.run(f"systemctl start {SOCKET}")

    assert health(lab.vm)["status"] in ("healthy", "degraded")
    assert unit_property(lab.vm, "ActiveState") == "active"
    assert unit_property(lab.vm, "UnitFileState", SOCKET) == "enabled"
    lab.product.await_cloud()


def test_the_first_call_starts_the_daemon(lab):
    lab.vm.run(f"systemctl stop {UNIT}")

    # The bus gives up after 25 seconds, which may be too early on a busy machine; nobody else starts the daemon.
    call = f"busctl call {BUS_NAME} /org/migratekit/VolumeDaemon1 {BUS_NAME}.Manager GetHealth"
    lab.vm.run(f"until {call}; do sleep 1; done", PATIENCE_S)

    assert unit_property(lab.vm, "ActiveState") == "active"


def test_polkit_decides_about_an_ordinary_user(lab):
    lab.product.await_cloud()
    volume, before = lab.new_volume(), attaches(lab.cloud)
    lab.vm.run(f"id {ORDINARY} 2>/dev/null || useradd --system {ORDINARY}")

    def as_user(*words):
        return lab.vm.run(" ".join(["runuser", "-u", ORDINARY, "--", "volumectl", *words]), timeout=180, check=False)

    # The bus would wait for its start as well, but no longer than 25 seconds.
    lab.vm.run("systemctl start polkit", timeout=300)
    # An administrator's password would open the first; the others are closed to users without a session.
    for words, code in ((["list"], EXIT_UNAUTHORIZED), (["attach", volume], EXIT_FORBIDDEN),
                        (["pause", "why"], EXIT_FORBIDDEN)):
        refused = as_user(*words)
        assert refused.rc == code, (words, refused)
    assert attaches(lab.cloud) == before

    lab.vm.write_file("/etc/polkit-1/rules.d/10-volumes.rules", f"""
        polkit.addRule(function(action, subject) {{
            if (subject.user == "{ORDINARY}" && /^org.migratekit.volumedaemon1.(read|change)$/.test(action.id))
                return polkit.Result.YES;
        }});""")
    try:
        lab.vm.run(f"until runuser -u {ORDINARY} -- volumectl list; do sleep .5; done", timeout=120)
        attached = as_user("attach", volume, "--json")
        assert attached.rc == 0, attached
        assert lab.contents(device_of(json.loads(attached.out))) == pattern(volume)
        refused = as_user("pause", "why")
        assert refused.rc == EXIT_FORBIDDEN, refused
    finally:
        lab.vm.run("rm /etc/polkit-1/rules.d/10-volumes.rules")


def test_a_reload_changes_what_is_in_force_or_says_why_not(lab):
    def change():
        return ask(lab.vm, f"--output /dev/null --write-out '%{{http_code}}' --json '{{\"dry_run\":true}}' "
                   f"{URL}/api/v1/admin/force-sync").out

    lab.product.await_cloud()
    assert change() == "200"
    pid = unit_property(lab.vm, "MainPID")

    edit(lab.vm, "http", "loopback_access", "read")
    lab.vm.run(f"systemctl reload {UNIT}", timeout=120)
    assert change() == "403"

    edit(lab.vm, "http", "loopback_access", "everything")
    refused = lab.vm.run(f"systemctl reload {UNIT}", timeout=120, check=False)
    assert refused.rc != 0
    assert "http.loopback_access must be one of" in lab.product.journal()
    assert change() == "403"

    edit(lab.vm, "http", "loopback_access", "admin")
    lab.vm.run(f"systemctl reload {UNIT}", timeout=120)
    assert change() == "200"
    assert unit_property(lab.vm, "MainPID") == pid


def test_a_frozen_daemon_is_started_anew(lab):
    """A client that connects meanwhile waits and is answered; what the old daemon served goes on."""
    lab.product.await_cloud()
    volume = lab.new_volume()
    lab.attach(volume)
    wait_served(lab, volume)
    pid, engine = unit_property(lab.vm, "MainPID"), engine_pid(lab)

    lab.vm.run(f"kill -STOP {pid}")
    health(lab.vm)

    assert unit_property(lab.vm, "MainPID") not in ("0", pid)
    assert "watchdog" in lab.product.journal().lower()
    lab.product.await_cloud()
    assert engine_pid(lab) == engine
    assert lab.contents(node(volume)) == pattern(volume)


def test_a_daemon_that_dies_in_an_attach_goes_on_with_it(lab):
    lab.product.await_cloud()
    volume = lab.new_volume()
    before = attaches(lab.cloud)
    lab.cloud.set_faults([{"do": kind, "command": "attachVolume", "volume": volume, "seconds": 3600}
                          for kind in ("job_delay", "plug_delay")])
    operation = lab.product.begin("attach", volume)
    lab.cloud.wait_for(lambda cloud: attaches(cloud) > before)

    lab.product.crash()
    lab.cloud.hurry()

    assert lab.contents(device_of(lab.wait(operation))) == pattern(volume)
    assert attaches(lab.cloud) == before + 1


def test_services_and_mounts_come_after_their_volumes_at_boot(lab):
    """The disks are there before the daemon, and each has the name that the kernel gave the other before."""
    lab.product.await_cloud()
    mounted, read = lab.new_volume(), lab.cloud.put_volume(name="to-read")["id"]
    lab.mark(read)
    devices = [lab.attach(volume) for volume in (mounted, read)]
    lab.vm.run(f"mkfs.ext4 -q {node(mounted)} && mkdir -p /srv/data && mount {node(mounted)} /srv/data && "
               "echo kept >/srv/data/file && umount /srv/data")
    lab.vm.write_file("/etc/fstab", f"{node(mounted)} /srv/data ext4 _netdev,nofail,x-systemd.requires=volume@{mounted}"
                      ".service,x-systemd.device-timeout=10min 0 2\n")
    lab.vm.write_file("/etc/systemd/system/reader.service", f"""
[Unit]
Requires=volume@to-read.service
After=volume@to-read.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/dd if={node(read)} of=/run/read bs=4096 count=1
[Install]
WantedBy=multi-user.target
""")
    lab.vm.run("systemctl enable reader && sync")
    try:
        lab.product.kill()
        for volume in (mounted, read):
            lab.cloud.unplug_volume(volume)
        for volume in (read, mounted):
            lab.plug(volume)
        lab.vm.reset()      # and wait until all jobs have ended and none has failed

        assert lab.vm.read_file("/srv/data/file") == b"kept\n"
        assert lab.vm.read_file("/run/read") == pattern(read)
        lab.vm.run("umount /srv/data")
        lab.product.await_cloud()
        for volume, device in zip((read, mounted), devices, strict=True):
            assert lab.product.volumectl("device", volume)["device_path"] == device
            assert lab.product.volumectl("which", device)["volume_id"] == volume
            wait_served(lab, volume)
    finally:
        lab.vm.run("umount --quiet /srv/data; systemctl disable reader; rm /etc/systemd/system/reader.service; "
                   "true >/etc/fstab; systemctl daemon-reload; systemctl stop reader 'volume@*'", check=False)


# What the daemon does under the limits of its unit and of its profile.

def test_a_confined_daemon_sees_all_and_serves_with_both_engines(lab):
    lab.product.await_cloud()
    pid = unit_property(lab.vm, "MainPID")
    assert lab.vm.read_file(f"/proc/{pid}/attr/apparmor/current") == b"volume-daemon (enforce)\n"
    lab.cloud.set(bus="scsi")
    volume = lab.new_volume()
    disk = lab.attach(volume)
    assert lab.contents(node(volume)) == pattern(volume)

    # A SCSI disk that has grown is rescanned, and its name grows with it.
    lab.product.volumectl("resize", volume, "2GiB")
    for device in (disk, node(volume)):
        assert lab.vm.run(f"blockdev --getsize64 {device}").out == f"{2 * cloudsim.GIB}\n"

    # An open file of another process, and a mount that only that process sees.
    for user in (f"exec 3<{node(volume)}; echo ready; exec sleep infinity",
                 f"mkfs.ext4 -q {node(volume)}; exec unshare --mount sh -c "
                 f"'mount {node(volume)} /mnt; echo ready; exec sleep infinity'"):
        spawn(lab.vm, "user", user)
        refused = lab.product.try_volumectl("detach", volume)
        pid = unit_property(lab.vm, "MainPID", "user")
        assert refused.rc == EXIT_CONFLICT and f"pid {pid}" in refused.err, refused
        lab.vm.run("systemctl stop user")

    for engine in ("nbdkit", "qemu-storage-daemon"):
        edit(lab.vm, "export", "engine", engine)
        lab.product.restart()
        wait_served(lab, volume)
        assert engine in lab.vm.run(f"readlink /proc/{engine_pid(lab)}/exe").out
    assert lab.product.volumectl("detach", volume)["status"] == "completed"


# Makes a connection every 10 ms, and counts.
CONNECTOR = """exec 2>/dev/null 4<> <(:)
    made=0 refused=0
    until [ -e /run/enough ]; do
        { :; } 3<>/dev/tcp/127.0.0.1/8090 && made=$((made + 1)) || refused=$((refused + 1))
        [ $((made + refused)) -ne 20 ] || echo ready
        read -r -t .01 -u 4
    done
    echo "$made made, $refused refused"
    exec sleep infinity"""


def test_a_restart_of_the_socket_unit_refuses_clients_for_a_moment(lab, record_property):
    """Of the service alone it refuses none; see test_activation.py."""
    lab.product.await_cloud()
    lab.vm.write_file("/run/connector.sh", CONNECTOR)
    lab.vm.run("rm --force /run/enough")
    connector = spawn(lab.vm, "connector", "exec bash /run/connector.sh")

    lab.vm.run(f"systemctl restart {SOCKET}", timeout=300)

    health(lab.vm)
    lab.vm.run("touch /run/enough")
    counted = lab.vm.wait_output(connector, " refused$")
    lab.vm.run("systemctl stop connector")
    record_property("figure", f"restart of {SOCKET}, a client every 10 ms: {counted}")
    assert unit_property(lab.vm, "ActiveState", SOCKET) == "active"


def test_a_removal_leaves_the_disks_and_the_store(machine):
    """What it leaves is for the upgrade alone."""
    vm = machine.vm
    machine.product.await_cloud()
    volume = machine.new_volume()
    device = machine.attach(volume)

    vm.run(f"dpkg --remove {' '.join(PACKAGES)}", timeout=300)

    assert ask(vm, f"{URL}/health", check=False).rc == 7      # nobody listens
    assert vm.run("systemctl --failed --no-legend --plain").out == ""
    assert vm.run("systemctl list-units --no-legend --plain 'volume*'").out == ""
    assert machine.contents(device) == pattern(volume)
    assert "The store stays in /var/lib/volume-daemon" in purge(vm).err
    left = vm.run("find /etc /usr -iname '*volume-daemon*' -o -iname '*volumedaemon*'").out
    assert left == "/etc/volume-daemon\n"
    assert vm.run("ls /etc/volume-daemon").out == "api-key\nsecret-key\n"
    machine.cloud.detach_behind(volume)


# ---- from the packages before ----

# Creates a volume every two seconds, and prints each answer.
CREATOR = f"""echo ready
    until [ -e /run/enough ]; do
        {CURL} {URL}/api/v1/volumes --json '{{"size": {cloudsim.GIB}, "name": "under-way",
            "disk_offering_id": "{cloudsim.OFFERING_CUSTOM}", "zone_id": "{cloudsim.ZONE}"}}' || echo curl ended with $?
        echo
        sleep 2
    done
    echo enough
    exec sleep infinity"""


@pytest.mark.skipif(not debian.has_history(), reason="in a shallow clone there is no older package")
def test_an_upgrade_under_load(bare):
    """Clients of REST and NBD do not notice it, and each operation that the old daemon accepted is carried out once by
    the new one."""
    lab, vm = bare, bare.vm
    purge(vm)
    vm.run("rm --recursive --force /var/lib/volume-daemon /etc/volume-daemon /run/enough")
    # The old programs need not be fast.
    install(vm, debian.packages(debian.first_packaged(), options="noopt noautodbgsym"))
    set_up(vm)
    edit(vm, "export", "qmp_socket", "/run/volume-daemon-export/qmp.sock")
    edit(vm, "device", "wait", "1h")        # a disk that is waited for comes after the upgrade, which may take long
    vm.run(f"systemctl enable --now {SOCKET} {EXPORT_UNIT}")
    health(vm)
    lab.product.await_cloud()

    attached, made = attaches(lab.cloud), asked_for(lab.cloud, "createVolume")
    served, no_device, no_answer = (lab.new_volume() for _ in range(3))
    lab.attach(served)
    wait_served(lab, served)
    writer = spawn(vm, "writer", nbd_writer_of(served))
    lab.cloud.set_faults([
        {"do": "no_plug", "command": "attachVolume", "volume": no_device},
        *({"do": kind, "command": "attachVolume", "volume": no_answer, "seconds": 3600}
          for kind in ("job_delay", "plug_delay"))])
    waiting = {volume: lab.product.begin("attach", volume) for volume in (no_device, no_answer)}
    lab.cloud.wait_for(lambda cloud: attaches(cloud) == attached + 3)
    creator = spawn(vm, "creator", CREATOR)
    vm.wait_output(creator, "op-")
    pid, engine = unit_property(vm, "MainPID"), unit_property(vm, "MainPID", EXPORT_UNIT)

    install(vm, debian.packages("HEAD"))

    assert unit_property(vm, "MainPID") not in ("0", pid)
    assert "(deleted)" not in vm.run(f"readlink /proc/{unit_property(vm, 'MainPID')}/exe").out
    lab.product.await_cloud()
    vm.run("touch /run/enough")
    vm.wait_output(creator, "^enough$", PATIENCE_S)
    created = vm.read_file(creator).decode()
    operations = [json.loads(line)["id"] for line in created.splitlines() if '"op-' in line]
    assert "curl ended" not in created and len(operations) > 1, created
    lab.plug(no_device)
    lab.cloud.hurry()
    for volume, operation in waiting.items():
        assert lab.contents(device_of(lab.wait(operation))) == pattern(volume)
    assert attaches(lab.cloud) == attached + 3
    statuses = eventually(lambda: ended(lab, operations), "the end of what was accepted")
    assert set(statuses) == {"completed"}, statuses
    assert asked_for(lab.cloud, "createVolume") == made + len(operations)
    assert unit_property(vm, "MainPID", EXPORT_UNIT) == engine
    assert_nbd_writer_lost_nothing(lab, served, writer)
    vm.run("systemctl stop writer creator")
    health(vm)
    assert refusals(vm) == []


def ended(lab, operations):
    """The statuses of operations, once each has ended."""
    rows = json.loads(ask(lab.vm, f"--fail '{URL}/api/v1/operations?limit=1000'").out)
    statuses = [row["status"] for row in rows if row["id"] in operations]
    assert len(statuses) == len(operations)
    return None if {"pending", "executing"} & set(statuses) else statuses


def spawn(vm, unit, command):
    output = vm.spawn(unit, command)
    vm.wait_output(output, "ready")
    return output
