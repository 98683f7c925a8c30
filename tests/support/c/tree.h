/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A temporary folder that looks like sysfs and procfs as far as a test needs. Every failure ends
 * the test. */

#include "base/util.h"

struct tree {
	char root[64];
	unsigned graves;
};

void tree_make(struct tree *tree);
void tree_destroy(struct tree *tree);
char *tree_path(const struct tree *tree, const char *path);  /* the caller's */
void tree_folder(const struct tree *tree, const char *path); /* with those above it */
void tree_write(const struct tree *tree, const char *path, const char *text);
void tree_write_bytes(const struct tree *tree, const char *path, const void *bytes, size_t length);
void tree_link(const struct tree *tree, const char *target, const char *path);
void tree_move(const struct tree *tree, const char *from, const char *to);
/* Takes something out of sight but keeps it, so that its inode number stays taken as in sysfs. */
void tree_bury(struct tree *tree, const char *path);
void tree_unlink(const struct tree *tree, const char *path);
