/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A worker reads the contents of a mapped volume's disk - file system, label, partition table -
 * whenever the disk has changed, and the findings are noted in the mapping. */

#include "core/reconcile/content_probe.h"

#include "base/log.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/model/commit.h"
#include "core/model/mapping.h"
#include "core/model/notice.h"
#include "core/reconcile/mapping_change.h"
#include "disk/device.h"
#include "disk/probe.h"

struct content_probe {
	struct env *env;
	struct model *model;
	struct engine *engine;
	struct content *contents; /* of every mapping, by volume */
	struct notice_listener listener;
};

struct content {
	char *volume_id;
	struct content_probe *owner;
	bool unread;           /* the disk was read at a bad moment: read it again later */
	struct probe *reading; /* libblkid is looking */
	UT_hash_handle hh;
};

/* ---- one disk ---- */

static const char *text_or_null(const char *text)
{
	return *text ? text : NULL;
}

/* If the disk was read without new findings, a commit and a signal are not needed. */
static bool same_contents(const struct mapping_record *record, const struct probe_result *result)
{
	return streq(str_or(record->filesystem, ""), result->filesystem) &&
	       streq(str_or(record->label, ""), result->label) &&
	       streq(str_or(record->filesystem_uuid, ""), result->uuid) &&
	       streq(str_or(record->partition_table, ""), result->partition_table);
}

static void note(struct content_probe *probe, const struct mapping *mapping,
		 const struct device *device, const struct probe_result *result)
{
	struct mapping_record record = { 0 };
	struct change *change;

	record_copy(&mapping_record, &record, &mapping->record);
	str_set(&record.filesystem, text_or_null(result->filesystem));
	str_set(&record.label, text_or_null(result->label));
	str_set(&record.filesystem_uuid, text_or_null(result->uuid));
	str_set(&record.partition_table, text_or_null(result->partition_table));
	mapping_describe(probe->model, &record, device);
	change = change_new(probe->model, record.volume_id);
	change_put_mapping(change, &record);
	mapping_change_submit(probe->model, change);
}

static void on_probed(void *arg, const struct probe_result *result)
{
	struct content *content = arg;
	struct content_probe *probe = content->owner;
	const struct mapping *mapping = mapping_find(probe->model, content->volume_id);
	const struct device *device;

	content->reading = NULL;
	if (result->err.code) {
		log_notice("volume=%s: the contents of %s could not be read: %s",
			   mapping->record.volume_id, mapping->record.device_path,
			   result->err.text);
		return;
	}
	content->unread = operation_busy(probe->engine, mapping->record.volume_id);
	if (!env_may_change(probe->env) || content->unread ||
	    same_contents(&mapping->record, result))
		return;
	/* The path that was read may lead to another disk by now; then the new disk will be
	 * read. */
	device = mapping_device(probe->model, mapping);
	if (device && streq(device->path, mapping->record.device_path))
		note(content->owner, mapping, device, result);
}

static void read_contents(struct content *content)
{
	struct content_probe *probe = content->owner;
	const struct mapping *mapping = mapping_find(probe->model, content->volume_id);

	if (content->reading)
		probe_cancel(TAKE_PTR(content->reading));
	if (env_is_appliance(probe->env, mapping->record.vm_id) &&
	    streq(mapping->record.linux_state, "detected"))
		content->reading = probe_start(probe->env->prober, mapping->record.device_path,
					       on_probed, content);
}

/* ---- which disks ---- */

static struct content *content_find(const struct content_probe *probe, const char *volume_id)
{
	struct content *content;

	HASH_FIND_STR(probe->contents, volume_id, content);
	return content;
}

static void content_free(struct content *content)
{
	HASH_DEL(content->owner->contents, content);
	if (content->reading)
		probe_cancel(content->reading);
	free(content->volume_id);
	free(content);
}

static void on_disk_changed(struct content_probe *probe, const char *volume_id)
{
	struct content *content = content_find(probe, volume_id);

	if (!mapping_find(probe->model, volume_id)) {
		if (content)
			content_free(content);
		return;
	}
	if (!content) {
		content = xnew(struct content);
		content->owner = probe;
		content->volume_id = xstrdup(volume_id);
		HASH_ADD_KEYPTR(hh, probe->contents, content->volume_id, strlen(content->volume_id),
				content);
	}
	read_contents(content);
}

static void on_notice(struct notice_listener *listener, const struct notice *notice)
{
	if (notice->type == NOTICE_DISK_CHANGED)
		on_disk_changed(container_of(listener, struct content_probe, listener),
				notice->volume_id);
}

void content_probe_retry(struct content_probe *probe, const char *volume_id)
{
	struct content *content = content_find(probe, volume_id);

	if (content && content->unread)
		read_contents(content);
}

struct content_probe *content_probe_new(struct env *env, struct model *model, struct engine *engine)
{
	struct content_probe *probe = xnew(struct content_probe);

	probe->env = env;
	probe->model = model;
	probe->engine = engine;
	probe->listener.on_notice = on_notice;
	notice_listen(model, &probe->listener);
	return probe;
}

void content_probe_start(struct content_probe *probe)
{
	const struct mapping *mapping;

	for (mapping = mapping_first(probe->model); mapping; mapping = mapping_next(mapping))
		on_disk_changed(probe, mapping->record.volume_id);
}

struct content_probe *content_probe_free(struct content_probe *probe)
{
	struct content *content, *next;

	if (!probe)
		return NULL;
	notice_unlisten(probe->model, &probe->listener);
	HASH_ITER(hh, probe->contents, content, next)
		content_free(content);
	free(probe);
	return NULL;
}
