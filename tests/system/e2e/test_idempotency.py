# SPDX-License-Identifier: LGPL-2.1-or-later
"""The same request twice is one operation, on every surface, whatever happens in between."""

from concurrent.futures import ThreadPoolExecutor

import cloudsim
import pytest
from support.py import shapes
from support.py.harness import NAME

from .surfaces import SURFACES, Refused, id_of_path, object_path

BODY = {"name": "once", "size": cloudsim.GIB, "disk_offering_id": cloudsim.OFFERING_CUSTOM,
        "zone_id": cloudsim.ZONE}


def post(world, key, path="/api/v1/volumes", body=BODY, method="POST"):
    return world.daemon.rest(method, path, body, headers={"Idempotency-Key": key})


def begun(answer):
    assert answer.status == 201, answer
    record = shapes.OPERATION.check(answer.json)
    assert answer.headers["Location"] == f"/api/v1/operations/{record['id']}"
    return record["id"]


def test_again_while_it_runs_and_when_it_has_ended(world):
    world.cloud.set(job_delay=0.5)
    id = begun(post(world, "k"))
    assert begun(post(world, "k")) == id
    assert world.daemon.completed({"id": id})["request_id"] == "k"
    again = post(world, "k")
    assert begun(again) == id and again.json["status"] == "completed"
    assert len(world.data_volumes()) == 1


def test_many_at_once(world):
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: post(world, "k"), range(40)))
    ids = {begun(answer) for answer in answers}
    assert len(ids) == 1
    world.daemon.completed({"id": ids.pop()})
    assert len(world.data_volumes()) == 1


def test_another_body_or_method(world):
    id = begun(post(world, "k"))
    other = post(world, "k", body=BODY | {"name": "twice"})
    assert other.status == 409 and other.json["code"] == "CONFLICT"
    assert id in other.json["error"] and "create" in other.json["error"]
    volume = world.daemon.completed({"id": id})["volume_id"]
    assert post(world, "k", f"/api/v1/volumes/{volume}", None, "DELETE").status == 409
    assert len(world.data_volumes()) == 1


def test_each_change_has_it(world):
    volume = world.volume()
    ids = {}
    for key, path, body, method in (
            ("attach", f"/api/v1/volumes/{volume}/attach", {"vm_id": cloudsim.APPLIANCE_VM}, "POST"),
            ("detach", f"/api/v1/volumes/{volume}/detach", None, "POST"),
            ("delete", f"/api/v1/volumes/{volume}", None, "DELETE")):
        ids[key] = begun(post(world, key, path, body, method))
        world.daemon.completed({"id": ids[key]})
        assert begun(post(world, key, path, body, method)) == ids[key]
    assert len(world.daemon.get("/api/v1/operations")) == 3


def test_across_a_crash_and_a_restart(world):
    world.cloud.set(job_delay=1)
    id = begun(post(world, "k"))
    world.daemon.kill()
    world.daemon.start().wait_healthy()
    assert begun(post(world, "k")) == id
    world.daemon.completed({"id": id})
    world.daemon.stop()
    world.daemon.start().wait_healthy()
    assert begun(post(world, "k")) == id
    assert post(world, "k", body=BODY | {"size": 2 * cloudsim.GIB}).status == 409
    assert len(world.data_volumes()) == 1


def test_while_cloudstack_is_away(world):
    id = begun(post(world, "k"))
    world.daemon.completed({"id": id})
    world.cloud.down()
    for _ in range(2):      # a single lost answer does not count
        assert world.daemon.rest("POST", "/api/v1/admin/force-sync").status == 503
    assert post(world, "new").status == 503
    assert begun(post(world, "k")) == id


@pytest.mark.parametrize("name", SURFACES)
def test_on_every_surface(world, name):
    surface = SURFACES[name](world)
    try:
        volume = world.volume()
        if name == "rest":
            id = begun(post(world, "k", f"/api/v1/volumes/{volume}", None, "DELETE"))
        else:
            id = surface.change("volume.delete", volume_id=volume, request_id="k")
            assert surface.change("volume.delete", volume_id=volume, request_id="k") == id
            with pytest.raises(Refused) as refused:
                surface.change("volume.delete", volume_id=world.volume(), request_id="k")
            assert refused.value.word == "CONFLICT"
        # A key is one for all surfaces.
        assert begun(post(world, "k", f"/api/v1/volumes/{volume}", None, "DELETE")) == id
        assert world.daemon.completed({"id": id})["type"] == "delete"
    finally:
        surface.close()


def test_on_an_object(world):
    volume = world.volume()
    world.daemon.completed(world.daemon.attach(volume))
    bus = SURFACES["bus"](world)
    try:
        path = bus.on_object("volume.detach", volume, request_id="k")
        world.daemon.completed({"id": id_of_path(path)})
        assert bus.on_object("volume.detach", volume, request_id="k") == path
    finally:
        bus.close()


def test_keys_that_are_none(world):
    for key in ("", "x" * 256):
        answer = post(world, key)
        assert answer.status == 400 and "Idempotency-Key" in answer.json["error"], answer
    # It is no part of the body.
    answer = world.daemon.rest("POST", "/api/v1/volumes", BODY | {"request_id": "k"})
    assert answer.status == 400 and answer.json["details"]["field"] == "request_id"
    assert world.data_volumes() == []


def test_questions_do_not_mind_it(world):
    headers = {"Idempotency-Key": "k"}
    assert world.daemon.rest("GET", "/api/v1/operations", headers=headers).status == 200
    assert world.daemon.rest("POST", "/api/v1/admin/force-sync", headers=headers).status == 200


def test_the_object_of_a_repeated_request_can_be_read(world):
    """D-Bus answers with a path, also when only the store remembers the operation."""
    bus = SURFACES["bus"](world)
    try:
        id = bus.completed("volume.create", **BODY, request_id="k")["id"]
    finally:
        bus.close()
    world.daemon.stop()
    world.daemon.start().wait_healthy()
    bus = SURFACES["bus"](world)
    try:
        assert bus.change("volume.create", **BODY, request_id="k") == id
        shown = world.bus.properties(object_path("operation", id), f"{NAME}.Operation")
    finally:
        bus.close()
    assert (shown["Id"], shown["Status"]) == (id, "completed")
