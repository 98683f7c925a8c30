/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A temporary folder that looks like sysfs and procfs as far as a test needs; see tree.h. */

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tree.h"

void tree_make(struct tree *tree)
{
	*tree = (struct tree){ .root = "/tmp/disk-test-XXXXXX" };
	assert_non_null(mkdtemp(tree->root));
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(path);
}

void tree_destroy(struct tree *tree)
{
	assert_int_equal(nftw(tree->root, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

char *tree_path(const struct tree *tree, const char *path)
{
	return xasprintf("%s/%s", tree->root, path);
}

void tree_folder(const struct tree *tree, const char *path)
{
	_cleanup_free_ char *full = tree_path(tree, path);

	for (char *slash = strchr(full + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(full, 0755) < 0)
			assert_int_equal(errno, EEXIST);
		*slash = '/';
	}
	if (mkdir(full, 0755) < 0)
		assert_int_equal(errno, EEXIST);
}

void tree_write_bytes(const struct tree *tree, const char *path, const void *bytes, size_t length)
{
	_cleanup_free_ char *full = tree_path(tree, path);
	_cleanup_free_ char *folder = xstrdup(path);
	_cleanup_close_ int fd = -1;

	if (strchr(folder, '/')) {
		*strrchr(folder, '/') = '\0';
		tree_folder(tree, folder);
	}
	fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, length), length);
}

void tree_write(const struct tree *tree, const char *path, const char *text)
{
	tree_write_bytes(tree, path, text, strlen(text));
}

void tree_link(const struct tree *tree, const char *target, const char *path)
{
	_cleanup_free_ char *full = tree_path(tree, path);

	assert_int_equal(symlink(target, full), 0);
}

void tree_move(const struct tree *tree, const char *from, const char *to)
{
	_cleanup_free_ char *full_from = tree_path(tree, from);
	_cleanup_free_ char *full_to = tree_path(tree, to);

	assert_int_equal(rename(full_from, full_to), 0);
}

void tree_bury(struct tree *tree, const char *path)
{
	_cleanup_free_ char *grave = xasprintf("graves/%u", tree->graves++);

	tree_folder(tree, "graves");
	tree_move(tree, path, grave);
}

void tree_unlink(const struct tree *tree, const char *path)
{
	_cleanup_free_ char *full = tree_path(tree, path);

	assert_int_equal(remove(full), 0);
}
