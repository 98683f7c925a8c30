/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The answer that tells a token once leaves no copy of it in the memory of the server. */

#include "rest_fixture.h"
#include "wiping.h"

static void test_a_token_is_wiped(void **state)
{
	static const char *const secrets[] = { SAMPLE_SECRET, NULL };
	struct fixture *f = *state;
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply next;

	fixture_open(f, &(struct rest_options){ .listen = "127.0.0.1:0",
						.max_requests = 100,
						.max_connections = 100,
						.access = ACCESS_ADMIN });
	wiping_watch(secrets);
	for (int i = 0; i < 2; i++) {
		client_open(&c, f);
		client_request(&c, "POST", "/api/v1/tokens", NULL,
			       "{\"name\":\"ci\",\"scope\":\"read\"}");
		client_await(&c, "HTTP/1.1 201");
		client_await(&c, "\"token\":\"" SAMPLE_SECRET "\"");
		explicit_bzero(c.in.data, c.in.room); /* the client's own */
		client_close(&c);
	}
	/* The buffer of answers is used again, and goes with the server. */
	ask(f, "GET", "/health", NULL, NULL, &next);
	f->rest = rest_close(f->rest);
	assert_null(wiping_missed());
	assert_true(wiping_saw(SAMPLE_SECRET, strlen(SAMPLE_SECRET)));
	wiping_watch(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_token_is_wiped, fixture_setup,
						fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
