/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Schema versions. A backend has a const list of migrations; the number of a migration is the
 * version that the store has after the migration, 1, 2, 3, … without holes. A released migration is
 * never edited: the next migration corrects its mistakes.
 */

#include "base/err.h"

struct migration {
	unsigned version;
	const char *summary;
	const char *sql; /* in the backend's dialect */
};

struct migrate_driver {
	/* 0 for a store that is new and empty. */
	int (*get_version)(void *session, unsigned *out, struct err *err);
	/*
	 * Applies the statements and sets the version, in one transaction if the database can do
	 * that.
	 */
	int (*apply)(void *session, const struct migration *migration, struct err *err);
};

/*
 * Brings the store up to the last version. A store that is newer than the list is ERR_CONFLICT and
 * stays untouched.
 */
int migrate_run(const struct migration *migrations, size_t count,
		const struct migrate_driver *driver, void *session, const char *store_name,
		struct err *err);
