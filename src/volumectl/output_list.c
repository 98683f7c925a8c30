/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Lists of records: a table of the columns that the record marks, or that the user named, or an
 * array of JSON. A list comes in pages and may be long, so each page is printed when it comes.
 */

#include "volumectl/output_list.h"

#include <stdio.h>
#include <unistd.h>

#include "volumectl/ctl.h"
#include "volumectl/output.h"
#include "volumectl/table.h"

#define COLUMNS_MAX 64 /* the fields of a record */

/* The columns that are shown, in their order. */
struct columns {
	const struct field *fields[COLUMNS_MAX];
	size_t count;
};

static int refuse_column(const struct record *record, const char *name)
{
	_cleanup_buf_ struct buf known = BUF_NULL;

	for (size_t i = 0; i < record->count; i++) {
		if (!(record->fields[i].flags & FIELD_PRIVATE))
			buf_printf(&known, "%s%s", known.length ? "," : "", record->fields[i].name);
	}
	return ctl_usage("--columns: there is no column '%s'; there are %s", name, known.data);
}

/* "name,size" */
static int read_columns(const struct record *record, const char *names, struct columns *columns)
{
	_cleanup_free_ char *copy = xstrdup(names);
	char *rest = copy, *name;

	columns->count = 0;
	while ((name = strsep(&rest, ","))) {
		const struct field *field = record_find(record, name);

		if (!field || field->flags & FIELD_PRIVATE)
			return refuse_column(record, name);
		if (columns->count < COLUMNS_MAX)
			columns->fields[columns->count++] = field;
	}
	return 0;
}

static void usual_columns(const struct record *record, struct columns *columns)
{
	columns->count = 0;
	for (size_t i = 0; i < record->count && columns->count < COLUMNS_MAX; i++) {
		if (record->fields[i].flags & FIELD_COLUMN)
			columns->fields[columns->count++] = &record->fields[i];
	}
}

int output_list_check(const struct record *record, const struct options *options)
{
	struct columns columns;

	return options->columns ? read_columns(record, options->columns, &columns) : 0;
}

static char *heading_of(const struct field *field)
{
	char *text = xstrdup(field->name);

	for (char *p = text; *p; p++) {
		if (*p == '_')
			*p = ' ';
		else if (*p >= 'a' && *p <= 'z')
			*p = (char)(*p - 'a' + 'A');
	}
	return text;
}

static void add_cell(struct table *table, const struct field *field,
		     const struct volume_client_value *value)
{
	struct buf text = BUF_NULL;

	output_value(field, value, &text);
	if (!text.length)
		buf_add_char(&text, '-');
	table_add(table, buf_take(&text), output_style(field, value));
}

/* --- pages --- */

struct output_list {
	struct columns columns;
	bool json, all_members;
	size_t items;        /* so far */
	struct table *table; /* for people */
};

struct output_list *output_list_begin(const struct record *record, const struct options *options)
{
	struct output_list *list = xnew(struct output_list);

	list->json = options->json;
	list->all_members = !options->columns;
	if (list->all_members || read_columns(record, options->columns, &list->columns))
		usual_columns(record, &list->columns);
	if (list->json) {
		putchar('[');
		return list;
	}
	list->table = table_new(list->columns.count);
	for (size_t i = 0; i < list->columns.count; i++)
		table_add(list->table, heading_of(list->columns.fields[i]), STYLE_HEADING);
	return list;
}

static void add_row(struct output_list *list, const struct volume_client_value *item)
{
	for (size_t i = 0; i < list->columns.count; i++) {
		const struct field *field = list->columns.fields[i];

		add_cell(list->table, field, volume_client_get(item, field->name));
	}
}

static void print_json(struct output_list *list, const struct volume_client_value *item)
{
	_cleanup_buf_ struct buf text = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &text };

	if (list->all_members) {
		output_json_value(item, &w);
	} else {
		json_begin_object(&w);
		for (size_t i = 0; i < list->columns.count; i++) {
			const char *name = list->columns.fields[i]->name;
			const struct volume_client_value *value = volume_client_get(item, name);

			if (!value)
				continue;
			json_put_name(&w, name);
			output_json_value(value, &w);
		}
		json_end_object(&w);
	}
	printf("%s%s", list->items ? "," : "", text.data);
}

void output_list_page(struct output_list *list, const struct volume_client_value *page)
{
	for (size_t i = 0; i < page->count; i++) {
		if (list->json)
			print_json(list, &page->items[i]);
		else
			add_row(list, &page->items[i]);
		list->items++;
	}
	if (!list->json)
		table_print(list->table);
}

struct output_list *output_list_end(struct output_list *list)
{
	if (list->json)
		puts("]");
	else if (list->items == 0 && isatty(STDOUT_FILENO))
		puts("(none)");
	table_free(list->table);
	free(list);
	return NULL;
}
