# SPDX-License-Identifier: LGPL-2.1-or-later
"""Lost and late answers on a server that differs from the one that was watched.

How a request is recognised that was sent before depends on the server: by its refusal of a job id,
by its clock, by its lists. So the faults that leave a request in doubt meet every call there, too.
"""

import pytest
from support.py.servers import OTHER_CLOUD, OTHER_SERVER

from .kinds import FAULTS, outcome
from .lot import Lot

IN_DOUBT = [fault for fault in FAULTS if str(fault) in ("cut_after", "late-3", "html-502-after")]


@pytest.mark.parametrize("fault", IN_DOUBT, ids=str)
def test_fault_on_another_server(tmp_path, fault):
    lot = Lot(tmp_path, fault, server=OTHER_SERVER, cloud=OTHER_CLOUD).run()
    for call, error in lot.errors.items():
        if error:
            raise AssertionError(str(call)) from error
        record, due = lot.operations[call].record, outcome(fault, call)
        assert record.get("error_code") == due.code, (str(call), record)
        assert record.get("needs_attention", False) == due.attention, (str(call), record)
        assert lot.struck[call] == 1
    if lot.recovered:
        raise lot.recovered


def test_the_faults_are_there():
    assert len(IN_DOUBT) == 3
