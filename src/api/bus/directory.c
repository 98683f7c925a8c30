/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which objects there are on the bus. CloudStack may show ten thousand volumes, and a store may
 * have a million operations; a client that asks for all objects, or keeps a copy of them, wants
 * those that are in use. So an object exists for a reason, of which there are two:
 *
 *   kept    The volume is attached, the export is there, the operation is unfinished. There is room
 *           for the first thousand of each kind; the others wait, and come in as room is made.
 *   named   A reply or a signal gave the object's path. A client that got a path can read it for
 *           five minutes. An object that is not kept any more counts as named, so that a client
 *           can read the end of an operation.
 *
 * What exists was announced, and is listed: values, the copy of what was told, decides that alone.
 * Reads are answered from this copy, too, so that a client hears and reads the same. A change in
 * core, a new reason and a lost one only mark the object; directory_settle() compares the object
 * with what was told, and says what there is to tell. Most changes touch one or two properties, so
 * PropertiesChanged carries the difference and nothing else, and an object that changed and changed
 * back, or came and went, has nothing to tell.
 *
 * Objects are bounded by their weight as well, since a client chooses the size of some properties.
 * If a kind becomes too heavy, objects that were only named go first, the oldest of them first of
 * all, and then the last that are shown.
 */

#include "api/bus/directory.h"

#include <assert.h>

#include "api/bus/encode.h"
#include "api/bus/vtable.h"
#include "base/clock.h"
#include "io/bus_codec.h"

/* Of one kind, in a message; a list of all three stays below ANSWER_SIZE_MAX. */
#define SHELF_WEIGHT_MAX ((size_t)5 << 20)

static struct bus_shelf *shelf_of(struct directory *directory, const struct bus_object *object)
{
	return &directory->shelves[object->scope];
}

static bool exists(const struct bus_object *object)
{
	return object->place == PLACE_SHOWN || object->named_until_ms > 0;
}

static struct bus_object *find(const struct directory *directory, enum method_scope scope,
			       const char *id)
{
	struct bus_object *object;

	HASH_FIND_STR(directory->shelves[scope].by_id, id, object);
	return object;
}

static struct bus_object *get(struct directory *directory, enum method_scope scope, const char *id)
{
	struct bus_object *object = find(directory, scope, id);

	if (object)
		return object;
	object = xnew(struct bus_object);
	object->scope = scope;
	object->id = xstrdup(id);
	HASH_ADD_KEYPTR(hh, directory->shelves[scope].by_id, object->id, strlen(object->id),
			object);
	return object;
}

static void free_values(const struct bus_object *object, void **values)
{
	if (*values)
		record_clear(scopes[object->scope].record, *values);
	free(TAKE_PTR(*values));
}

static void object_free(struct directory *directory, struct bus_object *object)
{
	if (directory->walk && directory->walk->next == object)
		directory->walk->next = object->hh.next;
	HASH_DEL(directory->shelves[object->scope].by_id, object);
	free_values(object, &object->next);
	free_values(object, &object->values);
	free(object->id);
	free(object);
}

static void mark(struct directory *directory, struct bus_object *object)
{
	if (object->is_dirty)
		return;
	TAILQ_INSERT_TAIL(&directory->dirty, object, dirty_entry);
	object->is_dirty = true;
	directory->on_dirty(directory->arg);
}

static void unmark(struct directory *directory, struct bus_object *object)
{
	if (object->is_dirty)
		TAILQ_REMOVE(&directory->dirty, object, dirty_entry);
	object->is_dirty = false;
}

/* An object that lost its last reason before it was told. It must not wait for its mark to be
 * settled: while the bus does not read, marks stay, and there would be more and more of them. */
static void free_untold(struct directory *directory, struct bus_object *object)
{
	if (exists(object) || object->place != PLACE_NONE || object->values)
		return;
	unmark(directory, object);
	object_free(directory, object);
}

/* Follows each change of the object's reasons. */
static void note_reasons(struct directory *directory, struct bus_object *object)
{
	struct bus_shelf *shelf = shelf_of(directory, object);
	bool is_there = exists(object);
	bool is_hidden = object->place == PLACE_WAITING && !is_there;

	if (is_there && !object->counts)
		shelf->weight += object->weight;
	if (!is_there && object->counts)
		shelf->weight -= object->weight;
	object->counts = is_there;
	if (is_hidden != object->is_hidden) {
		shelf->hidden_count += (size_t)is_hidden - (size_t)object->is_hidden;
		directory->on_dirty(directory->arg);
	}
	object->is_hidden = is_hidden;
	/* Settling also frees an object without a reason. */
	if (is_there != (object->values != NULL) || (!is_there && object->place == PLACE_NONE))
		mark(directory, object);
}

/* --- the two reasons --- */

static void unname(struct directory *directory, struct bus_object *object)
{
	struct bus_shelf *shelf = shelf_of(directory, object);

	if (!object->named_until_ms)
		return;
	TAILQ_REMOVE(&shelf->named, object, named_entry);
	shelf->named_count--;
	directory->named_count--;
	object->named_until_ms = 0;
}

static void name(struct directory *directory, struct bus_object *object)
{
	struct bus_shelf *shelf = shelf_of(directory, object);

	unname(directory, object);
	TAILQ_INSERT_TAIL(&shelf->named, object, named_entry);
	shelf->named_count++;
	directory->named_count++;
	object->named_until_ms = clock_mono_ms() + DIRECTORY_NAMED_MS;
	if (!loop_timer_is_set(&directory->expiry))
		loop_timer_set(directory->loop, &directory->expiry, DIRECTORY_NAMED_MS);
}

static void leave_place(struct directory *directory, struct bus_object *object)
{
	struct bus_shelf *shelf = shelf_of(directory, object);

	if (object->place == PLACE_SHOWN) {
		TAILQ_REMOVE(&shelf->shown, object, place_entry);
		shelf->shown_count--;
	} else if (object->place == PLACE_WAITING) {
		TAILQ_REMOVE(&shelf->waiting, object, place_entry);
	}
	object->place = PLACE_NONE;
}

/* The object has left its place: among those that are shown, the last, or the first of all. */
static void show(struct directory *directory, struct bus_object *object)
{
	struct bus_shelf *shelf = shelf_of(directory, object);

	if (object->goes_first)
		TAILQ_INSERT_HEAD(&shelf->shown, object, place_entry);
	else
		TAILQ_INSERT_TAIL(&shelf->shown, object, place_entry);
	shelf->shown_count++;
	object->place = PLACE_SHOWN;
	unname(directory, object);
	note_reasons(directory, object);
}

/* The last object that is shown waits again, as the first. */
static void hide_last(struct directory *directory, struct bus_shelf *shelf, bool is_named)
{
	struct bus_object *object = TAILQ_LAST(&shelf->shown, bus_object_list);

	leave_place(directory, object);
	TAILQ_INSERT_HEAD(&shelf->waiting, object, place_entry);
	object->place = PLACE_WAITING;
	if (is_named)
		name(directory, object);
	note_reasons(directory, object);
}

/* --- bounds --- */

static struct bus_object *first_named(const struct directory *directory)
{
	struct bus_object *first = NULL;

	for (enum method_scope scope = SCOPE_VOLUME; scope < SCOPE_COUNT; scope++) {
		struct bus_object *object = TAILQ_FIRST(&directory->shelves[scope].named);

		if (object && (!first || object->named_until_ms < first->named_until_ms))
			first = object;
	}
	return first;
}

/* The object may be freed. */
static void forget_name(struct directory *directory, struct bus_object *object)
{
	unname(directory, object);
	note_reasons(directory, object);
	free_untold(directory, object);
}

static void trim(struct directory *directory, struct bus_shelf *shelf)
{
	while (shelf->shown_count > DIRECTORY_KEPT_MAX)
		hide_last(directory, shelf, true);
	while (directory->named_count > DIRECTORY_NAMED_MAX)
		forget_name(directory, first_named(directory));
	/* The object that was named last can be read in any case. */
	while (shelf->weight > SHELF_WEIGHT_MAX && shelf->named_count > 1)
		forget_name(directory, TAILQ_FIRST(&shelf->named));
	while (shelf->weight > SHELF_WEIGHT_MAX && shelf->shown_count > 0)
		hide_last(directory, shelf, false);
}

static void fill(struct directory *directory, struct bus_shelf *shelf)
{
	struct bus_object *object;

	while (shelf->shown_count < DIRECTORY_KEPT_MAX && (object = TAILQ_FIRST(&shelf->waiting)) &&
	       (object->counts || shelf->weight + object->weight <= SHELF_WEIGHT_MAX)) {
		leave_place(directory, object);
		show(directory, object);
	}
}

static void on_expiry(struct loop_timer *timer)
{
	struct directory *directory = container_of(timer, struct directory, expiry);
	int64_t now_ms = clock_mono_ms();
	struct bus_object *object;

	while ((object = first_named(directory)) && object->named_until_ms <= now_ms)
		forget_name(directory, object);
	if (object)
		loop_timer_set(directory->loop, &directory->expiry,
			       object->named_until_ms - now_ms);
	for (enum method_scope scope = SCOPE_VOLUME; scope < SCOPE_COUNT; scope++)
		fill(directory, &directory->shelves[scope]);
}

/* --- what the owner notes --- */

void directory_keep(struct directory *directory, enum method_scope scope, const char *id,
		    bool first)
{
	struct bus_object *object = get(directory, scope, id);
	struct bus_shelf *shelf = shelf_of(directory, object);

	if (object->place != PLACE_NONE && object->goes_first == first)
		return;
	leave_place(directory, object);
	object->goes_first = first;
	if (first) {
		show(directory, object);
	} else {
		TAILQ_INSERT_TAIL(&shelf->waiting, object, place_entry);
		object->place = PLACE_WAITING;
		note_reasons(directory, object);
	}
	fill(directory, shelf);
	trim(directory, shelf);
}

static void lose_place(struct directory *directory, struct bus_object *object, bool is_named)
{
	leave_place(directory, object);
	object->goes_first = false;
	if (is_named)
		name(directory, object);
	else
		unname(directory, object);
	note_reasons(directory, object);
	fill(directory, shelf_of(directory, object));
	trim(directory, shelf_of(directory, object));
}

void directory_release(struct directory *directory, enum method_scope scope, const char *id)
{
	struct bus_object *object = find(directory, scope, id);

	if (object && object->place != PLACE_NONE)
		lose_place(directory, object, true);
}

void directory_name(struct directory *directory, enum method_scope scope, const char *id)
{
	struct bus_object *object = get(directory, scope, id);

	if (object->place == PLACE_SHOWN)
		return;
	name(directory, object);
	note_reasons(directory, object);
	trim(directory, shelf_of(directory, object));
}

void directory_drop(struct directory *directory, enum method_scope scope, const char *id)
{
	struct bus_object *object = find(directory, scope, id);

	if (!object)
		return;
	lose_place(directory, object, false);
	free_untold(directory, object);
}

static void *copy_values(const struct bus_object *object, const void *values)
{
	const struct record *record = scopes[object->scope].record;
	void *copy = xcalloc(1, record->size);

	record_copy(record, copy, values);
	return copy;
}

void directory_change(struct directory *directory, enum method_scope scope, const char *id,
		      const void *values)
{
	struct bus_object *object = find(directory, scope, id);

	if (!object || !exists(object))
		return;
	if (values) {
		free_values(object, &object->next);
		object->next = copy_values(object, values);
	}
	mark(directory, object);
}

/* --- what there is --- */

const struct bus_object *directory_find(const struct directory *directory, enum method_scope scope,
					const char *id)
{
	const struct bus_object *object = find(directory, scope, id);

	return object && object->values ? object : NULL;
}

static const struct bus_object *on_bus_from(const struct bus_object *object)
{
	while (object && !object->values)
		object = object->hh.next;
	return object;
}

const struct bus_object *directory_first(const struct directory *directory, enum method_scope scope)
{
	return on_bus_from(directory->shelves[scope].by_id);
}

const struct bus_object *directory_next(const struct bus_object *object)
{
	return on_bus_from(object->hh.next);
}

static void pass(struct directory_walk *walk, struct bus_object *object)
{
	if (!object->values || object->walk == walk->number)
		return;
	object->walk = walk->number;
	walk->pass(walk->arg, object);
}

void directory_walk_begin(struct directory *directory, struct directory_walk *walk)
{
	assert(!directory->walk);
	walk->number = ++directory->walks;
	walk->scope = SCOPE_VOLUME;
	walk->next = directory->shelves[SCOPE_VOLUME].by_id;
	directory->walk = walk;
}

bool directory_walk_on(struct directory *directory, size_t weight)
{
	struct directory_walk *walk = directory->walk;
	size_t passed = 0;

	while (passed < weight) {
		if (walk->next) {
			struct bus_object *object = walk->next;

			walk->next = object->hh.next;
			passed += object->weight;
			pass(walk, object);
		} else if (walk->scope + 1 < SCOPE_COUNT) {
			walk->scope++;
			walk->next = directory->shelves[walk->scope].by_id;
		} else {
			return false;
		}
	}
	return true;
}

void directory_walk_end(struct directory *directory)
{
	directory->walk = NULL;
}

size_t directory_hidden(const struct directory *directory, enum method_scope scope)
{
	return directory->shelves[scope].hidden_count;
}

static const void *read_volume(struct directory *directory, const char *id)
{
	record_clear(&volume_record, &directory->volume);
	record_init(&volume_record, &directory->volume);
	return core_volume(directory->core, id, &directory->volume) ? &directory->volume : NULL;
}

static const void *read_export(struct directory *directory, const char *id)
{
	record_clear(&export_record, &directory->export);
	record_init(&export_record, &directory->export);
	return core_export(directory->core, id, &directory->export) ? &directory->export : NULL;
}

const void *directory_read(struct directory *directory, enum method_scope scope, const char *id)
{
	switch (scope) {
	case SCOPE_VOLUME:
		return read_volume(directory, id);
	case SCOPE_OPERATION:
		return core_operation(directory->core, id);
	case SCOPE_EXPORT:
		return read_export(directory, id);
	case SCOPE_MANAGER:
	case SCOPE_COUNT:
		break;
	}
	return NULL;
}

/* --- settling --- */

struct bus_object *directory_dirty(struct directory *directory)
{
	return TAILQ_FIRST(&directory->dirty);
}

struct bus_object *directory_dirty_at(struct directory *directory, enum method_scope scope,
				      const char *id)
{
	struct bus_object *object = find(directory, scope, id);

	return object && object->is_dirty ? object : NULL;
}

static enum directory_change settle_gone(struct directory *directory, struct bus_object *object)
{
	enum directory_change change = object->values ? DIRECTORY_REMOVED : DIRECTORY_SAME;

	free_values(object, &object->next);
	free_values(object, &object->values);
	if (object->place == PLACE_NONE && !object->named_until_ms)
		object_free(directory, object);
	return change;
}

/* False: the object differs in what never changes, so it is another object. */
static bool compare(const struct bus_object *object, const void *values, uint64_t *fields)
{
	const struct record *record = scopes[object->scope].record;
	bool is_same_object = true;

	assert(record->count <= 64);
	*fields = 0;
	for (size_t i = 0; i < record->count; i++) {
		const struct field *field = &record->fields[i];

		if (!bus_property_is_told(field) ||
		    bus_field_is_same(field, object->values, values))
			continue;
		if (bus_property_changes(field))
			*fields |= UINT64_C(1) << i;
		else
			is_same_object = false;
	}
	return is_same_object;
}

/* Values that are not told are not kept either. */
static void keep_values(struct directory *directory, struct bus_object *object, const void *values)
{
	const struct record *record = scopes[object->scope].record;
	struct bus_shelf *shelf = shelf_of(directory, object);

	if (!object->values)
		object->values = xcalloc(1, record->size);
	record_copy(record, object->values, values);
	for (size_t i = 0; i < record->count; i++) {
		const struct field *field = &record->fields[i];

		if (field->type == FIELD_OBJECT && !bus_property_is_told(field))
			str_set(field_of(field, object->values), NULL);
	}
	if (object->counts)
		shelf->weight -= object->weight;
	object->weight = bus_object_weight(object->scope, object->values);
	if (object->counts)
		shelf->weight += object->weight;
}

static enum directory_change settle_there(struct directory *directory, struct bus_object *object,
					  const void *values, uint64_t *fields)
{
	enum directory_change change = DIRECTORY_ADDED;

	if (object->values) {
		if (!compare(object, values, fields))
			change = DIRECTORY_REPLACED;
		else
			change = *fields ? DIRECTORY_CHANGED : DIRECTORY_SAME;
	}
	keep_values(directory, object, values);
	free_values(object, &object->next);
	return change;
}

enum directory_change directory_settle(struct directory *directory, struct bus_object *object,
				       uint64_t *fields)
{
	struct bus_shelf *shelf = shelf_of(directory, object);
	const void *values = object->next;
	enum directory_change change;

	unmark(directory, object);
	if (directory->walk) {
		pass(directory->walk, object);
		object->walk = directory->walk->number;
	}
	if (exists(object) && !values)
		values = directory_read(directory, object->scope, object->id);
	if (!exists(object))
		return settle_gone(directory, object);
	/* Core has forgotten an operation that has ended, and what was told of it stays true. Of
	 * another object nothing is true any more: its last operation may name it after its end. */
	if (!values && object->scope == SCOPE_OPERATION && object->values &&
	    object->named_until_ms > 0)
		return DIRECTORY_SAME;
	if (!values) {
		/* Core does not have it: a name of nothing, or core is about to tell. */
		lose_place(directory, object, false);
		unmark(directory, object);
		return settle_gone(directory, object);
	}
	change = settle_there(directory, object, values, fields);
	trim(directory, shelf);
	return change;
}

/* --- life --- */

void directory_init(struct directory *directory, struct loop *loop, struct core *core,
		    void (*on_dirty)(void *arg), void *arg)
{
	*directory = (struct directory){
		.loop = loop,
		.core = core,
		.expiry.fire = on_expiry,
		.on_dirty = on_dirty,
		.arg = arg,
	};
	TAILQ_INIT(&directory->dirty);
	record_init(&volume_record, &directory->volume);
	record_init(&export_record, &directory->export);
	for (enum method_scope scope = SCOPE_MANAGER; scope < SCOPE_COUNT; scope++) {
		TAILQ_INIT(&directory->shelves[scope].shown);
		TAILQ_INIT(&directory->shelves[scope].waiting);
		TAILQ_INIT(&directory->shelves[scope].named);
	}
}

void directory_fini(struct directory *directory)
{
	for (enum method_scope scope = SCOPE_MANAGER; scope < SCOPE_COUNT; scope++) {
		struct bus_object *object, *next;

		HASH_ITER(hh, directory->shelves[scope].by_id, object, next)
			object_free(directory, object);
	}
	loop_timer_clear(directory->loop, &directory->expiry);
	record_clear(&volume_record, &directory->volume);
	record_clear(&export_record, &directory->export);
}
