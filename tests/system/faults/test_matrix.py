# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every fault at every call of every operation.

A fault strikes one call of one operation, once. Passing trouble must not show in the outcome; a
refusal must end the operation with everything taken back and with CloudStack's own words. All
operations that meet one fault run in one world at the same time; each cell of the matrix is a test
of its own and looks at its own operation.
"""

import json
from collections import Counter
from functools import cache

import pytest
from support.py import shapes
from support.py.secrecy import assert_no_secret
from support.py.stores import any_store

from .kinds import FAULTS, outcome
from .lot import Lot, requests_of
from .operations import ALL_CALLS, CALLS, make_operations, types

# Calls of one command that a fault may cost beyond those of a good life: the one that was struck,
# again, and the looks that find out whether it has happened. A job that is pending is looked at as
# long as it is, which a slow machine makes longer.
MORE_CALLS = 12
LOOKS_PER_SECOND = 5


def test_every_type_of_operation_has_its_calls():
    more = {"attach-elsewhere", "attach-root"}
    assert set(CALLS) - more == types() == set(shapes.OPERATION_TYPES)


@pytest.mark.parametrize("kind", CALLS)
def test_the_calls_of_an_operation(make_world, kind):
    """Undisturbed. A command that is asked more or less often makes the matrix miss a place."""
    world = make_world(cloud={"poll_min": "500ms", "poll_max": "1s"})
    operation, = make_operations(world, [kind])
    world.cloud.clear_requests()
    operation.begin().completed()
    # A disk that appears or goes makes the daemon look sooner, and maybe too soon.
    requests = requests_of(operation, world.cloud.requests(), world.cloud.state())
    jobs = {r["params"]["jobid"] for r in requests if r["command"] == "queryAsyncJobResult"}
    asked = Counter(r["command"] for r in requests)
    asked["queryAsyncJobResult"] = len(jobs)
    assert asked == Counter(CALLS[kind])


@pytest.fixture(scope="module")
def lots(tmp_path_factory):
    """The lot of a fault; each is run once, when the first test asks for it."""
    return cache(lambda fault: Lot(tmp_path_factory.mktemp("lot"), fault).run())


def in_lot(fault, *more):
    """A parameter of the tests that look at one lot: they stay together, or it is run more than once."""
    return pytest.param(fault, *more, marks=pytest.mark.xdist_group(str(fault)))


CELLS = [in_lot(fault, call) for fault in FAULTS for call in ALL_CALLS if fault.meets(call)]


@any_store
@pytest.mark.parametrize("fault, call", CELLS, ids=str)
def test_fault(lots, fault, call):
    lot = lots(fault)
    record, due = lot.operations[call].record, outcome(lot.fault, call)
    if lot.errors[call]:
        raise lot.errors[call]
    assert record.get("error_code") == due.code, record
    assert record.get("needs_attention", False) == due.attention, record
    assert lot.struck[call] == 1
    details = json.loads(lot.details[record["id"]])
    if due.said:
        code, text = due.said
        assert details["cloudstack_error_code"] == code, details
        assert details["cloudstack_message"] == text and text in record["error"], record
    requests = lot.requests[call]
    most = Counter(CALLS[call.operation])
    most["queryAsyncJobResult"] += LOOKS_PER_SECOND * (requests[-1]["time"] - requests[0]["time"])
    asked = Counter(r["command"] for r in requests)
    for command, count in asked.items():
        assert count <= most[command] + MORE_CALLS, asked


@any_store
@pytest.mark.parametrize("fault", map(in_lot, FAULTS), ids=str)
def test_after_it(lots, fault):
    """Well again by itself, nothing told that is secret, and a daemon that ended as it should."""
    lot = lots(fault)
    if lot.recovered:
        raise lot.recovered
    for where, text in lot.said.items():
        assert_no_secret(lot.world, where, text)
