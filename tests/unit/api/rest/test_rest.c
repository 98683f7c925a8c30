/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What REST answers to those who ask well: routes, arguments, forms of answers, errors. */

#include "rest_fixture.h"

#include <stdio.h>

#include "base/clock.h"

/* A request target for a template: each argument becomes a sample of its type. */
static void sample_target(const struct method *method, const char *template, struct buf *out)
{
	while (*template) {
		const char *close = *template == '{' ? strchr(template, '}') : NULL;

		if (!close) {
			buf_add_char(out, *template ++);
			continue;
		}
		_cleanup_free_ char *name = xstrndup(template + 1, (size_t)(close - template - 1));
		buf_add_text(out, record_find(method->args, name)->type == FIELD_UUID ? SAMPLE_UUID
										      : "sample");
		template = close + 1;
	}
}

/* A body with all required arguments that are not in the path; NULL for GET. */
static char *sample_body(const struct method *method)
{
	struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &out };

	if (method->verb == HTTP_GET)
		return NULL;
	json_begin_object(&w);
	for (size_t i = 0; i < method->args->count; i++) {
		const struct field *field = &method->args->fields[i];

		if (!(field->flags & FIELD_REQUIRED) || method_path_has(method, field->name))
			continue;
		json_put_name(&w, field->name);
		if (field->type == FIELD_SIZE)
			json_put_int(&w, INT64_C(1) << 30);
		else
			json_put_text(&w, field->type == FIELD_UUID ? SAMPLE_UUID : "sample");
	}
	json_end_object(&w);
	return buf_take(&out);
}

static void check_route(struct fixture *f, enum method_id id, const char *template)
{
	const struct method *method = &methods[id];
	_cleanup_free_ char *body = sample_body(method);
	_cleanup_buf_ struct buf target = BUF_NULL;
	_cleanup_reply_ struct reply reply;
	_cleanup_json_ struct json *args = NULL, *json = NULL;

	sample_target(method, template, &target);
	ask(f, http_verb_names[method->verb], target.data, NULL, body, &reply);
	if (reply.status != (method->answer == ANSWER_OPERATION || method->answer == ANSWER_CREATED
				     ? 201
				     : 200) ||
	    f->core.method != id)
		fail_msg("%s %s gave %d: %s", http_verb_names[method->verb], target.data,
			 reply.status, reply.body);
	json = json_parse(reply.body, reply.length, NULL);
	assert_non_null(json);
	args = json_parse(f->core.args.data, f->core.args.length, NULL);
	for (size_t i = 0; i < method->args->count; i++) {
		const struct field *field = &method->args->fields[i];

		if (field->type == FIELD_UUID && (field->flags & FIELD_REQUIRED))
			assert_string_equal(json_text(json_get(args, field->name)), SAMPLE_UUID);
	}
}

static void test_each_method_has_its_routes(void **state)
{
	for (unsigned id = 0; id < METHOD_COUNT; id++) {
		if (methods[id].surfaces == SURFACES_BUS)
			continue;
		check_route(*state, (enum method_id)id, methods[id].path);
		if (methods[id].path_alias)
			check_route(*state, (enum method_id)id, methods[id].path_alias);
	}
}

static void test_one_record(void **state)
{
	struct fixture *f = *state;
	_cleanup_reply_ struct reply reply, flag;

	ask(f, "GET", VOLUME_PATH "?refresh", NULL, NULL, &flag);
	assert_string_equal(f->core.args.data,
			    "{\"volume_id\":\"" SAMPLE_UUID "\",\"refresh\":true}");
	ask(f, "GET", VOLUME_PATH "?refresh=true", NULL, NULL, &reply);
	assert_int_equal(reply.status, 200);
	assert_string_equal(reply_header(&reply, "Content-Type"), "application/json");
	assert_string_equal(reply_header(&reply, "Cache-Control"), "no-store");
	assert_null(reply_header(&reply, "Location"));
	assert_string_equal(f->core.args.data,
			    "{\"volume_id\":\"" SAMPLE_UUID "\",\"refresh\":true}");
	assert_string_equal(
		reply.body,
		"{\"volume_id\":\"" SAMPLE_UUID "\",\"name\":\"text\",\"vm_id\":\"" SAMPLE_UUID
		"\",\"device_path\":\"text\",\"linux_state\":\"text\",\"state\":\"text\",\"size\":7,\"type\":\"text\","
		"\"attached_at\":\"2026-11-22T21:50:03.123Z\",\"zone_id\":\"" SAMPLE_UUID
		"\",\"cloudstack_data\":" SAMPLE_OBJECT ",\"linux_data\":" SAMPLE_OBJECT
		",\"last_operation\":" SAMPLE_OBJECT "}");
}

static void test_a_token_decides_what_its_caller_may_do(void **state)
{
	struct fixture *f = *state;
	_cleanup_reply_ struct reply known, other, basic, empty;

	f->core.known_token = "vold_right";
	f->core.token_access = ACCESS_READ;
	ask(f, "GET", "/api/v1/devices", "Authorization: bearer  vold_right\r\n", NULL, &known);
	assert_int_equal(known.status, 200);
	assert_string_equal(f->core.token, "known");
	assert_int_equal(f->core.access, ACCESS_READ);
	ask(f, "GET", "/api/v1/devices", "Authorization: Bearer vold_wrong\r\n", NULL, &other);
	assert_error(&other, 401, "UNAUTHORIZED", NULL);
	assert_string_equal(reply_header(&other, "WWW-Authenticate"), "Bearer");
	assert_null(strstr(other.body, "vold_wrong"));
	ask(f, "GET", "/health", "Authorization: Basic cm9vdDo=\r\n", NULL, &basic);
	assert_error(&basic, 401, "UNAUTHORIZED", NULL);
	ask(f, "GET", "/health", "Authorization: \r\n", NULL, &empty);
	assert_error(&empty, 401, "UNAUTHORIZED", NULL);
	assert_int_equal(f->core.started, 1);
}

static void test_a_token_is_required(void **state)
{
	struct fixture *f = *state;
	_cleanup_reply_ struct reply none, known, document;

	fixture_open(f, &(struct rest_options){ .listen = "127.0.0.1:0",
						.max_requests = 1,
						.max_connections = 100,
						.access = ACCESS_ADMIN,
						.require_token = true });
	f->core.known_token = "vold_right";
	f->core.token_access = ACCESS_CHANGE;
	ask(f, "GET", "/health", NULL, NULL, &none);
	assert_error(&none, 401, "UNAUTHORIZED", NULL);
	assert_non_null(strstr(none.body, "http.require_token"));
	ask(f, "GET", "/api/v1/openapi.json", NULL, NULL, &document);
	assert_error(&document, 401, "UNAUTHORIZED", NULL);
	assert_int_equal(f->core.started, 0);
	ask(f, "GET", "/health", "Authorization: Bearer vold_right\r\n", NULL, &known);
	assert_int_equal(known.status, 200);
	assert_int_equal(f->core.access, ACCESS_CHANGE);
}

static void test_callers_have_the_access_of_the_option(void **state)
{
	static const enum method_access levels[] = { ACCESS_READ, ACCESS_ADMIN };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		const struct rest_options options = { .listen = "127.0.0.1:0",
						      .max_requests = 1,
						      .max_connections = 100,
						      .access = levels[i] };
		_cleanup_reply_ struct reply reply;

		fixture_open(f, &options);
		ask(f, "POST", VOLUME_PATH "/detach", NULL, NULL, &reply);
		assert_string_equal(f->core.surface, "rest");
		assert_int_equal(f->core.access, levels[i]);
		assert_false(f->core.has_uid);
		assert_true(str_has_prefix(f->core.address, "127.0.0.1:"));
	}
}

static void test_an_operation_is_201_with_its_location(void **state)
{
	struct fixture *f = *state;
	_cleanup_reply_ struct reply reply;
	_cleanup_json_ struct json *body = NULL;

	ask(f, "DELETE", VOLUME_PATH, NULL, NULL, &reply);
	assert_int_equal(reply.status, 201);
	assert_string_equal(reply_header(&reply, "Location"),
			    "/api/v1/operations/" SAMPLE_OPERATION);
	body = json_parse(reply.body, reply.length, NULL);
	assert_string_equal(json_text(json_get(body, "id")), SAMPLE_OPERATION);
	/* Stored only: never shown. */
	assert_null(json_get(body, "context"));
}

static void test_what_is_made_is_201_with_its_location(void **state)
{
	struct fixture *f = *state;
	_cleanup_reply_ struct reply reply;
	_cleanup_json_ struct json *body = NULL;

	ask(f, "POST", "/api/v1/exports", NULL,
	    "{\"volume_id\":\"" SAMPLE_UUID "\",\"vm_name\":\"db\",\"vm_id\":\"" OTHER_UUID
	    "\",\"disk_number\":0}",
	    &reply);
	assert_int_equal(reply.status, 201);
	assert_string_equal(reply_header(&reply, "Location"), "/api/v1/exports/" SAMPLE_UUID);
	body = json_parse(reply.body, reply.length, NULL);
	assert_string_equal(json_text(json_get(body, "volume_id")), SAMPLE_UUID);
	assert_non_null(json_get(body, "clients"));
}

/* "validate" and "cleanup" stand where a volume's id could. */
static void test_words_are_no_volumes(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *path;
		enum method_id id;
		const char *args;
	} rows[] = {
		{ "/api/v1/exports/validate", METHOD_EXPORT_VALIDATE, "{}" },
		{ "/api/v1/exports/cleanup", METHOD_EXPORT_CLEANUP, "{\"dry_run\":true}" },
		{ "/api/v1/exports/cleanup/age", METHOD_EXPORT_CLEANUP_AGE,
		  "{\"max_age_hours\":24,\"dry_run\":true}" },
	};
	static const char *const bodies[] = { NULL, "", "{}" };
	_cleanup_reply_ struct reply wet, not_there, not_an_id;

	for (size_t i = 0; i < ARRAY_SIZE(rows) * ARRAY_SIZE(bodies); i++) {
		_cleanup_reply_ struct reply reply;

		ask(f, "POST", rows[i / ARRAY_SIZE(bodies)].path, NULL,
		    bodies[i % ARRAY_SIZE(bodies)], &reply);
		assert_int_equal(reply.status, 200);
		assert_null(reply_header(&reply, "Location"));
		assert_int_equal(f->core.method, rows[i / ARRAY_SIZE(bodies)].id);
		assert_string_equal(f->core.args.data, rows[i / ARRAY_SIZE(bodies)].args);
	}
	ask(f, "POST", "/api/v1/exports/cleanup", NULL, "{\"dry_run\":false}", &wet);
	assert_string_equal(f->core.args.data, "{\"dry_run\":false}");
	ask(f, "GET", "/api/v1/exports/validate", NULL, NULL, &not_there);
	assert_error(&not_there, 405, "METHOD_NOT_ALLOWED", NULL);
	ask(f, "GET", "/api/v1/exports/everything", NULL, NULL, &not_an_id);
	assert_error(&not_an_id, 400, "INVALID_REQUEST", "volume_id");
}

/* Programs differ in what they can send with DELETE. */
static void test_delete_takes_its_options_either_way(void **state)
{
	struct fixture *f = *state;
	_cleanup_reply_ struct reply none, query, body, both, unknown, key;

	ask(f, "DELETE", "/api/v1/exports/" SAMPLE_UUID, NULL, NULL, &none);
	assert_int_equal(none.status, 200);
	assert_string_equal(f->core.args.data,
			    "{\"volume_id\":\"" SAMPLE_UUID "\",\"force\":false}");
	ask(f, "DELETE", "/api/v1/exports/" SAMPLE_UUID "?force=true", NULL, NULL, &query);
	assert_int_equal(query.status, 200);
	assert_string_equal(f->core.args.data,
			    "{\"volume_id\":\"" SAMPLE_UUID "\",\"force\":true}");
	buf_reset(&f->core.args);
	ask(f, "DELETE", "/api/v1/exports/" SAMPLE_UUID, NULL, "{\"force\":true}", &body);
	assert_int_equal(body.status, 200);
	assert_string_equal(f->core.args.data,
			    "{\"volume_id\":\"" SAMPLE_UUID "\",\"force\":true}");
	ask(f, "DELETE", "/api/v1/exports/" SAMPLE_UUID "?force=true", NULL, "{\"force\":false}",
	    &both);
	assert_error(&both, 400, "INVALID_REQUEST", NULL);
	ask(f, "DELETE", "/api/v1/exports/" SAMPLE_UUID "?forse=true", NULL, NULL, &unknown);
	assert_error(&unknown, 400, "INVALID_REQUEST", "forse");
	/* The key of a request has a header of its own. */
	ask(f, "DELETE", VOLUME_PATH "?request_id=k", NULL, NULL, &key);
	assert_error(&key, 400, "INVALID_REQUEST", "request_id");
}

static void test_lists(void **state)
{
	struct fixture *f = *state;
	_cleanup_reply_ struct reply last, first, none;

	ask(f, "GET", "/api/v1/volumes", NULL, NULL, &last);
	assert_memory_equal(last.body, "{\"volumes\":[{", strlen("{\"volumes\":[{"));
	assert_null(strstr(last.body, "next_cursor"));
	f->core.next_cursor = "a/b";
	ask(f, "GET", "/api/v1/volumes?limit=2", NULL, NULL, &first);
	/* Of this page: how many there are altogether is not known. */
	assert_non_null(strstr(first.body, "}],\"count\":2,\"next_cursor\":\"a/b\"}"));
	assert_null(reply_header(&first, "Link"));
	f->core.count = 0;
	f->core.next_cursor = NULL;
	ask(f, "GET", "/api/v1/volumes", NULL, NULL, &none);
	assert_string_equal(none.body, "{\"volumes\":[],\"count\":0}");
}

static void test_time_of_a_list(void **state)
{
	struct fixture *f = *state;
	_cleanup_reply_ struct reply aged;
	const char *found;
	int64_t told_ms;
	char text[TIME_TEXT_SIZE] = "";

	f->core.count = 0;
	f->core.listed_ms = clock_mono_ms() - 90500;
	ask(f, "GET", "/api/v1/volumes?refresh=false", NULL, NULL, &aged);
	found = strstr(aged.body, "\"listed_at\":\"");
	assert_non_null(found);
	memcpy(text, found + strlen("\"listed_at\":\""), sizeof(text) - 1);
	assert_int_equal(time_parse(text, &told_ms), 0);
	assert_in_range(clock_wall_ms() - told_ms, 90500, 90500 + 60000);
}

static void test_bare_lists(void **state)
{
	struct fixture *f = *state;
	_cleanup_reply_ struct reply last, first, none;

	ask(f, "GET", "/api/v1/operations", NULL, NULL, &last);
	assert_memory_equal(last.body, "[{", 2);
	assert_null(reply_header(&last, "Link"));
	f->core.next_cursor = "a/b";
	ask(f, "GET", "/api/v1/operations?limit=2&cursor=z&status=failed", NULL, NULL, &first);
	assert_string_equal(
		reply_header(&first, "Link"),
		"</api/v1/operations?limit=2&status=failed&cursor=a%2Fb>; rel=\"next\"");
	f->core.count = 0;
	f->core.next_cursor = NULL;
	ask(f, "GET", "/api/v1/vms/" SAMPLE_UUID "/volumes", NULL, NULL, &none);
	assert_string_equal(none.body, "[]");
}

static void test_unhealthy_is_503_with_the_record(void **state)
{
	struct fixture *f = *state;
	_cleanup_reply_ struct reply reply;

	f->core.unhealthy = true;
	ask(f, "GET", "/health", NULL, NULL, &reply);
	assert_int_equal(reply.status, 503);
	assert_non_null(strstr(reply.body, "\"database_health\""));
}

static void test_errors(void **state)
{
	struct fixture *f = *state;
	_cleanup_reply_ struct reply cloud, busy, conflict, late;

	err_set_reason(&f->core.err, ERR_REASON_UNKNOWN_OFFERING, ERR_CLOUD, "CloudStack refused");
	f->core.err.cloud_code = 431;
	strcpy(f->core.err.cloud_text, "no \"such\" offering");
	ask(f, "GET", VOLUME_PATH, NULL, NULL, &cloud);
	assert_error(&cloud, 422, "CLOUDSTACK_ERROR", NULL);
	assert_string_equal(
		cloud.body,
		"{\"error\":\"CloudStack refused\",\"code\":\"CLOUDSTACK_ERROR\",\"details\":"
		"{\"reason\":\"unknown_offering\",\"cloudstack_error_code\":431,\"cloudstack_message\":\"no \\\"such\\\" offering\"}}");

	err_clear(&f->core.err);
	err_set(&f->core.err, ERR_UNAVAILABLE, "the store is away");
	ask(f, "GET", VOLUME_PATH, NULL, NULL, &busy);
	assert_string_equal(busy.body,
			    "{\"error\":\"the store is away\",\"code\":\"SERVICE_UNAVAILABLE\"}");
	assert_int_equal(busy.status, 503);
	assert_non_null(reply_header(&busy, "Retry-After"));

	err_set_field(&f->core.err, "volume_id", ERR_CONFLICT, "in use");
	ask(f, "DELETE", VOLUME_PATH, NULL, NULL, &conflict);
	assert_error(&conflict, 409, "CONFLICT", "volume_id");
	assert_null(reply_header(&conflict, "Retry-After"));
	assert_null(reply_header(&conflict, "Location"));

	err_clear(&f->core.err);
	err_set(&f->core.err, ERR_TIMEOUT, "too late");
	ask(f, "GET", VOLUME_PATH, NULL, NULL, &late);
	assert_error(&late, 504, "TIMEOUT", NULL);
	assert_null(reply_header(&late, "Retry-After"));
}

static void test_head_is_get_without_the_body(void **state)
{
	struct fixture *f = *state;
	_cleanup_client_ struct client c;
	_cleanup_reply_ struct reply get, head, error, after;

	client_open(&c, f);
	client_request(&c, "GET", VOLUME_PATH, NULL, NULL);
	client_reply(&c, false, &get);
	client_request(&c, "HEAD", VOLUME_PATH, NULL, NULL);
	client_reply(&c, true, &head);
	assert_int_equal(head.status, 200);
	assert_int_equal(strtoul(reply_header(&head, "Content-Length"), NULL, 10), get.length);
	client_request(&c, "HEAD", "/nowhere", NULL, NULL);
	client_reply(&c, true, &error);
	assert_int_equal(error.status, 404);
	/* A body after HEAD would be read as the beginning of this reply. */
	client_request(&c, "GET", VOLUME_PATH, NULL, NULL);
	client_reply(&c, false, &after);
	assert_string_equal(after.body, get.body);
	assert_int_equal(c.in.length, 0);
}

static void test_verbs(void **state)
{
	struct fixture *f = *state;
	static const char *const wrong[] = { "PUT", "PATCH", "TRACE", "POST" };
	_cleanup_reply_ struct reply options, nowhere;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		_cleanup_reply_ struct reply reply;

		ask(f, wrong[i], VOLUME_PATH, NULL, NULL, &reply);
		assert_error(&reply, 405, "METHOD_NOT_ALLOWED", NULL);
		assert_string_equal(reply_header(&reply, "Allow"), "GET, HEAD, DELETE, OPTIONS");
	}
	ask(f, "OPTIONS", "/api/v1/volumes", NULL, NULL, &options);
	assert_int_equal(options.status, 204);
	assert_string_equal(reply_header(&options, "Allow"), "GET, HEAD, POST, OPTIONS");
	assert_null(reply_header(&options, "Access-Control-Allow-Origin"));
	ask(f, "OPTIONS", "/nowhere", NULL, NULL, &nowhere);
	assert_error(&nowhere, 404, "NOT_FOUND", NULL);
	assert_int_equal(f->core.started, 0);
}

static void test_arguments_from_the_query(void **state)
{
	struct fixture *f = *state;
	_cleanup_reply_ struct reply list, wait;

	ask(f, "GET", "/api/v1/volumes?name=a+b%20%C3%BC&limit=1000&state=Ready", NULL, NULL,
	    &list);
	assert_int_equal(list.status, 200);
	assert_non_null(strstr(f->core.args.data, "\"name\":\"a b \xc3\xbc\""));
	assert_non_null(strstr(f->core.args.data, "\"limit\":1000"));
	ask(f, "GET", "/api/v1/operations/" SAMPLE_OPERATION "?wait=60", NULL, NULL, &wait);
	assert_string_equal(f->core.args.data,
			    "{\"operation_id\":\"" SAMPLE_OPERATION "\",\"wait\":60}");
}

static void test_arguments_from_the_body(void **state)
{
	struct fixture *f = *state;
	_cleanup_reply_ struct reply create, attach;

	ask(f, "POST", "/api/v1/volumes", "Content-Type: application/json\r\n",
	    "{\"name\":\"disk \\u00fc\",\"size\":70368744177664,\"disk_offering_id\":\"" SAMPLE_UUID
	    "\",\"zone_id\":\"" OTHER_UUID "\",\"metadata\":{\"k\":[1]}}",
	    &create);
	assert_int_equal(create.status, 201);
	assert_string_equal(f->core.args.data,
			    "{\"name\":\"disk \xc3\xbc\",\"disk_offering_id\":\"" SAMPLE_UUID
			    "\",\"size\":70368744177664,\"zone_id\":\"" OTHER_UUID
			    "\",\"metadata\":{\"k\":[1]}}");
	/* What existing clients send along is accepted. */
	ask(f, "POST", VOLUME_PATH "/attach", NULL,
	    "{\"volume_id\":\"" SAMPLE_UUID "\",\"vm_id\":\"" OTHER_UUID
	    "\",\"vm_name\":\"n\",\"disk_id\":\"d\",\"request_persistent_name\":true}",
	    &attach);
	assert_int_equal(attach.status, 201);
}

static void test_no_body_empty_body_and_empty_object_are_equal(void **state)
{
	struct fixture *f = *state;
	static const char *const bodies[] = { NULL, "", "{}", " {\n}\n" };

	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		_cleanup_reply_ struct reply reply;

		ask(f, "POST", VOLUME_PATH "/detach", NULL, bodies[i], &reply);
		assert_int_equal(reply.status, 201);
		assert_int_equal(f->core.method, METHOD_VOLUME_DETACH);
		assert_string_equal(f->core.args.data, "{\"volume_id\":\"" SAMPLE_UUID
						       "\",\"force\":false,\"keep_name\":false}");
	}
}

static void test_a_body_may_repeat_the_path_but_not_contradict_it(void **state)
{
	struct fixture *f = *state;
	_cleanup_reply_ struct reply same, upper, other, query;

	ask(f, "POST", VOLUME_PATH "/detach", NULL, "{\"volume_id\":\"" SAMPLE_UUID "\"}", &same);
	assert_int_equal(same.status, 201);
	ask(f, "POST", VOLUME_PATH "/detach", NULL,
	    "{\"volume_id\":\"0195A1F0-7C3E-7B11-8F00-0123456789AB\"}", &upper);
	assert_int_equal(upper.status, 201);
	ask(f, "POST", VOLUME_PATH "/detach", NULL, "{\"volume_id\":\"" OTHER_UUID "\"}", &other);
	assert_error(&other, 400, "INVALID_REQUEST", "volume_id");
	ask(f, "GET", VOLUME_PATH "?volume_id=" OTHER_UUID, NULL, NULL, &query);
	assert_error(&query, 400, "INVALID_REQUEST", "volume_id");
	assert_int_equal(f->core.started, 2);
}

static void test_an_encoded_slash_is_data(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *segment, *device;
	} rows[] = {
		{ "%2Fdev%2Fvdb", "/dev/vdb" },
		{ "dev%2fvdb", "dev/vdb" },
		{ "vdb", "vdb" },
		{ "virtio-0195a1f07c3e7b118f00", "virtio-0195a1f07c3e7b118f00" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *target =
			xasprintf("/api/v1/devices/%s/volume", rows[i].segment);
		_cleanup_free_ char *args = xasprintf("{\"device\":\"%s\"}", rows[i].device);
		_cleanup_reply_ struct reply reply;

		ask(f, "GET", target, NULL, NULL, &reply);
		assert_int_equal(reply.status, 200);
		assert_string_equal(f->core.args.data, args);
	}
}

int main(void)
{
#define T(FN) cmocka_unit_test_setup_teardown(FN, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(test_each_method_has_its_routes),
		T(test_one_record),
		T(test_a_token_decides_what_its_caller_may_do),
		T(test_a_token_is_required),
		T(test_callers_have_the_access_of_the_option),
		T(test_an_operation_is_201_with_its_location),
		T(test_what_is_made_is_201_with_its_location),
		T(test_words_are_no_volumes),
		T(test_delete_takes_its_options_either_way),
		T(test_lists),
		T(test_time_of_a_list),
		T(test_bare_lists),
		T(test_unhealthy_is_503_with_the_record),
		T(test_errors),
		T(test_head_is_get_without_the_body),
		T(test_verbs),
		T(test_arguments_from_the_query),
		T(test_arguments_from_the_body),
		T(test_no_body_empty_body_and_empty_object_are_equal),
		T(test_a_body_may_repeat_the_path_but_not_contradict_it),
		T(test_an_encoded_slash_is_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
