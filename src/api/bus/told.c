/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Core says that an object has changed, but not in what. PropertiesChanged shall carry the
 * difference and nothing else: most changes touch one or two properties, clients act on each that
 * comes, and the large ones (CloudStack's own description of a volume) change least of all. So the
 * values that were sent are kept, and compared with the present ones when the object's turn comes.
 * An object that changed and changed back has nothing to tell.
 */

#include "api/bus/told.h"

#include "api/bus/encode.h"
#include "api/bus/vtable.h"

void told_init(struct told *told)
{
	*told = (struct told){ 0 };
	TAILQ_INIT(&told->dirty);
}

static struct told_object *find_path(struct told *told, const char *path)
{
	struct told_object *object;

	HASH_FIND_STR(told->by_path, path, object);
	return object;
}

struct told_object *told_find(struct told *told, enum method_scope scope, const char *id)
{
	_cleanup_free_ char *path = bus_object_path(scope, id);

	return find_path(told, path);
}

static struct told_object *get(struct told *told, enum method_scope scope, const char *id)
{
	_cleanup_free_ char *path = bus_object_path(scope, id);
	struct told_object *object = find_path(told, path);

	if (object)
		return object;
	object = xnew(struct told_object);
	object->scope = scope;
	object->id = xstrdup(id);
	object->path = TAKE_PTR(path);
	HASH_ADD_KEYPTR(hh, told->by_path, object->path, strlen(object->path), object);
	return object;
}

void told_mark(struct told *told, enum method_scope scope, const char *id)
{
	struct told_object *object = get(told, scope, id);

	if (!object->is_dirty)
		TAILQ_INSERT_TAIL(&told->dirty, object, dirty_entry);
	object->is_dirty = true;
}

static void unmark(struct told *told, struct told_object *object)
{
	if (object->is_dirty)
		TAILQ_REMOVE(&told->dirty, object, dirty_entry);
	object->is_dirty = false;
}

static void keep_values(struct told_object *object, const void *values)
{
	const struct record *record = scopes[object->scope].record;

	if (!object->values) {
		object->values = xcalloc(1, record->size);
		record_init(record, object->values);
	}
	record_copy(record, object->values, values);
}

void told_note(struct told *told, enum method_scope scope, const char *id, const void *values)
{
	struct told_object *object = get(told, scope, id);

	unmark(told, object);
	keep_values(object, values);
}

char **told_update(struct told *told, struct told_object *object, const void *values)
{
	const struct record *record = scopes[object->scope].record;
	char **names = xcalloc(record->count + 1, sizeof(char *));
	size_t count = 0;

	for (size_t i = 0; i < record->count; i++) {
		const struct field *field = &record->fields[i];
		char name[BUS_PROPERTY_SIZE];

		if (!bus_property_changes(field) ||
		    (object->values && field_is_same(field, object->values, values)))
			continue;
		method_bus_property(field->name, name);
		names[count++] = xstrdup(name);
	}
	unmark(told, object);
	keep_values(object, values);
	return count > 0 ? names : told_names_free(names);
}

char **told_names_free(char **names)
{
	for (char **name = names; name && *name; name++)
		free(*name);
	free(names);
	return NULL;
}

void told_forget(struct told *told, struct told_object *object)
{
	if (!object)
		return;
	unmark(told, object);
	HASH_DEL(told->by_path, object);
	if (object->values)
		record_clear(scopes[object->scope].record, object->values);
	free(object->values);
	free(object->id);
	free(object->path);
	free(object);
}

void told_clear(struct told *told)
{
	struct told_object *object, *next;

	HASH_ITER(hh, told->by_path, object, next)
		told_forget(told, object);
}
