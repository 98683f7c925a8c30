/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * volumectl: the command line of volume-daemon, over D-Bus.
 *
 * Commands are the rows of the method table that have one; their arguments, options and help come from the table as
 * well. Only four commands have no row, because they are not one question and one answer to the daemon: wait, watch,
 * store and help.
 *
 * Results go to stdout, everything said about the way there to stderr. The exit code is 0, 1 (volumectl itself could
 * not), 2 (wrong usage), or the one the error table gives to the error.
 */

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>

#include "build_config.h"
#include "volumectl/volumectl.h"

int ctl_fail(const struct err *err)
{
	fflush(stdout);
	fprintf(stderr, "volumectl: %s\n", err->text);
	return err_view(err->code)->exit_code;
}

int ctl_usage(const char *format, ...)
{
	va_list args;

	fputs("volumectl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return EXIT_USAGE;
}

/* D-Bus's own errors that have a plain meaning here. */
static const struct {
	const char *name;
	enum err_code code;
	const char *text; /* NULL: the error's own */
} bus_errors[] = {
	{ VOLUME_CLIENT_ERROR_NO_DAEMON, ERR_UNAVAILABLE,
	  "volume-daemon is not running; start it with 'systemctl start volume-daemon'" },
	{ "org.freedesktop.DBus.Error.NameHasNoOwner", ERR_UNAVAILABLE,
	  "volume-daemon is not running; start it with 'systemctl start volume-daemon'" },
	{ VOLUME_CLIENT_ERROR_DISCONNECTED, ERR_UNAVAILABLE, NULL },
	{ "org.freedesktop.DBus.Error.NoReply", ERR_UNAVAILABLE,
	  "volume-daemon did not answer; see 'systemctl status volume-daemon'" },
	{ VOLUME_CLIENT_ERROR_TIMEOUT, ERR_TIMEOUT, NULL },
	{ "org.freedesktop.DBus.Error.AccessDenied", ERR_FORBIDDEN, NULL },
	{ "org.freedesktop.DBus.Error.InvalidArgs", ERR_INVALID, NULL },
	{ "org.freedesktop.DBus.Error.UnknownMethod", ERR_NO_SUCH_PATH,
	  "the running volume-daemon does not know this command; it may be older than volumectl" },
	{ "org.freedesktop.DBus.Error.UnknownObject", ERR_NOT_FOUND, NULL },
};

int ctl_client_error(const struct volume_client_error *error, struct err *err)
{
	if (streq(error->name, VOLUME_CLIENT_ERROR_NO_BUS))
		return err_set(err, ERR_UNAVAILABLE, "%s; is the D-Bus system bus running? (systemctl status dbus)",
			       error->text);
	if (str_has_prefix(error->name, "org.freedesktop.DBus.Error.Spawn."))
		return err_set(err, ERR_UNAVAILABLE, "volume-daemon could not be started: %s", error->text);
	for (size_t i = 0; i < ARRAY_SIZE(bus_errors); i++) {
		if (streq(error->name, bus_errors[i].name))
			return err_set(err, bus_errors[i].code, "%s",
				       bus_errors[i].text ? bus_errors[i].text : error->text);
	}
	return err_set(err, err_from_bus_name(error->name), "%s", error->text);
}

int ctl_connect(struct ctl *ctl, struct err *err)
{
	struct volume_client_error error;

	if (ctl->client || volume_client_open(ctl->options.address, &ctl->client, &error) == 0)
		return 0;
	return ctl_client_error(&error, err);
}

static int run_command(struct ctl *ctl, int argc, char **argv)
{
	const struct method *method = command_find(argv[0]);

	/* getopt_long() starts anew; 0 makes glibc forget the first round altogether. */
	optind = 0;
	if (method)
		return command_run(ctl, method, argc, argv);
	if (streq(argv[0], "wait"))
		return wait_main(ctl, argc, argv);
	if (streq(argv[0], "watch"))
		return watch_main(ctl, argc, argv);
	if (streq(argv[0], "store"))
		return store_main(argv);
	if (streq(argv[0], "help"))
		return help_main(argc, argv);
	return help_unknown(argv[0]);
}

static const struct option global_options[] = {
	COMMON_OPTIONS,
	{ "version", no_argument, NULL, 'V' },
	{ 0 },
};

int main(int argc, char **argv)
{
	struct ctl ctl = { 0 };
	int code, result;

	opterr = 0;
	while ((code = getopt_long(argc, argv, "+:hV", global_options, NULL)) >= 0) {
		if (code == 'h') {
			help_all();
			return 0;
		}
		if (code == 'V') {
			puts("volumectl " VERSION);
			return 0;
		}
		result = command_common_option(&ctl.options, code, optarg);
		if (result < 0)
			return EXIT_USAGE;
		if (result == 0)
			return ctl_usage("%s '%s'; see 'volumectl --help'",
					 code == ':' ? "a value is missing after" : "there is no option",
					 argv[optind - 1]);
	}
	if (optind >= argc) {
		help_all();
		return EXIT_USAGE;
	}
	result = run_command(&ctl, argc - optind, argv + optind);
	volume_client_close(ctl.client);
	if (fflush(stdout) != 0 && result == 0) {
		fprintf(stderr, "volumectl: cannot write: %s\n", strerror(errno));
		return EXIT_FAILURE;
	}
	return result;
}
