# SPDX-License-Identifier: LGPL-2.1-or-later
"""A storm of the length in VOLD_STORM_SECONDS."""

from .storm import CloudTrouble, Killer, length


def test_storm(begin_storm, record_property):
    seconds = length()
    storm = begin_storm((Killer, CloudTrouble))
    storm.run(seconds)
    storm.check()
    record_property("figure", f"storm of {storm.figures(seconds)}")
    storm.clear()
