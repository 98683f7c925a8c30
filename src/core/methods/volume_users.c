/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Who uses the disk of a volume here: the users that a detachment would meet, and who is connected
 * to its export. The daemon's own map and NBD engine stand between a disk and its users, and are
 * none.
 *
 * A volume that is not known may be newer than the list of volumes, so CloudStack is asked for it
 * before the answer is that there is none.
 */

#include "core/methods/volume_users.h"

#include "cloud/cloud.h"
#include "core/env.h"
#include "core/host/disk_users.h"
#include "core/methods/call.h"
#include "core/methods/call_wait.h"
#include "core/methods/calls.h"
#include "core/model/export.h"
#include "core/model/mapping.h"
#include "core/model/volume.h"
#include "nbd/exporter.h"

struct look {
	struct call *call;
	const char *volume_id; /* in the call's arguments */
	struct volume_user_record *users;
	size_t count;
	struct disk_users *check; /* under way, or NULL; the same for the next */
	struct export_call *clients;
};

static void stop_waiting(void *awaited)
{
	struct look *look = awaited;

	if (look->check)
		disk_users_cancel(TAKE_PTR(look->check));
	if (look->clients)
		export_cancel(TAKE_PTR(look->clients));
}

static void look_free(void *state)
{
	struct look *look = state;

	for (size_t i = 0; i < look->count; i++)
		record_clear(&volume_user_record, &look->users[i]);
	free(look->users);
	free(look);
}

/* Takes the use. */
static void add(struct look *look, const char *path, char *use, bool is_system)
{
	look->users = xrealloc(look->users, (look->count + 1) * sizeof(*look->users));
	look->users[look->count++] = (struct volume_user_record){ .device_path = xstrdup(path),
								  .use = use,
								  .is_system = is_system };
}

static void finish(struct look *look, const struct err *err)
{
	call_waited(look->call);
	if (err->code)
		call_fail(look->call, err);
	else
		call_answer_many(look->call, look->users, look->count, NULL);
}

/* ---- clients of the export ---- */

static void add_clients(struct look *look, const struct export_seen *seen)
{
	for (size_t i = 0; i < seen->client_count; i++)
		add(look, seen->device_path,
		    xasprintf("%s over NBD by %s",
			      seen->clients_certain ? "used"
						    : "used, or another export of the same server,",
			      seen->clients[i].address),
		    false);
}

static void on_clients(void *arg, const struct export_seen *items, size_t count,
		       const struct err *err)
{
	struct look *look = arg;

	look->clients = NULL;
	for (size_t i = 0; !err->code && i < count; i++) {
		if (streq(export_volume_of(items[i].name), look->volume_id))
			add_clients(look, &items[i]);
	}
	finish(look, err);
}

static void look_at_clients(struct look *look)
{
	struct calls *calls = look->call->calls;

	if (calls->env->options.exporter && export_find(calls->model, look->volume_id))
		look->clients = export_list(calls->env->options.exporter, on_clients, look);
	else
		finish(look, &(struct err){ 0 });
}

/* ---- users of the disk ---- */

static int add_users(void *arg, const struct disk_use *use, struct err *err)
{
	const struct usage_result *result = use->result;
	struct look *look = arg;

	/* Another volume's disk, or nobody's: its users are not this volume's. */
	if (use->guessed)
		return 0;
	for (size_t i = 0; i < result->user_count; i++)
		add(look, result->users[i].path, xstrdup(result->users[i].what),
		    result->users[i].kind == USAGE_ROOT);
	if (result->users_more > 0)
		add(look, use->path,
		    xasprintf("%zu more uses, which are not named", result->users_more), false);
	return 0;
}

static void on_users(void *arg, const struct err *err)
{
	struct look *look = arg;

	look->check = NULL;
	if (err->code)
		finish(look, err);
	else
		look_at_clients(look);
}

static void look_at_disk(struct call *call)
{
	const struct volume_args *args = call->args;
	struct look *look = xnew(struct look);
	struct err err = { 0 };

	look->call = call;
	look->volume_id = args->volume_id;
	call_keep(call, look, look_free);
	call_wait(call, look, stop_waiting);
	look->check = disk_users_check(call->calls->host, args->volume_id, add_users, on_users,
				       look, &err);
	if (look->check)
		return;
	if (err.code)
		finish(look, &err);
	else
		look_at_clients(look);
}

static void on_asked(void *arg, const struct cloud_result *result)
{
	struct call *call = arg;
	const struct volume_args *args = call->args;
	struct model *model = call->calls->model;
	struct err err = { 0 };

	call_waited(call);
	if (result->outcome != CLOUD_OK) {
		call_fail(call, &result->err);
		return;
	}
	for (size_t i = 0; i < result->count; i++)
		volume_update(model, &result->volumes[i]);
	if (volume_find(model, args->volume_id)) {
		look_at_disk(call);
		return;
	}
	volume_missing(model, args->volume_id, &err);
	call_fail(call, &err);
}

void volume_users(struct call *call)
{
	const struct volume_args *args = call->args;
	struct calls *calls = call->calls;
	struct cloud_volume_filter filter = { .id = args->volume_id };

	if (volumes_are_known(calls->model) && calls->env->cloud &&
	    !volume_find(calls->model, args->volume_id) &&
	    !mapping_find(calls->model, args->volume_id))
		call_wait_cloud(call,
				cloud_list_volumes(calls->env->cloud, &filter, on_asked, call));
	else
		look_at_disk(call);
}
