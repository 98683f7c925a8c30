/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How values cross the bus.
 *
 * A record becomes a{sv}: each field a string key and a variant of the field's declared type. A
 * field that holds a JSON object becomes a nested a{sv}, so that a client reads
 * response["device_path"] without a JSON parser. JSON has fewer types than D-Bus: integers become
 * x, other numbers d, arrays av; null has no counterpart and is left out.
 *
 * The way back is used for options such as metadata. There D-Bus has more types than JSON; dicts
 * become objects, arrays and structs become arrays, and types without a counterpart in JSON (file
 * descriptors) are refused.
 */

#include "io/bus_codec.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>

#define OBJECT_LENGTH_MAX (256 << 10) /* of an object without a limit of its own, as JSON */

/*
 * The bus ends the connection of a sender whose value is nested deeper than 64, and one level of
 * JSON is three of D-Bus: array, dict entry, variant. Values that lie deeper than this go as a
 * string of JSON.
 */
#define APPEND_DEPTH_MAX 16
#define READ_DEPTH_MAX 64

int bus_append_plain(sd_bus_message *m, const char *text)
{
	size_t length = strlen(text);
	char *place = NULL;
	int r = sd_bus_message_append_string_space(m, length, &place);

	if (r >= 0)
		memcpy(place, text, length + 1);
	return r;
}

/* Replaces what the bus does not take. It takes control characters. */
static void add_characters(struct buf *out, const char *text)
{
	size_t left = strlen(text), step;
	uint32_t code;

	for (; left > 0; text += step, left -= step) {
		step = utf8_next(text, left, &code);
		if (step > 0 && !utf8_is_noncharacter(code)) {
			buf_add(out, text, step);
			continue;
		}
		buf_add_text(out, "\xef\xbf\xbd");
		step = step ? step : 1;
	}
}

int bus_append_text(sd_bus_message *m, const char *text)
{
	_cleanup_buf_ struct buf clean = BUF_NULL;

	text = str_or(text, "");
	if (str_is_plain_text(text))
		return bus_append_plain(m, text);
	add_characters(&clean, text);
	return bus_append_plain(m, str_or(clean.data, ""));
}

static int append_integer(sd_bus_message *m, int64_t value)
{
	return sd_bus_message_append_basic(m, 'x', &value);
}

/* field: the row of the value, or of the list that holds the value; NULL: there is none. */
static int append_node(sd_bus_message *m, const struct json *node, const struct field *field,
		       unsigned depth);

static int append_as_text(sd_bus_message *m, const struct json *node)
{
	_cleanup_buf_ struct buf text = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &text };
	int r = sd_bus_message_open_container(m, 'v', "s");

	json_put_node(&w, node);
	if (r >= 0)
		r = bus_append_text(m, text.data);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

/* One quantity has one type: a number inside an object has the type of its row if it fits. */
static const char *number_type(const struct json *node, const struct field *field)
{
	enum field_type type = field ? field->type : FIELD_TYPE_COUNT;
	int64_t integer;

	if (type == FIELD_RATIO || json_integer(node, &integer) < 0)
		return "d";
	if (type == FIELD_SIZE && integer >= 0)
		return "t";
	return type == FIELD_PORT && integer >= 0 && integer <= UINT16_MAX ? "q" : "x";
}

static int append_number(sd_bus_message *m, const struct json *node, const struct field *field)
{
	char type = *number_type(node, field);
	int64_t integer = 0;
	double number;

	(void)json_integer(node, &integer);
	switch (type) {
	case 'd':
		number = json_number(node);
		return sd_bus_message_append_basic(m, type, &number);
	case 'q':
		return sd_bus_message_append_basic(m, type, &(uint16_t){ (uint16_t)integer });
	default: /* x or t: the same bits */
		return sd_bus_message_append_basic(m, type, &integer);
	}
}

/* node in a variant of the type that fits it. */
static int append_variant(sd_bus_message *m, const struct json *node, const struct field *field,
			  unsigned depth)
{
	const char *type = "s";
	int r;

	if (depth >= APPEND_DEPTH_MAX)
		return append_as_text(m, node);
	switch (json_kind(node)) {
	case JSON_NULL:
	case JSON_TEXT:
		break;
	case JSON_BOOL:
		type = "b";
		break;
	case JSON_NUMBER:
		type = number_type(node, field);
		break;
	case JSON_ARRAY:
		type = "av";
		break;
	case JSON_OBJECT:
		type = "a{sv}";
		break;
	}
	r = sd_bus_message_open_container(m, 'v', type);
	if (r >= 0)
		r = append_node(m, node, field, depth);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_array(sd_bus_message *m, const struct json *array, const struct field *field,
			unsigned depth)
{
	int r = sd_bus_message_open_container(m, 'a', "v");

	for (const struct json *item = json_first(array); item && r >= 0; item = json_next(item)) {
		if (json_kind(item) != JSON_NULL)
			r = append_variant(m, item, field, depth + 1);
	}
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_object(sd_bus_message *m, const struct json *object, const struct field *field,
			 unsigned depth)
{
	const struct record *members = field ? field->members : NULL;
	int r = sd_bus_message_open_container(m, 'a', "{sv}");

	for (const struct json *member = json_first(object); member && r >= 0;
	     member = json_next(member)) {
		if (json_kind(member) == JSON_NULL)
			continue;
		r = sd_bus_message_open_container(m, 'e', "sv");
		if (r >= 0)
			r = bus_append_text(m, json_name(member));
		if (r >= 0)
			r = append_variant(m, member,
					   members ? record_find(members, json_name(member)) : NULL,
					   depth + 1);
		if (r >= 0)
			r = sd_bus_message_close_container(m);
	}
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_node(sd_bus_message *m, const struct json *node, const struct field *field,
		       unsigned depth)
{
	const char *text = json_text(node);

	switch (json_kind(node)) {
	case JSON_NULL:
	case JSON_TEXT:
		break;
	case JSON_BOOL:
		return sd_bus_message_append_basic(m, 'b', &(int){ json_true(node) });
	case JSON_NUMBER:
		return append_number(m, node, field);
	case JSON_ARRAY:
		return append_array(m, node, field, depth);
	case JSON_OBJECT:
		return append_object(m, node, field, depth);
	}
	return bus_append_text(m, field && field->bus_text ? field->bus_text(text, NULL) : text);
}

/* The text is the daemon's own, or was checked when it came, so its names are not compared with
 * each other once more. */
static struct json *read_own(const char *json)
{
	return json ? json_parse_lenient(json, strlen(json), NULL) : NULL;
}

static int append_json_object(sd_bus_message *m, const struct field *field, const char *json)
{
	_cleanup_json_ struct json *document = read_own(json);
	int r;

	if (document && json_kind(document) == JSON_OBJECT)
		return append_object(m, document, field, 0);
	r = sd_bus_message_open_container(m, 'a', "{sv}");
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static const char *text_on_bus(const struct field *field, const void *object)
{
	const char *value = *(char *const *)field_of_const(field, object);

	return field->bus_text ? field->bus_text(value, object) : value;
}

bool bus_field_is_same(const struct field *field, const void *a, const void *b)
{
	if (field->bus_text)
		return streq(text_on_bus(field, a), text_on_bus(field, b));
	return field_is_same(field, a, b);
}

/* Items that are no objects have no place in a list. */
static int append_list(sd_bus_message *m, const char *json)
{
	_cleanup_json_ struct json *document = read_own(json);
	int r = sd_bus_message_open_container(m, 'a', "a{sv}");

	for (const struct json *item = json_first(document); item && r >= 0;
	     item = json_next(item)) {
		if (json_kind(item) == JSON_OBJECT)
			r = append_object(m, item, NULL, 0);
	}
	return r < 0 ? r : sd_bus_message_close_container(m);
}

int bus_append_field(sd_bus_message *m, const struct field *field, const void *object)
{
	const void *value = field_of_const(field, object);
	_cleanup_buf_ struct buf text = BUF_NULL;

	switch (field->type) {
	case FIELD_TEXT:
	case FIELD_UUID:
		return bus_append_text(m, text_on_bus(field, object));
	case FIELD_BOOL:
		return sd_bus_message_append_basic(m, 'b', &(int){ *(const bool *)value });
	case FIELD_INT:
	case FIELD_DURATION:
		return append_integer(m, *(const int64_t *)value);
	case FIELD_PORT:
		return sd_bus_message_append_basic(m, 'q',
						   &(uint16_t){ (uint16_t) *
								(const int64_t *)value });
	case FIELD_RATIO:
		return sd_bus_message_append_basic(m, 'd', value);
	case FIELD_SIZE:
		return sd_bus_message_append_basic(m, 't', value);
	case FIELD_TIME:
		if (*(const int64_t *)value != 0)
			field_to_text(field, object, &text);
		return bus_append_text(m, text.data);
	case FIELD_ENUM:
		return bus_append_text(m, field_word(field, object));
	case FIELD_OBJECT:
		return append_json_object(m, field, *(char *const *)value);
	case FIELD_ITEMS:
		return append_list(m, *(char *const *)value);
	case FIELD_DESCRIPTOR:
		return sd_bus_message_append_basic(m, 'h', value);
	case FIELD_TYPE_COUNT:
		break;
	}
	return -EINVAL;
}

int bus_append_entry(sd_bus_message *m, const struct field *field, const void *object)
{
	int r = sd_bus_message_open_container(m, 'e', "sv");

	if (r >= 0)
		r = bus_append_plain(m, field->name);
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', field_type_view(field->type)->bus);
	if (r >= 0)
		r = bus_append_field(m, field, object);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

int bus_append_record(sd_bus_message *m, const struct record *record, const void *object)
{
	int r = sd_bus_message_open_container(m, 'a', "{sv}");

	for (size_t i = 0; i < record->count && r >= 0; i++) {
		const struct field *field = &record->fields[i];

		if (field->flags & FIELD_PRIVATE)
			continue;
		if ((field->flags & FIELD_OMIT) && !field_is_set(field, object))
			continue;
		r = bus_append_entry(m, field, object);
	}
	return r < 0 ? r : sd_bus_message_close_container(m);
}

/* --- reading --- */

static int broken(struct err *err)
{
	return err_set(err, ERR_INVALID, "the message cannot be read");
}

/* A number of any integer type: its magnitude and sign. False for other types. */
static bool read_integer(sd_bus_message *m, char type, bool *negative, uint64_t *magnitude)
{
	union {
		uint8_t y;
		int16_t n;
		uint16_t q;
		int32_t i;
		uint32_t u;
		int64_t x;
		uint64_t t;
	} v = { 0 };
	int64_t number;

	if (!strchr("ynqiuxt", type) || sd_bus_message_read_basic(m, type, &v) < 0)
		return false;
	if (type == 't' || type == 'u' || type == 'q' || type == 'y') {
		*negative = false;
		*magnitude = type == 't' ? v.t : type == 'u' ? v.u : type == 'q' ? v.q : v.y;
		return true;
	}
	number = type == 'x' ? v.x : type == 'i' ? v.i : v.n;
	*negative = number < 0;
	*magnitude = number < 0 ? -(uint64_t)number : (uint64_t)number;
	return true;
}

static int read_integer_field(sd_bus_message *m, char type, const struct field *field, void *value,
			      struct err *err)
{
	bool negative = false;
	uint64_t magnitude = 0;

	if (!read_integer(m, type, &negative, &magnitude))
		return broken(err);
	if (field->type == FIELD_SIZE) {
		if (negative)
			return err_set_field(err, field->name, ERR_INVALID,
					     "%s must not be negative", field->name);
		*(uint64_t *)value = magnitude;
		return 0;
	}
	if (magnitude > (uint64_t)INT64_MAX)
		return err_set_field(err, field->name, ERR_INVALID, "%s is out of range",
				     field->name);
	*(int64_t *)value = negative ? -(int64_t)magnitude : (int64_t)magnitude;
	return 0;
}

static int read_object_field(sd_bus_message *m, const struct field *field, void *object,
			     struct err *err)
{
	_cleanup_buf_ struct buf json = BUF_NULL;

	if (bus_read_json(m, &json, field->max > 0 ? (size_t)field->max : OBJECT_LENGTH_MAX, err) <
	    0) {
		err_prefix(err, "%s", field->name);
		if (err)
			snprintf(err->field, sizeof(err->field), "%s", field->name);
		return -1;
	}
	return field_from_text(field, object, json.data, err);
}

/* The message closes its descriptor when the message is freed. */
static int read_descriptor(sd_bus_message *m, const struct field *field, void *object,
			   struct err *err)
{
	int *slot = field_of(field, object);
	int borrowed = -1, fd;

	if (sd_bus_message_read_basic(m, 'h', &borrowed) < 0)
		return broken(err);
	fd = fcntl(borrowed, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return err_set_field(err, field->name, ERR_UNAVAILABLE,
				     "the daemon cannot keep the open file: %s",
				     strerrordesc_np(errno));
	if (*slot)
		close(*slot);
	*slot = fd;
	return 0;
}

static bool type_fits(const struct field *field, char type, const char *contents)
{
	switch (field->type) {
	case FIELD_TEXT:
	case FIELD_UUID:
	case FIELD_TIME:
	case FIELD_ENUM:
		return type == 's';
	case FIELD_BOOL:
		return type == 'b';
	case FIELD_INT:
	case FIELD_PORT:
	case FIELD_DURATION:
	case FIELD_SIZE:
		return strchr("ynqiuxt", type);
	case FIELD_OBJECT:
		return type == 'a' && (streq(contents, "{sv}") || streq(contents, "{ss}"));
	case FIELD_ITEMS: /* in answers alone */
		return false;
	case FIELD_DESCRIPTOR:
		return type == 'h';
	case FIELD_RATIO:
	case FIELD_TYPE_COUNT:
		break;
	}
	return false;
}

int bus_read_field(sd_bus_message *m, const struct field *field, void *object, struct err *err)
{
	const char *contents = NULL;
	const char *text = NULL;
	char type = 0;
	int flag = 0;

	if (sd_bus_message_peek_type(m, &type, &contents) <= 0)
		return broken(err);
	if (!type_fits(field, type, contents))
		return err_set_field(err, field->name, ERR_INVALID,
				     "%s must be %s (D-Bus type %s), got type %c%s", field->name,
				     field_type_view(field->type)->what,
				     field_type_view(field->type)->bus, type, str_or(contents, ""));
	switch (field->type) {
	case FIELD_TEXT:
	case FIELD_UUID:
	case FIELD_TIME:
	case FIELD_ENUM:
		if (sd_bus_message_read_basic(m, 's', &text) < 0)
			return broken(err);
		if ((field->flags & FIELD_DEFAULTED) && !*text)
			return 0;
		return field_from_text(field, object, text, err);
	case FIELD_BOOL:
		if (sd_bus_message_read_basic(m, 'b', &flag) < 0)
			return broken(err);
		*(bool *)field_of(field, object) = flag;
		return 0;
	case FIELD_INT:
	case FIELD_PORT:
	case FIELD_DURATION:
	case FIELD_SIZE:
		if (read_integer_field(m, type, field, field_of(field, object), err) < 0)
			return -1;
		return field_check(field, object, err);
	case FIELD_OBJECT:
		return read_object_field(m, field, object, err);
	case FIELD_DESCRIPTOR:
		return read_descriptor(m, field, object, err);
	case FIELD_RATIO: /* stands in answers alone */
	case FIELD_ITEMS:
	case FIELD_TYPE_COUNT:
		break;
	}
	return broken(err);
}

struct json_reader {
	sd_bus_message *m;
	struct json_writer w;
	size_t max_length;
	unsigned depth;
	struct err *err;
};

static int read_value(struct json_reader *r);

static int read_basic(struct json_reader *r, char type)
{
	bool negative = false;
	uint64_t magnitude = 0;
	const char *text = NULL;
	double number = 0;
	int flag = 0;

	if (strchr("sog", type)) {
		if (sd_bus_message_read_basic(r->m, type, &text) < 0)
			return broken(r->err);
		json_put_text(&r->w, text);
	} else if (type == 'b') {
		if (sd_bus_message_read_basic(r->m, type, &flag) < 0)
			return broken(r->err);
		json_put_bool(&r->w, flag);
	} else if (type == 'd') {
		if (sd_bus_message_read_basic(r->m, type, &number) < 0)
			return broken(r->err);
		if (!isfinite(number))
			return err_set(r->err, ERR_INVALID, "numbers must be finite");
		json_put_double(&r->w, number);
	} else if (read_integer(r->m, type, &negative, &magnitude)) {
		if (negative)
			json_put_int(&r->w, (int64_t)-magnitude);
		else
			json_put_uint(&r->w, magnitude);
	} else {
		return err_set(r->err, ERR_INVALID, "D-Bus type %c has no place in JSON", type);
	}
	return 0;
}

/* Reads to the end of the container that was just entered: its values, or in a dict its entries. */
static int read_items(struct json_reader *r, bool dict)
{
	const char *key = NULL;
	int more;

	while ((more = sd_bus_message_at_end(r->m, false)) == 0) {
		if (dict) {
			if (sd_bus_message_enter_container(r->m, 'e', NULL) <= 0 ||
			    sd_bus_message_read_basic(r->m, 's', &key) < 0)
				return err_set(r->err, ERR_INVALID,
					       "the keys of a dict must be strings");
			json_put_name(&r->w, key);
		}
		if (read_value(r) < 0)
			return -1;
		if (dict && sd_bus_message_exit_container(r->m) < 0)
			return broken(r->err);
		if (r->w.out->length > r->max_length)
			return err_set(r->err, ERR_TOO_LARGE, "the value is larger than %zu bytes",
				       r->max_length);
	}
	return more < 0 ? broken(r->err) : 0;
}

static int read_container(struct json_reader *r, char type, const char *contents)
{
	bool dict = type == 'a' && contents[0] == '{';
	int result;

	if (dict && !strchr("s", contents[1]))
		return err_set(r->err, ERR_INVALID, "the keys of a dict must be strings");
	if (sd_bus_message_enter_container(r->m, type, contents) <= 0)
		return broken(r->err);
	if (type == 'v') {
		result = read_value(r);
	} else if (dict) {
		json_begin_object(&r->w);
		result = read_items(r, true);
		if (result == 0)
			json_end_object(&r->w);
	} else {
		json_begin_array(&r->w);
		result = read_items(r, false);
		if (result == 0)
			json_end_array(&r->w);
	}
	if (result == 0 && sd_bus_message_exit_container(r->m) < 0)
		return broken(r->err);
	return result;
}

static int read_value(struct json_reader *r)
{
	const char *contents = NULL;
	char type = 0;
	int result;

	if (sd_bus_message_peek_type(r->m, &type, &contents) <= 0)
		return broken(r->err);
	if (!strchr("avr", type))
		return read_basic(r, type);
	/* A variant is a level too: nothing else bounds variants in variants. */
	if (r->depth >= READ_DEPTH_MAX)
		return err_set(r->err, ERR_INVALID, "the value is nested too deeply");
	r->depth++;
	result = read_container(r, type, contents);
	r->depth--;
	return result;
}

int bus_read_json(sd_bus_message *m, struct buf *out, size_t max_length, struct err *err)
{
	struct json_reader r = { .m = m, .w.out = out, .max_length = max_length, .err = err };

	if (read_value(&r) < 0)
		return -1; /* perhaps in the middle of the value */
	json_writer_check(&r.w);
	return 0;
}
