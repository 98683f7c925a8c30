/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The configuration read anew, as core sees it: a request that the daemon, which stands above core,
 * answers. The surfaces make the request through core like any other, so that rights, limits and
 * the log are the same for it.
 */

#include "spec/records.h"

/* Of one request; its owner cancels it, or waits for done. */
struct reload_ticket {
	/* done will not run; what has begun goes on. Not from inside done. */
	void (*cancel)(struct reload_ticket *ticket);
};

/* record: what has changed, or would change; NULL: nothing was changed, and err says why. */
typedef void (*reload_done_fn)(void *arg, const struct reload_record *record,
			       const struct err *err);

struct reloader {
	void *self;
	/* The file is read after this call. done runs once, on a later turn. only_looks: nothing is
	 * changed. */
	struct reload_ticket *(*request)(void *self, bool only_looks, reload_done_fn done,
					 void *arg);
};
