/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing JSON: straight into a buffer, since a tree that is built only to be printed costs twice,
 * and since cJSON prints integers above 10^15 as rounded exponents. The writer knows whether a
 * comma is due, and enough about the open objects and arrays to assert that its output is JSON.
 */
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/json.h"

static bool is_in_array(const struct json_writer *w)
{
	return w->depth > 0 && w->is_array[w->depth - 1];
}

static bool is_in_object(const struct json_writer *w)
{
	return w->depth > 0 && !w->is_array[w->depth - 1];
}

static void put_comma(struct json_writer *w)
{
	if (w->comma)
		buf_add_char(w->out, ',');
	w->comma = true;
}

/*
 * Called before each value: asserts that it is the only one, follows a name in an object, or stands
 * in an array.
 */
static void begin_value(struct json_writer *w)
{
	assert(is_in_object(w) ? w->named : is_in_array(w) || !w->comma);
	w->named = false;
	put_comma(w);
}

static void begin(struct json_writer *w, char bracket)
{
	begin_value(w);
	assert(w->depth < JSON_WRITER_DEPTH_MAX);
	w->is_array[w->depth++] = bracket == '[';
	buf_add_char(w->out, bracket);
	w->comma = false;
}

static void end(struct json_writer *w, char bracket)
{
	assert(bracket == ']' ? is_in_array(w) : is_in_object(w) && !w->named);
	w->depth--;
	buf_add_char(w->out, bracket);
	w->comma = true;
}

void json_writer_check(const struct json_writer *w)
{
	assert(w->depth == 0);
}

void json_begin_object(struct json_writer *w)
{
	begin(w, '{');
}

void json_end_object(struct json_writer *w)
{
	end(w, '}');
}

void json_begin_array(struct json_writer *w)
{
	begin(w, '[');
}

void json_end_array(struct json_writer *w)
{
	end(w, ']');
}

static void put_escaped(struct buf *out, unsigned char c)
{
	static const char plain[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
	const char *found = memchr(plain, c, sizeof(plain) - 1);

	if (found) {
		buf_add_char(out, '\\');
		buf_add_char(out, letter[found - plain]);
	} else {
		buf_printf(out, "\\u%04x", c);
	}
}

/* Nearly every character is plain, so this test comes first. */
static bool is_plain(char c)
{
	return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

#define EACH_BYTE(VALUE) (UINT64_C(0x0101010101010101) * (VALUE))

/*
 * The same for eight characters. A subtraction sets the highest bit of a byte that it takes below
 * zero, and of those that come after; so the first byte that is not plain is never missed.
 */
static bool are_plain(uint64_t bytes)
{
	uint64_t below = bytes - EACH_BYTE(' ');
	uint64_t quote = (bytes ^ EACH_BYTE('"')) - EACH_BYTE(1);
	uint64_t slash = (bytes ^ EACH_BYTE('\\')) - EACH_BYTE(1);
	uint64_t delete = (bytes ^ EACH_BYTE(0x7f)) - EACH_BYTE(1);

	return !((bytes | below | quote | slash | delete) & EACH_BYTE(0x80));
}

/* Nearly all strings hold nothing that has to be escaped. False: this one does. */
static bool put_plain(struct buf *out, const char *text, size_t length)
{
	size_t at = 0;
	char *to;

	buf_reserve(out, length + 2);
	to = out->data + out->length + 1;
	for (uint64_t bytes; at + sizeof(bytes) <= length; at += sizeof(bytes)) {
		memcpy(&bytes, text + at, sizeof(bytes));
		if (!are_plain(bytes))
			return false;
		memcpy(to + at, &bytes, sizeof(bytes));
	}
	for (; at < length; at++) {
		if (!is_plain(text[at]))
			return false;
		to[at] = text[at];
	}
	to[-1] = to[length] = '"';
	to[length + 1] = '\0';
	out->length += length + 2;
	return true;
}

static void put_string(struct buf *out, const char *text)
{
	const char *run = text; /* start of the bytes to copy unchanged */
	size_t left = strlen(text);

	if (put_plain(out, text, left))
		return;
	buf_add_char(out, '"');
	for (;;) {
		uint32_t code;
		size_t step;
		bool special;

		for (; is_plain(*text); text++)
			left--;
		if (left == 0)
			break;
		step = utf8_next(text, left, &code);
		/* DEL and the C1 controls are legal but would reach a terminal. */
		special = step == 0 || code == '"' || code == '\\' || utf8_is_control(code);

		if (special) {
			buf_add(out, run, (size_t)(text - run));
			if (step == 0)
				buf_add_text(out, "\xef\xbf\xbd");
			else
				put_escaped(out, (unsigned char)code);
			run = text + (step ? step : 1);
		}
		text += step ? step : 1;
		left -= step ? step : 1;
	}
	buf_add(out, run, (size_t)(text - run));
	buf_add_char(out, '"');
}

void json_put_name(struct json_writer *w, const char *name)
{
	assert(is_in_object(w) && !w->named);
	put_comma(w);
	put_string(w->out, name);
	buf_add_char(w->out, ':');
	w->comma = false;
	w->named = true;
}

void json_put_text(struct json_writer *w, const char *text)
{
	if (!text) {
		json_put_raw(w, "null");
		return;
	}
	begin_value(w);
	put_string(w->out, text);
}

void json_put_member(struct json_writer *w, const char *name, const char *text)
{
	json_put_name(w, name);
	json_put_text(w, text);
}

static void put_number(struct json_writer *w, bool is_negative, uint64_t value)
{
	char digits[24];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	if (is_negative)
		digits[--at] = '-';
	begin_value(w);
	buf_add(w->out, digits + at, sizeof(digits) - at);
}

void json_put_int(struct json_writer *w, int64_t value)
{
	put_number(w, value < 0, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

void json_put_uint(struct json_writer *w, uint64_t value)
{
	put_number(w, false, value);
}

void json_put_bool(struct json_writer *w, bool value)
{
	json_put_raw(w, value ? "true" : "false");
}

/* The shorter of 15 and 17 digits that reads back as the same double; 17 always does. */
void json_put_double(struct json_writer *w, double value)
{
	char text[40];

	if (!isfinite(value)) {
		json_put_raw(w, "null"); /* JSON has no such number */
		return;
	}
	snprintf(text, sizeof(text), "%.15g", value);
	if (strtod(text, NULL) != value)
		snprintf(text, sizeof(text), "%.17g", value);
	json_put_raw(w, text);
}

void json_put_raw(struct json_writer *w, const char *json)
{
	begin_value(w);
	buf_add_text(w->out, json);
}

static void put_members(struct json_writer *w, const struct json *container)
{
	for (const struct json *child = json_first(container); child; child = json_next(child)) {
		if (json_kind(container) == JSON_OBJECT)
			json_put_name(w, json_name(child));
		json_put_node(w, child);
	}
}

void json_put_node(struct json_writer *w, const struct json *node)
{
	int64_t integer;

	switch (json_kind(node)) {
	case JSON_NULL:
		json_put_raw(w, "null");
		break;
	case JSON_BOOL:
		json_put_bool(w, json_true(node));
		break;
	case JSON_NUMBER:
		if (json_integer(node, &integer) == 0)
			json_put_int(w, integer);
		else
			json_put_double(w, json_number(node));
		break;
	case JSON_TEXT:
		json_put_text(w, json_text(node));
		break;
	case JSON_ARRAY:
		json_begin_array(w);
		put_members(w, node);
		json_end_array(w);
		break;
	case JSON_OBJECT:
		json_begin_object(w);
		put_members(w, node);
		json_end_object(w);
		break;
	}
}
