"""A soak of the length in VOLD_STORM_SECONDS. That the daemon holds no descriptor, thread or process more than at its
start is checked when its world ends (support/py/holdings.py).
"""

from .soak import DISTURBERS, GROWTH_MAX, Memory
from .storm import length


def test_soak(begin_storm, record_property):
    seconds = length()
    storm = begin_storm(DISTURBERS)
    storm.run(seconds)
    storm.check()
    storm.clear()
    growth = next(thread for thread in storm.disturbers if isinstance(thread, Memory)).growth
    record_property("figure", f"soak of {storm.figures(seconds)}; memory {growth:+.1f} MiB")
    assert growth < GROWTH_MAX
