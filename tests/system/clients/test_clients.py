# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs that know only the OpenAPI document take a volume through its life, wait by events, and are told who else
changed it."""

import json
import shutil
import subprocess
from pathlib import Path

import cloudsim
import pytest
from support.py.harness import Running
from support.py.npm import NODE_NEEDED, node_version, npm_folder
from support.py.programs import program
from support.py.waiting import DEADLINE

HERE = Path(__file__).parent


def typescript_client(folder):
    """The command that runs life.ts, compiled with what a generator has made of the daemon's document."""
    if node_version() < NODE_NEEDED:
        pytest.skip(f"the generator needs Node.js {NODE_NEEDED}")
    modules = npm_folder() / "node_modules"
    shutil.copy(HERE / "life.ts", folder)
    shutil.copy(HERE / "tsconfig.json", folder)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "node_modules").symlink_to(modules)
    with open(folder / "openapi.json", "wb") as document:
        subprocess.run([program("volume-daemon"), "--print-openapi"], stdout=document, check=True)
    for command in (["openapi-typescript", "openapi.json", "--output", "schema.d.ts"], ["tsc"]):
        done = subprocess.run([modules / ".bin" / command[0], *command[1:]], cwd=folder, capture_output=True, text=True,
                              check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return ["node", folder / "life.js"]


CLIENTS = {"C": lambda folder: [program("life")], "Python": lambda folder: [HERE / "life.py"],
           "shell": lambda folder: [HERE / "life.sh"], "TypeScript": typescript_client}


@pytest.mark.parametrize("client", CLIENTS)
def test_the_life_of_a_volume(make_world, tmp_path, client):
    world = make_world(export={"engine": "nbdkit"})
    command = [*CLIENTS[client](tmp_path), world.daemon.url]
    with Running(command, world.bus.environment) as life:
        life.out.wait(lambda line: line == "ready", deadline=2 * DEADLINE)
        volume = life.out.all()[0].split()[1]
        path = world.path("vdb")
        world.assert_is(path, volume)
        assert world.cloud.volume(volume)["size"] == 2 * cloudsim.GIB
        port = world.daemon.get(f"/api/v1/exports/{volume}")["port"]
        # Somebody else, on another surface.
        assert world.daemon.ctl("resize", volume, "3GiB").returncode == 0
        assert life.wait() == 0, life.err.all()
        *told, changed, detached, deleted = life.out.all()
        assert told == [f"created {volume}", f"attached {path}", f"device {path}",
                        f"export migration-vol-{volume} {port}", f"resized {2 * cloudsim.GIB}", "ready"]
        assert changed.startswith("changed resize bus ") and "root" in changed
        assert (detached, deleted) == (f"detached {path}", f"deleted {volume}")
        assert life.err.all() == []
    assert world.data_volumes() == []
    assert [o["status"] for o in world.daemon.get("/api/v1/operations")] == ["completed"] * 6


@pytest.mark.parametrize("client", ["C", "Python", "shell"])
def test_a_failure_is_told_with_its_words(make_world, tmp_path, client):
    world = make_world(export={"engine": "nbdkit"})
    world.cloud.set_faults([{"do": "job_fail", "code": 530, "command": "attachVolume", "times": 0}])
    with Running([*CLIENTS[client](tmp_path), world.daemon.url], world.bus.environment) as life:
        assert life.wait() == 1
        (error,) = life.err.all()
        (failed,) = world.daemon.get("/api/v1/operations?status=failed")
        assert failed["error"] in error, (failed, error)


# Without the header Content-Type, as everybody writes it at first.
FETCH = """
const answer = await fetch(process.argv[1], {method: "POST", body: "{}"});
console.log(JSON.stringify({status: answer.status, ...await answer.json()}));
"""


def test_fetch_of_node_is_told_what_to_send(make_world):
    """It sends headers that browsers have, and whoever calls it does not see them."""
    world = make_world()
    url = f"{world.daemon.url}/api/v1/volumes/{world.volume()}/detach"
    done = subprocess.run(["node", "--input-type=module", "--eval", FETCH, url], capture_output=True, text=True,
                          check=True)
    told = json.loads(done.stdout)
    assert (told["status"], told["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert "sec-fetch-mode" in told["error"] and "Content-Type: application/json" in told["error"]
