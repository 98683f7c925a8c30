/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Answers and errors of methods on the bus. The values themselves are written by their fields. */

#include "api/bus/encode.h"

#include <errno.h>

#include "io/bus_codec.h"

char *bus_object_path(enum method_scope scope, const char *id)
{
	char *path = NULL;

	/* Fails only if memory is short: the prefix is constant and every id can be encoded. */
	if (sd_bus_path_encode(scopes[scope].path, id, &path) < 0)
		abort();
	return path;
}

int bus_reply_error(sd_bus_message *m, const struct err *err)
{
	_cleanup_free_ char *name =
		xasprintf("%s%s", ERR_BUS_PREFIX, err_view(err->code)->bus_name);

	return sd_bus_reply_method_errorf(m, name, "%s", err->text);
}

static int append_path(sd_bus_message *reply, enum method_scope scope, const struct answer *answer)
{
	const struct field *field = record_find(answer->record, scopes[scope].id);
	const char *id =
		field ? *(char *const *)field_of_const(field, answer_item(answer, 0)) : NULL;
	_cleanup_free_ char *path = str_empty(id) ? NULL : bus_object_path(scope, id);

	return path ? sd_bus_message_append_basic(reply, 'o', path) : -ENOENT;
}

int bus_append_answer(sd_bus_message *reply, const struct method *method,
		      const struct answer *answer)
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
