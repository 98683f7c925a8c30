# SPDX-License-Identifier: LGPL-2.1-or-later
"""Markdown documents as their readers use them: blocks of commands, headings and links.

The language of a fenced block says what a reader does with it:

	sh        runs the commands
	console   runs the commands behind "$ " and sees the other lines
	sql       gives it to the database server, as its administrator
	ini       puts it into the daemon's configuration
	yaml, json, c, diff, text     reads it

A comment right before a block says what differs:

	<!-- not run: REASON -->      nothing runs the block; it is a command that needs more than a test has
	<!-- until interrupted -->    each line is a command that runs until Ctrl-C
	<!-- on MariaDB -->           the store is the database of the sql blocks, not a file
	<!-- on the earlier database -->  the same, and it has the tables of the earlier daemon, whose place is to be taken
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]
RUN = ("sh", "console", "sql", "ini")
READ = ("yaml", "json", "c", "diff", "text")
# What the store of a block is; a document's blocks with the same store share one world.
FILE, MARIADB, EARLIER = "", "on MariaDB", "on the earlier database"
MARKS = ("not run", "until interrupted", MARIADB, EARLIER)


class Unclear(AssertionError):
    """A document that leaves open what its reader shall do."""


@dataclass
class Block:
    language: str
    line: int                       # of its first line of text, from 1
    lines: list
    marks: dict = field(default_factory=dict)

    @property
    def text(self):
        return "\n".join(self.lines) + "\n"

    @property
    def runs(self):
        return self.language in RUN and "not run" not in self.marks

    @property
    def store(self):
        marked = next((mark for mark in (MARIADB, EARLIER) if mark in self.marks), FILE)
        return MARIADB if self.language == "sql" and not marked else marked


@dataclass
class Document:
    path: Path
    blocks: list = field(default_factory=list)
    headings: list = field(default_factory=list)
    links: list = field(default_factory=list)       # (line, target)

    @property
    def name(self):
        return self.path.relative_to(TOP).as_posix() if self.path.is_relative_to(TOP) else self.path.name

    def anchors(self):
        """What a link may name behind "#", as the usual viewers make it of a heading."""
        words = (re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading).lower()) for heading in self.headings)
        return {word.strip().replace(" ", "-") for word in words}

    def unclear(self, line, why):
        return Unclear(f"{self.name}:{line}: {why}")


def _marks(document, number, pending):
    """The marks of the block that begins behind line `number`."""
    marks = {}
    for line, text in pending:
        name, _, value = text.partition(":")
        if name not in MARKS:
            raise document.unclear(line, f"unknown mark \"{text}\"; there are: {', '.join(MARKS)}")
        if name == "not run" and not value.strip():
            raise document.unclear(line, "\"not run\" without its reason")
        marks[name] = value.strip()
    return marks


def _check(document, block):
    if block.language not in RUN + READ:
        raise document.unclear(block.line - 1, f"a block of the language \"{block.language}\"; there are: "
                                               f"{', '.join(RUN + READ)}")
    if block.marks and block.language in READ:
        raise document.unclear(block.line - 1, f"nothing runs {block.language}, so it needs no mark")
    if block.language == "console" and not block.lines[0].startswith("$ "):
        raise document.unclear(block.line, "a console block begins with a command")


def read(path):
    """The document at a path; Unclear if a block does not say what its reader shall do with it."""
    document, block, pending = Document(Path(path)), None, []
    for number, line in enumerate(document.path.read_text(encoding="utf-8").splitlines(), 1):
        if block:
            if line == "```":
                _check(document, block)
                document.blocks.append(block)
                block = None
            else:
                block.lines.append(line)
        elif fence := re.match(r"\s*```(.*)$", line):
            if not line.startswith("```"):
                raise document.unclear(number, "an indented block")
            block = Block(fence[1].strip(), number + 1, [], _marks(document, number, pending))
            pending = []
        elif mark := re.fullmatch(r"<!-- (.+) -->", line):
            pending.append((number, mark[1]))
        elif line.strip():
            if pending:
                raise document.unclear(pending[0][0], "a mark that no block follows")
            if heading := re.match(r"#+ (.*)$", line):
                document.headings.append(heading[1].strip())
            document.links += [(number, target) for target in re.findall(r"\]\(([^()\s]+)\)", line)]
    if block:
        raise document.unclear(block.line - 1, "the block has no end")
    if pending:
        raise document.unclear(pending[0][0], "a mark that no block follows")
    return document


def broken_links(document):
    """Links to files or headings that are not there, as texts. Those to other hosts are not looked at."""
    found = []
    for line, target in document.links:
        if re.match(r"https?://|mailto:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (document.path.parent / name).resolve() if name else document.path
        if not path.exists():
            found.append(f"{document.name}:{line}: there is no {name}")
        elif anchor and anchor not in (document if path == document.path else read(path)).anchors():
            found.append(f"{document.name}:{line}: {name or 'this document'} has no heading for \"#{anchor}\"")
    return found


def all_documents():
    return [TOP / "README.md", *sorted((TOP / "data/doc").glob("*.md")), TOP / "data/containers/README.md",
            TOP / "tests/README.md"]
