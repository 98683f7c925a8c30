# SPDX-License-Identifier: LGPL-2.1-or-later
"""A soak of the length in VOLD_STORM_SECONDS. That the daemon holds no descriptor, thread or process more than at its
start is checked when it ends (support/py/holdings.py).
"""

from support.py.harness import eventually

from .soak import DISTURBERS, GROWTH_MAX, TIMERS_MORE, Memory, rows_left, timers
from .storm import length


def test_soak(begin_storm, record_property):
    seconds = length()
    storm = begin_storm(DISTURBERS)
    world = storm.world
    timers_before = timers(world)
    storm.run(seconds)
    storm.check()
    storm.clear()
    eventually(lambda: timers(world) <= timers_before + TIMERS_MORE, "timers are let go")
    timers_after = timers(world)
    world.daemon.stop()
    assert not rows_left(world)
    growth = next(thread for thread in storm.disturbers if isinstance(thread, Memory)).growth
    record_property("figure", f"soak of {storm.figures(seconds)}; memory {growth:+.1f} MiB, "
                    f"timers {timers_after - timers_before:+.0f}, rows too many 0")
    assert growth < GROWTH_MAX
