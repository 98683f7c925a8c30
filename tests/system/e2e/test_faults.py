# SPDX-License-Identifier: LGPL-2.1-or-later
"""What goes wrong at CloudStack, on the way there, and here.

CloudStack goes away, restarts and forgets; the daemon is stopped or killed in the middle. Whatever
it was, there is one volume and not two, one attachment and not two, and the last word on an
operation is true. What each single request can meet is the matter of tests/system/faults.
"""

from dataclasses import dataclass

import pytest
from cloudsim import APPLIANCE_VM, GIB, OFFERING_CUSTOM, OTHER_VM, ZONE
from support.py import shapes
from support.py.waiting import eventually

FOREVER = 3600.0
ALL = ("create", "attach", "detach", "delete")


class Life:
    """Four volumes at the four turns of a life, all of which are taken at the same time."""

    def __init__(self, world):
        self.world, self.daemon = world, world.daemon
        self.volumes = {"attach": world.volume(), "detach": world.attached()[0],
                        "delete": world.volume()}
        self.name = "new one"

    def begin(self, turn):
        """Changes are refused while the cloud is not well; a client then asks again."""
        asks = {"create": lambda: ("POST", "/api/v1/volumes", self._new()),
                "attach": lambda: ("POST", self._path("attach") + "/attach",
                                   {"vm_id": APPLIANCE_VM}),
                "detach": lambda: ("POST", self._path("detach") + "/detach"),
                "delete": lambda: ("DELETE", self._path("delete"))}

        def ask():
            answer = self.daemon.rest(*asks[turn]())
            assert answer.status in (201, 503), answer
            return answer.status == 201 and answer.json

        return eventually(ask, f"{turn} is accepted")

    def _path(self, turn):
        return f"/api/v1/volumes/{self.volumes[turn]}"

    def _new(self):
        return {"name": self.name, "size": GIB, "zone_id": ZONE,
                "disk_offering_id": OFFERING_CUSTOM}

    def check(self, turn, record, rule):
        """Is what the operation says last what the cloud and the guest say?"""
        getattr(self, f"_check_{turn}")(record, record["status"] == "completed", rule)

    def _check_create(self, record, completed, rule):
        found = [v for v in self.world.data_volumes() if v["name"].startswith(self.name)]
        assert [v["id"] for v in found] == ([record["volume_id"]] if completed else [])
        # A volume that could not be renamed works under its longer name.
        if completed and rule["do"] not in ("status", "job_fail"):
            assert found[0]["name"] == self.name

    def _check_attach(self, record, completed, rule):
        volume = self.volumes["attach"]
        disks = self.world.disks_of(volume)
        if completed:
            assert self.world.cloud.volume(volume)["vm"] == APPLIANCE_VM
            assert [self.world.path(name) for name in disks] == [record["response"]["device_path"]]
        else:
            assert self.world.cloud.volume(volume)["vm"] is None
            # Where CloudStack does not know of a disk, it cannot be asked to take it away.
            assert not disks or rule.get("effect")
            assert self.daemon.rest("GET", self._path("attach") + "/device").status == 404

    def _check_detach(self, record, completed, rule):
        volume = self.volumes["detach"]
        attached = self.world.cloud.volume(volume)["vm"] == APPLIANCE_VM
        answer = self.daemon.rest("GET", self._path("detach") + "/device")
        assert attached == (not completed) and answer.status == (404 if completed else 200)
        if completed:
            assert self.world.disks_of(volume) == []
        elif not rule.get("effect"):
            self.world.assert_is(answer.json["device_path"], volume)

    def _check_delete(self, record, completed, rule):
        assert self.world.cloud.volume(self.volumes["delete"])["removed"] == completed


# ---- CloudStack goes away and comes back ----

@pytest.mark.parametrize("command", ["attachVolume", "queryAsyncJobResult"])
def test_cloudstack_down_in_mid_attach_is_waited_for(make_world, command):
    """Longer than a job may take: silence is no reason to give up."""
    world = make_world(cloud={"job_wait": "1s"})
    volume = world.volume()
    # A query that is answered while CloudStack goes away finds no end of the job.
    world.cloud.set(job_delay=FOREVER, plug_delay=FOREVER)
    world.cloud.set_faults([{"do": "refuse_connect", "seconds": FOREVER, "command": command}])
    operation = world.daemon.attach(volume)
    world.cloud.wait_request(command)
    # Whether the request has arrived is asked first. Well over a second of these questions:
    tries = {"attachVolume": 3, "queryAsyncJobResult": 7}[command]
    since = len(world.daemon.log)
    for _ in range(tries):
        world.daemon.log.wait(lambda line: "queryAsyncJobResult: HTTP 0" in line, since)
        since = 1 + next(i for i, line in enumerate(world.daemon.log.all())
                         if i >= since and "queryAsyncJobResult: HTTP 0" in line)
    assert world.daemon.operation(operation["id"])["status"] == "executing"
    assert world.daemon.health()["status"] == "degraded"
    world.cloud.set(job_delay=0, plug_delay=0)
    world.cloud.hurry()
    world.cloud.up()
    world.assert_is(world.daemon.completed(operation)["response"]["device_path"], volume)


@pytest.mark.parametrize("effects", [False, True])
def test_a_restart_of_cloudstack_loses_jobs(world, effects):
    """The volume is looked at, and what the operations say then is what is."""
    life = Life(world)
    rule = {"do": "restart", "effect": effects}
    commands = ("createVolume", "attachVolume", "detachVolume", "destroyVolume")
    for turn, command in zip(ALL, commands):
        world.cloud.set(job_delay=FOREVER, plug_delay=FOREVER)
        world.cloud.clear_requests()
        operation = life.begin(turn)
        world.await_jobs(command)
        world.cloud.wait_request("queryAsyncJobResult")
        world.cloud.set(job_delay=0)
        world.cloud.restart(effects)
        record = shapes.check_ended(world.daemon.ended(operation))
        done = turn in ("create", "delete")
        assert record["status"] == ("completed" if done else "failed"), record
        life.check(turn, record, rule)


def test_a_wrong_clock_does_not_matter(world):
    world.cloud.set_faults([{"do": "date_skew", "seconds": 3600, "times": 0}])
    volume = world.volume()
    world.daemon.completed(world.daemon.attach(volume))
    world.daemon.completed(world.daemon.detach(volume))
    refused = [r["command"] for r in world.cloud.requests() if r["outcome"] == 401]
    # The first of them led to the question for the time.
    assert "listCapabilities" in refused
    assert len([command for command in refused if command != "listCapabilities"]) <= 3, refused
    world.daemon.wait_healthy()
    ahead = world.daemon.health()["details"]["cloudstack_clock_ahead_ms"]
    assert 3590_000 < ahead < 3610_000
    assert "ahead of the clock here" in world.daemon.health()["details"]["clock"]


def test_a_clock_wrong_by_days_is_named_and_recovered_from(world):
    world.cloud.set(enforce_post=False)
    world.cloud.set_faults([{"do": "date_skew", "seconds": 2 * 86400, "times": 0}])
    volume = world.volume()
    operation = world.daemon.attach(volume)
    world.cloud.wait_request("listVolumes", 2)
    text = eventually(lambda: (h := world.daemon.health())["status"] == "degraded"
                      and h["cloudstack_health"], "the cloud's refusal")
    assert "401" in text and "clock" in text and "more than a day" in text, text
    assert "key is wrong" not in text, text
    world.cloud.clear_faults()
    world.daemon.completed(operation)
    world.daemon.wait_healthy()


# ---- the daemon ends in mid-operation ----

@dataclass
class Point:
    """A place in an operation where it can be held: by these faults, as soon as that request has
    come, and for steps without a request when it is there."""

    name: str
    begin: object
    command: str
    rules: list
    count: int = 1
    step: str | None = None
    release: object = None      # what else it needs to go on
    ends: str = "completed"
    config: dict | None = None


def _attach(world, volume):
    return world.daemon.attach(volume)


def _remote(world, volume):
    return world.daemon.attach(volume, OTHER_VM)


def _detach(world, volume):
    return world.daemon.detach(volume)


def _delete(world, volume):
    return world.daemon.delete(volume)


def _resize(world, volume):
    return world.daemon.resize(volume, 2)


def _create(world, volume):
    return world.daemon.create(name="new one")


def _always(command, do="slow", **options):
    return {"do": do, "command": command, "times": 0,
            **({"seconds": FOREVER} if do == "slow" else {}), **options}


_NO_JOB = _always("queryAsyncJobResult", "status", code=530)

POINTS = (
    Point("create: asked", _create, "createVolume", [_always("createVolume")]),
    Point("create: asked and lost", _create, "createVolume",
          [_always("createVolume", "cut_after"), _always("queryAsyncJobResult")]),
    Point("create: job", _create, "queryAsyncJobResult", [_NO_JOB]),
    Point("create: rename", _create, "updateVolume", [_always("updateVolume")]),
    Point("attach: check", _attach, "listVolumes", [_always("listVolumes")], count=2),
    Point("attach: asked", _attach, "attachVolume", [_always("attachVolume")]),
    Point("attach: asked and lost", _attach, "attachVolume",
          [_always("attachVolume", "cut_after")]),
    Point("attach: job", _attach, "queryAsyncJobResult", [_NO_JOB]),
    Point("attach: device", _attach, "attachVolume", [_always("attachVolume", "no_plug")],
          step="await-device",
          release=lambda world, volume: world.cloud.plug_volume(volume, GIB)),
    Point("attach elsewhere: job", _remote, "queryAsyncJobResult", [_NO_JOB]),
    Point("attach: taking back", _attach, "detachVolume",
          [_always("attachVolume", "no_plug"), _always("detachVolume")], ends="failed",
          config={"device": {"wait": "500ms"}}),
    Point("detach: asked", _detach, "detachVolume", [_always("detachVolume")]),
    Point("detach: job", _detach, "queryAsyncJobResult", [_NO_JOB]),
    Point("detach: gone", _detach, "detachVolume", [_always("detachVolume", "no_plug")],
          step="await-gone", release=lambda world, volume: world.cloud.unplug_volume(volume)),
    Point("resize: asked", _resize, "resizeVolume", [_always("resizeVolume")]),
    Point("resize: asked and lost", _resize, "resizeVolume",
          [_always("resizeVolume", "cut_after")]),
    Point("resize: job", _resize, "queryAsyncJobResult", [_NO_JOB]),
    Point("resize: size", _resize, "resizeVolume", [_always("resizeVolume", "no_plug")],
          step="await-size",
          release=lambda world, volume: world.cloud.resize_plugged(volume, 2 * GIB)),
    Point("delete: asked", _delete, "destroyVolume", [_always("destroyVolume")]),
    Point("delete: asked and lost", _delete, "destroyVolume",
          [_always("destroyVolume", "cut_after")]),
    Point("delete: job", _delete, "queryAsyncJobResult", [_NO_JOB]),
)


@pytest.mark.parametrize("end", ["stop", "kill"])
@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_an_operation_goes_on_after_the_next_start(make_world, point, end):
    world = make_world(**(point.config or {}))
    volume = world.volume(name="old one")
    operation = held(world, point, volume)
    getattr(world.daemon, end)()
    world.cloud.clear_faults()
    world.daemon.start()
    if point.release:
        point.release(world, volume)
    record = shapes.check_ended(world.daemon.ended(operation))
    assert record["status"] == point.ends, record
    assert record["id"] == operation["id"]
    check_once(world, record, volume)


def held(world, point, volume):
    """Begin the operation and wait until it stands at the point."""
    if point.begin in (_detach, _resize):
        world.daemon.completed(world.daemon.attach(volume))
    world.cloud.clear_requests()
    world.cloud.set_faults(point.rules)
    operation = point.begin(world, volume)
    world.cloud.wait_request(point.command, point.count)
    if point.step:
        eventually(lambda: world.daemon.operation(operation["id"]).get("step") == point.step,
                   point.step)
    return operation


def check_once(world, record, volume):
    """Everything happened, and happened once."""
    new = [v for v in world.data_volumes() if v["name"].startswith("new one")]
    assert len(new) == (record["type"] == "create")
    if new:
        assert new[0]["id"] == record["volume_id"] and new[0]["name"] == "new one"
    row = world.cloud.volume(volume)
    attached = record["type"] in ("attach", "resize") and record["status"] == "completed"
    assert row["vm"] == (record["vm_id"] if attached else None)
    assert row["removed"] == (record["type"] == "delete")
    disks = [world.path(name) for name in world.disks_of(volume)]
    if attached and record["vm_id"] == APPLIANCE_VM:
        assert disks == [record["response"]["device_path"]]
    else:
        assert disks == []
    mappings = [m["volume_id"] for m in world.daemon.get("/api/v1/mappings")["mappings"]]
    assert mappings == ([volume] if attached else [])
    assert row["size"] == (2 * GIB if record["type"] == "resize" else GIB)


def test_operations_that_wait_keep_their_order_over_a_restart(world):
    volume = world.volume()
    world.cloud.set(job_delay=1.0)
    attach = world.daemon.attach(volume)
    world.cloud.wait_request("attachVolume")
    later = [world.daemon.detach(volume), world.daemon.attach(volume, OTHER_VM),
             world.daemon.delete(volume)]
    world.daemon.kill()
    world.cloud.set(job_delay=0)
    world.daemon.start()
    ended = [world.daemon.completed(operation) for operation in (attach, *later)]
    assert [r["completed_at"] for r in ended] == sorted(r["completed_at"] for r in ended)
    assert world.data_volumes() == []


def test_many_kills_in_one_life(world):
    """A daemon that dies again and again, a moment after each start, still gets there."""
    world.cloud.set_faults([{"do": "cut_after", "times": 2, "command": command} for command in
                            ("createVolume", "updateVolume", "attachVolume", "resizeVolume",
                             "detachVolume", "destroyVolume")])

    def through(operation):
        for _ in range(2):
            world.daemon.kill()
            world.daemon.start()
        return world.daemon.completed(operation)

    volume = through(world.daemon.create(name="new one"))["volume_id"]
    world.daemon.wait_healthy()
    path = through(world.daemon.attach(volume))["response"]["device_path"]
    world.assert_is(path, volume)
    assert [v["id"] for v in world.data_volumes()] == [volume]
    world.daemon.wait_healthy()
    assert through(world.daemon.resize(volume, 2))["response"]["size"] == 2 * GIB
    world.daemon.wait_healthy()
    through(world.daemon.detach(volume))
    world.daemon.wait_healthy()
    through(world.daemon.delete(volume))
    assert world.data_volumes() == []


# ---- what the kernel keeps ----

def test_a_disk_that_does_not_go_needs_attention(make_world):
    world = make_world(device={"wait": "500ms"})
    volume, path = world.attached()
    world.cloud.set_faults([{"do": "no_plug", "command": "detachVolume"}])
    record = shapes.check_ended(world.daemon.failed(world.daemon.detach(volume)))
    assert record["needs_attention"] is True and record["error_code"] == "TIMEOUT"
    assert path in record["error"]
