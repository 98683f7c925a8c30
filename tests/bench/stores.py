# SPDX-License-Identifier: LGPL-2.1-or-later
"""The stores that rows of the bench use: SQLite, a MariaDB server, a Galera cluster."""

import contextlib
import sqlite3

from support.py.mariadb import Galera, MariaDB

# Unlike in the tests a commit is on the disk when it is answered.
DURABLE = {"innodb-flush-log-at-trx-commit": "1", "innodb-flush-method": "fsync",
           "innodb-buffer-pool-size": "256M", "innodb-log-file-size": "256M"}


class Sqlite:
    """The file of a daemon."""

    def __init__(self, run):
        self.settings = None
        self.arguments = ["sqlite", str(run / "bench.db")]
        self._path = run / "bench.db"

    def run(self, *statements):
        with contextlib.closing(sqlite3.connect(self._path)) as database, database:
            for statement in statements:
                database.execute(statement)


class Server:
    """A database in a server or cluster."""

    def __init__(self, database):
        self.settings = database.settings
        self.arguments = ["mariadb", str(database.server.port), database.user,
                          str(database.password_file), database.name]
        self.run = lambda *statements: database.rows("; ".join(statements))


@contextlib.contextmanager
def kinds(run, *wanted):
    """(name, a function that makes a new store) of each wanted kind."""
    with contextlib.ExitStack() as stack:
        def served(server):
            stack.callback(server.stop)
            server.start()
            return lambda: Server(server.database())

        makers = {"SQLite": lambda: lambda: Sqlite(run), "MariaDB": lambda: served(MariaDB(**DURABLE)),
                  "Galera": lambda: served(Galera(**DURABLE))}
        yield [(name, makers[name]()) for name in wanted]
