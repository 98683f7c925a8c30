/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The scan for users of a disk as the loop sees it: made on a thread, made again, given up. While a
 * check pauses between two scans the loop is stopped (the linker puts __wrap_loop_timer_set in
 * front of the real one).
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "usage_scene.h"

/* ---- the loop ---- */

static int64_t pause_ms; /* for which a check has set a timer that is no deadline */

void __real_loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t delay_ms);
void __wrap_loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t delay_ms);

void __wrap_loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t delay_ms)
{
	__real_loop_timer_set(loop, timer, delay_ms);
	if (delay_ms == TIMEOUT_MS)
		return;
	pause_ms = delay_ms;
	loop_stop(loop);
}

/* ---- the checker ---- */

static void on_done(void *arg, const struct usage_result *result)
{
	struct scene *scene = arg;

	scene->answers++;
	scene->err = result->err;
	scene->kind = result->kind;
	snprintf(scene->what, sizeof(scene->what), "%s", result->what);
	if (scene->answers == scene->wanted)
		loop_stop(scene->loop);
}

static struct usage_check *start(struct scene *scene, const char *name)
{
	struct usage_ignore nothing = { 0 };

	return usage_check_start(scene->checker, name, &nothing, on_done, scene);
}

/* Runs the loop until so many answers are there; really waits for the worker. */
static void wait_for_answers(struct scene *scene, int answers)
{
	scene->wanted = answers;
	if (scene->answers < answers)
		loop_run(scene->loop);
	assert_int_equal(scene->answers, answers);
}

static void test_asked(void **state)
{
	struct scene *scene = *state;

	mounts(scene, "30 26 254:16 / /mnt/x rw - ext4 /dev/vdb rw\n");
	start(scene, "vdb");
	assert_int_equal(scene->answers, 0); /* never inside the call */
	wait_for_answers(scene, 1);
	assert_int_equal(scene->kind, USAGE_HELD);
	assert_string_equal(scene->what, "mounted at /mnt/x");
	start(scene, "vda");
	wait_for_answers(scene, 2);
	assert_int_equal(scene->kind, USAGE_ROOT);
	start(scene, "vdc");
	wait_for_answers(scene, 3);
	assert_int_equal(scene->kind, USAGE_NONE);
	start(scene, "vdz");
	wait_for_answers(scene, 4);
	assert_int_equal(scene->err.code, ERR_NOT_FOUND);
}

/* Until a scan has found what may be over in a moment; then time stands still for as long as the
 * test likes. */
static void until_it_pauses(struct scene *scene)
{
	pause_ms = 0;
	scene->wanted = 1; /* an answer would end the wait, too */
	loop_run(scene->loop);
	assert_true(pause_ms > 0);
	assert_int_equal(scene->answers, 0);
}

static void advance(struct scene *scene, int64_t ms)
{
	clock_test_advance(ms);
	loop_turn(scene->loop);
}

static void somebody_opens(struct scene *scene)
{
	process(scene, "4711", "lvm", OUR_NAMESPACE, "");
	opens(scene, "4711", "3", "254:16");
}

static void test_passing_opener(void **state)
{
	struct scene *scene = *state;

	somebody_opens(scene);
	start(scene, "vdb");
	until_it_pauses(scene);
	advance(scene, pause_ms);
	until_it_pauses(scene);
	tree_unlink(&scene->tree, "proc/4711/fd/3");
	clock_test_advance(pause_ms);
	wait_for_answers(scene, 1);
	assert_int_equal(scene->kind, USAGE_NONE);
	assert_string_equal(scene->what, "");
}

static void test_lasting_opener(void **state)
{
	struct scene *scene = *state;

	somebody_opens(scene);
	start(scene, "vdb");
	until_it_pauses(scene);
	clock_test_advance(USAGE_PATIENCE_MS);
	wait_for_answers(scene, 1);
	assert_int_equal(scene->kind, USAGE_HELD);
	assert_string_equal(scene->what, "opened by lvm (pid 4711)");
}

/* What shows in between is told at once. */
static void test_mounted_in_between(void **state)
{
	struct scene *scene = *state;

	somebody_opens(scene);
	start(scene, "vdb");
	until_it_pauses(scene);
	mounts(scene, "30 26 254:16 / /mnt/x rw - ext4 /dev/vdb rw\n");
	clock_test_advance(pause_ms);
	wait_for_answers(scene, 1);
	assert_string_equal(scene->what, "mounted at /mnt/x, opened by lvm (pid 4711)");
}

static void test_cancelled(void **state)
{
	struct scene *scene = *state;
	struct usage_check *check;

	somebody_opens(scene);
	check = start(scene, "vdb");
	until_it_pauses(scene);
	usage_check_cancel(check);
	usage_check_cancel(start(scene, "vda"));
	start(scene, "vdc");
	wait_for_answers(scene, 1); /* of the last one alone */
	assert_int_equal(scene->kind, USAGE_NONE);
	start(scene, "vdb"); /* dropped with the checker */
}

/* A /proc that does not answer: a FIFO that nobody writes. Returns its other end once the scan is
 * there. */
static int hang(struct scene *scene)
{
	_cleanup_free_ char *path = tree_path(&scene->tree, "proc/swaps");
	int writer;

	tree_unlink(&scene->tree, "proc/swaps");
	assert_int_equal(mkfifo(path, 0600), 0);
	loop_turn(scene->loop);
	writer = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(writer >= 0);
	tree_unlink(&scene->tree, "proc/swaps");
	swaps(scene, "");
	return writer;
}

static void test_hanging(void **state)
{
	struct scene *scene = *state;
	int writer;

	start(scene, "vdb");
	writer = hang(scene);
	advance(scene, TIMEOUT_MS - 1);
	assert_int_equal(scene->answers, 0);
	advance(scene, 1);
	assert_int_equal(scene->answers, 1);
	assert_int_equal(scene->err.code, ERR_TIMEOUT);
	assert_non_null(strstr(scene->err.text, "vdb"));
	/* Another one is not held up by it. */
	start(scene, "vdc");
	wait_for_answers(scene, 2);
	assert_int_equal(scene->err.code, ERR_NONE);
	assert_int_equal(scene->kind, USAGE_NONE);
	close(writer);
}

static void test_cancelled_while_hanging(void **state)
{
	struct scene *scene = *state;
	struct usage_check *check = start(scene, "vdb");
	int writer = hang(scene);

	usage_check_cancel(check);
	start(scene, "vda");
	close(writer);
	wait_for_answers(scene, 1);
	assert_int_equal(scene->kind, USAGE_ROOT);
}

/* The daemon's connections may take every descriptor that it can have. */
static void test_out_of_descriptors(void **state)
{
	struct scene *scene = *state;
	struct rlimit limit, low;
	int taken[64], count = 0;

	start(scene, "vdc"); /* the worker has its own descriptor */
	wait_for_answers(scene, 1);
	process(scene, "800", "dd", OUR_NAMESPACE, "");
	mounts(scene, "30 26 254:16 / /mnt/x rw - ext4 /dev/vdb rw\n");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = (struct rlimit){ .rlim_cur = ARRAY_SIZE(taken), .rlim_max = limit.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	while (count < (int)ARRAY_SIZE(taken) && (taken[count] = dup(STDERR_FILENO)) >= 0)
		count++;
	assert_int_equal(errno, EMFILE);
	start(scene, "vdb");
	wait_for_answers(scene, 2);
	while (count > 0)
		close(taken[--count]);
	setrlimit(RLIMIT_NOFILE, &limit);
	assert_int_equal(scene->err.code, ERR_NONE);
	assert_string_equal(scene->what, "mounted at /mnt/x");
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(test_##NAME, scene_setup, scene_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(asked),          TEST(out_of_descriptors),      TEST(passing_opener),
		TEST(lasting_opener), TEST(mounted_in_between),      TEST(cancelled),
		TEST(hanging),        TEST(cancelled_while_hanging),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
