/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How each kind of wait is cancelled if the asker leaves before the answer. Work that has begun
 * below may still happen; a commit is on its way to the store and only forgets the call. */

#include "core/methods/call_wait.h"

#include "cloud/cloud.h"
#include "core/host/activation.h"
#include "core/methods/call.h"
#include "core/model/commit.h"
#include "disk/usage.h"
#include "nbd/exporter.h"
#include "store/store.h"

static void cancel_cloud(void *awaited)
{
	cloud_call_cancel(awaited);
}

void call_wait_cloud(struct call *call, struct cloud_call *cloud_call)
{
	call_wait(call, cloud_call, cancel_cloud);
}

static void cancel_read(void *awaited)
{
	store_read_cancel(awaited);
}

void call_wait_read(struct call *call, struct store_read *read)
{
	call_wait(call, read, cancel_read);
}

static void cancel_usage(void *awaited)
{
	usage_check_cancel(awaited);
}

void call_wait_usage(struct call *call, struct usage_check *check)
{
	call_wait(call, check, cancel_usage);
}

static void cancel_activation(void *awaited)
{
	activation_cancel(awaited);
}

void call_wait_activation(struct call *call, struct activation *activation)
{
	call_wait(call, activation, cancel_activation);
}

static void cancel_exports(void *awaited)
{
	export_cancel(awaited);
}

void call_wait_exports(struct call *call, struct export_call *exports)
{
	call_wait(call, exports, cancel_exports);
}

static void forget_change(void *awaited)
{
	change_forget(awaited);
}

void call_wait_change(struct call *call, struct change *change)
{
	call_wait(call, change, forget_change);
}
