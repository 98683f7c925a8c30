/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a scan finds: disks that come, go, are replaced, grow, and say late who they are. */

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/clock.h"
#include "world.h"

#define GIB (1ull << 30)

static void test_first_scan(void **state)
{
	struct world *world = *state;
	const struct device *device;
	char path[DEVICE_PATH_SIZE];

	disk_add(world, "vdb", 5 * GIB, 7, SERIAL);
	disk_number(world, "vdb", "ro", 1);
	disk_add(world, "vda", 2 * GIB, 3, NULL);
	world_open(world);
	world_said(world, "");
	assert_int_equal(sysblock_count(world->sysblock), 2);
	assert_string_equal(sysblock_at(world->sysblock, 0)->name, "vda");
	assert_ptr_equal(sysblock_at(world->sysblock, 1), sysblock_at(world->sysblock, 0) + 1);
	device = world_get(world, "vdb");
	snprintf(path, sizeof(path), "%s/vdb", world->dev_root);
	assert_string_equal(device->path, path);
	assert_int_equal(device->bus, BUS_VIRTIO);
	assert_int_equal(device->size, 5 * GIB);
	assert_int_equal(device->diskseq, 7);
	assert_true(device->read_only);
	assert_true(device->inode != 0);
	assert_true(device->has_identity);
	assert_string_equal(device->serial, SERIAL);
	assert_string_equal(device->identity, SERIAL);
	assert_int_equal(device_identity(device, VOLUME), IDENTITY_SAME);
	device = world_get(world, "vda");
	assert_false(device->read_only);
	assert_false(device->has_identity);
	assert_null(sysblock_find(world->sysblock, "vdc"));
	assert_int_equal(sysblock_last_diskseq(world->sysblock), 7);
	assert_int_equal(sysblock_last_seen(world->sysblock), 2);
}

static void test_nothing(void **state)
{
	struct world *world = *state;

	world_open(world);
	world_expect(world, "");
	assert_int_equal(sysblock_count(world->sysblock), 0);
	assert_null(sysblock_find(world->sysblock, "vda"));
	assert_int_equal(sysblock_last_diskseq(world->sysblock), 0);
	assert_int_equal(sysblock_last_seen(world->sysblock), 0);
}

static void test_come_and_go(void **state)
{
	struct world *world = *state;
	struct sysblock_health health;

	disk_add(world, "vda", GIB, 1, NULL);
	world_open(world);
	world->ask_inside = true;
	disk_add(world, "vdc", 3 * GIB, 3, SERIAL);
	disk_add(world, "vdb", 2 * GIB, 2, OTHER_SERIAL);
	world_expect(world, "+vdb +vdc");
	assert_int_equal(sysblock_count(world->sysblock), 3);
	assert_string_equal(world->last.identity, SERIAL);
	assert_int_equal(sysblock_last_diskseq(world->sysblock), 3);
	world_expect(world, "");
	disk_remove(world, "vdb");
	world_expect(world, "-vdb");
	assert_int_equal(world->last.size, 2 * GIB);
	assert_string_equal(world->last.identity, OTHER_SERIAL);
	assert_null(sysblock_find(world->sysblock, "vdb"));
	/* Numbers that tell old from new never go back. */
	disk_remove(world, "vdc");
	world_expect(world, "-vdc");
	assert_int_equal(sysblock_last_diskseq(world->sysblock), 3);
	assert_int_equal(sysblock_last_seen(world->sysblock), 3);
	sysblock_health(world->sysblock, &health);
	assert_int_equal(health.changes, 4);
	assert_int_equal(health.scans, 5);
	assert_true(health.ok);
}

/* A new disk under an old name, with everything else the same. */
static void test_same_name_again(void **state)
{
	struct world *world = *state;
	uint64_t seen, inode;

	disk_add(world, "vdb", GIB, 0, SERIAL);
	world_open(world);
	world->ask_inside = true;
	seen = world_get(world, "vdb")->seen;
	inode = world_get(world, "vdb")->inode;
	disk_remove(world, "vdb");
	disk_add(world, "vdb", GIB, 0, SERIAL);
	world_expect(world, "-vdb +vdb");
	assert_true(world_get(world, "vdb")->seen > seen);
	assert_true(world_get(world, "vdb")->inode != inode);
	world_expect(world, "");
}

/* /sys/block holds links; a new link is a new disk, too. */
static void test_links(void **state)
{
	struct world *world = *state;

	disk_add(world, "vdb", GIB, 4, SERIAL);
	tree_move(&world->tree, "block/vdb", "devices/first");
	tree_link(&world->tree, "../devices/first", "block/vdb");
	world_open(world);
	assert_int_equal(world_get(world, "vdb")->size, GIB);
	assert_true(sysblock_verify(world->sysblock, world_get(world, "vdb")));
	disk_remove(world, "vdb");
	tree_link(&world->tree, "../devices/first", "block/vdb");
	world_expect(world, "-vdb +vdb");
}

static void test_diskseq_changes(void **state)
{
	struct world *world = *state;
	uint64_t seen;

	disk_add(world, "vdb", GIB, 4, SERIAL);
	world_open(world);
	seen = world_get(world, "vdb")->seen;
	disk_number(world, "vdb", "diskseq", 5);
	tree_write(&world->tree, "block/vdb/serial", OTHER_SERIAL);
	disk_number(world, "vdb", "size", 8);
	world_expect(world, "-vdb +vdb");
	assert_int_equal(world->last.diskseq, 5);
	assert_int_equal(world->last.size, 8 * 512);
	assert_true(world->last.seen > seen);
	assert_string_equal(world->last.identity, OTHER_SERIAL);
	assert_int_equal(sysblock_last_diskseq(world->sysblock), 5);
}

static void test_resize(void **state)
{
	struct world *world = *state;

	disk_add(world, "vdb", 1024, 4, SERIAL);
	world_open(world);
	disk_number(world, "vdb", "size", 4);
	world_expect(world, "=vdb(1024)");
	assert_int_equal(world->last.size, 2048);
	assert_int_equal(world_get(world, "vdb")->size, 2048);
	assert_int_equal(world_get(world, "vdb")->seen, 1);
	/* Read-only follows silently. */
	disk_number(world, "vdb", "ro", 1);
	world_expect(world, "");
	assert_true(world_get(world, "vdb")->read_only);
	/* A size that cannot be read, or makes no sense, is no news. */
	tree_write(&world->tree, "block/vdb/size", "many\n");
	world_expect(world, "");
	tree_write(&world->tree, "block/vdb/size", "18446744073709551615\n");
	world_expect(world, "");
	tree_unlink(&world->tree, "block/vdb/size");
	world_expect(world, "");
	assert_int_equal(world_get(world, "vdb")->size, 2048);
}

/* No medium, no disk; each medium is another disk. */
static void test_empty_drive(void **state)
{
	struct world *world = *state;
	uint64_t seen;

	disk_add(world, "sdb", 0, 0, NULL);
	world_open(world);
	assert_int_equal(sysblock_count(world->sysblock), 0);
	assert_int_equal(sysblock_last_seen(world->sysblock), 0);
	tree_write_bytes(&world->tree, "block/sdb/device/vpd_pg80", "\0\x80\0\x14" SERIAL, 24);
	disk_number(world, "sdb", "size", 2);
	world_expect(world, "+sdb");
	assert_string_equal(world->last.identity, SERIAL);
	seen = world->last.seen;
	disk_number(world, "sdb", "size", 0);
	world_expect(world, "-sdb");
	assert_int_equal(world->last.size, 1024);
	disk_number(world, "sdb", "size", 2);
	world_expect(world, "+sdb");
	assert_true(world->last.seen > seen);
}

/* The folder is there before what is in it. */
static void test_attributes_arrive_late(void **state)
{
	struct world *world = *state;

	world_open(world);
	tree_folder(&world->tree, "block/vdb");
	world_expect(world, "");
	disk_add(world, "vdb", GIB, 5, SERIAL);
	world_expect(world, "+vdb");
	assert_int_equal(world->last.diskseq, 5);
	assert_string_equal(world->last.identity, SERIAL);
}

static void test_late_identity(void **state)
{
	struct world *world = *state;

	world_open(world);
	disk_add(world, "vdb", GIB, 5, "");
	world_expect(world, "");
	/* Held back, but it counts already: whatever begins now begins after it. */
	assert_int_equal(sysblock_last_seen(world->sysblock), 1);
	assert_int_equal(sysblock_last_diskseq(world->sysblock), 5);
	world_expect(world, "");
	tree_write(&world->tree, "block/vdb/serial", SERIAL);
	world_expect(world, "+vdb");
	assert_string_equal(world->last.identity, SERIAL);
	assert_int_equal(world->last.seen, 1);
}

static void test_no_identity(void **state)
{
	struct world *world = *state;

	world_open(world);
	disk_add(world, "vdb", GIB, 5, NULL);
	disk_add(world, "xvdb", GIB, 6, NULL); /* a bus that can have none: nothing to wait for */
	world_expect(world, "+xvdb");
	/* However often it was asked: it has its time. */
	for (int i = 0; i < 10; i++)
		world_expect(world, "");
	clock_test_advance(SYSBLOCK_HELD_MS - 1);
	world_expect(world, "");
	clock_test_advance(1);
	world_expect(world, "+vdb");
	assert_false(world->last.has_identity);
	assert_int_equal(world->last.seen, 1);
	/* That was the last time it was asked. */
	tree_write(&world->tree, "block/vdb/serial", SERIAL);
	world_expect(world, "");
	assert_false(world_get(world, "vdb")->has_identity);
}

/* Whoever waits for a disk has the silent ones asked again, however long ago they came. */
static void test_later_identity(void **state)
{
	struct world *world = *state;

	world_open(world);
	disk_add(world, "vdb", GIB, 5, NULL);
	world_expect(world, "");
	clock_test_advance(SYSBLOCK_HELD_MS);
	world_expect(world, "+vdb");
	clock_test_advance(10 * SYSBLOCK_HELD_MS);
	sysblock_ask_identities(world->sysblock);
	world_expect(world, "");
	tree_write(&world->tree, "block/vdb/serial", SERIAL);
	/* Asked for once, it is asked once. */
	world_expect(world, "");
	sysblock_ask_identities(world->sysblock);
	world_expect(world, "-vdb +vdb");
	assert_string_equal(world->last.identity, SERIAL);
	assert_int_equal(world->last.seen, 1);
	/* What is known now is not asked for again. */
	sysblock_ask_identities(world->sysblock);
	tree_write(&world->tree, "block/vdb/serial", OTHER_SERIAL);
	world_expect(world, "");
}

/* Found by the first scan, a disk is listed as it is, and corrected when it speaks up. */
static void test_late_identity_of_old(void **state)
{
	struct world *world = *state;

	disk_add(world, "vdb", GIB, 5, NULL);
	world_open(world);
	assert_false(world_get(world, "vdb")->has_identity);
	world_expect(world, "");
	tree_write(&world->tree, "block/vdb/serial", SERIAL);
	world_expect(world, "-vdb +vdb");
	assert_string_equal(world->last.identity, SERIAL);
	assert_int_equal(world->last.seen, 1);
	world_expect(world, "");
}

/* It vanishes while it is held back: nobody was told of it, nobody is told of its end. */
static void test_gone_while_held(void **state)
{
	struct world *world = *state;

	world_open(world);
	disk_add(world, "vdb", GIB, 5, NULL);
	world_expect(world, "");
	disk_remove(world, "vdb");
	world_expect(world, "");
	/* The next one under that name has as much time as any. */
	disk_add(world, "vdb", GIB, 6, NULL);
	clock_test_advance(SYSBLOCK_HELD_MS - 1);
	world_expect(world, "");
	clock_test_advance(SYSBLOCK_HELD_MS - 1);
	world_expect(world, "");
	clock_test_advance(1);
	world_expect(world, "+vdb");
}

static void test_loop_device(void **state)
{
	struct world *world = *state;
	uint64_t seen;

	disk_add(world, "loop0", GIB, 0, NULL); /* size left over from a file that is gone */
	world_open(world);
	assert_int_equal(sysblock_count(world->sysblock), 0);
	tree_write(&world->tree, "block/loop0/loop/backing_file", "/srv/" VOLUME ".img\n");
	world_expect(world, "+loop0");
	assert_int_equal(world->last.bus, BUS_LOOP);
	assert_int_equal(device_identity(&world->last, VOLUME), IDENTITY_SAME);
	seen = world->last.seen;
	/* Another file without any other sign is another disk. */
	tree_write(&world->tree, "block/loop0/loop/backing_file", "/srv/other.img\n");
	world_expect(world, "-loop0 +loop0");
	assert_int_equal(device_identity(&world->last, VOLUME), IDENTITY_OTHER);
	assert_true(world->last.seen > seen);
	tree_unlink(&world->tree, "block/loop0/loop/backing_file");
	world_expect(world, "-loop0");
	assert_string_equal(world->last.serial, "other");
}

static void test_what_is_listed(void **state)
{
	struct world *world = *state;

	for (size_t i = 0; i < 2; i++) {
		disk_add(world, "vda", GIB, 1, SERIAL);
		disk_add(world, "sda", GIB, 1, NULL);
		disk_add(world, "xvda", GIB, 1, NULL);
		disk_add(world, "dm-0", GIB, 1, NULL);
		disk_add(world, "zram0", GIB, 1, NULL);
		disk_add(world, "sr0", GIB, 1, NULL);
		disk_add(world, ".vdx", GIB, 1, NULL);
		disk_add(world, "a-name-longer-than-the-kernel-has-any", GIB, 1, NULL);
	}
	world->options.buses = 1u << BUS_VIRTIO | 1u << BUS_OTHER;
	world_open(world);
	assert_int_equal(sysblock_count(world->sysblock), 2);
	assert_string_equal(sysblock_at(world->sysblock, 0)->name, "vda");
	assert_string_equal(sysblock_at(world->sysblock, 1)->name, "xvda");
	assert_int_equal(sysblock_at(world->sysblock, 1)->bus, BUS_OTHER);
	world_expect(world, "");
}

static void test_slash_in_name(void **state)
{
	struct world *world = *state;
	_cleanup_free_ char *path = xasprintf("%s/cciss/c0d0", world->dev_root);

	disk_add(world, "cciss!c0d0", GIB, 1, NULL);
	world_open(world);
	assert_string_equal(world_get(world, "cciss!c0d0")->path, path);
}

static void test_verify(void **state)
{
	struct world *world = *state;
	struct device device;

	disk_add(world, "vdb", GIB, 4, SERIAL);
	world_open(world);
	device = *world_get(world, "vdb");
	assert_true(sysblock_verify(world->sysblock, &device));
	disk_number(world, "vdb", "size", 2);
	assert_false(sysblock_verify(world->sysblock, &device));
	disk_number(world, "vdb", "size", GIB / 512);
	assert_true(sysblock_verify(world->sysblock, &device));
	disk_number(world, "vdb", "diskseq", 5);
	assert_false(sysblock_verify(world->sysblock, &device));
	tree_unlink(&world->tree, "block/vdb/diskseq");
	assert_false(sysblock_verify(world->sysblock, &device));
	disk_number(world, "vdb", "diskseq", 4);
	assert_true(sysblock_verify(world->sysblock, &device));
	tree_write(&world->tree, "block/vdb/serial", OTHER_SERIAL);
	assert_false(sysblock_verify(world->sysblock, &device));
	tree_unlink(&world->tree, "block/vdb/serial");
	assert_false(sysblock_verify(world->sysblock, &device));
	tree_write(&world->tree, "block/vdb/serial", SERIAL);
	assert_true(sysblock_verify(world->sysblock, &device));
	/* Everything the same but the inode. */
	disk_remove(world, "vdb");
	assert_false(sysblock_verify(world->sysblock, &device));
	disk_add(world, "vdb", GIB, 4, SERIAL);
	assert_false(sysblock_verify(world->sysblock, &device));
	world_said(world, "");
}

/* What is nobody's serial tells disks apart all the same. */
static void test_verify_without_volume(void **state)
{
	struct world *world = *state;
	struct device device;

	disk_add(world, "vdb", GIB, 0, "QM00001");
	world_open(world);
	device = *world_get(world, "vdb");
	assert_true(sysblock_verify(world->sysblock, &device));
	tree_write(&world->tree, "block/vdb/serial", "QM00002");
	assert_false(sysblock_verify(world->sysblock, &device));
}

/* Others are looked at again in slices; within two scans all 250 are. */
static void test_slices(void **state)
{
	struct world *world = *state;
	struct sysblock_health before, middle, after;
	char name[16];

	for (int i = 0; i < 250; i++) {
		snprintf(name, sizeof(name), "vd%c%c", 'a' + i / 26, 'a' + i % 26);
		disk_add(world, name, GIB, 0, SERIAL);
	}
	world_open(world);
	assert_int_equal(sysblock_count(world->sysblock), 250);
	for (int i = 0; i < 250; i++) {
		snprintf(name, sizeof(name), "vd%c%c", 'a' + i / 26, 'a' + i % 26);
		disk_number(world, name, "size", 7);
	}
	sysblock_health(world->sysblock, &before);
	assert_int_equal(sysblock_scan(world->sysblock, NULL), 0);
	sysblock_health(world->sysblock, &middle);
	assert_int_equal(middle.changes - before.changes, 200);
	assert_int_equal(sysblock_scan(world->sysblock, NULL), 0);
	sysblock_health(world->sysblock, &after);
	assert_int_equal(after.changes - before.changes, 250);
	for (size_t i = 0; i < 250; i++)
		assert_int_equal(sysblock_at(world->sysblock, i)->size, 7 * 512);
}

int main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_first_scan),
		TEST(test_nothing),
		TEST(test_come_and_go),
		TEST(test_same_name_again),
		TEST(test_links),
		TEST(test_diskseq_changes),
		TEST(test_resize),
		TEST(test_empty_drive),
		TEST(test_attributes_arrive_late),
		TEST(test_late_identity),
		TEST(test_no_identity),
		TEST(test_later_identity),
		TEST(test_late_identity_of_old),
		TEST(test_gone_while_held),
		TEST(test_loop_device),
		TEST(test_what_is_listed),
		TEST(test_slash_in_name),
		TEST(test_verify),
		TEST(test_verify_without_volume),
		TEST(test_slices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
