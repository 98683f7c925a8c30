/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The core as the surfaces see it: one door for all requests (core/call.h), read access to the
 * objects in memory, and events. */

#include "core/call.h"
#include "core/env.h"
#include "core/event.h"
#include "core/reload.h"
#include "io/loop.h"

struct cloud;
struct core;
struct store;

/*
 * store and cloud are borrowed; cloud may be NULL (not configured: changes answer 503). Loads the
 * live objects from the store and continues unfinished operations on the next turn. NULL and err if
 * the store cannot be read or /sys/block cannot be opened.
 */
struct core *core_new(struct loop *loop, const struct core_options *options, struct store *store,
		      struct cloud *cloud, struct err *err);
/*
 * First half of stopping: no new change is accepted (503) and no further step starts; running steps
 * are left where they stand, since each is committed and runs again after the next start. Users
 * that wait for a volume to come back to its name get errors. True once no such user waits any more
 * and no commit is under way.
 */
bool core_drain(struct core *core);
struct core *core_free(struct core *core); /* returns NULL, takes NULL */

/* There is a CloudStack now, or the present one has other keys: CloudStack is asked at once, and
 * operations that waited for CloudStack go on. */
void core_set_cloud(struct core *core, struct cloud *cloud);

/* This machine has another id: its volumes are looked for at once. False while operations that
 * began with the earlier id are unfinished: call again later. */
bool core_set_appliance(struct core *core, const char *id);

/* Sets the zone of volumes whose creation names no zone, by its id or its name; NULL: a creation
 * must name its zone. */
void core_set_zone(struct core *core, const char *zone);

/* Sets the options that may change while core runs: all times but probe_ms, allow_vm_expunge, the
 * bounds on operations, and the words for health. What waits already keeps its deadline. */
void core_retune(struct core *core, const struct core_options *options);

/* What health says of the certificate of REST: "healthy", or what is wrong with it. Until it is set
 * REST has none. */
void core_set_rest_certificate(struct core *core, const char *words);

/* The NBD engine began anew and serves nothing yet. */
void core_exports_lost(struct core *core);

/* Writes all figures of core, the store and CloudStack for Prometheus. */
void core_put_metrics(struct core *core, struct buf *out);

void core_listen(struct core *core, struct event_listener *listener);
void core_unlisten(struct core *core, struct event_listener *listener);
/* Whether EVENT_HEALTH_CHANGED is wanted; it costs a look at the health each second. */
void core_watch_health(struct core *core, bool is_wanted);

/* Fills an initialised record; false if the model does not know the volume. The caller clears
 * it. */
bool core_volume(struct core *core, const char *volume_id, struct volume_record *out);
/* The same for the export of a volume, without the connected clients. */
bool core_export(struct core *core, const char *volume_id, struct export_record *out);
/* The VM that the volume is attached to, borrowed until the next turn; NULL or "": none. */
const char *core_volume_vm(struct core *core, const char *volume_id);
/* An operation in memory, as the store has it: unfinished, or ended recently. NULL otherwise; the
 * store may still have it. */
const struct operation_record *core_operation(struct core *core, const char *operation_id);
void core_each_volume(struct core *core, void (*fn)(void *arg, const char *volume_id), void *arg);
void core_each_export(struct core *core, void (*fn)(void *arg, const char *volume_id), void *arg);
size_t core_unfinished(const struct core *core); /* operations that have not ended */
void core_each_operation(struct core *core, void (*fn)(void *arg, const char *operation_id),
			 void *arg);
const char *core_appliance_id(const struct core *core); /* "" when unknown */
