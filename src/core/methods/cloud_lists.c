/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What CloudStack lists besides volumes.
 *
 * A question is answered with a list that CloudStack was asked for after the question had come, so
 * that a client sees the VM that it made a moment ago. The lists of a CloudStack with ten thousand
 * VMs cost it many seconds, so one list of a kind is fetched at a time: all questions that come
 * meanwhile share the next one. The pages behind a cursor come from the list that the first page
 * came from, as long as it is kept. After that the list is fetched anew; the cursor fits that list
 * as well, since rows are in the order of their ids.
 */

#include "core/methods/cloud_lists.h"

#include "cloud/cloud.h"
#include "core/call.h"
#include "core/env.h"
#include "core/methods/call.h"
#include "core/methods/calls.h"

/* A list is kept for the next pages. */
#define KEPT_MS 60000

/* The beginning of each record here. */
struct row {
	char *id;
	char *name;
};
#define BEGINS_WITH_ROW(RECORD)                                                                    \
	_Static_assert(offsetof(struct RECORD, id) == offsetof(struct row, id) &&                  \
			       offsetof(struct RECORD, name) == offsetof(struct row, name),        \
		       "a record begins with id and name")
BEGINS_WITH_ROW(offering_record);
BEGINS_WITH_ROW(zone_record);
BEGINS_WITH_ROW(vm_record);

struct rows {
	char *items; /* records in a row */
	size_t count, room;
};

struct listing_kind {
	const struct record *record;
	struct cloud_walk *(*walk)(struct cloud *cloud, cloud_done_fn on_page, cloud_done_fn done,
				   void *arg);
	/* The index-th object of the page as a record, which is zeroed. */
	void (*read)(const struct env *env, const struct cloud_result *page, size_t index,
		     void *out);
};

/* A call that waits for a list. */
struct asker {
	TAILQ_ENTRY(asker) entry;
	struct listing *listing;
	struct call *call;
	bool served; /* by the list that is being fetched */
};

struct listing {
	const struct listing_kind *kind;
	struct env *env;
	struct cloud_walk *walk; /* NULL: no list is being fetched */
	struct rows fetched;     /* so far */
	struct rows rows;        /* the last whole list; no items: none is kept */
	struct loop_timer expiry;
	TAILQ_HEAD(, asker) askers;
};

enum listing_id { LISTING_OFFERINGS, LISTING_ZONES, LISTING_VMS, LISTING_COUNT };

struct cloud_lists {
	struct listing listings[LISTING_COUNT];
};

/* ---- rows ---- */

static struct row *row_at(const struct listing *listing, const struct rows *rows, size_t index)
{
	return (struct row *)(void *)(rows->items + index * listing->kind->record->size);
}

static void rows_clear(const struct listing *listing, struct rows *rows)
{
	for (size_t i = 0; i < rows->count; i++)
		record_clear(listing->kind->record, row_at(listing, rows, i));
	free(rows->items);
	*rows = (struct rows){ 0 };
}

static void rows_add(const struct listing *listing, struct rows *rows,
		     const struct cloud_result *page, size_t index)
{
	size_t size = listing->kind->record->size;
	struct row *row;

	if (rows->count == rows->room) {
		rows->room = rows->room ? 2 * rows->room : 16;
		rows->items = xrealloc(rows->items, rows->room * size);
	}
	row = row_at(listing, rows, rows->count++);
	memset(row, 0, size);
	listing->kind->read(listing->env, page, index, row);
}

static int by_id(const void *a, const void *b)
{
	const struct row *left = a, *right = b;

	return strcmp(left->id, right->id);
}

/* Pages shift while they are read, so a row may have come twice. */
static void rows_sort(const struct listing *listing, struct rows *rows)
{
	size_t size = listing->kind->record->size, kept = 0;

	if (rows->count == 0)
		return;
	qsort(rows->items, rows->count, size, by_id);
	for (size_t i = 1; i < rows->count; i++) {
		struct row *row = row_at(listing, rows, i);

		if (streq(row->id, row_at(listing, rows, kept)->id)) {
			record_clear(listing->kind->record, row);
			continue;
		}
		kept++;
		if (kept != i)
			memcpy(row_at(listing, rows, kept), row, size);
	}
	rows->count = kept + 1;
}

static void read_offering(const struct env *env, const struct cloud_result *page, size_t index,
			  void *out)
{
	const struct cloud_offering *offering = &page->offerings[index];

	*(struct offering_record *)out = (struct offering_record){
		.id = xstrdup(offering->id),
		.name = xstrdup(offering->name),
		.description = xstrdup(offering->description),
		.size = offering->size,
		.storage_type = xstrdup(offering->storage_type),
		.zone_ids = xstrdup(offering->zone_ids),
	};
}

static void read_zone(const struct env *env, const struct cloud_result *page, size_t index,
		      void *out)
{
	const struct cloud_zone *zone = &page->zones[index];

	*(struct zone_record *)out = (struct zone_record){
		.id = xstrdup(zone->id),
		.name = xstrdup(zone->name),
		.network_type = xstrdup(zone->network_type),
		.allocation_state = xstrdup(zone->allocation_state),
	};
}

static void read_vm(const struct env *env, const struct cloud_result *page, size_t index, void *out)
{
	const struct cloud_vm *vm = &page->vms[index];

	*(struct vm_record *)out = (struct vm_record){
		.id = xstrdup(vm->id),
		.name = xstrdup(vm->name),
		.display_name = xstrdup(vm->display_name),
		.state = xstrdup(vm->state),
		.zone_id = xstrdup(vm->zone_id),
		.is_appliance = env_is_appliance(env, vm->id),
	};
}

static const struct listing_kind kinds[LISTING_COUNT] = {
	[LISTING_OFFERINGS] = { &offering_record, cloud_walk_offerings, read_offering },
	[LISTING_ZONES] = { &zone_record, cloud_walk_zones, read_zone },
	[LISTING_VMS] = { &vm_record, cloud_walk_vms, read_vm },
};

/* ---- fetching ---- */

static void asker_free(void *awaited)
{
	struct asker *asker = awaited;

	TAILQ_REMOVE(&asker->listing->askers, asker, entry);
	free(asker);
}

static struct asker *next_served(struct listing *listing)
{
	struct asker *asker;

	TAILQ_FOREACH(asker, &listing->askers, entry) {
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): a freed one is off the list */
		if (asker->served)
			return asker;
	}
	return NULL;
}

static void fetch(struct listing *listing);
static void answer(struct call *call);

/* Each round begins with the first, since a caller that is answered may cancel any other call. */
static void tell_served(struct listing *listing, const struct err *err)
{
	struct asker *asker;

	while ((asker = next_served(listing))) {
		struct call *call = asker->call;

		call_waited(call);
		asker_free(asker);
		if (err->code)
			call_fail(call, err);
		else
			call_list(call, answer);
	}
}

static void on_page(void *arg, const struct cloud_result *result)
{
	struct listing *listing = arg;

	for (size_t i = 0; i < result->count; i++)
		rows_add(listing, &listing->fetched, result, i);
}

static void on_walked(void *arg, const struct cloud_result *result)
{
	struct listing *listing = arg;

	listing->walk = NULL;
	if (result->outcome == CLOUD_OK) {
		rows_clear(listing, &listing->rows);
		rows_sort(listing, &listing->fetched);
		listing->rows = listing->fetched;
		listing->fetched = (struct rows){ 0 };
		loop_timer_set(listing->env->loop, &listing->expiry, KEPT_MS);
	} else {
		rows_clear(listing, &listing->fetched);
	}
	tell_served(listing, &result->err);
	if (!TAILQ_EMPTY(&listing->askers))
		fetch(listing);
}

static void fetch(struct listing *listing)
{
	struct asker *asker;

	if (listing->walk)
		return;
	TAILQ_FOREACH(asker, &listing->askers, entry)
		asker->served = true;
	listing->walk = listing->kind->walk(listing->env->cloud, on_page, on_walked, listing);
}

static void on_expired(struct loop_timer *timer)
{
	struct listing *listing = container_of(timer, struct listing, expiry);

	rows_clear(listing, &listing->rows);
}

/* ---- the methods ---- */

static struct listing *listing_of(const struct call *call)
{
	struct cloud_lists *lists = call->calls->cloud_lists;

	switch (call->method - methods) {
	case METHOD_OFFERING_LIST:
		return &lists->listings[LISTING_OFFERINGS];
	case METHOD_ZONE_LIST:
		return &lists->listings[LISTING_ZONES];
	}
	return &lists->listings[LISTING_VMS];
}

static bool fits(const struct cloud_list_args *args, const struct row *row)
{
	return (!args->name || streq(args->name, row->name)) &&
	       (str_empty(args->cursor) || strcmp(row->id, args->cursor) > 0);
}

/* The rows that are shown stay in the list, so they are copied as they are and not freed. */
static void answer(struct call *call)
{
	const struct cloud_list_args *args = call->args;
	const struct listing *listing = listing_of(call);
	size_t size = listing->kind->record->size, count = 0;
	size_t limit = args->limit > 0 ? (size_t)args->limit : SIZE_MAX;
	_cleanup_free_ char *shown = xcalloc(listing->rows.count + 1, size);
	const char *last_id = NULL, *cursor = NULL;

	for (size_t i = 0; i < listing->rows.count; i++) {
		const struct row *row = row_at(listing, &listing->rows, i);

		if (!fits(args, row))
			continue;
		if (count == limit) {
			cursor = last_id;
			break;
		}
		memcpy(shown + count++ * size, row, size);
		last_id = row->id;
	}
	call_answer_many(call, shown, count, cursor);
}

static void ask(struct call *call, struct listing *listing)
{
	struct asker *asker = xnew(struct asker);

	asker->listing = listing;
	asker->call = call;
	TAILQ_INSERT_TAIL(&listing->askers, asker, entry);
	call_wait(call, asker, asker_free);
	fetch(listing);
}

static void list(struct call *call)
{
	const struct cloud_list_args *args = call->args;
	struct listing *listing = listing_of(call);

	if (!str_empty(args->cursor) && listing->rows.items)
		answer(call);
	else if (call->calls->env->cloud)
		ask(call, listing);
	else
		call_failf(call, ERR_UNAVAILABLE,
			   "no CloudStack is configured, so its lists cannot be read");
}

void offering_list(struct call *call)
{
	list(call);
}

void zone_list(struct call *call)
{
	list(call);
}

void vm_list(struct call *call)
{
	list(call);
}

/* ---- life ---- */

struct cloud_lists *cloud_lists_new(struct calls *calls)
{
	struct cloud_lists *lists = xnew(struct cloud_lists);

	for (size_t i = 0; i < LISTING_COUNT; i++) {
		struct listing *listing = &lists->listings[i];

		listing->kind = &kinds[i];
		listing->env = calls->env;
		listing->expiry.fire = on_expired;
		TAILQ_INIT(&listing->askers);
	}
	return lists;
}

struct cloud_lists *cloud_lists_free(struct cloud_lists *lists)
{
	for (size_t i = 0; i < LISTING_COUNT; i++) {
		struct listing *listing = &lists->listings[i];

		if (listing->walk)
			cloud_walk_cancel(listing->walk);
		loop_timer_clear(listing->env->loop, &listing->expiry);
		rows_clear(listing, &listing->fetched);
		rows_clear(listing, &listing->rows);
	}
	free(lists);
	return NULL;
}
