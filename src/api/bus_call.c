/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A method call from the bus: one handler for every row of every interface.
 *
 * The row is found by the message's interface and member, the arguments are read into the row's argument struct, the
 * sender is authorised and the call goes through the one door (core/call.h). The bus_call holds the message until
 * the answer comes, which may be minutes later, and replies to it; if the caller has left, the bus drops the reply.
 * Calls under way are counted, all together and by sender, because each holds memory a client asked us to hold.
 *
 * When the connection is lost its calls are cancelled: nobody could be answered. Operations they began go on.
 */

#include <assert.h>
#include <errno.h>

#include "api/bus_internal.h"
#include "base/log.h"

struct bus_call {
	TAILQ_ENTRY(bus_call) entry;
	struct bus *bus;
	sd_bus_message *m;
	const struct method *method;
	void *args;
	struct auth_check *check; /* the first thing waited for */
	struct call *call;        /* the second */
};

static void bus_call_end(struct bus_call *call)
{
	TAILQ_REMOVE(&call->bus->calls, call, entry);
	call->bus->call_count--;
	if (call->check)
		auth_check_cancel(call->check);
	if (call->call)
		call_cancel(call->call);
	record_clear(call->method->args, call->args);
	free(call->args);
	sd_bus_message_unref(call->m);
	free(call);
}

void bus_calls_cancel(struct bus *bus)
{
	while (!TAILQ_EMPTY(&bus->calls))
		bus_call_end(TAILQ_FIRST(&bus->calls));
}

static int reply_error(sd_bus_message *m, const struct err *err)
{
	_cleanup_free_ char *name = xasprintf("%s%s", ERR_BUS_PREFIX, err_view(err->code)->bus_name);

	return sd_bus_reply_method_errorf(m, name, "%s", err->text);
}

/* --- answers --------------------------------------------------------------------------------------------------- */

static int append_path(sd_bus_message *reply, enum method_scope scope, const struct answer *answer)
{
	const struct field *field = record_find(answer->record, scopes[scope].id);
	const char *id = field ? *(char *const *)field_of_const(field, answer_item(answer, 0)) : NULL;
	_cleanup_free_ char *path = str_empty(id) ? NULL : bus_object_path(scope, id);

	return path ? sd_bus_message_append_basic(reply, 'o', path) : -ENOENT;
}

static int append_answer(sd_bus_message *reply, const struct method *method, const struct answer *answer)
{
	enum method_scope scope = method_answer_scope(method);
	int r;

	if (scope != SCOPE_MANAGER)
		return append_path(reply, scope, answer);
	if (method->answer != ANSWER_MANY)
		return bus_append_record(reply, answer->record, answer_item(answer, 0));
	r = sd_bus_message_open_container(reply, 'a', "a{sv}");
	for (size_t i = 0; i < answer->count && r >= 0; i++)
		r = bus_append_record(reply, answer->record, answer_item(answer, i));
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int reply_answer(const struct bus_call *call, const struct answer *answer)
{
	sd_bus_message *reply = NULL;
	int r;

	if (!sd_bus_message_get_expect_reply(call->m))
		return 0;
	r = sd_bus_message_new_method_return(call->m, &reply);
	if (r >= 0)
		r = append_answer(reply, call->method, answer);
	if (r >= 0)
		r = sd_bus_send(call->bus->sd_bus, reply, NULL);
	sd_bus_message_unref(reply);
	return r;
}

static void on_answer(void *arg, const struct answer *answer)
{
	struct bus_call *call = arg;
	struct err err = { 0 };
	int r = 0;

	call->call = NULL;
	if (answer->err.code != ERR_NONE) {
		r = reply_error(call->m, &answer->err);
	} else {
		r = reply_answer(call, answer);
		if (r < 0) {
			err_set(&err, ERR_INTERNAL, "the answer of %s cannot be put on the bus: %s", call->method->name,
				strerror(-r));
			log_warning("%s", err.text);
			r = reply_error(call->m, &err);
		}
	}
	if (r < 0)
		log_debug("bus: no reply to %s: %s", call->method->name, strerror(-r));
	bus_call_end(call);
}

/* --- arguments ------------------------------------------------------------------------------------------------- */

static const struct field *find_option(const struct method *method, const char *key)
{
	const struct field *field = record_find(method->args, key);

	if (!field || (field->flags & (FIELD_REQUIRED | FIELD_REST_ONLY | FIELD_PRIVATE)))
		return NULL;
	return field;
}

static int unknown_option(const struct method *method, const char *key, struct err *err)
{
	_cleanup_buf_ struct buf known = BUF_NULL;

	for (size_t i = 0; i < method->args->count; i++) {
		if (find_option(method, method->args->fields[i].name))
			buf_printf(&known, "%s%s", known.length ? ", " : "", method->args->fields[i].name);
	}
	return err_set_field(err, key, ERR_INVALID, "%s has no option '%.64s'; it takes %s", method->member, key,
			     known.length ? known.data : "none");
}

static int read_option(sd_bus_message *m, const struct method *method, void *args, uint64_t *seen, struct err *err)
{
	const struct field *field;
	const char *key = NULL;
	uint64_t bit;

	if (sd_bus_message_read_basic(m, 's', &key) < 0)
		return err_set(err, ERR_INVALID, "the options cannot be read");
	field = find_option(method, key);
	if (!field)
		return unknown_option(method, key, err);
	assert(method->args->count <= 64);
	bit = UINT64_C(1) << (field - method->args->fields);
	if (*seen & bit)
		return err_set_field(err, key, ERR_INVALID, "option '%s' is given twice", key);
	*seen |= bit;
	if (sd_bus_message_enter_container(m, 'v', NULL) <= 0)
		return err_set(err, ERR_INVALID, "the options cannot be read");
	if (bus_read_field(m, field, args, err) < 0)
		return -1;
	return sd_bus_message_exit_container(m) < 0 ? err_set(err, ERR_INVALID, "the options cannot be read") : 0;
}

static int read_options(sd_bus_message *m, const struct method *method, void *args, struct err *err)
{
	uint64_t seen = 0;
	int r;

	if (sd_bus_message_enter_container(m, 'a', "{sv}") < 0)
		return err_set(err, ERR_INVALID, "the options cannot be read");
	while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		if (read_option(m, method, args, &seen, err) < 0)
			return -1;
		if (sd_bus_message_exit_container(m) < 0)
			return err_set(err, ERR_INVALID, "the options cannot be read");
	}
	return r < 0 ? err_set(err, ERR_INVALID, "the options cannot be read") : 0;
}

/* self is the argument an object stands for, NULL on the Manager; id its value. */
static int read_args(sd_bus_message *m, const struct method *method, const struct field *self, const char *id,
		     void *args, struct err *err)
{
	if (self && field_from_text(self, args, id, err) < 0)
		return -1;
	for (size_t i = 0; i < method->args->count; i++) {
		const struct field *field = &method->args->fields[i];

		if ((field->flags & FIELD_REQUIRED) && field != self && bus_read_field(m, field, args, err) < 0)
			return -1;
	}
	return method_bus_has_options(method) ? read_options(m, method, args, err) : 0;
}

/* --- the handler ----------------------------------------------------------------------------------------------- */

static void on_authorised(void *arg, enum method_access granted, const struct err *err)
{
	struct bus_call *call = arg;
	struct caller caller = { .surface = "bus", .access = granted };

	call->check = NULL;
	if (err) {
		log_info("bus: refused %s to %s: %s", call->method->name, sd_bus_message_get_sender(call->m),
			 err->text);
		reply_error(call->m, err);
		bus_call_end(call);
		return;
	}
	call->call = call_start(call->bus->core, (enum method_id)(call->method - methods), call->args, &caller,
				on_answer, call);
}

static const struct method *find_method(sd_bus_message *m, enum method_scope scope)
{
	const char *member = sd_bus_message_get_member(m);

	for (size_t i = 0; i < METHOD_COUNT; i++) {
		if (scope == SCOPE_MANAGER && streq(methods[i].member, member))
			return &methods[i];
		if (scope == methods[i].scope && streq(methods[i].object_member, member))
			return &methods[i];
	}
	return NULL;
}

static int check_bounds(const struct bus *bus, sd_bus_message *m, struct err *err)
{
	const char *sender = sd_bus_message_get_sender(m);
	const struct bus_call *call;
	size_t same = 0;

	if (bus->call_count >= CALLS_MAX)
		return err_set(err, ERR_TOO_MANY, "%d calls are under way already; try again later", CALLS_MAX);
	TAILQ_FOREACH(call, &bus->calls, entry)
		same += streq(sd_bus_message_get_sender(call->m), sender);
	if (same >= CALLS_PER_SENDER_MAX)
		return err_set(err, ERR_TOO_MANY, "%d of your calls are under way already; wait for their answers",
			       CALLS_PER_SENDER_MAX);
	return 0;
}

/* The scope whose view userdata is. */
static enum method_scope view_scope(const struct bus_view *view)
{
	return (enum method_scope)(view - view->bus->view);
}

int bus_on_method(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus_view *view = userdata;
	struct bus *bus = view->bus;
	enum method_scope scope = view_scope(view);
	const struct method *method = find_method(m, scope);
	const struct field *self = NULL;
	struct err err = { 0 };
	struct bus_call *call;
	const char *id = NULL;

	assert(method);
	if (check_bounds(bus, m, &err) < 0)
		return reply_error(m, &err);
	if (scope != SCOPE_MANAGER) {
		self = method_object_field(method);
		id = scope_id_of(scope, view->object);
	}
	call = xnew(struct bus_call);
	call->bus = bus;
	call->m = sd_bus_message_ref(m);
	call->method = method;
	call->args = xcalloc(1, method->args->size);
	record_init(method->args, call->args);
	TAILQ_INSERT_TAIL(&bus->calls, call, entry);
	bus->call_count++;
	if (read_args(m, method, self, id, call->args, &err) < 0) {
		int r = reply_error(m, &err);

		bus_call_end(call);
		return r;
	}
	call->check = auth_check_start(bus->auth, m, method->access, on_authorised, call);
	return 1;
}
