# SPDX-License-Identifier: LGPL-2.1-or-later
"""What other programs make of the shipped XML: code generators, and clients that know nothing else.

The two clients (tests/system/clients) were written from the XML and the manual page. If a change here breaks one of
them, it breaks the programs of others.
"""

import re
import shlex
import subprocess
import sys

import pytest
from cloudsim import APPLIANCE_VM, GIB, OTHER_VM
from support.py.harness import NAME, TOP, Running
from support.py.stores import any_store

pytestmark = any_store

WORDS = ("Manager", "Volume", "Operation", "Export")
XML = [str(TOP / f"dbus/{NAME}.{word}.xml") for word in WORDS]
CLIENTS = TOP / "tests/system/clients"


def run(*command, cwd):
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


def flags(*packages):
    return shlex.split(run("pkg-config", "--cflags", *packages, cwd="/"))


# ---- generated code compiles ----

def generate_gdbus(folder):
    run("gdbus-codegen", "--interface-prefix", f"{NAME}.", "--c-namespace", "Vold", "--generate-c-code", "vold",
        "--output-directory", folder, *XML, cwd=folder)


def test_gdbus_codegen(tmp_path):
    """Its code compiles without a warning, and its documentation is that of the tables."""
    generate_gdbus(tmp_path)
    run("gcc", "-Wall", "-Werror", "-Wno-unused-function", *flags("gio-unix-2.0"), "-c", "vold.c", cwd=tmp_path)
    run("gdbus-codegen", "--generate-rst", "doc", "--output-directory", tmp_path, *XML, cwd=tmp_path)
    text = (tmp_path / f"doc-{NAME}.Manager.rst").read_text()
    for sentence in ("Attach a volume to a virtual machine and find the device that it becomes.",
                     "An operation was accepted; it is durable."):
        assert sentence in text
    assert "A volume that is served over NBD." in (tmp_path / f"doc-{NAME}.Export.rst").read_text()


def test_sdbus_cxx(tmp_path):
    for word, path in zip(WORDS, XML):
        run("sdbus-c++-xml2cpp", path, f"--proxy={word}.hpp", cwd=tmp_path)
    (tmp_path / "all.cpp").write_text("".join(f'#include "{word}.hpp"\n' for word in WORDS))
    run("g++", "-std=c++17", "-Wall", "-Werror", *flags("sdbus-c++"), "-fsyntax-only", "all.cpp", cwd=tmp_path)


def test_qdbusxml2cpp(tmp_path):
    for word, path in zip(WORDS, XML):
        run("qdbusxml2cpp", "-qt=qt5", "-p", f"{word.lower()}_proxy", path, cwd=tmp_path)
    sources = "".join(f'#include "{word.lower()}_proxy.cpp"\n' for word in WORDS)
    (tmp_path / "all.cpp").write_text(sources)
    for word in WORDS:      # moc's part is not needed to compile the rest
        path = tmp_path / f"{word.lower()}_proxy.cpp"
        path.write_text(re.sub(r'#include "moc_.*\n|#include ".*\.moc"\n', "", path.read_text()))
    run("g++", "-std=c++17", "-fPIC", "-Wall", "-Werror", *flags("Qt5DBus"), "-fsyntax-only", "all.cpp", cwd=tmp_path)


# ---- clients ----

@pytest.fixture(scope="module")
def c_client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bus_client")
    generate_gdbus(folder)
    libraries = shlex.split(run("pkg-config", "--libs", "gio-unix-2.0", cwd="/"))
    run("gcc", "-Wall", "-Werror", *flags("gio-unix-2.0"), f"-I{folder}", "-o", folder / "bus_client",
        CLIENTS / "bus_client.c", folder / "vold.c", *libraries, cwd=folder)
    return [folder / "bus_client"]


@pytest.fixture(params=["c", "python"])
def client(request):
    """The command of a client."""
    if request.param == "c":
        return request.getfixturevalue("c_client")
    return [sys.executable, CLIENTS / "bus_client.py", TOP / "dbus"]


def ask(world, client, *arguments):
    return subprocess.run([*map(str, client), *arguments], env=world.bus.environment, capture_output=True, text=True,
                          timeout=120, check=False)


def test_a_client_attaches_and_detaches(world, client):
    volume = world.volume()
    done = ask(world, client, "attach", volume, APPLIANCE_VM)
    assert done.returncode == 0, done
    world.assert_is(done.stdout.strip(), volume)
    done = ask(world, client, "detach", volume)
    assert (done.returncode, done.stdout) == (0, ""), done
    assert world.disks_of(volume) == []


def test_a_client_finds_the_export(make_world, client):
    world = make_world(export={"engine": "qemu-storage-daemon"})
    volume, _ = world.attached()
    done = ask(world, client, "uri", volume)
    uri = done.stdout.strip()
    assert uri == world.daemon.get(f"/api/v1/exports/{volume}")["uri"] == world.export_uri(volume), done
    assert run("nbdinfo", "--size", uri, cwd="/").strip() == str(GIB)


def test_a_client_attaches_elsewhere(world, client):
    """There is no device here, and none is told."""
    volume = world.volume()
    done = ask(world, client, "attach", volume, OTHER_VM)
    assert (done.returncode, done.stdout) == (0, "\n"), done


def test_a_client_is_refused(world, client):
    done = ask(world, client, "attach", "no-uuid", APPLIANCE_VM)
    assert done.returncode == 1 and done.stderr.startswith(f"{NAME}.Error.InvalidRequest: "), done
    done = ask(world, client, "detach", world.volume())
    assert done.returncode == 1 and done.stderr.startswith("Conflict: "), done


def test_a_client_outlives_the_daemon(world, client):
    """What the daemon told while the client could not hear it is looked up."""
    volume = world.volume()
    world.cloud.set(job_delay=1.0)
    command = [*map(str, client), "attach", volume, APPLIANCE_VM]
    with Running(command, world.bus.environment) as waiting:
        world.await_jobs("attachVolume")
        world.daemon.kill()
        world.cloud.set(job_delay=0)
        world.daemon.start()
        assert waiting.wait() == 0, waiting.err.all()
    world.assert_is(waiting.out.all()[0].strip(), volume)
