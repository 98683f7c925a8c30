/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What stands behind the name of a block device. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "disk/kind.h"
#include "tree.h"

static int setup(void **state)
{
	struct tree *tree = xnew(struct tree);

	tree_make(tree);
	tree_write(tree, "block/vda/size", "1");
	tree_write(tree, "block/vda/vda1/partition", "1");
	tree_write(tree, "block/vda/queue/nr_requests", "1");
	tree_write(tree, "block/nvme0n1/size", "1");
	tree_write(tree, "block/nvme0n1/nvme0n1p2/partition", "2");
	tree_write(tree, "block/dm-0/size", "1");
	tree_write(tree, "block/md0/md0p1/partition", "1");
	*state = tree;
	return 0;
}

static int teardown(void **state)
{
	tree_destroy(*state);
	free(*state);
	return 0;
}

static void expect(const struct tree *tree, const char *name, enum device_kind kind,
		   const char *disk)
{
	struct device_kind_info info;

	device_kind_find(tree->root, name, &info);
	assert_int_equal(info.kind, kind);
	assert_string_equal(info.disk, disk);
}

static void test_disks(void **state)
{
	struct device_kind_info info;
	const struct tree *tree = *state;

	expect(tree, "vda", DEVICE_KIND_DISK, "vda");
	expect(tree, "vda1", DEVICE_KIND_DISK, "vda");
	expect(tree, "nvme0n1p2", DEVICE_KIND_DISK, "nvme0n1");
	device_kind_find(tree->root, "nvme0n1p2", &info);
	assert_int_equal(info.bus, BUS_OTHER);
	device_kind_find(tree->root, "vda1", &info);
	assert_int_equal(info.bus, BUS_VIRTIO);
}

static void test_virtual(void **state)
{
	expect(*state, "dm-0", DEVICE_KIND_VIRTUAL, "dm-0");
	expect(*state, "md0p1", DEVICE_KIND_VIRTUAL, "md0");
}

static void test_none(void **state)
{
	static const char *const names[] = {
		"",
		".",
		"..",
		"vdb",
		"vda2",
		"queue",
		"vda/vda1",
		"../block/vda",
		"a-name-longer-than-the-kernel-has-any",
	};
	struct device_kind_info info;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		expect(*state, names[i], DEVICE_KIND_NONE, "");
	device_kind_find("/nowhere", "vda", &info);
	assert_int_equal(info.kind, DEVICE_KIND_NONE);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(test_##NAME, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(disks),
		TEST(virtual),
		TEST(none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
