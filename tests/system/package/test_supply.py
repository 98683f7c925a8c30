# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where all parts come from and under which licences: the bill of materials, the table of dependencies, our own files."""

import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest
from support.py import debian

from .conftest import run

TOP = Path(__file__).resolve().parents[3]
SBOM = "usr/share/doc/volume-daemon/volume-daemon.spdx.json"
LICENCE_IDS = Path("/usr/share/nodejs/spdx-license-ids/index.json")
# The licences that a library of ours may have, and how Debian's copyright files name them.
ALLOWED = {"Apache-2.0": r"Apache-2\.0", "BSD-1-Clause": r"BSD-1-Clause", "BSD-3-Clause": r"BSD-3-[Cc]lause",
           "LGPL-2.1-only": r"LGPL-2\.1$", "LGPL-2.1-or-later": r"LGPL-2(\.1)?\+|GNU Lesser General Public\s+License",
           "MIT": r"MIT|Expat", "Zlib": r"Zlib", "blessing": r"public-domain", "curl": r"curl"}
ROW = re.compile(r"^\| `([\w.+-]+)` \| (shared|headers) \| ([\w.-]+) \|", re.MULTILINE)

# Our own files of which a copy may be used alone; all others are under the licence by debian/copyright.
SOURCES = re.compile(r"\.(c|h|service|service\.in|socket)$|(^|/)meson\.build$|^data/(debian/(build|rules|tests/(?!control))|containers/build$|sbom$)")

pytestmark = pytest.mark.xdist_group("package")


@pytest.fixture(scope="module")
def tree(built, tmp_path_factory):
    """All packages, unpacked into one folder."""
    folder = tmp_path_factory.mktemp("tree")
    for file in debian.installable(built):
        run("dpkg-deb", "--extract", file, folder)
    return folder


@pytest.fixture(scope="module")
def sbom(tree):
    return json.loads((tree / SBOM).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def rows():
    """package -> (kind, licence), of DEPENDENCIES.md."""
    text = (TOP / "data/doc/DEPENDENCIES.md").read_text(encoding="utf-8")
    return {package: (kind, licence) for package, kind, licence in ROW.findall(text)}


def linked_with(sbom, subject):
    return {row["relatedSpdxElement"] for row in sbom["relationships"]
            if row["spdxElementId"] == subject and row["relationshipType"] == "DYNAMIC_LINK"}


def test_the_bill_of_materials_is_valid(sbom):
    """By the rules of SPDX 2.3 for the members that it has."""
    assert (sbom["spdxVersion"], sbom["dataLicense"], sbom["SPDXID"]) == ("SPDX-2.3", "CC0-1.0", "SPDXRef-DOCUMENT")
    assert re.fullmatch(r"https://[\w.-]+/[\w./-]+", sbom["documentNamespace"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", sbom["creationInfo"]["created"])
    assert all(re.match(r"(Person|Organization|Tool): ", creator) for creator in sbom["creationInfo"]["creators"])
    licences = {*json.loads(LICENCE_IDS.read_text()), "NOASSERTION"}
    ids = ["SPDXRef-DOCUMENT"]
    for package in sbom["packages"]:
        assert {"name", "versionInfo", "downloadLocation", "copyrightText"} <= set(package)
        assert package["filesAnalyzed"] is False and package["supplier"].startswith("Organization: ")
        assert {package["licenseDeclared"], package["licenseConcluded"]} <= licences, package
        assert all(ref["referenceLocator"].startswith("pkg:deb/debian/") for ref in package.get("externalRefs", ()))
        ids.append(package["SPDXID"])
    for file in sbom["files"]:
        assert file["fileName"].startswith("./") and file["licenseConcluded"] in licences
        assert {"SHA1", "SHA256"} == {row["algorithm"] for row in file["checksums"]}
        ids.append(file["SPDXID"])
    assert len(ids) == len(set(ids)) and all(re.fullmatch(r"SPDXRef-[\w.-]+", id) for id in ids)
    for row in sbom["relationships"]:
        assert {row["spdxElementId"], row["relatedSpdxElement"]} <= set(ids), row
        assert row["relationshipType"] in ("DESCRIBES", "CONTAINS", "DYNAMIC_LINK", "STATIC_LINK")


def test_it_describes_the_installed_programs(sbom, tree):
    elves = {f"./{file.relative_to(tree)}": file for file in tree.rglob("*")
             if file.is_file() and not file.is_symlink() and file.read_bytes()[:4] == b"\x7fELF"}
    assert {file["fileName"] for file in sbom["files"]} == set(elves)
    for file in sbom["files"]:
        digest = next(row["checksumValue"] for row in file["checksums"] if row["algorithm"] == "SHA256")
        assert digest == hashlib.sha256(elves[file["fileName"]].read_bytes()).hexdigest(), file["fileName"]
        # Two of the libraries of one package are one relation.
        needed = re.findall(r"NEEDED\s+(\S+)", run("objdump", "-p", elves[file["fileName"]]))
        assert 1 <= len(linked_with(sbom, file["SPDXID"])) <= len(needed)


def test_the_versions_are_those_of_this_machine(sbom):
    for package in sbom["packages"][1:]:
        version = run("dpkg-query", "-W", "-f", "${Version} ", package["name"]).split()
        assert package["versionInfo"] in version, package["name"]


def test_each_linked_library_has_its_row_and_reason(sbom, rows):
    names = {package["SPDXID"]: package["name"] for package in sbom["packages"]}
    linked = {names[id] for file in sbom["files"] for id in linked_with(sbom, file["SPDXID"]) if id in names}
    assert linked == {package for package, (kind, _) in rows.items() if kind == "shared"}


def test_each_licence_is_allowed_and_debian_names_it(sbom, rows):
    declared = {package["name"]: package["licenseDeclared"] for package in sbom["packages"]}
    for package, (_, licence) in rows.items():
        assert declared[package] == licence
        text = Path(f"/usr/share/doc/{package}/copyright").read_text(encoding="utf-8", errors="replace")
        assert re.search(ALLOWED[licence], text, re.MULTILINE), f"{package}: Debian does not name {licence}"


def test_each_source_file_names_its_licence():
    files = subprocess.run(["git", "-C", TOP, "ls-files", "-z"], capture_output=True, text=True, check=True).stdout.split("\0")
    sources = [name for name in files if SOURCES.search(name) and (TOP / name).is_file()]
    assert len(sources) > 500
    assert [name for name in sources
            if b"SPDX-License-Identifier: LGPL-2.1-or-later" not in (TOP / name).read_bytes()[:600]] == []
