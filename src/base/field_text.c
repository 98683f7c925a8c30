/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fields as people write them: in the configuration, on the command line, in a query string. What field_to_text()
 * writes, field_from_text() reads back to the same value; the sample configuration is made that way.
 */
#include <inttypes.h>

#include "base/clock.h"
#include "base/field_impl.h"

void field_size_text(uint64_t bytes, const char *gap, struct buf *out)
{
	static const char *const units[] = { "TiB", "GiB", "MiB", "KiB" };

	for (unsigned i = 0; i < ARRAY_SIZE(units); i++) {
		unsigned shift = 10 * ((unsigned)ARRAY_SIZE(units) - i);

		if (bytes != 0 && bytes % (UINT64_C(1) << shift) == 0) {
			buf_printf(out, "%" PRIu64 "%s%s", bytes >> shift, gap, units[i]);
			return;
		}
	}
	buf_printf(out, "%" PRIu64, bytes);
}

void field_duration_text(int64_t ms, struct buf *out)
{
	for (size_t i = 0; i < DURATION_UNIT_COUNT; i++) {
		if (ms != 0 && ms % duration_units[i].ms == 0) {
			buf_printf(out, "%" PRId64 "%s", ms / duration_units[i].ms, duration_units[i].name);
			return;
		}
	}
	buf_add_text(out, "0s");
}

static int refuse_text(const struct field *field, const char *text, struct err *err)
{
	return err_set_field(err, field->name, ERR_INVALID, "%s must be %s, got \"%.64s\"", field->name,
			     field_type_view(field->type)->what, text);
}

/* The types that are a number in the struct. The value is checked in a copy of the member's place. */
static int take_number(const struct field *field, void *object, const char *text, struct err *err)
{
	struct field here = *field;
	union {
		int64_t signed_value;
		uint64_t size;
	} value = { 0 };
	int r = -1;

	here.offset = 0;
	if (field->type == FIELD_INT)
		r = parse_i64(text, &value.signed_value);
	else if (field->type == FIELD_SIZE)
		r = parse_size(text, &value.size);
	else if (field->type == FIELD_DURATION)
		r = parse_duration(text, &value.signed_value);
	else if (field->type == FIELD_TIME)
		r = *text ? time_parse(text, &value.signed_value) : 0;
	if (r < 0)
		return refuse_text(field, text, err);
	if (field_check(&here, &value, err) < 0)
		return -1;
	memcpy(field_of(field, object), &value, field->size);
	return 0;
}

static int take_object(const struct field *field, void *object, const char *text, struct err *err)
{
	_cleanup_json_ struct json *document = json_parse(text, strlen(text), err);

	if (!document) {
		err_prefix(err, "%s", field->name);
		if (err && !*err->field)
			strncpy(err->field, field->name, sizeof(err->field) - 1);
		return -1;
	}
	return field_from_json(field, object, document, err);
}

int field_from_text(const struct field *field, void *object, const char *text, struct err *err)
{
	bool yes;

	switch (field->type) {
	case FIELD_TEXT:
	case FIELD_UUID:
		return field_take_string(field, object, text, err);
	case FIELD_BOOL:
		if (parse_bool(text, &yes) < 0)
			return refuse_text(field, text, err);
		*(bool *)field_of(field, object) = yes;
		return 0;
	case FIELD_INT:
	case FIELD_SIZE:
	case FIELD_TIME:
	case FIELD_DURATION:
		return take_number(field, object, text, err);
	case FIELD_ENUM:
		return field_take_word(field, object, text, err);
	case FIELD_OBJECT:
		return take_object(field, object, text, err);
	case FIELD_TYPE_COUNT:
		break;
	}
	abort();
}

void field_to_text(const struct field *field, const void *object, struct buf *out)
{
	char time[TIME_TEXT_SIZE];

	switch (field->type) {
	case FIELD_TEXT:
	case FIELD_UUID:
	case FIELD_OBJECT:
		buf_add_text(out, str_or(field_text_value(field, object), ""));
		return;
	case FIELD_BOOL:
		buf_add_text(out, field_bool_value(field, object) ? "yes" : "no");
		return;
	case FIELD_INT:
		buf_printf(out, "%" PRId64, field_int_value(field, object));
		return;
	case FIELD_SIZE:
		field_size_text(field_size_value(field, object), "", out);
		return;
	case FIELD_DURATION:
		field_duration_text(field_int_value(field, object), out);
		return;
	case FIELD_TIME:
		if (!field_is_set(field, object))
			return;
		time_format(field_int_value(field, object), time);
		buf_add_text(out, time);
		return;
	case FIELD_ENUM:
		buf_add_text(out, field_word(field, object));
		return;
	case FIELD_TYPE_COUNT:
		break;
	}
	abort();
}
