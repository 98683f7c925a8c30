# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of packages share: the packages of the last commit, and a Debian in which they can be installed."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from support.py import debian
from support.py.fixtures import make_world  # noqa: F401  (a fixture)

TOP = Path(__file__).resolve().parents[3]
# What the packages and their tests need, so that no test fetches it.
BASE = ("ca-certificates", "curl", "dbus", "debconf", "gcc", "libc6-dev", "libsystemd-dev", "nbdkit", "pkg-config", "polkitd", "systemd",
        "libblkid1", "libcjson1", "libcurl4", "libdevmapper1.02.1", "libevent-2.1-7", "libevent-openssl-2.1-7",
        "libevent-pthreads-2.1-7", "libinih1", "libmariadb3", "libsqlite3-0", "libssl3")


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False, **options)
    assert done.returncode == 0, f"{shlex.join(map(str, command))}\n{done.stdout[-6000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def commit():
    """The last one, also if a developer makes another one meanwhile."""
    return run("git", "-C", TOP, "rev-parse", "HEAD").strip()


@pytest.fixture(scope="session")
def built(commit):
    return debian.packages(commit)


@pytest.fixture(scope="session")
def lower(tmp_path_factory):
    """A Debian with what our packages depend on, as a folder, which nothing changes."""
    folder = tmp_path_factory.mktemp("base")
    settings = folder / "apt.conf"
    settings.write_text(debian.apt_settings(), encoding="utf-8")
    # In a mount namespace of its own, as are the others: a program that looks through /tmp keeps no mount busy, and none
    # is left by a program that fails.
    # dpkg need not wait for the disk at each file: the root is gone when the machine is.
    run("unshare", "--mount", "mmdebstrap", "--quiet", "--variant=minbase", f"--aptopt={settings}",
        "--dpkgopt=force-unsafe-io", f"--include={','.join(BASE)}", debian.suite(), folder / "lower",
        *debian.sources())
    return folder / "lower"


class Root:
    """A Debian in which packages are installed as an administrator does it. What changes is kept above the unchanged
    folder; it is together for the time of a command only."""

    def __init__(self, folder, lower):
        self.changed, self.whole = folder / "changed", folder / "whole"
        for part in (self.changed, self.whole, folder / "work"):
            part.mkdir()
        self._mounts = ["unshare", "--mount", "--pid", "--fork", "sh", "-ec",
                        f"mount -t overlay overlay -o lowerdir={lower},upperdir={self.changed},workdir={folder}/work "
                        f"{self.whole}\nmount -t proc proc {self.whole}/proc\nmount -t sysfs -o ro sysfs {self.whole}/sys\n"
                        'exec "$@"', "sh"]

    def run(self, *command, **options):
        return run(*self._mounts, "chroot", self.whole, *command, env={
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
            **({"stdin": subprocess.DEVNULL} | options))

    def run_beside(self, *command, **options):
        """A program of this machine, which finds the root in the folder `whole`."""
        return run(*self._mounts, *command, stdin=subprocess.DEVNULL, **options)

    def write(self, path, text):
        self.run("sh", "-c", f"mkdir -p $(dirname {path}) && cat > {path}", stdin=None, input=text)

    def has(self, path):
        return self.run("sh", "-c", f"! [ -e {path} ] || echo yes") == "yes\n"

    def install(self, files, *options):
        for file in files:
            shutil.copy(file, self.changed / "tmp")
        return self.run("dpkg", *options, "-i", *(f"/tmp/{file.name}" for file in files))

    def files(self):
        found = self.run("find", "/", "-not", "-path", "/tmp/*", "-not", "-path", "/proc/*", "-not", "-path", "/sys/*")
        return {line for line in found.splitlines()
                if not re.match(r"/(var/(lib/(dpkg|systemd)|cache|log)|etc/.*-$)", line)}


@pytest.fixture
def root(tmp_path, lower):
    root = Root(tmp_path, lower)
    (root.changed / "tmp").mkdir()
    os.chmod(root.changed / "tmp", 0o1777)
    return root
