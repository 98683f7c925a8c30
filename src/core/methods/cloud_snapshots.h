/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The methods about snapshots in CloudStack. */

struct call;

void snapshot_create(struct call *call);
void volume_snapshots(struct call *call);
void snapshot_revert(struct call *call);
void snapshot_delete(struct call *call);
