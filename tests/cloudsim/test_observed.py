# SPDX-License-Identifier: LGPL-2.1-or-later
"""The simulator answers as the server did.

`observed/*.jsonl` are recordings: what a CloudStack 4.18 with its simulator hypervisor answered, a
question a line. Here the simulator is asked the same questions (`questions.py`), and status,
envelope, codes, texts, states and the presence of every field are compared. What each cloud
chooses for itself is not: an id or a name of the one stands for an id or a name of the other, and
it has to be the same one in each answer.

The differences are listed with their reasons. A difference that is not in the list fails, and so
does one in the list that is none any more.
"""

import functools
import json
import re
from pathlib import Path

import pytest

from . import GIB, OFFERING_CUSTOM, OFFERING_FIXED, OTHER_ZONE, ZONE, CloudSim
from .questions import SECTIONS, Interview, Place
from .world import Offering

RECORDINGS = Path(__file__).parent / "observed"
LEAST_SHARE = 0.95
FOREVER = 3600.0

# The recordings are of a server with this hypervisor; the simulator's own default is KVM.
HYPERVISOR = {"hypervisor": "Simulator", "max_data_volumes": 6}

# Why the simulator, as other tests start it, is not what was observed: by the setting.
REASONS = {
    "enforce_post": "a stricter server than the observed one, which a client must satisfy as well",
    "restart_removes": "the daemon cannot yet bear that volumes vanish with their jobs",
}

# With these the simulator is the observed server and nothing differs.
AS_OBSERVED = {"enforce_post": False, "restart_removes": None}

# What differs without them, and the setting that is the reason.
_AFTER = [f"{attach}: volume after the restart{later}" for later in ("", " and 10 s")
          for attach in ("running attach", "waiting attach of a never attached volume",
                         "waiting attach of a volume that was attached before")]
DIFFERENT = {
    "signing": {"expires far": "enforce_post", "no version": "enforce_post",
                "version 2": "enforce_post"},
    "restart": dict.fromkeys(_AFTER, "restart_removes"),
}


# -- likeness

# Chosen by each cloud: what stands under such a key on one side stands for what is on the other.
_NAMES = {
    "account", "clustername", "diskofferingdisplaytext", "diskofferingname", "displayname",
    "domain", "hostname", "instancename", "name", "networkname", "osdisplayname", "path", "podname",
    "project", "serviceofferingdisplaytext", "serviceofferingid", "serviceofferingname",
    "templatedisplaytext", "templatename", "username", "virtualmachinename", "vmdisplayname",
    "vmname", "volumename", "zonename"}
# The storage pool was chosen at random, and nothing depends on addresses.
_FREE = {
    "broadcasturi", "dns1", "gateway", "guestcidraddress", "internaldns1", "ipaddress",
    "isolationuri", "macaddress", "netmask", "storage", "storageid", "zonetoken"}

_ID = re.compile(r"<id\d+>|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_IN_TEXTS = (
    (_ID, "<id>"),
    (re.compile(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}"), "<ID>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}"), "<date>"),
    (re.compile(r"\bi-\d+-\d+-VM"), "i-N-N-VM"),
    (re.compile(r"_VS_\d+"), "_VS_N"),
    (re.compile(r"VolumeObject@[0-9a-f]+"), "VolumeObject@N"),
    (re.compile(r"""((?:\b(?:vm|VM:|ID:|VolumeId:|Domain Id =|[iI]d[:=]?)|"id":)[ "[]*)\d+"""),
     r"\1N"),
    (re.compile(r"DB Exception on: .*", re.DOTALL), "DB Exception on: SQL"),
)


class Likeness:
    """Two answers are alike, apart from which id or name stands for which."""

    def __init__(self):
        self._ours, self._theirs = {}, {}

    def difference(self, theirs, ours, path=""):
        """Where the answers differ and how, or None."""
        if isinstance(theirs, dict) and isinstance(ours, dict):
            return self._of_objects(theirs, ours, path)
        if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
            return self._first((their, our, f"{path}[{index}]")
                               for index, (their, our) in enumerate(zip(theirs, ours)))
        if isinstance(theirs, str) and isinstance(ours, str):
            return self._of_texts(theirs, ours, path)
        if type(theirs) is not type(ours) or theirs != ours:
            return f"{path}: {theirs!r} was answered, not {ours!r}"
        return None

    def _of_objects(self, theirs, ours, path):
        if theirs.keys() != ours.keys():
            lacking, extra = sorted(theirs.keys() - ours), sorted(ours.keys() - theirs)
            return f"{path}: lacks {lacking}, has {extra} besides"
        return self._first((theirs[key], ours[key], f"{path}.{key}") for key in sorted(theirs))

    def _first(self, pairs):
        return next(filter(None, (self.difference(*pair) for pair in pairs)), None)

    def _of_texts(self, theirs, ours, path):
        key = re.split(r"[.\[]", path)[-1]
        if key in _FREE:
            return None
        if _ID.fullmatch(theirs) or (key in _NAMES and not _ID.fullmatch(ours)):
            if (self._ours.setdefault(theirs, ours), self._theirs.setdefault(ours, theirs)) == \
                    (ours, theirs):
                return None
            return f"{path}: {theirs!r} is not {ours!r}, but {self._ours[theirs]!r}"
        theirs, ours = _plain(theirs), _plain(ours)
        return None if theirs == ours else f"{path}: {theirs!r} was answered, not {ours!r}"


def _plain(text):
    for pattern, replacement in _IN_TEXTS:
        text = pattern.sub(replacement, text)
    return text


# -- asking

def furnish(sim):
    """Make the observed server's world: its accounts, project, machines and offerings."""
    sim.put_account("alice", domain="acme", limit_gib=200)
    sim.put_account("narrow", forbidden=["destroyVolume", "updateVolume", "listAsyncJobs"])
    project = sim.put_project("proj1", ["alice"], domain="acme")["project"]
    with sim.world.lock:
        world = sim.world
        del world.zones[OTHER_ZONE]
        for number in range(4):
            world.offerings[f"more-{number}"] = Offering(f"more-{number}", "more", GIB)
        for row in (*world.machines.values(), *world.volumes.values()):
            row.removed = True
    machines = [sim.put_vm(name=name, owner=owner, root_size=2 * GIB)["id"] for name, owner in (
        ("node-admin", "admin"), ("fresh", "admin"), ("root", "admin"), ("node-proj", "proj1"),
        ("node-alice", "alice"), ("spare", "alice"))]
    keys = {name: (account.api_key, account.secret_key) for name, account in (
        ("admin", sim.client()), ("user", sim.client("alice")), ("narrow", sim.client("narrow")))}
    return Place(sim.url, keys, ZONE, OFFERING_CUSTOM, OFFERING_FIXED, *machines[:3], project,
                 machines[3])


class Steering:
    def __init__(self, sim):
        self.sim = sim

    def hold_queues(self):
        self.sim.set(queue_delay=FOREVER)

    def hold_jobs(self):
        self.sim.set(job_delay=FOREVER)

    def await_begin(self, volume):
        self.sim.wait_for(lambda sim: sim.world.volumes[volume].state == "Attaching")

    def let_new_go(self):
        self.sim.set(job_delay=0, queue_delay=0)

    def let_go(self):
        self.let_new_go()
        self.sim.hurry()

    def restart(self):
        self.sim.restart()


def recording(section):
    return [json.loads(line) for line in (RECORDINGS / f"{section}.jsonl").open()]


@functools.cache
def differences(section, as_observed=False):
    """Of each answer that differs the question and how."""
    settings = HYPERVISOR | (AS_OBSERVED if as_observed else {})
    with CloudSim(job_delay=0, **settings) as sim:
        cloud = Interview(furnish(sim), Steering(sim))
        SECTIONS[section](cloud)
    return compare(recording(section), cloud.rows)


def compare(recorded, answered):
    questions = [row["q"] for row in recorded]
    assert [row["q"] for row in answered] == questions
    likeness, found = Likeness(), {}
    for index, (theirs, ours) in enumerate(zip(recorded, answered)):
        times = questions[:index + 1].count(theirs["q"])
        difference = likeness.difference(theirs, ours)
        if difference:
            found[theirs["q"] + (f" ({times})" if times > 1 else "")] = difference
    return found


def check(found, listed):
    unlisted = {question: how for question, how in found.items() if question not in listed}
    assert not unlisted
    stale = listed.keys() - found.keys()
    assert not stale, "listed as different, but the answers are equal"


# -- tests

@pytest.mark.parametrize("section", SECTIONS)
def test_answers(section):
    check(differences(section), DIFFERENT.get(section, {}))


@pytest.mark.parametrize("section", SECTIONS)
def test_answers_of_the_observed_server(section):
    assert not differences(section, as_observed=True)


def test_share_of_equal_answers():
    answers = sum(len(recording(section)) for section in SECTIONS)
    different = sum(len(differences(section)) for section in SECTIONS)
    assert 1 - different / answers >= LEAST_SHARE


def test_the_list_gives_reasons():
    assert {reason for listed in DIFFERENT.values() for reason in listed.values()} == \
        REASONS.keys() == AS_OBSERVED.keys()


def test_every_recording_is_asked():
    assert {path.stem for path in RECORDINGS.glob("*.jsonl")} == SECTIONS.keys()


# -- the comparison itself

def answer(question="q", **inside):
    return {"q": question, "status": 200, "envelope": "e", "answer": inside}


ID, OTHER_ID = "0f6a9d12-7b3c-4e58-91d4-c2a85e07b36f", "5f6b0c1d-83a2-4e97-b1c4-7d20e9f3a856"


@pytest.mark.parametrize("theirs,ours", [
    ({"id": "<id1>"}, {"id": ID}),
    ({"name": "probe-1", "path": "probe-1"}, {"name": "v", "path": "v"}),
    ({"created": "<date>"}, {"created": "2026-11-28T23:27:22+0000"}),
    ({"errortext": "deviceId 1 is used by vm 3"}, {"errortext": "deviceId 1 is used by vm 17"}),
])
def test_alike(theirs, ours):
    assert not compare([answer(**theirs)], [answer(**ours)])


@pytest.mark.parametrize("theirs,ours", [
    ({"state": "Ready"}, {"state": "Allocated"}),
    ({"state": "Ready", "vmstate": "Running"}, {"state": "Ready"}),
    ({}, {"deleteprotection": False}),
    ({"size": 1}, {"size": "1"}),
    ({"tags": []}, {"tags": [{}]}),
    ({"id": "<id1>", "jobinstanceid": "<id1>"}, {"id": ID, "jobinstanceid": OTHER_ID}),
    ({"id": "<id1>", "jobid": "<id2>"}, {"id": ID, "jobid": ID}),
    ({"name": "probe-1", "path": "probe-1"}, {"name": "v", "path": "w"}),
    ({"errortext": "deviceId 1 is used by vm 3"}, {"errortext": "deviceId 2 is used by vm 3"}),
])
def test_different(theirs, ours):
    assert compare([answer(**theirs)], [answer(**ours)])


def test_ids_stay_the_same_from_answer_to_answer():
    recorded = [answer("one", id="<id1>"), answer("two", id="<id1>")]
    assert not compare(recorded, [answer("one", id=ID), answer("two", id=ID)])
    assert list(compare(recorded, [answer("one", id=ID), answer("two", id=OTHER_ID)])) == ["two"]


def test_the_list_cannot_rot():
    check({"q": "differs"}, {"q": "reason"})
    for found, listed in (({"q": "differs"}, {}), ({}, {"q": "reason"})):
        with pytest.raises(AssertionError):
            check(found, listed)
