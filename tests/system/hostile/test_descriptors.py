# SPDX-License-Identifier: LGPL-2.1-or-later
"""Callers on the bus that leave open files in the daemon's hands."""

from support.py.crowd import Costs
from support.py.raw_bus import Sender

# The bus takes 16 at a time.
CALLS, EACH = 100, 8


def test_descriptors_beside_calls_that_wait(world, figure):
    world.cloud.set_faults([{"do": "slow", "command": "*", "seconds": 3, "times": 0}])
    costs = Costs(world.daemon)
    sender = Sender(world.bus)
    path = world.folder / "left-in-the-daemon"
    with open(path, "wb") as file:
        for _ in range(CALLS):
            # Options: none. It waits for CloudStack.
            sender.send("ForceSync", "a{sv}", bytes(8), [file.fileno()] * EACH)
            sender.await_bus()
        sender.send("GetHealth")
        sender.await_text(b"database_health")
        held = costs.descriptors_of(path)
    figure(f"{CALLS} calls on the bus that wait, with {EACH} descriptors each", "none is held", f"{held} are open")
    sender.close()
    world.cloud.set_faults([])
    assert held == 0
