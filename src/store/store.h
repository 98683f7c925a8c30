/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The store: the journal of the daemon's model and the archive of ended operations.
 *
 * Changes are batches; a batch lands whole or not at all, batches about one volume land in the
 * order they were submitted, and done() runs on the loop after the commit is durable. Reads of
 * ended operations are asynchronous too. Volumes, mappings and unfinished operations are served
 * from the model in memory, never from the store.
 *
 * A store that is away (disk full, database stopped) keeps the batches and lands them, in order,
 * when it is back; only a batch marked `optional` is given back with ERR_UNAVAILABLE, within a
 * second, so that new requests can be refused.
 */

#include "base/err.h"
#include "base/uuid.h"
#include "io/loop.h"
#include "spec/records.h"

struct mark_record;
struct store;
struct store_batch;
struct store_read;
struct secret;

/* How a store is opened, see store/open.h. */
struct store_options {
	/*
	 * "sqlite:///var/lib/volume-daemon/volume-daemon.db",
	 * "mariadb://user@host/database?tls=verify" or "memory:"
	 */
	const char *url;
	/* for a database server, NULL for none; outlives the store */
	const struct secret *password;
	/* a file that is not there is ERR_NOT_FOUND and is not made */
	bool must_exist;
	/* leaves the look for damage in a file to store_check() */
	bool unchecked;
	/*
	 * Beside the daemon that has the store, and only for a server: the store can be read with
	 * store_scan() and store_check(), and shows one moment.
	 */
	bool beside;
};

typedef void (*store_sentence_fn)(void *arg, const char *sentence);

/*
 * Waits for the queued items, then closes. Every done() that is still due runs inside; items that
 * cannot land at once because the store is away get ERR_UNAVAILABLE, and so do items that their
 * callbacks submit. Returns NULL, takes NULL.
 */
struct store *store_close(struct store *store);

/* ---- changes ---- */

/* the entity whose order is kept: a volume or operation id */
struct store_batch *store_batch_new(const char *entity_key);
/* only for a batch that was not submitted */
void store_batch_free(struct store_batch *batch);
void store_batch_optional(struct store_batch *batch);
/* Insert or replace by id; copies the record. If there is a row, a store may leave out what never
 * changes (FIELD_CONST). */
void store_batch_operation(struct store_batch *batch, const struct operation_record *operation);
/* The same, if status, volume, VM and need for attention are those of the row: lists have it where
 * they had it, and the store need not touch their indexes. */
void store_batch_operation_stays(struct store_batch *batch,
				 const struct operation_record *operation);
/*
 * One transition: the status before and after, and as JSON the details (the step, the error) and
 * who asked for it; NULL for none.
 */
void store_batch_history(struct store_batch *batch, const char *operation_id,
			 const char *previous_status, const char *new_status, const char *details,
			 const char *caller);
/*
 * Insert or replace by volume id. ERR_CONFLICT for the whole batch if (vm_id, device_path) belongs
 * to another volume.
 */
void store_batch_mapping(struct store_batch *batch, const struct mapping_record *mapping);
void store_batch_unmap(struct store_batch *batch, const char *volume_id);
/*
 * The same for the name of a volume's device, and for its export. ERR_CONFLICT if another volume
 * has that name.
 */
void store_batch_name(struct store_batch *batch, const struct name_record *name);
void store_batch_unname(struct store_batch *batch, const char *volume_id);
void store_batch_export(struct store_batch *batch, const struct export_record *export);
void store_batch_unexport(struct store_batch *batch, const char *volume_id);

/* The snapshot that a client keeps of a volume: insert or replace by id, which is the volume's. */
void store_batch_snapshot(struct store_batch *batch, const struct snapshot_record *snapshot);
void store_batch_unsnapshot(struct store_batch *batch, const char *volume_id);

/* A token: insert or replace by id, which is its name. */
void store_batch_token(struct store_batch *batch, const struct token_record *token);
void store_batch_untoken(struct store_batch *batch, const char *name);

/*
 * Marks: what a store says of itself, so that a store from the past or from another machine can be
 * recognised. Each is a text; NULL or "" is no mark.
 */
#define STORE_MARK_ID "store_id" /* the last 12 hex digits of all ids made for this store */
#define STORE_MARK_VM "vm_id"    /* CloudStack's id of the VM that uses the store */
/* an id that was configured for this VM, and that a disk here has proven wrong */
#define STORE_MARK_WRONG_VM "wrong_vm_id"
#define STORE_MARK_MACHINE "machine_id" /* of the machine, for a store that is a file there */
/* no id that is younger has left the store, when old operations were removed */
#define STORE_MARK_NEWEST "newest_id"
/* the newest id of the store when it was accepted as one from the past */
#define STORE_MARK_PAST "past_id"
/* why an administrator has paused changes */
#define STORE_MARK_PAUSED "paused"
void store_batch_mark(struct store_batch *batch, const char *id, const char *value);

/* err->code is ERR_NONE if the batch is durable. */
typedef void (*store_done_fn)(void *arg, const struct err *err);
/* Takes the batch. done (may be NULL) runs exactly once, on a later turn. */
void store_submit(struct store *store, struct store_batch *batch, store_done_fn done, void *arg);

/*
 * In a database that other programs share, columns of theirs in the daemon's rows refer to rows of
 * theirs: such a column is cleared where that row is gone, and set where it has come. Nothing in
 * other stores; an error is left to the next time.
 */
void store_heal_links(struct store *store);

/* ---- reads ---- */

struct store_operations {
	struct err err;
	/* newest created_at first, then by id; valid during the callback */
	const struct operation_record *items;
	size_t count;
	bool more; /* there are further operations behind these */
};
typedef void (*store_operations_fn)(void *arg, const struct store_operations *result);

struct store_operation_filter {
	int type;              /* -1 any */
	int status;            /* -1 any */
	const char *volume_id; /* NULL any */
	const char *vm_id;
	int64_t since_ms;        /* created_at >= since; 0 any */
	int64_t until_ms;        /* created_at < until; 0 any */
	int64_t ended_before_ms; /* completed_at < this; 0 any */
	const char *request_id;
	bool needs_attention;  /* only operations that left something behind */
	const char *before_id; /* keyset cursor: operations behind this; NULL from the newest */
	/* when before_id was accepted; 0: look it up, ERR_INVALID if it is not there any more */
	int64_t before_ms;
	size_t limit;
};

/*
 * Sees all changes that were answered before. Finds one or none: count is 1 or 0. A read fails with
 * ERR_UNAVAILABLE while the store is away and cannot be read.
 */
struct store_read *store_find_operation(struct store *store, const char *id,
					store_operations_fn done, void *arg);
struct store_read *store_list_operations(struct store *store,
					 const struct store_operation_filter *filter,
					 store_operations_fn done, void *arg);

/* The transitions of one operation, oldest first; none if there is no such operation. */
struct store_history_filter {
	const char *operation_id;
	/* keyset cursor, the id of a transition: those behind it; NULL from the oldest */
	const char *after_id;
	/* the id of a transition before it that comes first all the same, and does not count for
	 * the limit; NULL none */
	const char *also_id;
	size_t limit;
};
struct store_history {
	struct err err;
	const struct history_record *items; /* valid during the callback */
	size_t count;
	bool more; /* there are more than the limit */
};
typedef void (*store_history_fn)(void *arg, const struct store_history *result);
struct store_read *store_list_history(struct store *store,
				      const struct store_history_filter *filter,
				      store_history_fn told, void *arg);

/* How many operations the store has; the operations of unknown types or statuses count in the sum
 * alone. */
struct store_counts {
	struct err err;
	uint64_t operations;
	uint64_t by_type[OPERATION_TYPE_COUNT];
	uint64_t by_status[OPERATION_STATUS_COUNT];
	/* of the operations that were accepted since the asked time and have ended */
	uint64_t ended, failed;
	int64_t mean_ms; /* from accepted to ended */
};
typedef void (*store_counts_fn)(void *arg, const struct store_counts *counts);
/* The store looks at every operation: with SQLite that takes a second for a million. */
struct store_read *store_count_operations(struct store *store, int64_t since_ms,
					  store_counts_fn done, void *arg);

void store_read_cancel(struct store_read *read); /* done will not run; not from inside done */

/* ---- at start ---- */

struct store_loaded {
	struct operation_record *operations; /* not ended, in the order they were accepted */
	size_t operation_count;
	struct mapping_record *mappings;
	size_t mapping_count;
	struct name_record *names;
	size_t name_count;
	struct export_record *exports;
	size_t export_count;
	struct mark_record *marks;
	size_t mark_count;
	struct snapshot_record *snapshots;
	size_t snapshot_count;
	struct token_record *tokens;
	size_t token_count;
	/*
	 * The greatest id of an operation or a transition, ended or not, among the version 7 UUIDs,
	 * also of those that have left the store; "" if there is none. Every id that was sent to
	 * CloudStack was committed before, together with a transition that is younger.
	 */
	char newest_id[UUID_TEXT_SIZE];
	int64_t newest_ms; /* the latest time of a record, 0 if there is none */
};
/*
 * Reads every row that the model needs; blocks, so only before the loop runs. Free with
 * store_loaded_clear().
 */
int store_load(struct store *store, struct store_loaded *out, struct err *err);
void store_loaded_clear(struct store_loaded *loaded);
/* NULL: the store has no such mark. */
const char *store_loaded_mark(const struct store_loaded *loaded, const char *id);

/* The store lies on this machine: another machine has another store. */
bool store_is_local(const struct store *store);

/* ---- values about CloudStack that another program keeps ---- */

/*
 * The row that counts in ossea_configs, a table that the daemon only reads: the active row that was
 * changed last. A value that the row leaves open is NULL.
 */
struct store_access {
	/*
	 * ERR_NOT_FOUND: there is no such table or row; ERR_UNAVAILABLE: the store is away; other
	 * codes: the reason.
	 */
	struct err err;
	char *mark;    /* changes whenever a value below changes */
	bool same;     /* the mark is the caller's; the values below have not been read */
	size_t active; /* number of active rows */
	char *name;
	char *url;
	struct secret *api_key;
	struct secret *secret_key;
	char *appliance_id;
	char *zone; /* its id or its name */
};
/* The callback owns the result, and frees it with store_access_clear(). */
typedef void (*store_access_fn)(void *arg, struct store_access *result);

/*
 * Only a database that other programs write to can have such a table; the functions below need one.
 */
bool store_has_access(const struct store *store);
/* Blocks, so only before the loop runs. */
void store_read_access(struct store *store, struct store_access *out);
/*
 * done runs exactly once, on a later turn. mark: the mark of the last result, NULL to read in any
 * case.
 */
void store_look_access(struct store *store, const char *mark, store_access_fn done, void *arg);
void store_access_clear(struct store_access *access);

/* ---- health ---- */

struct store_health {
	bool away;
	size_t waiting;             /* batches and reads not yet answered */
	int64_t oldest_ms;          /* age of the oldest of them */
	int64_t stuck_ms;           /* for which work has waited for the same thread */
	uint64_t transactions;      /* commits since start */
	char reason[ERR_TEXT_SIZE]; /* "" if the store is well */
};
void store_health(const struct store *store, struct store_health *out);
/* Writes the figures of the store for Prometheus. */
void store_put_metrics(const struct store *store, struct buf *out);
