# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ports for servers that cannot be told to take any free one.

A port that was free a moment ago may be taken when its server starts: by another test that looks at the
same time, or by a client, since the kernel gives out the upper ports for connections. So ports come from
below those, and each is claimed until the process ends.
"""

import random
import socket

PORTS = range(15000, 32000)
_claims = []


def free_port():
    """A port that no other test gets. The claim is an abstract socket, which ends with this process."""
    for port in random.sample(PORTS, len(PORTS)):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0volume-daemon-test-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return port
    raise RuntimeError("no port is free")
