/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The connection to the daemon, and how volumectl reports that a command failed. */

#include "volumectl/ctl.h"

#include <stdarg.h>
#include <stdio.h>

#include "volumectl/agent.h"

#define PASSWORD_MS UINT64_C(120000) /* for a person who types a password */

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

/* Who has no rights learns how to get them. */
static int name_rights(struct err *err)
{
	if ((err->code == ERR_FORBIDDEN || err->code == ERR_UNAUTHORIZED) && geteuid() != 0)
		err_reword(err, "%s; run volumectl as root (sudo)", err->text);
	return -1;
}

int ctl_client_error(const struct volume_client_error *error, struct err *err)
{
	if (streq(error->name, VOLUME_CLIENT_ERROR_NO_BUS))
		return err_set(err, ERR_UNAVAILABLE,
			       "%s; is the D-Bus system bus running? (systemctl status dbus)",
			       error->text);
	if (str_has_prefix(error->name, "org.freedesktop.DBus.Error.Spawn."))
		return err_set(err, ERR_UNAVAILABLE, "volume-daemon could not be started: %s",
			       error->text);
	for (size_t i = 0; i < ARRAY_SIZE(bus_errors); i++) {
		if (streq(error->name, bus_errors[i].name)) {
			err_set(err, bus_errors[i].code, "%s",
				bus_errors[i].text ? bus_errors[i].text : error->text);
			return name_rights(err);
		}
	}
	err_set(err, err_from_bus_name(error->name), "%s", error->text);
	return name_rights(err);
}

int ctl_connect(struct ctl *ctl, struct err *err)
{
	struct volume_client_error error;

	if (ctl->client)
		return 0;
	if (volume_client_open(ctl->options.address, &ctl->client, &error) < 0)
		return ctl_client_error(&error, err);
	if (!ctl->completing && agent_start())
		volume_client_set_call_timeout(ctl->client, PASSWORD_MS);
	return 0;
}

bool ctl_daemon_runs(struct ctl *ctl)
{
	sd_bus_message *reply = NULL;
	struct err err = { 0 };
	int runs = 0;

	if (ctl_connect(ctl, &err) < 0)
		return false;
	if (sd_bus_call_method(volume_client_bus(ctl->client), "org.freedesktop.DBus",
			       "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameHasOwner",
			       NULL, &reply, "s", BUS_NAME) >= 0)
		sd_bus_message_read(reply, "b", &runs);
	sd_bus_message_unref(reply);
	return runs;
}

char *ctl_program(const char *built, const char *installed)
{
	char self[4096];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash, *path;

	self[length > 0 ? length : 0] = '\0';
	slash = strrchr(self, '/');
	if (!slash)
		return xstrdup(installed);
	path = xasprintf("%.*s/../%s", (int)(slash - self), self, built);
	if (access(path, X_OK) == 0)
		return path;
	free(path);
	return xstrdup(installed);
}

void ctl_disconnect(struct ctl *ctl)
{
	agent_stop();
	ctl->client = volume_client_close(ctl->client);
}

int ctl_call(struct ctl *ctl, enum method_id id, int fd, struct volume_client_value **out,
	     struct err *err)
{
	const struct method *method = &methods[id];
	struct volume_client_error error;
	sd_bus_message *reply = NULL;
	int r;

	if (ctl_connect(ctl, err) < 0)
		return -1;
	if (fd >= 0)
		r = volume_client_call(ctl->client, NULL, NULL, method->member, &reply, &error,
				       "ha{sv}", fd, 0);
	else if (method_bus_has_options(method))
		r = volume_client_call(ctl->client, NULL, NULL, method->member, &reply, &error,
				       "a{sv}", 0);
	else
		r = volume_client_call(ctl->client, NULL, NULL, method->member, &reply, &error,
				       NULL);
	if (r == 0)
		r = volume_client_read(reply, out, &error);
	sd_bus_message_unref(reply);
	return r < 0 ? ctl_client_error(&error, err) : 0;
}
