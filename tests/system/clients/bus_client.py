#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client of the bus in Python, written with nothing but the interface XML and org.migratekit.VolumeDaemon1(5).

    bus_client.py INTERFACES attach VOLUME VM     prints the device
    bus_client.py INTERFACES detach VOLUME
    bus_client.py INTERFACES uri VOLUME           prints where the volume is served

INTERFACES is the folder of the XML. An operation that fails prints the name of its error and why, and the status is 1.
"""

import asyncio
import os
import sys

from dbus_next import BusType, DBusError
from dbus_next.aio import MessageBus
from dbus_next.introspection import Node

NAME = "org.migratekit.VolumeDaemon1"
ROOT = "/org/migratekit/VolumeDaemon1"


class Client:
    def __init__(self, bus, folder):
        self._bus, self._folder = bus, folder
        self._completed = {}        # path -> what was told of its end
        self._changed = asyncio.Event()

    def interface(self, path, word):
        with open(os.path.join(self._folder, f"{NAME}.{word}.xml"), encoding="utf-8") as file:
            node = Node.parse(file.read())
        return self._bus.get_proxy_object(NAME, path, node).get_interface(f"{NAME}.{word}")

    async def open(self):
        self.manager = self.interface(ROOT, "Manager")
        self.manager.on_operation_completed(self._on_completed)
        node = await self._bus.introspect("org.freedesktop.DBus", "/org/freedesktop/DBus")
        bus = self._bus.get_proxy_object("org.freedesktop.DBus", "/org/freedesktop/DBus", node)
        bus.get_interface("org.freedesktop.DBus").on_name_owner_changed(self._on_owner)
        return self

    def _on_completed(self, path, _id, kind, status, _volume_id, device_path, details):
        plain = {name: value.value for name, value in details.items()}
        self._completed[path] = (kind, status, device_path, plain.get("error_code"), plain.get("error"))
        self._changed.set()

    def _on_owner(self, name, _old, _new):
        if name == NAME:
            self._changed.set()

    async def _look(self, path):
        """An operation as it is, after what the daemon told may have been missed."""
        shown = self.interface(path, "Operation")
        try:
            status = await shown.get_status()
            if status not in ("completed", "failed", "cancelled"):
                return None
            response = await shown.get_response()
            device = response["device_path"].value if "device_path" in response else ""
            return (await shown.get_type(), status, device, await shown.get_error_code(), await shown.get_error())
        except DBusError:
            return None     # it is not back yet

    async def end_of(self, path):
        while path not in self._completed:
            await self._changed.wait()
            self._changed.clear()
            if path not in self._completed and (found := await self._look(path)):
                self._completed[path] = found
        return self._completed[path]

    async def change(self, call):
        kind, status, device, code, error = await self.end_of(await call)
        if status != "completed":
            print(f"{code}: {error}", file=sys.stderr)
            return 1
        if kind == "attach":
            print(device)
        return 0


async def main(folder, word, *arguments):
    client = await Client(await MessageBus(bus_type=BusType.SYSTEM).connect(), folder).open()
    try:
        if word == "uri":
            print((await client.manager.call_get_export(*arguments))["uri"].value)
            return 0
        return await client.change({"attach": client.manager.call_attach_volume,
                                    "detach": client.manager.call_detach_volume}[word](*arguments, {}))
    except DBusError as error:
        print(f"{error.type}: {error.text}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
