# SPDX-License-Identifier: LGPL-2.1-or-later
"""HTTP on 127.0.0.1, and the order in which a request is checked.

The listener is our own so that tests can make it fail as real ones do: stop listening and refuse
connections on the same port, come back, cut a connection without an answer, or let an idle one
grow stale. Parsing is left to the standard library.

The order of checks in `Endpoint` is the server's: command name, enforcement of POST, presence of
key and signature, expiry, the key, the role, the HMAC, and only then parameters. All authentication
failures have the same text; a client cannot tell a wrong key from a wrong clock.
"""

import hmac
import json
import logging
import re
import socket
import ssl
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qsl, urlsplit

from . import errors, sign
from .commands import COMMANDS
from .errors import ApiError

log = logging.getLogger("cloudsim")

API_PATH = "/client/api"
CONTROL_PREFIX = "/_sim/"
MAX_EXPIRES_AHEAD = 15 * 60
_READ_PREFIXES = ("get", "list", "query", "find")


@dataclass
class Reply:
    status: int
    body: bytes = b""
    content_type: str = "application/json; charset=UTF-8"
    description: str | None = None      # the X-Description header
    date: float | None = None           # the Date header
    location: str | None = None         # the Location header
    then: object = None                 # called when the reply has been sent
    missing: int = 0                    # bytes promised that never come: the connection is cut


def json_reply(status, body, **rest):
    return Reply(status, json.dumps(body, ensure_ascii=False).encode(), **rest)


class Listener:
    """A port that threads serve, that can go away and come back."""

    def __init__(self, port, answer, settings):
        """`answer(method, target, body)` returns a Reply, or None to cut the connection."""
        self.answer = answer
        self.settings = settings
        self._lock = threading.Lock()
        self._connections = set()
        self._listening = False
        self._socket = _bound(port)
        self.port = self._socket.getsockname()[1]
        self.up()

    def up(self):
        with self._lock:
            if self._listening:
                return
            self._listening = True
            self._socket.listen(128)
            self._accepting = threading.Thread(target=self._accept, name="accept", daemon=True)
            self._accepting.start()

    def down(self):
        """Refuse connections and cut those that exist.

        A listening socket that is shut down stops listening but remains bound, so the kernel
        refuses callers, nobody else can take the port, and up() can listen on it again.
        """
        with self._lock:
            if self._listening:
                self._listening = False
                _shut(self._socket)
                self._accepting.join()
            for connection in self._connections:
                _shut(connection)

    def close(self):
        self.down()
        self._socket.close()

    def _accept(self):
        while True:
            try:
                connection, address = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection, address), name="serve",
                             daemon=True).start()

    def _serve(self, connection, address):
        try:
            connection = self._secured(connection)
        except OSError:
            connection.close()      # the client does not trust the certificate
            return
        with self._lock:
            if not self._listening:
                connection.close()
                return
            self._connections.add(connection)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _Handler(connection, address, self)
        except OSError:
            pass                    # the client left, or down() cut it
        finally:
            with self._lock:
                self._connections.discard(connection)
            _shut(connection)
            connection.close()


    def _secured(self, connection):
        """The connection itself, or TLS on it."""
        if not self.settings.certificate:
            return connection
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.settings.certificate)
        return tls.wrap_socket(connection, server_side=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1                   # head and body leave in one segment

    def setup(self):
        self.timeout = self.server.settings.idle_timeout
        super().setup()

    def _serve(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode(errors="replace")
        reply = self.server.answer(self.command, self.path, body)
        if reply is None:
            self.close_connection = True
            return
        self.send_response_only(reply.status)
        if reply.date is not None:
            self.send_header("Date", formatdate(reply.date, usegmt=True))
        if reply.location is not None:
            self.send_header("Location", reply.location)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body) + reply.missing))
        if reply.description:
            self.send_header("X-Description", reply.description.encode("ascii", "replace").decode())
        self.end_headers()
        self.wfile.write(reply.body)
        self.wfile.flush()
        self.close_connection |= reply.missing > 0
        if reply.then:
            reply.then()

    do_GET = do_POST = do_DELETE = _serve

    def log_message(self, *_):
        pass                        # requests are recorded and logged by Endpoint


class Endpoint:
    """`/client/api`: authentication, faults, envelopes and the record of requests."""

    def __init__(self, sim):
        self.sim = sim

    def answer(self, method, query, body):
        pairs = parse_qsl(query, keep_blank_values=True)
        if method == "POST":
            pairs += parse_qsl(body, keep_blank_values=True)
        params = dict(pairs)
        command = params.get("command", "")
        plain = {k if k in ("command", "response") else k.lower(): v for k, v in params.items()}
        row = COMMANDS.get(command)
        faults = self.sim.faults.strike(command, *self._volumes(plain), bool(row and row.makes_job))
        entry = self.sim.record(method, command, plain, faults)
        if pace := faults.get("pace"):
            self.sim.pause(pace.options["seconds"])
        if self.sim.interrupt("before", command):
            return None
        reply = self._faulty(command, params, plain, method, faults, entry)
        self.sim.record_outcome(entry, reply)
        return None if self.sim.interrupt("after", command) else reply

    def _volumes(self, params):
        """Ids of the volumes a request is about, and the name of one, as far as there are such."""
        if "ids" in params:
            return params["ids"].split(","), None
        job = self.sim.world.jobs.get(params.get("jobid"))
        id = job.volume_id if job else (params.get("id") or params.get("volumeid")
                                        or params.get("resourceid"))
        snapshot = self.sim.world.snapshots.get(id)
        id = snapshot.volume if snapshot else id
        volume = self.sim.world.volumes.get(id)
        return [id], volume.name if volume else params.get("name")

    def _faulty(self, command, params, plain, method, faults, entry):
        """The answer, or what a fault makes of it. None cuts the connection."""
        skew = faults["clock"].options["seconds"] if "clock" in faults else 0.0

        def honest():
            return self._checked(command, params, plain, method, faults, skew)

        fault = faults.get("answer")
        if not fault:
            reply = honest()
        elif fault.do in ("half", "cut_within", "other_job"):
            reply = _spoilt(honest(), fault.do)
        elif fault.do == "late":
            self.sim.later(fault.options["seconds"], entry, honest)
            reply = None
        else:
            if fault.do == "cut_after" or fault.options.get("after"):
                honest()
            reply = self._instead(command, fault)
        ahead = self.sim.settings.proxy_date
        if reply and ahead is not None:
            reply.date = time.time() + ahead + skew
        return reply

    def _instead(self, command, fault):
        options = fault.options
        if fault.do == "refuse_connect":
            self.sim.faults.while_loaded(fault, lambda: self.sim.down(options["seconds"]))
        elif fault.do == "empty":
            return Reply(200)
        elif fault.do == "html":
            page = f"<html><body><h1>{options['code']} from the proxy</h1></body></html>\n"
            return Reply(options["code"], page.encode(), "text/html")
        elif fault.do == "status":
            code = options["code"]
            text = options.get("text", errors.DEFAULT_TEXTS.get(code, "Scripted refusal"))
            envelope = "errorresponse" if code == errors.UNSUPPORTED else None
            return _refusal(command, ApiError(code, text, options.get("cserrorcode"), envelope))
        return None

    def _checked(self, command, params, plain, method, faults, skew):
        if plain.get("response") != "json":
            return Reply(431, b"<?xml version=\"1.0\" encoding=\"UTF-8\"?><errorresponse>"
                              b"<errorcode>431</errorcode><errortext>only response=json is spoken "
                              b"here</errortext></errorresponse>", "text/xml; charset=UTF-8")
        try:
            account = self._authenticate(command, params, plain, method,
                                         self.sim.world.now() + skew)
            inner = self.sim.api.execute(command, plain, faults, account)
        except ApiError as error:
            return _refusal(command, error)
        return json_reply(200, {f"{command.lower()}response": inner})

    def _authenticate(self, command, params, plain, method, now):
        """The account that may have this command executed."""
        if not command:
            raise errors.unauthorized(envelope="null")
        if command not in COMMANDS or command in self.sim.settings.unknown_commands:
            raise errors.unauthorized(envelope="errorresponse")
        enforced = self.sim.settings.enforce_post
        if (enforced and method != "POST"
                and not command.lower().startswith(_READ_PREFIXES)):
            raise ApiError(errors.BAD_REQUEST, f"State changing command {command} needs to be "
                                               "sent using POST request")
        signature, key = plain.get("signature"), plain.get("apikey")
        if not signature or not key:
            raise errors.unauthorized()
        versioned = plain.get("signatureversion") == "3"
        if versioned or enforced:
            until = sign.parse_expires(plain.get("expires"))
            if not versioned or until is None or until < now:
                raise errors.unauthorized()
            if enforced and until > now + MAX_EXPIRES_AHEAD:
                raise errors.unauthorized()
        with self.sim.world.lock:
            account = next((a for a in self.sim.world.accounts.values() if a.api_key == key), None)
        if account is None:
            raise errors.unauthorized()
        if command not in self.sim.api.allowed(account):
            raise errors.forbidden(command, account)
        due = sign.sign(params, account.secret_key)
        if not hmac.compare_digest(signature.encode(), due.encode()):
            raise errors.unauthorized()
        return account


class Control:
    """`/_sim/...`: the library's methods over HTTP, unsigned, JSON in and out."""

    def __init__(self, sim):
        self.sim = sim
        self._routes = {
            ("GET", "state"): sim.state,
            ("GET", "requests"): sim.requests,
            ("DELETE", "requests"): sim.clear_requests,
            ("POST", "faults"): sim.set_faults,
            ("DELETE", "faults"): sim.clear_faults,
            ("POST", "hurry"): sim.hurry,
            ("POST", "restart"): sim.restart,
            ("POST", "up"): sim.up,
            ("POST", "plug"): sim.plug_disk,
            ("POST", "unplug"): sim.unplug_disk,
            ("POST", "volume"): sim.put_volume,
            ("POST", "vm"): sim.put_vm,
            ("POST", "account"): sim.put_account,
            ("POST", "project"): sim.put_project,
            ("POST", "set"): sim.set,
            ("POST", "attach-behind"): sim.attach_behind,
            ("POST", "detach-behind"): sim.detach_behind,
        }

    def answer(self, method, name, body):
        try:
            arguments = json.loads(body) if body else {}
            if isinstance(arguments, list):
                arguments = {"rules": arguments}
            if (method, name) == ("POST", "down"):
                # The answer has to leave before the connection that carries it is cut.
                seconds = float(arguments["seconds"])
                return json_reply(200, {}, then=lambda: self.sim.down(seconds))
            if (method, name) not in self._routes:
                return json_reply(404, {"error": f"no {method} {CONTROL_PREFIX}{name}"})
            outcome = self._routes[method, name](**arguments)
            return json_reply(200, {} if outcome is None else outcome)
        except Exception as error:      # a test's mistake; tell it what was wrong
            log.exception("%s %s%s", method, CONTROL_PREFIX, name)
            return json_reply(400, {"error": f"{type(error).__name__}: {error}"})


def router(sim):
    """The function a Listener asks: which of the two surfaces is meant?"""
    endpoint, control = Endpoint(sim), Control(sim)

    def answer(method, target, body):
        url = urlsplit(target)
        if url.path == API_PATH and sim.settings.redirect:
            return Reply(302, location=f"{sim.settings.redirect}?{url.query}")
        if url.path == API_PATH and method in ("GET", "POST"):
            return endpoint.answer(method, url.query, body)
        if url.path.startswith(CONTROL_PREFIX):
            return control.answer(method, url.path.removeprefix(CONTROL_PREFIX), body)
        return Reply(404, b"not found\n", "text/plain")

    return answer


def _spoilt(reply, how):
    """An honest answer that something between the server and the client has touched."""
    half = reply.body[:len(reply.body) // 2]
    if how == "half":
        reply.body = half
    elif how == "cut_within":
        reply.body, reply.missing = half, len(reply.body) - len(half)
    else:
        reply.body = re.sub(rb'(?<="jobid": ")[^"]*', str(uuid.uuid4()).encode(), reply.body)
    return reply


def _refusal(command, error):
    return json_reply(error.code, error.body(command), description=error.text)


def _bound(port):
    """A socket bound to a port of 127.0.0.1; 0 chooses one.

    A port the kernel chose is let go when the socket is shut down, one that was asked for by
    number is kept. So a free one is found first and then asked for while the finder holds it.
    """
    with socket.socket() as finder:
        if port == 0:
            finder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            finder.bind(("127.0.0.1", 0))
            port = finder.getsockname()[1]
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            sock.close()
            raise
        return sock


def _shut(sock):
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
