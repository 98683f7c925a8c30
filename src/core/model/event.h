/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Events on their way to the listeners. */

#include "core/event.h"

struct model;

void events_listen(struct model *model, struct event_listener *listener);
void events_unlisten(struct model *model, struct event_listener *listener);

void events_operation(struct model *model, enum event_type type,
		      const struct operation_record *record);
void events_device(struct model *model, enum event_type type, const struct device_record *record);
void events_mapping(struct model *model, enum event_type type, const struct mapping_record *record);
void events_drift(struct model *model, const struct drift_record *record);
void events_health(struct model *model, const struct health_record *record);
void events_volume(struct model *model, enum event_type type, const char *volume_id);
void events_export(struct model *model, enum event_type type, const char *volume_id);
void events_token_revoked(struct model *model, const char *name);
/*
 * Changed volumes are not queued but marked, by the module that keeps them. tell_volumes delivers
 * one event for each marked volume; it runs before the other events of a turn, on the turn that
 * events_queue_volumes() asks for.
 */
void events_init(struct model *model, void (*tell_volumes)(struct model *model));
void events_queue_volumes(struct model *model);
void events_deliver(struct model *model, const struct core_event *event);
void events_put_metrics(const struct model *model, struct buf *out);
void events_free(struct model *model);
