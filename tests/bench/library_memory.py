#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The memory that each library costs the daemon, in the rows of data/doc/DEPENDENCIES.md.

	tests/bench/library_memory.py

A program that does nothing is linked with each library alone, and then with all of them, and the kernel tells what it
has in memory (/proc/PID/smaps_rollup). "resident" is all that it has more than the program without libraries, most of it
code that other programs share; "own" is the part that no other process can share (Private_Dirty): relocations and data.
What a library takes when it is used comes on top, and is in FIGURES.md as the memory of the daemon.
"""

import re
import statistics
import subprocess
import tempfile
from pathlib import Path

# By what the linker calls them, in the order of DEPENDENCIES.md.
LIBRARIES = ("event", "event_openssl", "systemd", "curl", "ssl", "crypto", "sqlite3", "mariadb", "devmapper", "blkid",
             "cjson", "inih", "z")
ROUNDS = 5      # the median: how much of a file the kernel reads at once depends on what it has read before
PROGRAM = '#include <stdio.h>\n#include <unistd.h>\nint main(void) { puts(""); fflush(stdout); pause(); return 0; }\n'


def link(folder, libraries):
    source, program = folder / "program.c", folder / "program"
    source.write_text(PROGRAM)
    subprocess.run(["cc", "-o", program, source, "-Wl,--no-as-needed", *(f"-l{name}" for name in libraries)], check=True)
    return program


def look(program, key):
    with subprocess.Popen([program], stdout=subprocess.PIPE) as process:
        process.stdout.readline()   # it is in main()
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        process.kill()
    return int(re.search(rf"^{key}:\s+(\d+) kB", rollup, re.MULTILINE)[1])


def memory(folder, libraries):
    """Resident and own memory of a program with these libraries, in KiB."""
    program = link(folder, libraries)
    return [statistics.median(look(program, key) for _ in range(ROUNDS)) for key in ("Rss", "Private_Dirty")]


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare = memory(folder, ())
        print("| library | resident (KiB) | own (KiB) |\n|---|---|---|")
        for title, libraries in [*((f"lib{name}", (name,)) for name in LIBRARIES), ("all", LIBRARIES)]:
            resident, own = (with_them - without for with_them, without in zip(memory(folder, libraries), bare))
            print(f"| {title} | {resident} | {own} |")


if __name__ == "__main__":
    main()
