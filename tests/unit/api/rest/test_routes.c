/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Routing by itself: which spelling of a request target is which method, and which is none. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after those it needs */
#include <cmocka.h>

#include "api/rest/routes.h"

static void test_target_is_split_before_it_is_decoded(void **state)
{
	struct route_target target;

	assert_int_equal(route_target_parse(&target, "/api/v1/devices/%2Fdev%2fvdb/volume?a=%2F",
					    NULL),
			 0);
	assert_int_equal(target.count, 5);
	assert_string_equal(target.segments[0], "api");
	assert_string_equal(target.segments[3], "/dev/vdb");
	assert_string_equal(target.segments[4], "volume");
	assert_string_equal(target.query, "a=%2F");

	assert_int_equal(route_target_parse(&target, "/health", NULL), 0);
	assert_null(target.query);
	assert_int_equal(route_target_parse(&target, "/health?", NULL), 0);
	assert_string_equal(target.query, "");
	assert_int_equal(route_target_parse(&target, "/?a", NULL), 0);
	assert_int_equal(target.count, 0);
	assert_string_equal(target.query, "a");
	assert_true(route_target_is(&target, "/"));
	assert_false(route_target_is(&target, "/health"));
	/* '+' is a blank in query strings only. */
	assert_int_equal(route_target_parse(&target, "/a+b", NULL), 0);
	assert_string_equal(target.segments[0], "a+b");
}

static void test_hostile_targets(void **state)
{
	static const struct {
		const char *raw;
		enum err_code code;
	} rows[] = {
		{ "", ERR_INVALID },
		{ "*", ERR_INVALID },
		{ "health", ERR_INVALID },
		{ "http://127.0.0.1/health", ERR_INVALID },
		{ "//evil/health", ERR_INVALID },
		{ "/hel%6", ERR_INVALID },
		{ "/hel%", ERR_INVALID },
		{ "/hel%6?a", ERR_INVALID },
		{ "/hel%6/c", ERR_INVALID },
		{ "/hel%zz", ERR_INVALID },
		{ "/hel% 1", ERR_INVALID },
		{ "/hello%00zzz", ERR_INVALID },
		{ "/a/../health", ERR_INVALID },
		{ "/a/./health", ERR_INVALID },
		{ "/%2e%2E/health", ERR_INVALID },
		{ "/a%0d%0ab", ERR_INVALID },
		{ "/a%7f", ERR_INVALID },
		{ "/a\tb", ERR_INVALID },
		{ "/a%ff", ERR_INVALID },
		{ "/a%c0%80", ERR_INVALID },
		{ "/health#x", ERR_INVALID },
		{ "/health/", ERR_NO_SUCH_PATH },
		{ "/api//v1", ERR_NO_SUCH_PATH },
		{ "/a/b/c/d/e/f/g/h/i", ERR_NO_SUCH_PATH },
		{ "/health?..//%00", ERR_NONE },
		{ "/...", ERR_NONE },
		{ "/%C3%BC", ERR_NONE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct route_target target;
		struct err err = { 0 };
		int r = route_target_parse(&target, rows[i].raw, &err);

		if (err.code != rows[i].code || (r == 0) != (err.code == ERR_NONE))
			fail_msg("%s gave %d: %s", rows[i].raw, err.code, err.text);
	}
}

static void test_long_path_is_refused_before_it_is_copied(void **state)
{
	struct route_target target;
	struct err err = { 0 };
	char raw[3 * ROUTE_TEXT_MAX];

	memset(raw, 'a', sizeof(raw));
	raw[0] = '/';
	raw[ROUTE_TEXT_MAX - 1] = '\0';
	assert_int_equal(route_target_parse(&target, raw, &err), 0);
	assert_int_equal(strlen(target.segments[0]), ROUTE_TEXT_MAX - 2);
	raw[ROUTE_TEXT_MAX - 1] = 'a';
	raw[ROUTE_TEXT_MAX] = '\0';
	assert_int_equal(route_target_parse(&target, raw, &err), -1);
	assert_int_equal(err.code, ERR_NO_SUCH_PATH);
	raw[ROUTE_TEXT_MAX] = 'a';
	raw[sizeof(raw) - 1] = '\0';
	assert_int_equal(route_target_parse(&target, raw, &err), -1);
}

static const struct method sample[] = {
	{ .path = "/x/{volume_id}", .verb = HTTP_GET, .args = &volume_args },
	{ .path = "/x/validate", .verb = HTTP_POST, .args = &no_args },
	{ .path = "/x/{volume_id}", .verb = HTTP_DELETE, .args = &volume_args },
	{ .path = "/x/validate", .path_alias = "/check", .verb = HTTP_PUT, .args = &no_args },
	{ .path = "/x/{volume_id}/y", .verb = HTTP_GET, .args = &volume_args },
	{ .surfaces = SURFACES_BUS, .args = &no_args },
	{ .path = "/after", .verb = HTTP_GET, .args = &no_args },
};

static const struct route *find(const char *raw, enum http_verb verb, unsigned *verbs)
{
	struct route_table *table = route_table_new(sample, ARRAY_SIZE(sample));
	static struct route found;
	const struct route *route;
	struct route_target target;

	assert_int_equal(route_target_parse(&target, raw, NULL), 0);
	route = route_find(table, &target, verb, verbs);
	if (route)
		found = *route;
	route_table_free(table);
	return route ? &found : NULL;
}

static void test_routes(void **state)
{
	const struct route *route;
	unsigned verbs;

	route = find("/x/abc", HTTP_DELETE, &verbs);
	assert_non_null(route);
	assert_int_equal(route->id, 2);
	assert_int_equal(verbs, 1U << HTTP_GET | 1U << HTTP_DELETE);
	assert_null(route->segments[0].field);
	assert_string_equal(route->segments[1].field->name, "volume_id");

	/* The same words, spelled with escapes, are the same path. */
	route = find("/%78/abc/y", HTTP_GET, &verbs);
	assert_non_null(route);
	assert_int_equal(route->id, 4);

	route = find("/check", HTTP_PUT, &verbs);
	assert_non_null(route);
	assert_int_equal(route->id, 3);

	/* The row before it is on the bus alone: no path, and its number is kept. */
	route = find("/after", HTTP_GET, &verbs);
	assert_non_null(route);
	assert_int_equal(route->id, 6);

	assert_null(find("/x", HTTP_GET, &verbs));
	assert_int_equal(verbs, 0);
	assert_null(find("/x/abc/z", HTTP_GET, &verbs));
	assert_int_equal(verbs, 0);
	assert_null(find("/X/abc", HTTP_GET, &verbs));
	assert_int_equal(verbs, 0);
	assert_null(find("/xx/abc", HTTP_GET, &verbs));
	assert_int_equal(verbs, 0);
	assert_null(find("/x/abc", HTTP_PUT, &verbs));
	assert_int_not_equal(verbs, 0);
}

static void test_a_literal_wins_over_an_argument(void **state)
{
	const struct route *route;
	unsigned verbs;

	route = find("/x/validate", HTTP_POST, &verbs);
	assert_non_null(route);
	assert_int_equal(route->id, 1);
	/* Not the volume called "validate". */
	assert_null(find("/x/validate", HTTP_GET, &verbs));
	assert_int_equal(verbs, 1U << HTTP_POST | 1U << HTTP_PUT);
	route = find("/x/validate2", HTTP_GET, &verbs);
	assert_non_null(route);
	assert_int_equal(route->id, 0);
}

static void test_allow(void **state)
{
	_cleanup_buf_ struct buf out = BUF_NULL;

	route_allow(1U << HTTP_GET | 1U << HTTP_DELETE, &out);
	assert_string_equal(out.data, "GET, HEAD, DELETE, OPTIONS");
	buf_reset(&out);
	route_allow(1U << HTTP_POST, &out);
	assert_string_equal(out.data, "POST, OPTIONS");
}

static void test_query(void **state)
{
	char text[] = "&limit=10&&name=a+b%20c%2B%3D=x&flag&=v&";
	char *cursor = text, *name, *value;

	assert_int_equal(query_next(&cursor, &name, &value, NULL), 1);
	assert_string_equal(name, "limit");
	assert_string_equal(value, "10");
	assert_int_equal(query_next(&cursor, &name, &value, NULL), 1);
	assert_string_equal(name, "name");
	assert_string_equal(value, "a b c+==x");
	assert_int_equal(query_next(&cursor, &name, &value, NULL), 1);
	assert_string_equal(name, "flag");
	assert_string_equal(value, "");
	assert_int_equal(query_next(&cursor, &name, &value, NULL), 1);
	assert_string_equal(name, "");
	assert_string_equal(value, "v");
	assert_int_equal(query_next(&cursor, &name, &value, NULL), 0);
	assert_int_equal(query_next(&cursor, &name, &value, NULL), 0);
}

static void test_hostile_queries(void **state)
{
	static const struct {
		const char *text, *field;
	} rows[] = {
		{ "a=%", "a" },   { "a=%4", "a" },     { "a=%zz", "a" }, { "a=b%00c", "a" },
		{ "a=%0a", "a" }, { "a=%ff%fe", "a" }, { "%=b", "" },    { "a%00=b", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *text = xstrdup(rows[i].text);
		char *cursor = text, *name, *value;
		struct err err = { 0 };

		assert_int_equal(query_next(&cursor, &name, &value, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
		assert_string_equal(err.field, rows[i].field);
	}
}

static void test_next_link(void **state)
{
	static const struct {
		const char *raw, *link;
	} rows[] = {
		{ "/a", "</a?cursor=c%2F%2B1>; rel=\"next\"" },
		{ "/a?", "</a?cursor=c%2F%2B1>; rel=\"next\"" },
		{ "/a?limit=2&cursor=old&name=x%20y",
		  "</a?limit=2&name=x%20y&cursor=c%2F%2B1>; rel=\"next\"" },
		{ "/a?%63ursor=old&cursors=1", "</a?cursors=1&cursor=c%2F%2B1>; rel=\"next\"" },
		{ "/a?name=x>;rel=\"evil\"",
		  "</a?name=x%3E;rel=%22evil%22&cursor=c%2F%2B1>; rel=\"next\"" },
		{ "/a>b", "</a%3Eb?cursor=c%2F%2B1>; rel=\"next\"" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_buf_ struct buf out = BUF_NULL;

		route_next_link(rows[i].raw, "c/+1", &out);
		assert_string_equal(out.data, rows[i].link);
	}
}

static void test_a_target_is_a_plain_path(void **state)
{
	static const struct {
		const char *raw;
		bool is;
	} rows[] = {
		{ "/a/bc", true },    { "/%61/bc?x=1", true }, { "/a/b", false },
		{ "/a/bcd", false },  { "/a", false },         { "/a/bc/d", false },
		{ "/a%2Fbc", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct route_target target;
		struct err err = { 0 };

		assert_int_equal(route_target_parse(&target, rows[i].raw, &err), 0);
		assert_int_equal(route_target_is(&target, "/a/bc"), rows[i].is);
	}
}

static void test_fill(void **state)
{
	_cleanup_buf_ struct buf out = BUF_NULL;

	route_fill("/operations/{operation_id}/cancel", "op-1/2", &out);
	assert_string_equal(out.data, "/operations/op-1%2F2/cancel");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_target_is_split_before_it_is_decoded),
		cmocka_unit_test(test_hostile_targets),
		cmocka_unit_test(test_long_path_is_refused_before_it_is_copied),
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_a_literal_wins_over_an_argument),
		cmocka_unit_test(test_allow),
		cmocka_unit_test(test_query),
		cmocka_unit_test(test_hostile_queries),
		cmocka_unit_test(test_next_link),
		cmocka_unit_test(test_a_target_is_a_plain_path),
		cmocka_unit_test(test_fill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
