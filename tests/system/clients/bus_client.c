/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A client of the bus in C, written with nothing but the interface XML, of which gdbus-codegen has
 * made "vold.h", and org.migratekit.VolumeDaemon1(5).
 *
 *     bus_client attach VOLUME VM     prints the device
 *     bus_client detach VOLUME
 *     bus_client uri VOLUME           prints where the volume is served
 *
 * An operation that fails prints the name of its error and why, and the status is 1.
 */

#include <gio/gio.h>
#include <string.h>

#include "vold.h"

#define NAME "org.migratekit.VolumeDaemon1"
#define ROOT "/org/migratekit/VolumeDaemon1"

typedef struct {
	GMainLoop *loop;
	GDBusConnection *bus;
	const char *path; /* of the operation */
	gboolean has_name;
	int status; /* -1: not ended yet */
} Wait;

static int show_failure(const char *name, const char *text)
{
	g_printerr("%s: %s\n", name, text);
	return 1;
}

static int fail(GError *error)
{
	char *name = g_dbus_error_get_remote_error(error);

	g_dbus_error_strip_remote_error(error);
	return show_failure(name ? name : "error", error->message);
}

static void end(Wait *wait, int status)
{
	wait->status = status;
	g_main_loop_quit(wait->loop);
}

static void on_completed(VoldManager *manager, const char *path, const char *id, const char *type,
			 const char *status, const char *volume_id, const char *device_path,
			 GVariant *details, gpointer data)
{
	const char *code = "", *error = "";
	Wait *wait = data;

	if (strcmp(path, wait->path) != 0)
		return;
	if (strcmp(status, "completed") == 0) {
		if (strcmp(type, "attach") == 0)
			g_print("%s\n", device_path);
		end(wait, 0);
		return;
	}
	g_variant_lookup(details, "error_code", "&s", &code);
	g_variant_lookup(details, "error", "&s", &error);
	end(wait, show_failure(code, error));
}

/* The daemon is back. What it told meanwhile was not heard, but the operation is still there. */
static void look_again(Wait *wait)
{
	VoldOperation *operation = vold_operation_proxy_new_sync(wait->bus, G_DBUS_PROXY_FLAGS_NONE,
								 NAME, wait->path, NULL, NULL);
	const char *status = operation ? vold_operation_get_status(operation) : NULL;
	const char *device = "";

	if (g_strcmp0(status, "completed") == 0) {
		g_variant_lookup(vold_operation_get_response(operation), "device_path", "&s",
				 &device);
		if (strcmp(vold_operation_get_type_(operation), "attach") == 0)
			g_print("%s\n", device);
		end(wait, 0);
	} else if (g_strcmp0(status, "failed") == 0 || g_strcmp0(status, "cancelled") == 0) {
		end(wait, show_failure(vold_operation_get_error_code(operation),
				       vold_operation_get_error(operation)));
	}
	g_clear_object(&operation);
}

static void on_name(GDBusConnection *bus, const char *name, const char *owner, gpointer data)
{
	Wait *wait = data;

	if (!wait->has_name)
		look_again(wait);
	wait->has_name = TRUE;
}

static void on_name_gone(GDBusConnection *bus, const char *name, gpointer data)
{
	((Wait *)data)->has_name = FALSE;
}

static int await(VoldManager *manager, GDBusConnection *bus, const char *path)
{
	Wait wait = {
		.loop = g_main_loop_new(NULL, FALSE), .bus = bus, .path = path, .status = -1
	};
	guint watch;

	/* The proxy has been subscribed to all signals since it was made: what came during the call
	 * waits in the main context. */
	g_signal_connect(manager, "operation-completed", G_CALLBACK(on_completed), &wait);
	watch = g_bus_watch_name_on_connection(bus, NAME, G_BUS_NAME_WATCHER_FLAGS_NONE, on_name,
					       on_name_gone, &wait, NULL);
	g_main_loop_run(wait.loop);
	g_bus_unwatch_name(watch);
	g_main_loop_unref(wait.loop);
	return wait.status;
}

/* The daemon gives the path, so that no client has to make one. */
static int print_uri(VoldManager *manager, GDBusConnection *bus, const char *volume)
{
	GError *error = NULL;
	GVariant *shown;
	const char *uri = "";

	if (!vold_manager_call_get_export_sync(manager, volume, &shown, NULL, &error))
		return fail(error);
	g_variant_lookup(shown, "uri", "&s", &uri);
	g_print("%s\n", uri);
	g_variant_unref(shown);
	return 0;
}

int main(int argc, char **argv)
{
	GVariant *no_options = g_variant_new_array(G_VARIANT_TYPE("{sv}"), NULL, 0);
	GDBusConnection *bus;
	VoldManager *manager;
	GError *error = NULL;
	char *path;
	gboolean asked;

	bus = g_bus_get_sync(G_BUS_TYPE_SYSTEM, NULL, &error);
	if (!bus)
		return fail(error);
	manager =
		vold_manager_proxy_new_sync(bus, G_DBUS_PROXY_FLAGS_NONE, NAME, ROOT, NULL, &error);
	if (!manager)
		return fail(error);
	if (argc == 3 && strcmp(argv[1], "uri") == 0)
		return print_uri(manager, bus, argv[2]);
	if (argc == 4 && strcmp(argv[1], "attach") == 0)
		asked = vold_manager_call_attach_volume_sync(manager, argv[2], argv[3], no_options,
							     &path, NULL, &error);
	else if (argc == 3 && strcmp(argv[1], "detach") == 0)
		asked = vold_manager_call_detach_volume_sync(manager, argv[2], no_options, &path,
							     NULL, &error);
	else
		return show_failure("usage",
				    "bus_client attach VOLUME VM | detach VOLUME | uri VOLUME");
	return asked ? await(manager, bus, path) : fail(error);
}
