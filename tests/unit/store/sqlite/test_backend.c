/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What only a file can be: somebody else's, too new, damaged, readable by others, held by another
 * process, left behind by a process that was killed. For other processes the program starts itself
 * with the name of a part to play.
 */

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fixture.h"
#include "store/open.h"
#include "store/sqlite/schema.h"
#include "store/writer.h"

static atomic_uint syncs;

/* Stands before the C library's, so that it can be counted how often a file was really made
 * durable. */
__attribute__((visibility("default"))) int fdatasync(int fd)
{
	atomic_fetch_add(&syncs, 1);
	return (int)syscall(SYS_fdatasync, fd);
}

static int set_up(void **state)
{
	*state = fixture_new(&variant_sqlite);
	return 0;
}

static int tear_down(void **state)
{
	fixture_free(*state);
	return 0;
}

static void assert_refused(struct fixture *f, const char *url, enum err_code code, const char *word)
{
	struct err err = { 0 };

	assert_null(store_open(f->loop, &(struct store_options){ .url = url }, &err));
	assert_int_equal(err.code, code);
	if (!strstr(err.text, word))
		fail_msg("\"%s\" is not in \"%s\"", word, err.text);
}

static void run_sql(struct fixture *f, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* The first value of the first row. */
static char *ask_sql(struct fixture *f, const char *sql)
{
	sqlite3_stmt *stmt;
	sqlite3 *db;
	char *value;

	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	value = xstrdup((const char *)sqlite3_column_text(stmt, 0));
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return value;
}

static void assert_sql(struct fixture *f, const char *sql, const char *expected)
{
	_cleanup_free_ char *value = ask_sql(f, sql);

	assert_string_equal(str_or(value, "NULL"), expected);
}

/* ---- other processes ---- */

static FILE *start_self(const char *part, const char *url)
{
	_cleanup_free_ char *self = realpath("/proc/self/exe", NULL);
	_cleanup_free_ char *command = xasprintf("exec '%s' %s '%s'", self, part, url);

	return popen(command, "r");
}

/* Tries to open the store and says what came of it. */
static int play_open(const char *url)
{
	struct loop *loop = loop_new();
	struct err err = { 0 };
	struct store *store = store_open(loop, &(struct store_options){ .url = url }, &err);

	puts(store ? "opened" : err.text);
	store_close(store);
	loop_free(loop);
	return 0;
}

struct dying {
	struct loop *loop;
	unsigned answered;
};

static void on_dying(void *arg, const struct err *err)
{
	struct dying *dying = arg;

	if (err->code == ERR_NONE && ++dying->answered == 300) {
		printf("%u\n", dying->answered);
		fflush(stdout);
		raise(SIGKILL);
	}
}

/* Is killed while it commits, having said how many commits were answered. */
static int play_die(const char *url)
{
	struct dying dying = { .loop = loop_new() };
	struct store *store = store_open(dying.loop, &(struct store_options){ .url = url }, NULL);
	char id[16];

	for (int i = 0; i < 2000; i++) {
		snprintf(id, sizeof(id), "op-%04d", i);
		store_submit(store, batch_with_operation(id, OPERATION_EXECUTING), on_dying,
			     &dying);
		/* In turns, so that there are several commits. */
		if (i % 50 == 0)
			loop_turn(dying.loop);
	}
	loop_run(dying.loop);
	return 0;
}

static void assert_second_instance(struct fixture *f, const char *expected)
{
	char line[1024] = "";
	FILE *process = start_self("open", f->url);

	assert_non_null(fgets(line, sizeof(line), process));
	pclose(process);
	if (!strstr(line, expected))
		fail_msg("\"%s\" is not in \"%s\"", expected, line);
}

static void a_second_instance_is_refused(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *holder = NULL;

	assert_refused(f, f->url, ERR_CONFLICT, "is already in use by another volume-daemon");
	/* Nor has that loosened what keeps other processes out, which are told who does. */
	assert_second_instance(f, "is already in use by another volume-daemon");
	holder = xasprintf("process %d (", (int)getpid());
	assert_second_instance(f, holder);
	assert_int_equal(fixture_commit(f, batch_with_operation("op-1", OPERATION_PENDING)).code,
			 ERR_NONE);
	assert_second_instance(f, f->path);
	fixture_close(f);
	assert_second_instance(f, "opened");
	fixture_open(f);
}

static struct err commit_or_refuse(struct fixture *f, const char *id)
{
	struct store_batch *batch = batch_with_operation(id, OPERATION_PENDING);

	store_batch_optional(batch);
	return fixture_commit(f, batch);
}

static void a_file_moved_away_is_not_written(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *away = xasprintf("%s.away", f->path);
	struct err err;

	assert_ok(commit_or_refuse(f, "op-1"));
	assert_int_equal(rename(f->path, away), 0);
	err = commit_or_refuse(f, "op-2");
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, "cannot be found any more"));
	assert_true(fixture_health(f).away);
	assert_int_equal(rename(away, f->path), 0);
	fixture_wait_well(f);
	assert_ok(commit_or_refuse(f, "op-3"));
}

/* A command for the file $F. In a process of its own, since the end of its access would take our
 * locks along. */
static void run_other(struct fixture *f, const char *command)
{
	_cleanup_free_ char *line = xasprintf("F='%s'; %s", f->path, command);

	assert_int_equal(system(line), 0);
}

static void assert_written_by_others(struct fixture *f)
{
	struct err err = commit_or_refuse(f, "op-2");

	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, "another program wrote to the store file"));
	assert_true(fixture_health(f).away);
}

static void a_file_written_by_others_takes_no_change(void **state)
{
	static const char *const writes[] = {
		"truncate -s 8192 $F",
		"truncate -s 0 $F",
		"dd if=/dev/zero of=$F bs=4096 seek=3 count=1 conv=notrunc status=none",
		"truncate -s 0 $F-wal",
		"truncate -s 100 $F-wal",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(writes); i++) {
		assert_ok(commit_or_refuse(f, "op-1"));
		run_other(f, writes[i]);
		assert_written_by_others(f);
		fixture_close(f);
		unlink(f->path);
		run_other(f, "rm -f $F-wal");
		fixture_open(f);
	}
}

static void the_log_stays_out_of_a_file_that_others_wrote(void **state)
{
	struct fixture *f = *state;

	assert_ok(commit_or_refuse(f, "op-1"));
	fixture_close(f);
	run_other(f, "cp $F $F.backup");
	fixture_open(f);
	assert_ok(commit_or_refuse(f, "op-3"));
	run_other(f, "cp $F.backup $F");
	assert_written_by_others(f);
	fixture_close(f);
	run_other(f, "cmp $F.backup $F");
}

static void an_empty_file_with_a_log_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_ok(commit_or_refuse(f, "op-1"));
	run_other(f, "cp $F-wal $F.kept");
	fixture_close(f);
	run_other(f, "mv $F.kept $F-wal && truncate -s 0 $F");
	assert_refused(f, f->url, ERR_UNAVAILABLE, "it is damaged");
	run_other(f, "test -s $F-wal");
}

struct pause {
	struct loop_timer timer;
	struct loop *loop;
	bool over;
};

static void on_pause_over(struct loop_timer *timer)
{
	struct pause *pause = container_of(timer, struct pause, timer);

	pause->over = true;
	loop_stop(pause->loop);
}

/* Large enough for SQLite to read pages again; a probe that stays in the cache does not make it
 * well. */
static void a_file_damaged_in_use_stays_refused(void **state)
{
	struct fixture *f = *state;
	struct pause pause = { .timer.fire = on_pause_over, .loop = f->loop };
	char garbage[4096];
	struct stat st;
	struct err err;
	int fd;

	fixture_close(f);
	run_sql(f,
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) "
		"INSERT INTO volume_operations (id, type, status, request) "
		"SELECT printf('op-%08d', i), 'attach', 'completed', hex(zeroblob(200)) FROM n");
	fixture_open(f);
	memset(garbage, 0xa5, sizeof(garbage));
	fd = open(f->path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	for (off_t at = 4096; at < st.st_size; at += 4096)
		assert_int_equal(pwrite(fd, garbage, sizeof(garbage), at), sizeof(garbage));
	err = commit_or_refuse(f, "op-00000001");
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, "damaged"));
	loop_timer_set(f->loop, &pause.timer, WRITER_RETRY_FIRST_MS * 2);
	fixture_wait(f, &pause.over);
	assert_true(fixture_health(f).away);
	assert_non_null(strstr(fixture_health(f).reason, "damaged"));
	/* Not earlier: the locks would go with it. */
	fixture_close(f);
	close(fd);
}

static int limit_rows(sqlite3 *db, char **text, const struct sqlite3_api_routines *api)
{
	sqlite3_limit(db, SQLITE_LIMIT_LENGTH, 20000);
	return SQLITE_OK;
}

/* SQLite's limit of 1 GB, made smaller. */
static void a_row_too_large_is_refused_alone(void **state)
{
	struct fixture *f = *state;
	struct store_batch *batch = store_batch_new("op-1");
	struct operation_record operation = { 0 };
	struct answer large, small;
	char text[30001] = "";

	fixture_close(f);
	sqlite3_auto_extension((void (*)(void))limit_rows);
	fixture_open(f);
	sqlite3_reset_auto_extension();
	memset(text, 'x', sizeof(text) - 1);
	make_operation(&operation, "op-1", OPERATION_PENDING, NULL);
	operation.request = xasprintf("{\"text\":\"%s\"}", text);
	store_batch_operation(batch, &operation);
	record_clear(&operation_record, &operation);
	fixture_submit(f, batch, &large);
	fixture_submit(f, batch_with_operation("op-2", OPERATION_PENDING), &small);
	fixture_wait_answer(f, &large);
	fixture_wait_answer(f, &small);
	assert_int_equal(large.err.code, ERR_TOO_LARGE);
	assert_non_null(strstr(large.err.text, "20000 bytes"));
	assert_ok(small.err);
	assert_false(fixture_health(f).away);
}

static void an_answer_comes_after_the_disk_has_it(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 10; i++) {
		unsigned before = atomic_load(&syncs);

		assert_int_equal(
			fixture_commit(f, batch_with_operation("op-1", OPERATION_PENDING)).code,
			ERR_NONE);
		assert_true(atomic_load(&syncs) > before);
	}
}

static void what_was_answered_survives_a_kill(void **state)
{
	struct fixture *f = *state;
	struct store_loaded loaded;
	char line[32] = "";
	FILE *process;

	fixture_close(f);
	process = start_self("die", f->url);
	assert_non_null(fgets(line, sizeof(line), process));
	pclose(process);
	assert_string_equal(line, "300\n");
	fixture_open(f);
	loaded = fixture_load(f);
	assert_true(loaded.operation_count >= 300);
	/* And nothing is there without what was submitted before it. */
	for (size_t i = 0; i < loaded.operation_count; i++)
		assert_int_equal(atoi(loaded.operations[i].id + 3), i);
	store_loaded_clear(&loaded);
}

static void load_is_fast(void **state)
{
	struct fixture *f = *state;
	struct store_batch *batch = store_batch_new("many");
	struct store_loaded loaded;
	char id[32], path[32];
	clock_t began;

	for (int i = 0; i < 10000; i++) {
		snprintf(id, sizeof(id), "op-%05d", i);
		put_operation(batch, id, OPERATION_EXECUTING, id, 1);
		snprintf(path, sizeof(path), "/dev/vd%d", i);
		put_mapping(batch, id, "vm", path);
	}
	assert_int_equal(fixture_commit(f, batch).code, ERR_NONE);
	fixture_close(f);
	began = clock(); /* the processor's time, whatever else it has to do */
	fixture_open(f);
	loaded = fixture_load(f);
	assert_true(clock() - began < CLOCKS_PER_SEC);
	assert_int_equal(loaded.operation_count, 10000);
	assert_int_equal(loaded.mapping_count, 10000);
	store_loaded_clear(&loaded);
}

/* ---- files that are not as they should be ---- */

static void a_newer_store_is_refused(void **state)
{
	struct fixture *f = *state;

	fixture_close(f);
	run_sql(f, "PRAGMA user_version = 99; DROP TABLE device_mappings");
	assert_refused(f, f->url, ERR_CONFLICT, "version 99");
	assert_sql(f, "PRAGMA user_version", "99");
	assert_sql(f, "SELECT count(*) FROM sqlite_schema WHERE name = 'device_mappings'", "0");
}

#define SCHEMA                                                                                     \
	"SELECT group_concat(sql) FROM (SELECT sql FROM sqlite_schema WHERE sql NOT NULL ORDER BY name)"

static void a_store_of_every_version_is_brought_up(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *schema = NULL;

	fixture_close(f);
	schema = ask_sql(f, SCHEMA);
	for (unsigned version = 1; version < sqlite_migration_count; version++) {
		_cleanup_free_ char *sql = fixture_old_store("sqlite", version);

		unlink(f->path);
		run_sql(f, sql);
		fixture_open(f);
		fixture_assert_brought_up(f);
		fixture_close(f);
		assert_sql(f, SCHEMA, schema);
		assert_sql(f, "SELECT group_concat(id) FROM volume_operation_history", "h-1,h-2");
	}
}

static void a_row_without_a_key_is_passed_over(void **state)
{
	struct fixture *f = *state;
	struct store_loaded loaded;

	assert_ok(fixture_commit(f, batch_with_mapping("v1", VM_A, "/dev/vdb")));
	fixture_close(f);
	run_sql(f,
		"INSERT INTO device_mappings (id, volume_id, matched_by) VALUES ('0', '', 'none')");
	fixture_open(f);
	loaded = fixture_load(f);
	assert_int_equal(loaded.mapping_count, 1);
	assert_string_equal(loaded.mappings[0].volume_id, "v1");
	store_loaded_clear(&loaded);
	fixture_close(f);
	assert_sql(f, "SELECT count(*) FROM device_mappings", "2");
	fixture_open(f);
}

static void a_store_that_others_changed_is_refused(void **state)
{
	static const char *const words[] = {
		"table nbd_exports",
		"column device_mappings.label",
		"column device_mappings.boot_id",
		"table device_names",
		"view device_names",
		"trigger count_them",
	};
	struct fixture *f = *state;

	fixture_close(f);
	run_sql(f,
		"DROP TABLE nbd_exports;"
		"ALTER TABLE device_mappings DROP COLUMN label;"
		"ALTER TABLE device_mappings RENAME COLUMN boot_id TO other;"
		"ALTER TABLE device_names RENAME TO names;"
		"CREATE VIEW device_names AS SELECT * FROM names;"
		"CREATE TRIGGER count_them AFTER INSERT ON volume_operations BEGIN SELECT 1; END");
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		assert_refused(f, f->url, ERR_CONFLICT, words[i]);
}

static void a_database_of_others_is_refused(void **state)
{
	struct fixture *f = *state;

	fixture_close(f);
	unlink(f->path);
	run_sql(f, "CREATE TABLE theirs (x)");
	assert_refused(f, f->url, ERR_CONFLICT, "another program");
	assert_sql(f, "SELECT count(*) FROM sqlite_schema", "1");
}

static void overwrite(struct fixture *f, off_t from, size_t length)
{
	int _cleanup_close_ fd = open(f->path, O_WRONLY | O_CLOEXEC);
	_cleanup_free_ char *noise = xmalloc(length);

	memset(noise, 0xa5, length);
	assert_int_equal(pwrite(fd, noise, length, from), length);
}

static void a_damaged_file_is_refused(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	for (int i = 0; i < 50; i++) {
		_cleanup_free_ char *id = xasprintf("op-%d", i);

		assert_int_equal(
			fixture_commit(f, batch_with_operation(id, OPERATION_PENDING)).code,
			ERR_NONE);
	}
	fixture_close(f);
	assert_int_equal(stat(f->path, &st), 0);
	overwrite(f, st.st_size / 2, 8192);
	assert_refused(f, f->url, ERR_UNAVAILABLE, "damaged");
	overwrite(f, 0, 4096);
	assert_refused(f, f->url, ERR_UNAVAILABLE, f->path);
	assert_refused(f, f->url, ERR_UNAVAILABLE, "damaged");
	assert_int_equal(truncate(f->path, 100), 0);
	assert_refused(f, f->url, ERR_UNAVAILABLE, "damaged");
	/* Nothing at all is a new store. */
	assert_int_equal(truncate(f->path, 0), 0);
	fixture_open(f);
}

static void values_nobody_knows_are_named(void **state)
{
	struct fixture *f = *state;
	struct store_loaded loaded;
	struct err err = { 0 };

	fixture_close(f);
	run_sql(f,
		"INSERT INTO volume_operations (id, type, status) VALUES ('op-7', 'explode', 'pending')");
	fixture_open(f);
	assert_int_equal(store_load(f->store, &loaded, &err), -1);
	assert_non_null(strstr(err.text, "volume_operations"));
	assert_non_null(strstr(err.text, "op-7"));
	assert_non_null(strstr(err.text, "explode"));
	assert_int_equal(loaded.operation_count, 0);
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 0777;
}

static void nobody_else_may_read_it(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *log = xasprintf("%s-wal", f->path);

	assert_int_equal(mode_of(f->path), 0600);
	assert_int_equal(mode_of(log), 0600);
	fixture_close(f);
	assert_int_equal(chmod(f->path, 0644), 0);
	fixture_open(f);
	assert_int_equal(mode_of(f->path), 0600);
	assert_int_equal(mode_of(log), 0600);
}

static void urls_are_checked(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *missing = xasprintf("sqlite://%s/missing/x.db", f->folder);
	_cleanup_free_ char *folder = xasprintf("sqlite://%s", f->folder);
	_cleanup_free_ char *below_file = xasprintf("sqlite://%s/x.db", f->path);
	struct err err = { 0 };

	assert_refused(f, missing, ERR_UNAVAILABLE, "/missing of the store");
	assert_refused(f, missing, ERR_UNAVAILABLE, "create it");
	assert_refused(f, folder, ERR_INVALID, "is not a file");
	assert_refused(f, below_file, ERR_INVALID, "is not a folder");
	assert_refused(f, "sqlite:x.db", ERR_INVALID, "absolute path");
	assert_refused(f, "sqlite://x.db", ERR_INVALID, "absolute path");
	assert_refused(f, "memory:x", ERR_INVALID, "memory:");
	assert_refused(f, "", ERR_INVALID, "sqlite:///var/lib/volume-daemon/volume-daemon.db");
	assert_null(store_open(f->loop,
			       &(struct store_options){ .url = "oracle://scott:tiger@host/db" },
			       &err));
	assert_non_null(strstr(err.text, "\"oracle\""));
	assert_non_null(strstr(err.text, "sqlite:///"));
	assert_null(strstr(err.text, "tiger"));
}

/* ---- the schema ---- */

static void every_field_has_a_column_and_back(void **state)
{
	struct fixture *f = *state;

	fixture_close(f);
	for (int table = 0; table < STORE_TABLE_COUNT; table++) {
		const struct store_table_view *view = &store_tables[table];
		_cleanup_free_ char *count_sql =
			xasprintf("SELECT count(*) FROM pragma_table_info('%s')", view->name);
		_cleanup_free_ char *count = xasprintf("%zu", view->record->count);

		assert_sql(f, count_sql, count);
		for (size_t i = 0; i < view->record->count; i++) {
			_cleanup_free_ char *sql = xasprintf(
				"SELECT count(*) FROM pragma_table_info('%s') WHERE name = '%s'",
				view->name, view->record->fields[i].name);

			assert_sql(f, sql, "1");
		}
	}
}

/* Columns other programs' SQL names. */
static void what_other_sql_relies_on_is_there(void **state)
{
	struct fixture *f = *state;

	fixture_close(f);
	run_sql(f,
		"SELECT id, type, status, volume_id, vm_id, request, response, error, created_at, updated_at, "
		"completed_at FROM volume_operations");
	run_sql(f,
		"SELECT id, volume_id, vm_id, device_path, cloudstack_state, linux_state, size, last_sync, "
		"created_at, updated_at, persistent_device_name, symlink_path FROM device_mappings");
	run_sql(f, "SELECT id, operation_id, previous_status, new_status, changed_at, details FROM "
		   "volume_operation_history");
	run_sql(f,
		"SELECT id, volume_id, export_name, device_path, port, status, created_at, updated_at FROM "
		"nbd_exports");
	for (size_t i = 0; i < 5; i++) {
		static const char *const columns[] = { "volume_id", "vm_id", "status", "type",
						       "created_at" };
		_cleanup_free_ char *sql = xasprintf(
			"SELECT count(*) FROM pragma_index_list('volume_operations') AS l, "
			"pragma_index_info(l.name) AS c WHERE c.seqno = 0 AND c.name = '%s'",
			columns[i]);

		assert_sql(f, sql, "1");
	}
	assert_sql(f,
		   "SELECT sql LIKE '%CONSTRAINT unique_volume_id UNIQUE (volume_id)%' AND "
		   "sql LIKE '%CONSTRAINT unique_device_path UNIQUE (vm_id, device_path)%' "
		   "FROM sqlite_schema WHERE name = 'device_mappings'",
		   "1");
	assert_sql(f, "SELECT \"table\" FROM pragma_foreign_key_list('volume_operation_history')",
		   "volume_operations");
}

static void people_can_read_the_values(void **state)
{
	struct fixture *f = *state;
	struct store_batch *batch = batch_with_operation("op-1", OPERATION_EXECUTING);
	struct store_loaded loaded;

	store_batch_history(batch, "op-1", "pending", "executing", NULL, NULL);
	assert_int_equal(fixture_commit(f, batch).code, ERR_NONE);
	fixture_close(f);
	assert_sql(f, "SELECT created_at FROM volume_operations", "2026-11-22 21:50:03.123");
	assert_sql(f, "SELECT completed_at FROM volume_operations", "NULL");
	assert_sql(f, "SELECT type || ' ' || status FROM volume_operations", "attach executing");
	assert_sql(
		f,
		"SELECT abs(julianday(changed_at) - julianday()) < 0.01 FROM volume_operation_history",
		"1");
	assert_sql(f, "PRAGMA journal_mode", "wal");
	/* And write them, in other precisions. */
	run_sql(f, "UPDATE volume_operations SET created_at = '2026-11-22 21:50:03', "
		   "updated_at = '2026-11-22T21:50:03.5Z'");
	fixture_open(f);
	loaded = fixture_load(f);
	assert_int_equal(loaded.operations[0].created_at, INT64_C(1795384203000));
	assert_int_equal(loaded.operations[0].updated_at, INT64_C(1795384203500));
	store_loaded_clear(&loaded);
}

/* Turns the clock; the last test. */
static void the_log_is_emptied_when_it_is_quiet(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *log = xasprintf("%s-wal", f->path);
	struct stat st;

	clock_test_start(clock_mono_ms(), clock_wall_ms());
	assert_int_equal(fixture_commit(f, batch_with_operation("op-1", OPERATION_PENDING)).code,
			 ERR_NONE);
	assert_int_equal(stat(log, &st), 0);
	assert_true(st.st_size > 0);
	clock_test_advance(60 * 1000);
	do {
		loop_turn(f->loop);
		assert_int_equal(stat(log, &st), 0);
	} while (st.st_size > 0);
}

#define T(NAME) cmocka_unit_test_setup_teardown(NAME, set_up, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(a_second_instance_is_refused),
		T(an_answer_comes_after_the_disk_has_it),
		T(what_was_answered_survives_a_kill),
		T(load_is_fast),
		T(a_newer_store_is_refused),
		T(a_store_of_every_version_is_brought_up),
		T(a_row_without_a_key_is_passed_over),
		T(a_store_that_others_changed_is_refused),
		T(a_database_of_others_is_refused),
		T(a_damaged_file_is_refused),
		T(a_file_moved_away_is_not_written),
		T(a_file_written_by_others_takes_no_change),
		T(the_log_stays_out_of_a_file_that_others_wrote),
		T(an_empty_file_with_a_log_is_refused),
		T(a_row_too_large_is_refused_alone),
		T(a_file_damaged_in_use_stays_refused),
		T(values_nobody_knows_are_named),
		T(nobody_else_may_read_it),
		T(urls_are_checked),
		T(every_field_has_a_column_and_back),
		T(what_other_sql_relies_on_is_there),
		T(people_can_read_the_values),
		T(the_log_is_emptied_when_it_is_quiet),
	};

	if (argc == 3 && streq(argv[1], "open"))
		return play_open(argv[2]);
	if (argc == 3 && streq(argv[1], "die"))
		return play_die(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
