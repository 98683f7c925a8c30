# SPDX-License-Identifier: LGPL-2.1-or-later
"""Request signatures, as the server computes them.

The server does not sign what travelled over the wire. It decodes all parameters, sorts them by
their raw names, encodes each value again with Java's URLEncoder, joins everything, lower-cases the
result and only then takes the HMAC. A client that reproduces this string may encode its request in
any valid way. Java's encoder differs from the usual percent-encoding in two characters, and both
are easy to get wrong: `*` stays as it is and `~` becomes `%7E`.
"""

import base64
import hashlib
import hmac
import re
from datetime import datetime, timedelta, timezone
from urllib.parse import quote

# A numeric offset or Z must be there; the old client library wrote both.
_EXPIRES = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:(?:\.\d{1,9})?Z|Z?([+-])(\d\d)(?::?)(\d\d))")


def encode(value):
    return quote(value, safe="*").replace("~", "%7E")


def canonical(params):
    """The string that is signed, from decoded parameters."""
    items = sorted((name.encode(), name, value) for name, value in params.items()
                   if name.lower() != "signature")
    return "&".join(f"{name}={encode(value)}" for _, name, value in items).lower()


def sign(params, secret):
    digest = hmac.new(secret.encode(), canonical(params).encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def parse_expires(text):
    """Seconds since the epoch, or None for a form the server does not read."""
    match = _EXPIRES.fullmatch(text or "")
    if not match:
        return None
    stamp, direction, hours, minutes = match.groups()
    try:
        moment = datetime.fromisoformat(stamp).replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    if direction:
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        moment += offset if direction == "-" else -offset
    return moment.timestamp()


def format_expires(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S+0000")
