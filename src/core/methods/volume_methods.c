/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What each method does. Changes begin an operation and answer with it once it is durable; questions about living
 * things are answered from memory, questions about ended operations by the store.
 */

#include <assert.h>
#include <stdio.h>

#include "core/internal.h"
#include "core/ops/ops.h"

/* What a cancelled operation is doing just now is not always interrupted at once. */
#define CANCEL_PATIENCE_MS 10000

/* ---- changes ---- */

static void on_accepted(void *arg, struct operation *operation, const struct err *err)
{
	struct call *call = arg;

	call->accepting = NULL;
	if (operation)
		call_answer(call, &operation->record);
	else
		call_fail(call, err);
}

static void start(struct call *call, enum operation_type type, const char *volume_id, const char *vm_id, void *context)
{
	struct buf request = BUF_NULL;
	struct json_writer writer = { .out = &request };
	struct operation_order order = {
		.type = type,
		.volume_id = volume_id,
		.vm_id = vm_id,
		.request_id = request_id_of(call),
		.context = context,
	};

	record_to_json(call->method->args, call->args, false, &writer);
	order.request = buf_take(&request);
	call->accepting = operation_start(call->core, &order, on_accepted, call);
}

static void volume_create(struct call *call)
{
	const struct volume_create_args *args = call->args;
	const char *zone_id = args->zone_id ? args->zone_id : call->core->zone_id;
	struct err err = { 0 };

	if (zone_id) {
		start(call, OPERATION_CREATE, NULL, NULL, op_create_context(args, zone_id));
		return;
	}
	err_set_field(&err, "zone_id", ERR_INVALID,
		      "zone_id is required: neither cloud.zone_id nor a row of ossea_configs names a zone for all");
	call_fail(call, &err);
}

static void volume_attach(struct call *call)
{
	const struct volume_attach_args *args = call->args;

	start(call, OPERATION_ATTACH, args->volume_id, args->vm_id, op_attach_context());
}

static void begin_detach(struct call *call)
{
	const struct volume_detach_args *args = call->args;
	const struct volume *volume = volume_find(call->core, args->volume_id);

	start(call, OPERATION_DETACH, args->volume_id, volume ? volume->cloud.vm_id : NULL, op_detach_context(args));
}

static void volume_detach(struct call *call)
{
	const struct volume_detach_args *args = call->args;
	enum in_use_leave leave = IN_USE_REFUSED;

	/* With the name kept, those who use it wait with it. */
	if (args->keep_name && call->core->options.devmap)
		leave = IN_USE_BY_NAME;
	if (args->force)
		leave = IN_USE_BY_FORCE;
	in_use_check(call, args->volume_id, leave, begin_detach);
}

static void begin_delete(struct call *call)
{
	const struct volume_delete_args *args = call->args;

	start(call, OPERATION_DELETE, args->volume_id, NULL, op_delete_context());
}

static void volume_delete(struct call *call)
{
	const struct volume_delete_args *args = call->args;

	in_use_check(call, args->volume_id, IN_USE_REFUSED, begin_delete);
}

static void volume_resize(struct call *call)
{
	const struct volume_resize_args *args = call->args;
	const struct volume *volume = volume_find(call->core, args->volume_id);

	start(call, OPERATION_RESIZE, args->volume_id, volume ? volume->cloud.vm_id : NULL, op_resize_context(args));
}

/* ---- volumes ---- */

/* Where the list has never been fetched, an empty answer would be a lie. */
static bool volumes_are_known(struct call *call)
{
	struct cloud_health health = { 0 };

	if (call->core->volumes_known)
		return true;
	if (!call->core->cloud) {
		call_failf(call, ERR_UNAVAILABLE, "no CloudStack is configured, so no volumes are known");
		return false;
	}
	cloud_health(call->core->cloud, &health);
	call_failf(call, ERR_UNAVAILABLE, "the volumes are not known yet: %s",
		   health.reason[0] ? health.reason : "CloudStack has not answered so far");
	return false;
}

static bool volume_fits(const struct volume *volume, const struct volume_list_args *args)
{
	return (!args->state || streq(args->state, volume->cloud.state)) &&
	       (!args->vm_id || streq(args->vm_id, volume->cloud.vm_id)) &&
	       (!args->name || streq(args->name, volume->cloud.name)) &&
	       (!args->cursor || strcmp(volume->id, args->cursor) > 0);
}

static int by_id(const void *a, const void *b)
{
	const struct volume *const *left = a, *const *right = b;

	return strcmp((*left)->id, (*right)->id);
}

static void answer_volumes(struct call *call, const struct volume_list_args *args)
{
	struct core *core = call->core;
	size_t count = 0, limit = args->limit > 0 ? (size_t)args->limit : SIZE_MAX;
	_cleanup_free_ const struct volume **found = xcalloc(HASH_COUNT(core->volumes) + 1, sizeof(*found));
	_cleanup_free_ char *cursor = NULL;
	struct volume_record *records;
	struct volume *volume, *next;

	HASH_ITER(hh, core->volumes, volume, next) {
		if (volume_fits(volume, args))
			found[count++] = volume;
	}
	qsort(found, count, sizeof(*found), by_id);
	if (count > limit) {
		count = limit;
		cursor = xstrdup(found[count - 1]->id);
	}
	records = xcalloc(count + 1, sizeof(*records));
	for (size_t i = 0; i < count; i++)
		volume_to_record(core, found[i], &records[i]);
	call_answer_many(call, records, count, cursor);
	for (size_t i = 0; i < count; i++)
		record_clear(&volume_record, &records[i]);
	free(records);
}

static void volume_list(struct call *call)
{
	if (volumes_are_known(call))
		answer_volumes(call, call->args);
}

static void vm_volumes(struct call *call)
{
	const struct vm_args *args = call->args;
	struct volume_list_args filter = { .vm_id = args->vm_id };

	if (volumes_are_known(call))
		answer_volumes(call, &filter);
}

static void answer_volume(struct call *call, const struct volume *volume)
{
	struct volume_record record = { 0 };

	volume_to_record(call->core, volume, &record);
	call_answer(call, &record);
	record_clear(&volume_record, &record);
}

static void on_volume_listed(void *arg, const struct cloud_result *result)
{
	struct call *call = arg;
	const struct volume_get_args *args = call->args;

	call->cloud_call = NULL;
	if (result->outcome != CLOUD_OK) {
		call_fail(call, &result->err);
		return;
	}
	for (size_t i = 0; i < result->count; i++) {
		if (streq(result->volumes[i].id, args->volume_id)) {
			answer_volume(call, volume_update(call->core, &result->volumes[i]));
			return;
		}
	}
	if (!operation_busy(call->core, args->volume_id))
		volume_remove(call->core, args->volume_id);
	call_failf(call, ERR_NOT_FOUND, "volume %s does not exist in CloudStack", args->volume_id);
}

static void volume_get(struct call *call)
{
	const struct volume_get_args *args = call->args;
	const struct volume *volume = volume_find(call->core, args->volume_id);
	struct cloud_volume_filter filter = { .id = args->volume_id };

	if (volume && !args->refresh)
		answer_volume(call, volume);
	else if (call->core->cloud)
		call->cloud_call = cloud_list_volumes(call->core->cloud, &filter, on_volume_listed, call);
	else
		call_failf(call, ERR_UNAVAILABLE, "no CloudStack is configured, so volume %s cannot be looked up",
			   args->volume_id);
}

/* ---- mappings and devices ---- */

static void answer_mapping(struct call *call, const struct mapping *mapping)
{
	struct mapping_record record = { 0 };

	mapping_to_record(call->core, mapping, &record);
	call_answer(call, &record);
	record_clear(&mapping_record, &record);
}

static void volume_device(struct call *call)
{
	const struct volume_args *args = call->args;
	const struct mapping *mapping = mapping_find(call->core, args->volume_id);

	if (mapping)
		answer_mapping(call, mapping);
	else
		call_failf(call, ERR_NOT_FOUND, "volume %s is mapped to no device", args->volume_id);
}

static void mapping_list(struct call *call)
{
	struct core *core = call->core;
	size_t count = 0;
	struct mapping_record *records = xcalloc(HASH_COUNT(core->mappings) + 1, sizeof(*records));
	struct mapping *mapping, *next;

	HASH_ITER(hh, core->mappings, mapping, next)
		mapping_to_record(core, mapping, &records[count++]);
	call_answer_many(call, records, count, NULL);
	for (size_t i = 0; i < count; i++)
		record_clear(&mapping_record, &records[i]);
	free(records);
}

static void device_list(struct call *call)
{
	struct core *core = call->core;
	struct device_record *records;
	struct err err = { 0 };
	size_t count;

	/* What the last scan saw may have changed hands since. */
	if (sysblock_scan(core->sysblock, &err) < 0) {
		call_fail(call, &err);
		return;
	}
	count = sysblock_count(core->sysblock);
	records = xcalloc(count + 1, sizeof(*records));
	for (size_t i = 0; i < count; i++)
		device_to_record(core, sysblock_at(core->sysblock, i), &records[i]);
	call_answer_many(call, records, count, NULL);
	for (size_t i = 0; i < count; i++)
		record_clear(&device_record, &records[i]);
	free(records);
}

#define BY_ID_FOLDER "disk/by-id/"

/*
 * What is left of a device's path behind its folder: "vdb" of "/dev/vdb", the link's own name of a by-id path. Another
 * folder is not taken off, since "/dev/mapper/vdb" is another device than "/dev/vdb".
 */
static const char *name_in_dev(const struct core *core, const char *path)
{
	const char *const folders[] = { core->options.dev_root, "/dev", "dev" };

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		size_t length = strlen(folders[i]);

		if (str_has_prefix(path, folders[i]) && path[length] == '/') {
			path += length + 1;
			break;
		}
	}
	return str_has_prefix(path, BY_ID_FOLDER) ? path + strlen(BY_ID_FOLDER) : path;
}

/* By-id links are compared as the names they are; the link itself may be stale and is not followed. */
static const struct mapping *mapping_by_link(struct core *core, const char *name)
{
	struct mapping *mapping, *next;

	HASH_ITER(hh, core->mappings, mapping, next) {
		const struct mapping_record *record = &mapping->record;

		if ((record->by_id_path && streq(name_in_dev(core, record->by_id_path), name)) ||
		    (record->symlink_path && streq(name_in_dev(core, record->symlink_path), name)) ||
		    streq(record->persistent_device_name, name) || streq(record->device_path, name))
			return mapping;
	}
	return NULL;
}

static void device_volume(struct call *call)
{
	const struct device_args *args = call->args;
	const char *name = name_in_dev(call->core, args->device);
	const struct device *device = sysblock_find(call->core->sysblock, name);
	const struct mapping *mapping;

	/* What the last scan saw may have changed hands since. */
	if (device && !sysblock_verify(call->core->sysblock, device))
		device = NULL;
	mapping = device ? mapping_of_device(call->core, device) : mapping_by_link(call->core, name);
	if (mapping)
		answer_mapping(call, mapping);
	else if (device)
		call_failf(call, ERR_NOT_FOUND, "device %s is mapped to no volume", device->path);
	else
		call_failf(call, ERR_NOT_FOUND, "there is no device %s", args->device);
}

/* ---- operations ---- */

static int find_word(const char *word, const char *const *names, const char *field, int *out, struct err *err)
{
	*out = -1;
	if (!word)
		return 0;
	for (int i = 0; names[i]; i++) {
		if (streq(names[i], word)) {
			*out = i;
			return 0;
		}
	}
	return err_set_field(err, field, ERR_INVALID, "%s \"%s\" is not known", field, word);
}

static void on_operations(void *arg, const struct store_operations *result)
{
	struct call *call = arg;
	const char *cursor = NULL;

	call->store_read = NULL;
	if (result->err.code) {
		call_fail(call, &result->err);
		return;
	}
	if (result->more && result->count > 0)
		cursor = result->items[result->count - 1].id;
	call_answer_many(call, result->items, result->count, cursor);
}

static void operation_list(struct call *call)
{
	const struct operation_list_args *args = call->args;
	struct err err = { 0 };
	struct store_operation_filter filter = {
		.volume_id = args->volume_id,
		.vm_id = args->vm_id,
		.since_ms = args->since,
		.until_ms = args->until,
		.before_id = args->cursor,
		.limit = (size_t)args->limit,
	};

	if (find_word(args->type, operation_type_names, "type", &filter.type, &err) < 0 ||
	    find_word(args->status, operation_status_names, "status", &filter.status, &err) < 0) {
		call_fail(call, &err);
		return;
	}
	call->store_read = store_list_operations(call->core->store, &filter, on_operations, call);
}

static void on_operation(void *arg, const struct store_operations *result)
{
	struct call *call = arg;
	const struct operation_args *args = call->args;

	call->store_read = NULL;
	if (result->err.code)
		call_fail(call, &result->err);
	else if (result->count == 0)
		call_failf(call, ERR_NOT_FOUND, "operation %s does not exist", args->operation_id);
	else if (call->method == &methods[METHOD_OPERATION_CANCEL])
		call_failf(call, ERR_CONFLICT, "operation %s has already ended: %s", args->operation_id,
			   operation_status_names[result->items[0].status]);
	else
		call_answer(call, &result->items[0]);
}

static void on_patience_over(struct loop_timer *timer)
{
	struct call *call = container_of(timer, struct call, patience);
	const struct operation *operation = operation_find(call->core, call->awaits);

	if (operation)
		call_answer(call, &operation->record);
	else
		call_failf(call, ERR_NOT_FOUND, "operation %s does not exist", call->awaits);
}

/* Operations that are in memory but not yet durable have been promised to nobody and do not exist. */
static struct operation *find_living(struct call *call, const char *id)
{
	struct operation *operation = operation_find(call->core, id);

	return operation && !operation->accepting ? operation : NULL;
}

static void await(struct call *call, const char *operation_id, int64_t patience_ms)
{
	call->awaits = operation_id;
	call->patience.fire = on_patience_over;
	loop_timer_set(call->core->loop, &call->patience, patience_ms);
}

static void operation_get(struct call *call)
{
	const struct operation_get_args *args = call->args;
	const struct operation *operation = find_living(call, args->operation_id);

	if (!operation) {
		call->store_read = store_find_operation(call->core->store, args->operation_id, on_operation, call);
	} else if (args->wait > 0 && operation->phase != PHASE_ENDED) {
		await(call, args->operation_id, args->wait * 1000);
	} else {
		call_answer(call, &operation->record);
	}
}

static void operation_cancel_asked(struct call *call)
{
	const struct operation_args *args = call->args;
	struct operation *operation = find_living(call, args->operation_id);
	struct err err = { 0 };

	if (!operation) {
		call->store_read = store_find_operation(call->core->store, args->operation_id, on_operation, call);
	} else if (operation_cancel(operation, &err) < 0) {
		call_fail(call, &err);
	} else {
		/* Answered when the store knows of it: a cancellation that was granted survives a crash. */
		call->awaits_undo = true;
		await(call, args->operation_id, CANCEL_PATIENCE_MS);
	}
}

/* ---- administration ---- */

static void force_sync(struct call *call)
{
	struct err err = { 0 };

	if (health_check_changes(call->core, &err) < 0)
		call_fail(call, &err);
	else
		reconcile_request(call);
}

/* ---- health ---- */

static void health_get(struct call *call)
{
	struct health_record record = { 0 };
	struct answer answer = { .record = &health_record, .items = &record, .count = 1 };

	answer.unhealthy = !health_to_record(call->core, &record);
	call_answer_as(call, &answer);
	record_clear(&health_record, &record);
}

const call_impl impls[METHOD_COUNT] = {
	[METHOD_EXPORT_CREATE] = export_create,
	[METHOD_EXPORT_LIST] = export_list_asked,
	[METHOD_EXPORT_GET] = export_get,
	[METHOD_EXPORT_DELETE] = export_delete,
	[METHOD_EXPORT_VALIDATE] = export_validate,
	[METHOD_EXPORT_CLEANUP] = export_cleanup,
	[METHOD_EXPORT_CLEANUP_AGE] = export_cleanup_age,
	[METHOD_EXPORT_ORPHANS] = export_orphans,
	[METHOD_VOLUME_CREATE] = volume_create,
	[METHOD_VOLUME_ATTACH] = volume_attach,
	[METHOD_VOLUME_DETACH] = volume_detach,
	[METHOD_VOLUME_DELETE] = volume_delete,
	[METHOD_VOLUME_RESIZE] = volume_resize,
	[METHOD_VOLUME_LIST] = volume_list,
	[METHOD_VOLUME_GET] = volume_get,
	[METHOD_VOLUME_DEVICE] = volume_device,
	[METHOD_VM_VOLUMES] = vm_volumes,
	[METHOD_MAPPING_LIST] = mapping_list,
	[METHOD_DEVICE_LIST] = device_list,
	[METHOD_DEVICE_VOLUME] = device_volume,
	[METHOD_OPERATION_LIST] = operation_list,
	[METHOD_OPERATION_GET] = operation_get,
	[METHOD_OPERATION_CANCEL] = operation_cancel_asked,
	[METHOD_FORCE_SYNC] = force_sync,
	[METHOD_HEALTH_GET] = health_get,
};
