# SPDX-License-Identifier: LGPL-2.1-or-later
"""volumectl, as people and scripts use it.

People mistype, read tables and watch a step go by; scripts read JSON and exit codes. Both want an
answer as soon as there is one, and neither may cost the daemon a question a second.
"""

import json
import os
import pty
import re
import signal
import subprocess
from itertools import groupby

import pytest
from cloudsim import APPLIANCE_VM, GIB, OFFERING_CUSTOM, OTHER_VM, ZONE
from support.py import metrics_text, shapes
from support.py.programs import program
from support.py.stores import any_store, each_store
from support.py.waiting import DEADLINE, eventually

from .surfaces import on_every_surface

pytestmark = any_store

NOBODY = "00000000-0000-4000-8000-000000000000"
NEW = ("create", "--name", "data", "--size", "1GiB", "--offering", OFFERING_CUSTOM, "--zone", ZONE)


@pytest.fixture
def ctl(shared_world):
    return shared_world.daemon.ctl


# ---- help ----

@pytest.mark.parametrize("command", [*(m.command for m in on_every_surface().values()),
                                     "wait", "watch", "doctor", "help"])
def test_help_of_a_command(ctl, command):
    for words in (("help", command), (command, "--help")):
        if words == ("help", "--help"):
            continue
        done = ctl(*words)
        assert done.returncode == 0 and done.stderr == ""
        assert done.stdout.startswith(f"Usage: volumectl {command}")
        assert "--json" in done.stdout


@pytest.mark.parametrize("method", on_every_surface().values(), ids=lambda m: m.command)
def test_help_names_every_argument_it_explains(ctl, method):
    usage, _, explained = ctl("help", method.command).stdout.partition("\n\n")
    explained = explained.partition("Options of every command")[0]
    named = set(re.findall(r"--[\w-]+|(?<= )[A-Z][A-Z-]+(?= |\]|\.\.\.|$)", usage))
    for option in re.findall(r"^  (--[\w-]+|[A-Z-]+)", explained, re.MULTILINE):
        assert option in named, (option, usage)


def test_help_tells_names_units_and_words(ctl):
    """What a newcomer may type, without another document."""
    assert "The volume's name, its UUID, or the beginning of its UUID." in ctl("help", "attach").stdout
    assert "5GiB" in ctl("help", "create").stdout
    assert "One of pending, executing, completed, failed, cancelled." in ctl("help", "operations").stdout
    assert "http://127.0.0.1:8090/" in ctl("--help").stdout and "volumectl doctor" in ctl("--help").stdout


def test_help_lists_every_command(ctl):
    for done in (ctl("--help"), ctl("help"), ctl("-h")):
        assert done.returncode == 0
        for method in on_every_surface().values():
            assert re.search(rf"^  {method.command}  +\S", done.stdout, re.MULTILINE), method
    assert ctl().returncode == 2 and ctl().stdout.startswith("Usage:")


@pytest.mark.parametrize("words", [("token", "--help"), ("token", "-h"), ("help", "token"), ("help", "token", "x")])
def test_help_of_a_first_word_shows_the_second_ones(ctl, words):
    done = ctl(*words)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith("Usage: volumectl token create|list|revoke")
    for second in ("create", "list", "revoke"):
        assert re.search(rf"^  {second}  +\S", done.stdout, re.MULTILINE), second


def test_version(ctl):
    assert re.fullmatch(r"volumectl \d+\.\d+\.\d+\n", ctl("--version").stdout)


def accepting(daemon):
    page = metrics_text.read(daemon.rest("GET", "/metrics").body.decode())
    return metrics_text.value(page, "volumed_accepting_changes")


def test_health_says_why_it_is_degraded(world):
    """An administrator who comes from an alert looks here."""
    daemon = world.daemon
    assert daemon.ctl("pause", "upgrade of CloudStack").returncode == 0
    lines = daemon.ctl("health").stdout.splitlines()
    assert ["status", "degraded"] in [line.split() for line in lines]
    assert ["paused", "upgrade of CloudStack"] in [line.split(None, 1) for line in lines]
    eventually(lambda: accepting(daemon) == 0, "the figure follows")     # a page serves for a second
    assert daemon.ctl("resume").returncode == 0
    assert "paused" not in daemon.ctl("health").stdout


# ---- mistakes ----

@pytest.mark.parametrize("words, text", [
    (["atach", NOBODY], "did you mean 'attach'"), (["delet"], "did you mean 'delete'"),
    (["devise"], "did you mean 'device"), (["frobnicate"], "there is no command 'frobnicate'"),
    (["token"], "'token' needs a second word: create, list, revoke"),
    (["token", "create"], "needs NAME"), (["token", "create", "x", "--scope", "all"], "scope"),
    (["help", "atach"], "did you mean 'attach'"), (["attach"], "needs VOLUME"),
    (["create", "--name", "x"], "needs --offering"),
    (["show", NOBODY, "more"], "the argument 'more' is one too many"),
    (["create", "--size", "5 elephants"], "units: KiB, MiB, GiB, TiB"),
    (["create", "--size", "512MiB"], "at least 1 GiB"), (["create", "--size", "-1"], "size"),
    (["create", "--size", "65TiB"], "at most 64 TiB"), (["create", "--size", "1.5"], "size"),
    (["create", "--size"], "missing"),
    (["create", *NEW[1:], "--metadata", "{"], "metadata"),
    (["list", "--colour", "red"], "--colour"),
    (["list", "--columns", "name,colour"], "there is no column 'colour'; there are volume_id,name,"),
    (["list", "--columns", ""], "there is no column ''"), (["show", NOBODY, "--columns", "name"], "is for lists"),
    (["detach", "--all"], "--all needs --vm"), (["detach", NOBODY, "--all"], "name no volume"),
    (["detach", NOBODY, "--vm", NOBODY], "--vm is for --all"), (["resolve", "op-x"], "needs --as"),
    (["--colour"], "--colour"), (["operations", "--limit", "0"], "limit"),
    (["operations", "--since", "yesterday"], "since"),
    (["detach", NOBODY, "--force=perhaps"], "force"),
    (["health", "--timeout", "soon"], "--timeout"), (["wait"], "needs one operation"),
    (["wait", "a", "b"], "needs one operation"), (["watch", "x"], "no arguments")])
def test_wrong_usage_is_2_and_says_what_is_right(ctl, words, text):
    done = ctl(*words)
    assert done.returncode == 2 and done.stdout == "", done
    assert done.stderr.startswith("volumectl: ") and text in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words, code", [
    (["show", NOBODY], 6), (["show", "no-such-name"], 6), (["attach", NOBODY, "--vm", "no-such-vm"], 6), (["device", NOBODY], 6), (["which", "vdz"], 6),
    (["operation", "op-x"], 6),
    (["cancel", "op-x"], 6), (["wait", "op-x"], 6), (["operations", "--type", "teleport"], 3),
    (["delete", NOBODY], 6), (["detach", NOBODY], 6)])
def test_errors_have_the_table_s_exit_codes(world, words, code):
    done = world.daemon.ctl(*words)
    assert done.returncode == code and done.stdout == "", done
    assert "volumectl: " in done.stderr


def test_exit_codes_of_operations(make_world):
    world = make_world(device={"wait": "500ms"})
    volume, _ = world.attached()
    assert world.daemon.ctl("attach", volume).returncode == 9           # a conflict
    world.cloud.set_faults([{"do": "status", "code": 535, "command": "createVolume"}])
    done = world.daemon.ctl(*NEW)
    assert done.returncode == 15 and "Maximum number of resources" in done.stderr
    world.cloud.set_faults([{"do": "no_plug", "command": "attachVolume"}])
    done = world.daemon.ctl("attach", world.volume())
    assert done.returncode == 18 and "await-device" in done.stderr      # time-out
    assert done.stdout == ""


def test_nobody_to_talk_to(make_world):
    world = make_world(start=False)
    done = world.daemon.ctl("--address", "unix:path=/nonexistent/bus", "health")
    assert done.returncode == 17 and "/nonexistent/bus" in done.stderr
    assert world.daemon.ctl("health").returncode == 17      # no bus
    world.bus.start()
    done = world.daemon.ctl("health")                       # a bus, but no daemon on it
    assert done.returncode == 17 and "not running" in done.stderr


def test_patience_that_ends(world):
    world.cloud.set(job_delay=3600)
    done = world.daemon.ctl("attach", world.volume(), "--timeout", "3s")
    assert done.returncode == 18
    assert "has not ended within 3 s; it goes on; last seen: executing, step " in done.stderr
    operation = world.daemon.get("/api/v1/operations")[0]
    assert operation["status"] == "executing"
    world.await_jobs("attachVolume")
    world.cloud.restart()
    world.daemon.failed(operation)


# ---- what is printed ----

def lines_of(done):
    """A record that was printed as lines of name and value."""
    assert done.returncode == 0, done
    return dict(line.split(None, 1) for line in done.stdout.splitlines())


def test_a_life_in_plain_words(world):
    ctl = world.daemon.ctl
    volume = ctl(*NEW).stdout.strip()
    assert [v["id"] for v in world.data_volumes()] == [volume]
    path = ctl("attach", volume).stdout.strip()             # to this machine, if none is named
    world.assert_is(path, volume)
    for words in (("device", volume), ("which", path)):
        assert lines_of(ctl(*words))["device_path"] == path
    shown = lines_of(ctl("show", volume))
    assert (shown["volume_id"], shown["size"]) == (volume, "1GiB")
    assert shown["linux_data.device_path"] == path
    done = ctl("detach", volume)
    assert (done.returncode, done.stdout) == (0, "") and "Volume detached" in done.stderr
    done = ctl("delete", volume)
    assert (done.returncode, done.stdout) == (0, "") and "Volume deleted" in done.stderr


def test_tables(world):
    volume, path = world.attached(3)
    for command, columns, cells in (
            ("list", ["VOLUME ID", "NAME", "SIZE", "STATE"], [volume, path, "3GiB", APPLIANCE_VM]),
            ("mappings", ["VOLUME ID", "DEVICE PATH", "MATCHED BY"], [volume, path, "identity"]),
            ("devices", ["DEVICE PATH", "BUS", "SERIAL"], [path, "virtio", "3GiB"]),
            ("operations", ["ID", "TYPE", "STATUS", "STEP"], ["attach", "completed", volume])):
        done = world.daemon.ctl(command)
        heading, *rows = done.stdout.splitlines()
        assert all(column in heading for column in columns), heading
        row = next(row for row in rows if (volume in row or path in row))
        assert all(cell in row for cell in cells), row
        # Columns are aligned: below each heading a cell begins.
        for column in columns[1:]:
            at = heading.index(column)
            assert row[at] != " " and row[at - 1] == " ", (column, row)


def test_names_cannot_steer_the_terminal(world):
    volume = world.volume(name="a\x1b[31mb\x07c")
    world.daemon.get(f"/api/v1/volumes/{volume}?refresh=true")
    for words in (("list",), ("show", volume)):
        done = world.daemon.ctl(*words)
        assert "\x1b" not in done.stdout and "\x07" not in done.stdout
        assert re.search(r"a[ ?]\[31mb[ ?]c", done.stdout)


def test_json_is_one_line(world):
    volume, path = world.attached()
    for words in (("list",), ("show", volume), ("device", volume), ("health",), ("operations",)):
        done = world.daemon.ctl(*words, "--json")
        assert done.stdout.count("\n") == 1 and json.loads(done.stdout)
    done = world.daemon.ctl("detach", volume, "--json")
    record = shapes.check_ended(json.loads(done.stdout))
    assert record["response"]["device_path"] == path


def test_json_of_a_failure_is_the_operation(world):
    done = world.daemon.ctl("detach", world.volume(), "--json")
    assert done.returncode == 9 and "not attached" in done.stderr
    assert shapes.check_ended(json.loads(done.stdout))["status"] == "failed"


def test_no_wait_and_wait(world):
    volume = world.volume()
    world.cloud.set(job_delay=0.3)
    id = world.daemon.ctl("attach", volume, "--no-wait").stdout.strip()
    assert world.daemon.operation(id)["type"] == "attach"
    done = world.daemon.ctl("wait", id)
    assert done.returncode == 0
    world.assert_is(done.stdout.strip(), volume)
    assert world.daemon.ctl("wait", id).stdout == done.stdout     # of what has ended as well


def test_to_another_machine(world):
    """There is no device here to print."""
    volume = world.volume()
    done = world.daemon.ctl("attach", volume, "--vm", OTHER_VM)
    assert (done.returncode, done.stdout) == (0, "")
    mapping = world.daemon.ctl_json("device", volume)
    assert (mapping["device_path"], mapping["linux_state"]) == ("", "n/a")


# ---- waiting ----

def test_steps_are_shown_a_line_each(world):
    done = world.daemon.ctl("attach", world.volume())
    # A step that waits says so in a line of its own.
    steps = [step for step, _ in groupby(re.findall(r"executing, ([a-z-]+)", done.stderr))]
    known = ["check", "ask-cloud", "await-job", "await-device", "name", "read", "export", "publish"]
    assert steps and [s for s in known if s in steps] == steps      # in order, none twice


def test_steps_are_shown_in_one_line_on_a_terminal(world):
    world.cloud.set(job_delay=3600)
    ours, theirs = pty.openpty()
    with subprocess.Popen([program("volumectl"), "attach", world.volume()], stderr=theirs,
                          stdout=subprocess.PIPE, env=world.bus.environment, text=True) as process:
        os.close(theirs)
        said = b""
        try:
            while part := os.read(ours, 4096):
                said += part
                if b"await-job" in said:
                    world.cloud.set(job_delay=0)
                    world.cloud.hurry()
        except OSError:
            pass                # how a terminal says that its other end is closed
        os.close(ours)
        assert process.wait(DEADLINE) == 0
        assert process.stdout.read().strip() == world.path("vdb")
    # The words about the wait may be there from the first look on.
    assert re.search(rb"\r\x1b\[Kattach: await-job, \d+ s(?:; waits: [^\r]+)? \(op-", said), said
    assert said.endswith(b"\r\x1b[KVolume attached\r\n") and said.count(b"\n") == 1   # nothing is left of it


def test_waiting_asks_nothing(world):
    """Signals say when there is something to ask."""
    world.cloud.set(job_delay=3600)
    with world.monitor() as monitor, world.daemon.ctl_start("attach", world.volume()) as waiting:
        waiting.err.wait(lambda line: "await-job" in line)

        def calls():
            return [m.member for m in monitor.messages.all()
                    if m.type == "method_call" and m.path and m.path.startswith("/org/migratekit")]

        world.cloud.wait_request("queryAsyncJobResult", 8)      # what was on its way has arrived
        before = calls()
        assert before.count("AttachVolume") == 1
        world.cloud.wait_request("queryAsyncJobResult", 13)     # the daemon is at work meanwhile
        assert calls() == before
        world.cloud.restart()
        assert waiting.wait() == 15
        changes = [m for m in monitor.messages.all() if m.type == "signal"
                   and m.member in ("PropertiesChanged", "OperationCompleted")]
        assert calls().count("GetOperation") <= 1 + len(changes)


@each_store
def test_waiting_outlives_the_daemon(world):
    volume = world.volume()
    world.cloud.set_faults([{"do": "status", "code": 530, "command": "queryAsyncJobResult",
                             "times": 0}])
    with world.daemon.ctl_start("attach", volume) as waiting:
        waiting.err.wait(lambda line: "await-job" in line)
        world.daemon.kill()
        waiting.err.wait(lambda line: "has left the bus" in line)
        world.cloud.clear_faults()
        world.daemon.start()
        assert waiting.wait() == 0
        world.assert_is(waiting.out.all()[-1], volume)


def test_interrupting_it_leaves_the_operation_alone(world):
    world.cloud.set(job_delay=3600)
    with world.daemon.ctl_start("attach", world.volume()) as waiting:
        waiting.err.wait(lambda line: "await-job" in line)
        assert waiting.interrupt() == -signal.SIGINT
    operation = world.daemon.get("/api/v1/operations")[0]
    assert operation["status"] == "executing"
    world.cloud.restart()
    world.daemon.failed(operation)


# ---- where it runs ----

def test_the_locale_changes_nothing(world, tmp_path):
    """In Turkish the capital of "i" is another letter than that of "SIZE", and a comma stands in numbers."""
    world.daemon.completed(world.daemon.begin("POST", "/api/v1/volumes", {
        "name": "data", "size": GIB, "disk_offering_id": OFFERING_CUSTOM, "zone_id": ZONE, "metadata": {"share": 1.5}}))
    commands = (("help", "resize"), ("resize", "--size"), ("list", "--json"), ("operations", "--json"))
    before = [world.daemon.ctl(*command) for command in commands]
    assert '"share":1.5' in before[-1].stdout
    subprocess.run(["localedef", "-i", "tr_TR", "-f", "UTF-8", tmp_path / "tr_TR.UTF-8"], check=True)
    world.bus.environment.update(LOCPATH=str(tmp_path), LC_ALL="tr_TR.UTF-8")
    for command, expected in zip(commands, before, strict=True):
        done = world.daemon.ctl(*command)
        assert (done.returncode, done.stdout, done.stderr) == \
            (expected.returncode, expected.stdout, expected.stderr)


# ---- watching ----

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def test_watch(world):
    with world.monitor() as monitor, world.watching(monitor) as watch:
        def told(event):
            watch.out.wait(lambda line: re.fullmatch(f"{TIME} {event}", line))

        volume, path = world.attached()
        told(rf"OperationStarted op-\S+ attach {volume}")
        told(f"DeviceAdded {path}")
        told(f"MappingChanged {volume} {path}")
        told(rf"OperationCompleted op-\S+ attach completed {volume} {path}")
        told(r"Changed op-\S+ .*Step=await-job.*")
        world.daemon.stop()
        told("DaemonLeft: waiting for volume-daemon to come back")
        world.daemon.start()
        told("DaemonArrived")
        world.daemon.detach(volume)
        told(rf"OperationStarted op-\S+ detach {volume}")
        assert watch.interrupt() == -signal.SIGINT


def test_watch_in_json(world):
    with world.monitor() as monitor, world.watching(monitor, "--json") as watch:
        volume, path = world.attached()
        told = json.loads(watch.out.wait(lambda line: '"OperationCompleted"' in line))
        assert told["signal"] == "OperationCompleted" and told["arguments"][4:6] == [volume, path]
        shapes.check_ended(told["arguments"][6])
        for line in watch.out.all():
            assert json.loads(line)["signal"]
