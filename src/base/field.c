/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One member of a described struct: its type, its limits, and how a value gets into it. An error
 * names the field and the value in the caller's own words; the surfaces above only pass the error
 * on. field_text.c and field_json.c read and write the two notations.
 *
 * A value is read into a variable first and checked there, so that a refused value leaves the
 * struct as it was.
 */
#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/field_value.h"
#include "base/uuid.h"

static const struct field_type_view views[] = {
	[FIELD_TEXT] = { "string", NULL, "s", "text" },
	[FIELD_UUID] = { "string", "uuid", "s",
			 "a UUID such as 0d9ef9f6-3f7e-4b2a-9c8d-3f1f6f0f2a11" },
	[FIELD_BOOL] = { "boolean", NULL, "b", "yes or no" },
	[FIELD_INT] = { "integer", "int64", "x", "a whole number" },
	[FIELD_PORT] = { "integer", "int32", "q", "a port" },
	[FIELD_RATIO] = { "number", "double", "d", "a number" },
	[FIELD_SIZE] = { "integer", "int64", "t",
			 "a size such as 5GiB (units: KiB, MiB, GiB, TiB; bytes without a unit)" },
	[FIELD_TIME] = { "string", "date-time", "s", "a time such as 2026-11-22T21:50:03Z" },
	[FIELD_DURATION] = { "integer", "int64", "x", "a duration such as 2s, 250ms or 5min" },
	[FIELD_ENUM] = { "string", NULL, "s", "one of a few words" },
	[FIELD_OBJECT] = { "object", NULL, "a{sv}", "a JSON object" },
	[FIELD_ITEMS] = { "array", NULL, "aa{sv}", "a list of JSON objects" },
	[FIELD_DESCRIPTOR] = { "null", NULL, "h", "an open file" },
};
_Static_assert(ARRAY_SIZE(views) == FIELD_TYPE_COUNT, "each field type has one row");

const struct field_type_view *field_type_view(enum field_type type)
{
	assert((unsigned)type < FIELD_TYPE_COUNT);
	return &views[type];
}

bool field_is_set(const struct field *field, const void *object)
{
	switch (field->type) {
	case FIELD_TEXT:
	case FIELD_UUID:
	case FIELD_OBJECT:
	case FIELD_ITEMS:
		return field_text_value(field, object) != NULL;
	case FIELD_BOOL:
		return field_bool_value(field, object);
	case FIELD_INT:
	case FIELD_PORT:
	case FIELD_TIME:
	case FIELD_DURATION:
		return field_int_value(field, object) != 0;
	case FIELD_RATIO:
		return field_ratio_value(field, object) != 0;
	case FIELD_SIZE:
		return field_size_value(field, object) != 0;
	case FIELD_ENUM:
		return field_enum_value(field, object) != 0;
	case FIELD_DESCRIPTOR:
		return field_descriptor_value(field, object) > 0;
	case FIELD_TYPE_COUNT:
		break;
	}
	abort();
}

bool field_is_same(const struct field *field, const void *a, const void *b)
{
	switch (field->type) {
	case FIELD_TEXT:
	case FIELD_UUID:
		return streq(str_or(field_text_value(field, a), ""),
			     str_or(field_text_value(field, b), ""));
	case FIELD_OBJECT:
		return streq(str_or(field_text_value(field, a), "{}"),
			     str_or(field_text_value(field, b), "{}"));
	case FIELD_ITEMS:
		return streq(str_or(field_text_value(field, a), "[]"),
			     str_or(field_text_value(field, b), "[]"));
	case FIELD_BOOL:
		return field_bool_value(field, a) == field_bool_value(field, b);
	case FIELD_INT:
	case FIELD_PORT:
	case FIELD_TIME:
	case FIELD_DURATION:
		return field_int_value(field, a) == field_int_value(field, b);
	case FIELD_RATIO:
		return field_ratio_value(field, a) == field_ratio_value(field, b);
	case FIELD_SIZE:
		return field_size_value(field, a) == field_size_value(field, b);
	case FIELD_ENUM:
		return field_enum_value(field, a) == field_enum_value(field, b);
	case FIELD_DESCRIPTOR:
		return field_descriptor_value(field, a) == field_descriptor_value(field, b);
	case FIELD_TYPE_COUNT:
		break;
	}
	abort();
}

const char *field_word(const struct field *field, const void *object)
{
	int wanted = field_enum_value(field, object), value;

	assert(field->type == FIELD_ENUM && wanted >= 0);
	/* The words are counted, since only the end of the table shows its length. */
	for (value = 0; value < wanted && field->names[value]; value++)
		;
	assert(value == wanted && field->names[value]);
	return field->names[value];
}

/* ---- as people write numbers ---- */

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
			buf_printf(out, "%" PRId64 "%s", ms / duration_units[i].ms,
				   duration_units[i].name);
			return;
		}
	}
	buf_add_text(out, "0s");
}

/* ---- limits ---- */

static bool has_limits(const struct field *field)
{
	return field->min != 0 || field->max != 0;
}

/* .min alone leaves .max 0: no upper limit. */
static bool has_maximum(const struct field *field)
{
	return has_limits(field) && field->max >= field->min;
}

/* A value or a limit for people: "1 GiB (1073741824)", "2s", "17". */
static void describe(const struct field *field, int64_t value, struct buf *out)
{
	if (field->type == FIELD_SIZE && value >= 1024) {
		struct buf unit = BUF_NULL;

		field_size_text((uint64_t)value, " ", &unit);
		if (strchr(unit.data, ' '))
			buf_printf(out, "%s (%" PRId64 ")", unit.data, value);
		else
			buf_printf(out, "%" PRId64, value);
		buf_clear(&unit);
	} else if (field->type == FIELD_DURATION) {
		field_duration_text(value, out);
	} else if (field->type == FIELD_TIME) {
		char text[TIME_TEXT_SIZE];

		time_format(value, text);
		buf_add_text(out, text);
	} else {
		buf_printf(out, "%" PRId64, value);
	}
}

static int refuse_limit(const struct field *field, const char *which, int64_t limit, int64_t got,
			struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_NULL;

	buf_printf(&text, "%s must be %s ", field->name, which);
	describe(field, limit, &text);
	buf_add_text(&text, ", got ");
	if (field->type == FIELD_SIZE)
		buf_printf(&text, "%" PRId64, got);
	else
		describe(field, got, &text);
	return err_set_field(err, field->name, ERR_INVALID, "%s", text.data);
}

static int check_number(const struct field *field, int64_t value, struct err *err)
{
	if (has_limits(field) && value < field->min)
		return refuse_limit(field, "at least", field->min, value, err);
	if (has_maximum(field) && value > field->max)
		return refuse_limit(field, "at most", field->max, value, err);
	/* A duration cannot be negative. */
	if (field->type == FIELD_DURATION && value < 0)
		return refuse_limit(field, "at least", 0, value, err);
	return 0;
}

static int check_size(const struct field *field, uint64_t value, struct err *err)
{
	if (value > INT64_MAX)
		return err_set_field(err, field->name, ERR_INVALID,
				     "%s is far too large: %" PRIu64 " bytes", field->name, value);
	return check_number(field, (int64_t)value, err);
}

static int check_length(const struct field *field, const char *text, struct err *err)
{
	int64_t length = (int64_t)utf8_count(text);

	if (has_limits(field) && length < field->min) {
		if (length == 0)
			return err_set_field(err, field->name, ERR_INVALID, "%s must not be empty",
					     field->name);
		return err_set_field(err, field->name, ERR_INVALID,
				     "%s must have at least %" PRId64 " characters, got %" PRId64,
				     field->name, field->min, length);
	}
	if (has_maximum(field) && length > field->max)
		return err_set_field(err, field->name, ERR_INVALID,
				     "%s must have at most %" PRId64 " characters, got %" PRId64,
				     field->name, field->max, length);
	return 0;
}

static int check_bytes(const struct field *field, const char *text, struct err *err)
{
	size_t length = strlen(text);

	if (has_maximum(field) && length > (size_t)field->max)
		return err_set_field(err, field->name, ERR_INVALID,
				     "%s must have at most %" PRId64 " bytes as JSON, got %zu",
				     field->name, field->max, length);
	return 0;
}

int field_refuse_text(const struct field *field, const char *text, struct err *err)
{
	return err_set_field(err, field->name, ERR_INVALID, "%s must be %s, got \"%.64s\"",
			     field->name, views[field->type].what, text);
}

static int check_string(const struct field *field, const char *text, struct err *err)
{
	if (!text)
		return 0;
	if (field->type == FIELD_UUID) {
		if (!*text || uuid_is_valid(text))
			return 0;
		return field_refuse_text(field, text, err);
	}
	if (field->type == FIELD_OBJECT)
		return check_bytes(field, text, err);
	if (field->type == FIELD_TEXT && !str_is_plain_text(text))
		return err_set_field(
			err, field->name, ERR_INVALID,
			"%s must be UTF-8 text without control characters, line ends, and "
			"noncharacters such as U+FFFE",
			field->name);
	return check_length(field, text, err);
}

static int check_enum(const struct field *field, int value, struct err *err)
{
	for (int i = 0; field->names[i]; i++) {
		if (i == value)
			return 0;
	}
	return err_set_field(err, field->name, ERR_INVALID, "%s has no meaning for the number %d",
			     field->name, value);
}

int field_check(const struct field *field, const void *object, struct err *err)
{
	switch (field->type) {
	case FIELD_TEXT:
	case FIELD_UUID:
	case FIELD_OBJECT:
		return check_string(field, field_text_value(field, object), err);
	case FIELD_BOOL:
	case FIELD_RATIO:
	case FIELD_ITEMS:
	case FIELD_DESCRIPTOR:
		return 0;
	case FIELD_TIME:
		if (field_int_value(field, object) == 0)
			return 0;
		return check_number(field, field_int_value(field, object), err);
	case FIELD_INT:
	case FIELD_PORT:
	case FIELD_DURATION:
		return check_number(field, field_int_value(field, object), err);
	case FIELD_SIZE:
		return check_size(field, field_size_value(field, object), err);
	case FIELD_ENUM:
		return check_enum(field, field_enum_value(field, object), err);
	case FIELD_TYPE_COUNT:
		break;
	}
	abort();
}

/* ---- taking values ---- */

int field_take_string(const struct field *field, void *object, const char *text, struct err *err)
{
	char **slot = field_text_slot(field, object);

	if (check_string(field, text, err) < 0)
		return -1;
	if (field->type == FIELD_UUID && !*text) {
		str_set(slot, NULL); /* an empty id is no id */
		return 0;
	}
	str_set(slot, text);
	if (field->type == FIELD_UUID) {
		for (char *c = *slot; *c; c++)
			*c = (char)tolower((unsigned char)*c);
	}
	return 0;
}

int field_take_word(const struct field *field, void *object, const char *word, struct err *err)
{
	_cleanup_buf_ struct buf known = BUF_NULL;

	for (int value = 0; field->names[value]; value++) {
		if (streq(field->names[value], word)) {
			*(int *)field_of(field, object) = value;
			return 0;
		}
		buf_printf(&known, "%s%s", value ? ", " : "", field->names[value]);
	}
	return err_set_field(err, field->name, ERR_INVALID, "%s must be one of %s; got \"%.64s\"",
			     field->name, str_or(known.data, "nothing"), word);
}

int field_take_int(const struct field *field, void *object, int64_t value, struct err *err)
{
	if (check_number(field, value, err) < 0)
		return -1;
	*(int64_t *)field_of(field, object) = value;
	return 0;
}

int field_take_size(const struct field *field, void *object, uint64_t value, struct err *err)
{
	if (check_size(field, value, err) < 0)
		return -1;
	*(uint64_t *)field_of(field, object) = value;
	return 0;
}

int field_take_time(const struct field *field, void *object, const char *text, struct err *err)
{
	int64_t value = 0;

	if (*text && time_parse(text, &value) < 0)
		return field_refuse_text(field, text, err);
	if (value != 0)
		return field_take_int(field, object, value, err);
	*(int64_t *)field_of(field, object) = 0;
	return 0;
}
