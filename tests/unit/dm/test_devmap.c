/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Verbs on maps in their queue, and what happens when device mapper does not answer. Device mapper
 * itself is a fake; the real one is met in tests/system/lab.
 */

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/clock.h"
#include "dm/node.h"
#include "fake_devmap.h"
#include "tree.h"

#define TIMEOUT_MS 5000
#define COOKIE_MS 2000

#define SIZE (1u << 20)

/* Two volumes that begin alike. */
static const char volume_a[] = "0abcdef0-1111-4111-8111-111111111111";
static const char volume_b[] = "0abcdef0-2222-4222-8222-222222222222";

/* ---- the scene ---- */

struct scene {
	struct tree tree;
	struct loop *loop;
	struct fake_devmap *fake;
	struct devmap *devmap;
	int answers, wanted;
	struct err err; /* of the last answer */
	struct devmap_map maps[4];
	size_t map_count;
	struct devmap_call *to_cancel; /* by the next answer */
	char order[64];                /* the marks of the answers, one behind the other */
};

static struct devmap *new_devmap(struct scene *scene, int64_t timeout_ms, int64_t cookie_ms)
{
	const struct devmap_options options = { .timeout_ms = timeout_ms, .cookie_ms = cookie_ms };

	return devmap_new_with(scene->loop, &options, &fake_devmap_backend, scene->fake);
}

static int setup(void **state)
{
	struct scene *scene = xnew(struct scene);

	clock_test_start(1000000, 1700000000000);
	tree_make(&scene->tree);
	scene->loop = loop_new();
	scene->fake = fake_devmap_new();
	scene->devmap = new_devmap(scene, TIMEOUT_MS, COOKIE_MS);
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	devmap_free(scene->devmap);
	fake_devmap_free(scene->fake);
	loop_free(scene->loop);
	tree_destroy(&scene->tree);
	free(scene);
	return 0;
}

static void on_answer(struct scene *scene, const struct err *err)
{
	scene->answers++;
	scene->err = *err;
	if (scene->to_cancel)
		devmap_cancel(TAKE_PTR(scene->to_cancel));
	if (scene->answers == scene->wanted)
		loop_stop(scene->loop);
}

static void on_done(void *arg, const struct err *err)
{
	on_answer(arg, err);
}

static void on_listed(void *arg, const struct devmap_map *maps, size_t count, const struct err *err)
{
	struct scene *scene = arg;

	assert_true(count <= ARRAY_SIZE(scene->maps));
	scene->map_count = count;
	if (count)
		memcpy(scene->maps, maps, count * sizeof(maps[0]));
	on_answer(scene, err);
}

/* Runs the loop until so many answers are there; really waits for the worker. */
static void wait_for_answers(struct scene *scene, int answers)
{
	scene->wanted = answers;
	if (scene->answers < answers)
		loop_run(scene->loop);
	assert_int_equal(scene->answers, answers);
}

static void advance(struct scene *scene, int64_t ms)
{
	clock_test_advance(ms);
	while (loop_turn(scene->loop))
		;
}

static struct devmap_call *start_activate(struct scene *scene, const char *volume_id)
{
	char name[16];

	snprintf(name, sizeof(name), "vol%.12s", volume_id);
	return devmap_activate(scene->devmap, name, volume_id, "254:16", SIZE, on_done, scene);
}

/* The answer to what was just asked. */
static enum err_code answer(struct scene *scene)
{
	wait_for_answers(scene, scene->answers + 1);
	return scene->err.code;
}

static enum err_code activate(struct scene *scene, const char *volume_id)
{
	start_activate(scene, volume_id);
	return answer(scene);
}

static size_t list(struct scene *scene)
{
	devmap_list(scene->devmap, on_listed, scene);
	assert_int_equal(answer(scene), ERR_NONE);
	return scene->map_count;
}

/* Until the thread that was let go is known to be back. */
static void activate_until_free(struct scene *scene, const char *volume_id)
{
	for (int i = 0; i < 1000000 && activate(scene, volume_id) == ERR_UNAVAILABLE; i++)
		sched_yield();
	assert_int_equal(scene->err.code, ERR_NONE);
}

/* ---- what is asked is done ---- */

static void test_life_of_a_map(void **state)
{
	struct scene *scene = *state;
	struct devmap_map map;

	assert_int_equal(list(scene), 0);
	start_activate(scene, volume_a);
	assert_int_equal(scene->answers, 1); /* never inside the call */
	assert_int_equal(answer(scene), ERR_NONE);
	assert_true(fake_devmap_get(scene->fake, volume_a, &map));
	assert_string_equal(map.name, "vol0abcdef0-111");
	assert_string_equal(map.device, "254:16");
	assert_int_equal(map.size, SIZE);

	devmap_suspend(scene->devmap, volume_a, on_done, scene);
	assert_int_equal(answer(scene), ERR_NONE);
	fake_devmap_put_foreign(scene->fake, "root");
	assert_int_equal(list(scene), 1);
	assert_string_equal(scene->maps[0].volume_id, volume_a);
	assert_true(scene->maps[0].suspended);

	devmap_wipe(scene->devmap, volume_a, on_done, scene);
	assert_int_equal(answer(scene), ERR_NONE);
	assert_int_equal(list(scene), 1);
	assert_int_equal(scene->maps[0].target, DEVMAP_ERROR);

	devmap_remove(scene->devmap, volume_a, on_done, scene);
	assert_int_equal(answer(scene), ERR_NONE);
	assert_int_equal(list(scene), 0);
}

static void test_refused(void **state)
{
	struct scene *scene = *state;

	fake_devmap_put_foreign(scene->fake, "vol0abcdef0-111");
	assert_int_equal(activate(scene, volume_a), ERR_CONFLICT);
	devmap_suspend(scene->devmap, volume_a, on_done, scene);
	assert_int_equal(answer(scene), ERR_NOT_FOUND);
	assert_int_equal(activate(scene, volume_b), ERR_NONE);
	fake_devmap_set_open(scene->fake, volume_b, 1);
	devmap_remove(scene->devmap, volume_b, on_done, scene);
	assert_int_equal(answer(scene), ERR_CONFLICT);
	fake_devmap_fail(scene->fake, FAKE_LIST, 1, ERR_UNAVAILABLE);
	devmap_list(scene->devmap, on_listed, scene);
	assert_int_equal(answer(scene), ERR_UNAVAILABLE);
	assert_int_equal(scene->map_count, 0);
	assert_int_equal(list(scene), 1);
}

static void on_marked(struct scene *scene, const char *mark, const struct err *err)
{
	assert_int_equal(err->code, ERR_NONE);
	strcat(scene->order, mark);
	on_answer(scene, err);
}

static void on_activated(void *arg, const struct err *err)
{
	on_marked(arg, "activate ", err);
}

static void on_suspended(void *arg, const struct err *err)
{
	on_marked(arg, "suspend ", err);
}

static void on_removed(void *arg, const struct err *err)
{
	on_marked(arg, "remove ", err);
}

static void test_one_after_the_other(void **state)
{
	struct scene *scene = *state;

	devmap_activate(scene->devmap, "a", volume_a, "254:16", SIZE, on_activated, scene);
	devmap_suspend(scene->devmap, volume_a, on_suspended, scene);
	devmap_activate(scene->devmap, "a", volume_a, "254:32", 2 * SIZE, on_activated, scene);
	devmap_activate(scene->devmap, "b", volume_b, "254:48", SIZE, on_activated, scene);
	devmap_remove(scene->devmap, volume_b, on_removed, scene);
	wait_for_answers(scene, 5);
	assert_string_equal(scene->order, "activate suspend activate activate remove ");
	assert_int_equal(list(scene), 1);
	assert_string_equal(scene->maps[0].device, "254:32");
	assert_int_equal(scene->maps[0].size, 2 * SIZE);
	assert_false(scene->maps[0].suspended);
}

static void test_a_lie_is_found(void **state)
{
	struct scene *scene = *state;

	fake_devmap_lie(scene->fake, FAKE_ACTIVATE, 1);
	assert_int_equal(activate(scene, volume_a), ERR_NONE);
	assert_int_equal(list(scene), 0);
	assert_int_equal(activate(scene, volume_a), ERR_NONE);
	assert_int_equal(list(scene), 1);
}

/* ---- when it hangs ---- */

static void start_hanging(struct scene *scene, const char *volume_id, int hanging)
{
	fake_devmap_hang(scene->fake, FAKE_ACTIVATE);
	start_activate(scene, volume_id);
	while (loop_turn(scene->loop))
		;
	fake_devmap_wait_hanging(scene->fake, hanging);
}

static void test_deadline(void **state)
{
	struct scene *scene = *state;

	start_hanging(scene, volume_a, 1);
	advance(scene, TIMEOUT_MS - 1);
	assert_int_equal(scene->answers, 0);
	advance(scene, 1);
	assert_int_equal(scene->answers, 1);
	assert_int_equal(scene->err.code, ERR_TIMEOUT);
	assert_non_null(strstr(scene->err.text, volume_a));

	/* One thread a volume: this one is refused, and nobody else is. */
	assert_int_equal(activate(scene, volume_a), ERR_UNAVAILABLE);
	assert_non_null(strstr(scene->err.text, volume_a));
	assert_int_equal(activate(scene, volume_b), ERR_NONE);
	assert_int_equal(list(scene), 1);

	/* What it does in the end is found. */
	fake_devmap_release(scene->fake);
	assert_int_equal(list(scene), 2);
	activate_until_free(scene, volume_a);
}

/* Those behind the hanging one have a full deadline of their own. */
static void test_queue_behind(void **state)
{
	struct scene *scene = *state;

	start_hanging(scene, volume_a, 1);
	start_activate(scene, volume_b);
	devmap_suspend(scene->devmap, volume_a, on_done, scene);
	devmap_list(scene->devmap, on_listed, scene);
	clock_test_advance(TIMEOUT_MS);
	wait_for_answers(scene, 2);
	assert_int_equal(scene->err.code, ERR_NONE);
	wait_for_answers(scene, 3);
	assert_int_equal(scene->err.code, ERR_UNAVAILABLE);
	wait_for_answers(scene, 4);
	assert_int_equal(scene->map_count, 1);
}

static void test_in_time(void **state)
{
	struct scene *scene = *state;

	start_hanging(scene, volume_a, 1);
	advance(scene, TIMEOUT_MS - 1);
	fake_devmap_release(scene->fake);
	assert_int_equal(answer(scene), ERR_NONE);
	/* Its deadline is over with it. */
	advance(scene, TIMEOUT_MS);
	assert_int_equal(scene->answers, 1);
}

static void test_all_stuck(void **state)
{
	struct scene *scene = *state;
	char volume[37];

	for (int i = 0; i < DEVMAP_HUNG_MAX; i++) {
		snprintf(volume, sizeof(volume), "%dabcdef1-1111-4111-8111-111111111111", i);
		start_hanging(scene, volume, i + 1);
		advance(scene, TIMEOUT_MS);
		assert_int_equal(scene->answers, i + 1);
		assert_int_equal(scene->err.code, ERR_TIMEOUT);
	}
	/* No more threads, for whatever it is; and one that is refused cancels another. */
	assert_int_equal(activate(scene, volume_a), ERR_UNAVAILABLE);
	devmap_list(scene->devmap, on_listed, scene);
	scene->to_cancel = start_activate(scene, volume_b);
	assert_int_equal(answer(scene), ERR_UNAVAILABLE);
	advance(scene, 0);
	assert_int_equal(scene->answers, DEVMAP_HUNG_MAX + 2);
	fake_devmap_release(scene->fake);
	activate_until_free(scene, volume_a);
}

/* ---- udevd ---- */

/* Sends what is logged to a file from now on; returns what standard error was. */
static int catch_log(struct scene *scene)
{
	_cleanup_free_ char *path = tree_path(&scene->tree, "log");
	int before = dup(STDERR_FILENO),
	    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	assert_true(before >= 0 && fd >= 0 && dup2(fd, STDERR_FILENO) >= 0);
	close(fd);
	return before;
}

static int logged(struct scene *scene, const char *word)
{
	_cleanup_free_ char *path = tree_path(&scene->tree, "log"),
			    *text = read_file_at(AT_FDCWD, path, 1 << 20, NULL);
	int count = 0;

	assert_non_null(text);
	for (const char *at = text; (at = strstr(at, word)); at++)
		count++;
	return count;
}

/* An activation that waits for udevd, up to the moment in which that is given up. */
static void activate_without_udev(struct scene *scene, const char *volume_id)
{
	int before = scene->answers;

	start_activate(scene, volume_id);
	while (loop_turn(scene->loop))
		;
	fake_devmap_wait_hanging(scene->fake, 1);
	advance(scene, COOKIE_MS - 1);
	assert_int_equal(scene->answers, before);
	fake_devmap_wait_hanging(scene->fake, 1);
	clock_test_advance(1);
	assert_int_equal(answer(scene), ERR_NONE);
}

static void test_udev_is_silent(void **state)
{
	struct scene *scene = *state;
	int stderr_before = catch_log(scene), count;

	fake_devmap_silence_udev(scene->fake, true);
	activate_without_udev(scene, volume_a);
	activate_without_udev(scene, volume_b);
	count = logged(scene, "udevd has not answered");
	/* It answers again, and is silent again. */
	fake_devmap_silence_udev(scene->fake, false);
	assert_int_equal(activate(scene, volume_a), ERR_NONE);
	fake_devmap_silence_udev(scene->fake, true);
	activate_without_udev(scene, volume_a);
	dup2(stderr_before, STDERR_FILENO);
	close(stderr_before);
	assert_int_equal(count, 1);
	assert_int_equal(logged(scene, "udevd has not answered"), 2);
	assert_int_equal(list(scene), 2);
}

/* A verb that comes as far as udevd late is given the full time there. */
static void test_udev_is_silent_late(void **state)
{
	struct scene *scene = *state;
	struct devmap_map map;

	fake_devmap_silence_udev(scene->fake, true);
	start_hanging(scene, volume_a, 1);
	advance(scene, COOKIE_MS / 2);
	fake_devmap_go_on(scene->fake);
	while (!fake_devmap_get(scene->fake, volume_a, &map))
		sched_yield();
	advance(scene, COOKIE_MS - 1);
	fake_devmap_wait_hanging(scene->fake, 1);
	assert_int_equal(scene->answers, 0);
	clock_test_advance(1);
	assert_int_equal(answer(scene), ERR_NONE);
}

/* Also when nobody waits for the verb any more. */
static void test_udev_is_silent_for_a_stuck_one(void **state)
{
	struct scene *scene = *state;

	devmap_free(scene->devmap);
	scene->devmap = new_devmap(scene, TIMEOUT_MS, 2 * TIMEOUT_MS);
	fake_devmap_silence_udev(scene->fake, true);
	start_activate(scene, volume_a);
	while (loop_turn(scene->loop))
		;
	fake_devmap_wait_hanging(scene->fake, 1);
	advance(scene, TIMEOUT_MS);
	assert_int_equal(scene->err.code, ERR_TIMEOUT);
	assert_int_equal(list(scene), 1);
	advance(scene, TIMEOUT_MS);
	fake_devmap_wait_hanging(scene->fake, 0);
}

/* ---- cancelling and ending ---- */

static void test_cancel(void **state)
{
	struct scene *scene = *state;
	struct devmap_call *running, *waiting;
	struct devmap_map map;

	devmap_cancel(start_activate(scene, volume_a)); /* before the loop turned */
	while (loop_turn(scene->loop))
		;
	fake_devmap_hang(scene->fake, FAKE_ACTIVATE);
	running = start_activate(scene, volume_a);
	while (loop_turn(scene->loop))
		;
	fake_devmap_wait_hanging(scene->fake, 1);
	waiting = start_activate(scene, volume_b);
	devmap_list(scene->devmap, on_listed, scene);
	devmap_cancel(waiting);
	devmap_cancel(running);
	fake_devmap_release(scene->fake);
	wait_for_answers(scene, 1);
	assert_int_equal(scene->map_count, 1); /* what was under way went on */
	assert_string_equal(scene->maps[0].volume_id, volume_a);
	assert_false(fake_devmap_get(scene->fake, volume_b, &map));
	assert_int_equal(fake_devmap_count(scene->fake, FAKE_ACTIVATE), 1);
}

/* A cancelled one that hangs does not block the others for ever. */
static void test_cancel_hanging(void **state)
{
	struct scene *scene = *state;
	struct devmap_call *call;

	fake_devmap_hang(scene->fake, FAKE_ACTIVATE);
	call = start_activate(scene, volume_a);
	while (loop_turn(scene->loop))
		;
	fake_devmap_wait_hanging(scene->fake, 1);
	devmap_cancel(call);
	start_activate(scene, volume_b);
	clock_test_advance(TIMEOUT_MS);
	assert_int_equal(answer(scene), ERR_NONE);
	assert_int_equal(list(scene), 1);
}

static void test_free_while_hanging(void **state)
{
	struct scene *scene = *state;

	start_hanging(scene, volume_a, 1);
	advance(scene, TIMEOUT_MS);
	start_hanging(scene, volume_b, 2);
	devmap_list(scene->devmap, on_listed, scene);
	scene->devmap = devmap_free(scene->devmap); /* does not wait for the kernel */
	fake_devmap_release(scene->fake);
	assert_int_equal(scene->answers, 1);
}

static void test_free_while_udev_is_silent(void **state)
{
	struct scene *scene = *state;

	fake_devmap_silence_udev(scene->fake, true);
	start_activate(scene, volume_a);
	while (loop_turn(scene->loop))
		;
	fake_devmap_wait_hanging(scene->fake, 1);
	scene->devmap = devmap_free(scene->devmap);
	fake_devmap_wait_hanging(scene->fake, 0); /* no thread is left behind in it */
	assert_int_equal(scene->answers, 0);
}

static void test_free_at_any_time(void **state)
{
	struct scene *scene = *state;

	scene->devmap = devmap_free(scene->devmap);
	/* The worker may not have begun, be at it, or be through; a turn may even bring the
	 * answer. */
	for (int i = 0; i < 200; i++) {
		int answers;

		scene->devmap = new_devmap(scene, TIMEOUT_MS, COOKIE_MS);
		start_activate(scene, volume_a);
		devmap_list(scene->devmap, on_listed, scene);
		if (i % 4)
			loop_turn(scene->loop);
		for (int j = 0; j < i % 10; j++)
			sched_yield();
		answers = scene->answers;
		scene->devmap = devmap_free(scene->devmap);
		loop_turn(scene->loop);
		assert_int_equal(scene->answers, answers);
	}
	assert_null(devmap_free(NULL));
}

/* ---- names without udevd ---- */

static void test_link(void **state)
{
	struct scene *scene = *state;
	_cleanup_free_ char *path = tree_path(&scene->tree, "mapper/vol1");
	char target[16] = { 0 };
	struct err err = { 0 };

	assert_int_equal(node_link(scene->tree.root, "vol1", "dm-3", 1, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, path));

	/* What was there under the name leads to no map, or to another. */
	tree_folder(&scene->tree, "mapper");
	tree_link(&scene->tree, "../dm-2", "mapper/vol1");
	assert_int_equal(node_link(scene->tree.root, "vol1", "dm-3", 1, &err), 0);
	assert_int_equal(readlink(path, target, sizeof(target)), strlen("../dm-3"));
	assert_string_equal(target, "../dm-3");
	assert_int_equal(node_link(scene->tree.root, "vol1", "dm-3", 1, &err), 0);

	node_unlink(scene->tree.root, "vol1", "dm-31");
	assert_int_equal(readlink(path, target, sizeof(target)), strlen("../dm-3"));
	node_unlink(scene->tree.root, "vol1", "dm-3");
	assert_int_equal(readlink(path, target, sizeof(target)), -1);
	node_unlink(scene->tree.root, "vol1", "dm-3");
}

/* ---- where there is none ---- */

static void test_no_device_mapper(void **state)
{
	struct scene *scene = *state;
	_cleanup_free_ char *dev = tree_path(&scene->tree, "dev");
	const struct devmap_options options = {
		.dev_root = dev, .run_root = dev, .timeout_ms = TIMEOUT_MS, .cookie_ms = COOKIE_MS
	};
	struct err err = { 0 };

	assert_null(devmap_new(scene->loop, &options, &err));
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, dev));
	/* A file of that name is none either. */
	tree_folder(&scene->tree, "dev");
	tree_folder(&scene->tree, "dev/mapper");
	tree_write(&scene->tree, "dev/mapper/control", "");
	assert_null(devmap_new(scene->loop, &options, &err));
	assert_int_equal(err.code, ERR_UNAVAILABLE);
}

int main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_life_of_a_map),
		TEST(test_refused),
		TEST(test_one_after_the_other),
		TEST(test_a_lie_is_found),
		TEST(test_deadline),
		TEST(test_queue_behind),
		TEST(test_in_time),
		TEST(test_all_stuck),
		TEST(test_udev_is_silent),
		TEST(test_udev_is_silent_late),
		TEST(test_udev_is_silent_for_a_stuck_one),
		TEST(test_cancel),
		TEST(test_cancel_hanging),
		TEST(test_free_while_hanging),
		TEST(test_free_while_udev_is_silent),
		TEST(test_free_at_any_time),
		TEST(test_link),
		TEST(test_no_device_mapper),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
