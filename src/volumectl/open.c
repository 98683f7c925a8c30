/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Runs a command that has the disk of a volume open. A command that opens a disk by its name can
 * meet another disk, if the name passes on between the question for the name and its use; this
 * command got the open disk from the daemon, which has proven it.
 *
 * volumectl becomes the command, so signals and the exit code are the command's own. As with other
 * programs that start a command, the exit code is 127 if there is no such command, and 126 if it
 * cannot be started.
 */

#include "volumectl/open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/uuid.h"
#include "volumectl/names.h"

/* The daemon gives up earlier, and says why. */
#define TIMEOUT_MS (UINT64_C(5) * 60 * 1000)

#define DISK_FD 3
#define DISK_VARIABLE "VOLUME_DEVICE"

#define EXIT_NOT_STARTED 126
#define EXIT_NO_COMMAND 127

struct disk_request {
	const char *volume;    /* its UUID or its name */
	const char *read_only; /* NULL: no */
	char **command;
};

/* ---- the command line ---- */

static int find_command(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (streq(argv[i], "--"))
			return i;
	}
	return argc;
}

/* 0, EXIT_USAGE, or OPTIONS_HELP */
static int read_command_line(struct ctl *ctl, struct disk_request *request, int argc, char **argv)
{
	int end = find_command(argc, argv);
	int result = options_read_own(&ctl->options, argv[0], end, argv, &request->read_only);

	if (result)
		return result;
	if (end - optind != 1 || argc - end < 2)
		return ctl_usage("open needs VOLUME -- COMMAND; see 'volumectl help open'");
	request->volume = argv[optind];
	request->command = argv + end + 1;
	return 0;
}

/* ---- the disk ---- */

/* Returns a descriptor above those that the command gets. */
static int ask_for_disk(struct ctl *ctl, const struct disk_request *request, struct err *err)
{
	struct volume_client_error error;
	_cleanup_free_ char *volume_id =
		uuid_is_valid(request->volume) ? xstrdup(request->volume) : NULL;
	sd_bus_message *reply = NULL;
	int fd = -1;

	if (ctl_connect(ctl, err) < 0 ||
	    (!volume_id && names_find(ctl, &volume_record, request->volume, &volume_id, err) < 0))
		return -1;
	volume_client_set_call_timeout(ctl->client, TIMEOUT_MS);
	if (volume_client_call(ctl->client, NULL, NULL, methods[METHOD_VOLUME_OPEN].member, &reply,
			       &error, "sa{sv}", volume_id, 1, "read_only", "b",
			       request->read_only != NULL) < 0)
		return ctl_client_error(&error, err);
	if (sd_bus_message_read(reply, "h", &fd) >= 0)
		fd = fcntl(fd, F_DUPFD_CLOEXEC, DISK_FD + 1);
	sd_bus_message_unref(reply);
	if (fd < 0)
		err_set(err, ERR_INTERNAL, "the daemon's answer cannot be read");
	return fd;
}

/* The kernel's node of the open disk, for messages and for programs that need a path. */
static char *path_of(int fd)
{
	_cleanup_free_ char *uevent = NULL, *text = NULL;
	const char *name;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return NULL;
	uevent = xasprintf("/sys/dev/block/%u:%u/uevent", major(st.st_rdev), minor(st.st_rdev));
	text = read_file_at(AT_FDCWD, uevent, 4096, NULL);
	name = text ? strstr(text, "DEVNAME=") : NULL;
	if (!name)
		return NULL;
	name += strlen("DEVNAME=");
	return xasprintf("/dev/%.*s", (int)strcspn(name, "\n"), name);
}

static int become(char **command)
{
	int reason;

	execvp(command[0], command);
	reason = errno;
	fprintf(stderr, "volumectl: %s cannot be started: %s\n", command[0],
		strerrordesc_np(reason));
	return reason == ENOENT ? EXIT_NO_COMMAND : EXIT_NOT_STARTED;
}

int open_main(struct ctl *ctl, int argc, char **argv)
{
	struct disk_request request = { 0 };
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int fd = -1;
	struct err err = { 0 };
	int result = read_command_line(ctl, &request, argc, argv);

	if (result)
		return result;
	fd = ask_for_disk(ctl, &request, &err);
	if (fd < 0)
		return ctl_fail(&err);
	path = path_of(fd);
	/* The connection may have the number that the disk gets. */
	ctl->client = volume_client_close(ctl->client);
	if (dup2(fd, DISK_FD) < 0 || setenv(DISK_VARIABLE, path ? path : "/dev/fd/3", true) < 0) {
		err_set(&err, ERR_INTERNAL, "the disk cannot be handed over: %s",
			strerrordesc_np(errno));
		return ctl_fail(&err);
	}
	return become(request.command);
}
