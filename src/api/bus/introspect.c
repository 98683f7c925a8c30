/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The introspection XML for dbus/: the rows of the vtables, in the form in which sd-bus answers
 * Introspect, plus annotations for those who generate code from it. So the shipped XML cannot
 * differ from the served interface.
 *
 * gdbus-codegen takes the documentation of its code from annotations and not from comments, and
 * passes no open files unless an annotation says that there are some.
 * qdbusxml2cpp does not know by itself which of its types a dictionary is, and refuses the file; it
 * counts the arguments of a method in each direction, and those of a signal as going out.
 */

#include <assert.h>

#include "api/bus/bus.h"
#include "api/bus/signal_table.h"
#include "api/bus/vtable.h"

static void xml_text(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '&')
			buf_add_text(out, "&amp;");
		else if (*text == '<')
			buf_add_text(out, "&lt;");
		else if (*text == '>')
			buf_add_text(out, "&gt;");
		else if (*text == '"')
			buf_add_text(out, "&quot;");
		else
			buf_add(out, text, 1);
	}
}

static void xml_annotation(struct buf *out, const char *name, const char *value)
{
	buf_printf(out, "   <annotation name=\"%s\" value=\"", name);
	xml_text(out, value);
	buf_add_text(out, "\"/>\n");
}

static void xml_purpose(struct buf *out, const char *text)
{
	if (!str_empty(text))
		xml_annotation(out, "org.gtk.GDBus.DocString", text);
}

/* place: ".In0", ".Out1"; "" for a property. */
static void xml_qt_type(struct buf *out, const char *type, size_t length, const char *place)
{
	_cleanup_free_ char *name = xasprintf("org.qtproject.QtDBus.QtTypeName%s", place);

	if (strncmp(type, "a{sv}", length) == 0)
		xml_annotation(out, name, "QVariantMap");
	else if (strncmp(type, "aa{sv}", length) == 0)
		xml_annotation(out, name, "QList<QVariantMap>");
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

static void xml_qt_types(struct buf *out, const char *signature, const char *direction)
{
	for (size_t i = 0; !str_empty(signature); i++) {
		size_t length = signature_type_length(signature);
		_cleanup_free_ char *place = xasprintf(".%s%zu", direction, i);

		xml_qt_type(out, signature, length, place);
		signature += length;
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

static const char *const hidden_summaries[SCOPE_COUNT] = {
	[SCOPE_VOLUME] = "Attached volumes that are not objects, because there are 1000 others; "
			 "ListVolumes shows them.",
	[SCOPE_OPERATION] =
		"Unfinished operations that are not objects, because there are 1000 older "
		"ones; ListOperations shows them.",
	[SCOPE_EXPORT] = "Exports that are not objects, because there are 1000 others; ListExports "
			 "shows them.",
};

static const char *property_summary(enum method_scope scope, const char *property)
{
	const struct record *record = scopes[scope].record;
	char name[BUS_PROPERTY_SIZE];

	for (size_t i = 0; record && i < record->count; i++) {
		method_bus_property(record->fields[i].name, name);
		if (streq(name, property))
			return record->fields[i].doc;
	}
	if (streq(property, BUS_VERSION_PROPERTY))
		return "Rises when something is added to the interface; nothing published changes its meaning.";
	for (enum method_scope kind = SCOPE_VOLUME; kind < SCOPE_COUNT; kind++) {
		if (streq(property, bus_hidden_names[kind]))
			return hidden_summaries[kind];
	}
	return streq(property, "ApplianceId")
		       ? "CloudStack's UUID of the machine the daemon runs on; empty when unknown."
		       : "Version of the daemon.";
}

static const char *interface_summary(enum method_scope scope)
{
	static const char *const summaries[SCOPE_COUNT] = {
		[SCOPE_MANAGER] = "All methods of the daemon, and its signals.",
		[SCOPE_VOLUME] = "A volume that CloudStack shows.",
		[SCOPE_OPERATION] = "A change that was accepted; its path comes with the answer.",
		[SCOPE_EXPORT] = "A volume that is served over NBD.",
	};

	return summaries[scope];
}

static bool has_descriptor(const sd_bus_vtable *row)
{
	return strchr(row->x.method.signature, 'h') || strchr(row->x.method.result, 'h');
}

static void xml_method(struct buf *out, enum method_scope scope, const sd_bus_vtable *row)
{
	const char *names = row->x.method.names;

	buf_printf(out, "  <method name=\"%s\">\n", row->x.method.member);
	xml_purpose(out, method_summary(scope, row->x.method.member));
	if (has_descriptor(row))
		xml_annotation(out, "org.gtk.GDBus.C.UnixFD", "true");
	xml_qt_types(out, row->x.method.signature, "In");
	xml_qt_types(out, row->x.method.result, "Out");
	xml_args(out, row->x.method.signature, &names, "in");
	xml_args(out, row->x.method.result, &names, "out");
	buf_add_text(out, "  </method>\n");
}

static void xml_signal(struct buf *out, const sd_bus_vtable *row, const char *summary)
{
	const char *names = row->x.signal.names;

	buf_printf(out, "  <signal name=\"%s\">\n", row->x.signal.member);
	xml_purpose(out, summary);
	xml_qt_types(out, row->x.signal.signature, "Out");
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
	buf_printf(out, "  <property name=\"%s\" type=\"%s\" access=\"read\">\n",
		   row->x.property.member, row->x.property.signature);
	xml_purpose(out, property_summary(scope, row->x.property.member));
	xml_qt_type(out, row->x.property.signature, strlen(row->x.property.signature), "");
	if (emits)
		xml_annotation(out, "org.freedesktop.DBus.Property.EmitsChangedSignal", emits);
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
	xml_purpose(&out, interface_summary(scope));
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
