# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes data/doc/API_REFERENCE.md of what the programs say of themselves.

The methods with their arguments, answers and examples are those of the OpenAPI document, the names on D-Bus those of the
introspection data, the commands those of `volumectl help`. The three come from one table, in which each method has a
sentence of its own; by this sentence they find each other here.
"""

import json
import re
import subprocess
import xml.etree.ElementTree as ElementTree

from support.py import openapi
from support.py.programs import program

MANAGER = "org.migratekit.VolumeDaemon1.Manager"
DOC_STRING = "org.gtk.GDBus.DocString"

_HEAD = """\
# API reference

Every method of the daemon, over REST, on D-Bus and in `volumectl`. This file is made of the daemon's own description:
the test that compares both writes it anew. The examples are answers that the daemon has given; a test compares them,
too. [USING.md](USING.md) explains what the methods do, and [TROUBLESHOOTING.md](TROUBLESHOOTING.md) each error.

- **REST.** Arguments stand in the path, in the query of a `GET` or `DELETE`, or in a JSON object in the body. The
  addresses are those of the default configuration: `http://127.0.0.1:8090`. A change answers `201` with its operation.
  For programs: `GET /api/v1/openapi.json`.
- **D-Bus.** The methods of `org.migratekit.VolumeDaemon1.Manager` at `/org/migratekit/VolumeDaemon1`. Arguments in
  brackets are keys of the dictionary `options`. The manual page org.migratekit.VolumeDaemon1(5) has the signals, the
  properties of objects and all dictionaries.
- **`volumectl`.** `volumectl help COMMAND` lists the arguments of a command.

Each request can get each error of the [last section](#errors); a method names none of its own.
"""


def _said_by(name, *arguments):
    return subprocess.run([program(name), *arguments], capture_output=True, text=True, check=True).stdout


def _bus_methods():
    """For each summary the member, as "Name(arguments) → results", and its arguments."""
    found = {}
    for method in ElementTree.fromstring(_said_by("volume-daemon", "--introspect", MANAGER)).iter("method"):
        summary = next(note.get("value") for note in method.iter("annotation") if note.get("name") == DOC_STRING)
        arguments = {"in": [], "out": []}
        for argument in method.iter("arg"):
            arguments[argument.get("direction")].append(f"{argument.get('type')} {argument.get('name')}")
        found[summary] = f"{method.get('name')}({', '.join(arguments['in'])}) → {', '.join(arguments['out'])}"
    return found


def _commands():
    """For each summary the command of volumectl."""
    rows = re.findall(r"^  (\S+) {2,}(\S.*)$", _said_by("volumectl", "help"), re.MULTILINE)
    return {summary: name for name, summary in rows}


def _cell(text):
    return text.replace("|", "\\|")


def _type(schema):
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name})"
    if "enum" in schema:
        return " ".join(f"`{word}`" if word else "`\"\"`" for word in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if "properties" in schema:
        return ", ".join(f"`{name}`: {_type(value)}" for name, value in schema["properties"].items())
    kind = schema.get("type", "any")
    kind = schema.get("format", kind) if kind == "string" else kind
    # Bounds of the form itself, such as 2^53, say nothing.
    bounds = [schema.get(name) for name in (("minimum", "maximum") if kind == "integer" else ("minLength", "maxLength"))]
    if None not in bounds and abs(bounds[1]) < 1 << 53:
        kind += f", {bounds[0]} to {bounds[1]}" + ("" if kind.startswith("integer") else " characters")
    return kind


def _arguments(id):
    found = openapi.arguments(id)
    if not found:
        return
    yield from ("", "| argument | place | type | meaning |", "|---|---|---|---|")
    for name, (place, schema, must) in found.items():
        yield (f"| `{name}`{', required' if must else ''} | {place} | {_type(schema)} "
               f"| {_cell(schema.get('description', ''))} |")


def _json(value):
    yield from ("", "```json", *json.dumps(value, indent=2, ensure_ascii=False).splitlines(), "```")


def _answers(found):
    """The statuses of success, each with the form of its body, and the example."""
    for status, response in found["responses"].items():
        if "$ref" in response:
            continue
        media, content = next(iter(response.get("content", {"": {}}).items()))
        form = _type(content["schema"]) if content.get("schema") and media == "application/json" else f"`{media}`"
        yield from ("", f"**{status}** ({form}): {response['description']}")
        if "example" in content and media == "application/json":
            yield from _json(content["example"])


def _request(found):
    content = found.get("requestBody", {}).get("content", {}).get("application/json", {})
    if content.get("example"):
        yield from ("", "Body:", *_json(content["example"]))


def _method(verb, path, found, members, commands):
    summary = found["summary"]
    yield from ("", f"### `{verb} {path}`", "", summary, "")
    if summary in members:
        yield f"- D-Bus: `{members[summary]}`"
    if summary in commands:
        yield f"- `volumectl {commands[summary]}`"
    yield from _arguments(found["operationId"])
    yield from _request(found)
    yield from _answers(found)


def _record(name, schema):
    yield from ("", f"### {name}", "", "| member | type | meaning |", "|---|---|---|")
    for member, value in schema.get("properties", {}).items():
        always = "" if member in schema.get("required", ()) else ", may be missing"
        yield f"| `{member}` | {_type(value)}{always} | {_cell(value.get('description', ''))} |"


def _lines():
    document = openapi.document()
    members, commands = _bus_methods(), _commands()
    methods = [(verb.upper(), path, found) for path, verbs in document["paths"].items()
               for verb, found in verbs.items()]
    yield from _HEAD.splitlines()
    for tag in document["tags"]:
        yield from ("", f"## Methods: {tag['name']}", "", tag.get("description", ""))
        for verb, path, found in methods:
            if found["tags"] == [tag["name"]]:
                yield from _method(verb, path, found, members, commands)
    yield from ("", "## Methods of D-Bus alone", "")
    told = {found["summary"] for _, _, found in methods}
    yield from (f"- `{member}`: {summary}" for summary, member in members.items() if summary not in told)
    yield from ("", "## Objects")
    for name, schema in document["components"]["schemas"].items():
        yield from _record(name, schema)
    yield from ("", "## Errors", "", "The body of an error is an [error](#error).")
    for name, response in document["components"]["responses"].items():
        yield from ("", f"### {name.removeprefix('error_')} {response['description']}")
        example = response["content"]["application/json"].get("example")
        if example:
            yield from _json(example)


def text():
    return "\n".join(line.rstrip() for line in _lines()) + "\n"
