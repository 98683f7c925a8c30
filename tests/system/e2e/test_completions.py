# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the three shells offer when a person presses Tab: they ask `volumectl complete`."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from cloudsim import APPLIANCE_VM
from support.py.harness import TOP
from support.py.programs import program
from support.py.stores import any_store
from support.py.waiting import DEADLINE

pytestmark = any_store

FOLDER = TOP / "data/completions"
BASH = """
source /usr/share/bash-completion/bash_completion
source {folder}/volumectl.bash
COMP_WORDS=({words}) COMP_CWORD={last} COMP_LINE={line} COMP_POINT=${{#COMP_LINE}}
_volumectl
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
ZSH = """
_describe() {{ print -rl -- "${{found[@]}}" }}
_call_program() {{ shift; eval "$*" }}
_files() {{ print :files }}
words=({words}) CURRENT={current}
complete_it() {{ source {folder}/_volumectl }}
complete_it
"""
FISH = "source {folder}/volumectl.fish; complete -C {line}"


def run(world, *command):
    path = f"{Path(program('volumectl')).parent}:{os.environ['PATH']}"
    done = subprocess.run(command, env={**world.bus.environment, "PATH": path}, cwd=FOLDER, text=True,
                          capture_output=True, timeout=DEADLINE, check=False)
    assert done.stderr == "", done
    return done.stdout.splitlines()


def in_bash(world, *words):
    words = ("volumectl", *words)
    script = BASH.format(folder=FOLDER, words=" ".join(map(shlex.quote, words)), last=len(words) - 1,
                         line=shlex.quote(" ".join(words)))
    return [shlex.split(line)[0] for line in run(world, "bash", "--norc", "-c", script) if line]


def in_zsh(world, *words):
    words = ("volumectl", *words)
    script = ZSH.format(folder=FOLDER, words=" ".join(map(shlex.quote, words)), current=len(words))
    candidates = [line.replace("\\:", "\0").split(":", 1)[0].replace("\0", ":")
                  for line in run(world, "zsh", "-f", "-c", script)]
    return [candidate for candidate in candidates if candidate and candidate.startswith(words[-1])]


def in_fish(world, *words):
    line = " ".join(["volumectl", *map(shlex.quote, words[:-1]), words[-1]])
    lines = run(world, "fish", "--no-config", "-c", FISH.format(folder=FOLDER, line=shlex.quote(line)))
    return [line.split("\t")[0] for line in lines]


SHELLS = {"bash": in_bash, "zsh": in_zsh, "fish": in_fish}


@pytest.fixture(params=SHELLS)
def tab(request, world):
    return lambda *words: SHELLS[request.param](world, *words)


def known(world, **row):
    volume = world.volume(**row)
    world.daemon.get(f"/api/v1/volumes/{volume}?refresh=true")
    return volume


@pytest.mark.parametrize("shell, name", [("bash", "volumectl.bash"), ("zsh", "_volumectl"), ("fish", "volumectl.fish")])
def test_the_scripts_are_sound(shell, name):
    subprocess.run([shell, "-n", FOLDER / name], check=True)


def test_commands_and_options(tab):
    assert {"attach", "attach-root"} == set(tab("at"))
    assert {"wait", "wait-device", "watch"} == set(tab("wa"))
    assert "complete" not in tab("c") and "create" in tab("c")
    assert {"create", "list", "revoke"} <= set(tab("token", ""))
    assert {"--vm", "--version"} & set(tab("attach", "--v")) == {"--vm"}
    assert {"--all", "--json", "--force"} <= set(tab("detach", "--"))
    assert tab("help", "exports-v") == ["exports-validate"]
    assert tab("frobnicate", "") == []


def test_options_of_commands_without_a_method(tab):
    for words, option in {
        ("watch",): "--plain", ("doctor",): "--config", ("open", "x"): "--read-only", ("store", "backup"): "--force",
        ("store", "accept"): "--yes", ("store", "prune"): "--older-than", ("store", "copy"): "--from-password-file",
    }.items():
        assert tab(*words, option[:-1]) == [option], words
    assert not {"--plain", "--config"} & set(tab("wait", "--"))
    assert "--json" in tab("wait", "--") and "--all" not in tab("attach", "--")
    assert tab("store", "pr") == ["prune"]


def test_names_of_objects(world, tab):
    volume = known(world, name="data")
    assert tab("attach", "da") == ["data"]
    assert tab("attach", "data", "da") == ["data"]
    assert tab("attach", volume[:6]) == [volume]
    assert "data" in tab("attach", "--no-wait", "--timeout", "5s", "")
    assert "other" in tab("attach", "data", "--vm", "o") and tab("attach", "data", "--vm=oth") in (["--vm=other"], ["other"])
    assert tab("wait-device", "da") == ["data"]


def test_operations_devices_and_words(world, tab):
    volume, path = world.attached()
    operation = world.daemon.get("/api/v1/operations")[0]["id"]
    assert tab("wait", "op-") == tab("history", "op-") == [operation]
    assert path in tab("which", str(Path(path).parent))
    assert tab("operations", "--status", "f") == ["failed"]
    assert tab("resolve", operation, "--as", "u") == ["undone"]
    assert "admin" in tab("token-create", "x", "--scope", "")
    assert "size" in tab("list", "--columns", "s") and tab("list", "--columns", "name,stat") == ["name,state"]
    assert APPLIANCE_VM in tab("vm-volumes", APPLIANCE_VM[:5])


@pytest.mark.parametrize("name", ["two words", "a:colon", "$(touch pwned)", "[bracket", "it's", "semi;colon"])
def test_names_that_a_shell_could_misread(world, tab, name):
    known(world, name=name)
    assert name in [candidate.replace("\\", "") for candidate in tab("attach", "")]
    assert not (FOLDER / "pwned").exists()


def test_a_name_that_cannot_be_typed_is_not_offered(world, tab):
    volume = known(world, name="a\x1bb")
    assert not any("\x1b" in candidate for candidate in tab("attach", ""))
    assert tab("attach", volume[:8]) == [volume]


def test_tab_starts_no_daemon_and_complains_of_nothing(make_world, tab):
    world = make_world(start=False)
    for shell in SHELLS.values():
        assert shell(world, "attach", "") == []             # no bus
    world.bus.start()
    with world.monitor() as monitor:
        for shell in SHELLS.values():
            assert shell(world, "attach", "") == [] and shell(world, "att") == ["attach", "attach-root"]
        assert not [m for m in monitor.messages.all() if m.member == "StartServiceByName"]
