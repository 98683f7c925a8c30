# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon's store under test: which kind the environment's VOLD_STORE says (sqlite, mariadb, galera).

One server, or one cluster, serves all worlds of a run; each world has a database of its own in it.
"""

import os
import sqlite3
from contextlib import closing
from functools import cache

import pytest

from .folders import use_memory
from .mariadb import Galera, MariaDB

KIND = os.environ.get("VOLD_STORE", "sqlite")

# For tests in which the store plays no part, because the code that they try is all above it: once, on SQLite, they show
# what they have to show. Tests of commits, of kills, of loading and of pages run on each kind; in a file that is marked
# as a whole, they say so. The nearest mark counts.
any_store = pytest.mark.stores("sqlite")
each_store = pytest.mark.stores("sqlite", "mariadb", "galera")


# ---- hooks, for the conftest.py of a suite with such tests ----

def pytest_configure(config):
    use_memory()
    config.addinivalue_line("markers", "stores: the kinds of store on which a test runs")


def pytest_collection_modifyitems(items):
    for item in items:
        mark = item.get_closest_marker("stores")
        if mark and KIND not in mark.args:
            item.add_marker(pytest.mark.skip(reason="the store plays no part; it runs on SQLite"))


class SqliteFile:
    def __init__(self, folder):
        self.path = folder / "volume-daemon.db"
        self.settings = {"url": f"sqlite://{self.path}"}

    def rows(self, sql):
        """The rows of a statement, as texts; only while no daemon has the file."""
        with closing(sqlite3.connect(self.path)) as store, store:
            return [["NULL" if value is None else str(value) for value in row]
                    for row in store.execute(sql)]


@cache
def server():
    return MariaDB().start()


@cache
def cluster():
    return Galera().start()


def new_store(folder):
    if KIND == "sqlite":
        return SqliteFile(folder)
    if KIND == "galera":
        return cluster().database()
    return server().database()
