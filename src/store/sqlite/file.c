/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The store's files as other programs can see them.
 *
 * SQLite's lock lies on the file, not on its name: the lock keeps a second daemon out for as long
 * as the first lives, however the first ends. But a person can still move the file away, or put
 * another file in its place. SQLite would go on in a file that has no name any more. So the names
 * are compared with the opened files. Programs that ask for no lock can also cut the file or write
 * into it. SQLite would notice when it reads a spoiled page, perhaps after many commits. So size
 * and time of change of the files are compared with those after the daemon's own last write.
 *
 * The holder of the lock is read from the kernel's list. A question by fcntl() would need the file
 * to be opened, and closing this file would drop the locks of a store that is open in this very
 * process.
 */

#include "store/sqlite/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* ---- making the file ---- */

static int check_folder(const char *path, struct err *err)
{
	char _cleanup_free_ *folder = xstrndup(path, (size_t)(strrchr(path, '/') - path));
	struct stat st;

	if (*folder && stat(folder, &st) < 0)
		return err_set_field(
			err, "store", ERR_UNAVAILABLE,
			"the folder %s of the store %s cannot be used: %s; create it, owned by the daemon's user, "
			"with mode 0700",
			folder, path, strerrordesc_np(errno));
	if (*folder && !S_ISDIR(st.st_mode))
		return err_set_field(err, "store", ERR_INVALID,
				     "%s, where the store %s should be, is not a folder", folder,
				     path);
	return 0;
}

/* SQLite takes a file without a byte for new, and removes its log. */
static bool has_log(const char *path)
{
	char _cleanup_free_ *log = xasprintf("%s-wal", path);
	struct stat st;

	return stat(log, &st) == 0 && st.st_size > 0;
}

/* SQLite would make the file with the umask's mode; its log gets the mode of the file. */
int sqlite_file_make(const char *path, bool must_exist, struct err *err)
{
	int _cleanup_close_ fd = -1;
	struct stat st;

	if (check_folder(path, err) < 0)
		return -1;
	if (must_exist && access(path, F_OK) < 0 && errno == ENOENT)
		return err_set_field(err, "store", ERR_NOT_FOUND, "there is no store file %s",
				     path);
	/*
	 * Only a file that did not exist is opened here: closing it would drop the locks of a store
	 * that is open in this process.
	 */
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		return 0;
	if (errno != EEXIST)
		return err_set_field(err, "store", ERR_UNAVAILABLE,
				     "cannot create the store file %s: %s", path,
				     strerrordesc_np(errno));
	if (stat(path, &st) < 0)
		return err_set_field(err, "store", ERR_UNAVAILABLE,
				     "cannot look at the store file %s: %s", path,
				     strerrordesc_np(errno));
	if (!S_ISREG(st.st_mode))
		return err_set_field(err, "store", ERR_INVALID, "the store %s is not a file", path);
	if (st.st_size == 0 && has_log(path))
		return err_set_field(
			err, "store", ERR_UNAVAILABLE,
			"the store file %s is empty, but its log %s-wal is not: it is damaged; "
			"restore both from a backup, or move both away and start with an empty one",
			path, path);
	if (st.st_mode & 077 && chmod(path, 0600) < 0)
		return err_set_field(err, "store", ERR_UNAVAILABLE,
				     "others may read the store file %s and chmod fails: %s", path,
				     strerrordesc_np(errno));
	return 0;
}

/* ---- in their place ---- */

int sqlite_files_note(struct sqlite_files *files, const char *path, struct err *err)
{
	files->items[SQLITE_DATA].path = xstrdup(path);
	files->items[SQLITE_LOG].path = xasprintf("%s-wal", path);
	for (size_t i = 0; i < ARRAY_SIZE(files->items); i++) {
		struct stat st;

		if (stat(files->items[i].path, &st) < 0)
			return err_set_field(err, "store", ERR_UNAVAILABLE,
					     "cannot look at the store file %s: %s",
					     files->items[i].path, strerrordesc_np(errno));
		files->items[i].device = st.st_dev;
		files->items[i].inode = st.st_ino;
		sqlite_files_note_write(files, (enum sqlite_file)i);
	}
	return 0;
}

/* A file that cannot be looked at keeps its values; sqlite_files_check() says why. */
void sqlite_files_note_write(struct sqlite_files *files, enum sqlite_file which)
{
	struct stat st;

	if (stat(files->items[which].path, &st) < 0)
		return;
	files->items[which].size = st.st_size;
	files->items[which].changed = st.st_mtim;
}

int sqlite_files_check_writes(const struct sqlite_files *files, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(files->items); i++) {
		const struct timespec *changed = &files->items[i].changed;
		struct stat st;

		if (stat(files->items[i].path, &st) < 0 ||
		    (st.st_size == files->items[i].size && st.st_mtim.tv_sec == changed->tv_sec &&
		     st.st_mtim.tv_nsec == changed->tv_nsec))
			continue;
		return err_set(
			err, ERR_UNAVAILABLE,
			"another program wrote to the store file %s while it was in use, so it may be damaged: "
			"stop the daemon and restore it from a backup, or restart the daemon to use the present "
			"file",
			files->items[i].path);
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
