#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Measures what stands in data/doc/FIGURES.md, on this machine now, and prints one table.

Each line has our figure, the reference that was measured beside it in the same run, their ratio, and the aim. It is
Markdown, so that it can be pasted. Asserts nothing: figures depend on the machine, only ratios travel. VOLD_BUILD names
the build to measure.
"""

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rig import BenchError, make_disks   # first, since it shows where the packages of the tests are
from cloudsim.plug import PlugError
from table import HEAD, machine

# Each group of lines is a file of its name, whose measure() yields them.
ROWS = {
    "attach": "kernel event to OperationCompleted",
    "jobs": "what operations take beside the jobs of CloudStack, and their calls",
    "accepts": "durable accepts, beside bare inserts, on three stores",
    "rest": "GET of a volume, a mapping, an operation, beside a bare evhttp",
    "bus": "D-Bus GetDevice, beside a bare sd-bus service",
    "told": "one completion to 1, 100, 1,000 subscribers, by signals and event streams",
    "exports": "exports that come and go, beside the engine's own commands, and their clients beside the raw device",
    "lists": "pages, filters and histories among many operations",
    "many": "many operations at once: CloudStack calls, processor, memory",
    "scan": "a scan of 10, 1,000, 10,000 disks, beside a listing of their folder",
    "idle": "memory, wake-ups and processor without requests",
    "start": "start to ready, with much in the store",
}


@dataclass
class Bench:
    """What a row measures, and how long."""

    build: Path
    run: Path           # a folder of the row's own
    disks: object
    rounds: int
    seconds: int
    largest: int

    def sizes(self, *sizes):
        """Those that are not too large."""
        return [size for size in sizes if size <= self.largest]


def measure(row, options):
    with tempfile.TemporaryDirectory(prefix="volume-bench.") as folder:
        run = Path(folder)
        bench = Bench(Path(os.environ["VOLD_BUILD"]).resolve(), run, make_disks(run), options.rounds,
                      options.seconds, options.largest)
        for figure in importlib.import_module(row).measure(bench):
            print(figure.line(), flush=True)


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="those to measure (default: all of --list)")
    parser.add_argument("--list", action="store_true", help="print the names of the rows")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of each ratio (default %(default)s)")
    parser.add_argument("--seconds", type=int, default=3, help="of each load (default %(default)s)")
    parser.add_argument("--largest", type=int, default=1000000, help="leave out larger sizes (default %(default)s)")
    options = parser.parse_args()
    for row in options.rows:
        if row not in ROWS:
            parser.error(f"there is no row \"{row}\"; there are: {' '.join(ROWS)}")
    if not options.list and "VOLD_BUILD" not in os.environ:
        parser.error("set VOLD_BUILD to the build directory")
    return options


def main():
    options = read_arguments()
    if options.list:
        for row, what in ROWS.items():
            print(f"{row:12} {what}")
        return 0
    print(f"{machine()}\n\n{HEAD}", flush=True)
    failed = 0
    for row in options.rows or ROWS:
        try:
            measure(row, options)
        except (BenchError, PlugError, OSError, subprocess.SubprocessError) as error:
            print(f"bench: {row}: {error}", file=sys.stderr, flush=True)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
