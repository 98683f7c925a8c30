# SPDX-License-Identifier: LGPL-2.1-or-later
"""Worlds, as the end-to-end tests make them."""

from support.py.fixtures import make_world  # noqa: F401  (a fixture)
from support.py.stores import pytest_collection_modifyitems, pytest_configure  # noqa: F401  (hooks)
