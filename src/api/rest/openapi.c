/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The document is one walk over methods[] for the paths, and one walk for the schemas of what is
 * taken and answered. Each record becomes one schema, named after the record; fields that are left
 * out when they are empty are those that a schema does not require.
 *
 * The form follows what the linters of OpenAPI insist on: each response that an operation can give
 * is listed by its status, and each component is used. The statuses are those of the error map,
 * sorted into the groups of status_is_given().
 */

#include "api/rest/openapi.h"

#include <assert.h>
#include <stdio.h>

#include "api/rest/event_streams.h"
#include "api/rest/metrics_page.h"
#include "api/rest/openapi_events.h"
#include "api/rest/openapi_examples.h"
#include "api/rest/openapi_write.h"
#include "build_config.h"
#include "spec/methods.h"

/* The largest integer that every reader of JSON keeps exact. */
#define EXACT_MAX ((INT64_C(1) << 53) - 1)

/* What the names of methods begin with, and the tags of the document. */
static const struct group {
	const char *name;
	const char *summary;
} groups[] = {
	{ "volume", "Volumes of CloudStack, and what is done with them." },
	{ "vm", "Virtual machines and their volumes." },
	{ "offering", "CloudStack's disk offerings." },
	{ "zone", "CloudStack's zones." },
	{ "right", "The rights of the daemon's keys in CloudStack." },
	{ "mapping", "Volumes and the devices that they have become." },
	{ "device", "Disks that the kernel shows." },
	{ "export", "Volumes that are served over NBD." },
	{ "operation", "Changes that were accepted, and their progress." },
	{ "token", "Tokens, which programs show to say who they are." },
	{ "admin", "Comparison of store, CloudStack and kernel; pauses; the configuration." },
	{ "health", "State of the daemon and of the parts it depends on." },
	{ "snapshot", "Snapshots of volumes, as clients have noted them." },
	{ "metrics", "Figures: of the store, and since the daemon's start." },
	{ "event", "What happens, as it happens." },
	{ "document", "Descriptions of the interface." },
};

static void begin_json_content(struct json_writer *w)
{
	begin_member(w, "content");
	begin_member(w, "application/json");
	json_put_name(w, "schema");
}

static void end_json_content(struct json_writer *w)
{
	json_end_object(w);
	json_end_object(w);
}

/* ---- values ---- */

static bool has_limits(const struct field *field)
{
	return field->max >= field->min && (field->min || field->max);
}

static void put_limits(struct json_writer *w, const struct field *field, const char *least,
		       const char *most)
{
	if (!has_limits(field))
		return;
	json_put_name(w, least);
	json_put_int(w, field->min);
	json_put_name(w, most);
	json_put_int(w, field->max);
}

static void put_words(struct json_writer *w, const struct field *field)
{
	json_put_name(w, "enum");
	json_begin_array(w);
	for (const char *const *word = field->names; *word; word++)
		json_put_text(w, *word);
	json_end_array(w);
}

/* All integers of the interface are exact in every language. */
static void put_integer(struct json_writer *w, const struct field *field)
{
	json_put_member(w, "format", "int64");
	if (has_limits(field)) {
		put_limits(w, field, "minimum", "maximum");
		return;
	}
	json_put_name(w, "minimum");
	json_put_int(w, field->type == FIELD_SIZE ? 0 : -EXACT_MAX);
	json_put_name(w, "maximum");
	json_put_int(w, EXACT_MAX);
}

/* Said plainly: generators of clients take an object without a word for an empty one. */
static void put_open_object(struct json_writer *w)
{
	json_put_name(w, "additionalProperties");
	json_put_bool(w, true);
}

/* -1 if it cannot be told. */
static void put_ratio(struct json_writer *w)
{
	json_put_member(w, "format", "double");
	json_put_name(w, "minimum");
	json_put_int(w, -1);
	json_put_name(w, "maximum");
	json_put_int(w, 1);
}

/* A time that is not set is null in an answer; nobody asks for one. */
static void put_type(struct json_writer *w, const struct field *field, bool is_answer)
{
	const char *type = field_type_view(field->type)->json;

	json_put_name(w, "type");
	if (!is_answer || field->type != FIELD_TIME || (field->flags & FIELD_OMIT)) {
		json_put_text(w, type);
		if (field->type == FIELD_ITEMS) {
			json_put_name(w, "items");
			put_reference(w, "schemas", field->items->name);
		}
		return;
	}
	json_begin_array(w);
	json_put_text(w, type);
	json_put_text(w, "null");
	json_end_array(w);
}

/* The value that an argument has if it is not given. */
static void put_default(struct json_writer *w, const struct record *record,
			const struct field *field)
{
	void *object = xcalloc(1, record->size);

	record_init(record, object);
	json_put_name(w, "default");
	field_to_json(field, object, w);
	record_clear(record, object);
	free(object);
}

static void put_value(struct json_writer *w, const struct record *record, const struct field *field,
		      bool is_answer)
{
	const struct field_type_view *view = field_type_view(field->type);

	json_begin_object(w);
	put_type(w, field, is_answer);
	if (field->type == FIELD_UUID || field->type == FIELD_TIME)
		json_put_member(w, "format", view->format);
	if (field->type == FIELD_TEXT)
		put_limits(w, field, "minLength", "maxLength");
	if (field->type == FIELD_ENUM)
		put_words(w, field);
	if (streq(view->json, "integer"))
		put_integer(w, field);
	if (field->type == FIELD_OBJECT)
		put_open_object(w);
	if (field->type == FIELD_RATIO)
		put_ratio(w);
	if (!is_answer && field->fallback)
		put_default(w, record, field);
	json_put_member(w, "description", field->doc);
	json_end_object(w);
}

/* ---- arguments ---- */

/* Names a request in a header, and is no argument of the method itself. */
static bool is_key(const struct field *field)
{
	return field->flags & FIELD_KEY;
}

static bool has_body(const struct method *method)
{
	return method->verb == HTTP_POST || method->verb == HTTP_PUT;
}

static void put_example_text(struct json_writer *w, const char *json)
{
	if (!json)
		return;
	json_put_name(w, "example");
	json_put_raw(w, json);
}

/* The arguments of the method's example; the caller frees them. NULL: there is no example. */
static struct json *example_arguments(const struct method *method)
{
	const char *text = openapi_example_arguments(method->name);
	struct err err = { 0 };
	struct json *arguments;

	if (!text)
		return NULL;
	arguments = json_parse(text, strlen(text), &err);
	assert(arguments);
	return arguments;
}

static void put_example(struct json_writer *w, const struct json *example)
{
	if (!example)
		return;
	json_put_name(w, "example");
	json_put_node(w, example);
}

static void put_parameter(struct json_writer *w, const struct method *method,
			  const struct field *field, const char *place, const struct json *example)
{
	bool in_path = streq(place, "path");

	json_begin_object(w);
	json_put_member(w, "name", is_key(field) ? "Idempotency-Key" : field->name);
	json_put_member(w, "in", place);
	json_put_name(w, "required");
	json_put_bool(w, in_path || field_must_be_given(field));
	json_put_member(w, "description", field->doc);
	json_put_name(w, "schema");
	put_value(w, method->args, field, false);
	put_example(w, json_get(example, field->name));
	json_end_object(w);
}

static void put_parameters(struct json_writer *w, const struct method *method,
			   const struct json *example)
{
	json_put_name(w, "parameters");
	json_begin_array(w);
	for (size_t i = 0; i < method->args->count; i++) {
		const struct field *field = &method->args->fields[i];

		if (method_path_has(method, field->name))
			put_parameter(w, method, field, "path", example);
		else if (is_key(field))
			put_parameter(w, method, field, "header", example);
		else if (!has_body(method))
			put_parameter(w, method, field, "query", example);
	}
	json_end_array(w);
}

static bool is_required_in_body(const struct method *method, const struct field *field)
{
	return field_must_be_given(field) && !is_key(field) &&
	       !method_path_has(method, field->name);
}

static void put_body_schema(struct json_writer *w, const struct method *method)
{
	const struct record *args = method->args;

	json_begin_object(w);
	begin_closed_object(w);
	for (size_t i = 0; i < args->count; i++) {
		if (is_key(&args->fields[i]))
			continue;
		json_put_name(w, args->fields[i].name);
		put_value(w, args, &args->fields[i], false);
	}
	json_end_object(w);
	json_put_name(w, "required");
	json_begin_array(w);
	for (size_t i = 0; i < args->count; i++) {
		if (is_required_in_body(method, &args->fields[i]))
			json_put_text(w, args->fields[i].name);
	}
	json_end_array(w);
	json_end_object(w);
}

static bool needs_body(const struct method *method)
{
	for (size_t i = 0; i < method->args->count; i++) {
		if (is_required_in_body(method, &method->args->fields[i]))
			return true;
	}
	return false;
}

/* Takes the arguments that stand in the path out of the example. */
static void put_body(struct json_writer *w, const struct method *method, struct json *example)
{
	for (size_t i = 0; example && i < method->args->count; i++) {
		if (method_path_has(method, method->args->fields[i].name))
			json_drop(example, method->args->fields[i].name);
	}
	begin_member(w, "requestBody");
	json_put_name(w, "required");
	json_put_bool(w, needs_body(method));
	begin_json_content(w);
	put_body_schema(w, method);
	put_example(w, example);
	end_json_content(w);
	json_end_object(w);
}

/* ---- answers ---- */

static void put_array_of(struct json_writer *w, const struct record *record)
{
	json_begin_object(w);
	json_put_member(w, "type", "array");
	json_put_name(w, "items");
	put_reference(w, "schemas", record->name);
	json_end_object(w);
}

static void put_plain(struct json_writer *w, const char *name, const char *type, const char *doc)
{
	begin_member(w, name);
	json_put_member(w, "type", type);
	json_put_member(w, "description", doc);
	json_end_object(w);
}

/* A page of a list, as put_many() of encode.c writes it. */
static void put_list(struct json_writer *w, const struct method *method)
{
	if (!method->list_key) {
		put_array_of(w, method->result);
		return;
	}
	json_begin_object(w);
	begin_closed_object(w);
	if (method->list_subject)
		put_plain(w, method->list_subject, "string", "The same as in the request.");
	json_put_name(w, method->list_key);
	put_array_of(w, method->result);
	put_plain(w, "count", "integer", "Number of items on this page.");
	put_plain(w, "next_cursor", "string",
		  "The argument cursor of the next page; absent on the last.");
	begin_member(w, "listed_at");
	json_put_member(w, "type", "string");
	json_put_member(w, "format", "date-time");
	json_put_member(w, "description",
			"When CloudStack was asked for the list that the answer comes from.");
	json_end_object(w);
	json_end_object(w);
	json_put_name(w, "required");
	json_begin_array(w);
	json_put_text(w, method->list_key);
	json_put_text(w, "count");
	json_end_array(w);
	json_end_object(w);
}

static void put_header(struct json_writer *w, const char *name, const char *doc)
{
	begin_member(w, "headers");
	begin_member(w, name);
	json_put_member(w, "description", doc);
	begin_member(w, "schema");
	json_put_member(w, "type", "string");
	json_end_object(w);
	json_end_object(w);
	json_end_object(w);
}

static void put_one_of(struct json_writer *w, const char *one, const char *other)
{
	json_begin_object(w);
	json_put_name(w, "oneOf");
	json_begin_array(w);
	put_reference(w, "schemas", one);
	put_reference(w, "schemas", other);
	json_end_array(w);
	json_end_object(w);
}

static void put_success(struct json_writer *w, const struct method *method)
{
	bool is_new = method->answer == ANSWER_OPERATION || method->answer == ANSWER_CREATED;

	begin_member(w, is_new ? "201" : "200");
	json_put_member(w, "description",
			method->answer == ANSWER_OPERATION ? "The operation that makes the change."
			: is_new                           ? "The new object."
							   : "The answer.");
	if (is_new && method_answer_scope(method) != SCOPE_MANAGER)
		put_header(w, "Location", "The path of the operation or of the new object.");
	else if (method->answer == ANSWER_MANY && !method->list_key)
		put_header(w, "Link", "The next page; absent on the last.");
	begin_json_content(w);
	if (method->answer == ANSWER_MANY)
		put_list(w, method);
	else if (!is_new && method_can_plan(method))
		put_one_of(w, method->result->name, plan_record.name);
	else
		put_reference(w, "schemas", method->result->name);
	put_example_text(w, openapi_example_answer(method->name));
	end_json_content(w);
	json_end_object(w);
}

/* Where 200 is not the change itself. */
static void put_plan(struct json_writer *w, const struct method *method)
{
	bool is_new = method->answer == ANSWER_OPERATION || method->answer == ANSWER_CREATED;

	if (!is_new || !method_can_plan(method))
		return;
	begin_member(w, "200");
	json_put_member(w, "description", "The plan, if dry_run asks for it; nothing is changed.");
	begin_json_content(w);
	put_reference(w, "schemas", plan_record.name);
	end_json_content(w);
	json_end_object(w);
}

static bool is_health(const struct method *method)
{
	return method == &methods[METHOD_HEALTH_GET];
}

/* Whether an operation can answer with an error of this code. */
static bool code_is_given(const struct method *method, enum err_code code)
{
	/* Errors of what is no operation. */
	if (code == ERR_NO_SUCH_PATH || code == ERR_BAD_VERB)
		return false;
	if (code == ERR_NOT_FOUND)
		return method->args->count > 0;
	if (code == ERR_CONFLICT || code == ERR_CANCELLED || code == ERR_MEDIA_TYPE)
		return method->verb != HTTP_GET;
	return true;
}

static bool is_first_of_status(enum err_code code)
{
	for (int i = ERR_NONE + 1; i < (int)code; i++) {
		if (err_view((enum err_code)i)->http_status == err_view(code)->http_status)
			return false;
	}
	return true;
}

static void put_error_reference(struct json_writer *w, int status)
{
	char name[24];

	snprintf(name, sizeof(name), "%d", status);
	json_put_name(w, name);
	snprintf(name, sizeof(name), "error_%d", status);
	put_reference(w, "responses", name);
}

/* Health is told also where it is bad; the status lets simple programs see it. */
static void put_unhealthy(struct json_writer *w, const struct method *method)
{
	begin_member(w, "503");
	json_put_member(w, "description", "Unhealthy, or too busy to tell.");
	begin_json_content(w);
	put_one_of(w, method->result->name, "error");
	end_json_content(w);
	json_end_object(w);
}

static void put_errors(struct json_writer *w, const struct method *method)
{
	bool seen[600] = { false };

	for (int code = ERR_NONE + 1; code < ERR_CODE_COUNT; code++) {
		int status = err_view((enum err_code)code)->http_status;

		if (!code_is_given(method, (enum err_code)code) || seen[status])
			continue;
		seen[status] = true;
		if (status == 503 && is_health(method))
			put_unhealthy(w, method);
		else
			put_error_reference(w, status);
	}
}

/* ---- paths ---- */

/* The group whose name the method's name begins with, up to the dot. */
static const char *group_of(const struct method *method)
{
	size_t length = strcspn(method->name, ".");

	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		if (strlen(groups[i].name) == length &&
		    strncmp(groups[i].name, method->name, length) == 0)
			return groups[i].name;
	}
	assert(!"a group without a summary");
	return NULL;
}

static void put_tag(struct json_writer *w, const char *name)
{
	json_put_name(w, "tags");
	json_begin_array(w);
	json_put_text(w, name);
	json_end_array(w);
}

static void put_operation(struct json_writer *w, const struct method *method, bool is_alias)
{
	static const char *const verbs[HTTP_VERB_COUNT] = {
		[HTTP_GET] = "get",
		[HTTP_POST] = "post",
		[HTTP_PUT] = "put",
		[HTTP_DELETE] = "delete",
	};
	_cleanup_json_ struct json *example = example_arguments(method);
	_cleanup_buf_ struct buf id = BUF_NULL;

	buf_printf(&id, "%s%s", method->name, is_alias ? ".alias" : "");
	begin_member(w, verbs[method->verb]);
	json_put_member(w, "operationId", id.data);
	json_put_member(w, "summary", method->summary);
	put_tag(w, group_of(method));
	put_parameters(w, method, example);
	if (has_body(method))
		put_body(w, method, example);
	begin_member(w, "responses");
	put_plan(w, method);
	put_success(w, method);
	put_errors(w, method);
	json_end_object(w);
	json_end_object(w);
}

/* The n-th path of the table, each method having two places; NULL if it has no path there. */
static const char *path_at(size_t n)
{
	const struct method *method = &methods[n / 2];

	return n % 2 ? method->path_alias : method->path;
}

static bool is_first_of_path(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (streq(path_at(i), path_at(n)))
			return false;
	}
	return true;
}

static void put_any_object(struct json_writer *w)
{
	json_begin_object(w);
	json_put_member(w, "type", "object");
	put_open_object(w);
	json_end_object(w);
}

static void put_any_text(struct json_writer *w)
{
	json_begin_object(w);
	json_put_member(w, "type", "string");
	json_end_object(w);
}

/* A path that is no method: what it shows is not one answer to one question. */
static const struct page {
	const char *path;
	const char *id;
	const char *summary;
	const char *tag;
	const char *answer;
	const char *media_type;
	void (*put_arguments)(struct json_writer *w); /* NULL: there are none */
	void (*put_schema)(struct json_writer *w);
} pages[] = {
	{ OPENAPI_PATH, "document.openapi", "Show this document.", "document", "The document.",
	  "application/json", NULL, put_any_object },
	{ METRICS_PATH, "metrics.prometheus", "Show all figures for Prometheus.", "metrics",
	  "The figures, in the text format 0.0.4.", "text/plain", NULL, put_any_text },
	{ EVENTS_PATH, "event.stream", "Send events as they happen, until the client leaves.",
	  "event",
	  "Server-sent events. Without a place for one more stream: only the time to wait.",
	  "text/event-stream", openapi_put_event_arguments, openapi_put_event_stream },
	{ "/", "page.status", "Show the status page to a browser.", "document",
	  "The page, which needs /page.css and /page.js beside it.", "text/html", NULL,
	  put_any_text },
	{ "/page.css", "page.style", "Show the style of the status page.", "document", "The style.",
	  "text/css", NULL, put_any_text },
	{ "/page.js", "page.script", "Show the program of the status page.", "document",
	  "The program.", "text/javascript", NULL, put_any_text },
};

static void put_page(struct json_writer *w, const struct page *page)
{
	static const struct method as_method = { .verb = HTTP_GET, .args = &no_args };

	begin_member(w, page->path);
	begin_member(w, "get");
	json_put_member(w, "operationId", page->id);
	json_put_member(w, "summary", page->summary);
	put_tag(w, page->tag);
	if (page->put_arguments)
		page->put_arguments(w);
	begin_member(w, "responses");
	begin_member(w, "200");
	json_put_member(w, "description", page->answer);
	begin_member(w, "content");
	begin_member(w, page->media_type);
	json_put_name(w, "schema");
	page->put_schema(w);
	end_json_content(w);
	json_end_object(w);
	put_errors(w, &as_method);
	json_end_object(w);
	json_end_object(w);
	json_end_object(w);
}

static void put_paths(struct json_writer *w)
{
	begin_member(w, "paths");
	for (size_t n = 0; n < 2 * (size_t)METHOD_COUNT; n++) {
		if (!path_at(n) || !is_first_of_path(n))
			continue;
		begin_member(w, path_at(n));
		for (size_t i = n; i < 2 * (size_t)METHOD_COUNT; i++) {
			if (streq(path_at(i), path_at(n)))
				put_operation(w, &methods[i / 2], i % 2);
		}
		json_end_object(w);
	}
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		put_page(w, &pages[i]);
	json_end_object(w);
}

/* ---- components ---- */

static void put_record(struct json_writer *w, const struct record *record)
{
	begin_member(w, record->name);
	begin_closed_object(w);
	for (size_t i = 0; i < record->count; i++) {
		if (record->fields[i].flags & FIELD_PRIVATE)
			continue;
		json_put_name(w, record->fields[i].name);
		put_value(w, record, &record->fields[i], true);
	}
	json_end_object(w);
	json_put_name(w, "required");
	json_begin_array(w);
	for (size_t i = 0; i < record->count; i++) {
		if (!(record->fields[i].flags & (FIELD_PRIVATE | FIELD_OMIT)))
			json_put_text(w, record->fields[i].name);
	}
	json_end_array(w);
	json_end_object(w);
}

static bool is_first_result(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (methods[i].path && methods[i].result == methods[n].result)
			return false;
	}
	return true;
}

/* The fixed form of an error, as put_error() of encode.c writes it. */
static void put_error_schema(struct json_writer *w)
{
	begin_member(w, "error");
	begin_closed_object(w);
	put_plain(w, "error", "string", "The failure, its cause, and the remedy.");
	begin_member(w, "code");
	json_put_member(w, "type", "string");
	json_put_name(w, "enum");
	json_begin_array(w);
	for (int code = ERR_NONE + 1; code < ERR_CODE_COUNT; code++) {
		bool is_new = true;

		for (int i = ERR_NONE + 1; i < code; i++)
			is_new = is_new && !streq(err_view((enum err_code)i)->word,
						  err_view((enum err_code)code)->word);
		if (is_new)
			json_put_text(w, err_view((enum err_code)code)->word);
	}
	json_end_array(w);
	json_end_object(w);
	begin_member(w, "details");
	begin_closed_object(w);
	put_plain(w, "field", "string", "The argument at fault.");
	put_plain(w, "reason", "string", "The cause in one word, if it tells more than the code.");
	put_plain(w, "cloudstack_error_code", "integer", "CloudStack's errorcode.");
	put_plain(w, "cloudstack_message", "string", "CloudStack's errortext.");
	json_end_object(w);
	json_end_object(w);
	json_end_object(w);
	json_put_name(w, "required");
	json_begin_array(w);
	json_put_text(w, "error");
	json_put_text(w, "code");
	json_end_array(w);
	json_end_object(w);
}

static void put_schemas(struct json_writer *w)
{
	begin_member(w, "schemas");
	for (size_t i = 0; i < METHOD_COUNT; i++) {
		if (methods[i].path && is_first_result(i))
			put_record(w, methods[i].result);
	}
	put_record(w, &drift_record); /* which only an event tells */
	put_record(w, &plan_record);
	put_record(w, &plan_step_record);
	put_record(w, &plan_refusal_record);
	put_record(w, &plan_doubt_record);
	put_error_schema(w);
	openapi_put_event_schemas(w);
	json_end_object(w);
}

static bool is_used(enum err_code code)
{
	for (size_t i = 0; i < METHOD_COUNT; i++) {
		if (methods[i].path && code_is_given(&methods[i], code))
			return true;
	}
	return false;
}

static void put_error_response(struct json_writer *w, enum err_code code)
{
	int status = err_view(code)->http_status;
	_cleanup_buf_ struct buf words = BUF_NULL;
	char name[24];

	for (int i = code; i < ERR_CODE_COUNT; i++) {
		const struct err_view *view = err_view((enum err_code)i);

		if (view->http_status == status && !strstr(str_or(words.data, ""), view->word))
			buf_printf(&words, "%s%s", words.length ? ", " : "", view->word);
	}
	snprintf(name, sizeof(name), "error_%d", status);
	begin_member(w, name);
	json_put_member(w, "description", words.data);
	if (status == 401)
		put_header(w, "WWW-Authenticate", "The kind of authorization that is taken.");
	if (status == 429 || status == 503)
		put_header(w, "Retry-After", "Seconds to wait before the next try.");
	begin_json_content(w);
	put_reference(w, "schemas", "error");
	put_example_text(w, openapi_example_error(status));
	end_json_content(w);
	json_end_object(w);
}

static void put_error_responses(struct json_writer *w)
{
	begin_member(w, "responses");
	for (int code = ERR_NONE + 1; code < ERR_CODE_COUNT; code++) {
		if (is_used((enum err_code)code) && is_first_of_status((enum err_code)code))
			put_error_response(w, (enum err_code)code);
	}
	json_end_object(w);
}

/* ---- the document ---- */

static void put_info(struct json_writer *w)
{
	begin_member(w, "info");
	json_put_member(w, "title", "volume-daemon");
	json_put_member(w, "version", VERSION);
	json_put_member(w, "summary", "Volumes of a CloudStack virtual machine.");
	json_put_member(
		w, "description",
		"Changes answer 201 with an operation at once. A program waits for its end with the argument "
		"wait of GET /api/v1/operations/{operation_id}.");
	begin_member(w, "license");
	json_put_member(w, "name", "GNU Lesser General Public License, version 2.1 or later");
	json_put_member(w, "identifier", "LGPL-2.1-or-later");
	json_end_object(w);
	json_end_object(w);
}

static void put_tags(struct json_writer *w)
{
	json_put_name(w, "tags");
	json_begin_array(w);
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		json_begin_object(w);
		json_put_member(w, "name", groups[i].name);
		json_put_member(w, "description", groups[i].summary);
		json_end_object(w);
	}
	json_end_array(w);
}

/* Whether a caller needs a token is a matter of the configuration. */
static void put_security(struct json_writer *w)
{
	json_put_name(w, "security");
	json_begin_array(w);
	json_begin_object(w);
	json_end_object(w);
	json_begin_object(w);
	json_put_name(w, "token");
	json_begin_array(w);
	json_end_array(w);
	json_end_object(w);
	json_end_array(w);
}

static void put_security_scheme(struct json_writer *w)
{
	begin_member(w, "securitySchemes");
	begin_member(w, "token");
	json_put_member(w, "type", "http");
	json_put_member(w, "scheme", "bearer");
	json_put_member(w, "description", "A token that POST /api/v1/tokens has made.");
	json_end_object(w);
	json_end_object(w);
}

void rest_openapi(struct buf *out)
{
	_cleanup_json_writer_ struct json_writer w = { .out = out };

	json_begin_object(&w);
	json_put_member(&w, "openapi", "3.1.0");
	put_info(&w);
	json_put_name(&w, "servers");
	json_begin_array(&w);
	json_begin_object(&w);
	json_put_member(&w, "url", "/");
	json_end_object(&w);
	json_end_array(&w);
	put_security(&w);
	put_tags(&w);
	put_paths(&w);
	begin_member(&w, "components");
	put_schemas(&w);
	put_error_responses(&w);
	put_security_scheme(&w);
	json_end_object(&w);
	json_end_object(&w);
}
