/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A link of the right name may be there and be wrong: left behind by a map that is gone, it may
 * even lead to another map that got the number. A link is therefore judged by its target, and
 * replaced in one step.
 */

#include "dm/node.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

int node_link(const char *dev_root, const char *name, const char *kernel_name, dev_t number,
	      struct err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/mapper/%s", dev_root, name);
	_cleanup_free_ char *beside = xasprintf("%s/mapper/.%s.new", dev_root, name);
	_cleanup_free_ char *target = xasprintf("../%s", kernel_name);
	struct stat st;

	if (stat(path, &st) == 0 && S_ISBLK(st.st_mode) && st.st_rdev == number)
		return 0;
	(void)unlink(beside);
	if (symlink(target, beside) < 0 || rename(beside, path) < 0)
		return err_set(err, ERR_UNAVAILABLE, "the link %s to %s cannot be made: %s", path,
			       target, strerror(errno));
	return 0;
}

void node_unlink(const char *dev_root, const char *name, const char *kernel_name)
{
	_cleanup_free_ char *path = xasprintf("%s/mapper/%s", dev_root, name),
			    *ours = xasprintf("../%s", kernel_name);
	char target[64];
	ssize_t length = readlink(path, target, sizeof(target) - 1);

	if (length < 0)
		return;
	target[length] = '\0';
	if (streq(target, ours))
		(void)unlink(path);
}
