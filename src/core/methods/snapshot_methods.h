/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The snapshots that clients keep of volumes: noted, listed, changed and forgotten. */

struct call;

void snapshot_track(struct call *call);
void snapshot_list_asked(struct call *call);
void snapshot_update(struct call *call);
void snapshot_untrack(struct call *call);
