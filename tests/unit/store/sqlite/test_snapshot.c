/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Snapshots of a store that goes on: what is in a backup, and what is left of a snapshot that ends
 * before its time.
 */

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"
#include "store/open.h"
#include "store/snapshot.h"

#define OPERATIONS 3000 /* with their requests so many pages that a copy takes several steps */
#define REQUEST_BYTES 1500

struct told {
	struct loop *loop;
	bool done;
	struct err err;
	uint64_t bytes;
	size_t rows, faults;
	char *newest;
};

static void on_snapshot(void *arg, const struct snapshot_result *result)
{
	struct told *told = arg;

	told->done = true;
	told->err = result->err;
	told->bytes = result->bytes;
	told->rows = result->checked.rows;
	told->faults = result->checked.faults;
	told->newest = xstrdup(result->checked.newest_operation);
	loop_stop(told->loop);
}

struct test {
	struct fixture *f;
	struct snapshots *snapshots;
	char *target_path, *copy_path;
	int target;
};

static char *operation_id(int number)
{
	return xasprintf("op-01234567-0000-7000-8000-%012d", number);
}

static void fill(struct fixture *f)
{
	struct store_batch *batch = store_batch_new("fill");
	char request[REQUEST_BYTES + 16];

	snprintf(request, sizeof(request), "{\"a\":\"%0*d\"}", REQUEST_BYTES, 0);
	for (int i = 0; i < OPERATIONS; i++) {
		_cleanup_free_ char *id = operation_id(i);
		struct operation_record operation = { 0 };

		make_operation(&operation, id, OPERATION_PENDING, VM_A);
		str_set(&operation.request, request);
		store_batch_operation(batch, &operation);
		record_clear(&operation_record, &operation);
	}
	assert_ok(fixture_commit(f, batch));
}

static int set_up(void **state)
{
	struct test *test = xnew(struct test);

	test->f = fixture_new(&variant_sqlite);
	fill(test->f);
	test->snapshots = snapshots_new(test->f->loop, test->f->store);
	test->target_path = xasprintf("%s/backup", test->f->folder);
	test->copy_path = xasprintf("%s.copy", test->f->path);
	test->target = open(test->target_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(test->target >= 0);
	*state = test;
	return 0;
}

static int tear_down(void **state)
{
	struct test *test = *state;

	if (test->f->store)
		fixture_close(test->f);
	snapshots_free(test->snapshots);
	assert_int_equal(access(test->copy_path, F_OK), -1);
	close(test->target);
	free(test->target_path);
	free(test->copy_path);
	fixture_free(test->f);
	free(test);
	return 0;
}

static struct told ask(struct test *test, int target)
{
	struct told told = { .loop = test->f->loop };

	snapshot_start(test->snapshots, target, on_snapshot, &told);
	assert_false(told.done);
	fixture_wait(test->f, &told.done);
	return told;
}

/* Turns until so much of the store is copied. */
static void await_bytes(struct test *test, off_t bytes)
{
	struct stat st;

	while (stat(test->copy_path, &st) < 0 || st.st_size < bytes)
		loop_turn(test->f->loop);
}

static void await_copy(struct test *test)
{
	await_bytes(test, 1);
}

static struct store_batch *one_more(int number, int status)
{
	_cleanup_free_ char *id = operation_id(number);
	struct store_batch *batch = store_batch_new("more");

	put_operation(batch, id, status, VM_A, 0);
	return batch;
}

static void assert_in_backup(struct test *test, int number)
{
	_cleanup_free_ char *url = xasprintf("sqlite://%s", test->target_path);
	_cleanup_free_ char *id = operation_id(number);
	struct fixture backup = { .loop = test->f->loop };
	struct err err = { 0 };
	struct list list;

	backup.store = store_open(backup.loop, &(struct store_options){ .url = url }, &err);
	assert_ok(err);
	list = fixture_find(&backup, id);
	assert_int_equal(list.count, 1);
	list_clear(&list);
	store_close(backup.store);
}

/* Commits land between two steps, and a batch that is undone there leaves the copy whole. */
static void a_backup_has_all_that_was_answered_before_its_end(void **state)
{
	struct test *test = *state;
	struct answer first, refused, second;
	struct told told = { .loop = test->f->loop };
	struct stat st;

	snapshot_start(test->snapshots, test->target, on_snapshot, &told);
	await_copy(test);
	assert_ok(fixture_commit(test->f, batch_with_mapping("volume-1", VM_A, "/dev/vdb")));
	fixture_submit(test->f, one_more(OPERATIONS, OPERATION_PENDING), &first);
	fixture_submit(test->f, batch_with_mapping("volume-2", VM_A, "/dev/vdb"), &refused);
	fixture_submit(test->f, one_more(OPERATIONS + 1, OPERATION_PENDING), &second);
	fixture_wait_answer(test->f, &second);
	assert_false(told.done);
	assert_ok(first.err);
	assert_int_equal(refused.err.code, ERR_CONFLICT);
	assert_ok(second.err);
	fixture_wait(test->f, &told.done);
	assert_ok(told.err);
	assert_int_equal(told.rows, OPERATIONS + 3);
	assert_int_equal(told.faults, 0);
	assert_int_equal(fstat(test->target, &st), 0);
	assert_int_equal(told.bytes, st.st_size);
	assert_in_backup(test, 0);
	assert_in_backup(test, OPERATIONS);
	assert_in_backup(test, OPERATIONS + 1);
	free(told.newest);
}

/* Another program spoils the copy while it is made. */
static void assert_not_done(struct test *test, void (*spoil)(const char *path))
{
	struct told told = { .loop = test->f->loop };
	struct stat st;

	snapshot_start(test->snapshots, test->target, on_snapshot, &told);
	await_bytes(test,
		    100 * 4096); /* SQLite has written the first pages, and keeps later ones */
	spoil(test->copy_path);
	fixture_wait(test->f, &told.done);
	assert_int_equal(told.err.code, ERR_UNAVAILABLE);
	free(told.newest);
	assert_int_equal(fstat(test->target, &st), 0);
	assert_int_equal(st.st_size, 0);
	told = ask(test, test->target);
	assert_ok(told.err);
	free(told.newest);
	assert_int_equal(ftruncate(test->target, 0), 0);
}

static void cut(const char *path)
{
	assert_int_equal(truncate(path, 8192), 0);
}

static void overwrite(const char *path)
{
	static const char noise[4096] = { 1, 2, 3 };
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_int_equal(pwrite(fd, noise, sizeof(noise), 40960), sizeof(noise));
	close(fd);
}

static void a_spoilt_copy_is_no_backup(void **state)
{
	assert_not_done(*state, cut);
	assert_not_done(*state, overwrite);
}

static void a_check_writes_nothing(void **state)
{
	struct test *test = *state;
	struct told told = ask(test, -1);

	assert_ok(told.err);
	assert_int_equal(told.rows, OPERATIONS);
	free(told.newest);
	assert_int_equal(access(test->copy_path, F_OK), -1);
}

static void there_is_one_at_a_time(void **state)
{
	struct test *test = *state;
	struct told first = { .loop = test->f->loop }, second;

	snapshot_start(test->snapshots, test->target, on_snapshot, &first);
	second = ask(test, -1);
	assert_int_equal(second.err.code, ERR_TOO_MANY);
	fixture_wait(test->f, &first.done);
	assert_ok(first.err);
	free(first.newest);
}

/* At each stage: the next snapshot works, and nothing is left of the first. */
static void a_cancelled_snapshot_leaves_nothing(void **state)
{
	struct test *test = *state;
	struct told never = { .loop = test->f->loop }, told;
	struct snapshot *snapshot;

	snapshot = snapshot_start(test->snapshots, test->target, on_snapshot, &never);
	snapshot_cancel(snapshot);
	snapshot = snapshot_start(test->snapshots, test->target, on_snapshot, &never);
	await_copy(test);
	snapshot_cancel(snapshot);
	while (access(test->copy_path, F_OK) == 0)
		loop_turn(test->f->loop);
	told = ask(test, test->target);
	assert_ok(told.err);
	free(told.newest);
	snapshot = snapshot_start(test->snapshots, -1, on_snapshot, &never);
	assert_int_equal(ask(test, -1).err.code, ERR_TOO_MANY);
	snapshot_cancel(snapshot);
	assert_false(never.done);
}

static void a_store_that_closes_ends_the_copy(void **state)
{
	struct test *test = *state;
	struct told told = { .loop = test->f->loop };

	snapshot_start(test->snapshots, test->target, on_snapshot, &told);
	await_copy(test);
	fixture_close(test->f);
	assert_true(told.done);
	assert_int_equal(told.err.code, ERR_UNAVAILABLE);
}

static void a_copy_that_a_crash_left_is_removed_at_the_start(void **state)
{
	struct test *test = *state;

	fixture_close(test->f);
	close(open(test->copy_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	fixture_open(test->f);
	assert_int_equal(access(test->copy_path, F_OK), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* A file that the daemon cannot keep open must not look as if only a check were wanted. */
static void a_lack_of_descriptors_is_told(void **state)
{
	struct test *test = *state;
	struct told told = { .loop = test->f->loop };
	int next = dup(test->target);
	struct rlimit limit, full;

	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	full = limit;
	full.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &full), 0);
	snapshot_start(test->snapshots, test->target, on_snapshot, &told);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	fixture_wait(test->f, &told.done);
	assert_int_equal(told.err.code, ERR_UNAVAILABLE);
	free(told.newest);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_backup_has_all_that_was_answered_before_its_end),
		TEST(a_spoilt_copy_is_no_backup),
		TEST(a_check_writes_nothing),
		TEST(there_is_one_at_a_time),
		TEST(a_cancelled_snapshot_leaves_nothing),
		TEST(a_store_that_closes_ends_the_copy),
		TEST(a_copy_that_a_crash_left_is_removed_at_the_start),
		TEST(a_lack_of_descriptors_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
