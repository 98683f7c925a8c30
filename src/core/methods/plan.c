/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A plan is made by the code of the change itself, so that both cannot say different things. The
 * method runs as ever, up to its first effect; an answer that it makes before is taken here: a
 * refusal becomes a line of the plan, and a success means that there is nothing to do. Only a
 * request that is wrong in itself, or not allowed to the caller, fails as the change would.
 */

#include "core/methods/plan.h"

#include <stdarg.h>

#include "core/call.h"
#include "core/methods/call.h"

/* The refusals that a method finds by itself. */
#define CHECK_OF_METHOD "state"
/* The whole change of a method that begins no operation. */
#define STEP_OF_METHOD "change"

struct plan {
	struct buf would, refused_by, unchecked; /* items of JSON arrays, with commas between */
};

static void plan_free(void *plan_of_call)
{
	struct plan *plan = plan_of_call;

	buf_clear(&plan->would);
	buf_clear(&plan->refused_by);
	buf_clear(&plan->unchecked);
	free(plan);
}

static void add(struct buf *list, const struct record *record, const void *item)
{
	_cleanup_json_writer_ struct json_writer writer = { .out = list };

	if (list->length)
		buf_add_text(list, ",");
	record_to_json(record, item, false, &writer);
}

void plan_would(struct call *call, const char *step, const char *text)
{
	struct plan_step_record item = { 0 };

	str_set(&item.step, step);
	str_set(&item.text, text);
	add(&call->plan->would, &plan_step_record, &item);
	record_clear(&plan_step_record, &item);
}

void plan_refuse(struct call *call, const char *check, const struct err *err)
{
	struct plan_refusal_record item = { 0 };

	str_set(&item.check, check);
	str_set(&item.code, err_view(err->code)->word);
	str_set(&item.reason, err_reason_word(err->reason));
	str_set(&item.text, err->text);
	add(&call->plan->refused_by, &plan_refusal_record, &item);
	record_clear(&plan_refusal_record, &item);
}

void plan_doubt(struct call *call, const char *check, const char *why)
{
	struct plan_doubt_record item = { 0 };

	str_set(&item.check, check);
	item.text = xasprintf("could not be checked: %s", why);
	add(&call->plan->unchecked, &plan_doubt_record, &item);
	record_clear(&plan_doubt_record, &item);
}

static char *array_of(const struct buf *items)
{
	return xasprintf("[%s]", str_or(items->data, ""));
}

void plan_answer(struct call *call)
{
	const struct plan *plan = call->plan;
	struct plan_record record = {
		.method = xstrdup(call->method->name),
		.would = array_of(&plan->would),
		.refused_by = array_of(&plan->refused_by),
		.unchecked = array_of(&plan->unchecked),
	};

	call_answer_as(call,
		       &(struct answer){ .record = &plan_record, .items = &record, .count = 1 });
	record_clear(&plan_record, &record);
}

bool plan_ends(struct call *call, const char *format, ...)
{
	char text[ERR_TEXT_SIZE];
	va_list args;

	if (!call->plan)
		return false;
	va_start(args, format);
	err_text_vformat(text, sizeof(text), format, args);
	va_end(args);
	plan_would(call, STEP_OF_METHOD, text);
	plan_answer(call);
	return true;
}

/* The caller has to ask otherwise, whatever the state of things is. */
static bool is_wrong_request(const struct err *err)
{
	return err->code == ERR_INVALID || err->code == ERR_UNAUTHORIZED ||
	       err->code == ERR_FORBIDDEN || err->code == ERR_INTERNAL;
}

/* False: the answer is sent as it is. */
static bool on_answer(struct call *call, const struct answer *answer)
{
	if (answer->record == &plan_record || (answer->err && is_wrong_request(answer->err)))
		return false;
	if (answer->err)
		plan_refuse(call, CHECK_OF_METHOD, answer->err);
	else
		plan_would(call, STEP_OF_METHOD, "Nothing: it is so already.");
	plan_answer(call);
	return true;
}

void plan_begin(struct call *call)
{
	call->plan = xnew(struct plan);
	call->free_plan = plan_free;
	call->instead = on_answer;
}

/* ---- GetPlan ---- */

static int check_change(const struct method *change, const char *name, struct err *err)
{
	if (!change)
		return err_set_field(err, "method", ERR_NO_SUCH_PATH, "there is no method %s",
				     name);
	if (method_can_plan(change))
		return 0;
	if (change->access != ACCESS_READ && record_find(change->args, "dry_run"))
		return err_set_field(
			err, "method", ERR_INVALID,
			"%s tells by itself what it would do: call it with its option dry_run",
			change->member);
	return err_set_field(err, "method", ERR_INVALID, "%s is no change that has a plan",
			     change->member);
}

static void *read_args(const struct method *change, const char *text, struct err *err)
{
	_cleanup_json_ struct json *document = json_parse(text, strlen(text), err);
	void *args = xcalloc(1, change->args->size);

	record_init(change->args, args);
	if (document && record_from_json(change->args, args, document, err) == 0 &&
	    record_check_required(change->args, args, err) == 0)
		return args;
	record_clear(change->args, args);
	free(args);
	return NULL;
}

int plan_take_change(struct call *call, struct err *err)
{
	struct plan_args *asked = call->args;
	const struct method *change = method_of_plan(asked);
	void *args;

	if (check_change(change, asked->method, err) < 0)
		return -1;
	args = read_args(change, str_or(asked->arguments, "{}"), err);
	if (!args)
		return -1;
	method_ask_plan(change, args);
	record_clear(call->method->args, call->args);
	free(call->args);
	call->method = change;
	call->args = args;
	return 0;
}
