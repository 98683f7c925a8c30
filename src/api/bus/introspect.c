/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The introspection XML for dbus/: the rows of the vtables, in the form in which sd-bus answers
 * Introspect, plus a comment on the purpose of each row. So the shipped XML cannot differ from the
 * served interface.
 */

#include <assert.h>

#include "api/bus/bus.h"
#include "api/bus/signal_table.h"
#include "api/bus/vtable.h"

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

/*
 * One <arg> for each complete type; names moves past the names used. direction is NULL for signals.
 */
static void xml_args(struct buf *out, const char *signature, const char **names,
		     const char *direction)
{
	while (!str_empty(signature)) {
		size_t length = signature_type_length(signature);

		buf_printf(out, "   <arg type=\"%.*s\" name=\"%s\"", (int)length, signature,
			   *names);
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
	buf_printf(out, "  <property name=\"%s\" type=\"%s\" access=\"read\">\n",
		   row->x.property.member, row->x.property.signature);
	if (emits)
		buf_printf(
			out,
			"   <annotation name=\"org.freedesktop.DBus.Property.EmitsChangedSignal\" value=\"%s\"/>\n",
			emits);
	buf_add_text(out, "  </property>\n");
}

static char *interface_xml(const struct bus_interface *interface, enum method_scope scope)
{
	const struct bus_signal *signal = bus_signal_table;
	struct buf out = BUF_NULL;

	buf_add_text(
		&out,
		"<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n"
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
	static const struct bus_handlers none = { 0 }; /* a printed vtable is never called */

	for (enum method_scope scope = SCOPE_MANAGER; scope < SCOPE_COUNT; scope++) {
		struct bus_interface *built = bus_interface_new(scope, &none);
		char *xml = NULL;

		if (streq(interface, built->name))
			xml = interface_xml(built, scope);
		bus_interface_free(built);
		if (xml)
			return xml;
	}
	return NULL;
}
