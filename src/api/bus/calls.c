/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Method calls from the bus, each from its arrival to its answer.
 *
 * The arguments are read into the method's argument struct, the sender is authorised and the call
 * goes through the one door (core/call.h). The bus_call holds the head of the message until the
 * answer comes, which may be minutes later, and replies to it; if the caller has left, the bus
 * drops the reply. The message itself goes at once: it may carry hundreds of descriptors, which
 * would stay open as long as it. Calls under way are counted, all together and by sender, because a
 * call holds memory, and perhaps a descriptor, on behalf of its client.
 *
 * When the connection is lost its calls are cancelled: no caller could be answered. Operations that
 * they began go on.
 */

#include "api/bus/calls.h"

#include <assert.h>
#include <errno.h>

#include "api/bus/decode.h"
#include "api/bus/encode.h"
#include "base/log.h"
#include "spec/messages.h"

/* Calls under way, in all and from one sender; more are refused with ERR_TOO_MANY. */
#define CALLS_MAX 1024
#define CALLS_PER_SENDER_MAX 128
/* Of these, calls that hold a descriptor of their caller; one sender may have one. */
#define DESCRIPTORS_MAX 16

struct bus_call {
	TAILQ_ENTRY(bus_call) entry;
	struct bus_calls *calls;
	sd_bus_message *m; /* without the body and the descriptors of the caller's message */
	const struct method *method;
	void *args;
	struct auth_check *check; /* the call waits for this first */
	struct call *call;        /* and for this second */
};

static void end_call(struct bus_call *call)
{
	TAILQ_REMOVE(&call->calls->list, call, entry);
	call->calls->count--;
	if (call->check)
		auth_check_cancel(call->check);
	if (call->call)
		call_cancel(call->call);
	record_clear(call->method->args, call->args);
	free(call->args);
	sd_bus_message_unref(call->m);
	free(call);
}

void bus_calls_cancel(struct bus_calls *calls)
{
	while (!TAILQ_EMPTY(&calls->list))
		end_call(TAILQ_FIRST(&calls->list));
}

/* An object whose path is the answer exists before the answer. */
static void name_object(const struct bus_call *call, const struct answer *answer)
{
	enum method_scope scope = method_answer_scope(call->method);
	const char *id;

	if (scope == SCOPE_MANAGER)
		return;
	id = bus_answer_id(scope, answer);
	if (!str_empty(id))
		bus_signals_name(call->calls->signals, scope, id,
				 answer->record == &operation_record ? answer_item(answer, 0)
								     : NULL);
}

static int reply_answer(const struct bus_call *call, const struct answer *answer)
{
	sd_bus_message *reply = NULL;
	int r;

	if (!sd_bus_message_get_expect_reply(call->m))
		return 0;
	name_object(call, answer);
	r = sd_bus_message_new_method_return(call->m, &reply);
	if (r >= 0)
		r = bus_append_answer(reply, call->method, answer);
	if (r >= 0)
		r = bus_connection_send(call->calls->signals->connection, reply);
	sd_bus_message_unref(reply);
	return r;
}

static int check_size(const struct answer *answer, struct err *err)
{
	size_t size = 0;

	for (size_t i = 0; i < answer->count; i++)
		size += record_weight(answer->record, answer_item(answer, i));
	if (size <= ANSWER_SIZE_MAX)
		return 0;
	return err_set(err, ERR_TOO_LARGE,
		       "the answer would have up to %zu bytes and may have %zu: ask for less", size,
		       ANSWER_SIZE_MAX);
}

static void on_answer(void *arg, const struct answer *answer)
{
	struct bus_call *call = arg;
	struct err err;
	int r = 0;

	err_clear(&err);
	call->call = NULL;
	if (answer->err) {
		r = bus_reply_error(call->m, answer->err);
	} else if (check_size(answer, &err) < 0) {
		r = bus_reply_error(call->m, &err);
	} else {
		r = reply_answer(call, answer);
		if (r < 0) {
			err_set(&err, ERR_INTERNAL, "the answer of %s cannot be put on the bus: %s",
				call->method->name, strerror(-r));
			if (log_limit_allows(&call->calls->unsent_limit, LOG_LEVEL_WARNING))
				log_warning("%s", err.text);
			r = bus_reply_error(call->m, &err);
		}
	}
	if (r < 0)
		log_debug("bus: no reply to %s: %s", call->method->name, strerror(-r));
	end_call(call);
}

static void on_authorised(void *arg, enum method_access granted, uid_t uid, const struct err *err)
{
	struct bus_call *call = arg;
	const struct caller caller = {
		.surface = "bus",
		.access = granted,
		.has_uid = true,
		.uid = uid,
		.bus_name = sd_bus_message_get_sender(call->m),
	};

	call->check = NULL;
	if (err) {
		if (log_limit_allows(&call->calls->refused_limit, LOG_LEVEL_NOTICE))
			log_tell(LOG_LEVEL_NOTICE,
				 (.message_id = messages[MESSAGE_CALL_REFUSED].id,
				  .error_code = err_view(err->code)->word,
				  .actor = sd_bus_message_get_sender(call->m)),
				 "bus: refused %s to %s: %s", call->method->name,
				 sd_bus_message_get_sender(call->m), err->text);
		bus_reply_error(call->m, err);
		end_call(call);
		return;
	}
	call->call = call_start(call->calls->core, (enum method_id)(call->method - methods),
				call->args, &caller, on_answer, call);
}

static bool takes_descriptor(const struct method *method)
{
	for (size_t i = 0; i < method->args->count; i++) {
		if (method->args->fields[i].type == FIELD_DESCRIPTOR)
			return true;
	}
	return false;
}

static int check_descriptors(const struct bus_calls *calls, const char *sender, struct err *err)
{
	const struct bus_call *call;
	size_t count = 0;
	bool same = false;

	TAILQ_FOREACH(call, &calls->list, entry) {
		if (!takes_descriptor(call->method))
			continue;
		count++;
		same = same || streq(sd_bus_message_get_sender(call->m), sender);
	}
	if (same)
		return err_set(
			err, ERR_TOO_MANY,
			"a call of yours that hands over an open file is under way already; wait for its answer");
	if (count >= DESCRIPTORS_MAX)
		return err_set(
			err, ERR_TOO_MANY,
			"%zu calls that hand over an open file are under way already; try again later",
			count);
	return 0;
}

static int check_bounds(const struct bus_calls *calls, sd_bus_message *m,
			const struct method *method, struct err *err)
{
	const char *sender = sd_bus_message_get_sender(m);
	const struct bus_call *call;
	size_t same = 0;

	if (calls->count >= CALLS_MAX)
		return err_set(err, ERR_TOO_MANY, "%d calls are under way already; try again later",
			       CALLS_MAX);
	TAILQ_FOREACH(call, &calls->list, entry)
		same += streq(sd_bus_message_get_sender(call->m), sender);
	if (same >= CALLS_PER_SENDER_MAX)
		return err_set(err, ERR_TOO_MANY,
			       "%d of your calls are under way already; wait for their answers",
			       CALLS_PER_SENDER_MAX);
	return takes_descriptor(method) ? check_descriptors(calls, sender, err) : 0;
}

int bus_calls_begin(struct bus_calls *calls, sd_bus_message *m, const struct method *method,
		    const struct field *self, const char *id)
{
	struct bus_call *call;
	sd_bus_message *head;
	struct err err;
	int r;

	err_clear(&err);
	if (check_bounds(calls, m, method, &err) < 0)
		return bus_reply_error(m, &err);
	r = bus_copy_head(m, &head);
	if (r < 0)
		return r; /* sd-bus answers with the error */
	call = xnew(struct bus_call);
	call->calls = calls;
	call->m = head;
	call->method = method;
	call->args = xcalloc(1, method->args->size);
	record_init(method->args, call->args);
	TAILQ_INSERT_TAIL(&calls->list, call, entry);
	calls->count++;
	if (bus_decode(m, method, self, id, call->args, &err) < 0) {
		r = bus_reply_error(m, &err);
		end_call(call);
		return r;
	}
	call->check = auth_check_start(calls->auth, head, method_needs(method, call->args),
				       on_authorised, call);
	return 1;
}

void bus_calls_init(struct bus_calls *calls, struct core *core, struct bus_signals *signals)
{
	*calls = (struct bus_calls){ .core = core, .signals = signals };
	TAILQ_INIT(&calls->list);
}
