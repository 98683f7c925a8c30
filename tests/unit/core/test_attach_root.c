/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A volume becomes the root disk of another VM, in place of one that is there if that was asked
 * for. */

#include <inttypes.h>

#include "fixture.h"

static struct fake_volume *used_volume(struct world *world, const char *name)
{
	struct fake_volume *volume = server_add(&world->server, name, 5);

	volume->used = true;
	return volume;
}

static struct fake_volume *root_of_other(struct world *world)
{
	struct fake_volume *root = used_volume(world, "old root");

	root->is_root = true;
	server_attach(&world->server, root, OTHER_VM);
	return root;
}

static const char *asked(struct world *world, const char *volume_id, bool replace)
{
	return accepted(world, ask_attach_root(world, volume_id, OTHER_VM, replace));
}

static void has_reason(struct world *world, const char *operation_id, const char *reason)
{
	assert_string_equal(str_or(ended(world, operation_id)->error_reason, ""), reason);
}

static void becomes_root(void **state)
{
	struct world *world = *state;
	const struct fake_volume *volume = used_volume(world, "one");
	const struct operation_record *record;

	record = ended(world, asked(world, volume->id, false));
	assert_int_equal(record->type, OPERATION_ATTACH);
	assert_int_equal(record->status, OPERATION_COMPLETED);
	assert_string_equal(
		record->request,
		"{\"volume_id\":\"" VOLUME(
			1) "\",\"vm_id\":\"" OTHER_VM
			   "\",\"replace\":false,\"device_id\":0,\"attach_as\":\"root\"}");
	assert_string_equal(
		record->response,
		"{\"volume_id\":\"" VOLUME(
			1) "\",\"vm_id\":\"" OTHER_VM "\",\"device_path\":\"remote-vm-" OTHER_VM
			   "-" VOLUME(
				   1) "\",\"device_id\":0,\"size\":5368709120,\"message\":\"Volume attached as "
				      "the root disk of VM " OTHER_VM "\"}");
	assert_true(volume->is_root);
	assert_int_equal(volume->device_id, 0);
	assert_null(export_find(world->core->model, volume->id));
	assert_null(name_find(world->core->model, volume->id));
	check_world(world, 1);
}

/* CloudStack reports a failure for a volume that was never attached, and has attached it. */
static void first_attachment_is_no_failure(void **state)
{
	struct world *world = *state;
	const struct fake_volume *volume = server_add(&world->server, "new", 5);
	const struct operation_record *record = ended(world, asked(world, volume->id, false));

	assert_int_equal(record->status, OPERATION_COMPLETED);
	assert_non_null(strstr(record->response, "reported a failure all the same: "
						 "Command failed due to Internal Server Error"));
	assert_true(volume->is_root);
	assert_int_equal(world->server.calls[FAKE_DETACH], 0);
	check_world(world, 1);
}

static void not_here(void **state)
{
	struct world *world = *state;

	used_volume(world, "one");
	refused(world, ask_attach_root(world, VOLUME(1), APPLIANCE, false), ERR_INVALID,
		"VM " APPLIANCE " is this machine");
	assert_int_equal(world->server.calls[FAKE_ATTACH], 0);
	check_world(world, 1);
}

static void not_to_a_running_vm(void **state)
{
	struct world *world = *state;
	const char *id;

	used_volume(world, "one");
	world->server.other_runs = true;
	id = asked(world, VOLUME(1), true);
	ended_with(world, id, OPERATION_FAILED, "VM " OTHER_VM " is Running");
	has_reason(world, id, "vm_running");
	assert_int_equal(world->server.calls[FAKE_ATTACH], 0);
	check_world(world, 1);
}

/* The VM is started after the look: CloudStack's refusal is told in our words. */
static void started_meanwhile(void **state)
{
	struct world *world = *state;
	const char *id;

	used_volume(world, "one");
	id = asked(world, VOLUME(1), false);
	at_step(world, id, "ask-cloud", PHASE_WAITING);
	world->server.other_runs = true;
	ended_with(world, id, OPERATION_FAILED,
		   "CloudStack changes the root disk of a stopped VM only");
	has_reason(world, id, "vm_running");
	check_world(world, 1);
}

static void no_such_vm(void **state)
{
	static const char nowhere[] = "eeeeeeee-0000-4000-8000-00000000000e";
	struct world *world = *state;
	const char *id;

	used_volume(world, "one");
	id = accepted(world, ask_attach_root(world, VOLUME(1), nowhere, false));
	ended_with(world, id, OPERATION_FAILED, nowhere);
	has_reason(world, id, "unknown_vm");
}

static void second_root_is_refused(void **state)
{
	struct world *world = *state;
	const struct fake_volume *root = root_of_other(world);
	_cleanup_free_ char *words =
		xasprintf("has a root disk already, volume %s (old root)", root->id);
	const struct fake_volume *volume = used_volume(world, "one");

	ended_with(world, asked(world, volume->id, false), OPERATION_FAILED, words);
	assert_int_equal(world->server.calls[FAKE_ATTACH] + world->server.calls[FAKE_DETACH], 0);
	assert_string_equal(root->vm_id, OTHER_VM);
	check_world(world, 2);
}

/* The root disk that makes way was attached by this daemon, so its mapping goes. */
static void replaces(void **state)
{
	struct world *world = *state;
	const struct fake_volume *first = used_volume(world, "first"), *next;

	completed(world, asked(world, first->id, false));
	next = used_volume(world, "next");
	completed(world, asked(world, next->id, true));
	assert_true(next->is_root);
	assert_string_equal(first->vm_id, "");
	world_pass(world, 5000);
	check_unmapped(world, first->id);
	check_world(world, 2);
}

static void old_root_is_put_back(void **state)
{
	struct world *world = *state;
	const struct fake_volume *root = root_of_other(world);
	const struct fake_volume *volume = used_volume(world, "one");

	server_fault(&world->server,
		     (struct fake_fault){ FAKE_ATTACH, 1, 1, FAULT_JOB_FAILED, 530, "No host" });
	ended_with(world, asked(world, volume->id, true), OPERATION_FAILED, "No host");
	assert_true(root->is_root);
	assert_string_equal(root->vm_id, OTHER_VM);
	assert_string_equal(volume->vm_id, "");
	check_world(world, 2);
}

static bool needs_attention(struct world *world, const char *id)
{
	world_pass(world, 3 * world->options.reconcile_ms);
	return core_operation(world->core, id)->needs_attention;
}

/* Nothing is taken from a VM that another client has given a root disk meanwhile. The old one is
 * not forgotten until it is attached again. */
static void another_root_meanwhile(void **state)
{
	struct world *world = *state;
	struct fake_volume *root = root_of_other(world), *theirs = used_volume(world, "theirs");
	const struct fake_volume *volume = used_volume(world, "one");
	const struct operation_record *record;
	char id[64];

	snprintf(id, sizeof(id), "%s", asked(world, volume->id, true));
	at_step(world, id, "ask-cloud", PHASE_WAITING);
	theirs->is_root = true;
	server_attach(&world->server, theirs, OTHER_VM);
	record = ended(world, id);
	assert_int_equal(record->status, OPERATION_FAILED);
	assert_true(record->needs_attention);
	assert_non_null(strstr(record->error, root->id));
	assert_string_equal(theirs->vm_id, OTHER_VM);
	assert_string_equal(volume->vm_id, "");
	assert_true(needs_attention(world, id));
	server_detach(&world->server, theirs);
	server_attach(&world->server, root, OTHER_VM);
	assert_false(needs_attention(world, id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(becomes_root, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(first_attachment_is_no_failure, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(not_here, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(not_to_a_running_vm, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(started_meanwhile, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(no_such_vm, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(second_root_is_refused, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(replaces, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(old_root_is_put_back, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(another_root_meanwhile, world_setup,
						world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
