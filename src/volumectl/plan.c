/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The plan of a change, from GetPlan: a list of steps, then what refuses the change, then what
 * could not be checked. D-Bus has no dry_run in the changes themselves, since the answer to a
 * change is the path of an operation.
 */

#include "volumectl/plan.h"

#include <stdio.h>

#include "io/bus_codec.h"
#include "volumectl/output.h"

static int append_args(sd_bus_message *m, const struct request *request)
{
	const struct method *change = request->method;
	int r = sd_bus_message_append(m, "s", change->name);

	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "{sv}");
	for (size_t i = 0; i < change->args->count && r >= 0; i++) {
		const struct field *field = &change->args->fields[i];

		if ((request->given & UINT64_C(1) << i) &&
		    !(field->flags & (FIELD_PLAN | FIELD_KEY)))
			r = bus_append_entry(m, field, request->args);
	}
	return r < 0 ? r : sd_bus_message_close_container(m);
}

int plan_ask(struct ctl *ctl, const struct request *request, struct volume_client_value **plan,
	     struct err *err)
{
	sd_bus_message *m = NULL, *reply = NULL;
	struct volume_client_error error;
	int r;

	if (volume_client_call_new(ctl->client, NULL, NULL, methods[METHOD_PLAN_GET].member, &m,
				   &error) < 0)
		return ctl_client_error(&error, err);
	r = append_args(m, request);
	if (r < 0) {
		sd_bus_message_unref(m);
		return err_set(err, ERR_INVALID, "the arguments cannot be sent: %s", strerror(-r));
	}
	r = volume_client_call_send(ctl->client, m, &reply, &error);
	sd_bus_message_unref(m);
	if (r >= 0)
		r = volume_client_read(reply, plan, &error);
	sd_bus_message_unref(reply);
	return r < 0 ? ctl_client_error(&error, err) : 0;
}

static const char *text_of(const struct volume_client_value *item, const char *name)
{
	return volume_client_text(volume_client_get(item, name));
}

/* "  1. ask-cloud         Ask CloudStack to …" */
static void show_list(const struct volume_client_value *plan, const char *list, const char *head,
		      const char *label, bool numbered)
{
	const struct volume_client_value *items = volume_client_get(plan, list);

	if (!items || items->kind != VOLUME_CLIENT_LIST || items->count == 0)
		return;
	puts(head);
	for (size_t i = 0; i < items->count; i++) {
		_cleanup_buf_ struct buf line = BUF_NULL;

		if (numbered)
			buf_printf(&line, "%3zu. ", i + 1);
		else
			buf_add_text(&line, "  ");
		buf_printf(&line, "%-18s ", text_of(&items->items[i], label));
		buf_add_text(&line, text_of(&items->items[i], "text"));
		output_line(line.data);
	}
}

int plan_exit_code(const struct volume_client_value *plan)
{
	const struct volume_client_value *refusals = volume_client_get(plan, "refused_by");

	if (!refusals || refusals->kind != VOLUME_CLIENT_LIST || refusals->count == 0)
		return 0;
	return err_view(err_from_word(text_of(&refusals->items[0], "code")))->exit_code;
}

void plan_print(const struct volume_client_value *plan)
{
	show_list(plan, "would", "Would:", "step", true);
	show_list(plan, "refused_by", "Refused by:", "check", false);
	show_list(plan, "unchecked", "Unchecked:", "check", false);
	puts(plan_exit_code(plan) == 0 ? "Nothing is known that refuses it. Nothing was changed."
				       : "It would be refused. Nothing was changed.");
}

int plan_show(struct ctl *ctl, const struct request *request)
{
	struct volume_client_value *plan = NULL;
	struct err err = { 0 };
	int result;

	if (plan_ask(ctl, request, &plan, &err) < 0)
		return ctl_fail(&err);
	if (ctl->options.json)
		output_json(plan);
	else
		plan_print(plan);
	result = plan_exit_code(plan);
	volume_client_value_free(plan);
	return result;
}
