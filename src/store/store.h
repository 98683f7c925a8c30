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
#include "io/loop.h"
#include "spec/records.h"

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
};

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
/* Insert or replace by id; copies the record. */
void store_batch_operation(struct store_batch *batch, const struct operation_record *operation);
/*
 * One transition: the status before and after, and details as JSON (the step, the error; NULL for
 * none).
 */
void store_batch_history(struct store_batch *batch, const char *operation_id,
			 const char *previous_status, const char *new_status, const char *details);
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

/* err->code is ERR_NONE if the batch is durable. */
typedef void (*store_done_fn)(void *arg, const struct err *err);
/* Takes the batch. done (may be NULL) runs exactly once, on a later turn. */
void store_submit(struct store *store, struct store_batch *batch, store_done_fn done, void *arg);

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
void store_read_cancel(struct store_read *read); /* done will not run; not from inside done */

/* ---- at start ---- */

struct store_loaded {
	struct operation_record *operations; /* not ended, oldest first */
	size_t operation_count;
	struct mapping_record *mappings;
	size_t mapping_count;
	struct name_record *names;
	size_t name_count;
	struct export_record *exports;
	size_t export_count;
};
/*
 * Reads every row that the model needs; blocks, so only before the loop runs. Free with
 * store_loaded_clear().
 */
int store_load(struct store *store, struct store_loaded *out, struct err *err);
void store_loaded_clear(struct store_loaded *loaded);

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
	char *zone_id;
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
	char reason[512];      /* "" if the store is well */
	size_t waiting;        /* batches and reads not yet answered */
	int64_t oldest_ms;     /* age of the oldest of them */
	uint64_t transactions; /* commits since start */
};
void store_health(const struct store *store, struct store_health *out);
