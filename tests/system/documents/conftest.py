# SPDX-License-Identifier: LGPL-2.1-or-later
"""Worlds for tests; see harness.py of support."""

from support.py.fixtures import make_world  # noqa: F401  (a fixture)
