"""Worlds, as the end-to-end tests make them."""

from support.py.fixtures import make_world  # noqa: F401  (a fixture)
