/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Nothing here sleeps: a test turns the loop until what it waits for has been called. What never
 * comes is the time-out of the test run.
 */

#include "fixture.h"

#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "store/memory/memory.h"
#include "store/open.h"

#define WALL_MS INT64_C(1795384203123)

static unsigned answers;

/* ---- life ---- */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

struct fixture *fixture_new(const struct variant *variant)
{
	struct fixture *f = xnew(struct fixture);
	char folder[] = "/tmp/volume-daemon-store-XXXXXX";

	signal(SIGXFSZ, SIG_IGN);
	f->variant = variant;
	f->loop = loop_new();
	f->folder = xstrdup(mkdtemp(folder));
	assert_non_null(f->folder);
	f->path = xasprintf("%s/test.db", f->folder);
	variant->set_up(f);
	variant->open(f);
	return f;
}

void fixture_free(struct fixture *f)
{
	fixture_close(f);
	loop_free(f->loop);
	if (f->variant->tear_down)
		f->variant->tear_down(f);
	nftw(f->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	free(f->folder);
	free(f->path);
	free(f->url);
	free(f);
}

void fixture_open(struct fixture *f)
{
	struct err err = { 0 };

	f->store = store_open(f->loop, &(struct store_options){ .url = f->url }, &err);
	assert_string_equal(err.text, "");
	assert_non_null(f->store);
}

struct err fixture_refused(struct fixture *f)
{
	struct err err = { 0 };

	assert_null(store_open(f->loop, &(struct store_options){ .url = f->url }, &err));
	return err;
}

void fixture_close(struct fixture *f)
{
	f->store = store_close(f->store);
	assert_null(f->store);
}

void fixture_reopen(struct fixture *f)
{
	f->variant->reopen(f);
}

struct store_health fixture_health(const struct fixture *f)
{
	struct store_health health;

	store_health(f->store, &health);
	return health;
}

void fixture_wait(struct fixture *f, const bool *flag)
{
	while (!*flag)
		loop_run(f->loop);
}

void fixture_wait_well(struct fixture *f)
{
	while (fixture_health(f).away)
		loop_turn(f->loop);
}

/* ---- the variants ---- */

static void memory_set_up(struct fixture *f)
{
	f->url = xstrdup("memory:");
}

static void memory_reopen(struct fixture *f)
{
	f->store = store_memory_reopen(f->store);
}

static void memory_set_away(struct fixture *f, bool away)
{
	/* A new one is never away. */
	if (f->store)
		store_memory_set_away(f->store, away ? "the test has taken it away" : NULL);
}

static void add_transition(struct buf *out, const char *previous, const char *now,
			   const char *details)
{
	buf_printf(out, "%s%s>%s:%s", out->length ? " " : "", str_or(previous, ""), str_or(now, ""),
		   str_or(details, ""));
}

static char *memory_history(struct fixture *f, const char *operation_id)
{
	struct store_memory_transition transitions[16];
	size_t count =
		store_memory_history(f->store, operation_id, transitions, ARRAY_SIZE(transitions));
	struct buf out = BUF_NULL;

	assert_true(count <= ARRAY_SIZE(transitions));
	for (size_t i = 0; i < count; i++)
		add_transition(&out, transitions[i].previous_status, transitions[i].new_status,
			       transitions[i].details);
	fixture_close(f);
	return buf_take(&out);
}

const struct variant variant_memory = {
	.name = "memory",
	.set_up = memory_set_up,
	.open = fixture_open,
	.reopen = memory_reopen,
	.set_away = memory_set_away,
	.history = memory_history,
};

static void sqlite_set_up(struct fixture *f)
{
	f->url = xasprintf("sqlite://%s", f->path);
}

static void sqlite_reopen(struct fixture *f)
{
	fixture_close(f);
	fixture_open(f);
}

static void sqlite_set_away(struct fixture *f, bool away)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = away ? 0 : limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static char *sqlite_history(struct fixture *f, const char *operation_id)
{
	struct buf out = BUF_NULL;
	sqlite3_stmt *stmt;
	sqlite3 *db;

	fixture_close(f);
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	assert_int_equal(
		sqlite3_prepare_v2(
			db,
			"SELECT previous_status, new_status, details FROM volume_operation_history "
			"WHERE operation_id = ?1 ORDER BY id",
			-1, &stmt, NULL),
		SQLITE_OK);
	sqlite3_bind_text(stmt, 1, operation_id, -1, SQLITE_STATIC);
	while (sqlite3_step(stmt) == SQLITE_ROW)
		add_transition(&out, (const char *)sqlite3_column_text(stmt, 0),
			       (const char *)sqlite3_column_text(stmt, 1),
			       (const char *)sqlite3_column_text(stmt, 2));
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return buf_take(&out);
}

const struct variant variant_sqlite = {
	.name = "sqlite",
	.set_up = sqlite_set_up,
	.open = fixture_open,
	.reopen = sqlite_reopen,
	.set_away = sqlite_set_away,
	.history = sqlite_history,
};

static bool write_file(const char *path, const char *text)
{
	int _cleanup_close_ fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

bool fixture_may_mount(void)
{
	_cleanup_free_ char *uids = xasprintf("0 %u 1", getuid()),
			    *gids = xasprintf("0 %u 1", getgid());

	/* Somebody who is not root may be it in a name space, where the kernel allows that. */
	if (unshare(CLONE_NEWNS) < 0 &&
	    (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 ||
	     !write_file("/proc/self/setgroups", "deny") ||
	     !write_file("/proc/self/uid_map", uids) || !write_file("/proc/self/gid_map", gids)))
		return false;
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static void full_set_up(struct fixture *f)
{
	sqlite_set_up(f);
	assert_int_equal(mount("test", f->folder, "tmpfs", 0, "size=2m"), 0);
}

static void full_set_away(struct fixture *f, bool away)
{
	_cleanup_free_ char *path = xasprintf("%s/filler", f->folder);
	static const char block[4096];
	int _cleanup_close_ fd = -1;

	if (!away) {
		unlink(path);
		return;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	while (write(fd, block, sizeof(block)) > 0)
		;
}

static void full_tear_down(struct fixture *f)
{
	assert_int_equal(umount2(f->folder, MNT_DETACH), 0);
}

const struct variant variant_sqlite_full = {
	.name = "sqlite-full",
	.set_up = full_set_up,
	.open = fixture_open,
	.reopen = sqlite_reopen,
	.set_away = full_set_away,
	.tear_down = full_tear_down,
	.history = sqlite_history,
};

const struct variant *fixture_variant;

bool fixture_choose(int argc, char **argv)
{
	static const struct variant *const variants[] = { &variant_memory, &variant_sqlite,
							  &variant_sqlite_full, &variant_mariadb };

	for (size_t i = 0; i < ARRAY_SIZE(variants); i++) {
		if (argc == 2 && streq(argv[1], variants[i]->name))
			fixture_variant = variants[i];
	}
	if (!fixture_variant) {
		fprintf(stderr, "usage: %s memory|sqlite|sqlite-full|mariadb\n", argv[0]);
		exit(2);
	}
	if (fixture_variant == &variant_mariadb)
		return fixture_mariadb_start();
	return fixture_variant != &variant_sqlite_full || fixture_may_mount();
}

int fixture_set_up(void **state)
{
	*state = fixture_new(fixture_variant);
	return 0;
}

int fixture_tear_down(void **state)
{
	struct fixture *f = *state;

	f->variant->set_away(f, false);
	fixture_free(f);
	return 0;
}

/* ---- answers ---- */

void assert_ok(struct err err)
{
	assert_string_equal(err.text, "");
	assert_int_equal(err.code, ERR_NONE);
}

static void on_answer(void *arg, const struct err *err)
{
	struct answer *answer = arg;

	answer->calls++;
	answer->order = ++answers;
	answer->err = *err;
	answer->done = true;
	loop_stop(answer->loop);
}

void fixture_submit(struct fixture *f, struct store_batch *batch, struct answer *answer)
{
	*answer = (struct answer){ .loop = f->loop };
	store_submit(f->store, batch, on_answer, answer);
	/* Never inside the call. */
	assert_false(answer->done);
}

void fixture_wait_answer(struct fixture *f, const struct answer *answer)
{
	fixture_wait(f, &answer->done);
	assert_int_equal(answer->calls, 1);
}

struct err fixture_commit(struct fixture *f, struct store_batch *batch)
{
	struct answer answer;

	fixture_submit(f, batch, &answer);
	fixture_wait_answer(f, &answer);
	return answer.err;
}

void list_on_done(void *arg, const struct store_operations *result)
{
	struct list *list = arg;

	list->err = result->err;
	list->count = result->count;
	list->more = result->more;
	list->items = xcalloc(result->count ? result->count : 1, sizeof(list->items[0]));
	for (size_t i = 0; i < result->count; i++)
		record_copy(&operation_record, &list->items[i], &result->items[i]);
	list->done = true;
	loop_stop(list->loop);
}

void list_clear(struct list *list)
{
	for (size_t i = 0; i < list->count; i++)
		record_clear(&operation_record, &list->items[i]);
	free(list->items);
	*list = (struct list){ 0 };
}

struct list fixture_list(struct fixture *f, const struct store_operation_filter *filter)
{
	struct list list = { .loop = f->loop };

	store_list_operations(f->store, filter, list_on_done, &list);
	assert_false(list.done);
	fixture_wait(f, &list.done);
	return list;
}

struct list fixture_find(struct fixture *f, const char *id)
{
	struct list list = { .loop = f->loop };

	store_find_operation(f->store, id, list_on_done, &list);
	assert_false(list.done);
	fixture_wait(f, &list.done);
	return list;
}

struct store_loaded fixture_load(struct fixture *f)
{
	struct store_loaded loaded;
	struct err err = { 0 };
	int r = store_load(f->store, &loaded, &err);

	assert_string_equal(err.text, "");
	assert_int_equal(r, 0);
	return loaded;
}

/* ---- stores of earlier versions ---- */

char *fixture_old_store(const char *dialect, unsigned version)
{
	_cleanup_free_ char *path = xasprintf(STORES "/%s_%u.sql", dialect, version);
	char *sql = read_file_at(AT_FDCWD, path, 1 << 20, NULL);

	if (!sql)
		fail_msg("keep a store of each version that is given up: %s is missing", path);
	return sql;
}

void fixture_assert_brought_up(struct fixture *f)
{
	struct store_loaded loaded = fixture_load(f);
	struct list list = fixture_find(f, "op-1");
	struct store_batch *batch = store_batch_new("v1");

	assert_int_equal(list.count, 1);
	assert_int_equal(list.items[0].status, OPERATION_COMPLETED);
	list_clear(&list);
	assert_int_equal(loaded.operation_count, 1);
	assert_string_equal(loaded.operations[0].id, "op-2");
	assert_int_equal(loaded.mapping_count, 1);
	assert_string_equal(loaded.mappings[0].device_path, "/dev/vdb");
	store_loaded_clear(&loaded);
	put_name(batch, "v1", "vol1");
	put_export(batch, "v1", "migration-vol-v1");
	assert_ok(fixture_commit(f, batch));
}

/* ---- records ---- */

void make_operation(struct operation_record *operation, const char *id, int status,
		    const char *volume_id)
{
	record_init(&operation_record, operation);
	str_set(&operation->id, id);
	operation->type = OPERATION_ATTACH;
	operation->status = status;
	str_set(&operation->volume_id, volume_id);
	operation->created_at = operation->updated_at = WALL_MS;
}

void put_operation(struct store_batch *batch, const char *id, int status, const char *volume_id,
		   int64_t updated_at)
{
	struct operation_record operation = { 0 };

	make_operation(&operation, id, status, volume_id);
	operation.updated_at = updated_at;
	store_batch_operation(batch, &operation);
	record_clear(&operation_record, &operation);
}

void put_mapping(struct store_batch *batch, const char *volume_id, const char *vm_id,
		 const char *device_path)
{
	struct mapping_record mapping = { 0 };

	record_init(&mapping_record, &mapping);
	mapping.id = xasprintf("map-%s", volume_id);
	str_set(&mapping.volume_id, volume_id);
	str_set(&mapping.volume_uuid, volume_id);
	str_set(&mapping.vm_id, vm_id);
	str_set(&mapping.device_path, device_path);
	mapping.created_at = WALL_MS;
	store_batch_mapping(batch, &mapping);
	record_clear(&mapping_record, &mapping);
}

void put_name(struct store_batch *batch, const char *volume_id, const char *name)
{
	struct name_record record = { .created_at = WALL_MS };

	record.id = xasprintf("name-%s", volume_id);
	str_set(&record.volume_id, volume_id);
	str_set(&record.name, name);
	store_batch_name(batch, &record);
	record_clear(&name_record, &record);
}

void put_export(struct store_batch *batch, const char *volume_id, const char *export_name)
{
	struct export_record record = { .created_at = WALL_MS };

	record.id = xasprintf("export-%s", volume_id);
	str_set(&record.volume_id, volume_id);
	str_set(&record.export_name, export_name);
	store_batch_export(batch, &record);
	record_clear(&export_record, &record);
}

struct store_batch *batch_with_operation(const char *id, int status)
{
	struct store_batch *batch = store_batch_new(id);

	put_operation(batch, id, status, NULL, WALL_MS);
	return batch;
}

struct store_batch *batch_with_mapping(const char *volume_id, const char *vm_id,
				       const char *device_path)
{
	struct store_batch *batch = store_batch_new(volume_id);

	put_mapping(batch, volume_id, vm_id, device_path);
	return batch;
}

static void fill_field(const struct field *field, void *object, int64_t number)
{
	void *value = field_of(field, object);

	switch (field->type) {
	case FIELD_TEXT:
	case FIELD_UUID:
		freep(value);
		*(char **)value = xasprintf("%s-%lld-äß", field->name, (long long)number);
		return;
	case FIELD_OBJECT:
		freep(value);
		*(char **)value = xasprintf("{\"%s\":%lld}", field->name, (long long)number);
		return;
	case FIELD_BOOL:
		*(bool *)value = true;
		return;
	case FIELD_INT:
	case FIELD_PORT:
	case FIELD_DURATION:
		*(int64_t *)value = INT64_C(-9007199254740993) - number;
		return;
	case FIELD_SIZE:
		*(uint64_t *)value = (UINT64_C(1) << 53) + (uint64_t)number;
		return;
	case FIELD_TIME:
		*(int64_t *)value = WALL_MS + number * 1001;
		return;
	case FIELD_ENUM:
		*(int *)value = 1;
		return;
	case FIELD_RATIO: /* computed when it is shown */
		return;
	case FIELD_ITEMS:
	case FIELD_DESCRIPTOR:
	case FIELD_TYPE_COUNT:
		break;
	}
	fail();
}

void fill_record(const struct record *record, void *object, int seed)
{
	record_init(record, object);
	for (size_t i = 0; i < record->count; i++)
		fill_field(&record->fields[i], object, seed * 100 + (int)i);
}

void assert_same(const struct record *record, const void *a, const void *b)
{
	_cleanup_buf_ struct buf left = BUF_NULL, right = BUF_NULL;
	_cleanup_json_writer_ struct json_writer left_json = { .out = &left },
						 right_json = { .out = &right };

	record_to_json(record, a, true, &left_json);
	record_to_json(record, b, true, &right_json);
	assert_string_equal(left.data, right.data);
	/* JSON leaves out what is not set, so look at every field as well. */
	for (size_t i = 0; i < record->count; i++)
		assert_int_equal(field_is_set(&record->fields[i], a),
				 field_is_set(&record->fields[i], b));
}
