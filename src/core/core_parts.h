/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The modules of core, the lowest first: each module knows the modules before it in this list, and
 * no module after it. */

#include "core/env.h"
#include "core/methods/calls.h"
#include "core/ops/ops.h"

struct core {
	struct env env;
	struct model *model;
	struct host *host;
	struct ops ops;
	struct engine *engine;
	struct content_probe *content_probe;
	struct device_sync *device_sync;
	struct host_sync *host_sync;
	struct disk_doubt *disk_doubt;
	struct reconciler *reconciler;
	struct store_guard *store_guard;
	struct retention *retention;
	struct calls calls;
};
