# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each command of volumectl, good and bad, in a pipe and on a terminal.

The outcome must be the same in both; on a terminal nothing is wider than it, and nothing that only
the journal reads is shown. The questions of a terminal, progress and the live view have tests of
their own (test_volumectl_terminal.py, test_volumectl_watch.py).
"""

import re
import signal
from contextlib import contextmanager, nullcontext

import pytest
from cloudsim import APPLIANCE_VM, OFFERING_CUSTOM, ZONE
from support.py.harness import World
from support.py.loops import real_disk
from support.py.stores import any_store

from .surfaces import commands_without_a_method, on_every_surface
from .test_volumectl_terminal import COLOUR, on_terminal, width

pytestmark = [any_store, pytest.mark.xdist_group("volumectl-commands")]

COLUMNS = 70
NOBODY = "00000000-0000-4000-8000-000000000000"
NO_OPERATION = f"op-{NOBODY}"

# Of each command: words that succeed, and words that do not, with the exit code. What would change something is only
# planned, or has no effect, so that the order does not matter.
WORDS = {
    "create": (["--name", "n", "--size", "1GiB", "--offering", OFFERING_CUSTOM, "--zone", ZONE, "--dry-run"],
               ["--name", "n", "--size", "1GiB", "--offering", "no-such"], 6),
    "attach": (["free", "--dry-run"], ["no-such"], 6),
    "attach-root": (["free", "--vm", "rootless", "--dry-run"], ["free", "--vm", "no-such"], 6),
    "detach": (["here", "--dry-run"], ["free"], 9),
    "delete": (["free", "--dry-run"], ["no-such"], 6),
    "resize": (["free", "9GiB", "--dry-run"], ["free", "1MiB"], 2),
    "cleanup": (["tested", "--test-vm", "test", "--dry-run"], ["no-such", "--test-vm", "test"], 6),
    "list": ([], ["--state", "x" * 300], 2),
    "show": (["free"], ["no-such"], 6),
    "device": (["here"], ["free"], 6),
    "users": (["here"], ["no-such"], 6),
    "forget": (["here", "--dry-run"], ["free", "--yes"], 6),
    "vm-volumes": ([APPLIANCE_VM], ["no-such"], 6),
    "vms": ([], ["--name", "x" * 300], 2),
    "offerings": ([], ["--limit", "0"], 2),
    "zones": ([], ["--limit", "many"], 2),
    "rights": ([], ["more"], 2),
    "mappings": ([], ["--limit", "0"], 2),
    "devices": ([], ["more"], 2),
    "which": (["DEVICE"], ["vdz"], 6),
    "export": (["here", "--dry-run"], ["no-such"], 6),
    "exports": ([], ["--status", "sold"], 3),
    "export-show": (["here"], ["free"], 6),
    "unexport": (["free"], [], 2),
    "exports-validate": ([], ["more"], 2),
    "exports-cleanup": ([], ["--dry-run=perhaps"], 2),
    "exports-cleanup-age": ([], ["--max-age-hours", "-1"], 2),
    "exports-orphaned": ([], ["more"], 2),
    "snapshot": (["free", "--dry-run"], ["no-such"], 6),
    "snapshots": (["free"], ["no-such"], 6),
    "revert": (["SNAPSHOT", "--dry-run"], [NOBODY], 6),
    "delete-snapshot": (["SNAPSHOT", "--dry-run"], [NOBODY], 6),
    "snapshot-track": (["here", "ctx", "snap-1", "--dry-run"], ["here"], 2),
    "snapshots-tracked": (["ctx"], [], 2),
    "snapshot-update": (["here", "--snapshot-id", "snap-2", "--dry-run"], ["no-such"], 6),
    "snapshots-untrack": (["ctx", "--dry-run"], [], 2),
    "operations": ([], ["--status", "tired"], 3),
    "operation": (["OPERATION"], [NO_OPERATION], 6),
    "history": (["OPERATION"], [NO_OPERATION], 6),
    "cancel": (["OPERATION", "--dry-run"], [NO_OPERATION], 6),
    "resolve": (["OPERATION", "--as", "done", "--dry-run"], [NO_OPERATION, "--as", "done", "--yes"], 6),
    "token-create": (["ci", "--dry-run"], ["a b"], 3),
    "token-list": ([], ["more"], 2),
    "token-revoke": (["ci", "--dry-run"], ["no-such"], 6),
    "sync": (["--dry-run"], ["more"], 2),
    "pause": (["a look", "--dry-run"], [], 2),
    "resume": ([], ["more"], 2),
    "reload": (["--dry-run"], ["more"], 2),
    "health": ([], ["more"], 2),
    "metrics": ([], ["more"], 2),
    "wait": (["OPERATION"], [NO_OPERATION], 6),
    "wait-device": (["here"], ["here", "more"], 2),
    "open": (["real", "--", "test", "-b", "/dev/fd/3"], ["free", "--", "true"], 9),
    "drain": (["a look"], ["a", "b"], 2),
    "doctor": (["--config", "CONFIG"], ["--config", "/nonexistent"], 1),
    "watch": (None, ["more"], 2),           # it goes on until it is stopped: see below
    "store": (["check"], ["frobnicate"], 2),
    "help": ([], ["no-such"], 2),
}
# The plan has refusals, since there is nothing to change.
PLANS_OF_NOTHING = {"forget": 9, "cancel": 9, "resolve": 9, "token-revoke": 6}


@pytest.fixture(scope="module")
def s(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("commands"), export={"engine": "nbdkit"})
    try:
        world.start()
        free = world.volume(name="free")
        devices = {name: world.daemon.completed(world.daemon.attach(world.volume(name=name)))["response"]["device_path"]
                   for name in ("real", "here")}
        world.on_test_vm(name="tested")
        world.named = {"SNAPSHOT": world.cloud.put_snapshot(free)["id"], "CONFIG": str(world.daemon.config),
                       "OPERATION": world.daemon.get("/api/v1/operations")[0]["id"],
                       "DEVICE": devices["here"], "REAL": devices["real"]}
        world.rootless_vm()
        world.daemon.get("/api/v1/volumes?refresh=true")
        yield world
    finally:
        world.close()


def test_each_command_is_here():
    assert WORDS.keys() == {method.command for method in on_every_surface().values()} | commands_without_a_method()


def run(world, words):
    """The exit code, and all that is said, in a pipe and on a terminal."""
    words = [world.named.get(word, word) for word in words]
    piped = world.daemon.ctl(*words)
    with on_terminal(world, *words, columns=COLUMNS) as terminal:
        code, said = terminal.end(), terminal.said
    assert code == piped.returncode, (words, said, piped)
    assert not re.search(r"^<\d>", piped.stderr + said, re.MULTILINE), (words, said)
    assert "\x1b" not in piped.stdout + piped.stderr, words
    return piped, COLOUR.sub("", said)


def open_disk(world):
    """The other disks are files."""
    return real_disk(world, world.named["REAL"])


@contextmanager
def resumed(world):
    """After a pause, so that the other commands find no trace of it."""
    try:
        yield
    finally:
        resumed_now = world.daemon.ctl("resume")
    assert resumed_now.returncode == 0, resumed_now


MEANWHILE = {"open": open_disk, "drain": resumed}


@pytest.mark.parametrize("command", [c for c in WORDS if c != "watch"])
def test_good(s, command):
    with MEANWHILE.get(command, nullcontext)(s):
        piped, said = run(s, [command, *WORDS[command][0]])
    assert piped.returncode == PLANS_OF_NOTHING.get(command, 0), (piped, said)
    assert piped.stderr == "" or piped.returncode == 0
    if on_every_surface_is_a_list(command):
        assert all(width(line) <= COLUMNS for line in said.splitlines()), said


def test_good_watch(s):
    """Events as they come, and the state of things; it ends by `q` or SIGINT."""
    with s.monitor() as monitor, s.watching(monitor) as piped, on_terminal(s, "watch", columns=400, rows=40) as terminal:
        terminal.wait("LAST EVENTS")
        assert s.daemon.ctl("snapshot", "free").returncode == 0
        piped.out.wait(lambda line: re.search("OperationCompleted op-.* snapshot completed", line))
        terminal.wait(" snapshot completed ")
        assert s.named["DEVICE"] in terminal.said
        terminal.type("q")
        assert terminal.end() == 0
        assert piped.interrupt() == -signal.SIGINT and piped.err.all() == []


def on_every_surface_is_a_list(command):
    return any(method.command == command and method.many for method in on_every_surface().values())


@pytest.mark.parametrize("command", WORDS)
def test_bad(s, command):
    _, words, code = WORDS[command]
    piped, said = run(s, [command, *words])
    assert piped.returncode == code, (piped, said)
    if command != "doctor":                  # whose findings are its answer
        assert piped.stdout == "" and re.search(r"^volumectl(?: store)?: ", piped.stderr, re.MULTILINE), piped
        assert "volumectl" in said
