# SPDX-License-Identifier: LGPL-2.1-or-later
"""The system tables of a server, as they are right after its installation.

They are made once and copied for each server, which then starts in a second; to make them takes several.
"""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from ..cache import cached

# The log of the usual size is three quarters of what would be copied.
LOG_SIZE = "16M"


def own(path):
    """Give a file to the user the server runs as: as the Debian package wants it, mysql when we are root."""
    if os.geteuid() == 0:
        user = pwd.getpwnam("mysql")
        os.chown(path, user.pw_uid, user.pw_gid)
    return path


def _make(result, work):
    subprocess.run(["mariadb-install-db", "--no-defaults", f"--datadir={result / 'data'}", f"--tmpdir={work}",
                    # Nobody else can reach the folder, and those who copy the tables give them away.
                    *(["--user=root"] if os.geteuid() == 0 else []),
                    "--auth-root-authentication-method=normal", "--skip-test-db",
                    "--innodb-use-native-aio=0", f"--innodb-log-file-size={LOG_SIZE}"],
                   check=True, stdout=subprocess.DEVNULL)


def copy_tables(data):
    """Make the folder of a new server's data."""
    server = os.stat(shutil.which("mariadbd"))
    tables = cached(f"mariadb-{server.st_mtime_ns:x}-{LOG_SIZE}", _make) / "data"
    shutil.copytree(tables, data, copy_function=shutil.copyfile)
    for path in (data, *Path(data).rglob("*")):
        own(path)
