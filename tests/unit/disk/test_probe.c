/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is on a device, and what happens when it does not answer. A device that hangs is a call into
 * libblkid that waits for a gate the test opens (the linker puts __wrap_blkid_do_safeprobe in front
 * of the real one).
 */

#include <blkid/blkid.h>
#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/clock.h"
#include "disk/probe.h"
#include "tree.h"

#define TIMEOUT_MS 5000

/* ---- the hanging device ---- */

static atomic_bool hanging;
static sem_t entered; /* a thread is in the device */
static sem_t gate;    /* lets one out */
static sem_t left;    /* it is out */

int __real_blkid_do_safeprobe(blkid_probe probe);
int __wrap_blkid_do_safeprobe(blkid_probe probe);

int __wrap_blkid_do_safeprobe(blkid_probe probe)
{
	int r;

	if (!atomic_load(&hanging))
		return __real_blkid_do_safeprobe(probe);
	sem_post(&entered);
	while (sem_wait(&gate) < 0)
		;
	r = __real_blkid_do_safeprobe(probe);
	sem_post(&left);
	return r;
}

static void wait_for(sem_t *semaphore)
{
	while (sem_wait(semaphore) < 0)
		;
}

/* ---- the scene ---- */

struct scene {
	struct tree tree;
	struct loop *loop;
	struct prober *prober;
	char *path;
	int answers, wanted;
	struct probe_result result;
	struct probe *to_cancel; /* by the next answer */
};

static int setup(void **state)
{
	struct scene *scene = xnew(struct scene);

	clock_test_start(1000000, 1700000000000);
	sem_init(&entered, 0, 0);
	sem_init(&gate, 0, 0);
	sem_init(&left, 0, 0);
	atomic_store(&hanging, false);
	tree_make(&scene->tree);
	scene->loop = loop_new();
	scene->prober = prober_new(scene->loop, TIMEOUT_MS, "device.probe_timeout");
	scene->path = tree_path(&scene->tree, "image");
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	scene->prober = prober_free(scene->prober);
	loop_free(scene->loop);
	tree_destroy(&scene->tree);
	free(scene->path);
	free(scene);
	return 0;
}

static void on_done(void *arg, const struct probe_result *result)
{
	struct scene *scene = arg;

	scene->answers++;
	scene->result = *result;
	if (scene->to_cancel)
		probe_cancel(TAKE_PTR(scene->to_cancel));
	if (scene->answers == scene->wanted)
		loop_stop(scene->loop);
}

static struct probe *start(struct scene *scene)
{
	return probe_start(scene->prober, scene->path, on_done, scene);
}

/* Runs the loop until so many answers are there; really waits for the worker. */
static void wait_for_answers(struct scene *scene, int answers)
{
	scene->wanted = answers;
	if (scene->answers < answers)
		loop_run(scene->loop);
	assert_int_equal(scene->answers, answers);
}

static const struct probe_result *probe(struct scene *scene)
{
	int before = scene->answers;

	start(scene);
	assert_int_equal(scene->answers, before); /* never inside the call */
	wait_for_answers(scene, before + 1);
	return &scene->result;
}

/* ---- images, by hand ---- */

/* libblkid contents itself with the first signature on what could be a floppy */
static char image[2 << 20];

static void put(size_t offset, const char *bytes, size_t length)
{
	memcpy(image + offset, bytes, length);
}

static void put_ext2(void)
{
	put(1024 + 0x38, "\x53\xef", 2);
	put(1024 + 0x18, "\0\0\0\0", 4); /* blocks of 1 KiB */
	put(1024 + 0x00, "\x80\0\0\0", 4);
	put(1024 + 0x04, "\0\x04\0\0", 4);
	put(1024 + 0x4c, "\x01\0\0\0", 4); /* revision 1 */
	put(1024 + 0x68, "\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef", 16);
	put(1024 + 0x78, "data\xc3\xa9", 6);
}

static void put_swap(void)
{
	put(1024, "\x01\0\0\0", 4); /* version */
	put(1028, "\xff\0\0\0", 4); /* last page */
	put(1036, "\x10\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef", 16);
	put(4086, "SWAPSPACE2", 10);
}

static void put_partition_table(void)
{
	put(446, "\0\0\0\0\x83\0\0\0\x08\0\0\0\x80\0\0\0", 16);
	put(510, "\x55\xaa", 2);
}

static void put_squashfs(void)
{
	put(0, "hsqs", 4);
	put(28, "\x04\0", 2);
}

static void write_image(struct scene *scene)
{
	tree_write_bytes(&scene->tree, "image", image, sizeof(image));
}

/* ---- what is found ---- */

static void test_filesystem(void **state)
{
	struct scene *scene = *state;
	const struct probe_result *result;

	memset(image, 0, sizeof(image));
	put_ext2();
	write_image(scene);
	result = probe(scene);
	assert_int_equal(result->err.code, ERR_NONE);
	assert_string_equal(result->filesystem, "ext2");
	assert_string_equal(result->label, "data\xc3\xa9");
	assert_string_equal(result->uuid, "01234567-89ab-cdef-0123-456789abcdef");
	assert_string_equal(result->partition_table, "");
	/* A label that is not text is not passed on. */
	put(1024 + 0x78, "da\xff\x01 ", 5);
	write_image(scene);
	result = probe(scene);
	assert_string_equal(result->filesystem, "ext2");
	assert_string_equal(result->label, "");
}

static void test_swap(void **state)
{
	struct scene *scene = *state;
	const struct probe_result *result;

	memset(image, 0, sizeof(image));
	put_swap();
	write_image(scene);
	result = probe(scene);
	assert_int_equal(result->err.code, ERR_NONE);
	assert_string_equal(result->filesystem, "swap");
	assert_string_equal(result->uuid, "10234567-89ab-cdef-0123-456789abcdef");
}

static void test_partition_table(void **state)
{
	struct scene *scene = *state;
	const struct probe_result *result;

	memset(image, 0, sizeof(image));
	put_partition_table();
	write_image(scene);
	result = probe(scene);
	assert_int_equal(result->err.code, ERR_NONE);
	assert_string_equal(result->filesystem, "");
	assert_string_equal(result->partition_table, "dos");
}

static void test_blank(void **state)
{
	struct scene *scene = *state;
	const struct probe_result *result;

	memset(image, 0, sizeof(image));
	write_image(scene);
	result = probe(scene);
	assert_int_equal(result->err.code, ERR_NONE);
	assert_string_equal(result->filesystem, "");
	assert_string_equal(result->partition_table, "");
}

static void test_ambiguous(void **state)
{
	struct scene *scene = *state;
	const struct probe_result *result;

	memset(image, 0, sizeof(image));
	put_squashfs();
	put_ext2();
	write_image(scene);
	result = probe(scene);
	assert_int_equal(result->err.code, ERR_NONE);
	assert_string_equal(result->filesystem, "ambiguous");
	assert_string_equal(result->label, "");
}

static void test_not_a_device(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(probe(scene)->err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(scene->result.err.text, scene->path));
	/* A FIFO nobody writes to: opening it must not wait. */
	assert_int_equal(mkfifo(scene->path, 0600), 0);
	assert_int_equal(probe(scene)->err.code, ERR_INVALID);
	tree_unlink(&scene->tree, "image");
	tree_folder(&scene->tree, "image");
	assert_int_equal(probe(scene)->err.code, ERR_INVALID);
}

/* ---- when it hangs ---- */

/* One probe whose thread sits in the device. */
static struct probe *start_hanging(struct scene *scene)
{
	struct probe *probe;

	atomic_store(&hanging, true);
	probe = start(scene);
	loop_turn(scene->loop);
	wait_for(&entered);
	atomic_store(&hanging, false);
	return probe;
}

static void advance(struct scene *scene, int64_t ms)
{
	clock_test_advance(ms);
	loop_turn(scene->loop);
}

/* Lets a hanging thread out; when this returns it is through with the device. */
static void release(void)
{
	sem_post(&gate);
	wait_for(&left);
}

static void make_swap_image(struct scene *scene)
{
	memset(image, 0, sizeof(image));
	put_swap();
	write_image(scene);
}

static void test_deadline(void **state)
{
	struct scene *scene = *state;

	make_swap_image(scene);
	start_hanging(scene);
	advance(scene, TIMEOUT_MS - 1);
	assert_int_equal(scene->answers, 0);
	advance(scene, 1);
	assert_int_equal(scene->answers, 1);
	assert_int_equal(scene->result.err.code, ERR_TIMEOUT);
	assert_non_null(strstr(scene->result.err.text, scene->path));
	/* The next one gets a worker that works. */
	assert_string_equal(probe(scene)->filesystem, "swap");
	release();
	/* What the first found in the end interests nobody. */
	assert_string_equal(probe(scene)->filesystem, "swap");
	assert_int_equal(scene->answers, 3);
}

/* Those behind the hanging one have a full deadline of their own. */
static void test_queue_behind(void **state)
{
	struct scene *scene = *state;

	make_swap_image(scene);
	start_hanging(scene);
	start(scene);
	start(scene);
	advance(scene, TIMEOUT_MS);
	assert_int_equal(scene->result.err.code, ERR_TIMEOUT);
	wait_for_answers(scene, 3);
	assert_int_equal(scene->result.err.code, ERR_NONE);
	assert_string_equal(scene->result.filesystem, "swap");
	release();
}

static void test_in_time(void **state)
{
	struct scene *scene = *state;

	make_swap_image(scene);
	start_hanging(scene);
	advance(scene, TIMEOUT_MS - 1);
	release();
	wait_for_answers(scene, 1);
	assert_int_equal(scene->result.err.code, ERR_NONE);
	/* Its deadline is over with it. */
	advance(scene, TIMEOUT_MS);
	assert_int_equal(scene->answers, 1);
}

static void test_all_stuck(void **state)
{
	struct scene *scene = *state;

	make_swap_image(scene);
	for (int i = 0; i < PROBE_STUCK_MAX; i++) {
		start_hanging(scene);
		advance(scene, TIMEOUT_MS);
		assert_int_equal(scene->answers, i + 1);
		assert_int_equal(scene->result.err.code, ERR_TIMEOUT);
	}
	/* No more threads; refused at once, but not inside the call. Two at a time, and one cancels
	 * another. */
	assert_int_equal(probe(scene)->err.code, ERR_UNAVAILABLE);
	start(scene);
	start(scene);
	wait_for_answers(scene, PROBE_STUCK_MAX + 3);
	assert_int_equal(scene->result.err.code, ERR_UNAVAILABLE);
	start(scene);
	scene->to_cancel = start(scene);
	wait_for_answers(scene, PROBE_STUCK_MAX + 4);
	while (loop_turn(scene->loop))
		;
	assert_int_equal(scene->answers, PROBE_STUCK_MAX + 4);
	/* One comes back: there is room again, as soon as its thread has noticed. */
	release();
	for (int i = 0; i < 1000000 && probe(scene)->err.code == ERR_UNAVAILABLE; i++)
		sched_yield();
	assert_int_equal(scene->result.err.code, ERR_NONE);
	assert_string_equal(scene->result.filesystem, "swap");
	for (int i = 1; i < PROBE_STUCK_MAX; i++)
		release();
}

/* ---- cancelling ---- */

static void test_cancel(void **state)
{
	struct scene *scene = *state;
	struct probe *running, *waiting;

	make_swap_image(scene);
	probe_cancel(start(scene)); /* before the loop turned */
	loop_turn(scene->loop);
	running = start_hanging(scene);
	waiting = start(scene);
	start(scene);
	probe_cancel(waiting);
	probe_cancel(running);
	release();
	wait_for_answers(scene, 1);
	assert_string_equal(scene->result.filesystem, "swap");
	/* A cancelled one that hangs does not block the others for ever. */
	probe_cancel(start_hanging(scene));
	start(scene);
	advance(scene, TIMEOUT_MS);
	wait_for_answers(scene, 2);
	assert_int_equal(scene->result.err.code, ERR_NONE);
	release();
}

static void test_free_while_hanging(void **state)
{
	struct scene *scene = *state;

	make_swap_image(scene);
	start_hanging(scene);
	start(scene);
	scene->prober = prober_free(scene->prober); /* does not wait for the device */
	release();
	assert_int_equal(scene->answers, 0);
}

static void test_free_at_any_time(void **state)
{
	struct scene *scene = *state;

	make_swap_image(scene);
	scene->prober = prober_free(scene->prober);
	/* The worker may not have begun, be reading, or be through; a turn may even bring the
	 * answer. */
	for (int i = 0; i < 200; i++) {
		int answers;

		scene->prober = prober_new(scene->loop, TIMEOUT_MS, "device.probe_timeout");
		start(scene);
		start(scene);
		if (i % 4)
			loop_turn(scene->loop);
		for (int j = 0; j < i % 10; j++)
			sched_yield();
		answers = scene->answers;
		scene->prober = prober_free(scene->prober);
		loop_turn(scene->loop);
		assert_int_equal(scene->answers, answers);
	}
	assert_null(prober_free(NULL));
}

int main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_filesystem),       TEST(test_swap),
		TEST(test_partition_table),  TEST(test_blank),
		TEST(test_ambiguous),        TEST(test_not_a_device),
		TEST(test_deadline),         TEST(test_queue_behind),
		TEST(test_in_time),          TEST(test_all_stuck),
		TEST(test_cancel),           TEST(test_free_while_hanging),
		TEST(test_free_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
