# SPDX-License-Identifier: LGPL-2.1-or-later
"""The reader of documents finds each block, and each fault of a document."""

import pytest

from . import document
from .document import EARLIER, FILE, MARIADB
from .transcript import Transcript


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "TEXT.md"
        path.write_text(text)
        return document.read(path)
    return read


def test_each_block_is_found_with_its_place_and_its_marks(read):
    found = read("# Title\n\n```sh\nfirst\n  second\n```\ntext\n<!-- not run: needs a moon -->\n\n```sh\nlaunch\n```\n"
                 "<!-- on MariaDB -->\n<!-- until interrupted -->\n```sh\nwatch\n```\n```ini\n[http]\n```\n"
                 "<!-- on the earlier database -->\n```sql\nDROP\n```\n```sql\nDROP\n```\n")
    assert [(block.line, block.text, block.runs, block.store) for block in found.blocks] == [
        (4, "first\n  second\n", True, FILE), (11, "launch\n", False, FILE), (16, "watch\n", True, MARIADB),
        (19, "[http]\n", True, FILE), (23, "DROP\n", True, EARLIER), (26, "DROP\n", True, MARIADB)]
    assert found.blocks[1].marks == {"not run": "needs a moon"}


@pytest.mark.parametrize("text, why", [
    ("```\nls\n```\n", ":1: a block of the language \"\""),
    ("```bash\nls\n```\n", "a block of the language \"bash\""),
    ("text\n\n```sh\nls\n", ":3: the block has no end"),
    ("- point\n  ```sh\n  ls\n  ```\n", ":2: an indented block"),
    ("<!-- not run: -->\n```sh\nls\n```\n", "without its reason"),
    ("<!-- not run: needs a moon -->\ntext\n\n```sh\nls\n```\n", ":1: a mark that no block follows"),
    ("<!-- not run: needs a moon -->\n", ":1: a mark that no block follows"),
    ("<!-- dont run: needs a moon -->\n```sh\nls\n```\n", "unknown mark"),
    ("<!-- not run: it is YAML -->\n```yaml\na: 1\n```\n", "needs no mark"),
    ("```console\nls\n```\n", "begins with a command"),
])
def test_a_block_that_says_not_what_to_do_with_it_is_a_fault(read, text, why):
    with pytest.raises(document.Unclear) as fault:
        read(text)
    assert why in str(fault.value)


def test_links_to_files_and_headings_are_looked_up(read, tmp_path):
    (tmp_path / "OTHER.md").write_text("# A title, with `code`\n## 2. Nothing is lost\n```text\n# no heading\n```\n")
    found = read("# Here\n[a](OTHER.md) [b](OTHER.md#a-title-with-code) [c](OTHER.md#2-nothing-is-lost) [d](#here)\n"
                 "[e](https://example.org/none)\n[f](NONE.md)\n[g](OTHER.md#no-heading) and [h](#there)\n"
                 "```text\n[i](NONE.md)\n```\n")
    assert document.broken_links(found) == [
        "TEXT.md:4: there is no NONE.md", "TEXT.md:5: OTHER.md has no heading for \"#no-heading\"",
        "TEXT.md:5: this document has no heading for \"#there\""]


# ---- the output that a document shows ----

VOLUME, OTHER = "259f4329-e6f4-490b-9a16-4106cf6a659e", "00aa11bb-e6f4-490b-9a16-4106cf6a659e"


def test_output_of_the_same_shape_is_as_shown():
    transcript = Transcript()
    shown = [f"volume_id   {VOLUME}", "device_path   /dev/loop0", "updated_at   2026-11-30T04:24:22.295Z",
             "port  40429"]
    said = [f"volume_id   {OTHER}", "device_path   /srv/dev/vda", "updated_at   2027-01-01T00:00:00.000Z",
            "port  1800"]
    assert transcript.differences(shown, said) == []
    # What the document calls so is called so from now on.
    here = transcript.here(f"show {VOLUME} /dev/loop0 127.0.0.1:40429/x")
    assert here == f"show {OTHER} /srv/dev/vda 127.0.0.1:1800/x"
    assert transcript.differences([f"volume_id   {VOLUME}"], [f"volume_id   {VOLUME}"])


@pytest.mark.parametrize("shown, said", [
    (["status  healthy"], ["status  degraded"]), (["status  healthy"], []), ([], ["status  healthy"]),
    (["size  1GiB"], ["size  2GiB"]), (["VOLUME ID"], ["VOLUME"]), ([f"a {VOLUME}"], ["a x"])])
def test_output_of_another_shape_is_a_fault(shown, said):
    assert Transcript().differences(shown, said)


def test_steps_that_a_busy_machine_merges_are_no_fault():
    shown = ["attach op-01a22ab2-5da4-70a3-b5e5-bddf93a2fa47: executing, check", "Volume attached"]
    assert Transcript().differences(shown, ["Volume attached"]) == []
