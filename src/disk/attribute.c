/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Attributes of a disk in sysfs. Each is read in one go and is true of that moment; two attributes
 * may be of two disks that had the name one after the other, so code that needs two attributes of
 * one disk checks the disk's inode or diskseq as well.
 */

#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "disk/attribute.h"

#define LINE_MAX_BYTES 64 /* of a number or "254:16" */
#define SECTOR 512        /* the unit of "size", for any sector size of the device */

char *attribute_read(int dir_fd, const char *folder, const char *attribute)
{
	char path[PATH_MAX];
	char *text;

	if (snprintf(path, sizeof(path), "%s/%s", folder, attribute) >= (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	text = read_file_at(dir_fd, path, LINE_MAX_BYTES, NULL);
	if (text)
		text[strcspn(text, "\n")] = '\0';
	return text;
}

int attribute_read_number(int dir_fd, const char *folder, const char *attribute, uint64_t *out)
{
	_cleanup_free_ char *text = attribute_read(dir_fd, folder, attribute);

	if (!text)
		return -1;
	errno = EINVAL;
	return parse_u64(text, out);
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
