# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the signals of objects have to keep to, whatever a test is about.

A client that keeps the properties of all objects (GDBusObjectManagerClient, python-sdbus, zbus)
lives on InterfacesAdded and PropertiesChanged alone. It is told a value once and never again while
the value stays; it is told no property that the interface does not declare; and when it hears of
the end of an operation, its copy shows that end. Every Monitor checks that of all that passed.
"""

from functools import cache
from pathlib import Path
from xml.etree import ElementTree

from . import shapes

TOP = Path(__file__).resolve().parents[3]
NAME = "org.migratekit.VolumeDaemon1"
DETAILS = {"OperationCompleted": shapes.OPERATION, "MappingChanged": shapes.MAPPING,
           "DeviceAdded": shapes.DEVICE, "DeviceRemoved": shapes.DEVICE}


@cache
def declared(interface):
    """The properties of an interface, and whether each may change."""
    root = ElementTree.parse(TOP / f"dbus/{interface}.xml").getroot()
    return {node.get("name"): all(a.get("value") != "const" for a in node.iter("annotation"))
            for node in root.iter("property")}


class Copy:
    """The properties as a client keeps them that has heard the signals and nothing else."""

    def __init__(self):
        self.objects = {}   # by path and interface
        self.ended = set()  # paths of operations

    def hear(self, message):
        """One message, in the order of the bus."""
        if message.type != "signal":
            return
        if message.member == "NameOwnerChanged" and message.arguments[0] == NAME:
            self.objects.clear()
            self.ended.clear()
        elif message.member == "InterfacesAdded":
            path, interfaces = message.arguments
            for interface, values in interfaces.items():
                if interface.startswith(NAME):
                    assert values.keys() == declared(interface).keys(), message
                    self.objects[path, interface] = dict(values)
        elif message.member == "InterfacesRemoved":
            path, interfaces = message.arguments
            for interface in interfaces:
                self.objects.pop((path, interface), None)
        elif message.member == "PropertiesChanged" and message.arguments[0].startswith(NAME):
            self._changed(message)
        elif message.interface == f"{NAME}.Manager":
            if message.member in DETAILS:
                DETAILS[message.member].check(message.arguments[-1])
            if message.member == "OperationCompleted":
                self._ended(message)

    def _changed(self, message):
        interface, values, invalidated = message.arguments
        assert values and not invalidated, message
        assert message.path not in self.ended, f"changed after its end: {message}"
        known = self.objects.setdefault((message.path, interface), {})
        for name, value in values.items():
            assert declared(interface)[name], f"{name} is constant: {message}"
            assert name not in known or known[name] != value, f"{name} is told again: {message}"
        known.update(values)

    def _ended(self, message):
        path, operation, _, status, volume = message.arguments[:5]
        shown = self.objects.get((path, f"{NAME}.Operation"), {})
        assert shown.get("Status", status) == status, f"shown as {shown}: {message}"
        self.ended.add(path)
        of_volume = next((values for (_, interface), values in self.objects.items()
                          if interface == f"{NAME}.Volume" and values.get("VolumeId") == volume),
                         {})
        last = of_volume.get("LastOperation", {})
        if last.get("id") == operation:
            assert last["status"] == status, f"the volume shows {last}: {message}"


def check(messages):
    copy = Copy()
    for message in messages:
        copy.hear(message)
