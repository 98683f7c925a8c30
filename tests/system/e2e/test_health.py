# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the daemon can still do when what it needs is away, and what it says about itself.

Without CloudStack everything known is still true, so questions are answered and only changes are
refused, with a word on when to ask again. Without sight of the kernel's disks answers could be
wrong, and then the daemon says so where monitoring looks. It recovers without a restart.
"""

import pytest
from cloudsim import APPLIANCE_VM, GIB, OFFERING_CUSTOM, ZONE
from support.py import shapes
from support.py.waiting import eventually

NOBODY = "00000000-0000-4000-8000-000000000000"


def health(daemon, status=200):
    answer = daemon.rest("GET", "/health")
    assert answer.status == status, answer
    return shapes.HEALTH.check(answer.json)


def assert_changes_refused(daemon, *words):
    new = {"name": "data", "size": GIB, "disk_offering_id": OFFERING_CUSTOM, "zone_id": ZONE}
    for verb, path, body in (("POST", "/api/v1/volumes", new),
                             ("POST", f"/api/v1/volumes/{NOBODY}/attach", {"vm_id": APPLIANCE_VM}),
                             ("POST", f"/api/v1/volumes/{NOBODY}/detach", None),
                             ("DELETE", f"/api/v1/volumes/{NOBODY}", None)):
        answer = daemon.rest(verb, path, body)
        assert answer.status == 503 and int(answer.headers["Retry-After"]) > 0, answer
        error = shapes.ERROR.check(answer.json)
        assert error["code"] == "SERVICE_UNAVAILABLE"
        assert all(word in error["error"] for word in words), error
    # What is wrong is wrong, whoever is away.
    assert daemon.rest("POST", "/api/v1/volumes", {**new, "size": 1}).status == 400


def assert_local_questions_answered(daemon):
    assert [d["bus"] for d in daemon.get("/api/v1/devices")["devices"]] == ["virtio"]
    assert daemon.get("/api/v1/operations") == []
    assert daemon.get("/api/v1/mappings") == {"mappings": [], "count": 0}


def test_no_cloudstack_configured(make_world):
    world = make_world(start=False, cloud={"url": None, "api_key_file": None,
                                           "secret_key_file": None})
    world.bus.start()
    world.daemon.start()
    told = health(world.daemon)
    assert told["status"] == "degraded" and told["cloudstack_health"] == "not configured"
    assert told["database_health"] == told["device_monitor"] == "healthy"
    assert_changes_refused(world.daemon, "cloud.url", "cloud.api_key_file")
    assert_local_questions_answered(world.daemon)
    for path in ("/api/v1/volumes", f"/api/v1/volumes/{NOBODY}", f"/api/v1/vms/{NOBODY}/volumes"):
        assert world.daemon.rest("GET", path).status == 503
    done = world.daemon.ctl("health", "--json")
    assert done.returncode == 1 and '"degraded"' in done.stdout
    assert world.daemon.ctl("delete", NOBODY).returncode == 17


def test_cloudstack_away_from_the_start_until_it_comes(make_world):
    world = make_world(start=False)
    world.cloud.down()
    world.bus.start()
    world.daemon.start()
    told = eventually(lambda: (h := health(world.daemon))["status"] == "degraded"
                      and "could not be asked" in h["cloudstack_health"] and h, "the refusal")
    assert told["details"]["known_volumes"] == 0
    assert_changes_refused(world.daemon, "CloudStack cannot be asked")
    assert_local_questions_answered(world.daemon)
    # An empty list would be a lie.
    assert world.daemon.rest("GET", "/api/v1/volumes").status == 503
    world.cloud.up()
    world.daemon.wait_healthy()
    assert world.daemon.get("/api/v1/volumes")["volumes"]
    world.attached()


def test_cloudstack_goes_and_comes_back(make_world):
    world = make_world(reconcile={"interval": "1s"})
    volume, path = world.attached()
    world.cloud.down()
    # One lost answer is no absence yet; the next one is.
    eventually(lambda: not health(world.daemon)["details"]["accepting_changes"], "its absence")
    assert health(world.daemon)["status"] == "degraded"
    assert_changes_refused(world.daemon, "CloudStack cannot be asked")
    # What is known stays known.
    assert world.daemon.get(f"/api/v1/volumes/{volume}")["device_path"] == path
    assert world.daemon.get(f"/api/v1/volumes/{volume}/device")["device_path"] == path
    assert volume in [v["volume_id"] for v in world.daemon.get("/api/v1/volumes")["volumes"]]
    assert world.daemon.rest("GET", f"/api/v1/volumes/{volume}?refresh=true").status == 503
    world.cloud.up()
    world.daemon.wait_healthy()
    world.daemon.completed(world.daemon.detach(volume))


def test_wrong_keys_are_named_and_not_told(make_world):
    world = make_world(start=False)
    (world.folder / "secret-key").write_text("quite-another-secret\n")
    world.bus.start()
    world.daemon.start()
    told = eventually(lambda: (h := health(world.daemon))["status"] == "degraded"
                      and "401" in h["cloudstack_health"] and h, "the refusal")
    assert "secret key" in told["cloudstack_health"]
    assert "quite-another-secret" not in world.daemon.text


def test_the_kernel_s_disks_out_of_sight(world):
    block = world.folder / "disks/block"
    block.rename(block.with_name("hidden"))
    told = eventually(lambda: (a := world.daemon.rest("GET", "/health")).status == 503 and a.json,
                      "the monitor's complaint")
    assert shapes.HEALTH.check(told)["status"] == "unhealthy"
    assert str(block) in told["device_monitor"] and told["cloudstack_health"] == "healthy"
    assert world.daemon.ctl("health").returncode == 17
    block.with_name("hidden").rename(block)
    eventually(lambda: world.daemon.rest("GET", "/health").status == 200, "health")
    world.attached()


def test_an_appliance_that_does_not_know_itself(make_world):
    """Without its own id it cannot know which attachments are to itself."""
    world = make_world(start=False, appliance={"vm_id": None})
    world.bus.start()
    world.daemon.start()
    eventually(lambda: health(world.daemon)["cloudstack_health"] == "healthy", "the cloud")
    told = health(world.daemon)
    assert told["status"] == "degraded" and "appliance.vm_id" in told["device_monitor"]
    assert told["details"]["appliance_id"] == ""


def test_the_appliance_s_id_from_the_machine(make_world):
    world = make_world(start=False, appliance={"vm_id": None})
    product = world.folder / "disks/class/dmi/id/product_uuid"
    product.parent.mkdir(parents=True)
    product.write_text(APPLIANCE_VM.upper() + "\n")
    world.start()
    assert health(world.daemon)["details"]["appliance_id"] == APPLIANCE_VM
    world.assert_is(world.attached()[1], world.data_volumes()[0]["id"])


def test_figures(world):
    before = health(world.daemon)["details"]
    assert before["polling_interval"] == "50ms" and before["active_operations"] == 0
    world.cloud.set(job_delay=3600)
    operation = world.daemon.attach(world.volume())
    world.cloud.wait_request("queryAsyncJobResult")
    during = health(world.daemon)["details"]
    assert during["active_operations"] == 1
    world.cloud.restart()
    world.daemon.failed(operation)
    world.cloud.set(job_delay=0)
    world.attached()
    after = health(world.daemon)["details"]
    assert after["active_operations"] == 0 and after["active_mappings"] == 1
    for name in ("cloudstack_api_calls", "database_transactions", "device_events_processed"):
        assert after[name] > before[name], name


@pytest.mark.parametrize("limit", [1, 3])
def test_more_operations_than_are_allowed_at_a_time(make_world, limit):
    world = make_world(operations={"max": limit})
    world.cloud.set(job_delay=3600)
    machines = [world.cloud.put_vm(name=f"machine-{i}")["id"] for i in range(limit)]
    operations = [world.daemon.attach(world.volume(), machine) for machine in machines]
    answer = world.daemon.rest("POST", f"/api/v1/volumes/{world.volume()}/attach",
                               {"vm_id": APPLIANCE_VM})
    assert answer.status == 429 and answer.json["code"] == "TOO_MANY_REQUESTS"
    assert answer.headers["Retry-After"]
    world.await_jobs("attachVolume", limit)
    world.cloud.restart()
    for operation in operations:
        world.daemon.failed(operation)
    world.cloud.set(job_delay=0)
    world.attached()


def test_a_rate_limit_is_told(world):
    # Refused until health has told, however late that is asked.
    world.cloud.set_faults([{"do": "status", "code": 429, "command": "listVolumes",
                             "text": "please retry after [3000] ms", "times": 0}])
    operation = world.daemon.attach(world.volume())
    told = eventually(lambda: (h := health(world.daemon))["details"]["cloudstack_throttled"] and h,
                      "the rate limit")
    world.cloud.set_faults([])
    assert told["status"] == "degraded"
    assert "limits" in told["cloudstack_health"] and "ms" in told["cloudstack_health"]
    assert told["details"]["accepting_changes"]     # they wait in line
    world.daemon.completed(operation)
    world.daemon.wait_healthy()
    after = health(world.daemon)["details"]
    refused = [request for request in world.cloud.requests() if request["outcome"] == 429]
    assert not after["cloudstack_throttled"] and after["cloudstack_throttled_count"] == len(refused) > 0


def reads_of(daemon):
    return health(daemon)["details"]["cloudstack_reads"]


def test_each_read_of_cloudstack_has_its_own_word(make_world):
    """CloudStack may answer one command and refuse another."""
    world = make_world(reconcile={"interval": "1s"})
    reads = reads_of(world.daemon)
    assert reads["listVolumes"] == "healthy" and reads["queryAsyncJobResult"] == "not asked yet"
    assert not any(command.startswith(("create", "attach", "detach")) for command in reads)
    world.attached()
    world.cloud.set_faults([{"do": "status", "code": 530, "text": "no such luck", "command": "listVolumes", "times": 0}])
    reads = eventually(lambda: "no such luck" in (r := reads_of(world.daemon))["listVolumes"] and r, "the failing list")
    assert reads["queryAsyncJobResult"] == "healthy"
    world.cloud.set_faults([])
    eventually(lambda: reads_of(world.daemon)["listVolumes"] == "healthy", "the list")


def test_the_clock_is_judged_by_itself(world):
    assert health(world.daemon)["details"]["clock"] == "healthy"
