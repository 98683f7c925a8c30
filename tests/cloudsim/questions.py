# SPDX-License-Identifier: LGPL-2.1-or-later
"""The questions that a real server was asked, in the order of its recordings.

Each function is one section: it puts questions to a cloud through an `Interview`, which keeps the
answers under the names that the recordings in `observed/` use. What a question needs (a volume, a
machine in some state) is made on the way. `test_observed.py` compares the answers.
"""

import http.client
import json
import time
import uuid
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from .sign import format_expires, sign

SECTIONS = {}


def section(function):
    SECTIONS[function.__name__] = function
    return function


@dataclass
class Place:
    """The cloud that is asked: its keys by account, and what it holds from the beginning."""

    url: str
    keys: dict                  # account -> (API key, secret key)
    zone: str
    custom: str                 # an offering whose size the caller chooses
    fixed: str                  # and one of 5 GiB
    machine: str                # of the administrator, as are the next two
    other_machine: str
    root_machine: str
    project: str
    project_machine: str


def new_id():
    return str(uuid.uuid4())


def moment(seconds):
    return format_expires(time.time() + seconds)


class Interview:
    def __init__(self, place, steering):
        """`steering` does to the cloud what cannot be asked for: it holds queues or jobs, lets
        them go, and restarts the server."""
        self.place = place
        self.steering = steering
        self.rows = []

    def send(self, command, who="admin", method="POST", without=(), signature=None, **params):
        """One signed request: (status, envelope, inside of the answer)."""
        api_key, secret_key = self.place.keys[who]
        form = {"command": command, "response": "json", "apikey": api_key,
                "signatureversion": "3", "expires": moment(600),
                **{name: str(value) for name, value in params.items()}}
        form = {name: value for name, value in form.items() if name not in without}
        if "signature" not in without:
            form["signature"] = signature or sign(form, secret_key)
        target = urlsplit(self.place.url)
        connection = http.client.HTTPConnection(target.netloc, timeout=120)
        if method == "GET":
            connection.request("GET", f"{target.path}?{urlencode(form)}")
        else:
            connection.request("POST", target.path, urlencode(form),
                               {"Content-Type": "application/x-www-form-urlencoded"})
        response = connection.getresponse()
        (envelope, inner), = json.loads(response.read()).items()
        connection.close()
        return response.status, envelope, inner

    def ask(self, question, command, show=None, **request):
        """Put a question and keep the answer; of a good one only what `show` makes of it."""
        status, envelope, inner = self.send(command, **request)
        shown = show(inner) if show and "errorcode" not in inner else inner
        self.rows.append({"q": question, "status": status, "envelope": envelope,
                          "answer": shown})
        return inner

    def run(self, question, command, show=None, **request):
        """Put a question that makes a job, and keep the job's end as an answer of its own."""
        inner = self.ask(question, command, show, **request)
        if "jobid" in inner:
            status, envelope, job = self.ended(inner["jobid"])
            self.rows.append({"q": f"{question} → job", "status": status, "envelope": envelope,
                              "answer": job})
        return inner

    def ended(self, job):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            reply = self.send("queryAsyncJobResult", jobid=job)
            if reply[2].get("jobstatus") != 0:
                return reply
            time.sleep(0.01)        # the API has no way to be told
        raise TimeoutError(f"job {job} is still pending")

    # -- without keeping the answers

    def quietly(self, command, **request):
        """Have something done. The answer, once its job has ended."""
        inner = self.send(command, **request)[2]
        if "jobid" in inner:
            self.ended(inner["jobid"])
        return inner

    def create(self, **request):
        """A new volume's id."""
        return self.quietly("createVolume", **{**self.new(), **request})["id"]

    def new(self, name=None, size=1):
        return {"name": name or f"probe-{new_id()[:8]}", "zoneid": self.place.zone,
                "diskofferingid": self.place.custom, "size": size}

    def root_of(self, machine):
        listed = self.send("listVolumes", virtualmachineid=machine, type="ROOT", listall="true")
        return listed[2]["volume"][0]["id"]


# -- what is kept of long answers

def well(_):
    return "ok"


def members(answer):
    return sorted(answer)


def counted(answer):
    return answer.get("count")


def number(answer):
    return len(answer.get("volume", []))


def each(*fields):
    """Of each volume in a list, these fields: a list of lists, or of values if it is one."""
    def show(answer):
        rows = [[volume.get(field) for field in fields] for volume in answer.get("volume", [])]
        return rows if len(fields) > 1 else [value for value, in rows]
    return show


def where(answer):
    return [[volume["type"], volume.get("deviceid"), volume["state"],
             "virtualmachineid" in volume] for volume in answer.get("volume", [])]


def under_way(answer):
    return [[volume["state"], "virtualmachineid" in volume, "jobid" in volume]
            for volume in answer.get("volume", [])]


# -- the sections

@section
def signing(cloud):
    cloud.ask("caps", "listCapabilities")
    cloud.ask("caps GET", "listCapabilities", lambda answer: members(answer["capability"]),
              method="GET")
    cloud.ask("bad signature", "listZones", signature="bm90IHRoZSByaWdodCBzaWduYXR1cmU=")
    cloud.ask("no signature", "listZones", without=("signature",))
    cloud.ask("no key", "listZones", without=("apikey",))
    for question, expires in (
            ("-3 s", moment(-3)), ("-1 s", moment(-1)), ("2 s", moment(2)),
            ("no offset", moment(600).removesuffix("+0000")),
            ("Z+", moment(600).replace("+", "Z+")), ("Z", moment(600).replace("+0000", "Z")),
            ("far", moment(10 * 365 * 86400))):
        cloud.ask(f"expires {question}", "listZones", well, expires=expires)
    cloud.ask("no version", "listZones", well, without=("signatureversion", "expires"))
    cloud.ask("version 2", "listZones", well, signatureversion="2")
    cloud.ask("unknown command", "listNothing")
    cloud.ask("command case", "LISTZONES", well)
    for name in ("plain", "a b", "a+b", "a*b~c", "é ü 日本", "a&b=c?d#e", "q'uote\"s",
                 "per%20cent", "semi;colon", "back\\slash", "<tag>", "[x]{y}|^`", "tab\there",
                 "nl\nhere", "\x7fdel", "x" * 255, "x" * 256, "😀 astral"):
        cloud.ask(f"name {ascii(name)}"[:35], "listVolumes", well, name=name)


@section
def create(cloud):
    place, custom = cloud.place, {"zoneid": cloud.place.zone,
                                  "diskofferingid": cloud.place.custom}
    volume = cloud.run("create", "createVolume", **cloud.new("probe-create", 2))["id"]
    cloud.ask("list id", "listVolumes", id=volume)
    for question, name in (("exact", "probe-create"), ("part", "probe-crea"),
                           ("case", "PROBE-CREATE")):
        cloud.ask(f"list name {question}", "listVolumes", number, name=name)
    fixed = {"zoneid": place.zone, "diskofferingid": place.fixed}
    cloud.run("create fixed", "createVolume", name="probe-fixed", **fixed)
    cloud.run("create fixed with size", "createVolume", name="refused", size=3, **fixed)
    refused = {"name": "refused", "size": 1, **custom}
    for question, given in (
            ("custom no size", {"name": "refused", **custom}),
            ("size 0", refused | {"size": 0}),
            ("size -1", refused | {"size": -1}),
            ("size big", refused | {"size": 99999}),
            ("size text", refused | {"size": "abc"}),
            ("no zone", {"name": "refused", "size": 1, "diskofferingid": place.custom}),
            ("unknown zone", refused | {"zoneid": new_id()}),
            ("zone no uuid", refused | {"zoneid": "nope"}),
            ("unknown offering", refused | {"diskofferingid": new_id()}),
            ("no offering", {"name": "refused", "size": 1, "zoneid": place.zone}),
            ("unknown snapshot", {"name": "refused", "zoneid": place.zone,
                                  "snapshotid": new_id()}),
            ("no name", {"size": 1, **custom}),
            ("name 255", refused | {"name": "n" * 255}),
            ("name 256", refused | {"name": "n" * 256}),
            ("same name", refused | {"name": "probe-create"})):
        cloud.run(f"create {question}", "createVolume", **given)
    chosen = new_id()
    cloud.run("create customid", "createVolume", customid=chosen, **cloud.new("probe-cid"))
    cloud.ask("list customid", "listVolumes", number, id=chosen)
    cloud.run("create customid again", "createVolume", customid=chosen,
              **cloud.new("probe-cid2"))
    cloud.ask("list cid2", "listVolumes", number, name="probe-cid2")
    cloud.run("create customid as user", "createVolume", who="user", customid=new_id(),
              **cloud.new())


@section
def jobs(cloud):
    machine, volume = cloud.place.machine, cloud.create()
    here = {"id": volume, "virtualmachineid": machine}
    first, second, third, fourth, fifth = (new_id() for _ in range(5))
    cloud.run("attach customjobid", "attachVolume", customjobid=first, **here)
    for question, job in (("same customjobid again", first), ("bad customjobid", "not-a-uuid"),
                          ("upper customjobid", new_id().upper())):
        cloud.ask(f"attach {question}", "attachVolume", customjobid=job, **here)
    cloud.run("detach customjobid", "detachVolume", id=volume, customjobid=second)
    cloud.ask("detach same again", "detachVolume", id=volume, customjobid=second)
    twin = cloud.new()
    cloud.run("create customjobid", "createVolume", customjobid=third, **twin)
    cloud.ask("create same customjobid", "createVolume", customjobid=third, **twin)
    cloud.ask("volumes of that name", "listVolumes", each("state"), name=twin["name"])
    cloud.run("burn by createTags", "createTags", customjobid=fourth, resourceids=volume,
              resourcetype="Volume", **{"tags[0].key": "burn", "tags[0].value": fourth})
    cloud.ask("attach with burned id", "attachVolume", customjobid=fourth, **here)
    cloud.ask("unchanged", "listVolumes",
              lambda answer: "virtualmachineid" not in answer["volume"][0], id=volume)
    cloud.run("burn by failing command", "attachVolume", id=volume, virtualmachineid=new_id(),
              customjobid=fifth)
    cloud.run("then use it", "attachVolume", customjobid=fifth, **here)
    cloud.run("detach", "detachVolume", id=volume)
    cloud.ask("query unknown", "queryAsyncJobResult", jobid=new_id())
    cloud.ask("query no uuid", "queryAsyncJobResult", jobid="abc")
    cloud.ask("query none", "queryAsyncJobResult")
    cloud.ask("query of other", "queryAsyncJobResult", who="user", jobid=second)
    cloud.ask("query by resource", "queryAsyncJobResult", resourcetype="Volume",
              resourceid=volume)
    cloud.ask("listAsyncJobs", "listAsyncJobs", listall="true")
    cloud.steering.hold_queues()
    running = cloud.send("attachVolume", **here)[2]["jobid"]
    cloud.ask("query running", "queryAsyncJobResult", jobid=running)
    cloud.ask("list running", "listVolumes", id=volume)
    cloud.ask("jobs running", "listAsyncJobs", listall="true")
    behind = [cloud.ask("second attach while running", "attachVolume", id=volume,
                        virtualmachineid=cloud.place.other_machine)["jobid"],
              cloud.ask("detach while running", "detachVolume", id=volume)["jobid"]]
    cloud.steering.let_go()
    for job in (running, *behind):
        cloud.ended(job)
    if cloud.send("listVolumes", id=volume)[2]["volume"][0].get("virtualmachineid") is None:
        cloud.quietly("attachVolume", **here)
    cloud.run("clean", "detachVolume", id=volume)


@section
def attach(cloud):
    machine, other = cloud.place.machine, cloud.place.other_machine
    one, two, three = (cloud.create() for _ in range(3))
    cloud.run("attach", "attachVolume", id=one, virtualmachineid=machine)
    cloud.ask("list attached", "listVolumes", id=one)
    cloud.ask("list by vm", "listVolumes", each("type", "deviceid"), virtualmachineid=machine)
    cloud.run("attach attached same", "attachVolume", id=one, virtualmachineid=machine)
    cloud.run("attach attached other", "attachVolume", id=one, virtualmachineid=other)
    for slot, volume in (("taken", two), (3, two), (0, two), (5, two), (99, three)):
        cloud.run(f"attach deviceid {slot}", "attachVolume", id=volume, virtualmachineid=machine,
                  deviceid=1 if slot == "taken" else slot)
    cloud.run("attach unknown vm", "attachVolume", id=three, virtualmachineid=new_id())
    cloud.run("attach unknown volume", "attachVolume", id=new_id(), virtualmachineid=machine)
    cloud.run("attach no vm", "attachVolume", id=three)
    cloud.run("detach", "detachVolume", id=one)
    cloud.ask("list detached", "listVolumes", id=one)
    cloud.run("detach detached", "detachVolume", id=one)
    cloud.run("detach unknown", "detachVolume", id=new_id())
    cloud.run("detach by vm and deviceid", "detachVolume", virtualmachineid=machine, deviceid=5)
    cloud.run("detach nothing named", "detachVolume")
    cloud.run("detach root", "detachVolume", id=cloud.root_of(machine))
    fresh = cloud.send("createVolume", **cloud.new())[2]["id"]
    cloud.ask("attach while creating", "attachVolume", id=fresh, virtualmachineid=machine)


@section
def resize(cloud):
    volume = cloud.create(size=2)

    def resized(question, *sizes, **rest):
        for size in sizes:
            rest["size"] = size
        cloud.run(f"resize {question}", "resizeVolume", **{"id": volume, **rest})

    def listed():
        cloud.ask("list", "listVolumes", each("size", "state"), id=volume)

    resized("fresh", 3)
    listed()
    cloud.run("attach", "attachVolume", id=volume, virtualmachineid=cloud.place.machine)
    resized("attached", 4)
    listed()
    resized("same", 4)
    resized("shrink", 2)
    resized("shrink ok", 2, shrinkok="true")
    resized("none")
    resized("huge", 99999)
    resized("unknown", 4, id=new_id())
    cloud.run("detach", "detachVolume", id=volume)
    resized("detached", 6)
    listed()
    fixed = cloud.quietly("createVolume", name="probe-f", zoneid=cloud.place.zone,
                          diskofferingid=cloud.place.fixed)["id"]
    resized("fixed offering", 9, id=fixed)


@section
def names(cloud):
    volume = cloud.create()
    resource = {"resourceids": volume, "resourcetype": "Volume"}

    def tag(key, value):
        return {"tags[0].key": key, "tags[0].value": value, **resource}

    cloud.run("rename", "updateVolume", id=volume, name="probe-renamed")
    cloud.ask("list", "listVolumes", each("name"), id=volume)
    cloud.run("rename empty", "updateVolume", id=volume, name="")
    cloud.run("rename 256", "updateVolume", id=volume, name="y" * 256)
    cloud.run("rename unknown", "updateVolume", id=new_id(), name="new")
    cloud.run("tags", "createTags", **tag("k", "v"))
    cloud.run("tags again", "createTags", **tag("k", "w"))
    cloud.run("tags empty", "createTags", **tag("e", ""))
    cloud.ask("list tags", "listTags", resourceid=volume, resourcetype="Volume")
    cloud.ask("list with tags", "listVolumes", each("tags"), id=volume)
    cloud.run("delete tags", "deleteTags", **{"tags[0].key": "k"}, **resource)
    cloud.run("delete tags wrong value", "deleteTags", **{"tags[0].key": "zz"}, **resource)


@section
def destroy(cloud):
    machine, gone = cloud.place.machine, cloud.create()
    expunge = {"expunge": "true"}
    cloud.run("attach", "attachVolume", id=gone, virtualmachineid=machine)
    cloud.ask("delete attached", "deleteVolume", id=gone)
    cloud.run("destroy attached", "destroyVolume", id=gone, **expunge)
    cloud.run("detach", "detachVolume", id=gone)
    cloud.run("destroy", "destroyVolume", id=gone, **expunge)
    cloud.ask("list gone", "listVolumes", id=gone)
    cloud.run("destroy again", "destroyVolume", id=gone, **expunge)
    cloud.ask("delete gone", "deleteVolume", id=gone)
    cloud.run("attach gone", "attachVolume", id=gone, virtualmachineid=machine)
    cloud.run("detach gone", "detachVolume", id=gone)
    kept = cloud.create()
    cloud.run("destroy no expunge", "destroyVolume", id=kept)
    cloud.ask("list destroyed", "listVolumes", each("state"), id=kept)
    cloud.run("attach destroyed", "attachVolume", id=kept, virtualmachineid=machine)
    cloud.run("destroy destroyed expunge", "destroyVolume", id=kept, **expunge)
    deleted = cloud.create()
    for question, volume in (("delete", deleted), ("delete twice", deleted),
                             ("delete unknown", new_id())):
        cloud.ask(question, "deleteVolume", id=volume)
    cloud.run("destroy root", "destroyVolume", id=cloud.root_of(machine), **expunge)
    users = cloud.ask("user create", "createVolume", members, who="user", **cloud.new())["id"]
    for question in ("user destroy expunge", "user destroy"):
        cloud.run(question, "destroyVolume", who="user", id=users, **expunge)
    cloud.ask("user list", "listVolumes", each("state"), who="user", id=users)
    cloud.ask("user delete destroyed", "deleteVolume", who="user", id=users)
    admins = cloud.create()
    cloud.ask("user sees other", "listVolumes", who="user", id=admins)
    cloud.ask("user attaches other", "attachVolume", who="user", id=admins,
              virtualmachineid=machine)
    cloud.ask("user deletes other", "deleteVolume", who="user", id=admins)


@section
def lists(cloud):
    place, volume = cloud.place, cloud.create()
    cloud.ask("page 1 size 1", "listVolumes",
              lambda answer: [number(answer), answer["count"] > 1], page=1, pagesize=1)
    for question, show, page in (
            ("page 9999", members, {"page": 9999, "pagesize": 10}),
            ("pagesize 501", well, {"page": 1, "pagesize": 501}),
            ("pagesize 500", well, {"page": 1, "pagesize": 500}),
            ("pagesize alone", well, {"pagesize": 5}),
            ("page alone", well, {"page": 1}),
            ("pagesize -1", well, {"pagesize": -1}),
            ("pagesize 0", members, {"page": 1, "pagesize": 0}),
            ("page 0", number, {"page": 0, "pagesize": 5})):
        cloud.ask(question, "listVolumes", show, **page)
    cloud.ask("list unknown id", "listVolumes", id=new_id())
    cloud.ask("list ids", "listVolumes", ids=f"{volume},{new_id()}")
    cloud.ask("list ids known", "listVolumes", number, ids=volume)
    cloud.ask("list id and ids", "listVolumes", number, id=volume, ids=volume)
    cloud.ask("list unknown vm", "listVolumes", virtualmachineid=new_id())
    cloud.ask("list empty", "listVolumes", name="none is called so")
    cloud.ask("zones", "listZones")
    cloud.ask("offerings", "listDiskOfferings", lambda answer: answer | {
        "diskoffering": [members(offering) for offering in answer["diskoffering"][:2]]})
    cloud.ask("vm", "listVirtualMachines", id=place.machine, details="min")
    cloud.ask("vm unknown", "listVirtualMachines", id=new_id())
    _lists_of_a_project(cloud, place)


def _lists_of_a_project(cloud, place):
    project, everything = {"projectid": place.project}, {"projectid": "-1"}
    listall = {"listall": "true"}
    volume = cloud.ask("create in project", "createVolume", members, **cloud.new("probe-p"),
                       **project)["id"]
    for question, filters in (
            ("list project volume by id, no projectid", {}),
            ("list project volume by id, projectid", project),
            ("… projectid -1", everything),
            ("… listall", listall),
            ("… user", {"who": "user"}),
            ("… user listall", {"who": "user", **listall}),
            ("… user projectid", {"who": "user", **project}),
            ("… user projectid -1", {"who": "user", **everything})):
        cloud.ask(question, "listVolumes", number, id=volume, **filters)
    for question, filters in (
            ("all volumes: plain, listall, projectid -1, both", {}),
            ('count ["listall"]', listall),
            ('count ["projectid"]', everything),
            ('count ["listall", "projectid"]', listall | everything),
            ('count ["projectid"]', project)):
        cloud.ask(question, "listVolumes", counted, **filters)
    cloud.run("attach project volume to own vm", "attachVolume", id=volume,
              virtualmachineid=place.machine)
    for who, (attaching, detaching) in (
            ("admin", ("attach project volume to project vm", "… detach")),
            ("user", ("as user", "as user detach"))):
        cloud.run(attaching, "attachVolume", who=who, id=volume,
                  virtualmachineid=place.project_machine)
        cloud.run(detaching, "detachVolume", who=who, id=volume)


@section
def snapshots(cloud):
    volume = cloud.create()
    cloud.run("snapshot detached fresh", "createSnapshot", volumeid=volume, name="too early")
    cloud.run("attach", "attachVolume", id=volume, virtualmachineid=cloud.place.machine)
    taken = cloud.run("snapshot", "createSnapshot", volumeid=volume, name="probe-snap2")["id"]
    cloud.ask("list", "listSnapshots", volumeid=volume)
    cloud.run("snapshot again", "createSnapshot", volumeid=volume, name="probe-snap2")
    cloud.run("snapshot unknown", "createSnapshot", volumeid=new_id())
    cloud.run("revert attached running", "revertSnapshot", id=taken)
    cloud.run("volume from snapshot", "createVolume", name="probe-from", snapshotid=taken,
              zoneid=cloud.place.zone)
    cloud.run("detach", "detachVolume", id=volume)
    cloud.run("revert", "revertSnapshot", id=taken)
    for question, snapshot in (("snapshot", taken), ("again", taken), ("unknown", new_id())):
        cloud.run(f"delete {question}", "deleteSnapshot", id=snapshot)
    cloud.ask("list after", "listSnapshots",
              lambda answer: [row["state"] for row in answer["snapshot"]], volumeid=volume)


@section
def rootdisk(cloud):
    machine, fresh = cloud.place.root_machine, cloud.create(size=2)
    root = cloud.root_of(machine)

    def attach(question, volume, **slot):
        cloud.run(question, "attachVolume", id=volume, virtualmachineid=machine, **slot)

    cloud.run("detach root, running", "detachVolume", id=root)
    attach("attach as 0, running", fresh, deviceid=0)
    cloud.run("stop", "stopVirtualMachine", id=machine)
    attach("attach as 0, stopped, root there", fresh, deviceid=0)
    cloud.run("detach root, stopped", "detachVolume", id=root)
    cloud.ask("old root", "listVolumes", where, id=root)
    cloud.run("start without root", "startVirtualMachine", id=machine)
    attach("attach never attached volume as 0, stopped", fresh, deviceid=0)
    cloud.ask("new root", "listVolumes", where, id=fresh)
    cloud.run("start", "startVirtualMachine", id=machine)
    cloud.run("stop again", "stopVirtualMachine", id=machine)
    cloud.run("detach new root", "detachVolume", id=fresh)
    cloud.ask("as data", "listVolumes", where, id=fresh)
    attach("old root back", root, deviceid=0)
    cloud.ask("old root again", "listVolumes", where, id=root)
    attach("data on stopped machine", fresh)
    cloud.run("destroy machine, expunge", "destroyVirtualMachine", id=machine, expunge="true")
    cloud.ask("its data disk", "listVolumes", where, id=fresh)
    cloud.ask("its root", "listVolumes", where, id=root)
    cloud.ask("the machine", "listVirtualMachines", id=machine)
    attach("attach to it", fresh)


@section
def limits(cloud):
    machine = cloud.place.other_machine
    volumes = [cloud.create() for _ in range(7)]
    for place, volume in enumerate(volumes, 1):
        cloud.run(f"attach {place} of 7", "attachVolume", members, id=volume,
                  virtualmachineid=machine)
    for volume in volumes:
        cloud.quietly("detachVolume", id=volume)
    cloud.run("user over quota", "createVolume", who="user", **cloud.new(size=300))
    taken = cloud.run("vm snapshot", "createVMSnapshot", virtualmachineid=machine)["id"]
    cloud.run("attach with a vm snapshot", "attachVolume", id=volumes[0],
              virtualmachineid=machine)
    cloud.run("resize detached meanwhile", "resizeVolume", id=volumes[0], size=2)
    cloud.run("delete vm snapshot", "deleteVMSnapshot", vmsnapshotid=taken)


@section
def roles(cloud):
    volume = cloud.create(who="narrow")
    for command, given in (("destroyVolume", {"id": volume, "expunge": "true"}),
                           ("updateVolume", {"id": volume, "name": "new"}),
                           ("listAsyncJobs", {})):
        cloud.ask(f"forbidden {command}", command, who="narrow", **given)
    cloud.ask("unknown command", "noSuchCommand", who="narrow", id=volume)
    cloud.ask("allowed deleteVolume", "deleteVolume", who="narrow", id=volume)


@section
def restart(cloud):
    """The server was looked at twice after it had been killed, at once and 10 s later."""
    machine, running, fresh, used = cloud.place.machine, *(cloud.create() for _ in range(3))
    for command, given in (("attachVolume", {"virtualmachineid": machine}), ("detachVolume", {})):
        cloud.quietly(command, id=used, **given)
    resized = cloud.create()
    lost = {"running attach": running,
            "waiting attach of a never attached volume": fresh,
            "waiting attach of a volume that was attached before": used}
    cloud.steering.hold_jobs()
    begun = {question: (cloud.send("attachVolume", id=volume, virtualmachineid=machine)[2]["jobid"],
                        volume) for question, volume in lost.items()}
    cloud.steering.await_begin(running)
    for question, (_, volume) in begun.items():
        cloud.ask(f"{question}: volume before the kill", "listVolumes", under_way, id=volume)
    cloud.steering.let_new_go()
    begun["resize"] = cloud.quietly("resizeVolume", id=resized, size=2)["jobid"], resized
    cloud.steering.restart()
    for later in "", " and 10 s":
        for question, (job, volume) in begun.items():
            cloud.ask(f"{question}: job after the restart{later}", "queryAsyncJobResult",
                      jobid=job)
            cloud.ask(f"{question}: volume after the restart{later}", "listVolumes", under_way,
                      id=volume)
