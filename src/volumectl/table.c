/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Tables.
 *
 * A line that is wider than the terminal would wrap, and no column could be read any more. So the
 * widest columns get narrower together until the lines fit; these are the UUIDs, of which the
 * beginning is as good as the whole for the next command. Programs that read the table get it
 * whole.
 */

#include "volumectl/table.h"

#include <stdio.h>

#define GAP 2
#define NARROWEST 5 /* a column that is cut more says nothing */

struct cell {
	char *text;
	enum style style;
};

struct table {
	size_t columns, count, room;
	struct cell *cells; /* row by row */
	size_t *widths;     /* that the columns need, with the rows that are printed already */
};

struct table *table_new(size_t columns)
{
	struct table *table = xnew(struct table);

	table->columns = columns;
	table->widths = xcalloc(columns, sizeof(*table->widths));
	return table;
}

static void drop_cells(struct table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i].text);
	table->count = 0;
}

struct table *table_free(struct table *table)
{
	if (!table)
		return NULL;
	drop_cells(table);
	free(table->cells);
	free(table->widths);
	free(table);
	return NULL;
}

void table_add(struct table *table, char *text, enum style style)
{
	if (table->count == table->room) {
		table->room = table->room ? 2 * table->room : 64;
		table->cells = xrealloc(table->cells, table->room * sizeof(*table->cells));
	}
	table->cells[table->count++] = (struct cell){ text, style };
}

/* --- widths --- */

static void measure(struct table *table)
{
	for (size_t i = 0; i < table->count; i++) {
		size_t width = text_columns(table->cells[i].text);

		if (width > table->widths[i % table->columns])
			table->widths[i % table->columns] = width;
	}
}

static size_t total_width(const struct table *table, size_t widest)
{
	size_t total = (table->columns - 1) * GAP;

	for (size_t i = 0; i < table->columns; i++)
		total += table->widths[i] < widest ? table->widths[i] : widest;
	return total;
}

/* The width of the widest columns with which the lines fit. */
static size_t widest_that_fits(const struct table *table, size_t columns)
{
	size_t widest = columns;

	while (widest > NARROWEST && total_width(table, widest) > columns)
		widest--;
	return widest;
}

/* --- output --- */

static void put_cell(const struct cell *cell, size_t width, bool last, bool colours,
		     struct buf *out)
{
	_cleanup_buf_ struct buf text = BUF_NULL;

	text_add_cut(&text, cell->text, width);
	if (colours && cell->style != STYLE_PLAIN)
		buf_printf(out, "%s%s" STYLE_END, style_begins[cell->style], text.data);
	else
		buf_add_text(out, str_or(text.data, ""));
	if (!last)
		buf_printf(out, "%*s", (int)(width - text_columns(str_or(text.data, "")) + GAP),
			   "");
}

void table_put(struct table *table, size_t columns, bool colours, struct buf *out)
{
	size_t widest = SIZE_MAX;

	measure(table);
	if (columns)
		widest = widest_that_fits(table, columns);
	for (size_t i = 0; i < table->count; i++) {
		size_t column = i % table->columns, width = table->widths[column];
		bool last = column + 1 == table->columns;

		put_cell(&table->cells[i], width < widest ? width : widest, last, colours, out);
		if (last)
			buf_add_char(out, '\n');
	}
	drop_cells(table);
}

void table_print(struct table *table)
{
	_cleanup_buf_ struct buf text = BUF_NULL;

	table_put(table, terminal_columns(STDOUT_FILENO), terminal_has_colours(STDOUT_FILENO),
		  &text);
	fputs(str_or(text.data, ""), stdout);
}
