# SPDX-License-Identifier: LGPL-2.1-or-later
"""volumectl on a terminal: what fits its width, colours, progress, and questions."""

import os
import re
import tempfile
from pathlib import Path

import pytest
from support.py.programs import program
from support.py.stores import any_store
from support.py.strangers import command_of
from support.py.terminal import Terminal
from support.py.waiting import eventually

pytestmark = any_store


def on_terminal(world, *words, **options):
    return Terminal([program("volumectl"), *words], world.bus.environment, **options)


def listed(world, **row):
    volume = world.volume(**row)
    world.daemon.get(f"/api/v1/volumes/{volume}?refresh=true")
    return volume


def shown(world, *words, **options):
    with on_terminal(world, *words, **options) as terminal:
        assert terminal.end() == 0, terminal.said
        return terminal.said


COLOUR = re.compile(r"\x1b\[[0-9;]*m")


# ---- tables ----

def width(text):
    """Columns: the wide characters here are those of Chinese."""
    return sum(2 if "\u4e00" <= c <= "\u9fff" else 1 for c in text)


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_table_fits_the_terminal(world, columns):
    volume = listed(world, name="数据" * 20)
    lines = COLOUR.sub("", shown(world, "list", columns=columns)).splitlines()
    assert all(width(line) <= columns for line in lines), lines
    row = next(line for line in lines if "数据" in line)
    assert "…" in row and row.startswith(volume[:4])
    # Below each heading a cell begins.
    assert "NAME" in lines[0]
    at = lines[0].index("NAME")
    assert row[at] == "数" and row[at - 1] == " "
    # The beginning of a UUID that was cut, with the mark of the cut, names the volume.
    cut = row.split()[0]
    assert world.daemon.ctl("show", cut).returncode == 0, cut


def test_an_empty_table_says_so(world):
    volume = listed(world, name="unused")
    assert shown(world, "users", volume).endswith("(none)\n")
    assert world.daemon.ctl("users", volume).stdout.count("\n") == 1        # a script counts lines


def test_values_stand_below_each_other(world):
    lines = world.daemon.ctl("metrics").stdout.splitlines()
    ends = {line.rindex(" ") for line in lines}
    assert len(ends) == 1 and any(line.startswith("operations_by_type.delete-snapshot ") for line in lines), lines


def test_a_table_in_a_pipe_is_whole(world):
    name = "数据" * 60
    volume = listed(world, name=name)
    row = next(line for line in world.daemon.ctl("list").stdout.splitlines() if volume in line)
    assert name in row and "…" not in row


# ---- colours ----

def test_colours(world):
    world.attached()
    assert "\x1b[32mcompleted\x1b[0m" in shown(world, "operations", columns=200)
    assert "\x1b[1mID" in shown(world, "operations", columns=200)
    assert "\x1b[32mhealthy\x1b[0m" in shown(world, "health")
    assert not COLOUR.search(shown(world, "operations", NO_COLOR="1"))
    assert not COLOUR.search(shown(world, "operations", TERM="dumb"))
    assert COLOUR.search(shown(world, "operations", NO_COLOR=""))        # empty means nothing
    assert not COLOUR.search(world.daemon.ctl("operations").stdout)
    assert not COLOUR.search(shown(world, "operations", "--json"))


def test_a_name_is_no_state(world):
    listed(world, name="failed")
    assert "\x1b[31mfailed" not in shown(world, "list", columns=200)


def test_health_tells_its_state_by_the_exit_code(world):
    assert world.daemon.ctl("health").returncode == 0
    assert world.daemon.ctl("pause", "a look").returncode == 0
    assert world.daemon.ctl("health").returncode == 1
    with on_terminal(world, "health") as terminal:
        assert terminal.end() == 1 and "\x1b[33mdegraded\x1b[0m" in terminal.said


# ---- progress ----

def test_progress_shows_the_time_that_goes_by(world):
    world.attached()                                         # so that it is known how long that takes
    world.cloud.set(job_delay=3600)
    with on_terminal(world, "attach", world.volume()) as terminal:
        terminal.wait("attach: await-job, ")
        terminal.wait(" of about ")
        eventually(lambda: len(set(re.findall(r"await-job, (\d+) s", terminal.said))) > 1, "a second that goes by")
        world.cloud.restart()
        assert terminal.end() == 15
        lines = re.findall(r"\r\x1b\[K(attach: [^\r\n]*)", terminal.said)
        assert lines and all(len(line) < 80 for line in lines), lines
        assert terminal.said.count("\n") == 1                # the error; all before is one line, written anew


def test_progress_says_what_it_waits_for(world):
    world.cloud.set(job_delay=3600)
    volume = world.volume()
    first = world.daemon.attach(volume)
    with on_terminal(world, "detach", volume, columns=200) as terminal:
        terminal.wait("detach: pending")
        terminal.wait(first["id"])
        world.await_jobs("attachVolume")
        world.cloud.restart()
        terminal.end()


# ---- questions ----

def lost(world):
    """An operation that needs attention."""
    world.cloud.set_faults([{"do": "no_plug", "command": "attachVolume"},
                            {"do": "job_fail", "code": 530, "command": "detachVolume", "times": 0}])
    volume = world.volume()
    begun = world.daemon.attach(volume)
    assert world.daemon.ctl("pause", "a look").returncode == 0
    world.cloud.wait_request("attachVolume")
    world.daemon.ctl("cancel", begun["id"])
    assert world.daemon.operation(begun["id"])["needs_attention"]
    world.cloud.detach_behind(volume)
    return begun["id"]


def test_resolve_asks(world):
    operation = lost(world)
    with on_terminal(world, "resolve", operation, "--as", "undone") as terminal:
        terminal.wait("Settle this operation for good? [y/N] ")
        assert "needs_attention" in terminal.said and operation in terminal.said
        terminal.type("\n")
        assert terminal.end() == 1 and "Nothing was changed" in terminal.said
    assert world.daemon.operation(operation)["needs_attention"]
    with on_terminal(world, "resolve", operation, "--as", "undone") as terminal:
        terminal.wait("[y/N] ")
        terminal.type("y\n")
        assert terminal.end() == 0
    assert not world.daemon.operation(operation).get("needs_attention")


def test_resolve_in_a_script_and_with_yes(world):
    operation = lost(world)
    done = world.daemon.ctl("resolve", operation, "--as", "perhaps")
    assert done.returncode == 3 and "done or undone" in done.stderr
    with on_terminal(world, "resolve", operation, "--as", "undone", "--yes") as terminal:
        assert terminal.end() == 0 and "[y/N]" not in terminal.said


def test_forget_asks(world):
    volume, path = world.attached()
    with on_terminal(world, "forget", volume) as terminal:
        terminal.wait("Forget where this volume is attached?")
        assert path in terminal.said
        terminal.type("no\n")
        assert terminal.end() == 1
    assert world.daemon.ctl("forget", volume).returncode == 9            # its disk is here


# ---- pause ----

def test_pause_shows_what_still_runs(world):
    assert "No operation runs." in shown(world, "pause", "a look")
    assert world.daemon.ctl("resume").returncode == 0
    world.cloud.set(job_delay=3600)
    begun = world.daemon.attach(world.volume())
    world.await_jobs("attachVolume")
    said = shown(world, "pause", "upgrade of CloudStack", columns=200)
    assert "Still running:" in said and begun["id"] in said and "await-job" in said
    assert "Still running" not in world.daemon.ctl("pause", "again").stdout
    world.cloud.restart()
    world.daemon.failed(begun)


# ---- errors ----

def test_an_error_on_a_terminal_is_plain(world):
    with on_terminal(world, "show", "no-such-volume") as terminal:
        assert terminal.end() == 6
        assert terminal.said.startswith("volumectl: ") and "<3>" not in terminal.said
    with Terminal([program("volume-daemon"), "--config", "/nonexistent"], world.bus.environment) as terminal:
        assert terminal.end() != 0
        assert terminal.said.startswith("error: ") and "<3>" not in terminal.said, terminal.said


# ---- rights ----

FAKE_AGENT = """#!/bin/sh
echo $$ "$@" >>{log}
eval "exec $2>&-"
exec sleep 3600
"""


@pytest.fixture
def stranger(tmp_path_factory, world):
    """Runs volumectl on a terminal as a user without rights, where polkit's agent is a program of the test."""
    if os.geteuid() != 0:
        pytest.skip("only root can ask as another user")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        log, agent = Path(folder, "log"), Path(folder, "pkttyagent")
        log.touch()
        log.chmod(0o666)
        agent.write_text(FAKE_AGENT.format(log=log))
        agent.chmod(0o755)

        def run(*words, path=f"{folder}:{os.environ['PATH']}"):
            command = command_of(program("volumectl"), *words)
            return Terminal(command, world.bus.environment, PATH=path, columns=200)

        run.log = log
        yield run


def test_polkits_agent_asks_a_user_without_rights(world, stranger):
    with stranger("show", world.volume()) as terminal:
        assert terminal.end() == 5, terminal.said        # there is no polkit here to say yes
        assert "run volumectl as root (sudo)" in terminal.said
    assert re.fullmatch(r"\d+ --notify-fd \d+ --fallback\n", stranger.log.read_text())
    with stranger("show", world.volume(), path="/usr/bin:/bin") as terminal:
        assert terminal.end() == 5 and "sudo" in terminal.said      # no agent is installed
    done = world.daemon.ctl("show", world.volume())
    assert stranger.log.read_text().count("\n") == 1 and "sudo" not in done.stderr       # root needs none


def test_the_agent_ends_with_volumectl(world, stranger):
    with stranger("show", world.volume()) as terminal:
        terminal.end()
    agent = stranger.log.read_text().split()[0]
    eventually(lambda: not Path("/proc", agent).exists(), "the end of the agent")
