/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The store in one SQLite file: its opening, and the work of its one writer thread.
 *
 * The daemon alone has the file: locking_mode=EXCLUSIVE takes SQLite's own lock at the start and
 * keeps it for life. The lock keeps a second daemon and curious readers out, needs no lock file,
 * ends with the process however the process ends, and lets SQLite keep the index of the write-ahead
 * log in memory. synchronous=FULL makes a commit durable when it returns. A group of batches is one
 * transaction with a savepoint around each batch, so that a batch that breaks a constraint is
 * undone alone.
 *
 * A commit goes into the write-ahead log, and a checkpoint moves the log's pages into the file.
 * Until then a page that is new takes room twice, in the log now and in the file later. So the log
 * is kept small: it never takes so much of the free room that its own checkpoint would not fit, and
 * before a commit that failed is tried again, the log is emptied. Otherwise a small disk could be
 * full of a log that only a checkpoint could empty, and no commit would ever come to its checkpoint
 * again.
 *
 * Errors are of two kinds. A broken constraint, or a value that does not fit, is the fault of the
 * batch, and the batch is answered with the error. A disk that is full, broken or read-only is not
 * the fault of a batch: the whole group is undone and the writer tries it again later. An error of
 * an unclear kind counts as the second kind, because giving up a batch could lose a change that
 * already happened in the cloud. A damaged file, or one that another program has written to, is not
 * tried again: the pages in SQLite's cache would make it look well now and then, and each write
 * could spoil more. The file stays refused until the daemon is started with a sound file.
 */

#include "store/sqlite/backend.h"

#include <assert.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "store/backend.h"
#include "store/copy.h"
#include "store/shape.h"
#include "store/sqlite/copy.h"
#include "store/sqlite/file.h"
#include "store/sqlite/rows.h"
#include "store/sqlite/schema.h"
#include "store/writer.h"

#define EXAMPLE "sqlite:///var/lib/volume-daemon/volume-daemon.db"

/* Up to this size the file is checked whole at start, which takes a fraction of a second. */
#define CHECK_MAX_BYTES (64 << 20)

/* The log begins anew behind so many pages (4 MB); the tidy job empties it in quiet times. */
#define LOG_PAGES_MAX 1000
#define LOG_BYTES_MAX "4096000"

enum control { BEGIN, COMMIT, ROLLBACK, SAVE, RELEASE, ROLLBACK_TO, CONTROL_COUNT };
static const char *const controls[] = {
	[BEGIN] = "BEGIN IMMEDIATE", [COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",     [SAVE] = "SAVEPOINT batch",
	[RELEASE] = "RELEASE batch", [ROLLBACK_TO] = "ROLLBACK TO batch",
};
_Static_assert(ARRAY_SIZE(controls) == CONTROL_COUNT, "each control statement has its text");

struct sqlite_store {
	struct store store;
	char *path;
	struct writer *writer;
	/* Used by the thread, and by the loop while nothing is submitted. */
	sqlite3 *db;
	struct sqlite_files files;
	int log_pages;     /* in the log since it began anew */
	bool failed;       /* the last commit */
	struct err damage; /* once found, for the rest of this process */
	sqlite3_stmt *control[CONTROL_COUNT];
	struct sqlite_statements statements;
	struct sqlite_copy *copy; /* that is being made, or NULL */
};

static struct sqlite_store *sqlite_store_of(struct store *store)
{
	return container_of(store, struct sqlite_store, store);
}

/* ---- SQLite's codes and the advice for them ---- */

static const char *advice(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_FULL:
		return "make room on its file system";
	case SQLITE_READONLY:
		return "make the file and its file system writable";
	case SQLITE_BUSY:
		return "another program holds the file; stop that program";
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return "it is damaged: restore it from a backup, or move it away and start with an empty one";
	default:
		return "check its disk, its file system and the kernel's log";
	}
}

static bool is_damage(int rc)
{
	return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB;
}

static void set_file_error(struct sqlite_store *store, enum err_code code, int rc, struct err *err)
{
	err_set(err, code, "the store file %s cannot be used: %s (SQLite code %d); %s", store->path,
		sqlite3_errmsg(store->db), rc, advice(rc));
	if (is_damage(rc) && err)
		store->damage = *err;
}

/* True when only this batch is at fault. */
static bool is_own_fault(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
	case SQLITE_TOOBIG:
	case SQLITE_ERROR:
	case SQLITE_RANGE:
	case SQLITE_MISUSE:
		return true;
	default:
		return false;
	}
}

static void set_conflict(struct sqlite_store *store, const struct store_change *change,
			 struct err *err)
{
	char _cleanup_free_ *owner = sqlite_owner(store->db, change);

	store_set_conflict(change->table, &change->row, owner, err);
}

/* To be called while the failed change is still the last work of the connection. */
static void set_batch_error(struct sqlite_store *store, const struct store_change *change, int rc,
			    struct err *err)
{
	if (change && store_tables[change->table].unique_key && rc == SQLITE_CONSTRAINT_UNIQUE)
		set_conflict(store, change, err);
	else if (change && change->table == STORE_HISTORY && rc == SQLITE_CONSTRAINT_FOREIGNKEY)
		sql_set_no_operation(&change->row.history, err);
	else if (change && rc == SQLITE_TOOBIG)
		err_set(err, ERR_TOO_LARGE,
			"a row of table %s is larger than the %d bytes that SQLite takes: send less",
			store_tables[change->table].name,
			sqlite3_limit(store->db, SQLITE_LIMIT_LENGTH, -1));
	else
		err_set(err, ERR_INTERNAL, "the store refuses a row of table %s: %s",
			change ? store_tables[change->table].name : "(none)",
			sqlite3_errmsg(store->db));
}

/* ---- on the writer's thread ---- */

static int control(struct sqlite_store *store, enum control which)
{
	sqlite3_stmt **stmt = &store->control[which];
	int rc = SQLITE_OK;

	if (!*stmt)
		rc = sqlite3_prepare_v3(store->db, controls[which], -1, SQLITE_PREPARE_PERSISTENT,
					stmt, NULL);
	if (rc != SQLITE_OK)
		return rc;
	rc = sqlite3_step(*stmt);
	sqlite3_reset(*stmt);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/*
 * Writes the version that the file has already: the smallest commit that really reaches the disk.
 */
static int write_probe(struct sqlite_store *store)
{
	struct buf _cleanup_buf_ sql = BUF_NULL;

	/* A pragma takes no parameters. */
	buf_printf(&sql, "PRAGMA user_version = %zu", sqlite_migration_count);
	return sqlite3_exec(store->db, sql.data, NULL, NULL, NULL);
}

/* ---- the log ---- */

static int on_log_grown(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct sqlite_store *store = arg;

	store->log_pages = pages;
	return SQLITE_OK;
}

/* SQLITE_CHECKPOINT_TRUNCATE frees the log's room, SQLITE_CHECKPOINT_PASSIVE keeps it for reuse. */
static int checkpoint(struct sqlite_store *store, int mode)
{
	int rc = sqlite3_wal_checkpoint_v2(store->db, NULL, mode, NULL, NULL);

	if (rc == SQLITE_OK)
		store->log_pages = 0;
	sqlite_files_note_write(&store->files, SQLITE_DATA);
	sqlite_files_note_write(&store->files, SQLITE_LOG);
	return rc;
}

/* The log and the room that is left, as the file system counts them. */
static bool is_log_too_large(const struct sqlite_store *store)
{
	struct statvfs room;
	struct stat log;

	if (stat(store->files.items[SQLITE_LOG].path, &log) < 0 || statvfs(store->path, &room) < 0)
		return false;
	return (uint64_t)log.st_size > (uint64_t)room.f_bavail * room.f_frsize / 2;
}

/* To be called before a commit. An error means that the disk has no room for what the log holds. */
static int bound_log(struct sqlite_store *store)
{
	if (store->failed || is_log_too_large(store))
		return checkpoint(store, SQLITE_CHECKPOINT_TRUNCATE);
	return store->log_pages < LOG_PAGES_MAX ? SQLITE_OK
						: checkpoint(store, SQLITE_CHECKPOINT_PASSIVE);
}

/* ---- commits ---- */

/*
 * SQLITE_OK if the batch is in the transaction or has its own error; otherwise the transaction is
 * lost.
 */
static int apply_batch(struct sqlite_store *store, struct store_batch *batch)
{
	struct store_change *change;
	int rc = control(store, SAVE);
	struct err err;

	if (rc != SQLITE_OK)
		return rc;
	store_item_set_err(&batch->item, NULL); /* the last attempt's */
	STAILQ_FOREACH(change, &batch->changes, entry) {
		rc = sqlite_apply(store->db, &store->statements, change);
		if (rc != SQLITE_OK)
			break;
	}
	if (rc == SQLITE_OK && batch->probe)
		rc = write_probe(store);
	if (rc != SQLITE_OK) {
		if (!is_own_fault(rc))
			return rc;
		set_batch_error(store, change, rc, &err);
		store_item_set_err(&batch->item, &err);
		rc = control(store, ROLLBACK_TO);
	} else if (!store_batch_claim(batch)) {
		rc = control(store, ROLLBACK_TO);
	}
	return rc == SQLITE_OK ? control(store, RELEASE) : rc;
}

/* On failure the error is the connection's last until undo_group(). */
static int try_group(struct sqlite_store *store, struct store_batch *const *batches, size_t count)
{
	int rc = bound_log(store);

	if (rc == SQLITE_OK)
		rc = control(store, BEGIN);
	for (size_t i = 0; i < count && rc == SQLITE_OK; i++)
		rc = apply_batch(store, batches[i]);
	if (rc == SQLITE_OK)
		rc = control(store, COMMIT);
	sqlite_files_note_write(&store->files, SQLITE_LOG);
	store->failed = rc != SQLITE_OK;
	return rc;
}

static void undo_group(struct sqlite_store *store)
{
	if (!sqlite3_get_autocommit(store->db))
		control(store, ROLLBACK);
}

static int sqlite_commit(void *session, struct store_batch *const *batches, size_t count,
			 struct err *err)
{
	struct sqlite_store *store = session;
	int rc;

	if (store->damage.code) {
		*err = store->damage;
		return -1;
	}
	if (sqlite_files_check(&store->files, err) < 0)
		return -1;
	if (sqlite_files_check_writes(&store->files, &store->damage) < 0) {
		*err = store->damage;
		return -1;
	}
	rc = try_group(store, batches, count);
	if (rc == SQLITE_FULL) {
		/* Perhaps of the log, which the second attempt empties first. */
		undo_group(store);
		rc = try_group(store, batches, count);
	}
	if (rc == SQLITE_OK)
		return 0;
	set_file_error(store, ERR_UNAVAILABLE, rc, err);
	undo_group(store);
	return -1;
}

static int sqlite_read(void *session, struct store_read *read, struct err *err)
{
	struct sqlite_store *store = session;
	int rc;

	if (read->counted)
		rc = sqlite_count(store->db, read);
	else if (read->told)
		rc = sqlite_history(store->db, read, err);
	else
		rc = sqlite_list(store->db, &store->statements, read, err);
	if (rc != SQLITE_OK && err->code == ERR_NONE)
		set_file_error(store, is_own_fault(rc) ? ERR_INTERNAL : ERR_UNAVAILABLE, rc, err);
	return err->code == ERR_NONE ? 0 : -1;
}

/* Empties the log, so that the next start has nothing to replay. */
static void sqlite_tidy(void *session)
{
	struct sqlite_store *store = session;

	/* An error shows at the next commit as well, and is reported there. */
	if (sqlite_files_check_writes(&store->files, &store->damage) == 0)
		checkpoint(store, SQLITE_CHECKPOINT_TRUNCATE);
}

static void sqlite_copy(void *session, struct store_copy *step)
{
	struct sqlite_store *store = session;
	_cleanup_free_ char *path = sqlite_copy_path(store->path);
	struct err err = { 0 };
	int more = -1;

	if (!step->give_up && !store->copy)
		store->copy = sqlite_copy_begin(store->db, path, &err);
	if (!step->give_up && store->copy)
		more = sqlite_copy_step(store->copy, &err);
	store_item_set_err(&step->item, &err);
	if (more > 0)
		return;
	store->copy = sqlite_copy_end(store->copy, more == 0);
	if (more < 0)
		return;
	step->complete = true;
	step->url = xasprintf("sqlite://%s", path);
	step->path = TAKE_PTR(path);
	step->schema_version = (unsigned)sqlite_migration_count;
}

static const struct writer_driver driver = {
	.commit = sqlite_commit, .read = sqlite_read, .copy = sqlite_copy, .tidy = sqlite_tidy
};

/* ---- opening ---- */

/* One statement with at most one value, text or number, as text. */
static int query(struct sqlite_store *store, const char *sql, char **out)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL);

	*out = NULL;
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		*out = xstrdup(str_or((const char *)sqlite3_column_text(stmt, 0), ""));
	sqlite3_finalize(stmt);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int open_failed(struct sqlite_store *store, int rc, struct err *err)
{
	char _cleanup_free_ *holder = NULL;

	if ((rc & 0xff) != SQLITE_BUSY) {
		set_file_error(store, ERR_UNAVAILABLE, rc, err);
		return -1;
	}
	holder = sqlite_file_holder(store->path);
	return err_set(
		err, ERR_CONFLICT,
		"the store %s is already in use by another volume-daemon (or by a program such as sqlite3)%s%s: "
		"stop that program first",
		store->path, holder ? ", " : "", str_or(holder, ""));
}

static int get_number(struct sqlite_store *store, const char *sql, uint64_t *out, struct err *err)
{
	char _cleanup_free_ *text = NULL;
	int rc = query(store, sql, &text);

	if (rc != SQLITE_OK || !text || parse_u64(text, out) < 0) {
		open_failed(store, rc, err);
		return -1;
	}
	return 0;
}

static int get_version(void *session, unsigned *out, struct err *err)
{
	struct sqlite_store *store = session;
	uint64_t version, objects;

	if (get_number(store, "PRAGMA user_version", &version, err) < 0 ||
	    get_number(store, "SELECT count(*) FROM sqlite_schema", &objects, err) < 0)
		return -1;
	if (version == 0 && objects > 0)
		return err_set(
			err, ERR_CONFLICT,
			"%s is a database of another program: name another file in the store url",
			store->path);
	*out = version < UINT32_MAX ? (unsigned)version : UINT32_MAX;
	return 0;
}

static int apply_migration(void *session, const struct migration *migration, struct err *err)
{
	struct sqlite_store *store = session;
	struct buf _cleanup_buf_ sql = BUF_NULL;
	int rc;

	buf_printf(&sql, "BEGIN IMMEDIATE;\n%s\nPRAGMA user_version = %u;\nCOMMIT;", migration->sql,
		   migration->version);
	rc = sqlite3_exec(store->db, sql.data, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		return 0;
	open_failed(store, rc, err);
	if (!sqlite3_get_autocommit(store->db))
		control(store, ROLLBACK);
	return -1;
}

static const struct migrate_driver migrate_driver = { .get_version = get_version,
						      .apply = apply_migration };

/*
 * To be called before the first access: afterwards SQLite would share the index of its log with
 * others.
 */
static int set_up_connection(struct sqlite_store *store, struct err *err)
{
	static const char *const pragmas[] = {
		"PRAGMA locking_mode = EXCLUSIVE",
		"PRAGMA journal_mode = WAL",
		"PRAGMA synchronous = FULL",
		"PRAGMA foreign_keys = ON",
		"PRAGMA trusted_schema = OFF",
		/* After a commit that was larger. */
		("PRAGMA journal_size_limit = " LOG_BYTES_MAX),
		"BEGIN IMMEDIATE",
		"ROLLBACK",
	};
	int rc = sqlite3_busy_timeout(store->db, 500);

	for (size_t i = 0; i < ARRAY_SIZE(pragmas) && rc == SQLITE_OK; i++) {
		char _cleanup_free_ *value = NULL;

		rc = query(store, pragmas[i], &value);
	}
	/* In place of SQLite's own checkpoints, which do not look at the room on the disk. */
	sqlite3_wal_hook(store->db, on_log_grown, store);
	return rc == SQLITE_OK ? 0 : open_failed(store, rc, err);
}

static int check_file(struct sqlite_store *store, struct err *err)
{
	char _cleanup_free_ *found = NULL;
	struct stat st;
	int rc;

	if (stat(store->path, &st) == 0 && st.st_size > CHECK_MAX_BYTES)
		return 0;
	rc = query(store, "PRAGMA quick_check(1)", &found);
	if (rc != SQLITE_OK)
		return open_failed(store, rc, err);
	if (!streq(found, "ok"))
		return err_set(err, ERR_UNAVAILABLE, "the store file %s cannot be used: %s; %s",
			       store->path, str_or(found, "its check says nothing"),
			       advice(SQLITE_CORRUPT));
	return 0;
}

static int check_shape(struct sqlite_store *store, struct err *err)
{
	struct store_shape shape = { 0 };
	int rc = sqlite_shape(store->db, &shape);
	int r = rc == SQLITE_OK ? store_shape_check(&shape, store->path, err)
				: open_failed(store, rc, err);

	store_shape_clear(&shape);
	return r;
}

static void remove_old_copy(const struct sqlite_store *store)
{
	_cleanup_free_ char *path = sqlite_copy_path(store->path);

	sqlite_copy_remove(path);
}

static int open_file(struct sqlite_store *store, const struct store_options *options,
		     struct err *err)
{
	int rc;

	if (sqlite_file_make(store->path, options->must_exist, err) < 0)
		return -1;
	/* One thread at a time uses the connection, so it needs no lock of its own. */
	rc = sqlite3_open_v2(store->path, &store->db,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
			     NULL);
	if (rc != SQLITE_OK)
		return open_failed(store, rc, err);
	/*
	 * SQLite falls back to reading, and then fails at its lock with an error that does not name
	 * the cause.
	 */
	if (sqlite3_db_readonly(store->db, "main"))
		return err_set_field(
			err, "store", ERR_UNAVAILABLE,
			"the store file %s can only be read: make it and its file system writable for the "
			"daemon's user",
			store->path);
	if (set_up_connection(store, err) < 0 ||
	    (!options->unchecked && check_file(store, err) < 0) ||
	    sqlite_files_note(&store->files, store->path, err) < 0)
		return -1;
	remove_old_copy(store);
	/* The log of the last run may take the room that a migration needs. */
	sqlite_tidy(store);
	if (migrate_run(sqlite_migrations, sqlite_migration_count, &migrate_driver, store,
			store->path, err) < 0 ||
	    check_shape(store, err) < 0)
		return -1;
	sqlite_files_note_write(&store->files, SQLITE_LOG);
	return 0;
}

static void close_file(struct sqlite_store *store)
{
	int rc;

	/* The log does not belong to a file that others have written. */
	if (store->damage.code)
		sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	store->copy = sqlite_copy_end(store->copy, false);
	sqlite_statements_clear(&store->statements);
	for (size_t i = 0; i < CONTROL_COUNT; i++)
		sqlite3_finalize(store->control[i]);
	rc = sqlite3_close(store->db);
	assert(rc == SQLITE_OK);
	sqlite_files_clear(&store->files);
	free(store->path);
	free(store);
}

static int sqlite_check_url(const char *url, struct err *err)
{
	if (str_has_prefix(url, "sqlite:///"))
		return 0;
	return err_set_field(err, "store", ERR_INVALID,
			     "a sqlite store needs an absolute path, as in " EXAMPLE);
}

static struct store *sqlite_open(struct loop *loop, const struct store_options *options,
				 struct err *err)
{
	struct sqlite_store *store;

	if (sqlite_check_url(options->url, err) < 0)
		return NULL;
	store = xnew(struct sqlite_store);
	store->path = xstrdup(options->url + strlen("sqlite://"));
	if (open_file(store, options, err) < 0) {
		close_file(store);
		return NULL;
	}
	store_init(&store->store, &store_sqlite_backend, loop);
	store->writer = writer_new(&store->store, "store", &driver, store, err);
	return store->writer ? &store->store : store_close(&store->store);
}

/* ---- the backend, on the loop ---- */

static void sqlite_close(struct store *base)
{
	struct sqlite_store *store = sqlite_store_of(base);

	store->writer = writer_free(store->writer);
	store_answer_all(base);
	store_fini(base);
	close_file(store);
}

static void sqlite_submit(struct store *base, struct store_item *item)
{
	writer_submit(sqlite_store_of(base)->writer, item);
}

static int load(struct store *base, struct store_loaded *out, struct err *err)
{
	struct sqlite_store *store = sqlite_store_of(base);
	struct err found = { 0 };
	int rc;

	assert(writer_is_idle(store->writer));
	rc = sqlite_load(store->db, out, &found);
	sqlite3_db_release_memory(store->db); /* pages that are not read again */
	if (rc == SQLITE_OK)
		return 0;
	if (found.code == ERR_NONE)
		set_file_error(store, ERR_UNAVAILABLE, rc, &found);
	if (err)
		*err = found;
	return -1;
}

static int scan(struct store *base, enum store_table table, const char *after_id, size_t limit,
		store_row_fn fn, void *arg, struct err *err)
{
	struct sqlite_store *store = sqlite_store_of(base);
	int rc;

	assert(writer_is_idle(store->writer));
	rc = sqlite_scan(store->db, table, after_id, limit, fn, arg);
	if (rc == SQLITE_OK)
		return 0;
	set_file_error(store, ERR_UNAVAILABLE, rc, err);
	return -1;
}

/* Looks at each page and index, which takes longer than the check at the start. */
static int verify(struct store *base, void (*damage)(void *arg, const char *text), void *arg,
		  struct err *err)
{
	struct sqlite_store *store = sqlite_store_of(base);
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(store->db, "PRAGMA integrity_check(20)", -1, &stmt, NULL);

	assert(writer_is_idle(store->writer));
	while (rc == SQLITE_OK || rc == SQLITE_ROW) {
		const char *text;

		rc = sqlite3_step(stmt);
		if (rc != SQLITE_ROW)
			break;
		text = str_or((const char *)sqlite3_column_text(stmt, 0), "");
		if (!streq(text, "ok"))
			damage(arg, text);
	}
	sqlite3_finalize(stmt);
	if (rc == SQLITE_DONE)
		return 0;
	set_file_error(store, ERR_UNAVAILABLE, rc, err);
	return -1;
}

static void sqlite_health(const struct store *base, struct store_health *out)
{
	const struct sqlite_store *store =
		(const void *)((const char *)base - offsetof(struct sqlite_store, store));

	writer_health(store->writer, out);
}

const struct store_backend store_sqlite_backend = {
	.scheme = "sqlite:",
	.example = EXAMPLE,
	.is_local = true,
	.check_url = sqlite_check_url,
	.open = sqlite_open,
	.close = sqlite_close,
	.submit = sqlite_submit,
	.load = load,
	.scan = scan,
	.verify = verify,
	.health = sqlite_health,
};
