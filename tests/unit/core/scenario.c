/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The operations that are disturbed; see scenario.h. Whoever adds an operation adds a row here. */

#include "scenario.h"

#define SIZE (5 * GIB) /* of every volume, before */
#define BIGGER (8 * GIB)
#define SMALLER (2 * GIB)

static void one_volume(struct world *world)
{
	server_add(&world->server, "one", 5);
}

static void one_attached(struct world *world)
{
	one_volume(world);
	attached(world, VOLUME(1));
}

static void one_remote(struct world *world)
{
	one_volume(world);
	completed(world, accepted(world, ask_attach(world, VOLUME(1), OTHER_VM)));
}

/* The VM has a root disk. */
static void one_to_replace(struct world *world)
{
	struct fake_volume *root;

	one_volume(world);
	root = server_add(&world->server, "old root", 5);
	root->is_root = true;
	server_attach(&world->server, root, OTHER_VM);
}

/* The VM of a test runs, and has the volume. */
static void one_on_test(struct world *world)
{
	one_remote(world);
	world->server.other_runs = true;
}

/* It is deleted after that, with its own root disk. */
static void one_on_doomed(struct world *world)
{
	struct fake_volume *root;

	one_on_test(world);
	root = server_add(&world->server, "root of the test", 5);
	root->is_root = true;
	server_attach(&world->server, root, OTHER_VM);
	world->options.allow_vm_expunge = true;
	world_stop(world);
	world_open(world);
}

static void one_that_does_not_come(struct world *world)
{
	one_on_test(world);
	server_find(&world->server, VOLUME(1))->plug_ms = -1;
}

static void without_device(struct world *world)
{
	server_add(&world->server, "one", 5)->plug_ms = -1;
}

static void create_fails(struct world *world)
{
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_CREATE, 1, 1000, FAULT_JOB_FAILED, 530, "No room" });
}

static void without_rename(struct world *world)
{
	world->server.no_rename = true;
}

static void without_destroy(struct world *world)
{
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_DESTROY, 1, 1000, FAULT_REFUSED, 432,
					  "The API [destroyVolume] does not exist or is not "
					  "available for the account narrow" });
}

static void create_fails_without_destroy(struct world *world)
{
	create_fails(world);
	without_destroy(world);
}

static void one_without_destroy(struct world *world)
{
	one_attached(world);
	without_destroy(world);
}

static void one_without_expunge(struct world *world)
{
	one_attached(world);
	world->server.no_expunge = true;
}

static void resize_fails(struct world *world)
{
	one_attached(world);
	server_fault(&world->server,
		     (struct fake_fault){ FAKE_RESIZE, 1, 1000, FAULT_JOB_FAILED, 530, "No room" });
}

/* It was attached before, so that it has data. */
static void one_used(struct world *world)
{
	one_attached(world);
	completed(world, accepted(world, ask_detach(world, VOLUME(1), false)));
}

#define SNAPSHOT_1 "00000001-5555-4666-8777-888888888888"

static void one_with_snapshot(struct world *world)
{
	one_used(world);
	server_add_snapshot(&world->server, VOLUME(1), "before")->state = "BackedUp";
}

static void snapshot_fails(struct world *world)
{
	one_used(world);
	server_fault(&world->server, (struct fake_fault){ FAKE_SNAPSHOT, 1, 1000, FAULT_JOB_FAILED,
							  530, "No room" });
}

static struct reply *take_snapshot(struct world *world)
{
	struct snapshot_create_args args = { .volume_id = (char *)(intptr_t)VOLUME(1) };

	return ask(world, METHOD_VOLUME_SNAPSHOT, &args);
}

static struct reply *ask_about_snapshot(struct world *world, enum method_id method)
{
	struct snapshot_args args = { .id = (char *)(intptr_t)SNAPSHOT_1 };

	return ask(world, method, &args);
}

static struct reply *revert(struct world *world)
{
	return ask_about_snapshot(world, METHOD_VOLUME_REVERT);
}

static struct reply *delete_snapshot(struct world *world)
{
	return ask_about_snapshot(world, METHOD_VOLUME_DELETE_SNAPSHOT);
}

static struct reply *create(struct world *world)
{
	return ask_create(world, "new");
}

static struct reply *attach(struct world *world)
{
	return ask_attach(world, VOLUME(1), APPLIANCE);
}

static struct reply *attach_remote(struct world *world)
{
	return ask_attach(world, VOLUME(1), OTHER_VM);
}

static struct reply *attach_root(struct world *world)
{
	return ask_attach_root(world, VOLUME(1), OTHER_VM, false);
}

static struct reply *replace_root(struct world *world)
{
	return ask_attach_root(world, VOLUME(1), OTHER_VM, true);
}

static struct reply *clean_up(struct world *world)
{
	return ask_clean_up(world, VOLUME(1), false, false);
}

static struct reply *clean_up_and_delete(struct world *world)
{
	return ask_clean_up(world, VOLUME(1), true, false);
}

static struct reply *detach(struct world *world)
{
	return ask_detach(world, VOLUME(1), false);
}

static struct reply *resize(struct world *world)
{
	return ask_resize(world, VOLUME(1), BIGGER, false);
}

static struct reply *resize_smaller(struct world *world)
{
	return ask_resize(world, VOLUME(1), SMALLER, true);
}

static struct reply *delete (struct world *world)
{
	return ask_delete(world, VOLUME(1));
}

static void cancel_at(struct world *world, const char *step)
{
	struct operation *operation = operation_first(world->core->engine);
	struct err err;

	if (operation && !operation->accepting && !operation->record.undoing &&
	    streq(operation->record.step, step))
		(void)operation_cancel(operation, NULL, &err);
}

static void cancel_await_device(struct world *world)
{
	cancel_at(world, "await-device");
}

static void cancel_check(struct world *world)
{
	cancel_at(world, "check");
}

static void cancel_await_job(struct world *world)
{
	cancel_at(world, "await-job");
}

static void cancel_rename(struct world *world)
{
	cancel_at(world, "rename");
}

const struct scenario scenarios[] = {
	{ "create", NULL, create, NULL, OPERATION_COMPLETED, 1, 0, false, false },
	{ "create, no room", create_fails, create, NULL, OPERATION_FAILED, 0, 0, false, false },
	{ "create, cancelled", NULL, create, cancel_rename, OPERATION_CANCELLED, 0, 0, false,
	  false },
	{ "create, not renamed", without_rename, create, NULL, OPERATION_COMPLETED, 1, 0, false,
	  false },
	{ "create, undone in a weaker form", create_fails_without_destroy, create, NULL,
	  OPERATION_FAILED, 0, 0, false, false },
	{ "attach", one_volume, attach, NULL, OPERATION_COMPLETED, 1, 1, true, false },
	{ "attach, no device", without_device, attach, NULL, OPERATION_FAILED, 1, 1, false, false },
	{ "attach, cancelled", one_volume, attach, cancel_await_job, OPERATION_CANCELLED, 1, 1,
	  false, false },
	{ "attach, cancelled late", without_device, attach, cancel_await_device,
	  OPERATION_CANCELLED, 1, 1, false, false },
	{ "attach to another VM", one_volume, attach_remote, NULL, OPERATION_COMPLETED, 1, 1, true,
	  false },
	{ "attach as root", one_volume, attach_root, NULL, OPERATION_COMPLETED, 1, 1, true, false },
	{ "attach as root, replacing", one_to_replace, replace_root, NULL, OPERATION_COMPLETED, 2,
	  2, true, false },
	{ "attach as root, cancelled", one_to_replace, replace_root, cancel_await_job,
	  OPERATION_CANCELLED, 2, 2, false, false },
	{ "detach", one_attached, detach, NULL, OPERATION_COMPLETED, 1, 1, false, true },
	{ "detach from another VM", one_remote, detach, NULL, OPERATION_COMPLETED, 1, 1, false,
	  true },
	{ "resize", one_attached, resize, NULL, OPERATION_COMPLETED, 1, 1, true, true },
	{ "resize, smaller", one_volume, resize_smaller, NULL, OPERATION_COMPLETED, 1, 1, false,
	  false },
	{ "resize on another VM", one_remote, resize, NULL, OPERATION_COMPLETED, 1, 1, true, true },
	{ "resize, detached", one_volume, resize, NULL, OPERATION_COMPLETED, 1, 1, false, false },
	{ "resize, no room", resize_fails, resize, NULL, OPERATION_FAILED, 1, 1, true, true },
	{ "resize, cancelled", one_attached, resize, cancel_check, OPERATION_CANCELLED, 1, 1, true,
	  true },
	{ "cleanup", one_on_test, clean_up, NULL, OPERATION_COMPLETED, 1, 1, true, true },
	{ "cleanup, of a detached volume", one_volume, clean_up, NULL, OPERATION_COMPLETED, 1, 1,
	  true, false },
	{ "cleanup, deleting", one_on_doomed, clean_up_and_delete, NULL, OPERATION_COMPLETED, 1, 2,
	  true, true },
	{ "cleanup, no device", one_that_does_not_come, clean_up, NULL, OPERATION_FAILED, 1, 1,
	  true, true },
	{ "cleanup, cancelled", one_on_test, clean_up, cancel_await_job, OPERATION_CANCELLED, 1, 1,
	  true, true },
	{ "delete", one_volume, delete, NULL, OPERATION_COMPLETED, 0, 1, false, false },
	{ "delete, attached", one_attached, delete, NULL, OPERATION_COMPLETED, 0, 1, false, true },
	{ "delete, command forbidden", one_without_destroy, delete, NULL, OPERATION_COMPLETED, 0, 1,
	  false, true },
	{ "snapshot", one_attached, take_snapshot, NULL, OPERATION_COMPLETED, 1, 1, true, true },
	{ "snapshot, detached", one_used, take_snapshot, NULL, OPERATION_COMPLETED, 1, 1, false,
	  false },
	{ "snapshot, no room", snapshot_fails, take_snapshot, NULL, OPERATION_FAILED, 1, 1, false,
	  false },
	{ "snapshot, cancelled", one_used, take_snapshot, cancel_await_job, OPERATION_CANCELLED, 1,
	  1, false, false },
	{ "revert", one_with_snapshot, revert, NULL, OPERATION_COMPLETED, 1, 1, false, false },
	{ "delete-snapshot", one_with_snapshot, delete_snapshot, NULL, OPERATION_COMPLETED, 1, 1,
	  false, false },
	/* it stays in CloudStack's bin */
	{ "delete, not expunged", one_without_expunge, delete, NULL, OPERATION_COMPLETED, 1, 1,
	  false, true },
};
const size_t scenario_count = ARRAY_SIZE(scenarios);

static bool is_quiet(struct world *world, const void *arg)
{
	const struct scenario *scenario = arg;

	if (scenario->meddle)
		scenario->meddle(world);
	return store_memory_has_crashed(world->store) ||
	       (operation_count(world->core->engine) == 0 &&
		change_count(world->core->model) == 0 && TAILQ_EMPTY(&world->core->calls.calls) &&
		server_busy(&world->server) == 0);
}

struct world *scenario_start(const struct scenario *scenario)
{
	void *state = NULL;
	struct world *world;

	world_setup(&state);
	world = state;
	if (scenario->prepare)
		scenario->prepare(world);
	world_pass(world, 5000);
	return world;
}

static bool meddle_only(struct world *world, const void *arg)
{
	const struct scenario *scenario = arg;

	if (scenario->meddle)
		scenario->meddle(world);
	return false;
}

void scenario_pass(struct world *world, const struct scenario *scenario, int64_t ms)
{
	world_until(world, meddle_only, scenario, ms);
}

void scenario_finish(struct world *world, const struct scenario *scenario)
{
	if (!world_until(world, is_quiet, scenario, DAY_MS))
		fail_msg("%s: still %zu under way", scenario->name,
			 operation_count(world->core->engine));
}

static int expected_type(const struct scenario *scenario)
{
	for (int type = 0; type < OPERATION_TYPE_COUNT; type++) {
		size_t length = strcspn(scenario->name, ", ");

		if (strlen(operation_type_names[type]) == length &&
		    str_has_prefix(scenario->name, operation_type_names[type]))
			return type;
	}
	fail_msg("%s: the name of a scenario begins with the type", scenario->name);
	return -1;
}

/* In CloudStack, in the mapping and so in the kernel. */
static void check_size(struct world *world, const struct scenario *scenario, bool happened)
{
	uint64_t size = !happened || scenario->status != OPERATION_COMPLETED ? SIZE
			: scenario->begin == resize                          ? BIGGER
									     : SMALLER;

	assert_int_equal(server_find(&world->server, VOLUME(1))->size, size);
	if (mapping_find(world->core->model, VOLUME(1)))
		assert_int_equal(mapping_find(world->core->model, VOLUME(1))->record.size, size);
}

/* One snapshot for one operation that took one, and one revert; a failure leaves none. */
static void check_snapshots(struct world *world, const struct scenario *scenario, bool happened)
{
	bool done = happened && scenario->status == OPERATION_COMPLETED;
	bool had = scenario->begin == revert || scenario->begin == delete_snapshot;
	size_t expected = scenario->begin == take_snapshot     ? done
			  : scenario->begin == delete_snapshot ? !done
							       : had;

	assert_int_equal(server_snapshots(&world->server), expected);
	assert_int_equal(world->server.reverts, done && scenario->begin == revert);
}

/* The VM has its old root disk or its new one, and never none. */
static void check_root(struct world *world, bool replaced)
{
	const struct fake_volume *old = server_find(&world->server, VOLUME(2));
	const struct fake_volume *new = server_find(&world->server, VOLUME(1));

	assert_true(old->is_root == !replaced && new->is_root == replaced);
	assert_string_equal((replaced ? new : old)->vm_id, OTHER_VM);
}

/* The volume is where it should be, and the VM of the test as well. */
static void check_cleanup(struct world *world, const struct scenario *scenario, bool happened)
{
	bool done = happened && scenario->status == OPERATION_COMPLETED;
	const char *vm_id = done ? APPLIANCE : scenario->attached_before ? OTHER_VM : "";

	assert_string_equal(server_find(&world->server, VOLUME(1))->vm_id, vm_id);
	assert_int_equal(world->server.other_runs && !world->server.other_gone,
			 scenario->attached_before && !done);
	assert_int_equal(world->server.other_gone, done && scenario->begin == clean_up_and_delete);
}

static void check_name(struct world *world, const struct operation_record *operation)
{
	const char *name = server_find(&world->server, VOLUME(1))->name;

	if (world->server.no_rename)
		assert_non_null(strstr(name, operation->id));
	else
		assert_string_equal(name, "new");
}

void scenario_check(struct world *world, const struct scenario *scenario)
{
	struct operation_list_args args = {
		.type = (char *)(intptr_t)operation_type_names[expected_type(scenario)],
		.limit = 100
	};
	struct reply *reply = ask(world, METHOD_OPERATION_LIST, &args);
	const struct operation_record *operation;
	bool happened;

	answered(world, reply);
	assert_true(reply->count <= 1);
	happened = reply->count == 1;
	operation = happened ? item(reply, 0) : NULL;
	if (happened && (operation->status != (int)scenario->status || operation->needs_attention))
		fail_msg("%s: %s%s: %s", scenario->name, operation_status_names[operation->status],
			 operation->needs_attention ? ", needs attention" : "",
			 str_or(operation->error, ""));
	check_world(world, happened ? scenario->volumes : scenario->volumes_before);
	if (happened ? scenario->attached : scenario->attached_before)
		check_mapped(world, VOLUME(1));
	else
		check_unmapped(world, VOLUME(1));
	if (expected_type(scenario) == OPERATION_RESIZE)
		check_size(world, scenario, happened);
	if (expected_type(scenario) == OPERATION_CLEANUP)
		check_cleanup(world, scenario, happened);
	check_snapshots(world, scenario, happened);
	if (scenario->begin == replace_root)
		check_root(world, happened && scenario->status == OPERATION_COMPLETED);
	if (happened && expected_type(scenario) == OPERATION_CREATE && scenario->volumes)
		check_name(world, operation);
	if (happened && expected_type(scenario) == OPERATION_DELETE && scenario->volumes)
		assert_true(server_find(&world->server, VOLUME(1))->in_bin);
}
