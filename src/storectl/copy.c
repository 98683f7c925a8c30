/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A store moves: every row of every table is written into an empty store, parents before the rows
 * that refer to them, and then both stores are read again side by side. A row that cannot be read
 * is named and not copied, since a copy that lost a row in silence would be worse than no copy.
 */

#include "storectl/copy.h"

#include <stdio.h>

#define WAIT_MS 2000

struct copying {
	struct place *to;
	struct loop_timer wait;
	enum store_table table;
	struct store_batch *batch;
	size_t in_batch, under_way, copied;
	struct err err;
};

static void on_written(void *arg, const struct err *err)
{
	struct copying *copying = arg;

	copying->under_way--;
	if (err->code && !copying->err.code)
		copying->err = *err;
	loop_stop(copying->to->loop);
}

/*
 * A store that is away gets the batch when it is back; until then the user reads the reason for the
 * wait.
 */
static void on_wait(struct loop_timer *timer)
{
	struct copying *copying = container_of(timer, struct copying, wait);
	struct store_health health;

	store_health(copying->to->store, &health);
	if (health.away)
		fprintf(stderr, "volumectl store: waiting: %s\n", health.reason);
	loop_timer_set(copying->to->loop, timer, WAIT_MS);
}

static void write_batch(struct copying *copying)
{
	if (!copying->batch)
		return;
	copying->wait.fire = on_wait;
	loop_timer_set(copying->to->loop, &copying->wait, WAIT_MS);
	copying->under_way++;
	store_submit(copying->to->store, TAKE_PTR(copying->batch), on_written, copying);
	while (copying->under_way)
		loop_run(copying->to->loop);
	loop_timer_clear(copying->to->loop, &copying->wait);
}

static void copy_row(void *arg, const void *row, const struct err *err)
{
	struct copying *copying = arg;

	if (copying->err.code)
		return;
	if (err->code) {
		copying->err = *err;
		return;
	}
	if (!copying->batch) {
		copying->batch = store_batch_new("copy");
		copying->in_batch = 0;
	}
	store_batch_row(copying->batch, copying->table, row);
	copying->copied++;
	if (++copying->in_batch == PLACE_PAGE)
		write_batch(copying);
}

/* ---- comparing ---- */

/* The rows of one page as text, one under the other. */
struct listing {
	enum store_table table;
	struct buf text;
	char *last;
	size_t count;
};

static void list_row(void *arg, const void *row, const struct err *err)
{
	struct listing *listing = arg;
	_cleanup_json_writer_ struct json_writer writer = { .out = &listing->text };

	listing->count++;
	str_set(&listing->last, store_row_id(listing->table, row));
	record_to_json(store_tables[listing->table].record, row, true, &writer);
	buf_printf(&listing->text, "%s\n", err->text);
}

static int list_page(struct place *place, struct listing *listing, const char *after,
		     struct err *err)
{
	buf_reset(&listing->text);
	listing->count = 0;
	return store_scan(place->store, listing->table, after, PLACE_PAGE, list_row, listing, err);
}

static int compare_table(struct place *from, struct place *to, enum store_table table,
			 struct err *err)
{
	struct listing left = { .table = table, .last = xstrdup("") }, right = { .table = table };
	int r;

	do {
		_cleanup_free_ char *after = xstrdup(left.last);

		r = list_page(from, &left, after, err);
		if (r == 0)
			r = list_page(to, &right, after, err);
		if (r == 0 &&
		    (left.count != right.count || !streq(left.text.data, right.text.data)) &&
		    (left.count || right.count))
			r = err_set(
				err, ERR_INTERNAL,
				"table %s differs in the rows behind id \"%s\": the copy cannot be used",
				store_tables[table].name, after);
	} while (r == 0 && left.count == PLACE_PAGE);
	buf_clear(&left.text);
	buf_clear(&right.text);
	free(left.last);
	free(right.last);
	return r;
}

/* ---- the whole store ---- */

static void note_row(void *arg, const void *row, const struct err *err)
{
	*(bool *)arg = true;
}

static int check_empty(struct place *to, struct err *err)
{
	for (int table = 0; table < STORE_TABLE_COUNT; table++) {
		bool found = false;

		if (store_scan(to->store, (enum store_table)table, "", 1, note_row, &found, err) <
		    0)
			return -1;
		if (found)
			return err_set(
				err, ERR_CONFLICT,
				"%s is not empty, table %s has rows: name a new store, or remove the rows first",
				to->url, store_tables[table].name);
	}
	return 0;
}

int copy_stores(struct place *from, struct place *to, struct err *err)
{
	if (check_empty(to, err) < 0)
		return -1;
	for (int table = 0; table < STORE_TABLE_COUNT; table++) {
		struct copying copying = { .to = to, .table = (enum store_table)table };
		int r = store_scan_all(from->store, copying.table, copy_row, &copying, err);

		write_batch(&copying);
		if (r < 0)
			return -1;
		if (copying.err.code) {
			*err = copying.err;
			return -1;
		}
		printf("%-26s %8zu rows copied\n", store_tables[table].name, copying.copied);
	}
	for (int table = 0; table < STORE_TABLE_COUNT; table++) {
		if (compare_table(from, to, (enum store_table)table, err) < 0)
			return -1;
	}
	puts("Every row is the same in both.");
	return 0;
}
