/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An event of core in the words of a stream. Private to api/rest/. */

#include "base/json.h"
#include "core/core.h"

/* "operation", "volume", …: the name of an event, and the member "kind" of its data. */
extern const char *const event_kind_names[];
enum event_kind {
	EVENT_KIND_OPERATION,
	EVENT_KIND_VOLUME,
	EVENT_KIND_MAPPING,
	EVENT_KIND_DEVICE,
	EVENT_KIND_EXPORT,
	EVENT_KIND_DRIFT,
	EVENT_KIND_HEALTH,
	EVENT_KIND_COUNT
};

/* The member of the data that describes the object. */
extern const struct record *const event_kind_records[EVENT_KIND_COUNT];
/* What happened, ended by NULL: "started", "changed", "ended", … */
extern const char *const event_change_names[];

/*
 * Appends the data: {"kind":"operation","change":"ended","id":"op-…","operation":{…}}. The object
 * is missing if it is there no more. Returns the kind's name; NULL: streams do not tell this event.
 */
const char *event_text(struct core *core, const struct core_event *event, struct buf *out);
