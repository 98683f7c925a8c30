# SPDX-License-Identifier: LGPL-2.1-or-later
"""The stream of events: a program that only listens knows what every other program has done."""

import pytest
from support.py.streams import Stream

# What both tell one for one. PropertiesChanged stands for any number of changes.
BOTH = {"OperationStarted": ("operation", "started"), "OperationCompleted": ("operation", "ended"),
        "DeviceAdded": ("device", "added"), "DeviceRemoved": ("device", "removed"), "MappingChanged": ("mapping", None)}


@pytest.fixture
def stream(world):
    with Stream(world.daemon) as stream:
        yield stream


def told_by_the_bus(monitor):
    return [(message.member, message.arguments[1 if message.member.startswith("Operation") else 0])
            for message in monitor.messages.all() if message.member in BOTH]


def told_by_the_stream(stream):
    members = {pair: member for member, pair in BOTH.items()}
    found = []
    for event in stream.all():
        pair = (event.name, None if event.name == "mapping" else event.change)
        if pair in members:
            found.append((members[pair], event.data["id"]))
    return found


def test_the_life_of_a_volume_is_told_as_on_the_bus(world, stream):
    daemon = world.daemon
    with world.monitor() as monitor:
        volume = daemon.completed(daemon.create())["volume_id"]
        attached = daemon.completed(daemon.attach(volume))
        last = daemon.completed(daemon.delete(volume))
        monitor.completed(last["id"])
        stream.ended(last["id"])
        assert told_by_the_stream(stream) == told_by_the_bus(monitor)
    told = stream.ended(attached["id"]).data["operation"]
    assert told == daemon.operation(attached["id"])
    volumes = [event for event in stream.all() if event.name == "volume" and event.data["id"] == volume]
    assert [event.change for event in volumes if event.change != "changed"] == ["added", "removed"]
    assert volumes[0].change == "added" and volumes[-1].change == "removed"
    assert any(event.data["volume"].get("device_path") == attached["response"]["device_path"] for event in volumes[:-1])


def test_an_end_is_told_after_it_is_durable(world, stream):
    """A client that asks at once for what it was told of gets at least that."""
    operation = world.daemon.create()
    stream.ended(operation["id"])
    assert world.daemon.operation(operation["id"])["status"] == "completed"


def test_a_client_that_was_away_misses_nothing(world, stream):
    daemon = world.daemon
    first = daemon.completed(daemon.create())
    known = stream.ended(first["id"]).id
    stream.close()
    second = daemon.completed(daemon.attach(first["volume_id"]))
    with Stream(daemon, known) as again:
        third = daemon.completed(daemon.detach(first["volume_id"]))
        again.ended(third["id"])
        told = [event.data["id"] for event in again.all() if (event.name, event.change) == ("operation", "ended")]
        assert told == [second["id"], third["id"]]
        numbers = [int(event.id.split(".")[1]) for event in again.all()]
        assert numbers == list(range(int(known.split(".")[1]) + 1, numbers[-1] + 1))


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_new_start_of_the_daemon_is_told(world, stream, end):
    operation = world.daemon.completed(world.daemon.create())
    known = stream.ended(operation["id"]).id
    getattr(world.daemon, end)()
    stream.await_end()
    world.daemon.start().wait_healthy()
    with Stream(world.daemon, known) as again:
        resync = again.wait("resync")
        assert resync.data == {"kind": "resync", "reason": "unknown-id"}
        other = world.daemon.completed(world.daemon.attach(operation["volume_id"]))
        assert again.ended(other["id"]).id.split(".")[0] == resync.id.split(".")[0] != known.split(".")[0]


def test_what_others_do_to_the_volumes_is_told(make_world):
    world = make_world(reconcile={"interval": "1s"})
    volume, path = world.attached()
    with Stream(world.daemon) as stream:
        world.cloud.detach_behind(volume)
        drift = stream.wait("drift", lambda event: event.data["id"] == volume).data["drift"]
        assert drift["kind"] == "detached-outside"
        stream.wait("mapping", lambda event: event.change == "removed" and event.data["id"] == volume)


def test_the_health_is_told_when_it_changes(make_world):
    world = make_world(reconcile={"interval": "1s"})
    with Stream(world.daemon) as stream:
        world.cloud.down()
        told = stream.wait("health", lambda event: event.data["id"] == "degraded").data["health"]
        assert "CloudStack" in told["cloudstack_health"] and told["database_health"] == "healthy"
        seen = len(stream.events)
        world.cloud.up()
        stream.wait("health", lambda event: event.data["id"] == "healthy", seen)


def test_an_export_is_told_until_it_is_gone(make_world):
    world = make_world(export={"engine": "nbdkit"})
    with Stream(world.daemon) as stream:
        volume, _ = world.attached()
        told = stream.wait("export", lambda e: e.data["id"] == volume and e.data["export"]["status"] == "active")
        assert told.data["export"]["export_name"] == f"migration-vol-{volume}"
        world.daemon.completed(world.daemon.detach(volume))
        stream.wait("export", lambda e: e.data["id"] == volume and e.change == "removed" and "export" not in e.data)
