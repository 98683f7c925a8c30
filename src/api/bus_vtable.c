/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The interfaces, made at start from methods[] and the records. sd-bus wants an array of sd_bus_vtable rows whose
 * texts live as long as they are registered, so an interface owns its rows and every text it had to compose.
 *
 * The same rows are printed as introspection XML for dbus/ (in the form sd-bus itself answers Introspect with, plus a
 * comment saying what each row is for), so what is shipped cannot differ from what is served.
 *
 * Every method is flagged UNPRIVILEGED. Without the flag sd-bus asks the bus for the caller's uid in a blocking round
 * trip per call; who may do what is decided in auth_bus.c instead.
 */

#include <assert.h>

#include "api/bus_internal.h"

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
	/* Whole rows by copy: sd-bus wants the unused parts of the union to be zero. */
	memcpy(&interface->rows[interface->count], &row, sizeof(row));
	return &interface->rows[interface->count++];
}

static void add_name(struct buf *names, const char *name)
{
	buf_add(names, name, strlen(name) + 1);
}

/* Names of the arguments, in then out, as one text with a zero after each. */
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
	else if (method->answer == ANSWER_MANY)
		buf_printf(&names, "%ss%c", method->result->name, '\0');
	else
		add_name(&names, method->result->name);
	return buf_take(&names);
}

static void add_method(struct bus_interface *interface, const struct method *method, bool on_object)
{
	const char *signature = interface_keep(interface, method_bus_signature(method, on_object));
	const char *names = interface_keep(interface, method_arg_names(method, on_object));
	const char *member = on_object ? method->object_member : method->member;
	sd_bus_vtable row = SD_BUS_METHOD_WITH_NAMES_OFFSET(member, signature, names, method_bus_result(method), ,
							    bus_on_method, 0, SD_BUS_VTABLE_UNPRIVILEGED);

	interface_add(interface, row);
}

static void add_signal(struct bus_interface *interface, const struct bus_signal *signal)
{
	sd_bus_vtable row = SD_BUS_SIGNAL_WITH_NAMES(signal->member, signal->signature, signal->names, 0);

	interface_add(interface, row);
}

static void add_property(struct bus_interface *interface, const struct field *field, bool constant)
{
	char name[BUS_PROPERTY_SIZE];
	uint64_t flags = constant ? SD_BUS_VTABLE_PROPERTY_CONST : SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE;
	const char *member;

	method_bus_property(field->name, name);
	member = interface_keep(interface, xstrdup(name));
	sd_bus_vtable row = SD_BUS_PROPERTY(member, field_type_view(field->type)->bus, bus_get_property, 0, flags);

	interface_add(interface, row);
}

static void add_manager(struct bus_interface *interface)
{
	sd_bus_vtable version =
		SD_BUS_PROPERTY("Version", "s", bus_get_manager_property, 0, SD_BUS_VTABLE_PROPERTY_CONST);
	sd_bus_vtable appliance = SD_BUS_PROPERTY("ApplianceId", "s", bus_get_manager_property, 0, 0);

	for (size_t i = 0; i < METHOD_COUNT; i++)
		add_method(interface, &methods[i], false);
	for (const struct bus_signal *signal = bus_signals; signal->member; signal++)
		add_signal(interface, signal);
	interface_add(interface, appliance);
	interface_add(interface, version);
}

static void add_object(struct bus_interface *interface, enum method_scope scope)
{
	const struct record *record = scopes[scope].record;

	for (size_t i = 0; i < METHOD_COUNT; i++) {
		if (methods[i].scope == scope && methods[i].object_member)
			add_method(interface, &methods[i], true);
	}
	for (size_t i = 0; i < record->count; i++) {
		const struct field *field = &record->fields[i];

		if (!(field->flags & (FIELD_PRIVATE | FIELD_ASKED)))
			add_property(interface, field, streq(field->name, scopes[scope].id));
	}
}

struct bus_interface *bus_interface_new(enum method_scope scope)
{
	struct bus_interface *interface = xnew(struct bus_interface);
	sd_bus_vtable start = SD_BUS_VTABLE_START(0);
	sd_bus_vtable end = SD_BUS_VTABLE_END;

	assert(scope < SCOPE_COUNT);
	interface->name = scopes[scope].interface;
	interface_add(interface, start);
	if (scope == SCOPE_MANAGER)
		add_manager(interface);
	else
		add_object(interface, scope);
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

/* --- XML ------------------------------------------------------------------------------------------------------- */

/* Comments hold plain sentences; only "--" would end them too early. */
static void xml_comment(struct buf *out, const char *text)
{
	if (!str_empty(text) && !strstr(text, "--"))
		buf_printf(out, "  <!-- %s -->\n", text);
}

/* The length of the first complete type of a signature. */
static size_t signature_type_length(const char *signature)
{
	size_t depth = 0, length = 0;

	for (;;) {
		char c = signature[length++];

		assert(c);
		if (c == 'a')
			continue;
		if (c == '(' || c == '{')
			depth++;
		else if (c == ')' || c == '}')
			depth--;
		if (depth == 0)
			return length;
	}
}

/* One <arg> a complete type; names moves past the names used. direction is NULL for signals. */
static void xml_args(struct buf *out, const char *signature, const char **names, const char *direction)
{
	while (!str_empty(signature)) {
		size_t length = signature_type_length(signature);

		buf_printf(out, "   <arg type=\"%.*s\" name=\"%s\"", (int)length, signature, *names);
		if (direction)
			buf_printf(out, " direction=\"%s\"", direction);
		buf_add_text(out, "/>\n");
		signature += length;
		*names += strlen(*names) + 1;
	}
}

static const char *method_summary(enum method_scope scope, const char *member)
{
	for (size_t i = 0; i < METHOD_COUNT; i++) {
		if (scope == SCOPE_MANAGER && streq(methods[i].member, member))
			return methods[i].summary;
		if (scope == methods[i].scope && streq(methods[i].object_member, member))
			return methods[i].summary;
	}
	return NULL;
}

static const char *property_summary(enum method_scope scope, const char *property)
{
	const struct record *record = scopes[scope].record;
	char name[BUS_PROPERTY_SIZE];

	for (size_t i = 0; record && i < record->count; i++) {
		method_bus_property(record->fields[i].name, name);
		if (streq(name, property))
			return record->fields[i].doc;
	}
	return streq(property, "ApplianceId")
		       ? "CloudStack's UUID of the machine the daemon runs on; empty when unknown."
		       : "Version of the daemon.";
}

static void xml_method(struct buf *out, enum method_scope scope, const sd_bus_vtable *row)
{
	const char *names = row->x.method.names;

	xml_comment(out, method_summary(scope, row->x.method.member));
	buf_printf(out, "  <method name=\"%s\">\n", row->x.method.member);
	xml_args(out, row->x.method.signature, &names, "in");
	xml_args(out, row->x.method.result, &names, "out");
	buf_add_text(out, "  </method>\n");
}

static void xml_signal(struct buf *out, const sd_bus_vtable *row, const char *summary)
{
	const char *names = row->x.signal.names;

	xml_comment(out, summary);
	buf_printf(out, "  <signal name=\"%s\">\n", row->x.signal.member);
	xml_args(out, row->x.signal.signature, &names, NULL);
	buf_add_text(out, "  </signal>\n");
}

static void xml_property(struct buf *out, enum method_scope scope, const sd_bus_vtable *row)
{
	const char *emits = NULL;

	if (row->flags & SD_BUS_VTABLE_PROPERTY_CONST)
		emits = "const";
	else if (!(row->flags & SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE))
		emits = "false";
	xml_comment(out, property_summary(scope, row->x.property.member));
	buf_printf(out, "  <property name=\"%s\" type=\"%s\" access=\"read\">\n", row->x.property.member,
		   row->x.property.signature);
	if (emits)
		buf_printf(out,
			   "   <annotation name=\"org.freedesktop.DBus.Property.EmitsChangedSignal\" value=\"%s\"/>\n",
			   emits);
	buf_add_text(out, "  </property>\n");
}

static char *interface_xml(const struct bus_interface *interface, enum method_scope scope)
{
	const struct bus_signal *signal = bus_signals;
	struct buf out = BUF_NULL;

	buf_add_text(&out, "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n"
			   "\"https://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n"
			   "<!-- SPDX-License-Identifier: LGPL-2.1-or-later -->\n<node>\n");
	buf_printf(&out, " <interface name=\"%s\">\n", interface->name);
	for (size_t i = 1; i < interface->count; i++) {
		const sd_bus_vtable *row = &interface->rows[i];

		if (row->type == _SD_BUS_VTABLE_METHOD)
			xml_method(&out, scope, row);
		else if (row->type == _SD_BUS_VTABLE_SIGNAL)
			xml_signal(&out, row, (signal++)->summary);
		else
			xml_property(&out, scope, row);
	}
	buf_add_text(&out, " </interface>\n</node>\n");
	return buf_take(&out);
}

char *bus_interface_xml(const char *interface)
{
	for (enum method_scope scope = SCOPE_MANAGER; scope < SCOPE_COUNT; scope++) {
		struct bus_interface *built = bus_interface_new(scope);
		char *xml = NULL;

		if (streq(interface, built->name))
			xml = interface_xml(built, scope);
		bus_interface_free(built);
		if (xml)
			return xml;
	}
	return NULL;
}
