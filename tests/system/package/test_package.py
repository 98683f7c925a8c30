# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Debian packages of the last commit: built, examined, installed and removed, in a Debian of their own."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from support.py import debian

from .conftest import run

TOP = Path(__file__).resolve().parents[3]
NAMES = {"libvolumeclient-dev", "libvolumeclient1", "volume-daemon", "volumectl"}
STORE = "/var/lib/volume-daemon/volumes.db"
CONF = "/etc/volume-daemon/volume-daemon.conf"
# The packages have these beside what meson installs: Debian's own papers, and units in Debian 12's folder for them.
DEBIAN_ONLY = re.compile(r"/usr/share/(doc/[^/]+/(changelog|copyright|README\.md|doc/|.*\.spdx\.json)|lintian/)"
                         r"|/etc/volume-daemon/volume-daemon\.conf|/usr/lib/tmpfiles\.d/volume-daemon\.conf")

pytestmark = pytest.mark.xdist_group("package")


def names(folder, kind):
    return sorted(file.name for file in folder.glob(f"*.{kind}"))


def test_a_build_elsewhere_is_equal(built, commit, tmp_path):
    """Byte for byte, whatever the time, the time zone, the language, the folder, the umask and the number of compilers
    at work."""
    elsewhere = tmp_path / "a-folder-with-a-longer-name"
    elsewhere.mkdir()
    # git finds its settings at home, and among them which clones of other users it may read.
    git = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    run("sh", "-c", 'umask 0077; exec "$@"', "sh", TOP / "data/debian/build", tmp_path / "again", commit,
        env={**os.environ, **git, "TZ": "Pacific/Apia", "LC_ALL": "C", "TMPDIR": str(elsewhere), "HOME": "/nowhere",
             "DEB_BUILD_OPTIONS": "parallel=1"})
    for kind in ("deb", "tar.xz"):
        assert names(built, kind) and names(built, kind) == names(tmp_path / "again", kind)
        for name in names(built, kind):
            assert (built / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name
    assert {name.split("_")[0] for name in names(built, "deb")} >= NAMES


def test_lintian_complains_of_nothing(built):
    said = run("lintian", "--fail-on", "error,warning", "--tag-display-limit", "0", *built.glob("*.changes"))
    assert not re.search(r"^[EW]:", said, re.MULTILINE), said


def test_the_version_is_that_of_the_program(built):
    version = json.loads(run("meson", "introspect", "--projectinfo", TOP / "meson.build"))["version"]
    assert {name.split("_")[1] for name in names(built, "deb")} == {version}


def test_the_packages_have_what_meson_installs(built, tmp_path):
    """And nothing else but Debian's own."""
    tree = tmp_path / "tree"
    run("meson", "install", "--quiet", "--no-rebuild", "-C", os.environ["VOLD_BUILD"], "--destdir", tree)
    installed = {f"/{file.relative_to(tree)}".replace("/usr/lib/systemd/system/", "/lib/systemd/system/")
                 for file in tree.rglob("*") if not file.is_dir()}
    packed = set()
    for file in debian.installable(built):
        rows = [line.split(maxsplit=5) for line in run("dpkg-deb", "--contents", file).splitlines()]
        packed |= {row[5].split(" -> ")[0].removeprefix(".").removesuffix(".gz") for row in rows if row[0][0] != "d"}
    assert installed - packed == set()
    assert {path for path in packed - installed if not DEBIAN_ONLY.match(path)} == set()


def test_install_again_and_purge_leave_nothing(root, built):
    packages = debian.installable(built)
    before = root.files()
    root.install(packages)
    first = root.files()
    assert {"/usr/sbin/volume-daemon", CONF} <= first
    assert root.has("/lib/systemd/system/volume-daemon.service")
    assert "volume-daemon 0.1" in root.run("volume-daemon", "--version")
    assert root.run("getent", "group", "volume-daemon").startswith("volume-daemon:")
    # Nothing is started or enabled before an administrator has configured it.
    assert root.run("find", "/etc/systemd/system", "-name", "volume*") == ""
    root.install(packages)
    assert root.files() == first
    root.run("dpkg", "--purge", *NAMES)
    assert root.files() == before


@pytest.mark.parametrize("answer", [None, "false", "true"])
def test_a_purge_keeps_the_store_unless_asked(root, built, answer):
    root.install(debian.installable(built))
    root.write(STORE, "rows")
    if answer:
        root.write("/tmp/answer", f"volume-daemon volume-daemon/purge-store boolean {answer}\n")
        root.run("debconf-set-selections", "/tmp/answer")
    root.run("dpkg", "--remove", "volume-daemon")
    assert root.has(STORE)
    said = root.run("dpkg", "--purge", "volume-daemon")
    assert root.has(STORE) == (answer != "true")
    assert ("The store stays in /var/lib/volume-daemon" in said) == (answer != "true")


def older(package, folder):
    """The package under a version that comes before all of ours."""
    tree = folder / package.stem
    run("dpkg-deb", "--raw-extract", package, tree)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"^Version: .*", "Version: 0.0.1", control.read_text(), flags=re.MULTILINE))
    conf = tree / CONF[1:]
    conf.write_text(f"# Of the older package.\n{conf.read_text()}")
    run("dpkg-deb", "--root-owner-group", "--build", tree, folder)
    return next(folder.glob("*_0.0.1_*.deb"))


@pytest.mark.parametrize("changed", [False, True])
def test_an_upgrade_keeps_the_store_and_a_changed_configuration(root, built, tmp_path, changed):
    packages, mine = debian.installable(built), "[log]\nlevel = debug\n[http]\ngroup = disk\n"
    new = next(file for file in packages if file.name.startswith("volume-daemon_"))
    root.install([older(new, tmp_path), *(file for file in packages if file != new)])
    assert root.run("head", "-n", "1", CONF) == "# Of the older package.\n"
    root.write(STORE, "rows")
    if changed:
        root.write(CONF, mine)
    said = root.install([new], "--force-confdef", "--force-confold")
    # The service runs in its own group, also if the kept configuration has another one.
    assert ("Group=disk" in said) == ("systemctl edit volume-daemon" in said) == changed, said
    assert root.run("dpkg-query", "-W", "-f", "${Version}", "volume-daemon") == new.name.split("_")[1]
    assert root.has(STORE)
    run("dpkg-deb", "--extract", new, tmp_path / "new")
    expected = mine if changed else (tmp_path / "new" / CONF[1:]).read_text()
    assert root.run("cat", CONF) == expected
    # A URL of the store may have a password in it.
    assert root.run("stat", "-c", "%a %U", CONF) == "640 root\n"


def test_the_packages_pass_their_own_tests(root, built, tmp_path):
    """debian/tests, as Debian's machines run them."""
    root.install(debian.installable(built))
    run("dpkg-source", "-x", next(built.glob("*.dsc")), tmp_path / "source")
    # Without the rest of the source there is nothing to build.
    shutil.copytree(tmp_path / "source/debian/tests", tmp_path / "tests/debian/tests")
    root.run_beside("autopkgtest", tmp_path / "tests", "--", "chroot", root.whole)


def test_piuparts_finds_nothing(built, lower):
    said = run("unshare", "--mount", "piuparts", f"--distribution={debian.suite()}", f"--existing-chroot={lower}", "--skip-minimize",
               "--no-eatmydata", "--no-upgrade-test", "--warn-on-debsums-errors", *debian.installable(built))
    assert "PASS: All tests" in said, said[-4000:]
