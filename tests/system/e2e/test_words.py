# SPDX-License-Identifier: LGPL-2.1-or-later
"""What errors say: what happened, why, and what helps, in words that a person can act on."""

import pytest
from cloudsim import APPLIANCE_VM
from support.py.certificates import FAULTS, Authority, joined
from support.py.harness import NAME
from support.py.stores import any_store, each_store
from support.py.waiting import eventually

from .surfaces import object_path

pytestmark = any_store


def told_by_health(world, *words):
    """Wait until health shows these words as the reason of CloudStack's trouble; the whole text."""
    texts = []

    def look():
        texts[:] = [world.daemon.health()["cloudstack_health"]]
        return all(word in texts[0] for word in words)

    try:
        eventually(look, f"health says {words}")
    except AssertionError as error:
        raise AssertionError(f"{error}: {texts}") from None
    return texts[0]


# ---- the way to CloudStack ----

def test_a_redirect_names_the_address_to_configure(make_world):
    world = make_world(start=False)
    world.cloud.set(redirect="https://me:opensesame@cloud.example.org:8443/elsewhere")
    world.bus.start()
    world.daemon.start()
    text = told_by_health(world, "redirects", "HTTP 302")
    assert "set cloud.url to https://cloud.example.org:8443/client/api" in text
    assert not [secret for secret in ("opensesame", "signature", world.cloud.api_key)
                if secret in text + world.daemon.text]
    world.cloud.set(redirect=None)
    world.daemon.wait_healthy()


def test_a_redirect_to_a_page_of_the_same_server(make_world):
    world = make_world(start=False)
    world.cloud.set(redirect="/client/login")
    world.bus.start()
    world.daemon.start()
    told_by_health(world, "another path of the same server", "/client/api by default")


@pytest.mark.parametrize("fault", [None, *FAULTS])
def test_certificates_of_cloudstack(make_world, tmp_path, fault):
    authority = Authority(tmp_path / "pki")
    world = make_world(start=False)
    world.cloud.set(certificate=str(joined(*authority.sign_with(fault), tmp_path / "server.pem")))
    world.daemon.configure(cloud={"url": world.cloud.url, "ca_file": authority.file})
    world.bus.start()
    world.daemon.start()
    if fault is None:
        world.daemon.wait_healthy()
        world.attached()
        return
    text = told_by_health(world, *FAULTS[fault])
    assert [other for other in FAULTS if FAULTS[other][0] in text] == [fault], text
    assert fault != "authority" or f"{authority.file} (cloud.ca_file)" in text
    assert fault != "name" or "cloud.url" in text


# ---- long texts ----

LONG = "The request was refused by rule " + "of the house, " * 280 + "and that is the whole text."


def everywhere(world, record):
    """The error of an operation as REST, D-Bus, volumectl, the log and the store's row tell it."""
    text = record["error"]
    properties = world.bus.properties(object_path("operation", record["id"]), f"{NAME}.Operation")
    assert properties["Error"] == text
    assert world.daemon.ctl_json("operation", record["id"])["error"] == text
    assert any(text in line for line in world.daemon.log.all())
    world.daemon.stop()
    world.daemon.start().wait_healthy()
    assert world.daemon.operation(record["id"])["error"] == text
    return text


@each_store
def test_a_long_text_of_cloudstack_is_told_whole(world):
    assert len(LONG) > 3900
    world.cloud.set_faults([{"do": "status", "command": "attachVolume", "code": 431, "text": LONG}])
    record = world.daemon.failed(world.daemon.attach(world.volume()))
    assert LONG in everywhere(world, record)


@each_store
def test_a_text_without_end_is_cut_between_characters_and_says_so(world):
    world.cloud.set_faults([{"do": "status", "command": "attachVolume", "code": 431, "text": "€" * 20_000}])
    record = world.daemon.failed(world.daemon.attach(world.volume()))
    text = everywhere(world, record)
    assert "€ [cut] (code 431)" in text and text.count("€") > 1000 and "?" not in text


def test_health_tells_a_long_text_whole(make_world):
    world = make_world(reconcile={"interval": "1s"})
    world.cloud.set_faults([{"do": "status", "command": "*", "code": 530, "text": LONG, "times": 0}])
    assert LONG in told_by_health(world, "the whole text")


def test_a_refusal_with_a_long_text_is_whole_on_every_surface(make_world):
    world = make_world(reconcile={"interval": "1s"})
    world.cloud.set_faults([{"do": "status", "command": "*", "code": 401, "text": LONG, "times": 0}])
    told_by_health(world, LONG)
    volume = world.volume()
    answer = world.daemon.rest("POST", f"/api/v1/volumes/{volume}/attach", {"vm_id": APPLIANCE_VM})
    assert answer.status == 503 and LONG in answer.json["error"]
    done = world.daemon.ctl("attach", volume)
    assert done.returncode == 17 and LONG in done.stderr


# ---- deadlines ----

def test_a_disk_that_does_not_come(make_world):
    world = make_world(device={"wait": "1s"})
    volume = world.volume()
    world.cloud.set_faults([{"do": "no_plug", "command": "attachVolume"}])
    text = world.daemon.failed(world.daemon.attach(volume))["error"]
    assert text.startswith("step await-device did not end within 1 s (device.wait): no disk of volume")
    assert text.endswith("; the operation was undone from step await-device on")
    assert any("undo from step await-device on: step await-device did not end" in line
               for line in world.daemon.log.all())


def test_a_disk_that_does_not_go(make_world):
    world = make_world(device={"wait": "4s"})
    volume, path = world.attached()
    world.cloud.set_faults([{"do": "no_plug", "command": "detachVolume"}])
    text = world.daemon.failed(world.daemon.detach(volume))["error"]
    assert "did not end within 4 s (device.wait): CloudStack says the volume is detached" in text
    assert path in text


def test_a_disk_that_does_not_grow(make_world):
    world = make_world(device={"wait": "4s"})
    volume, path = world.attached()
    world.cloud.set_faults([{"do": "no_plug", "command": "resizeVolume"}])
    text = world.daemon.failed(world.daemon.resize(volume, 2))["error"]
    assert "did not end within 4 s (device.wait): " in text and f"the kernel shows {path} with" in text


def test_a_job_that_does_not_end(make_world):
    world = make_world(cloud={"job_wait": "4s"})
    world.cloud.set_faults([{"do": "job_delay", "seconds": 60, "command": "attachVolume"}])
    operation = world.daemon.attach(world.volume())
    world.daemon.log.wait(lambda line: "undo from step await-job on" in line)
    world.cloud.hurry()
    text = world.daemon.failed(operation)["error"]
    assert "step await-job did not end within 4 s (cloud.job_wait)" in text
    job = next(job["jobid"] for job in world.cloud.state()["jobs"] if job["command"] == "attachVolume")
    assert f"last seen: job {job} in progress" in text


@each_store
def test_an_undo_that_a_restart_interrupts(world):
    # A disk that came before the end would be told of, and the error would tell of it, too.
    world.cloud.set_faults([{"do": do, "seconds": 3600, "command": "attachVolume"}
                            for do in ("job_delay", "plug_delay")])
    operation = world.daemon.attach(world.volume())
    world.await_jobs("attachVolume")
    eventually(lambda: world.daemon.operation(operation["id"]).get("step") == "await-job", "it waits")
    assert world.daemon.rest("POST", f"/api/v1/operations/{operation['id']}/cancel").status == 200
    world.daemon.log.wait(lambda line: "undo from step await-job on: cancelled by request" in line)
    world.daemon.stop()
    world.daemon.start()
    world.cloud.hurry()
    record = world.daemon.ended(operation)
    assert record["status"] == "cancelled"
    assert record["error"] == "cancelled by request; the operation was undone from step await-job on"


def test_an_answer_that_does_not_come(make_world):
    world = make_world(cloud={"timeout": "300ms"}, reconcile={"interval": "1s"})
    world.cloud.set_faults([{"do": "slow", "seconds": 2, "command": "listVolumes", "times": 0}])
    told_by_health(world, "did not answer within 300 ms (cloud.timeout)")
    world.cloud.clear_faults()


# ---- asked for what is true already ----

def test_an_attachment_to_where_it_is_attached(world):
    volume, path = world.attached()
    record = world.daemon.failed(world.daemon.attach(volume))
    assert record["error"].endswith(f"it is attached there already, as {path}"), record
    assert "detach it first" not in record["error"]
    assert world.disks_of(volume)
