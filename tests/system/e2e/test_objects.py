# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which objects there are on the bus: what is in use, and what a client was just given the path of.

Whoever asks for all objects gets what was announced, and not more than a message holds; the lists
of the Manager show the rest, page by page. The monitor of each world compares both (told.py).
"""

import cloudsim
import pytest
from support.py.harness import MANAGER, NAME, ROOT, BusError
from support.py.stores import any_store, each_store
from support.py.waiting import eventually

from .surfaces import SURFACES, object_path

pytestmark = any_store

OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"
BOUND = 1000


def objects(world, kind):
    """The ids of what GetManagedObjects lists of a kind; Introspect shows the same."""
    found, = world.bus.call(ROOT, OBJECT_MANAGER, "GetManagedObjects")
    listed = {path for path in found if path.startswith(f"{ROOT}/{kind.lower()}/")}
    xml, = world.bus.call(f"{ROOT}/{kind.lower()}", "org.freedesktop.DBus.Introspectable", "Introspect") \
        if listed else [""]
    assert {path.rsplit("/", 1)[1] for path in listed} == \
        {line.split('"')[1] for line in xml.splitlines() if line.strip().startswith("<node name=")}
    return listed


def unlisted(world, kind):
    return world.bus.properties(ROOT, MANAGER)[f"Unlisted{kind}s"]


def read(world, kind, id):
    return world.bus.properties(object_path(kind.lower(), id), f"{NAME}.{kind}")


def all_known(world):
    count = sum(not v["removed"] for v in world.cloud.state()["volumes"])
    eventually(lambda: world.daemon.health()["details"]["known_volumes"] == count, "all volumes")


def pages(world, member, **options):
    """All pages of a list, in one list."""
    found, cursor = [], ""
    while True:
        given = options | ({"cursor": cursor} if cursor else {})
        words = [word for key, value in given.items()
                 for word in (key, "x" if isinstance(value, int) else "s", value)]
        page, cursor = world.bus.call(ROOT, MANAGER, member, "a{sv}", len(given), *words)
        found.append(page)
        if not cursor:
            return found


def test_ten_thousand_volumes(make_world):
    """Of which a few are in use, and some more are in use elsewhere than there is room for."""
    count, elsewhere = 10_000, BOUND + 200
    world = make_world(start=False)
    vm = world.cloud.put_vm(name="elsewhere")["id"]
    for i in range(count):
        world.volume(vm=vm if i < elsewhere else None)
    world.start()
    all_known(world)
    in_use = sum(v["vm"] is not None for v in world.cloud.state()["volumes"] if not v["removed"])
    # One that made room for a volume of this machine stays for a while.
    shown = eventually(lambda: len(found := objects(world, "Volume")) >= BOUND and found,
                       "as many objects as there is room for")
    assert len(shown) <= BOUND + 2 and unlisted(world, "Volume") == in_use - len(shown)
    volume, path = world.attached()
    shown = objects(world, "Volume")
    assert object_path("volume", volume) in shown   # a volume of this machine has its place
    assert read(world, "Volume", volume)["DevicePath"] == path
    detached = next(v["id"] for v in world.cloud.state()["volumes"] if v["vm"] is None)
    with pytest.raises(BusError):
        read(world, "Volume", detached)
    assert world.bus.manager("GetVolume", "s", detached) == object_path("volume", detached)
    assert read(world, "Volume", detached)["VolumeId"] == detached
    assert object_path("volume", detached) in objects(world, "Volume")
    found = pages(world, "ListVolumes", limit=1000)
    ids = [v["volume_id"] for page in found for v in page]
    assert len(found) >= 10 and len(set(ids)) == len(ids) > count


def test_a_detached_volume_stays_for_a_while(world):
    volume, path = world.attached()
    operation = world.daemon.completed(world.daemon.detach(volume))
    shown = read(world, "Volume", volume)
    assert (shown["VmId"], shown["DevicePath"]) == ("", "")
    assert read(world, "Operation", operation["id"])["Response"]["device_path"] == path
    assert object_path("volume", volume) in objects(world, "Volume")


@each_store
def test_an_operation_of_long_ago(world):
    """Only the store knows it; its path can be read when it was asked for."""
    volume, _ = world.attached()
    operation = world.daemon.get("/api/v1/operations")[0]
    world.daemon.stop()
    world.daemon.start().wait_healthy()
    with pytest.raises(BusError):
        read(world, "Operation", operation["id"])
    path = world.bus.manager("GetOperation", "s", operation["id"])
    assert path == object_path("operation", operation["id"])
    shown = read(world, "Operation", operation["id"])
    assert (shown["Status"], shown["VolumeId"]) == ("completed", volume)
    assert path in objects(world, "Operation")


@each_store
def test_the_path_of_a_repeated_request(world):
    def attach():
        return world.bus.manager("AttachVolume", "ssa{sv}", volume, cloudsim.APPLIANCE_VM, 1,
                                 "request_id", "s", "once")

    volume = world.volume()
    path = attach()
    operation = world.daemon.completed(world.daemon.get("/api/v1/operations")[0])
    world.daemon.stop()
    world.daemon.start().wait_healthy()
    assert attach() == path == object_path("operation", operation["id"])
    assert read(world, "Operation", operation["id"])["Status"] == "completed"


@each_store
def test_lists_lead_to_the_next_page(world):
    volumes = [world.attached()[0] for _ in range(5)]
    all_known(world)
    for member, key in (("ListVolumes", "volume_id"), ("ListOperations", "id"),
                        ("ListMappings", "volume_id")):
        whole, = pages(world, member)
        found = pages(world, member, limit=2)
        assert [len(page) for page in found[:-1]] == [2] * (len(found) - 1) and len(found) >= 3
        assert [item[key] for page in found for item in page] == [item[key] for item in whole]
    rest, cursor = [], ""
    while cursor is not None:
        answer = world.daemon.get(f"/api/v1/mappings?limit=2{cursor}")
        rest += [mapping["volume_id"] for mapping in answer["mappings"]]
        cursor = answer.get("next_cursor") and f"&cursor={answer['next_cursor']}"
    assert rest == sorted(volumes)
    assert [m["volume_id"] for m in world.daemon.ctl_json("mappings")] == sorted(volumes)


def test_methods_of_a_volume_that_was_asked_for(world):
    """A detached volume is no object of its own, until a client asks for it."""
    bus = SURFACES["bus"](world)
    try:
        volume = world.volume()
        all_known(world)
        arguments = {"vm_id": cloudsim.APPLIANCE_VM}
        with pytest.raises(BusError):
            bus.on_object("volume.attach", volume, **arguments)
        bus.ask("volume.get", volume_id=volume)
        path = bus.on_object("volume.attach", volume, **arguments)
        world.daemon.completed(world.daemon.get("/api/v1/operations")[0])
        assert path in objects(world, "Operation")
    finally:
        bus.close()
