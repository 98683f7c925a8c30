# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tokens over REST: who shows one is known by it, and may do what it allows."""

import re

import pytest
from support.py import shapes, stores
from support.py.secrecy import everything_said
from support.py.streams import Stream


def show(token):
    return {"Authorization": f"Bearer {token}"}


def make(world, name, scope):
    """As an administrator does it."""
    return world.daemon.ctl_json("token", "create", name, "--scope", scope)["token"]


@pytest.mark.parametrize("scope, may_change, may_administer", [
    ("read", False, False), ("change", True, False), ("admin", True, True)])
def test_what_a_scope_allows(world, scope, may_change, may_administer):
    token = make(world, "ci", scope)
    volume = world.volume()
    assert world.daemon.rest("GET", f"/api/v1/volumes/{volume}", headers=show(token)).status == 200
    for path, may in ((f"/api/v1/volumes/{volume}/detach", may_change),
                      ("/api/v1/admin/force-sync", may_administer)):
        answer = world.daemon.rest("POST", path, "", show(token))
        if may:
            assert answer.status in (200, 201), answer
        else:
            assert answer.status == 403, answer
            assert shapes.ERROR.check(answer.json)["code"] == "FORBIDDEN"
            assert f'"{scope}"' in answer.json["error"]


def test_the_history_names_the_token(world):
    token = make(world, "ci", "change")
    volume, _ = world.attached()
    answer = world.daemon.rest("POST", f"/api/v1/volumes/{volume}/detach", {}, show(token))
    record = world.daemon.completed(answer.json)
    assert record["caller"].items() >= {"surface": "rest", "token": "ci"}.items()
    history = world.daemon.get(f"/api/v1/operations/{record['id']}/history")["history"]
    assert history[0]["asked_by"].startswith("token ci, address 127.0.0.1:")
    shown = world.daemon.ctl("history", record["id"]).stdout
    assert re.search(r"^NEW STATUS +CHANGED AT +STEP +ASKED BY$", shown, re.MULTILINE), shown
    assert shown.count("token ci") == len(history)


def test_from_the_next_request_on(world):
    first, second = make(world, "a", "read"), make(world, "b", "read")
    for token in (first, second):
        assert world.daemon.rest("GET", "/health", headers=show(token)).status == 200
    assert world.daemon.ctl("token", "revoke", "a").returncode == 0
    assert world.daemon.rest("GET", "/health", headers=show(first)).status == 401
    world.daemon.stop()
    world.daemon.start()
    for token, status in ((first, 401), (second, 200), ("vold_" + "0" * 64, 401)):
        assert world.daemon.rest("GET", "/health", headers=show(token)).status == status
    assert "WWW-Authenticate" in world.daemon.rest("GET", "/health", headers=show(first)).headers
    lines = world.daemon.ctl("token", "list").stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["NAME", "SCOPE"], ["b", "read"]]
    assert "token that is not known was shown from 127.0.0.1:" in world.daemon.text


def test_streams_of_events_end_with_their_token(world):
    first, second = make(world, "a", "read"), make(world, "b", "read")
    with Stream(world.daemon, token=first) as ends, Stream(world.daemon, token=second) as stays:
        assert world.daemon.ctl("token", "revoke", "a").returncode == 0
        ends.await_end()
        stays.ended(world.daemon.create()["id"])


def test_a_token_is_said_once(world):
    token = make(world, "ci", "admin")
    again = world.daemon.rest("POST", "/api/v1/tokens", {"name": "other"}, show(token))
    assert again.status == 201 and "Location" not in again.headers
    assert world.daemon.rest("GET", "/api/v1/tokens", headers=show(token)).json["count"] == 2
    secrets = (token, again.json["token"])
    for where, text in everything_said(world):
        assert not any(secret in text for secret in secrets), where
    if stores.KIND == "mariadb":
        rows = world.daemon.store.rows("SELECT id, digest FROM volume_daemon_tokens ORDER BY id")
        assert [row[0] for row in rows] == ["ci", "other"]
        assert not any(secret in str(rows) for secret in secrets)


# ---- who shows none ----

@pytest.mark.parametrize("access, may_change", [("read", False), ("change", True)])
def test_what_loopback_allows(make_world, access, may_change):
    world = make_world(http={"loopback_access": access})
    volume = world.volume()
    assert world.daemon.rest("GET", f"/api/v1/volumes/{volume}").status == 200
    assert world.daemon.rest("POST", f"/api/v1/volumes/{volume}/detach", {}).status == (201 if may_change else 403)
    for method, path in (("POST", "/api/v1/admin/force-sync"), ("GET", "/api/v1/tokens")):
        answer = world.daemon.rest(method, path)
        assert answer.status == 403 and f'this caller has "{access}"' in answer.json["error"], answer
    token = make(world, "ci", "admin")
    assert world.daemon.rest("POST", "/api/v1/admin/force-sync", "", show(token)).status == 200
    words = f"programs with a token (every local user may {access})"
    assert world.daemon.health()["details"]["rest_access"] == words
    assert f"full access to volumes: over REST {words}" in world.daemon.text


def test_a_token_is_required(world):
    token = make(world, "ci", "change")
    world.daemon.stop()
    world.daemon.configure(http={"require_token": "yes"})
    world.daemon.start()
    for path in ("/health", "/api/v1/openapi.json", "/api/v1/volumes", "/nowhere"):
        answer = world.daemon.rest("GET", path)
        assert answer.status == 401 and answer.headers["WWW-Authenticate"] == "Bearer", answer
        assert "volumectl token create" in shapes.ERROR.check(answer.json)["error"]
    health = world.daemon.rest("GET", "/health", headers=show(token))
    assert health.status == 200 and health.json["details"]["rest_access"] == "programs with a token"
    assert world.daemon.ctl("token", "revoke", "ci").returncode == 0
    assert world.daemon.rest("GET", "/health", headers=show(token)).status == 401
