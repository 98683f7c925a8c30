# SPDX-License-Identifier: LGPL-2.1-or-later
"""A user whose permission depends on a polkit that does not answer."""

import os

import pytest
from support.py.crowd import timed
from support.py.raw_bus import Sender
from support.py.strangers import UID

CALLS, QUESTIONS = 100, 8
OTHER_UID = 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can ask as another user")
def test_a_polkit_that_does_not_answer(world, figure):
    undisturbed = min(timed(lambda: world.bus.manager("GetHealth"))[1] for _ in range(3))
    polkit, stranger, other = Sender(world.bus), Sender(world.bus, UID), Sender(world.bus, OTHER_UID)
    polkit.own("org.freedesktop.PolicyKit1")
    for _ in range(CALLS):
        stranger.send("GetHealth")
    refused = stranger.await_texts(b"already; ", CALLS - QUESTIONS)
    other.send("GetHealth")
    seconds = timed(lambda: world.bus.manager("GetHealth"))[1]
    figure(f"{CALLS} calls of a user while polkit does not answer",
           f"{QUESTIONS} wait, the others are refused; root and other users are not",
           f"{CALLS - refused} wait, root is answered in {1000 * seconds:.0f} ms ({1000 * undisturbed:.0f} ms undisturbed)")
    assert refused == CALLS - QUESTIONS and not stranger.has_answer()
    assert not other.has_answer()           # it waits for polkit as well, but not for the stranger
    assert seconds < max(10, 10 * undisturbed)
    for sender in (polkit, stranger, other):
        sender.close()
