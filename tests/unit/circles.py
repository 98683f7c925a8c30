#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""No circle between files: source files that call each other in a circle can only be understood all together.

The graph is read from the symbols of the build's objects: a file that uses what another one defines depends on it.
Every circle in a layer is printed with one of its paths. Use: circles.py BUILD_DIR [LAYER ...]; all layers by default.
"""

import collections
import pathlib
import re
import subprocess
import sys

DEFINED = set("TDBRVW")


def source(build, path):
    """build/src/core/libcore_model.a.p/model_mapping.c.o is core: model_mapping.c"""
    folder = re.sub(r"/[^/]*\.p$", "", str(path.parent.relative_to(build / "src")))
    return folder + ": " + path.name.removesuffix(".o")


def symbols(build):
    defined, used = {}, collections.defaultdict(set)
    objects = sorted((build / "src").glob("**/*.o"))
    if not objects:
        return defined, used
    listing = subprocess.run(["nm", "--print-file-name", "--portability", "--extern-only", *objects], capture_output=True,
                             text=True, check=True).stdout
    names = {str(path): source(build, path) for path in objects}
    for line in listing.splitlines():
        path, _, rest = line.partition(": ")
        symbol, kind = rest.split()[:2]
        if kind in DEFINED:
            defined.setdefault(symbol, names[path])
        elif kind == "U":
            used[names[path]].add(symbol)
    return defined, used


def graph(build):
    defined, used = symbols(build)
    return {name: sorted({defined[symbol] for symbol in wanted if symbol in defined} - {name})
            for name, wanted in used.items()}


def way(edges, start):
    """The shortest way from a file back to itself, or None."""
    before, queue = {start: None}, collections.deque([start])
    while queue:
        here = queue.popleft()
        for there in edges.get(here, ()):
            if there == start:
                found = [start]
                while here is not None:
                    found.append(here)
                    here = before[here]
                return found[::-1]
            if there not in before:
                before[there] = here
                queue.append(there)
    return None


def circles(edges):
    seen = set()
    for name in sorted(edges):
        found = None if name in seen else way(edges, name)
        if found:
            seen.update(found)
            yield found


def main():
    build, layers = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2:]
    edges = graph(build)
    if not edges:
        print("no objects: build first")
        return 1
    found = [path for path in circles(edges) if not layers or path[0].split(":")[0] in layers]
    for path in found:
        print("a circle of calls:", " -> ".join(path))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
