/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Lists of one volume that travel together. Private to cloud/. */

#include "cloud/cloud_call.h"

/*
 * call has its turn and stands in no list. Returns call itself, or a carrier of it and of all calls
 * that can travel with it, which leave waiting.
 */
struct cloud_call *cloud_merge(struct cloud_call *call, struct cloud_call_list *waiting);
/*
 * Gives each member its part of the answer and runs its done, or puts it back into waiting to be
 * sent alone.
 */
void cloud_merge_answer(struct cloud_call *carrier, struct cloud_call_list *waiting,
			const struct cloud_reply *reply, int http_status);
