/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The object tree: the Manager at the root, and under volume/, operation/ and export/ an object for
 * each thing that core has in memory. Objects are not registered singly. A fallback vtable covers a
 * whole prefix, and a find function tells whether a path has an object; so nothing has to be kept
 * in step with the model.
 *
 * sd-bus calls find once for a message (or once for each interface of an object that it describes)
 * and then calls the getters in turn, all within one turn of the loop. So find copies a volume or
 * an export out of the model once, into a struct that the getters read; for an operation find keeps
 * a pointer.
 */

#include "api/bus/objects.h"

#include <assert.h>
#include <errno.h>

#include "api/bus/encode.h"
#include "build_config.h"
#include "core/core.h"
#include "io/bus_codec.h"

/*
 * ObjectManager lists no objects of a kind if there are more, or larger ones: sd-bus makes the
 * whole list in one go, 60 us for each object, and a message may not have more than 32 MiB. The
 * methods ListVolumes, ListOperations and ListExports give pages.
 */
#define ENUMERATED_MAX 1000
#define ENUMERATED_WEIGHT_MAX (ANSWER_SIZE_MAX / SCOPE_COUNT)

static const struct volume_record *copy_volume(struct bus_objects *objects, const char *id)
{
	record_clear(&volume_record, &objects->volume);
	record_init(&volume_record, &objects->volume);
	return core_volume(objects->core, id, &objects->volume) ? &objects->volume : NULL;
}

static const struct export_record *copy_export(struct bus_objects *objects, const char *id)
{
	record_clear(&export_record, &objects->export);
	record_init(&export_record, &objects->export);
	return core_export(objects->core, id, &objects->export) ? &objects->export : NULL;
}

const void *bus_objects_get(struct bus_objects *objects, enum method_scope scope, const char *id)
{
	switch (scope) {
	case SCOPE_VOLUME:
		return copy_volume(objects, id);
	case SCOPE_OPERATION:
		return core_operation(objects->core, id);
	case SCOPE_EXPORT:
		return copy_export(objects, id);
	case SCOPE_MANAGER:
	case SCOPE_COUNT:
		break;
	}
	return NULL;
}

static int find_object(struct bus_objects *objects, enum method_scope scope, const char *path,
		       void **ret_found)
{
	struct bus_view *view = &objects->view[scope];
	_cleanup_free_ char *id = NULL;

	view->object = NULL;
	if (sd_bus_path_decode(path, scopes[scope].path, &id) <= 0 || str_empty(id))
		return 0;
	view->object = bus_objects_get(objects, scope, id);
	*ret_found = view;
	return view->object ? 1 : 0;
}

static int find_volume(sd_bus *sd_bus, const char *path, const char *interface, void *userdata,
		       void **ret_found, sd_bus_error *error)
{
	return find_object(userdata, SCOPE_VOLUME, path, ret_found);
}

static int find_operation(sd_bus *sd_bus, const char *path, const char *interface, void *userdata,
			  void **ret_found, sd_bus_error *error)
{
	return find_object(userdata, SCOPE_OPERATION, path, ret_found);
}

static int find_export(sd_bus *sd_bus, const char *path, const char *interface, void *userdata,
		       void **ret_found, sd_bus_error *error)
{
	return find_object(userdata, SCOPE_EXPORT, path, ret_found);
}

static int get_property(sd_bus *sd_bus, const char *path, const char *interface,
			const char *property, sd_bus_message *reply, void *userdata,
			sd_bus_error *error)
{
	struct bus_view *view = userdata;
	const struct record *record = scopes[view - view->objects->view].record;
	char name[BUS_PROPERTY_SIZE];

	assert(view->object);
	for (size_t i = 0; i < record->count; i++) {
		method_bus_property(record->fields[i].name, name);
		if (streq(name, property))
			return bus_append_field(reply, &record->fields[i], view->object);
	}
	return -ENOENT;
}

static int get_interface_version(sd_bus *sd_bus, const char *path, const char *interface,
				 const char *property, sd_bus_message *reply, void *userdata,
				 sd_bus_error *error)
{
	return sd_bus_message_append(reply, "u", BUS_VERSION);
}

static int get_manager_property(sd_bus *sd_bus, const char *path, const char *interface,
				const char *property, sd_bus_message *reply, void *userdata,
				sd_bus_error *error)
{
	struct bus_view *view = userdata;

	if (streq(property, "Version"))
		return bus_append_text(reply, VERSION);
	return bus_append_text(reply, core_appliance_id(view->objects->core));
}

/* --- enumeration --- */

struct path_list {
	enum method_scope scope;
	char **paths; /* ended by NULL, each from malloc(), as sd-bus requires */
	size_t count;
	size_t room;
};

static void path_list_add(void *arg, const char *id)
{
	struct path_list *list = arg;

	if (list->count + 1 >= list->room) {
		list->room = list->room ? 2 * list->room : 16;
		list->paths = xrealloc(list->paths, list->room * sizeof(char *));
	}
	list->paths[list->count++] = bus_object_path(list->scope, id);
	list->paths[list->count] = NULL;
}

static void count_one(void *arg, const char *id)
{
	++*(size_t *)arg;
}

struct weighing {
	struct bus_objects *objects;
	enum method_scope scope;
	size_t weight;
};

static void weigh_one(void *arg, const char *id)
{
	struct weighing *weighing = arg;
	const void *object = bus_objects_get(weighing->objects, weighing->scope, id);

	if (object)
		weighing->weight += record_weight(scopes[weighing->scope].record, object);
}

typedef void (*each_fn)(struct core *core, void (*fn)(void *arg, const char *id), void *arg);

static const each_fn each_of[SCOPE_COUNT] = {
	[SCOPE_VOLUME] = core_each_volume,
	[SCOPE_OPERATION] = core_each_operation,
	[SCOPE_EXPORT] = core_each_export,
};

void bus_objects_each(struct bus_objects *objects, enum method_scope scope,
		      void (*fn)(void *arg, const char *id), void *arg)
{
	struct weighing weighing = { .objects = objects, .scope = scope };
	size_t count = 0;

	each_of[scope](objects->core, count_one, &count);
	if (count <= ENUMERATED_MAX)
		each_of[scope](objects->core, weigh_one, &weighing);
	if (count <= ENUMERATED_MAX && weighing.weight <= ENUMERATED_WEIGHT_MAX)
		each_of[scope](objects->core, fn, arg);
}

static int list_objects(struct bus_objects *objects, enum method_scope scope, char ***ret_nodes)
{
	struct path_list list = { .scope = scope };

	bus_objects_each(objects, scope, path_list_add, &list);
	*ret_nodes = list.paths;
	return 0;
}

static int enumerate_volumes(sd_bus *sd_bus, const char *prefix, void *userdata, char ***ret_nodes,
			     sd_bus_error *error)
{
	return list_objects(userdata, SCOPE_VOLUME, ret_nodes);
}

static int enumerate_operations(sd_bus *sd_bus, const char *prefix, void *userdata,
				char ***ret_nodes, sd_bus_error *error)
{
	return list_objects(userdata, SCOPE_OPERATION, ret_nodes);
}

static int enumerate_exports(sd_bus *sd_bus, const char *prefix, void *userdata, char ***ret_nodes,
			     sd_bus_error *error)
{
	return list_objects(userdata, SCOPE_EXPORT, ret_nodes);
}

/* --- methods --- */

static const struct method *find_method(sd_bus_message *m, enum method_scope scope)
{
	const char *member = sd_bus_message_get_member(m);

	for (size_t i = 0; i < METHOD_COUNT; i++) {
		if (scope == SCOPE_MANAGER && streq(methods[i].member, member))
			return &methods[i];
		if (scope == methods[i].scope && streq(methods[i].object_member, member))
			return &methods[i];
	}
	return NULL;
}

static int on_method(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const struct bus_view *view = userdata;
	enum method_scope scope = (enum method_scope)(view - view->objects->view);
	const struct method *method = find_method(m, scope);

	assert(method);
	if (scope == SCOPE_MANAGER)
		return bus_calls_begin(view->objects->calls, m, method, NULL, NULL);
	return bus_calls_begin(view->objects->calls, m, method, method_object_field(method),
			       scope_id_of(scope, view->object));
}

/* --- registration --- */

static int register_scope(struct bus_objects *objects, sd_bus *sd_bus, enum method_scope scope,
			  sd_bus_object_find_t find, sd_bus_node_enumerator_t enumerate)
{
	const struct bus_interface *interface = objects->interfaces[scope];
	int r;

	r = sd_bus_add_fallback_vtable(sd_bus, NULL, scopes[scope].path, interface->name,
				       interface->rows, find, objects);
	return r < 0 ? r
		     : sd_bus_add_node_enumerator(sd_bus, NULL, scopes[scope].path, enumerate,
						  objects);
}

int bus_objects_register(struct bus_objects *objects, sd_bus *sd_bus)
{
	const struct bus_interface *manager = objects->interfaces[SCOPE_MANAGER];
	int r;

	r = sd_bus_add_object_vtable(sd_bus, NULL, BUS_ROOT, manager->name, manager->rows,
				     &objects->view[SCOPE_MANAGER]);
	if (r >= 0)
		r = sd_bus_add_object_manager(sd_bus, NULL, BUS_ROOT);
	if (r >= 0)
		r = register_scope(objects, sd_bus, SCOPE_VOLUME, find_volume, enumerate_volumes);
	if (r >= 0)
		r = register_scope(objects, sd_bus, SCOPE_OPERATION, find_operation,
				   enumerate_operations);
	if (r >= 0)
		r = register_scope(objects, sd_bus, SCOPE_EXPORT, find_export, enumerate_exports);
	return r;
}

/* --- life --- */

void bus_objects_init(struct bus_objects *objects, struct core *core, struct bus_calls *calls)
{
	static const struct bus_handlers handlers = {
		.method = on_method,
		.property = get_property,
		.manager_property = get_manager_property,
		.interface_version = get_interface_version,
	};

	*objects = (struct bus_objects){ .core = core, .calls = calls };
	record_init(&volume_record, &objects->volume);
	record_init(&export_record, &objects->export);
	for (enum method_scope scope = SCOPE_MANAGER; scope < SCOPE_COUNT; scope++) {
		objects->view[scope].objects = objects;
		objects->interfaces[scope] = bus_interface_new(scope, &handlers);
	}
}

void bus_objects_fini(struct bus_objects *objects)
{
	for (enum method_scope scope = SCOPE_MANAGER; scope < SCOPE_COUNT; scope++)
		bus_interface_free(objects->interfaces[scope]);
	record_clear(&volume_record, &objects->volume);
	record_clear(&export_record, &objects->export);
}
