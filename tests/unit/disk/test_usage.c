/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who uses a disk, on made-up proc and sys folders. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "disk/usage.h"
#include "tree.h"

#define ROOT_LINE "26 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
#define SWAPS_HEADING "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"

struct scene {
	struct tree tree;
	char *sys, *proc;
};

static void disk(struct scene *scene, const char *folder, const char *number)
{
	_cleanup_free_ char *dev = xasprintf("sys/block/%s/dev", folder);
	_cleanup_free_ char *holders = xasprintf("sys/block/%s/holders", folder);
	_cleanup_free_ char *partition = xasprintf("sys/block/%s/partition", folder);
	_cleanup_free_ char *line = xasprintf("%s\n", number);

	tree_write(&scene->tree, dev, line);
	tree_folder(&scene->tree, holders);
	if (strchr(folder, '/'))
		tree_write(&scene->tree, partition, "1\n");
}

static void hold(struct scene *scene, const char *folder, const char *holder)
{
	_cleanup_free_ char *path = xasprintf("sys/block/%s/holders/%s", folder, holder);
	_cleanup_free_ char *target = xasprintf("../../%s", holder);

	tree_link(&scene->tree, target, path);
}

static void mounts(struct scene *scene, const char *lines)
{
	_cleanup_free_ char *text = xasprintf("22 26 0:21 / /sys rw - sysfs sysfs rw\n" ROOT_LINE "%s", lines);

	tree_write(&scene->tree, "proc/self/mountinfo", text);
}

static void swaps(struct scene *scene, const char *lines)
{
	_cleanup_free_ char *text = xasprintf(SWAPS_HEADING "%s", lines);

	tree_write(&scene->tree, "proc/swaps", text);
}

static int setup(void **state)
{
	struct scene *scene = xnew(struct scene);

	tree_make(&scene->tree);
	scene->sys = tree_path(&scene->tree, "sys");
	scene->proc = tree_path(&scene->tree, "proc");
	disk(scene, "vda", "254:0");
	disk(scene, "vdb", "254:16");
	tree_folder(&scene->tree, "sys/block/vdb/queue");
	disk(scene, "vdc", "254:32");
	mounts(scene, "");
	swaps(scene, "");
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	tree_destroy(&scene->tree);
	free(scene->sys);
	free(scene->proc);
	free(scene);
	return 0;
}

static void expect(struct scene *scene, const char *name, enum usage_kind expected, const char *text)
{
	_cleanup_buf_ struct buf what = BUF_NULL;
	enum usage_kind kind = USAGE_NONE;
	struct err err = { 0 };

	if (usage_of(scene->proc, scene->sys, name, &kind, &what, &err) < 0)
		fail_msg("%s: %s", name, err.text);
	assert_string_equal(str_or(what.data, ""), text);
	assert_int_equal(kind, expected);
}

static void expect_error(struct scene *scene, const char *name, enum err_code code)
{
	_cleanup_buf_ struct buf what = BUF_NULL;
	enum usage_kind kind = USAGE_NONE;
	struct err err = { 0 };

	assert_int_equal(usage_of(scene->proc, scene->sys, name, &kind, &what, &err), -1);
	assert_int_equal(err.code, code);
	assert_true(err.text[0] != '\0');
}

static void test_unused(void **state)
{
	/* 254:1 and 254:160 are not 254:16, /dev/vdbb is not /dev/vdb. */
	mounts(*state, "30 26 254:1 / /a rw - ext4 /dev/vda1 rw\n30 26 254:160 / /b rw - ext4 /dev/vdbb rw\n");
	swaps(*state, "/dev/vdbb partition 1 0 -2\n/swap\\040file file 1 0 -3\n");
	expect(*state, "vdb", USAGE_NONE, "");
}

static void test_mounted(void **state)
{
	mounts(*state, "30 26 254:16 / /mnt/x rw,relatime shared:7 master:1 - xfs /dev/root rw\n");
	expect(*state, "vdb", USAGE_HELD, "mounted at /mnt/x");
	/* A bind mount of a folder counts as any other; no optional fields this time. */
	mounts(*state, "30 26 254:16 / /mnt/x rw - xfs /dev/vdb rw\n31 26 254:16 /sub /srv/y rw - xfs /dev/vdb rw\n");
	expect(*state, "vdb", USAGE_HELD, "mounted at /mnt/x, mounted at /srv/y");
	expect(*state, "vdc", USAGE_NONE, "");
}

static void test_escapes(void **state)
{
	mounts(*state, "30 26 254:16 / /mnt/my\\040disk\\134x rw - xfs /dev/vdb rw\n");
	expect(*state, "vdb", USAGE_HELD, "mounted at /mnt/my disk\\x");
	/* What is not fit to be shown stays escaped. */
	mounts(*state, "30 26 254:16 / /mnt/a\\012b rw - xfs /dev/vdb rw\n");
	expect(*state, "vdb", USAGE_HELD, "mounted at /mnt/a\\012b");
	/* An escaped source is the same device. */
	mounts(*state, "30 26 0:50 / /mnt/a rw - btrfs /dev/v\\144b rw\n");
	expect(*state, "vdb", USAGE_HELD, "mounted at /mnt/a");
}

static void test_root(void **state)
{
	static const struct {
		const char *mount_point;
		enum usage_kind expected;
	} rows[] = {
		{ "/usr", USAGE_ROOT },      { "/var", USAGE_ROOT },       { "/boot", USAGE_ROOT },
		{ "/boot/efi", USAGE_ROOT }, { "/var/lib/x", USAGE_HELD }, { "/bootx", USAGE_HELD },
		{ "/home", USAGE_HELD },
	};

	expect(*state, "vda", USAGE_ROOT, "mounted at /");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *line = xasprintf("30 26 254:16 / %s rw - ext4 /dev/vdb rw\n", rows[i].mount_point);
		_cleanup_free_ char *text = xasprintf("mounted at %s", rows[i].mount_point);

		mounts(*state, line);
		expect(*state, "vdb", rows[i].expected, text);
	}
	/* ROOT outweighs what comes after it. */
	mounts(*state, "30 26 254:0 / /mnt rw - ext4 /dev/vda rw\n");
	expect(*state, "vda", USAGE_ROOT, "mounted at /, mounted at /mnt");
}

static void test_partition(void **state)
{
	disk(*state, "vdb/vdb1", "254:17");
	disk(*state, "vdb/vdb2", "259:0");
	mounts(*state, "30 26 259:0 / /data rw - ext4 /dev/disk/by-uuid/x rw\n");
	expect(*state, "vdb", USAGE_HELD, "vdb2 mounted at /data");
	mounts(*state, "30 26 254:17 / /usr rw - ext4 /dev/vdb1 rw\n");
	expect(*state, "vdb", USAGE_ROOT, "vdb1 mounted at /usr");
	/* A partition without "holders" has none. */
	tree_unlink(&((struct scene *)*state)->tree, "sys/block/vdb/vdb1/holders");
	expect(*state, "vdb", USAGE_ROOT, "vdb1 mounted at /usr");
}

static void test_swap(void **state)
{
	struct scene *scene = *state;

	swaps(scene, "/dev/vdb                                partition\t1048572\t\t0\t\t-2\n");
	expect(scene, "vdb", USAGE_HELD, "used as swap");
	expect(scene, "vdc", USAGE_NONE, "");
	disk(scene, "vdc/vdc1", "254:33");
	swaps(scene, "/dev/vda partition 1 0 -2\n/dev/vdc1\tpartition 1 0 -3\n");
	expect(scene, "vdc", USAGE_HELD, "vdc1 used as swap");
}

/* vdb1 → md0 → dm-0, with the root file system on top: LVM on RAID. */
static void test_stack(void **state)
{
	struct scene *scene = *state;

	disk(scene, "vdb/vdb1", "254:17");
	disk(scene, "md0", "9:0");
	disk(scene, "dm-0", "253:0");
	tree_write(&scene->tree, "sys/block/dm-0/dm/name", "vg-root\n");
	hold(scene, "vdb/vdb1", "md0");
	hold(scene, "md0", "dm-0");
	expect(scene, "vdb", USAGE_HELD, "vdb1 held by md0, md0 held by dm-0");
	tree_write(&scene->tree, "proc/self/mountinfo", "26 1 253:0 / / rw - ext4 /dev/mapper/vg-root rw\n");
	expect(scene, "vdb", USAGE_ROOT, "vdb1 held by md0, md0 held by dm-0, dm-0 mounted at /");
	expect(scene, "vda", USAGE_NONE, "");
	/* By the mapper's name alone, as btrfs shows it. */
	tree_write(&scene->tree, "proc/self/mountinfo", "26 1 0:33 / / rw - btrfs /dev/mapper/vg-root rw\n");
	expect(scene, "vdb", USAGE_ROOT, "vdb1 held by md0, md0 held by dm-0, dm-0 mounted at /");
	swaps(scene, "/dev/dm-0 partition 1 0 -2\n");
	mounts(scene, "");
	expect(scene, "vdb", USAGE_HELD, "vdb1 held by md0, md0 held by dm-0, dm-0 used as swap");
}

/* Partitions of what stands on the disk, and a holder reached in two ways. */
static void test_stacked_partitions(void **state)
{
	struct scene *scene = *state;

	disk(scene, "md0", "9:0");
	disk(scene, "md0/md0p1", "259:7");
	disk(scene, "vdb/vdb1", "254:17");
	disk(scene, "vdb/vdb2", "254:18");
	hold(scene, "vdb/vdb1", "md0");
	hold(scene, "vdb/vdb2", "md0");
	mounts(scene, "30 26 259:7 / /raid rw - ext4 /dev/md0p1 rw\n");
	/* The order of the partitions is the folder's. */
	{
		_cleanup_buf_ struct buf what = BUF_NULL;
		enum usage_kind kind;
		struct err err;

		assert_int_equal(usage_of(scene->proc, scene->sys, "vdb", &kind, &what, &err), 0);
		assert_int_equal(kind, USAGE_HELD);
		assert_non_null(strstr(what.data, "vdb1 held by md0"));
		assert_non_null(strstr(what.data, "vdb2 held by md0"));
		assert_non_null(strstr(what.data, "md0p1 mounted at /raid"));
	}
	/* A ring, which the kernel does not make, ends all the same. */
	hold(scene, "md0", "vdb");
	expect(scene, "vdc", USAGE_NONE, "");
	{
		_cleanup_buf_ struct buf what = BUF_NULL;
		enum usage_kind kind;

		assert_int_equal(usage_of(scene->proc, scene->sys, "vdb", &kind, &what, NULL), 0);
	}
}

static void test_loop_on_top(void **state)
{
	struct scene *scene = *state;

	disk(scene, "loop3", "7:3");
	tree_write(&scene->tree, "sys/block/loop3/loop/backing_file", "/dev/vdb\n");
	disk(scene, "loop4", "7:4"); /* without a file */
	expect(scene, "vdb", USAGE_HELD, "held by loop3");
	expect(scene, "vdc", USAGE_NONE, "");
	mounts(scene, "30 26 7:3 / /usr ro - squashfs /dev/loop3 ro\n");
	expect(scene, "vdb", USAGE_ROOT, "held by loop3, loop3 mounted at /usr");
}

/* The kernel shows one member of a btrfs as the source; the others are used no less. */
static void test_btrfs_members(void **state)
{
	struct scene *scene = *state;

	tree_folder(&scene->tree, "sys/fs/btrfs/features");
	tree_folder(&scene->tree, "sys/fs/btrfs/0f-uuid/devices/vdb");
	tree_folder(&scene->tree, "sys/fs/btrfs/0f-uuid/devices/vdc");
	mounts(scene, "30 26 0:44 / /pool rw - btrfs /dev/vdc rw\n");
	expect(scene, "vdb", USAGE_HELD, "part of btrfs 0f-uuid, vdc mounted at /pool");
	mounts(scene, "30 26 0:44 / /usr rw - btrfs /dev/vdc rw\n");
	expect(scene, "vdb", USAGE_ROOT, "part of btrfs 0f-uuid, vdc mounted at /usr");
	expect(scene, "vda", USAGE_ROOT, "mounted at /");
}

static void test_many(void **state)
{
	struct scene *scene = *state;
	_cleanup_buf_ struct buf lines = BUF_NULL, what = BUF_NULL;
	enum usage_kind kind;

	for (int i = 0; i < 100; i++)
		buf_printf(&lines, "30 26 254:16 / /m%d rw - ext4 /dev/vdb rw\n", i);
	buf_add_text(&lines, "30 26 254:16 / /usr rw - ext4 /dev/vdb rw\n");
	mounts(scene, lines.data);
	assert_int_equal(usage_of(scene->proc, scene->sys, "vdb", &kind, &what, NULL), 0);
	assert_int_equal(kind, USAGE_ROOT); /* the one not shown counts, too */
	assert_non_null(strstr(what.data, "/m15 and 85 more"));
	assert_null(strstr(what.data, "/m16"));
}

/* ---- nothing is assumed ---- */

static void test_unknown_disk(void **state)
{
	expect_error(*state, "vdz", ERR_NOT_FOUND);
	expect_error(*state, "", ERR_INVALID);
	expect_error(*state, "..", ERR_INVALID);
	expect_error(*state, "../vda", ERR_INVALID);
	expect_error(*state, "a-name-longer-than-the-kernel-has-any", ERR_INVALID);
}

static void test_unreadable(void **state)
{
	struct scene *scene = *state;

	tree_unlink(&scene->tree, "proc/swaps");
	expect_error(scene, "vdb", ERR_UNAVAILABLE);
	swaps(scene, "");
	tree_unlink(&scene->tree, "proc/self/mountinfo");
	expect_error(scene, "vdb", ERR_UNAVAILABLE);
	mounts(scene, "");
	expect(scene, "vdb", USAGE_NONE, "");
	tree_unlink(&scene->tree, "sys/block/vdb/dev");
	expect_error(scene, "vdb", ERR_UNAVAILABLE);
	disk(scene, "vdb", "254:16");
	/* Held by something that is not there. */
	hold(scene, "vdb", "dm-9");
	expect_error(scene, "vdb", ERR_UNAVAILABLE);
	tree_unlink(&scene->tree, "sys/block/vdb/holders/dm-9");
	tree_unlink(&scene->tree, "sys/block/vdb/holders");
	expect(scene, "vdb", USAGE_NONE, "");
	tree_write(&scene->tree, "sys/block/vdb/holders", "not a folder");
	expect_error(scene, "vdb", ERR_UNAVAILABLE);
}

static void test_nonsense(void **state)
{
	static const char *const lines[] = {
		"30\n",
		"30 26 254:16 / /mnt rw\n",
		"30 26 254:16 / /mnt rw shared:1\n",
		"30 26 254:16 / /mnt rw -\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		mounts(*state, lines[i]);
		expect_error(*state, "vdb", ERR_INTERNAL);
	}
}

/* This machine's own disks can be asked without an error. */
static void test_real(void **state)
{
	_cleanup_buf_ struct buf what = BUF_NULL;
	enum usage_kind kind;
	struct err err = { 0 };

	if (access("/sys/block/vda/dev", R_OK) < 0 || access("/proc/swaps", R_OK) < 0)
		skip();
	if (usage_of("/proc", "/sys", "vda", &kind, &what, &err) < 0)
		fail_msg("%s", err.text);
}

int main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_unused),      TEST(test_mounted),       TEST(test_escapes), TEST(test_root),
		TEST(test_partition),   TEST(test_swap),          TEST(test_stack),   TEST(test_stacked_partitions),
		TEST(test_loop_on_top), TEST(test_btrfs_members), TEST(test_many),    TEST(test_unknown_disk),
		TEST(test_unreadable),  TEST(test_nonsense),      TEST(test_real),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
