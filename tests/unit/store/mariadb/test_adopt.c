/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The tables of an earlier daemon, which the MariaDB store takes over with what is in them. */

#include "fixture.h"

static void earlier_tables_are_taken_over(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *kept = NULL, *aside = NULL, *history = NULL, *types = NULL,
			    *operations = NULL, *json = NULL, *ends = NULL, *untimed = NULL;
	struct store_loaded loaded;
	struct list list;

	fixture_close(f);
	fixture_mariadb_drop_all(f);
	fixture_mariadb_run(
		f,
		"CREATE TABLE volume_operations (id VARCHAR(64) PRIMARY KEY, type ENUM('create', 'attach', "
		"'migrate') NOT NULL, status VARCHAR(16) NOT NULL, volume_id VARCHAR(191) NOT NULL, request "
		"LONGTEXT, owner_team VARCHAR(20) NOT NULL, created_at TIMESTAMP NULL, updated_at TIMESTAMP NULL)");
	fixture_mariadb_run(
		f,
		"INSERT INTO volume_operations VALUES ('old-1', 'attach', 'completed', 'v1', '{\"a\":1}', "
		"'blue', '2025-01-02 03:04:05', NULL), ('old-2', 'attach', 'executing', 'v2', 'not json', 'red', "
		"NULL, '2025-01-03'), ('old-3', 'migrate', 'completed', 'v3', '', 'red', NULL, NULL)");
	fixture_mariadb_run(
		f,
		"CREATE TABLE device_mappings (id BIGINT AUTO_INCREMENT PRIMARY KEY, volume_id VARCHAR(191) NOT "
		"NULL, vm_id VARCHAR(191), device_path VARCHAR(100), size BIGINT, updated_at DATETIME, rack "
		"INT NOT NULL)");
	fixture_mariadb_run(
		f,
		"INSERT INTO device_mappings (volume_id, vm_id, device_path, size, updated_at, rack) VALUES "
		"('v1', 'm', '/dev/vdb', 5, '2025-01-01', 1), ('v2', 'm', '/dev/vdb', 6, '2025-01-03', 2), "
		"('v3', 'm', '/dev/vdb', 7, '2025-01-02', 3), ('v2', 'm', '/dev/vdc', 8, NULL, 4)");
	fixture_mariadb_run(
		f,
		"CREATE TABLE volume_operation_history (id INT AUTO_INCREMENT PRIMARY KEY, operation_id "
		"VARCHAR(64), previous_status VARCHAR(16), new_status VARCHAR(16), changed_at DATETIME)");
	fixture_mariadb_run(
		f,
		"INSERT INTO volume_operation_history (operation_id, new_status) VALUES ('old-1', "
		"'completed'), ('nobody', 'failed')");
	fixture_open(f);

	/* Of those that collide the newest stays, and nothing is lost. */
	kept = fixture_mariadb_text(
		f, "SELECT volume_id, device_path, size, rack FROM device_mappings ORDER BY id");
	assert_string_equal(kept, "v2|/dev/vdb|6|2");
	aside = fixture_mariadb_text(
		f,
		"SELECT volume_id, device_path, size, rack FROM device_mappings_set_aside ORDER BY "
		"rack");
	assert_string_equal(aside, "v1|/dev/vdb|5|1\nv3|/dev/vdb|7|3\nv2|/dev/vdc|8|4");
	history =
		fixture_mariadb_text(f,
				     "SELECT operation_id FROM volume_operation_history_set_aside");
	assert_string_equal(history, "nobody");
	ends = fixture_mariadb_text(
		f, "SELECT operation_id, previous_status, new_status FROM volume_operation_history "
		   "ORDER BY id");
	assert_string_equal(ends, "old-1|NULL|completed\nold-2|executing|failed");
	untimed = fixture_mariadb_text(
		f, "SELECT COUNT(*) FROM volume_operations WHERE completed_at IS NULL");
	assert_string_equal(untimed, "0");
	types = fixture_mariadb_text(
		f, "SELECT id, type, owner_team FROM volume_operations_set_aside");
	assert_string_equal(types, "old-3|migrate|red");
	operations = fixture_mariadb_text(
		f, "SELECT id, status, created_at, owner_team FROM volume_operations ORDER BY id");
	assert_string_equal(operations,
			    "old-1|completed|2025-01-02 03:04:05.000|blue\nold-2|failed|2025-01-03 "
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
	assert_int_equal(fixture_commit(f, batch_with_mapping("v5", "m", "/dev/vdc")).code,
			 ERR_CONFLICT);
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
		f,
		"CREATE TABLE nbd_exports (id INT AUTO_INCREMENT PRIMARY KEY, volume_id VARCHAR(191), export_name "
		"VARCHAR(191) NOT NULL UNIQUE, device_path VARCHAR(191) NOT NULL, port INT, status ENUM('pending', "
		"'active', 'stopped') NOT NULL, metadata TEXT, job_id INT NOT NULL, updated_at DATETIME)");
	fixture_mariadb_run(
		f, "INSERT INTO nbd_exports VALUES "
		   "(1, 'v1', 'a', '/dev/vdb', 10809, 'active', '{\"k\":1}', 7, '2025-01-01'), "
		   "(2, 'v2', 'b', '/dev/vdc', NULL, 'stopped', 'x', 8, '2025-01-01'), "
		   "(3, 'v1', 'c', '/dev/vdd', 10809, 'pending', NULL, 9, '2025-01-02'), "
		   "(4, NULL, 'd', '/dev/vde', 10809, 'active', NULL, 10, '2025-01-02')");
	fixture_open(f);
	kept = fixture_mariadb_text(
		f, "SELECT volume_id, export_name, device_path, port, status, error, metadata, "
		   "job_id FROM nbd_exports ORDER BY id");
	assert_string_equal(
		kept,
		"v2|b|/dev/vdc|0|failed|an earlier daemon left it stopped|{\"text\": \"x\"}|8\n"
		"v1|c|/dev/vdd|10809|pending|NULL|NULL|9");
	aside = fixture_mariadb_text(
		f, "SELECT volume_id, export_name, job_id FROM nbd_exports_set_aside ORDER BY id");
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
	fixture_mariadb_run(
		f,
		"CREATE TABLE volume_operations (id VARCHAR(36) PRIMARY KEY, type VARCHAR(16), status "
		"VARCHAR(16), error TEXT, team VARCHAR(20) NOT NULL) CHARACTER SET latin1");
	fixture_mariadb_run(
		f,
		"INSERT INTO volume_operations VALUES ('op-0', 'attach', 'failed', 'zerstört', 'x')");
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
	assert_texts_differ(f);
	others = fixture_mariadb_text(
		f, "SELECT COLLATION_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = "
		   "DATABASE() AND TABLE_NAME = 'volume_operations' AND COLUMN_NAME = 'team'");
	assert_string_equal(others, "latin1_swedish_ci");
}

static void earlier_values_that_are_too_long_are_set_aside(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *kept = NULL, *aside = NULL, *history = NULL;

	fixture_close(f);
	fixture_mariadb_drop_all(f);
	fixture_mariadb_run(
		f,
		"CREATE TABLE volume_operations (id VARCHAR(200) PRIMARY KEY, type VARCHAR(16), status "
		"VARCHAR(16), volume_id TEXT, error LONGTEXT)");
	fixture_mariadb_run(
		f,
		"INSERT INTO volume_operations VALUES ('a', 'attach', 'completed', REPEAT('ä', 64), NULL), "
		"('b', 'attach', 'completed', REPEAT('v', 65), NULL), "
		"(REPEAT('c', 65), 'attach', 'completed', 'v', NULL), "
		"('d', 'attach', 'failed', 'v', REPEAT('ä', 40000))");
	fixture_mariadb_run(
		f, "CREATE TABLE volume_operation_history (id BIGINT AUTO_INCREMENT PRIMARY KEY, "
		   "operation_id VARCHAR(200), new_status VARCHAR(16))");
	fixture_mariadb_run(
		f,
		"INSERT INTO volume_operation_history VALUES (1, 'a', 'completed'), (2, REPEAT('c', 65), "
		"'completed')");
	fixture_open(f);
	kept = fixture_mariadb_text(f, "SELECT id FROM volume_operations ORDER BY id");
	assert_string_equal(kept, "a");
	aside = fixture_mariadb_text(
		f, "SELECT LEFT(id, 1), CHAR_LENGTH(volume_id), CHAR_LENGTH(error) FROM "
		   "volume_operations_set_aside ORDER BY id");
	assert_string_equal(aside, "b|65|NULL\nc|1|NULL\nd|1|40000");
	history = fixture_mariadb_text(
		f, "SELECT LEFT(operation_id, 1) FROM volume_operation_history_set_aside");
	assert_string_equal(history, "c");
	fixture_reopen(f);
}

static void an_earlier_table_that_cannot_be_taken_over_is_told(void **state)
{
	struct fixture *f = *state;
	struct err err;

	fixture_close(f);
	fixture_mariadb_drop_all(f);
	fixture_mariadb_run(
		f,
		"CREATE TABLE nbd_exports (id VARCHAR(64) PRIMARY KEY, volume_id VARCHAR(64), export_name "
		"VARCHAR(64), port VARCHAR(20))");
	fixture_mariadb_run(f, "INSERT INTO nbd_exports VALUES ('e', 'v', 'n', 'not one')");
	err = fixture_refused(f);
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
	fixture_mariadb_run(
		f,
		"CREATE TABLE volume_operations (id VARCHAR(64) PRIMARY KEY, type VARCHAR(16), status "
		"VARCHAR(16))");
	fixture_mariadb_run(
		f, "INSERT INTO volume_operations VALUES ('old-1', 'attach', 'completed')");
	fixture_mariadb_run(
		f, "CREATE TABLE volume_operation_history (id BIGINT AUTO_INCREMENT PRIMARY KEY, "
		   "operation_id VARCHAR(64), new_status VARCHAR(16))");
	fixture_mariadb_run(
		f,
		"INSERT INTO volume_operation_history VALUES (9, 'old-1', 'pending'), (10, 'old-1', "
		"'executing'), (11, 'old-1', 'completed')");
	fixture_open(f);
	order = fixture_mariadb_text(f,
				     "SELECT new_status FROM volume_operation_history ORDER BY id");
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
		fixture_mariadb_run(
			f,
			"CREATE TABLE volume_operations (id VARCHAR(64) PRIMARY KEY, type VARCHAR(16), "
			"status VARCHAR(16))");
		fixture_mariadb_run(f, history);
		fixture_mariadb_run(f, "CREATE TABLE others (id VARCHAR(64) PRIMARY KEY)");
		fixture_mariadb_run(
			f,
			"CREATE TABLE device_mappings (id VARCHAR(64) PRIMARY KEY, volume_id VARCHAR(64) "
			"NOT NULL, FOREIGN KEY (volume_id) REFERENCES others (id))");
		fixture_mariadb_run(
			f,
			"INSERT INTO volume_operations VALUES ('old-1', 'migrate', 'completed')");
		fixture_mariadb_run(
			f,
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
	fixture_mariadb_run(
		f,
		"CREATE TABLE device_mappings (id VARCHAR(64) PRIMARY KEY, volume_id VARCHAR(64), vm_id "
		"VARCHAR(64), device_path VARCHAR(64), KEY unique_volume_id (volume_id(4)), UNIQUE KEY "
		"unique_device_path (device_path))");
	fixture_open(f);
	assert_ok(fixture_commit(f, batch_with_mapping("volume-1", VM_A, "/dev/vdb")));
	assert_ok(fixture_commit(f, batch_with_mapping("volume-2", VM_B, "/dev/vdb")));
	assert_int_equal(fixture_commit(f, batch_with_mapping("volume-3", VM_B, "/dev/vdb")).code,
			 ERR_CONFLICT);
}

int main(void)
{
#define T(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_set_up, fixture_tear_down)
	const struct CMUnitTest tests[] = {
		T(earlier_tables_are_taken_over),
		T(earlier_exports_are_taken_over),
		T(an_earlier_table_of_another_character_set_is_taken_over),
		T(earlier_values_that_are_too_long_are_set_aside),
		T(an_earlier_table_that_cannot_be_taken_over_is_told),
		T(numbers_of_earlier_history_keep_their_order),
		T(a_foreign_key_of_an_earlier_daemon_takes_nothing_along),
		T(a_key_of_our_name_is_made_ours),
	};

	if (!fixture_mariadb_start())
		return 77;
	fixture_variant = &variant_mariadb;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
