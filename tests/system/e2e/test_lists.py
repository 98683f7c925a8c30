# SPDX-License-Identifier: LGPL-2.1-or-later
"""Lists of volumes as servers differ in them: how long a page may be, where a list ends, what it
costs. Whatever becomes of the list of all volumes, changes go on, and health says what is wrong."""

import json
import time
from datetime import datetime, timezone
from urllib.parse import quote

from support.py import shapes
from support.py.waiting import eventually


def health(world):
    return shapes.HEALTH.check(world.daemon.health())


def whole_lists(world):
    """The pages that were asked for, of lists of all volumes."""
    return [r["params"] for r in world.cloud.requests()
            if r["command"] == "listVolumes" and "page" in r["params"]
            and not {"virtualmachineid", "ids"} & set(r["params"])]


def listed(world, query=""):
    """Page by page, as a client reads them."""
    found, cursor = [], ""
    while cursor is not None:
        answer = world.daemon.get(f"/api/v1/volumes?limit=1000{query}{cursor}")
        found += [v["volume_id"] for v in answer["volumes"]]
        cursor = answer.get("next_cursor") and f"&cursor={answer['next_cursor']}"
    return found


def age_of_list(world):
    listed_at = world.daemon.get("/api/v1/volumes?limit=1")["listed_at"]
    return (datetime.now(timezone.utc) - datetime.fromisoformat(listed_at)).total_seconds()


def started(make_world, volumes, settings, **changes):
    """A daemon that finds so many volumes and these settings when it starts."""
    world = make_world(start=False, **changes)
    for _ in range(volumes):
        world.volume()
    world.cloud.set(**settings)
    world.start()
    return world


def all_known(world):
    everything = {v["id"] for v in world.cloud.state()["volumes"]}
    eventually(lambda: health(world)["details"]["known_volumes"] == len(everything),
               "the list of all volumes")
    assert set(listed(world)) == everything
    assert health(world)["status"] == "healthy"


def list_fails(world, *words):
    told = eventually(lambda: (h := health(world))["cloudstack_health"].startswith("CloudStack answers")
                      and h, "the list that fails")
    assert told["status"] == "degraded" and told["details"]["accepting_changes"]
    for word in words:
        assert word in told["cloudstack_health"]


def test_a_lowered_page_size(make_world):
    world = started(make_world, 230, {"page_size": 100})
    all_known(world)
    assert [p["pagesize"] for p in whole_lists(world)[:4]] == ["500", "100", "100", "100"]


def test_a_count_of_the_page_alone(make_world):
    world = started(make_world, 1203, {"count_is_page": True})
    all_known(world)


def test_a_list_without_end(make_world):
    world = make_world(reconcile={"interval": "1h"})
    volume = world.volume()
    assert volume in listed(world, "&refresh=true")
    known = set(listed(world))
    world.cloud.set(endless_list=True)
    world.cloud.clear_requests()
    refused = world.daemon.rest("GET", "/api/v1/volumes?refresh=true")
    assert refused.status == 503 and "does not end" in str(refused.json), refused
    assert len(whole_lists(world)) <= 3
    list_fails(world, "does not end", "the list that is known is")
    assert set(listed(world)) == known
    world.attached()
    world.cloud.set(endless_list=False)
    listed(world, "&refresh=true")
    assert health(world)["status"] == "healthy"


def test_a_list_that_is_too_slow(make_world):
    world = started(make_world, 30, {"row_delay": 0.2})
    world.attached()
    all_known(world)


def test_a_list_that_is_too_long(make_world):
    world = started(make_world, 600, {"row_bytes": 21000})
    world.attached()
    all_known(world)


def test_a_volume_that_cannot_be_understood(make_world):
    world = make_world()
    volume = world.volume()
    world.cloud.put_volume(id="not-a-uuid", name="odd")
    assert volume in listed(world, "&refresh=true")
    assert "not-a-uuid" not in listed(world)
    told = health(world)
    assert told["status"] == "healthy"
    assert told["details"]["volumes_left_out"] == '"odd" (not-a-uuid)'
    assert '"odd" (not-a-uuid)' in world.daemon.text


def test_what_a_list_may_cost(make_world):
    """A list of a second is not made again for a hundred; what matters here is seen all the same."""
    world = make_world(reconcile={"interval": "1s"})
    volume, _ = world.attached()
    missing = world.volume()
    world.cloud.set(row_delay=1 / len(world.cloud.state()["volumes"]))
    assert missing in listed(world, "&refresh=true")
    world.cloud.set(row_delay=0)
    world.cloud.clear_requests()
    since = time.monotonic()
    world.cloud.detach_behind(volume)
    eventually(lambda: world.daemon.rest("GET", f"/api/v1/volumes/{volume}/device").status == 404,
               "the detachment")
    assert time.monotonic() - since < 60
    assert not whole_lists(world)
    assert age_of_list(world) < 90
    new = world.volume()
    assert new not in listed(world)
    assert new in listed(world, "&refresh")
    assert age_of_list(world) < 60


def history_pages(world, operation, limit):
    """Page by page over REST."""
    found, cursor = [], ""
    while cursor is not None:
        answer = world.daemon.get(f"/api/v1/operations/{operation}/history?limit={limit}{cursor}")
        assert len(answer["history"]) <= limit
        found += answer["history"]
        cursor = answer.get("next_cursor") and f"&cursor={quote(answer['next_cursor'])}"
    return found


def test_a_long_history(world):
    """As an operation has that waited for CloudStack for days. The caller is named on each page."""
    record = world.daemon.completed(world.daemon.attach(world.volume()))
    operation = record["id"]
    begin = world.daemon.get(f"/api/v1/operations/{operation}/history?limit=1")["history"][0]
    world.daemon.stop()
    (id, changed_at), = world.daemon.store.rows(
        "SELECT id, changed_at FROM volume_operation_history WHERE previous_status IS NULL OR previous_status = ''")
    rows = ", ".join(f"('{id[:24]}{number:012}', '{operation}', 'executing', 'executing', '{changed_at}', "
                     f"'{{\"step\":\"{number}\"}}')" for number in range(2100))
    world.daemon.store.rows("INSERT INTO volume_operation_history "
                            f"(id, operation_id, previous_status, new_status, changed_at, details) VALUES {rows}")
    world.daemon.start().wait_healthy()
    history = history_pages(world, operation, 1000)
    assert len(history) > 2100 and history == history_pages(world, operation, 999)
    assert {str(number) for number in range(2100)} < {row.get("step") for row in history}
    assert history[-1]["new_status"] == "completed"
    assert json.loads(world.daemon.ctl("history", operation, "--json").stdout) == history
    following = history[history.index(begin):]
    assert {row["asked_by"] for row in following} == {begin["asked_by"]}
