# SPDX-License-Identifier: LGPL-2.1-or-later
"""A reader who does what a document says, in its order, is served by each command of it.

The commands of a document share one world, in which variables of the shell stay from block to block. Blocks on MariaDB
have a world of their own, whose store is the one that the document sets up, and so have those on the database of an
earlier daemon. See document.py for the marks of blocks.
"""

import pytest

from . import document
from .document import EARLIER, FILE, MARIADB
from .reader import Reader

DOCUMENTS = document.all_documents()
SET_UP = document.TOP / "data/doc/STORES.md"


def _sessions():
    for path in DOCUMENTS:
        found = document.read(path)
        for store in (FILE, MARIADB, EARLIER):
            if any(block.runs and block.store == store for block in found.blocks):
                yield pytest.param(path, store, id=f"{found.name} {store}".strip())


@pytest.mark.parametrize("path, store", _sessions())
def test_each_command_does_what_the_document_says(path, store, tmp_path):
    found = document.read(path)
    makes_volume = any("volumectl create " in block.text for block in found.blocks)
    reader = Reader(tmp_path, on_mariadb=store != FILE, has_volume=not makes_volume)
    try:
        if store == EARLIER or (store == MARIADB and not any(block.language == "sql" for block in found.blocks)):
            # The reader has read before how to set up the database.
            for block in document.read(SET_UP).blocks:
                if block.language in ("sql", "ini"):
                    reader.follow(found, block)
        if store == EARLIER:
            reader.find_the_earlier_daemon()
        for block in found.blocks:
            # The configuration of a store belongs to its world, too.
            if block.runs and (block.store == store or (store != FILE and block.language == "ini")):
                reader.follow(found, block)
        reader.await_health()
    finally:
        reader.close()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_each_link_leads_to_a_file_and_its_heading(path):
    assert document.broken_links(document.read(path)) == []
