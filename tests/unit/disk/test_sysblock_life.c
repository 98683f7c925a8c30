/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* When sysblock looks, what it does when it cannot, and a real loop device where one can be had. */

#include <fcntl.h>
#include <inttypes.h>
#include <linux/loop.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/clock.h"
#include "world.h"

#define GIB (1ull << 30)

static uint64_t scans(const struct world *world)
{
	struct sysblock_health health;

	sysblock_health(world->sysblock, &health);
	return health.scans;
}

static void advance(struct world *world, int64_t ms)
{
	clock_test_advance(ms);
	while (loop_turn(world->loop))
		;
}

/* ---- ticks ---- */

static void test_ticks(void **state)
{
	struct world *world = *state;

	disk_add(world, "vda", GIB, 1, SERIAL);
	world_open(world);
	assert_int_equal(scans(world), 1);
	advance(world, SCAN_MS - 1);
	assert_int_equal(scans(world), 1);
	disk_add(world, "vdb", GIB, 2, OTHER_SERIAL);
	advance(world, 1);
	assert_int_equal(scans(world), 2);
	world_said(world, "+vdb");
	advance(world, SCAN_MS);
	assert_int_equal(scans(world), 3);
}

static void test_wake(void **state)
{
	struct world *world = *state;

	world_open(world);
	/* The first acts at once; those of the next 50 ms are taken together. */
	sysblock_wake(world->sysblock);
	sysblock_wake(world->sysblock);
	assert_int_equal(scans(world), 1);
	advance(world, 0);
	assert_int_equal(scans(world), 2);
	advance(world, 20);
	sysblock_wake(world->sysblock);
	advance(world, 20);
	sysblock_wake(world->sysblock);
	advance(world, 9);
	assert_int_equal(scans(world), 2);
	advance(world, 1);
	assert_int_equal(scans(world), 3);
	/* The second scan was brought forward, too, so the pause begins anew. */
	advance(world, 49);
	sysblock_wake(world->sysblock);
	advance(world, 0);
	assert_int_equal(scans(world), 3);
	advance(world, 1);
	assert_int_equal(scans(world), 4);
	/* The ticks go on from there. */
	advance(world, SCAN_MS - 1);
	assert_int_equal(scans(world), 4);
	advance(world, 1);
	assert_int_equal(scans(world), 5);
	/* A tick is no reason to let an event wait. */
	advance(world, 10);
	sysblock_wake(world->sysblock);
	advance(world, 0);
	assert_int_equal(scans(world), 6);
}

/* A storm of events costs a scan every 50 ms, and a scan follows the last event. */
static void test_endless_wakes(void **state)
{
	struct world *world = *state;

	world_open(world);
	for (int i = 0; i < 200; i++) {
		sysblock_wake(world->sysblock);
		advance(world, 1);
	}
	assert_int_equal(scans(world), 2 + 200 / 50);
	disk_add(world, "vdb", GIB, 2, SERIAL);
	sysblock_wake(world->sysblock);
	advance(world, 50);
	world_said(world, "+vdb");
}

/* While a disk may still say who it is, the scans come close together. */
static void test_settling(void **state)
{
	struct world *world = *state;

	world_open(world);
	disk_add(world, "vdb", GIB, 5, NULL);
	world_expect(world, "");
	for (int i = 1; i < SYSBLOCK_HELD_MS / SYSBLOCK_SETTLE_MS; i++) {
		advance(world, SYSBLOCK_SETTLE_MS);
		world_said(world, "");
	}
	advance(world, SYSBLOCK_SETTLE_MS);
	world_said(world, "+vdb");
	advance(world, SYSBLOCK_SETTLE_MS);
	assert_int_equal(scans(world), 2 + SYSBLOCK_HELD_MS / SYSBLOCK_SETTLE_MS);
}

/* ---- trouble ---- */

static void expect_trouble(struct world *world, enum err_code code)
{
	struct sysblock_health health;
	struct err err = { 0 };

	assert_int_equal(sysblock_scan(world->sysblock, &err), -1);
	assert_int_equal(err.code, code);
	sysblock_health(world->sysblock, &health);
	assert_false(health.ok);
	assert_non_null(strstr(health.reason, "/block"));
	world_said(world, "");
}

static void test_vanishing(void **state)
{
	struct world *world = *state;
	struct sysblock_health health;

	disk_add(world, "vdb", GIB, 4, SERIAL);
	world_open(world);
	tree_move(&world->tree, "block", "elsewhere");
	expect_trouble(world, ERR_UNAVAILABLE);
	/* What was known stays, but nothing can be sworn to. */
	assert_int_equal(world_get(world, "vdb")->size, GIB);
	assert_false(sysblock_verify(world->sysblock, world_get(world, "vdb")));
	tree_write(&world->tree, "block", "");
	expect_trouble(world, ERR_UNAVAILABLE);
	tree_unlink(&world->tree, "block");
	/* It comes back by itself, with the next tick, and nothing has happened. */
	tree_move(&world->tree, "elsewhere", "block");
	advance(world, SCAN_MS);
	sysblock_health(world->sysblock, &health);
	assert_true(health.ok);
	assert_string_equal(health.reason, "");
	world_said(world, "");
	assert_true(sysblock_verify(world->sysblock, world_get(world, "vdb")));
	/* Another folder in its place: other disks. The old one is still open, but nobody looks at
	 * it any more. */
	tree_move(&world->tree, "block", "elsewhere");
	tree_folder(&world->tree, "block");
	disk_add(world, "vdb", GIB, 4, SERIAL);
	world_expect(world, "-vdb +vdb");
	tree_bury(&world->tree, "block");
	tree_folder(&world->tree, "block");
	world_expect(world, "-vdb");
}

static void test_never_there(void **state)
{
	struct world *world = *state;
	struct err err = { 0 };

	tree_unlink(&world->tree, "block");
	assert_null(sysblock_open(world->loop, &world->options, NULL, &err));
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, world->tree.root));
}

static void test_long_dev_root(void **state)
{
	struct world *world = *state;
	struct err err = { 0 };
	char root[DEVICE_PATH_SIZE - DEVICE_NAME_SIZE + 1];

	memset(root, 'd', sizeof(root) - 1);
	root[sizeof(root) - 1] = '\0';
	world->options.dev_root = root;
	assert_null(sysblock_open(world->loop, &world->options, NULL, &err));
	assert_int_equal(err.code, ERR_INVALID);
	root[sizeof(root) - 2] = '\0';
	disk_add(world, "vdb", GIB, 4, SERIAL);
	world_open(world);
	assert_int_equal(strlen(world_get(world, "vdb")->path), strlen(root) + strlen("/vdb"));
}

static void test_too_many_entries(void **state)
{
	struct world *world = *state;
	_cleanup_free_ char *block = tree_path(&world->tree, "block");
	_cleanup_close_ int fd = open(block, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[32];

	disk_add(world, "vdb", GIB, 4, SERIAL);
	world_open(world);
	for (int i = 0; i < SYSBLOCK_ENTRIES_MAX; i++) {
		snprintf(name, sizeof(name), "dm-%d", i);
		assert_int_equal(symlinkat("x", fd, name), 0);
	}
	expect_trouble(world, ERR_TOO_MANY);
	assert_non_null(world_get(world, "vdb"));
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "dm-%d", i);
		assert_int_equal(unlinkat(fd, name, 0), 0);
	}
	world_expect(world, "");
}

static void test_close_nothing(void **state)
{
	assert_null(sysblock_close(NULL));
}

/* ---- a real one ---- */

struct real {
	int control, device, file;
	char name[16];
	char *image;
};

/* A loop device over a file named like a volume. False when this machine has none to give. */
static bool real_open(struct world *world, struct real *real)
{
	struct loop_config config = { 0 };
	char path[32];

	*real = (struct real){ -1, -1, -1, "", tree_path(&world->tree, VOLUME ".img") };
	real->control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (real->control < 0)
		return false;
	real->file = open(real->image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(real->file, 1 << 20), 0);
	/* Another program may take the free one between the two calls. */
	for (int i = 0; i < 20; i++) {
		int number = ioctl(real->control, LOOP_CTL_GET_FREE);

		if (number < 0)
			return false;
		snprintf(real->name, sizeof(real->name), "loop%d", number);
		snprintf(path, sizeof(path), "/dev/loop%d", number);
		real->device = open(path, O_RDWR | O_CLOEXEC);
		if (real->device < 0)
			return false;
		config.fd = (unsigned)real->file;
		if (ioctl(real->device, LOOP_CONFIGURE, &config) == 0)
			return true;
		close(real->device);
		real->device = -1;
	}
	return false;
}

static void real_close(struct real *real)
{
	if (real->device >= 0)
		close(real->device);
	if (real->file >= 0)
		close(real->file);
	if (real->control >= 0)
		close(real->control);
	free(real->image);
}

/* Other loop devices of this machine may come and go meanwhile: only ours counts. */
static size_t count_said(struct world *world, const char *text)
{
	size_t count = 0;

	for (const char *at = world->said; (at = strstr(at, text)); at++)
		count++;
	return count;
}

static void test_real_loop_device(void **state)
{
	struct world *world = *state;
	char added[24], removed[24], resized[32];
	struct device device;
	struct real real;

	world->options = (struct sysblock_options){ .sysfs_root = "/sys",
						    .dev_root = "/dev",
						    .scan_ms = SCAN_MS,
						    .buses = 1u << BUS_LOOP };
	if (access("/sys/block", R_OK) < 0)
		skip();
	world_open(world);
	if (!real_open(world, &real)) {
		real_close(&real);
		skip();
	}
	snprintf(added, sizeof(added), "+%s ", real.name);
	snprintf(removed, sizeof(removed), "-%s ", real.name);
	snprintf(resized, sizeof(resized), "=%s(1048576) ", real.name);
	assert_int_equal(sysblock_scan(world->sysblock, NULL), 0);
	assert_int_equal(count_said(world, added), 1);
	device = *world_get(world, real.name);
	assert_int_equal(device.size, 1 << 20);
	assert_int_equal(device_identity(&device, VOLUME), IDENTITY_SAME);
	assert_true(sysblock_verify(world->sysblock, &device));

	assert_int_equal(ftruncate(real.file, 2 << 20), 0);
	assert_int_equal(ioctl(real.device, LOOP_SET_CAPACITY), 0);
	assert_false(sysblock_verify(world->sysblock, &device));
	assert_int_equal(sysblock_scan(world->sysblock, NULL), 0);
	assert_int_equal(count_said(world, resized), 1);

	assert_int_equal(ioctl(real.device, LOOP_CLR_FD), 0);
	close(TAKE_FD(real.device)); /* the end of it comes with the last close */
	assert_int_equal(sysblock_scan(world->sysblock, NULL), 0);
	assert_int_equal(count_said(world, removed), 1);
	assert_false(sysblock_verify(world->sysblock, &device));
	real_close(&real);
}

/* The real /sys/block, whatever is in it, can be read, and nothing happens that did not happen. */
static void test_real_sysfs(void **state)
{
	struct world *world = *state;
	struct sysblock_health health;

	if (access("/sys/block", R_OK) < 0)
		skip();
	world->options.sysfs_root = "/sys";
	world->options.dev_root = "/dev";
	world->options.buses = ALL_BUSES & ~(1u << BUS_LOOP);
	world->options.uevents = true;
	world_open(world);
	sysblock_health(world->sysblock, &health);
	assert_true(health.ok);
	assert_true(health.uevents);
	for (size_t i = 0; i < sysblock_count(world->sysblock); i++)
		assert_true(sysblock_verify(world->sysblock, sysblock_at(world->sysblock, i)));
}

int main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_ticks),         TEST(test_wake),
		TEST(test_endless_wakes), TEST(test_settling),
		TEST(test_vanishing),     TEST(test_never_there),
		TEST(test_long_dev_root), TEST(test_too_many_entries),
		TEST(test_close_nothing), TEST(test_real_loop_device),
		TEST(test_real_sysfs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
