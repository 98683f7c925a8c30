/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fields in JSON: in the bodies and answers of requests, in the store, in an operation's context.
 * JSON has fewer types than fields have: a time or a word of an enum is a string, and integers keep
 * their 64 bits.
 */
#include "base/clock.h"
#include "base/field_value.h"

/* "size must be a whole number of bytes, got a string" */
static int refuse_json(const struct field *field, const struct json *node, struct err *err)
{
	static const char *const wanted[] = {
		[FIELD_TEXT] = "a string",
		[FIELD_UUID] = "a string",
		[FIELD_BOOL] = "true or false",
		[FIELD_INT] = "a whole number",
		[FIELD_PORT] = "a whole number",
		[FIELD_RATIO] = "a number",
		[FIELD_SIZE] = "a whole number of bytes",
		[FIELD_TIME] = "a string",
		[FIELD_DURATION] = "a whole number of milliseconds",
		[FIELD_ENUM] = "a string",
		[FIELD_OBJECT] = "an object",
		[FIELD_ITEMS] = "a list, which only answers have",
		[FIELD_DESCRIPTOR] = "an open file, which only D-Bus can hand over",
	};
	enum json_kind kind = json_kind(node);

	_Static_assert(ARRAY_SIZE(wanted) == FIELD_TYPE_COUNT, "each field type has one row");
	if (kind == JSON_NUMBER)
		return err_set_field(err, field->name, ERR_INVALID, "%s must be %s, got %.17g",
				     field->name, wanted[field->type], json_number(node));
	return err_set_field(err, field->name, ERR_INVALID, "%s must be %s, got %s", field->name,
			     wanted[field->type], json_kind_name(kind));
}

static int from_json_string(const struct field *field, void *object, const char *text,
			    struct err *err)
{
	if (field->type == FIELD_ENUM)
		return field_take_word(field, object, text, err);
	if (field->type == FIELD_TIME)
		return field_take_time(field, object, text, err);
	return field_take_string(field, object, text, err);
}

static int from_json_number(const struct field *field, void *object, const struct json *node,
			    struct err *err)
{
	int64_t value;

	if (json_integer(node, &value) < 0 || (field->type == FIELD_SIZE && value < 0))
		return refuse_json(field, node, err);
	if (field->type == FIELD_SIZE)
		return field_take_size(field, object, (uint64_t)value, err);
	return field_take_int(field, object, value, err);
}

static int from_json_object(const struct field *field, void *object, const struct json *node,
			    struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &text };

	json_put_node(&w, node);
	return field_take_string(field, object, text.data, err);
}

int field_from_json(const struct field *field, void *object, const struct json *node,
		    struct err *err)
{
	enum json_kind kind = json_kind(node);

	switch (field->type) {
	case FIELD_TEXT:
	case FIELD_UUID:
	case FIELD_TIME:
	case FIELD_ENUM:
		return kind == JSON_TEXT ? from_json_string(field, object, json_text(node), err)
					 : refuse_json(field, node, err);
	case FIELD_BOOL:
		if (kind != JSON_BOOL)
			return refuse_json(field, node, err);
		*(bool *)field_of(field, object) = json_true(node);
		return 0;
	case FIELD_RATIO:
		if (kind != JSON_NUMBER)
			return refuse_json(field, node, err);
		*(double *)field_of(field, object) = json_number(node);
		return 0;
	case FIELD_INT:
	case FIELD_PORT:
	case FIELD_SIZE:
	case FIELD_DURATION:
		return from_json_number(field, object, node, err);
	case FIELD_OBJECT:
		return kind == JSON_OBJECT ? from_json_object(field, object, node, err)
					   : refuse_json(field, node, err);
	case FIELD_ITEMS:
	case FIELD_DESCRIPTOR:
		return refuse_json(field, node, err);
	case FIELD_TYPE_COUNT:
		break;
	}
	abort();
}

void field_to_json(const struct field *field, const void *object, struct json_writer *w)
{
	char time[TIME_TEXT_SIZE];

	switch (field->type) {
	case FIELD_TEXT:
	case FIELD_UUID:
		/* The declared type is string; null would not be one. */
		json_put_text(w, str_or(field_text_value(field, object), ""));
		return;
	case FIELD_OBJECT:
		json_put_raw(w, str_or(field_text_value(field, object), "{}"));
		return;
	case FIELD_ITEMS:
		json_put_raw(w, str_or(field_text_value(field, object), "[]"));
		return;
	case FIELD_BOOL:
		json_put_bool(w, field_bool_value(field, object));
		return;
	case FIELD_RATIO:
		json_put_double(w, field_ratio_value(field, object));
		return;
	case FIELD_INT:
	case FIELD_PORT:
	case FIELD_DURATION:
		json_put_int(w, field_int_value(field, object));
		return;
	case FIELD_SIZE:
		json_put_uint(w, field_size_value(field, object));
		return;
	case FIELD_TIME:
		if (field_is_set(field, object))
			time_format(field_int_value(field, object), time);
		json_put_text(w, field_is_set(field, object) ? time : NULL);
		return;
	case FIELD_ENUM:
		json_put_text(w, field_word(field, object));
		return;
	case FIELD_DESCRIPTOR:
		json_put_text(w, NULL);
		return;
	case FIELD_TYPE_COUNT:
		break;
	}
	abort();
}
