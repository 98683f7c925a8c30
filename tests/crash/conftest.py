"""Worlds, as the end-to-end tests make them."""

from e2e.conftest import make_world  # noqa: F401  (a fixture)
