# SPDX-License-Identifier: LGPL-2.1-or-later
"""What callers store is shown again and again: it must not multiply."""

import json
import subprocess

import cloudsim
import pytest
from support.py.harness import MANAGER, NAME, ROOT, BusError
from support.py.crowd import GROWTH, Costs, Crowd, timed

OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"
KEPT = 16 << 10         # bytes of metadata


def note(size):
    """Metadata of so many bytes."""
    return {"note": "x" * (size - len(json.dumps({"note": ""}, separators=(",", ":"))))}


def creation(**options):
    return {"name": "data", "size": cloudsim.GIB, "disk_offering_id": cloudsim.OFFERING_CUSTOM,
            "zone_id": cloudsim.ZONE, **options}


def all_pages(daemon, path):
    """All items of a list, and the bytes of its largest page."""
    items, largest, link = [], 0, path
    while link:
        answer = daemon.rest("GET", link)
        assert answer.status == 200, answer.body[:300]
        largest = max(largest, len(answer.body))
        items += answer.json
        link = answer.headers["Link"] and answer.headers["Link"][1:].split(">")[0]
    return items, largest


def test_large_metadata_is_refused(world):
    """On every surface, with the limit."""
    refused = world.daemon.rest("POST", "/api/v1/volumes", creation(metadata=note(KEPT + 1)))
    assert refused.status == 400 and "16384" in refused.json["error"], refused.body[:300]
    assert refused.json["details"]["field"] == "metadata"
    with pytest.raises(BusError, match="16384"):
        world.bus.call(ROOT, MANAGER, "CreateVolume", "sstsa{sv}", "data", cloudsim.OFFERING_CUSTOM, cloudsim.GIB,
                       cloudsim.ZONE, 1, "metadata", "a{sv}", 1, "note", "s", "x" * KEPT)
    done = world.daemon.ctl("create", "--offering", cloudsim.OFFERING_CUSTOM, "--zone", cloudsim.ZONE, "--name", "data",
                            "--size", "1GiB", "--metadata", json.dumps(note(KEPT + 1)))
    assert done.returncode and "16384" in done.stderr, done.stderr
    assert not world.data_volumes()


def test_much_metadata(world, figure):
    count = 300
    costs = Costs(world.daemon)
    world.cloud.set(job_delay=3600)
    begun = [world.daemon.begin("POST", "/api/v1/volumes", creation(metadata=note(KEPT))) for _ in range(count)]
    items, largest = all_pages(world.daemon, "/api/v1/operations?limit=1000")
    assert [item["id"] for item in items] == [operation["id"] for operation in reversed(begun)]
    assert all(item["request"]["metadata"] == note(KEPT) for item in items)
    shown, cursor = [], {}
    while True:
        page, following = world.bus.call(
            ROOT, MANAGER, "ListOperations", "a{sv}", 1 + len(cursor), "limit", "x", 1000,
            *(word for pair in cursor.items() for word in (pair[0], "s", pair[1])))
        shown += [item["id"] for item in page]
        if not following:
            break
        cursor = {"cursor": following}
    assert shown == [item["id"] for item in items]
    world.bus.call(ROOT, OBJECT_MANAGER, "GetManagedObjects")
    world.bus.call(ROOT, MANAGER, "GetHealth")
    figure(f"{count} operations with the largest metadata", "all shown in pages of less than 16 MiB, growth less than "
           "128 MiB", f"{largest / 2**20:.1f} MiB, {costs.peak_growth:.0f} MiB")
    assert largest < 16 << 20 and costs.peak_growth < GROWTH
    assert world.daemon.text.count("bus: connected") == 1
    world.cloud.restart()


def late_beside_a_list(world):
    """The latest of health's answers until a client has all objects. The client is a process of its own, and its
    output is not read: it takes no time from the one that measures."""
    client = subprocess.Popen(["busctl", f"--address={world.bus.address}", "call", NAME, ROOT, OBJECT_MANAGER,
                               "GetManagedObjects"], stdout=subprocess.DEVNULL)
    late = 0
    while client.poll() is None:
        late = max(late, timed(world.daemon.health)[1])
    assert client.returncode == 0
    return late


def test_many_unfinished_operations(hasty_world, figure):
    """They wait for their turn on one volume."""
    world, count, callers = hasty_world, 5000, 100
    world.cloud.set(job_delay=3600)
    volume = world.volume()
    world.daemon.attach(volume)
    request = f"POST /api/v1/volumes/{volume}/detach HTTP/1.1\r\nHost: localhost\r\n\r\n"
    begun = 0
    with Crowd(world.daemon, callers) as crowd:
        while begun < count:
            for stranger in crowd:
                stranger.send(request)
            answers = {stranger.answer()[:12] for stranger in crowd}
            # A busy machine makes store and cloud late.
            assert answers <= {"HTTP/1.1 201", "HTTP/1.1 503"}, answers
            begun = world.daemon.health()["details"]["active_operations"]
    undisturbed = max(timed(world.daemon.health)[1] for _ in range(20))
    late = max(late_beside_a_list(world) for _ in range(5))
    figure(f"GetManagedObjects with {count} unfinished operations", "health within 100 ms",
           f"{1000 * late:.1f} ms ({1000 * undisturbed:.1f} ms undisturbed)")
    # Ten times the limit; a busy machine is late without lists as well.
    assert late < max(1, 10 * undisturbed)
    objects = world.bus.call(ROOT, OBJECT_MANAGER, "GetManagedObjects")[0]
    shown = sum("/operation/" in path for path in objects)
    # As many are listed as there is room for, and as many again that were just begun.
    assert 1000 <= shown <= 2000
    assert world.bus.properties(ROOT, MANAGER)["UnlistedOperations"] == begun - shown
    world.cloud.restart()
