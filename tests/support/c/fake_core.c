/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Records are filled from their own field tables, so that a new method or field needs nothing
 * here. */

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "fake_core.h"

struct call {
	TAILQ_ENTRY(call) entry;
	struct core *core;
	struct loop_task task;
	enum method_id id;
	call_done_fn done;
	void *arg;
};

void fake_fill(const struct record *record, void *item)
{
	for (size_t i = 0; i < record->count; i++) {
		const struct field *field = &record->fields[i];
		const char *text = "7";
		int r;

		if (field->type == FIELD_RATIO) {
			*(double *)field_of(field, item) = 0.5;
			continue;
		}
		if (field->type == FIELD_DESCRIPTOR) {
			*(int *)field_of(field, item) = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
			continue;
		}
		if (field->type == FIELD_ITEMS) {
			str_set(field_of(field, item), "[" SAMPLE_OBJECT "]");
			continue;
		}
		if (field->type == FIELD_UUID)
			text = SAMPLE_UUID;
		else if (field->flags & FIELD_SECRET)
			text = SAMPLE_SECRET;
		else if (field->type == FIELD_TEXT)
			text = streq(field->name, "id") ? SAMPLE_OPERATION : "text";
		else if (field->type == FIELD_OBJECT)
			text = SAMPLE_OBJECT;
		else if (field->type == FIELD_BOOL)
			text = "yes";
		else if (field->type == FIELD_TIME)
			text = "2026-11-22T21:50:03.123Z";
		else if (field->type == FIELD_ENUM)
			text = field->names[1];
		r = field_from_text(field, item, text, NULL);
		assert(r == 0);
	}
}

static void call_end(struct call *call)
{
	TAILQ_REMOVE(&call->core->calls, call, entry);
	free(call);
}

static void wipe_secrets(const struct record *record, void *item)
{
	for (size_t i = 0; i < record->count; i++) {
		char *const *text = field_of(&record->fields[i], item);

		if (record->fields[i].flags & FIELD_SECRET)
			explicit_bzero(*text, strlen(*text));
	}
}

static void call_answer(struct loop_task *task)
{
	struct call *call = container_of(task, struct call, task);
	struct core *core = call->core;
	const struct method *method = &methods[call->id];
	const struct record *record = method->result;
	struct answer answer = { .record = record };
	call_done_fn done = call->done;
	void *arg = call->arg;
	char *items;

	if (core->err.code != ERR_NONE)
		answer.err = &core->err;
	answer.count = method->answer == ANSWER_MANY ? core->count : 1;
	answer.next_cursor = method->answer == ANSWER_MANY ? core->next_cursor : NULL;
	answer.listed_ms = core->listed_ms;
	answer.unhealthy = core->unhealthy;
	items = xcalloc(answer.count + 1, record->size);
	for (size_t i = 0; i < answer.count; i++) {
		record_init(record, items + i * record->size);
		fake_fill(record, items + i * record->size);
	}
	if (record == &operation_record && answer.count == 1 && core->operation.id)
		record_copy(record, items, &core->operation);
	answer.items = items;
	call_end(call);
	done(arg, &answer);
	for (size_t i = 0; i < answer.count; i++) {
		wipe_secrets(record, items + i * record->size);
		record_clear(record, items + i * record->size);
	}
	free(items);
}

struct call *call_start(struct core *core, enum method_id id, const void *args,
			const struct caller *caller, call_done_fn done, void *arg)
{
	struct call *call = xnew(struct call);
	_cleanup_json_writer_ struct json_writer w = { .out = &core->args };

	buf_reset(&core->args);
	record_to_json(methods[id].args, args, false, &w);
	core->method = id;
	core->surface = caller->surface;
	core->access = caller->access;
	core->has_uid = caller->has_uid;
	core->uid = caller->uid;
	snprintf(core->token, sizeof(core->token), "%s", str_or(caller->token, ""));
	snprintf(core->bus_name, sizeof(core->bus_name), "%s", str_or(caller->bus_name, ""));
	snprintf(core->address, sizeof(core->address), "%s", str_or(caller->address, ""));
	core->started++;
	*call = (struct call){
		.core = core, .task.run = call_answer, .id = id, .done = done, .arg = arg
	};
	TAILQ_INSERT_TAIL(&core->calls, call, entry);
	if (!core->hold)
		loop_task_queue(core->loop, &call->task);
	if (core->on_call)
		core->on_call(core, id);
	return call;
}

bool caller_show_token(struct core *core, const char *text, struct caller *caller)
{
	if (!streq(core->known_token, text))
		return false;
	caller->token = "known";
	caller->access = core->token_access;
	return true;
}

void call_cancel(struct call *call)
{
	call->core->cancelled++;
	loop_task_cancel(call->core->loop, &call->task);
	call_end(call);
}

void call_hurry(struct call *call)
{
	call->core->hurried++;
	loop_task_queue(call->core->loop, &call->task);
}

void core_listen(struct core *core, struct event_listener *listener)
{
	TAILQ_INSERT_TAIL(&core->listeners, listener, entry);
}

void core_unlisten(struct core *core, struct event_listener *listener)
{
	TAILQ_REMOVE(&core->listeners, listener, entry);
}

void core_put_metrics(struct core *core, struct buf *out)
{
	core->measured++;
	buf_add_text(out,
		     "# HELP volumed_build_info Made of paper.\n# TYPE volumed_build_info gauge\n"
		     "volumed_build_info 1\n");
	buf_add_text(out, str_or(core->figures, ""));
}

void core_watch_health(struct core *core, bool is_wanted)
{
	core->watches_health = is_wanted;
}

void core_set_rest_certificate(struct core *core, const char *words)
{
	snprintf(core->certificate, sizeof(core->certificate), "%s", words);
}

const char *core_appliance_id(const struct core *core)
{
	return OTHER_UUID;
}

#define FIRST_VOLUME 0x456789abu

void fake_volume_id(size_t index, char out[37])
{
	/* The first is SAMPLE_UUID, the second OTHER_UUID. */
	snprintf(out, 37, "0195a1f0-7c3e-7b11-8f00-0123%08x", FIRST_VOLUME + (unsigned)index);
}

/* Whether it is one of the first volumes. */
static bool is_volume(const char *id, size_t count)
{
	size_t index = strlen(id) == 36 ? strtoul(id + 28, NULL, 16) - FIRST_VOLUME : count;
	char same[37];

	fake_volume_id(index, same);
	return index < count && streq(id, same);
}

void core_each_volume(struct core *core, void (*fn)(void *arg, const char *volume_id), void *arg)
{
	char id[37];

	for (size_t i = 0; i < core->volume_count; i++) {
		fake_volume_id(i, id);
		fn(arg, id);
	}
}

bool core_volume(struct core *core, const char *volume_id, struct volume_record *out)
{
	if (!is_volume(volume_id, core->volume_count))
		return false;
	fake_fill(&volume_record, out);
	str_set(&out->volume_id, volume_id);
	if (core->volume_name)
		str_set(&out->name, core->volume_name);
	return true;
}

const char *core_volume_vm(struct core *core, const char *volume_id)
{
	if (!is_volume(volume_id, core->volume_count) || core->volumes_detached)
		return NULL;
	return core->volumes_on_appliance ? OTHER_UUID : SAMPLE_UUID;
}

void core_each_export(struct core *core, void (*fn)(void *arg, const char *volume_id), void *arg)
{
	char id[37];

	for (size_t i = 0; i < core->export_count; i++) {
		fake_volume_id(i, id);
		fn(arg, id);
	}
}

bool core_export(struct core *core, const char *volume_id, struct export_record *out)
{
	if (!is_volume(volume_id, core->export_count))
		return false;
	fake_fill(&export_record, out);
	str_set(&out->volume_id, volume_id);
	if (core->export_error)
		str_set(&out->error, core->export_error);
	return true;
}

const struct operation_record *core_operation(struct core *core, const char *operation_id)
{
	return streq(core->operation.id, operation_id) ? &core->operation : NULL;
}

size_t core_unfinished(const struct core *core)
{
	return core->unfinished;
}

void core_each_operation(struct core *core, void (*fn)(void *arg, const char *operation_id),
			 void *arg)
{
	if (core->operation.id)
		fn(arg, core->operation.id);
}

void fake_core_init(struct core *core, struct loop *loop)
{
	*core = (struct core){ .loop = loop, .count = 2 };
	TAILQ_INIT(&core->calls);
	TAILQ_INIT(&core->listeners);
	record_init(&operation_record, &core->operation);
}

void fake_core_fini(struct core *core)
{
	/* A call that nobody answered or cancelled is a message that was lost. */
	assert(TAILQ_EMPTY(&core->calls));
	record_clear(&operation_record, &core->operation);
	buf_clear(&core->args);
}

void fake_core_release(struct core *core)
{
	struct call *call;

	core->hold = false;
	TAILQ_FOREACH(call, &core->calls, entry)
		loop_task_queue(core->loop, &call->task);
}

void fake_core_tell(struct core *core, const struct core_event *event)
{
	struct event_listener *listener;

	TAILQ_FOREACH(listener, &core->listeners, entry)
		listener->on_event(listener, event);
}
