# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the REST interface does with whatever arrives at its port.

Clients are wrong, old, half dead or hostile, and a browser on the same machine may be led by
somebody else. Each mistake gets the error the contract names for it, in the one form of errors,
also where HTTP itself is broken; then the connection ends. In every case the daemon goes on: each
test here ends with a question that must be answered.
"""

import http.client
import io
import json
import socket
import threading

import pytest
from cloudsim import APPLIANCE_VM, GIB, OFFERING_CUSTOM, ZONE
from support.py import openapi, shapes
from support.py.stores import any_store, each_store
from support.py.waiting import DEADLINE, eventually

pytestmark = any_store

NOBODY = "00000000-0000-4000-8000-000000000000"
MIB = 1 << 20


@pytest.fixture
def daemon(shared_world):
    """The daemon, which must be well before and after and must have changed nothing."""
    yield shared_world.daemon
    assert shared_world.daemon.health()["status"] == "healthy"
    assert shared_world.data_volumes() == []
    assert shared_world.daemon.get("/api/v1/operations") == []


def refused(answer, status, code, field=None):
    assert answer.status == status, (answer.status, answer.body)
    assert answer.headers["Content-Type"] == "application/json"
    error = shapes.ERROR.check(answer.json)
    assert error["code"] == code, error
    assert error.get("details", {}).get("field") == field, error
    return error


def new_volume(**changes):
    return {"name": "data", "size": GIB, "disk_offering_id": OFFERING_CUSTOM, "zone_id": ZONE,
            **changes}


# ---- bodies ----

@pytest.mark.parametrize("body", [
    b"{", b"{]", b"", b"[]", b"null", b"7", b'"text"', b"{'name': 'data'}", b'{"name": "data",}',
    b'{"name": "data"} x', b"\xff\xfe{}", b'{"name": "\xff"}', b'{"name": "a\\u0000b"}',
    b'{"name": "a", "name": "b"}', b'{"size": 01}', b'{"size": 1.}', b'{"size": +1}',
    b'{"size": NaN}', b'{"size": Infinity}', b'{"name": "\x01"}', b"\x00", b"{" * 100_000,
    b"[" * 100_000, b'{"a":' * 33 + b"1" + b"}" * 33], ids=lambda body: repr(body[:24]))
def test_what_is_no_json_object(daemon, body):
    answer = daemon.rest("POST", "/api/v1/volumes", body)
    assert answer.status == 400 and answer.json["code"] == "INVALID_REQUEST", answer


@pytest.mark.parametrize("field, value", [
    ("size", 0), ("size", -1), ("size", 1.5), ("size", 2 ** 63), ("size", 2 ** 64 + GIB),
    ("size", 1e30), ("size", float(GIB) + 0.5), ("size", GIB // 2), ("size", GIB - 1),
    ("size", (64 << 40) + 1), ("size", "5368709120"), ("size", None), ("size", [GIB]),
    ("size", {}), ("size", True),
    ("name", ""), ("name", 7), ("name", None), ("name", "x" * 256), ("name", "a\nb"),
    ("name", "a\x7fb"), ("name", "a\u0085b"), ("name", ["data"]),
    ("zone_id", "zone-1"), ("zone_id", ZONE[:-1]), ("zone_id", ZONE + "0"), ("zone_id", ""),
    ("zone_id", "../../etc/passwd"), ("disk_offering_id", 5), ("metadata", "text"),
    ("metadata", []), ("metadata", 1)])
def test_a_member_that_is_wrong_is_named(daemon, field, value):
    error = refused(daemon.rest("POST", "/api/v1/volumes", new_volume(**{field: value})), 400,
                    "INVALID_REQUEST", field)
    assert field in error["error"]


@pytest.mark.parametrize("field", ["name", "size", "disk_offering_id", "zone_id"])
def test_a_member_that_is_missing_is_named(daemon, field):
    body = new_volume()
    del body[field]
    refused(daemon.rest("POST", "/api/v1/volumes", body), 400, "INVALID_REQUEST", field)


def test_the_words_of_a_refusal_are_the_contract_s(daemon):
    answer = daemon.rest("POST", "/api/v1/volumes", new_volume(size=GIB // 2))
    assert answer.json == {
        "error": f"size must be at least 1 GiB ({GIB}), got {GIB // 2}",
        "code": "INVALID_REQUEST", "details": {"field": "size"}}


@pytest.mark.parametrize("path, body", [
    ("/api/v1/volumes", new_volume(colour="red")), ("/api/v1/volumes", new_volume(Name="data")),
    (f"/api/v1/volumes/{NOBODY}/attach", {"vm_id": APPLIANCE_VM, "colour": "red"}),
    (f"/api/v1/volumes/{NOBODY}/detach", {"colour": "red"})])
def test_a_member_nobody_knows_is_named(daemon, path, body):
    unknown = "Name" if "Name" in body else "colour"
    refused(daemon.rest("POST", path, body), 400, "INVALID_REQUEST", unknown)


def test_a_body_that_is_too_long(daemon):
    body = json.dumps(new_volume(metadata={"x": "y" * MIB}))
    refused(daemon.rest("POST", "/api/v1/volumes", body), 413, "TOO_LARGE")


def test_a_body_that_is_far_too_long(daemon):
    """Not even read to its end."""
    answer = raw(daemon, b"POST /api/v1/volumes HTTP/1.1\r\nHost: localhost\r\n"
                         b"Content-Length: 1000000000000\r\n\r\n" + b"x" * 65536)
    refused_raw(answer, 413, "TOO_LARGE")


def test_a_client_that_reads_no_answer_before_it_has_sent_its_body(daemon):
    """It would see a broken pipe if the daemon closed the connection in the middle of the body."""
    for header, begin, end in ((b"Content-Length: %d" % (32 * MIB), b"", b""),
                               (b"Transfer-Encoding: chunked", b"%x\r\n" % (32 * MIB), b"\r\n0\r\n\r\n")):
        answer = raw(daemon, b"POST /api/v1/volumes HTTP/1.1\r\nHost: localhost\r\n" + header +
                     b"\r\n\r\n" + begin + b" " * (32 * MIB) + end)
        refused_raw(answer, 413, "TOO_LARGE")


@each_store
def test_a_body_as_long_as_can_be(world):
    metadata = {"x": "y" * ((16 << 10) - len('{"x":""}'))}
    body = json.dumps(new_volume(metadata=metadata)).ljust(MIB)
    answer = world.daemon.rest("POST", "/api/v1/volumes", body)
    assert answer.status == 201, answer.body[:200]
    record = world.daemon.completed(answer.json)
    assert record["request"]["metadata"] == metadata


@each_store
def test_the_deepest_json_there_may_be(world):
    deep = "{}"
    for _ in range(29):     # with metadata itself and the body: 31
        deep = f'{{"a":{deep}}}'
    body = json.dumps(new_volume())[:-1] + f', "metadata": {deep}}}'
    answer = world.daemon.rest("POST", "/api/v1/volumes", body)
    assert answer.status == 201, answer.body
    record = world.daemon.completed(answer.json)
    assert record["request"]["metadata"] == json.loads(deep)


@pytest.mark.parametrize("headers, status", [
    ({}, 201),
    ({"Content-Type": "text/plain"}, 201),      # curl and old clients say all sorts of things
    ({"Content-Type": "application/json; charset=utf-8"}, 201),
    ({"Origin": "ours"}, 415),
    ({"Origin": "ours", "Content-Type": "text/plain"}, 415),
    ({"Origin": "ours", "Content-Type": "application/jsonx"}, 415),
    ({"Origin": "ours", "Content-Type": "application/json"}, 201),
    ({"Sec-Fetch-Site": "same-origin", "Content-Type": "text/plain"}, 415),
    ({"Sec-Fetch-Mode": "cors", "Content-Type": "application/json"}, 201)],
    ids=lambda value: str(value))
def test_a_content_type_is_asked_of_browsers_only(world, headers, status):
    headers = {name: f"http://127.0.0.1:{world.daemon.port}" if value == "ours" else value
               for name, value in headers.items()}
    answer = world.daemon.rest("POST", "/api/v1/volumes", new_volume(), headers)
    assert answer.status == status, answer
    if status == 415:
        refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")
    else:
        world.daemon.completed(answer.json)
    assert len(world.data_volumes()) == (status == 201)


@pytest.mark.parametrize("body", [None, "", "{}"])
def test_a_detach_needs_no_body(world, body):
    volume, _ = world.attached()
    answer = world.daemon.rest("POST", f"/api/v1/volumes/{volume}/detach", body)
    assert answer.status == 201
    world.daemon.completed(answer.json)


def test_what_existing_clients_send_along_is_accepted(world):
    volume = world.volume()
    body = {"volume_id": volume, "vm_id": APPLIANCE_VM, "vm_name": "web-1", "disk_id": "disk-2000",
            "request_persistent_name": True}
    answer = world.daemon.rest("POST", f"/api/v1/volumes/{volume}/attach", body)
    assert answer.status == 201
    record = world.daemon.completed(answer.json)
    assert record["request"] == body
    other = world.volume()
    refused(world.daemon.rest("POST", f"/api/v1/volumes/{other}/attach", body), 400,
            "INVALID_REQUEST", "volume_id")


# ---- paths ----

@pytest.mark.parametrize("path", [
    "/api", "/api/v1", "/api/v1/", "/api/v2/volumes", "/api/v1/volume", "/api/v1/volumes/",
    "/API/V1/VOLUMES", f"/api/v1/volumes/{NOBODY}/", f"/api/v1/volumes/{NOBODY}/eject",
    f"/api/v1/volumes/{NOBODY}/device/more", "/api/v1/volumes%2Fx", "/api/v1//volumes",
    "/api/v1/operations/x/y", "/" + "x" * 5000, "/index.html", "/favicon.ico"])
def test_paths_that_do_not_exist(daemon, path):
    answer = daemon.rest("GET", path)
    assert answer.status == 404 and answer.json["code"] == "NOT_FOUND", answer


@pytest.mark.parametrize("id", [
    "x", NOBODY[:-1], NOBODY + "0", NOBODY.replace("-", ""), "%00", NOBODY + "%00", "%2F",
    "..%2F" + NOBODY, "%2e%2e", "..", "%", "%zz", "%4", "%C0%80", "%FF", "%0A", "a%20b", "'--",
    "%27%3B%20DROP%20TABLE%20volume_operations%3B"])
@pytest.mark.parametrize("path", ["/api/v1/volumes/{}", "/api/v1/volumes/{}/device",
                                  "/api/v1/vms/{}/volumes"])
def test_ids_that_are_none(daemon, path, id):
    answer = daemon.rest("GET", path.format(id))
    assert answer.status == 400 and answer.json["code"] == "INVALID_REQUEST", answer


@pytest.mark.parametrize("id", ["x", "op-" + NOBODY, "%2F..%2F", "' OR 1=1", "x" * 64])
def test_operations_that_do_not_exist(daemon, id):
    path = "/api/v1/operations/" + id.replace(" ", "%20")
    refused(daemon.rest("GET", path), 404, "NOT_FOUND")
    refused(daemon.rest("POST", path + "/cancel"), 404, "NOT_FOUND")
    refused(daemon.rest("GET", path + "?wait=1"), 404, "NOT_FOUND")


def test_volumes_that_do_not_exist(daemon):
    refused(daemon.rest("GET", f"/api/v1/volumes/{NOBODY}"), 404, "NOT_FOUND")
    refused(daemon.rest("GET", f"/api/v1/volumes/{NOBODY}?refresh=true"), 404, "NOT_FOUND")
    refused(daemon.rest("GET", f"/api/v1/volumes/{NOBODY}/device"), 404, "NOT_FOUND")


def test_a_path_is_decoded_once(daemon):
    """What is encoded twice is another name."""
    refused(daemon.rest("GET", "/api/v1/devices/%252Fdev%252Fvda/volume"), 404, "NOT_FOUND")
    answer = daemon.rest("GET", "/%61pi/v1/%68ealth")
    assert answer.status == 200


# ---- query strings ----

@pytest.mark.parametrize("query, field", [
    ("limit=0", "limit"), ("limit=-1", "limit"), ("limit=1001", "limit"), ("limit=x", "limit"),
    ("limit=1.5", "limit"), ("limit=9999999999999999999999", "limit"),
    ("limit=1&limit=2", "limit"), ("since=yesterday", "since"),
    ("until=2026-13-45T00:00:00Z", "until"), ("status=done", "status"),
    ("type=teleport", "type"), ("volume_id=x", "volume_id"), ("vm_id=%00", None),
    ("colour=red", "colour"), ("cursor=%FF", "cursor"), ("%FF=1", None),
    ("cursor=" + "x" * 300, "cursor")])
def test_queries_that_are_wrong(daemon, query, field):
    answer = daemon.rest("GET", "/api/v1/operations?" + query)
    assert answer.status == 400 and answer.json["code"] == "INVALID_REQUEST", answer
    if field:
        assert answer.json["details"]["field"] == field


@pytest.mark.parametrize("wait", ["61", "-1", "x", "1e3"])
def test_waits_that_are_wrong(daemon, wait):
    refused(daemon.rest("GET", f"/api/v1/operations/x?wait={wait}"), 400, "INVALID_REQUEST", "wait")


def test_arguments_have_one_place(daemon):
    refused(daemon.rest("GET", "/api/v1/operations", b'{"limit": 1}'), 400, "INVALID_REQUEST")
    refused(daemon.rest("POST", "/api/v1/volumes?name=data", new_volume()), 400, "INVALID_REQUEST")


# ---- verbs ----

@pytest.mark.parametrize("verb, path, allowed", [
    ("DELETE", "/api/v1/volumes", {"GET", "HEAD", "POST", "OPTIONS"}),
    ("PUT", "/api/v1/volumes", {"GET", "HEAD", "POST", "OPTIONS"}),
    ("POST", f"/api/v1/volumes/{NOBODY}", {"GET", "HEAD", "DELETE", "OPTIONS"}),
    ("GET", f"/api/v1/volumes/{NOBODY}/attach", {"POST", "OPTIONS"}),
    ("HEAD", f"/api/v1/volumes/{NOBODY}/attach", {"POST", "OPTIONS"}),
    ("PATCH", "/api/v1/health", {"GET", "HEAD", "OPTIONS"}),
    ("TRACE", "/health", {"GET", "HEAD", "OPTIONS"})])
def test_verbs_a_path_does_not_take(daemon, verb, path, allowed):
    answer = daemon.rest(verb, path)
    assert answer.status == 405
    assert set(answer.headers["Allow"].split(", ")) == allowed
    if verb != "HEAD":
        assert shapes.ERROR.check(answer.json)


@pytest.mark.parametrize("line", ["EJECT /api/v1/health", "CONNECT example.org:443", "GET *"])
def test_a_verb_nobody_knows(daemon, line):
    answer = raw(daemon, f"{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    refused_raw(answer, 405, "METHOD_NOT_ALLOWED")
    assert b"\r\nAllow: GET, HEAD" in answer and b"\r\nContent-Length: " in answer


def test_options_of_the_server(daemon):
    answer = raw(daemon, b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert status_of(answer) == 204
    assert b"\r\nAllow: GET, HEAD, POST, PUT, DELETE, OPTIONS\r\n" in answer


@pytest.mark.parametrize("path", ["/health", "/api/v1/volumes", "/nowhere"])
def test_head_is_get_without_the_body(daemon, path):
    got, head = daemon.rest("GET", path), daemon.rest("HEAD", path)
    assert head.status == got.status and head.body == b""
    assert head.headers["Content-Type"] == got.headers["Content-Type"]
    if path != "/health":       # whose figures change
        assert head.headers["Content-Length"] == got.headers["Content-Length"]


def test_options_say_what_may_be_done(daemon):
    answer = daemon.rest("OPTIONS", "/api/v1/volumes")
    assert answer.status == 204 and answer.headers["Allow"] == "GET, HEAD, POST, OPTIONS"


# ---- who asks ----

@pytest.mark.parametrize("host", [
    "example.org", "127.0.0.1.example.org", "localhost.example.org", "10.0.0.1", "127.0.0.2",
    "[::2]", "localhost:x", "localhost:99999", "", "local host"])
def test_a_foreign_host(daemon, host):
    """A page can point a name of its own at 127.0.0.1; the name is what gives it away."""
    refused(daemon.rest("GET", "/health", headers={"Host": host}), 421, "MISDIRECTED")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:8090",
                                  "[::1]", "[::1]:8090"])
def test_our_own_host(daemon, host):
    assert daemon.rest("GET", "/health", headers={"Host": host}).status == 200


@pytest.mark.parametrize("origin", ["http://example.org", "null", "https://localhost", "file://",
                                    "http://localhost.example.org", "http://localhost:1"])
@pytest.mark.parametrize("verb, path", [("GET", "/health"), ("POST", "/api/v1/volumes"),
                                        ("DELETE", f"/api/v1/volumes/{NOBODY}")])
def test_a_foreign_origin(daemon, verb, path, origin):
    refused(daemon.rest(verb, path, headers={"Origin": origin}), 403, "FORBIDDEN")


def test_our_own_origin(daemon):
    own = f"127.0.0.1:{daemon.port}"
    headers = {"Host": own, "Origin": f"http://{own}"}
    assert daemon.rest("GET", "/health", headers=headers).status == 200


# ---- HTTP itself ----

def raw(daemon, request):
    """Send bytes and return all that comes until the connection ends."""
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=DEADLINE) as connection:
        answer = b""
        connection.sendall(request)
        while part := connection.recv(65536):
            answer += part
        return answer


def refused_raw(answer, status, code):
    head, body = answer.split(b"\r\n\r\n")
    assert status_of(head) == status, answer
    headers = http.client.parse_headers(io.BytesIO(head.partition(b"\r\n")[2] + b"\r\n\r\n"))
    assert headers["Connection"] == "close"
    openapi.check_error(status, headers, body)
    assert shapes.ERROR.check(json.loads(body))["code"] == code


def status_of(answer):
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize("head", [
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: example.org\r\n",
    b"POST /api/v1/volumes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
    b"Content-Length: 3\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
    b"Origin: http://example.org\r\n",
    b"GET /health HTTP/1.1\r\n",
    b"GET health HTTP/1.1\r\nHost: localhost\r\n",
    b"GET //health HTTP/1.1\r\nHost: localhost\r\n",
    b"GET /health#top HTTP/1.1\r\nHost: localhost\r\n",
    b"POST /api/v1/volumes HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n",
    b"POST /api/v1/volumes HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n",
    b"GET /health HTTP/9.9\r\nHost: localhost\r\n",
    b"GET /health\r\nHost: localhost\r\n",
    b"POST /api/v1/volumes HTTP/1.1\r\nHost: localhost\r\nContent-Length: +2\r\n",
    b"POST /api/v1/volumes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n",
    b"POST /api/v1/volumes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n",
    b"POST /api/v1/volumes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    b"Content-Length: 2\r\n",
    b"POST /api/v1/volumes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\n{}x",
    b"POST /api/v1/volumes HTTP/1.1\r\nHost: localhost\r\nExpect: miracles\r\n",
    b"GET /health HTTP/1.1\nHost: localhost\n",
    b"GET /health HTTP/1.1\r\nHost : localhost\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 20_000 + b"\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X-Y: z\r\n" * 3000,
    b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n",
], ids=lambda value: repr(value[:60]))
def test_broken_http(daemon, head):
    answer = raw(daemon, head + b"Connection: close\r\n\r\n{}x")
    refused_raw(answer, 400, "INVALID_REQUEST")


@pytest.mark.parametrize("authority, status", [("localhost", 200), ("127.0.0.1:8090", 200),
                                               ("example.org", 421)])
def test_a_target_with_an_authority(daemon, authority, status):
    """As clients send it that take the daemon for their proxy; the header Host does not count."""
    answer = raw(daemon, f"GET http://{authority}/health HTTP/1.1\r\nHost: localhost\r\n"
                         "Connection: close\r\n\r\n".encode())
    assert status_of(answer) == status
    assert status == 200 or answer.startswith(b"HTTP/1.1 421 Misdirected Request\r\n")


def test_a_body_that_is_compressed(daemon):
    answer = daemon.rest("POST", "/api/v1/volumes", new_volume(), {"Content-Encoding": "gzip"})
    refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")


def test_host_twice_is_refused_with_words(daemon):
    answer = raw(daemon, b"GET /health HTTP/1.1\r\nHost: localhost\r\nhost: localhost\r\n"
                         b"Connection: close\r\n\r\n")
    assert status_of(answer) == 400 and b"the header Host is given twice" in answer


def test_http_1_0_needs_no_host(daemon):
    assert status_of(raw(daemon, b"GET /health HTTP/1.0\r\n\r\n")) == 200


def test_many_requests_on_one_connection(daemon):
    request = b"GET /api/v1/mappings HTTP/1.1\r\nHost: localhost\r\n"
    answer = raw(daemon, (request + b"\r\n") * 50 + request + b"Connection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200") == 51 and answer.count(b'{"mappings":[],"count":0}') == 51


@pytest.mark.parametrize("sent", [
    b"", b"G", b"GET /health HTTP/1.1\r\n", b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /api/v1/volumes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{\"na"])
def test_a_client_that_leaves_in_mid_request(daemon, sent):
    for _ in range(20):
        connection = socket.create_connection(("127.0.0.1", daemon.port), timeout=DEADLINE)
        connection.sendall(sent)
        # As a process that is killed: with a reset instead of a goodbye.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()


def test_a_client_that_leaves_in_mid_wait(world):
    world.cloud.set(job_delay=3600)
    operation = world.daemon.attach(world.volume())
    request = (f"GET /api/v1/operations/{operation['id']}?wait=60 HTTP/1.1\r\n"
               "Host: localhost\r\n\r\n").encode()
    with socket.create_connection(("127.0.0.1", world.daemon.port), timeout=DEADLINE) as connection:
        connection.sendall(request)
        # The daemon watches a request that waits, and says so when its client has gone.
        world.cloud.wait_request("queryAsyncJobResult")
    world.daemon.log.wait(lambda line: "the client left" in line)
    world.cloud.restart()
    world.daemon.failed(operation)


def test_more_clients_than_may_wait_at_a_time(make_world):
    """A further one is told so, and all that do not wait are served."""
    world = make_world(http={"max_requests": 4})
    world.cloud.set(job_delay=3600)
    operation = world.daemon.attach(world.volume())
    world.cloud.wait_request("queryAsyncJobResult")
    path = f"/api/v1/operations/{operation['id']}"

    def stand_in_line():
        # Our own question below may have the place at that moment.
        while world.daemon.rest("GET", path + "?wait=60").status == 429:
            pass

    waiting = [threading.Thread(target=stand_in_line) for _ in range(4)]
    for thread in waiting:
        thread.start()
    answer = eventually(lambda: (a := world.daemon.rest("GET", path + "?wait=1")).status == 429 and a,
                        "no room")
    assert world.daemon.rest("GET", path).status == 200
    assert answer.json["code"] == "TOO_MANY_REQUESTS" and answer.headers["Retry-After"]
    # Those that wait take no place from those that do not.
    assert world.daemon.rest("GET", path).status == 200
    world.cloud.restart()
    for thread in waiting:
        thread.join(DEADLINE)
    world.daemon.failed(operation)


# ---- answers ----

def test_a_long_poll_is_ended_by_completion(world):
    """It is answered while it waits: the operation's record is older than the answer's minute."""
    world.cloud.set(job_delay=3600)
    operation = world.daemon.attach(world.volume())
    world.cloud.wait_request("queryAsyncJobResult")
    answers = []
    poll = threading.Thread(target=lambda: answers.append(
        world.daemon.get(f"/api/v1/operations/{operation['id']}?wait=60")))
    poll.start()
    world.cloud.restart()
    poll.join(DEADLINE)
    assert answers and answers[0]["status"] == "failed"
    assert answers[0]["completed_at"] == answers[0]["updated_at"]


def test_a_long_poll_that_runs_out_answers_what_is(world):
    world.cloud.set(job_delay=3600)
    operation = world.daemon.attach(world.volume())
    world.cloud.wait_request("queryAsyncJobResult")
    record = shapes.OPERATION.check(
        world.daemon.get(f"/api/v1/operations/{operation['id']}?wait=1"))
    assert record["status"] == "executing" and record["step"] == "await-job"
    world.cloud.restart()
    world.daemon.failed(operation)


@each_store
def test_pages_are_linked_to_their_end(world):
    """Newest first, none twice, none left out, and the rest of the query stays."""
    volume = world.volume()
    operations = []
    for _ in range(7):
        operations.append(world.daemon.failed(world.daemon.detach(volume))["id"])
    seen, path = [], f"/api/v1/operations?limit=3&volume_id={volume}&status=failed"
    while path:
        answer = world.daemon.rest("GET", path)
        assert answer.status == 200 and 0 < len(answer.json) <= 3
        seen += [o["id"] for o in answer.json]
        link = answer.headers["Link"]
        assert link is None or link.endswith('>; rel="next"')
        path = link and link[1:].split(">")[0]
    assert seen == operations[::-1]


def test_volumes_are_paged_too(world):
    wanted = sorted(world.daemon.completed(world.daemon.create(name="paged"))["volume_id"]
                    for _ in range(5))
    seen, query = [], "limit=2&name=paged"
    while query:
        page = world.daemon.get("/api/v1/volumes?" + query)
        assert len(page["volumes"]) <= 2
        seen += [v["volume_id"] for v in page["volumes"]]
        query = page.get("next_cursor") and f"limit=2&name=paged&cursor={page['next_cursor']}"
    assert seen == wanted


def test_bare_arrays_are_empty_and_not_absent(daemon):
    assert daemon.rest("GET", "/api/v1/operations").body == b"[]"
    assert daemon.rest("GET", f"/api/v1/vms/{NOBODY}/volumes").body == b"[]"


def test_both_paths_to_health(daemon):
    for path in ("/health", "/api/v1/health"):
        assert shapes.HEALTH.check(daemon.get(path))["status"] == "healthy"


def test_answers_are_not_kept_by_anybody(daemon):
    assert daemon.rest("GET", "/health").headers["Cache-Control"] == "no-store"


def test_a_list_in_gzip(world):
    for number in range(100):
        world.cloud.put_volume(name=f"{number:0255}")
    world.daemon.get("/api/v1/volumes?refresh=true")
    plain = world.daemon.rest("GET", "/api/v1/volumes?limit=1000")
    answer = world.daemon.rest("GET", "/api/v1/volumes?limit=1000", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip" and plain.headers["Content-Encoding"] is None
    assert len(answer.body) < len(plain.body) / 2
    assert answer.json["volumes"] == plain.json["volumes"]


def test_refresh_asks_cloudstack_now(world):
    volume = world.volume(name="old")
    assert world.daemon.get(f"/api/v1/volumes/{volume}")["name"] == "old"
    world.cloud.put_volume(id=volume, name="new")
    assert world.daemon.get(f"/api/v1/volumes/{volume}")["name"] == "old"
    assert world.daemon.get(f"/api/v1/volumes/{volume}?refresh=true")["name"] == "new"
    assert world.daemon.get(f"/api/v1/volumes/{volume}")["name"] == "new"
