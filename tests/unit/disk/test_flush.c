/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A disk is flushed, or it is said that it is not. The disk is a file; the linker puts __wrap_fsync
 * and __wrap_ioctl in front of the real ones, which make a block device of it that fails or hangs
 * at the test's will.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "disk/flush.h"
#include "tree.h"

#define TIMEOUT_MS 5000

/* ---- the disk ---- */

static atomic_int fsync_errno, ioctl_errno; /* what it fails with, 0: it does not */
static atomic_bool hanging, is_block;
static atomic_int synced, dropped;
static atomic_int dropped_before_sync;
static struct stat flushed; /* what was synced last */
/* the names of what was to be synced, each with a blank behind it */
static char tried[64];
static sem_t entered, gate, left; /* of one that hangs */

int __real_fsync(int fd);
int __wrap_fsync(int fd);

static void note_try(int fd)
{
	_cleanup_free_ char *link = xasprintf("/proc/self/fd/%d", fd);
	char path[256];
	ssize_t length = readlink(link, path, sizeof(path) - 1);

	path[length > 0 ? length : 0] = '\0';
	snprintf(tried + strlen(tried), sizeof(tried) - strlen(tried), "%s ",
		 strrchr(path, '/') + 1);
}

int __wrap_fsync(int fd)
{
	if (!atomic_load(&hanging))
		note_try(fd);
	if (atomic_load(&hanging)) {
		sem_post(&entered);
		sem_wait(&gate);
		sem_post(&left);
		errno = EIO;
		return -1;
	}
	if (atomic_load(&fsync_errno)) {
		errno = atomic_load(&fsync_errno);
		return -1;
	}
	if (__real_fsync(fd) < 0 || fstat(fd, &flushed) < 0)
		return -1;
	atomic_fetch_add(&synced, 1);
	return 0;
}

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	if (request != BLKFLSBUF || !atomic_load(&is_block))
		return __real_ioctl(fd, request, 0);
	if (atomic_load(&ioctl_errno)) {
		errno = atomic_load(&ioctl_errno);
		return -1;
	}
	if (atomic_fetch_add(&dropped, 1) >= atomic_load(&synced))
		atomic_store(&dropped_before_sync, 1);
	return 0;
}

/* ---- the scene ---- */

struct scene {
	struct tree tree;
	struct loop *loop;
	struct flusher *flusher;
	char *path;
	int answers, wanted;
	struct err err;
};

static int setup(void **state)
{
	struct scene *scene = xnew(struct scene);
	struct usage_options options = { .timeout_ms = TIMEOUT_MS, .setting = "device.wait" };

	tried[0] = '\0';
	clock_test_start(1000000, 1700000000000);
	fsync_errno = ioctl_errno = synced = dropped = dropped_before_sync = 0;
	hanging = false;
	is_block = true;
	sem_init(&entered, 0, 0);
	sem_init(&gate, 0, 0);
	sem_init(&left, 0, 0);
	tree_make(&scene->tree);
	tree_write(&scene->tree, "vdb", "data");
	scene->path = tree_path(&scene->tree, "vdb");
	scene->loop = loop_new();
	options.sysfs_root = options.dev_root = options.proc_root = scene->tree.root;
	scene->flusher = flusher_new(scene->loop, &options);
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	flusher_free(scene->flusher);
	loop_free(scene->loop);
	tree_destroy(&scene->tree);
	free(scene->path);
	free(scene);
	return 0;
}

static void on_done(void *arg, const struct err *err)
{
	struct scene *scene = arg;

	scene->answers++;
	scene->err = *err;
	if (scene->answers == scene->wanted)
		loop_stop(scene->loop);
}

static struct flush *start(struct scene *scene)
{
	return flush_start(scene->flusher, scene->path, on_done, scene);
}

/* Runs the loop until so many answers are there; really waits for the threads. */
static void wait_for_answers(struct scene *scene, int answers)
{
	scene->wanted = answers;
	if (scene->answers < answers)
		loop_run(scene->loop);
	assert_int_equal(scene->answers, answers);
}

static const struct err *flush_upper(struct scene *scene)
{
	int before = scene->answers;

	flush_upper_start(scene->flusher, "vdb", on_done, scene);
	assert_int_equal(scene->answers, before);
	wait_for_answers(scene, before + 1);
	return &scene->err;
}

static const struct err *flush(struct scene *scene)
{
	int before = scene->answers;

	start(scene);
	assert_int_equal(scene->answers, before); /* never inside the call */
	wait_for_answers(scene, before + 1);
	return &scene->err;
}

static void start_hanging(struct scene *scene)
{
	atomic_store(&hanging, true);
	start(scene);
	loop_turn(scene->loop);
	sem_wait(&entered);
	atomic_store(&hanging, false);
}

static void release(void)
{
	sem_post(&gate);
	sem_wait(&left);
}

static void advance(struct scene *scene, int64_t ms)
{
	clock_test_advance(ms);
	loop_turn(scene->loop);
}

/* ---- what is done ---- */

static void test_disk(void **state)
{
	struct scene *scene = *state;
	struct stat st;

	assert_int_equal(flush(scene)->code, ERR_NONE);
	assert_int_equal(synced, 1);
	assert_int_equal(dropped, 1);
	assert_int_equal(dropped_before_sync, 0);
	assert_int_equal(stat(scene->path, &st), 0);
	assert_int_equal(flushed.st_ino, st.st_ino);
}

static void test_file(void **state)
{
	struct scene *scene = *state;

	is_block = false;
	assert_int_equal(flush(scene)->code, ERR_NONE);
	assert_int_equal(synced, 1);
}

static void expect_failure(struct scene *scene, enum err_code code, const char *text)
{
	assert_int_equal(flush(scene)->code, code);
	assert_non_null(strstr(scene->err.text, scene->path));
	if (!strstr(scene->err.text, text))
		fail_msg("\"%s\" is not in \"%s\"", text, scene->err.text);
}

static void test_failures(void **state)
{
	struct scene *scene = *state;

	fsync_errno = EIO;
	expect_failure(scene, ERR_UNAVAILABLE, "not all data written");
	assert_int_equal(dropped, 0); /* what could not be written is not thrown away */
	fsync_errno = 0;
	ioctl_errno = EACCES;
	expect_failure(scene, ERR_UNAVAILABLE, "cannot be dropped");
	ioctl_errno = ENXIO;
	expect_failure(scene, ERR_NOT_FOUND, "cannot be dropped");
	tree_unlink(&scene->tree, "vdb");
	expect_failure(scene, ERR_NOT_FOUND, "cannot be opened");
}

/* A volume group on a partition, a file system on one of its volumes. */
static void pile_up(struct scene *scene)
{
	tree_write(&scene->tree, "block/vdb/dev", "254:16\n");
	tree_write(&scene->tree, "block/vdb/vdb1/dev", "254:17\n");
	tree_write(&scene->tree, "block/vdb/vdb1/partition", "1\n");
	tree_folder(&scene->tree, "block/vdb/vdb1/holders/dm-3");
	tree_write(&scene->tree, "block/dm-3/dev", "253:3\n");
	tree_write(&scene->tree, "block/dm-3/dm/name", "vg-data\n");
	tree_write(&scene->tree, "vdb1", "data");
	tree_write(&scene->tree, "dm-3", "data");
}

static void test_upper(void **state)
{
	struct scene *scene = *state;

	pile_up(scene);
	assert_int_equal(flush_upper(scene)->code, ERR_NONE);
	assert_string_equal(tried, "dm-3 vdb1 ");
	assert_int_equal(dropped, 2);
	assert_int_equal(dropped_before_sync, 0);
}

static void test_upper_failures(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(flush_upper(scene)->code, ERR_NOT_FOUND); /* no such disk */
	pile_up(scene);
	fsync_errno = EIO;
	assert_int_equal(flush_upper(scene)->code, ERR_UNAVAILABLE);
	assert_non_null(strstr(scene->err.text, "/dm-3 is on it"));
	assert_string_equal(tried, "dm-3 vdb1 ");
	/* What has just gone needs no flush. */
	fsync_errno = 0;
	tree_unlink(&scene->tree, "dm-3");
	assert_int_equal(flush_upper(scene)->code, ERR_NONE);
	assert_string_equal(tried, "dm-3 vdb1 vdb1 ");
}

/* ---- when it hangs ---- */

static void test_deadline(void **state)
{
	struct scene *scene = *state;

	tree_write(&scene->tree, "block/vdb/inflight", "       3       12\n");
	start_hanging(scene);
	assert_int_equal(flush(scene)->code, ERR_NONE); /* another is not held up */
	advance(scene, TIMEOUT_MS - 1);
	assert_int_equal(scene->answers, 1);
	advance(scene, 1);
	assert_int_equal(scene->answers, 2);
	assert_int_equal(scene->err.code, ERR_TIMEOUT);
	assert_non_null(strstr(scene->err.text, scene->path));
	assert_non_null(strstr(scene->err.text,
			       "did not end within 5000 ms (device.wait); last seen: 3 reads and "
			       "12 writes under way on vdb"));
	release();
	assert_int_equal(flush(scene)->code, ERR_NONE);
	assert_int_equal(scene->answers, 3);
}

static void test_all_stuck(void **state)
{
	struct scene *scene = *state;

	for (int i = 0; i < FLUSH_STUCK_MAX; i++) {
		start_hanging(scene);
		advance(scene, TIMEOUT_MS);
		assert_int_equal(scene->err.code, ERR_TIMEOUT);
	}
	assert_int_equal(flush(scene)->code, ERR_UNAVAILABLE);
	for (int i = 0; i < FLUSH_STUCK_MAX; i++)
		release();
}

static void test_cancel(void **state)
{
	struct scene *scene = *state;

	flush_cancel(start(scene));
	start(scene);
	wait_for_answers(scene, 1);
	/* Dropped with the flusher, which does not wait for the disk. */
	start_hanging(scene);
	start(scene);
	scene->flusher = flusher_free(scene->flusher);
	release();
	assert_int_equal(scene->answers, 1);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(test_##NAME, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(disk),           TEST(file),     TEST(failures),  TEST(upper),
		TEST(upper_failures), TEST(deadline), TEST(all_stuck), TEST(cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
