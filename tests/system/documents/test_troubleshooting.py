# SPDX-License-Identifier: LGPL-2.1-or-later
"""TROUBLESHOOTING.md explains each error, reason, kind of drift, alert and text of the health that the sources have."""

import re
from functools import cache

import pytest

from .document import TOP

# Files, and the functions in them that make texts of the health; of health.c all.
TEXTS = {"src/core/methods/health.c": None, "src/core/env.c": ["env_appliance_error"],
         "src/core/host/disk_rescan.c": ["disk_rescan_trouble"], "src/dm/libdm.c": ["open_control"],
         "src/core/reconcile/store_guard.c": ["become_past", "is_elsewhere", "begin_check"],
         "src/nbd/engine.c": ["find_trouble"], "src/api/rest/tls.c": ["refusal_of"],
         "src/io/tls_identity.c": ["is_of_no_use", "tls_identity_fault"],
         "src/store/sqlite/backend.c": ["advice"], "src/store/mariadb/fault.c": ["advice"],
         "src/store/writer.c": ["explain_slow"], "src/cloud/cloud_throttle.c": ["cloud_throttle_health"]}
WORDS = 3       # a shorter literal is a name


def source(path):
    return (TOP / path).read_text(encoding="utf-8")


@cache
def page():
    return " ".join(source("data/doc/TROUBLESHOOTING.md").replace("`", "").split())


@cache
def entries(heading):
    """The cells of the tables below a heading, row by row, without the marks of code."""
    text = source("data/doc/TROUBLESHOOTING.md").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.+) \|$", text, re.MULTILINE)
    return [[cell.strip().strip("`") for cell in row.split(" | ")] for row in rows]


def test_each_error_has_its_row():
    views = re.findall(r'\{ "(\w+)", (\d+), "(\w+)", (\d+), \w+ \}', source("src/base/err.c"))
    wanted = [list(view) for view in views if view[0] != "OK"]
    assert [row[:4] for row in entries("Errors")[1:]] == wanted, len(wanted)
    assert all(len(row) == 6 and row[4] and row[5] for row in entries("Errors")[1:])


def names(path, array):
    body = re.search(rf"{array}\[\] = {{(.*?)}};", source(path), re.DOTALL)[1]
    return re.findall(r'"([^"]+)"', body)


@pytest.mark.parametrize("heading, wanted", [
    ("Reasons", names("src/base/err.c", "reason_words")),
    ("Drift", [name for name in names("src/spec/members.c", "drift_kind_names") if name != "none"]),
    ("Alerts", re.findall(r"- alert: (\w+)", source("data/alerts.yml")))])
def test_each_word_has_its_row(heading, wanted):
    rows = entries(heading)[1:]
    told = [word for row in rows for word in re.split(r"`?, `?", row[0])]
    assert sorted(told) == sorted(wanted) and wanted
    assert all(len(row) == 3 and row[1] and row[2] for row in rows)


def literals(path, functions):
    """Texts in these functions of a file, without the parts that are filled in."""
    text = re.sub(r"/\*.*?\*/|^#.*?$", "", source(path), flags=re.DOTALL | re.MULTILINE)
    if functions:
        bodies = [re.search(rf"^[^\n;]*\b{name}\([^;{{]*\n{{\n.*?^}}", text, re.DOTALL | re.MULTILINE)
                  for name in functions]
        text = "\n".join(body[0] for body in bodies)
    # Parts of one literal stand in a row; a macro between them stands for a number.
    for literal in re.findall(r'"(?:[^"\\]|\\.|"\s*(?:PRI\w+\s*)?")*"', text):
        whole = re.sub(r'"\s*(?:PRI\w+\s*)?"', "", literal)[1:-1].replace('\\"', '"')
        if whole.endswith("."):
            continue        # the explanation of a figure
        for part in re.split(r"%[-\d.*]*(?:ll|z)?[a-z]?|PRI\w+", whole):
            if len(part.split()) >= WORDS:
                yield part.strip(" ,;:.()")


@pytest.mark.parametrize("path", TEXTS)
def test_each_text_of_the_health_is_explained(path):
    found = list(literals(path, TEXTS[path]))
    assert found, "the functions have no texts"
    assert [text for text in found if " ".join(text.split()) not in page()] == []
