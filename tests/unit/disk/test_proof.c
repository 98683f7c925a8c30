/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Each single difference between the disk that was found and the disk that was opened is noticed,
 * also one that comes between two looks. */

#include <errno.h>

#include "disk/block_device.h"
#include "disk/proof.h"
#include "unit.h"

#define VOLUME "00000001-1111-4222-8333-444444444444"
#define IDENTITY "00000001111142228333"
#define OTHER_IDENTITY "00000002111142228333"
#define GIB (UINT64_C(1) << 30)

/* What the descriptor and sysfs tell. */
static struct {
	uint64_t size, diskseq, later_diskseq; /* the last: from the second question on */
	unsigned diskseq_asked;
	int size_errno, diskseq_errno, sysfs_errno;
	struct device sysfs;
} now;

int block_device_open(const char *path, bool read_only)
{
	return -1;
}

static int answer(int error)
{
	errno = error;
	return error ? -1 : 0;
}

int block_device_size(int fd, uint64_t *bytes)
{
	*bytes = now.size;
	return answer(now.size_errno);
}

int block_device_diskseq(int fd, uint64_t *diskseq)
{
	*diskseq = now.diskseq_asked++ ? now.later_diskseq : now.diskseq;
	return answer(now.diskseq_errno);
}

int block_device_in_sysfs(int fd, const char *sysfs_root, struct device *disk)
{
	assert_string_equal(sysfs_root, "/sys");
	assert_int_equal(disk->bus, BUS_SCSI);
	*disk = now.sysfs;
	return answer(now.sysfs_errno);
}

static struct device found;

static int setup(void **state)
{
	found = (struct device){ .name = "sdb",
				 .path = "/dev/sdb",
				 .bus = BUS_SCSI,
				 .diskseq = 7,
				 .size = GIB,
				 .serial = IDENTITY,
				 .identity = IDENTITY,
				 .has_identity = true };
	memset(&now, 0, sizeof(now));
	now.size = GIB;
	now.diskseq = now.later_diskseq = 7;
	now.sysfs = found;
	return 0;
}

static void proven(void)
{
	struct err err = { 0 };

	assert_int_equal(disk_prove(3, &found, VOLUME, "/sys", &err), 0);
	assert_int_equal(err.code, ERR_NONE);
}

static void refused(enum err_code code, const char *text)
{
	struct err err = { 0 };

	assert_int_equal(disk_prove(3, &found, VOLUME, "/sys", &err), -1);
	assert_int_equal(err.code, code);
	assert_non_null(strstr(err.text, text));
	assert_non_null(strstr(err.text, found.diskseq ? "/dev/sdb" : "5.15"));
}

static void the_disk_that_was_found(void **state)
{
	proven();
	assert_int_equal(now.diskseq_asked, 2);
}

static void a_disk_without_identity(void **state)
{
	found.has_identity = now.sysfs.has_identity = false;
	memset(now.sysfs.identity, 0, sizeof(now.sysfs.identity));
	proven();
	/* Another one that has none either. */
	now.diskseq_asked = 0;
	now.diskseq = now.later_diskseq = 8;
	refused(ERR_CONFLICT, "another disk");
}

static void another_number(void **state)
{
	now.diskseq = 8;
	refused(ERR_CONFLICT, "another disk");
}

static void another_size(void **state)
{
	now.size = 2 * GIB;
	refused(ERR_CONFLICT, "has changed");
}

static void another_identity(void **state)
{
	memcpy(now.sysfs.identity, OTHER_IDENTITY, sizeof(OTHER_IDENTITY));
	refused(ERR_CONFLICT, "another disk");
}

static void no_identity_any_more(void **state)
{
	now.sysfs.has_identity = false;
	refused(ERR_CONFLICT, "another disk");
}

/* The descriptor's number is another disk's meanwhile, which has the right identity. */
static void sysfs_of_another_disk(void **state)
{
	now.sysfs.diskseq = 8;
	refused(ERR_CONFLICT, "another disk");
}

static void changed_while_it_was_looked_at(void **state)
{
	now.later_diskseq = 8;
	refused(ERR_CONFLICT, "has changed");
}

static void gone_while_it_was_looked_at(void **state)
{
	static const int gone[] = { ENODEV, ENOENT, ENXIO };

	for (size_t i = 0; i < ARRAY_SIZE(gone); i++) {
		now.sysfs_errno = gone[i];
		refused(ERR_CONFLICT, "has changed");
	}
}

static void cannot_be_asked(void **state)
{
	now.sysfs_errno = EIO;
	refused(ERR_UNAVAILABLE, "serial of /dev/sdb cannot be read");
	now.size_errno = EIO;
	refused(ERR_UNAVAILABLE, "size of /dev/sdb cannot be read");
	now.diskseq_errno = EIO;
	refused(ERR_UNAVAILABLE, "sequence number of /dev/sdb cannot be read");
	now.diskseq_errno = ENOTTY;
	refused(ERR_CONFLICT, "no block device");
}

/* Then nothing tells two disks without identity apart. */
static void a_kernel_without_numbers(void **state)
{
	found.diskseq = now.diskseq = now.later_diskseq = now.sysfs.diskseq = 0;
	refused(ERR_CONFLICT, "this kernel does not number its disks");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_disk_that_was_found, setup),
		cmocka_unit_test_setup(a_disk_without_identity, setup),
		cmocka_unit_test_setup(another_number, setup),
		cmocka_unit_test_setup(another_size, setup),
		cmocka_unit_test_setup(another_identity, setup),
		cmocka_unit_test_setup(no_identity_any_more, setup),
		cmocka_unit_test_setup(sysfs_of_another_disk, setup),
		cmocka_unit_test_setup(changed_while_it_was_looked_at, setup),
		cmocka_unit_test_setup(gone_while_it_was_looked_at, setup),
		cmocka_unit_test_setup(cannot_be_asked, setup),
		cmocka_unit_test_setup(a_kernel_without_numbers, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
