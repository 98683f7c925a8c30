# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is asked of a daemon whose store is in trouble, whatever store it is."""

from support.py import shapes
from support.py.waiting import eventually

FOREVER = 3600.0


def refused(daemon):
    """The text of the refusal of a change."""
    answer = daemon.rest("POST", "/api/v1/volumes/00000000-0000-4000-8000-000000000000/detach")
    assert answer.status == 503 and int(answer.headers["Retry-After"]) > 0, answer
    error = shapes.ERROR.check(answer.json)
    assert error["code"] == "SERVICE_UNAVAILABLE"
    return error["error"]


def unhealthy(daemon):
    """What health says about the store, which must be what is wrong."""
    answer = daemon.rest("GET", "/health")
    assert answer.status == 503, answer
    told = shapes.HEALTH.check(answer.json)
    assert told["status"] == "unhealthy" and told["details"]["accepting_changes"] is False
    assert told["cloudstack_health"] == told["device_monitor"] == "healthy"
    return told["database_health"]


def wait_well(daemon):
    eventually(lambda: daemon.rest("GET", "/health").status == 200, "health")


def unhealthy_soon(daemon):
    return eventually(lambda: daemon.rest("GET", "/health").status == 503 and unhealthy(daemon),
                      "the store's complaint")
