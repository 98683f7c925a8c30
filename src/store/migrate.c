/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Running the migrations that a store lacks. The same few lines for every dialect: read the
 * version, refuse a store that a newer program has written (it may hold rows that this program
 * would destroy unknowingly), apply the rest in turn. A crash between two migrations leaves a store
 * of the version in between, and the next start goes on from there.
 */

#include "store/migrate.h"

#include <assert.h>

#include "base/log.h"

int migrate_run(const struct migration *migrations, size_t count,
		const struct migrate_driver *driver, void *session, const char *store_name,
		struct err *err)
{
	unsigned version;

	for (size_t i = 0; i < count; i++)
		assert(migrations[i].version == i + 1);
	if (driver->get_version(session, &version, err) < 0)
		return -1;
	if (version > count)
		return err_set(
			err, ERR_CONFLICT,
			"the store %s has schema version %u, this volume-daemon knows versions up to %zu: "
			"a newer volume-daemon wrote the store; install that version again, or use another store",
			store_name, version, count);
	for (size_t i = version; i < count; i++) {
		log_info("store: %s is brought to schema version %u: %s", store_name,
			 migrations[i].version, migrations[i].summary);
		if (driver->apply(session, &migrations[i], err) < 0) {
			err_prefix(err, "bringing the store %s to schema version %u", store_name,
				   migrations[i].version);
			return -1;
		}
	}
	return 0;
}
