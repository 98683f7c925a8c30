/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The library against a simulated service, on a bus of their own (dbus-run-session). After each
 * look at its operation the service moves the operation on and sends a signal. So a client that
 * does not hear signals makes no progress, and no test depends on time.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "volume-client.h"

#define OPERATION_ID "op-1"
#define OPERATION_PATH VOLUME_CLIENT_ROOT "/operation/op_2d1"
#define NOTES_SIZE 256

#define CHECK(CONDITION)                                                                           \
	do {                                                                                       \
		if (!(CONDITION)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #CONDITION);            \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

/* --- the service --- */

enum script { SCRIPT_STEPS, SCRIPT_RESTART, SCRIPT_STILL };

struct service {
	sd_bus *bus;
	enum script script;
	int looks;
	bool looked; /* once more, since the last message */
	bool leave;  /* give up the name and come back, ended */
	bool ended;
};

static const char *service_status(const struct service *s)
{
	return s->ended ? "completed" : s->looks == 0 ? "pending" : "executing";
}

static void service_move_on(struct service *s)
{
	s->looks++;
	if (s->ended || s->script == SCRIPT_STILL)
		return;
	if (s->script == SCRIPT_RESTART) {
		s->leave = true;
	} else if (s->looks < 3) {
		sd_bus_emit_signal(s->bus, OPERATION_PATH, "org.freedesktop.DBus.Properties",
				   "PropertiesChanged", "sa{sv}as", VOLUME_CLIENT_OPERATION, 0, 0);
	} else {
		s->ended = true;
		sd_bus_emit_signal(s->bus, VOLUME_CLIENT_ROOT, VOLUME_CLIENT_MANAGER,
				   "OperationCompleted", "osssssa{sv}", OPERATION_PATH,
				   OPERATION_ID, "attach", "completed", "", "/dev/vdb", 0);
	}
}

static int on_get_operation(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *id;
	int r = sd_bus_message_read(m, "s", &id);

	if (r < 0)
		return r;
	if (strcmp(id, OPERATION_ID) != 0)
		return sd_bus_reply_method_errorf(m, VOLUME_CLIENT_NAME ".Error.NotFound",
						  "no operation %s", id);
	return sd_bus_reply_method_return(m, "o", OPERATION_PATH);
}

static int get_status(sd_bus *bus, const char *path, const char *interface, const char *property,
		      sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct service *s = userdata;
	int r = sd_bus_message_append(reply, "s", service_status(s));

	s->looked = true;
	return r;
}

static int on_begin(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct service *s = userdata;
	int r = sd_bus_message_read(m, "i", &s->script);

	s->looks = 0;
	s->ended = false;
	return r < 0 ? r : sd_bus_reply_method_return(m, "o", OPERATION_PATH);
}

static int on_values(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return sd_bus_reply_method_return(m, "a{sv}", 6, "text", "s", "t", "small", "y", 5, "large",
					  "t", UINT64_MAX, "negative", "x", INT64_MIN, "list", "av",
					  2, "b", 1, "d", 2.5, "dict", "a{ss}", 1, "a", "b");
}

/* No answer, ever. */
static int on_stall(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return 1;
}

static int on_crash(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	_exit(1);
}

static const sd_bus_vtable service_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("GetOperation", "s", "o", on_get_operation, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("Begin", "i", "o", on_begin, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("Values", "", "a{sv}", on_values, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("Stall", "", "", on_stall, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("Crash", "", "", on_crash, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

static const sd_bus_vtable operation_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_PROPERTY("Status", "s", get_status, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_VTABLE_END,
};

static void service_run(const char *address, int ready_fd)
{
	struct service s = { 0 };

	CHECK(sd_bus_new(&s.bus) >= 0 && sd_bus_set_address(s.bus, address) >= 0);
	CHECK(sd_bus_set_bus_client(s.bus, true) >= 0 && sd_bus_start(s.bus) >= 0);
	CHECK(sd_bus_add_object_vtable(s.bus, NULL, VOLUME_CLIENT_ROOT, VOLUME_CLIENT_MANAGER,
				       service_vtable, &s) >= 0);
	CHECK(sd_bus_add_object_vtable(s.bus, NULL, OPERATION_PATH, VOLUME_CLIENT_OPERATION,
				       operation_vtable, &s) >= 0);
	CHECK(sd_bus_request_name(s.bus, VOLUME_CLIENT_NAME, 0) >= 0);
	CHECK(write(ready_fd, "r", 1) == 1);
	for (;;) {
		int r = sd_bus_process(s.bus, NULL);

		CHECK(r >= 0);
		if (s.looked) {
			s.looked = false;
			service_move_on(&s);
		}
		if (s.leave) {
			CHECK(sd_bus_release_name(s.bus, VOLUME_CLIENT_NAME) >= 0);
			s.leave = false;
			s.ended = true;
			CHECK(sd_bus_request_name(s.bus, VOLUME_CLIENT_NAME, 0) >= 0);
		}
		if (r == 0)
			CHECK(sd_bus_wait(s.bus, UINT64_MAX) >= 0);
	}
}

static pid_t service_start(const char *address)
{
	int ready[2];
	pid_t pid;
	char c;

	CHECK(pipe(ready) == 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		service_run(address, ready[1]);
	close(ready[1]);
	CHECK(read(ready[0], &c, 1) == 1);
	close(ready[0]);
	return pid;
}

/* --- the tests --- */

static struct volume_client_error error;

static char *begin(struct volume_client *client, enum script script)
{
	sd_bus_message *reply = NULL;
	const char *path;
	char *id;

	CHECK(volume_client_subscribe(client, &error) == 0);
	CHECK(volume_client_call(client, NULL, NULL, "Begin", &reply, &error, "i", script) == 0);
	CHECK(sd_bus_message_read(reply, "o", &path) > 0);
	id = volume_client_path_id(path);
	CHECK(id && strcmp(id, OPERATION_ID) == 0);
	sd_bus_message_unref(reply);
	return id;
}

static int note_change(void *arg, const struct volume_client_value *operation)
{
	char *notes = arg;

	snprintf(notes + strlen(notes), NOTES_SIZE - strlen(notes), "%s ",
		 operation ? volume_client_text(volume_client_get(operation, "status")) : "gone");
	return 0;
}

static void test_wait(struct volume_client *client, enum script script, const char *expected)
{
	struct volume_client_value *operation = NULL;
	char notes[NOTES_SIZE] = "";
	struct volume_client_wait options = { .changed = note_change, .arg = notes };
	char *id = begin(client, script);

	CHECK(volume_client_wait(client, id, &options, &operation, &error) == 0);
	CHECK(strcmp(volume_client_text(volume_client_get(operation, "status")), "completed") == 0);
	if (strcmp(notes, expected) != 0)
		fprintf(stderr, "'%s' expected, got '%s'\n", expected, notes);
	CHECK(strcmp(notes, expected) == 0);
	volume_client_value_free(operation);
	/* Ended already: no signal comes any more, and none is needed. */
	CHECK(volume_client_wait(client, id, NULL, &operation, &error) == 0);
	volume_client_value_free(operation);
	free(id);
}

static void test_wait_ends_without_the_operation(struct volume_client *client)
{
	struct volume_client_wait options = { .timeout_ms = 1 };
	struct volume_client_value *operation = NULL;
	char *id = begin(client, SCRIPT_STILL);

	CHECK(volume_client_wait(client, id, &options, &operation, &error) == -1);
	CHECK(strcmp(error.name, VOLUME_CLIENT_ERROR_TIMEOUT) == 0);
	CHECK(strstr(error.text, "has not ended within 0.001 s; it goes on; last seen: "));
	CHECK(volume_client_wait(client, "op-2", NULL, &operation, &error) == -1);
	CHECK(strcmp(error.name, VOLUME_CLIENT_NAME ".Error.NotFound") == 0 &&
	      strstr(error.text, "op-2"));
	CHECK(!operation);
	free(id);
}

static void test_values(struct volume_client *client)
{
	sd_bus_message *reply = NULL;
	struct volume_client_value *v = NULL;
	const struct volume_client_value *list;

	CHECK(volume_client_call(client, NULL, NULL, "Values", &reply, &error, NULL) == 0);
	CHECK(volume_client_read(reply, &v, &error) == 0);
	CHECK(v->kind == VOLUME_CLIENT_DICT && v->count == 6);
	CHECK(strcmp(volume_client_text(volume_client_get(v, "text")), "t") == 0);
	CHECK(volume_client_get(v, "small")->kind == VOLUME_CLIENT_UNSIGNED);
	CHECK(volume_client_get(v, "small")->natural == 5);
	CHECK(volume_client_get(v, "large")->natural == UINT64_MAX);
	CHECK(volume_client_get(v, "negative")->integer == INT64_MIN);
	list = volume_client_get(v, "list");
	CHECK(list->kind == VOLUME_CLIENT_LIST && list->count == 2 && list->items[0].boolean);
	CHECK(list->items[1].number > 2.4 && list->items[1].number < 2.6);
	CHECK(strcmp(volume_client_text(volume_client_get(volume_client_get(v, "dict"), "a")),
		     "b") == 0);
	CHECK(!volume_client_get(v, "none") && strcmp(volume_client_text(NULL), "") == 0);
	volume_client_remove(v, "text");
	volume_client_remove(v, "none");
	CHECK(v->count == 5 && !volume_client_get(v, "text") && volume_client_get(v, "dict"));
	volume_client_value_free(v);
	sd_bus_message_unref(reply);
}

static int note_signal(void *arg, const char *member, const char *path,
		       const struct volume_client_value *arguments)
{
	int *count = arg;

	CHECK(strcmp(member, "OperationCompleted") == 0 ? arguments->count == 7 : 1);
	(*count)++;
	return strcmp(member, "DaemonLeft") == 0;
}

static void test_watch(struct volume_client *client, pid_t service)
{
	int count = 0, keys[2];

	CHECK(volume_client_subscribe(client, &error) == 0);
	CHECK(volume_client_watch_for(client, 1, note_signal, &count, &error) == -1);
	CHECK(strcmp(error.name, VOLUME_CLIENT_ERROR_TIMEOUT) == 0);
	CHECK(strcmp(error.text, "no such signal has come within 0.001 s") == 0);
	CHECK(pipe(keys) == 0 && write(keys[1], "q", 1) == 1);
	CHECK(volume_client_watch_beside(client, keys[0], 0, note_signal, &count, &error) == 0);
	close(keys[0]);
	close(keys[1]);
	count = 0;
	kill(service, SIGTERM);
	CHECK(volume_client_watch(client, note_signal, &count, &error) == 0);
	CHECK(count >= 1);
}

/* An input ends a call that has no answer, and not one that has. */
static void test_input(struct volume_client *client)
{
	int keys[2];

	CHECK(pipe(keys) == 0);
	volume_client_set_input(client, keys[0]);
	CHECK(volume_client_call(client, NULL, NULL, "Values", NULL, &error, NULL) == 0);
	volume_client_set_call_timeout(client, 1);
	CHECK(volume_client_call(client, NULL, NULL, "Stall", NULL, &error, NULL) == -1);
	CHECK(strcmp(error.name, VOLUME_CLIENT_ERROR_TIMEOUT) == 0);
	volume_client_set_call_timeout(client, 0);
	CHECK(write(keys[1], "q", 1) == 1);
	CHECK(volume_client_call(client, NULL, NULL, "Stall", NULL, &error, NULL) == -1);
	CHECK(strcmp(error.name, VOLUME_CLIENT_ERROR_INTERRUPTED) == 0);
	volume_client_set_input(client, -1);
	close(keys[0]);
	close(keys[1]);
}

/* A daemon that is slow and one that has died are told apart. */
static void test_no_answer(struct volume_client *client)
{
	volume_client_set_call_timeout(client, 1);
	CHECK(volume_client_call(client, NULL, NULL, "Stall", NULL, &error, NULL) == -1);
	CHECK(strcmp(error.name, VOLUME_CLIENT_ERROR_TIMEOUT) == 0);
	CHECK(strcmp(error.text, "volume-daemon did not answer Stall within 0.001 s") == 0);
	volume_client_set_call_timeout(client, 0);
	CHECK(volume_client_call(client, NULL, NULL, "Crash", NULL, &error, NULL) == -1);
	CHECK(strcmp(error.name, SD_BUS_ERROR_NO_REPLY) == 0);
	CHECK(!strstr(error.text, "within"));
}

static void test_absence(struct volume_client *client)
{
	struct volume_client_value *operation = NULL;
	struct volume_client *none = NULL;

	CHECK(volume_client_call(client, NULL, NULL, "Values", NULL, &error, NULL) == -1);
	CHECK(strcmp(error.name, VOLUME_CLIENT_ERROR_NO_DAEMON) == 0);
	CHECK(volume_client_wait(client, OPERATION_ID, NULL, &operation, &error) == -1);
	CHECK(strcmp(error.name, VOLUME_CLIENT_ERROR_NO_DAEMON) == 0);
	CHECK(volume_client_open("unix:path=/nonexistent/bus", &none, &error) == -1);
	CHECK(strcmp(error.name, VOLUME_CLIENT_ERROR_NO_BUS) == 0 && !none);
	CHECK(!volume_client_path_id(NULL) && !volume_client_path_id("/") &&
	      !volume_client_path_id("x"));
}

int main(void)
{
	const char *address = getenv("DBUS_SESSION_BUS_ADDRESS");
	struct volume_client *client = NULL;
	pid_t service;

	CHECK(address);
	service = service_start(address);
	CHECK(volume_client_open(address, &client, &error) == 0);
	test_values(client);
	test_wait(client, SCRIPT_STEPS, "pending executing executing completed ");
	test_wait(client, SCRIPT_RESTART, "pending gone completed ");
	test_wait_ends_without_the_operation(client);
	test_watch(client, service);
	waitpid(service, NULL, 0);
	service = service_start(address);
	test_input(client);
	test_no_answer(client);
	waitpid(service, NULL, 0);
	test_absence(client);
	volume_client_close(client);
	return 0;
}
