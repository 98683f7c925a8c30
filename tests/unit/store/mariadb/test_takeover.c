/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Databases of the earlier daemon as they stand on appliances, see tests/support/earlier: they are
 * taken over whole, a plan says beforehand what will be done, and a check says afterwards what was.
 */

#include <fcntl.h>

#include "fixture.h"
#include "store/check.h"
#include "store/open.h"
#include "store/tables.h"

#define VOLUME "11111111-0000-4000-8000-00000000000"

static void run_file(struct fixture *f, const char *name)
{
	_cleanup_free_ char *path = xasprintf(EARLIER "/%s.sql", name);
	_cleanup_free_ char *sql = read_file_at(AT_FDCWD, path, 1 << 20, NULL);

	assert_non_null(sql);
	fixture_mariadb_run_all(f, sql);
}

/* The earlier daemon's database; the store is closed. */
static void begin(struct fixture *f, const char *const *files)
{
	fixture_close(f);
	fixture_mariadb_drop_all(f);
	for (; *files; files++)
		run_file(f, *files);
}

static void add_sentence(void *arg, const char *sentence)
{
	buf_printf(arg, "%s\n", sentence);
}

static char *plan(struct fixture *f)
{
	const struct store_options options = { .url = f->url };
	struct buf sentences = BUF_NULL;
	struct err err = { 0 };

	if (store_plan_takeover(&options, add_sentence, &sentences, &err) < 0)
		fail_msg("%s", err.text);
	return buf_take(&sentences);
}

/* The faults that a check beside the daemon finds. */
static char *check(struct fixture *f)
{
	const struct store_options options = { .url = f->url, .beside = true };
	struct loop *loop = loop_new();
	struct err err = { 0 };
	struct store *store = store_open(loop, &options, &err);
	struct store_checked checked = { 0 };
	struct buf faults = BUF_NULL;

	assert_non_null(store);
	assert_int_equal(store_check(store, add_sentence, &faults, &checked, &err), 0);
	store_checked_clear(&checked);
	store_close(store);
	loop_free(loop);
	return buf_take(&faults);
}

/* Every table with its columns, keys and rows, but for the times at which rows were changed. */
static char *everything(struct fixture *f)
{
	_cleanup_free_ char *shape = fixture_mariadb_text(
		f,
		"SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, EXTRA FROM "
		"information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1, 2");
	_cleanup_free_ char *keys = fixture_mariadb_text(
		f,
		"SELECT TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX, COLUMN_NAME, NON_UNIQUE FROM "
		"information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1, 2, 3");
	_cleanup_free_ char *foreign = fixture_mariadb_text(
		f,
		"SELECT TABLE_NAME, CONSTRAINT_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS "
		"WHERE CONSTRAINT_SCHEMA = DATABASE() ORDER BY 1, 2");
	_cleanup_free_ char *tables = fixture_mariadb_text(
		f,
		"SELECT GROUP_CONCAT(TABLE_NAME ORDER BY 1 SEPARATOR ', ') FROM information_schema.TABLES "
		"WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME <> 'volume_daemon_lease'");
	_cleanup_free_ char *sql = xasprintf("CHECKSUM TABLE %s EXTENDED", tables);
	_cleanup_free_ char *rows = fixture_mariadb_text(f, sql);

	return xasprintf("%s\n%s\n%s\n%s\n", shape, keys, foreign, rows);
}

static void assert_text(struct fixture *f, const char *sql, const char *expected)
{
	_cleanup_free_ char *text = fixture_mariadb_text(f, sql);

	assert_string_equal(text, expected);
}

static void assert_says(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in:\n%s", part, text);
}

static const char *const production[] = { "production", "production_rows", NULL };

static void a_production_database_is_taken_over_whole(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *first = NULL, *second = NULL, *third = NULL, *faults = NULL;
	struct store_loaded loaded;

	begin(f, production);
	fixture_open(f);
	loaded = fixture_load(f);
	assert_int_equal(loaded.mapping_count, 3);
	for (size_t i = 0; i < 3; i++) {
		_cleanup_free_ char *volume = xasprintf(VOLUME "%zu", i + 1);

		assert_string_equal(loaded.mappings[i].volume_id, volume);
		assert_string_equal(loaded.mappings[i].volume_uuid, volume);
	}
	assert_int_equal(loaded.export_count, 2);
	assert_string_equal(loaded.exports[1].volume_id, VOLUME "2");
	store_loaded_clear(&loaded);
	assert_text(f, "SHOW TABLES LIKE '%set_aside'", "");
	assert_text(f,
		    "SELECT id, vm_context_id, requires_device_correlation, ossea_snapshot_id, "
		    "snapshot_created_at, snapshot_status FROM device_mappings ORDER BY id",
		    "m-1|ctx-1|1|snap-1|2025-09-02 10:00:00|ready\nm-2|ctx-1|1|NULL|NULL|none\n"
		    "m-3|ctx-2|0|NULL|NULL|NULL");
	assert_text(f, "SELECT job_id, vm_disk_id, status, size FROM nbd_exports ORDER BY id",
		    "job-1|1|active|0\njob-1|2|active|0");
	assert_text(
		f, "SELECT type, status, error FROM volume_operations ORDER BY id",
		"create|completed|NULL\nattach|completed|NULL\ndetach|failed|it is in use\n"
		"delete|failed|an earlier daemon left it unfinished; look what became of the volume");
	faults = check(f);
	assert_string_equal(faults, "");

	/* The next start finds nothing to do, nor does one that comes after half a take-over. */
	first = everything(f);
	fixture_reopen(f);
	second = everything(f);
	assert_string_equal(second, first);
	fixture_close(f);
	fixture_mariadb_run(f, "UPDATE volume_daemon_schema SET version = 0");
	fixture_open(f);
	third = everything(f);
	assert_string_equal(third, first);
}

static void an_empty_production_database_is_taken_over(void **state)
{
	struct fixture *f = *state;

	begin(f, (const char *const[]){ "production", NULL });
	fixture_open(f);
	assert_ok(fixture_commit(f, batch_with_operation("op-1", OPERATION_PENDING)));
	assert_ok(fixture_commit(f, batch_with_mapping(VOLUME "1", VM_A, "/dev/vdb")));
	/* The earlier key was unique over all machines. */
	assert_ok(fixture_commit(f, batch_with_mapping(VOLUME "2", VM_B, "/dev/vdb")));
	fixture_reopen(f);
}

/* A row of the hub that goes takes nothing of ours along, and forbids nothing. */
static void the_hub_s_rows_own_no_row_of_the_daemon_any_more(void **state)
{
	struct fixture *f = *state;

	begin(f, production);
	fixture_open(f);
	fixture_mariadb_run(f, "DELETE FROM vm_replication_contexts");
	assert_text(f, "SELECT COUNT(*) FROM ossea_volumes", "0");
	assert_text(f, "SELECT COUNT(*) FROM device_mappings", "3");
	assert_text(f, "SELECT COUNT(*) FROM nbd_exports", "2");
}

static void a_key_to_another_database_stays(void **state)
{
	struct fixture *f = *state;

	begin(f, production);
	fixture_mariadb_run(f, "CREATE OR REPLACE DATABASE elsewhere");
	fixture_mariadb_run(f, "CREATE TABLE elsewhere.device_mappings (id INT PRIMARY KEY)");
	fixture_mariadb_run(f, "CREATE TABLE hub_links (id INT PRIMARY KEY, CONSTRAINT stays "
			       "FOREIGN KEY (id) REFERENCES elsewhere.device_mappings (id))");
	fixture_open(f);
	assert_text(f,
		    "SELECT CONSTRAINT_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE "
		    "CONSTRAINT_SCHEMA = DATABASE() AND TABLE_NAME = 'hub_links'",
		    "stays");
	fixture_mariadb_run(f, "DROP TABLE hub_links");
	fixture_mariadb_run(f, "DROP DATABASE elsewhere");
}

static void rows_that_cannot_stay_are_named(void **state)
{
	static const char *const lines[] = {
		"m-4|it has no volume_id",
		"3|it has no volume_id",
		"4|a newer row has the same volume_id: " VOLUME "1",
	};
	struct fixture *f = *state;
	_cleanup_free_ char *planned = NULL, *found = NULL, *again = NULL;

	begin(f, (const char *const[]){ "production", "production_rows", "production_conflicts",
					NULL });
	planned = plan(f);
	fixture_open(f);
	assert_text(f, "SELECT id, set_aside_because FROM device_mappings_set_aside", lines[0]);
	assert_text(
		f,
		"SELECT id, set_aside_because, job_id, export_name FROM nbd_exports_set_aside "
		"ORDER BY id",
		"3|it has no volume_id|job-1|nameless\n4|a newer row has the same volume_id: " VOLUME
		"1|job-1|second");
	assert_text(f, "SELECT COUNT(*) FROM device_mappings", "3");
	assert_text(f, "SELECT COUNT(*) FROM nbd_exports", "2");

	/* What the plan said, and what a check says. */
	found = check(f);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		const char *id = lines[i], *reason = strchr(id, '|') + 1;
		const char *table = i == 0 ? "device_mappings" : "nbd_exports";
		_cleanup_free_ char *row = xstrndup(id, (size_t)(reason - id) - 1);
		_cleanup_free_ char *before =
			xasprintf("%s: row %s is moved to table %s_set_aside: %s\n", table, row,
				  table, reason);
		_cleanup_free_ char *after = xasprintf("%s %s: set aside", table, row);

		assert_says(planned, before);
		assert_says(found, after);
		assert_says(found, reason);
	}
	fixture_reopen(f);
	again = check(f);
	assert_string_equal(again, found);
}

/* Otherwise a row that another program writes in between would be deleted without a copy. */
static void rows_that_are_moved_are_locked(void **state)
{
	struct fixture *f = *state;

	begin(f, (const char *const[]){ "production", "production_rows", "production_conflicts",
					NULL });
	fixture_mariadb_run(f, "CREATE TABLE device_mappings_set_aside (set_aside_because TEXT)");
	fixture_mariadb_run(f, "CREATE TABLE seen (level VARCHAR(64))");
	fixture_mariadb_run(
		f, "CREATE TRIGGER sees BEFORE INSERT ON device_mappings_set_aside FOR EACH ROW "
		   "INSERT INTO seen SELECT trx_isolation_level FROM information_schema.INNODB_TRX "
		   "WHERE trx_mysql_thread_id = CONNECTION_ID()");
	fixture_open(f);
	assert_text(f, "SELECT level FROM seen", "REPEATABLE READ");
	assert_text(f, "SELECT id FROM device_mappings_set_aside", "m-4");
}

static void a_plan_says_all_and_does_nothing(void **state)
{
	static const char *const sentences[] = {
		"foreign key fk_device_mappings_context from table device_mappings to table "
		"vm_replication_contexts is removed",
		"foreign key fk_nbd_exports_mapping from table nbd_exports to table device_mappings is "
		"removed",
		"device_mappings: column volume_id is filled from column volume_uuid where it is empty",
		"device_mappings: columns are added: volume_id, by_id_path",
		"device_mappings: key device_path (device_path) is not unique any more",
		"device_mappings: 3 rows are kept",
		"volume_operations: column type: enum('create','attach','detach','delete','cleanup') "
		"becomes VARCHAR(32)",
		"operation 22222222-0000-4000-8000-000000000004, which is executing, ends as failed",
		"nbd_exports: column config_path of another program no longer needs a value",
		"nbd_exports: column volume_id is filled from column device_mapping_uuid where it is empty",
		"nbd_exports: 2 rows are kept",
		"device_names: the table is made",
	};
	struct fixture *f = *state;
	_cleanup_free_ char *before = NULL, *planned = NULL, *after = NULL, *half = NULL,
			    *done = NULL;

	begin(f, production);
	before = everything(f);
	planned = plan(f);
	after = everything(f);
	assert_string_equal(after, before);
	for (size_t i = 0; i < ARRAY_SIZE(sentences); i++)
		assert_says(planned, sentences[i]);
	fixture_open(f);
	fixture_close(f);
	/* Of a take-over that was interrupted, the rest is planned. */
	fixture_mariadb_run(f, "UPDATE volume_daemon_schema SET version = 1");
	half = plan(f);
	assert_says(half, "nbd_exports: 2 rows are kept");
	assert_null(strstr(half, "device_mappings: "));
	fixture_open(f);
	done = plan(f);
	assert_says(done, "nothing is taken over");
}

static void the_tables_that_it_shipped_are_taken_over(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *planned = NULL;
	struct store_loaded loaded;
	struct store_batch *batch = store_batch_new(VOLUME "1");

	begin(f, (const char *const[]){ "shipped", NULL });
	/* The server shows triggers to those alone who have this right. */
	fixture_mariadb_run(f, "GRANT TRIGGER ON *.* TO test@localhost");
	planned = plan(f);
	assert_says(planned, "trigger exports_go_with_their_mapping (BEFORE DELETE: DELETE FROM");
	fixture_open(f);
	assert_text(f, "SHOW TRIGGERS", "");
	loaded = fixture_load(f);
	assert_int_equal(loaded.mapping_count, 2);
	assert_int_equal(loaded.export_count, 1);
	assert_string_equal(loaded.exports[0].volume_id, VOLUME "1");
	store_loaded_clear(&loaded);
	assert_text(f, "SHOW TABLES LIKE '%set_aside'", "");
	/* An export outlives its mapping until the daemon itself removes it. */
	store_batch_unmap(batch, VOLUME "1");
	assert_ok(fixture_commit(f, batch));
	assert_text(f, "SELECT COUNT(*) FROM nbd_exports", "1");
	fixture_reopen(f);
}

/* The take-over fills columns, which must not make a row younger. */
static void the_newer_of_two_rows_stays(void **state)
{
	struct fixture *f = *state;

	begin(f, (const char *const[]){ "shipped", NULL });
	fixture_mariadb_run(f, "GRANT TRIGGER ON *.* TO test@localhost");
	fixture_mariadb_run(f, "UPDATE nbd_exports SET updated_at = '2025-09-01 10:00:00'");
	fixture_mariadb_run(
		f,
		"INSERT INTO nbd_exports (id, volume_uuid, export_name, device_path, updated_at) "
		"VALUES ('nbd-export-0', '" VOLUME
		"1', 'newer', '/dev/vdb', '2025-09-02 10:00:00')");
	fixture_mariadb_run(f, "UPDATE device_mappings SET updated_at = '2025-09-03 10:00:00'");
	fixture_open(f);
	assert_text(f, "SELECT id FROM nbd_exports_set_aside", "nbd-export-1");
	assert_text(f, "SELECT id, updated_at FROM nbd_exports",
		    "nbd-export-0|2025-09-02 10:00:00.000");
	assert_text(f, "SELECT DISTINCT updated_at FROM device_mappings",
		    "2025-09-03 10:00:00.000");
}

/* The server takes such a time from any program that does not ask it to be strict. */
static void zero_times_become_none(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *planned = NULL, *found = NULL;
	struct store_loaded loaded;

	begin(f, production);
	fixture_mariadb_run(f, "SET sql_mode = ''");
	fixture_mariadb_run(f, "UPDATE device_mappings SET created_at = '0000-00-00 00:00:00', "
			       "snapshot_created_at = '0000-00-00 00:00:00' WHERE id = 'm-1'");
	fixture_mariadb_run(f, "UPDATE nbd_exports SET created_at = '0000-00-00 00:00:00'");
	fixture_mariadb_run(
		f, "UPDATE nbd_exports SET updated_at = '2025-00-10 00:00:00' WHERE id = 1");
	fixture_mariadb_run(
		f,
		"UPDATE volume_operations SET created_at = '0000-00-00 00:00:00', updated_at = updated_at LIMIT 1");
	fixture_mariadb_run(f, "SET sql_mode = DEFAULT");
	planned = plan(f);
	assert_says(planned, "device_mappings: column created_at: 1 zero time becomes NULL\n");
	assert_says(planned, "nbd_exports: column created_at: 2 zero times become NULL\n");
	assert_says(planned, "nbd_exports: column updated_at: 1 zero time becomes NULL\n");
	fixture_open(f);
	assert_text(f, "SELECT created_at, attached_at FROM device_mappings WHERE id = 'm-1'",
		    "NULL|NULL");
	assert_text(f, "SELECT created_at, updated_at FROM nbd_exports ORDER BY id",
		    "NULL|NULL\nNULL|2025-09-01 10:00:01.000");
	assert_text(f, "SELECT snapshot_id, snapshot_created_at FROM tracked_snapshots",
		    "snap-1|NULL");
	assert_text(f, "SELECT created_at = updated_at FROM volume_operations LIMIT 1", "1");
	loaded = fixture_load(f);
	assert_int_equal(loaded.mapping_count, 3);
	store_loaded_clear(&loaded);
	found = check(f);
	assert_string_equal(found, "");
	fixture_reopen(f);
}

static void a_row_without_a_key_is_passed_over(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *found = NULL;
	struct store_loaded loaded;

	begin(f, production);
	fixture_open(f);
	fixture_close(f);
	fixture_mariadb_run(f, "INSERT INTO device_mappings (id, volume_id) VALUES ('m-0', '')");
	fixture_mariadb_run(f, "INSERT INTO nbd_exports (id, volume_id, export_name) VALUES "
			       "('e-0', '" VOLUME "3', '')");
	fixture_open(f);
	loaded = fixture_load(f);
	assert_int_equal(loaded.mapping_count, 3);
	assert_string_equal(loaded.mappings[0].volume_id, VOLUME "1");
	assert_int_equal(loaded.export_count, 2);
	store_loaded_clear(&loaded);
	found = check(f);
	assert_says(found, "device_mappings m-0: it has no volume_id");
	assert_says(found, "nbd_exports e-0: it has no export_name");
	assert_text(f, "SELECT COUNT(*) FROM device_mappings", "4");
}

/* ---- the hub's rows ---- */

#define STATE "SELECT status, device_path FROM ossea_volumes WHERE id = 4"
#define CONTEXTS                                                                                               \
	"SELECT m.vm_context_id, e.vm_context_id FROM device_mappings m JOIN nbd_exports e USING (volume_id) " \
	"WHERE volume_id = '" VOLUME "4'"

/* A volume of the hub's that is not attached. */
static void add_volume(struct fixture *f)
{
	fixture_mariadb_run(f, "INSERT INTO ossea_volumes (id, vm_context_id, volume_id, status) "
			       "VALUES (4, 'ctx-2', '" VOLUME "4', 'detached')");
}

static void attach(struct fixture *f, const char *device_path)
{
	struct store_batch *batch = batch_with_mapping(VOLUME "4", VM_A, device_path);

	put_export(batch, VOLUME "4", "migration-vol-" VOLUME "4");
	assert_ok(fixture_commit(f, batch));
}

static void detach(struct fixture *f)
{
	struct store_batch *batch = store_batch_new(VOLUME "4");

	store_batch_unmap(batch, VOLUME "4");
	assert_ok(fixture_commit(f, batch));
}

static void the_hub_s_rows_follow(void **state)
{
	struct fixture *f = *state;

	begin(f, production);
	add_volume(f);
	fixture_open(f);
	attach(f, "/dev/vdx");
	assert_text(f, STATE, "attached|/dev/vdx");
	assert_text(f, CONTEXTS, "ctx-2|ctx-2");
	attach(f, "/dev/vdy");
	assert_text(f, STATE, "attached|/dev/vdy");
	/* What the row says already is not written again. */
	attach(f, "/dev/vdy");
	assert_text(f, "SELECT COUNT(*) FROM hub_events", "2");
	/* The hub's own choice stays. */
	fixture_mariadb_run(f,
			    "UPDATE device_mappings SET vm_context_id = 'ctx-1' WHERE volume_id = "
			    "'" VOLUME "4'");
	attach(f, "/dev/vdz");
	assert_text(f, CONTEXTS, "ctx-1|ctx-2");
	detach(f);
	assert_text(f, STATE, "detached|NULL");
}

static void a_snapshot_of_the_hub_outlives_the_mapping(void **state)
{
	struct fixture *f = *state;

	begin(f, production);
	add_volume(f);
	fixture_open(f);
	attach(f, "/dev/vdx");
	fixture_mariadb_run(f, "UPDATE device_mappings SET ossea_snapshot_id = 'snap-4', "
			       "snapshot_status = 'ready' WHERE volume_id = '" VOLUME "4'");
	detach(f);
	assert_text(
		f,
		"SELECT snapshot_id, snapshot_status, vm_context_id FROM tracked_snapshots WHERE id = '" VOLUME
		"4'",
		"snap-4|ready|ctx-2");
	attach(f, "/dev/vdx");
	assert_text(
		f,
		"SELECT ossea_snapshot_id, snapshot_status FROM device_mappings WHERE volume_id = '" VOLUME
		"4'",
		"snap-4|ready");
}

/* Waits until a batch behind it has landed. */
static void heal(struct fixture *f)
{
	store_heal_links(f->store);
	attach(f, "/dev/vdx");
}

static void a_context_that_is_gone_is_cleared(void **state)
{
	struct fixture *f = *state;

	begin(f, production);
	add_volume(f);
	fixture_open(f);
	attach(f, "/dev/vdx");
	/* The hub's key removes its row of the volume as well, but not ours. */
	fixture_mariadb_run(f, "DELETE FROM vm_replication_contexts WHERE context_id = 'ctx-2'");
	assert_text(f, CONTEXTS, "ctx-2|ctx-2");
	heal(f);
	assert_text(f, CONTEXTS, "NULL|NULL");
	assert_text(f, "SELECT COUNT(*) FROM device_mappings WHERE vm_context_id = 'ctx-1'", "2");
	/* And set again when the hub takes the volume up anew. */
	fixture_mariadb_run(
		f,
		"INSERT INTO vm_replication_contexts (context_id, vm_name) VALUES ('ctx-2', 'x')");
	add_volume(f);
	heal(f);
	assert_text(f, CONTEXTS, "ctx-2|ctx-2");
}

static void a_fault_of_the_hub_s_rows_holds_nothing_up(void **state)
{
	struct fixture *f = *state;

	begin(f, production);
	add_volume(f);
	fixture_mariadb_run(
		f, "CREATE TRIGGER hub_refuses BEFORE UPDATE ON ossea_volumes FOR EACH ROW "
		   "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not today'");
	fixture_open(f);
	attach(f, "/dev/vdx");
	assert_text(f, STATE, "detached|NULL");
	assert_text(f, CONTEXTS, "ctx-2|ctx-2");
	fixture_mariadb_run(f, "DROP TRIGGER hub_refuses");
	attach(f, "/dev/vdy");
	assert_text(f, STATE, "attached|/dev/vdy");
	/* The hub removes its tables under the running daemon. */
	fixture_mariadb_run(f, "DROP TABLE vm_disks, ossea_volumes");
	detach(f);
	attach(f, "/dev/vdx");
	assert_text(f, CONTEXTS, "NULL|ctx-2");
	fixture_reopen(f);
}

/* Runs the healing alone: the batch behind it is of a volume that the hub does not know. */
static void heal_alone(struct fixture *f)
{
	store_heal_links(f->store);
	assert_ok(fixture_commit(f, batch_with_mapping(VOLUME "5", VM_B, "/dev/vdb")));
}

/* A store that is slow leaves the healing out, until the next time. */
static void heal_until(struct fixture *f, const char *sql, const char *expected)
{
	char *text;
	bool is_healed;

	for (int i = 0; i < 100; i++) {
		heal_alone(f);
		text = fixture_mariadb_text(f, sql);
		is_healed = streq(text, expected);
		free(text);
		if (is_healed)
			return;
	}
	assert_text(f, sql, expected);
}

/* A transaction of the hub's that holds its row of the volume. */
#define HOLD "UPDATE ossea_volumes SET size_gb = size_gb + 1 WHERE id = 4"

static void a_row_that_the_hub_holds_holds_nothing_up(void **state)
{
	struct fixture *f = *state;

	begin(f, production);
	add_volume(f);
	fixture_open(f);
	fixture_mariadb_run(f, "START TRANSACTION");
	fixture_mariadb_run(f, HOLD);
	attach(f, "/dev/vdx");
	fixture_mariadb_run(f, "COMMIT");
	assert_text(f, STATE, "detached|NULL");
	assert_text(f, CONTEXTS, "ctx-2|ctx-2");
	attach(f, "/dev/vdy");
	assert_text(f, STATE, "attached|/dev/vdy");
}

static void a_state_that_was_missed_is_brought_back(void **state)
{
	struct fixture *f = *state;

	begin(f, production);
	add_volume(f);
	fixture_open(f);
	fixture_mariadb_run(f, "START TRANSACTION");
	fixture_mariadb_run(f, HOLD);
	attach(f, "/dev/vdx");
	fixture_mariadb_run(f, "COMMIT");
	heal_until(f, STATE, "attached|/dev/vdx");
	/* The hub's own word stays while the path is right. */
	fixture_mariadb_run(f, "UPDATE ossea_volumes SET status = 'in use' WHERE id = 4");
	heal_alone(f);
	assert_text(f, STATE, "in use|/dev/vdx");
	fixture_mariadb_run(f, "UPDATE ossea_volumes SET status = 'attached' WHERE id = 4");
	fixture_mariadb_run(f, "START TRANSACTION");
	fixture_mariadb_run(f, HOLD);
	detach(f);
	fixture_mariadb_run(f, "COMMIT");
	assert_text(f, STATE, "attached|/dev/vdx");
	heal_until(f, STATE, "detached|NULL");
	/* A volume that the hub attached by itself has no path. */
	fixture_mariadb_run(f, "UPDATE ossea_volumes SET status = 'attached' WHERE id = 4");
	heal_alone(f);
	assert_text(f, STATE, "attached|NULL");
}

static void healing_reads_rows_that_the_hub_holds(void **state)
{
	struct fixture *f = *state;

	begin(f, production);
	add_volume(f);
	fixture_open(f);
	attach(f, "/dev/vdx");
	fixture_mariadb_run(f, "UPDATE device_mappings SET vm_context_id = NULL");
	fixture_mariadb_run(f, "START TRANSACTION");
	fixture_mariadb_run(f, "UPDATE ossea_volumes SET size_gb = size_gb + 1");
	heal_until(f, "SELECT vm_context_id FROM device_mappings WHERE id = 'm-1'", "ctx-1");
	fixture_mariadb_run(f, "COMMIT");
}

/* The parts that cannot be tried at the start stay on. */
static void a_table_that_the_hub_holds_refuses_no_start(void **state)
{
	struct fixture *f = *state;

	begin(f, production);
	add_volume(f);
	fixture_open(f);
	fixture_close(f);
	fixture_mariadb_run(f, "LOCK TABLES ossea_volumes WRITE");
	fixture_open(f);
	fixture_mariadb_run(f, "UNLOCK TABLES");
	attach(f, "/dev/vdx");
	assert_text(f, STATE, "attached|/dev/vdx");
	assert_text(f, CONTEXTS, "ctx-2|ctx-2");
}

static void rights_on_the_hub_s_rows_may_be_missing(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *database = NULL, *revoke = NULL;

	begin(f, production);
	add_volume(f);
	fixture_open(f);
	fixture_close(f);
	database = fixture_mariadb_text(f, "SELECT DATABASE()");
	revoke = xasprintf("REVOKE UPDATE ON %s.* FROM test@localhost", database);
	fixture_mariadb_run(f, revoke);
	for (int i = 0; i < STORE_TABLE_COUNT; i++) {
		_cleanup_free_ char *grant =
			xasprintf("GRANT UPDATE ON %s TO test@localhost", store_tables[i].name);

		fixture_mariadb_run(f, grant);
	}
	fixture_mariadb_run(f, "GRANT UPDATE ON volume_daemon_lease TO test@localhost");
	fixture_mariadb_run(f, "GRANT UPDATE ON volume_daemon_schema TO test@localhost");
	fixture_open(f);
	attach(f, "/dev/vdx");
	assert_text(f, STATE, "detached|NULL");
	assert_text(f, CONTEXTS, "ctx-2|ctx-2");
}

/* The statements that the guide gives for the way back. */
static char *statements_of_the_guide(void)
{
	_cleanup_free_ char *guide = read_file_at(AT_FDCWD, GUIDE, 1 << 20, NULL);
	const char *begin = guide ? strstr(guide, "```sql\nALTER ") : NULL;
	const char *end = begin ? strstr(begin + 7, "```") : NULL;

	assert_non_null(end);
	return xstrndup(begin + 7, (size_t)(end - begin) - 7);
}

static void the_way_back_is_open_and_forward_again(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *back = statements_of_the_guide();
	struct store_loaded loaded;

	begin(f, production);
	fixture_open(f);
	assert_ok(fixture_commit(f, batch_with_mapping(VOLUME "5", VM_A, "/dev/vdf")));
	fixture_close(f);
	fixture_mariadb_run_all(f, back);

	/* The earlier daemon names no id and no volume_id. */
	for (unsigned i = 6; i < 8; i++) {
		_cleanup_free_ char *mapping = xasprintf(
			"INSERT INTO device_mappings (volume_uuid, vm_id, device_path, cloudstack_state, "
			"linux_state, size) VALUES ('" VOLUME "%u', '" VM_A
			"', '/dev/vd%u', 'attached', 'detected', 1)",
			i, i);
		_cleanup_free_ char *export = xasprintf(
			"INSERT INTO nbd_exports (device_mapping_uuid, export_name, port, device_path, "
			"config_path, status) VALUES ('" VOLUME
			"%u', 'e%u', 10809, '/dev/vdg', '', 'active')",
			i, i);

		fixture_mariadb_run(f, mapping);
		fixture_mariadb_run(f, export);
	}
	fixture_mariadb_run(f,
			    "INSERT INTO volume_operations (id, type, status, volume_id, request) "
			    "VALUES ('o', 'attach', 'completed', '" VOLUME "6', '{}')");
	assert_text(f, "SELECT MAX(id) FROM nbd_exports", "4");

	fixture_open(f);
	loaded = fixture_load(f);
	assert_int_equal(loaded.mapping_count, 6);
	assert_int_equal(loaded.export_count, 4);
	store_loaded_clear(&loaded);
	assert_text(f, "SHOW TABLES LIKE '%set_aside'", "");
}

int main(void)
{
#define T(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_set_up, fixture_tear_down)
	const struct CMUnitTest tests[] = {
		T(a_production_database_is_taken_over_whole),
		T(an_empty_production_database_is_taken_over),
		T(the_hub_s_rows_own_no_row_of_the_daemon_any_more),
		T(a_key_to_another_database_stays),
		T(rows_that_cannot_stay_are_named),
		T(rows_that_are_moved_are_locked),
		T(a_plan_says_all_and_does_nothing),
		T(the_tables_that_it_shipped_are_taken_over),
		T(the_newer_of_two_rows_stays),
		T(zero_times_become_none),
		T(a_row_without_a_key_is_passed_over),
		T(the_hub_s_rows_follow),
		T(a_snapshot_of_the_hub_outlives_the_mapping),
		T(a_context_that_is_gone_is_cleared),
		T(a_fault_of_the_hub_s_rows_holds_nothing_up),
		T(a_row_that_the_hub_holds_holds_nothing_up),
		T(a_state_that_was_missed_is_brought_back),
		T(healing_reads_rows_that_the_hub_holds),
		T(a_table_that_the_hub_holds_refuses_no_start),
		T(rights_on_the_hub_s_rows_may_be_missing),
		T(the_way_back_is_open_and_forward_again),
	};

	if (!fixture_mariadb_start())
		return 77;
	fixture_variant = &variant_mariadb;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
