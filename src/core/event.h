/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Core's events for its listeners (the bus, the event streams and long polls of REST). An event is
 * delivered on a turn of its own, once its fact is durable, and never from inside a call that the
 * listener makes. Pointers are valid during the callback.
 */

#include "base/queue.h"
#include "spec/records.h"

enum event_type {
	EVENT_OPERATION_STARTED,   /* accepted and committed */
	EVENT_OPERATION_CHANGED,   /* status or step */
	EVENT_OPERATION_ENDED,     /* exactly once for each operation */
	EVENT_OPERATION_FORGOTTEN, /* left memory; the store still has it. Only `id` is set. */
	EVENT_DEVICE_ADDED,
	EVENT_DEVICE_REMOVED,
	EVENT_DEVICE_CHANGED, /* the device's size */
	/* the disk of an attachment that has not ended is here and proven: device->volume_id */
	EVENT_DEVICE_READY,
	EVENT_MAPPING_CHANGED, /* new or different */
	EVENT_MAPPING_REMOVED, /* mapping: the removed mapping */
	EVENT_VOLUME_ADDED,    /* `id` only, here and below: ask core_volume() for the record */
	EVENT_VOLUME_CHANGED,  /* at most once for each volume and turn */
	EVENT_VOLUME_REMOVED,
	EVENT_EXPORT_ADDED, /* `id` only, here and below: the volume's; ask core_export() */
	EVENT_EXPORT_CHANGED,
	EVENT_EXPORT_REMOVED,
	EVENT_DRIFT_FOUND,   /* store, CloudStack and kernel disagree; once while the drift lasts */
	EVENT_TOKEN_REVOKED, /* `id`: its name; for the surfaces alone, which tell no client */
	EVENT_HEALTH_CHANGED, /* told only while a surface asks for it: core_watch_health() */
	EVENT_TYPE_COUNT
};

/* Not "struct event": that is libevent's. */
struct core_event {
	enum event_type type;
	/* of the operation, the volume or the device ("/dev/vdb"); the word of the health; a name
	 */
	const char *id;
	const struct operation_record *operation; /* operation events */
	const struct device_record *device;       /* device events */
	const struct mapping_record *mapping;     /* mapping events */
	const struct drift_record *drift;         /* drift events */
	const struct health_record *health;       /* health events */
};

struct event_listener {
	TAILQ_ENTRY(event_listener) entry;
	void (*on_event)(struct event_listener *listener, const struct core_event *event);
};
