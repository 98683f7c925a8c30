/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Lists of one volume that travel together. Private to cloud/. */

#include "cloud/cloud_call.h"

/*
 * The call that has its turn and stands in no list, or one that carries it and all that can travel
 * with it, which are taken out of waiting.
 */
struct cloud_call *cloud_merge(struct cloud_call *call, struct cloud_call_list *waiting);
/* Gives each member what concerns it, or puts it back into waiting to be asked alone. Runs their
 * done. */
void cloud_merge_answer(struct cloud_call *carrier, struct cloud_call_list *waiting,
			const struct cloud_reply *reply, int http_status);
