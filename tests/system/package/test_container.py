# SPDX-License-Identifier: LGPL-2.1-or-later
"""The container image of our packages, and the files that run it. The image is made without a registry, of the Debian in
which packages are tested, and runs without a container runtime: buildah's isolation is a chroot here."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from support.py.harness import NAME
from support.py.waiting import DEADLINE, Lines, eventually

from .conftest import run

TOP = Path(__file__).resolve().parents[3]
CONTAINERS = TOP / "data/containers"
IMAGE = "volume-daemon:test"
# Of that Debian, what a container of the daemon needs least.
LEFT_OUT = ("include", "lib/gcc", "lib/*-linux-gnu/*.a", "bin/*-lto-dump-*", "share/locale")

pytestmark = pytest.mark.xdist_group("package")


class Buildah:
    def __init__(self, folder):
        self.options = ["--root", f"{folder}/storage", "--runroot", f"{folder}/run", "--storage-driver", "overlay"]

    def __call__(self, *words):
        return run("buildah", *self.options, *words, stdin=subprocess.DEVNULL).strip()


@pytest.fixture(scope="module")
def buildah(built, lower, tmp_path_factory):
    """With the image. Its Debian is a smaller one, since all of it is copied several times."""
    folder = tmp_path_factory.mktemp("buildah")
    buildah, base = Buildah(folder), folder / "base.tar"
    run("tar", "--create", "--file", base, "--directory", lower, *(f"--exclude=./usr/{part}" for part in LEFT_OUT), ".")
    run(CONTAINERS / "build", built, IMAGE, base, stdin=subprocess.DEVNULL,
        env={**os.environ, "BUILDAH_OPTIONS": " ".join(buildah.options), "BUILD_OPTIONS": "--isolation chroot"})
    yield buildah
    buildah("rm", "--all")


def health(url):
    return json.loads(run("curl", "--silent", "--max-time", str(DEADLINE), f"{url}/health"))


def test_the_daemon_of_the_image_is_healthy(buildah, make_world):
    """With CloudStack and the bus of the test, which stand for the host's."""
    container = buildah("from", IMAGE)
    world = make_world(start=False)
    world.bus.start()
    inside = ["buildah", *buildah.options, "run", "--isolation", "chroot", "--volume", f"{world.folder}:{world.folder}",
              "--volume", f"{world.daemon.run.name}:{world.daemon.run.name}",
              "--env", f"DBUS_SYSTEM_BUS_ADDRESS={world.bus.address}", container, "--"]
    daemon = subprocess.Popen([*inside, "/usr/sbin/volume-daemon", "--config", world.daemon.config],
                              stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        log = Lines(daemon.stderr)
        url = log.wait(lambda line: "listening on" in line).split("listening on ")[1]
        log.wait(lambda line: "bus: connected" in line)
        eventually(lambda: health(url)["cloudstack_health"] == "healthy", "CloudStack has answered")
        assert health(url)["database_health"] == "healthy"
        # A chroot gives the host's devices, but no capability; the doctor of the image looks at that by itself.
        done = subprocess.run([*inside, "volumectl", "doctor", "--json", "--config", world.daemon.config],
                              capture_output=True, text=True, timeout=DEADLINE, check=False)
        checks = {check["check"]: check for check in json.loads(done.stdout)["checks"]}
        assert checks["daemon"]["verdict"] == "ok", checks
        assert "SYS_ADMIN" in checks["container"]["text"] and "/dev is" not in checks["container"]["text"], checks
    finally:
        daemon.terminate()
        daemon.wait(DEADLINE)


# ---- Kubernetes ----

@pytest.fixture(scope="module")
def objects():
    found = list(yaml.safe_load_all((CONTAINERS / "daemonset.yaml").read_text()))
    assert [item["kind"] for item in found] == ["Namespace", "ConfigMap", "DaemonSet"]
    return {item["kind"]: item for item in found}


def mounts(pod):
    """The path in the container for each path of the host."""
    sources = {volume["name"]: volume for volume in pod["volumes"]}
    used = [mount for part in (*pod["initContainers"], *pod["containers"]) for mount in part["volumeMounts"]]
    assert {mount["name"] for mount in used} == set(sources)
    return {sources[mount["name"]]["hostPath"]["path"]: mount["mountPath"]
            for mount in used if "hostPath" in sources[mount["name"]]}


def test_the_daemonset_gives_what_the_daemon_needs_of_its_node(objects):
    spec = objects["DaemonSet"]["spec"]
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    assert spec["updateStrategy"]["rollingUpdate"] == {"maxUnavailable": 1, "maxSurge": 0}
    pod = spec["template"]["spec"]
    assert pod["hostNetwork"] and pod["hostPID"] and pod["hostIPC"]
    paths = mounts(pod)
    assert {"/dev", "/sys", "/run/udev", "/run/dbus", "/var/lib/volume-daemon", "/run/volume-daemon"} <= {
        path for path, inside in paths.items() if path == inside}
    container, = pod["containers"]
    assert container["securityContext"]["privileged"] is True
    assert {container[probe]["httpGet"]["host"] for probe in ("livenessProbe", "readinessProbe", "startupProbe")} == {"127.0.0.1"}
    # A pod may only ask for what its namespace allows.
    assert objects["Namespace"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"


def test_the_daemonset_has_the_names_of_this_tree(objects):
    pod = objects["DaemonSet"]["spec"]["template"]["spec"]
    version = json.loads(run("meson", "introspect", "--projectinfo", TOP / "meson.build"))["version"]
    assert {part["image"] for part in (*pod["initContainers"], *pod["containers"])} == {f"volume-daemon:{version}"}
    assert pod["initContainers"][0]["command"][1] == f"/usr/share/dbus-1/system.d/{NAME}.conf"
    keys = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "keys"}
    for line in objects["ConfigMap"]["data"]["volume-daemon.conf"].splitlines():
        if "_file" in line:
            assert str(Path(line.split(" = ")[1]).parent) in keys


def test_the_configuration_of_the_daemonset_is_valid(objects, tmp_path):
    text = objects["ConfigMap"]["data"]["volume-daemon.conf"].replace("/etc/volume-daemon-keys", str(tmp_path))
    for name in ("api-key", "secret-key"):
        (tmp_path / name).write_text("key\n")
        (tmp_path / name).chmod(0o400)
    (tmp_path / "conf").write_text(text)
    run(Path(os.environ["VOLD_BUILD"]) / "src/daemon/volume-daemon", "--check-config", "--config", tmp_path / "conf")
