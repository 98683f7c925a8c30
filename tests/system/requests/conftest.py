# SPDX-License-Identifier: LGPL-2.1-or-later
"""One world for all random requests. CloudStack has time, so that a busy machine does not look like one in trouble."""

import os
from pathlib import Path

import pytest
from hypothesis.configuration import set_hypothesis_home_dir
from support.py.harness import World

set_hypothesis_home_dir(Path(os.environ["VOLD_BUILD"]) / "hypothesis")


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("requests"), cloud={"timeout": "120s"})
    try:
        yield world.start()
    finally:
        world.close()
