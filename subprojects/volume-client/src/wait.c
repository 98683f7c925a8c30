/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Waiting without polling. The order makes it safe: first ask the bus for the signals, then look at
 * the operation, then wait. If the operation ends after the look, a signal tells so; if it ended
 * before, the look shows the end.
 *
 * A signal here only says "look again"; the state always comes from the operation's properties, so
 * a caller gets the same record in every case. If the daemon leaves the bus, its operations are in
 * its store, not lost: the wait goes on, and looks again when the name is back. Meanwhile the wait
 * does not call the daemon, since a call would start a daemon that was perhaps stopped on purpose.
 * A daemon whose bus is stuck leaves signals out, so from time to time the wait looks without a
 * signal.
 */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define LOOK_AGAIN_US (UINT64_C(30) * 1000000)

struct wait {
	const char *id;
	char *path; /* of the operation's object */
	bool look;  /* there is a reason to look at the operation */
	bool away;  /* the daemon is not on the bus */
	bool left;  /* the daemon has just gone and the caller was not told */
	char *seen; /* the last state of the operation, in words; NULL: none was seen */
};

/* --- signals --- */

bool client_is_owner_change(sd_bus_message *m, bool *arrived)
{
	const char *name, *old, *new;

	if (!sd_bus_message_is_signal(m, "org.freedesktop.DBus", "NameOwnerChanged") ||
	    sd_bus_message_read(m, "sss", &name, &old, &new) < 0)
		return false;
	*arrived = *new != '\0';
	return strcmp(name, VOLUME_CLIENT_NAME) == 0;
}

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *bus_error)
{
	struct volume_client *client = userdata;

	if (client->on_signal && client->signal_result == 0)
		client->signal_result = client->on_signal(m, client->on_signal_arg);
	return 0;
}

PUBLIC int volume_client_subscribe(struct volume_client *client, struct volume_client_error *error)
{
	int r;

	if (client->subscribed)
		return 0;
	r = sd_bus_add_match(client->bus, NULL, "type='signal',sender='" VOLUME_CLIENT_NAME "'",
			     on_signal, client);
	if (r >= 0)
		r = sd_bus_add_match(
			client->bus, NULL,
			"type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
			"interface='org.freedesktop.DBus',member='NameOwnerChanged',"
			"arg0='" VOLUME_CLIENT_NAME "'",
			on_signal, client);
	if (r < 0)
		return client_fail_errno(error, r, "asking the bus for signals");
	client->subscribed = true;
	return 0;
}

/* 0: without limit */
static uint64_t deadline_of(int64_t timeout_ms)
{
	return timeout_ms > 0 ? client_now_us() + (uint64_t)timeout_ms * 1000 : UINT64_MAX;
}

static void listen(struct volume_client *client, int (*fn)(sd_bus_message *m, void *arg), void *arg)
{
	client->on_signal = fn;
	client->on_signal_arg = arg;
	client->signal_result = 0;
}

/* --- wait --- */

static int wait_on_signal(sd_bus_message *m, void *arg)
{
	struct wait *wait = arg;
	const char *path, *id;
	bool arrived;

	if (client_is_owner_change(m, &arrived)) {
		wait->left = !arrived && !wait->away;
		wait->away = !arrived;
		wait->look = arrived;
	} else if (sd_bus_message_is_signal(m, VOLUME_CLIENT_MANAGER, "OperationCompleted")) {
		if (sd_bus_message_read(m, "os", &path, &id) >= 0 && strcmp(id, wait->id) == 0)
			wait->look = true;
	} else if (sd_bus_message_is_signal(m, "org.freedesktop.DBus.Properties",
					    "PropertiesChanged")) {
		if (strcmp(sd_bus_message_get_path(m), wait->path) == 0)
			wait->look = true;
	}
	return 0;
}

static bool is_final(const struct volume_client_value *operation)
{
	const char *status = volume_client_text(volume_client_get(operation, "status"));

	return strcmp(status, "completed") == 0 || strcmp(status, "failed") == 0 ||
	       strcmp(status, "cancelled") == 0;
}

/*
 * Decides the meaning of a failed look: the daemon is away or about to leave, or the error is true.
 */
static int wait_look_failed(struct wait *wait, const struct volume_client_error *own,
			    struct volume_client_error *error)
{
	if (strcmp(own->name, VOLUME_CLIENT_ERROR_NO_DAEMON) == 0 ||
	    strcmp(own->name, "org.freedesktop.DBus.Error.NameHasNoOwner") == 0) {
		wait->left = !wait->away;
		wait->away = true;
		return 0;
	}
	/*
	 * No answer: the daemon died during the question, which a signal tells next, or is stuck,
	 * which the next look will show.
	 */
	if (strcmp(own->name, "org.freedesktop.DBus.Error.NoReply") == 0 ||
	    strcmp(own->name, VOLUME_CLIENT_ERROR_TIMEOUT) == 0)
		return 0;
	return client_fail(error, own->name, "%s", own->text);
}

/* One call with one text; the daemon is not started for it, unless that is allowed. */
static int ask(struct volume_client *client, const char *path, const char *interface,
	       const char *member, const char *text, bool may_start_daemon, sd_bus_message **reply,
	       struct volume_client_error *error)
{
	sd_bus_message *call = NULL;
	int r;

	if (volume_client_call_new(client, path, interface, member, &call, error) < 0)
		return -1;
	r = sd_bus_message_append(call, "s", text);
	if (r >= 0)
		r = sd_bus_message_set_auto_start(call, may_start_daemon);
	if (r < 0)
		client_fail_errno(error, r, member);
	else
		r = volume_client_call_send(client, call, reply, error);
	sd_bus_message_unref(call);
	return r < 0 ? -1 : 0;
}

/* VolumeId becomes volume_id. */
static int name_as_field(char **key)
{
	char *name = malloc(2 * strlen(*key) + 1);
	size_t length = 0;

	if (!name)
		return -ENOMEM;
	for (const char *p = *key; *p; p++) {
		bool upper = *p >= 'A' && *p <= 'Z';

		if (upper && length > 0)
			name[length++] = '_';
		name[length++] = (char)(upper ? *p - 'A' + 'a' : *p);
	}
	name[length] = '\0';
	free(*key);
	*key = name;
	return 0;
}

static int read_operation(sd_bus_message *reply, struct volume_client_value **operation,
			  struct volume_client_error *error)
{
	int r = 0;

	if (volume_client_read(reply, operation, error) < 0)
		return -1;
	volume_client_remove(*operation, "InterfaceVersion");
	for (size_t i = 0; i < (*operation)->count && r >= 0; i++)
		r = name_as_field(&(*operation)->items[i].key);
	if (r >= 0)
		return 0;
	*operation = volume_client_value_free(*operation);
	return client_fail_errno(error, r, "reading the operation");
}

/* The daemon makes the object of an operation, which then can be read. */
static int ask_operation(struct volume_client *client, const struct wait *wait,
			 bool may_start_daemon, sd_bus_message **reply,
			 struct volume_client_error *error)
{
	if (ask(client, NULL, NULL, "GetOperation", wait->id, may_start_daemon, NULL, error) < 0)
		return -1;
	return ask(client, wait->path, "org.freedesktop.DBus.Properties", "GetAll",
		   VOLUME_CLIENT_OPERATION, false, reply, error);
}

/* 0 and the operation as it is now (NULL: no answer), or -1 and error. */
static int wait_look(struct volume_client *client, struct wait *wait, bool may_start_daemon,
		     struct volume_client_value **operation, struct volume_client_error *error)
{
	struct volume_client_error own;
	sd_bus_message *reply = NULL;
	int r;

	wait->look = false;
	if (ask_operation(client, wait, may_start_daemon, &reply, &own) < 0)
		return wait_look_failed(wait, &own, error);
	r = read_operation(reply, operation, error);
	sd_bus_message_unref(reply);
	return r;
}

static void note_seen(struct wait *wait, const struct volume_client_value *operation)
{
	const char *step = volume_client_text(volume_client_get(operation, "step"));
	const char *waits_for = volume_client_text(volume_client_get(operation, "waits_for"));

	free(wait->seen);
	if (asprintf(&wait->seen, "%s%s%s%s%s",
		     volume_client_text(volume_client_get(operation, "status")),
		     *step ? ", step " : "", step, *waits_for ? "; waits: " : "", waits_for) < 0)
		wait->seen = NULL;
}

static int tell(const struct volume_client_wait *options,
		const struct volume_client_value *operation, struct volume_client_error *error)
{
	if (options && options->changed && options->changed(options->arg, operation) < 0)
		return client_fail(error, VOLUME_CLIENT_ERROR_FAILED, "the wait was stopped");
	return 0;
}

static uint64_t next_tick(const struct volume_client_wait *options)
{
	return options && options->tick ? client_now_us() + (uint64_t)options->tick_ms * 1000
					: UINT64_MAX;
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/*
 * Handles messages until there is a reason to look, or to tell that the daemon left. Returns 1, or
 * 0 and -1 as client_turn().
 */
static int wait_for_signal(struct volume_client *client, struct wait *wait,
			   const struct volume_client_wait *options, uint64_t deadline,
			   struct volume_client_error *error)
{
	uint64_t look_at = client_now_us() + LOOK_AGAIN_US, tick_at = next_tick(options);
	int r;

	for (;;) {
		r = client_turn(client, -1, earliest(tick_at, earliest(look_at, deadline)), error);
		if (r < 0 || wait->look || wait->left)
			return r < 0 ? -1 : 1;
		if (r > 0)
			continue;
		if (client_now_us() >= deadline)
			return 0;
		if (options && client_now_us() >= tick_at) {
			options->tick(options->arg);
			tick_at = next_tick(options);
		}
		if (client_now_us() >= look_at) {
			look_at = client_now_us() + LOOK_AGAIN_US;
			wait->look = !wait->away;
		}
		if (wait->look)
			return 1;
	}
}

/* One look, told to the caller. 1: the operation has ended and *out is its record. 0: not yet. */
static int wait_step(struct volume_client *client, struct wait *wait,
		     const struct volume_client_wait *options, bool first,
		     struct volume_client_value **out, struct volume_client_error *error)
{
	struct volume_client_value *operation = NULL;
	int r = 0;

	if (wait->look && !wait->away && wait_look(client, wait, first, &operation, error) < 0)
		return -1;
	if (first && wait->away)
		return client_fail(error, VOLUME_CLIENT_ERROR_NO_DAEMON,
				   "volume-daemon is not on the bus");
	if (operation || wait->left)
		r = tell(options, operation, error);
	wait->left = false;
	if (operation)
		note_seen(wait, operation);
	if (r >= 0 && operation && is_final(operation)) {
		*out = operation;
		return 1;
	}
	volume_client_value_free(operation);
	return r;
}

static int wait_run(struct volume_client *client, struct wait *wait,
		    const struct volume_client_wait *options, struct volume_client_value **out,
		    struct volume_client_error *error)
{
	int64_t timeout_ms = options ? options->timeout_ms : 0;
	uint64_t deadline = deadline_of(timeout_ms);
	bool first = true;
	int r;

	for (;;) {
		r = wait_step(client, wait, options, first, out, error);
		if (r != 0)
			return r < 0 ? -1 : 0;
		first = false;
		r = wait_for_signal(client, wait, options, deadline, error);
		if (r < 0)
			return -1;
		if (r == 0)
			return client_fail(
				error, VOLUME_CLIENT_ERROR_TIMEOUT,
				"operation %s has not ended within %g s; it goes on; last seen: %s",
				wait->id, (double)timeout_ms / 1000,
				wait->away   ? "the daemon is not on the bus"
				: wait->seen ? wait->seen
					     : "no answer of the daemon");
	}
}

PUBLIC int volume_client_wait(struct volume_client *client, const char *operation_id,
			      const struct volume_client_wait *options,
			      struct volume_client_value **operation,
			      struct volume_client_error *error)
{
	struct wait wait = { .id = operation_id, .look = true };
	int r;

	if (volume_client_subscribe(client, error) < 0)
		return -1;
	if (sd_bus_path_encode(VOLUME_CLIENT_ROOT "/operation", operation_id, &wait.path) < 0)
		return client_fail_errno(error, -ENOMEM, "waiting");
	listen(client, wait_on_signal, &wait);
	r = wait_run(client, &wait, options, operation, error);
	listen(client, NULL, NULL);
	free(wait.path);
	free(wait.seen);
	return r;
}

/* --- watch --- */

struct watch {
	volume_client_signal_fn fn;
	void *arg;
};

static int watch_on_signal(sd_bus_message *m, void *arg)
{
	struct volume_client_value *arguments;
	struct watch *watch = arg;
	bool arrived;
	int r;

	if (client_is_owner_change(m, &arrived))
		return watch->fn(watch->arg, arrived ? "DaemonArrived" : "DaemonLeft", NULL, NULL);
	arguments = client_read_arguments(m);
	if (!arguments)
		return 0;
	r = watch->fn(watch->arg, sd_bus_message_get_member(m), sd_bus_message_get_path(m),
		      arguments);
	volume_client_value_free(arguments);
	return r;
}

PUBLIC int volume_client_watch_beside(struct volume_client *client, int fd, int64_t timeout_ms,
				      volume_client_signal_fn on_daemon_signal, void *arg,
				      struct volume_client_error *error)
{
	struct watch watch = { .fn = on_daemon_signal, .arg = arg };
	uint64_t deadline = deadline_of(timeout_ms);
	int r = 1;

	if (volume_client_subscribe(client, error) < 0)
		return -1;
	listen(client, watch_on_signal, &watch);
	while (r > 0 && client->signal_result == 0 && !client_can_read(fd))
		r = client_turn(client, fd, deadline, error);
	listen(client, NULL, NULL);
	if (r == 0)
		return client_fail(error, VOLUME_CLIENT_ERROR_TIMEOUT,
				   "no such signal has come within %g s",
				   (double)timeout_ms / 1000);
	return r < 0 ? -1 : 0;
}

PUBLIC int volume_client_watch_for(struct volume_client *client, int64_t timeout_ms,
				   volume_client_signal_fn on_daemon_signal, void *arg,
				   struct volume_client_error *error)
{
	return volume_client_watch_beside(client, -1, timeout_ms, on_daemon_signal, arg, error);
}

PUBLIC int volume_client_watch(struct volume_client *client,
			       volume_client_signal_fn on_daemon_signal, void *arg,
			       struct volume_client_error *error)
{
	return volume_client_watch_for(client, 0, on_daemon_signal, arg, error);
}
