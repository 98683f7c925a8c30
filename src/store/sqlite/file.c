/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The store's files as other programs can see them.
 *
 * SQLite's lock lies on the file, not on its name: the lock keeps a second daemon out for as long
 * as the first lives, however the first ends. But a person can still move the file away, or put
 * another file in its place. SQLite would go on in a file that has no name any more. So the names
 * are compared with the opened files.
 *
 * The holder of the lock is read from the kernel's list. A question by fcntl() would need the file
 * to be opened, and closing this file would drop the locks of a store that is open in this very
 * process.
 */

#include "store/sqlite/file.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* ---- in their place ---- */

int sqlite_files_note(struct sqlite_files *files, const char *path, struct err *err)
{
	files->items[0].path = xstrdup(path);
	files->items[1].path = xasprintf("%s-wal", path);
	for (size_t i = 0; i < ARRAY_SIZE(files->items); i++) {
		struct stat st;

		if (stat(files->items[i].path, &st) < 0)
			return err_set_field(err, "store", ERR_UNAVAILABLE,
					     "cannot look at the store file %s: %s",
					     files->items[i].path, strerrordesc_np(errno));
		files->items[i].device = st.st_dev;
		files->items[i].inode = st.st_ino;
	}
	return 0;
}

int sqlite_files_check(const struct sqlite_files *files, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(files->items); i++) {
		const char *path = files->items[i].path;
		struct stat st;

		if (stat(path, &st) < 0)
			return err_set(
				err, ERR_UNAVAILABLE,
				"the store file %s cannot be found any more (%s): put it back, or restart the "
				"daemon to begin with the present files",
				path, strerrordesc_np(errno));
		if (st.st_dev != files->items[i].device || st.st_ino != files->items[i].inode)
			return err_set(
				err, ERR_UNAVAILABLE,
				"the store file %s was replaced by another while it was in use: put the first "
				"file back, or restart the daemon to use the new file",
				path);
	}
	return 0;
}

void sqlite_files_clear(struct sqlite_files *files)
{
	for (size_t i = 0; i < ARRAY_SIZE(files->items); i++)
		free(files->items[i].path);
	*files = (struct sqlite_files){ 0 };
}

/* ---- the holder of the lock ---- */

static void name_process(int pid, char *out, size_t size)
{
	char path[32];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	file = fopen(path, "re");
	if (!file || !fgets(out, (int)size, file))
		out[0] = '\0';
	if (file)
		fclose(file);
	out[strcspn(out, "\n")] = '\0';
}

/* A line is "1: POSIX  ADVISORY  WRITE 4711 fd:01:123456 0 EOF". */
static int holder_in(FILE *locks, const struct stat *st)
{
	unsigned major_number, minor_number;
	unsigned long long inode;
	char line[256];
	int pid;

	while (fgets(line, sizeof(line), locks)) {
		/* NOLINTNEXTLINE(cert-err34-c): the kernel writes them */
		if (sscanf(line, "%*s %*s %*s %*s %d %x:%x:%llu", &pid, &major_number,
			   &minor_number, &inode) == 4 &&
		    inode == st->st_ino && major_number == major(st->st_dev) &&
		    minor_number == minor(st->st_dev) && pid > 0)
			return pid;
	}
	return 0;
}

char *sqlite_file_holder(const char *path)
{
	FILE *locks = fopen("/proc/locks", "re");
	char name[32] = "";
	struct stat st;
	int pid = 0;

	if (locks && stat(path, &st) == 0)
		pid = holder_in(locks, &st);
	if (locks)
		fclose(locks);
	if (!pid)
		return NULL;
	name_process(pid, name, sizeof(name));
	return xasprintf("process %d%s%s%s", pid, name[0] ? " (" : "", name, name[0] ? ")" : "");
}
