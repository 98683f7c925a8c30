/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * OpenAPI 3.1 describes a stream as one text. The schema of what stands in its "data:" lines is the
 * text's contentSchema. The kinds are told apart by the member "kind", which is also the name of
 * the event.
 */

#include "api/rest/openapi_events.h"

#include "api/rest/event_text.h"
#include "api/rest/openapi_examples.h"
#include "api/rest/openapi_write.h"

#define LAST_ID_DOC "The id of the last event that the client has got: later ones follow at once."

static void put_argument(struct json_writer *w, const char *name, const char *place)
{
	json_begin_object(w);
	json_put_member(w, "name", name);
	json_put_member(w, "in", place);
	json_put_name(w, "required");
	json_put_bool(w, false);
	json_put_member(w, "description", LAST_ID_DOC);
	begin_member(w, "schema");
	json_put_member(w, "type", "string");
	json_end_object(w);
	json_end_object(w);
}

void openapi_put_event_arguments(struct json_writer *w)
{
	json_put_name(w, "parameters");
	json_begin_array(w);
	put_argument(w, "Last-Event-ID", "header");
	put_argument(w, "last_event_id", "query");
	json_end_array(w);
}

static void put_kind_reference(struct json_writer *w, const char *kind)
{
	_cleanup_buf_ struct buf name = BUF_NULL;

	buf_printf(&name, "event_%s", kind);
	put_reference(w, "schemas", name.data);
}

/* What a client sees of the stream at one event. */
static void put_example(struct json_writer *w)
{
	_cleanup_buf_ struct buf text = BUF_NULL;

	buf_printf(&text, "id: 7862f0a47df0.41\nevent: operation\ndata: %s\n\n",
		   openapi_example_answer("event.stream"));
	json_put_member(w, "example", text.data);
}

void openapi_put_event_stream(struct json_writer *w)
{
	json_begin_object(w);
	json_put_member(w, "type", "string");
	json_put_member(w, "contentMediaType", "text/event-stream");
	begin_member(w, "contentSchema");
	json_put_name(w, "oneOf");
	json_begin_array(w);
	for (size_t kind = 0; kind < EVENT_KIND_COUNT; kind++)
		put_kind_reference(w, event_kind_names[kind]);
	put_kind_reference(w, "resync");
	json_end_array(w);
	json_end_object(w);
	json_end_object(w);
	put_example(w);
}

static void put_words(struct json_writer *w, const char *name, const char *const *words,
		      const char *doc)
{
	begin_member(w, name);
	json_put_member(w, "type", "string");
	json_put_name(w, "enum");
	json_begin_array(w);
	for (; *words; words++)
		json_put_text(w, *words);
	json_end_array(w);
	json_put_member(w, "description", doc);
	json_end_object(w);
}

static void begin_kind(struct json_writer *w, const char *kind)
{
	_cleanup_buf_ struct buf name = BUF_NULL;

	buf_printf(&name, "event_%s", kind);
	begin_member(w, name.data);
	begin_closed_object(w);
	begin_member(w, "kind");
	json_put_member(w, "type", "string");
	json_put_member(w, "const", kind);
	json_end_object(w);
}

static void end_kind(struct json_writer *w, const char *const *required)
{
	json_end_object(w);
	json_put_name(w, "required");
	json_begin_array(w);
	for (; *required; required++)
		json_put_text(w, *required);
	json_end_array(w);
	json_end_object(w);
}

static void put_kind(struct json_writer *w, enum event_kind kind)
{
	static const char *const required[] = { "kind", "change", "id", NULL };

	begin_kind(w, event_kind_names[kind]);
	put_words(w, "change", event_change_names, "What happened.");
	begin_member(w, "id");
	json_put_member(w, "type", "string");
	json_put_member(
		w, "description",
		"Names the object: an operation, a volume (also of a mapping, an export or a "
		"drift), a device by its path; of the health its word.");
	json_end_object(w);
	json_put_name(w, event_kind_names[kind]);
	put_reference(w, "schemas", event_kind_records[kind]->name);
	end_kind(w, required);
}

void openapi_put_event_schemas(struct json_writer *w)
{
	static const char *const reasons[] = { "too-old", "unknown-id", NULL };
	static const char *const required[] = { "kind", "reason", NULL };

	for (size_t kind = 0; kind < EVENT_KIND_COUNT; kind++)
		put_kind(w, (enum event_kind)kind);
	begin_kind(w, "resync");
	put_words(
		w, "reason", reasons,
		"Events are missing before this one, so the client must read anew what it knows: its last "
		"event is too old to be kept, or its id is of no event since the daemon's start.");
	end_kind(w, required);
}
