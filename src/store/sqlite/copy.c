/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * SQLite's own backup, from the store's one connection into a file beside the store.
 *
 * A second connection cannot read the store, since the daemon holds its lock for life. So the
 * thread that commits also copies, a few pages at a time. A commit between two steps goes through
 * the same connection, and SQLite then writes the changed pages into the copy as well: the copy
 * need not begin anew, and when the last page is copied, it is the store of this moment.
 *
 * The copy lies on the store's own file system, whose room the commits need too. So before each
 * step the room is looked at, and a copy that would leave too little of it is given up.
 *
 * A crash leaves the file behind; the next start, and the next copy, remove the file.
 */

#include "store/sqlite/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/statvfs.h>

/* 1 MB: some milliseconds in which commits wait. */
#define STEP_PAGES 256
#define PAGE_BYTES 4096 /* SQLite's default, which no migration changes */
/* What commits may need meanwhile: the log, and its checkpoint. */
#define ROOM_KEPT UINT64_C(8192000)

struct sqlite_copy {
	sqlite3 *from, *to;
	sqlite3_backup *backup;
	char *path;
};

char *sqlite_copy_path(const char *path)
{
	return xasprintf("%s.copy", path);
}

void sqlite_copy_remove(const char *copy_path)
{
	_cleanup_free_ char *log = xasprintf("%s-wal", copy_path);

	unlink(copy_path);
	unlink(log);
}

static int fail(struct sqlite_copy *copy, int rc, struct err *err)
{
	return err_set(err, ERR_UNAVAILABLE,
		       "the store cannot be copied to %s: %s (SQLite code %d)", copy->path,
		       sqlite3_errstr(rc), rc);
}

static int make_file(const char *path, struct err *err)
{
	int _cleanup_close_ fd = -1;

	sqlite_copy_remove(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, ERR_UNAVAILABLE, "the file %s for a copy cannot be made: %s",
			       path, strerrordesc_np(errno));
	return 0;
}

/*
 * The copy is written once and synced at its end, or dropped; so it needs no journal, and the steps
 * no sync.
 */
static int open_target(struct sqlite_copy *copy)
{
	int rc =
		sqlite3_open_v2(copy->path, &copy->to,
				SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
				NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_exec(copy->to,
				  "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = OFF; "
				  "PRAGMA synchronous = OFF",
				  NULL, NULL, NULL);
	return rc;
}

struct sqlite_copy *sqlite_copy_begin(sqlite3 *db, const char *copy_path, struct err *err)
{
	struct sqlite_copy *copy;
	int rc;

	if (make_file(copy_path, err) < 0)
		return NULL;
	copy = xnew(struct sqlite_copy);
	copy->from = db;
	copy->path = xstrdup(copy_path);
	rc = open_target(copy);
	if (rc == SQLITE_OK) {
		copy->backup = sqlite3_backup_init(copy->to, "main", db, "main");
		rc = copy->backup ? sqlite3_backup_step(copy->backup, 0)
				  : sqlite3_extended_errcode(copy->to);
	}
	if (rc == SQLITE_OK || rc == SQLITE_DONE)
		return copy;
	fail(copy, rc, err);
	return sqlite_copy_end(copy, false);
}

static int check_room(struct sqlite_copy *copy, struct err *err)
{
	uint64_t needed = (uint64_t)sqlite3_backup_remaining(copy->backup) * PAGE_BYTES + ROOM_KEPT;
	uint64_t free_bytes;
	struct statvfs room;

	if (statvfs(copy->path, &room) < 0)
		return err_set(err, ERR_UNAVAILABLE, "the file %s of the copy is lost: %s",
			       copy->path, strerrordesc_np(errno));
	free_bytes = (uint64_t)room.f_bavail * room.f_frsize;
	if (free_bytes >= needed)
		return 0;
	return err_set(
		err, ERR_UNAVAILABLE,
		"the file system of the store has no room for a copy of the store, from which a backup is made: "
		"%" PRIu64 " bytes are needed and %" PRIu64 " are free",
		needed, free_bytes);
}

int sqlite_copy_step(struct sqlite_copy *copy, struct err *err)
{
	int rc;

	if (check_room(copy, err) < 0)
		return -1;
	rc = sqlite3_backup_step(copy->backup, STEP_PAGES);
	if (rc == SQLITE_OK || rc == SQLITE_BUSY || rc == SQLITE_LOCKED)
		return 1;
	if (rc != SQLITE_DONE)
		return fail(copy, rc, err);
	rc = sqlite3_backup_finish(TAKE_PTR(copy->backup));
	return rc == SQLITE_OK ? 0 : fail(copy, rc, err);
}

struct sqlite_copy *sqlite_copy_end(struct sqlite_copy *copy, bool keep)
{
	if (!copy)
		return NULL;
	if (copy->backup)
		sqlite3_backup_finish(copy->backup);
	sqlite3_close(copy->to);
	if (!keep)
		sqlite_copy_remove(copy->path);
	free(copy->path);
	free(copy);
	return NULL;
}
