/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * JSON in and out; the only module that knows the JSON library.
 *
 * Reading is strict about shape (one value, nothing behind it, at most JSON_DEPTH_MAX levels) and
 * exact about integers: a number is an integer only if it is written without fraction and exponent
 * and lies within +-(2^53 - 1), where a double is exact; every other number is refused, never
 * rounded. Raw control characters inside strings are accepted, since CloudStack sends them.
 *
 * Writing goes straight into a buf with exact 64-bit integers. Text that is not UTF-8 is written
 * with U+FFFD. A writer asserts that its output is one JSON value: names only in objects, one for
 * each value, and each end has its beginning.
 */

#include "base/buf.h"
#include "base/err.h"

#define JSON_DEPTH_MAX 31 /* MariaDB's JSON functions, which check stored values, take no more */
/* Of one document. Reading takes about 0.2 us for each value; large documents are read on threads.
 */
#define JSON_VALUES_MAX 50000
#define JSON_VALUES_LENIENT_MAX 500000

struct json; /* a node; belongs to the document it was found in */

enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_TEXT, JSON_ARRAY, JSON_OBJECT };

/*
 * NULL and ERR_INVALID if the text is not JSON or not UTF-8, names a member of an object twice, or
 * holds a NUL character; ERR_TOO_LARGE if it has too many values. The result is the document and is
 * freed with json_free().
 */
struct json *json_parse(const char *text, size_t length, struct err *err);
/* For answers of servers we cannot correct: a doubled member is accepted, the first one counts,
 * text need not be UTF-8, and there may be JSON_VALUES_LENIENT_MAX values. */
struct json *json_parse_lenient(const char *text, size_t length, struct err *err);
void json_free(struct json *document);
void json_freep(struct json **document);
#define _cleanup_json_ _cleanup_(json_freep)

enum json_kind json_kind(const struct json *node);
const char *json_kind_name(enum json_kind kind); /* "a number", "an object", … */
/* NULL node gives NULL everywhere below, so lookups chain. Names compare exactly. */
/* Takes a member out of an object and frees it; no change if there is none. */
void json_drop(struct json *object, const char *name);
const struct json *json_get(const struct json *object, const char *name);
const struct json *json_first(const struct json *container);
const struct json *json_next(const struct json *node);
const char *json_name(const struct json *member);
const char *json_text(const struct json *node);          /* NULL unless a string */
int json_integer(const struct json *node, int64_t *out); /* -1 unless an exact integer */
/* true, or the string "true" as old servers send */
bool json_true(const struct json *node);
double json_number(const struct json *node); /* 0 unless a number */

/* as deep as a D-Bus message can nest, and some levels around it */
#define JSON_WRITER_DEPTH_MAX 96

struct json_writer {
	struct buf *out;
	bool comma;                           /* due before the next item */
	bool named;                           /* a member's name is written, its value is due */
	bool is_array[JSON_WRITER_DEPTH_MAX]; /* of the open levels; the others are objects */
	unsigned depth;
};

/* Asserts that every object and array has been ended. */
void json_writer_check(const struct json_writer *w);
#define _cleanup_json_writer_ _cleanup_(json_writer_check)

void json_begin_object(struct json_writer *w);
void json_end_object(struct json_writer *w);
void json_begin_array(struct json_writer *w);
void json_end_array(struct json_writer *w);
void json_put_name(struct json_writer *w, const char *name);
void json_put_text(struct json_writer *w, const char *text); /* NULL writes null */
/* A name and its text. */
void json_put_member(struct json_writer *w, const char *name, const char *text);
void json_put_int(struct json_writer *w, int64_t value);
void json_put_uint(struct json_writer *w, uint64_t value);
void json_put_bool(struct json_writer *w, bool value);
void json_put_double(struct json_writer *w, double value);
void json_put_raw(struct json_writer *w, const char *json); /* already JSON */
void json_put_node(struct json_writer *w, const struct json *node);
