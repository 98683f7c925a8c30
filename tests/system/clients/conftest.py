# SPDX-License-Identifier: LGPL-2.1-or-later
"""Worlds whose volumes are served, so that a life has all its parts."""

from support.py.fixtures import make_world  # noqa: F401  (a fixture)
