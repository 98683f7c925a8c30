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
 * Errors are of two kinds. A broken constraint, or a value that does not fit, is the fault of the
 * batch, and the batch is answered with the error. A disk that is full, broken or read-only is not
 * the fault of a batch: the whole group is undone and the writer tries it again later. An error of
 * an unclear kind counts as the second kind, because giving up a batch could lose a change that
 * already happened in the cloud. A damaged file is not tried again: the pages in SQLite's cache
 * would make it look well now and then, and each write could spoil more. The file stays refused
 * until the daemon is started with a sound file.
 */

#include "store/sqlite/backend.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "store/backend.h"
#include "store/sqlite/file.h"
#include "store/sqlite/rows.h"
#include "store/sqlite/schema.h"
#include "store/writer.h"

#define EXAMPLE "sqlite:///var/lib/volume-daemon/volume-daemon.db"

/* Up to this size the file is checked whole at start, which takes a fraction of a second. */
#define CHECK_MAX_BYTES (64 << 20)

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
	struct err damage; /* once found, for the rest of this process */
	sqlite3_stmt *control[CONTROL_COUNT];
	struct sqlite_statements statements;
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
		return "another program holds it; stop that";
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

/*
 * SQLITE_OK if the batch is in the transaction or has its own error; otherwise the transaction is
 * lost.
 */
static int apply_batch(struct sqlite_store *store, struct store_batch *batch)
{
	struct store_change *change;
	int rc = control(store, SAVE);

	if (rc != SQLITE_OK)
		return rc;
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
		set_batch_error(store, change, rc, &batch->item.err);
		rc = control(store, ROLLBACK_TO);
	} else if (!store_batch_claim(batch)) {
		rc = control(store, ROLLBACK_TO);
	}
	return rc == SQLITE_OK ? control(store, RELEASE) : rc;
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
	rc = control(store, BEGIN);
	for (size_t i = 0; i < count && rc == SQLITE_OK; i++)
		rc = apply_batch(store, batches[i]);
	if (rc == SQLITE_OK)
		rc = control(store, COMMIT);
	if (rc == SQLITE_OK)
		return 0;
	set_file_error(store, ERR_UNAVAILABLE, rc, err);
	if (!sqlite3_get_autocommit(store->db))
		control(store, ROLLBACK);
	return -1;
}

static void sqlite_read(void *session, struct store_read *read)
{
	struct sqlite_store *store = session;
	struct err *err = &read->item.err;
	int rc = sqlite_list(store->db, &store->statements, read, err);

	if (rc != SQLITE_OK && err->code == ERR_NONE)
		set_file_error(store, is_own_fault(rc) ? ERR_INTERNAL : ERR_UNAVAILABLE, rc, err);
}

/* Empties the write-ahead log into the file, so that the next start has nothing to replay. */
static void sqlite_tidy(void *session)
{
	struct sqlite_store *store = session;

	/* An error shows at the next commit as well, and is reported there. */
	sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
}

static const struct writer_driver driver = { .commit = sqlite_commit,
					     .read = sqlite_read,
					     .tidy = sqlite_tidy };

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
		"stop that first",
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

/* SQLite would make the file with the umask's mode; its log gets the mode of the file. */
static int make_file(const char *path, bool must_exist, struct err *err)
{
	int _cleanup_close_ fd = -1;
	struct stat st;

	if (must_exist && access(path, F_OK) < 0 && errno == ENOENT)
		return err_set_field(err, "store", ERR_NOT_FOUND, "there is no store file %s",
				     path);
	/*
	 * Only a file that did not exist is opened here: closing it would drop the locks of a store
	 * that is open in this process.
	 */
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		return 0;
	if (errno != EEXIST)
		return err_set_field(err, "store", ERR_UNAVAILABLE,
				     "cannot create the store file %s: %s", path,
				     strerrordesc_np(errno));
	if (stat(path, &st) < 0)
		return err_set_field(err, "store", ERR_UNAVAILABLE,
				     "cannot look at the store file %s: %s", path,
				     strerrordesc_np(errno));
	if (!S_ISREG(st.st_mode))
		return err_set_field(err, "store", ERR_INVALID, "the store %s is not a file", path);
	if (st.st_mode & 077 && chmod(path, 0600) < 0)
		return err_set_field(err, "store", ERR_UNAVAILABLE,
				     "others may read the store file %s and chmod fails: %s", path,
				     strerrordesc_np(errno));
	return 0;
}

static int check_folder(const char *path, struct err *err)
{
	char _cleanup_free_ *folder = xstrndup(path, (size_t)(strrchr(path, '/') - path));
	struct stat st;

	if (*folder && stat(folder, &st) < 0)
		return err_set_field(
			err, "store", ERR_UNAVAILABLE,
			"the folder %s of the store %s cannot be used: %s; create it, owned by the daemon's user, "
			"with mode 0700",
			folder, path, strerrordesc_np(errno));
	if (*folder && !S_ISDIR(st.st_mode))
		return err_set_field(err, "store", ERR_INVALID,
				     "%s, where the store %s should be, is not a folder", folder,
				     path);
	return 0;
}

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
		/*
		 * The tidy job empties the log in quiet times; this limit (16 MB) bounds the log if
		 * there are no quiet times.
		 */
		"PRAGMA wal_autocheckpoint = 4000",
		"BEGIN IMMEDIATE",
		"ROLLBACK",
	};
	int rc = sqlite3_busy_timeout(store->db, 500);

	for (size_t i = 0; i < ARRAY_SIZE(pragmas) && rc == SQLITE_OK; i++) {
		char _cleanup_free_ *value = NULL;

		rc = query(store, pragmas[i], &value);
	}
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

static int open_file(struct sqlite_store *store, bool must_exist, struct err *err)
{
	int rc;

	if (check_folder(store->path, err) < 0 || make_file(store->path, must_exist, err) < 0)
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
	if (set_up_connection(store, err) < 0 || check_file(store, err) < 0 ||
	    sqlite_files_note(&store->files, store->path, err) < 0)
		return -1;
	return migrate_run(sqlite_migrations, sqlite_migration_count, &migrate_driver, store,
			   store->path, err);
}

static void close_file(struct sqlite_store *store)
{
	int rc;

	sqlite_statements_clear(&store->statements);
	for (size_t i = 0; i < CONTROL_COUNT; i++)
		sqlite3_finalize(store->control[i]);
	rc = sqlite3_close(store->db);
	assert(rc == SQLITE_OK);
	sqlite_files_clear(&store->files);
	free(store->path);
	free(store);
}

static struct store *sqlite_open(struct loop *loop, const struct store_options *options,
				 struct err *err)
{
	struct sqlite_store *store;
	const char *path = options->url + strlen("sqlite:");

	if (!str_has_prefix(path, "///")) {
		err_set_field(err, "store", ERR_INVALID,
			      "a sqlite store needs an absolute path, as in " EXAMPLE);
		return NULL;
	}
	store = xnew(struct sqlite_store);
	store->path = xstrdup(path + 2);
	if (open_file(store, options->must_exist, err) < 0) {
		close_file(store);
		return NULL;
	}
	store_init(&store->store, &store_sqlite_backend, loop);
	store->writer = writer_new(&store->store, "store", &driver, store);
	return &store->store;
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

static void sqlite_health(const struct store *base, struct store_health *out)
{
	const struct sqlite_store *store =
		(const void *)((const char *)base - offsetof(struct sqlite_store, store));

	writer_health(store->writer, out);
}

const struct store_backend store_sqlite_backend = {
	.scheme = "sqlite:",
	.example = EXAMPLE,
	.open = sqlite_open,
	.close = sqlite_close,
	.submit = sqlite_submit,
	.load = load,
	.scan = scan,
	.health = sqlite_health,
};
