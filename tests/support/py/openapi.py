# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the daemon says of its REST interface, whether a reply keeps to it, and requests that are made of it.

The document is the one that the program prints. Its formats are checked by us: jsonschema knows no
date-time without further packages, and would let any text pass.
"""

import json
import re
import subprocess
from datetime import datetime
from functools import cache
from urllib.parse import quote, unquote, urlencode
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
def described(id):
    """Verb, path and description of an operation."""
    return next((verb.upper(), path, found) for path, verbs in document()["paths"].items()
                for verb, found in verbs.items() if found["operationId"] == id)


# Statuses of answers to requests that the document does not have: another path, another verb.
_ELSEWHERE = (400, 401, 403, 404, 405, 413, 421, 429)
# Headers that no answer lacks if the document has them for its status; the others depend on the answer.
_ALWAYS = ("Location", "Retry-After", "WWW-Authenticate")


def _resolved(response):
    if "$ref" in response:
        return document()["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
    return response


@cache
def _responses(id):
    return {int(status): _resolved(response) for status, response in described(id)[2]["responses"].items()}


@cache
def _validator(schema):
    return Draft202012Validator(json.loads(schema), resolver=RefResolver("", document()), format_checker=_formats)


def faults(schema, value):
    """What is wrong with a value, in words."""
    return [f"{'/'.join(map(str, fault.absolute_path))}: {fault.message}"
            for fault in _validator(json.dumps(schema)).iter_errors(value)]


def _check(schema, value, *about):
    found = faults(schema, value)
    assert not found, (*about, value, found)


def check_event(name, data):
    """Assert that this event of the stream stands in the document."""
    _check({"$ref": f"#/components/schemas/event_{name}"}, data, name)


def check_error(status, headers, body):
    """Assert that this answer to something that is no request of the document is an error of its form."""
    assert status in _ELSEWHERE + (415, 503), (status, body)
    assert headers["Content-Type"] == "application/json", (status, headers.items())
    _check({"$ref": "#/components/schemas/error"}, json.loads(body), status)


def check_reply(method, path, status, headers, body):
    """Assert that this reply to a request stands in the document: its status, its media type, its body, and the
    headers that a client relies on. `body` is the decompressed text; None of a stream, whose events are checked one by
    one."""
    about = (method, path, status, body)
    found = operation("GET" if method == "HEAD" else method, path)
    if method == "OPTIONS" and status == 204:
        assert headers["Allow"] and not body, about
        return
    if not found:
        assert status in _ELSEWHERE, about
        assert status != 405 or headers["Allow"], about
        if method != "HEAD":
            check_error(status, headers, body)
        return
    response = _responses(found["operationId"]).get(status)
    assert response, f"{found['operationId']} answers {status}, which the document does not have: {about}"
    for name in response.get("headers", ()):
        assert headers[name] or name not in _ALWAYS, (name, about)
    media_type, content = next(iter(response["content"].items()))
    assert headers.get_content_type() == media_type, (headers["Content-Type"], about)
    if media_type == "application/json" and method != "HEAD":
        _check(content["schema"], json.loads(body), *about[:3])


# ---- requests that are made of the document ----

@cache
def arguments(id):
    """For each argument: where it stands (path, query, header or body), its schema, and whether it must be given. What
    stands in the path may be repeated in the body."""
    _, _, found = described(id)
    rows = {p["name"]: (p["in"], p["schema"], p["required"]) for p in found.get("parameters", ())}
    if "requestBody" in found:
        schema = found["requestBody"]["content"]["application/json"]["schema"]
        rows |= {name: ("body", value, name in schema["required"])
                 for name, value in schema["properties"].items() if name not in rows}
    return rows


def required(id):
    """Required arguments, without those in the path."""
    return [name for name, (place, _, must) in arguments(id).items() if must and place != "path"]


def valid_arguments(id):
    """Values for the required arguments, which name nothing that there is."""
    by_format = {"uuid": "00000000-0000-4000-8000-000000000000", "date-time": "2026-01-01T00:00:00.000Z"}
    return {name: schema["minimum"] if schema["type"] == "integer" else by_format.get(schema.get("format"), "x")
            for name, (_, schema, must) in arguments(id).items() if must}


def request(id, values):
    """Verb, target and body (None: there is none) with these arguments, the unknown ones among the others."""
    verb, path, found = described(id)
    rest = dict(values)
    for name, (place, _, _) in arguments(id).items():
        if place == "path":
            path = path.replace(f"{{{name}}}", quote(str(rest.pop(name)), safe=""))
    if "requestBody" in found:
        return verb, path, rest
    return verb, path + ("?" + urlencode(rest) if rest else ""), None
