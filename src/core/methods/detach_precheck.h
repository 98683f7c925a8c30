/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A call that detaches a volume is told at once if the volume is in use. */

struct call;

enum in_use_leave {
	IN_USE_REFUSED,
	IN_USE_BY_NAME, /* users of the volume's name may stay: the name stays, too */
	IN_USE_BY_FORCE,
};

/* If the volume's disk here is in use, answers the call with the users, otherwise lets the call
 * proceed; now or on a later turn. volume_id lasts as long as the call. */
void detach_precheck(struct call *call, const char *volume_id, enum in_use_leave leave,
		     void (*proceed)(struct call *call));
