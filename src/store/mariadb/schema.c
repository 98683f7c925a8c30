/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The tables in MariaDB's dialect. Table, column and key names are fixed: other programs' SQL
 * relies on them.
 *
 * A statement that changes a table commits by itself here, so a migration cannot be one
 * transaction. Instead each of its statements may run again ("if not exists"), and the version is
 * raised when all of them have run: after an interrupted start the next start begins the migration
 * anew.
 *
 * Texts compare byte by byte, as in SQLite. Indexes carry the age, a time and an id, behind their
 * column: every list comes newest first, and with such an index it needs no sorting.
 */

#include "store/mariadb/schema.h"

#include <stdio.h>

#include "store/mariadb/adopt.h"
#include "store/migrate.h"

static const struct mariadb_column operation_columns[] = {
	{ "id", "VARCHAR(64) NOT NULL" },
	{ "type", "VARCHAR(32) NOT NULL" },
	{ "status", "VARCHAR(32) NOT NULL" },
	{ "volume_id", "VARCHAR(64) NOT NULL DEFAULT ''" },
	{ "vm_id", "VARCHAR(64)" },
	{ "request", "JSON" },
	{ "request_id", "VARCHAR(255)" },
	{ "response", "JSON" },
	{ "error", "TEXT" },
	{ "error_code", "VARCHAR(64)" },
	{ "step", "VARCHAR(64)" },
	{ "needs_attention", "TINYINT(1) NOT NULL DEFAULT 0" },
	{ "created_at", "DATETIME(3)" },
	{ "updated_at", "DATETIME(3)" },
	{ "completed_at", "DATETIME(3)" },
	{ "context", "JSON" },
	{ "error_details", "JSON" },
	{ "undoing", "TINYINT(1) NOT NULL DEFAULT 0" },
	{ "step_since", "DATETIME(3)" },
	{ NULL, NULL },
};

static const struct mariadb_key operation_keys[] = {
	{ "volume_operations_volume_id", "volume_id, id", false },
	{ "volume_operations_vm_id", "vm_id, id", false },
	{ "volume_operations_status", "status, id", false },
	{ "volume_operations_type", "type, id", false },
	{ "volume_operations_created_at", "created_at, id", false },
	{ "volume_operations_request_id", "request_id, id", false },
	{ "volume_operations_needs_attention", "needs_attention, id", false },
	{ NULL, NULL, false },
};

static const struct mariadb_column mapping_columns[] = {
	{ "id", "VARCHAR(64) NOT NULL" },
	{ "volume_id", "VARCHAR(64) NOT NULL" },
	{ "volume_uuid", "VARCHAR(64)" },
	{ "vm_id", "VARCHAR(64)" },
	{ "device_path", "VARCHAR(255)" },
	{ "by_id_path", "VARCHAR(1024)" },
	{ "persistent_device_name", "VARCHAR(255)" },
	{ "symlink_path", "VARCHAR(1024)" },
	{ "cloudstack_device_id", "BIGINT" },
	{ "cloudstack_state", "VARCHAR(64)" },
	{ "linux_state", "VARCHAR(64)" },
	{ "size", "BIGINT NOT NULL DEFAULT 0" },
	{ "matched_by", "VARCHAR(32) NOT NULL DEFAULT 'none'" },
	{ "operation_mode", "VARCHAR(32)" },
	{ "filesystem", "VARCHAR(255)" },
	{ "label", "VARCHAR(1024)" },
	{ "filesystem_uuid", "VARCHAR(255)" },
	{ "partition_table", "VARCHAR(64)" },
	{ "last_sync", "DATETIME(3)" },
	{ "attached_at", "DATETIME(3)" },
	{ "created_at", "DATETIME(3)" },
	{ "updated_at", "DATETIME(3)" },
	{ "diskseq", "BIGINT NOT NULL DEFAULT 0" },
	{ "boot_id", "VARCHAR(64)" },
	{ NULL, NULL },
};

static const struct mariadb_key mapping_keys[] = {
	{ "unique_volume_id", "volume_id", true },
	{ "unique_device_path", "vm_id, device_path", true },
	{ NULL, NULL, false },
};

static const struct mariadb_column history_columns[] = {
	{ "id", "VARCHAR(64) NOT NULL" },
	{ "operation_id", "VARCHAR(64) NOT NULL" },
	{ "previous_status", "VARCHAR(32)" },
	{ "new_status", "VARCHAR(32) NOT NULL" },
	{ "changed_at", "DATETIME(3)" },
	{ "details", "JSON" },
	{ NULL, NULL },
};

static const struct mariadb_key history_keys[] = {
	{ "volume_operation_history_operation_id", "operation_id, id", false },
	{ NULL, NULL, false },
};

static const struct mariadb_column name_columns[] = {
	{ "id", "VARCHAR(64) NOT NULL" },
	{ "volume_id", "VARCHAR(64) NOT NULL" },
	{ "name", "VARCHAR(64) NOT NULL" },
	{ "created_at", "DATETIME(3)" },
	{ NULL, NULL },
};

static const struct mariadb_key name_keys[] = {
	{ "unique_volume_id", "volume_id", true },
	{ "unique_name", "name", true },
	{ NULL, NULL, false },
};

static const struct mariadb_column export_columns[] = {
	{ "id", "VARCHAR(64) NOT NULL" },
	{ "volume_id", "VARCHAR(64) NOT NULL" },
	{ "export_name", "VARCHAR(255) NOT NULL" },
	{ "device_path", "VARCHAR(255)" },
	{ "port", "BIGINT NOT NULL DEFAULT 0" },
	{ "status", "VARCHAR(32) NOT NULL DEFAULT 'pending'" },
	{ "read_only", "TINYINT(1) NOT NULL DEFAULT 0" },
	{ "size", "BIGINT NOT NULL DEFAULT 0" },
	{ "vm_name", "VARCHAR(255)" },
	{ "vm_id", "VARCHAR(64)" },
	{ "disk_number", "BIGINT" },
	{ "error", "TEXT" },
	{ "metadata", "JSON" },
	{ "created_at", "DATETIME(3)" },
	{ "updated_at", "DATETIME(3)" },
	{ NULL, NULL },
};

static const struct mariadb_key export_keys[] = {
	{ "unique_volume_id", "volume_id", true },
	{ "unique_export_name", "export_name", true },
	{ NULL, NULL, false },
};

/* The parent stands before its children. */
static const struct mariadb_table tables[] = {
	{ 1, "volume_operations", operation_columns, operation_keys, NULL, operation_type_names },
	{ 1, "device_mappings", mapping_columns, mapping_keys, NULL, NULL },
	{ 1, "volume_operation_history", history_columns, history_keys, "volume_operations", NULL },
	{ 2, "device_names", name_columns, name_keys, NULL, NULL },
	{ 2, "nbd_exports", export_columns, export_keys, NULL, NULL },
};

#define ENDED "('completed', 'failed', 'cancelled')"
#define LEFT_UNFINISHED "'an earlier daemon left it unfinished; look what became of the volume'"
/* In the form of the daemon's ids, so that the row comes last in the history of its operation. */
#define HISTORY_ID                                                                                              \
	"LOWER(CONCAT(INSERT(LPAD(HEX(CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS UNSIGNED)), 12, '0'), 9, 0, '-'), " \
	"'-7000-8000-', LEFT(MD5(id), 12)))"

#define BY_AGE(COLUMN)                                                                             \
	"ALTER TABLE volume_operations DROP KEY volume_operations_" COLUMN                         \
	", ADD KEY volume_operations_" COLUMN " (" COLUMN ", created_at, id); "

static const struct migration migrations[] = {
	{
		.version = 1,
		.summary = "operations, mappings, history",
		/* A daemon of another kind left these operations unfinished. */
		.sql = "BEGIN NOT ATOMIC START TRANSACTION; "
		       "INSERT INTO volume_operation_history "
		       "(id, operation_id, previous_status, new_status, changed_at, details) "
		       "SELECT " HISTORY_ID
		       ", id, IF(status = 'pending', status, 'executing'), 'failed', "
		       "UTC_TIMESTAMP(3), JSON_OBJECT('error', " LEFT_UNFINISHED
		       ") FROM volume_operations "
		       "WHERE status NOT IN " ENDED "; "
		       "UPDATE volume_operations SET status = 'failed', completed_at = UTC_TIMESTAMP(3), "
		       "error_code = 'INTERNAL_ERROR', error = " LEFT_UNFINISHED
		       " WHERE status NOT IN " ENDED "; "
		       "COMMIT; END",
	},
	{
		.version = 2,
		.summary = "stable names, exports",
		.sql = "UPDATE nbd_exports SET error = CONCAT('an earlier daemon left it ', status), status = 'failed' "
		       "WHERE status NOT IN ('pending', 'active', 'failed')",
	},
	{
		.version = 3,
		.summary = "operations in the order of their age",
		/*
		 * Operations of an earlier daemon may lack a time. The lease has replaced the
		 * column `probes`.
		 */
		.sql = "BEGIN NOT ATOMIC "
		       "UPDATE volume_operations SET created_at = "
		       "COALESCE(updated_at, completed_at, '1970-01-01 00:00:00.001') WHERE created_at IS NULL; "
		       "UPDATE volume_operations SET completed_at = COALESCE(updated_at, created_at) "
		       "WHERE completed_at IS NULL AND status IN " ENDED "; "
		       "ALTER TABLE volume_daemon_schema DROP COLUMN IF EXISTS probes; "
		/* clang-format off */
		       BY_AGE("volume_id") BY_AGE("vm_id") BY_AGE("status") BY_AGE("type") BY_AGE("request_id")
		       BY_AGE("needs_attention") "END",
		/* clang-format on */
	},
};

/* ---- making tables ---- */

static enum mariadb_fault create(struct mariadb_session *session, const struct mariadb_table *table,
				 struct err *err)
{
	_cleanup_buf_ struct buf sql = BUF_NULL;

	buf_printf(&sql, "CREATE TABLE IF NOT EXISTS %s (", table->name);
	for (const struct mariadb_column *column = table->columns; column->name; column++)
		buf_printf(&sql, "`%s` %s, ", column->name, column->definition);
	for (const struct mariadb_key *key = table->keys; key->name; key++)
		buf_printf(&sql, "%s %s (%s), ", key->unique ? "UNIQUE KEY" : "KEY", key->name,
			   key->columns);
	if (table->parent)
		buf_printf(
			&sql,
			"CONSTRAINT %s_operation FOREIGN KEY (operation_id) REFERENCES %s (id) ON DELETE CASCADE, ",
			table->name, table->parent);
	buf_printf(
		&sql,
		"PRIMARY KEY (`%s`)) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
		table->columns[0].name);
	return mariadb_run(session, sql.data, err);
}

static enum mariadb_fault is_there(struct mariadb_session *session,
				   const struct mariadb_table *table, bool *there, struct err *err)
{
	_cleanup_buf_ struct buf sql = BUF_NULL;
	uint64_t count;
	enum mariadb_fault fault;

	buf_printf(
		&sql,
		"SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = "
		"'%s'",
		table->name);
	fault = mariadb_number(session, sql.data, &count, err);
	*there = count > 0;
	return fault;
}

static enum mariadb_fault make_tables(struct mariadb_session *session, unsigned version,
				      struct err *err)
{
	enum mariadb_fault fault = MARIADB_OK;
	bool there;

	for (size_t i = 0; i < ARRAY_SIZE(tables) && fault == MARIADB_OK; i++) {
		if (tables[i].version != version)
			continue;
		fault = is_there(session, &tables[i], &there, err);
		if (fault == MARIADB_OK)
			fault = there ? mariadb_adopt(session, &tables[i], err)
				      : create(session, &tables[i], err);
	}
	return fault;
}

/* ---- versions ---- */

static int get_version(void *context, unsigned *out, struct err *err)
{
	struct mariadb_session *session = context;
	uint64_t version;

	/* One row. */
	if (mariadb_run(
		    session,
		    "CREATE TABLE IF NOT EXISTS volume_daemon_schema (id TINYINT NOT NULL PRIMARY KEY, version INT "
		    "UNSIGNED NOT NULL) ENGINE=InnoDB",
		    err) != MARIADB_OK ||
	    mariadb_run(session,
			"INSERT IGNORE INTO volume_daemon_schema (id, version) VALUES (1, 0)",
			err) != MARIADB_OK ||
	    mariadb_number(session, "SELECT version FROM volume_daemon_schema", &version, err) !=
		    MARIADB_OK)
		return -1;
	*out = version < UINT32_MAX ? (unsigned)version : UINT32_MAX;
	return 0;
}

static int apply_migration(void *context, const struct migration *migration, struct err *err)
{
	struct mariadb_session *session = context;
	char version[80];

	snprintf(version, sizeof(version), "UPDATE volume_daemon_schema SET version = %u",
		 migration->version);
	if (make_tables(session, migration->version, err) != MARIADB_OK ||
	    mariadb_run(session, migration->sql, err) != MARIADB_OK ||
	    mariadb_run(session, version, err) != MARIADB_OK)
		return -1;
	return 0;
}

/*
 * Statements like the later statements of the daemon, but on no row: a missing right shows now, in
 * the server's own words.
 */
static int try_rights(struct mariadb_session *session, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		const char *name = tables[i].name;
		char *tries[] = {
			xasprintf("INSERT INTO %s SELECT * FROM %s WHERE 1 = 0", name, name),
			xasprintf("UPDATE %s SET id = id WHERE 1 = 0", name),
			xasprintf("DELETE FROM %s WHERE 1 = 0", name),
		};
		enum mariadb_fault fault = MARIADB_OK;

		for (size_t j = 0; j < ARRAY_SIZE(tries); j++) {
			if (fault == MARIADB_OK)
				fault = mariadb_run(session, tries[j], err);
			free(tries[j]);
		}
		if (fault != MARIADB_OK)
			return -1;
	}
	return 0;
}

int mariadb_migrate(struct mariadb_session *session, struct err *err)
{
	static const struct migrate_driver driver = { .get_version = get_version,
						      .apply = apply_migration };

	if (migrate_run(migrations, ARRAY_SIZE(migrations), &driver, session,
			session->cluster->url.shown, err) < 0)
		return -1;
	return try_rights(session, err);
}
