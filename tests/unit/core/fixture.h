/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A whole world around one core: a loop whose clock the test turns, a kernel made of files, a
 * CloudStack in memory, the obedient store, and a listener that writes down every event and
 * complains at once about one that comes too early, twice or out of order. The core can be killed
 * and started again in the same world.
 */

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/clock.h"
#include "core/core.h"
#include "core/core_parts.h"
#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/methods/call.h"
#include "core/model/commit.h"
#include "core/model/export.h"
#include "core/model/mapping.h"
#include "core/model/stable_name.h"
#include "core/model/volume.h"
#include "core/reconcile/reconciler.h"
#include "core/reconcile/store_guard.h"
#include "disk/flush.h"
#include "disk/probe.h"
#include "disk/sysblock.h"
#include "disk/usage.h"
#include "dm/devmap.h"
#include "fake_cloud.h"
#include "fake_disk.h"
#include "fake_serving.h"
#include "nbd/exporter.h"
#include "store/memory/memory.h"

#define ROOT_SERIAL "99999999999999999999"
#define DEVICE_WAIT_MS 60000
#define CLOUD_WAIT_MS 600000
#define REQUEST_MS 30000
#define PROBE_MS 5000
#define MAX_OPERATIONS 300
#define HOLD_MS 60000
#define DAY_MS (24 * 3600 * 1000ll)

struct seen {
	enum event_type type;
	char *id;
	struct operation_record operation;
	struct device_record device;
	struct mapping_record mapping;
	struct drift_record drift;
};

/* What a call was answered. */
struct reply {
	struct world *world;
	struct call *call; /* NULL once answered */
	bool done;
	struct err err;
	bool unhealthy;
	size_t count;
	const struct record *record; /* of one item */
	void *items;
	char *next_cursor;
	int64_t listed_ms;
	void (*then)(struct reply *reply); /* inside the answer */
	struct reply *other;               /* for then */
};

struct world {
	struct loop *loop;
	struct fake_kernel kernel;
	struct fake_server server;
	struct fake_serving serving;
	struct store *store;
	struct cloud *cloud;
	struct core *core;
	struct core_options options;
	struct event_listener listener;
	struct seen *seen;
	size_t seen_count, seen_room;
	struct reply *replies[700];
	size_t reply_count;
};

/* appliance with a root disk "vda" that has a serial; the core runs */
int world_setup(void **state);
int world_setup_nameless(void **state); /* the root disk has none, and neither have the volumes */
int world_teardown(void **state);
void world_open(struct world *world); /* a core on what the store holds; nothing has run yet */
/* as kill -9: nobody is told anything; the store keeps what was committed */
void world_kill(struct world *world);
void world_stop(struct world *world); /* drained, then closed */
static inline void world_restart(struct world *world)
{
	world_kill(world);
	world_open(world);
}

/* The store is one from the past, and an administrator accepts it. */
void world_accept(struct world *world);

/* One turn; false when there was nothing to do. */
bool world_turn(struct world *world);
/* Turns loop and clock until the condition holds; at most max_ms of the world's time. Says whether
 * it came. */
typedef bool (*world_test)(struct world *world, const void *arg);
bool world_until(struct world *world, world_test test, const void *arg, int64_t max_ms);
void world_pass(struct world *world, int64_t ms);

/* Asking. Replies live as long as the world. */
struct reply *ask(struct world *world, enum method_id method, const void *args);
struct reply *ask_as(struct world *world, enum method_id method, const void *args,
		     enum method_access access);
struct reply *ask_by(struct world *world, enum method_id method, const void *args,
		     const struct caller *caller);
void answered(struct world *world, const struct reply *reply);
/* Answered with this error, whose text has this part. */
void refused(struct world *world, const struct reply *reply, enum err_code code,
	     const char *text); /* waits; fails the test when nothing comes */
/* The i-th item of an answer without error. */
const void *item(const struct reply *reply, size_t index);
struct reply *ask_create(struct world *world, const char *name);
struct reply *ask_attach(struct world *world, const char *volume_id, const char *vm_id);
/* as a root disk */
struct reply *ask_attach_root(struct world *world, const char *volume_id, const char *vm_id,
			      bool replace);
struct reply *ask_detach(struct world *world, const char *volume_id, bool force);
struct reply *ask_detach_keeping(struct world *world, const char *volume_id); /* its name */
struct reply *ask_delete(struct world *world, const char *volume_id);
struct reply *ask_resize(struct world *world, const char *volume_id, uint64_t size,
			 bool allow_shrink);
/* from OTHER_VM to APPLIANCE */
struct reply *ask_clean_up(struct world *world, const char *volume_id, bool delete_vm,
			   bool force_clean);
/* for a comparison of all volumes with CloudStack */
struct reply *ask_sync(struct world *world, bool dry_run);
struct reply *ask_operation(struct world *world, enum method_id method, const char *operation_id);
/* The id of the operation that was accepted. */
const char *accepted(struct world *world, struct reply *reply);
/* Waits for its end; the record is the model's. */
const struct operation_record *ended(struct world *world, const char *operation_id);
void completed(struct world *world, const char *operation_id);
/* Ended so, with this in its error. */
void ended_with(struct world *world, const char *operation_id, enum operation_status status,
		const char *text);
/* Waits until it is at this step, in this phase. */
struct operation *at_step(struct world *world, const char *operation_id, const char *step,
			  enum operation_phase phase);

/* ---- what must always be so ---- */

size_t events_of(const struct world *world, enum event_type type, const char *id);
/* CloudStack, the store's mappings and the kernel agree, nothing is under way, this many volumes
 * exist. */
void check_world(struct world *world, size_t volumes);
/* The mapping leads to the very disk that CloudStack made of the volume. */
void check_mapped(struct world *world, const char *volume_id);
/* Its name leads to that disk, and its export to the name. */
void check_served(struct world *world, const char *volume_id);
void check_unmapped(struct world *world, const char *volume_id);
void attached(struct world *world, const char *volume_id); /* attach it to the appliance and wait */
/* A new volume of 5 GiB, attached; somebody connects to its export; neither its name nor its export
 * is left. */
struct fake_volume *served_one(struct world *world);
void connect_client(struct world *world, const char *volume_id);
bool is_served_nowhere(struct world *world, const void *volume_id);

/* The id of the nth volume the server made (1 to 9). */
#define VOLUME(N) "0000000" #N "-1111-4222-8333-444444444444"
