/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Routing. The templates of methods[] are taken apart once, at start. A request target is split at
 * '?' and at '/' first and decoded segment by segment afterwards, so "devices/%2Fdev%2Fvdb/volume"
 * has three segments, and no spelling of a path (%61pi, %00, "..") reaches a handler that its plain
 * form would not reach.
 *
 * There are a few dozen rows, and comparing a request with each row costs less than a hash.
 */

#include "api/rest/routes.h"

#include <assert.h>

struct route_table {
	size_t count;
	struct route routes[];
};

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/*
 * Decodes length bytes into out, which has room for them and the zero. -1: a bad escape or a NUL.
 */
static int decode(const char *from, size_t length, bool plus_is_blank, char *out)
{
	for (size_t i = 0; i < length; i++) {
		char c = from[i];

		if (c == '%') {
			int high = i + 2 < length ? hex_digit(from[i + 1]) : -1;
			int low = i + 2 < length ? hex_digit(from[i + 2]) : -1;

			if (high < 0 || low < 0 || (high == 0 && low == 0))
				return -1;
			c = (char)(high << 4 | low);
			i += 2;
		} else if (c == '+' && plus_is_blank) {
			c = ' ';
		}
		*out++ = c;
	}
	*out = '\0';
	return 0;
}

static int check_segment(const char *segment, struct err *err)
{
	if (*segment == '\0')
		return err_set(err, ERR_NO_SUCH_PATH,
			       "no such path: it has an empty segment (a doubled or trailing '/')");
	if (streq(segment, ".") || streq(segment, ".."))
		return err_set(err, ERR_INVALID, "the path must not have '.' or '..' as a segment");
	if (!str_is_plain_text(segment))
		return err_set(err, ERR_INVALID,
			       "the path must be UTF-8 without control characters");
	return 0;
}

int route_target_parse(struct route_target *out, const char *raw, struct err *err)
{
	size_t length = strcspn(raw, "?");
	size_t start = 1, used = 0;

	out->query = raw[length] == '?' ? raw + length + 1 : NULL;
	out->count = 0;
	if (raw[0] != '/' || raw[1] == '/')
		return err_set(err, ERR_INVALID,
			       "the request target must be a path that starts with one '/'");
	if (length == 1)
		return 0;
	if (length >= sizeof(out->text))
		return err_set(err, ERR_NO_SUCH_PATH,
			       "no such path: it is longer than any path of this server");
	if (memchr(raw, '#', length))
		return err_set(err, ERR_INVALID, "the path must not hold a '#'");

	while (start <= length) {
		size_t step = strcspn(raw + start, "/?");
		char *segment = out->text + used;

		if (out->count == ROUTE_SEGMENTS_MAX)
			return err_set(
				err, ERR_NO_SUCH_PATH,
				"no such path: it has more segments than any path of this server");
		if (decode(raw + start, step, false, segment) < 0)
			return err_set(
				err, ERR_INVALID,
				"the path has a '%%' without two hexadecimal digits, or %%00");
		if (check_segment(segment, err) < 0)
			return -1;
		out->segments[out->count++] = segment;
		used += strlen(segment) + 1;
		start += step + 1;
	}
	return 0;
}

bool route_target_is(const struct route_target *target, const char *path)
{
	for (size_t i = 0; i < target->count; i++) {
		size_t length = strlen(target->segments[i]);

		/* a segment with a '/' of its own is no two segments */
		if (*path != '/' || strcspn(path + 1, "/") != length ||
		    strncmp(path + 1, target->segments[i], length) != 0)
			return false;
		path += 1 + length;
	}
	return *path == '\0' || (target->count == 0 && streq(path, "/"));
}

static void route_compile(struct route *route, enum method_id id, const struct method *method,
			  const char *template)
{
	*route = (struct route){ .id = id, .method = method };
	assert(*template == '/');
	while (*template) {
		const char *text = template + 1;
		size_t length = strcspn(text, "/");
		struct route_segment *segment = &route->segments[route->count++];

		assert(route->count <= ROUTE_SEGMENTS_MAX && length > 0);
		*segment = (struct route_segment){ .text = text, .length = length };
		if (*text == '{') {
			char name[64];

			assert(text[length - 1] == '}' && length - 2 < sizeof(name));
			memcpy(name, text + 1, length - 2);
			name[length - 2] = '\0';
			segment->field = record_find(method->args, name);
			assert(segment->field);
		} else {
			route->literals |= 1U << (ROUTE_SEGMENTS_MAX - route->count);
		}
		template = text + length;
	}
}

struct route_table *route_table_new(const struct method *rows, size_t count)
{
	struct route_table *table =
		xcalloc(1, sizeof(*table) + 2 * count * sizeof(table->routes[0]));

	for (size_t i = 0; i < count; i++) {
		if (rows[i].surfaces == SURFACES_BUS)
			continue;
		route_compile(&table->routes[table->count++], (enum method_id)i, &rows[i],
			      rows[i].path);
		if (rows[i].path_alias)
			route_compile(&table->routes[table->count++], (enum method_id)i, &rows[i],
				      rows[i].path_alias);
	}
	return table;
}

struct route_table *route_table_free(struct route_table *table)
{
	free(table);
	return NULL;
}

static bool route_fits(const struct route *route, const struct route_target *target)
{
	if (route->count != target->count)
		return false;
	/* Backwards: templates differ at their end and share their beginning. */
	for (size_t i = route->count; i-- > 0;) {
		const struct route_segment *segment = &route->segments[i];

		if (segment->field)
			continue;
		if (strncmp(segment->text, target->segments[i], segment->length) != 0 ||
		    target->segments[i][segment->length] != '\0')
			return false;
	}
	return true;
}

const struct route *route_find(const struct route_table *table, const struct route_target *target,
			       enum http_verb verb, unsigned *verbs)
{
	const struct route *found = NULL;
	unsigned literals = 0;

	*verbs = 0;
	for (size_t i = 0; i < table->count; i++) {
		const struct route *route = &table->routes[i];

		if (route->literals < literals || !route_fits(route, target))
			continue;
		if (route->literals > literals) {
			literals = route->literals;
			*verbs = 0;
			found = NULL;
		}
		*verbs |= 1U << route->method->verb;
		if (route->method->verb == verb)
			found = route;
	}
	return found;
}

void route_allow(unsigned verbs, struct buf *out)
{
	for (unsigned verb = 0; verb < HTTP_VERB_COUNT; verb++) {
		if (!(verbs & 1U << verb))
			continue;
		buf_printf(out, "%s, ", http_verb_names[verb]);
		if (verb == HTTP_GET)
			buf_add_text(out, "HEAD, ");
	}
	buf_add_text(out, "OPTIONS");
}

static int decode_in_place(char *text)
{
	if (decode(text, strlen(text), true, text) < 0)
		return -1;
	return str_is_plain_text(text) ? 0 : -1;
}

int query_next(char **cursor, char **name, char **value, struct err *err)
{
	char *pair, *equals;

	do {
		pair = strsep(cursor, "&");
	} while (pair && *pair == '\0');
	if (!pair)
		return 0;
	equals = strchr(pair, '=');
	*name = pair;
	*value = equals ? equals + 1 : pair + strlen(pair);
	if (equals)
		*equals = '\0';
	if (decode_in_place(*name) < 0)
		return err_set(
			err, ERR_INVALID,
			"a name in the query string has a bad escape or is not plain UTF-8 text");
	if (decode_in_place(*value) < 0)
		return err_set_field(
			err, *name, ERR_INVALID,
			"%s in the query string has a bad escape or is not plain UTF-8 text",
			*name);
	return 1;
}

/*
 * The characters that a URL may hold as they are, between '<' and '>'; '%' is kept, since text that
 * came encoded stays encoded.
 */
static const char url_safe[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/?%";
static const char data_safe[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

static void add_escaped(struct buf *out, const char *text, size_t length, const char *safe)
{
	for (size_t i = 0; i < length; i++) {
		if (text[i] && strchr(safe, text[i]))
			buf_add_char(out, text[i]);
		else
			buf_printf(out, "%%%02X", (unsigned char)text[i]);
	}
}

static bool is_cursor(const char *pair, size_t length)
{
	_cleanup_free_ char *name = xstrndup(pair, length);
	char *equals = strchr(name, '=');

	if (equals)
		*equals = '\0';
	return decode_in_place(name) == 0 && streq(name, "cursor");
}

void route_next_link(const char *raw, const char *next_cursor, struct buf *out)
{
	size_t path = strcspn(raw, "?");
	const char *pair = raw[path] ? raw + path + 1 : raw + path;

	buf_add_char(out, '<');
	add_escaped(out, raw, path, url_safe);
	buf_add_char(out, '?');
	while (*pair) {
		size_t length = strcspn(pair, "&");

		if (length > 0 && !is_cursor(pair, length)) {
			add_escaped(out, pair, length, url_safe);
			buf_add_char(out, '&');
		}
		pair += length + (pair[length] == '&');
	}
	buf_add_text(out, "cursor=");
	add_escaped(out, next_cursor, strlen(next_cursor), data_safe);
	buf_add_text(out, ">; rel=\"next\"");
}

void route_fill(const char *template, const char *value, struct buf *out)
{
	const char *open = strchr(template, '{');
	const char *close = open ? strchr(open, '}') : NULL;

	assert(close && !strchr(close, '{'));
	buf_add(out, template, (size_t)(open - template));
	add_escaped(out, value, strlen(value), data_safe);
	buf_add_text(out, close + 1);
}
