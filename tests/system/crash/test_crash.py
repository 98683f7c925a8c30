# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon is killed at every commit and at every request to CloudStack, and started again.

The commits come from the daemon's own step tables, the requests are counted in a run that nobody
disturbs. Whatever was promised to anybody must be there afterwards, once.
"""

from collections import Counter

import pytest
from support.py import shapes
from support.py.harness import Monitor
from support.py.servers import OTHER_CLOUD, OTHER_SERVER
from support.py.stores import KIND, any_store

from .scenarios import SCENARIOS, moments, steps

# Nothing is compared and repaired behind the operations' backs: they must get there themselves.
QUIET = {"reconcile": {"interval": "1h"}}


@pytest.fixture
def begin_world(make_world):
    def begin(scenario, crash_at="", server=None, **config):
        world = make_world(start=False, **(QUIET | scenario.config | config))
        world.cloud.set(**(server or {}))
        world.daemon.program = "volume-daemon-crash"
        world.start()
        before = scenario.prepare(world)
        world.daemon.crash_at.write_text(crash_at)
        return world, before
    return begin


def goes_on(world, scenario, before, told, ended=False):
    """Start it again; what it had promised comes true, and is said."""
    world.daemon.crash_at.unlink()
    with Monitor(world.bus) as monitor:
        world.daemon.start().wait_healthy()
        records = [r for r in world.daemon.get("/api/v1/operations")
                   if r["id"] not in before.operations]
        if told:
            assert [r["id"] for r in records] == [told]
        record = shapes.check_ended(world.daemon.ended(records[0])) if records else None
        if record and not ended:
            monitor.completed(record["id"])
            signals = [s for s in monitor.signals("OperationCompleted")
                       if s.arguments[1] == record["id"]]
            assert len(signals) == 1
    world.cloud.wait_idle()
    assert not record or "needs_attention" not in record, record
    scenario.check(world, before, record)
    return record


def test_every_operation_and_every_undo_has_a_scenario():
    rows = steps()
    whole = {s.operation for s in SCENARIOS if not s.undone}
    assert {row["operation"] for row in rows} == whole
    undone = {(s.operation, name) for s, name in moments() if s.undone and name != "end"}
    assert {(row["operation"], f"undo {row['step']}") for row in rows if row["undo"]} == undone


def commits():
    """On SQLite every commit of every scenario. On another store every one that differs in what the store is given:
    each commit of an operation once, whatever the volume and its machine, and those with names and exports. The end of
    an operation that was undone is another commit than that of one that was completed."""
    first = {}
    for scenario, moment in moments():
        commit = (scenario.operation, scenario.undone, moment)
        if KIND == "sqlite" or scenario.served or first.setdefault(commit, scenario) is scenario:
            yield scenario, moment


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("scenario, moment", commits(), ids=str)
def test_killed_at_a_commit(begin_world, scenario, moment, when):
    world, before = begin_world(scenario, f"{scenario.type}/{moment}/{when}")
    told = scenario.begin(world, before.volume)
    world.daemon.dies()
    # Who ended without having been heard has ended; bus clients read anew when the daemon is back.
    record = goes_on(world, scenario, before, told, ended=(moment, when) == ("end", "after"))
    assert (record is None) == ((moment, when) == ("accept", "before"))
    assert not (told and moment == "accept")    # nothing is promised before it is durable


def requests_of(begin_world, scenario):
    """How often each command is sent, in a run that nobody disturbs."""
    world, before = begin_world(scenario)
    record = world.daemon.ended({"id": scenario.begin(world, before.volume)})
    counts = Counter(request["command"] for request in world.cloud.requests())
    scenario.check(world, before, record)
    return counts


def kill_at(world, command, nth, moment):
    """Kill the daemon when CloudStack meets the nth such request: before it has an effect, or
    when it has had it and nobody knows."""
    seen, process = Counter(), world.daemon.process

    def interrupt(now, this):
        if (now, this) != (moment, command):
            return False
        seen[command] += 1
        if seen[command] != nth:
            return False
        process.kill()
        return True

    world.cloud.interrupt = interrupt


def is_spared(world, operation):
    """Whether it has ended and nobody was killed."""
    try:
        return bool(world.daemon.ended(operation))
    except OSError:
        return False


@any_store
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_killed_in_a_request(begin_world, scenario, moment):
    for command, count in requests_of(begin_world, scenario).items():
        for nth in range(1, min(count, 3) + 1):
            print(f"{command} {nth}")       # shown when it fails
            world, before = begin_world(scenario)
            kill_at(world, command, nth, moment)
            told = scenario.begin(world, before.volume)
            # How often a job or a volume is looked at until it is done is for the machine to say.
            if command.startswith(("query", "list")) and nth > 1 and is_spared(world, told):
                break
            world.daemon.dies()
            goes_on(world, scenario, before, told)


@any_store
@pytest.mark.parametrize("command", ["createVolume", "updateVolume", "attachVolume", "detachVolume",
                                     "resizeVolume", "destroyVolume"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_in_a_request_to_another_server(begin_world, command, moment):
    """How a request is recognised that was sent before depends on the server."""
    operation = {"updateVolume": "create", "destroyVolume": "delete"}
    name = operation.get(command, command.removesuffix("Volume"))
    scenario = next(s for s in SCENARIOS if s.name == name)
    world, before = begin_world(scenario, server=OTHER_SERVER, cloud=OTHER_CLOUD)
    kill_at(world, command, 1, moment)
    told = scenario.begin(world, before.volume)
    world.daemon.dies()
    goes_on(world, scenario, before, told)
