/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fields as people write them: in the configuration, on the command line, in a query string.
 * field_from_text() reads the text of field_to_text() back to the same value; the sample
 * configuration is made that way.
 */
#include <inttypes.h>

#include "base/clock.h"
#include "base/field_value.h"

static int take_int(const struct field *field, void *object, const char *text, struct err *err)
{
	int64_t value;

	if ((field->type == FIELD_DURATION ? parse_duration(text, &value)
					   : parse_i64(text, &value)) < 0)
		return field_refuse_text(field, text, err);
	return field_take_int(field, object, value, err);
}

static int take_size(const struct field *field, void *object, const char *text, struct err *err)
{
	uint64_t value;

	if (parse_size(text, &value) < 0)
		return field_refuse_text(field, text, err);
	return field_take_size(field, object, value, err);
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
			return field_refuse_text(field, text, err);
		*(bool *)field_of(field, object) = yes;
		return 0;
	case FIELD_INT:
	case FIELD_PORT:
	case FIELD_DURATION:
		return take_int(field, object, text, err);
	case FIELD_SIZE:
		return take_size(field, object, text, err);
	case FIELD_TIME:
		return field_take_time(field, object, text, err);
	case FIELD_ENUM:
		return field_take_word(field, object, text, err);
	case FIELD_OBJECT:
		return take_object(field, object, text, err);
	case FIELD_RATIO: /* stands in answers alone */
	case FIELD_ITEMS:
	case FIELD_DESCRIPTOR:
		return field_refuse_text(field, text, err);
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
	case FIELD_ITEMS:
		buf_add_text(out, str_or(field_text_value(field, object), ""));
		return;
	case FIELD_BOOL:
		buf_add_text(out, field_bool_value(field, object) ? "yes" : "no");
		return;
	case FIELD_RATIO:
		buf_printf(out, "%g", field_ratio_value(field, object));
		return;
	case FIELD_INT:
	case FIELD_PORT:
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
	case FIELD_DESCRIPTOR:
		return;
	case FIELD_TYPE_COUNT:
		break;
	}
	abort();
}
