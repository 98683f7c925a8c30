/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The method table is the interface, so mistakes in it are checked here once instead of on every
 * surface: no holes, no doubles, nothing without words for people, and the D-Bus signatures that
 * programs rely on.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "spec/members.h"
#include "spec/methods.h"

static void rows_are_whole(void **state)
{
	for (size_t i = 0; i < METHOD_COUNT; i++) {
		const struct method *method = &methods[i];
		const struct field *key;

		assert_non_null(method->name);
		assert_false(str_empty(method->summary));
		assert_non_null(method->member);
		assert_non_null(method->args);
		assert_non_null(method->result);
		if (method->surfaces == SURFACES_ALL) {
			assert_non_null(method->command);
			assert_true(str_has_prefix(method->path, "/api/v1/"));
		} else {
			assert_null(method->command);
			assert_null(method->path);
			assert_null(method->path_alias);
			/* Its answer must not need a place in REST. */
			assert_int_not_equal(method->answer, ANSWER_OPERATION);
			assert_int_not_equal(method->answer, ANSWER_CREATED);
		}
		if (method->answer == ANSWER_OPERATION) {
			assert_ptr_equal(method->result, &operation_record);
			assert_int_not_equal(method->access, ACCESS_READ);
			/* Whatever begins something can be asked for again safely; see
			 * core/methods/idempotency.c. */
			key = record_find(method->args, "request_id");
			assert_true(key && (key->flags & FIELD_KEY));
			assert_string_equal(strchr(method->name, '.') + 1, method->command);
			/* "attach-root" is an attach, too. */
			assert_true(str_has_prefix(method->command,
						   operation_type_names[method->operation]));
		}
		/* Where it is has to be told. */
		if (method->answer == ANSWER_CREATED && method->bus_object != SCOPE_MANAGER)
			assert_ptr_equal(method->result, scopes[method->bus_object].record);
		if (method->scope != SCOPE_MANAGER)
			assert_non_null(method_object_field(method));
		else
			assert_null(method->object_member);
	}
}

static void objects_are_named_and_shown(void **state)
{
	for (enum method_scope scope = SCOPE_MANAGER + 1; scope < SCOPE_COUNT; scope++) {
		const struct field *id = record_find(scopes[scope].record, scopes[scope].id);
		const struct method *show = &methods[scopes[scope].show];

		assert_non_null(id);
		assert_true(id->type == FIELD_TEXT || id->type == FIELD_UUID);
		assert_int_equal(show->scope, scope);
		assert_int_equal(show->verb, HTTP_GET);
		assert_ptr_equal(show->result, scopes[scope].record);
		assert_true(method_path_has(show, scopes[scope].argument));
	}
}

static void fields_are_documented(void **state)
{
	for (size_t i = 0; i < METHOD_COUNT; i++) {
		const struct record *records[] = { methods[i].args, methods[i].result };

		for (size_t r = 0; r < ARRAY_SIZE(records); r++) {
			for (size_t f = 0; f < records[r]->count; f++) {
				assert_false(str_empty(records[r]->fields[f].doc));
				assert_ptr_equal(record_find(records[r],
							     records[r]->fields[f].name),
						 &records[r]->fields[f]);
			}
		}
	}
}

static void paths_name_required_arguments(void **state)
{
	for (size_t i = 0; i < METHOD_COUNT; i++) {
		const struct method *method = &methods[i];

		if (method->surfaces == SURFACES_BUS)
			continue;
		for (const char *open = strchr(method->path, '{'); open;
		     open = strchr(open + 1, '{')) {
			_cleanup_free_ char *name = xstrndup(open + 1, strcspn(open + 1, "}"));
			const struct field *field = record_find(method->args, name);

			assert_non_null(field);
			assert_true(field->flags & FIELD_REQUIRED);
			assert_true(method_path_has(method, name));
		}
	}
}

static void nothing_is_there_twice(void **state)
{
	for (size_t i = 0; i < METHOD_COUNT; i++) {
		for (size_t k = i + 1; k < METHOD_COUNT; k++) {
			assert_string_not_equal(methods[i].name, methods[k].name);
			assert_string_not_equal(methods[i].member, methods[k].member);
			assert_false(streq(methods[i].command, methods[k].command));
			assert_false(methods[i].verb == methods[k].verb &&
				     streq(methods[i].path, methods[k].path));
			assert_false(methods[i].scope == methods[k].scope &&
				     streq(methods[i].object_member, methods[k].object_member));
		}
	}
}

/* Every change over REST can be asked for its plan; D-Bus has GetPlan for that. */
static void every_change_has_a_plan(void **state)
{
	struct volume_attach_args args = { 0 };
	struct plan_args plan = { .method = (char *)(uintptr_t) "AttachVolume" };

	for (size_t i = 0; i < METHOD_COUNT; i++) {
		const struct method *method = &methods[i];
		const struct field *dry_run = record_find(method->args, "dry_run");

		if (method->access == ACCESS_READ || method->surfaces == SURFACES_BUS ||
		    method->verb == HTTP_GET) {
			assert_null(dry_run);
			continue;
		}
		/* The three that had a dry_run of their own answer with their own report. */
		assert_non_null(dry_run);
		assert_int_equal(method_can_plan(method), i != METHOD_FORCE_SYNC &&
								  i != METHOD_EXPORT_CLEANUP &&
								  i != METHOD_EXPORT_CLEANUP_AGE);
	}
	assert_false(method_asks_plan(&methods[METHOD_VOLUME_ATTACH], &args));
	method_ask_plan(&methods[METHOD_VOLUME_ATTACH], &args);
	assert_true(args.dry_run);
	assert_true(method_asks_plan(&methods[METHOD_VOLUME_ATTACH], &args));
	assert_ptr_equal(method_of_plan(&plan), &methods[METHOD_VOLUME_ATTACH]);
	assert_int_equal(method_needs(&methods[METHOD_PLAN_GET], &plan), ACCESS_CHANGE);
	plan.method = (char *)(uintptr_t) "token.create";
	assert_int_equal(method_needs(&methods[METHOD_PLAN_GET], &plan), ACCESS_ADMIN);
	plan.method = (char *)(uintptr_t) "no such method";
	assert_null(method_of_plan(&plan));
	assert_int_equal(method_needs(&methods[METHOD_PLAN_GET], &plan), ACCESS_READ);
}

static void signatures_are_the_promised_ones(void **state)
{
	static const struct {
		enum method_id id;
		const char *manager, *object, *result;
	} promised[] = {
		{ METHOD_VOLUME_CREATE,
		  "ssts"
		  "a{sv}",
		  NULL, "o" },
		{ METHOD_VOLUME_ATTACH, "ssa{sv}", "sa{sv}", "o" },
		{ METHOD_VOLUME_ATTACH_ROOT, "ssa{sv}", "sa{sv}", "o" },
		{ METHOD_VOLUME_DETACH, "sa{sv}", "a{sv}", "o" },
		{ METHOD_VOLUME_DELETE, "sa{sv}", "a{sv}", "o" },
		{ METHOD_VOLUME_RESIZE, "sta{sv}", "ta{sv}", "o" },
		{ METHOD_VOLUME_CLEANUP,
		  "sss"
		  "a{sv}",
		  NULL, "o" },
		{ METHOD_VOLUME_GET, "s", NULL, "o" },
		{ METHOD_VOLUME_DEVICE, "s", NULL, "a{sv}" },
		{ METHOD_DEVICE_VOLUME, "s", NULL, "o" },
		{ METHOD_VOLUME_LIST, "a{sv}", NULL, "aa{sv}s" },
		{ METHOD_OPERATION_LIST, "a{sv}", NULL, "aa{sv}s" },
		{ METHOD_OPERATION_GET, "s", NULL, "o" },
		{ METHOD_MAPPING_LIST, "a{sv}", NULL, "aa{sv}s" },
		{ METHOD_DEVICE_LIST, "", NULL, "aa{sv}" },
		{ METHOD_EXPORT_CREATE, "sa{sv}", NULL, "o" },
		{ METHOD_EXPORT_LIST, "a{sv}", NULL, "aa{sv}s" },
		{ METHOD_EXPORT_GET, "s", NULL, "a{sv}" },
		{ METHOD_EXPORT_DELETE, "sa{sv}", "a{sv}", "a{sv}" },
		{ METHOD_EXPORT_VALIDATE, "", NULL, "a{sv}" },
		{ METHOD_EXPORT_CLEANUP, "a{sv}", NULL, "a{sv}" },
		{ METHOD_EXPORT_CLEANUP_AGE, "a{sv}", NULL, "a{sv}" },
		{ METHOD_EXPORT_ORPHANS, "", NULL, "a{sv}" },
		{ METHOD_HEALTH_GET, "", NULL, "a{sv}" },
		{ METHOD_PLAN_GET, "sa{sv}", NULL, "a{sv}" },
		{ METHOD_STORE_BACKUP, "ha{sv}", NULL, "a{sv}" },
		{ METHOD_VOLUME_OPEN, "sa{sv}", NULL, "h" },
		{ METHOD_STORE_CHECK, "a{sv}", NULL, "a{sv}" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(promised); i++) {
		const struct method *method = &methods[promised[i].id];
		_cleanup_free_ char *manager = method_bus_signature(method, false);
		_cleanup_free_ char *object = method_bus_signature(method, true);

		assert_string_equal(manager, promised[i].manager);
		if (promised[i].object)
			assert_string_equal(object, promised[i].object);
		assert_string_equal(method_bus_result(method), promised[i].result);
	}
}

/* The request of an operation holds the arguments that the operation was requested with. */
static void requests_hold_the_arguments(void **state)
{
	for (size_t i = 0; i < METHOD_COUNT; i++) {
		const struct record *args = methods[i].args;

		for (size_t j = 0; methods[i].answer == ANSWER_OPERATION && j < args->count; j++) {
			const struct field *member =
				record_find(&request_members, args->fields[j].name);

			/* A plan is no request. */
			if (args->fields[j].flags & (FIELD_KEY | FIELD_PLAN))
				continue;
			if (!member)
				fail_msg("a request has no %s", args->fields[j].name);
			assert_string_equal(field_type_view(member->type)->bus,
					    field_type_view(args->fields[j].type)->bus);
		}
	}
}

/* The manual of the bus has every key; only what others put there has none. */
static void objects_have_their_members(void **state)
{
	for (size_t i = 0; i < METHOD_COUNT; i++) {
		const struct record *result = methods[i].result;

		for (size_t j = 0; j < result->count; j++) {
			const struct field *field = &result->fields[j];

			if (field->type == FIELD_OBJECT && !(field->flags & FIELD_PRIVATE) &&
			    !field->members && !streq(field->name, "metadata"))
				fail_msg("%s of %s has no members", field->name, result->name);
		}
	}
}

#define NAMES_MAX 1000

struct names {
	const struct field *seen[NAMES_MAX];
	size_t count;
};

/* Lists are named after their items, which may be counted elsewhere. */
static void check_types(struct names *names, const struct record *record)
{
	for (size_t i = 0; i < record->count; i++) {
		const struct field *field = &record->fields[i];
		size_t j = 0;

		if ((field->flags & (FIELD_LIST | FIELD_PRIVATE)))
			continue;
		while (j < names->count && !streq(names->seen[j]->name, field->name))
			j++;
		assert_true(j < NAMES_MAX);
		if (j == names->count)
			names->seen[names->count++] = field;
		if (!streq(field_type_view(names->seen[j]->type)->bus,
			   field_type_view(field->type)->bus))
			fail_msg("%s in %s has another type elsewhere", field->name, record->name);
		if (field->members)
			check_types(names, field->members);
	}
}

/* A typed client reads a quantity in one way, wherever the quantity stands. */
static void a_name_has_one_type(void **state)
{
	struct names names = { .count = 0 };

	for (size_t i = 0; i < METHOD_COUNT; i++) {
		check_types(&names, methods[i].args);
		check_types(&names, methods[i].result);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_whole),
		cmocka_unit_test(objects_are_named_and_shown),
		cmocka_unit_test(fields_are_documented),
		cmocka_unit_test(paths_name_required_arguments),
		cmocka_unit_test(nothing_is_there_twice),
		cmocka_unit_test(every_change_has_a_plan),
		cmocka_unit_test(signatures_are_the_promised_ones),
		cmocka_unit_test(requests_hold_the_arguments),
		cmocka_unit_test(objects_have_their_members),
		cmocka_unit_test(a_name_has_one_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
