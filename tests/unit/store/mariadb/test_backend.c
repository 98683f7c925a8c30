/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Promises of the MariaDB store alone: versions, rights and several hosts. The server's root, who
 * may end every connection, cuts those of the store.
 */

#include <stdio.h>

#include "base/secret.h"
#include "fixture.h"
#include "store/open.h"
#include "store/rows.h"

/* ---- opening ---- */

static void a_newer_store_is_left_alone(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *tables = NULL;
	struct err err;

	fixture_close(f);
	fixture_mariadb_run(f, "UPDATE volume_daemon_schema SET version = 999");
	fixture_mariadb_run(f, "DROP TABLE device_mappings");
	err = fixture_refused(f);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_non_null(strstr(err.text, "version 999"));
	tables = fixture_mariadb_text(f, "SHOW TABLES LIKE 'device_mappings'");
	assert_string_equal(tables, "");
}

#define COLUMNS                                                                                                     \
	"SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT FROM information_schema.COLUMNS " \
	"WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1, 2"
#define KEYS                                                                                                       \
	"SELECT TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX, COLUMN_NAME, NON_UNIQUE FROM information_schema.STATISTICS " \
	"WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1, 2, 3"

static void a_store_of_every_version_is_brought_up(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *columns = fixture_mariadb_text(f, COLUMNS),
			    *keys = fixture_mariadb_text(f, KEYS);
	_cleanup_free_ char *last =
		fixture_mariadb_text(f, "SELECT version FROM volume_daemon_schema");

	for (unsigned version = 1; version < (unsigned)atoi(last); version++) {
		_cleanup_free_ char *sql = fixture_old_store("mariadb", version);
		_cleanup_free_ char *columns_now = NULL, *keys_now = NULL, *history = NULL;

		fixture_close(f);
		fixture_mariadb_drop_all(f);
		fixture_mariadb_run_all(f, sql);
		fixture_open(f);
		fixture_assert_brought_up(f);
		columns_now = fixture_mariadb_text(f, COLUMNS);
		assert_string_equal(columns_now, columns);
		keys_now = fixture_mariadb_text(f, KEYS);
		assert_string_equal(keys_now, keys);
		history =
			fixture_mariadb_text(f,
					     "SELECT id FROM volume_operation_history ORDER BY id");
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
	fixture_mariadb_run(
		f, "ALTER TABLE device_mappings DROP KEY unique_device_path, DROP COLUMN boot_id");
	fixture_mariadb_run(f, "ALTER TABLE device_names DROP KEY unique_name");
	fixture_open(f);
	assert_int_equal(fixture_commit(f, batch_with_mapping("w", VM_A, "/dev/vdb")).code,
			 ERR_CONFLICT);
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
	_cleanup_free_ char *grant =
		xasprintf("GRANT %s ON `test\\_%%`.* TO test@localhost", rights);

	fixture_mariadb_run(f, "REVOKE ALL PRIVILEGES, GRANT OPTION FROM test@localhost");
	fixture_mariadb_run(f, grant);
}

static void a_missing_right_is_told_at_start(void **state)
{
	struct fixture *f = *state;
	struct err err;

	fixture_close(f);
	leave_rights(f, "SELECT, INSERT, UPDATE, CREATE, ALTER, INDEX, REFERENCES");
	err = fixture_refused(f);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, "DELETE command denied"));
	assert_non_null(
		strstr(err.text,
		       "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX and REFERENCES on"));
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
	err = fixture_refused(f);
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
	assert_null(store_open(f->loop,
			       &(struct store_options){ .url = f->url, .password = password },
			       &err));
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, "password_file"));
	assert_null(strstr(err.text, "very wrong"));
	secret_free(password);
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
	assert_non_null(
		strstr(err.text, "Duplicate entry 'migration-vol-1' for key 'unique_export_name'"));
}

static void texts_differ_by_every_byte(void **state)
{
	assert_texts_differ(*state);
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
	assert_int_equal(fixture_refused(f).code, ERR_CONFLICT);
	assert_false(fixture_health(f).away);
}

static void count_row(void *arg, const void *row, const struct err *err)
{
	++*(size_t *)arg;
}

/* A new connection would show a later moment: the pages would not belong together. */
static void a_reader_beside_shows_one_moment_or_fails(void **state)
{
	struct fixture *f = *state;
	const struct store_options options = { .url = f->url, .beside = true };
	struct store *beside;
	struct err err = { 0 };
	size_t rows = 0;

	assert_ok(fixture_commit(f, batch_with_operation("op-1", OPERATION_COMPLETED)));
	assert_ok(fixture_commit(f, batch_with_operation("op-3", OPERATION_COMPLETED)));
	beside = store_open(f->loop, &options, &err);
	assert_non_null(beside);
	assert_int_equal(store_scan(beside, STORE_OPERATIONS, "", 1, count_row, &rows, &err), 0);
	assert_ok(fixture_commit(f, batch_with_operation("op-2", OPERATION_COMPLETED)));
	assert_int_equal(store_scan(beside, STORE_OPERATIONS, "op-1", 9, count_row, &rows, &err),
			 0);
	fixture_mariadb_run(f, "KILL USER test@localhost"); /* also so that it holds no lock */
	assert_int_equal(rows, 2);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(store_scan(beside, STORE_OPERATIONS, "op-1", 9, count_row, &rows,
					    &err),
				 -1);
		assert_int_equal(err.code, ERR_UNAVAILABLE);
		err_clear(&err);
	}
	assert_int_equal(rows, 2);
	store_close(beside);
}

/* ---- trouble ---- */

/* Another client's transaction holds the row until it is committed. */
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
	assert_non_null(strstr(fixture_health(f).reason, "put the missing table or column back"));
	fixture_mariadb_run(f, "RENAME TABLE gone TO device_names");
	fixture_wait_answer(f, &answer);
	assert_ok(answer.err);
}

/* A person or another program may drop a key; reads only take longer then. */
static void a_list_needs_no_key_but_the_primary_one(void **state)
{
	struct fixture *f = *state;
	struct store_operation_filter filter = LIST_ANY;
	struct list list;

	assert_ok(fixture_commit(f, batch_with_operation("op-1", OPERATION_COMPLETED)));
	fixture_mariadb_run(f,
			    "ALTER TABLE volume_operations DROP KEY volume_operations_created_at, "
			    "DROP KEY volume_operations_status");
	filter.type = OPERATION_ATTACH;
	filter.status = OPERATION_COMPLETED;
	list = fixture_list(f, &filter);
	assert_ok(list.err);
	assert_int_equal(list.count, 1);
	list_clear(&list);
}

static struct store_batch *batch_of_size(const char *id, size_t size)
{
	struct store_batch *batch = store_batch_new(id);
	struct operation_record operation = { 0 };
	_cleanup_free_ char *text = xmalloc(size + 1);

	memset(text, 'x', size);
	text[size] = '\0';
	make_operation(&operation, id, OPERATION_PENDING, NULL);
	operation.request = xasprintf("{\"text\":\"%s\"}", text);
	store_batch_operation(batch, &operation);
	record_clear(&operation_record, &operation);
	return batch;
}

#define PACKET 65536
#define SET_PACKET(BYTES) "SET GLOBAL max_allowed_packet = " BYTES

/* Around the limit, so that the server itself never sees a statement that is too large. */
static void a_row_too_large_for_the_server_is_refused_alone(void **state)
{
	struct fixture *f = *state;
	unsigned landed = 0, refused = 0;

	fixture_close(f);
	fixture_mariadb_run(f, SET_PACKET("65536"));
	fixture_open(f);
	for (size_t size = PACKET - 800; size < PACKET + 100; size += 20) {
		struct answer large, small;

		/* In the same transaction, if nothing goes wrong. */
		fixture_submit(f, batch_of_size("op-1", size), &large);
		fixture_submit(f, batch_with_operation("op-1", OPERATION_PENDING), &small);
		fixture_wait_answer(f, &large);
		fixture_wait_answer(f, &small);
		assert_ok(small.err);
		assert_false(fixture_health(f).away);
		if (large.err.code == ERR_NONE) {
			landed++;
			continue;
		}
		refused++;
		assert_int_equal(large.err.code, ERR_TOO_LARGE);
		assert_non_null(strstr(large.err.text, "raise max_allowed_packet"));
	}
	assert_true(landed > 0 && refused > 0);
	fixture_mariadb_run(f, SET_PACKET("DEFAULT"));
	fixture_reopen(f);
	assert_ok(fixture_commit(f, batch_of_size("op-1", 2 * PACKET)));
}

/* ---- tables that others have changed ---- */

static void assert_shape_named(struct fixture *f, const char *const *words)
{
	struct err err = fixture_refused(f);

	assert_int_equal(err.code, ERR_CONFLICT);
	for (; *words; words++) {
		if (!strstr(err.text, *words))
			fail_msg("\"%s\" is not in \"%s\"", *words, err.text);
	}
}

static void assert_shape(struct fixture *f, const char *change, const char *undo,
			 const char *const *words)
{
	fixture_close(f);
	fixture_mariadb_run(f, change);
	assert_shape_named(f, words);
	fixture_mariadb_run(f, undo);
	fixture_open(f);
}

static void what_is_missing_is_named_at_the_start(void **state)
{
	struct fixture *f = *state;

	assert_shape(f, "RENAME TABLE device_names TO a, nbd_exports TO b",
		     "RENAME TABLE a TO device_names, b TO nbd_exports",
		     (const char *const[]){ "table device_names", "table nbd_exports", NULL });
	assert_shape(
		f, "ALTER TABLE device_mappings CHANGE label a TEXT, CHANGE boot_id b VARCHAR(64)",
		"ALTER TABLE device_mappings CHANGE a label TEXT, CHANGE b boot_id VARCHAR(64)",
		(const char *const[]){ "column device_mappings.label",
				       "column device_mappings.boot_id", NULL });
}

/* Triggers are shown to those who may make some. */
static void a_view_or_a_trigger_is_named_at_the_start(void **state)
{
	struct fixture *f = *state;

	fixture_close(f);
	fixture_mariadb_run(f, "RENAME TABLE device_names TO names");
	fixture_mariadb_run(f, "CREATE VIEW device_names AS SELECT * FROM names");
	fixture_mariadb_run(f, "GRANT TRIGGER ON *.* TO test@localhost");
	fixture_mariadb_run(f, "CREATE TRIGGER count_them AFTER INSERT ON nbd_exports "
			       "FOR EACH ROW SET @count = @count + 1");
	assert_shape_named(f, (const char *const[]){ "table device_names", "view device_names",
						     "trigger count_them", NULL });
	fixture_mariadb_run(f, "DROP TRIGGER count_them");
	fixture_mariadb_run(f, "DROP VIEW device_names");
	fixture_mariadb_run(f, "RENAME TABLE names TO device_names");
	fixture_open(f);
}

static void no_host_that_works_is_told(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct store *store =
		store_open(f->loop,
			   &(struct store_options){
				   .url = "mariadb://test@127.0.0.1:1,127.0.0.1:2/none" },
			   &err);

	assert_null(store);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, "mariadb://test@127.0.0.1:1,127.0.0.1:2/none"));
}

int main(void)
{
#define T(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_set_up, fixture_tear_down)
	const struct CMUnitTest tests[] = {
		T(a_newer_store_is_left_alone),
		T(a_store_of_every_version_is_brought_up),
		T(a_migration_goes_on_where_it_stopped),
		T(a_missing_right_is_told_at_start),
		T(a_right_that_is_needed_later_is_told_at_start),
		T(a_wrong_password_is_told_at_start),
		T(a_taken_path_is_told_in_the_server_s_words),
		T(a_taken_name_is_told_in_the_server_s_words),
		T(texts_differ_by_every_byte),
		T(long_texts_come_back_whole),
		T(what_is_too_long_is_refused_alone),
		T(a_cut_connection_is_made_anew),
		T(a_reader_beside_shows_one_moment_or_fails),
		T(a_locked_row_is_waited_for),
		T(a_table_that_is_gone_is_told),
		T(a_list_needs_no_key_but_the_primary_one),
		T(a_row_too_large_for_the_server_is_refused_alone),
		T(what_is_missing_is_named_at_the_start),
		T(a_view_or_a_trigger_is_named_at_the_start),
		T(no_host_that_works_is_told),
	};

	if (!fixture_mariadb_start())
		return 77;
	fixture_variant = &variant_mariadb;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
