/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What every store promises about changes: each test runs against every variant. */

#include <stdio.h>

#include "fixture.h"

static void assert_stored(struct fixture *f, const char *id, bool stored)
{
	struct list list = fixture_find(f, id);

	assert_ok(list.err);
	assert_int_equal(list.count, stored);
	list_clear(&list);
}

/* ---- rows ---- */

static void a_new_store_is_empty_and_well(void **state)
{
	struct fixture *f = *state;
	struct store_loaded loaded = fixture_load(f);
	struct store_health health = fixture_health(f);

	assert_int_equal(loaded.operation_count, 0);
	assert_int_equal(loaded.mapping_count, 0);
	assert_int_equal(loaded.name_count, 0);
	assert_int_equal(loaded.export_count, 0);
	assert_false(health.away);
	assert_string_equal(health.reason, "");
	assert_int_equal(health.waiting, 0);
	assert_int_equal(health.oldest_ms, 0);
	assert_int_equal(health.transactions, 0);
	store_loaded_clear(&loaded);
}

static void every_field_survives_a_restart(void **state)
{
	struct fixture *f = *state;
	struct operation_record operation = { 0 };
	struct mapping_record mapping = { 0 };
	struct name_record name = { 0 };
	struct export_record export = { 0 };
	struct store_batch *batch = store_batch_new("v");
	struct store_loaded loaded;

	fill_record(&operation_record, &operation, 1);
	fill_record(&mapping_record, &mapping, 2);
	fill_record(&name_record, &name, 3);
	fill_record(&export_record, &export, 4);
	store_batch_operation(batch, &operation);
	store_batch_mapping(batch, &mapping);
	store_batch_name(batch, &name);
	store_batch_export(batch, &export);
	assert_ok(fixture_commit(f, batch));
	fixture_reopen(f);
	loaded = fixture_load(f);
	assert_int_equal(loaded.operation_count, 1);
	assert_int_equal(loaded.mapping_count, 1);
	assert_same(&operation_row, &loaded.operations[0], &operation);
	/* It waits no more when it is loaded. */
	assert_null(loaded.operations[0].waits_for);
	assert_int_equal(loaded.name_count, 1);
	assert_int_equal(loaded.export_count, 1);
	assert_same(&mapping_record, &loaded.mappings[0], &mapping);
	assert_same(&name_record, &loaded.names[0], &name);
	assert_same(&export_row, &loaded.exports[0], &export);
	/* Whoever was connected is not any more. */
	assert_null(loaded.exports[0].clients);
	store_loaded_clear(&loaded);
	record_clear(&operation_record, &operation);
	record_clear(&mapping_record, &mapping);
	record_clear(&name_record, &name);
	record_clear(&export_record, &export);
}

static void what_is_not_set_stays_not_set(void **state)
{
	struct fixture *f = *state;
	struct operation_record operation = { .id = (char[]){ "op-1" } };
	struct mapping_record mapping = { .id = (char[]){ "map" },
					  .volume_id = (char[]){ "v" },
					  .device_path = (char[]){ "" } };
	struct export_record export = { .id = (char[]){ "exp" },
					.volume_id = (char[]){ "v" },
					.export_name = (char[]){ "migration-vol-v" } };
	struct store_batch *batch = store_batch_new("v");
	struct store_loaded loaded;

	store_batch_operation(batch, &operation);
	store_batch_mapping(batch, &mapping);
	store_batch_export(batch, &export);
	assert_ok(fixture_commit(f, batch));
	loaded = fixture_load(f);
	/* Except the one that is "" until it is known. */
	assert_string_equal(loaded.operations[0].volume_id, "");
	assert_null(loaded.operations[0].vm_id);
	assert_int_equal(loaded.operations[0].completed_at, 0);
	assert_null(loaded.mappings[0].device_path);
	operation.volume_id = (char[]){ "" };
	mapping.device_path = NULL;
	assert_same(&operation_record, &loaded.operations[0], &operation);
	assert_same(&mapping_record, &loaded.mappings[0], &mapping);
	assert_same(&export_row, &loaded.exports[0], &export);
	store_loaded_clear(&loaded);
}

#define V7(DIGITS) "019a" DIGITS "-0000-7000-8000-000000000000"
#define V4_OF_LATE "ffffffff-ffff-4fff-bfff-ffffffffffff"

static void commit_operation(struct fixture *f, const char *id, int status, int64_t created_at)
{
	struct store_batch *batch = store_batch_new(id);
	struct operation_record operation = { 0 };

	make_operation(&operation, id, status, "v");
	operation.created_at = created_at;
	operation.updated_at = created_at + 5;
	store_batch_operation(batch, &operation);
	record_clear(&operation_record, &operation);
	assert_ok(fixture_commit(f, batch));
}

/* Only new records come after those: ended operations count, and random ids tell no time. */
static void load_tells_the_newest_id_and_time(void **state)
{
	struct fixture *f = *state;
	int64_t begun_ms = clock_record_ms();
	struct store_batch *batch;
	struct store_loaded loaded;

	commit_operation(f, "op-" V7("0001"), OPERATION_PENDING, 1000);
	commit_operation(f, "op-" V7("0003"), OPERATION_COMPLETED, 1000);
	commit_operation(f, "op-" V7("0002"), OPERATION_COMPLETED, 3000);
	commit_operation(f, "op-" V4_OF_LATE, OPERATION_COMPLETED, 2000);
	commit_operation(f, V4_OF_LATE, OPERATION_COMPLETED, 2000);
	loaded = fixture_load(f);
	assert_string_equal(loaded.newest_id, V7("0003"));
	assert_int_equal(loaded.newest_ms, 3005);
	store_loaded_clear(&loaded);

	batch = store_batch_new("v");
	store_batch_history(batch, V4_OF_LATE, "pending", "failed", NULL, NULL);
	assert_ok(fixture_commit(f, batch));
	loaded = fixture_load(f);
	assert_true(strcmp(loaded.newest_id, V7("0003")) > 0);
	assert_in_range(loaded.newest_ms, begun_ms, clock_record_ms());
	store_loaded_clear(&loaded);
}

static void put_snapshot(struct store_batch *batch, const char *volume_id, const char *status)
{
	struct snapshot_record record = { .snapshot_created_at = INT64_C(1795384203123) };

	str_set(&record.id, volume_id);
	str_set(&record.vm_context_id, "ctx-1");
	str_set(&record.snapshot_id, "snap-1");
	str_set(&record.snapshot_status, status);
	store_batch_snapshot(batch, &record);
	record_clear(&snapshot_record, &record);
}

static void snapshots_are_kept_replaced_and_removed(void **state)
{
	struct fixture *f = *state;
	struct store_batch *batch = store_batch_new("snapshots");
	struct store_loaded loaded;

	put_snapshot(batch, "v1", "creating");
	put_snapshot(batch, "v2", NULL);
	assert_ok(fixture_commit(f, batch));
	batch = store_batch_new("snapshots");
	put_snapshot(batch, "v1", "ready");
	assert_ok(fixture_commit(f, batch));
	loaded = fixture_load(f);
	assert_int_equal(loaded.snapshot_count, 2);
	assert_string_equal(loaded.snapshots[0].id, "v1");
	assert_string_equal(loaded.snapshots[0].snapshot_status, "ready");
	assert_int_equal(loaded.snapshots[0].snapshot_created_at, INT64_C(1795384203123));
	assert_string_equal(loaded.snapshots[1].snapshot_status, "none");
	store_loaded_clear(&loaded);
	batch = store_batch_new("snapshots");
	store_batch_unsnapshot(batch, "v1");
	assert_ok(fixture_commit(f, batch));
	loaded = fixture_load(f);
	assert_int_equal(loaded.snapshot_count, 1);
	assert_string_equal(loaded.snapshots[0].id, "v2");
	store_loaded_clear(&loaded);
}

static void marks_are_kept_and_renewed(void **state)
{
	struct fixture *f = *state;
	struct store_loaded loaded = fixture_load(f);
	struct store_batch *batch = store_batch_new("marks");

	assert_null(store_loaded_mark(&loaded, STORE_MARK_ID));
	store_loaded_clear(&loaded);
	store_batch_mark(batch, STORE_MARK_ID, "0123456789ab");
	store_batch_mark(batch, STORE_MARK_VM, VM_A);
	store_batch_mark(batch, STORE_MARK_MACHINE, NULL);
	assert_ok(fixture_commit(f, batch));
	batch = store_batch_new("marks");
	store_batch_mark(batch, STORE_MARK_ID, "ba9876543210");
	/* Its ids have left the store. */
	store_batch_mark(batch, STORE_MARK_NEWEST, V7("0009"));
	assert_ok(fixture_commit(f, batch));
	commit_operation(f, "op-" V7("0003"), OPERATION_COMPLETED, 1000);

	loaded = fixture_load(f);
	assert_string_equal(store_loaded_mark(&loaded, STORE_MARK_ID), "ba9876543210");
	assert_string_equal(store_loaded_mark(&loaded, STORE_MARK_VM), VM_A);
	assert_null(store_loaded_mark(&loaded, STORE_MARK_MACHINE));
	assert_string_equal(loaded.newest_id, V7("0009"));
	store_loaded_clear(&loaded);
}

static void load_gives_operations_in_the_order_of_acceptance(void **state)
{
	struct fixture *f = *state;
	struct store_loaded loaded;

	commit_operation(f, "op-" V4_OF_LATE, OPERATION_PENDING, 1000);
	commit_operation(f, "op-" V7("0002"), OPERATION_EXECUTING, 2000);
	commit_operation(f, "op-" V7("0001"), OPERATION_PENDING, 2000);
	loaded = fixture_load(f);
	assert_int_equal(loaded.operation_count, 3);
	assert_string_equal(loaded.operations[0].id, "op-" V4_OF_LATE);
	assert_string_equal(loaded.operations[1].id, "op-" V7("0001"));
	assert_string_equal(loaded.operations[2].id, "op-" V7("0002"));
	store_loaded_clear(&loaded);
}

static void a_later_row_replaces_an_earlier_one(void **state)
{
	struct fixture *f = *state;
	struct mapping_record second = { 0 };
	struct store_batch *batch;
	struct store_loaded loaded;

	assert_ok(fixture_commit(f, batch_with_operation("op-1", OPERATION_PENDING)));
	assert_ok(fixture_commit(f, batch_with_operation("op-1", OPERATION_EXECUTING)));
	assert_ok(fixture_commit(f, batch_with_mapping("v", VM_A, "/dev/vdb")));
	assert_ok(fixture_commit(f, batch_with_mapping("v", VM_A, "/dev/vdb")));
	/* By the volume, whatever the id. */
	fill_record(&mapping_record, &second, 3);
	str_set(&second.volume_id, "v");
	batch = store_batch_new("v");
	store_batch_mapping(batch, &second);
	assert_ok(fixture_commit(f, batch));
	loaded = fixture_load(f);
	assert_int_equal(loaded.operation_count, 1);
	assert_int_equal(loaded.operations[0].status, OPERATION_EXECUTING);
	assert_int_equal(loaded.mapping_count, 1);
	assert_same(&mapping_record, &loaded.mappings[0], &second);
	store_loaded_clear(&loaded);
	record_clear(&mapping_record, &second);
}

/* Its next step, which changes nothing by which it is listed. */
static void an_operation_stays_where_lists_have_it(void **state)
{
	struct fixture *f = *state;
	struct operation_record operation = { 0 };
	struct store_batch *batch = store_batch_new("v");
	struct store_loaded loaded;

	fill_record(&operation_record, &operation, 1);
	operation.status = OPERATION_EXECUTING;
	store_batch_operation(batch, &operation);
	assert_ok(fixture_commit(f, batch));
	str_set(&operation.step, "the next one");
	str_set(&operation.context, "{\"found\":true}");
	operation.step_since += 1000;
	operation.updated_at += 1000;
	batch = store_batch_new("v");
	store_batch_operation_stays(batch, &operation);
	assert_ok(fixture_commit(f, batch));
	/* A row that is not there is written whole. */
	str_set(&operation.id, "op-without-a-row");
	batch = store_batch_new("v");
	store_batch_operation_stays(batch, &operation);
	assert_ok(fixture_commit(f, batch));
	fixture_reopen(f);
	loaded = fixture_load(f);
	assert_int_equal(loaded.operation_count, 2);
	for (size_t i = 0; i < 2; i++) {
		str_set(&operation.id, loaded.operations[i].id);
		assert_same(&operation_row, &loaded.operations[i], &operation);
	}
	store_loaded_clear(&loaded);
	record_clear(&operation_record, &operation);
}

static void a_later_name_or_export_replaces_that_of_the_volume(void **state)
{
	struct fixture *f = *state;
	struct export_record export = { 0 };
	struct name_record name = { 0 };
	struct store_batch *batch = store_batch_new("v");
	struct store_loaded loaded;

	put_name(batch, "v", "vol1");
	put_name(batch, "w", "vol2");
	put_export(batch, "v", "first");
	put_export(batch, "w", "second");
	assert_ok(fixture_commit(f, batch));
	fill_record(&name_record, &name, 1);
	fill_record(&export_row, &export, 2);
	str_set(&name.volume_id, "v");
	str_set(&export.volume_id, "v");
	batch = store_batch_new("v");
	store_batch_name(batch, &name);
	store_batch_export(batch, &export);
	store_batch_unname(batch, "w");
	store_batch_unexport(batch, "w");
	store_batch_unexport(batch, "never was");
	assert_ok(fixture_commit(f, batch));
	fixture_reopen(f);
	loaded = fixture_load(f);
	assert_int_equal(loaded.name_count, 1);
	assert_same(&name_record, &loaded.names[0], &name);
	assert_int_equal(loaded.export_count, 1);
	assert_same(&export_row, &loaded.exports[0], &export);
	store_loaded_clear(&loaded);
	record_clear(&name_record, &name);
	record_clear(&export_row, &export);
}

static void load_gives_what_lives_oldest_first(void **state)
{
	struct fixture *f = *state;
	static const char *const ids[] = { "op-1", "op-3", "op-5", "op-2", "op-4" };
	struct store_loaded loaded;

	for (int status = 0; status < OPERATION_STATUS_COUNT; status++)
		assert_ok(fixture_commit(f, batch_with_operation(ids[status], status)));
	assert_ok(fixture_commit(f, batch_with_operation("op-0", OPERATION_EXECUTING)));
	loaded = fixture_load(f);
	assert_int_equal(loaded.operation_count, 3);
	assert_string_equal(loaded.operations[0].id, "op-0");
	assert_string_equal(loaded.operations[1].id, "op-1");
	assert_string_equal(loaded.operations[2].id, "op-3");
	store_loaded_clear(&loaded);
}

static void transitions_are_kept(void **state)
{
	struct fixture *f = *state;
	struct store_batch *batch = batch_with_operation("op-1", OPERATION_PENDING);
	_cleanup_free_ char *history = NULL;

	store_batch_history(batch, "op-1", NULL, "pending", NULL, NULL);
	assert_ok(fixture_commit(f, batch));
	batch = batch_with_operation("op-1", OPERATION_EXECUTING);
	store_batch_history(batch, "op-1", "pending", "executing", "{\"step\":\"claim\"}", NULL);
	store_batch_history(batch, "op-1", "executing", "executing", "{\"step\":\"publish\"}",
			    NULL);
	assert_ok(fixture_commit(f, batch));
	assert_ok(fixture_commit(f, batch_with_operation("op-2", OPERATION_PENDING)));
	history = f->variant->history(f, "op-1");
	assert_string_equal(history, ">pending: pending>executing:{\"step\":\"claim\"} "
				     "executing>executing:{\"step\":\"publish\"}");
}

static void a_transition_needs_its_operation(void **state)
{
	struct fixture *f = *state;
	struct store_batch *batch = batch_with_operation("op-1", OPERATION_PENDING);
	struct err err;

	store_batch_history(batch, "op-2", NULL, "pending", NULL, NULL);
	err = fixture_commit(f, batch);
	assert_int_equal(err.code, ERR_INTERNAL);
	assert_non_null(strstr(err.text, "op-2"));
	assert_stored(f, "op-1", false);
}

/* ---- keys ---- */

static void a_conflict_fails_alone(void **state)
{
	struct fixture *f = *state;
	struct store_batch *second = store_batch_new("v2");
	struct answer answers[3];
	struct store_loaded loaded;

	put_operation(second, "op-2", OPERATION_EXECUTING, "v2", 1);
	put_mapping(second, "v2", VM_A, "/dev/vdb");
	fixture_submit(f, batch_with_mapping("v1", VM_A, "/dev/vdb"), &answers[0]);
	fixture_submit(f, second, &answers[1]);
	fixture_submit(f, batch_with_mapping("v3", VM_B, "/dev/vdb"), &answers[2]);
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		fixture_wait_answer(f, &answers[i]);
	assert_ok(answers[0].err);
	assert_int_equal(answers[1].err.code, ERR_CONFLICT);
	assert_non_null(strstr(answers[1].err.text, "/dev/vdb"));
	assert_non_null(strstr(answers[1].err.text, "volume v1"));
	assert_non_null(strstr(answers[1].err.text, "volume v2"));
	assert_ok(answers[2].err);
	/* Nothing of the failed one, the operation included, and all of the others. */
	fixture_reopen(f);
	loaded = fixture_load(f);
	assert_int_equal(loaded.operation_count, 0);
	assert_int_equal(loaded.mapping_count, 2);
	assert_string_equal(loaded.mappings[0].volume_id, "v1");
	assert_string_equal(loaded.mappings[1].volume_id, "v3");
	store_loaded_clear(&loaded);
}

static void assert_taken(struct err err, const char *name)
{
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_non_null(strstr(err.text, name));
	assert_non_null(strstr(err.text, "that of volume v1"));
	assert_non_null(strstr(err.text, "volume v2 cannot have it"));
}

static void a_name_is_one_volume_s_until_it_is_given_back(void **state)
{
	struct fixture *f = *state;
	struct store_batch *batch = store_batch_new("v1");
	struct store_loaded loaded;

	put_name(batch, "v1", "vol12345678");
	put_export(batch, "v1", "migration-vol-x");
	assert_ok(fixture_commit(f, batch));
	batch = batch_with_operation("op-1", OPERATION_EXECUTING);
	put_name(batch, "v2", "vol12345678");
	assert_taken(fixture_commit(f, batch), "vol12345678");
	batch = batch_with_operation("op-1", OPERATION_EXECUTING);
	put_name(batch, "v2", "vol123456789");
	put_export(batch, "v2", "migration-vol-x");
	assert_taken(fixture_commit(f, batch), "migration-vol-x");
	loaded = fixture_load(f);
	assert_int_equal(loaded.operation_count, 0);
	assert_int_equal(loaded.name_count, 1);
	assert_int_equal(loaded.export_count, 1);
	store_loaded_clear(&loaded);
	batch = store_batch_new("v2");
	store_batch_unname(batch, "v1");
	store_batch_unexport(batch, "v1");
	put_name(batch, "v2", "vol12345678");
	put_export(batch, "v2", "migration-vol-x");
	assert_ok(fixture_commit(f, batch));
	loaded = fixture_load(f);
	assert_int_equal(loaded.name_count, 1);
	assert_string_equal(loaded.names[0].volume_id, "v2");
	assert_int_equal(loaded.export_count, 1);
	assert_string_equal(loaded.exports[0].volume_id, "v2");
	store_loaded_clear(&loaded);
}

static void a_failed_batch_takes_back_what_it_replaced(void **state)
{
	struct fixture *f = *state;
	struct store_batch *batch = store_batch_new("v2");
	struct store_loaded loaded;

	assert_ok(fixture_commit(f, batch_with_mapping("v1", VM_A, "/dev/vdb")));
	assert_ok(fixture_commit(f, batch_with_mapping("v2", VM_A, "/dev/vdc")));
	assert_ok(fixture_commit(f, batch_with_operation("op-1", OPERATION_PENDING)));
	put_operation(batch, "op-1", OPERATION_EXECUTING, NULL, 2);
	put_operation(batch, "op-1", OPERATION_COMPLETED, NULL, 3);
	store_batch_unmap(batch, "v2");
	put_mapping(batch, "v3", VM_A, "/dev/vdb");
	assert_int_equal(fixture_commit(f, batch).code, ERR_CONFLICT);
	loaded = fixture_load(f);
	assert_int_equal(loaded.operation_count, 1);
	assert_int_equal(loaded.operations[0].status, OPERATION_PENDING);
	assert_int_equal(loaded.mapping_count, 2);
	assert_string_equal(loaded.mappings[1].device_path, "/dev/vdc");
	store_loaded_clear(&loaded);
}

static void a_path_is_free_again_after_unmap(void **state)
{
	struct fixture *f = *state;
	struct store_batch *batch = store_batch_new("v2");
	struct store_loaded loaded;

	assert_ok(fixture_commit(f, batch_with_mapping("v1", VM_A, "/dev/vdb")));
	store_batch_unmap(batch, "v1");
	store_batch_unmap(batch, "never was");
	put_mapping(batch, "v2", VM_A, "/dev/vdb");
	assert_ok(fixture_commit(f, batch));
	loaded = fixture_load(f);
	assert_int_equal(loaded.mapping_count, 1);
	assert_string_equal(loaded.mappings[0].volume_id, "v2");
	store_loaded_clear(&loaded);
}

static void paths_not_known_yet_do_not_collide(void **state)
{
	struct fixture *f = *state;

	assert_ok(fixture_commit(f, batch_with_mapping("v1", VM_A, NULL)));
	assert_ok(fixture_commit(f, batch_with_mapping("v2", VM_A, NULL)));
	assert_ok(fixture_commit(f, batch_with_mapping("v3", VM_A, "")));
	assert_ok(fixture_commit(f, batch_with_mapping("v4", VM_A, "")));
}

/* ---- order ---- */

static void many_batches_land_in_order(void **state)
{
	struct fixture *f = *state;
	enum { COUNT = 2000 };
	struct answer *answers = xcalloc(COUNT, sizeof(answers[0]));
	struct store_loaded loaded;

	for (int i = 0; i < COUNT; i++) {
		struct store_batch *batch = store_batch_new("op-1");

		put_operation(batch, "op-1", OPERATION_EXECUTING, NULL, i + 1);
		fixture_submit(f, batch, &answers[i]);
	}
	assert_int_equal(fixture_health(f).waiting, COUNT);
	for (int i = 0; i < COUNT; i++) {
		fixture_wait_answer(f, &answers[i]);
		assert_ok(answers[i].err);
		assert_true(i == 0 || answers[i].order == answers[i - 1].order + 1);
	}
	assert_int_equal(fixture_health(f).waiting, 0);
	fixture_reopen(f);
	loaded = fixture_load(f);
	assert_int_equal(loaded.operation_count, 1);
	assert_int_equal(loaded.operations[0].updated_at, COUNT);
	store_loaded_clear(&loaded);
	free(answers);
}

static void find_landed(void *arg, const struct err *err)
{
	struct list *list = arg;

	assert_ok(*err);
	store_find_operation(list->store, "op-1", list_on_done, list);
}

static void a_read_sees_what_has_landed(void **state)
{
	struct fixture *f = *state;
	struct list list = { .loop = f->loop, .store = f->store };

	store_submit(f->store, batch_with_operation("op-1", OPERATION_COMPLETED), find_landed,
		     &list);
	fixture_wait(f, &list.done);
	assert_int_equal(list.count, 1);
	list_clear(&list);
}

struct chain {
	struct fixture *f;
	int left;
	bool done;
};

static void on_chain(void *arg, const struct err *err)
{
	struct chain *chain = arg;
	int left = chain->left;

	assert_ok(*err);
	if (chain->left-- > 0) {
		store_submit(chain->f->store, batch_with_operation("op-1", OPERATION_EXECUTING),
			     on_chain, chain);
		assert_int_equal(chain->left, left - 1);
		return;
	}
	chain->done = true;
	loop_stop(chain->f->loop);
}

static void done_may_submit(void **state)
{
	struct chain chain = { .f = *state, .left = 10 };

	store_submit(chain.f->store, batch_with_operation("op-1", OPERATION_PENDING), on_chain,
		     &chain);
	fixture_wait(chain.f, &chain.done);
	assert_int_equal(fixture_health(chain.f).transactions, 11);
}

/* ---- away ---- */

static void an_away_store_refuses_the_optional_and_keeps_the_rest(void **state)
{
	struct fixture *f = *state;
	struct answer first, optional, second, late_optional, third;
	struct store_batch *batch = batch_with_operation("op-optional", OPERATION_PENDING);
	struct store_loaded loaded;

	f->variant->set_away(f, true);
	fixture_submit(f, batch_with_mapping("v", VM_A, "/dev/vdb"), &first);
	store_batch_optional(batch);
	fixture_submit(f, batch, &optional);
	fixture_submit(f, batch_with_mapping("v", VM_A, "/dev/vdc"), &second);
	fixture_wait_answer(f, &optional);
	assert_int_equal(optional.err.code, ERR_UNAVAILABLE);
	assert_true(fixture_health(f).away);
	assert_true(strlen(fixture_health(f).reason) > 10);
	/* Now it is known. */
	batch = batch_with_operation("op-late", OPERATION_PENDING);
	store_batch_optional(batch);
	fixture_submit(f, batch, &late_optional);
	fixture_submit(f, batch_with_mapping("v", VM_A, "/dev/vdd"), &third);
	fixture_wait_answer(f, &late_optional);
	assert_int_equal(late_optional.err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(late_optional.err.text, fixture_health(f).reason));
	assert_int_equal(fixture_health(f).waiting, 3);
	assert_false(first.done || second.done || third.done);

	f->variant->set_away(f, false);
	fixture_wait_answer(f, &third);
	assert_ok(first.err);
	assert_ok(second.err);
	assert_ok(third.err);
	assert_true(first.order < second.order && second.order < third.order);
	fixture_wait_well(f);
	assert_string_equal(fixture_health(f).reason, "");
	fixture_reopen(f);
	loaded = fixture_load(f);
	assert_int_equal(loaded.operation_count, 0);
	assert_int_equal(loaded.mapping_count, 1);
	assert_string_equal(loaded.mappings[0].device_path, "/dev/vdd");
	store_loaded_clear(&loaded);
}

static void a_store_that_only_refused_gets_well_again(void **state)
{
	struct fixture *f = *state;
	struct store_batch *batch = batch_with_operation("op-1", OPERATION_PENDING);

	f->variant->set_away(f, true);
	store_batch_optional(batch);
	assert_int_equal(fixture_commit(f, batch).code, ERR_UNAVAILABLE);
	/* Not before it is: several attempts fall into this time. */
	for (int64_t until = clock_mono_ms() + 400; clock_mono_ms() < until; loop_turn(f->loop))
		assert_true(fixture_health(f).away);
	f->variant->set_away(f, false);
	fixture_wait_well(f);
	batch = batch_with_operation("op-2", OPERATION_PENDING);
	store_batch_optional(batch);
	assert_ok(fixture_commit(f, batch));
	fixture_reopen(f);
	assert_stored(f, "op-1", false);
	assert_stored(f, "op-2", true);
}

static void closing_an_away_store_ends(void **state)
{
	struct fixture *f = *state;
	struct answer answers[3];
	int64_t began = clock_mono_ms();

	f->variant->set_away(f, true);
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		fixture_submit(f, batch_with_operation("op-1", OPERATION_PENDING), &answers[i]);
	while (!fixture_health(f).away)
		loop_turn(f->loop);
	fixture_close(f);
	assert_true(clock_mono_ms() - began < 3000);
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		assert_int_equal(answers[i].calls, 1);
		assert_int_equal(answers[i].err.code, ERR_UNAVAILABLE);
	}
	f->variant->set_away(f, false);
	fixture_open(f);
	assert_stored(f, "op-1", false);
}

/* ---- closing ---- */

struct late {
	struct fixture *f;
	struct answer answer;
};

static void on_last(void *arg, const struct err *err)
{
	struct late *late = arg;

	assert_ok(*err);
	fixture_submit(late->f, batch_with_operation("op-late", OPERATION_PENDING), &late->answer);
}

static void close_waits_for_what_is_queued(void **state)
{
	struct fixture *f = *state;
	struct answer answers[300];
	struct late late = { .f = f };

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		fixture_submit(f, batch_with_operation("op-1", OPERATION_PENDING), &answers[i]);
	store_submit(f->store, batch_with_operation("op-2", OPERATION_PENDING), on_last, &late);
	fixture_close(f);
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		assert_int_equal(answers[i].calls, 1);
		assert_ok(answers[i].err);
	}
	/* What an answer asks for while the store closes is refused, not forgotten. */
	assert_int_equal(late.answer.calls, 1);
	assert_int_equal(late.answer.err.code, ERR_UNAVAILABLE);
	fixture_open(f);
}

#define T(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_set_up, fixture_tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(a_new_store_is_empty_and_well),
		T(every_field_survives_a_restart),
		T(what_is_not_set_stays_not_set),
		T(load_tells_the_newest_id_and_time),
		T(snapshots_are_kept_replaced_and_removed),
		T(marks_are_kept_and_renewed),
		T(load_gives_operations_in_the_order_of_acceptance),
		T(a_later_row_replaces_an_earlier_one),
		T(an_operation_stays_where_lists_have_it),
		T(a_later_name_or_export_replaces_that_of_the_volume),
		T(load_gives_what_lives_oldest_first),
		T(transitions_are_kept),
		T(a_transition_needs_its_operation),
		T(a_conflict_fails_alone),
		T(a_name_is_one_volume_s_until_it_is_given_back),
		T(a_failed_batch_takes_back_what_it_replaced),
		T(a_path_is_free_again_after_unmap),
		T(paths_not_known_yet_do_not_collide),
		T(many_batches_land_in_order),
		T(a_read_sees_what_has_landed),
		T(done_may_submit),
		T(an_away_store_refuses_the_optional_and_keeps_the_rest),
		T(a_store_that_only_refused_gets_well_again),
		T(closing_an_away_store_ends),
		T(close_waits_for_what_is_queued),
	};
	/* The small file system has no room for the others. */
	const struct CMUnitTest full_tests[] = {
		T(an_away_store_refuses_the_optional_and_keeps_the_rest),
		T(a_store_that_only_refused_gets_well_again),
		T(closing_an_away_store_ends),
	};

	if (!fixture_choose(argc, argv))
		return 77;
	if (fixture_variant == &variant_sqlite_full)
		return cmocka_run_group_tests_name(fixture_variant->name, full_tests, NULL, NULL);
	return cmocka_run_group_tests_name(fixture_variant->name, tests, NULL, NULL);
}
