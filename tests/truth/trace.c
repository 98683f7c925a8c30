/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One number for all that happened in a schedule: each event with its record, each answer, each
 * request that reached CloudStack, each move of the kernel, with its time. Two programs that print
 * the same number for a seed behaved the same, so a change that is to change no behaviour shows it
 * here.
 */

#include <inttypes.h>
#include <stdarg.h>

#include "base/json.h"
#include "sim.h"

#define FNV_START UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

static void add(struct sim *sim, const void *bytes, size_t length)
{
	const unsigned char *byte = bytes;

	for (size_t i = 0; i < length; i++)
		sim->trace = (sim->trace ^ byte[i]) * FNV_PRIME;
}

void trace_start(struct sim *sim)
{
	sim->trace = FNV_START;
}

void trace_format(struct sim *sim, const char *format, va_list args)
{
	_cleanup_buf_ struct buf line = BUF_NULL;
	_cleanup_free_ char *text = NULL;

	if (vasprintf(&text, format, args) < 0)
		abort();
	buf_printf(&line, "%" PRId64 " %s\n", clock_mono_ms(), text);
	add(sim, line.data, line.length);
}

static void trace(struct sim *sim, const char *format, ...) _printf_(2, 3);
static void trace(struct sim *sim, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	trace_format(sim, format, args);
	va_end(args);
}

static void trace_record(struct sim *sim, const struct record *record, const void *object)
{
	_cleanup_buf_ struct buf text = BUF_NULL;
	_cleanup_json_writer_ struct json_writer writer = { .out = &text };

	if (!object)
		return;
	record_to_json(record, object, true, &writer);
	trace(sim, "%s %s", record->name, text.data);
}

void trace_event(struct sim *sim, const struct core_event *event)
{
	struct volume_record volume = { 0 };

	if (!sim->tracing)
		return;
	trace(sim, "event %u %s", event->type, str_or(event->id, ""));
	trace_record(sim, &operation_record, event->operation);
	trace_record(sim, &device_record, event->device);
	trace_record(sim, &mapping_record, event->mapping);
	trace_record(sim, &drift_record, event->drift);
	if ((event->type == EVENT_VOLUME_ADDED || event->type == EVENT_VOLUME_CHANGED) &&
	    core_volume(sim->core, event->id, &volume))
		trace_record(sim, &volume_record, &volume);
	record_clear(&volume_record, &volume);
}

void trace_answer(struct sim *sim, const struct ask *ask, const struct answer *answer)
{
	if (!sim->tracing)
		return;
	trace(sim, "answer %s %u %s", methods[ask->method].name,
	      answer->err ? answer->err->code : ERR_NONE, answer->err ? answer->err->text : "");
	for (size_t i = 0; i < answer->count && !answer->err; i++)
		trace_record(sim, answer->record, answer_item(answer, i));
}

void __real_server_receive(struct fake_server *server, struct fake_request *request);
void __wrap_server_receive(struct fake_server *server, struct fake_request *request);
void __wrap_server_receive(struct fake_server *server, struct fake_request *request)
{
	if (sim_now->tracing)
		trace(sim_now, "request %u %s %s %s %s %" PRIu64 " %d", request->command,
		      str_or(request->volume_id, ""), str_or(request->vm_id, ""),
		      str_or(request->name, ""), str_or(request->job_id, ""), request->size_gib,
		      request->shrink_ok);
	__real_server_receive(server, request);
}
