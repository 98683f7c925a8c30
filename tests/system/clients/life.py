#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A volume's life, by a program that knows nothing of the daemon but its OpenAPI document.

	life.py http://127.0.0.1:8090

It finds each path by the name of its operation, waits for ends by events and never by asking again, and prints a line
for each thing that it has done. At "ready" it lets others change the volume, and says who did.
"""

import http.client
import json
import sys
from urllib.parse import quote, urlencode, urlsplit

DOCUMENT = "/api/v1/openapi.json"
GIB = 1 << 30


class Failed(Exception):
    """An error answer: the text is for people, the code for programs."""


class Api:
    """Operations of the document by their names: api.call("volume.attach", volume_id=…, vm_id=…)."""

    def __init__(self, url):
        self._address = urlsplit(url).netloc
        document = self._ask("GET", DOCUMENT)
        self._operations = {found["operationId"]: (verb.upper(), path, found)
                            for path, verbs in document["paths"].items() for verb, found in verbs.items()}

    def call(self, name, /, **arguments):
        verb, path, found = self._operations[name]
        query = {}
        for parameter in found["parameters"]:
            if parameter["in"] == "path":
                value = str(arguments.pop(parameter["name"]))
                path = path.replace("{%s}" % parameter["name"], quote(value, safe=""))
            elif parameter["in"] == "query" and parameter["name"] in arguments:
                query[parameter["name"]] = arguments.pop(parameter["name"])
        body = json.dumps(arguments) if "requestBody" in found else None
        return self._ask(verb, path + ("?" + urlencode(query) if query else ""), body)

    def events(self):
        """Kind and data of each event from now on."""
        connection = http.client.HTTPConnection(self._address)
        connection.request("GET", self._operations["event.stream"][1], headers={"Accept": "text/event-stream"})
        return _events(connection.getresponse())

    def _ask(self, verb, target, body=None):
        connection = http.client.HTTPConnection(self._address)
        try:
            connection.request(verb, target, body, {"Content-Type": "application/json"} if body else {})
            answer = connection.getresponse()
            value = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status >= 400:
            raise Failed(f"{verb} {target}: {value['error']} ({value['code']})")
        return value


def _events(stream):
    kind = data = ""
    for line in stream:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            data += value
        elif not name and data:
            yield kind, json.loads(data)
            kind = data = ""


def end_of(events, fits):
    """The operation that fits, when it has ended."""
    for kind, data in events:
        if kind == "resync":
            raise Failed("events are missing")
        if kind == "operation" and data["change"] == "ended" and fits(data["operation"]):
            if data["operation"]["status"] != "completed":
                raise Failed(data["operation"]["error"])
            return data["operation"]
    raise Failed("the stream of events has ended")


def live(api):
    events, own = api.events(), set()

    def change(name, /, **arguments):
        operation = api.call(name, **arguments)
        own.add(operation["id"])
        return end_of(events, lambda ended: ended["id"] == operation["id"])["response"]

    def say(*words):
        print(*words, flush=True)

    offering = next(o for o in api.call("offering.list")["offerings"] if o["size"] == 0)
    here = next(vm for vm in api.call("vm.list")["vms"] if vm["is_appliance"])
    zone = api.call("zone.list")["zones"][0]
    volume = change("volume.create", name="life", size=GIB, disk_offering_id=offering["id"],
                    zone_id=zone["id"])["volume_id"]
    say("created", volume)
    say("attached", change("volume.attach", volume_id=volume, vm_id=here["id"])["device_path"])
    say("device", api.call("volume.device", volume_id=volume)["device_path"])
    export = api.call("export.get", volume_id=volume)
    say("export", export["export_name"], export["port"])
    say("resized", change("volume.resize", volume_id=volume, size=2 * GIB)["size"])

    say("ready")
    other = end_of(events, lambda ended: ended["volume_id"] == volume and ended["id"] not in own)
    first = api.call("operation.history", operation_id=other["id"])["history"][0]
    say("changed", other["type"], first["caller"]["surface"], first["asked_by"])

    say("detached", change("volume.detach", volume_id=volume)["device_path"])
    say("deleted", change("volume.delete", volume_id=volume)["volume_id"])


if __name__ == "__main__":
    try:
        live(Api(sys.argv[1]))
    except Failed as error:
        sys.exit(f"life.py: {error}")
