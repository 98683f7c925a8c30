/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What stands in the place of a disk's node and is no disk is not handed over, and holds nothing
 * up. Real disks are opened in the e2e and lab suites.
 */

#include <stdio.h>
#include <sys/stat.h>

#include "disk/opener.h"
#include "tree.h"
#include "unit.h"

#define TIMEOUT_MS 60000
#define VOLUME "00000001-1111-4222-8333-444444444444"

struct scene {
	struct tree tree;
	struct loop *loop;
	struct disk_opener *opener;
	bool is_answered;
	struct err err;
};

static int setup(void **state)
{
	struct scene *scene = xnew(struct scene);

	tree_make(&scene->tree);
	scene->loop = loop_new();
	scene->opener =
		disk_opener_new(scene->loop, scene->tree.root, TIMEOUT_MS, "device.probe_timeout");
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	disk_opener_free(scene->opener);
	loop_free(scene->loop);
	tree_destroy(&scene->tree);
	free(scene);
	return 0;
}

static void on_opened(void *arg, int fd, const struct err *err)
{
	struct scene *scene = arg;

	assert_int_equal(fd, -1);
	scene->is_answered = true;
	scene->err = *err;
	loop_stop(scene->loop);
}

static struct device device_at(struct scene *scene, const char *name)
{
	_cleanup_free_ char *path = tree_path(&scene->tree, name);
	struct device device = { .bus = BUS_VIRTIO, .diskseq = 7, .size = 4096 };

	snprintf(device.name, sizeof(device.name), "%s", name);
	snprintf(device.path, sizeof(device.path), "%s", path);
	return device;
}

static void refused(struct scene *scene, const char *name, enum err_code code, const char *text)
{
	struct device device = device_at(scene, name);

	disk_open_start(scene->opener, &device, VOLUME, false, on_opened, scene);
	assert_false(scene->is_answered);
	loop_run(scene->loop);
	assert_true(scene->is_answered);
	assert_int_equal(scene->err.code, code);
	assert_non_null(strstr(scene->err.text, text));
	scene->is_answered = false;
}

static void what_is_no_disk(void **state)
{
	struct scene *scene = *state;
	_cleanup_free_ char *pipe = tree_path(&scene->tree, "pipe");

	tree_write(&scene->tree, "file", "data");
	assert_int_equal(mkfifo(pipe, 0600), 0);
	refused(scene, "file", ERR_CONFLICT, "is no block device");
	refused(scene, "pipe", ERR_CONFLICT, "is no block device");
}

static void what_is_not_there(void **state)
{
	struct scene *scene = *state;

	refused(scene, "vdb", ERR_CONFLICT, "the disk of volume " VOLUME " has just gone");
}

/* A folder cannot be opened for writing. */
static void what_cannot_be_opened(void **state)
{
	struct scene *scene = *state;

	tree_folder(&scene->tree, "folder");
	refused(scene, "folder", ERR_UNAVAILABLE, "cannot be opened");
}

static void cancelled_before_the_answer(void **state)
{
	struct scene *scene = *state;
	struct device device = device_at(scene, "vdb");

	for (int i = 0; i < 10; i++)
		disk_open_cancel(
			disk_open_start(scene->opener, &device, VOLUME, true, on_opened, scene));
	/* Others are dropped with the opener. */
	disk_open_start(scene->opener, &device, VOLUME, true, on_opened, scene);
	scene->opener = disk_opener_free(scene->opener);
	assert_false(scene->is_answered);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(what_is_no_disk),
		TEST(what_is_not_there),
		TEST(what_cannot_be_opened),
		TEST(cancelled_before_the_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
