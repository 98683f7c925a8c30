/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The objects that exist on the bus, with the values that clients were told of them. Private to
 * api/bus/.
 *
 * An object has a right to exist while it is kept (an attached volume, an export, an unfinished
 * operation), and for five minutes after it was named. All changes here only mark objects; an
 * object comes, changes and goes when the owner settles its mark and tells the clients. An object
 * that was never told goes at once with its last reason.
 */

#include "base/hash.h"
#include "base/queue.h"
#include "core/core.h"

#define DIRECTORY_KEPT_MAX 1000  /* objects of one kind that exist because they are kept */
#define DIRECTORY_NAMED_MAX 1000 /* objects of all kinds that exist because they were named */
#define DIRECTORY_NAMED_MS (INT64_C(5) * 60 * 1000)

enum bus_place {
	PLACE_NONE,   /* the object is not kept */
	PLACE_SHOWN,  /* the object is kept, and exists */
	PLACE_WAITING /* the object is kept, and there is no room for it */
};

struct bus_object {
	UT_hash_handle hh; /* by id, in its shelf */
	TAILQ_ENTRY(bus_object) place_entry, named_entry, dirty_entry;
	enum method_scope scope;
	char *id;
	enum bus_place place;
	bool goes_first;
	int64_t named_until_ms; /* clock_mono_ms(); 0: it was not named lately */
	bool is_dirty;
	bool counts;    /* its weight counts for its shelf */
	bool is_hidden; /* it is kept, and does not exist */
	void *next;     /* the values to be told next; NULL: core has them */
	void *values;   /* the values that were told; NULL: the object is not on the bus */
	size_t weight;  /* of these values, or of the last ones */
	uint64_t walk;  /* the number of the last walk that has passed the object */
};

TAILQ_HEAD(bus_object_list, bus_object);

/* The objects of one kind. */
struct bus_shelf {
	struct bus_object *by_id;
	struct bus_object_list shown, waiting;
	struct bus_object_list named; /* the one named last is the last; none of them is shown */
	size_t shown_count, named_count, hidden_count;
	size_t weight; /* of all that exist */
};

/*
 * A walk over all objects that are on the bus, in slices, which shows them as they were at its
 * begin: an object that is about to change or to go is passed right before, and objects that come
 * are not passed.
 */
struct directory_walk {
	void (*pass)(void *arg, const struct bus_object *object);
	void *arg;
	uint64_t number;
	enum method_scope scope;
	struct bus_object *next; /* NULL: the first of the next kind */
};

struct directory {
	struct loop *loop;
	struct core *core;
	struct bus_shelf shelves[SCOPE_COUNT];
	size_t named_count; /* of all kinds */
	struct bus_object_list dirty;
	struct loop_timer expiry;    /* of the object that was named first */
	struct directory_walk *walk; /* NULL: none is under way */
	uint64_t walks;
	void (*on_dirty)(void *arg);
	void *arg;
	struct volume_record volume; /* core's answers */
	struct export_record export;
};

/* on_dirty runs when an object is marked or the number of hidden ones changes, perhaps within
 * another function of the directory. */
void directory_init(struct directory *directory, struct loop *loop, struct core *core,
		    void (*on_dirty)(void *arg), void *arg);
void directory_fini(struct directory *directory);

/* The object is kept from now on; first: it has room before those that are kept already. */
void directory_keep(struct directory *directory, enum method_scope scope, const char *id,
		    bool first);
/* The object is not kept any more, which counts as naming it. */
void directory_release(struct directory *directory, enum method_scope scope, const char *id);
/* A reply or signal names the object. */
void directory_name(struct directory *directory, enum method_scope scope, const char *id);
/* Core does not have the object any more. */
void directory_drop(struct directory *directory, enum method_scope scope, const char *id);
/*
 * The values of the object may have changed; values: to these, a struct of the scope's record that
 * is copied, NULL: as core has them. Nothing happens if the object has no right to exist.
 */
void directory_change(struct directory *directory, enum method_scope scope, const char *id,
		      const void *values);

/* NULL: the object is not on the bus. */
const struct bus_object *directory_find(const struct directory *directory, enum method_scope scope,
					const char *id);
/* All objects of a kind that are on the bus; NULL after the last. */
const struct bus_object *directory_first(const struct directory *directory,
					 enum method_scope scope);
const struct bus_object *directory_next(const struct bus_object *object);
/* pass and arg are set; the walk belongs to the caller and lasts until it is ended. One at a time.
 */
void directory_walk_begin(struct directory *directory, struct directory_walk *walk);
/* Passes objects that weigh as much together. False: no object is left. */
bool directory_walk_on(struct directory *directory, size_t weight);
void directory_walk_end(struct directory *directory);
/* Objects of a kind that are kept, and are not on the bus. */
size_t directory_hidden(const struct directory *directory, enum method_scope scope);
/* A struct of the scope's record as core has it now; NULL: core has none. Valid until the next
 * call. */
const void *directory_read(struct directory *directory, enum method_scope scope, const char *id);

enum directory_change {
	DIRECTORY_SAME,
	DIRECTORY_ADDED,
	DIRECTORY_CHANGED,
	DIRECTORY_REPLACED, /* another object has the path: one was removed, and one added */
	DIRECTORY_REMOVED
};

/* An object with a mark: the first, or this one; NULL: there is none. */
struct bus_object *directory_dirty(struct directory *directory);
struct bus_object *directory_dirty_at(struct directory *directory, enum method_scope scope,
				      const char *id);
/*
 * Takes the mark from the object, whose present values are told from now on. *fields gets a bit
 * for each field that differs from what was told before, if the object has changed. The object may
 * be freed, unless it is on the bus afterwards.
 */
enum directory_change directory_settle(struct directory *directory, struct bus_object *object,
				       uint64_t *fields);
