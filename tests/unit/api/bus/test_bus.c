/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Methods over a real bus: arguments, options, answers, errors, bounds, and that what is shipped is
 * what is served. */

#include <fcntl.h>
#include <stdio.h>

#include "bus_fixture.h"
#include "io/bus_codec.h"

#define ERROR(NAME) ERR_BUS_PREFIX NAME

/* An argument of the call the core was given last, as JSON; "" when it was not set. */
static void assert_arg(struct fixture *f, const char *name, const char *expected)
{
	_cleanup_json_ struct json *args = json_parse(f->core.args.data, f->core.args.length, NULL);
	_cleanup_buf_ struct buf text = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &text };
	const struct json *value = json_get(args, name);

	assert_non_null(value);
	json_put_node(&w, value);
	if (!*expected && (streq(text.data, "null") || streq(text.data, "\"\"")))
		return;
	assert_string_equal(text.data, expected);
}

static void test_change_answers_a_path(void **state)
{
	struct fixture *f = *state;
	_cleanup_message_ sd_bus_message *answer =
		ask(f, NULL, NULL, "AttachVolume", "ssa{sv}", SAMPLE_UUID, OTHER_UUID, 0);
	const char *path = NULL;
	char *id = NULL;

	assert_answer(answer, "o");
	assert_true(sd_bus_message_read(answer, "o", &path) >= 0);
	assert_true(sd_bus_path_decode(path, BUS_ROOT "/operation", &id) > 0);
	assert_string_equal(id, SAMPLE_OPERATION);
	free(id);
	assert_int_equal(f->core.method, METHOD_VOLUME_ATTACH);
	assert_arg(f, "volume_id", "\"" SAMPLE_UUID "\"");
	assert_arg(f, "vm_id", "\"" OTHER_UUID "\"");
	assert_arg(f, "vm_name", "");
	assert_string_equal(f->core.surface, "bus");
	assert_int_equal(f->core.access, ACCESS_ADMIN);
	assert_true(f->core.has_uid);
	assert_int_equal(f->core.uid, geteuid());
	assert_true(str_has_prefix(f->core.bus_name, ":1."));
}

static void test_what_is_made_is_answered_by_its_path(void **state)
{
	struct fixture *f = *state;
	_cleanup_message_ sd_bus_message *answer =
		ask(f, NULL, NULL, "CreateExport", "sa{sv}", SAMPLE_UUID, 2, "read_only", "b", 1,
		    "disk_number", "i", 3);
	_cleanup_free_ char *id = NULL;
	const char *path = NULL;

	assert_answer(answer, "o");
	assert_true(sd_bus_message_read(answer, "o", &path) >= 0);
	/* By the volume: an export has no other name. */
	assert_true(sd_bus_path_decode(path, BUS_ROOT "/export", &id) > 0);
	assert_string_equal(id, SAMPLE_UUID);
	assert_int_equal(f->core.method, METHOD_EXPORT_CREATE);
	assert_arg(f, "volume_id", "\"" SAMPLE_UUID "\"");
	assert_arg(f, "read_only", "true");
	assert_arg(f, "disk_number", "3");
}

static void test_clean_up_is_dry_unless_told(void **state)
{
	struct fixture *f = *state;
	_cleanup_message_ sd_bus_message *dry = ask(f, NULL, NULL, "CleanupExports", "a{sv}", 0),
					 *wet = NULL;

	assert_answer(dry, "a{sv}");
	assert_arg(f, "dry_run", "true");
	wet = ask(f, NULL, NULL, "CleanupExportsByAge", "a{sv}", 2, "dry_run", "b", 0,
		  "max_age_hours", "x", INT64_C(1));
	assert_answer(wet, "a{sv}");
	assert_arg(f, "dry_run", "false");
	assert_arg(f, "max_age_hours", "1");
}

static void test_every_type_of_argument(void **state)
{
	struct fixture *f = *state;
	_cleanup_message_ sd_bus_message *answer =
		ask(f, NULL, NULL, "CreateVolume",
		    "ssts"
		    "a{sv}",
		    "a name", SAMPLE_UUID, UINT64_C(5) << 30, OTHER_UUID, 1, "metadata", "a{sv}", 3,
		    "text", "s", "x", "list", "as", 2, "a", "b", "number", "u", 7);

	assert_answer(answer, "o");
	assert_int_equal(f->core.method, METHOD_VOLUME_CREATE);
	assert_arg(f, "name", "\"a name\"");
	assert_arg(f, "disk_offering_id", "\"" SAMPLE_UUID "\"");
	assert_arg(f, "size", "5368709120");
	assert_arg(f, "zone_id", "\"" OTHER_UUID "\"");
	assert_arg(f, "metadata", "{\"text\":\"x\",\"list\":[\"a\",\"b\"],\"number\":7}");
}

static void test_integer_options_of_any_width(void **state)
{
	struct fixture *f = *state;

	for (const char *type = "ynqiuxt"; *type; type++) {
		_cleanup_message_ sd_bus_message *answer = NULL;
		char variant[2] = { *type, 0 };

		if (strchr("xt", *type))
			answer = ask(f, NULL, NULL, "ListOperations", "a{sv}", 2, "limit", variant,
				     UINT64_C(5), "status", "s", "failed");
		else
			answer = ask(f, NULL, NULL, "ListOperations", "a{sv}", 2, "limit", variant,
				     5, "status", "s", "failed");
		assert_answer(answer, "aa{sv}s");
		assert_arg(f, "limit", "5");
		assert_arg(f, "status", "\"failed\"");
		assert_arg(f, "type", "");
	}
}

static void test_wrong_options(void **state)
{
	struct fixture *f = *state;
	struct {
		const char *key, *type;
		uint64_t value;
		const char *text;
	} rows[] = {
		{ "limt", "u", 5, "limt" }, /* unknown: named, and told what there is */
		{ "limt", "u", 5, "cursor" },
		{ "limit", "u", 0, "limit" }, /* outside its limits */
		{ "limit", "t", UINT64_MAX, "limit" },
		{ "status", "u", 1, "status" }, /* of another type */
		{ "limit", "b", 1, "limit" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_message_ sd_bus_message *answer = NULL;

		if (rows[i].type[0] == 't')
			answer = ask(f, NULL, NULL, "ListOperations", "a{sv}", 1, rows[i].key, "t",
				     rows[i].value);
		else
			answer = ask(f, NULL, NULL, "ListOperations", "a{sv}", 1, rows[i].key,
				     rows[i].type, (unsigned)rows[i].value);
		assert_error(answer, ERROR("InvalidRequest"), rows[i].text);
	}
	/* What only REST means, and an option given twice. */
	{
		_cleanup_message_ sd_bus_message *answer =
			ask(f, NULL, NULL, "AttachVolume", "ssa{sv}", SAMPLE_UUID, OTHER_UUID, 1,
			    "vm_name", "s", "x");
		assert_error(answer, ERROR("InvalidRequest"), "vm_name");
	}
	{
		_cleanup_message_ sd_bus_message *answer =
			ask(f, NULL, NULL, "DetachVolume", "sa{sv}", SAMPLE_UUID, 2, "force", "b",
			    1, "force", "b", 0);
		assert_error(answer, ERROR("InvalidRequest"), "twice");
	}
	assert_int_equal(f->core.started, 0);
}

static void test_wrong_signature_and_values(void **state)
{
	struct fixture *f = *state;

	{
		_cleanup_message_ sd_bus_message *answer =
			ask(f, NULL, NULL, "AttachVolume", "s", SAMPLE_UUID);
		assert_error(answer, SD_BUS_ERROR_INVALID_ARGS, NULL);
	}
	{
		_cleanup_message_ sd_bus_message *answer =
			ask(f, NULL, NULL, "GetDevice", "s", "not a uuid");
		assert_error(answer, ERROR("InvalidRequest"), "volume_id");
	}
	assert_int_equal(f->core.started, 0);
}

static void test_too_deep_metadata(void **state)
{
	struct fixture *f = *state;
	_cleanup_message_ sd_bus_message *answer = NULL;

	/* As deep as the bus carries it: variants in variants have no other bound. */
	answer =
		ask(f, NULL, NULL, "CreateVolume",
		    "ssts"
		    "a{sv}",
		    "n", SAMPLE_UUID, UINT64_C(5) << 30, OTHER_UUID, 1, "metadata", "a{sv}", 1, "v",
		    "v", "v", "v", "v", "v", "v", "v", "v", "v", "v", "v", "v", "v", "v", "s", "x");
	assert_answer(answer, "o");
}

static void test_error_of_the_core(void **state)
{
	struct fixture *f = *state;
	_cleanup_message_ sd_bus_message *answer = NULL;

	err_set(&f->core.err, ERR_CONFLICT, "the device is mounted");
	answer = ask(f, NULL, NULL, "DetachVolume", "sa{sv}", SAMPLE_UUID, 0);
	assert_error(answer, ERROR("Conflict"), "the device is mounted");
}

static struct json *read_dict(sd_bus_message *m)
{
	_cleanup_buf_ struct buf text = BUF_NULL;
	struct err err = { 0 };

	assert_int_equal(bus_read_json(m, &text, 1 << 20, &err), 0);
	return json_parse(text.data, text.length, NULL);
}

static void test_one_record(void **state)
{
	struct fixture *f = *state;
	_cleanup_message_ sd_bus_message *answer =
		ask(f, NULL, NULL, "CancelOperation", "sa{sv}", SAMPLE_OPERATION, 0);
	_cleanup_json_ struct json *record = NULL;
	_cleanup_buf_ struct buf request = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &request };

	assert_answer(answer, "a{sv}");
	record = read_dict(answer);
	assert_string_equal(json_text(json_get(record, "id")), SAMPLE_OPERATION);
	assert_string_equal(json_text(json_get(record, "type")), operation_type_names[1]);
	assert_string_equal(json_text(json_get(record, "created_at")), "2026-11-22T21:50:03.123Z");
	assert_true(json_true(json_get(record, "needs_attention")));
	/* An object is nested; JSON's null has no counterpart. */
	json_put_node(&w, json_get(record, "request"));
	assert_string_equal(request.data, "{\"number\":1,\"nested\":{\"list\":[true,\"x\",2.5]}}");
	for (size_t i = 0; i < operation_record.count; i++) {
		const struct field *field = &operation_record.fields[i];

		assert_int_equal(json_get(record, field->name) == NULL,
				 (field->flags & FIELD_PRIVATE) != 0);
	}
}

static void test_unset_fields_are_left_out(void **state)
{
	struct fixture *f = *state;
	_cleanup_message_ sd_bus_message *answer = NULL;
	_cleanup_json_ struct json *record = NULL;

	str_set(&f->core.operation.id, SAMPLE_OPERATION);
	answer = ask(f, NULL, NULL, "CancelOperation", "sa{sv}", SAMPLE_OPERATION, 0);
	assert_answer(answer, "a{sv}");
	record = read_dict(answer);
	assert_non_null(json_get(record, "id"));
	for (size_t i = 0; i < operation_record.count; i++) {
		if (operation_record.fields[i].flags & FIELD_OMIT)
			assert_null(json_get(record, operation_record.fields[i].name));
	}
}

static void test_every_method(void **state)
{
	struct fixture *f = *state;

	f->core.volume_count = 1;
	for (size_t i = 0; i < METHOD_COUNT; i++) {
		_cleanup_free_ char *signature = method_bus_signature(&methods[i], false);
		_cleanup_message_ sd_bus_message *answer = NULL;
		const char *s = SAMPLE_UUID;

		/* By hand, since the arguments are only known here. */
		if (streq(signature, "ssa{sv}"))
			answer = ask(f, NULL, NULL, methods[i].member, signature, s, s, 0);
		else if (streq(signature, "sssa{sv}"))
			answer = ask(f, NULL, NULL, methods[i].member, signature, s, s, s, 0);
		else if (streq(signature, "sa{sv}"))
			answer = ask(f, NULL, NULL, methods[i].member, signature, s, 0);
		else if (streq(signature, "sta{sv}"))
			answer = ask(f, NULL, NULL, methods[i].member, signature, s,
				     UINT64_C(1) << 30, 0);
		else if (streq(signature, "s"))
			answer = ask(f, NULL, NULL, methods[i].member, signature, s);
		else if (streq(signature, "a{sv}"))
			answer = ask(f, NULL, NULL, methods[i].member, signature, 0);
		else if (streq(signature, "ssts"
					  "a{sv}"))
			answer = ask(f, NULL, NULL, methods[i].member, signature, s, s,
				     UINT64_C(1) << 30, s, 0);
		else if (streq(signature, "ha{sv}"))
			answer = ask(f, NULL, NULL, methods[i].member, signature, STDERR_FILENO, 0);
		else if (streq(signature, ""))
			answer = ask(f, NULL, NULL, methods[i].member, NULL);
		else
			fail_msg("no example for %s(%s)", methods[i].member, signature);
		assert_answer(answer, method_bus_result(&methods[i]));
		assert_int_equal(f->core.method, i);
	}
}

static void test_bytes_that_are_no_text(void **state)
{
	struct fixture *f = *state;
	_cleanup_message_ sd_bus_message *answer = NULL;
	_cleanup_free_ char *path = NULL;
	const char *name = NULL;
	char id[37];

	/* The bus would end the connection of whoever sends this as it is. */
	f->core.volume_count = 1;
	f->core.volume_name = "\xff\x1b[31m";
	fake_volume_id(0, id);
	fake_core_tell(&f->core, &(struct core_event){ .type = EVENT_VOLUME_ADDED, .id = id });
	fixture_settle(f);
	assert_true(sd_bus_path_encode(BUS_ROOT "/volume", id, &path) >= 0);
	answer = ask(f, path, "org.freedesktop.DBus.Properties", "Get", "ss", BUS_NAME ".Volume",
		     "Name");
	assert_answer(answer, "v");
	assert_true(sd_bus_message_read(answer, "v", "s", &name) >= 0);
	assert_string_equal(name, "\xef\xbf\xbd\x1b[31m");
	assert_true(bus_is_ready(f->bus));
}

static size_t answered;

static int on_any_answer(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const sd_bus_error *refused = sd_bus_message_get_error(m);

	answered++;
	if (refused) {
		assert_string_equal(refused->name, ERROR("TooManyRequests"));
		++*(size_t *)userdata;
	}
	return 0;
}

static bool one_was_answered(struct fixture *f)
{
	return answered >= 1;
}

static bool all_were_answered(struct fixture *f)
{
	return answered >= 129;
}

static void test_too_many_of_one_sender(void **state)
{
	struct fixture *f = *state;
	size_t refused = 0;

	answered = 0;
	f->core.hold = true;
	for (size_t i = 0; i < 129; i++)
		assert_true(sd_bus_call_method_async(f->client, NULL, BUS_NAME, BUS_ROOT,
						     BUS_NAME ".Manager", "GetHealth",
						     on_any_answer, &refused, NULL) >= 0);
	fixture_until(f, one_was_answered);
	assert_int_equal(refused, 1);
	fake_core_release(&f->core);
	fixture_until(f, all_were_answered);
	assert_int_equal(refused, 1);
	assert_int_equal(f->core.started, 128);
}

static bool both_were_seen(struct fixture *f)
{
	return answered >= 1 && f->core.started >= 1;
}

static bool two_have_started(struct fixture *f)
{
	return f->core.started == 2;
}

/* A file stays open for as long as its call waits. */
static void test_one_file_of_a_sender(void **state)
{
	struct fixture *f = *state;
	sd_bus *other = fixture_connect(f);
	size_t refused = 0;

	answered = 0;
	f->core.hold = true;
	for (size_t i = 0; i < 2; i++)
		assert_true(sd_bus_call_method_async(f->client, NULL, BUS_NAME, BUS_ROOT,
						     BUS_NAME ".Manager", "StoreBackup",
						     on_any_answer, &refused, "ha{sv}",
						     STDIN_FILENO, 0) >= 0);
	fixture_until(f, both_were_seen);
	assert_int_equal(refused, 1);
	assert_int_equal(f->core.started, 1);
	/* Another sender has a place of its own. */
	assert_true(sd_bus_call_method_async(other, NULL, BUS_NAME, BUS_ROOT, BUS_NAME ".Manager",
					     "StoreBackup", NULL, NULL, "ha{sv}", STDIN_FILENO,
					     0) >= 0);
	sd_bus_flush(other);
	fixture_until(f, two_have_started);
	sd_bus_close_unref(other);
	fake_core_release(&f->core);
	fixture_settle(f);
}

static bool call_has_started(struct fixture *f)
{
	return f->core.started > 0;
}

static void test_a_caller_that_leaves(void **state)
{
	struct fixture *f = *state;
	sd_bus *other = fixture_connect(f);

	f->core.hold = true;
	assert_true(sd_bus_call_method_async(other, NULL, BUS_NAME, BUS_ROOT, BUS_NAME ".Manager",
					     "GetHealth", NULL, NULL, NULL) >= 0);
	sd_bus_flush(other);
	fixture_until(f, call_has_started);
	sd_bus_close_unref(other);
	fake_core_release(&f->core);
	fixture_settle(f);
}

/* --- introspection --- */

/* The <interface> of this name, cut out, without what is for code generators alone. */
static char *interface_of(const char *xml, const char *name)
{
	_cleanup_free_ char *start_mark = xasprintf(" <interface name=\"%s\">", name);
	const char *start = strstr(xml, start_mark);
	const char *end = start ? strstr(start, "</interface>") : NULL;
	struct buf out = BUF_NULL;

	assert_non_null(end);
	while (start < end) {
		size_t length = strcspn(start, "\n") + 1;
		_cleanup_free_ char *line = xstrndup(start, length);

		if (!strstr(line, "org.gtk.GDBus.") && !strstr(line, "org.qtproject.QtDBus."))
			buf_add_text(&out, line);
		start += length;
	}
	return buf_take(&out);
}

static void check_introspection(struct fixture *f, const char *path, const char *interface)
{
	_cleanup_message_ sd_bus_message *answer =
		ask(f, path, "org.freedesktop.DBus.Introspectable", "Introspect", NULL);
	_cleanup_free_ char *printed = bus_interface_xml(interface);
	_cleanup_free_ char *expected = NULL, *served = NULL;
	const char *xml = NULL;

	assert_answer(answer, "s");
	assert_true(sd_bus_message_read(answer, "s", &xml) >= 0);
	assert_non_null(printed);
	expected = interface_of(printed, interface);
	served = interface_of(xml, interface);
	assert_string_equal(expected, served);
}

static void test_xml_is_what_is_served(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *volume = NULL, *operation = NULL, *export = NULL;
	char id[37];

	f->core.volume_count = 1;
	f->core.export_count = 1;
	fake_volume_id(0, id);
	fake_fill(&operation_record, &f->core.operation);
	fake_core_tell(&f->core, &(struct core_event){ .type = EVENT_VOLUME_ADDED, .id = id });
	fake_core_tell(&f->core, &(struct core_event){ .type = EVENT_EXPORT_ADDED, .id = id });
	fake_core_tell(&f->core, &(struct core_event){ .type = EVENT_OPERATION_STARTED,
						       .id = SAMPLE_OPERATION,
						       .operation = &f->core.operation });
	fixture_settle(f);
	assert_true(sd_bus_path_encode(BUS_ROOT "/volume", id, &volume) >= 0);
	assert_true(sd_bus_path_encode(BUS_ROOT "/operation", SAMPLE_OPERATION, &operation) >= 0);
	assert_true(sd_bus_path_encode(BUS_ROOT "/export", id, &export) >= 0);
	check_introspection(f, BUS_ROOT, BUS_NAME ".Manager");
	check_introspection(f, volume, BUS_NAME ".Volume");
	check_introspection(f, operation, BUS_NAME ".Operation");
	check_introspection(f, export, BUS_NAME ".Export");
	assert_null(bus_interface_xml(BUS_NAME ".Nothing"));
}

/* Volumes and exports have a Delete each, and they are not the same. */
static void test_xml_describes_the_method_of_its_own_object(void **state)
{
	_cleanup_free_ char *volume = bus_interface_xml(BUS_NAME ".Volume");
	_cleanup_free_ char *export = bus_interface_xml(BUS_NAME ".Export");

	assert_non_null(strstr(volume, methods[METHOD_VOLUME_DELETE].summary));
	assert_non_null(strstr(export, methods[METHOD_EXPORT_DELETE].summary));
	assert_null(strstr(export, methods[METHOD_VOLUME_DELETE].summary));
}

static size_t count_of(const char *text, const char *part)
{
	size_t count = 0;

	for (; (text = strstr(text, part)); text += strlen(part))
		count++;
	return count;
}

/* Without its own name for each dictionary Qt's generator refuses the file, and GLib's generator
 * documents what has a purpose. */
static void test_xml_is_for_generators(void **state)
{
	_cleanup_free_ char *manager = bus_interface_xml(BUS_NAME ".Manager");
	_cleanup_free_ char *operation = bus_interface_xml(BUS_NAME ".Operation");

	assert_non_null(
		strstr(manager,
		       "  <method name=\"AttachVolume\">\n"
		       "   <annotation name=\"org.gtk.GDBus.DocString\" value=\"Attach a volume"));
	assert_non_null(strstr(manager,
			       "\"org.qtproject.QtDBus.QtTypeName.In2\" value=\"QVariantMap\"/>\n"
			       "   <arg type=\"s\" name=\"volume_id\" direction=\"in\"/>"));
	assert_int_equal(count_of(manager, "value=\"QVariantMap\""),
			 count_of(manager, "type=\"a{sv}\""));
	assert_int_equal(count_of(manager, ".Out0\" value=\"QList&lt;QVariantMap&gt;\""),
			 count_of(manager, "type=\"aa{sv}\""));
	assert_int_equal(count_of(operation, "value=\"QVariantMap\""),
			 count_of(operation, "type=\"a{sv}\""));
	assert_int_equal(count_of(operation, "QtDBus.QtTypeName\""),
			 count_of(operation, "type=\"a{sv}\" access=\"read\""));
	assert_non_null(strstr(operation, "&quot;op-&quot;"));
	/* Java's generator makes getters of the arguments of a signal, and has a getType() already.
	 */
	assert_null(strstr(manager, "name=\"type\""));
}

static void test_xml_is_what_is_shipped(void **state)
{
	static const char *const interfaces[] = { "Manager", "Volume", "Operation", "Export" };
	const char *directory = getenv("DBUS_XML_DIRECTORY");

	if (!directory)
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(interfaces); i++) {
		_cleanup_free_ char *name = xasprintf("%s.%s", BUS_NAME, interfaces[i]);
		_cleanup_free_ char *file = xasprintf("%s/%s.xml", directory, name);
		_cleanup_free_ char *shipped = read_file_at(AT_FDCWD, file, 1 << 20, NULL);
		_cleanup_free_ char *printed = bus_interface_xml(name);

		if (!shipped)
			fail_msg("%s cannot be read", file);
		assert_string_equal(printed, shipped);
	}
}

static void assert_manual_has(const char *manual, const char *name)
{
	_cleanup_free_ char *item = xasprintf(".It Va \"%s\"", name);

	if (!strstr(manual, item))
		fail_msg("the manual page does not have %s", name);
}

/* A client is written from the XML and this page alone. */
static void test_manual_is_what_is_shipped(void **state)
{
	_cleanup_free_ char *printed = bus_manual();
	const char *file = getenv("DBUS_MANUAL");
	_cleanup_free_ char *shipped = NULL;
	_cleanup_free_ char *path = NULL;

	/* What stands there about paths is what the library does. */
	assert_true(sd_bus_path_encode(BUS_ROOT "/volume", "23a70d4c-9f6b-4d3e-8a51-0c2d6e7f8901",
				       &path) >= 0);
	assert_non_null(strstr(printed, strrchr(path, '/') + 1));
	for (size_t i = 0; i < METHOD_COUNT; i++) {
		for (size_t k = 0; k < methods[i].args->count; k++) {
			if (!(methods[i].args->fields[k].flags & (FIELD_REST_ONLY | FIELD_PRIVATE)))
				assert_manual_has(printed, methods[i].args->fields[k].name);
		}
		for (size_t k = 0; k < methods[i].result->count; k++) {
			/* An open file has its place and no name. */
			if (methods[i].bus_object == SCOPE_MANAGER &&
			    methods[i].answer != ANSWER_DESCRIPTOR &&
			    !(methods[i].result->fields[k].flags & FIELD_PRIVATE))
				assert_manual_has(printed, methods[i].result->fields[k].name);
		}
	}
	if (!file)
		skip();
	shipped = read_file_at(AT_FDCWD, file, 1 << 20, NULL);
	if (!shipped)
		fail_msg("%s cannot be read", file);
	assert_string_equal(printed, shipped);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, bus_fixture_setup, bus_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_change_answers_a_path),
		TEST(test_every_type_of_argument),
		TEST(test_integer_options_of_any_width),
		TEST(test_wrong_options),
		TEST(test_wrong_signature_and_values),
		TEST(test_one_file_of_a_sender),
		TEST(test_too_deep_metadata),
		TEST(test_error_of_the_core),
		TEST(test_one_record),
		TEST(test_unset_fields_are_left_out),
		TEST(test_every_method),
		TEST(test_bytes_that_are_no_text),
		TEST(test_too_many_of_one_sender),
		TEST(test_a_caller_that_leaves),
		TEST(test_xml_is_what_is_served),
		cmocka_unit_test(test_xml_describes_the_method_of_its_own_object),
		cmocka_unit_test(test_xml_is_for_generators),
		cmocka_unit_test(test_xml_is_what_is_shipped),
		cmocka_unit_test(test_manual_is_what_is_shipped),
		TEST(test_what_is_made_is_answered_by_its_path),
		TEST(test_clean_up_is_dry_unless_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
