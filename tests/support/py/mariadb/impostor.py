# SPDX-License-Identifier: LGPL-2.1-or-later
"""A program that listens where the database should, and asks for the password in a way of its choice.

It greets like a MariaDB, takes the login, and then asks the client to prove itself by another plugin.
All that a client sent is kept: before the login, in it, and after the question.
"""

import socket
import ssl
import struct
import threading

from ..waiting import DEADLINE

# long password, connect with database, protocol 4.1, transactions, secure connection, plugins,
# attributes, long authentication data
OFFER = 0x1 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x80000 | 0x100000 | 0x200000
TLS = 0x800


def greeting(offer):
    return (b"\x0a5.5.5-10.11.0-MariaDB\0" + struct.pack("<I", 7) + b"saltsalt\0"
            + struct.pack("<HBHHB", offer & 0xffff, 0x21, 2, offer >> 16, 21) + bytes(10)
            + b"saltsaltsalt\0" + b"mysql_native_password\0")


class Impostor:
    """`plugin`: what it asks for. `certificates`: a folder with cert.pem and key.pem if it offers
    TLS."""

    def __init__(self, plugin, certificates=None):
        self._plugin, self._tls = plugin, None
        if certificates:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.logins, self.answers = [], []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(DEADLINE)

    def _serve(self):
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            try:
                self._talk(client)
            except (OSError, EOFError):
                client.close()

    @staticmethod
    def _send(client, number, payload):
        client.sendall(struct.pack("<I", len(payload))[:3] + bytes([number]) + payload)

    @staticmethod
    def _read(client, count):
        """No more than that: what comes next may be for the TLS."""
        data = b""
        while len(data) < count:
            if not (part := client.recv(count - len(data))):
                raise EOFError
            data += part
        return data

    def _login(self, client):
        """A packet's number and content. A client that goes away before it is no login."""
        header = self._read(client, 4)
        return header[3], self._read(client, struct.unpack("<I", header[:3] + b"\0")[0])

    def _talk(self, client):
        self._send(client, 0, greeting(OFFER | (TLS if self._tls else 0)))
        number, body = self._login(client)
        if self._tls:
            client = self._tls.wrap_socket(client, server_side=True)
            number, body = self._login(client)
        self.logins.append(body)
        self._send(client, number + 1, b"\xfe" + self._plugin.encode() + b"\0" + b"s" * 20 + b"\0")
        answer = b""
        while data := client.recv(65536):
            answer += data
            # More of the same is asked for, or a key is given: whatever comes is kept.
            self._send(client, data[3] + 1, b"\x01\x04")
        self.answers.append(answer)
        client.close()
