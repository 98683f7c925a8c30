/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The store: the journal of the daemon's model and the archive of ended operations.
 *
 * Changes are batches; a batch lands whole or not at all, batches about one volume land in the
 * order they were submitted, and done() runs on the loop after the commit is durable. Reads of
 * ended operations are asynchronous too. Living things are served from the model in memory, never
 * from here.
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
	/* "sqlite:///var/lib/volume-daemon/volume-daemon.db",
	 * "mariadb://user@host/database?tls=verify" or "memory:" */
	const char *url;
	/* for a database server, NULL for none; outlives the store */
	const struct secret *password;
	/* a file that is not there is ERR_NOT_FOUND and is not made */
	bool must_exist;
};

/*
 * Waits for what is queued, then closes. Every done() that is still due runs inside; what cannot
 * land at once because the store is away gets ERR_UNAVAILABLE, and so does what they submit.
 * Returns NULL, takes NULL.
 */
struct store *store_close(struct store *store);

/* ---- changes ---- */

/* what the order is kept for: a volume or operation id */
struct store_batch *store_batch_new(const char *entity_key);
/* only for one that was not submitted */
void store_batch_free(struct store_batch *batch);
void store_batch_optional(struct store_batch *batch);
/* Insert or replace by id; copies the record. */
void store_batch_operation(struct store_batch *batch, const struct operation_record *operation);
/* One transition: what it was, what it is, and details as JSON (the step, the error; NULL for
 * none). */
void store_batch_history(struct store_batch *batch, const char *operation_id,
			 const char *previous_status, const char *new_status, const char *details);
/*
 * Insert or replace by volume id. ERR_CONFLICT for the whole batch when (vm_id, device_path)
 * belongs to another volume.
 */
void store_batch_mapping(struct store_batch *batch, const struct mapping_record *mapping);
void store_batch_unmap(struct store_batch *batch, const char *volume_id);
/* The same for the name a volume's device has, and for its export. ERR_CONFLICT when another volume
 * has that name. */
void store_batch_name(struct store_batch *batch, const struct name_record *name);
void store_batch_unname(struct store_batch *batch, const char *volume_id);
void store_batch_export(struct store_batch *batch, const struct export_record *export);
void store_batch_unexport(struct store_batch *batch, const char *volume_id);

/* err->code is ERR_NONE when it is durable. */
typedef void (*store_done_fn)(void *arg, const struct err *err);
/* Takes the batch. done (may be NULL) runs exactly once, on a later turn. */
void store_submit(struct store *store, struct store_batch *batch, store_done_fn done, void *arg);

/* ---- reads ---- */

struct store_operations {
	struct err err;
	/* newest created_at first, then by id; valid during the callback */
	const struct operation_record *items;
	size_t count;
	bool more; /* there are others behind these */
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
	bool needs_attention;  /* only those that left something behind */
	const char *before_id; /* keyset cursor: those behind this one; NULL from the newest */
	/* when that was accepted; 0: look it up, ERR_INVALID when it is not there any more */
	int64_t before_ms;
	size_t limit;
};

/* Sees what was answered before. Finds one or none: count is 1 or 0. A read fails with
 * ERR_UNAVAILABLE while the store is away and cannot be read. */
struct store_read *store_find_operation(struct store *store, const char *id,
					store_operations_fn done, void *arg);
struct store_read *store_list_operations(struct store *store,
					 const struct store_operation_filter *filter,
					 store_operations_fn done, void *arg);
void store_read_cancel(struct store_read *read); /* done will not run; not from inside it */

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
/* Everything that lives; blocks, so only before the loop runs. Free with store_loaded_clear(). */
int store_load(struct store *store, struct store_loaded *out, struct err *err);
void store_loaded_clear(struct store_loaded *loaded);

/* ---- what another program writes about CloudStack ---- */

/*
 * The row that counts in a table we only read, ossea_configs: of those that are active the one
 * changed last. Whatever it does not say is NULL.
 */
struct store_access {
	struct err
		/* ERR_NOT_FOUND: there is no such table or row; ERR_UNAVAILABLE: the store is away;
		 * others: why not */
		err;
	char *mark;    /* another one whenever anything below is */
	bool same;     /* the mark is the one that was asked with; nothing below has been read */
	size_t active; /* rows that are */
	char *name;
	char *url;
	struct secret *api_key;
	struct secret *secret_key;
	char *appliance_id;
	char *zone_id;
};
/* The result is the callback's to keep; free with store_access_clear(). */
typedef void (*store_access_fn)(void *arg, struct store_access *result);

/* Only a database others write to can have such a table; the functions below need one. */
bool store_has_access(const struct store *store);
/* Blocks, so only before the loop runs. */
void store_read_access(struct store *store, struct store_access *out);
/* done runs exactly once, on a later turn. mark: that of the last result, NULL to read in any
 * case. */
void store_look_access(struct store *store, const char *mark, store_access_fn done, void *arg);
void store_access_clear(struct store_access *access);

/* ---- health ---- */

struct store_health {
	bool away;
	char reason[512];      /* "" when well */
	size_t waiting;        /* batches and reads not yet answered */
	int64_t oldest_ms;     /* age of the oldest of them */
	uint64_t transactions; /* commits since start */
};
void store_health(const struct store *store, struct store_health *out);
