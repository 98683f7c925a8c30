/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading what is JSON and nothing else, exact integers in both directions, text that stays
 * UTF-8. */
#include "unit.h"

#include <fcntl.h>
#include <float.h>
#include <math.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/json.h"

static struct json *parse(const char *text)
{
	return json_parse(text, strlen(text), NULL);
}

/* Read and written again. */
static void assert_rewritten(const char *text, const char *expected)
{
	_cleanup_buf_ struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &out };
	_cleanup_json_ struct json *document = parse(text);

	assert_non_null(document);
	json_put_node(&w, document);
	assert_string_equal(out.data, expected);
}

static void reads_and_writes_again(void **state)
{
	assert_rewritten(" { \"a\" : [ 1 , -2, true, false, null, \"x\\u00fc\\n\" ], \"b\":{} } ",
			 "{\"a\":[1,-2,true,false,null,\"x\xc3\xbc\\n\"],\"b\":{}}");
	assert_rewritten("9007199254740991", "9007199254740991");
	assert_rewritten("-9007199254740991", "-9007199254740991");
	assert_rewritten("0.5", "0.5");
	assert_rewritten("0.1", "0.1");
	assert_rewritten("[]\n", "[]");
	assert_rewritten("\"\\ud83d\\udcbe\"", "\"\xf0\x9f\x92\xbe\"");
}

static void refuses_what_is_not_json(void **state)
{
	static const char *const bad[] = { "",        " ",           "{",           "}",
					   "[1,]",    "{\"a\":1,}",  "{\"a\"}",     "{a:1}",
					   "nul",     "True",        "'a'",         "\"a",
					   "\"a\\",   "01",          "-",           "+1",
					   "1.",      ".5",          "-.5",         "1e",
					   "1e+",     "0x10",        "00",          "-01",
					   "NaN",     "1 2",         "{} x",        "[1] ]",
					   "\"\\x\"", "\"\\ud83d\"", "\"\\udcbe\"", "[1 2]",
					   "// c\n1", "1,",          "\"a\"\"",     "Infinity" };
	struct err err;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		memset(&err, 0, sizeof(err));
		if (json_parse(bad[i], strlen(bad[i]), &err))
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(err.code, ERR_INVALID);
		assert_true(err.text[0] != '\0');
	}
}

static void length_counts_not_the_zero(void **state)
{
	/* nothing behind it, for the address sanitizer */
	static const char raw[] = { '[', '1', ']' };
	_cleanup_json_ struct json *document = json_parse(raw, sizeof(raw), NULL);

	assert_non_null(document);
	for (size_t cut = 0; cut < sizeof(raw); cut++)
		assert_null(json_parse(raw, cut, NULL));
	assert_null(json_parse("[1]\0", 4, NULL));
	assert_null(json_parse("[1]\0]", 5, NULL));
	assert_null(json_parse("\"a\0b\"", 5, NULL));
	assert_null(json_parse("[\0]", 3, NULL));
}

static void refuses_nul_characters(void **state)
{
	_cleanup_json_ struct json *fine = parse("\"a\\\\u0000\""); /* a backslash and letters */
	struct err err;

	assert_null(json_parse("\"a\\u0000b\"", 10, &err));
	assert_non_null(strstr(err.text, "NUL"));
	assert_null(parse("{\"a\\u0000b\":1}"));
	assert_string_equal(json_text(fine), "a\\u0000");
}

static char *nested(size_t depth, const char *open, const char *close)
{
	struct buf text = BUF_NULL;

	for (size_t i = 0; i < depth; i++)
		buf_add_text(&text, open);
	buf_add_text(&text, "1");
	for (size_t i = 0; i < depth; i++)
		buf_add_text(&text, close);
	return buf_take(&text);
}

static void depth_is_bounded(void **state)
{
	_cleanup_free_ char *fits = nested(JSON_DEPTH_MAX, "[", "]"),
			    *deep = nested(JSON_DEPTH_MAX + 1, "[", "]");
	_cleanup_free_ char *fits2 = nested(JSON_DEPTH_MAX / 2, "[{\"a\":", "}]"),
			    *hostile = nested(500000, "[", "]");
	_cleanup_json_ struct json *a = parse(fits), *b = parse(fits2),
				   *c = parse("\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"");
	struct err err;

	assert_non_null(a);
	assert_non_null(b);
	assert_non_null(c); /* brackets in a string are text */
	assert_null(json_parse(deep, strlen(deep), &err));
	assert_non_null(strstr(err.text, "31 levels"));
	assert_null(parse(hostile));
}

static char *zeros(size_t count)
{
	struct buf text = BUF_NULL;

	buf_add_text(&text, "[\",[{,\"");
	for (size_t i = 1; i < count; i++)
		buf_add_text(&text, ",0");
	buf_add_text(&text, "]");
	return buf_take(&text);
}

/* Each costs far more than its bytes. The array itself is one of them; text is none. */
static void values_are_bounded(void **state)
{
	_cleanup_free_ char *fits = zeros(JSON_VALUES_MAX - 1), *many = zeros(JSON_VALUES_MAX),
			    *more = zeros(JSON_VALUES_LENIENT_MAX);
	_cleanup_json_ struct json *a = parse(fits), *b = NULL;
	struct err err;

	assert_non_null(a);
	assert_null(json_parse(many, strlen(many), &err));
	assert_int_equal(err.code, ERR_TOO_LARGE);
	assert_non_null(strstr(err.text, "more than 50000 values"));
	b = json_parse_lenient(many, strlen(many), &err);
	assert_non_null(b);
	assert_null(json_parse_lenient(more, strlen(more), &err));
	assert_int_equal(err.code, ERR_TOO_LARGE);
}

static void doubled_names(void **state)
{
	static const char text[] = "{\"a\":1,\"x\":[{\"size\":1,\"b\":2,\"size\":3}]}";
	struct err err;
	struct json *lenient;
	int64_t value;

	assert_null(json_parse(text, strlen(text), &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_string_equal(err.field, "size");
	lenient = json_parse_lenient(text, strlen(text), &err);
	assert_int_equal(json_integer(json_get(json_first(json_get(lenient, "x")), "size"), &value),
			 0);
	assert_int_equal(value, 1);
	json_free(lenient);
	lenient = parse("{\"a\":1,\"A\":2,\"b\":{\"a\":1}}"); /* none is doubled here */
	assert_non_null(lenient);
	assert_int_equal(json_integer(json_get(lenient, "A"), &value), 0);
	assert_int_equal(value, 2);
	json_free(lenient);
}

/* An object of so many names, in which the one at "again" stands at the end as well; none if it is
 * as large. */
static char *names(size_t count, size_t again)
{
	struct buf text = BUF_NULL;

	buf_add_text(&text, "{");
	for (size_t i = 0; i < count; i++)
		buf_printf(&text, "\"n%zu\":1,", i);
	buf_printf(&text, "\"n%zu\":1}", again);
	return buf_take(&text);
}

static void a_doubled_name_is_found_at_any_size(void **state)
{
	for (size_t count = 1; count < 60; count++) {
		for (size_t again = 0; again <= count; again++) {
			_cleanup_free_ char *text = names(count, again);
			_cleanup_json_ struct json *json = parse(text);

			assert_int_equal(json != NULL, again == count);
		}
	}
}

static void integers_are_exact_or_refused(void **state)
{
	static const struct {
		const char *text;
		bool good;
		int64_t value;
	} rows[] = {
		{ "0", true, 0 },
		{ "-0", true, 0 },
		{ "9007199254740991", true, INT64_C(9007199254740991) },
		{ "-9007199254740991", true, -INT64_C(9007199254740991) },
		{ "9007199254740992", false, 0 },
		{ "9007199254740993", false, 0 }, /* a double rounds it to ...992 */
		{ "18446744073709551616", false, 0 },
		{ "1.5", false, 0 },
		{ "1.0", false, 0 },
		{ "1e3", false, 0 },
		{ "1E3", false, 0 },
		{ "1e30", false, 0 },
		{ "1e999", false, 0 },
		{ "9007199254740990.6", false, 0 }, /* a double rounds it to ...991 */
		{ "\"5\"", false, 0 },
		{ "true", false, 0 },
		{ "null", false, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_json_ struct json *document = parse(rows[i].text);
		int64_t value = 7;

		assert_non_null(document);
		assert_int_equal(json_integer(document, &value), rows[i].good ? 0 : -1);
		assert_true(value == (rows[i].good ? rows[i].value : 7));
	}
	assert_int_equal(json_integer(NULL, &(int64_t){ 0 }), -1);
}

/* Which number was written how must not be mixed up by what stands between them. */
static void fractions_are_matched_to_their_numbers(void **state)
{
	_cleanup_json_ struct json *document = parse(
		"{\"1.5\":1,\"b\":[2.0,{\"c-3\":3},\"4.5 \\\" 5.5\",6e0],\"d\":7,\"e\":-8.0,\"f\":-9}");
	const struct json *b = json_get(document, "b"), *item = json_first(b);
	int64_t value;

	assert_int_equal(json_integer(json_get(document, "1.5"), &value), 0);
	assert_int_equal(json_integer(item, &value), -1);
	item = json_next(item);
	assert_int_equal(json_integer(json_first(item), &value), 0);
	assert_int_equal(value, 3);
	assert_string_equal(json_name(json_first(item)), "c-3");
	item = json_next(json_next(item));
	assert_int_equal(json_integer(item, &value), -1);
	assert_null(json_next(item));
	assert_int_equal(json_integer(json_get(document, "d"), &value), 0);
	assert_int_equal(value, 7);
	assert_int_equal(json_integer(json_get(document, "e"), &value), -1);
	assert_int_equal(json_integer(json_get(document, "f"), &value), 0);
	assert_int_equal(value, -9);
}

static void a_member_can_be_taken_out(void **state)
{
	static const char text[] = "{\"a\":1,\"A\":2,\"b\":{\"a\":3}}";
	_cleanup_json_ struct json *document = json_parse(text, strlen(text), NULL);
	struct buf out = BUF_NULL;
	struct json_writer writer = { .out = &out };

	json_drop(document, "a");
	json_drop(document, "none");
	json_put_node(&writer, document);
	assert_string_equal(out.data, "{\"A\":2,\"b\":{\"a\":3}}");
	buf_clear(&out);
}

static void lookups_chain_over_nothing(void **state)
{
	_cleanup_json_ struct json *document =
		parse("{\"a\":{\"b\":\"x\"},\"yes\":true,\"old\":\"true\",\"n\":2.5}");

	assert_string_equal(json_text(json_get(json_get(document, "a"), "b")), "x");
	assert_null(json_text(json_get(json_get(json_get(document, "no"), "b"), "c")));
	assert_null(json_get(document, "Yes"));
	assert_null(json_get(json_get(document, "n"), "x"));
	assert_null(json_first(NULL));
	assert_null(json_next(NULL));
	assert_null(json_name(NULL));
	assert_int_equal(json_kind(NULL), JSON_NULL);
	assert_true(json_true(json_get(document, "yes")));
	assert_true(json_true(json_get(document, "old")));
	assert_false(json_true(json_get(document, "a")));
	assert_false(json_true(NULL));
	assert_true(json_number(json_get(document, "n")) == 2.5);
	assert_true(json_number(json_get(document, "yes")) == 0);
	json_free(NULL);
	for (int kind = JSON_NULL; kind <= JSON_OBJECT; kind++)
		assert_non_null(json_kind_name((enum json_kind)kind));
}

static void raw_controls_are_read_and_escaped(void **state)
{
	assert_rewritten("\"a\tb\x01\x1f\"", "\"a\\tb\\u0001\\u001f\"");
	assert_rewritten("{\"a\nb\":\"\x7f\"}", "{\"a\\nb\":\"\\u007f\"}");
}

#define BAD "\xef\xbf\xbd"

/* Wherever it stands: plain characters are looked at eight at a time. */
static void each_character_is_escaped_if_need_be(void **state)
{
	for (int c = 1; c < 0x80; c++) {
		for (size_t at = 0; at < 20; at++) {
			_cleanup_buf_ struct buf out = BUF_NULL;
			_cleanup_json_writer_ struct json_writer w = { .out = &out };
			_cleanup_json_ struct json *node = NULL;
			bool escaped = c < ' ' || c == '"' || c == '\\' || c == 0x7f;
			char text[] = "abcdefghijklmnopqrst";

			text[at] = (char)c;
			json_put_text(&w, text);
			assert_true(escaped == (out.length > strlen(text) + 2));
			node = json_parse(out.data, out.length, NULL);
			assert_string_equal(json_text(node), text);
		}
	}
}

static void broken_utf8_is_replaced(void **state)
{
	static const char text[] = "{\"\xff\":\"a\xff \xc3\",\"\xfe\":\"\xed\xa0\x80\"}";
	_cleanup_buf_ struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &out };
	_cleanup_json_ struct json *document = json_parse_lenient(text, strlen(text), NULL);

	json_put_node(&w, document);
	assert_string_equal(out.data,
			    "{\"" BAD "\":\"a" BAD " " BAD "\",\"" BAD "\":\"" BAD BAD BAD "\"}");
	assert_rewritten("\"\xe2\x82\xac\"", "\"\xe2\x82\xac\"");
}

/* Written again, the two names would be one. */
static void broken_utf8_is_refused(void **state)
{
	static const char *const bad[] = { "{\"\xff\":1,\"\xfe\":2}", "\"\xc3\"",
					   "\"\xed\xa0\x80\"", "\"a\xe2\x82" };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err err = { 0 };

		assert_null(json_parse(bad[i], strlen(bad[i]), &err));
		assert_int_equal(err.code, ERR_INVALID);
		assert_non_null(strstr(err.text, "not UTF-8 at byte"));
	}
}

static void writes(void **state)
{
	_cleanup_buf_ struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &out };

	json_begin_object(&w);
	json_put_name(&w, "a");
	json_begin_array(&w);
	json_put_int(&w, INT64_MIN);
	json_put_uint(&w, UINT64_MAX);
	json_put_int(&w, INT64_C(1125899906842625));
	json_put_text(&w, "\"\\/\b\f\n\r\t");
	json_put_text(&w, NULL);
	json_put_bool(&w, true);
	json_begin_object(&w);
	json_end_object(&w);
	json_put_raw(&w, "[0]");
	json_end_array(&w);
	json_put_name(&w, "b\"");
	json_put_bool(&w, false);
	json_end_object(&w);
	assert_string_equal(out.data,
			    "{\"a\":[-9223372036854775808,18446744073709551615,1125899906842625,"
			    "\"\\\"\\\\/\\b\\f\\n\\r\\t\",null,true,{},[0]],\"b\\\"\":false}");
}

static void doubles_survive(void **state)
{
	static const double values[] = { 0,    0.1,     1.0 / 3, 1e21,
					 -2.5, DBL_MAX, DBL_MIN, 123456789.125 };

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		_cleanup_buf_ struct buf out = BUF_NULL;
		_cleanup_json_writer_ struct json_writer w = { .out = &out };

		json_put_double(&w, values[i]);
		_cleanup_json_ struct json *back = parse(out.data);
		assert_true(json_number(back) == values[i]);
	}
	_cleanup_buf_ struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &out };

	json_begin_array(&w);
	json_put_double(&w, (double)INFINITY);
	json_put_double(&w, (double)NAN);
	json_end_array(&w);
	assert_string_equal(out.data, "[null,null]");
}

/* ---- what would not be JSON ---- */

static void an_end_too_few(struct json_writer *w)
{
	json_begin_object(w);
}

static void an_end_too_many(struct json_writer *w)
{
	json_begin_object(w);
	json_end_object(w);
	json_end_object(w);
}

static void an_object_that_ends_as_an_array(struct json_writer *w)
{
	json_begin_object(w);
	json_end_array(w);
}

static void an_array_that_ends_as_an_object(struct json_writer *w)
{
	json_begin_array(w);
	json_end_object(w);
}

static void a_name_outside_of_an_object(struct json_writer *w)
{
	json_put_name(w, "a");
}

static void a_name_in_an_array(struct json_writer *w)
{
	json_begin_array(w);
	json_put_name(w, "a");
}

static void two_names(struct json_writer *w)
{
	json_begin_object(w);
	json_put_name(w, "a");
	json_put_name(w, "b");
}

static void a_name_without_a_value(struct json_writer *w)
{
	json_begin_object(w);
	json_put_name(w, "a");
	json_end_object(w);
}

static void a_value_without_a_name(struct json_writer *w)
{
	json_begin_object(w);
	json_put_bool(w, true);
}

static void two_values_for_a_name(struct json_writer *w)
{
	json_begin_object(w);
	json_put_name(w, "a");
	json_put_int(w, 1);
	json_put_text(w, "2");
}

static void two_values(struct json_writer *w)
{
	json_put_int(w, 1);
	json_begin_array(w);
}

static void too_many_levels(struct json_writer *w)
{
	for (int i = 0; i <= JSON_WRITER_DEPTH_MAX; i++)
		json_begin_array(w);
}

/* In a child, since the assertion ends the process. */
static int status_after(void (*misuse)(struct json_writer *w))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		_cleanup_buf_ struct buf out = BUF_NULL;
		_cleanup_json_writer_ struct json_writer w = { .out = &out };

		dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
		signal(SIGABRT, SIG_DFL);
		misuse(&w);
		json_writer_check(&w);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void asserts_that_it_writes_json(void **state)
{
	static void (*const misuses[])(struct json_writer * w) = {
		an_end_too_few,
		an_end_too_many,
		an_object_that_ends_as_an_array,
		an_array_that_ends_as_an_object,
		a_name_outside_of_an_object,
		a_name_in_an_array,
		two_names,
		a_name_without_a_value,
		a_value_without_a_name,
		two_values_for_a_name,
		two_values,
		too_many_levels,
	};

	for (size_t i = 0; i < ARRAY_SIZE(misuses); i++) {
		int status = status_after(misuses[i]);

		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
			fail_msg("misuse %zu was not noticed", i);
	}
}

RUN_TESTS(cmocka_unit_test(reads_and_writes_again), cmocka_unit_test(refuses_what_is_not_json),
	  cmocka_unit_test(length_counts_not_the_zero), cmocka_unit_test(refuses_nul_characters),
	  cmocka_unit_test(depth_is_bounded), cmocka_unit_test(values_are_bounded),
	  cmocka_unit_test(doubled_names), cmocka_unit_test(a_doubled_name_is_found_at_any_size),
	  cmocka_unit_test(integers_are_exact_or_refused),
	  cmocka_unit_test(fractions_are_matched_to_their_numbers),
	  cmocka_unit_test(a_member_can_be_taken_out), cmocka_unit_test(lookups_chain_over_nothing),
	  cmocka_unit_test(raw_controls_are_read_and_escaped),
	  cmocka_unit_test(each_character_is_escaped_if_need_be),
	  cmocka_unit_test(broken_utf8_is_replaced), cmocka_unit_test(broken_utf8_is_refused),
	  cmocka_unit_test(writes), cmocka_unit_test(doubles_survive),
	  cmocka_unit_test(asserts_that_it_writes_json))
