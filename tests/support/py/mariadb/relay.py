# SPDX-License-Identifier: LGPL-2.1-or-later
"""A wire between a client and a server that can be cut, at once or when a certain statement passes.

MariaDB's packets have a length of three bytes, a number and, from the client, a command byte; a
statement that begins in a packet is looked at, nothing else is.
"""

import socket
import threading
from dataclasses import dataclass

_QUERY = 3      # COM_QUERY, whose text follows


@dataclass
class Plan:
    statement: bytes
    after: bool
    left: int
    stay: bool


class Relay:
    def __init__(self, port):
        """To a port on loopback; clients connect to `self.port`."""
        self._to = port
        self._lock = threading.Lock()
        self._pairs = set()
        self._plan = None
        self._answered = threading.Event()
        self._open = True
        self.cuts = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    # -- for tests

    def cut_at(self, statement, after, nth=1, stay=False):
        """Cut the connection that sends the nth such statement from now: before the server gets it,
        or after it has answered, which the client never hears. `stay`: all of them, until mend()."""
        self._answered.clear()
        self._plan = Plan(statement.encode(), after, nth, stay)

    def cut(self):
        """All connections, now; new ones are refused until mend()."""
        self._open = False
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            self._end(pair)

    def mend(self, port=None):
        """New connections lead to the server again, or to the program on this port."""
        self._to = port or self._to
        self._open = True

    def close(self):
        self.cut()
        self._server.close()

    # -- the wire

    def _accept(self):
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            if not self._open:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                client.close()
                continue
            pair = (client, server)
            with self._lock:
                self._pairs.add(pair)
            for function in (self._upstream, self._downstream):
                threading.Thread(target=function, args=(pair,), daemon=True).start()

    def _end(self, pair):
        with self._lock:
            self._pairs.discard(pair)
        for end in pair:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()

    def _planned(self, data):
        with self._lock:
            plan = self._plan
            if not plan or len(data) < 5 or data[4] != _QUERY or not data[5:].startswith(plan.statement):
                return None
            plan.left -= 1
            if plan.left:
                return None
            self._plan = None
            return plan

    def _upstream(self, pair):
        client, server = pair
        try:
            while data := client.recv(65536):
                plan = self._planned(data)
                if plan and plan.stay:
                    self._open = False
                if plan and plan.after:
                    # Answered to us alone: the other thread must not pass it on.
                    with self._lock:
                        self._pairs.discard(pair)
                    server.sendall(data)
                    self._answered.wait(30)
                if plan:
                    self.cuts += 1
                    if plan.stay:
                        self.cut()
                    break
                server.sendall(data)
        except OSError:
            pass
        self._end(pair)

    def _downstream(self, pair):
        client, server = pair
        try:
            while data := server.recv(65536):
                with self._lock:
                    swallow = pair not in self._pairs
                if swallow:
                    self._answered.set()
                    break
                client.sendall(data)
        except OSError:
            pass
        self._end(pair)
