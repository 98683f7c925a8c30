# SPDX-License-Identifier: LGPL-2.1-or-later
"""Kinds of CloudStack servers, beside the 4.18 that cloudsim plays if nothing is set."""

# All that differs from the server that was watched, in one: what a newer one does, what an
# administrator may have set, and a proxy in front of it whose clock is wrong.
OTHER_SERVER = {"version": "4.23", "enforce_post": False, "proxy_date": 7200, "page_size": 2,
                "narrow_names": False}
# The daemon's [cloud] on that server.
OTHER_CLOUD = {"project_id": "all"}
