# SPDX-License-Identifier: LGPL-2.1-or-later
"""volumectl doctor: what is not well is named, and the person learns what to do.

One cause gives one line that is wrong: what depends on it is unknown. The doctor must work best
when nothing else does, so most worlds here are broken.
"""

import json
import subprocess

from cloudsim import APPLIANCE_VM
from support.py.programs import program
from support.py.strangers import command_of
from support.py.waiting import DEADLINE, eventually

from .test_volumectl_terminal import COLOUR, shown


def doctor(daemon, *more):
    return daemon.ctl("doctor", "--config", daemon.config, *more)


def examined(daemon, *more):
    """All checks by name, and the exit code."""
    done = doctor(daemon, "--json", *more)
    answer = json.loads(done.stdout)
    checks = {check.pop("check"): check for check in answer["checks"]}
    assert done.stderr == "" and done.returncode == (answer["verdict"] != "ok"), done
    for check in checks.values():
        assert check["text"] and (check["remedy"] or check["verdict"] in ("ok", "unknown")), check
    return checks


def not_ok(checks):
    return {name: check["verdict"] for name, check in checks.items() if check["verdict"] != "ok"}


# ---- a healthy world ----

def test_all_is_well(make_world):
    world = make_world(reconcile={"interval": "1s"}, export={"engine": "nbdkit"})
    world.attached()
    # An export is active a moment after its attachment has ended.
    checks = eventually(lambda: not not_ok(c := examined(world.daemon)) and c, "all is well")
    assert str(world.daemon.config) in checks["configuration"]["text"]
    assert "all" in checks["api-commands"]["text"] and "commands" in checks["api-commands"]["text"]
    assert APPLIANCE_VM in checks["disks"]["text"]
    assert "nbdkit" in checks["nbd-engine"]["text"]
    assert "every local user" in checks["access"]["text"] and "closed" in checks["access"]["remedy"]


def test_a_line_for_each_check(world):
    done = doctor(world.daemon)
    assert done.returncode == 0 and "\033" not in done.stdout, done
    lines = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert [line.split()[1] for line in lines] == list(examined(world.daemon))
    assert {line.split()[0] for line in lines} == {"ok"}


def test_colours_on_a_terminal(world):
    assert COLOUR.search(said := shown(world, "doctor", "--config", str(world.daemon.config))), said


def test_it_changes_nothing(world):
    before = world.daemon.get("/api/v1/operations")
    examined(world.daemon)
    assert world.daemon.get("/api/v1/operations") == before
    assert not [r for r in world.cloud.requests() if not r["command"].startswith(("list", "query"))]


# ---- CloudStack ----

def test_cloudstack_down(make_world):
    world = make_world(reconcile={"interval": "1s"})
    world.cloud.down()
    # One lost answer is no absence yet; the next one is.
    eventually(lambda: not world.daemon.health()["details"]["accepting_changes"], "its absence")
    checks = examined(world.daemon)
    assert checks["cloudstack"]["verdict"] == "wrong" and "cloud.url" in checks["cloudstack"]["remedy"]
    # One cause, one line.
    assert {name for name, verdict in not_ok(checks).items() if verdict != "unknown"} == {"cloudstack"}
    assert checks["keys"]["verdict"] == checks["projects"]["verdict"] == "unknown"
    assert checks["store"]["verdict"] == checks["disks"]["verdict"] == "ok"


def test_a_wrong_key(make_world):
    world = make_world(start=False)
    (world.folder / "secret-key").write_text("quite-another-secret\n")
    world.bus.start()
    world.daemon.start()
    eventually(lambda: "401" in world.daemon.health()["cloudstack_health"], "the refusal")
    checks = examined(world.daemon)
    assert checks["keys"]["verdict"] == "wrong" and "cloud.secret_key_file" in checks["keys"]["remedy"]
    assert {name for name, verdict in not_ok(checks).items() if verdict != "unknown"} == {"keys"}
    assert checks["api-commands"]["verdict"] == "unknown"
    assert "quite-another-secret" not in json.dumps(checks)


def test_no_cloudstack_configured(make_world):
    world = make_world(start=False, cloud={"url": None, "api_key_file": None, "secret_key_file": None})
    world.bus.start()
    world.daemon.start()
    checks = examined(world.daemon)
    assert checks["cloudstack"]["verdict"] == "wrong" and "no CloudStack" in checks["cloudstack"]["text"]


def test_a_command_that_is_refused(make_world):
    world = make_world(reconcile={"interval": "1s"})
    world.cloud.set_faults([{"do": "status", "code": 530, "text": "no such luck", "command": "listVolumes", "times": 0}])
    checks = eventually(lambda: (c := examined(world.daemon))["api-commands"]["verdict"] == "warning" and c,
                        "the refusal")
    assert "listVolumes: " in checks["api-commands"]["text"] and "role" in checks["api-commands"]["remedy"]
    assert checks["projects"]["verdict"] == "wrong" and "cloud.project_id" in checks["projects"]["remedy"]


def test_rights_of_the_keys(make_world):
    world = make_world()
    world.cloud.put_account("admin", forbidden=("attachVolume", "listHypervisorCapabilities", "deleteVolume"))
    commands = examined(world.daemon)["api-commands"]
    assert commands["verdict"] == "warning" and "role" in commands["remedy"]
    assert "attachVolume (attach the volume)" in commands["text"] and "deleteVolume" not in commands["text"]
    rights = {row["name"]: row for row in json.loads(world.daemon.ctl("rights", "--json").stdout)}
    assert {rights[name]["allowed"] for name in ("attachVolume", "listHypervisorCapabilities")} == {"no"}
    assert rights["createVolume"]["allowed"] == "yes" and rights["deleteVolume"]["allowed"] == "unneeded"


def test_rights_are_asked_for_a_few_at_a_time(make_world):
    """So that no operation has to wait behind all of them."""
    world = make_world()
    world.cloud.set_faults([{"do": "slow", "seconds": 3600, "command": "listApis", "times": 0}])
    with world.daemon.ctl_start("rights", "--json") as asking:
        world.cloud.wait_request("listApis", 4)
        world.attached()
        assert sum(request["command"] == "listApis" for request in world.cloud.requests()) == 4
        world.cloud.set_faults([])
        assert asking.wait() == 0
    assert len(json.loads("".join(asking.out.all()))) > 20


def test_a_right_that_only_checks_need(make_world):
    world = make_world()
    world.cloud.put_account("admin", forbidden=("listHypervisorCapabilities",))
    commands = examined(world.daemon)["api-commands"]
    assert commands["verdict"] == "ok" and "listHypervisorCapabilities" in commands["text"] and commands["remedy"]


def test_a_project_that_is_not_there(make_world):
    world = make_world(cloud={"project_id": "00000000-0000-4000-8000-000000000000"})
    project = examined(world.daemon)["projects"]
    assert project["verdict"] == "wrong" and "no such project" in project["text"], project
    assert "cloud.project_id" in project["remedy"]


def test_stable_names(make_world):
    assert "turned off (device.stable_names)" in examined(make_world().daemon)["device-mapper"]["text"]
    daemon = make_world(device={"stable_names": "yes"}).daemon
    check, details = examined(daemon)["device-mapper"], daemon.health()["details"]
    if details["stable_names"]:
        assert (check["verdict"], details["stable_names_health"]) == ("ok", "healthy"), check
    else:                       # most machines on which tests run have no device mapper
        assert check["verdict"] == "warning" and details["stable_names_health"] in check["text"], check
        assert "device.stable_names = no" in check["remedy"]


def test_clocks_that_differ(world):
    world.cloud.set_faults([{"do": "date_skew", "seconds": 3600, "times": 0}])
    world.daemon.completed(world.daemon.attach(world.volume()))
    clock = examined(world.daemon)["clock"]
    assert clock["verdict"] == "warning" and "ahead of the clock here" in clock["text"]
    assert "timedatectl" in clock["remedy"]


def test_clocks_that_differ_by_days(world):
    world.cloud.set(enforce_post=False)
    world.cloud.set_faults([{"do": "date_skew", "seconds": 2 * 86400, "times": 0}])
    operation = world.daemon.attach(world.volume())
    eventually(lambda: "401" in world.daemon.health()["cloudstack_health"], "the refusal")
    checks = examined(world.daemon)
    assert {name for name, verdict in not_ok(checks).items() if verdict != "unknown"} == {"clock"}
    assert checks["keys"]["verdict"] == "ok"
    world.cloud.clear_faults()
    world.daemon.completed(operation)


# ---- work for a person ----

def test_a_pause(world):
    world.daemon.ctl("pause", "upgrade of CloudStack")
    checks = examined(world.daemon)
    assert not_ok(checks) == {"pause": "warning"}
    assert "upgrade of CloudStack" in checks["pause"]["text"] and "volumectl resume" in checks["pause"]["remedy"]


def test_an_operation_that_needs_attention(make_world):
    world = make_world(device={"wait": "500ms"})
    volume, _ = world.attached()
    world.cloud.set_faults([{"do": "no_plug", "command": "detachVolume"}])
    record = world.daemon.failed(world.daemon.detach(volume))
    attention = examined(world.daemon)["attention"]
    assert attention["verdict"] == "warning" and record["id"] in attention["text"]
    assert "volumectl resolve" in attention["remedy"]


def test_a_difference(make_world):
    """A volume that somebody detached by hand; a pause keeps the daemon from following."""
    world = make_world(reconcile={"interval": "1h"})
    volume, _ = world.attached()
    world.daemon.ctl("pause", "so that nothing is repaired")
    world.cloud.detach_behind(volume)
    differences = examined(world.daemon)["differences"]
    assert differences["verdict"] == "warning" and volume in differences["text"]
    assert "volumectl sync" in differences["remedy"]


# ---- the daemon ----

def test_a_daemon_that_is_stopped(world):
    world.daemon.stop()
    checks = examined(world.daemon)
    assert checks["daemon"]["verdict"] == "wrong" and "systemctl start volume-daemon" in checks["daemon"]["remedy"]
    assert checks["configuration"]["verdict"] == checks["bus"]["verdict"] == "ok"
    assert checks["store"]["verdict"] == "unknown"
    assert world.bus.owner() is None    # it was not started


def test_no_bus(tmp_path):
    address = f"unix:path={tmp_path / 'no-bus'}"
    done = subprocess.run([program("volumectl"), "doctor", "--address", address], text=True,
                          capture_output=True, timeout=DEADLINE, check=False)
    assert done.returncode == 1 and "systemctl start dbus" in done.stdout, done


def test_a_broken_configuration(world):
    """The running daemon has its old one; the next start would fail."""
    world.daemon.config.write_text("[cloud]\ntimout = 3s\n")
    checks = examined(world.daemon)
    assert not_ok(checks) == {"configuration": "wrong"}
    assert "timout" in checks["configuration"]["text"] and ":2" in checks["configuration"]["text"]
    assert "volumectl reload" in checks["configuration"]["remedy"]


def test_no_configuration(world):
    world.daemon.config.unlink()
    configuration = examined(world.daemon)["configuration"]
    assert configuration["verdict"] == "warning" and "--sample-config" in configuration["remedy"]


def test_another_user_learns_to_use_sudo(make_world):
    world = make_world()
    world.daemon.config.chmod(0o600)
    done = subprocess.run(command_of(program("volumectl"), "doctor", "--config", str(world.daemon.config)),
                          env=world.bus.environment, text=True, capture_output=True, timeout=DEADLINE,
                          check=False)
    assert done.returncode == 1 and done.stderr == "", done
    said = {line.split()[1]: line for line in done.stdout.splitlines() if not line.startswith(" ")}
    assert said["daemon"].startswith("warning") and said["configuration"].startswith("unknown")
    assert done.stdout.count("to do: look as root: sudo volumectl doctor") == 2


def test_wrong_usage(world):
    done = world.daemon.ctl("doctor", "all")
    assert done.returncode == 2 and "takes no arguments" in done.stderr


# ---- in a container ----

# What a container has that was started without a thought.
BARE = ("mount -t tmpfs tmpfs /dev && mount -t tmpfs -o ro tmpfs /sys && mount -t tmpfs tmpfs /run && "
        "mount -t proc proc /proc && exec \"$@\"")


def contained(daemon, *namespaces, inside='exec "$@"'):
    """The check of a container, in namespaces of its own."""
    done = subprocess.run(
        ["unshare", "--mount", *namespaces, "sh", "-c", inside, "sh", program("volumectl"), "doctor", "--json",
         "--config", daemon.config],
        env={**daemon.bus.environment, "container": "oci"}, capture_output=True, text=True, timeout=DEADLINE, check=False)
    return next(check for check in json.loads(done.stdout)["checks"] if check["check"] == "container")


def test_a_container_names_what_it_lacks_of_the_host(world):
    check = contained(world.daemon, "--pid", "--fork", "--ipc", inside=BARE)
    assert check["verdict"] == "wrong" and "README" in check["remedy"]
    for word in ("/dev is", "/run/udev", "/sys is read-only", "processes", "semaphores"):
        assert word in check["text"], check
    assert "capabilities" not in check["text"]
    assert "the network is not" in contained(world.daemon, "--net")["text"]
    assert "the network is not" not in contained(world.daemon)["text"]
    assert "capabilities" in contained(
        world.daemon, inside='exec setpriv --bounding-set -sys_ptrace --inh-caps -all "$@"')["text"]
