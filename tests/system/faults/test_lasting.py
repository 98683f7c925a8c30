# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trouble that lasts.

Operations wait for its end, each at another call, and ask again after longer and longer pauses:
CloudStack is shared by many, and a daemon that hammers it makes the trouble worse. When it is over
they go on by themselves.
"""

from collections import Counter

import pytest
from support.py.secrecy import assert_no_secret

from .kinds import FAULTS, outcome
from .lot import Lot

WINDOW = 5.0


def passes(fault):
    """Does every operation survive it, however long it lasts?"""
    return not fault.about_jobs and all(not outcome(fault, call).code and outcome(fault, call).renamed
                                        for call in Lot.calls_of(fault))


def most_in(seconds):
    """What one command may be asked for on one account: the steps' pauses double from half a
    second, those between two looks at a job from the shortest. Without pauses, and without the turns
    that operations take while CloudStack is away, it is several times as much."""
    return 10 + 2 * seconds


# A command that is answered with 401 each time, while others are not, is one that the server does
# not know: asked again without end it would never be done.
FINAL = ("status-401",)
LASTING = [fault for fault in FAULTS if passes(fault) and str(fault) not in FINAL]


@pytest.mark.parametrize("fault", LASTING, ids=str)
def test_lasting(tmp_path, fault):
    lot = Lot(tmp_path, fault, 0, WINDOW).run()
    for call, error in lot.errors.items():
        if error:
            raise AssertionError(str(call)) from error
        record = lot.operations[call].record
        assert record["status"] == "completed", (str(call), record)
    assert sum(lot.struck.values())

    most = most_in(lot.lasted)
    for call, requests in lot.requests.items():
        asked = Counter(r["command"] for r in requests)
        assert max(asked.values(), default=0) <= most, f"{call}: {asked}"
    its_own = [r for r in lot.all_requests if r["command"] == "listVolumes"
               and not r["params"].keys() & {"id", "ids", "name"}]
    assert len(its_own) <= most
    # What never arrives the cloud cannot count.
    assert lot.api_calls <= most * (len(lot.calls) + 1)

    if lot.recovered:
        raise lot.recovered
    for where, text in lot.said.items():
        assert_no_secret(lot.world, where, text)
