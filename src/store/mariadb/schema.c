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

#include "base/log.h"
#include "store/mariadb/adopt.h"
#include "store/migrate.h"
#include "store/shape.h"

#define ERROR_REASON "VARCHAR(64)"

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
	{ "error_reason", ERROR_REASON },
	{ "caller", "JSON" },
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
	{ "caller", "JSON" },
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

static const struct mariadb_column mark_columns[] = {
	{ "id", "VARCHAR(64) NOT NULL" },
	{ "value", "VARCHAR(255) NOT NULL DEFAULT ''" },
	{ "updated_at", "DATETIME(3)" },
	{ NULL, NULL },
};

static const struct mariadb_key mark_keys[] = { { NULL, NULL, false } };

static const struct mariadb_column snapshot_columns[] = {
	{ "id", "VARCHAR(64) NOT NULL" },
	{ "vm_context_id", "VARCHAR(64) NOT NULL DEFAULT ''" },
	{ "snapshot_id", "VARCHAR(191)" },
	{ "snapshot_name", "VARCHAR(255)" },
	{ "snapshot_status", "VARCHAR(50) NOT NULL DEFAULT 'none'" },
	{ "disk_id", "VARCHAR(255)" },
	{ "snapshot_created_at", "DATETIME(3)" },
	{ "updated_at", "DATETIME(3)" },
	{ NULL, NULL },
};

static const struct mariadb_key snapshot_keys[] = { { NULL, NULL, false } };

static const struct mariadb_column token_columns[] = {
	{ "id", "VARCHAR(64) NOT NULL" },
	{ "scope", "VARCHAR(32) NOT NULL DEFAULT 'read'" },
	{ "digest", "VARCHAR(64) NOT NULL DEFAULT ''" },
	{ "created_at", "DATETIME(3)" },
	{ "caller", "JSON" },
	{ NULL, NULL },
};

static const struct mariadb_key token_keys[] = { { NULL, NULL, false } };

/* The parent stands before its children. */
static const struct mariadb_table tables[] = {
	{ 1, "volume_operations", operation_columns, operation_keys, NULL, operation_type_names },
	{ 1, "device_mappings", mapping_columns, mapping_keys, NULL, NULL },
	{ 1, "volume_operation_history", history_columns, history_keys, "volume_operations", NULL },
	{ 2, "device_names", name_columns, name_keys, NULL, NULL },
	{ 2, "nbd_exports", export_columns, export_keys, NULL, NULL },
	{ 5, "volume_daemon_marks", mark_columns, mark_keys, NULL, NULL },
	{ 6, "tracked_snapshots", snapshot_columns, snapshot_keys, NULL, NULL },
	{ 7, "volume_daemon_tokens", token_columns, token_keys, NULL, NULL },
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
	{
		.version = 4,
		.summary = "the reasons of errors",
		.sql = "ALTER TABLE volume_operations ADD COLUMN IF NOT EXISTS error_reason " ERROR_REASON,
	},
	{ .version = 5, .summary = "marks of the store", .sql = "DO 0" },
	{ .version = 6, .summary = "snapshots that clients keep", .sql = "DO 0" },
	{
		.version = 7,
		.summary = "who asked, tokens",
		.sql = "BEGIN NOT ATOMIC "
		       "ALTER TABLE volume_operations ADD COLUMN IF NOT EXISTS caller JSON; "
		       "ALTER TABLE volume_operation_history ADD COLUMN IF NOT EXISTS caller JSON; END",
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

static enum mariadb_fault is_there(struct mariadb_session *session, const char *table, bool *there,
				   struct err *err)
{
	_cleanup_buf_ struct buf sql = BUF_NULL;
	uint64_t count;
	enum mariadb_fault fault;

	buf_printf(
		&sql,
		"SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = "
		"'%s'",
		table);
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
		fault = is_there(session, tables[i].name, &there, err);
		if (fault == MARIADB_OK)
			fault = there ? mariadb_adopt(session, &tables[i], NULL, err)
				      : create(session, &tables[i], err);
	}
	return fault;
}

/* ---- the plan of a take-over ---- */

/* Columns: id, status. */
static bool tell_unfinished(void *arg, char **row)
{
	mariadb_plan_tell(arg, "volume_operations: operation %s, which is %s, ends as failed",
			  row[0], row[1]);
	return true;
}

/* Operations are taken over by the first migration. */
static enum mariadb_fault plan_operations(struct mariadb_session *session,
					  struct mariadb_plan *plan, struct err *err)
{
	_cleanup_buf_ struct buf unfinished = BUF_NULL;

	buf_printf(&unfinished,
		   "%s SELECT id, status FROM volume_operations_kept WHERE status NOT IN " ENDED
		   " ORDER BY id",
		   plan->with.data);
	return mariadb_query(session, unfinished.data, tell_unfinished, plan, err);
}

/* there: of each table, whether it is. Tables of versions that the store has are done. */
static enum mariadb_fault plan_tables(struct mariadb_session *session, uint64_t version,
				      const bool *there, struct mariadb_plan *plan, struct err *err)
{
	enum mariadb_fault fault = MARIADB_OK;

	for (size_t i = 0; i < ARRAY_SIZE(tables) && fault == MARIADB_OK; i++) {
		if (tables[i].version <= version)
			continue;
		if (there[i])
			fault = mariadb_adopt(session, &tables[i], plan, err);
		else
			mariadb_plan_new(plan, &tables[i]);
	}
	return fault == MARIADB_OK && version == 0 ? plan_operations(session, plan, err) : fault;
}

enum mariadb_fault mariadb_plan_takeover(struct mariadb_session *session, bool *due,
					 store_sentence_fn tell, void *arg, struct err *err)
{
	struct mariadb_plan plan = { .tell = tell, .arg = arg };
	bool there[ARRAY_SIZE(tables)] = { false }, has_version = false;
	uint64_t version = 0;
	enum mariadb_fault fault = is_there(session, "volume_daemon_schema", &has_version, err);

	*due = false;
	if (fault == MARIADB_OK && has_version)
		fault = mariadb_number(session, "SELECT version FROM volume_daemon_schema",
				       &version, err);
	for (size_t i = 0; i < ARRAY_SIZE(tables) && fault == MARIADB_OK; i++) {
		fault = is_there(session, tables[i].name, &there[i], err);
		*due |= there[i] && tables[i].version > version;
	}
	if (fault != MARIADB_OK || !*due)
		return fault;
	mariadb_plan_tell(&plan, "%s has tables of an earlier daemon, which are taken over",
			  session->cluster->url.shown);
	fault = plan_tables(session, version, there, &plan, err);
	buf_clear(&plan.with);
	return fault;
}

static void log_sentence(void *arg, const char *sentence)
{
	log_notice("store: take-over: %s", sentence);
}

struct shown {
	const char *table;
	store_sentence_fn tell;
	void *arg;
};

/* Columns: id, reason. */
static bool show_row(void *arg, char **row)
{
	struct shown *shown = arg;
	_cleanup_free_ char *sentence = xasprintf(
		"%s %s: set aside when the tables of an earlier daemon were taken over: %s; put it back "
		"corrected if it is needed, and remove it from table %s_set_aside",
		shown->table, str_or(row[0], ""), str_or(row[1], ""), shown->table);

	shown->tell(shown->arg, sentence);
	return true;
}

enum mariadb_fault mariadb_show_set_aside(struct mariadb_session *session, store_sentence_fn tell,
					  void *arg, struct err *err)
{
	enum mariadb_fault fault = MARIADB_OK;

	for (size_t i = 0; i < ARRAY_SIZE(tables) && fault == MARIADB_OK; i++) {
		struct shown shown = { .table = tables[i].name, .tell = tell, .arg = arg };
		_cleanup_free_ char *name = xasprintf("%s_set_aside", tables[i].name);
		_cleanup_free_ char *sql =
			xasprintf("SELECT id, set_aside_because FROM %s ORDER BY id", name);
		bool there = false;

		fault = is_there(session, name, &there, err);
		if (fault == MARIADB_OK && there)
			fault = mariadb_query(session, sql, show_row, &shown, err);
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

/* ---- what is there ---- */

static bool add_to_shape(void *arg, char **row)
{
	store_shape_add(arg, row[0], row[1], row[2]);
	return true;
}

/* The server shows triggers to a user with the right TRIGGER only. */
static int check_shape(struct mariadb_session *session, struct err *err)
{
	static const char sql[] =
		"SELECT IF(TABLE_TYPE = 'VIEW', 'view', 'table'), TABLE_NAME, TABLE_NAME "
		"FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() "
		"UNION ALL SELECT 'column', TABLE_NAME, COLUMN_NAME "
		"FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() "
		"UNION ALL SELECT 'trigger', EVENT_OBJECT_TABLE, TRIGGER_NAME "
		"FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = DATABASE()";
	struct store_shape shape = { 0 };
	int r = mariadb_query(session, sql, add_to_shape, &shape, err) == MARIADB_OK
			? store_shape_check(&shape, session->cluster->url.shown, err)
			: -1;

	store_shape_clear(&shape);
	return r;
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
	/* The mode of all sessions, but for zero times, which a take-over must be able to read. */
	static const char mode[] =
		"SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'";
	bool due;

	if (mariadb_run(session, mode, err) != MARIADB_OK ||
	    mariadb_plan_takeover(session, &due, log_sentence, NULL, err) != MARIADB_OK)
		return -1;
	if (migrate_run(migrations, ARRAY_SIZE(migrations), &driver, session,
			session->cluster->url.shown, err) < 0 ||
	    check_shape(session, err) < 0)
		return -1;
	return try_rights(session, err);
}
