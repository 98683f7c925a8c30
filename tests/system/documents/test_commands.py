# SPDX-License-Identifier: LGPL-2.1-or-later
"""A reader who does what a document says, in its order, is served by each command of it.

The commands of a document share one world, in which variables of the shell stay from block to block. Blocks on MariaDB
have a world of their own, whose store is the one that the document sets up. See document.py for the marks of blocks.
"""

import pytest

from . import document
from .reader import Reader

DOCUMENTS = document.all_documents()
SET_UP = document.TOP / "data/doc/STORES.md"


def _sessions():
    for path in DOCUMENTS:
        blocks = document.read(path).blocks
        for on_mariadb in (False, True):
            if any(block.runs and block.on_mariadb == on_mariadb for block in blocks):
                yield pytest.param(path, on_mariadb, id=f"{path.name}{' on MariaDB' if on_mariadb else ''}")


@pytest.mark.parametrize("path, on_mariadb", _sessions())
def test_each_command_does_what_the_document_says(path, on_mariadb, tmp_path):
    found = document.read(path)
    makes_volume = any("volumectl create " in block.text for block in found.blocks)
    reader = Reader(tmp_path, on_mariadb, has_volume=not makes_volume)
    try:
        if on_mariadb and not any(block.language == "sql" for block in found.blocks):
            # The reader has read before how to set up the database.
            for block in document.read(SET_UP).blocks:
                if block.language in ("sql", "ini"):
                    reader.follow(found, block)
        for block in found.blocks:
            # The configuration of a store belongs to its world, too.
            if block.runs and (block.on_mariadb == on_mariadb or (on_mariadb and block.language == "ini")):
                reader.follow(found, block)
        reader.await_health()
    finally:
        reader.close()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_each_link_leads_to_a_file_and_its_heading(path):
    assert document.broken_links(document.read(path)) == []
