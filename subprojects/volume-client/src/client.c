/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The connection and calls. Every function blocks, as a program without an event loop needs. If
 * signals come while a call waits, sd-bus keeps them in its own queue, and client_turn() hands them
 * on later.
 */

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "internal.h"

/* The text fills its room, and its last character may be incomplete. */
static void mark_cut(struct volume_client_error *error)
{
	static const char mark[] = " [cut]";
	size_t end = sizeof(error->text) - sizeof(mark);

	while (((unsigned char)error->text[end] & 0xc0) == 0x80)
		end--;
	memcpy(error->text + end, mark, sizeof(mark));
}

int client_fail(struct volume_client_error *error, const char *name, const char *format, ...)
{
	va_list args;
	int length;

	if (!error)
		return -1;
	snprintf(error->name, sizeof(error->name), "%s", name);
	va_start(args, format);
	length = vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	if (length >= (int)sizeof(error->text))
		mark_cut(error);
	return -1;
}

int client_fail_errno(struct volume_client_error *error, int negative_errno, const char *doing)
{
	const char *name = VOLUME_CLIENT_ERROR_FAILED;

	if (negative_errno == -ECONNRESET || negative_errno == -ENOTCONN ||
	    negative_errno == -EPIPE)
		name = VOLUME_CLIENT_ERROR_DISCONNECTED;
	else if (negative_errno == -ETIMEDOUT)
		name = VOLUME_CLIENT_ERROR_TIMEOUT;
	return client_fail(error, name, "%s: %s", doing, strerror(-negative_errno));
}

static int fail_bus_error(struct volume_client_error *error, const sd_bus_error *bus_error, int r,
			  const char *member)
{
	int result;

	if (sd_bus_error_is_set(bus_error))
		result = client_fail(error, bus_error->name, "%s",
				     bus_error->message ? bus_error->message : bus_error->name);
	else
		result = client_fail_errno(error, r, member);
	return result;
}

static int open_address(const char *address, sd_bus **out)
{
	sd_bus *bus = NULL;
	int r;

	if (!address)
		return sd_bus_open_system(out);
	r = sd_bus_new(&bus);
	if (r >= 0)
		r = sd_bus_set_address(bus, address);
	if (r >= 0)
		r = sd_bus_set_bus_client(bus, true);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r < 0)
		sd_bus_unref(bus);
	else
		*out = bus;
	return r;
}

PUBLIC int volume_client_open(const char *address, struct volume_client **out,
			      struct volume_client_error *error)
{
	struct volume_client *client = calloc(1, sizeof(*client));
	const char *name;
	int r;

	if (!client)
		return client_fail_errno(error, -ENOMEM, "connecting");
	client->input = -1;
	r = open_address(address, &client->bus);
	/*
	 * Connecting goes on in the background; the question for the connection's name waits until
	 * the connection stands.
	 */
	if (r >= 0)
		r = sd_bus_get_unique_name(client->bus, &name);
	if (r < 0) {
		volume_client_close(client);
		return client_fail(error, VOLUME_CLIENT_ERROR_NO_BUS, "no connection to the %s: %s",
				   address ? address : "system bus", strerror(-r));
	}
	*out = client;
	return 0;
}

PUBLIC struct volume_client *volume_client_close(struct volume_client *client)
{
	if (!client)
		return NULL;
	sd_bus_flush_close_unref(client->bus);
	free(client);
	return NULL;
}

PUBLIC sd_bus *volume_client_bus(struct volume_client *client)
{
	return client->bus;
}

PUBLIC void volume_client_set_call_timeout(struct volume_client *client, uint64_t milliseconds)
{
	client->call_timeout_us = milliseconds * 1000;
}

PUBLIC void volume_client_set_input(struct volume_client *client, int fd)
{
	client->input = fd;
}

PUBLIC int volume_client_call_new(struct volume_client *client, const char *path,
				  const char *interface, const char *member,
				  sd_bus_message **message, struct volume_client_error *error)
{
	int r = sd_bus_message_new_method_call(client->bus, message, VOLUME_CLIENT_NAME,
					       path ? path : VOLUME_CLIENT_ROOT,
					       interface ? interface : VOLUME_CLIENT_MANAGER,
					       member);

	if (r >= 0)
		r = sd_bus_message_set_allow_interactive_authorization(*message, true);
	return r < 0 ? client_fail_errno(error, r, member) : 0;
}

static int keep_answer(sd_bus_message *answer, void *arg, sd_bus_error *bus_error)
{
	*(sd_bus_message **)arg = sd_bus_message_ref(answer);
	return 0;
}

/*
 * As sd_bus_call(), but ends also when the client's input can be read. The time limit is kept here,
 * since a time-out of sd_bus_call_async() looks like a daemon that has died.
 */
static int call_beside_input(struct volume_client *client, sd_bus_message *message,
			     uint64_t limit_us, sd_bus_error *bus_error, sd_bus_message **reply,
			     struct volume_client_error *error)
{
	uint64_t deadline_us = client_now_us() + limit_us;
	sd_bus_message *answer = NULL;
	sd_bus_slot *slot = NULL;
	int r = sd_bus_call_async(client->bus, &slot, message, keep_answer, &answer, UINT64_MAX);
	int turn = 1;

	while (r >= 0 && turn > 0 && !answer && !client_can_read(client->input))
		turn = client_turn(client, client->input, deadline_us, error);
	sd_bus_slot_unref(slot);
	if (r < 0 || turn < 0)
		return r < 0 ? r : -ECONNRESET;
	if (!answer)
		return turn == 0 ? sd_bus_error_set(bus_error, SD_BUS_ERROR_TIMEOUT, "no answer")
				 : sd_bus_error_set(bus_error, VOLUME_CLIENT_ERROR_INTERRUPTED,
						    "the call was ended by an input");
	if (sd_bus_message_is_method_error(answer, NULL)) {
		r = sd_bus_error_copy(bus_error, sd_bus_message_get_error(answer));
		sd_bus_message_unref(answer);
		return r;
	}
	if (reply)
		*reply = answer;
	else
		sd_bus_message_unref(answer);
	return 0;
}

PUBLIC int volume_client_call_send(struct volume_client *client, sd_bus_message *message,
				   sd_bus_message **reply, struct volume_client_error *error)
{
	sd_bus_error bus_error = SD_BUS_ERROR_NULL;
	uint64_t limit_us = client->call_timeout_us;
	int r;

	if (!limit_us)
		sd_bus_get_method_call_timeout(client->bus, &limit_us);
	if (client->input < 0)
		r = sd_bus_call(client->bus, message, limit_us, &bus_error, reply);
	else
		r = call_beside_input(client, message, limit_us, &bus_error, reply, error);
	/* The bus's NoReply, which tells that the daemon has died, gives the same errno. */
	if (sd_bus_error_has_name(&bus_error, SD_BUS_ERROR_TIMEOUT))
		client_fail(error, VOLUME_CLIENT_ERROR_TIMEOUT,
			    "volume-daemon did not answer %s within %g s",
			    sd_bus_message_get_member(message), (double)limit_us / 1e6);
	else if (r < 0)
		fail_bus_error(error, &bus_error, r, sd_bus_message_get_member(message));
	sd_bus_error_free(&bus_error);
	return r < 0 ? -1 : 0;
}

PUBLIC int volume_client_call(struct volume_client *client, const char *path, const char *interface,
			      const char *member, sd_bus_message **reply,
			      struct volume_client_error *error, const char *types, ...)
{
	sd_bus_message *message = NULL;
	va_list args;
	int r;

	if (volume_client_call_new(client, path, interface, member, &message, error) < 0)
		return -1;
	va_start(args, types);
	r = types && *types ? sd_bus_message_appendv(message, types, args) : 0;
	va_end(args);
	if (r < 0)
		client_fail_errno(error, r, member);
	else
		r = volume_client_call_send(client, message, reply, error);
	sd_bus_message_unref(message);
	return r < 0 ? -1 : 0;
}

PUBLIC char *volume_client_path_id(const char *path)
{
	const char *last = path ? strrchr(path, '/') : NULL;
	char *prefix, *id = NULL;

	if (!last || last == path)
		return NULL;
	prefix = strndup(path, (size_t)(last - path));
	if (!prefix || sd_bus_path_decode(path, prefix, &id) <= 0)
		id = NULL;
	free(prefix);
	return id;
}

uint64_t client_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* sd_bus_wait() with a second file. */
static int wait_for_input(sd_bus *bus, int fd, uint64_t deadline_us)
{
	struct pollfd files[2] = { { .fd = sd_bus_get_fd(bus) }, { .fd = fd, .events = POLLIN } };
	int events = sd_bus_get_events(bus), r;
	uint64_t bus_us, now = client_now_us(), left_us;
	struct timespec left;

	if (files[0].fd < 0 || events < 0)
		return files[0].fd < 0 ? files[0].fd : events;
	files[0].events = (short)events;
	r = sd_bus_get_timeout(bus, &bus_us);
	if (r < 0)
		return r;
	if (deadline_us < bus_us)
		bus_us = deadline_us;
	left_us = bus_us > now ? bus_us - now : 0;
	left = (struct timespec){ (time_t)(left_us / 1000000), (long)(left_us % 1000000) * 1000 };
	return ppoll(files, 2, bus_us == UINT64_MAX ? NULL : &left, NULL) < 0 ? -errno : 0;
}

bool client_can_read(int fd)
{
	struct pollfd file = { .fd = fd, .events = POLLIN };

	return fd >= 0 && poll(&file, 1, 0) > 0;
}

int client_turn(struct volume_client *client, int fd, uint64_t deadline_us,
		struct volume_client_error *error)
{
	uint64_t now;
	int r = sd_bus_process(client->bus, NULL);

	if (r > 0)
		return 1;
	now = client_now_us();
	if (r >= 0 && now >= deadline_us)
		return 0;
	if (r >= 0)
		r = wait_for_input(client->bus, fd, deadline_us);
	if (r < 0 && r != -EINTR)
		return client_fail(error, VOLUME_CLIENT_ERROR_DISCONNECTED,
				   "the connection to the bus was lost: %s", strerror(-r));
	return 1;
}
