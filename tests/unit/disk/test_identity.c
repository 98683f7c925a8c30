/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which bus a disk is on, what it says about who it is, and which volume that makes it. */

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "disk/identity.h"
#include "tree.h"

#define VOLUME "0c8f5a1e-3b7d-4e2f-9a6c-1d2e3f4a5b6c"
#define SERIAL "0c8f5a1e3b7d4e2f9a6c" /* its first 20 digits */
#define WHOLE "0c8f5a1e3b7d4e2f9a6c1d2e3f4a5b6c"

/* ---- device_identity() ---- */

static void test_compare(void **state)
{
	static const struct {
		const char *identity;
		bool has_identity;
		const char *volume;
		enum device_identity expected;
	} rows[] = {
		{ "", false, VOLUME, IDENTITY_NONE },
		{ "", true, VOLUME, IDENTITY_OTHER },
		{ SERIAL, true, VOLUME, IDENTITY_SAME },
		{ SERIAL, true, "0C8F5A1E-3B7D-4E2F-9A6C-1D2E3F4A5B6C", IDENTITY_SAME },
		{ WHOLE, true, VOLUME, IDENTITY_SAME },
		/* last digit */
		{ "0c8f5a1e3b7d4e2f9a6c1d2e3f4a5b6d", true, VOLUME, IDENTITY_OTHER },
		/* 20th digit */
		{ "0c8f5a1e3b7d4e2f9a6d", true, VOLUME, IDENTITY_OTHER },
		/* first digit */
		{ "1c8f5a1e3b7d4e2f9a6c", true, VOLUME, IDENTITY_OTHER },
		/* 19 digits prove nothing */
		{ "0c8f5a1e3b7d4e2f9a6", true, VOLUME, IDENTITY_OTHER },
		/* not a volume's id */
		{ SERIAL, true, "0c8f5a1e-3b7d-4e2f-9a6c", IDENTITY_OTHER },
		{ SERIAL, true, "", IDENTITY_OTHER },
		{ SERIAL, true, VOLUME "00", IDENTITY_OTHER },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct device device = { .has_identity = rows[i].has_identity };

		snprintf(device.identity, sizeof(device.identity), "%s", rows[i].identity);
		if (device_identity(&device, rows[i].volume) != rows[i].expected)
			fail_msg("row %zu: \"%s\" against \"%s\"", i, rows[i].identity,
				 rows[i].volume);
	}
}

/* ---- recognising the bus ---- */

static int open_block(const struct tree *tree)
{
	_cleanup_free_ char *path = tree_path(tree, "block");
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void test_bus_by_name(void **state)
{
	static const struct {
		const char *name;
		int bus; /* -1: not a disk */
	} rows[] = {
		{ "vda", BUS_VIRTIO },
		{ "vdaa", BUS_VIRTIO },
		{ "sda", BUS_SCSI },
		{ "sdzz", BUS_SCSI },
		{ "loop0", BUS_LOOP },
		{ "loop17", BUS_LOOP },
		{ "xvdb", BUS_OTHER },
		{ "nvme0n1", BUS_OTHER },
		{ "vd", BUS_OTHER },
		{ "vda1", BUS_OTHER },
		{ "loop", BUS_OTHER },
		{ "loopx", BUS_OTHER },
		{ "hda", BUS_OTHER },
		{ "dm-0", -1 },
		{ "dm-123", -1 },
		{ "md0", -1 },
		{ "md127", -1 },
		{ "md_d0", -1 },
		{ "ram0", -1 },
		{ "zram0", -1 },
		{ "sr0", -1 },
		{ "fd0", -1 },
		{ "nbd15", -1 },
		{ "zd16", -1 },
		{ "bcache0", -1 },
		{ "drbd1", -1 },
		{ "mtdblock0", -1 },
		{ "ubiblock0_1", -1 },
		{ "rbd0", BUS_OTHER },
		{ "sdx1", BUS_OTHER },
		{ "cciss!c0d0", BUS_OTHER },
	};
	struct tree tree;
	int fd;

	tree_make(&tree);
	tree_folder(&tree, "block");
	fd = open_block(&tree);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		enum device_bus bus = BUS_COUNT;
		int r = identity_find_bus(fd, rows[i].name, &bus);

		if (rows[i].bus < 0 ? r != -1 : (r != 0 || (int)bus != rows[i].bus))
			fail_msg("%s: %d, bus %u", rows[i].name, r, bus);
	}
	close(fd);
	tree_destroy(&tree);
}

static void test_bus_by_subsystem(void **state)
{
	enum device_bus bus;
	struct tree tree;
	int fd;

	tree_make(&tree);
	tree_folder(&tree, "block/vda/device");
	tree_link(&tree, "../../../../bus/virtio", "block/vda/device/subsystem");
	tree_folder(&tree, "block/vdb/device");
	tree_link(&tree, "../../../../bus/other", "block/vdb/device/subsystem");
	tree_folder(&tree, "block/sda/device");
	tree_link(&tree, "../../../../bus/scsi", "block/sda/device/subsystem");
	tree_folder(&tree, "block/sdb/device");
	tree_link(&tree, "../../../../bus/notscsi", "block/sdb/device/subsystem");
	fd = open_block(&tree);
	assert_int_equal(identity_find_bus(fd, "vda", &bus), 0);
	assert_int_equal(bus, BUS_VIRTIO);
	assert_int_equal(identity_find_bus(fd, "vdb", &bus), 0);
	assert_int_equal(bus, BUS_OTHER);
	assert_int_equal(identity_find_bus(fd, "sda", &bus), 0);
	assert_int_equal(bus, BUS_SCSI);
	assert_int_equal(identity_find_bus(fd, "sdb", &bus), 0);
	assert_int_equal(bus, BUS_OTHER);
	close(fd);
	tree_destroy(&tree);
}

/* ---- reading ---- */

struct attribute {
	const char *path;
	const char *bytes;
	size_t length;
};

#define TEXT(PATH, BYTES)                                                                          \
	{                                                                                          \
		PATH, BYTES, sizeof(BYTES) - 1                                                     \
	}

struct reading {
	enum device_bus bus;
	struct attribute attributes[2];
	const char *serial;
	const char *identity;
};

static const struct reading readings[] = {
	/* virtio */
	{ BUS_VIRTIO, { TEXT("serial", SERIAL) }, SERIAL, SERIAL },
	{ BUS_VIRTIO, { TEXT("serial", SERIAL "\n") }, SERIAL, SERIAL },
	{ BUS_VIRTIO, { TEXT("serial", "0C8F5A1E3B7D4E2F9A6C") }, "0C8F5A1E3B7D4E2F9A6C", SERIAL },
	{ BUS_VIRTIO, { TEXT("serial", "  " SERIAL "  \n\0\0") }, SERIAL, SERIAL },
	{ BUS_VIRTIO, { TEXT("serial", VOLUME) }, VOLUME, WHOLE },
	{ BUS_VIRTIO, { TEXT("serial", "0c8f5a1e3b7d4e2f9a6") }, "0c8f5a1e3b7d4e2f9a6", "" },
	/* 17 digits */
	{ BUS_VIRTIO, { TEXT("serial", "0c8f5a1e-3b7d-4e2f-9") }, "0c8f5a1e-3b7d-4e2f-9", "" },
	/* 33 digits */
	{ BUS_VIRTIO, { TEXT("serial", WHOLE "0") }, WHOLE "0", "" },
	{ BUS_VIRTIO, { TEXT("serial", "0c8f5a1e3b7d4e2f9a6g") }, "0c8f5a1e3b7d4e2f9a6g", "" },
	{ BUS_VIRTIO, { TEXT("serial", "QM00001") }, "QM00001", "" },
	{ BUS_VIRTIO,
	  { TEXT("serial", "a\x01\xff\x7f"
			   "b") },
	  "a???b",
	  "" },
	{ BUS_VIRTIO, { TEXT("serial", "") }, "", "" },
	{ BUS_VIRTIO, { TEXT("serial", " \n") }, "", "" },
	{ BUS_VIRTIO, { { NULL, NULL, 0 } }, "", "" },
	/* another bus's attribute says nothing */
	{ BUS_VIRTIO, { TEXT("device/wwid", "t10.QEMU " SERIAL "\n") }, "", "" },
	/* SCSI, page 0x80 */
	{ BUS_SCSI, { TEXT("device/vpd_pg80", "\x00\x80\x00\x14" SERIAL) }, SERIAL, SERIAL },
	{ BUS_SCSI,
	  { TEXT("device/vpd_pg80", "\x00\x80\x00\x18"
				    "  " SERIAL "  ") },
	  SERIAL,
	  SERIAL },
	{ BUS_SCSI, { TEXT("device/vpd_pg80", "\x00\x80\x00\x14" SERIAL "junk") }, SERIAL, SERIAL },
	{ BUS_SCSI,
	  { TEXT("device/vpd_pg80", "\x00\x80\x00\x07"
				    "QM00001") },
	  "QM00001",
	  "" },
	{ BUS_SCSI, { TEXT("device/vpd_pg80", "\x00\x80\x00\x20" WHOLE) }, WHOLE, WHOLE },
	/* another page */
	{ BUS_SCSI, { TEXT("device/vpd_pg80", "\x00\x83\x00\x14" SERIAL) }, "", "" },
	/* one byte short */
	{ BUS_SCSI, { TEXT("device/vpd_pg80", "\x00\x80\x00\x15" SERIAL) }, "", "" },
	/* high byte counts */
	{ BUS_SCSI, { TEXT("device/vpd_pg80", "\x00\x80\x01\x14" SERIAL) }, "", "" },
	{ BUS_SCSI, { TEXT("device/vpd_pg80", "\x00\x80\x00") }, "", "" },
	{ BUS_SCSI, { TEXT("device/vpd_pg80", "") }, "", "" },
	{ BUS_SCSI,
	  { TEXT("device/vpd_pg80", "\x00\x80\x00\x04"
				    "    ") },
	  "",
	  "" },
	/* SCSI, wwid */
	{ BUS_SCSI,
	  { TEXT("device/wwid", "t10.QEMU    QEMU HARDDISK   " SERIAL "\n") },
	  SERIAL,
	  SERIAL },
	{ BUS_SCSI,
	  { TEXT("device/wwid",
		 "t10.ATA     QEMU HARDDISK                           " SERIAL "\n") },
	  SERIAL,
	  SERIAL },
	{ BUS_SCSI, { TEXT("device/wwid", "t10." SERIAL "\n") }, SERIAL, SERIAL },
	{ BUS_SCSI,
	  { TEXT("device/wwid", "naa.6000c29c9a571125b2557968af0890fa\n") },
	  "naa.6000c29c9a571125b2557968af0890fa",
	  "" },
	{ BUS_SCSI,
	  { TEXT("device/wwid", "eui.0c8f5a1e3b7d4e2f9a6c\n") },
	  "eui.0c8f5a1e3b7d4e2f9a6c",
	  "" },
	{ BUS_SCSI, { TEXT("device/wwid", "\n") }, "", "" },
	/* the page counts first, wwid when the page says nothing */
	{ BUS_SCSI,
	  { TEXT("device/vpd_pg80", "\x00\x80\x00\x14" SERIAL),
	    TEXT("device/wwid", "naa.6000c29c9a571125\n") },
	  SERIAL,
	  SERIAL },
	{ BUS_SCSI,
	  { TEXT("device/vpd_pg80", "\x00\x80\x00\x99" SERIAL),
	    TEXT("device/wwid", "naa.6000c29c9a571125\n") },
	  "naa.6000c29c9a571125",
	  "" },
	/* loop */
	{ BUS_LOOP, { TEXT("loop/backing_file", "/srv/" VOLUME ".img\n") }, VOLUME, WHOLE },
	{ BUS_LOOP, { TEXT("loop/backing_file", "/srv/" VOLUME "\n") }, VOLUME, WHOLE },
	{ BUS_LOOP,
	  { TEXT("loop/backing_file", "/srv/" VOLUME ".img (deleted)\n") },
	  VOLUME,
	  WHOLE },
	{ BUS_LOOP, { TEXT("loop/backing_file", VOLUME ".img\n") }, VOLUME, WHOLE },
	{ BUS_LOOP, { TEXT("loop/backing_file", "/srv/" VOLUME "/disk.img\n") }, "disk", "" },
	/* not a whole UUID */
	{ BUS_LOOP, { TEXT("loop/backing_file", "/srv/" SERIAL ".img\n") }, SERIAL, "" },
	{ BUS_LOOP, { TEXT("loop/backing_file", "/srv/" VOLUME ".raw\n") }, VOLUME ".raw", "" },
	{ BUS_LOOP, { TEXT("loop/backing_file", "\n") }, "", "" },
	{ BUS_OTHER, { TEXT("serial", SERIAL) }, "", "" },
};

static void test_reading(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(readings); i++) {
		const struct reading *row = &readings[i];
		struct device device = {
			.name = "x", .bus = row->bus, .serial = "left over", .identity = "left over"
		};
		struct tree tree;
		int fd;

		tree_make(&tree);
		tree_folder(&tree, "block/x");
		for (size_t a = 0; a < ARRAY_SIZE(row->attributes) && row->attributes[a].path;
		     a++) {
			_cleanup_free_ char *path =
				xasprintf("block/x/%s", row->attributes[a].path);

			tree_write_bytes(&tree, path, row->attributes[a].bytes,
					 row->attributes[a].length);
		}
		fd = open_block(&tree);
		identity_read(fd, &device);
		if (!streq(device.serial, row->serial) || !streq(device.identity, row->identity) ||
		    device.has_identity != (row->serial[0] != '\0'))
			fail_msg("row %zu: serial \"%s\", identity \"%s\", has %d", i,
				 device.serial, device.identity, device.has_identity);
		close(fd);
		tree_destroy(&tree);
	}
}

static void test_endless_attribute(void **state)
{
	struct device device = { .name = "x", .bus = BUS_VIRTIO };
	static char much[8192];
	struct tree tree;
	int fd;

	/* Longer than sysfs ever is: not read at all rather than in part. */
	memset(much, 'a', sizeof(much));
	tree_make(&tree);
	tree_write_bytes(&tree, "block/x/serial", much, sizeof(much));
	fd = open_block(&tree);
	identity_read(fd, &device);
	assert_false(device.has_identity);
	/* What fits a page but not the struct is cut, and is nobody's. */
	tree_write_bytes(&tree, "block/x/serial", much, 300);
	identity_read(fd, &device);
	assert_true(device.has_identity);
	assert_int_equal(strlen(device.serial), DEVICE_SERIAL_SIZE - 1);
	assert_string_equal(device.identity, "");
	close(fd);
	tree_destroy(&tree);
}

static void test_table(void **state)
{
	for (enum device_bus bus = 0; bus < BUS_COUNT; bus++) {
		assert_non_null(device_bus_names[bus]);
		assert_int_equal(identity_can_have(bus), bus != BUS_OTHER);
		assert_true(bus == BUS_OTHER || identity_buses[bus].attributes[0].parse);
	}
	assert_null(device_bus_names[BUS_COUNT]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compare),           cmocka_unit_test(test_bus_by_name),
		cmocka_unit_test(test_bus_by_subsystem),  cmocka_unit_test(test_reading),
		cmocka_unit_test(test_endless_attribute), cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
