/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The manual page of the bus, as mdoc. The interface XML tells the names and the types; what it
 * cannot tell is which options a method takes and which keys a dictionary has, and that is most of
 * what a client needs to know. Both stand in the tables from which calls are read and answers
 * written, so the page is a walk over these tables and leaves nothing out.
 */

#include <assert.h>
#include <inttypes.h>

#include "api/bus/bus.h"
#include "api/bus/signal_table.h"
#include "api/bus/vtable.h"
#include "base/field_value.h"
#include "base/mdoc.h"

/* Names and signatures of the tables have no quotes. */
static void put_item(struct buf *out, const char *name, const char *type)
{
	buf_printf(out, ".It Va \"%s\" Pq Li \"%s\"\n", name, type);
}

static void put_limit(struct buf *out, const struct field *field, int64_t value)
{
	if (field->type == FIELD_SIZE)
		field_size_text((uint64_t)value, " ", out);
	else if (field->type == FIELD_DURATION)
		field_duration_text(value, out);
	else
		buf_printf(out, "%" PRId64, value);
}

static const char *unit_of(const struct field *field)
{
	if (field->type == FIELD_OBJECT)
		return " bytes";
	return field->type == FIELD_TEXT ? " characters" : "";
}

static void put_words(struct buf *out, const struct field *field)
{
	buf_add_text(out, "One of");
	for (size_t i = 0; field->names[i]; i++)
		buf_printf(out, "%s %s", i > 0 ? "," : "", field->names[i]);
	buf_add_text(out, ".\n");
}

static void put_limits(struct buf *out, const struct field *field)
{
	if (field->min == 0 && field->max == 0)
		return;
	buf_add_text(out, field->max >= field->min ? "From " : "At least ");
	put_limit(out, field, field->min);
	if (field->max >= field->min) {
		buf_add_text(out, " to ");
		put_limit(out, field, field->max);
	}
	buf_printf(out, "%s.\n", unit_of(field));
}

static void put_field(struct buf *out, const char *name, const struct field *field)
{
	bool is_list = field->flags & FIELD_LIST;

	put_item(out, name, is_list ? "av" : field_type_view(field->type)->bus);
	mdoc_add_text(out, field->doc);
	if (field->members)
		buf_printf(out, "%s dictionary\n.Sx %s .\n", is_list ? "Each is the" : "It is the",
			   field->members->name);
	if (field->type == FIELD_ENUM)
		put_words(out, field);
	else
		put_limits(out, field);
}

/* --- methods --- */

static bool is_on_bus(const struct field *field)
{
	return !(field->flags & (FIELD_REST_ONLY | FIELD_PRIVATE));
}

/* The arguments that stand at their positions, or the options. */
static void put_arguments(struct buf *out, const struct method *method, const struct field *self,
			  bool required)
{
	bool any = false;

	for (size_t i = 0; i < method->args->count; i++) {
		const struct field *field = &method->args->fields[i];

		if (!is_on_bus(field) || field == self ||
		    !!(field->flags & FIELD_REQUIRED) != required)
			continue;
		if (!any)
			buf_printf(out, "%s:\n.Bl -tag -width Ds -compact\n",
				   required ? "Arguments" : "Options");
		any = true;
		put_field(out, field->name, field);
	}
	if (any)
		buf_add_text(out, ".El\n");
}

static const char *right_of(enum method_access access)
{
	static const char *const rights[] = {
		[ACCESS_READ] = "read",
		[ACCESS_CHANGE] = "change",
		[ACCESS_ADMIN] = "admin",
	};

	return rights[access];
}

static void put_answer(struct buf *out, const struct method *method)
{
	enum method_scope scope = method_answer_scope(method);

	if (scope != SCOPE_MANAGER)
		buf_printf(out, "The answer is the path of the %s.\n", scopes[scope].name);
	else if (method->answer == ANSWER_DESCRIPTOR)
		mdoc_add_text(out, method->result->fields[0].doc);
	else if (method->answer == ANSWER_MANY)
		buf_printf(out, "The answer is an array of the dictionary\n.Sx %s%s .\n",
			   method->result->name,
			   method_has_pages(method)
				   ? " ,\nand the cursor of the next page; it is empty on the last"
				   : "");
	else
		buf_printf(out, "The answer is the dictionary\n.Sx %s .\n", method->result->name);
	buf_printf(out, "The caller needs the right\n.Em %s .\n", right_of(method->access));
}

static void put_method(struct buf *out, const struct method *method, bool on_object)
{
	_cleanup_free_ char *signature = method_bus_signature(method, on_object);
	const struct field *self = on_object ? method_object_field(method) : NULL;

	buf_printf(out, ".It Fn %s \"%s\" Pq Li \"%s\"\n",
		   on_object ? method->object_member : method->member, signature,
		   method_bus_result(method));
	mdoc_add_text(out, method->summary);
	put_answer(out, method);
	put_arguments(out, method, self, true);
	put_arguments(out, method, self, false);
}

static void put_methods(struct buf *out, enum method_scope scope)
{
	buf_add_text(out, ".Bl -tag -width Ds\n");
	for (size_t i = 0; i < METHOD_COUNT; i++) {
		if (scope == SCOPE_MANAGER)
			put_method(out, &methods[i], false);
		else if (methods[i].scope == scope && methods[i].object_member)
			put_method(out, &methods[i], true);
	}
	buf_add_text(out, ".El\n");
}

/* --- the rest of an interface --- */

static void put_signals(struct buf *out)
{
	buf_add_text(out, ".Bl -tag -width Ds\n");
	for (const struct bus_signal *signal = bus_signal_table; signal->member; signal++) {
		buf_printf(out, ".It Fn %s \"%s\"\n", signal->member, signal->signature);
		mdoc_add_text(out, signal->summary);
		buf_add_text(out, "Arguments:");
		for (const char *name = signal->names; *name; name += strlen(name) + 1)
			buf_printf(out, "%s %s", name == signal->names ? "" : ",", name);
		buf_add_text(out, ".\n");
		if (signal->details)
			buf_printf(out, "The dictionary is\n.Sx %s .\n", signal->details->name);
	}
	buf_add_text(out, ".El\n");
}

static void put_properties(struct buf *out, enum method_scope scope)
{
	const struct record *record = scopes[scope].record;
	char name[BUS_PROPERTY_SIZE];

	buf_add_text(out, ".Bl -tag -width Ds -compact\n");
	for (size_t i = 0; i < record->count; i++) {
		const struct field *field = &record->fields[i];

		if (!bus_property_is_shown(field))
			continue;
		method_bus_property(field->name, name);
		put_field(out, name, field);
		if (!bus_property_is_told(field))
			buf_add_text(out, "Neither GetManagedObjects nor a signal carries it.\n");
		else if (!bus_property_changes(field))
			buf_add_text(out, "Constant.\n");
	}
	put_item(out, BUS_VERSION_PROPERTY, "u");
	buf_printf(out, "%" PRIu32 ".\nConstant.\n.El\n", BUS_VERSION);
}

/* --- dictionaries --- */

static bool is_new(const struct record *const *seen, size_t count, const struct record *record)
{
	for (size_t i = 0; i < count; i++) {
		if (seen[i] == record)
			return false;
	}
	return true;
}

static void put_dictionary(struct buf *out, const struct record *record)
{
	buf_printf(out, ".Ss %s\n.Bl -tag -width Ds -compact\n", record->name);
	for (size_t i = 0; i < record->count; i++) {
		const struct field *field = &record->fields[i];

		if (field->flags & FIELD_PRIVATE)
			continue;
		put_field(out, field->name, field);
		if (field->flags & FIELD_OMIT)
			buf_add_text(out, "Left out if empty.\n");
	}
	buf_add_text(out, ".El\n");
}

#define DICTIONARIES_MAX ((size_t)2 * (METHOD_COUNT + SIGNAL_COUNT))

struct dictionaries {
	const struct record *records[DICTIONARIES_MAX];
	size_t count;
};

static void note(struct dictionaries *dictionaries, const struct record *record)
{
	if (!is_new(dictionaries->records, dictionaries->count, record))
		return;
	assert(dictionaries->count < DICTIONARIES_MAX);
	dictionaries->records[dictionaries->count++] = record;
}

/* Each dictionary once, in the order in which methods and signals name them, and then those that
 * stand in others. The properties of objects are in dictionaries, too. */
static void put_dictionaries(struct buf *out)
{
	struct dictionaries found = { .count = 0 };

	for (size_t i = 0; i < METHOD_COUNT; i++) {
		if (method_answer_scope(&methods[i]) == SCOPE_MANAGER &&
		    methods[i].answer != ANSWER_DESCRIPTOR)
			note(&found, methods[i].result);
	}
	for (size_t i = 0; i < SIGNAL_COUNT; i++) {
		if (bus_signal_table[i].details)
			note(&found, bus_signal_table[i].details);
	}
	for (size_t i = 0; i < found.count; i++) {
		const struct record *record = found.records[i];

		put_dictionary(out, record);
		for (size_t j = 0; j < record->count; j++) {
			if (record->fields[j].members && !(record->fields[j].flags & FIELD_PRIVATE))
				note(&found, record->fields[j].members);
		}
	}
}

static void put_errors(struct buf *out)
{
	buf_add_text(out, ".Bl -tag -width Ds -compact\n");
	for (enum err_code code = ERR_INVALID; code < ERR_CODE_COUNT; code++)
		buf_printf(out, ".It Er %s\n%s over REST.\n", err_view(code)->bus_name,
			   err_view(code)->word);
	buf_add_text(out, ".El\n");
}

char *bus_manual(void)
{
	struct buf out = BUF_NULL;

	buf_add_text(
		&out,
		".\\\" SPDX-License-Identifier: LGPL-2.1-or-later\n"
		".\\\" Printed by volume-daemon --print-bus-manual.\n"
		".Dd November 30, 2026\n"
		".Dt ORG.MIGRATEKIT.VOLUMEDAEMON1 5\n"
		".Os\n"
		".Sh NAME\n"
		".Nm org.migratekit.VolumeDaemon1\n"
		".Nd the D-Bus interface of volume-daemon\n"
		".Sh DESCRIPTION\n"
		"The daemon has the name\n"
		".Li " BUS_NAME "\n"
		"on the system bus.\n"
		"The object\n"
		".Pa " BUS_ROOT "\n"
		"has the interface Manager and the standard ObjectManager.\n"
		"Volumes, operations and exports are objects below its\n"
		".Pa volume , operation\n"
		"and\n"
		".Pa export ,\n"
		"each by its id; an export has the id of its volume.\n"
		"In a path every byte of the id that is neither a letter nor a digit of ASCII is written as\n"
		"an underscore and two lower-case hexadecimal digits, and so is a digit at the very beginning.\n"
		"Volume\n"
		".Li 23a70d4c-9f6b-4d3e-8a51-0c2d6e7f8901\n"
		"is\n"
		".Pa _323a70d4c_2d9f6b_2d4d3e_2d8a51_2d0c2d6e7f8901\n"
		"below\n"
		".Pa " BUS_ROOT "/volume .\n"
		".Pp\n"
		"Objects are the volumes that are attached to a machine, the exports, and the operations\n"
		"that have not ended: at most 1000 of each, those of this machine and the oldest operations\n"
		"first.\n"
		"Properties of the Manager count the others:\n"
		".Va UnlistedVolumes , UnlistedOperations\n"
		"and\n"
		".Va UnlistedExports ,\n"
		"each of type\n"
		".Li u .\n"
		"Any other object exists for five minutes after the answer that gave its path, or after the\n"
		"signal\n"
		".Fn OperationStarted\n"
		"or\n"
		".Fn OperationCompleted\n"
		"of the operation or of its volume; less if 1000 other objects were named after it.\n"
		"An object that comes is announced by InterfacesAdded, before the answer or signal that names\n"
		"it, and an object that goes by InterfacesRemoved.\n"
		"GetManagedObjects lists exactly the objects that were announced.\n"
		".Pp\n"
		"A list answers with a page, and with the cursor of the next one: give it as option\n"
		".Va cursor .\n"
		"It is empty on the last page.\n"
		".Pp\n"
		"A method takes its required arguments by position, and all others as options in one\n"
		"dictionary, which may be empty.\n"
		"An option that the method does not know is an error.\n"
		"An integer may have any integer type.\n"
		"A time is a text such as 2026-11-22T21:50:03.123Z, and empty if there is none; sizes are bytes,\n"
		"and durations milliseconds.\n"
		"One quantity has the same type everywhere: a size is t, a port q, and every other whole number x.\n"
		"A device path is a device or empty, also where REST has a word in its place;\n"
		".Va LinuxState\n"
		"and the key linux_state tell why there is none.\n"
		".Va ErrorCode\n"
		"and the key error_code have the names of\n"
		".Sx ERROR NAMES .\n"
		"A dictionary has further keys in later versions: skip those that you do not know.\n"
		"A change answers with the path of its operation as soon as the operation is durable.\n"
		"Wait for\n"
		".Fn OperationCompleted\n"
		"of that path; subscribe before you call.\n"
		"When it comes, PropertiesChanged of all objects that the operation has changed came before.\n"
		"PropertiesChanged carries the properties that differ from what was sent before.\n"
		".Sh MANAGER\n"
		"Interface\n"
		".Li " BUS_NAME ".Manager .\n"
		".Ss Methods of the Manager\n");
	put_methods(&out, SCOPE_MANAGER);
	buf_add_text(&out, ".Ss Signals of the Manager\n");
	put_signals(&out);
	for (enum method_scope scope = SCOPE_VOLUME; scope < SCOPE_COUNT; scope++) {
		const char *word = scopes[scope].interface + strlen(BUS_NAME ".");

		buf_printf(&out, ".Sh %s OBJECTS\nInterface\n.Li %s .\n.Ss Methods of %s\n", word,
			   scopes[scope].interface, word);
		put_methods(&out, scope);
		buf_printf(&out, ".Ss Properties of %s\n", word);
		put_properties(&out, scope);
	}
	buf_add_text(&out, ".Sh DICTIONARIES\n");
	put_dictionaries(&out);
	buf_add_text(&out,
		     ".Sh ERROR NAMES\nAn error has one of these names after\n.Li " ERR_BUS_PREFIX
		     " .\n");
	put_errors(&out);
	buf_add_text(&out,
		     ".Sh SEE ALSO\n.Xr busctl 1 ,\n.Xr volumectl 1 ,\n.Xr volume-daemon 8\n");
	return buf_take(&out);
}
