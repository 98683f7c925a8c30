# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keys and signatures must be nowhere but on the wire to CloudStack: where to look, and how."""

import json
import re
from urllib.parse import quote

from .harness import MANAGER, ROOT


def traces(text):
    """Text in lower case, as it is and without escapes, since a careless escape hides a secret. The
    secrets are ASCII, so each escape stands for itself: much faster on a store's bytes than
    unquote()."""
    text = text.lower()
    plain = re.sub("%([0-9a-f]{2})", lambda escape: chr(int(escape[1], 16)), text).lower()
    return text, plain, plain.replace("+", " ")


def assert_no_secret(world, where, text):
    keys = (world.cloud.api_key, world.cloud.secret_key)
    shown = traces(text)
    for secret in (*keys, *map(quote, keys), "signature="):
        assert not any(secret.lower() in form for form in shown), f"{where}: {secret}"


def everything_said(world):
    """The contents of the files, the log, the command line and the answers of the surfaces."""
    process = world.daemon.process.pid
    for name in ("cmdline", "environ", "comm"):
        with open(f"/proc/{process}/{name}", "rb") as file:
            yield name, file.read().decode(errors="replace")
    for file in world.folder.glob("volume-daemon.db*"):
        yield file.name, file.read_bytes().decode("latin-1")
    yield "log", world.daemon.text
    for path in ("/health", "/api/v1/operations", "/api/v1/volumes", "/api/v1/mappings", "/api/v1/exports",
                 "/api/v1/devices", "/api/v1/offerings", "/api/v1/zones", "/api/v1/vms", "/api/v1/rights",
                 "/api/v1/tokens", "/api/v1/metrics", "/metrics", "/api/v1/openapi.json"):
        yield path, world.daemon.rest("GET", path).body.decode()
    for operation in world.daemon.get("/api/v1/operations"):
        path = f"/api/v1/operations/{operation['id']}/history"
        yield path, world.daemon.rest("GET", path).body.decode()
    # What a broken configuration is answered with, and then the good one.
    good = world.daemon.config.read_text()
    for text in (good + f"[cloud]\nkey = {world.cloud.secret_key}\n", good):
        world.daemon.config.write_text(text)
        yield "reload", world.daemon.rest("POST", "/api/v1/admin/reload").body.decode()
    if world.bus.owner():
        yield "bus", json.dumps(world.bus.call(ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects"))
        yield "bus", json.dumps(world.bus.properties(ROOT, MANAGER))


def core_of(process):
    """What a core dump of the process would have: its memory without the parts that are kept out."""
    parts, keep, span = [], False, None
    with open(f"/proc/{process}/smaps", encoding="ascii") as smaps, open(f"/proc/{process}/mem", "rb") as memory:
        for line in smaps:
            words = line.split()
            if "-" in words[0] and not words[0].endswith(":"):
                span = [int(number, 16) for number in words[0].split("-")]
                keep = "r" in words[1] and not words[-1].startswith("[v")
            elif words[0] == "VmFlags:" and keep and "dd" not in words and "io" not in words:
                memory.seek(span[0])
                parts.append(memory.read(span[1] - span[0]))
    return b"".join(parts)
