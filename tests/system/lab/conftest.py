# SPDX-License-Identifier: LGPL-2.1-or-later
"""One appliance for a worker's whole session; for each test a new cloud and a daemon without a past.

The daemon comes from the meson build directory named in the environment variable VOLD_BUILD. The
cloud runs on the host and plugs its disks into the appliance. A test gets all three as `lab`.
"""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import cloudsim
from cloudsim import plug
import pytest

from .agent import AgentError
from .product import Product
from .scene import PROGRAMS, ROOT_VOLUME, Lab
from .vm import Appliance, CommandFailed


def pytest_configure(config):
    config.addinivalue_line("markers", "slowest: begins first, so that no appliance is left with it at the end")
    config.addinivalue_line("markers", "configured: of lab, with another configuration, see Product.configure()")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.get_closest_marker("slowest") is None)


# An emulated processor is spared what these tests do not look at: the kernel's lines in the journal, and the signals about
# each unit and disk, which systemd sends as long as the login manager listens. None masks a unit.
GUEST_FILES = {
    "etc/systemd/journald.conf.d/lab.conf": "[Journal]\nCompress=no\nReadKMsg=no\n",
    "etc/systemd/system/systemd-logind.service": None,
}


@pytest.fixture(scope="session")
def appliance(tmp_path_factory):
    build = os.environ.get("VOLD_BUILD")
    if not build:
        pytest.fail("VOLD_BUILD must name the meson build directory to test")
    tree = tmp_path_factory.mktemp("installed")
    install = subprocess.run(["meson", "install", "--quiet", "--no-rebuild", "--strip", "-C", build,
                              "--destdir", tree], capture_output=True, text=True, check=False)
    if install.returncode != 0:
        pytest.fail(f"{build} cannot be installed:\n{install.stdout}{install.stderr}")
    programs = tree / PROGRAMS.relative_to("/")
    programs.mkdir(parents=True, exist_ok=True)
    for name in ("completion_delay", "devmap_check", "swap_pause"):
        shutil.copy(Path(build, "tests/system/lab", name), programs)
    for name, text in GUEST_FILES.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            path.symlink_to("/dev/null")
        else:
            path.write_text(text, encoding="ascii")
    folder = tmp_path_factory.mktemp("appliance")
    with Appliance(folder, cloudsim.APPLIANCE_VM, ROOT_VOLUME, overlay=tree) as vm:
        boot(vm)
        yield vm


def boot(vm):
    vm.start()
    vm.wait_ready()
    vm.run("systemd-sysusers")  # as the package's scripts do it: the service runs in its group
    product = Product(vm)
    product.write_keys()
    product.configure()


@contextlib.contextmanager
def configuration(product, marker):
    """The one that a marker asks for, if there is one, until the end of the test."""
    if marker:
        product.configure(**marker.kwargs)
    try:
        yield
    finally:
        if marker:
            product.configure()


@pytest.fixture
def lab(appliance, tmp_path, monkeypatch, request):
    # An emulated guest beside other work needs longer than the real one is given.
    monkeypatch.setattr(plug, "UNPLUG_DEADLINE", 120)
    images = tmp_path / "images"
    product = Product(appliance)
    with (configuration(product, request.node.get_closest_marker("configured")),
          cloudsim.CloudSim(plug=f"qmp:{appliance.cloud_qmp_path},{images}") as cloud):
        appliance.connect_cloud(cloud.port)
        product.start_afresh()
        yield Lab(appliance, product, cloud, images, ROOT_VOLUME)
        product.let_go()
    if has_left_disks(appliance) or has_left_names(appliance):
        appliance.stop()
        boot(appliance)


def has_left_disks(vm):
    """Did the guest refuse to let go of a disk when the cloud closed?"""
    nodes = vm.qmp.command("query-named-block-nodes")
    return any(node["node-name"].startswith("sim") for node in nodes)


def has_left_names(vm):
    """Does something in the guest still use the name of a disk that is gone?"""
    return vm.mapper_nodes() != ["control"]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Add to a failure what the daemon logged."""
    report = (yield).get_result()
    parts = getattr(item, "funcargs", {}).values()
    vm = next((part.vm if isinstance(part, Lab) else part for part in parts if isinstance(part, (Lab, Appliance))), None)
    if report.failed and vm:
        try:
            report.sections.append(("volume-daemon's journal", Product(vm).journal()))
        except (AgentError, CommandFailed, OSError):
            report.sections.append(("appliance's console", vm.console_tail()))
