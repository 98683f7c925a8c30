/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The store in a MariaDB database: its writers, and their work on their threads.
 *
 * A server commits for several connections at once, so there are several writers. Changes that must
 * keep an order stay in one writer. All changes of mappings, names and exports go to the first
 * writer, since their keys (no two volumes of a machine share a device path, …) span volumes; the
 * hash of its entity chooses the writer of every other change. An operation begins a batch only
 * when its previous batch is durable, so its batches may go to different writers. Reads have a
 * thread of their own and do not wait behind commits.
 *
 * A group of batches is one transaction. If a row in it cannot be stored, the transaction is rolled
 * back and the batches are written singly, so that only the bad batch is refused: savepoints would
 * cost each batch two round trips. A transaction that lost against another (deadlock, lock wait,
 * certification in a cluster) is run again. A connection that broke is made anew, with the next
 * host first, and the transaction is run again there.
 *
 * Each transaction begins with the lease, so that a daemon that another daemon has replaced writes
 * nothing any more; see lease.c.
 *
 * If a COMMIT is not answered, its result is unknown. A second write of the batch settles the
 * result, since every row carries a key that the daemon made: if the batch has landed already, the
 * second write stores the same rows once more.
 */

#include "store/mariadb/backend.h"

#include <assert.h>
#include <mysqld_error.h>
#include <time.h>

#include "store/access.h"
#include "store/backend.h"
#include "store/mariadb/access.h"
#include "store/mariadb/hub.h"
#include "store/mariadb/lease.h"
#include "store/mariadb/rows.h"
#include "store/mariadb/schema.h"
#include "store/writer.h"

#define AGAIN_MAX 6
#define CONNECTS_MAX 2

struct mariadb_thread {
	struct mariadb_session session;
	struct writer *writer;
};

struct mariadb_store {
	struct store store;
	char *url;
	struct mariadb_cluster cluster;
	/* the first for columns in which volumes can collide */
	struct mariadb_thread writers[MARIADB_WRITERS];
	struct mariadb_thread reader; /* gets reads alone */
};

static struct mariadb_store *mariadb_store_of(struct store *store)
{
	return container_of(store, struct mariadb_store, store);
}

/* ---- on a writer's thread ---- */

/*
 * An adopted table may have a key of its own on the same columns, so the name of the key decides
 * nothing.
 */
static void set_conflict(struct mariadb_session *session, const struct store_change *change,
			 struct err *err)
{
	_cleanup_free_ char *why = xstrdup(err->text);
	_cleanup_free_ char *owner = mariadb_owner(session, change);

	if (!owner && !strstr(why, store_tables[change->table].unique_key))
		return;
	store_set_conflict(change->table, &change->row, owner, err);
	err_prefix(err, "%s", why);
}

/* To be called while the failed change is still the last work of the session. */
static void set_batch_error(struct mariadb_session *session, const struct store_change *change,
			    struct err *err)
{
	if (store_tables[change->table].unique_key && session->code == ER_DUP_ENTRY)
		set_conflict(session, change, err);
	else if (change->table == STORE_HISTORY && session->code == ER_NO_REFERENCED_ROW_2)
		sql_set_no_operation(&change->row.history, err);
	else
		err_prefix(err, "table %s, %s %s", store_tables[change->table].name,
			   store_tables[change->table].key,
			   *(char *const *)field_of_const(store_table_key(change->table),
							  &change->row));
}

static enum mariadb_fault apply_batch(struct mariadb_session *session, struct store_batch *batch,
				      struct err *err)
{
	struct store_change *change;

	STAILQ_FOREACH(change, &batch->changes, entry) {
		enum mariadb_fault fault = mariadb_hub_precede(session, change, err);

		if (fault != MARIADB_OK)
			return fault;
		fault = mariadb_apply(session, change, err);
		if (fault == MARIADB_OWN)
			set_batch_error(session, change, err);
		if (fault != MARIADB_OK)
			return fault;
		fault = mariadb_hub_follow(session, change, err);
		if (fault != MARIADB_OK)
			return fault;
	}
	return batch->heals_links ? mariadb_hub_heal(session, err) : MARIADB_OK;
}

static bool is_withdrawn(const struct store_batch *batch)
{
	return atomic_load(&batch->claim) == STORE_BATCH_WITHDRAWN;
}

/* True if the written batches may be committed: none of them has been withdrawn in the meantime. */
static bool claim_all(struct store_batch *const *batches, const bool *written, size_t count)
{
	bool all = true;

	for (size_t i = 0; i < count; i++)
		all = (!written[i] || store_batch_claim(batches[i])) && all;
	return all;
}

/* *committing: the fault came with the COMMIT itself. */
static enum mariadb_fault run_transaction(struct mariadb_session *session,
					  struct store_batch *const *batches, size_t count,
					  bool *committing, struct err *err)
{
	bool written[WRITER_GROUP_MAX];
	enum mariadb_fault fault;

	*committing = false;
	do {
		session->hub_waited = false;
		fault = mariadb_lease_write(session, err);
		for (size_t i = 0; i < count && fault == MARIADB_OK; i++) {
			written[i] = !is_withdrawn(batches[i]);
			if (written[i])
				fault = apply_batch(session, batches[i], err);
		}
		if (fault == MARIADB_OK && claim_all(batches, written, count)) {
			*committing = true;
			fault = mariadb_run(session, "COMMIT", err);
			if (fault == MARIADB_OK)
				return fault;
		}
		/*
		 * The first error names the cause; the next statement notices a broken connection.
		 * What a failed COMMIT may have left open would otherwise go with the next one.
		 */
		if (fault != MARIADB_AWAY)
			mariadb_run(session, "ROLLBACK", NULL);
	} while (fault == MARIADB_OK);
	return fault;
}

static void pause_before(unsigned attempt)
{
	/* A random pause, so that transactions that collided do not collide again. */
	long ms = (2L << attempt) + random() % (4L << attempt);
	struct timespec pause = { .tv_nsec = ms * 1000000 };

	nanosleep(&pause, NULL);
}

/*
 * Runs the group until the group has landed or cannot land. MARIADB_OWN: a row is bad, and nothing
 * was written.
 */
static enum mariadb_fault write_group(struct mariadb_session *session,
				      struct store_batch *const *batches, size_t count,
				      struct err *err)
{
	unsigned again = 0, connects = 0;
	enum mariadb_fault fault;
	bool committing;

	for (;;) {
		err_clear(err); /* the last attempt's */
		if (mariadb_ready(session, err) < 0)
			return MARIADB_AWAY;
		fault = run_transaction(session, batches, count, &committing, err);
		if (fault == MARIADB_AGAIN && again < AGAIN_MAX) {
			pause_before(again++);
			continue;
		}
		if (fault != MARIADB_AWAY)
			return fault == MARIADB_AGAIN ? MARIADB_AWAY : fault;
		if (atomic_load(&session->cluster->lost)) {
			mariadb_close(session);
			return MARIADB_AWAY;
		}
		for (size_t i = 0; i < count && committing; i++)
			batches[i]->uncertain = true;
		mariadb_leave(session);
		if (++connects == CONNECTS_MAX)
			return MARIADB_AWAY;
	}
}

static int mariadb_commit(void *context, struct store_batch *const *batches, size_t count,
			  struct err *err)
{
	struct mariadb_session *session = context;
	enum mariadb_fault fault = write_group(session, batches, count, err);

	if (fault == MARIADB_OWN && count == 1) {
		store_item_set_err(&batches[0]->item, err);
		err_clear(err);
	}
	for (size_t i = 0; i < count && fault == MARIADB_OWN && count > 1; i++) {
		if (mariadb_commit(session, &batches[i], 1, err) == 0)
			continue;
		/* The earlier batches have landed, and will be written again with the rest. */
		for (size_t j = 0; j < i; j++)
			batches[j]->uncertain = true;
		return -1;
	}
	return fault == MARIADB_AWAY ? -1 : 0;
}

static enum mariadb_fault run_read(struct mariadb_session *session, struct store_read *read,
				   struct err *err)
{
	if (read->counted)
		return mariadb_count(session, read, err);
	return read->told ? mariadb_history(session, read, err) : mariadb_list(session, read, err);
}

static int mariadb_read(void *context, struct store_read *read, struct err *err)
{
	struct mariadb_session *session = context;

	for (unsigned connects = 0; connects < CONNECTS_MAX; connects++) {
		err_clear(err);
		if (mariadb_ready(session, err) < 0)
			return -1;
		if (run_read(session, read, err) != MARIADB_AWAY)
			return err->code == ERR_NONE ? 0 : -1;
		mariadb_leave(session);
		store_read_reset(read);
	}
	return -1;
}

static void mariadb_look(void *context, struct store_look *look)
{
	mariadb_access(context, look->mark, &look->access);
}

/* One writer with `beats` is enough: all sessions stay with one host. */
static const struct writer_driver driver = { .commit = mariadb_commit,
					     .read = mariadb_read,
					     .look = mariadb_look };
static const struct writer_driver first_driver = { .commit = mariadb_commit,
						   .read = mariadb_read,
						   .beats = true };

/* ---- opening and closing ---- */

static int start_thread(struct mariadb_store *store, struct mariadb_thread *thread,
			const char *name, struct err *err)
{
	bool first = thread == &store->writers[0];

	thread->session.cluster = &store->cluster;
	thread->session.writer = (unsigned)(thread - store->writers);
	thread->session.in_transactions = thread != &store->reader;
	thread->session.connected = first ? mariadb_lease_guard : NULL;
	thread->writer = writer_new(&store->store, name, first ? &first_driver : &driver,
				    &thread->session, err);
	return thread->writer ? 0 : -1;
}

static int start_threads(struct mariadb_store *store, struct err *err)
{
	for (size_t i = 0; i < MARIADB_WRITERS; i++) {
		if (start_thread(store, &store->writers[i], "store", err) < 0)
			return -1;
	}
	return start_thread(store, &store->reader, "store-read", err);
}

static void stop_thread(struct mariadb_thread *thread)
{
	if (thread->writer)
		thread->writer = writer_free(thread->writer);
	mariadb_close(&thread->session);
}

static void free_store(struct mariadb_store *store)
{
	mariadb_url_clear(&store->cluster.url);
	free(store->url);
	free(store);
}

static int set_up_schema(struct mariadb_store *store, struct err *err)
{
	struct mariadb_session session = { .cluster = &store->cluster,
					   .connected = mariadb_lease_guard,
					   .patient = true };
	int r = mariadb_ready(&session, err);

	if (r == 0)
		r = mariadb_lease_take(&session, err);
	if (r == 0)
		r = mariadb_migrate(&session, err);
	if (r == 0 && mariadb_hub_find(&session, err) != MARIADB_OK)
		r = -1;
	mariadb_close(&session);
	return r;
}

/* Only at this isolation the snapshot lasts from one statement to the next. */
static enum mariadb_fault begin_reading(struct mariadb_session *session, struct err *err)
{
	enum mariadb_fault fault =
		mariadb_run(session, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", err);

	if (fault == MARIADB_OK)
		fault = mariadb_run(session,
				    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", err);
	return fault;
}

/* Rows are read by the caller's own thread, so such a store has no threads. */
static struct store *open_beside(struct mariadb_store *store, struct loop *loop)
{
	store_init(&store->store, &store_mariadb_backend, loop);
	store->reader.session.cluster = &store->cluster;
	store->reader.session.connected = begin_reading;
	return &store->store;
}

static int check_url(const char *text, struct err *err)
{
	struct mariadb_url url = { 0 };
	int r = mariadb_url_parse(text, &url, err);

	mariadb_url_clear(&url);
	return r;
}

static struct store *mariadb_open(struct loop *loop, const struct store_options *options,
				  struct err *err)
{
	struct mariadb_store *store = xnew(struct mariadb_store);

	mysql_library_init(0, NULL, NULL);
	store->cluster.password = options->password;
	store->url = xstrdup(options->url);
	if (mariadb_url_parse(options->url, &store->cluster.url, err) < 0 ||
	    (!options->beside && set_up_schema(store, err) < 0)) {
		free_store(store);
		return NULL;
	}
	if (options->beside)
		return open_beside(store, loop);
	store_init(&store->store, &store_mariadb_backend, loop);
	/* The lock is taken before anything is done; an error here names its holder. */
	if (start_threads(store, err) < 0 || mariadb_ready(&store->writers[0].session, err) < 0)
		return store_close(&store->store);
	return &store->store;
}

static void close_store(struct store *base)
{
	struct mariadb_store *store = mariadb_store_of(base);

	for (size_t i = 0; i < MARIADB_WRITERS; i++)
		stop_thread(&store->writers[i]);
	stop_thread(&store->reader);
	store_answer_all(base);
	store_fini(base);
	free_store(store);
}

/* ---- the backend, on the loop ---- */

static struct writer *writer_of_batch(struct mariadb_store *store, const struct store_batch *batch)
{
	const struct store_change *change;
	unsigned hash = 0;

	if (batch->heals_links)
		return store->writers[0].writer;
	STAILQ_FOREACH(change, &batch->changes, entry) {
		/* The mapping shows the snapshot that is kept. */
		if (store_tables[change->table].unique_key || change->table == STORE_SNAPSHOTS)
			return store->writers[0].writer;
	}
	for (const char *c = batch->entity_key; *c; c++)
		hash = hash * 31 + (unsigned char)*c;
	return store->writers[1 + hash % (MARIADB_WRITERS - 1)].writer;
}

static void submit_item(struct store *base, struct store_item *item)
{
	struct mariadb_store *store = mariadb_store_of(base);

	writer_submit(item->type->kind == STORE_ITEM_BATCH
			      ? writer_of_batch(store, store_batch_of(item))
			      : store->reader.writer,
		      item);
}

static int load(struct store *base, struct store_loaded *out, struct err *err)
{
	struct mariadb_store *store = mariadb_store_of(base);
	struct mariadb_session session = { .cluster = &store->cluster };
	int r = mariadb_ready(&session, err);

	if (r == 0 && mariadb_load(&session, out, err) != MARIADB_OK)
		r = -1;
	mariadb_close(&session);
	return r;
}

static int scan(struct store *base, enum store_table table, const char *after_id, size_t limit,
		store_row_fn fn, void *arg, struct err *err)
{
	struct mariadb_session *session = &mariadb_store_of(base)->reader.session;

	if (mariadb_ready(session, err) < 0)
		return -1;
	return mariadb_scan(session, table, after_id, limit, fn, arg, err) == MARIADB_OK ? 0 : -1;
}

static int set_aside(struct store *base, void (*fault)(void *arg, const char *text), void *arg,
		     struct err *err)
{
	struct mariadb_session *session = &mariadb_store_of(base)->reader.session;

	if (mariadb_ready(session, err) < 0)
		return -1;
	return mariadb_show_set_aside(session, fault, arg, err) == MARIADB_OK ? 0 : -1;
}

/* The server itself sees to it that nothing is changed. */
static int plan_takeover(const struct store_options *options, store_sentence_fn tell, void *arg,
			 struct err *err)
{
	struct mariadb_store *store = xnew(struct mariadb_store);
	struct mariadb_session session = { .cluster = &store->cluster,
					   .connected = begin_reading,
					   .patient = true };
	bool due = false;
	int r;

	mysql_library_init(0, NULL, NULL);
	store->cluster.password = options->password;
	r = mariadb_url_parse(options->url, &store->cluster.url, err);
	if (r == 0)
		r = mariadb_ready(&session, err);
	if (r == 0 && mariadb_plan_takeover(&session, &due, tell, arg, err) != MARIADB_OK)
		r = -1;
	if (r == 0 && !due)
		tell(arg, "the database has no tables of an earlier daemon: nothing is taken over");
	mariadb_close(&session);
	free_store(store);
	return r;
}

static void opening(const struct store *base, char **url, struct secret **password)
{
	const struct mariadb_store *store =
		(const void *)((const char *)base - offsetof(struct mariadb_store, store));
	const struct secret *known = store->cluster.password;

	*url = xstrdup(store->url);
	*password = known ? secret_new(secret_bytes(known), secret_length(known)) : NULL;
}

static void read_access(struct store *base, struct store_access *out)
{
	struct mariadb_store *store = mariadb_store_of(base);
	struct mariadb_session session = { .cluster = &store->cluster };

	mariadb_access(&session, NULL, out);
	mariadb_close(&session);
}

static void health(const struct store *base, struct store_health *out)
{
	const struct mariadb_store *store =
		(const void *)((const char *)base - offsetof(struct mariadb_store, store));

	for (size_t i = 0; i < MARIADB_WRITERS; i++)
		writer_health(store->writers[i].writer, out);
	writer_health(store->reader.writer, out);
}

const struct store_backend store_mariadb_backend = {
	.scheme = "mariadb:",
	.example = MARIADB_EXAMPLE,
	.check_url = check_url,
	.open = mariadb_open,
	.close = close_store,
	.submit = submit_item,
	.load = load,
	.scan = scan,
	.has_links = true,
	.set_aside = set_aside,
	.plan_takeover = plan_takeover,
	.no_copy =
		"the store is in a database, whose own tool makes a backup while the daemon runs: "
		"mariadb-dump --single-transaction DATABASE volume_operations volume_operation_history "
		"device_mappings device_names nbd_exports volume_daemon_marks tracked_snapshots volume_daemon_tokens volume_daemon_schema >FILE",
	.opening = opening,
	.read_access = read_access,
	.health = health,
};
