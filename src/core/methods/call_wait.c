/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How each kind of wait is cancelled if the asker leaves before the answer. Work that has begun
 * below may still happen; a commit is on its way to the store and only forgets the call. */

#include "core/methods/call_wait.h"

#include "cloud/cloud.h"
#include "core/engine/operation_start.h"
#include "core/engine/operation_table.h"
#include "core/host/activation.h"
#include "core/methods/call.h"
#include "core/model/commit.h"
#include "core/reconcile/reconciler.h"
#include "core/reconcile/store_guard.h"
#include "core/reload.h"
#include "disk/opener.h"
#include "disk/usage.h"
#include "io/user_names.h"
#include "nbd/exporter.h"
#include "store/snapshot.h"
#include "store/store.h"

static void cancel_cloud(void *awaited)
{
	cloud_call_cancel(awaited);
}

void call_wait_cloud(struct call *call, struct cloud_call *cloud_call)
{
	call_wait(call, cloud_call, cancel_cloud);
}

static void cancel_walk(void *awaited)
{
	cloud_walk_cancel(awaited);
}

void call_wait_walk(struct call *call, struct cloud_walk *walk)
{
	call_wait(call, walk, cancel_walk);
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

static void cancel_opening(void *awaited)
{
	disk_open_cancel(awaited);
}

void call_wait_opening(struct call *call, struct disk_opening *opening)
{
	call_wait(call, opening, cancel_opening);
}

static void cancel_activation(void *awaited)
{
	activation_cancel(awaited);
}

void call_wait_activation(struct call *call, struct activation *activation)
{
	call_wait(call, activation, cancel_activation);
}

static void cancel_reload(void *awaited)
{
	struct reload_ticket *ticket = awaited;

	ticket->cancel(ticket);
}

void call_wait_reload(struct call *call, struct reload_ticket *ticket)
{
	call_wait(call, ticket, cancel_reload);
}

static void cancel_exports(void *awaited)
{
	export_cancel(awaited);
}

void call_wait_exports(struct call *call, struct export_call *exports)
{
	call_wait(call, exports, cancel_exports);
}

static void cancel_comparison(void *awaited)
{
	reconcile_ticket_cancel(awaited);
}

void call_wait_comparison(struct call *call, struct reconcile_ticket *ticket)
{
	call_wait(call, ticket, cancel_comparison);
}

static void cancel_store(void *awaited)
{
	store_wait_cancel(awaited);
}

void call_wait_store(struct call *call, struct store_wait *wait)
{
	call_wait(call, wait, cancel_store);
}

static void forget_accept(void *awaited)
{
	store_accept_forget(awaited);
}

void call_wait_accept(struct call *call, struct store_accept *accept)
{
	call_wait(call, accept, forget_accept);
}

static void forget_change(void *awaited)
{
	change_forget(awaited);
}

void call_wait_change(struct call *call, struct change *change)
{
	call_wait(call, change, forget_change);
}

static void forget_settling(void *awaited)
{
	settling_forget(awaited);
}

void call_wait_settling(struct call *call, struct settling *settling)
{
	call_wait(call, settling, forget_settling);
}

static void leave_operation(void *awaited)
{
	operation_leave(awaited);
}

void call_wait_operation(struct call *call, struct operation_asker *asker)
{
	call_wait(call, asker, leave_operation);
}

void call_on_accepted(void *arg, struct operation *operation, const struct err *err)
{
	struct call *call = arg;

	call_waited(call);
	if (operation)
		call_answer(call, &operation->record);
	else
		call_fail(call, err);
}

static void cancel_user(void *awaited)
{
	user_lookup_cancel(awaited);
}

void call_wait_user(struct call *call, struct user_lookup *lookup)
{
	call_wait(call, lookup, cancel_user);
}

static void cancel_snapshot(void *awaited)
{
	snapshot_cancel(awaited);
}

void call_wait_snapshot(struct call *call, struct snapshot *snapshot)
{
	call_wait(call, snapshot, cancel_snapshot);
}
