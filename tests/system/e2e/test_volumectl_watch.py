# SPDX-License-Identifier: LGPL-2.1-or-later
"""volumectl watch: a live view that gives the terminal back at every end, and a log elsewhere."""

import re
import signal

import dbus.bus
import pytest
from support.py.programs import program
from support.py.stores import any_store
from support.py.terminal import Terminal
from support.py.waiting import eventually

pytestmark = any_store

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"
COMMAND = ["env", "--default-signal=INT,HUP,QUIT,TSTP", program("volumectl"), "watch"]


def watch(world, *words, **options):
    return Terminal([*COMMAND, *words], world.bus.environment, **options)


@pytest.fixture
def view(world):
    with watch(world, columns=400, rows=40) as terminal:         # the paths of the tests' disks are long
        terminal.wait("LAST EVENTS")
        yield terminal


def screen(said, rows=40):
    """What the terminal shows: the view names the row of each line that it writes."""
    said = re.sub(r"\x1b\[[0-9;]*m", "", said.rpartition(ENTER)[2])
    shown = [""] * rows
    for row, line in re.findall(r"\x1b\[(\d+);1H\x1b\[2K([^\x1b]*)", said):
        shown[int(row) - 1] = line
    return shown


def sees(terminal, pattern):
    eventually(lambda: any(re.search(pattern, line) for line in screen(terminal.said)), pattern)


def attached(world, **row):
    volume = world.volume(**row)
    world.daemon.get(f"/api/v1/volumes/{volume}?refresh=true")
    world.daemon.completed(world.daemon.attach(volume))


def gave_back(terminal):
    assert terminal.said.endswith(LEAVE) and "\x1b[?25h" in terminal.said
    assert terminal.mode() == terminal.mode_before


# ---- what it shows ----

def test_volumes_operations_and_events(world, view):
    sees(view, "No operation runs")
    volume, path = world.attached()
    sees(view, rf"{path} .*1GiB .*detected .*{volume}")
    sees(view, rf"\d\d:\d\d:\d\d OperationCompleted op-\S+ attach completed {volume} {path}")
    sees(view, "No operation runs")
    world.cloud.set(job_delay=3600)
    begun = world.daemon.attach(world.volume())
    sees(view, rf"attach .*await-job .*\d+ s .*{begun['id'][:5]}")
    # The time goes by without any event.
    eventually(lambda: len(set(re.findall(r"await-job\S* +(\d+) s", re.sub(r"\x1b\[0m", "", view.said)))) > 1,
               "a second that goes by")
    world.cloud.restart()
    sees(view, "OperationCompleted op-.* attach failed")
    sees(view, "No operation runs")
    view.type("q")
    assert view.end() == 0
    gave_back(view)


def test_texts_of_others_are_harmless(world, view):
    attached(world, name="数据\x1b]0;evil\x07\u202e" * 3)
    sees(view, "^数据.*evil")
    assert "\x1b]0;" not in view.said and "\x07" not in view.said and "\u202e" not in view.said


def test_it_waits_for_the_daemon(world, view):
    sees(view, "volume-daemon is running")
    world.daemon.stop()
    sees(view, "Waiting for volume-daemon")
    world.daemon.start()
    sees(view, "volume-daemon is running")
    volume, path = world.attached()
    sees(view, rf"{path} .*{volume}")


def test_it_begins_without_the_daemon(world):
    world.daemon.stop()
    with watch(world, columns=160, rows=40) as terminal:
        sees(terminal, "Waiting for volume-daemon")
        world.daemon.start()
        sees(terminal, "volume-daemon is running")


def test_another_size(world, view):
    attached(world, name="数据" * 40)
    sees(view, r"^(数据)+ .*1GiB")
    view.resize(50, 12)
    eventually(lambda: view.said.count(ENTER) == 2 and "LAST EVENTS" in view.said.rpartition(ENTER)[2], "a new view")
    lines = screen(view.said)
    assert not any(lines[12:]) and any(re.match("(数据)+.?… .*1GiB", line) for line in lines), lines
    for line in lines:
        assert sum(2 if "\u4e00" <= c <= "\u9fff" else 1 for c in line) <= 50, line


# ---- its ends ----

def test_ctrl_c(view):
    view.type("\x03")
    assert view.end() == -signal.SIGINT
    gave_back(view)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal(view, number):
    view.signal(number)
    assert view.end() == -number
    gave_back(view)


def test_keys_while_the_daemon_does_not_answer(world, view):
    world.daemon.stop()
    sees(view, "Waiting for volume-daemon")
    with world.monitor() as monitor:
        # A daemon that never reads what comes for it.
        silent = dbus.bus.BusConnection(world.bus.address)
        silent.request_name("org.migratekit.VolumeDaemon1")
        monitor.messages.wait(lambda message: message.member == "ListMappings")
        view.type("q")
        assert view.end() == 0
        silent.close()
    assert "Not up to date" not in view.said                 # it ended before it gave the daemon up
    gave_back(view)


def test_the_bus_goes(world, view):
    world.daemon.stop()
    world.bus.stop()
    assert view.end() == 17
    before, _, after = view.said.rpartition(LEAVE)
    assert before and "volumectl: the connection to the bus was lost" in after
    assert view.mode() == view.mode_before


def test_suspended_and_resumed(world):
    """A shell with jobs, a person who types Ctrl-Z, and then fg."""
    with Terminal(["bash", "--norc", "--noprofile", "--noediting", "-i"], world.bus.environment, columns=400, rows=40,
                  PS1="ready> ") as shell:
        shell.wait("ready> ")
        shell.type(f"{program('volumectl')} watch\n")
        shell.wait("LAST EVENTS")
        shell.type("\x1a")
        eventually(lambda: "ready> " in shell.said.partition(LEAVE)[2], "the shell")
        assert "Stopped" in shell.said.partition(LEAVE)[2] and shell.mode() == shell.mode_before
        volume, path = world.attached()
        shell.type("fg\n")
        sees(shell, rf"{path} .*{volume}")
        assert LEAVE not in shell.said.rpartition(ENTER)[2]
        shell.type("q")
        eventually(lambda: shell.said.count(LEAVE) == 2 and "ready> " in shell.said.rpartition(LEAVE)[2], "the shell")
        shell.type("exit $?\n")
        assert shell.end() == 0 and shell.mode() == shell.mode_before


# ---- the log ----

@pytest.mark.parametrize("words, options", [(["--plain"], {}), ([], {"TERM": "dumb"})])
def test_a_log_on_a_terminal(world, words, options):
    with watch(world, *words, columns=200, **options) as terminal:
        world.daemon.stop()             # an end of the name is heard however late the watch began
        eventually(lambda: "DaemonLeft" in terminal.said or "does not run" in terminal.said, "a word about the daemon")
        world.daemon.start()
        terminal.wait("Z DaemonArrived\n")
        assert "\x1b" not in terminal.said
        terminal.type("\x03")
        assert terminal.end() == -signal.SIGINT


def test_a_log_that_begins_without_the_daemon(world):
    world.daemon.stop()
    with world.daemon.ctl_start("watch") as running:
        running.err.wait(lambda line: line == "waiting for volume-daemon, which does not run")
        world.daemon.start()
        running.out.wait(lambda line: line.endswith(" DaemonArrived"))
        assert running.interrupt() == -signal.SIGINT
