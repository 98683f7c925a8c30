# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the daemon says of its REST interface, and whether a reply keeps to it.

The document is the one that the program prints. Its formats are checked by us: jsonschema knows no
date-time without further packages, and would let any text pass.
"""

import json
import re
import subprocess
from datetime import datetime
from functools import cache
from urllib.parse import quote, unquote
from uuid import UUID

from jsonschema import Draft202012Validator, FormatChecker, RefResolver

from .programs import program

_formats = FormatChecker(formats=())
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@_formats.checks("date-time", raises=ValueError)
def _is_time(value):
    """RFC 3339 in UTC with milliseconds: the one form that the daemon writes."""
    return not isinstance(value, str) or bool(_TIME.fullmatch(value) and datetime.fromisoformat(value[:-1]))


@_formats.checks("uuid", raises=ValueError)
def _is_uuid(value):
    return not isinstance(value, str) or str(UUID(value)) == value


@cache
def document():
    return json.loads(subprocess.run([program("volume-daemon"), "--print-openapi"], capture_output=True,
                                     text=True, check=True).stdout)


@cache
def _paths():
    """For each template a pattern; a literal is a closer match than an argument."""
    found = [(template, re.compile(re.sub(r"{\w+}", "[^/]+", template))) for template in document()["paths"]]
    return sorted(found, key=lambda pair: pair[0].count("{"))


def operation(method, path):
    """The description of a request, or None: there is none such."""
    plain = "/".join(quote(unquote(part), safe="") for part in path.split("?")[0].split("/"))
    for template, pattern in _paths():
        if pattern.fullmatch(plain):
            return document()["paths"][template].get(method.lower())
    return None


@cache
def _validator(id, status):
    described = next(o for verbs in document()["paths"].values() for o in verbs.values() if o["operationId"] == id)
    response = described["responses"].get(str(status))
    assert response, f"{id} answers {status}, which the document does not have"
    if "$ref" in response:
        response = document()["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
    schema = response["content"]["application/json"]["schema"]
    return Draft202012Validator(schema, resolver=RefResolver("", document()), format_checker=_formats)


def check_event(name, data):
    """Assert that this event of the stream stands in the document."""
    schema = {"$ref": f"#/components/schemas/event_{name}"}
    validator = Draft202012Validator(schema, resolver=RefResolver("", document()), format_checker=_formats)
    faults = [f"{'/'.join(map(str, fault.absolute_path))}: {fault.message}" for fault in validator.iter_errors(data)]
    assert not faults, (data, faults)


def check_reply(method, path, status, body):
    """Assert that this reply to a request stands in the document."""
    described = operation(method, path)
    if not described:
        assert status in (400, 401, 403, 404, 405, 413, 421) or method in ("HEAD", "OPTIONS"), (method, path, status)
        return
    faults = [f"{'/'.join(map(str, fault.absolute_path))}: {fault.message}"
              for fault in _validator(described["operationId"], status).iter_errors(body)]
    assert not faults, (method, path, status, faults)
