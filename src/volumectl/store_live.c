/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A backup and a check of the running daemon's store, which only the daemon can read.
 *
 * The daemon writes the backup, but volumectl makes the file, with the rights of its user, and
 * hands the open file over. The file gets its name when it is complete: until then the name is FILE
 * with a dot and six letters, so that a backup that was cut short is never taken for one, and an
 * older backup under the name is not lost.
 */

#include "volumectl/store_live.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "volumectl/output.h"

/* The daemon gives up earlier, and says why. */
#define TIMEOUT_MS (UINT64_C(35) * 60 * 1000)

static const char backup_help[] =
	"Usage: volumectl store backup FILE [--force]\n"
	"\n"
	"Write a checked backup of the running daemon's store into FILE, which other users may not read.\n"
	"\n"
	"  --force            Replace FILE if it exists.\n"
	"  --json             Print compact JSON.\n"
	"  --address ADDRESS  Use this bus instead of the system's.\n";

/* For the handler; NULL: there is nothing to remove. */
static char *volatile unfinished;

static _Noreturn void on_signal(int number)
{
	if (unfinished)
		unlink(unfinished);
	_exit(128 + number);
}

static void remove_if_interrupted(char *path)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = { .sa_handler = on_signal };

	unfinished = path;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		sigaction(numbers[i], &action, NULL);
}

/* ---- the file ---- */

static int check_name(const char *name, bool force, struct err *err)
{
	struct stat st;

	if (lstat(name, &st) < 0)
		return 0;
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_CONFLICT,
			       "%s is no regular file, so a backup cannot replace it", name);
	if (!force)
		return err_set(
			err, ERR_CONFLICT,
			"%s exists already: name another file, or replace this file with --force",
			name);
	return 0;
}

static int open_unfinished(char *path, struct err *err)
{
	int fd = mkostemp(path, O_CLOEXEC);

	if (fd < 0)
		err_set(err, errno == EACCES || errno == EPERM ? ERR_FORBIDDEN : ERR_NOT_FOUND,
			"the backup %s cannot be made: %s", path, strerrordesc_np(errno));
	return fd;
}

/* The name must outlast a crash of the machine as well as the content does. */
static void sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *folder =
		slash ? xstrndup(path, (size_t)(slash - path) + 1) : xstrdup(".");
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
}

static int give_name(const char *path, const char *name, bool force, struct err *err)
{
	int r = renameat2(AT_FDCWD, path, AT_FDCWD, name, force ? 0 : RENAME_NOREPLACE);

	/* Some file systems cannot tell; then the earlier look at the name must do. */
	if (r < 0 && errno == EINVAL && !force)
		r = check_name(name, force, err) < 0 ? -1 : rename(path, name);
	if (r < 0)
		return err_set(err, ERR_CONFLICT, "the backup cannot get the name %s: %s", name,
			       strerrordesc_np(errno));
	sync_folder(name);
	return 0;
}

/* ---- the daemon ---- */

/* Reading a large store takes its time. */
static int call_patiently(struct ctl *ctl, enum method_id id, int fd,
			  struct volume_client_value **out, struct err *err)
{
	if (ctl_connect(ctl, err) < 0)
		return -1;
	volume_client_set_call_timeout(ctl->client, TIMEOUT_MS);
	return ctl_call(ctl, id, fd, out, err);
}

/* ---- backup ---- */

static int make_backup(struct ctl *ctl, const char *name, char *path, bool force,
		       struct volume_client_value **out, struct err *err)
{
	int fd, r;

	if (check_name(name, force, err) < 0)
		return -1;
	if (!ctl_daemon_runs(ctl))
		return err_set(
			err, ERR_UNAVAILABLE,
			"volume-daemon is not running, or the bus is away: the store of a stopped daemon is copied with 'volumectl store copy'");
	fd = open_unfinished(path, err);
	if (fd < 0)
		return -1;
	remove_if_interrupted(path);
	r = call_patiently(ctl, METHOD_STORE_BACKUP, fd, out, err);
	close(fd);
	if (r == 0)
		r = give_name(path, name, force, err);
	if (r < 0)
		unlink(path);
	unfinished = NULL;
	return r;
}

int store_live_backup(struct ctl *ctl, int argc, char **argv)
{
	struct volume_client_value *reply = NULL;
	_cleanup_free_ char *path = NULL;
	struct err err = { 0 };
	const char *force = NULL;
	int result = options_read_own(&ctl->options, "store backup", argc, argv, &force);

	if (result == OPTIONS_HELP)
		fputs(backup_help, stdout);
	if (result)
		return result == OPTIONS_HELP ? EXIT_SUCCESS : result;
	if (argc - optind != 1)
		return ctl_usage("store backup needs one FILE");
	path = xasprintf("%s.XXXXXX", argv[optind]);
	if (make_backup(ctl, argv[optind], path, force != NULL, &reply, &err) < 0) {
		volume_client_value_free(reply);
		return ctl_fail(&err);
	}
	output_record(&store_backup_record, reply, ctl->options.json);
	volume_client_value_free(reply);
	return EXIT_SUCCESS;
}

/* ---- check ---- */

static void show_faults(const struct volume_client_value *reply)
{
	const struct volume_client_value *faults =
		volume_client_get(volume_client_get(reply, "report"), "faults");

	for (size_t i = 0; faults && i < faults->count; i++)
		puts(str_or(volume_client_text(&faults->items[i]), ""));
	puts(str_or(volume_client_text(volume_client_get(reply, "message")), ""));
}

int store_live_check(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = { COMMON_OPTIONS, { 0 } };
	struct volume_client_value *reply = NULL;
	const struct volume_client_value *count;
	struct err err = { 0 };
	int code, result;

	optind = 0;
	while ((code = getopt_long(argc, argv, ":", options, NULL)) >= 0) {
		if (options_take_common(&ctl->options, code, optarg) <= 0)
			return -1;
	}
	if (optind < argc || !ctl_daemon_runs(ctl))
		return -1;
	if (call_patiently(ctl, METHOD_STORE_CHECK, -1, &reply, &err) < 0)
		return ctl_fail(&err);
	count = volume_client_get(reply, "faults");
	result = count && count->kind == VOLUME_CLIENT_INTEGER && count->integer == 0
			 ? EXIT_SUCCESS
			 : EXIT_FAILURE;
	if (ctl->options.json)
		output_record(&store_check_record, reply, true);
	else
		show_faults(reply);
	volume_client_value_free(reply);
	return result;
}
