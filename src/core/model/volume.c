/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The volumes CloudStack shows, as last seen: the whole list is fetched page by page every now and then, for the
 * comparison of core/reconcile, and every operation brings what it learned. Nothing is decided from these copies - operations ask CloudStack when their turn
 * comes - they only answer questions quickly.
 */

#include <assert.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/internal.h"

/* While CloudStack does not answer, it is asked this often whether it is back. */
#define AWAY_RETRY_MS 5000
/* And this long after somebody has missed it. */
#define REFRESH_SOON_MS 500

static void cloud_volume_assign(struct cloud_volume *to, const struct cloud_volume *from)
{
	str_set(&to->id, from->id);
	str_set(&to->name, from->name);
	str_set(&to->zone_id, from->zone_id);
	str_set(&to->type, from->type);
	str_set(&to->state, from->state);
	str_set(&to->vm_id, from->vm_id);
	str_set(&to->hypervisor, from->hypervisor);
	str_set(&to->raw, from->raw);
	to->size = from->size;
	to->device_id = from->device_id;
}

static void cloud_volume_release(struct cloud_volume *volume)
{
	cloud_volume_assign(volume, &(struct cloud_volume){ 0 });
}

struct volume *volume_find(struct core *core, const char *id)
{
	struct volume *volume;

	HASH_FIND_STR(core->volumes, id, volume);
	return volume;
}

void volume_touch(struct core *core, const char *id)
{
	struct volume *volume = volume_find(core, id);

	if (!volume)
		return;
	volume->dirty = true;
	core->volumes_dirty = true;
	loop_task_queue(core->loop, &core->events_task);
}

struct volume *volume_update(struct core *core, const struct cloud_volume *cloud)
{
	struct volume *volume = volume_find(core, cloud->id);
	bool changed = true;

	if (!volume) {
		volume = xnew(struct volume);
		volume->id = xstrdup(cloud->id);
		HASH_ADD_KEYPTR(hh, core->volumes, volume->id, strlen(volume->id), volume);
		events_volume(core, EVENT_VOLUME_ADDED, volume->id);
	} else {
		changed = !streq(volume->cloud.raw, cloud->raw);
	}
	volume->round = core->refresh_round;
	if (changed) {
		cloud_volume_assign(&volume->cloud, cloud);
		volume_touch(core, volume->id);
	}
	return volume;
}

static void volume_free(struct core *core, struct volume *volume)
{
	HASH_DEL(core->volumes, volume);
	cloud_volume_release(&volume->cloud);
	free(volume->last_operation_id);
	free(volume->id);
	free(volume);
}

void volume_remove(struct core *core, const char *id)
{
	struct volume *volume = volume_find(core, id);

	if (!volume)
		return;
	events_volume(core, EVENT_VOLUME_REMOVED, id);
	volume_free(core, volume);
}

void volume_note_operation(struct core *core, const struct operation_record *record)
{
	struct volume *volume = volume_find(core, record->volume_id);

	if (!volume || (volume->last_operation_id && strcmp(volume->last_operation_id, record->id) > 0))
		return;
	str_set(&volume->last_operation_id, record->id);
	volume->last_operation_type = record->type;
	volume->last_operation_status = record->status;
	volume_touch(core, volume->id);
}

bool volume_is_own_root(const struct core *core, const struct cloud_volume *cloud)
{
	return streq(cloud->type, "ROOT") && core_is_appliance(core, cloud->vm_id);
}

bool volume_may_be_here(struct core *core, const char *id)
{
	const struct volume *volume = volume_find(core, id);

	return !volume || core_is_appliance(core, volume->cloud.vm_id);
}

static char *last_operation_json(const struct volume *volume)
{
	struct buf out = BUF_NULL;
	struct json_writer writer = { .out = &out };

	if (!volume->last_operation_id)
		return NULL;
	json_begin_object(&writer);
	json_put_name(&writer, "id");
	json_put_text(&writer, volume->last_operation_id);
	json_put_name(&writer, "type");
	json_put_text(&writer, operation_type_names[volume->last_operation_type]);
	json_put_name(&writer, "status");
	json_put_text(&writer, operation_status_names[volume->last_operation_status]);
	json_end_object(&writer);
	return buf_take(&out);
}

static void put_text_member(struct json_writer *writer, const char *name, const char *text)
{
	if (!text)
		return;
	json_put_name(writer, name);
	json_put_text(writer, text);
}

static char *linux_json(const struct mapping_record *record)
{
	struct buf out = BUF_NULL;
	struct json_writer writer = { .out = &out };

	json_begin_object(&writer);
	put_text_member(&writer, "device_path", record->device_path);
	put_text_member(&writer, "state", record->linux_state);
	json_put_name(&writer, "size");
	json_put_uint(&writer, record->size);
	put_text_member(&writer, "by_id_path", record->by_id_path);
	put_text_member(&writer, "filesystem", record->filesystem);
	put_text_member(&writer, "label", record->label);
	put_text_member(&writer, "filesystem_uuid", record->filesystem_uuid);
	put_text_member(&writer, "partition_table", record->partition_table);
	json_end_object(&writer);
	return buf_take(&out);
}

void volume_to_record(struct core *core, const struct volume *volume, struct volume_record *out)
{
	const struct mapping *mapping = mapping_find(core, volume->id);
	struct mapping_record shown = { 0 };

	if (mapping)
		mapping_to_record(core, mapping, &shown);
	str_set(&out->volume_id, volume->id);
	str_set(&out->name, volume->cloud.name);
	str_set(&out->vm_id, volume->cloud.vm_id);
	str_set(&out->device_path, shown.device_path);
	str_set(&out->state, volume->cloud.state);
	str_set(&out->zone_id, volume->cloud.zone_id);
	str_set(&out->cloudstack_data, str_or(volume->cloud.raw, "{}"));
	out->size = volume->cloud.size;
	free(out->linux_data);
	out->linux_data = mapping ? linux_json(&shown) : xstrdup("{}");
	free(out->last_operation);
	out->last_operation = last_operation_json(volume);
	record_clear(&mapping_record, &shown);
}

/* ---- fetching the list ---- */

static void fetch_page(struct core *core);

static void on_refresh_due(struct loop_timer *timer)
{
	struct core *core = container_of(timer, struct core, refresh);

	core->refresh_round++;
	core->refresh_page = 1;
	reconcile_begin(core);
	fetch_page(core);
}

/* What the whole list did not show is gone, unless an operation knows better. */
static void forget_unseen(struct core *core)
{
	struct volume *volume, *next;

	HASH_ITER(hh, core->volumes, volume, next) {
		if (volume->round != core->refresh_round && !operation_busy(core, volume->id))
			volume_remove(core, volume->id);
	}
}

static void on_page(void *arg, const struct cloud_result *result)
{
	struct core *core = arg;
	struct cloud_health health;

	core->refresh_call = NULL;
	if (core->draining)
		return;
	cloud_health(core->cloud, &health);
	if (result->outcome != CLOUD_OK) {
		log_debug("list of volumes: %s", result->err.text);
		reconcile_fail(core, &result->err);
		/* While it is in doubt whether CloudStack is away at all, that is found out soon. */
		loop_timer_set(core->loop, &core->refresh, health.usable ? REFRESH_SOON_MS : AWAY_RETRY_MS);
		return;
	}
	if (core->cloud_usable_since_ms != health.usable_since_ms)
		operation_on_cloud_back(core);
	core->cloud_usable_since_ms = health.usable_since_ms;
	for (size_t i = 0; i < result->count; i++)
		volume_update(core, &result->volumes[i]);
	if (result->count > 0 && core->refresh_page * CLOUD_PAGE_SIZE < result->total) {
		core->refresh_page++;
		fetch_page(core);
		return;
	}
	forget_unseen(core);
	core->volumes_known = true;
	reconcile_compare(core);
}

static void fetch_page(struct core *core)
{
	struct cloud_volume_filter filter = { .page = core->refresh_page };

	core->refresh_call = cloud_list_volumes(core->cloud, &filter, on_page, core);
}

void volumes_refresh_start(struct core *core)
{
	core->refresh.fire = on_refresh_due;
	if (core->cloud)
		loop_timer_set(core->loop, &core->refresh, 0);
}

void volumes_refresh_soon(struct core *core)
{
	int64_t soon_ms = clock_mono_ms() + REFRESH_SOON_MS;

	if (loop_timer_is_set(&core->refresh) && core->refresh.due_ms > soon_ms)
		loop_timer_set(core->loop, &core->refresh, REFRESH_SOON_MS);
}

void volumes_refresh_next(struct core *core, bool now)
{
	if (!core->draining)
		loop_timer_set(core->loop, &core->refresh, now ? 0 : core->options.reconcile_ms);
}

void volumes_free(struct core *core)
{
	struct volume *volume, *next;

	loop_timer_clear(core->loop, &core->refresh);
	if (core->refresh_call)
		cloud_call_cancel(TAKE_PTR(core->refresh_call));
	HASH_ITER(hh, core->volumes, volume, next)
		volume_free(core, volume);
}

bool core_volume(struct core *core, const char *volume_id, struct volume_record *out)
{
	const struct volume *volume = volume_find(core, volume_id);

	if (volume)
		volume_to_record(core, volume, out);
	return volume != NULL;
}

void core_each_volume(struct core *core, void (*fn)(void *arg, const char *volume_id), void *arg)
{
	struct volume *volume, *next;

	HASH_ITER(hh, core->volumes, volume, next)
		fn(arg, volume->id);
}
