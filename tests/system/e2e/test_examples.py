# SPDX-License-Identifier: LGPL-2.1-or-later
"""The examples of the OpenAPI document are answers that the daemon has given.

A story is played in which each method is asked once. What differs from run to run, such as ids and times, is replaced
by values that are the same each time; then each request and its answer must be the example of the document. If they
are not, and that is meant, the message names a file with the new examples.
"""

import json
import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from cloudsim import APPLIANCE_VM, GIB, OFFERING_CUSTOM, ZONE, serial_of
from support.py import openapi, shapes
from support.py.harness import World
from support.py.streams import Stream
from support.py.waiting import eventually

from .surfaces import on_every_surface

pytestmark = pytest.mark.xdist_group("examples")

# Responses that cannot be had without an accident.
WITHOUT_EXAMPLE = (429, 500, 504)

# ---- what differs from run to run ----

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIMES = {"created_at": "2026-03-02T09:30:00.120Z", "attached_at": "2026-03-02T09:30:04.310Z",
         "completed_at": "2026-03-02T09:30:04.480Z", "updated_at": "2026-03-02T09:30:04.480Z",
         "step_since": "2026-03-02T09:30:04.460Z", "changed_at": "2026-03-02T09:30:00.120Z",
         "last_sync": "2026-03-02T09:31:00.000Z", "timestamp": "2026-03-02T09:31:00.000Z",
         "listed_at": "2026-03-02T09:30:58.250Z", "snapshot_created_at": "2026-03-02T09:30:30.700Z"}
BEGIN = TIMES["created_at"]
# As on a machine that is not busy.
FIGURES = {"own_ms": 42, "waiting_ms": 0, "cloudstack_ms": 3160, "kernel_ms": 278, "average_response_time_ms": 3480,
           "port": 10809, "nbd_pid": 812, "diskseq": 9, "uptime_seconds": 86400, "loop_turns": 1204377,
           "loop_late_count": 0, "loop_late": "", "store_waiting": 0, "cloudstack_api_calls": 5120,
           "device_events_processed": 64, "database_transactions": 880, "volume_list_age_seconds": 2,
           "cloudstack_clock_ahead_ms": 0}


class Plain:
    """Values as they stand in the document; the same id always becomes the same other id."""

    def __init__(self, folder, volumes):
        self._folder = str(folder / "disks")
        self._ids = {id: id for id in (APPLIANCE_VM, OFFERING_CUSTOM, ZONE)}
        self._serials = {serial_of(id): serial_of(self._id(id)) for id in volumes}

    def __call__(self, value, name=None):
        if name in FIGURES:
            return FIGURES[name]
        if name == "cloudstack_reads":      # some are asked only now and then
            return dict.fromkeys(value, "healthy")
        if isinstance(value, dict):
            made = {key: self(member, key) for key, member in value.items()}
            return self._fresh(made) if value.get("status") == "pending" and "time_spent" in value else made
        if isinstance(value, list):
            return [self(item, name) for item in value]
        return self._text(value, name) if isinstance(value, str) else value

    def _fresh(self, operation):
        """Nothing has happened since its beginning."""
        return operation | {"updated_at": BEGIN, "time_spent": dict.fromkeys(operation["time_spent"], 0)}

    def _text(self, text, name):
        if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text):
            return TIMES.get(name, TIMES["updated_at"])
        text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0000", "2026-03-02T09:30:02+0000", text)    # CloudStack's
        text = _UUID.sub(lambda found: self._id(found[0]), text.replace(self._folder, ""))
        for serial, made in self._serials.items():
            text = text.replace(serial, made)
        text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:40312", text)
        return re.sub("vold_[0-9a-f]{64}", "vold_" + "0123456789abcdef" * 4, text)

    def _id(self, id):
        """Of the daemon's ids one of version 7, as they are; of CloudStack's one that looks like those."""
        number = len(self._ids)
        made = f"019cadf2-7d{number:02x}-7f3a-9c51-2b8e64d0a1c7" if id[14] == "7" else \
            f"6f1d{number:02x}c4-83b0-4e57-a9d2-5c07e8f4b136"
        return self._ids.setdefault(id, made)


# ---- the story ----

class Story:
    """Requests by the names of their operations, with their answers."""

    def __init__(self, world):
        self.world, self.daemon = world, world.daemon
        self.told, self.errors = {}, {}

    def ask(self, name, /, **arguments):
        verb, target, body = openapi.request(name, arguments)
        answer = self.daemon.rest(verb, target, body)
        assert answer.status in (200, 201), (name, answer)
        self.told.setdefault(name, (arguments, answer.json))
        return answer.json

    def change(self, name, /, **arguments):
        return self.daemon.completed(self.ask(name, **arguments))

    def refused(self, status, verb, target, body=None, headers=None):
        answer = self.daemon.rest(verb, target, body, headers)
        assert answer.status == status, answer
        self.errors[status] = answer.json


def play(story):
    world, ask, change = story.world, story.ask, story.change
    with Stream(world.daemon) as stream:
        created = change("volume.create", name="db1-data", size=5 * GIB, disk_offering_id=OFFERING_CUSTOM, zone_id=ZONE)
        volume = created["volume_id"]
        attached = change("volume.attach", volume_id=volume, vm_id=APPLIANCE_VM)
        story.told["event.stream"] = ({}, stream.ended(attached["id"]).data)
    ask("operation.list", volume_id=volume, limit=1)
    ask("operation.get", operation_id=attached["id"], wait=30)
    # That of an attachment has one more row, in the step in which the disk comes.
    ask("operation.history", operation_id=created["id"])
    ask("volume.get", volume_id=volume)
    ask("volume.list", name="db1-data", limit=10)
    ask("volume.device", volume_id=volume)
    with held(world, "vdb"):
        ask("volume.users", volume_id=volume)
    ask("vm.volumes", vm_id=APPLIANCE_VM)
    ask("vm.list", name=next(vm["name"] for vm in world.cloud.state()["vms"] if vm["id"] == APPLIANCE_VM))
    ask("offering.list", limit=1)
    ask("zone.list", limit=1)
    ask("right.list")
    ask("mapping.list")
    ask("device.list")
    ask("device.volume", device="vdb")
    ask("export.get", volume_id=volume)
    ask("export.list", status="active", limit=10)
    ask("export.create", volume_id=volume, vm_name="db1", disk_number=1)
    ask("export.validate")
    ask("export.cleanup", dry_run=True)
    ask("export.cleanup-age", max_age_hours=48, dry_run=True)
    ask("export.orphans")
    ask("health.get")
    ask("metrics.get")
    ask("snapshot.track", volume_uuid=volume, vm_context_id="ctx-db1", snapshot_id="before-upgrade")
    ask("snapshot.update", id=volume, snapshot_status="ready")
    ask("snapshot.list", vm_context_id="ctx-db1")
    ask("snapshot.untrack", vm_context_id="ctx-db1")
    change("volume.resize", volume_id=volume, size=10 * GIB)
    taken = change("volume.snapshot", volume_id=volume, name="before-upgrade")["response"]["snapshot_id"]
    ask("volume.snapshots", volume_id=volume)
    ask("export.delete", volume_id=volume)
    change("volume.detach", volume_id=volume)
    change("volume.revert", id=taken)
    change("volume.delete-snapshot", id=taken)
    ask("admin.force-sync", dry_run=True)
    world.daemon.configure(reconcile={"interval": "2min"})
    ask("admin.reload")
    ask("token.create", name="backup", scope="change")
    ask("token.list")
    ask("token.revoke", name="backup")

    root = world.volume(8, name="web1-root")
    change("volume.attach-root", volume_id=root, vm_id=world.rootless_vm())
    tested, test = world.on_test_vm(name="db1-test")
    change("volume.cleanup", test_vm_id=test, volume_id=tested, oma_vm_id=APPLIANCE_VM, delete_vm=False)
    refuse(story, volume, tested)
    settle(story, volume, tested)
    change("volume.delete", volume_id=volume)


@contextmanager
def held(world, disk):
    """A disk under a device of the device mapper."""
    block = world.folder / "disks/block"
    (block / "dm-0").mkdir()
    (block / "dm-0/dev").write_text("253:0\n")
    (block / disk / "holders/dm-0").mkdir()
    yield
    (block / disk / "holders/dm-0").rmdir()
    shutil.rmtree(block / "dm-0")


def settle(story, volume, gone):
    """What an administrator is for: a pause; an attachment whose disk does not come, and which CloudStack does not take
    back when it is cancelled; a disk that is gone."""
    world, cloud = story.world, story.world.cloud
    cloud.set_faults([{"do": "no_plug", "command": "attachVolume"},
                      {"do": "job_fail", "code": 530, "command": "detachVolume", "times": 0,
                       "text": "Failed to detach volume db1-data from VM appliance"}])
    begun = story.daemon.attach(volume)
    eventually(lambda: story.daemon.operation(begun["id"]).get("step") == "await-device", "it awaits its disk")
    story.ask("operation.cancel", operation_id=story.daemon.detach(volume)["id"])
    story.ask("admin.pause", reason="the storage is moved to another rack")
    story.refused(503, "POST", f"/api/v1/volumes/{volume}/resize", {"size": 20 * GIB})
    story.daemon.rest("POST", f"/api/v1/operations/{begun['id']}/cancel")
    assert story.daemon.ended(begun)["needs_attention"]
    cloud.set_faults([])
    cloud.detach_behind(volume)
    story.ask("operation.resolve", **{"operation_id": begun["id"], "as": "undone"})
    cloud.detach_behind(gone)
    story.ask("volume.forget", volume_id=gone)
    story.ask("admin.resume", reason="the storage is moved")


def refuse(story, volume, mapped):
    """One error of each status."""
    refused, path = story.refused, f"/api/v1/volumes/{volume}"
    refused(400, "POST", f"{path}/resize", {"size": GIB // 2})
    refused(401, "GET", "/api/v1/volumes", headers={"Authorization": "Bearer vold_mistyped"})
    refused(403, "GET", "/api/v1/volumes", headers={"Origin": "https://www.example.org"})
    refused(404, "GET", f"{path}/device")
    refused(409, "POST", f"/api/v1/volumes/{mapped}/forget")
    refused(413, "POST", "/api/v1/volumes", b" " * (1 << 20) + b"{}")
    refused(415, "POST", f"{path}/detach", "{}", {"Sec-Fetch-Mode": "cors"})
    story.world.cloud.set_faults([{"do": "status", "code": 431, "command": "listZones", "times": 0,
                                   "text": "Unable to find the zone"}])
    refused(422, "GET", "/api/v1/zones")
    story.world.cloud.set_faults([])
    refused(421, "GET", "/api/v1/volumes", headers={"Host": "www.example.org"})


# ---- the document ----

C_FILE = """\
/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the daemon has answered in a story that tests/system/e2e/test_examples.py plays, with the
 * same ids, times and figures each time. The test compares each row with a new answer, and writes
 * this file anew if an answer is another one.
 *
 * JSON() makes a text of its arguments as they stand here; a line end becomes a space.
 */

#include "api/rest/openapi_examples.h"

#include <stddef.h>

#include "base/util.h"

#define JSON(...) #__VA_ARGS__

/* clang-format off */
static const struct example {{
	const char *operation;
	const char *arguments;
	const char *answer;
}} examples[] = {{
{examples}}};

static const struct error_example {{
	int status;
	const char *answer;
}} error_examples[] = {{
{errors}}};
/* clang-format on */

static const struct example *find(const char *operation)
{{
	for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {{
		if (streq(examples[i].operation, operation))
			return &examples[i];
	}}
	return NULL;
}}

const char *openapi_example_arguments(const char *operation)
{{
	const struct example *example = find(operation);

	return example ? example->arguments : NULL;
}}

const char *openapi_example_answer(const char *operation)
{{
	const struct example *example = find(operation);

	return example ? example->answer : NULL;
}}

const char *openapi_example_error(int status)
{{
	for (size_t i = 0; i < ARRAY_SIZE(error_examples); i++) {{
		if (error_examples[i].status == status)
			return error_examples[i].answer;
	}}
	return NULL;
}}
"""
WIDTH = 84


def in_c(value):
    """A value in JSON(), in lines that end behind a comma."""
    lines, line, part = [], "JSON(", ""
    for token in re.findall(r'"(?:[^"\\]|\\.)*"|.', json.dumps(value, ensure_ascii=False) + ")"):
        part += token
        if token == ")" or part.endswith(", "):
            if len(line + part.rstrip()) > WIDTH and line != "JSON(":
                lines.append(line.rstrip())
                line = "     "
            line, part = line + part, ""
    return "\n\t  ".join([*lines, line])


def c_file(told, errors):
    """The source file of these examples."""
    names = [name for name in [*on_every_surface(), "event.stream"] if name in told]
    examples = "".join(f'\t{{ "{name}",\n\t  {in_c(told[name][0])},\n\t  {in_c(told[name][1])} }},\n' for name in names)
    refusals = "".join(f"\t{{ {status},\n\t  {in_c(errors[status])} }},\n" for status in sorted(errors))
    return C_FILE.format(examples=examples, errors=refusals)


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """The story's requests and answers, and its errors, as they have to stand in the document."""
    folder = tmp_path_factory.mktemp("examples")
    world = World(folder, export={"engine": "nbdkit"})
    try:
        story = Story(world.start())
        play(story)
        plain = Plain(folder, [volume["id"] for volume in world.cloud.state()["volumes"]])
    finally:
        world.close()
    return {name: tuple(map(plain, both)) for name, both in story.told.items()}, plain(story.errors)


def example_of(name):
    """Arguments and answer of an operation's example; None: there is none."""
    verb, path, found = openapi.described(name)
    arguments = {p["name"]: p["example"] for p in found["parameters"] if "example" in p}
    if "requestBody" in found:
        arguments |= found["requestBody"]["content"]["application/json"].get("example", {})
    ((_, content),) = next(found["responses"][status] for status in ("201", "200")
                           if status in found["responses"])["content"].items()
    answer = content.get("example")
    if name == "event.stream":
        answer = json.loads(re.search("^data: (.*)$", answer, re.MULTILINE)[1])
    return arguments, answer


def error_examples():
    """The example of each status, None if there is none."""
    return {int(name.removeprefix("error_")): response["content"]["application/json"].get("example")
            for name, response in openapi.document()["components"]["responses"].items()}


def test_each_example_is_what_the_daemon_answers(story):
    told, errors = story
    other = [name for name, both in told.items() if example_of(name) != both]
    other += [status for status, answer in errors.items() if error_examples()[status] != answer]
    if other:
        made = Path(os.environ["VOLD_BUILD"]) / "openapi_examples.c"
        made.write_text(c_file(told, errors))
        pytest.fail(f"the daemon answers {', '.join(map(str, other))} otherwise; if it should: cp {made} src/api/rest/")


def test_each_request_and_each_error_has_an_example(story):
    told, errors = story
    assert told.keys() == {*on_every_surface(), "event.stream"}
    assert {status for status, example in error_examples().items() if not example} == set(WITHOUT_EXAMPLE)


@pytest.mark.parametrize("name", [*on_every_surface(), "event.stream"])
def test_each_example_keeps_to_its_schema(name):
    arguments, answer = example_of(name)
    for argument, value in arguments.items():
        assert openapi.faults(openapi.arguments(name)[argument][1], value) == [], (name, argument)
    assert {*openapi.required(name)} <= arguments.keys()
    if name == "event.stream":
        openapi.check_event(answer["kind"], answer)
        return
    _, _, found = openapi.described(name)
    status = "201" if "201" in found["responses"] else "200"
    assert openapi.faults(found["responses"][status]["content"]["application/json"]["schema"], answer) == []


def test_each_error_s_example_keeps_to_its_schema():
    for status, example in error_examples().items():
        if example:
            shapes.ERROR.check(example)
            assert shapes.STATUS_OF[example["code"]] == status
            assert openapi.faults({"$ref": "#/components/schemas/error"}, example) == []
