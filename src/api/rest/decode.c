/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Arguments that come in over HTTP, from the target and the body to an argument struct. Nothing
 * here knows a single method: path, query string and JSON body are three spellings of the same
 * field table.
 */

#include "api/rest/decode.h"

#include <event2/buffer.h>
#include <strings.h>

static bool content_type_is_json(const char *type)
{
	const char json[] = "application/json";
	size_t length = strlen(json);

	return type && strncasecmp(type, json, length) == 0 && strchr(" \t;", type[length]);
}

/* A flag may stand alone: "?refresh". */
static const char *value_of(const struct field *field, const char *value)
{
	return field->type == FIELD_BOOL && str_empty(value) ? "yes" : value;
}

static int decode_query(const struct record *record, const char *query, void *args, struct err *err)
{
	_cleanup_free_ char *text = xstrdup(query);
	char *cursor = text, *name, *value;
	uint64_t seen = 0;
	int more;

	while ((more = query_next(&cursor, &name, &value, err)) > 0) {
		const struct field *field = record_find(record, name);
		uint64_t bit;

		if (!field || (field->flags & FIELD_KEY))
			return err_set_field(err, name, ERR_INVALID,
					     "unknown argument %s in the query string", name);
		bit = UINT64_C(1) << (field - record->fields);
		if (seen & bit)
			return err_set_field(err, name, ERR_INVALID,
					     "%s is given twice in the query string", name);
		seen |= bit;
		if (field_from_text(field, args, value_of(field, value), err) < 0)
			return -1;
	}
	return more;
}

static int check_content_type(const struct rest_headers *headers, struct err *err)
{
	if (headers->content_encoding && strcasecmp(headers->content_encoding, "identity") != 0)
		return err_set(err, ERR_MEDIA_TYPE,
			       "the body has Content-Encoding: %s; send it without an encoding",
			       headers->content_encoding);
	if (!headers->browser || content_type_is_json(headers->content_type))
		return 0;
	return err_set(
		err, ERR_MEDIA_TYPE,
		"the request has the header %s, as those of browsers and of Node's fetch have, and its body then needs the header Content-Type: application/json",
		headers->browser);
}

static int decode_document(const struct record *record, const struct json *document, void *args,
			   struct err *err)
{
	if (document)
		return record_from_json(record, args, document, err);
	err_prefix(err, "the body is not JSON");
	return -1;
}

static int decode_body(const struct record *record, struct evbuffer *body, void *args,
		       struct err *err)
{
	size_t length = evbuffer_get_length(body);
	const char *text = (const char *)evbuffer_pullup(body, -1);
	_cleanup_json_ struct json *document = NULL;

	if (length > 0 && !text)
		return err_set(err, ERR_UNAVAILABLE, "there is no memory for a body of %zu bytes",
			       length);
	document = json_parse(text, length, err);
	return decode_document(record, document, args, err);
}

static int decode_parsed(const struct record *record, const struct large_body *parsed, void *args,
			 struct err *err)
{
	if (!parsed->document)
		*err = parsed->err;
	return decode_document(record, parsed->document, args, err);
}

/*
 * The path decides about an argument that it names; a query or body may repeat the value, as
 * existing clients do, but not contradict it.
 */
static int decode_path(const struct route *route, const struct route_target *target, void *args,
		       struct err *err)
{
	for (size_t i = 0; i < route->count; i++) {
		const struct field *field = route->segments[i].field;
		_cleanup_buf_ struct buf repeated = BUF_NULL, named = BUF_NULL;
		bool given;

		if (!field)
			continue;
		given = field_is_set(field, args);
		if (given)
			field_to_text(field, args, &repeated);
		if (field_from_text(field, args, target->segments[i], err) < 0)
			return -1;
		if (!given)
			continue;
		field_to_text(field, args, &named);
		if (!streq(named.data, repeated.data))
			return err_set_field(err, field->name, ERR_INVALID,
					     "%s is %s in the path and %s elsewhere", field->name,
					     named.data, repeated.data);
	}
	return 0;
}

/*
 * Only methods that begin an operation use the key; the repetition of another request does no harm.
 */
static int decode_key(const struct record *record, const char *key, void *args, struct err *err)
{
	for (size_t i = 0; i < record->count && key; i++) {
		if (!(record->fields[i].flags & FIELD_KEY) ||
		    field_from_text(&record->fields[i], args, key, err) == 0)
			continue;
		err_prefix(err, "the header Idempotency-Key");
		return -1;
	}
	return 0;
}

/*
 * GET has a query string, POST and PUT have a body; DELETE may have one of the two, since some
 * programs send the first and some the second.
 */
static int check_source(enum http_verb verb, bool has_query, bool has_body, struct err *err)
{
	if (verb == HTTP_GET && has_body)
		return err_set(err, ERR_INVALID,
			       "GET takes its arguments from the query string, not from a body");
	if ((verb == HTTP_POST || verb == HTTP_PUT) && has_query)
		return err_set(err, ERR_INVALID,
			       "%s takes its arguments from a JSON body, not from the query string",
			       http_verb_names[verb]);
	if (has_query && has_body)
		return err_set(
			err, ERR_INVALID,
			"%s takes its arguments from the query string or from a JSON body, not from both",
			http_verb_names[verb]);
	return 0;
}

int rest_decode(const struct route *route, const struct route_target *target,
		const struct rest_headers *headers, struct evhttp_request *http,
		const struct large_body *parsed, void *args, struct err *err)
{
	const struct record *record = route->method->args;
	struct evbuffer *body = evhttp_request_get_input_buffer(http);
	bool has_body = parsed || evbuffer_get_length(body) > 0;
	bool has_query = !str_empty(target->query);

	if (check_source(route->method->verb, has_query, has_body, err) < 0)
		return -1;
	if (has_query && decode_query(record, target->query, args, err) < 0)
		return -1;
	if (has_body && check_content_type(headers, err) < 0)
		return -1;
	if (has_body && (parsed ? decode_parsed(record, parsed, args, err)
				: decode_body(record, body, args, err)) < 0)
		return -1;
	if (decode_path(route, target, args, err) < 0 ||
	    decode_key(record, headers->idempotency_key, args, err) < 0)
		return -1;
	return record_check_required(record, args, err);
}
