/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The core as the surfaces see it: one door for everything that can be asked (core/call.h), read
 * access to what lives in memory, and events.
 */

#include "core/call.h"
#include "core/env.h"
#include "core/event.h"
#include "io/loop.h"

struct cloud;
struct core;
struct store;

/*
 * store and cloud are borrowed; cloud may be NULL (not configured: changes answer 503). Loads what
 * lives from the store and continues unfinished operations on the next turn. NULL and err when the
 * store can't be read or /sys/block can't be opened.
 */
struct core *core_new(struct loop *loop, const struct core_options *options, struct store *store,
		      struct cloud *cloud, struct err *err);
/*
 * First half of stopping: nothing new is accepted (503) and no further step starts; running steps
 * are left where they stand, since each is committed and runs again after the next start. Who waits
 * for a volume to come back to its name gets errors. True when nothing waits for that or for a
 * commit any more.
 */
bool core_drain(struct core *core);
struct core *core_free(struct core *core); /* returns NULL, takes NULL */

/* There is a CloudStack now, or the one there is has other keys: asked at once, and what waited for
 * it goes on. */
void core_set_cloud(struct core *core, struct cloud *cloud);

/*
 * This machine has another id: its volumes are looked for at once. False while operations are
 * unfinished, which began with the one there was: ask again later.
 */
bool core_set_appliance(struct core *core, const char *id);

/* The zone of volumes whose creation names none from now on; NULL: it must name one. */
void core_set_zone(struct core *core, const char *id);

/* The NBD engine began anew and serves nothing yet. */
void core_exports_lost(struct core *core);

void core_listen(struct core *core, struct event_listener *listener);
void core_unlisten(struct core *core, struct event_listener *listener);

/* Fills an initialised record; false when the model does not know the volume. The caller clears
 * it. */
bool core_volume(struct core *core, const char *volume_id, struct volume_record *out);
/* The same for the export of a volume; who is connected is not in it. */
bool core_export(struct core *core, const char *volume_id, struct export_record *out);
/* An operation in memory: unfinished, or ended recently. NULL otherwise; the store may still have
 * it. */
const struct operation_record *core_operation(struct core *core, const char *operation_id);
void core_each_volume(struct core *core, void (*fn)(void *arg, const char *volume_id), void *arg);
void core_each_export(struct core *core, void (*fn)(void *arg, const char *volume_id), void *arg);
void core_each_operation(struct core *core, void (*fn)(void *arg, const char *operation_id),
			 void *arg);
const char *core_appliance_id(const struct core *core); /* "" when unknown */
