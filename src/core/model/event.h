/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Events on their way to those who listen. */

#include "core/event.h"

struct core;
struct device;

void events_operation(struct core *core, enum event_type type, const struct operation_record *record);
void events_device(struct core *core, enum event_type type, const struct device *device);
void events_mapping(struct core *core, enum event_type type, const struct mapping_record *record);
void events_drift(struct core *core, const struct drift_record *record);
void events_volume(struct core *core, enum event_type type, const char *volume_id);
void events_export(struct core *core, enum event_type type, const char *volume_id);
void events_init(struct core *core);
void events_free(struct core *core);
