# SPDX-License-Identifier: LGPL-2.1-or-later
"""Requests at random, made of the OpenAPI document alone.

Each argument has a value as its schema wants it, or is left out, or is rubbish of any kind; unknown arguments come
along. Of the values for ids many name what there is, so that requests get far.
"""

import json
import random
import string
from urllib.parse import quote

from hypothesis import strategies as st
from support.py import openapi

NOBODY = "00000000-0000-4000-8000-000000000000"
# A wait is a promise to wait, and a test has better things to do.
LONGEST_WAIT = 1

_texts = st.text(max_size=40)
_header_texts = st.text(string.ascii_letters + string.digits + "-._ /\"", min_size=1, max_size=40).map(str.strip).filter(len)
_times = st.datetimes(allow_imaginary=False).map(lambda time: time.isoformat(timespec="milliseconds") + "Z")
_rubbish = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3), max_leaves=6)
_OTHER_VERBS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE")
_PARTS = ("api", "v1", "volumes", "operations", "exports", "snapshots", "vm", "events", "metrics", "health", "..", ".",
          "%2F", "%00", "%zz", NOBODY, "history", "attach", "vdb", "")


class Known:
    """Stands for an id of something that there is when the request is sent."""

    def __init__(self, number):
        self.number = number

    def __repr__(self):
        return f"Known({self.number})"


_known = st.integers(0, 1000).map(Known)


def _valid(name, schema):
    if name == "wait":
        return st.integers(0, LONGEST_WAIT)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema["type"] == "integer":
        low, high = schema["minimum"], schema["maximum"]
        return st.integers(low, min(high, low + 100)) | st.integers(low, high)
    if schema["type"] == "boolean":
        return st.booleans()
    if schema["type"] == "object":
        return st.dictionaries(_texts, _rubbish, max_size=3)
    if schema.get("format") == "date-time":
        return _times
    if schema.get("format") == "uuid" or name.endswith("_id") or name == "cursor":
        return _known | st.uuids().map(str) | st.just(NOBODY)
    return st.text(min_size=schema.get("minLength", 0), max_size=min(schema.get("maxLength", 40), 40))


def arguments_of(id):
    """Arguments of a request of this operation: often right, often nearly so, sometimes none of it."""
    rows = openapi.arguments(id)
    right = {name: _valid(name, schema) for name, (_, schema, _) in rows.items()}
    must = {name: right[name] for name, (place, _, must) in rows.items() if must or place == "path"}
    other = {name: value for name, value in right.items() if name not in must}
    good = st.fixed_dictionaries(must, optional=other)
    in_path = {name: right[name] for name, (place, _, _) in rows.items() if place == "path"}
    off = st.fixed_dictionaries(
        {name: value | _texts.filter(len) for name, value in in_path.items()},
        optional={name: value | _rubbish for name, value in right.items() if name not in in_path}
        | {"colour": _rubbish})
    return good | off


def elsewhere():
    """A verb and a path that are perhaps in no document."""
    return st.tuples(st.sampled_from(_OTHER_VERBS), st.lists(st.sampled_from(_PARTS), max_size=6).map("/".join))


def written(id, values, known):
    """Verb, target, headers and body of a request with these arguments; `known` are the ids that there are."""
    plain = {name: known[value.number % len(known)] if isinstance(value, Known) else value
             for name, value in values.items()}
    headers = {}
    for name, (place, _, _) in openapi.arguments(id).items():
        if place == "header" and name in plain:
            headers[name] = _in_header(plain.pop(name))
        elif place in ("path", "query") and name in plain:
            plain[name] = _in_address(plain[name])
    verb, target, body = openapi.request(id, plain)
    return verb, target, headers, None if body is None else json.dumps(body)


def _in_address(value):
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode(errors="replace").decode()


def _in_header(value):
    """As far as a client can send it: no line ends and no letters of other alphabets."""
    return quote(_in_address(value), safe=" ").strip() or "x"


def seeds(first):
    """The first seed, then others that follow from it."""
    yield first
    more = random.Random(first)
    while True:
        yield more.getrandbits(62)
