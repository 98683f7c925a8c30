/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One table on its way from an earlier daemon to this one. */

#include "store/mariadb/adopt.h"

/* A column as the table had it when the take-over began. */
struct found_column {
	char *name;
	char *type;      /* "varchar(64)" */
	char *collation; /* NULL: none */
	bool insists;    /* an INSERT must give a value */
};

struct adoption {
	struct mariadb_session *session;
	const struct mariadb_table *table;
	struct mariadb_plan *plan; /* NULL: the table is changed */
	struct found_column *found;
	size_t found_count;
	unsigned stage; /* of the plan: rows set aside so far */
	char *source;   /* the rows that are left: the table, or a stage of the plan */
	struct buf sql;
	bool any;
};

const struct found_column *adoption_found(const struct adoption *adoption, const char *name);
/* Sends the gathered statement, or drops it if there is only a plan. */
enum mariadb_fault adoption_send(struct adoption *adoption, struct err *err);
/* A sentence about the table, for the plan. */
void adoption_tell(const struct adoption *adoption, const char *format, ...) _printf_(2, 3);

/* ---- rows, in this order ---- */

/* Text that should be JSON and is not becomes {"text": …}. */
enum mariadb_fault adoption_repair_json(struct adoption *adoption, struct err *err);
/* A time without a year, month or day becomes NULL; what it was is unknown. */
enum mariadb_fault adoption_tell_zero_times(struct adoption *adoption, struct err *err);
enum mariadb_fault adoption_clear_zero_times(struct adoption *adoption, struct err *err);
/* Values of columns that the earlier daemon named otherwise, and defaults. */
enum mariadb_fault adoption_fill(struct adoption *adoption, struct err *err);
/* Sets aside the rows whose values cannot stay. */
enum mariadb_fault adoption_check_values(struct adoption *adoption, struct err *err);
enum mariadb_fault adoption_check_lengths(struct adoption *adoption, struct err *err);
enum mariadb_fault adoption_check_types(struct adoption *adoption, struct err *err);
enum mariadb_fault adoption_check_unique(struct adoption *adoption, const struct mariadb_key *key,
					 struct err *err);
enum mariadb_fault adoption_check_parent(struct adoption *adoption, struct err *err);
/* For the plan: how many rows stay. */
enum mariadb_fault adoption_end_rows(struct adoption *adoption, struct err *err);
