/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Targets of requests: path, query and the link to the next page, from the text on the wire.
 *
 * No spelling leads out of the path: segments hold no '/' but an encoded one, no control
 * characters, no ".", and nothing of what was sent is cut off. The link to the next page is the
 * same request: its target is read to the same path and the same pairs, but for the cursor.
 */

#include <stdio.h>

#include "api/rest/routes.h"
#include "fuzz.h"

#define CURSOR "after/this&that=100%"

/* How long a text is once each escape has become one byte. */
static size_t decoded_length(const char *text, size_t length)
{
	size_t decoded = length;

	for (size_t i = 0; i < length; i++)
		decoded -= text[i] == '%' ? 2 : 0;
	return decoded;
}

static void check_target(const char *raw, const struct route_target *target)
{
	size_t length = 0;

	MUST(target->count <= ROUTE_SEGMENTS_MAX);
	for (size_t i = 0; i < target->count; i++) {
		const char *segment = target->segments[i];

		MUST(*segment && str_is_plain_text(segment));
		MUST(!streq(segment, ".") && !streq(segment, ".."));
		length += 1 + strlen(segment);
	}
	if (target->count == 0)
		length = strlen("/");
	MUST(length == decoded_length(raw, strcspn(raw, "?")));
}

/* The pairs but the cursor as a text, one a line; NULL: one of them is refused. */
static char *read_query(const char *query, const char **out_cursor)
{
	static char cursor_value[64];
	_cleanup_free_ char *text = xstrdup(query);
	_cleanup_buf_ struct buf out = BUF_NULL;
	char *cursor = text, *name, *value;
	struct err err = { 0 };
	int more;

	*out_cursor = NULL;
	while ((more = query_next(&cursor, &name, &value, &err)) > 0) {
		MUST(str_is_plain_text(name) && str_is_plain_text(value));
		if (streq(name, "cursor")) {
			snprintf(cursor_value, sizeof(cursor_value), "%s", value);
			*out_cursor = cursor_value;
			continue;
		}
		buf_printf(&out, "%s=%s\n", name, value);
	}
	MUST((more < 0) == (err.code != ERR_NONE));
	MUST(more < 0 || !strstr(query, "%00"));
	must_be_sound(&err);
	return more < 0 ? NULL : buf_take(&out);
}

static void check_next_link(const char *raw, const struct route_target *target)
{
	static const char ending[] = ">; rel=\"next\"";
	_cleanup_buf_ struct buf link = BUF_NULL;
	_cleanup_free_ char *pairs = NULL, *pairs_again = NULL;
	struct route_target again;
	struct err err = { 0 };
	const char *cursor;

	pairs = read_query(str_or(target->query, ""), &cursor);
	route_next_link(raw, CURSOR, &link);
	MUST(*link.data == '<' && link.length > sizeof(ending));
	link.data[link.length - (sizeof(ending) - 1)] = '\0';
	MUST(str_is_plain_text(link.data) && !strpbrk(link.data + 1, "<> \""));
	if (route_target_parse(&again, link.data + 1, &err) < 0) {
		/* Escaping has made it longer than a path may be. */
		MUST(strcspn(link.data + 1, "?") >= ROUTE_TEXT_MAX);
		return;
	}
	MUST(again.count == target->count);
	for (size_t i = 0; i < again.count; i++)
		must_equal(target->segments[i], again.segments[i]);
	if (!pairs)
		return;
	pairs_again = read_query(again.query, &cursor);
	must_equal(pairs, pairs_again);
	must_equal(cursor, CURSOR);
}

static void check_route(const struct route_table *table, const struct route_target *target)
{
	for (enum http_verb verb = 0; verb <= HTTP_VERB_COUNT; verb++) {
		_cleanup_buf_ struct buf allowed = BUF_NULL;
		const struct route *route;
		unsigned verbs;

		route = route_find(table, target, verb, &verbs);
		MUST(!route || route->method->verb == verb);
		MUST(!route == !(verbs & 1U << verb));
		route_allow(verbs, &allowed);
		MUST(strstr(allowed.data, "OPTIONS"));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct route_table *table;
	_cleanup_free_ char *raw = xstrndup((const char *)data, size);
	struct route_target target;
	struct err err = { 0 };

	if (!table)
		table = route_table_new(methods, METHOD_COUNT);
	if (route_target_parse(&target, raw, &err) < 0) {
		MUST(err.code == ERR_INVALID || err.code == ERR_NO_SUCH_PATH);
		must_be_sound(&err);
		return 0;
	}
	check_target(raw, &target);
	check_route(table, &target);
	check_next_link(raw, &target);
	return 0;
}
