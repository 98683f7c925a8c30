# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the signals of objects have to keep to, whatever a test is about.

A client that keeps the properties of all objects (GDBusObjectManagerClient, python-sdbus, zbus)
lives on InterfacesAdded, PropertiesChanged and InterfacesRemoved alone. It is told a value once and
never again while the value stays; it is told no property that the interface does not declare; an
object that it hears of was announced, and is announced once; when it hears of the end of an
operation, its copy shows that end; and whoever asks for all objects gets what was announced. Every
Monitor checks that of all that passed.
"""

from functools import cache
from pathlib import Path
from xml.etree import ElementTree

from . import manual, shapes

TOP = Path(__file__).resolve().parents[3]
NAME = "org.migratekit.VolumeDaemon1"
DETAILS = {"OperationCompleted": shapes.OPERATION, "MappingChanged": shapes.MAPPING,
           "DeviceAdded": shapes.DEVICE, "DeviceRemoved": shapes.DEVICE, "DeviceReady": shapes.DEVICE}


EMITS = "org.freedesktop.DBus.Property.EmitsChangedSignal"


@cache
def declared(interface):
    """The properties of an interface that are told: "true" if each change is, else "const"."""
    root = ElementTree.parse(TOP / f"dbus/{interface}.xml").getroot()
    emits = {node.get("name"): next((a.get("value") for a in node.iter("annotation")
                                     if a.get("name") == EMITS), "true")
             for node in root.iter("property")}
    return {name: value for name, value in emits.items() if value != "false"}


class Copy:
    """The properties as a client keeps them that has heard the signals and nothing else."""

    def __init__(self):
        self.objects = {}       # by path and interface
        self.announced = set()  # paths of objects that came since the daemon has its name
        self.ended = set()      # paths of operations

    def hear(self, message):
        """One message, in the order of the bus."""
        if message.type == "method_return" and message.signature == "a{oa{sa{sv}}}":
            self._listed(message.arguments[0])
        if message.type != "signal":
            return
        if message.member == "NameOwnerChanged" and message.arguments[0] == NAME:
            self.objects.clear()
            self.announced.clear()
            self.ended.clear()
        elif message.member == "InterfacesAdded":
            self._added(message)
        elif message.member == "InterfacesRemoved":
            path, interfaces = message.arguments
            for interface in interfaces:
                self.objects.pop((path, interface), None)
            self.announced.discard(path)
            self.ended.discard(path)
        elif message.member == "PropertiesChanged" and message.arguments[0].startswith(NAME):
            self._changed(message)
        elif message.interface == f"{NAME}.Manager":
            if message.member in DETAILS:
                shape = DETAILS[message.member]
                manual.check(shape.name, shape.check(message.arguments[-1]))
            if message.member in ("OperationStarted", "OperationCompleted"):
                self._named(message)
            if message.member == "OperationCompleted":
                self._ended(message)

    def _added(self, message):
        path, interfaces = message.arguments
        for interface, values in interfaces.items():
            assert values.keys() == declared(interface).keys(), message
            assert path not in self.announced, f"announced twice: {message}"
            manual.check_properties(interface, values)
            self.objects[path, interface] = dict(values)
        self.announced.add(path)

    def _listed(self, objects):
        assert self.announced <= objects.keys(), f"not listed: {self.announced - objects.keys()}"
        for path, interfaces in objects.items():
            for interface, values in interfaces.items():
                assert values.keys() == declared(interface).keys(), f"listed: {path} {values}"
                known = self.objects.setdefault((path, interface), {})
                assert known.items() <= values.items(), f"listed {values}, was told {known}"
                known.update(values)

    def _named(self, message):
        """An operation that began while the daemon has its name is an object when it is named."""
        path = message.arguments[0]
        if message.member == "OperationStarted":
            assert path in self.announced, f"it is no object: {message}"

    def _changed(self, message):
        interface, values, invalidated = message.arguments
        assert values and not invalidated, message
        if message.path in self.ended:  # but attention that it needs may be given to it
            assert values.keys() <= {"NeedsAttention", "Error", "UpdatedAt"}, \
                f"changed after its end: {message}"
        known = self.objects.setdefault((message.path, interface), {})
        for name, value in values.items():
            assert declared(interface)[name] == "true", f"{name} does not change: {message}"
            assert name not in known or known[name] != value, f"{name} is told again: {message}"
        manual.check_properties(interface, values)
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
