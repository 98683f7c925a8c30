/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/clock.h"
#include "cloud_fixture.h"
#include "wiping.h"

/* Everything is in this process and on its loopback, so turns are plenty or something is broken. */
#define TURNS_MAX 2000000
#define TURNS_IDLE 3000

/* What must not be left in memory that is not used any more. */
static const char *const secrets[] = { FIXTURE_API_KEY, FIXTURE_SECRET_KEY, NULL };

static void open_cloud(struct fixture *fixture, const char *project_id)
{
	_cleanup_free_ char *url =
		xasprintf("http://127.0.0.1:%u/client/api", fixture->server.port);
	const struct cloud_options options = {
		.url = url,
		.api_key = fixture->api_key,
		.secret_key = fixture->secret_key,
		.project_id = project_id,
		.timeout_ms = FIXTURE_TIMEOUT_MS,
		.poll_min_ms = FIXTURE_POLL_MIN_MS,
		.poll_max_ms = FIXTURE_POLL_MAX_MS,
		.max_parallel = FIXTURE_PARALLEL,
	};
	struct err err = { 0 };

	fixture->cloud = cloud_new(fixture->loop, &options, &err);
	assert_non_null(fixture->cloud);
}

void fixture_use_project(struct fixture *fixture, const char *project_id)
{
	cloud_free(fixture->cloud);
	open_cloud(fixture, project_id);
}

int fixture_setup(void **state)
{
	struct fixture *fixture = xnew(struct fixture);

	clock_test_start(1000, FIXTURE_WALL_MS);
	fixture->loop = loop_new();
	web_server_start(&fixture->server, fixture->loop);
	fixture->api_key = secret_new(FIXTURE_API_KEY, strlen(FIXTURE_API_KEY));
	fixture->secret_key = secret_new(FIXTURE_SECRET_KEY, strlen(FIXTURE_SECRET_KEY));
	open_cloud(fixture, NULL);
	wiping_watch(secrets);
	*state = fixture;
	return 0;
}

int fixture_teardown(void **state)
{
	struct fixture *fixture = *state;
	struct cloud_health health;

	cloud_health(fixture->cloud, &health);
	assert_int_equal(health.in_flight, 0);
	assert_no_secret(health.reason);
	cloud_free(fixture->cloud);
	web_server_stop(&fixture->server);
	loop_free(fixture->loop);
	secret_free(fixture->api_key);
	secret_free(fixture->secret_key);
	free(fixture);
	if (wiping_missed())
		fail_msg("memory was freed with \"%s\" in it", wiping_missed());
	wiping_watch(NULL);
	return 0;
}

void assert_no_secret(const char *text)
{
	assert_null(strstr(text, FIXTURE_API_KEY));
	assert_null(strstr(text, FIXTURE_SECRET_KEY));
	assert_null(strcasestr(text, "signature="));
	assert_null(strcasestr(text, "apikey="));
}

void on_done(void *arg, const struct cloud_result *result)
{
	struct seen *seen = arg;

	seen->runs++;
	seen->outcome = result->outcome;
	seen->err = result->err;
	seen->job_status = result->job_status;
	seen->count = result->count;
	seen->rows = result->rows;
	snprintf(seen->job_id, sizeof(seen->job_id), "%s", str_or(result->job_id, ""));
	snprintf(seen->entity_id, sizeof(seen->entity_id), "%s", str_or(result->entity_id, ""));
	if (result->count > 0) {
		snprintf(seen->first_id, sizeof(seen->first_id), "%s", result->volumes[0].id);
		seen->device_id = result->volumes[0].device_id;
	}
	assert_no_secret(result->err.text);
	assert_no_secret(result->err.cloud_text);
}

void run_until(struct fixture *fixture, const size_t *count, size_t number)
{
	for (size_t i = 0; i < TURNS_MAX && *count < number; i++)
		loop_turn(fixture->loop);
	assert_int_equal(*count, number);
}

void run_idle(struct fixture *fixture)
{
	for (size_t i = 0; i < TURNS_IDLE; i++)
		loop_turn(fixture->loop);
}
