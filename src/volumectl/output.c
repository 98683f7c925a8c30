/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Answers as people and programs read them: "name  value" lines for single records, or one line of
 * JSON.
 *
 * Names of volumes come from outside and go to a terminal, so text_add_clean() sees them first.
 * JSON escapes what could steer a terminal.
 */

#include "volumectl/output.h"

#include <inttypes.h>
#include <stdio.h>

#include "spec/methods.h"

void output_json_value(const struct volume_client_value *value, struct json_writer *w)
{
	switch (value->kind) {
	case VOLUME_CLIENT_BOOL:
		json_put_bool(w, value->boolean);
		break;
	case VOLUME_CLIENT_INTEGER:
		json_put_int(w, value->integer);
		break;
	case VOLUME_CLIENT_UNSIGNED:
		json_put_uint(w, value->natural);
		break;
	case VOLUME_CLIENT_NUMBER:
		json_put_double(w, value->number);
		break;
	case VOLUME_CLIENT_TEXT:
		json_put_text(w, value->text);
		break;
	case VOLUME_CLIENT_LIST:
		json_begin_array(w);
		for (size_t i = 0; i < value->count; i++)
			output_json_value(&value->items[i], w);
		json_end_array(w);
		break;
	case VOLUME_CLIENT_DICT:
		json_begin_object(w);
		for (size_t i = 0; i < value->count; i++) {
			json_put_name(w, value->items[i].key);
			output_json_value(&value->items[i], w);
		}
		json_end_object(w);
		break;
	}
}

void output_json(const struct volume_client_value *value)
{
	_cleanup_buf_ struct buf text = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &text };

	output_json_value(value, &w);
	puts(text.data);
}

void output_size(uint64_t bytes, struct buf *out)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	size_t unit = 0;
	uint64_t tenths;

	while (unit + 1 < ARRAY_SIZE(units) && bytes >> (10 * (unit + 1)))
		unit++;
	if (unit == 0) {
		buf_printf(out, "%" PRIu64, bytes);
		return;
	}
	/* Whole units and their tenths, rounded down: a volume never looks larger than it is. */
	tenths = ((bytes & ((UINT64_C(1) << (10 * unit)) - 1)) >> (10 * (unit - 1))) * 10 / 1024;
	buf_printf(out, "%" PRIu64, bytes >> (10 * unit));
	if (tenths)
		buf_printf(out, ".%" PRIu64, tenths);
	buf_add_text(out, units[unit]);
}

void output_line(const char *text)
{
	_cleanup_buf_ struct buf line = BUF_NULL;

	text_add_clean(&line, text);
	puts(line.data);
}

/* field may be NULL: then the value alone tells its kind. */
void output_value(const struct field *field, const struct volume_client_value *value,
		  struct buf *out)
{
	_cleanup_json_writer_ struct json_writer w = { .out = out };

	if (!value)
		return;
	switch (value->kind) {
	case VOLUME_CLIENT_TEXT:
		text_add_clean(out, value->text);
		return;
	case VOLUME_CLIENT_BOOL:
		buf_add_text(out, value->boolean ? "yes" : "no");
		return;
	case VOLUME_CLIENT_UNSIGNED:
		if (field && field->flags & FIELD_ANY && value->natural == 0)
			buf_add_text(out, "any");
		else if (field && field->type == FIELD_SIZE)
			output_size(value->natural, out);
		else
			buf_printf(out, "%" PRIu64, value->natural);
		return;
	case VOLUME_CLIENT_INTEGER:
	case VOLUME_CLIENT_NUMBER:
	case VOLUME_CLIENT_LIST:
	case VOLUME_CLIENT_DICT:
		break;
	}
	output_json_value(value, &w);
}

/* --- one record --- */

#define LABEL_WIDTH 28 /* of the values' column; more if a name is longer */

static int label_width(size_t prefix, const struct volume_client_value *value)
{
	size_t length = prefix + strlen(value->key);
	int width = (int)length;

	if (value->kind != VOLUME_CLIENT_DICT)
		return width;
	for (size_t i = 0; i < value->count; i++) {
		int inner = label_width(length + strlen("."), &value->items[i]);

		width = inner > width ? inner : width;
	}
	return width;
}

/* "kind=moved volume_id=…": the members of a record that is one of many in a list. */
static void print_pairs(const char *label, int width, const struct volume_client_value *dict)
{
	_cleanup_buf_ struct buf text = BUF_NULL;

	for (size_t i = 0; i < dict->count; i++) {
		if (i)
			buf_add_text(&text, ", ");
		text_add_clean(&text, dict->items[i].key);
		buf_add_char(&text, '=');
		output_value(NULL, &dict->items[i], &text);
	}
	printf("%-*s %s\n", width, label, text.data);
}

/* A volume may be called "failed" and be well. */
enum style output_style(const struct field *field, const struct volume_client_value *value)
{
	bool tells_state = field && (strstr(field->name, "status") ||
				     strstr(field->name, "state") || strstr(field->name, "health"));

	return tells_state && value && value->kind == VOLUME_CLIENT_TEXT
		       ? style_of_word(value->text)
		       : STYLE_PLAIN;
}

static void print_line(const char *prefix, const char *name, int width, const struct field *field,
		       const struct volume_client_value *value)
{
	_cleanup_free_ char *label = prefix ? xasprintf("%s.%s", prefix, name) : xstrdup(name);
	_cleanup_buf_ struct buf text = BUF_NULL, clean_label = BUF_NULL;
	enum style style;

	if (value->kind == VOLUME_CLIENT_DICT) {
		for (size_t i = 0; i < value->count; i++)
			print_line(label, value->items[i].key, width, NULL, &value->items[i]);
		return;
	}
	if (value->kind == VOLUME_CLIENT_LIST && value->count > 0 &&
	    value->items[0].kind == VOLUME_CLIENT_DICT) {
		for (size_t i = 0; i < value->count; i++)
			print_pairs(label, width, &value->items[i]);
		return;
	}
	output_value(field, value, &text);
	if (!text.length)
		return;
	text_add_clean(&clean_label, label);
	style = output_style(field, value);
	if (style != STYLE_PLAIN && terminal_has_colours(STDOUT_FILENO))
		printf("%-*s %s%s" STYLE_END "\n", width, clean_label.data, style_begins[style],
		       text.data);
	else
		printf("%-*s %s\n", width, clean_label.data, text.data);
}

/* Why the health is not well, where no part of its own says so. */
static void print_reasons(const struct volume_client_value *details)
{
	static const char *const names[] = { "paused", "clock", "rest_certificate" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct volume_client_value *value = volume_client_get(details, names[i]);

		if (value && value->kind == VOLUME_CLIENT_TEXT && !streq(value->text, "healthy"))
			print_line(NULL, names[i], LABEL_WIDTH, NULL, value);
	}
}

static bool is_detail(const struct field *field)
{
	return field && field->flags & FIELD_DETAIL;
}

void output_record(const struct record *record, const struct volume_client_value *dict, bool json)
{
	int width = LABEL_WIDTH;

	if (json || dict->kind != VOLUME_CLIENT_DICT) {
		output_json(dict);
		return;
	}
	for (size_t i = 0; i < dict->count; i++) {
		int own = label_width(0, &dict->items[i]);

		if (own > width && !is_detail(record_find(record, dict->items[i].key)))
			width = own;
	}
	for (size_t i = 0; i < dict->count; i++) {
		const struct field *field = record_find(record, dict->items[i].key);

		if (is_detail(field))
			print_reasons(&dict->items[i]);
		else
			print_line(NULL, dict->items[i].key, width, field, &dict->items[i]);
	}
}

/* --- properties --- */

static bool is_empty(const struct volume_client_value *value)
{
	switch (value->kind) {
	case VOLUME_CLIENT_BOOL:
		return !value->boolean;
	case VOLUME_CLIENT_INTEGER:
		return value->integer == 0;
	case VOLUME_CLIENT_UNSIGNED:
		return value->natural == 0;
	case VOLUME_CLIENT_TEXT:
		return !*value->text;
	case VOLUME_CLIENT_LIST:
	case VOLUME_CLIENT_DICT:
		return value->count == 0;
	case VOLUME_CLIENT_NUMBER:
		break;
	}
	return false;
}

void output_drop_unset(const struct record *record, struct volume_client_value *fields)
{
	for (size_t i = 0; i < record->count; i++) {
		const struct field *field = &record->fields[i];
		const struct volume_client_value *value = volume_client_get(fields, field->name);

		if (value && (field->flags & FIELD_OMIT) && is_empty(value))
			volume_client_remove(fields, field->name);
	}
}

void output_properties_to_fields(const struct record *record,
				 struct volume_client_value *properties)
{
	char name[BUS_PROPERTY_SIZE];

	/* It tells of the interface, and not of the object. */
	volume_client_remove(properties, BUS_VERSION_PROPERTY);
	for (size_t i = 0; i < record->count; i++) {
		const struct field *field = &record->fields[i];
		const struct volume_client_value *value;

		method_bus_property(field->name, name);
		value = volume_client_get(properties, name);
		if (value)
			str_set(&properties->items[value - properties->items].key, field->name);
	}
	output_drop_unset(record, properties);
}
