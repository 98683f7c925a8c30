/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * "resolve" and "forget" take a person's word against what the daemon knows. A person sees first
 * what the word is about; a script has no one to ask, and knows what it does.
 */

#include "volumectl/confirm.h"

#include <stdio.h>

#include "volumectl/output.h"
#include "volumectl/terminal.h"

static const struct {
	enum method_id method;
	enum method_id shows; /* what it is about, by the same argument */
	const char *argument;
	const char *question;
} questions[] = {
	{ METHOD_OPERATION_RESOLVE, METHOD_OPERATION_GET, "operation_id",
	  "Settle this operation for good?" },
	{ METHOD_VOLUME_FORGET, METHOD_VOLUME_DEVICE, "volume_id",
	  "Forget where this volume is attached? Nothing is done in CloudStack." },
};

static int read_answer(struct ctl *ctl, const struct method *method, sd_bus_message *reply,
		       struct volume_client_value **value)
{
	const char *path = NULL;
	struct err err = { 0 };

	if (method->bus_object == SCOPE_MANAGER)
		return volume_client_read(reply, value, NULL);
	if (sd_bus_message_read(reply, "o", &path) < 0)
		return -1;
	return request_object(ctl, method->bus_object, path, value, &err);
}

/* If it cannot be shown, the call itself says why. */
static void show(struct ctl *ctl, const struct request *request, enum method_id shows,
		 const char *argument)
{
	const struct field *field = record_find(request->method->args, argument);
	const char *text = *(char *const *)field_of_const(field, request->args);
	struct volume_client_value *value = NULL;
	sd_bus_message *reply = NULL;
	struct request look;
	struct err err = { 0 };

	request_init(&look, &methods[shows]);
	if (request_set(&look, request_field(&look, argument), argument, text) == 0 &&
	    request_call(ctl, &look, &reply, &err) == 0 &&
	    read_answer(ctl, look.method, reply, &value) == 0)
		output_record(look.method->result, value, false);
	volume_client_value_free(value);
	sd_bus_message_unref(reply);
	request_clear(&look);
}

bool confirm(struct ctl *ctl, const struct request *request)
{
	for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
		if (request->method != &methods[questions[i].method])
			continue;
		if (request_own(request, "yes") || !terminal_can_ask())
			return true;
		show(ctl, request, questions[i].shows, questions[i].argument);
		return terminal_ask(questions[i].question);
	}
	return true;
}
