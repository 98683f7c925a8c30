/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The object tree: the Manager at the root, and under volume/, operation/ and export/ the objects
 * of the directory. Objects are not registered singly. A fallback vtable covers a whole prefix, and
 * a find function tells whether a path has an object; so nothing has to be kept in step with the
 * directory.
 *
 * sd-bus calls find once for a message (or once for each interface of an object that it describes)
 * and then calls the getters in turn, all within one turn of the loop, so the getters read what
 * find has found.
 *
 * sd-bus could answer GetManagedObjects by itself: it would find each object by its path, and each
 * property by its name, which takes ten times as long. The enumeration answers
 * instead (enumeration.h).
 */

#include "api/bus/objects.h"

#include <assert.h>
#include <errno.h>

#include "api/bus/encode.h"
#include "build_config.h"
#include "core/core.h"
#include "io/bus_codec.h"

static int find_object(struct bus_objects *objects, enum method_scope scope, const char *path,
		       void **ret_found)
{
	struct bus_view *view = &objects->view[scope];
	const struct bus_object *object = NULL;
	_cleanup_free_ char *id = NULL;

	if (sd_bus_path_decode(path, scopes[scope].path, &id) > 0) {
		bus_signals_settle(objects->signals, scope, id);
		object = directory_find(objects->directory, scope, id);
	}
	view->values = object ? object->values : NULL;
	*ret_found = view;
	return object ? 1 : 0;
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

/* Values that were not told are core's present ones. */
static const void *values_for(const struct bus_view *view, enum method_scope scope,
			      const struct field *field)
{
	const void *present;

	if (bus_property_is_told(field))
		return view->values;
	present = directory_read(view->objects->directory, scope, scope_id_of(scope, view->values));
	return present ? present : view->values;
}

static int get_property(sd_bus *sd_bus, const char *path, const char *interface,
			const char *property, sd_bus_message *reply, void *userdata,
			sd_bus_error *error)
{
	struct bus_view *view = userdata;
	enum method_scope scope = (enum method_scope)(view - view->objects->view);
	const struct record *record = scopes[scope].record;
	char name[BUS_PROPERTY_SIZE];

	assert(view->values);
	for (size_t i = 0; i < record->count; i++) {
		const struct field *field = &record->fields[i];

		method_bus_property(field->name, name);
		if (streq(name, property))
			return bus_append_field(reply, field, values_for(view, scope, field));
	}
	return -ENOENT;
}

static int get_hidden_count(sd_bus *sd_bus, const char *path, const char *interface,
			    const char *property, sd_bus_message *reply, void *userdata,
			    sd_bus_error *error)
{
	const struct bus_view *view = userdata;

	for (enum method_scope scope = SCOPE_VOLUME; scope < SCOPE_COUNT; scope++) {
		if (streq(bus_hidden_names[scope], property))
			return sd_bus_message_append(
				reply, "u",
				(uint32_t)directory_hidden(view->objects->directory, scope));
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
	return bus_append_text(reply, core_appliance_id(view->objects->directory->core));
}

/* --- enumeration --- */

/* Paths ended by NULL, each from malloc(), as sd-bus requires. */
static int list_objects(const struct bus_objects *objects, enum method_scope scope,
			char ***ret_nodes)
{
	const struct bus_object *object;
	char **paths = NULL;
	size_t count = 0, room = 0;

	for (object = directory_first(objects->directory, scope); object;
	     object = directory_next(object)) {
		if (count + 1 >= room) {
			room = room ? 2 * room : 16;
			paths = xrealloc(paths, room * sizeof(char *));
		}
		paths[count++] = bus_object_path(scope, object->id);
		paths[count] = NULL;
	}
	*ret_nodes = paths;
	return 0;
}

static int on_root(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const struct bus_objects *objects = userdata;

	if (!sd_bus_message_is_method_call(m, "org.freedesktop.DBus.ObjectManager",
					   "GetManagedObjects") ||
	    !sd_bus_message_is_empty(m))
		return 0; /* sd-bus goes on */
	return bus_enumeration_ask(objects->enumeration, m);
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
			       scope_id_of(scope, view->values));
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

	r = sd_bus_add_object(sd_bus, NULL, BUS_ROOT, on_root, objects);
	if (r >= 0)
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

void bus_objects_init(struct bus_objects *objects, struct bus_signals *signals,
		      struct bus_enumeration *enumeration, struct bus_calls *calls)
{
	static const struct bus_handlers handlers = {
		.method = on_method,
		.property = get_property,
		.manager_property = get_manager_property,
		.hidden_count = get_hidden_count,
		.interface_version = get_interface_version,
	};

	*objects = (struct bus_objects){ .signals = signals,
					 .directory = &signals->directory,
					 .enumeration = enumeration,
					 .calls = calls };
	for (enum method_scope scope = SCOPE_MANAGER; scope < SCOPE_COUNT; scope++) {
		objects->view[scope].objects = objects;
		objects->interfaces[scope] = bus_interface_new(scope, &handlers);
	}
}

void bus_objects_fini(struct bus_objects *objects)
{
	for (enum method_scope scope = SCOPE_MANAGER; scope < SCOPE_COUNT; scope++)
		bus_interface_free(objects->interfaces[scope]);
}
