/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of core/ share and nobody else sees. */

#include "cloud/cloud.h"
#include "core/engine/operation.h"
#include "core/methods/call.h"
#include "disk/flush.h"
#include "disk/probe.h"
#include "disk/sysblock.h"
#include "disk/usage.h"
#include "dm/devmap.h"
#include "nbd/exporter.h"

struct volume {
	char *id;
	struct cloud_volume cloud; /* what CloudStack last said; owned copies */
	char *last_operation_id;
	int last_operation_type;
	int last_operation_status;
	uint64_t round; /* of the last refresh that saw it */
	bool dirty;     /* a change event is due */
	UT_hash_handle hh;
};

struct mapping {
	struct mapping_record record;
	struct core *core;
	bool unread;         /* contents were read at a bad moment: look again when it has passed */
	struct probe *probe; /* libblkid is looking */
	UT_hash_handle hh;
};

struct export
{
	struct export_record record;
	UT_hash_handle hh;
};

/* All operations on one volume, the one at the head runs. Lives as long as it has members. */
struct volume_queue {
	char *volume_id;
	TAILQ_HEAD(, operation) operations;
	UT_hash_handle hh;
};

struct pending_event;
struct sweep;
TAILQ_HEAD(operation_list, operation);

struct core {
	struct loop *loop;
	struct core_options options; /* texts owned */
	struct store *store;
	struct cloud *cloud;
	char *zone_id; /* for creations that name none, or NULL */
	struct sysblock *sysblock;
	struct prober *prober;
	struct usage_checker *usage_checker;
	struct flusher *flusher;
	char boot_id[37]; /* of the running kernel, "" when it cannot be read */
	bool draining;
	int64_t started_ms;

	struct volume *volumes;
	struct mapping *mappings;
	struct name *names;
	struct export *exports;
	struct hold *holds;
	struct old_names *old_names;
	TAILQ_HEAD(, serving) servings;
	TAILQ_HEAD(, export_commit) export_commits;
	struct tidy *tidy; /* the comparison under way, NULL when none is */
	struct loop_timer tidy_timer;
	struct operation *operations;     /* in memory: unfinished and recently ended */
	struct operation *requests;       /* of these, those that were asked for under a key, by that key */
	struct operation_list unfinished; /* oldest first */
	struct operation_list ended;      /* oldest first */
	size_t unfinished_count, ended_count;
	struct volume_queue *queues;
	size_t commits_waiting, mappings_committing;
	TAILQ_HEAD(, follow) follows;     /* batches of mappings that the store has not answered */
	TAILQ_HEAD(, settling) settlings; /* likewise, of operations that need no attention any more */

	struct loop_timer refresh; /* fetch the list of volumes */
	struct cloud_call *refresh_call;
	int64_t cloud_usable_since_ms; /* as the last refresh found it in cloud_health */
	int64_t next_retry_ms;         /* clock_mono_ms(): nobody asks an absent CloudStack again before */
	uint64_t refresh_round;
	int64_t refresh_page;
	bool volumes_known; /* one whole list has been fetched */

	struct loop_timer retention;
	struct store_prune *prune; /* under way, NULL when not */

	struct reconcile *reconcile; /* the comparison under way, NULL when none is */
	struct known_drift *known_drift;
	size_t suspects_passed; /* by the comparisons before, while there are more than one can look at */

	TAILQ_HEAD(, event_listener) listeners;
	TAILQ_HEAD(, pending_event) events;
	struct loop_task events_task;
	struct loop_task follow_task; /* mappings are compared with the kernel */
	bool follow_again;            /* once the commit under way has ended */
	bool volumes_dirty;

	TAILQ_HEAD(, call) calls;
};

/* ---- events.c ---- */

void events_operation(struct core *core, enum event_type type, const struct operation_record *record);
void events_device(struct core *core, enum event_type type, const struct device *device);
void events_mapping(struct core *core, enum event_type type, const struct mapping_record *record);
void events_drift(struct core *core, const struct drift_record *record);
void events_volume(struct core *core, enum event_type type, const char *volume_id);
void events_export(struct core *core, enum event_type type, const char *volume_id);
void events_init(struct core *core);
void events_free(struct core *core);

/* ---- volume.c: what CloudStack said ---- */

struct volume *volume_find(struct core *core, const char *id);
struct volume *volume_update(struct core *core, const struct cloud_volume *cloud);
void volume_remove(struct core *core, const char *id);
void volume_touch(struct core *core, const char *id); /* something shown with it has changed */
void volume_note_operation(struct core *core, const struct operation_record *record);
/* The one this machine was started from, whether or not its disk can be told from the others. */
bool volume_is_own_root(const struct core *core, const struct cloud_volume *cloud);
/* Not seen attached elsewhere, or nowhere. Otherwise another VM may have it now or get it at any moment. */
bool volume_may_be_here(struct core *core, const char *id);
void volume_to_record(struct core *core, const struct volume *volume, struct volume_record *out);
void volumes_refresh_start(struct core *core);
/* CloudStack did not answer somebody: find out soon, but not for each of many, whether it is back. */
void volumes_refresh_soon(struct core *core);
/* The comparison that followed the last list has ended: the next list is due later, or now if somebody asked. */
void volumes_refresh_next(struct core *core, bool now);
void volumes_free(struct core *core);

/* ---- mapping.c: which volume is which device ---- */

bool core_is_appliance(const struct core *core, const char *vm_id);
void mappings_free(struct core *core);
void device_to_record(struct core *core, const struct device *device, struct device_record *out);

struct mapping *mapping_find(struct core *core, const char *volume_id);
/* The device is the volume's disk: it says so itself, or it is the nameless one the volume was mapped to. */
bool mapping_is_disk(struct core *core, const char *volume_id, const struct device *device);
/* Some disk here does, and so every volume's would. */
bool disks_say_who_they_are(const struct core *core);
/* The mapping of a kernel device on this VM, NULL when it is nobody's. */
struct mapping *mapping_of_device(struct core *core, const struct device *device);
/* The one disk a mapping belongs to, as the last scan saw it; NULL when there is none, or more than one. */
const struct device *mapping_disk(struct core *core, const struct mapping_record *record);
/* The device behind a mapping on this VM, re-read from the kernel this moment; NULL when it is not there. */
const struct device *mapping_device(struct core *core, const struct mapping *mapping);
/* As the outside sees it: an address is given only when the disk is there at this moment. */
void mapping_to_record(struct core *core, const struct mapping *mapping, struct mapping_record *out);
/* A new mapping of a volume to a VM, without its place; the caller clears it. */
void mapping_make(struct core *core, const char *volume_id, const char *vm_id, struct mapping_record *out);
/* Where it is: the disk on this VM (NULL: gone), or CloudStack's slot and size on another. */
void mapping_place(struct core *core, struct mapping_record *record, int64_t device_id, uint64_t size,
		   const struct device *device);
void mapping_describe(struct core *core, struct mapping_record *record, const struct device *device);
/* The record says what the kernel shows, and what the volume's device is called here. */
bool mapping_is_up_to_date(struct core *core, const struct mapping_record *record, const struct device *device);
/* Looks at what is on its disk. */
void mapping_probe(struct mapping *mapping);
/* Into the model as the store has it. Nobody is told: after a start everybody reads everything anew. */
struct mapping *mapping_load(struct core *core, const struct mapping_record *record);
/* After the commit: into the model, with its event. */
void mapping_put(struct core *core, const struct mapping_record *record);
void mapping_remove(struct core *core, const char *volume_id);

/* ---- names.c: what a volume's device is always called ---- */

const char *name_find(struct core *core, const char *volume_id); /* NULL when it has none */
/* The one it has, or a new one, which is durable with the next commit about the volume. */
const char *name_give(struct core *core, const char *volume_id);
/* Somebody else has the name: more digits. -1 when it has all of them. */
int name_lengthen(struct core *core, const char *volume_id);
void name_load(struct core *core, const struct name_record *record);
/* What is not durable yet goes with this batch; and it has landed. */
void name_stage(struct core *core, const char *volume_id, struct store_batch *batch);
void name_on_committed(struct core *core, const char *volume_id);
void name_drop(struct core *core, const char *volume_id); /* the volume is gone for good */
void names_free(struct core *core);

/* ---- exports.c: which volumes are served ---- */

#define EXPORT_NAME_PREFIX "migration-vol-"

struct export *export_find(struct core *core, const char *volume_id);
char *export_name_of(const char *volume_id);    /* the caller frees it */
const char *export_volume_of(const char *name); /* points into name; NULL for a name that is not ours */
/* The record as it is, or a new one; the caller clears it. */
void export_make(struct core *core, const char *volume_id, struct export_record *out);
/* It is served from this disk. */
void export_place(struct core *core, struct export_record *record, const struct device *device);
/* After the commit: into the model, with its event. */
void export_put(struct core *core, const struct export_record *record);
void export_drop(struct core *core, const char *volume_id);

typedef void (*commit_done_fn)(void *arg, const struct err *err);
/*
 * Commits a changed export, or drops it (record NULL); the model follows. done, if given, runs once, after that, and what
 * waits for it is given back when the store is away.
 */
struct export_commit *export_commit(struct core *core, const char *volume_id, const struct export_record *record,
				    commit_done_fn done, void *arg);
void export_commit_forget(struct export_commit *commit); /* done will not run */
bool export_is_committing(const struct core *core, const char *volume_id);
void exports_free(struct core *core);

/* ---- export_calls.c, export_report.c ---- */

void export_create(struct call *call);
void export_list_asked(struct call *call);
void export_get(struct call *call);
void export_delete(struct call *call);
void export_validate(struct call *call);
void export_cleanup(struct call *call);
void export_cleanup_age(struct call *call);
void export_orphans(struct call *call);
void sweep_free(struct sweep *sweep);

/* ---- tidy.c: names and exports are what they should be ---- */

void tidy_soon(struct core *core);
void tidy_free(struct core *core);
/* One of ours whose volume is provably not attached here. */
bool export_is_orphan(struct core *core, const char *name);

/* ---- old_names.c ---- */

/* Where names are turned off: those there were, but for what is in use. */
void old_names_take_away(struct core *core);
void old_names_free(struct core *core);

/* ---- retention.c: old operations leave the store ---- */

void retention_begin(struct core *core);
void retention_end(struct core *core);

/* ---- follow.c: mappings stay true ---- */

void follow_free_all(struct core *core);

typedef void (*mapping_done_fn)(void *arg, const struct err *err);
/*
 * Commits a changed mapping, or drops the volume's (record NULL); the model follows. done, if given, runs once, after
 * that, and what waits for it is given back when the store is away.
 */
void mapping_commit(struct core *core, const char *volume_id, const struct mapping_record *record, mapping_done_fn done,
		    void *arg);
/*
 * On the next turn: compares every mapping on this VM with the kernel and commits what is different - another name
 * after a reboot, a device that is gone or is back.
 */
void mappings_follow_kernel(struct core *core);

/* ---- reconcile.c ---- */

struct drift;
struct drift_facts;

/* A list of volumes is about to be fetched: the calls that wait now will be answered from it. */
void reconcile_begin(struct core *core);
/* It is whole: store, CloudStack and kernel are compared. Ends in volumes_refresh_next(). */
void reconcile_compare(struct core *core);
/* It could not be fetched: those calls are told why. */
void reconcile_fail(struct core *core, const struct err *err);
/* A call waits for a comparison that begins after now. */
void reconcile_request(struct call *call);
/* Says that a drift was found and repaired. */
void reconcile_tell(struct core *core, const struct drift_facts *facts, const struct drift *drift);
void reconcile_free(struct core *core);

/* ---- in_use.c ---- */

enum in_use_leave {
	IN_USE_REFUSED,
	IN_USE_BY_NAME, /* who uses the volume's name may stay: the name stays, too */
	IN_USE_BY_FORCE,
};
/* Answers the call with what uses the volume's disk here, or else lets it proceed, now or on a later turn. */
void in_use_check(struct call *call, const char *volume_id, enum in_use_leave leave,
		  void (*proceed)(struct call *call));
/* Who uses this disk of a volume, but for our own map and NBD engine? */
struct usage_check *usage_start(struct core *core, const char *volume_id, const struct device *device,
				usage_done_fn done, void *arg);

/* ---- health.c ---- */

/* ERR_UNAVAILABLE when a change can't be accepted now; of a change that needs no CloudStack, only the store is asked. */
int health_check_store(struct core *core, struct err *err);
int health_check_changes(struct core *core, struct err *err);
bool health_to_record(struct core *core, struct health_record *out); /* false: unhealthy */

/* ---- request.c ---- */

/* The key of a call that asks for a change, NULL when it gave none. */
const char *request_id_of(const struct call *call);
/* A call with a key: answered with the operation that was begun under it, or admitted. */
void request_begin(struct call *call);

/* ---- call.c ---- */

struct call {
	TAILQ_ENTRY(call) entry;
	struct core *core;
	const struct method *method;
	void *args; /* of method->args */
	struct caller caller;
	call_done_fn done;
	void *arg;
	struct loop_task begin;
	/* what it waits for, at most one of these */
	struct cloud_call *cloud_call;
	struct store_read *store_read;
	struct serving *serving;
	struct export_call *export_call;
	struct export_commit *export_commit;
	struct usage_check *usage_check;
	const char *about;                  /* the volume that is looked whether it is in use; in args */
	enum in_use_leave leave;            /* even then */
	bool looked;                        /* once already, for clients of its export */
	void (*proceed)(struct call *call); /* when it is not */
	bool was_wished;                    /* the export was to be there before it was asked for */
	struct sweep *sweep;                /* several exports are being removed for it */
	const char *serves; /* the volume whose export it changes: whoever else wants to waits; in args */
	struct operation *accepting;
	struct operation
		*joined;    /* another call's operation that is being accepted: it was asked for under the same key */
	const char *awaits; /* id of an operation whose end is awaited; in args */
	bool awaits_undo;   /* its turning back will do */
	bool awaits_sync;   /* a comparison that begins after the question */
	bool in_sync;       /* the comparison under way is for it */
	struct loop_timer patience;
};

/* Each answers and frees the call. Items are shown as they are, and stay the caller's. */
void call_answer(struct call *call, const void *item);
void call_answer_many(struct call *call, const void *items, size_t count, const char *next_cursor);
void call_answer_as(struct call *call, const struct answer *answer);
void call_fail(struct call *call, const struct err *err);
void call_failf(struct call *call, enum err_code code, const char *format, ...) _printf_(3, 4);

typedef void (*call_impl)(struct call *call);
extern const call_impl impls[METHOD_COUNT];

/* Lets a call in, if what it asks for may be begun now. */
void call_admit(struct call *call);
/* An operation was accepted, or refused by the store (err says why): whoever asked for the same is told. */
void calls_on_accepted(struct operation *operation, const struct err *err);
/* An operation is taken back, or has ended, and that is durable: whoever waits for it is answered. */
void calls_on_changed(struct core *core, const struct operation_record *record);
void calls_on_ended(struct core *core, const struct operation_record *record);
void calls_free(struct core *core);
