/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Four thousand objects with their properties take a tenth of a second to write, and the loop must
 * not stand still for so long. So the answer is written in slices, one a turn, and shows all
 * objects as they were when its first slice was written (struct directory_walk).
 *
 * A client takes each signal that comes after the answer for a change of what the answer lists. So
 * signals, and replies that name objects, wait on the connection until the answer is sent. They
 * wait for one answer only: the next call gets a new walk, and what has waited goes first. If too
 * many wait, the rest of the answer is written in one slice: a turn that takes long does less harm
 * than a signal that is left out.
 */

#include "api/bus/enumeration.h"

#include <assert.h>

#include "api/bus/encode.h"
#include "base/log.h"

#define SLICE_WEIGHT ((size_t)128 << 10) /* some hundred objects; two or three milliseconds */
/* Calls that wait, in all and of one sender: every user may call, and none may shut out the others.
 */
#define CALLS_MAX 128
#define CALLS_OF_SENDER_MAX 8

struct enumeration_call {
	TAILQ_ENTRY(enumeration_call) entry;
	sd_bus_message *m;
};

static void call_free(struct bus_enumeration *enumeration, struct enumeration_call *call)
{
	TAILQ_REMOVE(&enumeration->calls, call, entry);
	enumeration->count--;
	sd_bus_message_unref(call->m);
	free(call);
}

/* ---- one answer ---- */

static void append(void *arg, const struct bus_object *object)
{
	struct bus_enumeration *enumeration = arg;
	_cleanup_free_ char *path = bus_object_path(object->scope, object->id);
	sd_bus_message *m = enumeration->reply;
	int r = enumeration->result;

	if (r >= 0)
		r = sd_bus_message_open_container(m, 'e', "oa{sa{sv}}");
	if (r >= 0)
		r = sd_bus_message_append_basic(m, 'o', path);
	if (r >= 0)
		r = bus_append_interfaces(m, object->scope, object->values);
	enumeration->result = r < 0 ? r : sd_bus_message_close_container(m);
}

static void hurry(void *arg);

static void begin(struct bus_enumeration *enumeration)
{
	const struct enumeration_call *call = TAILQ_FIRST(&enumeration->calls);
	int r = sd_bus_message_new_method_return(call->m, &enumeration->reply);

	enumeration->result =
		r < 0 ? r : sd_bus_message_open_container(enumeration->reply, 'a', "{oa{sa{sv}}}");
	bus_connection_hold(enumeration->connection, hurry, enumeration);
	directory_walk_begin(enumeration->directory, &enumeration->walk);
}

/* The answer is left as it is. */
static void leave(struct bus_enumeration *enumeration)
{
	directory_walk_end(enumeration->directory);
	enumeration->reply = sd_bus_message_unref(enumeration->reply);
}

static void finish(struct bus_enumeration *enumeration)
{
	struct enumeration_call *call = TAILQ_FIRST(&enumeration->calls);
	int r = enumeration->result;

	if (r >= 0)
		r = sd_bus_message_close_container(enumeration->reply);
	if (r >= 0)
		r = sd_bus_send(NULL, enumeration->reply, NULL);
	if (r < 0)
		r = sd_bus_reply_method_errno(call->m, r, NULL);
	if (r < 0)
		log_debug("bus: no reply to GetManagedObjects: %s", strerror(-r));
	leave(enumeration);
	call_free(enumeration, call);
	bus_connection_release(enumeration->connection);
}

static void hurry(void *arg)
{
	struct bus_enumeration *enumeration = arg;

	directory_walk_on(enumeration->directory, SIZE_MAX);
	finish(enumeration);
}

/* ---- the calls ---- */

/* Begins the next answer, or goes on with this one. */
static void go_on(struct bus_enumeration *enumeration)
{
	/* The last one may have been hurried. */
	if (TAILQ_EMPTY(&enumeration->calls))
		return;
	if (!enumeration->directory->walk)
		begin(enumeration);
	if (enumeration->result < 0 || !directory_walk_on(enumeration->directory, SLICE_WEIGHT))
		finish(enumeration);
	if (!TAILQ_EMPTY(&enumeration->calls))
		loop_task_queue(enumeration->loop, &enumeration->task);
}

static void on_task(struct loop_task *task)
{
	go_on(container_of(task, struct bus_enumeration, task));
}

static size_t count_of_sender(const struct bus_enumeration *enumeration, const char *sender)
{
	const struct enumeration_call *call;
	size_t count = 0;

	TAILQ_FOREACH(call, &enumeration->calls, entry)
		count += streq(sd_bus_message_get_sender(call->m), sender);
	return count;
}

static int check_room(const struct bus_enumeration *enumeration, const char *sender,
		      struct err *err)
{
	if (enumeration->count == CALLS_MAX)
		return err_set(err, ERR_TOO_MANY,
			       "%d calls wait for all objects already; try again later", CALLS_MAX);
	if (count_of_sender(enumeration, sender) == CALLS_OF_SENDER_MAX)
		return err_set(
			err, ERR_TOO_MANY,
			"%d calls of yours wait for all objects already; await their answers",
			CALLS_OF_SENDER_MAX);
	return 0;
}

int bus_enumeration_ask(struct bus_enumeration *enumeration, sd_bus_message *m)
{
	struct enumeration_call *call;
	struct err err = { 0 };
	sd_bus_message *head;
	int r;

	if (!sd_bus_message_get_expect_reply(m))
		return 1;
	if (check_room(enumeration, sd_bus_message_get_sender(m), &err) < 0)
		return bus_reply_error(m, &err);
	r = bus_copy_head(m, &head);
	if (r < 0)
		return r;
	call = xnew(struct enumeration_call);
	call->m = head;
	TAILQ_INSERT_TAIL(&enumeration->calls, call, entry);
	enumeration->count++;
	if (enumeration->count == 1)
		go_on(enumeration);
	return 1;
}

void bus_enumeration_cancel(struct bus_enumeration *enumeration)
{
	if (enumeration->directory->walk)
		leave(enumeration);
	while (!TAILQ_EMPTY(&enumeration->calls))
		call_free(enumeration, TAILQ_FIRST(&enumeration->calls));
	loop_task_cancel(enumeration->loop, &enumeration->task);
}

void bus_enumeration_init(struct bus_enumeration *enumeration, struct loop *loop,
			  struct directory *directory, struct bus_connection *connection)
{
	*enumeration = (struct bus_enumeration){ .loop = loop,
						 .directory = directory,
						 .connection = connection,
						 .task.run = on_task,
						 .walk.pass = append,
						 .walk.arg = enumeration };
	TAILQ_INIT(&enumeration->calls);
}
