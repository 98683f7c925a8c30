# SPDX-License-Identifier: LGPL-2.1-or-later
"""Names that documents give: keys of the configuration, commands of volumectl, files of the tree."""

import re
import subprocess
from functools import cache

import pytest
from support.py.programs import program

from .document import TOP, all_documents

DOCUMENTS = pytest.mark.parametrize("path", all_documents(), ids=lambda path: path.name)


def _said_by(name, *arguments):
    return subprocess.run([program(name), *arguments], capture_output=True, text=True, check=True).stdout


@cache
def keys():
    found, section = set(), None
    for line in _said_by("volume-daemon", "--sample-config").splitlines():
        if start := re.fullmatch(r"\[(\w+)\]", line):
            section = start[1]
        elif key := re.match(r"#?(\w+) =", line):
            found.add(f"{section}.{key[1]}")
    return found


@cache
def commands():
    return set(re.findall(r"^  ([\w-]+) {2,}", _said_by("volumectl", "help"), re.MULTILINE))


@DOCUMENTS
def test_each_key_of_the_configuration_exists(path):
    sections = "|".join({key.split(".")[0] for key in keys()})
    named = set(re.findall(rf"`((?:{sections})\.\w+)(?: = [^`]*)?`", path.read_text(encoding="utf-8")))
    # Files and members of the source look the same.
    named = {name for name in named if not re.search(r"\.[ch]$", name)} if path.name != "ARCHITECTURE.md" else set()
    assert named - keys() == set()


@DOCUMENTS
def test_each_command_of_volumectl_exists(path):
    text = path.read_text(encoding="utf-8")
    named = set(re.findall(r"^volumectl ([a-z][\w-]*)", text, re.MULTILINE))
    named |= set(re.findall(r"`volumectl ([a-z][\w-]*)", text))
    # "token create" is "token-create", too.
    assert {name for name in named - commands() - {"help"}
            if not any(command.startswith(f"{name}-") for command in commands())} == set()


@DOCUMENTS
def test_each_file_of_the_tree_exists(path):
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"`((?:src|tests|data|dbus|subprojects)/[\w./@-]+)`", text)
    # Those of tests/README.md begin at its folder as well.
    assert [name for name in named if not (TOP / name).exists() and not (TOP / "build" / name).exists()] == []
