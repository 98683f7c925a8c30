/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Events on their way to those who listen. */

#include "core/event.h"

struct core;

void events_listen(struct core *core, struct event_listener *listener);
void events_unlisten(struct core *core, struct event_listener *listener);

void events_operation(struct core *core, enum event_type type, const struct operation_record *record);
void events_device(struct core *core, enum event_type type, const struct device_record *record);
void events_mapping(struct core *core, enum event_type type, const struct mapping_record *record);
void events_drift(struct core *core, const struct drift_record *record);
void events_volume(struct core *core, enum event_type type, const char *volume_id);
void events_export(struct core *core, enum event_type type, const char *volume_id);
/*
 * Changed volumes are not queued but marked, by the module that keeps them. tell_volumes delivers one event for each that
 * is marked; it runs before the other events of a turn, on the turn that events_queue_volumes() asks for.
 */
void events_init(struct core *core, void (*tell_volumes)(struct core *core));
void events_queue_volumes(struct core *core);
void events_deliver(struct core *core, const struct core_event *event);
void events_free(struct core *core);
