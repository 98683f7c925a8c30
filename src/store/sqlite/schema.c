/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The tables in SQLite's dialect. Table and column names are fixed: other programs' SQL relies on
 * them.
 *
 * Indexes carry the age, a time and an id, behind their column: every list comes newest first, and
 * with such an index it needs no sorting.
 */

#include "store/sqlite/schema.h"

const struct migration sqlite_migrations[] = {
	{
		.version = 1,
		.summary = "operations, mappings, history",
		.sql = "CREATE TABLE volume_operations (\n"
		       "  id TEXT NOT NULL PRIMARY KEY,\n"
		       "  type TEXT NOT NULL,\n"
		       "  status TEXT NOT NULL,\n"
		       "  volume_id TEXT NOT NULL DEFAULT '',\n"
		       "  vm_id TEXT,\n"
		       "  request TEXT,\n"
		       "  request_id TEXT,\n"
		       "  response TEXT,\n"
		       "  error TEXT,\n"
		       "  error_code TEXT,\n"
		       "  step TEXT,\n"
		       "  needs_attention INTEGER NOT NULL DEFAULT 0,\n"
		       "  created_at TEXT,\n"
		       "  updated_at TEXT,\n"
		       "  completed_at TEXT,\n"
		       "  context TEXT,\n"
		       "  error_details TEXT,\n"
		       "  undoing INTEGER NOT NULL DEFAULT 0,\n"
		       "  step_since TEXT\n"
		       ") STRICT;\n"
		       "CREATE INDEX volume_operations_volume_id ON volume_operations (volume_id, id);\n"
		       "CREATE INDEX volume_operations_vm_id ON volume_operations (vm_id, id);\n"
		       "CREATE INDEX volume_operations_status ON volume_operations (status, id);\n"
		       "CREATE INDEX volume_operations_type ON volume_operations (type, id);\n"
		       "CREATE INDEX volume_operations_created_at ON volume_operations (created_at, id);\n"
		       "CREATE INDEX volume_operations_request_id ON volume_operations (request_id, id)\n"
		       "  WHERE request_id IS NOT NULL;\n"
		       "CREATE INDEX volume_operations_needs_attention ON volume_operations (needs_attention, id);\n"
		       "\n"
		       "CREATE TABLE device_mappings (\n"
		       "  id TEXT NOT NULL PRIMARY KEY,\n"
		       "  volume_id TEXT NOT NULL,\n"
		       "  volume_uuid TEXT,\n"
		       "  vm_id TEXT,\n"
		       "  device_path TEXT,\n"
		       "  by_id_path TEXT,\n"
		       "  persistent_device_name TEXT,\n"
		       "  symlink_path TEXT,\n"
		       "  cloudstack_device_id INTEGER,\n"
		       "  cloudstack_state TEXT,\n"
		       "  linux_state TEXT,\n"
		       "  size INTEGER NOT NULL DEFAULT 0,\n"
		       "  matched_by TEXT NOT NULL,\n"
		       "  operation_mode TEXT,\n"
		       "  filesystem TEXT,\n"
		       "  label TEXT,\n"
		       "  filesystem_uuid TEXT,\n"
		       "  partition_table TEXT,\n"
		       "  last_sync TEXT,\n"
		       "  attached_at TEXT,\n"
		       "  created_at TEXT,\n"
		       "  updated_at TEXT,\n"
		       "  diskseq INTEGER NOT NULL DEFAULT 0,\n"
		       "  boot_id TEXT,\n"
		       "  CONSTRAINT unique_volume_id UNIQUE (volume_id),\n"
		       "  CONSTRAINT unique_device_path UNIQUE (vm_id, device_path)\n"
		       ") STRICT;\n"
		       "\n"
		       "CREATE TABLE volume_operation_history (\n"
		       "  id TEXT NOT NULL PRIMARY KEY,\n"
		       "  operation_id TEXT NOT NULL REFERENCES volume_operations (id) ON DELETE CASCADE,\n"
		       "  previous_status TEXT,\n"
		       "  new_status TEXT NOT NULL,\n"
		       "  changed_at TEXT NOT NULL,\n"
		       "  details TEXT\n"
		       ") STRICT;\n"
		       "CREATE INDEX volume_operation_history_operation_id ON volume_operation_history (operation_id, "
		       "id);\n",
	},
	{
		.version = 2,
		.summary = "stable names, exports",
		.sql = "CREATE TABLE device_names (\n"
		       "  id TEXT NOT NULL PRIMARY KEY,\n"
		       "  volume_id TEXT NOT NULL,\n"
		       "  name TEXT NOT NULL,\n"
		       "  created_at TEXT,\n"
		       "  CONSTRAINT unique_volume_id UNIQUE (volume_id),\n"
		       "  CONSTRAINT unique_name UNIQUE (name)\n"
		       ") STRICT;\n"
		       "\n"
		       "CREATE TABLE nbd_exports (\n"
		       "  id TEXT NOT NULL PRIMARY KEY,\n"
		       "  volume_id TEXT NOT NULL,\n"
		       "  export_name TEXT NOT NULL,\n"
		       "  device_path TEXT,\n"
		       "  port INTEGER NOT NULL DEFAULT 0,\n"
		       "  status TEXT NOT NULL,\n"
		       "  read_only INTEGER NOT NULL DEFAULT 0,\n"
		       "  size INTEGER NOT NULL DEFAULT 0,\n"
		       "  vm_name TEXT,\n"
		       "  vm_id TEXT,\n"
		       "  disk_number INTEGER,\n"
		       "  error TEXT,\n"
		       "  metadata TEXT,\n"
		       "  created_at TEXT,\n"
		       "  updated_at TEXT,\n"
		       "  CONSTRAINT unique_volume_id UNIQUE (volume_id),\n"
		       "  CONSTRAINT unique_export_name UNIQUE (export_name)\n"
		       ") STRICT;\n",
	},
	{
		.version = 3,
		.summary = "operations in the order of their age",
		/* Operations of an earlier daemon, copied from another store, may lack a time. */
		.sql = "UPDATE volume_operations SET created_at =\n"
		       "  COALESCE(updated_at, completed_at, '1970-01-01 00:00:00.001') WHERE created_at IS NULL;\n"
		       "UPDATE volume_operations SET completed_at = COALESCE(updated_at, created_at)\n"
		       "  WHERE completed_at IS NULL AND status IN ('completed', 'failed', 'cancelled');\n"
		       "\n"
		       "DROP INDEX volume_operations_volume_id;\n"
		       "CREATE INDEX volume_operations_volume_id ON volume_operations (volume_id, created_at, id);\n"
		       "DROP INDEX volume_operations_vm_id;\n"
		       "CREATE INDEX volume_operations_vm_id ON volume_operations (vm_id, created_at, id);\n"
		       "DROP INDEX volume_operations_status;\n"
		       "CREATE INDEX volume_operations_status ON volume_operations (status, created_at, id);\n"
		       "DROP INDEX volume_operations_type;\n"
		       "CREATE INDEX volume_operations_type ON volume_operations (type, created_at, id);\n"
		       "DROP INDEX volume_operations_request_id;\n"
		       "CREATE INDEX volume_operations_request_id ON volume_operations (request_id, created_at, id)\n"
		       "  WHERE request_id IS NOT NULL;\n"
		       "DROP INDEX volume_operations_needs_attention;\n"
		       "CREATE INDEX volume_operations_needs_attention ON volume_operations (needs_attention, "
		       "created_at, id);\n",
	},
	{
		.version = 4,
		.summary = "the reasons of errors",
		.sql = "ALTER TABLE volume_operations ADD COLUMN error_reason TEXT;\n",
	},
	{
		.version = 5,
		.summary = "marks of the store",
		.sql = "CREATE TABLE volume_daemon_marks (\n"
		       "  id TEXT NOT NULL PRIMARY KEY,\n"
		       "  value TEXT NOT NULL,\n"
		       "  updated_at TEXT\n"
		       ") STRICT;\n",
	},
	{
		.version = 6,
		.summary = "snapshots that clients keep",
		.sql = "CREATE TABLE tracked_snapshots (\n"
		       "  id TEXT NOT NULL PRIMARY KEY,\n"
		       "  vm_context_id TEXT NOT NULL,\n"
		       "  snapshot_id TEXT,\n"
		       "  snapshot_name TEXT,\n"
		       "  snapshot_status TEXT NOT NULL,\n"
		       "  disk_id TEXT,\n"
		       "  snapshot_created_at TEXT,\n"
		       "  updated_at TEXT\n"
		       ") STRICT;\n",
	},
	{
		.version = 7,
		.summary = "who asked, tokens",
		.sql = "ALTER TABLE volume_operations ADD COLUMN caller TEXT;\n"
		       "ALTER TABLE volume_operation_history ADD COLUMN caller TEXT;\n"
		       "\n"
		       "CREATE TABLE volume_daemon_tokens (\n"
		       "  id TEXT NOT NULL PRIMARY KEY,\n"
		       "  scope TEXT NOT NULL,\n"
		       "  digest TEXT NOT NULL,\n"
		       "  created_at TEXT,\n"
		       "  caller TEXT\n"
		       ") STRICT;\n",
	},
};
const size_t sqlite_migration_count = ARRAY_SIZE(sqlite_migrations);

int sqlite_shape(sqlite3 *db, struct store_shape *shape)
{
	static const char sql[] =
		"SELECT type, tbl_name, name FROM sqlite_schema WHERE type IN ('table', 'view', 'trigger') "
		"UNION ALL SELECT 'column', t.name, c.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c "
		"WHERE t.type = 'table'";
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

	while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		rc = SQLITE_OK;
		store_shape_add(shape, (const char *)sqlite3_column_text(stmt, 0),
				(const char *)sqlite3_column_text(stmt, 1),
				(const char *)sqlite3_column_text(stmt, 2));
	}
	sqlite3_finalize(stmt);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}
