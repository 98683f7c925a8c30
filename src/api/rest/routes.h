/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * From a request target to its method. Pure functions over texts: the target is used as it came
 * over the wire, because only before decoding can a '/' that separates be told from a %2F that is
 * data.
 */

#include "base/buf.h"
#include "spec/methods.h"

#define ROUTE_SEGMENTS_MAX 8
#define ROUTE_TEXT_MAX 1024 /* decoded; longer paths name nothing of this server */

/*
 * A request target taken apart: "/a/b%2Fc?d=1" is the segments "a", "b/c" and the query "d=1",
 * still encoded; "/" has no segment.
 */
struct route_target {
	const char *query; /* inside the raw target; NULL if there is no '?' */
	const char *segments[ROUTE_SEGMENTS_MAX];
	size_t count;
	char text[ROUTE_TEXT_MAX];
};

/*
 * ERR_INVALID for a target that can't be decoded safely (no or a double leading slash, bad escapes,
 * NUL, control characters, text that is not UTF-8, "." and ".."), ERR_NO_SUCH_PATH for a target
 * that is well-formed and can't exist (empty or too many segments).
 */
int route_target_parse(struct route_target *out, const char *raw, struct err *err);

/* path is a plain one, "/a/b" or "/". */
bool route_target_is(const struct route_target *target, const char *path);

struct route_segment {
	const char *text; /* inside the template */
	size_t length;
	const struct field *field; /* the argument in this place, NULL for a literal */
};

struct route {
	enum method_id id;
	const struct method *method;
	size_t count;
	/* a bit for each literal, the first segment highest: a larger number is a closer match */
	unsigned literals;
	struct route_segment segments[ROUTE_SEGMENTS_MAX];
};

struct route_table;
struct route_table *route_table_new(const struct method *rows, size_t count);
struct route_table *route_table_free(struct route_table *table); /* returns NULL, takes NULL */

/*
 * The route of this verb, NULL if there is none. *verbs gets a bit (1 << enum http_verb) for each
 * verb the path has: 0 if the path does not exist. If a literal and an argument fit the same path
 * ("/x/validate", "/x/{id}"), the literal wins, whatever the verb.
 */
const struct route *route_find(const struct route_table *table, const struct route_target *target,
			       enum http_verb verb, unsigned *verbs);
/* "GET, HEAD, POST, OPTIONS", for the header Allow. */
void route_allow(unsigned verbs, struct buf *out);

/*
 * Takes the next pair off an "a=1&b=2" text and overwrites the text: *name and *value are decoded,
 * '+' is a blank. Returns 1 for a pair, 0 at the end, -1 and ERR_INVALID for a pair that cannot be
 * decoded. *cursor starts at the text and belongs to the function afterwards.
 */
int query_next(char **cursor, char **name, char **value, struct err *err);

/* `</path?query&cursor=…>; rel="next"`: the same request with another cursor. */
void route_next_link(const char *raw, const char *next_cursor, struct buf *out);
/* A template with its one argument filled in: the path of an operation. */
void route_fill(const char *template, const char *value, struct buf *out);
