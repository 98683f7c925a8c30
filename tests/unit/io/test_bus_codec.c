/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Values on their way into messages and out of them, without a bus: a message is written, sealed
 * and read again. It belongs to a connection whose other end nobody reads.
 */

#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <sys/socket.h>

#include "io/bus_codec.h"

static const char *const colour_names[] = { "red", "green", NULL };

struct thing {
	char *text;
	char *id;
	bool flag;
	int64_t number;
	uint64_t size;
	int64_t when;
	int64_t lasts;
	int colour;
	char *object;
	char *hidden;
	char *optional;
	int64_t port;
	double share;
	char *place;
};

/* Only a path is a place on the bus. */
static const char *place_on_bus(const char *value, const void *object)
{
	return value && *value == '/' ? value : "";
}

#define M(NAME, TYPE, ...)                                                                         \
	{                                                                                          \
		.name = (NAME), .type = FIELD_##TYPE, __VA_ARGS__                                  \
	}
static const struct field item_table[] = { M("size", SIZE), M("share", RATIO) };
static const struct record item_members = { .name = "item",
					    .fields = item_table,
					    .count = ARRAY_SIZE(item_table) };
static const struct field member_table[] = {
	M("size", SIZE),
	M("port", PORT),
	M("place", TEXT, .bus_text = place_on_bus),
	M("items", OBJECT, .flags = FIELD_LIST, .members = &item_members),
};
#undef M
static const struct record object_members = { .name = "object",
					      .fields = member_table,
					      .count = ARRAY_SIZE(member_table) };

#define F(MEMBER, TYPE, ...) FIELD(thing, MEMBER, TYPE, __VA_ARGS__)
static const struct field thing_fields[] = {
	F(text, TEXT, .max = 5, .doc = "x"),
	F(id, UUID, .doc = "x"),
	F(flag, BOOL, .doc = "x"),
	F(number, INT, .min = -5, .max = INT64_MAX, .doc = "x"),
	F(size, SIZE, .doc = "x"),
	F(when, TIME, .doc = "x"),
	F(lasts, DURATION, .doc = "x"),
	F(colour, ENUM, .names = colour_names, .doc = "x"),
	F(object, OBJECT, .members = &object_members, .doc = "x"),
	F(hidden, TEXT, .flags = FIELD_PRIVATE, .doc = "x"),
	F(optional, TEXT, .flags = FIELD_OMIT, .doc = "x"),
	F(port, PORT, .flags = FIELD_OMIT, .max = 65535, .doc = "x"),
	F(place, TEXT, .flags = FIELD_OMIT, .bus_text = place_on_bus, .doc = "x"),
	/* the last, since it is only written */
	F(share, RATIO, .flags = FIELD_OMIT, .doc = "x"),
};
#undef F
static const struct record thing_record = RECORD("thing", thing, thing_fields);

static const struct field *field(const char *name)
{
	return record_find(&thing_record, name);
}

/* ---- messages ---- */

struct fixture {
	int ends[2];
	sd_bus *bus;
	sd_bus_message *m;
	struct thing thing;
	struct err err;
	struct buf json;
};

static void new_message(struct fixture *f)
{
	sd_bus_message_unref(f->m);
	assert_true(sd_bus_message_new_signal(f->bus, &f->m, "/x", "x.Y", "Z") >= 0);
	f->err = (struct err){ 0 };
}

static int set_up(void **state)
{
	struct fixture *f = xnew(struct fixture);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, f->ends), 0);
	assert_true(sd_bus_new(&f->bus) >= 0);
	assert_true(sd_bus_set_fd(f->bus, f->ends[0], f->ends[0]) >= 0);
	assert_true(sd_bus_start(f->bus) >= 0);
	record_init(&thing_record, &f->thing);
	new_message(f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	sd_bus_message_unref(f->m);
	sd_bus_close(f->bus);
	sd_bus_unref(f->bus);
	close(f->ends[1]);
	record_clear(&thing_record, &f->thing);
	buf_clear(&f->json);
	free(f);
	return 0;
}

static void turn_to_reading(struct fixture *f)
{
	assert_true(sd_bus_message_seal(f->m, 1, 0) >= 0);
	assert_true(sd_bus_message_rewind(f->m, true) >= 0);
}

/* What was appended, as JSON. */
static const char *written(struct fixture *f)
{
	turn_to_reading(f);
	buf_reset(&f->json);
	if (bus_read_json(f->m, &f->json, 1 << 20, &f->err) < 0)
		fail_msg("%s", f->err.text);
	return f->json.data;
}

static void assert_signature(struct fixture *f, const char *signature)
{
	assert_string_equal(sd_bus_message_get_signature(f->m, true), signature);
}

static void fill(struct thing *thing)
{
	str_set(&thing->text, "täxt");
	str_set(&thing->id, "0a1b2c3d-0000-4000-8000-00000000000f");
	thing->flag = true;
	thing->number = -5;
	thing->size = UINT64_C(1) << 60;
	thing->when = INT64_C(1795384203123);
	thing->lasts = 1500;
	thing->colour = 1;
	str_set(&thing->object, "{\"a\":[1,2.5,\"x\",true,{}]}");
	str_set(&thing->hidden, "geheim");
}

/* ---- writing ---- */

static void a_record_shows_its_public_fields(void **state)
{
	struct fixture *f = *state;

	fill(&f->thing);
	assert_true(bus_append_record(f->m, &thing_record, &f->thing) >= 0);
	assert_signature(f, "a{sv}");
	assert_string_equal(
		written(f),
		"{\"text\":\"täxt\",\"id\":\"0a1b2c3d-0000-4000-8000-00000000000f\","
		"\"flag\":true,\"number\":-5,\"size\":1152921504606846976,"
		"\"when\":\"2026-11-22T21:50:03.123Z\",\"lasts\":1500,\"colour\":\"green\","
		"\"object\":{\"a\":[1,2.5,\"x\",true,{}]}}");
}

static void what_is_not_set_is_empty_or_left_out(void **state)
{
	struct fixture *f = *state;

	assert_true(bus_append_record(f->m, &thing_record, &f->thing) >= 0);
	assert_string_equal(
		written(f),
		"{\"text\":\"\",\"id\":\"\",\"flag\":false,\"number\":0,\"size\":0,\"when\":\"\","
		"\"lasts\":0,\"colour\":\"red\",\"object\":{}}");
}

static void each_field_has_its_declared_type(void **state)
{
	struct fixture *f = *state;

	fill(&f->thing);
	for (size_t i = 0; i < thing_record.count; i++) {
		new_message(f);
		assert_true(bus_append_field(f->m, &thing_fields[i], &f->thing) >= 0);
		assert_signature(f, field_type_view(thing_fields[i].type)->bus);
	}
}

static void an_entry_is_a_name_and_a_variant(void **state)
{
	struct fixture *f = *state;

	fill(&f->thing);
	assert_true(sd_bus_message_open_container(f->m, 'a', "{sv}") >= 0);
	assert_true(bus_append_entry(f->m, field("size"), &f->thing) >= 0);
	assert_true(sd_bus_message_close_container(f->m) >= 0);
	assert_string_equal(written(f), "{\"size\":1152921504606846976}");
}

/* The bus ends the connection of a program that sends anything but UTF-8. */
static void texts_are_made_utf8(void **state)
{
	struct fixture *f = *state;

	assert_true(bus_append_text(f->m, "a\xff") >= 0);
	assert_string_equal(written(f), "\"a\xef\xbf\xbd\"");
}

/* A volume may be named so in CloudStack. A client with sd-bus could not read the whole answer. */
static void noncharacters_are_replaced(void **state)
{
	struct fixture *f = *state;
	const char *text;

	assert_true(bus_append_text(f->m, "\xef\xbf\xbe, a\tb, \xef\xb7\xaf, \xf0\x9f\xbf\xbf") >=
		    0);
	turn_to_reading(f);
	assert_true(sd_bus_message_read(f->m, "s", &text) > 0);
	assert_string_equal(text, "\xef\xbf\xbd, a\tb, \xef\xbf\xbd, \xef\xbf\xbd");
}

static int append_object(struct fixture *f, const char *json)
{
	str_set(&f->thing.object, json);
	return bus_append_field(f->m, field("object"), &f->thing);
}

/* A typed client reads one quantity in one way, in a record and inside an object. */
static void a_quantity_has_one_type_everywhere(void **state)
{
	static const char *const expected[] = { "t", "q", "s", "x", "d" };
	struct fixture *f = *state;
	const char *contents;

	assert_true(append_object(f, "{\"size\":5,\"port\":10809,\"place\":\"gone\",\"other\":5,"
				     "\"more\":0.5}") >= 0);
	turn_to_reading(f);
	assert_true(sd_bus_message_enter_container(f->m, 'a', "{sv}") > 0);
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		assert_true(sd_bus_message_enter_container(f->m, 'e', "sv") > 0);
		assert_true(sd_bus_message_skip(f->m, "s") >= 0);
		assert_true(sd_bus_message_peek_type(f->m, NULL, &contents) > 0);
		assert_string_equal(contents, expected[i]);
		assert_true(sd_bus_message_skip(f->m, "v") >= 0);
		assert_true(sd_bus_message_exit_container(f->m) >= 0);
	}
	new_message(f);
	f->thing.port = 65535;
	assert_true(bus_append_field(f->m, field("port"), &f->thing) >= 0);
	f->thing.share = 1;
	assert_true(bus_append_field(f->m, field("share"), &f->thing) >= 0);
	assert_signature(f, "qd");
}

static void lists_have_the_types_of_their_items(void **state)
{
	struct fixture *f = *state;
	const char *contents;

	/* a{sv} with av with a{sv} with a double that JSON writes without a point */
	assert_true(append_object(f, "{\"items\":[{\"share\":1}]}") >= 0);
	turn_to_reading(f);
	assert_true(sd_bus_message_enter_container(f->m, 'a', "{sv}") > 0);
	assert_true(sd_bus_message_enter_container(f->m, 'e', "sv") > 0);
	assert_true(sd_bus_message_skip(f->m, "s") >= 0);
	assert_true(sd_bus_message_enter_container(f->m, 'v', "av") > 0);
	assert_true(sd_bus_message_enter_container(f->m, 'a', "v") > 0);
	assert_true(sd_bus_message_enter_container(f->m, 'v', "a{sv}") > 0);
	assert_true(sd_bus_message_enter_container(f->m, 'a', "{sv}") > 0);
	assert_true(sd_bus_message_enter_container(f->m, 'e', "sv") > 0);
	assert_true(sd_bus_message_skip(f->m, "s") >= 0);
	assert_true(sd_bus_message_peek_type(f->m, NULL, &contents) > 0);
	assert_string_equal(contents, "d");
}

static void words_in_the_place_of_a_value_are_left_out(void **state)
{
	struct fixture *f = *state;
	char elsewhere[] = "gone-somewhere";
	struct thing other = { .place = elsewhere };

	str_set(&f->thing.place, "gone");
	assert_true(bus_append_field(f->m, field("place"), &f->thing) >= 0);
	assert_string_equal(written(f), "\"\"");
	assert_true(bus_field_is_same(field("place"), &f->thing, &other));
	str_set(&f->thing.place, "/dev/vdb");
	assert_false(bus_field_is_same(field("place"), &f->thing, &other));
	new_message(f);
	assert_true(bus_append_field(f->m, field("place"), &f->thing) >= 0);
	assert_string_equal(written(f), "\"/dev/vdb\"");
	new_message(f);
	assert_true(append_object(f, "{\"place\":\"gone\"}") >= 0);
	assert_string_equal(written(f), "{\"place\":\"\"}");
}

static void json_becomes_nested_dicts(void **state)
{
	struct fixture *f = *state;

	assert_true(append_object(f, "{\"n\":null,\"i\":9007199254740991,\"d\":0.5,\"l\":[null,[]],"
				     "\"o\":{\"t\":\"x\"}}") >= 0);
	assert_signature(f, "a{sv}");
	/* D-Bus has no null. */
	assert_string_equal(written(f),
			    "{\"i\":9007199254740991,\"d\":0.5,\"l\":[[]],\"o\":{\"t\":\"x\"}}");
}

static void what_is_no_object_is_an_empty_one(void **state)
{
	static const char *const texts[] = { NULL, "", "[1]", "{\"a\":" };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		new_message(f);
		assert_true(append_object(f, texts[i]) >= 0);
		assert_string_equal(written(f), "{}");
	}
}

/* {"a":{"a":…1…}} */
static char *nested(unsigned depth)
{
	struct buf out = BUF_NULL;

	for (unsigned i = 0; i < depth; i++)
		buf_add_text(&out, "{\"a\":");
	buf_add_char(&out, '1');
	for (unsigned i = 0; i < depth; i++)
		buf_add_char(&out, '}');
	return buf_take(&out);
}

static void what_lies_too_deep_goes_as_text(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *deep = nested(15), *deeper = nested(20);

	assert_true(append_object(f, deep) >= 0);
	assert_string_equal(written(f), deep);
	new_message(f);
	assert_true(append_object(f, deeper) >= 0);
	assert_non_null(strstr(written(f), "\"{\\\"a\\\":"));
}

/* ---- reading ---- */

static void what_was_written_is_read_again(void **state)
{
	struct fixture *f = *state;
	struct thing read = { 0 };

	fill(&f->thing);
	str_set(&f->thing.optional, "there");
	str_set(&f->thing.place, "/there");
	for (size_t i = 0; i < thing_record.count - 1; i++)
		assert_true(bus_append_field(f->m, &thing_fields[i], &f->thing) >= 0);
	turn_to_reading(f);
	record_init(&thing_record, &read);
	for (size_t i = 0; i < thing_record.count - 1; i++) {
		_cleanup_buf_ struct buf was = BUF_NULL, is = BUF_NULL;

		if (bus_read_field(f->m, &thing_fields[i], &read, &f->err) < 0)
			fail_msg("%s", f->err.text);
		field_to_text(&thing_fields[i], &f->thing, &was);
		field_to_text(&thing_fields[i], &read, &is);
		assert_string_equal(is.data, was.data);
	}
	record_clear(&thing_record, &read);
}

static void integers_of_any_width_are_taken(void **state)
{
	static const int64_t numbers[] = { 200, -2, 65535, -3, UINT32_MAX, -4, INT64_MAX };
	struct fixture *f = *state;

	assert_true(sd_bus_message_append(f->m, "ynqiuxt", 200, -2, 65535, -3, UINT32_MAX,
					  INT64_C(-4), (uint64_t)INT64_MAX) >= 0);
	turn_to_reading(f);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		assert_int_equal(bus_read_field(f->m, field("number"), &f->thing, &f->err), 0);
		assert_int_equal(f->thing.number, numbers[i]);
	}
}

static void assert_refused(struct fixture *f, const char *name, const char *text)
{
	turn_to_reading(f);
	assert_int_equal(bus_read_field(f->m, field(name), &f->thing, &f->err), -1);
	assert_int_equal(f->err.code, ERR_INVALID);
	assert_string_equal(f->err.field, name);
	if (!strstr(f->err.text, text))
		fail_msg("%s", f->err.text);
}

static void but_none_that_does_not_fit(void **state)
{
	struct fixture *f = *state;

	assert_true(sd_bus_message_append(f->m, "x", (int64_t)-1) >= 0);
	assert_refused(f, "size", "size must not be negative");
	new_message(f);
	assert_true(sd_bus_message_append(f->m, "t", (uint64_t)INT64_MAX + 1) >= 0);
	assert_refused(f, "number", "number is out of range");
	new_message(f);
	assert_true(sd_bus_message_append(f->m, "i", -6) >= 0);
	assert_refused(f, "number", "number");
}

static void other_types_are_refused_with_the_right_one(void **state)
{
	struct fixture *f = *state;

	assert_true(sd_bus_message_append(f->m, "s", "5GiB") >= 0);
	assert_refused(f, "size", "(D-Bus type t), got type s");
	new_message(f);
	assert_true(sd_bus_message_append(f->m, "d", 1.0) >= 0);
	assert_refused(f, "number", "(D-Bus type x), got type d");
	new_message(f);
	assert_true(sd_bus_message_append(f->m, "i", 1) >= 0);
	assert_refused(f, "flag", "(D-Bus type b), got type i");
	new_message(f);
	assert_true(sd_bus_message_append(f->m, "as", 1, "x") >= 0);
	assert_refused(f, "object", "(D-Bus type a{sv}), got type as");
}

static void values_have_the_limits_of_their_fields(void **state)
{
	struct fixture *f = *state;

	assert_true(sd_bus_message_append(f->m, "s", "sixsix") >= 0);
	assert_refused(f, "text", "text");
	new_message(f);
	assert_true(sd_bus_message_append(f->m, "s", "blue") >= 0);
	assert_refused(f, "colour", "red, green");
	new_message(f);
	assert_true(sd_bus_message_append(f->m, "s", "not one") >= 0);
	assert_refused(f, "id", "UUID");
}

static void json_has_a_word_for_most_types(void **state)
{
	struct fixture *f = *state;

	assert_true(sd_bus_message_append(f->m, "(ybnqiuxtdsogava{sv})", 1, true, -2, 3, -4, 5,
					  INT64_C(-6), UINT64_C(7), 0.5, "text", "/path", "as", 1,
					  "s", "v", 1, "k", "i", 8) >= 0);
	assert_string_equal(
		written(f),
		"[1,true,-2,3,-4,5,-6,7,0.5,\"text\",\"/path\",\"as\",[\"v\"],{\"k\":8}]");
}

static void assert_no_json(struct fixture *f, size_t max_length, enum err_code code,
			   const char *text)
{
	turn_to_reading(f);
	buf_reset(&f->json);
	assert_int_equal(bus_read_json(f->m, &f->json, max_length, &f->err), -1);
	assert_int_equal(f->err.code, code);
	if (!strstr(f->err.text, text))
		fail_msg("%s", f->err.text);
}

static void and_refuses_the_others(void **state)
{
	struct fixture *f = *state;

	assert_true(sd_bus_message_append(f->m, "h", STDERR_FILENO) >= 0);
	assert_no_json(f, 1000, ERR_INVALID, "D-Bus type h has no place in JSON");
	new_message(f);
	assert_true(sd_bus_message_append(f->m, "d", INFINITY) >= 0);
	assert_no_json(f, 1000, ERR_INVALID, "numbers must be finite");
	new_message(f);
	assert_true(sd_bus_message_append(f->m, "a{is}", 1, 2, "x") >= 0);
	assert_no_json(f, 1000, ERR_INVALID, "the keys of a dict must be strings");
}

static void reading_is_bounded(void **state)
{
	struct fixture *f = *state;
	unsigned depth = 0;

	assert_true(sd_bus_message_append(f->m, "as", 3, "1234", "1234", "1234") >= 0);
	assert_no_json(f, 10, ERR_TOO_LARGE, "larger than 10 bytes");
	new_message(f);
	while (depth < 80 && sd_bus_message_open_container(f->m, 'v', depth < 79 ? "v" : "i") >= 0)
		depth++;
	assert_true(depth > 64);
	assert_true(sd_bus_message_append(f->m, "i", 1) >= 0);
	for (; depth; depth--)
		assert_true(sd_bus_message_close_container(f->m) >= 0);
	assert_no_json(f, 1000, ERR_INVALID, "nested too deeply");
}

#define T(NAME) cmocka_unit_test_setup_teardown(NAME, set_up, tear_down)
RUN_TESTS(T(a_record_shows_its_public_fields), T(what_is_not_set_is_empty_or_left_out),
	  T(each_field_has_its_declared_type), T(an_entry_is_a_name_and_a_variant),
	  T(texts_are_made_utf8), T(noncharacters_are_replaced), T(json_becomes_nested_dicts),
	  T(a_quantity_has_one_type_everywhere), T(lists_have_the_types_of_their_items),
	  T(words_in_the_place_of_a_value_are_left_out), T(what_is_no_object_is_an_empty_one),
	  T(what_lies_too_deep_goes_as_text), T(what_was_written_is_read_again),
	  T(integers_of_any_width_are_taken), T(but_none_that_does_not_fit),
	  T(other_types_are_refused_with_the_right_one), T(values_have_the_limits_of_their_fields),
	  T(json_has_a_word_for_most_types), T(and_refuses_the_others), T(reading_is_bounded))
