# SPDX-License-Identifier: LGPL-2.1-or-later
"""Private MariaDB servers for tests: one, or a Galera cluster of three, and wires that can be cut."""

from .galera import Galera
from .relay import Relay
from .server import MariaDB

__all__ = ["Galera", "MariaDB", "Relay"]
