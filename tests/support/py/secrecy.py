# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keys and signatures must be nowhere but on the wire to CloudStack: where to look, and how."""

import re
from urllib.parse import quote


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
    for path in ("/health", "/api/v1/operations", "/api/v1/volumes", "/api/v1/mappings"):
        yield path, world.daemon.rest("GET", path).body.decode()
