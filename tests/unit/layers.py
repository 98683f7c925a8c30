#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The picture of the house, checked against the source.

Folders in src/ are layers, and a layer may include only what stands to its right in the picture. Some libraries belong
to one layer alone: whoever includes their headers elsewhere has let something leak through the floor.
"""

import pathlib
import re
import sys

LAYERS = {
    "base": set(),
    "spec": {"base"},
    "io": {"base"},
    "store": {"spec", "io", "base"},
    "cloud": {"io", "base"},
    "disk": {"spec", "io", "base"},
    "dm": {"io", "base"},
    "nbd": {"disk", "spec", "io", "base"},
    "config": {"spec", "base"},
    "core": {"store", "cloud", "nbd", "dm", "disk", "spec", "io", "base"},
    "api": {"core", "spec", "io", "base"},
    "daemon": {"config", "api", "core", "store", "cloud", "nbd", "dm", "disk", "spec", "io", "base"},
    "volumectl": {"spec", "io", "base"},
    "storectl": {"config", "store", "spec", "io", "base"},
}
# The rooms of core, by the same rule. What stands in core/ itself is what core shows, and core.c, which composes.
ROOMS = {
    "rules": set(),
    "model": {"rules"},
    "host": {"model", "rules"},
    "engine": {"model", "rules"},
    "ops": {"engine", "host", "model", "rules"},
    "reconcile": {"ops", "engine", "host", "model", "rules"},
    "methods": {"reconcile", "ops", "engine", "host", "model", "rules"},
}
SHARED = {"core/call.h", "core/env.h", "core/event.h", "core/reload.h"}
COMPOSER = {"core.c", "core_parts.h"}
# What the files of a room share and no other room sees.
PRIVATE = {"core/model/model.h", "core/host/host.h", "core/engine/engine.h", "core/methods/calls.h"}
OWNERS = {
    "cjson": {"base"},
    "sqlite3.h": {"store"},
    "mysql": {"store"},
    "systemd/sd-bus.h": {"io", "api"},
    "event2/http": {"api"},
    "curl/": {"io"},
    "blkid": {"disk"},
    "libdevmapper.h": {"dm"},
    "linux/dm-ioctl.h": {"dm"},
    "ini.h": {"config"},
}
# Not a word of these outside their folder, wherever they come from.
WORDS = {
    r"\b(SELECT|INSERT INTO|UPDATE \w+ SET|DELETE FROM)\b": {"store"},
    r"evhttp_request|sd_bus_message": {"api", "io", "volumectl"},
}


def wrong_room(path, name):
    """May this file of core include that header of core?"""
    folder, room = name.split("/")[1], path.parent.name
    if path.name in COMPOSER:
        return False
    if room == "core":
        return name not in SHARED
    if name in PRIVATE:
        return folder != room
    return name not in SHARED and folder != room and folder not in ROOMS[room]


def faults(source):
    for path in sorted(source.glob("**/*.[ch]")):
        layer = path.relative_to(source).parts[0]
        text = path.read_text()
        for line, name in ((i, m[1]) for i, row in enumerate(text.splitlines(), 1)
                           if (m := re.match(r'#\s*include\s*[<"]([^>"]+)', row))):
            folder = name.split("/")[0]
            if folder in LAYERS and folder != layer and folder not in LAYERS[layer]:
                yield f"{path}:{line}: {layer} must not include {name}"
            if layer == "core" and folder == "core" and wrong_room(path.relative_to(source), name):
                yield f"{path}:{line}: {name} is above this room, or another room's own"
            if layer != "core" and folder == "core" and name != "core/core.h":
                yield f"{path}:{line}: of core, core/core.h is what other layers include, not {name}"
            for start, owners in OWNERS.items():
                if name.startswith(start) and layer not in owners:
                    yield f"{path}:{line}: {name} belongs to {', '.join(sorted(owners))}"
        code = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
        for pattern, owners in WORDS.items():
            if layer not in owners and (found := re.search(pattern, code)):
                yield f"{path}: {found[0]} belongs to {', '.join(sorted(owners))}"


def main():
    source = pathlib.Path(sys.argv[1])
    unknown = {p.name for p in source.iterdir() if p.is_dir()} - LAYERS.keys()
    found = [f"{name}: a folder that is not in the picture" for name in sorted(unknown)] + list(faults(source))
    print(*found, sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
