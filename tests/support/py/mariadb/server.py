# SPDX-License-Identifier: LGPL-2.1-or-later
"""A mariadbd of our own: its data in a folder under /tmp, a free port on loopback, and a socket.

It runs as the user mysql when we are root, as the Debian package wants it. A server can be stopped,
killed and frozen like the real one, and started again at the same address.
"""

import atexit
import itertools
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from ..ports import free_port
from ..waiting import DEADLINE, Lines
from .tables import LOG_SIZE, copy_tables, own

# Small enough that three of them and a build fit into a small machine.
SETTINGS = {"innodb-buffer-pool-size": "64M", "innodb-log-file-size": LOG_SIZE, "bind-address": "127.0.0.1",
            "skip-name-resolve": None, "performance-schema": "off", "innodb-use-native-aio": "0",
            "max-connections": "100",
            # Servers and daemons are killed here, the machine is not: data that the kernel has is safe.
            "innodb-flush-log-at-trx-commit": "2", "innodb-flush-method": "nosync"}
RIGHTS = "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, REFERENCES"
# Characters that must not get lost on their way through files and urls.
PASSWORD = "sésame, öffne'dich \"%\" @home"


def new_folder():
    """A folder the server's user can get at, which those of pytest are not; gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="volume-daemon-mariadb."))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return own(folder)


class Database:
    """A database with a user of its own, which has the rights that the daemon needs and no more."""

    def __init__(self, server, name, ports):
        self.server, self.name, self.user, self.ports = server, name, name, ports
        self.password_file = server.folder / f"{name}.password"
        self.password_file.write_text(PASSWORD + "\n")
        self.password_file.chmod(0o600)
        quoted = PASSWORD.replace("'", "''")
        server.sql(f"CREATE DATABASE {name}; "
                   f"CREATE USER {name}@'%' IDENTIFIED BY '{quoted}'; "
                   f"GRANT {RIGHTS} ON {name}.* TO {name}@'%'")

    def url(self, *ports, options=""):
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports or self.ports)
        return f"mariadb://{self.user}@{hosts}/{self.name}{options}"

    @property
    def settings(self):
        """Of the daemon's section [store]."""
        return {"url": self.url(), "password_file": self.password_file}

    def rows(self, sql):
        return self.server.sql(sql, self.name)


class MariaDB:
    """One server."""

    def __init__(self, **settings):
        self.folder = new_folder()
        self.data, self.socket = self.folder / "data", self.folder / "socket"
        self.port = free_port()
        self.settings = SETTINGS | settings
        self.process = self.log = None
        self._names = itertools.count(1)
        copy_tables(self.data)

    def start(self, *arguments):
        self.launch(*arguments)
        self.log.wait(lambda line: "ready for connections" in line, deadline=120)
        return self

    def launch(self, *arguments):
        # Servers must not share a folder for temporary tables: each removes as it starts what it finds there, from
        # under the others.
        options = [f"--{name}" if value is None else f"--{name}={value}"
                   for name, value in self.settings.items()]
        self.process = subprocess.Popen(
            ["mariadbd", "--no-defaults", "--user=mysql", f"--datadir={self.data}",
             f"--tmpdir={self.folder}", f"--socket={self.socket}", f"--port={self.port}",
             f"--pid-file={self.folder / 'pid'}", *options, *arguments],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace")
        self.log = Lines(self.process.stderr)
        atexit.register(self.kill)

    def _end(self, number):
        process, self.process = self.process, None
        if not process:
            return
        atexit.unregister(self.kill)
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        process.wait(DEADLINE)
        self.log.join()

    def stop(self):
        """An orderly end, as for an upgrade."""
        self._end(signal.SIGTERM)

    def kill(self):
        self._end(signal.SIGKILL)

    def freeze(self):
        """It stays where it is, and its sockets stay open."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def sql(self, text, database=None):
        """The rows of the statements' results, as lists of text; NULL is "NULL"."""
        done = subprocess.run(
            ["mariadb", "--no-defaults", f"--socket={self.socket}", "--user=root", "--batch",
             "--skip-column-names", "--default-character-set=utf8mb4", *([database] if database else [])],
            input=text, capture_output=True, text=True, timeout=DEADLINE, check=False)
        assert done.returncode == 0, done.stderr
        return [line.split("\t") for line in done.stdout.splitlines()]

    def database(self, ports=None):
        """A new one; `ports` are those of its url, if they are others."""
        return Database(self, f"volumes_{next(self._names)}", ports or [self.port])
