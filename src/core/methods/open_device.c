/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A disk in hand: the caller gets an open descriptor, and no name that could lead to another disk
 * by the time it is used. disk/proof.h proves by the descriptor that it is of the volume's disk.
 *
 * The disk is refused to the same users as an export: it must be the disk of a volume that is
 * attached to this machine, and a program or the kernel must not have it to itself. Our own map and
 * our NBD engine share it; but a connected NBD client and another writer would not know of each
 * other. While an operation works on the volume the disk may go at any moment; an attachment is the
 * exception from the moment on in which it has told that the disk is ready.
 */

#include "core/methods/open_device.h"

#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/host/disk_users.h"
#include "core/methods/call.h"
#include "core/methods/call_wait.h"
#include "core/methods/calls.h"
#include "core/model/export.h"
#include "core/model/mapping.h"
#include "core/model/volume.h"
#include "disk/opener.h"
#include "disk/sysblock.h"
#include "nbd/exporter.h"

/* ---- may it be opened? ---- */

static const char *volume_of(const struct call *call)
{
	const struct volume_open_args *args = call->args;

	return args->volume_id;
}

static bool is_told_ready(const struct call *call)
{
	return operation_volume_has_disk(call->calls->engine, volume_of(call));
}

static int check_no_operation(const struct call *call, struct err *err)
{
	if (!operation_busy(call->calls->engine, volume_of(call)) || is_told_ready(call))
		return 0;
	return err_set(err, ERR_CONFLICT,
		       "another request works on volume %s; ask again when that has ended",
		       volume_of(call));
}

static int check_attached_here(const struct call *call, struct err *err)
{
	struct model *model = call->calls->model;
	const struct mapping *mapping = mapping_find(model, volume_of(call));

	if (is_told_ready(call) ||
	    (mapping && env_is_appliance(call->calls->env, mapping->record.vm_id)))
		return 0;
	if (!mapping && volumes_are_known(model) && !volume_find(model, volume_of(call)))
		return volume_missing(model, volume_of(call), err);
	return err_set(err, ERR_CONFLICT,
		       "volume %s is not attached to this machine; attach it first",
		       volume_of(call));
}

/* As the kernel shows it at this moment. */
static const struct device *find_disk(const struct call *call, struct err *err)
{
	struct model *model = call->calls->model;
	const struct device *disk;

	if (sysblock_scan(call->calls->env->sysblock, err) < 0)
		return NULL;
	disk = mapping_next_disk(model, volume_of(call), NULL);
	if (!disk) {
		err_set(err, ERR_CONFLICT, "the disk of volume %s is gone", volume_of(call));
		return NULL;
	}
	if (mapping_next_disk(model, volume_of(call), disk)) {
		err_set(err, ERR_CONFLICT,
			"more than one disk here identifies itself as volume %s, and only one can be it",
			volume_of(call));
		return NULL;
	}
	return disk;
}

/* ---- from its users to the open disk ---- */

static void on_opened(void *arg, int fd, const struct err *err)
{
	struct call *call = arg;
	struct err refusal = *err;

	call_waited(call);
	if (refusal.code || check_no_operation(call, &refusal) < 0 ||
	    check_attached_here(call, &refusal) < 0)
		call_fail(call, &refusal);
	else
		call_answer(call, &(struct opened_device_record){ .disk = fd });
}

static void open_disk(struct call *call)
{
	const struct volume_open_args *args = call->args;

	call_wait_opening(call, disk_open_start(call->calls->env->opener, call->state,
						args->volume_id, args->read_only, on_opened, call));
}

static int check_clients(const struct call *call, const struct export_seen *export, struct err *err)
{
	_cleanup_buf_ struct buf clients = BUF_NULL;

	if (!streq(export_volume_of(export->name), volume_of(call)) || export->client_count == 0)
		return 0;
	for (size_t i = 0; i < export->client_count; i++)
		buf_printf(&clients, "%s%s", i ? ", " : "", export->clients[i].address);
	return err_set_reason(
		err, ERR_REASON_IN_USE, ERR_CONFLICT,
		"the disk of volume %s is in use: %s over NBD by %s; open it for reading alone, or when they have left",
		volume_of(call),
		export->clients_certain ? "used" : "used, or another export of the same server,",
		clients.data);
}

static void on_clients(void *arg, const struct export_seen *items, size_t count,
		       const struct err *err)
{
	struct call *call = arg;
	struct err refusal = *err;

	call_waited(call);
	if (refusal.code)
		err_prefix(&refusal, "the NBD clients of volume %s are not known", volume_of(call));
	for (size_t i = 0; i < count && !refusal.code; i++)
		check_clients(call, &items[i], &refusal);
	if (refusal.code)
		call_fail(call, &refusal);
	else
		open_disk(call);
}

static void on_users(void *arg, const struct usage_result *result)
{
	struct call *call = arg;
	const struct volume_open_args *args = call->args;
	struct exporter *exporter = call->calls->env->options.exporter;
	struct err err = { 0 };

	call_waited(call);
	if (usage_allows_sharing(args->volume_id, result, "opened", &err) < 0)
		call_fail(call, &err);
	else if (!args->read_only && exporter && export_find(call->calls->model, args->volume_id))
		call_wait_exports(call, export_list(exporter, on_clients, call));
	else
		open_disk(call);
}

void volume_open(struct call *call)
{
	const struct device *disk = NULL;
	struct device *kept;
	struct err err = { 0 };

	if (check_no_operation(call, &err) == 0 && check_attached_here(call, &err) == 0)
		disk = find_disk(call, &err);
	if (!disk) {
		call_fail(call, &err);
		return;
	}
	/* What is opened is compared with the disk as it is now. */
	kept = xnew(struct device);
	*kept = *disk;
	call_keep(call, kept, free);
	call_wait_usage(call, usage_start_for_sharing(call->calls->host, volume_of(call), kept,
						      on_users, call));
}
