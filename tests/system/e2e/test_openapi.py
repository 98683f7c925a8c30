# SPDX-License-Identifier: LGPL-2.1-or-later
"""The OpenAPI document. That replies keep to it is checked at each request that a test makes: support/py/openapi.py."""

import json
import os
import re
import shutil
import subprocess

import pytest
from support.py import openapi
from support.py.harness import TOP
from support.py.npm import NODE_NEEDED, node_version, npm_program
from support.py.programs import program
from support.py.stores import any_store

from .surfaces import on_every_surface

pytestmark = any_store

PATH = "/api/v1/openapi.json"
IGNORED = TOP / "tests/npm/.redocly.lint-ignore.yaml"


# The documented interface: what clients may rely on, whatever the table of methods becomes.
INTERFACE = """
GET /
GET /page.css
GET /page.js
GET /health
GET /api/v1/health
GET,POST /api/v1/volumes
GET,DELETE /api/v1/volumes/{}
POST /api/v1/volumes/{}/attach
POST /api/v1/volumes/{}/attach-root
POST /api/v1/volumes/{}/detach
POST /api/v1/volumes/{}/resize
POST /api/v1/volumes/{}/forget
GET /api/v1/volumes/{}/device
GET /api/v1/volumes/{}/users
GET,POST /api/v1/volumes/{}/snapshots
GET /api/v1/devices
GET /api/v1/devices/{}/volume
GET /api/v1/mappings
GET /api/v1/vms
GET /api/v1/vms/{}/volumes
GET /api/v1/offerings
GET /api/v1/zones
GET /api/v1/rights
GET /api/v1/operations
GET /api/v1/operations/{}
GET /api/v1/operations/{}/history
POST /api/v1/operations/{}/cancel
POST /api/v1/operations/{}/resolve
POST /api/v1/cleanup/test-failover
GET,POST /api/v1/exports
GET,DELETE /api/v1/exports/{}
POST /api/v1/exports/validate
POST /api/v1/exports/cleanup
POST /api/v1/exports/cleanup/age
GET /api/v1/exports/orphaned/count
PUT,DELETE /api/v1/snapshots/{}
POST /api/v1/snapshots/{}/revert
POST /api/v1/snapshots/track
GET,DELETE /api/v1/snapshots/vm/{}
GET,POST /api/v1/tokens
DELETE /api/v1/tokens/{}
POST /api/v1/admin/force-sync
POST /api/v1/admin/pause
POST /api/v1/admin/reload
POST /api/v1/admin/resume
GET /api/v1/metrics
GET /metrics
GET /api/v1/events
GET /api/v1/openapi.json
"""


@pytest.fixture(scope="module")
def daemon(shared_world):
    return shared_world.daemon


def test_the_document_is_served_as_it_is_printed(daemon):
    answer = daemon.rest("GET", PATH)
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/json"
    assert answer.json == openapi.document()


@pytest.mark.parametrize("verb, path, status", [
    ("POST", PATH, 405), ("OPTIONS", PATH, 204), ("GET", f"{PATH}?a=b", 400), ("GET", f"{PATH}/", 404),
    ("GET", "/api/v1/openapi", 404), ("GET", "/api/v1/openapi.jso", 404), ("GET", "/api/v1/openapi.json2", 404),
])
def test_other_requests_of_its_path(daemon, verb, path, status):
    answer = daemon.rest(verb, path)
    assert answer.status == status
    assert status not in (405, 204) or answer.headers["Allow"] == "GET, HEAD, OPTIONS"


def test_a_head_request_tells_its_length(daemon):
    assert int(daemon.rest("HEAD", PATH).headers["Content-Length"]) == len(daemon.rest("GET", PATH).body)


def test_it_has_each_method_and_nothing_else():
    found = {o["operationId"] for verbs in openapi.document()["paths"].values() for o in verbs.values()}
    assert found == {*on_every_surface(), "health.get.alias", "document.openapi", "event.stream", "metrics.prometheus",
                     "page.status", "page.style", "page.script"}


def test_it_has_the_documented_interface_and_nothing_else():
    wanted = {(verb, path) for line in INTERFACE.split("\n") if line
              for verbs, path in [line.split()] for verb in verbs.split(",")}
    assert wanted == {(verb.upper(), re.sub("{[^}]*}", "{}", path))
                      for path, verbs in openapi.document()["paths"].items() for verb in verbs}


def test_each_argument_of_a_path_is_described():
    for path, verbs in openapi.document()["paths"].items():
        for described in verbs.values():
            in_path = [p["name"] for p in described.get("parameters", ()) if p["in"] == "path"]
            assert in_path == [part[1:-1] for part in path.split("/") if part.startswith("{")]


@pytest.mark.skipif(node_version() < NODE_NEEDED, reason=f"the linter needs Node.js {NODE_NEEDED}")
def test_a_linter_finds_nothing(tmp_path):
    file = tmp_path / "openapi.json"
    file.write_text(subprocess.run([program("volume-daemon"), "--print-openapi"], capture_output=True, text=True,
                                   check=True).stdout)
    shutil.copy(IGNORED, tmp_path)
    done = subprocess.run(
        [npm_program("redocly"), "lint", "--extends", "recommended-strict", "--format", "json", file], cwd=tmp_path,
        env={**os.environ, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"},
        capture_output=True, text=True)
    report = json.loads(done.stdout[done.stdout.index("{"):])
    assert report["problems"] == [], done.stdout
    # What is ignored and does not occur any more must not stay in the list.
    assert report["totals"]["ignored"] == IGNORED.read_text().count("    - "), done.stdout
