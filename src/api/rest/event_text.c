/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One row says how an event of core is told. Most events carry a copy of their object. Volumes and
 * exports are told by their id alone and are looked up, so their event shows them as they are now.
 */

#include "api/rest/event_text.h"

const char *const event_kind_names[] = {
	[EVENT_KIND_OPERATION] = "operation", [EVENT_KIND_VOLUME] = "volume",
	[EVENT_KIND_MAPPING] = "mapping",     [EVENT_KIND_DEVICE] = "device",
	[EVENT_KIND_EXPORT] = "export",       [EVENT_KIND_DRIFT] = "drift",
	[EVENT_KIND_HEALTH] = "health",       [EVENT_KIND_COUNT] = NULL,
};

const struct record *const event_kind_records[EVENT_KIND_COUNT] = {
	[EVENT_KIND_OPERATION] = &operation_record, [EVENT_KIND_VOLUME] = &volume_record,
	[EVENT_KIND_MAPPING] = &mapping_record,     [EVENT_KIND_DEVICE] = &device_record,
	[EVENT_KIND_EXPORT] = &export_record,       [EVENT_KIND_DRIFT] = &drift_record,
	[EVENT_KIND_HEALTH] = &health_record,
};

enum change {
	CHANGE_STARTED,
	CHANGE_ADDED,
	CHANGE_CHANGED,
	CHANGE_READY,
	CHANGE_ENDED,
	CHANGE_REMOVED,
	CHANGE_FOUND
};

const char *const event_change_names[] = {
	[CHANGE_STARTED] = "started", [CHANGE_ADDED] = "added",
	[CHANGE_CHANGED] = "changed", [CHANGE_READY] = "ready",
	[CHANGE_ENDED] = "ended",     [CHANGE_REMOVED] = "removed",
	[CHANGE_FOUND] = "found",     NULL,
};

static const struct row {
	bool is_told;
	enum event_kind kind;
	enum change change;
} rows[EVENT_TYPE_COUNT] = {
	[EVENT_OPERATION_STARTED] = { true, EVENT_KIND_OPERATION, CHANGE_STARTED },
	[EVENT_OPERATION_CHANGED] = { true, EVENT_KIND_OPERATION, CHANGE_CHANGED },
	[EVENT_OPERATION_ENDED] = { true, EVENT_KIND_OPERATION, CHANGE_ENDED },
	/* nothing about the operation has changed */
	[EVENT_OPERATION_FORGOTTEN] = { false, EVENT_KIND_OPERATION, CHANGE_REMOVED },
	[EVENT_DEVICE_ADDED] = { true, EVENT_KIND_DEVICE, CHANGE_ADDED },
	[EVENT_DEVICE_REMOVED] = { true, EVENT_KIND_DEVICE, CHANGE_REMOVED },
	[EVENT_DEVICE_CHANGED] = { true, EVENT_KIND_DEVICE, CHANGE_CHANGED },
	[EVENT_DEVICE_READY] = { true, EVENT_KIND_DEVICE, CHANGE_READY },
	[EVENT_MAPPING_CHANGED] = { true, EVENT_KIND_MAPPING, CHANGE_CHANGED },
	[EVENT_MAPPING_REMOVED] = { true, EVENT_KIND_MAPPING, CHANGE_REMOVED },
	[EVENT_VOLUME_ADDED] = { true, EVENT_KIND_VOLUME, CHANGE_ADDED },
	[EVENT_VOLUME_CHANGED] = { true, EVENT_KIND_VOLUME, CHANGE_CHANGED },
	[EVENT_VOLUME_REMOVED] = { true, EVENT_KIND_VOLUME, CHANGE_REMOVED },
	[EVENT_EXPORT_ADDED] = { true, EVENT_KIND_EXPORT, CHANGE_ADDED },
	[EVENT_EXPORT_CHANGED] = { true, EVENT_KIND_EXPORT, CHANGE_CHANGED },
	[EVENT_EXPORT_REMOVED] = { true, EVENT_KIND_EXPORT, CHANGE_REMOVED },
	[EVENT_DRIFT_FOUND] = { true, EVENT_KIND_DRIFT, CHANGE_FOUND },
	/* its streams end */
	[EVENT_TOKEN_REVOKED] = { false, EVENT_KIND_COUNT, CHANGE_REMOVED },
	[EVENT_HEALTH_CHANGED] = { true, EVENT_KIND_HEALTH, CHANGE_CHANGED },
};

static void put_object(struct json_writer *w, enum event_kind kind, const void *object)
{
	if (!object)
		return;
	json_put_name(w, event_kind_names[kind]);
	record_to_json(event_kind_records[kind], object, false, w);
}

static void put_volume(struct json_writer *w, struct core *core, const char *id)
{
	struct volume_record record = { 0 };

	record_init(&volume_record, &record);
	if (core_volume(core, id, &record))
		put_object(w, EVENT_KIND_VOLUME, &record);
	record_clear(&volume_record, &record);
}

static void put_export(struct json_writer *w, struct core *core, const char *id)
{
	struct export_record record = { 0 };

	record_init(&export_record, &record);
	if (core_export(core, id, &record))
		put_object(w, EVENT_KIND_EXPORT, &record);
	record_clear(&export_record, &record);
}

static void put_described(struct json_writer *w, struct core *core, enum event_kind kind,
			  const struct core_event *event)
{
	switch (kind) {
	case EVENT_KIND_OPERATION:
		put_object(w, kind, event->operation);
		break;
	case EVENT_KIND_VOLUME:
		put_volume(w, core, event->id);
		break;
	case EVENT_KIND_MAPPING:
		put_object(w, kind, event->mapping);
		break;
	case EVENT_KIND_DEVICE:
		put_object(w, kind, event->device);
		break;
	case EVENT_KIND_EXPORT:
		put_export(w, core, event->id);
		break;
	case EVENT_KIND_DRIFT:
		put_object(w, kind, event->drift);
		break;
	case EVENT_KIND_HEALTH:
		put_object(w, kind, event->health);
		break;
	case EVENT_KIND_COUNT:
		break;
	}
}

const char *event_text(struct core *core, const struct core_event *event, struct buf *out)
{
	const struct row *row = &rows[event->type];
	_cleanup_json_writer_ struct json_writer w = { .out = out };

	if (!row->is_told)
		return NULL;
	json_begin_object(&w);
	json_put_member(&w, "kind", event_kind_names[row->kind]);
	json_put_member(&w, "change", event_change_names[row->change]);
	json_put_member(&w, "id", str_or(event->id, ""));
	put_described(&w, core, row->kind, event);
	json_end_object(&w);
	return event_kind_names[row->kind];
}
