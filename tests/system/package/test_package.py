# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Debian packages of the last commit: built, examined, installed and removed, in a Debian of their own."""

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from support.py import debian

TOP = Path(__file__).resolve().parents[3]
PACKAGES = {"libvolumeclient-dev", "libvolumeclient1", "volume-daemon", "volumectl"}
# What the daemon's packages need at run time, so that the root need not fetch it for each test.
BASE = ("dbus", "debconf", "gcc", "libc6-dev", "libsystemd-dev", "pkg-config", "polkitd", "systemd", "libblkid1",
        "libcjson1", "libcurl4", "libdevmapper1.02.1", "libevent-2.1-7", "libevent-openssl-2.1-7",
        "libevent-pthreads-2.1-7", "libinih1", "libmariadb3", "libsqlite3-0", "libssl3")
STORE = "/var/lib/volume-daemon/volumes.db"

CLIENT = """
#include <volume-client.h>

int main(void)
{
    struct volume_client *client;

    return volume_client_open("unix:path=/nowhere", &client, NULL) == 0;
}
"""

pytestmark = pytest.mark.xdist_group("package")


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False, **options)
    assert done.returncode == 0, f"{shlex.join(map(str, command))}\n{done.stdout[-6000:]}"
    return done.stdout


def build(folder, **environment):
    run(TOP / "data/debian/build", folder, env={**os.environ, **environment}, stdin=subprocess.DEVNULL)
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A Debian with what our packages depend on, as a tar file."""
    folder = tmp_path_factory.mktemp("base")
    settings = folder / "apt.conf"
    settings.write_text(debian.apt_settings(), encoding="utf-8")
    run("mmdebstrap", "--quiet", "--variant=minbase", f"--aptopt={settings}", f"--include={','.join(BASE)}",
        debian.suite(), folder / "base.tar", *debian.sources())
    return folder / "base.tar"


@pytest.fixture(scope="module")
def lower(base):
    """The same as a folder, which nothing changes."""
    folder = base.parent / "lower"
    folder.mkdir()
    run("tar", "-x", "-f", base, "-C", folder)
    return folder


class Root:
    """A Debian in which packages are installed as an administrator does it. What changes is kept above the unchanged
    folder; it is together for the time of a command only."""

    def __init__(self, folder, lower):
        self.changed, self._whole = folder / "changed", folder / "whole"
        for part in (self.changed, self._whole, folder / "work"):
            part.mkdir()
        self._inside = [
            "unshare", "--mount", "--pid", "--fork", "sh", "-ec",
            f"mount -t overlay overlay -o lowerdir={lower},upperdir={self.changed},workdir={folder}/work {self._whole}\n"
            f"mount -t proc proc {self._whole}/proc\n"
            f'exec chroot {self._whole} "$@"', "sh"]

    def run(self, *command, **options):
        return run(*self._inside, *command, env={
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
            **({"stdin": subprocess.DEVNULL} | options))

    def write(self, path, text):
        self.run("sh", "-c", f"mkdir -p $(dirname {path}) && cat > {path}", stdin=None, input=text)

    def has(self, path):
        return self.run("sh", "-c", f"! [ -e {path} ] || echo yes") == "yes\n"

    def install(self, built):
        for file in built.glob("*.deb"):
            if "dbgsym" not in file.name:
                shutil.copy(file, self.changed / "tmp")
        return self.run("sh", "-c", "dpkg -i /tmp/*.deb")

    def files(self):
        found = self.run("find", "/", "-not", "-path", "/tmp/*", "-not", "-path", "/proc/*")
        return {line for line in found.splitlines()
                if not re.match(r"/(var/(lib/(dpkg|systemd)|cache|log)|etc/.*-$)", line)}


@pytest.fixture
def root(tmp_path, lower):
    root = Root(tmp_path, lower)
    (root.changed / "tmp").mkdir(mode=0o1777)
    return root


def names(folder, kind):
    return sorted(file.name for file in folder.glob(f"*.{kind}"))


def test_two_builds_are_equal(built, tmp_path):
    """Byte for byte, whatever the time zone and the folder."""
    again = build(tmp_path / "again", TZ="Pacific/Apia", LC_ALL="C")
    for kind in ("deb", "tar.xz"):
        assert names(built, kind) and names(built, kind) == names(again, kind)
        for name in names(built, kind):
            assert (built / name).read_bytes() == (again / name).read_bytes(), name
    assert {name.split("_")[0] for name in names(built, "deb")} >= PACKAGES


def test_lintian_complains_of_nothing(built):
    said = run("lintian", "--fail-on", "error,warning", "--tag-display-limit", "0", *built.glob("*.changes"))
    assert not re.search(r"^[EW]:", said, re.MULTILINE), said


def test_the_version_is_that_of_the_program(built):
    version = json.loads(run("meson", "introspect", "--projectinfo", TOP / "meson.build"))["version"]
    assert {name.split("_")[1] for name in names(built, "deb")} == {version}


def test_the_packages_have_what_meson_installs(built, tmp_path):
    run("meson", "install", "--quiet", "--no-rebuild", "-C", os.environ["VOLD_BUILD"], "--destdir", tmp_path / "tree")
    installed = {f"/{file.relative_to(tmp_path / 'tree')}" for file in (tmp_path / "tree").rglob("*") if not file.is_dir()}
    packed = set()
    for file in built.glob("*.deb"):
        rows = [line.split(maxsplit=5) for line in run("dpkg-deb", "--contents", file).splitlines()]
        packed |= {row[5].split(" -> ")[0].removeprefix(".").removesuffix(".gz") for row in rows if row[0][0] != "d"}
    assert {path.replace("/usr/lib/systemd/system/", "/lib/systemd/system/") for path in installed} <= packed


def test_install_again_and_purge_leave_nothing(root, built):
    before = root.files()
    root.install(built)
    first = root.files()
    assert {"/usr/sbin/volume-daemon", "/etc/volume-daemon/volume-daemon.conf"} <= first
    assert root.has("/lib/systemd/system/volume-daemon.service")
    assert "volume-daemon 0.1" in root.run("volume-daemon", "--version")
    assert root.run("getent", "group", "volume-daemon").startswith("volume-daemon:")
    root.install(built)
    assert root.files() == first
    root.run("dpkg", "--purge", *PACKAGES)
    assert root.files() == before


def test_nothing_is_started_or_enabled(root, built):
    root.install(built)
    assert root.run("find", "/etc/systemd/system", "-name", "volume*") == ""


@pytest.mark.parametrize("answer", [None, "true"])
def test_a_purge_keeps_the_store_unless_asked(root, built, answer):
    root.install(built)
    root.write(STORE, "rows")
    if answer:
        root.write("/tmp/answer", f"volume-daemon volume-daemon/purge-store boolean {answer}\n")
        root.run("debconf-set-selections", "/tmp/answer")
    root.run("dpkg", "--remove", "volume-daemon")
    assert root.has(STORE)
    said = root.run("dpkg", "--purge", "volume-daemon")
    assert root.has(STORE) == (answer != "true")
    assert ("The store stays in /var/lib/volume-daemon" in said) == (answer != "true")


def test_a_changed_configuration_is_kept(root, built):
    root.install(built)
    conf = "/etc/volume-daemon/volume-daemon.conf"
    root.write(conf, "[log]\nlevel = debug\n")
    root.install(built)
    assert root.run("cat", conf) == "[log]\nlevel = debug\n"
    assert root.run("stat", "-c", "%a %U", conf) == "640 root\n"


def test_a_program_is_compiled_with_the_library(root, built):
    root.install(built)
    root.write("/tmp/client.c", CLIENT)
    root.run("sh", "-c", "cc -o /tmp/client /tmp/client.c $(pkg-config --cflags --libs libvolumeclient) && /tmp/client")


def test_piuparts_finds_nothing(built, base):
    ours = [file for file in built.glob("*.deb") if "dbgsym" not in file.name]
    said = run("piuparts", f"--basetgz={base}", "--skip-minimize", "--no-eatmydata", "--no-upgrade-test",
               "--warn-on-debsums-errors", *ours)
    assert "PASS: All tests" in said, said[-4000:]
