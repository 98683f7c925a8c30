# SPDX-License-Identifier: LGPL-2.1-or-later
"""Storms over worlds as the end-to-end tests make them."""

import os

import pytest
from support.py.fixtures import make_world  # noqa: F401  (a fixture)

from .storm import CONFIG, Storm


@pytest.fixture
def begin_storm(make_world):  # noqa: F811
    """A storm that may begin, of these disturbers; with the seed in VOLD_STORM_SEED, else with the first of all."""
    begun = []

    def begin(disturbers):
        world = make_world(start=False, **CONFIG)
        world.daemon.program = "volume-daemon-crash"        # its maps outlive it
        seed = os.environ.get("VOLD_STORM_SEED", "1")
        print(f"again: VOLD_STORM_SEED={seed}")
        begun.append(Storm(world.start(), seed, disturbers))
        return begun[0]

    yield begin
    for storm in begun:
        storm.over.set()
        storm.completions.close()
