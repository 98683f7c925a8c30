/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the steps of a take-over share: the columns that the table had, and the choice between doing
 * a step and telling it.
 */

#include "store/mariadb/adoption.h"

#include <stdarg.h>
#include <stdio.h>

const struct found_column *adoption_found(const struct adoption *adoption, const char *name)
{
	for (size_t i = 0; i < adoption->found_count; i++) {
		if (strcasecmp(adoption->found[i].name, name) == 0)
			return &adoption->found[i];
	}
	return NULL;
}

static void tell(const struct mariadb_plan *plan, const char *table, const char *format,
		 va_list args) _printf_(3, 0);
static void tell(const struct mariadb_plan *plan, const char *table, const char *format,
		 va_list args)
{
	_cleanup_buf_ struct buf sentence = BUF_NULL;
	char *text = NULL;

	if (vasprintf(&text, format, args) < 0)
		return;
	if (table)
		buf_printf(&sentence, "%s: ", table);
	buf_add_text(&sentence, text);
	free(text);
	plan->tell(plan->arg, sentence.data);
}

void mariadb_plan_tell(const struct mariadb_plan *plan, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	tell(plan, NULL, format, args);
	va_end(args);
}

void adoption_tell(const struct adoption *adoption, const char *format, ...)
{
	va_list args;

	if (!adoption->plan)
		return;
	va_start(args, format);
	tell(adoption->plan, adoption->table->name, format, args);
	va_end(args);
}

void mariadb_plan_new(struct mariadb_plan *plan, const struct mariadb_table *table)
{
	mariadb_plan_tell(plan, "%s: the table is made", table->name);
	buf_printf(&plan->with,
		   "%s %s_kept AS (SELECT '' AS id, '' AS status FROM DUAL WHERE FALSE)",
		   plan->with.length ? "," : "WITH", table->name);
}

enum mariadb_fault adoption_send(struct adoption *adoption, struct err *err)
{
	enum mariadb_fault fault =
		adoption->plan ? MARIADB_OK
			       : mariadb_run(adoption->session, adoption->sql.data, err);

	buf_reset(&adoption->sql);
	return fault;
}
