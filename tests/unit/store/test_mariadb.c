/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What only the MariaDB store promises: its url, the tables of earlier daemons, versions, rights, one daemon a database,
 * and several hosts. A connection is cut by the server's root, who can end anybody's.
 */

#include <stdio.h>

#include "fixture.h"
#include "store/store_mariadb.h"

/* ---- the url ---- */

static void urls_that_can_be_used(void **state)
{
	static const struct {
		const char *text, *shown;
		size_t hosts;
		enum mariadb_tls tls;
	} rows[] = {
		{ "mariadb://u@db1/v", "mariadb://u@db1:3306/v", 1, MARIADB_TLS_VERIFY },
		{ "mariadb://u@db1:3307,db2/v", "mariadb://u@db1:3307,db2:3306/v", 2, MARIADB_TLS_VERIFY },
		{ "mariadb://u@127.0.0.1,[::1]:3307/v", "mariadb://u@127.0.0.1:3306,[::1]:3307/v", 2, MARIADB_TLS_OFF },
		{ "mariadb://u@127.example.org/v", "mariadb://u@127.example.org:3306/v", 1, MARIADB_TLS_VERIFY },
		{ "mariadb://u@127.0.0.1,db2/v", "mariadb://u@127.0.0.1:3306,db2:3306/v", 2, MARIADB_TLS_VERIFY },
		{ "mariadb://u@db1/v?tls=on", "mariadb://u@db1:3306/v", 1, MARIADB_TLS_ON },
		{ "mariadb://u@127.0.0.1/v?tls=verify&ca=/c", "mariadb://u@127.0.0.1:3306/v", 1, MARIADB_TLS_VERIFY },
		{ "mariadb://u@/v?socket=/run/s", "mariadb://u@/run/s/v", 1, MARIADB_TLS_OFF },
		{ "mariadb://u@localhost/v?socket=/run/s", "mariadb://u@/run/s/v", 1, MARIADB_TLS_OFF },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct mariadb_url url;
		struct err err = { 0 };

		assert_int_equal(mariadb_url_parse(rows[i].text, &url, &err), 0);
		assert_string_equal(url.shown, rows[i].shown);
		assert_int_equal(url.host_count, rows[i].hosts);
		assert_int_equal(url.tls, rows[i].tls);
		assert_string_equal(url.user, "u");
		assert_string_equal(url.database, "v");
		mariadb_url_clear(&url);
	}
}

static void urls_that_cannot(void **state)
{
	static const struct {
		const char *text, *part;
	} rows[] = {
		{ "mariadb://u:geheim@db1/v", "password_file" },
		{ "mariadb://u:ge@heim@db1/v", "password_file" },
		{ "mariadb:u@db1/v", "mariadb://" },
		{ "mariadb://db1/v", "user" },
		{ "mariadb://@db1/v", "user" },
		{ "mariadb://u@db1", "database" },
		{ "mariadb://u@db1/", "database" },
		{ "mariadb://u@db1/v/w", "database" },
		{ "mariadb://u@db1/v`; DROP", "database" },
		{ "mariadb://u@/v", "neither" },
		{ "mariadb://u@db1,,db2/v", "host" },
		{ "mariadb://u@db1:0/v", "host" },
		{ "mariadb://u@db1:99999/v", "host" },
		{ "mariadb://u@[::1/v", "host" },
		{ "mariadb://u@db1/v?tls=maybe", "tls" },
		{ "mariadb://u@db1/v?colour=red", "unknown option" },
		{ "mariadb://u@db1/v?ca=relative", "path" },
		{ "mariadb://u@db1/v?ca", "without a value" },
		{ "mariadb://u@db1/v?socket=/s", "a socket and a host" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct mariadb_url url;
		struct err err = { 0 };

		assert_int_equal(mariadb_url_parse(rows[i].text, &url, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
		assert_string_equal(err.field, "store");
		if (!strstr(err.text, rows[i].part))
			fail_msg("%s: %s", rows[i].text, err.text);
		assert_null(strstr(err.text, "heim"));
	}
}

/* ---- opening ---- */

static struct err refused(struct fixture *f)
{
	struct err err = { 0 };

	assert_null(store_open(f->loop, &(struct store_options){ .url = f->url }, &err));
	return err;
}

static void a_second_daemon_is_kept_out(void **state)
{
	struct fixture *f = *state;
	struct err err = refused(f);

	assert_int_equal(err.code, ERR_CONFLICT);
	assert_non_null(strstr(err.text, "already in use by another volume-daemon"));
	assert_ok(fixture_commit(f, batch_with_operation("op-1", OPERATION_PENDING)));
	fixture_reopen(f);
}

static void a_newer_store_is_left_alone(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *tables = NULL;
	struct err err;

	fixture_close(f);
	fixture_mariadb_run(f, "UPDATE volume_daemon_schema SET version = 999");
	fixture_mariadb_run(f, "DROP TABLE device_mappings");
	err = refused(f);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_non_null(strstr(err.text, "version 999"));
	tables = fixture_mariadb_text(f, "SHOW TABLES LIKE 'device_mappings'");
	assert_string_equal(tables, "");
}

#define COLUMNS                                                                                                        \
	"SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT FROM information_schema.COLUMNS "    \
	"WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1, 2"
#define KEYS                                                                                                           \
	"SELECT TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX, COLUMN_NAME, NON_UNIQUE FROM information_schema.STATISTICS "     \
	"WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1, 2, 3"

static void run_all(struct fixture *f, char *sql)
{
	char *statement, *end;

	for (statement = sql; (end = strstr(statement, ";\n")); statement = end + 2) {
		*end = '\0';
		fixture_mariadb_run(f, statement);
	}
}

static void a_store_of_every_version_is_brought_up(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *columns = fixture_mariadb_text(f, COLUMNS), *keys = fixture_mariadb_text(f, KEYS);
	_cleanup_free_ char *last = fixture_mariadb_text(f, "SELECT version FROM volume_daemon_schema");

	for (unsigned version = 1; version < (unsigned)atoi(last); version++) {
		_cleanup_free_ char *sql = fixture_old_store("mariadb", version);
		_cleanup_free_ char *columns_now = NULL, *keys_now = NULL, *history = NULL;

		fixture_close(f);
		fixture_mariadb_drop_all(f);
		run_all(f, sql);
		fixture_open(f);
		fixture_assert_brought_up(f);
		columns_now = fixture_mariadb_text(f, COLUMNS);
		assert_string_equal(columns_now, columns);
		keys_now = fixture_mariadb_text(f, KEYS);
		assert_string_equal(keys_now, keys);
		history = fixture_mariadb_text(f, "SELECT id FROM volume_operation_history ORDER BY id");
		assert_string_equal(history, "h-1\nh-2");
	}
}

static void a_migration_goes_on_where_it_stopped(void **state)
{
	struct fixture *f = *state;

	struct store_batch *batch = batch_with_mapping("v", VM_A, "/dev/vdb");

	put_name(batch, "v", "vol1");
	assert_ok(fixture_commit(f, batch));
	assert_ok(fixture_commit(f, batch_with_operation("op-1", OPERATION_COMPLETED)));
	fixture_close(f);
	/* As if the daemon had died in the middle of each. */
	fixture_mariadb_run(f, "UPDATE volume_daemon_schema SET version = 0");
	fixture_mariadb_run(f, "DROP TABLE volume_operation_history, nbd_exports");
	fixture_mariadb_run(f, "ALTER TABLE device_mappings DROP KEY unique_device_path, DROP COLUMN boot_id");
	fixture_mariadb_run(f, "ALTER TABLE device_names DROP KEY unique_name");
	fixture_open(f);
	assert_int_equal(fixture_commit(f, batch_with_mapping("w", VM_A, "/dev/vdb")).code, ERR_CONFLICT);
	batch = store_batch_new("w");
	put_name(batch, "w", "vol1");
	assert_int_equal(fixture_commit(f, batch).code, ERR_CONFLICT);
	batch = store_batch_new("w");
	put_export(batch, "w", "migration-vol-w");
	assert_ok(fixture_commit(f, batch));
	fixture_reopen(f);
}

/* The daemon's user has these on its databases, and no others. */
static void leave_rights(struct fixture *f, const char *rights)
{
	_cleanup_free_ char *grant = xasprintf("GRANT %s ON `test\\_%%`.* TO test@localhost", rights);

	fixture_mariadb_run(f, "REVOKE ALL PRIVILEGES, GRANT OPTION FROM test@localhost");
	fixture_mariadb_run(f, grant);
}

static void a_missing_right_is_told_at_start(void **state)
{
	struct fixture *f = *state;
	struct err err;

	fixture_close(f);
	leave_rights(f, "SELECT, INSERT, UPDATE, CREATE, ALTER, INDEX, REFERENCES");
	err = refused(f);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, "DELETE command denied"));
	assert_non_null(strstr(err.text, "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX and REFERENCES on"));
}

/* On a table that only the daemon knows. */
static void a_right_that_is_needed_later_is_told_at_start(void **state)
{
	struct fixture *f = *state;
	struct err err;

	fixture_close(f);
	leave_rights(f, "SELECT, INSERT, DELETE, CREATE, ALTER, INDEX, REFERENCES");
	for (int table = 0; table < STORE_TABLE_COUNT; table++) {
		_cleanup_free_ char *grant =
			xasprintf("GRANT UPDATE ON %s TO test@localhost", store_tables[table].name);

		fixture_mariadb_run(f, grant);
	}
	err = refused(f);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, "UPDATE command denied"));
	assert_non_null(strstr(err.text, "volume_daemon_lease"));
}

static void a_wrong_password_is_told_at_start(void **state)
{
	struct fixture *f = *state;
	struct secret *password = secret_new("very wrong", 10);
	struct err err = { 0 };

	fixture_close(f);
	assert_null(store_open(f->loop, &(struct store_options){ .url = f->url, .password = password }, &err));
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, "password_file"));
	assert_null(strstr(err.text, "very wrong"));
	secret_free(password);
}

/* ---- the tables of an earlier daemon ---- */

static void texts_differ(struct fixture *f)
{
	struct list list;

	assert_ok(fixture_commit(f, batch_with_operation("op-a", OPERATION_COMPLETED)));
	assert_ok(fixture_commit(f, batch_with_operation("op-A", OPERATION_COMPLETED)));
	list = fixture_find(f, "op-a");
	assert_int_equal(list.count, 1);
	assert_string_equal(list.items[0].id, "op-a");
	list_clear(&list);
}

static void earlier_tables_are_taken_over(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *kept = NULL, *aside = NULL, *history = NULL, *types = NULL, *operations = NULL,
			    *json = NULL, *ends = NULL, *untimed = NULL;
	struct store_loaded loaded;
	struct list list;

	fixture_close(f);
	fixture_mariadb_drop_all(f);
	fixture_mariadb_run(
		f, "CREATE TABLE volume_operations (id VARCHAR(64) PRIMARY KEY, type ENUM('create', 'attach', "
		   "'migrate') NOT NULL, status VARCHAR(16) NOT NULL, volume_id VARCHAR(191) NOT NULL, request "
		   "LONGTEXT, owner_team VARCHAR(20) NOT NULL, created_at TIMESTAMP NULL, updated_at TIMESTAMP NULL)");
	fixture_mariadb_run(
		f, "INSERT INTO volume_operations VALUES ('old-1', 'attach', 'completed', 'v1', '{\"a\":1}', "
		   "'blue', '2025-01-02 03:04:05', NULL), ('old-2', 'attach', 'executing', 'v2', 'not json', 'red', "
		   "NULL, '2025-01-03'), ('old-3', 'migrate', 'completed', 'v3', '', 'red', NULL, NULL)");
	fixture_mariadb_run(
		f, "CREATE TABLE device_mappings (id BIGINT AUTO_INCREMENT PRIMARY KEY, volume_id VARCHAR(191) NOT "
		   "NULL, vm_id VARCHAR(191), device_path VARCHAR(100), size BIGINT, updated_at DATETIME, rack "
		   "INT NOT NULL)");
	fixture_mariadb_run(
		f, "INSERT INTO device_mappings (volume_id, vm_id, device_path, size, updated_at, rack) VALUES "
		   "('v1', 'm', '/dev/vdb', 5, '2025-01-01', 1), ('v2', 'm', '/dev/vdb', 6, '2025-01-03', 2), "
		   "('v3', 'm', '/dev/vdb', 7, '2025-01-02', 3), ('v2', 'm', '/dev/vdc', 8, NULL, 4)");
	fixture_mariadb_run(f,
			    "CREATE TABLE volume_operation_history (id INT AUTO_INCREMENT PRIMARY KEY, operation_id "
			    "VARCHAR(64), previous_status VARCHAR(16), new_status VARCHAR(16), changed_at DATETIME)");
	fixture_mariadb_run(f, "INSERT INTO volume_operation_history (operation_id, new_status) VALUES ('old-1', "
			       "'completed'), ('nobody', 'failed')");
	fixture_open(f);

	/* Of those that collide the newest stays, and nothing is lost. */
	kept = fixture_mariadb_text(f, "SELECT volume_id, device_path, size, rack FROM device_mappings ORDER BY id");
	assert_string_equal(kept, "v2|/dev/vdb|6|2");
	aside = fixture_mariadb_text(
		f, "SELECT volume_id, device_path, size, rack FROM device_mappings_set_aside ORDER BY "
		   "rack");
	assert_string_equal(aside, "v1|/dev/vdb|5|1\nv3|/dev/vdb|7|3\nv2|/dev/vdc|8|4");
	history = fixture_mariadb_text(f, "SELECT operation_id FROM volume_operation_history_set_aside");
	assert_string_equal(history, "nobody");
	ends = fixture_mariadb_text(f, "SELECT operation_id, previous_status, new_status FROM volume_operation_history "
				       "ORDER BY id");
	assert_string_equal(ends, "old-1|NULL|completed\nold-2|executing|failed");
	untimed = fixture_mariadb_text(f, "SELECT COUNT(*) FROM volume_operations WHERE completed_at IS NULL");
	assert_string_equal(untimed, "0");
	types = fixture_mariadb_text(f, "SELECT id, type, owner_team FROM volume_operations_set_aside");
	assert_string_equal(types, "old-3|migrate|red");
	operations =
		fixture_mariadb_text(f, "SELECT id, status, created_at, owner_team FROM volume_operations ORDER BY id");
	assert_string_equal(operations, "old-1|completed|2025-01-02 03:04:05.000|blue\nold-2|failed|2025-01-03 "
					"00:00:00.000|red");
	json = fixture_mariadb_text(f, "SELECT request FROM volume_operations ORDER BY id");
	assert_string_equal(json, "{\"a\":1}\n{\"text\": \"not json\"}");

	/* It is an ordinary store from now on. */
	loaded = fixture_load(f);
	assert_int_equal(loaded.operation_count, 0);
	assert_int_equal(loaded.mapping_count, 1);
	store_loaded_clear(&loaded);
	list = fixture_find(f, "old-2");
	assert_int_equal(list.count, 1);
	assert_non_null(strstr(list.items[0].error, "an earlier daemon"));
	list_clear(&list);
	assert_ok(fixture_commit(f, batch_with_operation("op-1", OPERATION_PENDING)));
	assert_ok(fixture_commit(f, batch_with_mapping("v4", "m", "/dev/vdc")));
	assert_int_equal(fixture_commit(f, batch_with_mapping("v5", "m", "/dev/vdc")).code, ERR_CONFLICT);
	fixture_reopen(f);
}

static void earlier_exports_are_taken_over(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *kept = NULL, *aside = NULL;
	struct store_loaded loaded;
	struct store_batch *batch;
	struct err err;

	fixture_close(f);
	fixture_mariadb_drop_all(f);
	fixture_mariadb_run(
		f, "CREATE TABLE nbd_exports (id INT AUTO_INCREMENT PRIMARY KEY, volume_id VARCHAR(191), export_name "
		   "VARCHAR(191) NOT NULL UNIQUE, device_path VARCHAR(191) NOT NULL, port INT, status ENUM('pending', "
		   "'active', 'stopped') NOT NULL, metadata TEXT, job_id INT NOT NULL, updated_at DATETIME)");
	fixture_mariadb_run(f, "INSERT INTO nbd_exports VALUES "
			       "(1, 'v1', 'a', '/dev/vdb', 10809, 'active', '{\"k\":1}', 7, '2025-01-01'), "
			       "(2, 'v2', 'b', '/dev/vdc', NULL, 'stopped', 'x', 8, '2025-01-01'), "
			       "(3, 'v1', 'c', '/dev/vdd', 10809, 'pending', NULL, 9, '2025-01-02'), "
			       "(4, NULL, 'd', '/dev/vde', 10809, 'active', NULL, 10, '2025-01-02')");
	fixture_open(f);
	kept = fixture_mariadb_text(f, "SELECT volume_id, export_name, device_path, port, status, error, metadata, "
				       "job_id FROM nbd_exports ORDER BY id");
	assert_string_equal(kept, "v2|b|/dev/vdc|0|failed|an earlier daemon left it stopped|{\"text\": \"x\"}|8\n"
				  "v1|c|/dev/vdd|10809|pending|NULL|NULL|9");
	aside = fixture_mariadb_text(f, "SELECT volume_id, export_name, job_id FROM nbd_exports_set_aside ORDER BY id");
	assert_string_equal(aside, "v1|a|7\nNULL|d|10");
	loaded = fixture_load(f);
	assert_int_equal(loaded.export_count, 2);
	assert_int_equal(loaded.exports[1].status, EXPORT_FAILED);
	store_loaded_clear(&loaded);
	/* Whatever that key is called. */
	batch = store_batch_new("v3");
	put_export(batch, "v3", "b");
	err = fixture_commit(f, batch);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_non_null(strstr(err.text, "Duplicate entry 'b' for key"));
	assert_non_null(strstr(err.text, "that of volume v2"));
	batch = store_batch_new("v3");
	put_export(batch, "v3", "e");
	assert_ok(fixture_commit(f, batch));
	fixture_reopen(f);
}

static void an_earlier_table_of_another_character_set_is_taken_over(void **state)
{
	struct fixture *f = *state;
	struct operation_record operation = { 0 };
	struct store_batch *batch = store_batch_new("v");
	_cleanup_free_ char *others = NULL;
	struct list list;

	fixture_close(f);
	fixture_mariadb_drop_all(f);
	/* And the table that refers to it is not there yet. */
	fixture_mariadb_run(f, "CREATE TABLE volume_operations (id VARCHAR(36) PRIMARY KEY, type VARCHAR(16), status "
			       "VARCHAR(16), error TEXT, team VARCHAR(20) NOT NULL) CHARACTER SET latin1");
	fixture_mariadb_run(f, "INSERT INTO volume_operations VALUES ('op-0', 'attach', 'failed', 'zerstört', 'x')");
	fixture_open(f);
	list = fixture_find(f, "op-0");
	assert_int_equal(list.count, 1);
	assert_string_equal(list.items[0].error, "zerstört");
	list_clear(&list);
	make_operation(&operation, "op-1", OPERATION_FAILED, "v");
	str_set(&operation.error, "… 💾");
	store_batch_operation(batch, &operation);
	assert_ok(fixture_commit(f, batch));
	list = fixture_find(f, "op-1");
	assert_string_equal(list.items[0].error, operation.error);
	list_clear(&list);
	record_clear(&operation_record, &operation);
	texts_differ(f);
	others = fixture_mariadb_text(f, "SELECT COLLATION_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = "
					 "DATABASE() AND TABLE_NAME = 'volume_operations' AND COLUMN_NAME = 'team'");
	assert_string_equal(others, "latin1_swedish_ci");
}

static void earlier_values_that_are_too_long_are_set_aside(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *kept = NULL, *aside = NULL, *history = NULL;

	fixture_close(f);
	fixture_mariadb_drop_all(f);
	fixture_mariadb_run(f, "CREATE TABLE volume_operations (id VARCHAR(200) PRIMARY KEY, type VARCHAR(16), status "
			       "VARCHAR(16), volume_id TEXT, error LONGTEXT)");
	fixture_mariadb_run(f,
			    "INSERT INTO volume_operations VALUES ('a', 'attach', 'completed', REPEAT('ä', 64), NULL), "
			    "('b', 'attach', 'completed', REPEAT('v', 65), NULL), "
			    "(REPEAT('c', 65), 'attach', 'completed', 'v', NULL), "
			    "('d', 'attach', 'failed', 'v', REPEAT('ä', 40000))");
	fixture_mariadb_run(f, "CREATE TABLE volume_operation_history (id BIGINT AUTO_INCREMENT PRIMARY KEY, "
			       "operation_id VARCHAR(200), new_status VARCHAR(16))");
	fixture_mariadb_run(f,
			    "INSERT INTO volume_operation_history VALUES (1, 'a', 'completed'), (2, REPEAT('c', 65), "
			    "'completed')");
	fixture_open(f);
	kept = fixture_mariadb_text(f, "SELECT id FROM volume_operations ORDER BY id");
	assert_string_equal(kept, "a");
	aside = fixture_mariadb_text(f, "SELECT LEFT(id, 1), CHAR_LENGTH(volume_id), CHAR_LENGTH(error) FROM "
					"volume_operations_set_aside ORDER BY id");
	assert_string_equal(aside, "b|65|NULL\nc|1|NULL\nd|1|40000");
	history = fixture_mariadb_text(f, "SELECT LEFT(operation_id, 1) FROM volume_operation_history_set_aside");
	assert_string_equal(history, "c");
	fixture_reopen(f);
}

static void an_earlier_table_that_cannot_be_taken_over_is_told(void **state)
{
	struct fixture *f = *state;
	struct err err;

	fixture_close(f);
	fixture_mariadb_drop_all(f);
	fixture_mariadb_run(f,
			    "CREATE TABLE nbd_exports (id VARCHAR(64) PRIMARY KEY, volume_id VARCHAR(64), export_name "
			    "VARCHAR(64), port VARCHAR(20))");
	fixture_mariadb_run(f, "INSERT INTO nbd_exports VALUES ('e', 'v', 'n', 'not one')");
	err = refused(f);
	assert_non_null(strstr(err.text, "table nbd_exports was there before"));
	assert_non_null(strstr(err.text, "rename the table"));
	assert_non_null(strstr(err.text, "'not one'"));
	fixture_mariadb_run(f, "UPDATE nbd_exports SET port = '10809'");
	fixture_open(f);
}

static void numbers_of_earlier_history_keep_their_order(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *order = NULL;

	fixture_close(f);
	fixture_mariadb_drop_all(f);
	fixture_mariadb_run(f, "CREATE TABLE volume_operations (id VARCHAR(64) PRIMARY KEY, type VARCHAR(16), status "
			       "VARCHAR(16))");
	fixture_mariadb_run(f, "INSERT INTO volume_operations VALUES ('old-1', 'attach', 'completed')");
	fixture_mariadb_run(f, "CREATE TABLE volume_operation_history (id BIGINT AUTO_INCREMENT PRIMARY KEY, "
			       "operation_id VARCHAR(64), new_status VARCHAR(16))");
	fixture_mariadb_run(f, "INSERT INTO volume_operation_history VALUES (9, 'old-1', 'pending'), (10, 'old-1', "
			       "'executing'), (11, 'old-1', 'completed')");
	fixture_open(f);
	order = fixture_mariadb_text(f, "SELECT new_status FROM volume_operation_history ORDER BY id");
	assert_string_equal(order, "pending\nexecuting\ncompleted");
}

static void a_foreign_key_of_an_earlier_daemon_takes_nothing_along(void **state)
{
	static const char *const rules[] = { "CASCADE", "RESTRICT" };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		_cleanup_free_ char *history = xasprintf(
			"CREATE TABLE volume_operation_history (id INT AUTO_INCREMENT PRIMARY KEY, operation_id "
			"VARCHAR(64) NOT NULL, new_status VARCHAR(16), FOREIGN KEY (operation_id) REFERENCES "
			"volume_operations (id) ON DELETE %s)",
			rules[i]);
		_cleanup_free_ char *aside = NULL;

		fixture_close(f);
		fixture_mariadb_drop_all(f);
		fixture_mariadb_run(f, "CREATE TABLE volume_operations (id VARCHAR(64) PRIMARY KEY, type VARCHAR(16), "
				       "status VARCHAR(16))");
		fixture_mariadb_run(f, history);
		fixture_mariadb_run(f, "CREATE TABLE others (id VARCHAR(64) PRIMARY KEY)");
		fixture_mariadb_run(f,
				    "CREATE TABLE device_mappings (id VARCHAR(64) PRIMARY KEY, volume_id VARCHAR(64) "
				    "NOT NULL, FOREIGN KEY (volume_id) REFERENCES others (id))");
		fixture_mariadb_run(f, "INSERT INTO volume_operations VALUES ('old-1', 'migrate', 'completed')");
		fixture_mariadb_run(f,
				    "INSERT INTO volume_operation_history (operation_id, new_status) VALUES ('old-1', "
				    "'pending'), ('old-1', 'completed')");
		fixture_open(f);
		aside = fixture_mariadb_text(f, "SELECT operation_id, new_status FROM "
						"volume_operation_history_set_aside ORDER BY id");
		assert_string_equal(aside, "old-1|pending\nold-1|completed");
		/* Nor does one bind our rows to what others keep. */
		assert_ok(fixture_commit(f, batch_with_mapping("v", VM_A, "/dev/vdb")));
	}
}

static void a_key_of_our_name_is_made_ours(void **state)
{
	struct fixture *f = *state;

	fixture_close(f);
	fixture_mariadb_drop_all(f);
	fixture_mariadb_run(f, "CREATE TABLE device_mappings (id VARCHAR(64) PRIMARY KEY, volume_id VARCHAR(64), vm_id "
			       "VARCHAR(64), device_path VARCHAR(64), KEY unique_volume_id (volume_id(4)), UNIQUE KEY "
			       "unique_device_path (device_path))");
	fixture_open(f);
	assert_ok(fixture_commit(f, batch_with_mapping("volume-1", VM_A, "/dev/vdb")));
	assert_ok(fixture_commit(f, batch_with_mapping("volume-2", VM_B, "/dev/vdb")));
	assert_int_equal(fixture_commit(f, batch_with_mapping("volume-3", VM_B, "/dev/vdb")).code, ERR_CONFLICT);
}

/* ---- changes ---- */

static void a_taken_path_is_told_in_the_server_s_words(void **state)
{
	struct fixture *f = *state;
	struct err err;

	assert_ok(fixture_commit(f, batch_with_mapping("v1", VM_A, "/dev/vdb")));
	err = fixture_commit(f, batch_with_mapping("v2", VM_A, "/dev/vdb"));
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_non_null(strstr(err.text, "Duplicate entry"));
	assert_non_null(strstr(err.text, "for key 'unique_device_path'"));
	assert_non_null(strstr(err.text, "volume v1"));
}

static void a_taken_name_is_told_in_the_server_s_words(void **state)
{
	struct fixture *f = *state;
	struct store_batch *batch = store_batch_new("v1");
	struct err err;

	put_name(batch, "v1", "vol1");
	put_export(batch, "v1", "migration-vol-1");
	assert_ok(fixture_commit(f, batch));
	batch = store_batch_new("v2");
	put_name(batch, "v2", "vol1");
	err = fixture_commit(f, batch);
	assert_non_null(strstr(err.text, "Duplicate entry 'vol1' for key 'unique_name'"));
	batch = store_batch_new("v2");
	put_export(batch, "v2", "migration-vol-1");
	err = fixture_commit(f, batch);
	assert_non_null(strstr(err.text, "Duplicate entry 'migration-vol-1' for key 'unique_export_name'"));
}

static void texts_differ_by_every_byte(void **state)
{
	texts_differ(*state);
}

static void long_texts_come_back_whole(void **state)
{
	struct fixture *f = *state;
	struct operation_record operation = { 0 };
	struct store_batch *batch = store_batch_new("v");
	struct buf text = BUF_NULL;
	struct list list;

	for (int i = 0; i < 20000; i++)
		buf_add_text(&text, "ä");
	make_operation(&operation, "op-1", OPERATION_COMPLETED, "v");
	operation.response = xasprintf("{\"text\":\"%s\"}", text.data);
	store_batch_operation(batch, &operation);
	assert_ok(fixture_commit(f, batch));
	list = fixture_find(f, "op-1");
	assert_int_equal(list.count, 1);
	assert_string_equal(list.items[0].response, operation.response);
	list_clear(&list);
	record_clear(&operation_record, &operation);
	buf_clear(&text);
}

static void what_is_too_long_is_refused_alone(void **state)
{
	struct fixture *f = *state;
	struct store_batch *batch = store_batch_new("v");
	struct answer bad, good;
	char id[100];

	memset(id, 'x', sizeof(id) - 1);
	id[sizeof(id) - 1] = '\0';
	put_operation(batch, id, OPERATION_PENDING, NULL, 1);
	fixture_submit(f, batch, &bad);
	fixture_submit(f, batch_with_operation("op-1", OPERATION_PENDING), &good);
	fixture_wait_answer(f, &bad);
	fixture_wait_answer(f, &good);
	assert_int_equal(bad.err.code, ERR_INTERNAL);
	assert_non_null(strstr(bad.err.text, "Data too long for column 'id'"));
	assert_non_null(strstr(bad.err.text, "table volume_operations, id xxx"));
	assert_ok(good.err);
}

static void a_cut_connection_is_made_anew(void **state)
{
	struct fixture *f = *state;
	struct list list;

	assert_ok(fixture_commit(f, batch_with_operation("op-1", OPERATION_COMPLETED)));
	assert_ok(fixture_commit(f, batch_with_mapping("v", VM_A, "/dev/vdb")));
	list = fixture_find(f, "op-1");
	list_clear(&list);
	fixture_mariadb_run(f, "KILL USER test@localhost");
	assert_ok(fixture_commit(f, batch_with_operation("op-1", OPERATION_FAILED)));
	assert_ok(fixture_commit(f, batch_with_mapping("v", VM_A, "/dev/vdc")));
	list = fixture_find(f, "op-1");
	assert_int_equal(list.count, 1);
	assert_int_equal(list.items[0].status, OPERATION_FAILED);
	list_clear(&list);
	/* The new connection holds the lock again. */
	assert_int_equal(refused(f).code, ERR_CONFLICT);
	assert_false(fixture_health(f).away);
}

/* ---- one daemon a database ---- */

#define LOCK "CONCAT('volume-daemon:', MD5(DATABASE()))"

/* A connection of the daemon's user that has the lock, after ours was cut. */
static MYSQL *take_lock(struct fixture *f)
{
	_cleanup_free_ char *id = fixture_mariadb_text(f, "SELECT IS_USED_LOCK(" LOCK ")");
	_cleanup_free_ char *kill = xasprintf("KILL CONNECTION %s", id);
	struct mariadb_url url;
	struct err err = { 0 };
	MYSQL *other = mysql_init(NULL);
	MYSQL_RES *result;

	assert_int_equal(mariadb_url_parse(f->url, &url, &err), 0);
	assert_non_null(mysql_real_connect(other, NULL, url.user, NULL, url.database, 0, url.socket, 0));
	fixture_mariadb_run(f, kill);
	assert_int_equal(mysql_query(other, "SELECT GET_LOCK(" LOCK ", 60)"), 0);
	result = mysql_store_result(other);
	assert_string_equal(mysql_fetch_row(result)[0], "1");
	mysql_free_result(result);
	mariadb_url_clear(&url);
	return other;
}

static void assert_replaced(struct fixture *f, struct store_batch *batch)
{
	struct answer answer;
	struct list list;

	store_batch_optional(batch);
	fixture_submit(f, batch, &answer);
	fixture_wait_answer(f, &answer);
	assert_int_equal(answer.err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(answer.err.text, "taken over by another volume-daemon"));
	assert_non_null(strstr(answer.err.text, "restart this one"));
	assert_non_null(strstr(fixture_health(f).reason, "taken over"));
	list = fixture_find(f, "op-2");
	assert_ok(list.err);
	assert_int_equal(list.count, 0);
	list_clear(&list);
}

static void one_that_was_replaced_writes_nothing(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *holder = fixture_mariadb_text(f, "SELECT DISTINCT holder FROM volume_daemon_lease");
	_cleanup_free_ char *restore = xasprintf("UPDATE volume_daemon_lease SET holder = '%s'", holder);

	assert_ok(fixture_commit(f, batch_with_operation("op-1", OPERATION_PENDING)));
	/* Though it has the lock, as on another node of a cluster. */
	fixture_mariadb_run(f, "UPDATE volume_daemon_lease SET holder = 'other'");
	assert_replaced(f, batch_with_operation("op-2", OPERATION_PENDING));
	assert_replaced(f, batch_with_mapping("v", VM_A, "/dev/vdb"));
	/* What it knows is of the past now, also when the other one is gone. */
	fixture_mariadb_run(f, restore);
	assert_replaced(f, batch_with_operation("op-2", OPERATION_PENDING));
	fixture_reopen(f);
	assert_ok(fixture_commit(f, batch_with_operation("op-2", OPERATION_PENDING)));
}

static void a_lock_that_is_left_is_taken_back(void **state)
{
	struct fixture *f = *state;
	MYSQL *left = take_lock(f);

	assert_ok(fixture_commit(f, batch_with_mapping("v", VM_A, "/dev/vdb")));
	assert_int_not_equal(mysql_ping(left), 0);
	assert_int_equal(refused(f).code, ERR_CONFLICT);
	mysql_close(left);
}

static void the_lock_of_the_one_that_took_over_is_left_alone(void **state)
{
	struct fixture *f = *state;
	MYSQL *other = take_lock(f);

	fixture_mariadb_run(f, "UPDATE volume_daemon_lease SET holder = 'other'");
	assert_replaced(f, batch_with_mapping("v", VM_A, "/dev/vdb"));
	assert_int_equal(mysql_ping(other), 0);
	mysql_close(other);
}

/* Somebody else's transaction holds the row until it gives way. */
static void a_locked_row_is_waited_for(void **state)
{
	struct fixture *f = *state;
	struct answer answer;

	assert_ok(fixture_commit(f, batch_with_operation("op-1", OPERATION_PENDING)));
	fixture_mariadb_run(f, "START TRANSACTION");
	fixture_mariadb_run(f, "UPDATE volume_operations SET error = 'mine' WHERE id = 'op-1'");
	fixture_submit(f, batch_with_operation("op-1", OPERATION_EXECUTING), &answer);
	loop_turn(f->loop);
	fixture_mariadb_run(f, "COMMIT");
	fixture_wait_answer(f, &answer);
	assert_ok(answer.err);
}

static void a_table_that_is_gone_is_told(void **state)
{
	struct fixture *f = *state;
	struct store_batch *batch = store_batch_new("v");
	struct answer answer;

	put_name(batch, "v", "vol1");
	fixture_mariadb_run(f, "RENAME TABLE device_names TO gone");
	fixture_submit(f, batch, &answer);
	while (!fixture_health(f).away)
		loop_turn(f->loop);
	assert_non_null(strstr(fixture_health(f).reason, "device_names' doesn't exist"));
	assert_non_null(strstr(fixture_health(f).reason, "put back what is missing"));
	fixture_mariadb_run(f, "RENAME TABLE gone TO device_names");
	fixture_wait_answer(f, &answer);
	assert_ok(answer.err);
}

static void no_host_that_works_is_told(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct store *store = store_open(
		f->loop, &(struct store_options){ .url = "mariadb://test@127.0.0.1:1,127.0.0.1:2/none" }, &err);

	assert_null(store);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, "mariadb://test@127.0.0.1:1,127.0.0.1:2/none"));
}

int main(void)
{
#define T(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_set_up, fixture_tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls_that_can_be_used),
		cmocka_unit_test(urls_that_cannot),
		T(a_second_daemon_is_kept_out),
		T(a_newer_store_is_left_alone),
		T(a_store_of_every_version_is_brought_up),
		T(a_migration_goes_on_where_it_stopped),
		T(a_missing_right_is_told_at_start),
		T(a_right_that_is_needed_later_is_told_at_start),
		T(a_wrong_password_is_told_at_start),
		T(earlier_tables_are_taken_over),
		T(earlier_exports_are_taken_over),
		T(an_earlier_table_of_another_character_set_is_taken_over),
		T(earlier_values_that_are_too_long_are_set_aside),
		T(an_earlier_table_that_cannot_be_taken_over_is_told),
		T(numbers_of_earlier_history_keep_their_order),
		T(a_foreign_key_of_an_earlier_daemon_takes_nothing_along),
		T(a_key_of_our_name_is_made_ours),
		T(a_taken_path_is_told_in_the_server_s_words),
		T(a_taken_name_is_told_in_the_server_s_words),
		T(texts_differ_by_every_byte),
		T(long_texts_come_back_whole),
		T(what_is_too_long_is_refused_alone),
		T(a_cut_connection_is_made_anew),
		T(one_that_was_replaced_writes_nothing),
		T(a_lock_that_is_left_is_taken_back),
		T(the_lock_of_the_one_that_took_over_is_left_alone),
		T(a_locked_row_is_waited_for),
		T(a_table_that_is_gone_is_told),
		T(no_host_that_works_is_told),
	};

	if (!fixture_mariadb_start())
		return 77;
	fixture_variant = &variant_mariadb;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
