/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The interfaces, made at start from methods[] and the records. sd-bus requires an array of
 * sd_bus_vtable rows whose texts live as long as they are registered, so an interface owns its rows
 * and every text that it had to compose.
 *
 * Every method is flagged UNPRIVILEGED. Without the flag sd-bus asks the bus for the caller's uid
 * in a blocking round trip per call; auth.c decides about rights instead.
 */

#include "api/bus/vtable.h"

#include <assert.h>

#include "api/bus/signal_table.h"

const char *const bus_hidden_names[SCOPE_COUNT] = {
	[SCOPE_VOLUME] = "UnlistedVolumes",
	[SCOPE_OPERATION] = "UnlistedOperations",
	[SCOPE_EXPORT] = "UnlistedExports",
};

/* The text now belongs to the interface. */
static const char *interface_keep(struct bus_interface *interface, char *text)
{
	interface->texts = xrealloc(interface->texts, (interface->text_count + 1) * sizeof(char *));
	interface->texts[interface->text_count++] = text;
	return text;
}

static sd_bus_vtable *interface_add(struct bus_interface *interface, sd_bus_vtable row)
{
	size_t room = interface->count + 1;

	interface->rows = xrealloc(interface->rows, room * sizeof(row));
	/* Rows are copied whole: sd-bus requires the unused parts of the union to be zero. */
	memcpy(&interface->rows[interface->count], &row, sizeof(row));
	return &interface->rows[interface->count++];
}

static void add_name(struct buf *names, const char *name)
{
	buf_add(names, name, strlen(name) + 1);
}

/* Names of the arguments, in then out, as one text with a zero after each name. */
static char *method_arg_names(const struct method *method, bool on_object)
{
	const struct field *self = on_object ? method_object_field(method) : NULL;
	enum method_scope scope = method_answer_scope(method);
	struct buf names = BUF_NULL;

	for (size_t i = 0; i < method->args->count; i++) {
		const struct field *field = &method->args->fields[i];

		if ((field->flags & FIELD_REQUIRED) && field != self)
			add_name(&names, field->name);
	}
	if (method_bus_has_options(method))
		add_name(&names, "options");
	if (scope != SCOPE_MANAGER)
		add_name(&names, scopes[scope].name);
	else if (method->answer == ANSWER_DESCRIPTOR)
		add_name(&names, method->result->fields[0].name);
	else if (method->answer == ANSWER_MANY)
		buf_printf(&names, "%ss%c", method->result->name, '\0');
	else
		add_name(&names, method->result->name);
	if (method->answer == ANSWER_MANY && method_has_pages(method))
		add_name(&names, "next_cursor");
	return buf_take(&names);
}

static void add_method(struct bus_interface *interface, const struct method *method, bool on_object)
{
	const char *signature = interface_keep(interface, method_bus_signature(method, on_object));
	const char *names = interface_keep(interface, method_arg_names(method, on_object));
	const char *member = on_object ? method->object_member : method->member;
	sd_bus_vtable row =
		SD_BUS_METHOD_WITH_NAMES_OFFSET(member, signature, names, method_bus_result(method),
						, interface->handlers->method, 0,
						SD_BUS_VTABLE_UNPRIVILEGED);

	interface_add(interface, row);
}

static void add_signal(struct bus_interface *interface, const struct bus_signal *signal)
{
	sd_bus_vtable row =
		SD_BUS_SIGNAL_WITH_NAMES(signal->member, signal->signature, signal->names, 0);

	interface_add(interface, row);
}

bool bus_property_is_shown(const struct field *field)
{
	return !(field->flags & (FIELD_PRIVATE | FIELD_ASKED));
}

bool bus_property_is_told(const struct field *field)
{
	return bus_property_is_shown(field) && !(field->flags & FIELD_APART);
}

bool bus_property_changes(const struct field *field)
{
	return bus_property_is_told(field) && !(field->flags & FIELD_CONST);
}

static uint64_t property_flags(const struct field *field)
{
	if (!bus_property_is_told(field))
		return 0;
	return bus_property_changes(field) ? SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE
					   : SD_BUS_VTABLE_PROPERTY_CONST;
}

static void add_property(struct bus_interface *interface, const struct field *field)
{
	char name[BUS_PROPERTY_SIZE];
	const char *member;

	method_bus_property(field->name, name);
	member = interface_keep(interface, xstrdup(name));
	sd_bus_vtable row =
		SD_BUS_PROPERTY(member, field_type_view(field->type)->bus,
				interface->handlers->property, 0, property_flags(field));

	interface_add(interface, row);
}

static void add_manager(struct bus_interface *interface)
{
	sd_bus_vtable version =
		SD_BUS_PROPERTY("Version", "s", interface->handlers->manager_property, 0,
				SD_BUS_VTABLE_PROPERTY_CONST);
	sd_bus_vtable appliance =
		SD_BUS_PROPERTY("ApplianceId", "s", interface->handlers->manager_property, 0, 0);

	for (size_t i = 0; i < METHOD_COUNT; i++)
		add_method(interface, &methods[i], false);
	for (const struct bus_signal *signal = bus_signal_table; signal->member; signal++)
		add_signal(interface, signal);
	interface_add(interface, appliance);
	interface_add(interface, version);
	for (enum method_scope scope = SCOPE_VOLUME; scope < SCOPE_COUNT; scope++) {
		sd_bus_vtable hidden = SD_BUS_PROPERTY(bus_hidden_names[scope], "u",
						       interface->handlers->hidden_count, 0,
						       SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE);

		interface_add(interface, hidden);
	}
}

static void add_object(struct bus_interface *interface, enum method_scope scope)
{
	const struct record *record = scopes[scope].record;

	for (size_t i = 0; i < METHOD_COUNT; i++) {
		if (methods[i].scope == scope && methods[i].object_member)
			add_method(interface, &methods[i], true);
	}
	for (size_t i = 0; i < record->count; i++) {
		if (bus_property_is_shown(&record->fields[i]))
			add_property(interface, &record->fields[i]);
	}
}

struct bus_interface *bus_interface_new(enum method_scope scope,
					const struct bus_handlers *handlers)
{
	struct bus_interface *interface = xnew(struct bus_interface);
	sd_bus_vtable start = SD_BUS_VTABLE_START(0);
	sd_bus_vtable version =
		SD_BUS_PROPERTY(BUS_VERSION_PROPERTY, "u", handlers->interface_version, 0,
				SD_BUS_VTABLE_PROPERTY_CONST);
	sd_bus_vtable end = SD_BUS_VTABLE_END;

	assert(scope < SCOPE_COUNT);
	interface->name = scopes[scope].interface;
	interface->handlers = handlers;
	interface_add(interface, start);
	if (scope == SCOPE_MANAGER)
		add_manager(interface);
	else
		add_object(interface, scope);
	interface_add(interface, version);
	interface_add(interface, end);
	interface->count--;
	return interface;
}

struct bus_interface *bus_interface_free(struct bus_interface *interface)
{
	if (!interface)
		return NULL;
	for (size_t i = 0; i < interface->text_count; i++)
		free(interface->texts[i]);
	free(interface->texts);
	free(interface->rows);
	free(interface);
	return NULL;
}
