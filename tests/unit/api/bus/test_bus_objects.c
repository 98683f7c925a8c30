/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Objects and signals: properties, ObjectManager, methods of objects, and what is told when. */

#include <stdio.h>

#include "bus_fixture.h"
#include "io/bus_codec.h"

#define PROPERTIES "org.freedesktop.DBus.Properties"
#define OBJECT_MANAGER "org.freedesktop.DBus.ObjectManager"

static char *volume_path(size_t index)
{
	char id[37], *path = NULL;

	fake_volume_id(index, id);
	assert_true(sd_bus_path_encode(BUS_ROOT "/volume", id, &path) >= 0);
	return path;
}

static char *export_path(size_t index)
{
	char id[37], *path = NULL;

	fake_volume_id(index, id);
	assert_true(sd_bus_path_encode(BUS_ROOT "/export", id, &path) >= 0);
	return path;
}

static char *operation_path(void)
{
	char *path = NULL;

	assert_true(sd_bus_path_encode(BUS_ROOT "/operation", SAMPLE_OPERATION, &path) >= 0);
	return path;
}

/* The core now knows SAMPLE_OPERATION, an attach under way. */
static void have_operation(struct fixture *f)
{
	fake_fill(&operation_record, &f->core.operation);
}

static void test_properties(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *path = volume_path(1);
	_cleanup_message_ sd_bus_message *all = NULL, *size = NULL, *data = NULL;
	const char *text = NULL;
	uint64_t bytes = 0;

	f->core.volume_count = 2;
	all = ask(f, path, PROPERTIES, "GetAll", "s", BUS_NAME ".Volume");
	assert_answer(all, "a{sv}");
	size = ask(f, path, PROPERTIES, "Get", "ss", BUS_NAME ".Volume", "Size");
	assert_answer(size, "v");
	assert_true(sd_bus_message_read(size, "v", "t", &bytes) >= 0);
	assert_int_equal(bytes, 7);
	data = ask(f, path, PROPERTIES, "Get", "ss", BUS_NAME ".Volume", "CloudstackData");
	assert_answer(data, "v");
	assert_true(sd_bus_message_enter_container(data, 'v', "a{sv}") > 0);
	assert_true(sd_bus_message_enter_container(data, 'a', "{sv}") > 0);
	assert_true(sd_bus_message_enter_container(data, 'e', "sv") > 0);
	assert_true(sd_bus_message_read(data, "s", &text) > 0);
	assert_string_equal(text, "number");
}

/* Who is connected changes without anybody being told, so it is no property; whoever asks is
 * answered. */
static void test_properties_of_an_export(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *path = export_path(1);
	_cleanup_message_ sd_bus_message *id = NULL, *status = NULL, *clients = NULL, *other = NULL;
	const char *text = NULL;

	f->core.export_count = 2;
	id = ask(f, path, PROPERTIES, "Get", "ss", BUS_NAME ".Export", "VolumeId");
	assert_answer(id, "v");
	assert_true(sd_bus_message_read(id, "v", "s", &text) >= 0);
	assert_string_equal(text, OTHER_UUID);
	status = ask(f, path, PROPERTIES, "Get", "ss", BUS_NAME ".Export", "Status");
	assert_answer(status, "v");
	assert_true(sd_bus_message_read(status, "v", "s", &text) >= 0);
	assert_string_equal(text, "active");
	clients = ask(f, path, PROPERTIES, "Get", "ss", BUS_NAME ".Export", "Clients");
	assert_non_null(sd_bus_message_get_error(clients));
	f->core.export_count = 1;
	other = ask(f, path, PROPERTIES, "Get", "ss", BUS_NAME ".Export", "Status");
	assert_non_null(sd_bus_message_get_error(other));
}

static void test_clients_are_in_the_answer(void **state)
{
	struct fixture *f = *state;
	_cleanup_message_ sd_bus_message *answer =
		ask(f, NULL, NULL, "GetExport", "s", SAMPLE_UUID);
	_cleanup_buf_ struct buf record = BUF_NULL;

	assert_answer(answer, "a{sv}");
	assert_int_equal(bus_read_json(answer, &record, 1 << 20, NULL), 0);
	assert_non_null(strstr(record.data, "\"clients\":{\"number\":1"));
}

static void test_manager_properties(void **state)
{
	struct fixture *f = *state;
	_cleanup_message_ sd_bus_message *answer =
		ask(f, BUS_ROOT, PROPERTIES, "Get", "ss", BUS_NAME ".Manager", "ApplianceId");
	const char *id = NULL;

	assert_answer(answer, "v");
	assert_true(sd_bus_message_read(answer, "v", "s", &id) >= 0);
	assert_string_equal(id, OTHER_UUID);
}

static void test_objects_that_are_not_there(void **state)
{
	static const char *const paths[] = {
		BUS_ROOT "/volume",     BUS_ROOT "/volume/x", BUS_ROOT "/operation/op_2d1",
		BUS_ROOT "/volume/_zz", BUS_ROOT "/other",
	};
	struct fixture *f = *state;

	f->core.volume_count = 1;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		_cleanup_message_ sd_bus_message *answer =
			ask(f, paths[i], PROPERTIES, "Get", "ss", BUS_NAME ".Volume", "Size");

		assert_non_null(sd_bus_message_get_error(answer));
	}
	{
		_cleanup_message_ sd_bus_message *answer =
			ask(f, BUS_ROOT "/volume/x", BUS_NAME ".Volume", "Detach", "a{sv}", 0);

		assert_non_null(sd_bus_message_get_error(answer));
	}
}

static void test_methods_of_objects(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *volume = volume_path(0);
	_cleanup_free_ char *operation = operation_path();
	_cleanup_free_ char *export = export_path(0);
	_cleanup_message_ sd_bus_message *detach = NULL, *cancel = NULL, *delete = NULL;
	char id[37];

	f->core.volume_count = 1;
	f->core.export_count = 1;
	have_operation(f);
	fake_volume_id(0, id);
	detach = ask(f, volume, BUS_NAME ".Volume", "Detach", "a{sv}", 1, "force", "b", 1);
	assert_answer(detach, "o");
	assert_int_equal(f->core.method, METHOD_VOLUME_DETACH);
	assert_non_null(strstr(f->core.args.data, id));
	assert_non_null(strstr(f->core.args.data, "\"force\":true"));
	cancel = ask(f, operation, BUS_NAME ".Operation", "Cancel", "a{sv}", 0);
	assert_answer(cancel, "a{sv}");
	assert_int_equal(f->core.method, METHOD_OPERATION_CANCEL);
	assert_non_null(strstr(f->core.args.data, SAMPLE_OPERATION));
	/* A volume has a Delete as well. */
	delete = ask(f, export, BUS_NAME ".Export", "Delete", "a{sv}", 1, "force", "b", 1);
	assert_answer(delete, "a{sv}");
	assert_int_equal(f->core.method, METHOD_EXPORT_DELETE);
	assert_non_null(strstr(f->core.args.data, id));
	assert_non_null(strstr(f->core.args.data, "\"force\":true"));
}

/* How many objects ObjectManager shows. */
static size_t managed_objects(struct fixture *f)
{
	_cleanup_message_ sd_bus_message *answer =
		ask(f, BUS_ROOT, OBJECT_MANAGER, "GetManagedObjects", NULL);
	size_t count = 0;
	int r;

	assert_answer(answer, "a{oa{sa{sv}}}");
	assert_true(sd_bus_message_enter_container(answer, 'a', "{oa{sa{sv}}}") >= 0);
	for (; (r = sd_bus_message_at_end(answer, false)) == 0; count++)
		assert_true(sd_bus_message_skip(answer, "{oa{sa{sv}}}") >= 0);
	assert_true(r > 0);
	return count;
}

static void test_object_manager(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(managed_objects(f), 0);
	f->core.volume_count = 3;
	have_operation(f);
	f->core.export_count = 2;
	assert_int_equal(managed_objects(f), 6);
	/* Listing thousands would stall the loop; ListVolumes pages. */
	f->core.volume_count = 1001;
	assert_int_equal(managed_objects(f), 3);
}

/* --- signals --- */

static void assert_heard(struct fixture *f, const char *expected)
{
	fixture_settle(f);
	assert_string_equal(str_or(f->heard.data, ""), expected);
	buf_reset(&f->heard);
}

static void tell_operation(struct fixture *f, enum event_type type)
{
	struct core_event event = { .type = type,
				    .id = SAMPLE_OPERATION,
				    .operation = &f->core.operation };

	fake_core_tell(&f->core, &event);
}

static void test_life_of_an_operation(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *path = operation_path();
	_cleanup_free_ char *started =
		xasprintf("InterfacesAdded " BUS_ROOT "\nOperationStarted " BUS_ROOT "\n");
	_cleanup_free_ char *changed = xasprintf("PropertiesChanged %s\n", path);
	_cleanup_free_ char *ended =
		xasprintf("PropertiesChanged %s\nOperationCompleted " BUS_ROOT "\n", path);

	have_operation(f);
	tell_operation(f, EVENT_OPERATION_STARTED);
	assert_heard(f, started);
	/* Many changes in a turn are one signal. */
	for (int i = 0; i < 5; i++) {
		str_set(&f->core.operation.step, i % 2 ? "ask-cloud" : "await-job");
		tell_operation(f, EVENT_OPERATION_CHANGED);
	}
	assert_heard(f, changed);
	/* A change without a difference is none. */
	tell_operation(f, EVENT_OPERATION_CHANGED);
	assert_heard(f, "");
	/* Its last properties come before its end. */
	tell_operation(f, EVENT_OPERATION_CHANGED);
	f->core.operation.status = OPERATION_COMPLETED;
	tell_operation(f, EVENT_OPERATION_ENDED);
	assert_heard(f, ended);
	str_set(&f->core.operation.id, NULL);
	fake_core_tell(&f->core, &(struct core_event){ .type = EVENT_OPERATION_FORGOTTEN,
						       .id = SAMPLE_OPERATION });
	assert_heard(f, "InterfacesRemoved " BUS_ROOT "\n");
}

static void test_changes_of_volumes(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *first = volume_path(0), *second = volume_path(1);
	_cleanup_free_ char *both =
		xasprintf("PropertiesChanged %s\nPropertiesChanged %s\n", first, second);
	char ids[2][37];

	f->core.volume_count = 2;
	for (size_t i = 0; i < 2; i++)
		fake_volume_id(i, ids[i]);
	fake_core_tell(&f->core, &(struct core_event){ .type = EVENT_VOLUME_ADDED, .id = ids[0] });
	assert_heard(f, "InterfacesAdded " BUS_ROOT "\n");
	f->core.volume_name = "another";
	for (size_t i = 0; i < 6; i++)
		fake_core_tell(&f->core, &(struct core_event){ .type = EVENT_VOLUME_CHANGED,
							       .id = ids[i % 2] });
	assert_heard(f, both);
	f->core.volume_name = "a third";
	/* Changed and gone in one turn: it is only gone. */
	fake_core_tell(&f->core,
		       &(struct core_event){ .type = EVENT_VOLUME_CHANGED, .id = ids[1] });
	f->core.volume_count = 1;
	fake_core_tell(&f->core,
		       &(struct core_event){ .type = EVENT_VOLUME_REMOVED, .id = ids[1] });
	assert_heard(f, "InterfacesRemoved " BUS_ROOT "\n");
}

static void test_changes_of_exports(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *path = export_path(0);
	_cleanup_free_ char *changed = xasprintf("PropertiesChanged %s\n", path);

	f->core.export_count = 1;
	fake_core_tell(&f->core,
		       &(struct core_event){ .type = EVENT_EXPORT_ADDED, .id = SAMPLE_UUID });
	assert_heard(f, "InterfacesAdded " BUS_ROOT "\n");
	f->core.export_error = "the server is away";
	for (int i = 0; i < 3; i++)
		fake_core_tell(&f->core, &(struct core_event){ .type = EVENT_EXPORT_CHANGED,
							       .id = SAMPLE_UUID });
	assert_heard(f, changed);
	f->core.export_error = NULL;
	fake_core_tell(&f->core,
		       &(struct core_event){ .type = EVENT_EXPORT_CHANGED, .id = SAMPLE_UUID });
	f->core.export_count = 0;
	fake_core_tell(&f->core,
		       &(struct core_event){ .type = EVENT_EXPORT_REMOVED, .id = SAMPLE_UUID });
	assert_heard(f, "InterfacesRemoved " BUS_ROOT "\n");
}

static void tell(struct fixture *f, enum event_type type, const char *id)
{
	fake_core_tell(&f->core, &(struct core_event){ .type = type, .id = id });
}

/* Whoever hears of the end finds in the properties what the end has told. */
static void test_all_properties_come_before_the_end(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *operation = operation_path();
	_cleanup_free_ char *volume = volume_path(0);
	_cleanup_free_ char *export = export_path(0);
	_cleanup_free_ char *expected = xasprintf(
		"PropertiesChanged %s\nPropertiesChanged %s\nPropertiesChanged %s\nOperationCompleted %s\n",
		volume, export, operation, BUS_ROOT);

	have_operation(f);
	f->core.volume_count = 1;
	f->core.export_count = 1;
	tell_operation(f, EVENT_OPERATION_STARTED);
	tell(f, EVENT_VOLUME_ADDED, SAMPLE_UUID);
	tell(f, EVENT_EXPORT_ADDED, SAMPLE_UUID);
	fixture_settle(f);
	buf_reset(&f->heard);
	f->core.volume_name = "another";
	f->core.export_error = "the server is away";
	f->core.operation.status = OPERATION_COMPLETED;
	tell(f, EVENT_VOLUME_CHANGED, SAMPLE_UUID);
	tell(f, EVENT_EXPORT_CHANGED, SAMPLE_UUID);
	tell_operation(f, EVENT_OPERATION_ENDED);
	assert_heard(f, expected);
}

static sd_bus_message *last_signal;

static int keep_signal(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	sd_bus_message_unref(last_signal);
	last_signal = sd_bus_message_ref(m);
	return 0;
}

/* The names of the properties that the last PropertiesChanged carries. */
static void assert_changed_names(const char *expected)
{
	_cleanup_buf_ struct buf names = BUF_NULL;
	const char *name = NULL;

	assert_answer(last_signal, "sa{sv}as");
	assert_true(sd_bus_message_skip(last_signal, "s") >= 0);
	assert_true(sd_bus_message_enter_container(last_signal, 'a', "{sv}") > 0);
	while (sd_bus_message_enter_container(last_signal, 'e', "sv") > 0) {
		assert_true(sd_bus_message_read(last_signal, "s", &name) > 0);
		buf_printf(&names, "%s ", name);
		assert_true(sd_bus_message_skip(last_signal, "v") >= 0);
		assert_true(sd_bus_message_exit_container(last_signal) >= 0);
	}
	assert_string_equal(names.data, expected);
}

static void test_only_the_difference_is_told(void **state)
{
	struct fixture *f = *state;

	assert_true(sd_bus_match_signal(f->client, NULL, NULL, NULL, PROPERTIES, NULL, keep_signal,
					NULL) >= 0);
	f->core.volume_count = 1;
	tell(f, EVENT_VOLUME_ADDED, SAMPLE_UUID);
	f->core.volume_name = "another";
	tell(f, EVENT_VOLUME_CHANGED, SAMPLE_UUID);
	fixture_settle(f);
	assert_changed_names("Name ");
	have_operation(f);
	tell_operation(f, EVENT_OPERATION_STARTED);
	str_set(&f->core.operation.step, "await-job");
	f->core.operation.step_since++;
	f->core.operation.status = OPERATION_EXECUTING;
	tell_operation(f, EVENT_OPERATION_CHANGED);
	fixture_settle(f);
	assert_changed_names("Step StepSince ");
	last_signal = sd_bus_message_unref(last_signal);
}

static void test_arguments_of_signals(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *path = operation_path();
	const char *p = NULL, *id = NULL, *type = NULL, *status = NULL, *volume = NULL,
		   *device = NULL;
	struct mapping_record mapping;

	assert_true(sd_bus_match_signal(f->client, NULL, NULL, BUS_ROOT, BUS_NAME ".Manager", NULL,
					keep_signal, NULL) >= 0);
	have_operation(f);
	f->core.operation.status = OPERATION_COMPLETED;
	str_set(&f->core.operation.response, "{\"device_path\":\"/dev/vdb\",\"message\":\"done\"}");
	tell_operation(f, EVENT_OPERATION_ENDED);
	fixture_settle(f);
	assert_answer(last_signal, "osssssa{sv}");
	assert_true(sd_bus_message_read(last_signal, "osssss", &p, &id, &type, &status, &volume,
					&device) >= 0);
	assert_string_equal(p, path);
	assert_string_equal(id, SAMPLE_OPERATION);
	assert_string_equal(type, "attach");
	assert_string_equal(status, "completed");
	assert_string_equal(device, "/dev/vdb");

	record_init(&mapping_record, &mapping);
	fake_fill(&mapping_record, &mapping);
	fake_core_tell(&f->core, &(struct core_event){ .type = EVENT_MAPPING_REMOVED,
						       .id = SAMPLE_UUID,
						       .mapping = &mapping });
	fixture_settle(f);
	assert_answer(last_signal, "ssa{sv}");
	assert_true(sd_bus_message_read(last_signal, "ss", &volume, &device) >= 0);
	assert_string_equal(volume, SAMPLE_UUID);
	assert_string_equal(device, "");
	record_clear(&mapping_record, &mapping);
	last_signal = sd_bus_message_unref(last_signal);
}

static void test_devices(void **state)
{
	struct fixture *f = *state;
	struct device_record device;
	struct core_event event = { .id = "/dev/vdb", .device = &device };

	record_init(&device_record, &device);
	fake_fill(&device_record, &device);
	event.type = EVENT_DEVICE_ADDED;
	fake_core_tell(&f->core, &event);
	event.type = EVENT_DEVICE_CHANGED;
	fake_core_tell(&f->core, &event);
	event.type = EVENT_DEVICE_REMOVED;
	fake_core_tell(&f->core, &event);
	assert_heard(f, "DeviceAdded " BUS_ROOT "\nDeviceRemoved " BUS_ROOT "\n");
	record_clear(&device_record, &device);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, bus_fixture_setup, bus_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_properties),
		TEST(test_manager_properties),
		TEST(test_objects_that_are_not_there),
		TEST(test_methods_of_objects),
		TEST(test_object_manager),
		TEST(test_life_of_an_operation),
		TEST(test_changes_of_volumes),
		TEST(test_all_properties_come_before_the_end),
		TEST(test_only_the_difference_is_told),
		TEST(test_arguments_of_signals),
		TEST(test_devices),
		TEST(test_properties_of_an_export),
		TEST(test_clients_are_in_the_answer),
		TEST(test_changes_of_exports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
