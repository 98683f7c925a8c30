/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A store whose file system has 10 MiB, and the write-ahead log on it: the log must never take the
 * room that its own checkpoint needs. The tests mount the file system in a name space of their own.
 */

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"
#include "store/open.h"

#define MIB (INT64_C(1) << 20)

static void small_set_up(struct fixture *f)
{
	variant_sqlite_full.set_up(f);
	assert_int_equal(mount(NULL, f->folder, NULL, MS_REMOUNT, "size=10m"), 0);
}

static int set_up(void **state)
{
	static struct variant small;

	small = variant_sqlite_full;
	small.set_up = small_set_up;
	*state = fixture_new(&small);
	return 0;
}

static int tear_down(void **state)
{
	fixture_free(*state);
	return 0;
}

static int64_t size_of(const struct fixture *f, const char *suffix)
{
	_cleanup_free_ char *path = xasprintf("%s%s", f->path, suffix);
	struct stat st;

	return stat(path, &st) == 0 ? st.st_size : 0;
}

static struct err put(struct fixture *f, int number, size_t size)
{
	_cleanup_free_ char *id = xasprintf("op-%06d", number), *text = xmalloc(size + 1);
	struct operation_record operation = { 0 };
	struct store_batch *batch = store_batch_new(id);

	memset(text, 'x', size);
	text[size] = '\0';
	make_operation(&operation, id, OPERATION_EXECUTING, NULL);
	operation.request = xasprintf("{\"text\":\"%s\"}", text);
	store_batch_operation(batch, &operation);
	store_batch_optional(batch);
	record_clear(&operation_record, &operation);
	return fixture_commit(f, batch);
}

/* The number of operations that the store took before it had no room. */
static int fill(struct fixture *f)
{
	for (int i = 0;; i++) {
		struct err err = put(f, i, 4000);

		if (err.code == ERR_NONE)
			continue;
		assert_int_equal(err.code, ERR_UNAVAILABLE);
		assert_non_null(strstr(err.text, "make room on its file system"));
		return i;
	}
}

static void changes_of_the_same_rows_never_fill_the_disk(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 2000; i++) {
		assert_ok(put(f, i % 10, 8000));
		assert_true(size_of(f, "-wal") <= 4 * MIB + MIB / 2);
	}
	assert_true(size_of(f, "") < MIB);
}

static void only_rows_fill_the_disk(void **state)
{
	struct fixture *f = *state;
	struct store_loaded loaded;
	int count = fill(f);

	assert_true(fixture_health(f).away);
	assert_true(size_of(f, "") > 9 * MIB);
	loaded = fixture_load(f);
	assert_int_equal(loaded.operation_count, count);
	store_loaded_clear(&loaded);
}

static void a_filled_store_takes_changes_when_there_is_room(void **state)
{
	struct fixture *f = *state;
	int count = fill(f);

	assert_int_equal(mount(NULL, f->folder, NULL, MS_REMOUNT, "size=11m"), 0);
	fixture_wait_well(f);
	for (int i = 0; i < 100; i++)
		assert_ok(put(f, count + i, 4000));
}

#define CHANGE_ROWS "UPDATE volume_operations SET step = hex(randomblob(99))"

static bool run(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

/* A process that has no checkpoints, and ends without closing the file. The file is as large as it
 * must be. */
static void fill_with_log(struct fixture *f)
{
	pid_t child = fork();
	sqlite3 *db;
	int status;

	if (child == 0) {
		if (sqlite3_open(f->path, &db) != SQLITE_OK || !run(db, CHANGE_ROWS) ||
		    !run(db, "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA wal_autocheckpoint = 0"))
			_exit(1);
		while (run(db, CHANGE_ROWS))
			;
		_exit(sqlite3_errcode(db) == SQLITE_FULL ? 0 : 2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void a_disk_full_of_log_at_the_start_is_freed(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 20; i++)
		assert_ok(put(f, i, 4000));
	fixture_close(f);
	fill_with_log(f);
	assert_true(size_of(f, "-wal") > 9 * MIB);
	fixture_open(f);
	assert_ok(put(f, 20, 4000));
	assert_true(size_of(f, "-wal") < MIB);
}

int main(void)
{
#define T(TEST) cmocka_unit_test_setup_teardown(TEST, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(changes_of_the_same_rows_never_fill_the_disk),
		T(only_rows_fill_the_disk),
		T(a_filled_store_takes_changes_when_there_is_room),
		T(a_disk_full_of_log_at_the_start_is_freed),
	};

	if (!fixture_may_mount()) {
		fputs("skipped: no file system can be mounted here\n", stderr);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
