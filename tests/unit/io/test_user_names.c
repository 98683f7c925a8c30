/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Names of users: found on a thread, remembered, and not missed if there is none. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/user_names.h"

#define NOBODYS_UID ((uid_t)4242424242u)

struct found {
	struct loop *loop;
	unsigned calls;
	char *name;
};

static void on_found(void *arg, const char *name)
{
	struct found *found = arg;

	found->calls++;
	found->name = xstrdup(name);
	loop_stop(found->loop);
}

static void a_name_is_found_and_remembered(void **state)
{
	struct loop *loop = loop_new();
	struct user_names *names = user_names_new(loop);
	struct found found = { .loop = loop };
	const char *name = NULL;

	assert_false(user_names_find(names, 0, &name));
	user_lookup_start(names, 0, on_found, &found);
	assert_int_equal(found.calls, 0);
	loop_run(loop);
	assert_int_equal(found.calls, 1);
	assert_string_equal(found.name, "root");
	assert_true(user_names_find(names, 0, &name));
	assert_string_equal(name, "root");
	free(found.name);
	user_names_free(names);
	loop_free(loop);
}

static void a_user_without_a_name(void **state)
{
	struct loop *loop = loop_new();
	struct user_names *names = user_names_new(loop);
	struct found found = { .loop = loop };
	const char *name = "";

	user_lookup_start(names, NOBODYS_UID, on_found, &found);
	loop_run(loop);
	assert_null(found.name);
	assert_true(user_names_find(names, NOBODYS_UID, &name));
	assert_null(name);
	assert_false(user_names_find(names, NOBODYS_UID - 1, &name));
	user_names_free(names);
	loop_free(loop);
}

static void a_cancelled_look_up_is_silent(void **state)
{
	struct loop *loop = loop_new();
	struct user_names *names = user_names_new(loop);
	struct found cancelled = { .loop = loop }, found = { .loop = loop };

	user_lookup_cancel(user_lookup_start(names, 0, on_found, &cancelled));
	user_lookup_start(names, 0, on_found, &found);
	loop_run(loop);
	assert_int_equal(cancelled.calls, 0);
	assert_int_equal(found.calls, 1);
	free(found.name);
	user_names_free(names);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_is_found_and_remembered),
		cmocka_unit_test(a_user_without_a_name),
		cmocka_unit_test(a_cancelled_look_up_is_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
