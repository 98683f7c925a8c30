/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Commands, outcomes and health, against a server that behaves as badly as the ones out there. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "cloud/cloud_reply.h"
#include "cloud/cloud_sign.h"
#include "cloud_fixture.h"

#define PARAMS_MAX 24

static const char *param(const struct fixture *fixture, size_t request, const char *name)
{
	return str_or(web_server_param(&fixture->server, request, name), "(none)");
}

/* As the server does it: from the decoded parameters. */
static void check_signature(const struct fixture *fixture, size_t request)
{
	struct cloud_param params[PARAMS_MAX];
	char signature[CLOUD_SIGNATURE_SIZE];
	struct evkeyval *pair;
	size_t count = 0;

	TAILQ_FOREACH(pair, &fixture->server.requests[request].params, next)
		params[count++] = (struct cloud_param){ pair->key, pair->value };
	cloud_sign(params, count, fixture->secret_key, signature);
	assert_string_equal(param(fixture, request, "signature"), signature);
	assert_string_equal(param(fixture, request, "apikey"), FIXTURE_API_KEY);
	assert_string_equal(param(fixture, request, "response"), "json");
	assert_string_equal(param(fixture, request, "signatureversion"), "3");
	/* A change lives as long as its request may take, a read for ten minutes. */
	assert_string_equal(param(fixture, request, "expires"),
			    fixture->server.requests[request].post ? "2030-01-02T03:04:26+0000"
								   : "2030-01-02T03:14:05+0000");
}

static struct cloud_call *attach(struct fixture *fixture, struct seen *seen)
{
	return cloud_attach_volume(fixture->cloud, VOLUME_ID, VM_ID, -1, JOB_ID, clock_mono_ms(),
				   on_done, seen);
}

static struct cloud_call *list(struct fixture *fixture, struct seen *seen)
{
	const struct cloud_volume_filter filter = { .id = VOLUME_ID };

	return cloud_list_volumes(fixture->cloud, &filter, on_done, seen);
}

static struct cloud_call *find_job(struct fixture *fixture, struct seen *seen)
{
	return cloud_find_job(fixture->cloud, JOB_ID, on_done, seen);
}

/* --- requests --- */

static void test_attach_is_a_signed_post(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };

	SCRIPT(fixture, { .status = 200,
			  .body = "{\"attachvolumeresponse\":{\"jobid\":\"" OTHER_JOB_ID "\"}}" });
	attach(fixture, &seen);
	run_until(fixture, &seen.runs, 1);
	assert_int_equal(seen.outcome, CLOUD_OK);
	/* A server that ignores customjobid: its own id is the one that counts. */
	assert_string_equal(seen.job_id, OTHER_JOB_ID);

	assert_true(fixture->server.requests[0].post);
	check_signature(fixture, 0);
	assert_string_equal(param(fixture, 0, "command"), "attachVolume");
	assert_string_equal(param(fixture, 0, "id"), VOLUME_ID);
	assert_string_equal(param(fixture, 0, "virtualmachineid"), VM_ID);
	assert_string_equal(param(fixture, 0, "customjobid"), JOB_ID);
	assert_null(web_server_param(&fixture->server, 0, "deviceid"));
}

static void test_attach_root_is_device_0(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };

	SCRIPT(fixture,
	       { .status = 200, .body = "{\"attachvolumeresponse\":{\"jobid\":\"" JOB_ID "\"}}" });
	cloud_attach_root(fixture->cloud, VOLUME_ID, VM_ID, JOB_ID, clock_mono_ms(), on_done,
			  &seen);
	run_until(fixture, &seen.runs, 1);
	assert_int_equal(seen.outcome, CLOUD_OK);
	assert_true(fixture->server.requests[0].post);
	assert_string_equal(param(fixture, 0, "command"), "attachVolume");
	assert_string_equal(param(fixture, 0, "virtualmachineid"), VM_ID);
	assert_string_equal(param(fixture, 0, "customjobid"), JOB_ID);
	assert_string_equal(param(fixture, 0, "deviceid"), "0");
}

static void test_changes_of_a_vm(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };

	SCRIPT(fixture, { .status = 200,
			  .body = "{\"stopvirtualmachineresponse\":{\"jobid\":\"" JOB_ID "\"}}" });
	cloud_stop_vm(fixture->cloud, VM_ID, JOB_ID, clock_mono_ms(), on_done, &seen);
	run_until(fixture, &seen.runs, 1);
	cloud_start_vm(fixture->cloud, VM_ID, JOB_ID, clock_mono_ms(), on_done, &seen);
	run_until(fixture, &seen.runs, 2);
	cloud_expunge_vm(fixture->cloud, VM_ID, JOB_ID, clock_mono_ms(), on_done, &seen);
	run_until(fixture, &seen.runs, 3);
	assert_int_equal(seen.outcome, CLOUD_OK);
	for (size_t i = 0; i < 3; i++) {
		assert_true(fixture->server.requests[i].post);
		assert_string_equal(param(fixture, i, "id"), VM_ID);
		assert_string_equal(param(fixture, i, "customjobid"), JOB_ID);
	}
	assert_string_equal(param(fixture, 0, "command"), "stopVirtualMachine");
	assert_string_equal(param(fixture, 0, "forced"), "true");
	assert_string_equal(param(fixture, 1, "command"), "startVirtualMachine");
	assert_string_equal(param(fixture, 2, "command"), "destroyVirtualMachine");
	assert_string_equal(param(fixture, 2, "expunge"), "true");
}

static void test_vm_is_listed(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };

	SCRIPT(fixture, { .status = 200, .body = "{\"listvirtualmachinesresponse\":{}}" });
	cloud_list_vm(fixture->cloud, VM_ID, on_done, &seen);
	run_until(fixture, &seen.runs, 1);
	assert_int_equal(seen.outcome, CLOUD_OK);
	assert_int_equal(seen.count, 0);
	assert_string_equal(param(fixture, 0, "command"), "listVirtualMachines");
	assert_string_equal(param(fixture, 0, "id"), VM_ID);
	assert_string_equal(param(fixture, 0, "listall"), "true");
}

static void test_attach_in_a_slot(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };

	SCRIPT(fixture,
	       { .status = 200, .body = "{\"attachvolumeresponse\":{\"jobid\":\"" JOB_ID "\"}}" });
	cloud_attach_volume(fixture->cloud, VOLUME_ID, VM_ID, 7, JOB_ID, clock_mono_ms(), on_done,
			    &seen);
	run_until(fixture, &seen.runs, 1);
	assert_string_equal(param(fixture, 0, "deviceid"), "7");
}

static void test_create(void **state)
{
	struct fixture *fixture = *state;
	struct cloud_creation creation;
	struct seen seen = { 0 };

	SCRIPT(fixture, { .status = 200,
			  .body = "{\"createvolumeresponse\":{\"id\":\"" VOLUME_ID
				  "\",\"jobid\":\"" JOB_ID "\"}}" });
	creation = (struct cloud_creation){ .name = "db data+log *~ (\xc3\xa9)/v1",
					    .zone_id = "zone",
					    .offering_id = "offering",
					    .project_id = PROJECT_ID,
					    .size_gib = 20 };
	cloud_create_volume(fixture->cloud, &creation, JOB_ID, clock_mono_ms(), on_done, &seen);
	run_until(fixture, &seen.runs, 1);
	creation = (struct cloud_creation){ .name = "fixed",
					    .zone_id = "zone",
					    .offering_id = "offering" };
	cloud_create_volume(fixture->cloud, &creation, JOB_ID, clock_mono_ms(), on_done, &seen);
	run_until(fixture, &seen.runs, 2);
	assert_int_equal(seen.outcome, CLOUD_OK);
	assert_string_equal(seen.job_id, JOB_ID);
	assert_string_equal(seen.entity_id, VOLUME_ID);

	assert_true(fixture->server.requests[0].post);
	check_signature(fixture, 0);
	assert_string_equal(param(fixture, 0, "command"), "createVolume");
	assert_string_equal(param(fixture, 0, "name"), "db data+log *~ (\xc3\xa9)/v1");
	assert_string_equal(param(fixture, 0, "zoneid"), "zone");
	assert_string_equal(param(fixture, 0, "diskofferingid"), "offering");
	assert_string_equal(param(fixture, 0, "size"), "20");
	assert_string_equal(param(fixture, 0, "customjobid"), JOB_ID);
	assert_string_equal(param(fixture, 0, "projectid"), PROJECT_ID);
	assert_null(web_server_param(&fixture->server, 1, "size"));
	assert_null(web_server_param(&fixture->server, 1, "projectid"));
}

static void test_detach_destroy_rename(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };

	SCRIPT(fixture, { .status = 200, .body = ACCEPTED });
	cloud_detach_volume(fixture->cloud, VOLUME_ID, JOB_ID, clock_mono_ms(), on_done, &seen);
	run_until(fixture, &seen.runs, 1);
	cloud_destroy_volume(fixture->cloud, VOLUME_ID, true, JOB_ID, clock_mono_ms(), on_done,
			     &seen);
	run_until(fixture, &seen.runs, 2);
	cloud_rename_volume(fixture->cloud, VOLUME_ID, "new name", JOB_ID, clock_mono_ms(), on_done,
			    &seen);
	run_until(fixture, &seen.runs, 3);
	cloud_destroy_volume(fixture->cloud, VOLUME_ID, false, JOB_ID, clock_mono_ms(), on_done,
			     &seen);
	run_until(fixture, &seen.runs, 4);

	assert_null(web_server_param(&fixture->server, 3, "expunge"));
	assert_string_equal(param(fixture, 0, "command"), "detachVolume");
	assert_string_equal(param(fixture, 1, "command"), "destroyVolume");
	assert_string_equal(param(fixture, 1, "expunge"), "true");
	assert_string_equal(param(fixture, 2, "command"), "updateVolume");
	assert_string_equal(param(fixture, 2, "name"), "new name");
	for (size_t i = 0; i < 3; i++) {
		assert_true(fixture->server.requests[i].post);
		check_signature(fixture, i);
		assert_string_equal(param(fixture, i, "id"), VOLUME_ID);
		assert_string_equal(param(fixture, i, "customjobid"), JOB_ID);
	}
}

/* A command without a job: its answer is its end. */
static void test_delete(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };

	SCRIPT(fixture, { .status = 200, .body = "{\"deletevolumeresponse\":{\"success\":true}}" });
	cloud_delete_volume(fixture->cloud, VOLUME_ID, clock_mono_ms(), on_done, &seen);
	run_until(fixture, &seen.runs, 1);
	assert_int_equal(seen.outcome, CLOUD_OK);
	assert_string_equal(seen.job_id, "");
	assert_true(fixture->server.requests[0].post);
	check_signature(fixture, 0);
	assert_string_equal(param(fixture, 0, "command"), "deleteVolume");
	assert_string_equal(param(fixture, 0, "id"), VOLUME_ID);
}

static void test_resize(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };

	SCRIPT(fixture, { .status = 200, .body = ACCEPTED });
	cloud_resize_volume(fixture->cloud, VOLUME_ID, 20, false, JOB_ID, clock_mono_ms(), on_done,
			    &seen);
	run_until(fixture, &seen.runs, 1);
	cloud_resize_volume(fixture->cloud, VOLUME_ID, 2, true, JOB_ID, clock_mono_ms(), on_done,
			    &seen);
	run_until(fixture, &seen.runs, 2);
	assert_int_equal(seen.outcome, CLOUD_OK);
	assert_string_equal(seen.job_id, JOB_ID);

	for (size_t i = 0; i < 2; i++) {
		assert_true(fixture->server.requests[i].post);
		check_signature(fixture, i);
		assert_string_equal(param(fixture, i, "command"), "resizeVolume");
		assert_string_equal(param(fixture, i, "id"), VOLUME_ID);
		assert_string_equal(param(fixture, i, "customjobid"), JOB_ID);
	}
	assert_string_equal(param(fixture, 0, "size"), "20");
	assert_null(web_server_param(&fixture->server, 0, "shrinkok"));
	assert_string_equal(param(fixture, 1, "size"), "2");
	assert_string_equal(param(fixture, 1, "shrinkok"), "true");
}

static void test_list_is_a_signed_get(void **state)
{
	struct fixture *fixture = *state;
	const struct cloud_volume_filter of_vm = { .vm_id = VM_ID };
	struct seen seen = { 0 };

	SCRIPT(fixture, { .status = 200, .body = NO_VOLUMES });
	list(fixture, &seen);
	run_until(fixture, &seen.runs, 1);
	cloud_list_volumes(fixture->cloud, &of_vm, on_done, &seen);
	run_until(fixture, &seen.runs, 2);
	assert_int_equal(seen.outcome, CLOUD_OK);
	assert_int_equal(seen.count, 0);

	assert_false(fixture->server.requests[0].post);
	check_signature(fixture, 0);
	assert_string_equal(param(fixture, 0, "command"), "listVolumes");
	assert_string_equal(param(fixture, 0, "listall"), "true");
	assert_string_equal(param(fixture, 0, "id"), VOLUME_ID);
	assert_null(web_server_param(&fixture->server, 0, "projectid"));
	assert_null(web_server_param(&fixture->server, 0, "page"));
	assert_null(web_server_param(&fixture->server, 0, "pagesize"));
	assert_string_equal(param(fixture, 1, "virtualmachineid"), VM_ID);
	assert_null(web_server_param(&fixture->server, 1, "id"));
}

/* In each look, whether by an id or by a name. */
static void test_looks_show_the_project(void **state)
{
	static const char *const projects[] = { PROJECT_ID, CLOUD_ALL_PROJECTS };
	static const struct cloud_volume_filter filters[] = { { .id = VOLUME_ID },
							      { .name = "n" } };
	struct fixture *fixture = *state;
	struct seen seen = { 0 };

	SCRIPT(fixture, { .status = 200, .body = NO_VOLUMES });
	for (size_t i = 0; i < ARRAY_SIZE(projects); i++) {
		fixture_use_project(fixture, projects[i]);
		for (size_t j = 0; j < ARRAY_SIZE(filters); j++) {
			cloud_list_volumes(fixture->cloud, &filters[j], on_done, &seen);
			run_until(fixture, &seen.runs, seen.runs + 1);
			assert_string_equal(param(fixture, i * ARRAY_SIZE(filters) + j,
						  "projectid"),
					    projects[i]);
		}
	}
}

static void test_name_filter(void **state)
{
	struct fixture *fixture = *state;
	const struct cloud_volume_filter filter = { .name = "data" };
	struct seen seen = { 0 };

	SCRIPT(fixture,
	       { .status = 200,
		 .body = "{\"x\":{\"count\":2,\"volume\":[{\"id\":\"a\",\"name\":\"Data\"},{\"id\":\"b\","
			 "\"name\":\"data\"}]}}" });
	cloud_list_volumes(fixture->cloud, &filter, on_done, &seen);
	run_until(fixture, &seen.runs, 1);
	assert_string_equal(param(fixture, 0, "name"), "data");
	assert_int_equal(seen.count, 1);
	assert_string_equal(seen.first_id, "b");
}

static void test_find_zone(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };

	SCRIPT(fixture,
	       { .status = 200,
		 .body = "{\"x\":{\"count\":2,\"zone\":[{\"id\":\"a\",\"name\":\"North-West\"},{\"id\":\"b\","
			 "\"name\":\"north\"}]}}" },
	       { .status = 200, .body = "{\"x\":{}}" },
	       { .status = 200, .body = "{\"x\":{\"zone\":7}}" });
	cloud_find_zone(fixture->cloud, "North", on_done, &seen);
	run_until(fixture, &seen.runs, 1);
	assert_string_equal(param(fixture, 0, "command"), "listZones");
	assert_string_equal(param(fixture, 0, "name"), "North");
	assert_int_equal(seen.outcome, CLOUD_OK);
	assert_string_equal(seen.entity_id, "b");
	cloud_find_zone(fixture->cloud, "North", on_done, &seen);
	run_until(fixture, &seen.runs, 2);
	assert_int_equal(seen.outcome, CLOUD_OK);
	assert_string_equal(seen.entity_id, "");
	cloud_find_zone(fixture->cloud, "North", on_done, &seen);
	run_until(fixture, &seen.runs, 3);
	assert_int_equal(seen.outcome, CLOUD_AWAY);
}

/* The address that another program keeps may be the server's alone. */
static void test_an_address_without_a_path(void **state)
{
	static const struct {
		const char *end, *path;
	} rows[] = { { "", "/client/api" }, { "/", "/client/api" }, { "/other", "/other" } };
	struct fixture *fixture = *state;
	struct seen seen = { 0 };

	SCRIPT(fixture, { .status = 200, .body = NO_VOLUMES });
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *url =
			xasprintf("http://127.0.0.1:%u%s", fixture->server.port, rows[i].end);

		assert_int_equal(cloud_set_access(fixture->cloud, url, fixture->api_key,
						  fixture->secret_key, NULL),
				 0);
		list(fixture, &seen);
		run_until(fixture, &seen.runs, i + 1);
		assert_string_equal(fixture->server.requests[i].path, rows[i].path);
	}
}

static void test_find_job(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };

	SCRIPT(fixture, { .status = 200, .body = SUCCEEDED });
	cloud_find_job(fixture->cloud, JOB_ID, on_done, &seen);
	run_until(fixture, &seen.runs, 1);
	assert_int_equal(seen.outcome, CLOUD_OK);
	assert_int_equal(seen.job_status, CLOUD_JOB_SUCCEEDED);
	assert_int_equal(seen.device_id, 4);
	assert_string_equal(param(fixture, 0, "command"), "queryAsyncJobResult");
	assert_string_equal(param(fixture, 0, "jobid"), JOB_ID);
	assert_null(web_server_param(&fixture->server, 0, "customjobid"));
	assert_false(fixture->server.requests[0].post);
}

static void test_done_comes_later_and_once(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };

	SCRIPT(fixture, { .status = 200, .body = ACCEPTED });
	attach(fixture, &seen);
	assert_int_equal(seen.runs, 0);
	run_until(fixture, &seen.runs, 1);
	run_idle(fixture);
	assert_int_equal(seen.runs, 1);
	assert_int_equal(fixture->server.asked, 1);
}

static void test_queue(void **state)
{
	struct fixture *fixture = *state;
	const struct web_row accepted = { .status = 200, .body = PENDING };
	struct cloud_health health;
	struct seen first = { 0 }, rest = { 0 };

	SCRIPT(fixture, { .action = WEB_HOLD }, { .action = WEB_HOLD }, { .action = WEB_HOLD },
	       { .status = 200, .body = ACCEPTED });
	find_job(fixture, &first);
	find_job(fixture, &rest);
	find_job(fixture, &rest);
	run_until(fixture, &fixture->server.held_count, FIXTURE_PARALLEL);
	run_idle(fixture);
	assert_int_equal(fixture->server.asked, FIXTURE_PARALLEL);
	cloud_health(fixture->cloud, &health);
	assert_int_equal(health.in_flight, 3);
	assert_int_equal(health.calls, FIXTURE_PARALLEL);

	/* Time in the queue does not eat up the life of a read's signature. */
	clock_test_advance(5000);
	web_server_release(&fixture->server, &accepted);
	run_until(fixture, &fixture->server.asked, 3);
	assert_string_equal(param(fixture, 2, "expires"), "2030-01-02T03:14:10+0000");
	web_server_release(&fixture->server, &accepted);
	web_server_release(&fixture->server, &accepted);
	run_until(fixture, &first.runs, 1);
	run_until(fixture, &rest.runs, 2);
}

/* --- other keys --- */

/* The signature of a request is that of a key. */
static bool is_signed_with(const struct fixture *fixture, size_t request, const struct secret *key)
{
	struct cloud_param params[PARAMS_MAX];
	char signature[CLOUD_SIGNATURE_SIZE];
	struct evkeyval *pair;
	size_t count = 0;

	TAILQ_FOREACH(pair, &fixture->server.requests[request].params, next)
		params[count++] = (struct cloud_param){ pair->key, pair->value };
	cloud_sign(params, count, key, signature);
	return streq(param(fixture, request, "signature"), signature);
}

static void test_other_keys(void **state)
{
	struct fixture *fixture = *state;
	const struct web_row accepted = { .status = 200, .body = ACCEPTED };
	struct secret *api_key = secret_new("other-id", 8),
		      *secret_key = secret_new("other-key", 9);
	_cleanup_free_ char *url = xasprintf("http://localhost:%u/moved", fixture->server.port);
	struct seen seen = { 0 };

	SCRIPT(fixture, { .action = WEB_HOLD }, { .action = WEB_HOLD },
	       { .status = 200, .body = ACCEPTED });
	attach(fixture, &seen);
	attach(fixture, &seen);
	attach(fixture, &seen);
	run_until(fixture, &fixture->server.held_count, FIXTURE_PARALLEL);
	assert_int_equal(cloud_set_access(fixture->cloud, url, api_key, secret_key, NULL), 0);
	/* It has copies. */
	secret_free(api_key);
	secret_free(secret_key);
	web_server_release(&fixture->server, &accepted);
	web_server_release(&fixture->server, &accepted);
	run_until(fixture, &seen.runs, 3);

	/* What was on the wire came through with the old keys; what waited went out with the new
	 * ones. */
	assert_int_equal(seen.outcome, CLOUD_OK);
	assert_string_equal(param(fixture, 0, "apikey"), FIXTURE_API_KEY);
	assert_string_equal(param(fixture, 1, "apikey"), FIXTURE_API_KEY);
	assert_string_equal(param(fixture, 2, "apikey"), "other-id");
	secret_key = secret_new("other-key", 9);
	assert_true(is_signed_with(fixture, 2, secret_key));
	assert_false(is_signed_with(fixture, 2, fixture->secret_key));
	secret_free(secret_key);
}

static void test_keys_that_cannot_be_right(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };
	struct err err = { 0 };

	SCRIPT(fixture, { .status = 200, .body = NO_VOLUMES });
	assert_int_equal(cloud_set_access(fixture->cloud,
					  "http://me:" FIXTURE_SECRET_KEY "@cloud/client/api",
					  fixture->api_key, fixture->secret_key, &err),
			 -1);
	assert_no_secret(err.text);
	assert_int_equal(cloud_set_access(fixture->cloud, "http://cloud/client/api",
					  fixture->api_key, NULL, &err),
			 -1);
	assert_non_null(strstr(err.text, "secret key is missing"));
	list(fixture, &seen);
	run_until(fixture, &seen.runs, 1);
	check_signature(fixture, 0);
}

/* --- outcomes --- */

static void test_no_connection(void **state)
{
	struct fixture *fixture = *state;
	struct cloud_health health;
	struct seen change = { 0 };

	/* The port was free a moment ago and nobody listens on it any more. */
	evhttp_free(fixture->server.http);
	fixture->server.http = NULL;
	attach(fixture, &change);
	run_until(fixture, &change.runs, 1);
	assert_int_equal(change.outcome, CLOUD_AWAY);
	assert_int_equal(change.err.code, ERR_UNAVAILABLE);
	cloud_health(fixture->cloud, &health);
	assert_false(health.usable);
	assert_string_not_equal(health.reason, "");
	assert_int_equal(health.last_answer_ms, 0);
}

static void test_cut_after_sending(void **state)
{
	struct fixture *fixture = *state;
	struct seen change = { 0 }, look = { 0 };

	SCRIPT(fixture, { .action = WEB_CUT });
	attach(fixture, &change);
	run_until(fixture, &change.runs, 1);
	assert_int_equal(change.outcome, CLOUD_UNKNOWN);
	assert_non_null(strstr(change.err.text, "may have happened"));
	list(fixture, &look);
	run_until(fixture, &look.runs, 1);
	assert_int_equal(look.outcome, CLOUD_AWAY);
}

/* A second create would make a second volume, so nothing below may send it again by itself. */
static void test_kept_connection_cut_after_sending(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };

	SCRIPT(fixture, { .status = 200, .body = NO_VOLUMES }, { .action = WEB_CUT },
	       { .status = 200, .body = ACCEPTED });
	list(fixture, &seen);
	run_until(fixture, &seen.runs, 1);
	attach(fixture, &seen);
	run_until(fixture, &seen.runs, 2);
	assert_int_equal(seen.outcome, CLOUD_UNKNOWN);
	assert_int_equal(fixture->server.asked, 2);
}

static void test_timeout(void **state)
{
	struct fixture *fixture = *state;
	struct seen change = { 0 };

	SCRIPT(fixture, { .action = WEB_HOLD });
	attach(fixture, &change);
	run_until(fixture, &fixture->server.asked, 1);
	clock_test_advance(FIXTURE_TIMEOUT_MS + 1);
	run_until(fixture, &change.runs, 1);
	assert_int_equal(change.outcome, CLOUD_UNKNOWN);
	assert_int_equal(change.err.code, ERR_TIMEOUT);
}

static void test_html_502(void **state)
{
	struct fixture *fixture = *state;
	struct cloud_health health;
	struct seen change = { 0 }, look = { 0 };

	SCRIPT(fixture, HTML_502);
	attach(fixture, &change);
	run_until(fixture, &change.runs, 1);
	assert_int_equal(change.outcome, CLOUD_UNKNOWN);
	assert_int_equal(change.err.cloud_code, 0);
	list(fixture, &look);
	run_until(fixture, &look.runs, 1);
	assert_int_equal(look.outcome, CLOUD_AWAY);
	cloud_health(fixture->cloud, &health);
	assert_false(health.usable);
	assert_non_null(strstr(health.reason, "HTTP 502"));
}

static void test_empty_200(void **state)
{
	struct fixture *fixture = *state;
	struct seen change = { 0 };

	SCRIPT(fixture, { .status = 200, .body = "" });
	attach(fixture, &change);
	run_until(fixture, &change.runs, 1);
	assert_int_equal(change.outcome, CLOUD_UNKNOWN);
	assert_int_equal(change.err.code, ERR_UNAVAILABLE);
}

static void test_endless_answer(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *body = xmalloc(CLOUD_REPLY_MAX + 2);
	struct web_row row = { .status = 200, .body = body };
	struct seen change = { 0 };

	memset(body, ' ', CLOUD_REPLY_MAX + 1);
	body[CLOUD_REPLY_MAX + 1] = '\0';
	web_server_script(&fixture->server, &row, 1);
	attach(fixture, &change);
	run_until(fixture, &change.runs, 1);
	assert_int_equal(change.outcome, CLOUD_UNKNOWN);
	assert_int_equal(change.err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(change.err.text, "longer than 8388608 bytes"));
}

static void test_refusal(void **state)
{
	struct fixture *fixture = *state;
	struct cloud_health health;
	struct seen change = { 0 };

	SCRIPT(fixture,
	       { .status = 431,
		 .body = "{\"detachvolumeresponse\":{\"uuidList\":[],\"errorcode\":431,\"cserrorcode\":4350,"
			 "\"errortext\":\"The specified volume is not attached to a VM.\"}}" });
	cloud_detach_volume(fixture->cloud, VOLUME_ID, JOB_ID, clock_mono_ms(), on_done, &change);
	run_until(fixture, &change.runs, 1);
	assert_int_equal(change.outcome, CLOUD_REFUSED);
	assert_int_equal(change.err.code, ERR_CLOUD);
	assert_int_equal(change.err.cloud_code, 431);
	assert_string_equal(change.err.cloud_text, "The specified volume is not attached to a VM.");
	assert_string_equal(
		change.err.text,
		"CloudStack refused to detach the volume: The specified volume is not attached "
		"to a VM. (code 431)");
	assert_true(cloud_err_is_not_attached(&change.err));
	cloud_health(fixture->cloud, &health);
	assert_true(health.usable);
	assert_string_equal(health.reason, "");
}

/* --- cancelling --- */

static void test_cancel(void **state)
{
	struct fixture *fixture = *state;
	struct seen cancelled = { 0 }, kept = { 0 };
	struct cloud_call *on_wire, *waiting;

	SCRIPT(fixture, { .action = WEB_HOLD }, { .action = WEB_HOLD },
	       { .status = 200, .body = ACCEPTED });
	on_wire = attach(fixture, &cancelled);
	run_until(fixture, &fixture->server.asked, 1);
	attach(fixture, &kept);
	waiting = attach(fixture, &cancelled);
	attach(fixture, &kept);
	run_until(fixture, &fixture->server.held_count, 2);

	/* The place on the wire goes to the next one that still wants it. */
	cloud_call_cancel(waiting);
	cloud_call_cancel(on_wire);
	run_until(fixture, &kept.runs, 1);
	clock_test_advance(FIXTURE_TIMEOUT_MS + 1);
	run_until(fixture, &kept.runs, 2);
	assert_int_equal(cancelled.runs, 0);
	assert_int_equal(fixture->server.asked, 3);
}

static void test_cancel_at_once_and_while_held_back(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 }, cancelled = { 0 };
	struct cloud_call *call;

	SCRIPT(fixture,
	       { .status = 429, .body = "{\"x\":{\"errorcode\":429,\"errortext\":\"[700] ms\"}}" },
	       { .status = 200, .body = ACCEPTED });
	cloud_call_cancel(attach(fixture, &cancelled));
	attach(fixture, &seen);
	run_until(fixture, &seen.runs, 1);
	call = attach(fixture, &cancelled);
	cloud_call_cancel(call);
	clock_test_advance(1000);
	run_idle(fixture);
	assert_int_equal(cancelled.runs, 0);
	assert_int_equal(fixture->server.asked, 1);
}

struct chain {
	struct fixture *fixture;
	struct cloud_call *other;
	struct seen seen, next;
};

static void on_chain(void *arg, const struct cloud_result *result)
{
	struct chain *chain = arg;

	on_done(&chain->seen, result);
	cloud_call_cancel(chain->other);
	attach(chain->fixture, &chain->next);
	assert_int_equal(chain->next.runs, 0);
}

static void test_done_may_start_and_cancel_others(void **state)
{
	struct fixture *fixture = *state;
	struct chain chain = { .fixture = fixture };
	struct seen cancelled = { 0 };

	SCRIPT(fixture, { .action = WEB_HOLD }, { .status = 200, .body = ACCEPTED });
	chain.other = attach(fixture, &cancelled);
	run_until(fixture, &fixture->server.asked, 1);
	cloud_detach_volume(fixture->cloud, VOLUME_ID, JOB_ID, clock_mono_ms(), on_chain, &chain);
	run_until(fixture, &chain.next.runs, 1);
	assert_int_equal(chain.seen.runs, 1);
	assert_int_equal(cancelled.runs, 0);
}

/* --- health and options --- */

static void test_health_recovers(void **state)
{
	struct fixture *fixture = *state;
	struct cloud_health health;
	struct seen seen = { 0 };

	SCRIPT(fixture, HTML_502, { .status = 200, .body = NO_VOLUMES });
	cloud_health(fixture->cloud, &health);
	assert_false(health.usable);
	list(fixture, &seen);
	run_until(fixture, &seen.runs, 1);
	list(fixture, &seen);
	run_until(fixture, &seen.runs, 2);
	cloud_health(fixture->cloud, &health);
	assert_true(health.usable);
	assert_string_equal(health.reason, "");
	assert_int_equal(health.last_answer_ms, FIXTURE_WALL_MS);
	assert_int_equal(health.calls, 2);
	assert_int_equal(health.in_flight, 0);
}

static void test_one_lost_answer_is_no_absence(void **state)
{
	struct fixture *fixture = *state;
	struct cloud_health health;
	struct seen seen = { 0 };

	SCRIPT(fixture, { .status = 200, .body = NO_VOLUMES }, HTML_502,
	       { .status = 200, .body = NO_VOLUMES }, HTML_502, HTML_502);
	for (int i = 1; i <= 5; i++) {
		list(fixture, &seen);
		run_until(fixture, &seen.runs, i);
		cloud_health(fixture->cloud, &health);
		assert_int_equal(health.usable, i < 5);
		assert_int_equal(health.reason[0] == '\0', i == 1 || i == 3);
	}
}

#define MAINTENANCE                                                                                 \
	{                                                                                           \
		.status = 530,                                                                      \
		.body = "{\"x\":{\"errorcode\":530,\"errortext\":\"A shutdown has been triggered. " \
			"Can not accept new jobs\"}}"                                               \
	}

/* Questions are answered all the while; only a change tells the end of it. */
static void test_health_tells_of_maintenance(void **state)
{
	struct fixture *fixture = *state;
	struct cloud_health health;
	struct seen change = { 0 }, look = { 0 };

	SCRIPT(fixture, MAINTENANCE, { .status = 200, .body = NO_VOLUMES },
	       { .status = 200, .body = ACCEPTED });
	attach(fixture, &change);
	run_until(fixture, &change.runs, 1);
	assert_int_equal(change.outcome, CLOUD_AWAY);
	list(fixture, &look);
	run_until(fixture, &look.runs, 1);
	cloud_health(fixture->cloud, &health);
	assert_true(health.usable && health.in_maintenance);
	assert_non_null(strstr(health.reason, "takes no new commands"));
	clock_test_advance(2000);
	attach(fixture, &change);
	run_until(fixture, &change.runs, 2);
	assert_int_equal(change.outcome, CLOUD_OK);
	cloud_health(fixture->cloud, &health);
	assert_string_equal(health.reason, "");
	assert_false(health.in_maintenance);
}

/* One change in two seconds is sent, and its answer counts for all; a cancelled one has none. */
static void test_maintenance_is_asked_about_once(void **state)
{
	struct fixture *fixture = *state;
	struct seen seen = { 0 };
	struct cloud_call *call;

	SCRIPT(fixture, MAINTENANCE, MAINTENANCE, { .action = WEB_HOLD },
	       { .status = 200, .body = ACCEPTED }, { .status = 200, .body = ACCEPTED });
	attach(fixture, &seen);
	run_until(fixture, &seen.runs, 1);
	for (int i = 0; i < 5; i++)
		attach(fixture, &seen);
	run_until(fixture, &seen.runs, 6);
	assert_int_equal(fixture->server.asked, 1);
	assert_int_equal(seen.outcome, CLOUD_AWAY);
	assert_non_null(strstr(seen.err.text, "takes no new commands"));
	clock_test_advance(2000);
	for (int i = 0; i < 5; i++)
		attach(fixture, &seen);
	run_until(fixture, &seen.runs, 11);
	assert_int_equal(fixture->server.asked, 2);
	clock_test_advance(2000);
	call = attach(fixture, &seen);
	run_idle(fixture);
	assert_int_equal(fixture->server.asked, 3);
	cloud_call_cancel(call);
	clock_test_advance(2000);
	attach(fixture, &seen);
	run_until(fixture, &seen.runs, 12);
	assert_int_equal(seen.outcome, CLOUD_OK);
	attach(fixture, &seen);
	run_until(fixture, &seen.runs, 13);
	assert_int_equal(seen.outcome, CLOUD_OK);
}

/* Nothing may be asked of CloudStack for a long time. */
static void test_maintenance_is_not_told_for_ever(void **state)
{
	struct fixture *fixture = *state;
	struct cloud_health health;
	struct seen seen = { 0 };

	SCRIPT(fixture, { .status = 503, .body = "{\"x\":{\"errorcode\":503,\"errortext\":\"\"}}" },
	       { .status = 200, .body = NO_VOLUMES });
	attach(fixture, &seen);
	run_until(fixture, &seen.runs, 1);
	list(fixture, &seen);
	run_until(fixture, &seen.runs, 2);
	clock_test_advance(59000);
	cloud_health(fixture->cloud, &health);
	assert_string_not_equal(health.reason, "");
	clock_test_advance(1000);
	cloud_health(fixture->cloud, &health);
	assert_string_equal(health.reason, "");
}

static void test_options(void **state)
{
	struct fixture *fixture = *state;
	static const char *const bad[] = { NULL,
					   "",
					   "10.1.1.1:8080",
					   "ftp://h/",
					   "http://user:pw@h/",
					   "http://h/?a=b",
					   "http://h/#x",
					   "http://h/ x" };
	struct cloud_options options = {
		.api_key = fixture->api_key,
		.secret_key = fixture->secret_key,
		.timeout_ms = 1,
		.poll_min_ms = 1,
		.poll_max_ms = 1,
		.max_parallel = 1,
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err err = { 0 };

		options.url = bad[i];
		assert_null(cloud_new(fixture->loop, &options, &err));
		assert_int_equal(err.code, ERR_INVALID);
		assert_null(strstr(err.text, "pw"));
	}
	options.url = "https://h/client/api";
	options.api_key = NULL;
	assert_null(cloud_new(fixture->loop, &options, NULL));
	options.api_key = fixture->api_key;
	options.secret_key = NULL;
	assert_null(cloud_new(fixture->loop, &options, NULL));
	assert_null(cloud_free(NULL));
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_attach_is_a_signed_post),
		TEST(test_attach_root_is_device_0),
		TEST(test_changes_of_a_vm),
		TEST(test_vm_is_listed),
		TEST(test_attach_in_a_slot),
		TEST(test_create),
		TEST(test_detach_destroy_rename),
		TEST(test_delete),
		TEST(test_resize),
		TEST(test_list_is_a_signed_get),
		TEST(test_looks_show_the_project),
		TEST(test_name_filter),
		TEST(test_find_zone),
		TEST(test_an_address_without_a_path),
		TEST(test_find_job),
		TEST(test_done_comes_later_and_once),
		TEST(test_queue),
		TEST(test_other_keys),
		TEST(test_keys_that_cannot_be_right),
		TEST(test_no_connection),
		TEST(test_cut_after_sending),
		TEST(test_kept_connection_cut_after_sending),
		TEST(test_timeout),
		TEST(test_html_502),
		TEST(test_empty_200),
		TEST(test_endless_answer),
		TEST(test_refusal),
		TEST(test_cancel),
		TEST(test_cancel_at_once_and_while_held_back),
		TEST(test_done_may_start_and_cancel_others),
		TEST(test_health_recovers),
		TEST(test_health_tells_of_maintenance),
		TEST(test_maintenance_is_asked_about_once),
		TEST(test_maintenance_is_not_told_for_ever),
		TEST(test_one_lost_answer_is_no_absence),
		TEST(test_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
