/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * ossea_configs: the table in which another program keeps the address and the keys of CloudStack.
 * That program makes the table, perhaps later than the daemon starts; the daemon only reads it.
 *
 * Looks are many and changes few, so a look asks for a digest of all columns that matter, and asks
 * for the values only if the digest is new: the keys do not travel every few seconds. Keys that
 * travel stay in the library's buffers, which the library does not wipe; so a row of dashes is sent
 * through the buffers behind the keys.
 */

#include "store/mariadb/access.h"

#include <mysqld_error.h>

#define ACTIVE "(SELECT COUNT(*) FROM ossea_configs WHERE is_active)"
/* With QUOTE() NULL differs from every text, and two columns cannot run into each other. */
#define MARK                                                                                       \
	"SHA2(CONCAT_WS(',', " ACTIVE                                                              \
	", QUOTE(name), QUOTE(api_url), QUOTE(api_key), QUOTE(secret_key), "                       \
	"QUOTE(oma_vm_id), QUOTE(zone)), 256)"
#define NEWEST " FROM ossea_configs WHERE is_active ORDER BY updated_at DESC, name LIMIT 1"

/* An empty column means the same as NULL. */
static char *text_of(const char *column)
{
	return str_empty(column) ? NULL : xstrdup(column);
}

static struct secret *secret_of(char *column)
{
	struct secret *secret;

	if (str_empty(column))
		return NULL;
	secret = secret_new(column, strlen(column));
	explicit_bzero(column, strlen(column));
	return secret;
}

static bool take_mark(void *arg, char **columns)
{
	struct store_access *access = arg;

	access->mark = xstrdup(columns[0]);
	return false;
}

static bool take_row(void *arg, char **columns)
{
	struct store_access *access = arg;
	uint64_t active = 0;

	access->mark = xstrdup(columns[0]);
	if (parse_u64(columns[1], &active) == 0)
		access->active = active;
	access->name = text_of(columns[2]);
	access->url = text_of(columns[3]);
	access->api_key = secret_of(columns[4]);
	access->secret_key = secret_of(columns[5]);
	access->appliance_id = text_of(columns[6]);
	access->zone = text_of(columns[7]);
	return false;
}

static void set_trouble(struct mariadb_session *session, struct err *err)
{
	switch (session->code) {
	case ER_NO_SUCH_TABLE:
		err_set(err, ERR_NOT_FOUND, "the store has no table ossea_configs");
		return;
	case ER_TABLEACCESS_DENIED_ERROR:
	case ER_COLUMNACCESS_DENIED_ERROR:
		err_set(err, ERR_FORBIDDEN,
			"table ossea_configs may not be read; give the store's user SELECT on it");
		return;
	case ER_BAD_FIELD_ERROR:
	case ER_VIEW_INVALID:
		err_set(err, ERR_INVALID, "table ossea_configs does not have the expected form: %s",
			mysql_error(session->mysql));
		return;
	default:
		/* A connection that broke is made anew with the next look. */
		mariadb_leave(session);
	}
}

static int ask(struct mariadb_session *session, const char *sql, mariadb_row_fn row,
	       struct store_access *out)
{
	if (mariadb_query(session, sql, row, out, &out->err) != MARIADB_OK) {
		set_trouble(session, &out->err);
		return -1;
	}
	if (!out->mark)
		return err_set(&out->err, ERR_NOT_FOUND, "no row of table ossea_configs is active");
	return 0;
}

void mariadb_access(struct mariadb_session *session, const char *mark, struct store_access *out)
{
	if (mariadb_ready(session, &out->err) < 0)
		return;
	if (mark) {
		if (ask(session, "SELECT " MARK NEWEST, take_mark, out) < 0)
			return;
		out->same = streq(out->mark, mark);
		if (out->same)
			return;
		str_set(&out->mark, NULL);
	}
	ask(session,
	    "SELECT " MARK ", " ACTIVE
	    ", name, api_url, api_key, secret_key, oma_vm_id, zone" NEWEST,
	    take_row, out);
	if (session->mysql)
		mariadb_run(session, "SELECT REPEAT('-', 8000)", NULL);
}
