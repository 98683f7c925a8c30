#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Names on D-Bus that code generators can make code of.

Generators make identifiers of the names of members and arguments. Some of them (gdbus-codegen, sdbus-c++-xml2cpp,
qdbusxml2cpp) run in tests/system/generated; for others, which need a Java or Rust toolchain, the rules stand here, as
their generators were seen to break: dbus-java's InterfaceCodeGenerator and zbus_xmlgen. Use: generators.py XML...
"""

import collections
import re
import sys
from xml.etree import ElementTree

JAVA_KEYWORDS = set("""abstract assert boolean break byte case catch char class const continue default do double else enum
    extends final finally float for goto if implements import instanceof int interface long native new package private
    protected public return short static strictfp super switch synchronized this throw throws transient try void volatile
    while true false null""".split())
# A signal becomes a class that is a Message, and has a getter for each argument.
JAVA_MESSAGE = set("""type path interface name source destination serial replyserial flags sig parameters headers class
    filedescriptors endianess wiredata""".split())
# A method becomes a method of an object.
JAVA_OBJECT = set("wait notify notifyAll getClass hashCode toString clone finalize equals".split())
# Every other Rust keyword gets a trailing underscore.
RUST_WORDS = {"self", "super", "crate"}
# A proxy has these functions of its own.
RUST_PROXY = {"new", "builder", "inner", "into_inner"}
CXX_KEYWORDS = set("""alignas alignof and asm auto bool break case catch char class concept const constexpr continue
    decltype default delete do double else enum explicit export extern false float for friend goto if inline int long
    mutable namespace new noexcept not nullptr operator or private protected public register requires return short signed
    sizeof static struct switch template this throw true try typedef typeid typename union unsigned using virtual void
    volatile while xor""".split())
# The accessor of a property of a Qt interface would hide one of these.
QT_INTERFACE = set("""parent objectName children property path interface service connection lastError timeout isValid
    event thread""".split())


def snake(name):
    """As zbus_xmlgen does it: ListVMs is list_vms, ListVolumesOfVM is list_volumes_of_vm."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z](?!$))", "_", name).lower()


def lower(name):
    return name[0].lower() + name[1:]


def names(interface, kind):
    return [node.get("name") for node in interface.findall(kind)]


def of_java(interface):
    for signal in interface.findall("signal"):
        for argument in names(signal, "arg"):
            if argument.replace("_", "").lower() in JAVA_MESSAGE:
                yield f"dbus-java: argument {argument} of signal {signal.get('name')} is a getter of Message"
    for method in names(interface, "method"):
        if lower(method) in JAVA_KEYWORDS | JAVA_OBJECT:
            yield f"dbus-java: method {method}"
        if method.removeprefix("Get") in names(interface, "property") and method.startswith("Get"):
            yield f"dbus-java: method {method} is the getter of a property, too"
    for argument in names(interface, "*/arg"):
        if argument in JAVA_KEYWORDS:
            yield f"dbus-java: argument {argument}"
    last = interface.get("name").rsplit(".", 1)[1]
    if last in names(interface, "signal"):
        yield f"dbus-java: signal {last} is a class in the interface of this name"


def of_zbus(interface):
    functions = collections.Counter(snake(name) for kind in ("method", "property") for name in names(interface, kind))
    for name in names(interface, "property"):
        functions.update((f"cached_{snake(name)}", f"receive_{snake(name)}_changed"))
    functions.update(f"receive_{snake(name)}" for name in names(interface, "signal"))
    for name, count in functions.items():
        if count > 1 or name in RUST_PROXY | RUST_WORDS:
            yield f"zbus: function {name}, {count} times"
    for argument in names(interface, "*/arg"):
        if argument in RUST_WORDS:
            yield f"zbus: argument {argument}"


def of_cxx(interface):
    both = set(names(interface, "method")) & set(names(interface, "property"))
    for name in sorted(both):
        yield f"sdbus-c++: {name} is a method and a property"
    for node in interface.findall("method/arg[@direction='in']") + interface.findall("signal/arg"):
        if node.get("name") in CXX_KEYWORDS:
            yield f"C++: argument {node.get('name')}"
    for name in names(interface, "property"):
        if lower(name) in QT_INTERFACE:
            yield f"Qt: property {name}"
    for node in interface.findall("*/arg"):
        if not re.fullmatch("[a-z][a-z0-9_]*", node.get("name") or ""):
            yield f"an argument has the name {node.get('name')}"


def of_types(interface, types):
    """A typed client reads a quantity in one way: a name has one type wherever it stands. The lists and objects that
    answers hold are named after their things, and properties after their fields."""
    for node in interface.findall("*/arg") + interface.findall("property"):
        name = snake(node.get("name"))
        if node.get("type")[0] in "aoh":
            continue
        first = types.setdefault(name, (node.get("type"), interface.get("name")))
        if first[0] != node.get("type"):
            yield f"{name} is {node.get('type')} here and {first[0]} in {first[1]}"


def main(paths):
    found, types = [], {}
    for path in paths:
        for interface in ElementTree.parse(path).getroot().iter("interface"):
            for rule in (of_java, of_zbus, of_cxx):
                found += [f"{interface.get('name')}: {text}" for text in rule(interface)]
            found += [f"{interface.get('name')}: {text}" for text in of_types(interface, types)]
    print("\n".join(found))
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
