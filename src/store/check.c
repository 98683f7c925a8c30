/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The rules that a store must obey, checked row by row: values that columns may hold, JSON, keys,
 * references, the order of times, and that the history of every operation is possible. A database
 * guards some of these rules itself, until a person restores half of a backup or corrects a row by
 * hand. The rows of a damaged file prove nothing, so the file is checked first, and the rows only
 * if the file is sound.
 */

#include "store/check.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/hash.h"
#include "store/backend.h"

#define FAULT_SIZE 1024
#define DIGEST_LENGTH 64

/* An operation, or a key that may occur only once. */
struct known {
	UT_hash_handle hh;
	char *key;
	char *id;   /* of the row that has this key */
	int status; /* of an operation */
	int last;   /* the last status in its history, -1: none yet */
};

struct check {
	struct known *operations;
	struct known *volumes, *names; /* keys of one table */
	enum store_table table;
	store_fault_fn fault;
	void *arg;
	struct store_checked result;
	int64_t newest_ms; /* when result.newest_operation was accepted */
};

static void complain(struct check *check, const char *id, const char *format, ...) _printf_(3, 4);
static void complain(struct check *check, const char *id, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	char what[FAULT_SIZE];
	va_list args;

	check->result.faults++;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	text = xasprintf("%s %s: %s", store_tables[check->table].name, id, what);
	check->fault(check->arg, text);
}

static struct known *known_find(struct known *table, const char *key)
{
	struct known *known;

	HASH_FIND_STR(table, key, known);
	return known;
}

static struct known *known_add(struct known **table, const char *key, const char *id)
{
	struct known *known = xnew(struct known);

	known->key = xstrdup(key);
	known->id = xstrdup(id);
	HASH_ADD_KEYPTR(hh, *table, known->key, strlen(known->key), known);
	return known;
}

static void known_free(struct known **table)
{
	struct known *known, *next;

	HASH_ITER(hh, *table, known, next) {
		HASH_DEL(*table, known);
		free(known->key);
		free(known->id);
		free(known);
	}
}

/* ---- any row ---- */

static void check_json(struct check *check, const void *row)
{
	const struct record *record = store_tables[check->table].record;

	for (size_t i = 0; i < record->count; i++) {
		const struct field *field = &record->fields[i];
		const char *text;
		struct json *json;
		struct err err = { 0 };

		if (field->type != FIELD_OBJECT)
			continue;
		text = *(char *const *)field_of_const(field, row);
		if (!text)
			continue;
		json = json_parse(text, strlen(text), &err);
		if (!json)
			complain(check, store_row_id(check->table, row), "column %s is no JSON: %s",
				 field->name, err.text);
		else if (*text != '{')
			complain(check, store_row_id(check->table, row),
				 "column %s is no JSON object", field->name);
		json_free(json);
	}
}

static bool check_any(struct check *check, const void *row, const struct err *err)
{
	const char *lacks;

	check->result.rows++;
	if (err->code) {
		complain(check, store_row_id(check->table, row), "%s", err->text);
		return false;
	}
	lacks = store_row_lacks(check->table, row);
	if (lacks) {
		complain(check, store_row_id(check->table, row), "it has no %s", lacks);
		return false;
	}
	check_json(check, row);
	return true;
}

/* ---- the tables ---- */

static void note_newest(struct check *check, const struct operation_record *operation)
{
	struct store_checked *result = &check->result;

	if (operation->created_at < check->newest_ms ||
	    (operation->created_at == check->newest_ms && result->newest_operation &&
	     strcmp(operation->id, result->newest_operation) < 0))
		return;
	check->newest_ms = operation->created_at;
	str_set(&result->newest_operation, operation->id);
}

static void check_operation(void *arg, const void *row, const struct err *err)
{
	struct check *check = arg;
	const struct operation_record *operation = row;
	struct known *known;

	if (!check_any(check, row, err)) {
		/* The row is bad, but its history is not at fault. */
		known = known_add(&check->operations, str_or(operation->id, ""), "");
		known->status = known->last = -1;
		return;
	}
	known = known_add(&check->operations, operation->id, operation->id);
	known->status = operation->status;
	known->last = -1;
	note_newest(check, operation);
	if (operation_status_is_final(operation->status) != (operation->completed_at != 0))
		complain(check, operation->id,
			 operation->completed_at ? "it has ended but its status is %s"
						 : "its status is %s but not when it ended",
			 operation_status_names[operation->status]);
	if ((operation->completed_at && operation->completed_at < operation->created_at) ||
	    (operation->updated_at && operation->updated_at < operation->created_at))
		complain(check, operation->id, "it changed or ended before it began");
}

static void check_key(struct check *check, struct known **table, const char *key, const char *id,
		      const char *what)
{
	const struct known *other = known_find(*table, key);

	if (other)
		complain(check, id, "%s %s is that of row %s as well", what, key, other->id);
	else
		known_add(table, key, id);
}

static void check_mapping(void *arg, const void *row, const struct err *err)
{
	struct check *check = arg;
	const struct mapping_record *mapping = row;
	_cleanup_free_ char *path = NULL;

	if (!check_any(check, row, err))
		return;
	check_key(check, &check->volumes, str_or(mapping->volume_id, ""), mapping->id, "volume");
	if (!mapping->vm_id || !mapping->device_path)
		return;
	path = xasprintf("%s on %s", mapping->device_path, mapping->vm_id);
	check_key(check, &check->names, path, mapping->id, "device");
}

static void check_name(void *arg, const void *row, const struct err *err)
{
	struct check *check = arg;
	const struct name_record *name = row;

	if (!check_any(check, row, err))
		return;
	check_key(check, &check->volumes, str_or(name->volume_id, ""), name->id, "volume");
	check_key(check, &check->names, str_or(name->name, ""), name->id, "name");
}

static void check_export(void *arg, const void *row, const struct err *err)
{
	struct check *check = arg;
	const struct export_record *export = row;

	if (!check_any(check, row, err))
		return;
	check_key(check, &check->volumes, str_or(export->volume_id, ""), export->id, "volume");
	check_key(check, &check->names, str_or(export->export_name, ""), export->id, "export");
}

static void check_mark(void *arg, const void *row, const struct err *err)
{
	struct check *check = arg;
	const struct mark_record *mark = row;

	if (check_any(check, row, err) && streq(mark->id, STORE_MARK_ID) &&
	    !uuid_is_maker(mark->value))
		complain(check, mark->id, "\"%s\" is not 12 hex digits", str_or(mark->value, ""));
}

static void check_snapshot(void *arg, const void *row, const struct err *err)
{
	struct check *check = arg;
	const struct snapshot_record *snapshot = row;

	if (check_any(check, row, err) && !uuid_is_valid(snapshot->id))
		complain(check, snapshot->id, "the id is not the UUID of a volume");
}

static void check_token(void *arg, const void *row, const struct err *err)
{
	struct check *check = arg;
	const struct token_record *token = row;
	const char *digest = str_or(token->digest, "");

	if (check_any(check, row, err) &&
	    (strlen(digest) != DIGEST_LENGTH || digest[strspn(digest, "0123456789abcdef")]))
		complain(check, token->id, "its digest is not %d hex digits", DIGEST_LENGTH);
}

static int status_of(const char *word)
{
	for (int i = 0; i < OPERATION_STATUS_COUNT; i++) {
		if (streq(operation_status_names[i], word))
			return i;
	}
	return -1;
}

static bool is_step(int from, int to)
{
	if (from < 0)
		return to == OPERATION_PENDING;
	/* An operation that has ended keeps its status: it can only lose its mark. */
	if (operation_status_is_final(from))
		return to == from;
	return to != OPERATION_PENDING || from == OPERATION_PENDING;
}

/*
 * An earlier daemon kept no history of an operation, so that it may begin with the end that the
 * take-over noted. The ids of this daemon have a form of their own.
 */
static bool begins_late(const struct known *operation)
{
	return operation->last < 0 && !str_has_prefix(operation->key, "op-");
}

static void check_history(void *arg, const void *row, const struct err *err)
{
	struct check *check = arg;
	const struct history_record *history = row;
	const char *previous =
		str_empty(history->previous_status) ? "nothing" : history->previous_status;
	struct known *operation;
	int from, to;

	if (!check_any(check, row, err))
		return;
	operation = known_find(check->operations, str_or(history->operation_id, ""));
	if (!operation) {
		complain(check, history->id, "there is no operation %s",
			 str_or(history->operation_id, ""));
		return;
	}
	to = status_of(history->new_status);
	from = str_empty(history->previous_status) ? -1 : status_of(history->previous_status);
	if (to < 0 || (!str_empty(history->previous_status) && from < 0))
		complain(check, history->id, "%s to %s: one of these is no status",
			 str_or(history->previous_status, ""), str_or(history->new_status, ""));
	else if (from != operation->last && !begins_late(operation))
		complain(check, history->id, "operation %s goes on from %s, but it was %s",
			 operation->key, previous,
			 operation->last < 0 ? "nothing" : operation_status_names[operation->last]);
	else if (!is_step(from, to))
		complain(check, history->id, "operation %s cannot go from %s to %s", operation->key,
			 previous, history->new_status);
	if (to >= 0)
		operation->last = to;
}

/*
 * An operation of an earlier daemon may have no history; a history must end with the status of its
 * operation.
 */
static void check_ends(struct check *check)
{
	struct known *operation, *next;

	check->table = STORE_OPERATIONS;
	HASH_ITER(hh, check->operations, operation, next) {
		if (operation->last >= 0 && operation->status >= 0 &&
		    operation->last != operation->status)
			complain(check, operation->key,
				 "its status is %s, its history ends with %s",
				 operation_status_names[operation->status],
				 operation_status_names[operation->last]);
	}
}

/* ---- beside the rows ---- */

static void on_fault(void *arg, const char *text)
{
	struct check *check = arg;

	check->result.faults++;
	check->fault(check->arg, text);
}

/* ---- all ---- */

static int check_rows(struct check *check, struct store *store, struct err *err)
{
	static const store_row_fn checks[] = {
		[STORE_OPERATIONS] = check_operation, [STORE_MAPPINGS] = check_mapping,
		[STORE_HISTORY] = check_history,      [STORE_NAMES] = check_name,
		[STORE_EXPORTS] = check_export,       [STORE_MARKS] = check_mark,
		[STORE_SNAPSHOTS] = check_snapshot,   [STORE_TOKENS] = check_token,
	};
	int r = 0;

	for (int table = 0; table < STORE_TABLE_COUNT && r == 0; table++) {
		check->table = (enum store_table)table;
		r = store_scan_all(store, check->table, checks[table], check, err);
		known_free(&check->volumes);
		known_free(&check->names);
	}
	if (r == 0)
		check_ends(check);
	known_free(&check->operations);
	return r;
}

int store_check(struct store *store, store_fault_fn fault, void *arg, struct store_checked *out,
		struct err *err)
{
	struct check check = { .fault = fault, .arg = arg };
	int r = 0;

	if (store->backend->verify)
		r = store->backend->verify(store, on_fault, &check, err);
	if (r == 0 && check.result.faults == 0)
		r = check_rows(&check, store, err);
	if (r == 0 && store->backend->set_aside)
		r = store->backend->set_aside(store, on_fault, &check, err);
	*out = check.result;
	if (r < 0)
		store_checked_clear(out);
	return r;
}

void store_checked_clear(struct store_checked *checked)
{
	free(checked->newest_operation);
	*checked = (struct store_checked){ 0 };
}
