# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each method over REST, asked wrongly. The good case of each method is in test_life.py.

A method without a row here fails. What every method must refuse, such as an argument that it does not have, is asked of
each by its description in the OpenAPI document.
"""

import json

import pytest
from cloudsim import APPLIANCE_VM, GIB, OFFERING_CUSTOM, ZONE
from support.py import openapi, shapes
from support.py.stores import any_store

from .surfaces import on_every_surface

# One world for all.
pytestmark = [any_store, pytest.mark.xdist_group("matrix")]

NOBODY = "00000000-0000-4000-8000-000000000000"
NEW = {"name": "data", "size": GIB, "disk_offering_id": OFFERING_CUSTOM, "zone_id": ZONE}
NOTE = {"volume_uuid": NOBODY, "vm_context_id": "ctx", "snapshot_id": "snap"}

# Arguments of a request, the word of the refusal, the argument at fault.
BAD = {
    "volume.create": (NEW | {"size": GIB - 1}, "INVALID_REQUEST", "size"),
    "volume.attach": ({"volume_id": NOBODY}, "INVALID_REQUEST", "vm_id"),
    "volume.attach-root": ({"volume_id": NOBODY, "vm_id": APPLIANCE_VM, "replace": "no"}, "INVALID_REQUEST", "replace"),
    "volume.detach": ({"volume_id": "data"}, "INVALID_REQUEST", "volume_id"),
    "volume.delete": ({"volume_id": NOBODY[:-1]}, "INVALID_REQUEST", "volume_id"),
    "volume.resize": ({"volume_id": NOBODY, "size": 2**46 + 1}, "INVALID_REQUEST", "size"),
    "volume.cleanup": ({"test_vm_id": NOBODY, "oma_vm_id": APPLIANCE_VM}, "INVALID_REQUEST", "volume_id"),
    "volume.list": ({"limit": 1001}, "INVALID_REQUEST", "limit"),
    "volume.get": ({"volume_id": NOBODY}, "NOT_FOUND", None),
    "volume.device": ({"volume_id": NOBODY}, "NOT_FOUND", None),
    "volume.users": ({"volume_id": NOBODY}, "NOT_FOUND", None),
    "volume.forget": ({"volume_id": NOBODY}, "NOT_FOUND", None),
    "volume.snapshot": ({"volume_id": NOBODY, "name": ""}, "INVALID_REQUEST", "name"),
    "volume.snapshots": ({"volume_id": NOBODY}, "NOT_FOUND", None),
    "volume.revert": ({"id": NOBODY}, "NOT_FOUND", None),
    "volume.delete-snapshot": ({"id": NOBODY}, "NOT_FOUND", None),
    "vm.volumes": ({"vm_id": APPLIANCE_VM, "type": "tape"}, "INVALID_REQUEST", "type"),
    "vm.list": ({"limit": 0}, "INVALID_REQUEST", "limit"),
    "offering.list": ({"name": "x" * 256}, "INVALID_REQUEST", "name"),
    "zone.list": ({"cursor": "x" * 256}, "INVALID_REQUEST", "cursor"),
    "right.list": ({"colour": "red"}, "INVALID_REQUEST", "colour"),
    "mapping.list": ({"colour": "red"}, "INVALID_REQUEST", "colour"),
    "device.list": ({"colour": "red"}, "INVALID_REQUEST", "colour"),
    "device.volume": ({"device": "vdz"}, "NOT_FOUND", None),
    "export.create": ({"volume_id": NOBODY, "disk_number": -1}, "INVALID_REQUEST", "disk_number"),
    "export.list": ({"volume_id": "data"}, "INVALID_REQUEST", "volume_id"),
    "export.get": ({"volume_id": NOBODY}, "NOT_FOUND", None),
    "export.delete": ({"volume_id": NOBODY, "force": "perhaps"}, "INVALID_REQUEST", "force"),
    "export.validate": ({"colour": "red"}, "INVALID_REQUEST", "colour"),
    "export.cleanup": ({"dry_run": "no"}, "INVALID_REQUEST", "dry_run"),
    "export.cleanup-age": ({"max_age_hours": 0}, "INVALID_REQUEST", "max_age_hours"),
    "export.orphans": ({"colour": "red"}, "INVALID_REQUEST", "colour"),
    "snapshot.track": (NOTE, "NOT_FOUND", None),
    "snapshot.list": ({"vm_context_id": "x" * 65}, "INVALID_REQUEST", "vm_context_id"),
    "snapshot.update": ({"id": NOBODY}, "NOT_FOUND", None),
    "snapshot.untrack": ({"vm_context_id": "x" * 65}, "INVALID_REQUEST", "vm_context_id"),
    "operation.list": ({"since": "yesterday"}, "INVALID_REQUEST", "since"),
    "operation.get": ({"operation_id": f"op-{NOBODY}"}, "NOT_FOUND", None),
    "operation.history": ({"operation_id": f"op-{NOBODY}"}, "NOT_FOUND", None),
    "operation.cancel": ({"operation_id": f"op-{NOBODY}"}, "NOT_FOUND", None),
    "operation.resolve": ({"operation_id": f"op-{NOBODY}", "as": "done"}, "NOT_FOUND", None),
    "token.create": ({"name": "a b"}, "INVALID_REQUEST", "name"),
    "token.list": ({"colour": "red"}, "INVALID_REQUEST", "colour"),
    "token.revoke": ({"name": "nobody"}, "NOT_FOUND", None),
    "admin.force-sync": ({"dry_run": 1}, "INVALID_REQUEST", "dry_run"),
    "admin.pause": ({}, "INVALID_REQUEST", "reason"),
    "admin.reload": ({"colour": "red"}, "INVALID_REQUEST", "colour"),
    "admin.resume": ({"reason": 7}, "INVALID_REQUEST", "reason"),
    "health.get": ({"colour": "red"}, "INVALID_REQUEST", "colour"),
    "metrics.get": ({"colour": "red"}, "INVALID_REQUEST", "colour"),
}


@pytest.fixture
def daemon(shared_world):
    """What is refused has changed nothing."""
    yield shared_world.daemon
    assert shared_world.daemon.get("/api/v1/operations") == shared_world.daemon.get("/api/v1/tokens")["tokens"] == []
    assert shared_world.daemon.health()["status"] == "healthy"


def refused(answer, status, word, field=None):
    error = shapes.ERROR.check(answer.json)
    assert (answer.status, error["code"], error.get("details", {}).get("field")) == (status, word, field), error


@pytest.mark.parametrize("name", on_every_surface())
def test_what_each_method_refuses(daemon, name):
    arguments, word, field = BAD[name]
    refused(daemon.rest(*openapi.request(name, arguments)), shapes.STATUS_OF[word], word, field)


@pytest.mark.parametrize("name", on_every_surface())
def test_each_method_names_an_argument_that_it_does_not_have(daemon, name):
    arguments = openapi.valid_arguments(name) | {"colour": "red"}
    refused(daemon.rest(*openapi.request(name, arguments)), 400, "INVALID_REQUEST", "colour")


@pytest.mark.parametrize("name", [name for name in on_every_surface() if openapi.required(name)])
def test_each_method_names_an_argument_that_is_missing(daemon, name):
    for missing in openapi.required(name):
        arguments = openapi.valid_arguments(name)
        del arguments[missing]
        refused(daemon.rest(*openapi.request(name, arguments)), 400, "INVALID_REQUEST", missing)


@pytest.mark.parametrize("path", openapi.document()["paths"])
def test_each_path_names_its_verbs(daemon, path):
    verbs = {verb.upper() for verb in openapi.document()["paths"][path]}
    target = path.replace("{", "").replace("}", "")
    for verb in ("GET", "POST", "PUT", "DELETE", "PATCH"):
        if verb not in verbs:
            answer = daemon.rest(verb, target)
            refused(answer, 405, "METHOD_NOT_ALLOWED")
            allowed = set(answer.headers["Allow"].split(", ")) - {"HEAD", "OPTIONS"}
            # A template and a literal of the same form are one path for the daemon.
            assert verbs <= allowed and verb not in allowed, (verb, path, allowed)


def test_bodies_that_are_no_object(daemon):
    for name, method in on_every_surface().items():
        if method.verb not in ("POST", "PUT"):
            continue
        verb, path, _ = openapi.request(name, openapi.valid_arguments(name))
        for body in ("[]", "7", "null", json.dumps("text"), "{", "\xff"):
            answer = daemon.rest(verb, path, body.encode("latin-1"))
            assert answer.status == 400 and answer.json["code"] == "INVALID_REQUEST", (name, body, answer)
