# SPDX-License-Identifier: LGPL-2.1-or-later
"""The simulator is what other tests believe, so it is tested itself.

Run with Debian's pytest: `/usr/bin/python3 -m pytest tests/cloudsim`. Whatever takes time is made
to take either none or for ever, and waited for by its effect.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import fields
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlencode, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import pytest
from support.py.waiting import eventually

from . import plug
from . import (API_KEY, APPLIANCE_VM, GIB, OFFERING_CUSTOM, OFFERING_FIXED, OTHER_VM, OTHER_ZONE,
               SECRET_KEY, STOPPED_VM, ZONE, CloudSim, JobFailed, PlugError, Refused, serial_of)
from .__main__ import main
from .faults import KINDS
from .qmp import QMP, QMPError
from .settings import Settings
from .sign import canonical, format_expires, parse_expires, sign
from .versions import V4_18, V4_23

FOREVER = 3600.0
JOB_A = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
JOB_B = "3f2504e0-4f89-41d3-9a0c-0305e82c3302"
NOBODY = "00000000-0000-4000-8000-000000000000"
AUTH_TEXT = "unable to verify user credentials and/or request signature"


@pytest.fixture
def sim():
    with CloudSim(job_delay=0) as sim:
        yield sim


@pytest.fixture
def cloud(sim):
    return sim.client()


@pytest.fixture
def tree(tmp_path):
    with CloudSim(plug=f"tree:{tmp_path}", job_delay=0) as sim:
        sim.block, sim.dev = tmp_path / "block", tmp_path / "dev"
        yield sim


class GatedTree(plug.TreePlug):
    """A guest that takes as long over a new disk as the test likes."""

    def __init__(self, directory):
        self.gate = threading.Event()
        self.gate.set()
        super().__init__(directory)

    def _insert(self, disk):
        self.gate.wait()
        super()._insert(disk)


@pytest.fixture
def gated(tmp_path):
    guest = GatedTree(tmp_path)
    with CloudSim(plug=guest, job_delay=0) as sim:
        sim.block = tmp_path / "block"
        yield sim
        guest.gate.set()


def make(sim, name="v", size=2):
    """A fresh volume's id."""
    answer = sim.client().call("createVolume", name=name, zoneid=ZONE,
                               diskofferingid=OFFERING_CUSTOM, size=size)
    sim.client().wait(answer["jobid"])
    return answer["id"]


def attach(sim, volume, vm=APPLIANCE_VM, **more):
    return sim.client().run("attachVolume", id=volume, virtualmachineid=vm, **more)["volume"]


def detach(sim, volume):
    return sim.client().run("detachVolume", id=volume)["volume"]


def ask(sim, params, method="POST"):
    """A request as it is: (status, headers, body text)."""
    connection = http.client.HTTPConnection(urlsplit(sim.url).netloc, timeout=180)
    form = urlencode(params)
    if method == "POST":
        connection.request("POST", "/client/api", form,
                           {"Content-Type": "application/x-www-form-urlencoded"})
    else:
        connection.request(method, f"/client/api?{form}")
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, response.headers, body


def signed(sim, secret=SECRET_KEY, drop=(), **params):
    """Signed parameters, with any of the usual ones replaced or dropped."""
    full = {"response": "json", "apikey": API_KEY, "signatureversion": "3",
            "expires": format_expires(time.time() + 600)} | params
    full = {name: value for name, value in full.items() if name not in drop}
    return full | {"signature": sign(full, secret)}


def refusal(call, *args, **kwargs):
    with pytest.raises(Refused) as caught:
        call(*args, **kwargs)
    return caught.value


def failure(call, *args, **kwargs):
    with pytest.raises(JobFailed) as caught:
        call(*args, **kwargs)
    return caught.value.job


# -- signatures

VECTORS = [
    ({"command": "listVolumes", "response": "json", "listall": "true"},
     "apikey=vmd-test_apikey-0123456789&command=listvolumes&listall=true&response=json",
     "w2fQz8jZDck9zhiCiqpxJvZuoKM="),
    ({"command": "createVolume", "response": "json", "name": "db data+log *~ (é)/v1",
      "zoneid": ZONE, "diskofferingid": OFFERING_CUSTOM, "size": "20", "signatureversion": "3",
      "expires": "2030-01-02T03:04:05+0000", "customjobid": JOB_A},
     "apikey=vmd-test_apikey-0123456789&command=createvolume&customjobid=3f2504e0-4f89-41d3-9a0c-"
     "0305e82c3301&diskofferingid=7662b6ae-f00b-4268-973f-f3f87eaf82c5&expires=2030-01-02t03%3a04"
     "%3a05%2b0000&name=db%20data%2blog%20*%7e%20%28%c3%a9%29%2fv1&response=json&signatureversion"
     "=3&size=20&zoneid=1128bd56-b4d9-4ac6-a7b9-c715b187ce11",
     "PW33jiQtwFF10TeHN0PWX1ujEhw="),
    ({"command": "createTags", "response": "json",
      "resourceids": "a0e403db-0342-45f1-b9e0-8ff94cc1652f", "resourcetype": "Volume",
      "tags[0].key": "Owner", "tags[0].value": "VMD@host:1", "signatureVersion": "3",
      "expires": "2030-01-02T03:04:05Z", "apiKey": API_KEY},
     "apikey=vmd-test_apikey-0123456789&command=createtags&expires=2030-01-02t03%3a04%3a05z&"
     "resourceids=a0e403db-0342-45f1-b9e0-8ff94cc1652f&resourcetype=volume&response=json&"
     "signatureversion=3&tags[0].key=owner&tags[0].value=vmd%40host%3a1",
     "rKuLiRJJt7vLKqiUTlRAaJOj7Wo="),
    ({"command": "listVolumes", "name": "", "response": "json"},
     "apikey=vmd-test_apikey-0123456789&command=listvolumes&name=&response=json",
     "4mmJxRfLojKoPpD9HEz2VtSCUXQ="),
]


@pytest.mark.parametrize("params,string,signature", VECTORS)
def test_signature_vectors(params, string, signature):
    params = params if "apiKey" in params else params | {"apikey": API_KEY}
    assert canonical(params) == string
    assert sign(params, SECRET_KEY) == signature


@pytest.mark.parametrize("text", [
    "2030-01-02T03:04:05+0000", "2030-01-02T03:04:05+00:00", "2030-01-02T03:04:05Z",
    "2030-01-02T03:04:05.123Z", "2030-01-02T03:04:05Z+0000", "2030-01-02T05:04:05+0200",
    "2030-01-01T22:04:05-05:00"])
def test_expiry_forms(text):
    assert format_expires(parse_expires(text)) == "2030-01-02T03:04:05+0000"


@pytest.mark.parametrize("text", [
    None, "", "2030-01-02T03:04:05", "2030-01-02 03:04:05+0000", "1893553445",
    "2030-13-02T03:04:05Z"])
def test_expiry_forms_refused(text):
    assert parse_expires(text) is None


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_signed_request(sim, method):
    sim.set(proxy_date=0.0)
    odd = signed(sim, command="listVolumes", name="db data+log *~ (é)/v1", state="")
    status, headers, body = ask(sim, odd, method)
    assert (status, body) == (200, '{"listvolumesresponse": {}}')
    assert headers["Content-Type"] == "application/json; charset=UTF-8"
    assert abs(parsedate_to_datetime(headers["Date"]).timestamp() - time.time()) < 5


@pytest.mark.parametrize("spoil,envelope", [
    (dict(), "null"),
    (dict(command="listvolumes"), "errorresponse"),
    (dict(command="listVolumes", drop=("apikey",)), "listvolumesresponse"),
    (dict(command="listVolumes", secret="wrong"), "listvolumesresponse"),
    (dict(command="listVolumes", apikey="wrong"), "listvolumesresponse"),
    (dict(command="listVolumes", drop=("expires",)), "listvolumesresponse"),
    (dict(command="listVolumes", expires="2020-01-02T03:04:05Z"), "listvolumesresponse"),
    (dict(command="listVolumes", expires="2099-01-02T03:04:05Z"), "listvolumesresponse"),
    (dict(command="listVolumes", drop=("signatureversion",)), "listvolumesresponse"),
])
def test_unauthorized(sim, spoil, envelope):
    status, headers, body = ask(sim, signed(sim, **spoil))
    assert status == 401 and headers["X-Description"] == AUTH_TEXT
    assert json.loads(body) == {
        envelope: {"uuidList": [], "errorcode": 401, "errortext": AUTH_TEXT}}


def test_tampering_and_missing_signature(sim):
    params = signed(sim, command="listVolumes")
    assert ask(sim, params | {"name": "added"})[0] == 401
    del params["signature"]
    assert ask(sim, params)[0] == 401


def test_enforcement(sim):
    change = signed(sim, command="createVolume")
    status, _, body = ask(sim, change, "GET")
    assert status == 400
    assert json.loads(body)["createvolumeresponse"]["errortext"] == \
        "State changing command createVolume needs to be sent using POST request"
    sim.set(enforce_post=False)
    assert ask(sim, change, "GET")[0] == 431
    far = signed(sim, command="listZones", expires="2099-01-02T03:04:05Z")
    assert ask(sim, far)[0] == 200
    ageless = signed(sim, command="listZones", drop=("signatureversion", "expires"))
    assert ask(sim, ageless)[0] == 200


def test_json_only(sim):
    status, headers, body = ask(sim, signed(sim, command="listZones", drop=("response",)))
    assert status == 431 and headers["Content-Type"].startswith("text/xml") and body[0] == "<"


def test_keep_alive_and_stale_connections(sim):
    connection = http.client.HTTPConnection(urlsplit(sim.url).netloc, timeout=180)
    connection.connect()
    first = connection.sock
    for _ in range(3):
        connection.request("GET", "/client/api?" + urlencode(signed(sim, command="listZones")))
        assert connection.getresponse().read()
    assert connection.sock is first
    connection.close()
    sim.set(idle_timeout=0.01)
    with socket.create_connection(("127.0.0.1", sim.port), timeout=180) as idle:
        assert idle.recv(1) == b""


@pytest.mark.parametrize("moment, made", [("before", 0), ("after", 1)])
def test_interrupt(sim, moment, made):
    """The answer is cut off, and the moment says whether the request had its effect."""
    met = []
    sim.interrupt = lambda now, command: (now, command) == (moment, "createVolume") and \
        not met.append(command)
    with pytest.raises(http.client.RemoteDisconnected):
        ask(sim, signed(sim, command="createVolume", name="v", zoneid=ZONE, size="2",
                        diskofferingid=OFFERING_CUSTOM))
    assert met == ["createVolume"]
    sim.wait_idle()
    assert [v["name"] for v in sim.state()["volumes"] if v["type"] == "DATADISK"] == ["v"] * made


# -- parameters and lists

def test_parameter_refusals(cloud):
    error = refusal(cloud.call, "attachVolume", virtualmachineid=APPLIANCE_VM)
    assert (error.status, error.envelope) == (431, "attachvolumeresponse")
    assert error.error == {
        "uuidList": [], "errorcode": 431, "cserrorcode": 9999, "errortext":
        "Unable to execute API command attachvolume due to missing parameter id"}
    error = refusal(cloud.call, "listVolumes", id=NOBODY)
    assert error.error["cserrorcode"] == 9999
    assert error.text == (
        "Unable to execute API command listvolumes due to invalid value. Invalid parameter id "
        f"value={NOBODY} due to incorrect long value format, or entity does not exist or due to "
        "incorrect parameter annotation for the field in api cmd class.")
    assert "parameter jobid" in refusal(cloud.call, "queryAsyncJobResult", jobid=NOBODY).text
    for bad in "a\tb", "a\x7f", "\x0c":
        assert refusal(cloud.call, "listVolumes", name=bad).status == 431
    assert cloud.call("listVolumes", name="a\nb") == {}


def test_create_rules(cloud):
    base = {"zoneid": ZONE, "name": "v"}
    for more, text in (
            ({"diskofferingid": OFFERING_FIXED, "size": 3}, "does not allow custom size"),
            ({"diskofferingid": OFFERING_CUSTOM}, "requires a custom size"),
            ({"diskofferingid": OFFERING_CUSTOM, "size": 1025}, "out of allowed range"),
            ({"diskofferingid": OFFERING_CUSTOM, "size": "x"}, "value x for parameter size"),
            ({"diskofferingid": NOBODY}, "Invalid parameter diskofferingid"),
            ({"snapshotid": NOBODY}, "Invalid parameter snapshotid"),
            ({}, "At least one of disk Offering ID")):
        assert text in refusal(cloud.call, "createVolume", **base, **more).text
    answer = cloud.call("createVolume", **base, diskofferingid=OFFERING_FIXED)
    assert answer.keys() == {"id", "jobid"}
    row = cloud.wait(answer["jobid"])["volume"]
    assert (row["id"], row["state"], row["size"]) == (answer["id"], "Allocated", 5 * GIB)
    assert "virtualmachineid" not in row and "deviceid" not in row and "attached" not in row


def test_list_filters_and_order(sim, cloud):
    one, two = make(sim, "One"), make(sim, "Two")
    attach(sim, two, OTHER_VM)

    def found(**filters):
        return [row["id"] for row in cloud.call("listVolumes", **filters).get("volume", [])]

    assert found(type="DATADISK") == [two, one]
    assert found(name="one") == [one] and found(name="on") == []
    assert found(ids=f"{one},{two}") == [two, one]
    assert found(virtualmachineid=OTHER_VM, type="DATADISK") == [two]
    assert found(state="Allocated") == [one]
    assert found(keyword="wo", type="DATADISK") == [two]
    assert found(zoneid=OTHER_ZONE) == []
    assert refusal(cloud.call, "listVolumes", ids=f"{one},{NOBODY}").status == 431
    assert found(virtualmachineid=APPLIANCE_VM)[0] == sim.world.root_volume(APPLIANCE_VM).id


def test_paging(sim, cloud):
    with sim.world.lock:
        present = len(sim.world.volumes)
    for number in range(present, 503):
        sim.put_volume(name=f"v{number}")
    everything = cloud.call("listVolumes")
    assert everything["count"] == 503 and len(everything["volume"]) == 500
    assert len(cloud.call("listVolumes", pagesize=-1)["volume"]) == 503
    second = cloud.call("listVolumes", page=2, pagesize=500)
    assert second["count"] == 503 and len(second["volume"]) == 3
    assert cloud.call("listVolumes", page=9, pagesize=500) == {"count": 503}
    assert refusal(cloud.call, "listVolumes", pagesize=5).text == \
        '"page" parameter is required when "pagesize" is specified'
    assert refusal(cloud.call, "listVolumes", page=5).text == \
        '"pagesize" parameter is required when "page" is specified'
    assert refusal(cloud.call, "listVolumes", page=1, pagesize=501).text == \
        "Page size can't exceed max allowed page size value: 500"


def test_the_other_lists(cloud):
    assert [z["id"] for z in cloud.call("listZones")["zone"]] == [ZONE, OTHER_ZONE]
    offerings = cloud.call("listDiskOfferings")["diskoffering"]
    assert [(o["iscustomized"], o["disksize"]) for o in offerings] == [(True, 0), (False, 5)]
    capability = cloud.call("listCapabilities")["capability"]
    assert capability["customdiskofferingmaxsize"] == 1024
    machines = cloud.call("listVirtualMachines", name="APPL")
    assert machines["count"] == 1 and machines["virtualmachine"][0]["id"] == APPLIANCE_VM
    assert cloud.call("listVirtualMachines", id=STOPPED_VM)["virtualmachine"][0]["state"] == \
        "Stopped"
    assert cloud.call("listVirtualMachines", state="Starting") == {}


# -- jobs

def test_job_shapes(sim, cloud):
    volume = make(sim)
    sim.set(job_delay=FOREVER)
    job = cloud.call("attachVolume", id=volume, virtualmachineid=OTHER_VM)["jobid"]
    pending = cloud.call("queryAsyncJobResult", jobid=job)
    assert (pending["jobstatus"], pending["jobresultcode"]) == (0, 0)
    assert "jobresult" not in pending and "completed" not in pending
    assert (pending["jobinstancetype"], pending["jobinstanceid"]) == ("Volume", volume)
    row, = cloud.call("listVolumes", id=volume)["volume"]
    assert (row["jobid"], row["jobstatus"]) == (job, 0)
    listed, = cloud.call("listAsyncJobs", keyword="attachvolume")["asyncjobs"]
    assert listed["jobid"] == job
    assert listed["cmd"] == \
        "org.apache.cloudstack.api.command.admin.volume.AttachVolumeCmdByAdmin"
    assert cloud.call("listAsyncJobs", keyword="resize") == {}

    sim.set(job_delay=0)
    done = make(sim, "done")
    failed = failure(detach, sim, done)
    assert (failed["jobstatus"], failed["jobresultcode"]) == (2, 530)
    assert failed["jobresult"] == {
        "errorcode": 431, "errortext": "The specified volume is not attached to a VM."}
    assert "completed" in failed
    row, = cloud.call("listVolumes", id=done)["volume"]
    assert "jobid" not in row


def test_jobs_of_one_machine_wait_for_each_other(sim, cloud):
    first, second, third = make(sim, "a"), make(sim, "b"), make(sim, "c")
    sim.set_faults([{"do": "job_delay", "seconds": FOREVER, "volume": first}])
    cloud.call("attachVolume", id=first, virtualmachineid=OTHER_VM)
    job = cloud.call("attachVolume", id=second, virtualmachineid=OTHER_VM)["jobid"]
    sim.wait_for(lambda s: s.world.volumes[first].state == "Attaching")
    # Another machine's queue is free, and what has no machine needs no queue.
    attach(sim, third, STOPPED_VM)
    assert make(sim, "d")
    assert cloud.call("queryAsyncJobResult", jobid=job)["jobstatus"] == 0
    assert sim.volume(second)["state"] == "Allocated"


def test_jobs_that_sleep_can_be_hurried(tree):
    cloud, volume = tree.client(), make(tree)
    tree.set(job_delay=FOREVER, plug_delay=FOREVER)
    job = cloud.call("attachVolume", id=volume, virtualmachineid=APPLIANCE_VM)["jobid"]
    tree.wait_for(lambda s: s.world.volumes[volume].state == "Attaching")
    tree.hurry()
    tree.wait_idle()
    assert cloud.call("queryAsyncJobResult", jobid=job)["jobstatus"] == 1
    assert volume in [disk["key"] for disk in tree.state()["devices"]]


def test_queue_keeps_the_order_of_submission(sim, cloud):
    volumes = [make(sim, f"v{n}") for n in range(6)]
    jobs = [cloud.call("attachVolume", id=v, virtualmachineid=OTHER_VM)["jobid"]
            for v in volumes]
    rows = [cloud.wait(job)["volume"] for job in jobs]
    assert [row["deviceid"] for row in rows] == [1, 2, 4, 5, 6, 7]


def test_customjobid(sim, cloud):
    sim.set(repeated_job=431)
    volume = make(sim)
    call = dict(id=volume, virtualmachineid=OTHER_VM, customjobid=JOB_A)
    assert cloud.call("attachVolume", **call) == {"jobid": JOB_A}
    cloud.wait(JOB_A)
    error = refusal(cloud.call, "attachVolume", **call)
    assert (error.status, error.error["cserrorcode"]) == (431, 4350)
    assert error.text == \
        f"UUID: {JOB_A} already exists so can't create/update with custom id"
    error = refusal(cloud.call, "detachVolume", id=volume, customjobid="not-a-uuid")
    assert error.text == "UUID: not-a-uuid doesn't follow the UUID format"
    assert sim.volume(volume)["vm"] == OTHER_VM


def test_repeated_create_leaves_an_orphan(sim, cloud):
    call = dict(name="twin", zoneid=ZONE, diskofferingid=OFFERING_CUSTOM, size=1,
                customjobid=JOB_A)
    cloud.wait(cloud.call("createVolume", **call)["jobid"])
    assert refusal(cloud.call, "createVolume", **call).text == "Entity already exists "
    twins = cloud.call("listVolumes", name="twin")["volume"]
    assert [row["state"] for row in twins] == ["Allocated", "Allocated"]


def test_a_server_that_ignores_customjobid(sim, cloud):
    sim.set(ignore_customjobid=True)
    answer = cloud.call("updateVolume", id=make(sim), name="new", customjobid=JOB_A)
    assert answer["jobid"] != JOB_A
    assert cloud.wait(answer["jobid"])["volume"]["name"] == "new"


# -- volumes

def test_attach_and_detach_rows(sim):
    volume = make(sim)
    row = attach(sim, volume, OTHER_VM)
    assert (row["state"], row["virtualmachineid"], row["deviceid"]) == ("Ready", OTHER_VM, 1)
    assert row["vmstate"] == "Running" and row["attached"]
    row = detach(sim, volume)
    assert row["state"] == "Ready"
    assert not row.keys() & {"virtualmachineid", "deviceid", "attached"}


def test_attach_refusals(sim, cloud):
    def text(volume, vm=OTHER_VM, **more):
        result = failure(attach, sim, volume, vm, **more)["jobresult"]
        return result["errorcode"], result["errortext"]

    attached = make(sim, "attached")
    attach(sim, attached, OTHER_VM)
    assert text(attached) == (431, "Please specify a volume that is not attached to any VM.")
    fresh = make(sim, "fresh")
    assert text(fresh, deviceid=3) == (530, "deviceId should be 0,1,2,4-33")
    assert text(fresh, deviceid=34)[0] == 530
    number = sim.world.machines[OTHER_VM].serial_number
    assert text(fresh, deviceid=1) == (530, f"deviceId 1 is used by vm {number}")
    assert text(fresh, deviceid=0)[0] == 431
    snapshotting = sim.put_volume(state="Snapshotting")["id"]
    assert text(snapshotting)[1] == "Volume state must be in Allocated, Ready or in Uploaded state"
    destroyed = sim.put_volume(state="Destroy")["id"]
    assert text(destroyed)[1] == "Please specify a volume that is not destroyed."
    elsewhere = sim.put_volume(zone=OTHER_ZONE)["id"]
    assert text(elsewhere)[1] == "Please specify a VM that is in the same zone as the volume."
    starting = sim.put_vm(name="starting", state="Starting")["id"]
    assert text(fresh, starting)[1] == \
        "Please specify a VM that is on of the following states: [Running, Stopped]."
    sim.set(max_data_volumes=1)
    assert text(fresh)[1] == ("The specified VM already has the maximum number of data disks (1) "
                              "attached. Please specify another VM.")
    assert sim.volume(fresh)["state"] == "Allocated"


def test_a_running_machine_runs_out_of_slots(sim, cloud):
    first, second = make(sim), make(sim)
    sim.set(pci_slots=1)
    attach(sim, first, OTHER_VM)
    assert failure(attach, sim, second, OTHER_VM)["jobresult"]["errortext"].endswith(
        "internal error: No more available PCI slots")
    assert sim.volume(second)["vm"] is None
    cloud.run("stopVirtualMachine", id=OTHER_VM)
    assert attach(sim, second, OTHER_VM)["vmstate"] == "Stopped"


def test_a_guest_keeps_what_the_row_forgets(sim):
    first, second = make(sim), make(sim)
    attach(sim, first)
    sim.detach_behind(first, guest=False)
    sim.set(slots_of_guest=True)
    # The slot is free in the rows.
    assert "target 'vdb' duplicated" in failure(attach, sim, second)["jobresult"]["errortext"]
    assert "target 'vdb' duplicated" in failure(attach, sim, first)["jobresult"]["errortext"]
    assert 'get "write" lock' in failure(attach, sim, first, deviceid=4)["jobresult"]["errortext"]
    assert sim.volume(first)["vm"] is sim.volume(second)["vm"] is None
    sim.unplug_volume(first)
    assert attach(sim, first)["deviceid"] == 1
    sim.detach_behind(first, guest=False)
    sim.set(slots_of_guest=False)
    assert attach(sim, first)["deviceid"] == 1


def test_attach_as_root(sim):
    volume = make(sim)
    rootless = sim.put_vm(name="rootless", state="Stopped")["id"]
    root = sim.world.root_volume(rootless).id
    assert detach(sim, root)["type"] == "DATADISK"
    row = attach(sim, root, rootless, deviceid=0)
    assert (row["type"], row["deviceid"]) == ("ROOT", 0)
    detach(sim, root)
    # The job fails and has done it all the same.
    assert failure(attach, sim, volume, rootless, deviceid=0)["jobresult"]["errortext"] == \
        "Command failed due to Internal Server Error"
    assert sim.world.root_volume(rootless).id == volume


def test_two_attaches_of_one_volume(gated):
    """Both pass the first check while they queue; the second is refused when its turn comes."""
    cloud, blocker, volume = gated.client(), make(gated, "blocker"), make(gated, "v")
    gated.plug.gate.clear()
    jobs = [cloud.call("attachVolume", id=v, virtualmachineid=APPLIANCE_VM)["jobid"]
            for v in (blocker, volume, volume)]
    gated.plug.gate.set()
    cloud.wait(jobs[1])
    assert failure(cloud.wait, jobs[2])["jobresult"] == {
        "errorcode": 530, "errortext": "This volume is already attached to a VM."}


def test_destroy_and_delete(sim, cloud):
    volume = make(sim)
    assert failure(cloud.run, "destroyVolume", id=volume)["jobresult"]["errorcode"] == 431
    attach(sim, volume, OTHER_VM)
    for refused in (lambda: failure(cloud.run, "destroyVolume", id=volume,
                                    expunge="true")["jobresult"]["errortext"],
                    lambda: refusal(cloud.call, "deleteVolume", id=volume).text):
        assert refused() == "Please specify a volume that is not attached to any VM."
    detach(sim, volume)
    assert cloud.run("destroyVolume", id=volume)["volume"]["state"] == "Destroy"
    assert cloud.call("listVolumes", id=volume)["volume"][0]["destroyed"] is True
    assert cloud.call("deleteVolume", id=volume) == {"success": True}
    # Gone is not the same as never known.
    assert cloud.call("listVolumes", id=volume) == {}
    number = sim.volume(volume)["serial_number"]
    text = f"Unable to find UUID for id [{number}] of type [Volume]"
    for command, more in (("deleteVolume", {}), ("detachVolume", {}),
                          ("attachVolume", {"virtualmachineid": OTHER_VM})):
        error = refusal(cloud.call, command, id=volume, **more)
        assert (error.error["cserrorcode"], error.text) == (4350, text)
    assert failure(cloud.run, "destroyVolume", id=volume)["jobresult"]["errortext"] == \
        f"Unable to find volume with ID: {number}"
    assert refusal(cloud.call, "deleteVolume", id=NOBODY).error["cserrorcode"] == 9999


def test_resize(sim, cloud):
    volume = make(sim, size=2)
    assert cloud.run("resizeVolume", id=volume, size=3)["volume"]["size"] == 3 * GIB
    assert sim.volume(volume)["state"] == "Allocated"
    assert failure(cloud.run, "resizeVolume", id=volume, size=1)["jobresult"]["errorcode"] == 432
    assert cloud.run("resizeVolume", id=volume, size=1, shrinkok="true")["volume"]["size"] == GIB
    attach(sim, volume, OTHER_VM)
    assert failure(cloud.run, "resizeVolume", id=volume, size=4096)["jobresult"] == {
        "errorcode": 432, "errortext":
        "Requested volume size is 4.0000 TB, but the maximum size allowed is 2000 GB."}
    sim.set(job_delay=FOREVER)
    cloud.call("resizeVolume", id=volume, size=5)
    sim.wait_for(lambda s: s.world.volumes[volume].state == "Resizing")
    sim.restart()
    assert (sim.volume(volume)["state"], sim.volume(volume)["size"]) == ("Ready", GIB)


# -- faults

@contextmanager
def clearing_at(sim, command):
    """Clear the faults as soon as such a request has come."""
    def clear():
        sim.wait_request(command)
        sim.clear_faults()

    thread = threading.Thread(target=clear)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def strike(sim, do, command="listZones", **options):
    sim.set_faults([{"do": do, "command": command, **options}])


@pytest.mark.parametrize("code", [400, 401, 429, 431, 432, 503, 530, 535])
def test_fault_status(sim, cloud, code):
    strike(sim, "status", code=code, cserrorcode=4250)
    error = refusal(cloud.call, "listZones")
    assert error.status == error.error["errorcode"] == code
    assert error.error["cserrorcode"] == 4250 and error.text
    assert error.envelope == ("errorresponse" if code == 432 else "listzonesresponse")
    assert cloud.call("listZones")


def test_fault_html_and_empty(sim):
    strike(sim, "html", code=502)
    status, headers, body = ask(sim, signed(sim, command="listZones"))
    assert (status, headers["Content-Type"]) == (502, "text/html") and "<html>" in body
    strike(sim, "empty")
    status, _, body = ask(sim, signed(sim, command="listZones"))
    assert (status, body) == (200, "")


@pytest.mark.parametrize("fault,made", [
    ({"do": "cut_before"}, 0), ({"do": "cut_after"}, 1),
    ({"do": "empty"}, 0), ({"do": "empty", "after": True}, 1),
    ({"do": "html", "code": 504}, 0), ({"do": "html", "code": 504, "after": True}, 1),
    ({"do": "status", "code": 530}, 0), ({"do": "status", "code": 530, "after": True}, 1)])
def test_faults_before_and_after_the_effect(sim, cloud, fault, made):
    sim.set_faults([fault])
    create = dict(name="v", zoneid=ZONE, diskofferingid=OFFERING_CUSTOM, size="1")
    params = signed(sim, command="createVolume", **create)
    if fault["do"].startswith("cut"):
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            ask(sim, params)
    else:
        ask(sim, params)
    sim.clear_faults()
    assert cloud.call("listVolumes", name="v").get("count", 0) == made


def test_fault_half(sim, cloud):
    strike(sim, "half", "createVolume")
    status, _, body = ask(sim, signed(sim, command="createVolume", name="v", zoneid=ZONE,
                                      diskofferingid=OFFERING_CUSTOM, size="1"))
    assert status == 200 and body
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)
    assert cloud.call("listVolumes", name="v")["count"] == 1


def test_fault_cut_within(sim, cloud):
    strike(sim, "cut_within", "createVolume")
    with pytest.raises(http.client.IncompleteRead) as cut:
        ask(sim, signed(sim, command="createVolume", name="v", zoneid=ZONE,
                        diskofferingid=OFFERING_CUSTOM, size="1"))
    assert cut.value.partial
    assert cloud.call("listVolumes", name="v")["count"] == 1


def test_fault_other_job(sim, cloud):
    volume = make(sim)
    strike(sim, "other_job", "updateVolume")
    job = cloud.call("updateVolume", id=volume, name="new", customjobid=JOB_A)["jobid"]
    assert job != JOB_A
    assert refusal(cloud.call, "queryAsyncJobResult", jobid=job).status == 431
    assert cloud.wait(JOB_A)["volume"]["name"] == "new"


def test_fault_by_name(sim, cloud):
    new = dict(zoneid=ZONE, diskofferingid=OFFERING_CUSTOM, size=1)
    sim.set_faults([{"do": "status", "code": 530, "name": "mine", "times": 0}])
    assert refusal(cloud.call, "createVolume", name="mine-1", **new).status == 530
    assert refusal(cloud.call, "listVolumes", name="mine-1").status == 530
    volume = make(sim, "yours")
    assert cloud.call("listZones") and cloud.call("listVolumes", id=volume)
    sim.put_volume(id=volume, name="mine-2")
    assert refusal(cloud.call, "listVolumes", id=volume).status == 530


def test_fault_slow(sim, cloud):
    strike(sim, "slow", seconds=FOREVER)
    answered = threading.Event()

    def slow():
        try:
            cloud.call("listZones")
        except Exception:           # the simulator closes under it
            pass
        answered.set()

    threading.Thread(target=slow, daemon=True).start()
    request, = sim.wait_request("listZones")
    assert request["outcome"] is None and request["faults"] == ["slow"]
    assert cloud.call("listZones") and not answered.is_set()
    sim.close()
    assert answered.wait(10)


def test_fault_job_pending(sim, cloud):
    strike(sim, "job_pending", "updateVolume", polls=3)
    volume = make(sim)
    job = cloud.call("updateVolume", id=volume, name="new")["jobid"]
    sim.wait_idle()
    assert cloud.call("listVolumes", id=volume)["volume"][0]["jobid"] == job
    reads = [cloud.call("queryAsyncJobResult", jobid=job)["jobstatus"] for _ in range(2)]
    assert cloud.call("listAsyncJobs")["count"] == 1
    assert reads == [0, 0]
    assert cloud.call("queryAsyncJobResult", jobid=job)["jobstatus"] == 1
    assert "jobid" not in cloud.call("listVolumes", id=volume)["volume"][0]


def test_fault_runs_on(sim, cloud):
    """A detach job that lags behind clears the attachment that came after it."""
    volume = make(sim)
    attach(sim, volume, vm=OTHER_VM)
    strike(sim, "runs_on", "detachVolume", seconds=3600)
    job = cloud.call("detachVolume", id=volume)["jobid"]
    sim.wait_for(lambda sim: sim.world.volumes[volume].vm is None)
    assert cloud.call("listVolumes", id=volume)["volume"][0]["jobid"] == job
    assert cloud.call("queryAsyncJobResult", jobid=job)["jobstatus"] == 0
    attach(sim, volume, vm=OTHER_VM)
    assert sim.volume(volume)["vm"] == OTHER_VM
    sim.hurry()
    sim.wait_idle()
    assert cloud.call("queryAsyncJobResult", jobid=job)["jobstatus"] == 1
    assert sim.volume(volume)["vm"] is None


def test_fault_job_fail(tree):
    volume = make(tree)
    strike(tree, "job_fail", "attachVolume", code=534, text="host is down")
    assert failure(attach, tree, volume)["jobresult"] == {
        "errorcode": 534, "errortext": "host is down"}
    assert tree.volume(volume)["state"] == "Allocated" and not (tree.block / "vdb").exists()
    strike(tree, "job_fail", "attachVolume", bare=True, effect=True)
    job = failure(attach, tree, volume)
    assert "jobresult" not in job and job["jobresultcode"] == 530
    assert tree.volume(volume)["vm"] is None and (tree.block / "vdb").exists()
    assert attach(tree, volume)["deviceid"] == 1


def test_faults_count_their_requests(sim, cloud):
    sim.set_faults([{"do": "status", "code": 503, "command": "listZones", "nth": 2, "times": 2},
                    {"do": "status", "code": 429, "command": "listZones", "nth": 2}])
    codes = []
    for _ in range(5):
        status, _, _ = ask(sim, signed(sim, command="listZones"))
        codes.append(status)
        cloud.call("listCapabilities")
    assert codes == [200, 503, 503, 429, 200]
    volume = make(sim)
    strike(sim, "status", "*", code=530, volume=volume, times=0)
    assert cloud.call("listZones")
    for _ in range(3):
        assert refusal(cloud.call, "listVolumes", id=volume).status == 530


@pytest.mark.parametrize("rule", [
    {"do": "nonsense"}, {"do": "slow"}, {"do": "slow", "seconds": 1, "minutes": 2},
    {"do": "empty", "command": "listvolumes"}])
def test_bad_faults_are_refused(sim, rule):
    with pytest.raises(ValueError):
        sim.set_faults([rule])


def test_fault_date_skew(sim):
    sim.set(proxy_date=0.0)
    strike(sim, "date_skew", seconds=3600, times=0)
    status, headers, _ = ask(sim, signed(sim, command="listZones"))
    ahead = parsedate_to_datetime(headers["Date"]).timestamp() - time.time()
    assert status == 401 and 3590 < ahead < 3610
    late = format_expires(time.time() + 3600 + 600)
    assert ask(sim, signed(sim, command="listZones", expires=late))[0] == 200


def test_down_and_up(sim, cloud):
    kept = http.client.HTTPConnection(urlsplit(sim.url).netloc, timeout=180)
    kept.request("GET", "/_sim/requests")
    kept.getresponse().read()
    sim.down()
    assert kept.sock.recv(1) == b""
    kept.close()
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", sim.port))
        sim.down()
    sim.up()
    assert cloud.call("listZones")


def test_fault_refuse_connect(sim, cloud):
    strike(sim, "refuse_connect", seconds=FOREVER)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        ask(sim, signed(sim, command="listZones"))
    with pytest.raises(ConnectionRefusedError):
        ask(sim, signed(sim, command="listZones"))
    sim.up()
    assert cloud.call("listZones")


def test_fault_that_was_cleared_is_over(sim, cloud):
    """Also one that has struck a request, and has not done its deed yet."""
    sim.set_faults([{"do": "slow", "seconds": 0.5}, {"do": "refuse_connect", "seconds": FOREVER}])
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)), clearing_at(sim, "listZones"):
        ask(sim, signed(sim, command="listZones"))
    assert cloud.call("listZones")


@pytest.mark.parametrize("effects", [False, True])
def test_restart_loses_jobs(tree, effects):
    cloud, volume, other = tree.client(), make(tree), make(tree)
    tree.set(job_delay=FOREVER, plug_delay=FOREVER)
    job = cloud.call("attachVolume", id=volume, virtualmachineid=APPLIANCE_VM)["jobid"]
    behind = cloud.call("attachVolume", id=other, virtualmachineid=APPLIANCE_VM)["jobid"]
    tree.wait_for(lambda s: s.world.volumes[volume].state == "Attaching")
    tree.restart(effects=effects)
    for lost in job, behind:
        answer = cloud.call("queryAsyncJobResult", jobid=lost)
        assert (answer["jobstatus"], answer["jobresultcode"]) == (2, 530)
        assert "jobresult" not in answer
    row, = cloud.call("listVolumes", id=volume)["volume"]
    assert row["state"] == "Ready" and not row.keys() & {"virtualmachineid", "jobid"}
    assert tree.volume(other)["state"] == "Allocated"
    assert names(tree) == (["vda", "vdb"] if effects else ["vda"])
    tree.set(job_delay=0, plug_delay=0)
    assert attach(tree, volume)["deviceid"] == 1 and names(tree) == ["vda", "vdb"]


# -- requests that come late, clocks

@pytest.mark.parametrize("expires,outcome", [(600, 200), (30, 401)])
def test_fault_late(sim, cloud, expires, outcome):
    """The client has gone when its request is executed, unless the signature has ended by then."""
    strike(sim, "late", "createVolume", seconds=FOREVER)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        ask(sim, signed(sim, command="createVolume", name="late", zoneid=ZONE, size="1",
                        diskofferingid=OFFERING_CUSTOM,
                        expires=format_expires(time.time() + expires)))
    assert cloud.call("listVolumes", name="late") == {}
    sim.set(clock=60)
    sim.hurry()
    assert late_outcome(sim) == outcome
    sim.set(clock=0)
    assert cloud.call("listVolumes", name="late").get("count", 0) == (outcome == 200)


def late_outcome(sim):
    return sim.wait_for(lambda _: [r["late"] for r in sim.requests() if "late" in r])[0]


def test_late_is_after_what_was_asked_again(sim, cloud):
    new = dict(name="twin", zoneid=ZONE, diskofferingid=OFFERING_CUSTOM, size="1")
    strike(sim, "late", "createVolume", seconds=0.01)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        ask(sim, signed(sim, command="createVolume", **new))
    cloud.run("createVolume", **new)
    assert late_outcome(sim) == 200
    assert cloud.call("listVolumes", name="twin")["count"] == 2


def test_clock(sim, cloud):
    """The server's clock decides on expiry and shows in its rows, not in a proxy's header."""
    sim.set(proxy_date=0.0)
    sim.set(clock=3600, enforce_post=False)
    assert refusal(cloud.call, "listZones").status == 401
    later = format_expires(time.time() + 3600 + 600)
    status, headers, _ = ask(sim, signed(sim, command="createVolume", name="v", zoneid=ZONE,
                                         diskofferingid=OFFERING_CUSTOM, size="1", expires=later))
    assert status == 200
    assert abs(parsedate_to_datetime(headers["Date"]).timestamp() - time.time()) < 60
    sim.set(clock=0)
    row, = cloud.call("listVolumes", name="v")["volume"]
    assert 3500 < parse_expires(row["created"]) - time.time() < 3700
    ageless = signed(sim, command="listZones", drop=("signatureversion", "expires"))
    sim.set(clock=3600)
    assert ask(sim, ageless)[0] == 200


@pytest.mark.parametrize("ahead", [None, 0, -7200])
def test_proxy_date(sim, ahead):
    sim.set(proxy_date=ahead)
    status, headers, _ = ask(sim, signed(sim, command="listZones"))
    assert status == 200
    if ahead is None:
        assert "Date" not in headers
    else:
        off = parsedate_to_datetime(headers["Date"]).timestamp() - time.time() - ahead
        assert abs(off) < 60


# -- kinds of servers

def test_version_4_23(sim, cloud):
    sim.set(version="4.23", repeated_job=None, restart_removes=None)
    assert cloud.call("listCapabilities")["capability"]["cloudstackversion"] == "4.23.0.0"
    volume = make(sim)
    failed = failure(detach, sim, volume)
    assert failed["jobresultcode"] == failed["jobresult"]["errorcode"] == 431
    assert failed["managementservername"] == "cloudsim" and failed["account"] == "admin"
    latest = cloud.call("queryAsyncJobResult", resourcetype="Volume", resourceid=volume)
    assert latest["jobid"] == failed["jobid"]
    attach(sim, volume, OTHER_VM)
    assert failure(attach, sim, make(sim), OTHER_VM, deviceid=1)["jobresult"]["errortext"] == \
        "deviceId 1 is used by vol v on vm other"
    row = cloud.run("updateVolume", id=detach(sim, volume)["id"], name="new", customjobid=JOB_A)
    assert row["volume"]["deleteprotection"] is False
    assert refusal(cloud.call, "updateVolume", id=volume, name="x", customjobid=JOB_A).status == 431
    cloud.call("deleteVolume", id=volume)
    number = sim.volume(volume)["serial_number"]
    assert refusal(cloud.call, "deleteVolume", id=volume).text == \
        f"Unable to find volume with ID: {number}"
    assert failure(attach, sim, volume)["jobresult"]["errortext"] == \
        "Please specify a volume that is not destroyed."


def test_both_versions_have_all_texts():
    assert V4_18.texts.keys() == V4_23.texts.keys()


def test_repeated_job_as_530(sim, cloud):
    sim.set(repeated_job=530)
    volume = make(sim)
    cloud.run("updateVolume", id=volume, name="new", customjobid=JOB_A)
    error = refusal(cloud.call, "updateVolume", id=volume, name="newer", customjobid=JOB_A)
    assert (error.status, error.error["cserrorcode"], error.text) == \
        (530, 9999, "Entity already exists ")
    assert sim.volume(volume)["name"] == "new"


def test_restart_removes_volumes_of_lost_jobs(sim, cloud):
    sim.set(restart_removes=True)
    attached, fresh, spared = make(sim), make(sim), make(sim)
    attach(sim, attached, OTHER_VM)
    sim.set(job_delay=FOREVER)
    cloud.call("detachVolume", id=attached)
    cloud.call("attachVolume", id=fresh, virtualmachineid=OTHER_VM)
    sim.restart()
    assert sim.volume(fresh)["removed"] and cloud.call("listVolumes", id=fresh) == {}
    assert sim.volume(attached)["vm"] == OTHER_VM and not sim.volume(spared)["removed"]


def test_narrow_names(sim, cloud):
    sim.set(narrow_names=False)
    astral = dict(name="disk 😀", zoneid=ZONE, diskofferingid=OFFERING_CUSTOM, size=1)
    volume = cloud.run("createVolume", **astral)["volume"]
    assert volume["name"] == "disk 😀"
    sim.set(narrow_names=True)
    for command, given in (("createVolume", astral), ("listVolumes", {"name": "disk 😀"}),
                           ("updateVolume", {"id": volume["id"], "name": "disk 😀"})):
        error = refusal(cloud.call, command, **given)
        assert (error.status, error.error["cserrorcode"]) == (530, 4250)
        assert "SELECT" in error.text
    assert cloud.call("listVolumes", name="数据") == {}


def test_jobs_that_fail_and_do_it(sim, cloud):
    volume = make(sim)
    sim.set(fail_but_do=["attachVolume", "resizeVolume", "detachVolume", "destroyVolume"])
    assert failure(attach, sim, volume)["jobresult"]["errortext"] == \
        "Command failed due to Internal Server Error"
    assert (sim.volume(volume)["vm"], sim.volume(volume)["state"]) == (APPLIANCE_VM, "Ready")
    assert failure(cloud.run, "resizeVolume", id=volume, size=3)
    assert sim.volume(volume)["size"] == 3 * GIB
    assert failure(detach, sim, volume)
    assert sim.volume(volume)["vm"] is None
    assert failure(cloud.run, "destroyVolume", id=volume, expunge=True)
    assert sim.volume(volume)["removed"]


def test_jobs_that_succeed_and_do_nothing(tree):
    volume = make(tree)
    tree.set(succeed_but_do_not=["attachVolume"])
    row = attach(tree, volume)
    assert "virtualmachineid" not in row and row["state"] == "Allocated"
    assert not (tree.block / "vdb").exists()
    tree.set(succeed_but_do_not=["resizeVolume", "detachVolume", "destroyVolume"])
    attach(tree, volume)
    cloud = tree.client()
    assert cloud.run("resizeVolume", id=volume, size=3)["volume"]["size"] == 2 * GIB
    assert detach(tree, volume)["virtualmachineid"] == APPLIANCE_VM
    assert (tree.block / "vdb").exists()


def test_storage_that_rounds_up(tree):
    volume = make(tree, size=12)
    tree.set(storage_unit_gib=16)
    assert tree.volume(volume)["size"] == 12 * GIB
    assert attach(tree, volume)["size"] == 16 * GIB
    assert int((tree.block / "vdb/size").read_text()) * 512 == 16 * GIB
    tree.set(storage_unit_gib=32)       # the storage is there
    detach(tree, volume)
    assert attach(tree, volume)["size"] == 16 * GIB


def test_commands_the_server_does_not_know(sim, cloud):
    sim.set(unknown_commands=["listAsyncJobs"])
    error = refusal(cloud.call, "listAsyncJobs")
    assert (error.status, error.envelope, error.text) == (401, "errorresponse", AUTH_TEXT)
    assert cloud.call("listZones")


@pytest.mark.parametrize("version, code, words", [
    ("4.18", 530, "A shutdown has been triggered. "),
    ("4.23", 503, "Maintenance or Shutdown has been initiated on this management server. ")])
def test_maintenance_takes_no_new_jobs(sim, cloud, version, code, words):
    volume, jobs = make(sim), len(sim.state()["jobs"])
    sim.set(version=version, maintenance=code)
    for command in ("createVolume", "destroyVolume"):
        error = refusal(cloud.call, command, id=volume, name="n", zoneid=ZONE,
                        diskofferingid=OFFERING_CUSTOM, size=1)
        assert (error.status, error.text) == (code, words + "Can not accept new jobs")
    assert cloud.call("listVolumes", id=volume)["volume"]
    assert len(sim.state()["jobs"]) == jobs
    sim.set(maintenance=None)
    cloud.run("destroyVolume", id=volume, expunge="true")


def test_one_task_a_machine(sim, cloud):
    one, two = make(sim), make(sim)
    cloud.run("attachVolume", id=one, virtualmachineid=APPLIANCE_VM)
    sim.set(one_task_a_vm=True)
    sim.put_volume(id=one, state="Snapshotting")
    refused = failure(cloud.run, "attachVolume", id=two, virtualmachineid=APPLIANCE_VM)
    assert "There is other active volume snapshot tasks" in refused["jobresult"]["errortext"]
    sim.put_volume(id=one, state="Ready")
    cloud.run("attachVolume", id=two, virtualmachineid=APPLIANCE_VM)


def test_a_protected_volume_is_not_deleted(sim, cloud):
    volume = make(sim)
    sim.put_volume(id=volume, protected=True)
    sim.set(version="4.23")
    assert cloud.call("listVolumes", id=volume)["volume"][0]["deleteprotection"] is True
    refused = failure(cloud.run, "destroyVolume", id=volume, expunge="true")
    assert refused["jobresult"]["errortext"] == \
        f"Volume [id = {volume}, name = {sim.volume(volume)['name']}] has delete protection " \
        "enabled and cannot be deleted."
    assert not sim.volume(volume)["removed"]


def test_commands_the_role_forbids(sim, cloud):
    sim.put_account("admin", forbidden=["listAsyncJobs"])
    error = refusal(cloud.call, "listAsyncJobs")
    assert (error.status, error.envelope, error.error["cserrorcode"]) == \
        (432, "errorresponse", 9999)
    assert error.text.startswith("The API [listAsyncJobs] does not exist or is not available")
    sim.put_account("admin", forbidden=[])
    assert cloud.call("listAsyncJobs") == {}


@pytest.mark.parametrize("settings", [
    {"no_such_setting": 1}, {"bus": "floppy"}, {"version": "4.5"}, {"hypervisor": "Xen"},
    {"repeated_job": 200}, {"job_delay": 9.0, "bus": "floppy"}])
def test_bad_settings_change_nothing(sim, settings):
    before = sim.state()["settings"]
    with pytest.raises(ValueError):
        sim.set(**settings)
    assert sim.state()["settings"] == before


# -- long lists

def test_page_size(sim, cloud):
    sim.set(page_size=3)
    for _ in range(5):
        make(sim)
    everything = cloud.call("listVolumes")
    assert len(everything["volume"]) == 3 < everything["count"]
    assert refusal(cloud.call, "listVolumes", page=1, pagesize=4).text == \
        "Page size can't exceed max allowed page size value: 3"
    assert len(cloud.call("listVolumes", page=1, pagesize=3)["volume"]) == 3
    assert len(cloud.call("listVolumes", pagesize=-1)["volume"]) == everything["count"]


def test_count_of_the_page(sim, cloud):
    for _ in range(3):
        make(sim)
    sim.set(count_is_page=True)
    assert cloud.call("listVolumes", page=1, pagesize=2)["count"] == 2


def test_endless_list(sim, cloud):
    sim.set(endless_list=True)
    for page in 1, 2, 1000:
        answer = cloud.call("listVolumes", page=page, pagesize=2)
        assert len(answer["volume"]) == 2 and answer["count"] > 2 * page


def test_large_rows(sim, cloud):
    sim.set(row_bytes=3 << 20)
    assert len(ask(sim, signed(sim, command="listVolumes"))[2]) > 8 << 20


def test_slow_rows(sim):
    sim.set(row_delay=FOREVER)
    answered = threading.Event()

    def slow():
        with suppress(Exception):       # the simulator closes under it
            sim.client().call("listVolumes")
        answered.set()

    threading.Thread(target=slow, daemon=True).start()
    sim.wait_request("listVolumes")
    # What is slow is that list; the world goes on, and a list without rows takes no time.
    assert make(sim) and sim.client().call("listVolumes", name="none") == {}
    assert not answered.is_set()
    sim.close()
    assert answered.wait(10)


def test_odd_rows(sim, cloud):
    volume = make(sim)
    attach(sim, volume, OTHER_VM)
    sim.set(hide_deviceid=True)
    row, = cloud.call("listVolumes", id=volume)["volume"]
    assert row["virtualmachineid"] == OTHER_VM and "deviceid" not in row
    sim.put_volume(id="not-a-uuid", name="odd")
    assert "not-a-uuid" in [row["id"] for row in cloud.call("listVolumes")["volume"]]


# -- accounts and projects

@pytest.fixture
def alice(sim):
    sim.put_account("alice", domain="acme")
    return sim.client("alice")


def test_accounts_are_apart(sim, cloud, alice):
    new = dict(zoneid=ZONE, diskofferingid=OFFERING_CUSTOM, size=1)
    hers = alice.run("createVolume", name="hers", **new)["volume"]
    assert hers["account"] == "alice" and not hers.keys() & {"hypervisor", "storagetype"}
    assert alice.call("listVolumes", listall="true")["count"] == 1
    assert "hers" not in [row["name"] for row in cloud.call("listVolumes")["volume"]]
    assert "hers" in [row["name"] for row in cloud.call("listVolumes", listall="true")["volume"]]
    assert alice.call("listVirtualMachines") == {}
    job = cloud.call("updateVolume", id=hers["id"], name="taken")["jobid"]
    assert refusal(alice.call, "queryAsyncJobResult", jobid=job).status == 531
    machine = sim.put_vm(name="apart", owner="admin")["id"]
    both = {"id": hers["id"], "virtualmachineid": machine}
    assert refusal(alice.call, "attachVolume", **both).status == 531
    assert "belong to different accounts" in \
        failure(cloud.run, "attachVolume", **both)["jobresult"]["errortext"]


def test_projects(sim, cloud, alice):
    sim.put_account("bob", domain="acme")
    project = sim.put_project("p", ["alice"], domain="acme")["project"]
    new = dict(zoneid=ZONE, diskofferingid=OFFERING_CUSTOM, size=1, projectid=project)
    volume = alice.run("createVolume", name="ours", **new)["volume"]
    assert (volume["project"], volume["projectid"]) == ("p", project) and "account" not in volume
    assert refusal(sim.client("bob").call, "createVolume", name="x", **new).status == 531
    assert refusal(sim.client("bob").call, "listVolumes", projectid=project).status == 531
    assert sim.client("bob").call("listVolumes", projectid="-1") == {}
    assert refusal(cloud.call, "listVolumes", projectid=NOBODY).status == 431
    machine = sim.put_vm(name="ours", owner="p")["id"]
    assert alice.run("attachVolume", id=volume["id"], virtualmachineid=machine)


def names_listed(client, **filters):
    return {row["name"] for row in client.call("listVolumes", **filters).get("volume", [])}


def test_lists_of_projects(sim, alice):
    project = sim.put_project("p", ["alice"], domain="acme")["project"]
    sim.put_volume(name="ours", owner="p")
    sim.put_volume(name="hers", owner="alice")
    assert names_listed(alice) == names_listed(alice, listall="true") == {"hers"}
    for listall in ({}, {"listall": "true"}):
        assert names_listed(alice, projectid=project, **listall) == {"ours"}
    assert names_listed(alice, projectid="-1") == {"ours"}
    assert names_listed(alice, projectid="-1", listall="true") == {"hers", "ours"}


def test_limits(sim, cloud, alice):
    sim.put_account("alice", limit_gib=5, limit_volumes=2)
    new = dict(zoneid=ZONE, diskofferingid=OFFERING_CUSTOM)
    volume = alice.run("createVolume", name="one", size=2, **new)["volume"]["id"]
    error = refusal(alice.call, "createVolume", name="large", size=4, **new)
    assert (error.status, error.error["cserrorcode"]) == (535, 4370)
    assert "Type = 'primary_storage' for Account Name = alice" in error.text
    result = failure(alice.run, "resizeVolume", id=volume, size=6)["jobresult"]
    assert result["errorcode"] == 530 and "Maximum amount of resources" in result["errortext"]
    assert alice.run("resizeVolume", id=volume, size=3)
    alice.run("createVolume", name="two", size=1, **new)
    error = refusal(alice.call, "createVolume", name="three", size=1, **new)
    assert "Type = 'volume'" in error.text


def test_limits_are_told(sim, cloud, alice):
    """Of the own account, unless others are asked for; none hold for a root administrator."""
    sim.put_account("alice", limit_gib=5, limit_volumes=2)
    sim.put_account("carol", domain="acme", admin=True, limit_volumes=1)
    sim.put_account("admin", limit_volumes=0)
    alice.run("createVolume", name="one", size=2, zoneid=ZONE, diskofferingid=OFFERING_CUSTOM)
    (own,) = alice.call("listAccounts")["account"]
    assert own["name"] == "alice" and (own["volumelimit"], own["volumetotal"], own["volumeavailable"]) == \
        ("2", 1, "1")
    assert (own["primarystorageavailable"], own["snapshotavailable"]) == ("3", "Unlimited")
    (root,), (carol,) = (client.call("listAccounts")["account"] for client in (cloud, sim.client("carol")))
    assert (root["name"], root["accounttype"], root["volumeavailable"]) == ("admin", 1, "Unlimited")
    assert (carol["name"], carol["accounttype"], carol["volumeavailable"]) == ("carol", 2, "1")
    for client, names in ((cloud, {"admin", "alice", "carol"}), (sim.client("carol"), {"alice", "carol"}),
                          (alice, {"alice"})):
        assert {row["name"] for row in client.call("listAccounts", listall="true")["account"]} == names
    assert [row["name"] for row in cloud.call("listAccounts", name="alice",
                                              domainid=own["domainid"])["account"]] == ["alice"]
    ours = sim.put_project("ours", ["alice"], limit_volumes=0)["project"]
    assert alice.call("listProjects", id=ours)["project"][0]["volumeavailable"] == "0"
    sim.set(view_all_accounts=True)
    assert {row["name"] for row in alice.call("listAccounts")["account"]} == {"alice", "carol"}
    new = dict(name="beyond", size=1, zoneid=ZONE, diskofferingid=OFFERING_CUSTOM)
    assert cloud.run("createVolume", **new)
    sim.client("carol").run("createVolume", **new)
    assert refusal(sim.client("carol").call, "createVolume", **new).status == 535


def test_rights_are_told(sim, cloud, alice):
    sim.put_account("alice", forbidden=("destroyVolume",))
    assert alice.call("listApis", name="attachVolume")["api"][0]["name"] == "attachVolume"
    for who, name in ((alice, "destroyVolume"), (cloud, "noSuchCommand"),
                      (alice, "listHypervisorCapabilities")):
        error = refusal(who.call, "listApis", name=name)
        assert (error.status, "unable to find an api by that name" in error.text) == (530, True)
    assert refusal(alice.call, "listHypervisorCapabilities").status == 432
    (row,) = cloud.call("listHypervisorCapabilities", hypervisor="KVM")["hypervisorCapabilities"]
    assert row["maxdatavolumeslimit"] == sim.settings.max_data_volumes


# -- snapshots, tags, machines

def test_snapshot_keeps_contents(tree):
    """And a revert, which only KVM can, brings contents and size back."""
    cloud, volume = tree.client(), make(tree)
    attach(tree, volume)
    (tree.dev / "vdb").write_bytes(b"then" + bytes(GIB // 512))
    snapshot = cloud.run("createSnapshot", volumeid=volume)["snapshot"]["id"]
    with open(tree.dev / "vdb", "r+b") as disk:
        disk.write(b"now!")
    cloud.run("resizeVolume", id=volume, size=3)
    result = failure(cloud.run, "revertSnapshot", id=snapshot)["jobresult"]
    assert (result["errorcode"], result["errortext"]) == \
        (431, "The VM the specified disk is attached to is not in the shutdown state.")
    detach(tree, volume)
    assert cloud.run("revertSnapshot", id=snapshot) == {"success": True}
    twin = cloud.run("createVolume", name="twin", zoneid=ZONE, snapshotid=snapshot,
                     size=7)["volume"]
    assert (twin["state"], twin["size"]) == ("Ready", 2 * GIB)
    for place, id in (("vdb", volume), ("vdc", twin["id"])):
        attach(tree, id)
        assert (tree.dev / place).open("rb").read(4) == b"then"
        assert (tree.dev / place).stat().st_size == 2 * GIB
    cloud.run("deleteSnapshot", id=snapshot)
    assert not list(tree.dev.parent.glob(f"images/{snapshot}*"))


def test_detach_waits_for_a_snapshot(sim, cloud):
    volume = make(sim)
    attach(sim, volume, OTHER_VM)
    sim.set(job_delay=FOREVER)
    cloud.call("createSnapshot", volumeid=volume)
    sim.wait_for(lambda s: s.world.volumes[volume].state == "Snapshotting")
    job = cloud.call("detachVolume", id=volume)["jobid"]
    assert refusal(cloud.call, "deleteVolume", id=make_row(sim, "Snapshotting")).status == 431
    assert cloud.call("queryAsyncJobResult", jobid=job)["jobstatus"] == 0
    sim.hurry()
    cloud.wait(job)
    assert sim.volume(volume)["vm"] is None


def make_row(sim, state):
    return sim.put_volume(state=state)["id"]


def test_machine_with_snapshots_keeps_its_volumes(sim, cloud):
    attached, other = make(sim), make(sim)
    attach(sim, attached, OTHER_VM)
    snapshot = cloud.run("createVMSnapshot", virtualmachineid=OTHER_VM)["vmsnapshot"]["id"]
    listed, = cloud.call("listVMSnapshot", virtualmachineid=OTHER_VM)["vmSnapshot"]
    assert listed["id"] == snapshot
    for refused in (failure(detach, sim, attached), failure(attach, sim, other, OTHER_VM)):
        assert "does not have VM snapshots" in refused["jobresult"]["errortext"]
    refused = failure(cloud.run, "resizeVolume", id=attached, size=2)
    assert refused["jobresult"] == {
        "errorcode": 432,
        "errortext": "A volume that is attached to a VM with any VM snapshots cannot be resized."}
    cloud.run("deleteVMSnapshot", vmsnapshotid=snapshot)
    assert cloud.call("listVMSnapshot", virtualmachineid=OTHER_VM) == {}
    detach(sim, attached)


def test_machines_stop_and_start(sim, cloud):
    volume = make(sim)
    assert cloud.run("stopVirtualMachine", id=OTHER_VM)["virtualmachine"]["state"] == "Stopped"
    assert attach(sim, volume, OTHER_VM)["vmstate"] == "Stopped"
    assert cloud.run("startVirtualMachine", id=OTHER_VM)["virtualmachine"]["state"] == "Running"
    machine = cloud.run("destroyVirtualMachine", id=OTHER_VM)["virtualmachine"]
    assert machine["state"] == "Destroyed"
    assert failure(attach, sim, make(sim), OTHER_VM)["jobresult"]["errortext"] == \
        "Please specify a valid User VM."
    assert sim.volume(volume)["vm"] == OTHER_VM
    cloud.run("destroyVirtualMachine", id=OTHER_VM, expunge="true")
    assert (sim.volume(volume)["vm"], sim.volume(volume)["state"]) == (None, "Ready")


def test_tags_are_all_or_nothing(sim, cloud):
    one, two = make(sim), make(sim)
    both = {"resourceids": f"{one},{two}", "resourcetype": "Volume"}
    cloud.run("createTags", resourceids=two, resourcetype="volume",
              **{"tags[0].key": "b", "tags[0].value": "1"})
    pairs = {"tags[0].key": "a", "tags[0].value": "1", "tags[1].key": "b", "tags[1].value": "2"}
    assert failure(cloud.run, "createTags", **both, **pairs)["jobresult"]["errortext"] == \
        f"tag b already on Volume with id {two}"
    assert cloud.call("listTags", resourceid=one) == {}
    assert failure(cloud.run, "createTags", resourceids=NOBODY, resourcetype="Volume",
                   **pairs)["jobresult"]["errorcode"] == 431
    cloud.run("deleteTags", **both)
    assert cloud.call("listTags") == {}


def test_volume_is_ready_while_its_attach_waits(sim, cloud):
    volume = make(sim)
    detach(sim, attach(sim, volume, OTHER_VM)["id"])
    sim.set(queue_delay=FOREVER)
    job = cloud.call("attachVolume", id=volume, virtualmachineid=OTHER_VM)["jobid"]
    row, = cloud.call("listVolumes", id=volume)["volume"]
    assert (row["state"], row["jobid"]) == ("Ready", job) and "virtualmachineid" not in row
    assert make(sim)            # what needs no queue does not wait
    sim.hurry()
    assert cloud.wait(job)["volume"]["virtualmachineid"] == OTHER_VM


# -- disks in a directory

def names(tree):
    return sorted(os.listdir(tree.block))


def read(tree, path):
    return (tree.block / path).read_text()


def test_tree_root_disk(tree):
    assert names(tree) == ["vda"]
    root = tree.world.root_volume(APPLIANCE_VM)
    assert read(tree, "vda/serial") == serial_of(root.id)
    assert read(tree, "vda/vda1/partition") == "1\n"


def test_tree_virtio(tree):
    volume = make(tree, size=2)
    attach(tree, volume)
    assert names(tree) == ["vda", "vdb"]
    serial = read(tree, "vdb/serial")
    assert len(serial) == 20 and volume.replace("-", "").startswith(serial)
    assert read(tree, "vdb/size") == f"{2 * GIB // 512}\n"
    assert read(tree, "vdb/dev") == "254:16\n"
    assert read(tree, "vdb/ro") == read(tree, "vdb/removable") == "0\n"
    assert (tree.block / "vdb/queue/logical_block_size").exists()
    assert (tree.dev / "vdb").stat().st_size == 2 * GIB
    tree.client().run("resizeVolume", id=volume, size=3)
    assert read(tree, "vdb/size") == f"{3 * GIB // 512}\n"
    assert (tree.dev / "vdb").stat().st_size == 3 * GIB
    detach(tree, volume)
    assert names(tree) == ["vda"] and os.listdir(tree.dev) == ["vda"]


def test_tree_names_are_reused_but_never_inodes(tree):
    one, two = make(tree, "one"), make(tree, "two")
    inodes, sequence = [], []
    for volume in (one, two) * 3:
        attach(tree, volume)
        inodes.append((tree.block / "vdb").stat().st_ino)
        sequence.append(int(read(tree, "vdb/diskseq")))
        assert read(tree, "vdb/serial") == serial_of(volume)
        detach(tree, volume)
    assert len(set(inodes)) == 6 and sequence == sorted(set(sequence))


def test_tree_lowest_free_name(tree):
    volumes = [make(tree, f"v{n}", size=1) for n in range(27)]
    for volume in volumes:
        attach(tree, volume)
    assert read(tree, "vdaa/serial") == serial_of(volumes[25])
    assert read(tree, "vdab/dev") == "254:432\n"
    detach(tree, volumes[1])
    attach(tree, volumes[1])
    assert read(tree, "vdc/serial") == serial_of(volumes[1])


def test_tree_contents_survive_a_detach(tree):
    volume = make(tree)
    attach(tree, volume)
    with open(tree.dev / "vdb", "r+b") as disk:
        disk.write(b"kept")
    detach(tree, volume)
    attach(tree, volume)
    assert (tree.dev / "vdb").open("rb").read(4) == b"kept"
    detach(tree, volume)
    tree.client().call("deleteVolume", id=volume)
    assert not list(tree.dev.parent.glob(f"images/{volume}*"))


def test_tree_scsi_and_disks_without_identity(tree):
    tree.set(bus="scsi")
    volume = make(tree)
    attach(tree, volume)
    serial = serial_of(volume).encode()
    assert (tree.block / "sda/device/vpd_pg80").read_bytes() == b"\x00\x80\x00\x14" + serial
    assert serial.decode() in read(tree, "sda/device/wwid")
    assert read(tree, "sda/device/vendor").strip() == "QEMU"
    assert read(tree, "sda/dev") == "8:0\n"
    assert not (tree.block / "sda/serial").exists()
    tree.set(bus="none")
    attach(tree, make(tree))
    assert read(tree, "vdb/serial") == ""


def test_tree_entries_are_never_half_made(tree):
    wanted, stop, bad = {"size", "serial", "dev", "diskseq", "queue"}, threading.Event(), []

    def scan():
        while not stop.is_set():
            for name in os.listdir(tree.block):
                try:
                    folder = os.open(tree.block / name, os.O_RDONLY)
                except FileNotFoundError:
                    continue
                found = set(os.listdir(folder))
                if not found >= wanted and (tree.block / name).exists():
                    if os.stat(folder).st_ino == (tree.block / name).stat().st_ino:
                        bad.append(found)
                os.close(folder)

    scanner = threading.Thread(target=scan)
    scanner.start()
    for _ in range(50):
        tree.unplug_disk(key=tree.plug_disk(size=GIB, serial="f" * 20)["key"])
    stop.set()
    scanner.join()
    assert not bad


def test_tree_takes_no_foreign_folder(tmp_path):
    (tmp_path / "block").mkdir()
    with pytest.raises(PlugError):
        plug.make_plug(f"tree:{tmp_path}")
    assert (tmp_path / "block").exists()


def test_only_the_appliance_gets_disks(tree):
    attach(tree, make(tree), OTHER_VM)
    assert names(tree) == ["vda"]


def test_guest_faults(tree):
    volume = make(tree)
    strike(tree, "no_plug", "attachVolume")
    assert attach(tree, volume)["virtualmachineid"] == APPLIANCE_VM
    assert names(tree) == ["vda"]
    detach(tree, volume)
    strike(tree, "wrong_size", "attachVolume", size=GIB)
    assert attach(tree, volume)["size"] == 2 * GIB
    assert read(tree, "vdb/size") == f"{GIB // 512}\n"
    assert (tree.dev / "vdb").stat().st_size == GIB


def test_device_before_the_job_is_done(tree):
    volume = make(tree)
    strike(tree, "job_delay", "attachVolume", seconds=FOREVER)
    job = tree.client().call("attachVolume", id=volume, virtualmachineid=APPLIANCE_VM)["jobid"]
    tree.wait_for(lambda s: s.world.jobs[job].acted.is_set())
    assert names(tree) == ["vda", "vdb"]
    assert tree.client().call("queryAsyncJobResult", jobid=job)["jobstatus"] == 0


def test_device_after_the_job_is_done(gated):
    """And an unplug waits for the plug before it, however late that is."""
    volume = make(gated)
    gated.set(plug_delay=0.01)
    gated.plug.gate.clear()
    attach(gated, volume)
    assert names(gated) == ["vda"]
    gated.plug.gate.set()
    gated.wait_idle()
    assert names(gated) == ["vda", "vdb"]
    detach(gated, volume)
    gated.wait_idle()
    gated.plug.gate.clear()
    attach(gated, volume)
    detach(gated, volume)
    gated.plug.gate.set()
    gated.wait_idle()
    assert names(gated) == ["vda"]


def test_behind_the_back(tree):
    stranger = tree.plug_disk(size=GIB, serial="abc", name="vdq")
    assert names(tree) == ["vda", "vdq"] and read(tree, "vdq/serial") == "abc"
    tree.unplug_disk(name="vdq")
    assert names(tree) == ["vda"] and stranger["key"]
    volume = make(tree)
    tree.attach_behind(volume)
    assert tree.volume(volume)["vm"] == APPLIANCE_VM and names(tree) == ["vda", "vdb"]
    tree.detach_behind(volume, guest=False)
    assert tree.volume(volume)["vm"] is None and names(tree) == ["vda", "vdb"]
    tree.attach_behind(volume, guest=False)
    tree.detach_behind(volume, row=False)
    assert tree.volume(volume)["vm"] == APPLIANCE_VM and names(tree) == ["vda"]


# -- loop devices

def backing(path):
    """The loop devices of a backing file."""
    found = subprocess.run(["losetup", "-j", str(path)], capture_output=True, text=True)
    return [line.split(":")[0] for line in found.stdout.splitlines()]


@pytest.fixture
def loops(tmp_path, monkeypatch):
    monkeypatch.setattr(plug, "UNPLUG_DEADLINE", 180)
    probe = tmp_path / "probe"
    probe.write_bytes(bytes(1 << 20))
    if os.geteuid() != 0 or not Path("/dev/loop-control").exists():
        pytest.skip("loop devices need root")
    with CloudSim(plug=f"loop:{tmp_path}/loops", job_delay=0) as sim:
        sim.images = tmp_path / "loops"
        yield sim


def test_loop(loops):
    volume = make(loops, size=1)
    image = loops.images / f"{volume}.img"
    attach(loops, volume)
    device, = backing(image)
    assert loops.state()["devices"][0]["name"] == Path(device).name
    with open(device, "r+b") as disk:
        disk.write(b"kept")
    loops.client().run("resizeVolume", id=volume, size=2)
    assert Path(f"/sys/block/{Path(device).name}/size").read_text() == f"{2 * GIB // 512}\n"
    detach(loops, volume)
    assert backing(image) == []
    with image.open("rb") as file:
        assert file.read(4) == b"kept"
    attach(loops, volume)
    loops.close()
    assert backing(image) == []


def test_loop_destroy_removes_the_image(loops):
    volume = make(loops, size=1)
    attach(loops, volume)
    detach(loops, volume)
    loops.client().run("destroyVolume", id=volume, expunge="true")
    assert not (loops.images / f"{volume}.img").exists()


def impatient_failure(monkeypatch, sim, volume):
    """A detach whose device does not go. The next one may take its time, as the machine does."""
    with monkeypatch.context() as patch:
        patch.setattr(plug, "UNPLUG_DEADLINE", 0.05)
        return failure(detach, sim, volume)


def test_loop_busy_device_fails_the_detach(loops, monkeypatch):
    volume = make(loops, size=1)
    attach(loops, volume)
    device, = backing(loops.images / f"{volume}.img")
    with open(device, "rb"):
        job = impatient_failure(monkeypatch, loops, volume)
        assert job["jobresultcode"] == 530
        assert "the device is busy" in job["jobresult"]["errortext"]
        assert loops.volume(volume)["vm"] == APPLIANCE_VM
    detach(loops, volume)


def test_loop_that_is_busy_for_a_moment(loops):
    volume = make(loops, size=1)
    attach(loops, volume)
    device, = backing(loops.images / f"{volume}.img")
    ends = Path(f"/sys/block/{Path(device).name}/loop/autoclear")
    with open(device, "rb"):
        job = loops.client().call("detachVolume", id=volume)["jobid"]
        eventually(lambda: ends.read_text() == "1\n", "the device ends with its last user")
        assert loops.client().call("queryAsyncJobResult", jobid=job)["jobstatus"] == 0
    loops.client().wait(job)
    assert backing(loops.images / f"{volume}.img") == []


# -- QEMU

class FakeQemu(threading.Thread):
    """Speaks just enough QMP: records commands, and sends events where they can confuse."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.commands, self.stubborn, self.ejected = [], False, set()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.start()

    def run(self):
        connection, _ = self.listener.accept()
        with connection, connection.makefile("rw") as file:
            def say(message):
                file.write(json.dumps(message) + "\r\n")
                file.flush()

            say({"QMP": {"version": {}, "capabilities": []}})
            for line in file:
                request = json.loads(line)
                name, arguments = request["execute"], request.get("arguments", {})
                self.commands.append((name, arguments))
                say({"event": "NOISE", "data": {}})
                if name == "device_del" and arguments["id"] in self.ejected:
                    say({"error": {"class": "DeviceNotFound", "desc": "not found"}})
                    continue
                if name == "device_del" and not self.stubborn:
                    say({"event": "DEVICE_DELETED", "data": {"device": "another"}})
                    say({"event": "DEVICE_DELETED", "data": {"device": arguments["id"]}})
                if name == "quit":
                    say({"error": {"class": "GenericError", "desc": "not today"}})
                else:
                    say({"return": {}})
        self.listener.close()


def test_qmp_client(tmp_path):
    FakeQemu(tmp_path / "qmp")
    with QMP(tmp_path / "qmp", timeout=180) as qmp:
        assert qmp.command("query-status") == {}
        qmp.command("device_del", id="d1")
        assert qmp.wait_event("DEVICE_DELETED", 5, device="d1")["data"] == {"device": "d1"}
        assert qmp.wait_event("DEVICE_DELETED", 5)["data"] == {"device": "another"}
        with pytest.raises(QMPError, match="not today"):
            qmp.command("quit")
        with pytest.raises(QMPError, match="in time"):
            qmp.wait_event("NEVER", 0.01)


def test_qmp_plug(tmp_path, monkeypatch):
    qemu = FakeQemu(tmp_path / "qmp")
    with CloudSim(plug=f"qmp:{tmp_path}/qmp,{tmp_path}/images", job_delay=0) as sim:
        volume = make(sim, size=1)
        attach(sim, volume)
        sim.client().run("resizeVolume", id=volume, size=2)
        qemu.stubborn = True
        assert impatient_failure(monkeypatch, sim, volume)["jobresultcode"] == 530
        qemu.stubborn = False
        detach(sim, volume)
        sim.set(bus="scsi")
        attach(sim, volume)
        qemu.ejected.add("simdisk2")    # by the guest itself
        detach(sim, volume)
        attach(sim, volume)
    image = f"{tmp_path}/images/{volume}.img"
    disk = {"drive": "simnode1", "id": "simdisk1", "serial": serial_of(volume)}
    assert qemu.commands[:5] == [
        ("qmp_capabilities", {}),
        ("blockdev-add", {"driver": "file", "filename": image, "node-name": "simnode1"}),
        ("device_add", {"driver": "virtio-blk-pci", **disk}),
        ("block_resize", {"node-name": "simnode1", "size": 2 * GIB}),
        ("device_del", {"id": "simdisk1"})]
    assert qemu.commands[5:7] == [("device_del", {"id": "simdisk1"}),
                                  ("blockdev-del", {"node-name": "simnode1"})]
    assert qemu.commands[8][1]["driver"] == "scsi-hd"
    assert qemu.commands[9:11] == [("device_del", {"id": "simdisk2"}), ("blockdev-del", {"node-name": "simnode2"})]
    assert qemu.commands[-1] == ("blockdev-del", {"node-name": "simnode3"})


# -- the record, the control API, the program

def test_record_of_requests(sim, cloud):
    cloud.call("listVolumes", name="x")
    refusal(cloud.call, "attachVolume")
    first, second = sim.requests()
    assert (first["command"], first["method"], first["outcome"]) == ("listVolumes", "POST", 200)
    assert first["params"]["name"] == "x"
    assert not first["params"].keys() & {"apikey", "signature"}
    assert second["outcome"] == 431
    sim.clear_requests()
    assert sim.requests() == []


def control(base, method, name, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = Request(f"{base}/_sim/{name}", data, method=method)
    with build_opener(ProxyHandler({})).open(request, timeout=180) as response:
        return json.loads(response.read())


def test_control_api(tree):
    base = tree.base_url
    volume = control(base, "POST", "volume", {"name": "odd", "state": "Migrating"})["id"]
    control(base, "POST", "volume", {"id": volume, "state": "Ready"})
    control(base, "POST", "attach-behind", {"volume": volume})
    state = control(base, "GET", "state")
    assert {d["name"] for d in state["devices"]} == {"vda", "vdb"}
    assert next(v for v in state["volumes"] if v["id"] == volume)["vm"] == APPLIANCE_VM
    control(base, "POST", "detach-behind", {"volume": volume})
    disk = control(base, "POST", "plug", {"size": GIB})
    control(base, "POST", "unplug", {"name": disk["name"]})
    assert control(base, "POST", "vm", {"id": STOPPED_VM, "state": "Running"})["name"] == "stopped"
    control(base, "POST", "account", {"name": "alice", "forbidden": ["destroyVolume"]})
    control(base, "POST", "project", {"name": "p", "members": ["alice"]})
    control(base, "POST", "vm", {"name": "ours", "owner": "p"})
    state = control(base, "GET", "state")
    assert [a["name"] for a in state["accounts"]] == ["admin", "alice", "p"]
    assert not any("secret_key" in account for account in state["accounts"])
    control(base, "POST", "set", {"job_delay": 0.5})
    assert tree.settings.job_delay == 0.5
    control(base, "POST", "faults", [{"do": "slow", "seconds": 0}])
    control(base, "POST", "faults", {"rules": [{"do": "empty"}], "append": True})
    assert [f["do"] for f in control(base, "GET", "state")["faults"]] == ["slow", "empty"]
    control(base, "DELETE", "faults")
    tree.client().call("listZones")
    assert [r["command"] for r in control(base, "GET", "requests")] == ["listZones"]
    control(base, "DELETE", "requests")
    assert tree.requests() == []
    control(base, "POST", "restart", {"effects": True})
    with pytest.raises(OSError):
        control(base, "POST", "set", {"no_such_setting": 1})


def test_control_down_comes_back(sim, cloud):
    connection = http.client.HTTPConnection(urlsplit(sim.url).netloc, timeout=180)
    connection.request("POST", "/_sim/down", json.dumps({"seconds": 0.1}))
    assert connection.getresponse().read() == b"{}"
    assert connection.sock is None or connection.sock.recv(1) == b""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            assert cloud.call("listZones")
            return
        except OSError:
            continue
    pytest.fail("the simulator stayed down")


def test_program(tmp_path):
    wrapper = Path(__file__).parent / "cloudsim"
    secret, port_file = tmp_path / "secret", tmp_path / "port"
    faults = tmp_path / "faults.json"
    faults.write_text('[{"do": "status", "code": 429, "command": "listZones"}]')
    program = subprocess.Popen(
        [wrapper, "--port-file", port_file, "--secret-key-file", secret, "--faults", faults,
         "--plug", f"tree:{tmp_path}/tree", "--appliance", OTHER_ZONE],
        cwd="/", stdout=subprocess.PIPE, text=True)
    try:
        url = program.stdout.readline().split()[-1]
        assert url == f"http://127.0.0.1:{port_file.read_text().strip()}/client/api"
        assert secret.stat().st_mode & 0o777 == 0o600
        key = secret.read_text().strip()
        params = signed(None, secret=key, command="listZones")
        opener = build_opener(ProxyHandler({}))
        with pytest.raises(OSError, match="429"):
            opener.open(url, urlencode(params).encode())
        assert opener.open(url, urlencode(params).encode()).status == 200
        assert os.listdir(tmp_path / "tree/block") == ["vda"]
        program.send_signal(signal.SIGTERM)
        assert program.wait(10) == 0
        assert os.listdir(tmp_path / "tree/block") == []
    finally:
        program.kill()
        program.wait()
        program.stdout.close()


@pytest.mark.parametrize("arguments", [
    ["--plug", "floppy"], ["--faults", "/nonexistent"], ["--plug", "tree:/usr"]])
def test_program_refuses(arguments):
    wrapper = Path(__file__).parent / "cloudsim"
    done = subprocess.run([wrapper, *arguments], capture_output=True, text=True, timeout=180)
    assert done.returncode == 1 and done.stderr.startswith("cloudsim: ")


def test_help_tells_all(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for word in (*(f.name for f in fields(Settings)), *KINDS, "POST account", "POST project"):
        assert word in text


def test_ids_repeat_from_run_to_run():
    def first_volume(seed):
        with CloudSim(job_delay=0, seed=seed) as sim:
            return make(sim)

    assert first_volume(1) == first_volume(1) != first_volume(2)


def test_a_redirect(sim):
    sim.set(redirect="https://elsewhere.example/api")
    status, headers, body = ask(sim, {"command": "listVolumes", "apikey": "k"}, "GET")
    assert (status, body) == (302, "")
    assert headers["Location"] == "https://elsewhere.example/api?command=listVolumes&apikey=k"
