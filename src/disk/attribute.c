/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Attributes of a disk in sysfs. Each is read in one go and is true of that moment; two attributes
 * may be of two disks that had the name one after the other, so code that needs two attributes of
 * one disk checks the disk's inode or diskseq as well.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "disk/attribute.h"

#define LINE_MAX_BYTES 64 /* of a number or "254:16" */
#define SECTOR 512        /* the unit of "size", for any sector size of the device */

/* A scan reads three attributes of each disk: so without an allocation, and by one read, which gets
 * the whole attribute from sysfs. */
static int read_line(int dir_fd, const char *folder, const char *attribute,
		     char line[LINE_MAX_BYTES + 1])
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	ssize_t got;

	if (snprintf(path, sizeof(path), "%s/%s", folder, attribute) >= (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -1;
	do
		got = read(fd, line, LINE_MAX_BYTES + 1);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -1;
	if (got > LINE_MAX_BYTES) {
		errno = EFBIG;
		return -1;
	}
	line[got] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return 0;
}

char *attribute_read(int dir_fd, const char *folder, const char *attribute)
{
	char line[LINE_MAX_BYTES + 1];

	return read_line(dir_fd, folder, attribute, line) < 0 ? NULL : xstrdup(line);
}

int attribute_read_number(int dir_fd, const char *folder, const char *attribute, uint64_t *out)
{
	char line[LINE_MAX_BYTES + 1];

	if (read_line(dir_fd, folder, attribute, line) < 0)
		return -1;
	errno = EINVAL;
	return parse_u64(line, out);
}

int attribute_read_size(int dir_fd, const char *folder, uint64_t *out)
{
	uint64_t sectors;

	if (attribute_read_number(dir_fd, folder, "size", &sectors) < 0)
		return -1;
	if (sectors > UINT64_MAX / SECTOR) {
		errno = EOVERFLOW;
		return -1;
	}
	*out = sectors * SECTOR;
	return 0;
}
