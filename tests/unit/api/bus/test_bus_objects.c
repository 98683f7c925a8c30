/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Objects and signals: properties, ObjectManager, methods of objects, and what is told when. */

#include <linux/sockios.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "api/bus/encode.h"
#include "base/clock.h"
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

static void tell(struct fixture *f, enum event_type type, const char *id)
{
	fake_core_tell(&f->core, &(struct core_event){ .type = type, .id = id });
}

static void tell_operation(struct fixture *f, enum event_type type)
{
	struct core_event event = { .type = type,
				    .id = f->core.operation.id,
				    .operation = &f->core.operation };

	fake_core_tell(&f->core, &event);
}

/* The core now knows SAMPLE_OPERATION, an attach under way. */
static void have_operation(struct fixture *f)
{
	fake_fill(&operation_record, &f->core.operation);
}

/* The core now has so many volumes, and they have been told. */
static void have_volumes(struct fixture *f, size_t count)
{
	char id[37];

	f->core.volume_count = count;
	for (size_t i = 0; i < count; i++) {
		fake_volume_id(i, id);
		tell(f, EVENT_VOLUME_ADDED, id);
	}
	fixture_settle(f);
}

static void have_exports(struct fixture *f, size_t count)
{
	char id[37];

	f->core.export_count = count;
	for (size_t i = 0; i < count; i++) {
		fake_volume_id(i, id);
		tell(f, EVENT_EXPORT_ADDED, id);
	}
	fixture_settle(f);
}

static void test_properties(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *path = volume_path(1);
	_cleanup_message_ sd_bus_message *all = NULL, *size = NULL, *data = NULL;
	const char *text = NULL;
	uint64_t bytes = 0;

	have_volumes(f, 2);
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

	have_exports(f, 2);
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
	tell(f, EVENT_EXPORT_REMOVED, OTHER_UUID);
	fixture_settle(f);
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

	have_volumes(f, 1);
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

	have_volumes(f, 1);
	have_exports(f, 1);
	have_operation(f);
	tell_operation(f, EVENT_OPERATION_STARTED);
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

/* --- which objects there are --- */

/* How many objects of a kind ObjectManager lists, and introspection of their parent shows. */
static size_t listed(struct fixture *f, const char *kind)
{
	_cleanup_message_ sd_bus_message *answer =
		ask(f, BUS_ROOT, OBJECT_MANAGER, "GetManagedObjects", NULL);
	_cleanup_free_ char *parent = xasprintf(BUS_ROOT "/%s", kind);
	_cleanup_message_ sd_bus_message *introspection = NULL;
	size_t count = 0, nodes = 0;
	const char *path, *xml = NULL;

	assert_answer(answer, "a{oa{sa{sv}}}");
	assert_true(sd_bus_message_enter_container(answer, 'a', "{oa{sa{sv}}}") >= 0);
	while (sd_bus_message_enter_container(answer, 'e', "oa{sa{sv}}") > 0) {
		assert_true(sd_bus_message_read(answer, "o", &path) > 0);
		assert_true(sd_bus_message_skip(answer, "a{sa{sv}}") >= 0);
		assert_true(sd_bus_message_exit_container(answer) >= 0);
		count += strncmp(path, parent, strlen(parent)) == 0;
	}
	introspection = ask(f, parent, "org.freedesktop.DBus.Introspectable", "Introspect", NULL);
	if (count == 0)
		return 0;
	assert_answer(introspection, "s");
	assert_true(sd_bus_message_read(introspection, "s", &xml) > 0);
	for (; (xml = strstr(xml, "<node name=")); xml++)
		nodes++;
	assert_int_equal(nodes, count);
	return count;
}

static unsigned unlisted(struct fixture *f, const char *property)
{
	_cleanup_message_ sd_bus_message *answer =
		ask(f, BUS_ROOT, PROPERTIES, "Get", "ss", BUS_NAME ".Manager", property);
	uint32_t count = 0;

	assert_answer(answer, "v");
	assert_true(sd_bus_message_read(answer, "v", "u", &count) >= 0);
	return count;
}

static bool is_there(struct fixture *f, const char *path, const char *interface)
{
	_cleanup_message_ sd_bus_message *answer =
		ask(f, path, PROPERTIES, "GetAll", "s", interface);

	return !sd_bus_message_get_error(answer);
}

static void test_object_manager(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(listed(f, "volume"), 0);
	have_volumes(f, 3);
	have_operation(f);
	tell_operation(f, EVENT_OPERATION_STARTED);
	have_exports(f, 2);
	assert_int_equal(listed(f, "volume"), 3);
	assert_int_equal(listed(f, "operation"), 1);
	assert_int_equal(listed(f, "export"), 2);
}

/* What is not in use is no object, however much there is of it. */
static void test_detached_volumes_are_no_objects(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *path = volume_path(0);

	f->core.volumes_detached = true;
	have_volumes(f, 10000);
	assert_int_equal(f->heard.length, 0);
	assert_int_equal(listed(f, "volume"), 0);
	assert_int_equal(unlisted(f, "UnlistedVolumes"), 0);
	assert_false(is_there(f, path, BUS_NAME ".Volume"));
}

static void test_a_named_object_can_be_read_for_five_minutes(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *path = volume_path(0);

	f->core.volumes_detached = true;
	have_volumes(f, 2);
	for (int round = 0; round < 2; round++) {
		_cleanup_message_ sd_bus_message *answer =
			ask(f, NULL, NULL, "GetVolume", "s", SAMPLE_UUID);
		const char *named = NULL;

		assert_answer(answer, "o");
		assert_true(sd_bus_message_read(answer, "o", &named) > 0);
		assert_string_equal(named, path);
		assert_true(is_there(f, path, BUS_NAME ".Volume"));
		assert_int_equal(listed(f, "volume"), 1);
		clock_test_advance(299000);
		fixture_settle(f);
		assert_true(is_there(f, path, BUS_NAME ".Volume"));
	}
	assert_string_equal(f->heard.data, "InterfacesAdded " BUS_ROOT "\n");
	clock_test_advance(2000);
	fixture_settle(f);
	assert_false(is_there(f, path, BUS_NAME ".Volume"));
	assert_int_equal(listed(f, "volume"), 0);
	assert_string_equal(f->heard.data,
			    "InterfacesAdded " BUS_ROOT "\nInterfacesRemoved " BUS_ROOT "\n");
}

/* An operation of the store, which core does not have in memory any more. */
static void test_an_old_operation_can_be_read_when_it_was_named(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *path = operation_path();
	_cleanup_message_ sd_bus_message *answer = NULL;

	assert_false(is_there(f, path, BUS_NAME ".Operation"));
	answer = ask(f, NULL, NULL, "GetOperation", "s", SAMPLE_OPERATION);
	assert_answer(answer, "o");
	assert_true(is_there(f, path, BUS_NAME ".Operation"));
	assert_int_equal(listed(f, "operation"), 1);
}

static void test_a_thousand_of_a_kind(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *first = volume_path(0), *last = volume_path(1204);
	_cleanup_message_ sd_bus_message *answer = NULL;
	char id[37];

	have_volumes(f, 1205);
	assert_int_equal(listed(f, "volume"), 1000);
	assert_int_equal(unlisted(f, "UnlistedVolumes"), 205);
	assert_true(is_there(f, first, BUS_NAME ".Volume"));
	assert_false(is_there(f, last, BUS_NAME ".Volume"));
	/* One that was named is there as well, */
	fake_volume_id(1204, id);
	answer = ask(f, NULL, NULL, "GetVolume", "s", SAMPLE_UUID);
	assert_answer(answer, "o");
	assert_int_equal(listed(f, "volume"), 1000);
	/* and if one goes, the next one comes. */
	tell(f, EVENT_VOLUME_REMOVED, SAMPLE_UUID);
	fixture_settle(f);
	assert_false(is_there(f, first, BUS_NAME ".Volume"));
	assert_int_equal(listed(f, "volume"), 1000);
	assert_int_equal(unlisted(f, "UnlistedVolumes"), 204);
}

static void test_the_volumes_of_this_machine_go_first(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *first = volume_path(0), *last = volume_path(1004);
	char id[37];

	have_volumes(f, 1005);
	assert_false(is_there(f, last, BUS_NAME ".Volume"));
	f->core.volumes_on_appliance = true;
	fake_volume_id(1004, id);
	tell(f, EVENT_VOLUME_CHANGED, id);
	fixture_settle(f);
	assert_true(is_there(f, last, BUS_NAME ".Volume"));
	assert_true(is_there(f, first, BUS_NAME ".Volume"));
	/* The one that made room was told of before, and stays for a while. */
	assert_int_equal(listed(f, "volume"), 1001);
	assert_int_equal(unlisted(f, "UnlistedVolumes"), 4);
}

/* The oldest operations are shown, and an operation can be read when it has ended. */
static void test_operations_come_and_go(void **state)
{
	struct fixture *f = *state;
	const size_t count = 1010;
	_cleanup_buf_ struct buf id = BUF_NULL;
	struct operation_record ended = { 0 };

	have_operation(f);
	for (size_t i = 0; i < count; i++) {
		buf_reset(&id);
		buf_printf(&id, "op-%zu", i);
		str_set(&f->core.operation.id, id.data);
		tell_operation(f, EVENT_OPERATION_STARTED);
	}
	fixture_settle(f);
	/* All were named by their beginnings. */
	assert_int_equal(listed(f, "operation"), count);
	assert_int_equal(unlisted(f, "UnlistedOperations"), 0);
	clock_test_advance(301000);
	fixture_settle(f);
	assert_int_equal(listed(f, "operation"), 1000);
	assert_int_equal(unlisted(f, "UnlistedOperations"), 10);
	/* Core has the one that is shown next, and not the one that has ended. */
	str_set(&f->core.operation.id, "op-1000");
	record_copy(&operation_record, &ended, &f->core.operation);
	str_set(&ended.id, "op-0");
	ended.status = OPERATION_COMPLETED;
	fake_core_tell(&f->core, &(struct core_event){ .type = EVENT_OPERATION_ENDED,
						       .id = ended.id,
						       .operation = &ended });
	tell(f, EVENT_OPERATION_FORGOTTEN, ended.id);
	record_clear(&operation_record, &ended);
	fixture_settle(f);
	assert_true(is_there(f, BUS_ROOT "/operation/op_2d0", BUS_NAME ".Operation"));
	assert_true(is_there(f, BUS_ROOT "/operation/op_2d1000", BUS_NAME ".Operation"));
	assert_int_equal(unlisted(f, "UnlistedOperations"), 9);
	clock_test_advance(301000);
	fixture_settle(f);
	assert_false(is_there(f, BUS_ROOT "/operation/op_2d0", BUS_NAME ".Operation"));
	assert_int_equal(listed(f, "operation"), 1000);
}

static sd_bus_message *list_answer;

static int on_list(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	list_answer = sd_bus_message_ref(m);
	return 0;
}

static void ask_for_list(struct fixture *f)
{
	sd_bus_message *call = NULL;

	assert_true(sd_bus_message_new_method_call(f->client, &call, BUS_NAME, BUS_ROOT,
						   OBJECT_MANAGER, "GetManagedObjects") >= 0);
	assert_true(sd_bus_call_async(f->client, NULL, call, on_list, NULL, 0) >= 0);
	sd_bus_message_unref(call);
}

/* Processor time of the surface's longest turn until the list has come, and of all its turns. */
static size_t longest_turn_us(struct fixture *f, size_t *all)
{
	size_t longest = 0;

	*all = 0;

	while (!list_answer) {
		struct timespec begin, end;
		size_t us;

		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
		loop_turn(f->loop);
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
		us = (size_t)((end.tv_sec - begin.tv_sec) * 1000000 +
			      (end.tv_nsec - begin.tv_nsec) / 1000);
		longest = us > longest ? us : longest;
		*all += us;
		sd_bus_process(f->client, NULL);
	}
	return longest;
}

/* So many volumes and exports, and twice as many operations, as large as they usually are. */
static void have_objects(struct fixture *f, size_t count)
{
	_cleanup_buf_ struct buf id = BUF_NULL;

	have_volumes(f, count);
	have_exports(f, count);
	have_operation(f);
	str_set(&f->core.operation.request, "{\"volume_id\":\"" SAMPLE_UUID
					    "\",\"vm_id\":\"" OTHER_UUID "\",\"vm_name\":\"\"}");
	str_set(&f->core.operation.time_spent,
		"{\"own_ms\":3,\"waiting_ms\":0,\"cloudstack_ms\":1200,\"kernel_ms\":20}");
	for (size_t i = 0; i < 2 * count; i++) {
		buf_reset(&id);
		buf_printf(&id, "op-0195a1f0-7c3e-7b11-8f00-%012zu", i);
		str_set(&f->core.operation.id, id.data);
		tell_operation(f, EVENT_OPERATION_STARTED);
		if (i % 100 == 0)
			fixture_settle(f);
	}
	clock_test_advance(200);
	fixture_settle(f);
}

static void test_a_list_of_all_takes_little_time(void **state)
{
	struct fixture *f = *state;
	size_t longest, all;

	have_objects(f, 1000); /* as many as there may be */
	assert_int_equal(listed(f, "operation"), 2000);
	ask_for_list(f);
	longest = longest_turn_us(f, &all);
	list_answer = sd_bus_message_unref(list_answer);
	print_message("4000 objects: the longest turn took %zu us\n", longest);
	assert_in_range(longest, 1, 500000); /* ten times the promise */
	assert_in_range(longest, 1, all / 4);
}

/* The number in "step-17" of an operation that is listed. */
static unsigned step_in_list(const char *path)
{
	const char *at, *interface, *name, *step = NULL;

	assert_true(sd_bus_message_enter_container(list_answer, 'a', "{oa{sa{sv}}}") >= 0);
	while (sd_bus_message_enter_container(list_answer, 'e', "oa{sa{sv}}") > 0) {
		assert_true(sd_bus_message_read(list_answer, "o", &at) > 0);
		if (streq(at, path))
			break;
		assert_true(sd_bus_message_skip(list_answer, "a{sa{sv}}") >= 0);
		assert_true(sd_bus_message_exit_container(list_answer) >= 0);
	}
	assert_true(sd_bus_message_enter_container(list_answer, 'a', "{sa{sv}}") > 0);
	assert_true(sd_bus_message_enter_container(list_answer, 'e', "sa{sv}") > 0);
	assert_true(sd_bus_message_read(list_answer, "s", &interface) > 0);
	assert_true(sd_bus_message_enter_container(list_answer, 'a', "{sv}") > 0);
	while (!step && sd_bus_message_enter_container(list_answer, 'e', "sv") > 0) {
		assert_true(sd_bus_message_read(list_answer, "s", &name) > 0);
		if (streq(name, "Step"))
			assert_true(sd_bus_message_read(list_answer, "v", "s", &step) > 0);
		else
			assert_true(sd_bus_message_skip(list_answer, "v") >= 0);
		assert_true(sd_bus_message_exit_container(list_answer) >= 0);
	}
	assert_non_null(step);
	return (unsigned)strtoul(step + strlen("step-"), NULL, 10);
}

static unsigned told_before, told_after; /* the last step before the list, the first after it */

static int on_step(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *name, *step;

	if (sd_bus_message_skip(m, "s") < 0 || sd_bus_message_enter_container(m, 'a', "{sv}") < 0)
		return 0;
	while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
		unsigned number;

		assert_true(sd_bus_message_read(m, "s", &name) > 0);
		assert_string_equal(name, "Step");
		assert_true(sd_bus_message_read(m, "v", "s", &step) > 0);
		assert_true(sd_bus_message_exit_container(m) >= 0);
		number = (unsigned)strtoul(step + strlen("step-"), NULL, 10);
		if (!list_answer)
			told_before = number;
		else if (!told_after)
			told_after = number;
	}
	return 0;
}

static void go_to_step(struct fixture *f, unsigned number)
{
	_cleanup_free_ char *step = xasprintf("step-%u", number);

	str_set(&f->core.operation.step, step);
	tell_operation(f, EVENT_OPERATION_CHANGED);
}

/* The operation changes all the time. A client that has heard the signals and then the list, or the
 * other way round, has the same. */
static void test_a_list_stands_between_its_signals(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *path = NULL, *match = NULL;
	unsigned step = 1;

	have_objects(f, 300);
	path = bus_object_path(SCOPE_OPERATION, f->core.operation.id);
	match = xasprintf("type='signal',member='PropertiesChanged',path='%s'", path);
	told_before = told_after = 0;
	go_to_step(f, step);
	fixture_settle(f);
	assert_true(sd_bus_add_match(f->client, NULL, match, on_step, f) >= 0);
	go_to_step(f, ++step);
	fixture_settle(f);
	assert_int_equal(told_before, step);
	ask_for_list(f);
	while (!list_answer) {
		go_to_step(f, ++step);
		loop_turn(f->loop);
		sd_bus_process(f->client, NULL);
	}
	go_to_step(f, ++step);
	fixture_settle(f);
	assert_int_equal(step_in_list(path), told_before);
	assert_in_range(told_after, told_before + 1, step);
	list_answer = sd_bus_message_unref(list_answer);
}

/* The surface's socket, which is the other one that is connected to the bus. */
static int surface_socket(struct fixture *f)
{
	const char *path = f->daemon.address + strlen("unix:path=");

	for (int fd = 0; fd < 1024; fd++) {
		struct sockaddr_un peer = { 0 };
		socklen_t length = sizeof(peer);

		if (fd != sd_bus_get_fd(f->client) &&
		    getpeername(fd, (struct sockaddr *)&peer, &length) == 0 &&
		    peer.sun_family == AF_UNIX && streq(peer.sun_path, path))
			return fd;
	}
	fail_msg("the surface is not connected");
	return -1;
}

/* Asks for a list; when this returns, a part of it is written, and a signal waits for it. The bus
 * has read everything before the signal, so the signal does not wait for the bus. The socket takes
 * little at once from then on, as a machine's limit may have it. */
static void ask_for_a_slow_list(struct fixture *f)
{
	const int fd = surface_socket(f), size = 16 << 10;
	unsigned step = 0;

	ask_for_list(f);
	while (bus_queued(f->bus) == 0) {
		int unread = 0;

		assert_null(list_answer);
		while (ioctl(fd, SIOCOUTQ, &unread) == 0 && unread > 0)
			sched_yield();
		go_to_step(f, ++step);
		loop_turn(f->loop);
		sd_bus_process(f->client, NULL);
	}
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
}

/* With the list half written, and signals that wait for it. */
static void test_an_end_while_a_list_is_written(void **state)
{
	struct fixture *f = *state;

	have_objects(f, 300);
	ask_for_a_slow_list(f);
}

static size_t heard_devices(struct fixture *f)
{
	size_t count = 0;

	for (const char *at = f->heard.data; (at = strstr(str_or(at, ""), "DeviceAdded ")); at++)
		count++;
	return count;
}

static bool nothing_is_queued(struct fixture *f)
{
	return bus_queued(f->bus) == 0;
}

/* More signals than may wait come while a list is written, which the socket does not take at once:
 * the list is written faster, and there is room for what comes until the bus has read it. */
static void test_many_signals_while_a_list_is_written(void **state)
{
	struct fixture *f = *state;
	struct device_record device;
	const struct core_event event = { .type = EVENT_DEVICE_ADDED,
					  .id = "/dev/vdb",
					  .device = &device };
	bool hurried = false;

	have_objects(f, 300);
	record_init(&device_record, &device);
	fake_fill(&device_record, &device);
	buf_reset(&f->heard);
	ask_for_a_slow_list(f);
	for (size_t i = 0; i < 1500; i++) {
		size_t queued = bus_queued(f->bus);

		fake_core_tell(&f->core, &event);
		/* The list was sent. From here on the bus can read, but only between turns. */
		hurried |= bus_queued(f->bus) != queued + 1;
		if (hurried && bus_queued(f->bus) >= 900)
			fixture_until(f, nothing_is_queued);
	}
	assert_true(hurried);
	fixture_settle(f);
	assert_non_null(list_answer);
	list_answer = sd_bus_message_unref(list_answer);
	assert_int_equal(heard_devices(f), 1500);
	record_clear(&device_record, &device);
}

/* A client chooses the size of some properties. */
static void test_large_objects_are_bounded_too(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct buf request = BUF_NULL, id = BUF_NULL;
	_cleanup_message_ sd_bus_message *answer = NULL;

	buf_add_text(&request, "{\"metadata\":[1");
	while (request.length < 16000)
		buf_add_text(&request, ",1");
	buf_add_text(&request, "]}");
	have_operation(f);
	str_set(&f->core.operation.request, request.data);
	for (size_t i = 0; i < 300; i++) {
		buf_reset(&id);
		buf_printf(&id, "op-%zu", i);
		str_set(&f->core.operation.id, id.data);
		tell_operation(f, EVENT_OPERATION_STARTED);
		fixture_settle(f);
	}
	assert_in_range(listed(f, "operation"), 15, 40);
	assert_int_equal(listed(f, "operation") + unlisted(f, "UnlistedOperations"), 300);
	/* The one that was named last is there. */
	str_set(&f->core.operation.id, "op-299");
	answer = ask(f, NULL, NULL, "GetOperation", "s", "op-299");
	assert_answer(answer, "o");
	assert_true(is_there(f, BUS_ROOT "/operation/op_2d299", BUS_NAME ".Operation"));
}

/* --- signals --- */

static void assert_heard(struct fixture *f, const char *expected)
{
	fixture_settle(f);
	assert_string_equal(str_or(f->heard.data, ""), expected);
	buf_reset(&f->heard);
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
	tell(f, EVENT_OPERATION_FORGOTTEN, SAMPLE_OPERATION);
	assert_heard(f, "");
	clock_test_advance(301000);
	assert_heard(f, "InterfacesRemoved " BUS_ROOT "\n");
}

/* The deletion is stored in the very turn in which the volume goes. */
static void test_a_volume_goes_before_its_deletion_is_told(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *volume = volume_path(0), *operation = operation_path();
	_cleanup_free_ char *expected =
		xasprintf("InterfacesRemoved " BUS_ROOT "\nPropertiesChanged %s\n"
			  "OperationCompleted " BUS_ROOT "\n",
			  operation);
	char id[37];

	have_volumes(f, 1);
	fake_volume_id(0, id);
	have_operation(f);
	str_set(&f->core.operation.volume_id, id);
	tell_operation(f, EVENT_OPERATION_STARTED);
	fixture_settle(f);
	buf_reset(&f->heard);
	f->core.volume_count = 0;
	tell(f, EVENT_VOLUME_REMOVED, id);
	f->core.operation.status = OPERATION_COMPLETED;
	tell_operation(f, EVENT_OPERATION_ENDED);
	assert_heard(f, expected);
	assert_false(is_there(f, volume, BUS_NAME ".Volume"));
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
	for (size_t i = 0; i < 2; i++)
		tell(f, EVENT_VOLUME_ADDED, ids[i]);
	assert_heard(f, "InterfacesAdded " BUS_ROOT "\nInterfacesAdded " BUS_ROOT "\n");
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

/* The text of a property, in a message that answers Get. */
static const char *text_of(sd_bus_message *answer)
{
	const char *text = NULL;

	assert_answer(answer, "v");
	assert_true(sd_bus_message_read(answer, "v", "s", &text) >= 0);
	return text;
}

/* Core tells of a change a turn after it has answered the call that made the change. */
static void test_an_object_that_a_reply_names_is_up_to_date(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *export = export_path(0), *volume = volume_path(0);
	_cleanup_message_ sd_bus_message *made = NULL, *error = NULL, *found = NULL, *name = NULL;

	have_volumes(f, 1);
	have_exports(f, 1);
	f->core.export_error = "the server is away";
	f->core.volume_name = "another";
	made = ask(f, NULL, NULL, "CreateExport", "sa{sv}", SAMPLE_UUID, 0);
	assert_answer(made, "o");
	error = ask(f, export, PROPERTIES, "Get", "ss", BUS_NAME ".Export", "Error");
	assert_string_equal(text_of(error), "the server is away");
	found = ask(f, NULL, NULL, "GetVolume", "s", SAMPLE_UUID);
	assert_answer(found, "o");
	name = ask(f, volume, PROPERTIES, "Get", "ss", BUS_NAME ".Volume", "Name");
	assert_string_equal(text_of(name), "another");
}

struct renaming {
	struct loop_task task;
	struct fixture *f;
};

static void rename_volume(struct loop_task *task)
{
	struct renaming *renaming = container_of(task, struct renaming, task);

	renaming->f->core.volume_name = "another";
	tell(renaming->f, EVENT_VOLUME_CHANGED, SAMPLE_UUID);
}

static int keep_reply(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	sd_bus_message **reply = userdata;

	*reply = sd_bus_message_ref(m);
	return 0;
}

/* The read comes in the very turn of the change, before changed objects are told. */
static void test_a_read_tells_the_change_first(void **state)
{
	struct fixture *f = *state;
	struct renaming renaming = { .task.run = rename_volume, .f = f };
	_cleanup_free_ char *path = volume_path(0);
	_cleanup_free_ char *changed = xasprintf("PropertiesChanged %s\n", path);
	_cleanup_message_ sd_bus_message *name = NULL;

	have_volumes(f, 1);
	buf_reset(&f->heard);
	assert_true(sd_bus_call_method_async(f->client, NULL, BUS_NAME, path, PROPERTIES, "Get",
					     keep_reply, &name, "ss", BUS_NAME ".Volume",
					     "Name") >= 0);
	/* The bus has passed it on when it has answered what was sent later. */
	for (int i = 0; i < 2; i++)
		assert_true(sd_bus_call_method(f->client, "org.freedesktop.DBus", "/",
					       "org.freedesktop.DBus.Peer", "Ping", NULL, NULL,
					       NULL) >= 0);
	loop_task_queue(f->loop, &renaming.task);
	assert_heard(f, changed);
	assert_string_equal(text_of(name), "another");
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
	fixture_settle(f);
	f->core.volume_name = "another";
	tell(f, EVENT_VOLUME_CHANGED, SAMPLE_UUID);
	fixture_settle(f);
	assert_changed_names("Name ");
	have_operation(f);
	tell_operation(f, EVENT_OPERATION_STARTED);
	fixture_settle(f);
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
		TEST(test_detached_volumes_are_no_objects),
		TEST(test_a_named_object_can_be_read_for_five_minutes),
		TEST(test_an_old_operation_can_be_read_when_it_was_named),
		TEST(test_a_thousand_of_a_kind),
		TEST(test_the_volumes_of_this_machine_go_first),
		TEST(test_operations_come_and_go),
		TEST(test_a_list_of_all_takes_little_time),
		TEST(test_a_list_stands_between_its_signals),
		TEST(test_an_end_while_a_list_is_written),
		TEST(test_many_signals_while_a_list_is_written),
		TEST(test_large_objects_are_bounded_too),
		TEST(test_life_of_an_operation),
		TEST(test_a_volume_goes_before_its_deletion_is_told),
		TEST(test_changes_of_volumes),
		TEST(test_an_object_that_a_reply_names_is_up_to_date),
		TEST(test_a_read_tells_the_change_first),
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
