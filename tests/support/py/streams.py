# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client of the daemon's stream of events: as browsers do, it keeps the id of its last event."""

import http.client
import json
import socket
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace

from . import openapi
from .waiting import DEADLINE, Lines


@dataclass(frozen=True)
class Event:
    name: str
    id: str
    data: dict

    @property
    def change(self):
        return self.data.get("change")


class Stream:
    """What comes from the moment of its making, or after an event that was the last one known."""

    def __init__(self, daemon, last_id=None, token=None):
        self._connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=DEADLINE + 60)
        headers = {"Last-Event-ID": last_id, "Authorization": token and f"Bearer {token}"}
        self._connection.request("GET", "/api/v1/events", headers={name: value for name, value in headers.items() if value})
        self._socket = self._connection.sock
        answer = self._connection.getresponse()
        openapi.check_reply("GET", "/api/v1/events", answer.status, answer.headers, None)
        assert answer.status == 200
        self._state = SimpleNamespace(name=None, id=None, data=None)
        self.retry = answer.readline()
        assert self.retry.startswith(b"retry: "), self.retry
        self.last_id = None
        self.events = Lines(_text_of(answer), self._parse)
        if last_id is None:
            self.events.wait(lambda event: event is None and self.last_id)

    def _parse(self, line):
        """An event at its last line, None at the others."""
        state = self._state
        field, _, value = line.partition(": ")
        if field in ("event", "data"):
            setattr(state, {"event": "name"}.get(field, field), value)
        elif field == "id":
            state.id = value
        elif not line:
            event = Event(state.name, state.id, json.loads(state.data)) if state.data else None
            if event:
                openapi.check_event(event.name, event.data)
            self.last_id = state.id or self.last_id
            self._state = SimpleNamespace(name=None, id=None, data=None)
            return event
        return None

    def all(self):
        return [event for event in self.events.all() if event]

    def wait(self, name, fits=lambda event: True, since=0):
        return self.events.wait(lambda event: event and event.name == name and fits(event), since)

    def ended(self, operation_id):
        return self.wait("operation", lambda e: e.change == "ended" and e.data["id"] == operation_id)

    def await_end(self):
        self.events.join()

    def close(self):
        """Leave, as a client whose network is gone."""
        with suppress(OSError):     # the daemon may have left already
            self._socket.shutdown(socket.SHUT_RDWR)
        self.events.join()
        self._connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class _text_of:
    """The lines of an answer, as Lines wants them."""

    def __init__(self, answer):
        self._answer = answer

    def __iter__(self):
        with suppress(http.client.HTTPException, OSError):      # a daemon that was killed
            while line := self._answer.readline():
                yield line.decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._answer.close()
