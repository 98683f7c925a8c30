# SPDX-License-Identifier: LGPL-2.1-or-later
"""API_REFERENCE.md is what the programs say of themselves today."""

import os
from pathlib import Path

import pytest

from . import api_reference
from .document import TOP


def test_the_reference_is_that_of_this_daemon():
    made = api_reference.text()
    if (TOP / "data/doc/API_REFERENCE.md").read_text(encoding="utf-8") != made:
        file = Path(os.environ["VOLD_BUILD"]) / "API_REFERENCE.md"
        file.write_text(made, encoding="utf-8")
        pytest.fail(f"the daemon has other methods, arguments or examples: cp {file} data/doc/")
