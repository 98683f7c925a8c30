/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The files of a SQLite store, as other programs see them. */

#include <sys/types.h>

#include "base/err.h"

/* The database and its log, as they were when they were opened. */
struct sqlite_files {
	struct {
		char *path;
		dev_t device;
		ino_t inode;
	} items[2];
};
int sqlite_files_note(struct sqlite_files *files, const char *path, struct err *err);
/* -1 and a remedy in err if the names do not lead to the opened files any more. */
int sqlite_files_check(const struct sqlite_files *files, struct err *err);
void sqlite_files_clear(struct sqlite_files *files);
/* The holder of the lock on the file, in words; NULL if the holder cannot be told. */
char *sqlite_file_holder(const char *path);
