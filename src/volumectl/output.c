/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Answers as people and programs read them: tables of the columns the records mark, "name  value"
 * lines for single records, or one line of JSON.
 *
 * Names of volumes come from outside and go to a terminal, so control characters are shown as '?'.
 * JSON escapes them.
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

static void add_clean(struct buf *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		buf_add_char(out, (char)(c < 0x20 || c == 0x7f ? '?' : c));
	}
}

/* field may be NULL: then the value alone tells its kind. */
static void add_value(struct buf *out, const struct field *field,
		      const struct volume_client_value *value)
{
	_cleanup_json_writer_ struct json_writer w = { .out = out };

	if (!value)
		return;
	switch (value->kind) {
	case VOLUME_CLIENT_TEXT:
		add_clean(out, value->text);
		return;
	case VOLUME_CLIENT_BOOL:
		buf_add_text(out, value->boolean ? "yes" : "no");
		return;
	case VOLUME_CLIENT_UNSIGNED:
		if (field && field->type == FIELD_SIZE)
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

/* "kind=moved volume_id=…": the members of a record that is one of many in a list. */
static void print_pairs(const char *label, const struct volume_client_value *dict)
{
	_cleanup_buf_ struct buf text = BUF_NULL;

	for (size_t i = 0; i < dict->count; i++) {
		if (i)
			buf_add_text(&text, ", ");
		add_clean(&text, dict->items[i].key);
		buf_add_char(&text, '=');
		add_value(&text, NULL, &dict->items[i]);
	}
	printf("%-28s %s\n", label, text.data);
}

static void print_line(const char *prefix, const char *name, const struct field *field,
		       const struct volume_client_value *value)
{
	_cleanup_free_ char *label = prefix ? xasprintf("%s.%s", prefix, name) : xstrdup(name);
	_cleanup_buf_ struct buf text = BUF_NULL;

	if (value->kind == VOLUME_CLIENT_DICT) {
		for (size_t i = 0; i < value->count; i++)
			print_line(label, value->items[i].key, NULL, &value->items[i]);
		return;
	}
	if (value->kind == VOLUME_CLIENT_LIST && value->count > 0 &&
	    value->items[0].kind == VOLUME_CLIENT_DICT) {
		for (size_t i = 0; i < value->count; i++)
			print_pairs(label, &value->items[i]);
		return;
	}
	add_value(&text, field, value);
	if (!text.length)
		return;
	buf_reset(&text);
	add_clean(&text, label);
	printf("%-28s ", text.data);
	buf_reset(&text);
	add_value(&text, field, value);
	puts(text.data);
}

/* Why the health is not well, where no part of its own says so. */
static void print_reasons(const struct volume_client_value *details)
{
	static const char *const names[] = { "paused", "clock" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct volume_client_value *value = volume_client_get(details, names[i]);

		if (value && value->kind == VOLUME_CLIENT_TEXT && !streq(value->text, "healthy"))
			print_line(NULL, names[i], NULL, value);
	}
}

void output_record(const struct record *record, const struct volume_client_value *dict, bool json)
{
	if (json || dict->kind != VOLUME_CLIENT_DICT) {
		output_json(dict);
		return;
	}
	for (size_t i = 0; i < dict->count; i++) {
		const struct field *field = record_find(record, dict->items[i].key);

		if (field && field->flags & FIELD_DETAIL)
			print_reasons(&dict->items[i]);
		else
			print_line(NULL, dict->items[i].key, field, &dict->items[i]);
	}
}

/* --- tables --- */

/* Characters, not bytes. */
static size_t text_width(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

struct table {
	size_t columns, rows;
	char **cells; /* row by row, the heading first */
	size_t *widths;
};

static void table_set(struct table *table, size_t row, size_t column, struct buf *text)
{
	char *cell = buf_take(text);
	size_t width;

	if (!*cell) {
		free(cell);
		cell = xstrdup("-");
	}
	width = text_width(cell);
	table->cells[row * table->columns + column] = cell;
	if (width > table->widths[column])
		table->widths[column] = width;
}

static void table_fill(struct table *table, const struct record *record,
		       const struct volume_client_value *list)
{
	size_t column = 0;

	for (size_t i = 0; i < record->count; i++) {
		const struct field *field = &record->fields[i];
		struct buf text = BUF_NULL;

		if (!(field->flags & FIELD_COLUMN))
			continue;
		for (const char *p = field->name; *p; p++)
			buf_add_char(&text, (char)(*p == '_'                ? ' '
						   : *p >= 'a' && *p <= 'z' ? *p - 'a' + 'A'
									    : *p));
		table_set(table, 0, column, &text);
		for (size_t row = 0; row < list->count; row++) {
			add_value(&text, field, volume_client_get(&list->items[row], field->name));
			table_set(table, row + 1, column, &text);
		}
		column++;
	}
}

static void table_print(const struct table *table)
{
	for (size_t row = 0; row < table->rows; row++) {
		for (size_t column = 0; column < table->columns; column++) {
			const char *cell = table->cells[row * table->columns + column];
			bool last = column + 1 == table->columns;
			size_t pad = last ? 0 : table->widths[column] - text_width(cell) + 2;

			printf("%s%*s", cell, (int)pad, "");
		}
		putchar('\n');
	}
}

void output_records(const struct record *record, const struct volume_client_value *list, bool json)
{
	struct table table = { 0 };

	if (json || list->kind != VOLUME_CLIENT_LIST) {
		output_json(list);
		return;
	}
	for (size_t i = 0; i < record->count; i++)
		table.columns += (record->fields[i].flags & FIELD_COLUMN) != 0;
	table.rows = list->count + 1;
	table.cells = xcalloc(table.rows * table.columns, sizeof(char *));
	table.widths = xcalloc(table.columns, sizeof(size_t));
	table_fill(&table, record, list);
	table_print(&table);
	for (size_t i = 0; i < table.rows * table.columns; i++)
		free(table.cells[i]);
	free(table.cells);
	free(table.widths);
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
		if (!value)
			continue;
		if ((field->flags & FIELD_OMIT) && is_empty(value)) {
			volume_client_remove(properties, name);
			continue;
		}
		str_set(&properties->items[value - properties->items].key, field->name);
	}
}
