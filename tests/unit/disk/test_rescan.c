/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A disk's size is read anew when its file in sysfs is written; the errors tell whether this may
 * ever succeed. */

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "disk/rescan.h"
#include "tree.h"

#define TIMEOUT_MS 60000

struct scene {
	struct tree tree;
	struct loop *loop;
	struct rescanner *rescanner;
	bool is_answered;
	struct err err;
};

static int setup(void **state)
{
	struct scene *scene = xnew(struct scene);

	tree_make(&scene->tree);
	scene->loop = loop_new();
	scene->rescanner =
		rescanner_new(scene->loop, scene->tree.root, TIMEOUT_MS, "device.probe_timeout");
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	rescanner_free(scene->rescanner);
	loop_free(scene->loop);
	tree_destroy(&scene->tree);
	free(scene);
	return 0;
}

static void on_rescanned(void *arg, const struct err *err)
{
	struct scene *scene = arg;

	scene->is_answered = true;
	scene->err = *err;
	loop_stop(scene->loop);
}

static enum err_code rescan(struct scene *scene, const char *name)
{
	scene->is_answered = false;
	rescan_start(scene->rescanner, name, on_rescanned, scene);
	assert_false(scene->is_answered);
	loop_run(scene->loop);
	assert_true(scene->is_answered);
	return scene->err.code;
}

static void test_written(void **state)
{
	struct scene *scene = *state;
	_cleanup_free_ char *path = tree_path(&scene->tree, "block/sdb/device/rescan"),
			    *text = NULL;

	tree_write(&scene->tree, "block/sdb/device/rescan", "");
	assert_int_equal(rescan(scene, "sdb"), ERR_NONE);
	text = read_file_at(AT_FDCWD, path, 10, NULL);
	assert_string_equal(text, "1");
}

static void test_refused(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(rescan(scene, "sdb"), ERR_NOT_FOUND);
	assert_non_null(strstr(scene->err.text, "block/sdb/device/rescan cannot be written"));
	/* A folder can be written by nobody, root included. */
	tree_folder(&scene->tree, "block/sdb/device/rescan");
	assert_int_equal(rescan(scene, "sdb"), ERR_UNAVAILABLE);
}

static void test_cancelled(void **state)
{
	struct scene *scene = *state;

	rescan_cancel(rescan_start(scene->rescanner, "sdb", on_rescanned, scene));
	rescan_start(scene->rescanner, "sdc", on_rescanned, scene);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(test_##NAME, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(written),
		TEST(refused),
		TEST(cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
