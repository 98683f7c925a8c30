/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Lists of one volume that travel together. Private to cloud/. */

#include "cloud/cloud_call.h"

/* 39 characters each in a URL, in all half of the 8 KiB that servers and proxies take. */
#define CLOUD_MEMBERS_MAX 100

/*
 * call has its turn and stands in no list. Returns call itself, or a carrier of it and of calls
 * that can travel with it, members_max in all, which leave waiting.
 */
struct cloud_call *cloud_merge(struct cloud_call *call, struct cloud_call_list *waiting,
			       size_t members_max);
/*
 * Gives each member its part of the answer and runs its done, or puts it back into waiting to be
 * sent alone. If CloudStack's pages are shorter than the request was long, *members_max becomes
 * their length.
 */
void cloud_merge_answer(struct cloud_call *carrier, struct cloud_call_list *waiting,
			const struct cloud_reply *reply, int http_status, size_t *members_max);
