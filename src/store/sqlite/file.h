/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The files of a SQLite store, as other programs see them. */

#include <sys/types.h>
#include <time.h>

#include "base/err.h"

/*
 * Makes the file, for the daemon's user alone, if it does not exist (must_exist: that is
 * ERR_NOT_FOUND), and checks that the place can hold a store.
 */
int sqlite_file_make(const char *path, bool must_exist, struct err *err);

enum sqlite_file { SQLITE_DATA, SQLITE_LOG, SQLITE_FILE_COUNT };

/* The database and its log, as they were when they were opened and last written. */
struct sqlite_files {
	struct {
		char *path;
		dev_t device;
		ino_t inode;
		off_t size;
		struct timespec changed;
	} items[SQLITE_FILE_COUNT];
};
int sqlite_files_note(struct sqlite_files *files, const char *path, struct err *err);
/* -1 and a remedy in err if the names do not lead to the opened files any more. */
int sqlite_files_check(const struct sqlite_files *files, struct err *err);
/* To be called after each write of this process to the file. */
void sqlite_files_note_write(struct sqlite_files *files, enum sqlite_file which);
/* -1 and a remedy in err if another program has written to an opened file. */
int sqlite_files_check_writes(const struct sqlite_files *files, struct err *err);
void sqlite_files_clear(struct sqlite_files *files);
/* The holder of the lock on the file, in words; NULL if the holder cannot be told. */
char *sqlite_file_holder(const char *path);
