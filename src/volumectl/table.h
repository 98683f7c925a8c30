/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A table of texts with a heading, laid out for where it goes. */

#include "volumectl/terminal.h"

struct table;

struct table *table_new(size_t columns);
/* Returns NULL and takes NULL. */
struct table *table_free(struct table *table);
/* The next cell, row by row, the heading first. text is clean; the table takes it over. */
void table_add(struct table *table, char *text, enum style style);
/*
 * Prints the rows on stdout and drops them; later rows continue the table. On a terminal the widest
 * columns are cut until the lines fit, and there are colours if the terminal has some; elsewhere
 * every cell is whole.
 */
void table_print(struct table *table);
/* The same as lines of text, for a terminal of so many columns; 0: every cell is whole. */
void table_put(struct table *table, size_t columns, bool colours, struct buf *out);
