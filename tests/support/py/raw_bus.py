# SPDX-License-Identifier: LGPL-2.1-or-later
"""Callers on the bus that do what no library does: D-Bus messages as bytes."""

import os
import socket
import struct
from contextlib import contextmanager

from .harness import DEADLINE, MANAGER, NAME, ROOT

SIGNATURE = {1: "o", 2: "s", 3: "s", 6: "s", 8: "g", 9: "u"}   # of the fields of a message's head


def padded(data, boundary=8):
    return data + bytes(-len(data) % boundary)


def field(number, content):
    """A field of a head: its number and a variant, whose value begins at a multiple of 4."""
    kind = SIGNATURE[number]
    start = bytes([number, 1]) + kind.encode() + b"\0"
    if kind == "u":
        return start + struct.pack("<I", content)
    text = content.encode()
    length = bytes([len(text)]) if kind == "g" else struct.pack("<I", len(text))
    return start + length + text + b"\0"


def call(serial, fields, body=b""):
    """The bytes of a method call; fields by their numbers in the D-Bus specification."""
    head = b""
    for number, content in fields.items():
        head = padded(head) + field(number, content)
    return padded(b"l\1\0\1" + struct.pack("<III", len(body), serial, len(head)) + head) + body


def text_of(content):
    """A string as an argument."""
    data = content.encode()
    return struct.pack("<I", len(data)) + data + b"\0"


@contextmanager
def as_user(user):
    """The kernel notes this user for sockets that are connected now. Only root becomes others."""
    before = os.geteuid()
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(before)


class Sender:
    """A connection to the bus, perhaps of another user, that may put descriptors beside messages in which no argument
    is one."""

    def __init__(self, bus, user=None):
        user = os.getuid() if user is None else user
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(DEADLINE)
        with as_user(user):
            self.socket.connect("\0" + bus.address.removeprefix("unix:abstract="))
        self.socket.sendall(b"\0AUTH EXTERNAL " + str(user).encode().hex().encode() + b"\r\n")
        self._line(b"OK")
        self.socket.sendall(b"NEGOTIATE_UNIX_FD\r\n")
        self._line(b"AGREE_UNIX_FD")
        self.socket.sendall(b"BEGIN\r\n" + call(1, {
            1: "/org/freedesktop/DBus", 2: "org.freedesktop.DBus", 3: "Hello", 6: "org.freedesktop.DBus"}))
        self.serial = 1
        self.await_text(b"NameAcquired")

    def _line(self, word):
        line = b""
        while not line.endswith(b"\r\n"):
            line += self.socket.recv(1)
        assert line.startswith(word), line

    def await_text(self, text):
        """Until it stands in an answer: the daemon has seen all that was sent before."""
        seen = b""
        while text not in seen:
            seen += self.socket.recv(65536)

    def await_texts(self, text, count):
        """Until it stands in the answers so many times; how many times it does."""
        seen = b""
        while seen.count(text) < count:
            seen += self.socket.recv(65536)
        return seen.count(text)

    def await_bus(self):
        """Until the bus has passed on all that was sent; it takes no descriptors of several messages at once."""
        self.serial += 1
        self.socket.sendall(call(self.serial, {
            1: "/org/freedesktop/DBus", 2: "org.freedesktop.DBus", 3: "GetId", 6: "org.freedesktop.DBus"}))
        self.await_text(b"org.freedesktop.DBus")

    def own(self, name):
        """Take a name; what is sent to it stays unread."""
        self.serial += 1
        self.socket.sendall(call(self.serial, {
            1: "/org/freedesktop/DBus", 2: "org.freedesktop.DBus", 3: "RequestName", 6: "org.freedesktop.DBus",
            8: "su"}, padded(text_of(name), 4) + struct.pack("<I", 0)))
        self.await_text(b"NameAcquired")

    def has_answer(self):
        """True if something has come that was not read."""
        self.socket.setblocking(False)
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False
        finally:
            self.socket.settimeout(DEADLINE)

    def close(self):
        self.socket.close()

    def send(self, member, signature="", body=b"", descriptors=()):
        self.serial += 1
        fields = {1: ROOT, 2: MANAGER, 3: member, 6: NAME, 8: signature, 9: len(descriptors)}
        fields = {number: content for number, content in fields.items() if content}
        socket.send_fds(self.socket, [call(self.serial, fields, body)], descriptors)
