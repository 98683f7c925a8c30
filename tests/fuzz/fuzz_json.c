/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * JSON and records. The first character chooses: 1 the lenient reader, 2 the arguments of a method
 * (the next character says which), 3 and the next character: the text many times in one list, which
 * reaches the limits, and costs most time; all others: the strict reader.
 *
 * A text that is read and written again is read as the same, also by the strict reader, since
 * documents are stored as they are written. A document has no more values and levels than the limit
 * says, and costs no more memory than its length allows.
 */

#include "base/field.h"
#include "fuzz.h"
#include "spec/methods.h"

#define REPEATED_MAX ((size_t)160 << 10) /* more than JSON_VALUES_MAX values can take */
#define POWER_MAX 17
#define REPEATED_TEXT_MAX 16 /* bytes; a longer text would take most of the time */
/* cJSON keeps 64 bytes for a value, and a value has two characters or more. */
#define MEMORY_FOR(SIZE) ((SIZE)*128 + ((size_t)64 << 10))

static size_t count_values(const struct json *node, int depth)
{
	size_t count = 1;

	/* Numbers and texts stand inside the deepest level. */
	MUST(depth <= JSON_DEPTH_MAX + 1);
	for (const struct json *child = json_first(node); child; child = json_next(child))
		count += count_values(child, depth + 1);
	return count;
}

static char *write_node(const struct json *node)
{
	struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &out };

	json_put_node(&w, node);
	return buf_take(&out);
}

static void try_text(const char *text, size_t length, bool strict)
{
	struct err err = { 0 };
	struct json *document;
	_cleanup_json_ struct json *again = NULL;
	_cleanup_free_ char *once = NULL, *twice = NULL;

	memory_watch();
	document = strict ? json_parse(text, length, &err) : json_parse_lenient(text, length, &err);
	MUST(memory_peak() <= MEMORY_FOR(length));
	MUST(!document == (err.code != ERR_NONE));
	must_be_sound(&err);
	if (!document)
		return;
	MUST(count_values(document, 1) <= (strict ? JSON_VALUES_MAX : JSON_VALUES_LENIENT_MAX));
	once = write_node(document);
	json_free(document);
	again = strict ? json_parse(once, strlen(once), &err)
		       : json_parse_lenient(once, strlen(once), &err);
	must_equal(err.text, "");
	twice = write_node(again);
	must_equal(once, twice);
}

static void try_repeated(const char *text, size_t length, unsigned power)
{
	_cleanup_buf_ struct buf list = BUF_NULL;

	for (size_t i = 0; i < (size_t)1 << power && list.length + length < REPEATED_MAX; i++) {
		buf_add_char(&list, i == 0 ? '[' : ',');
		buf_add(&list, text, length);
	}
	buf_add_char(&list, ']');
	try_text(list.data, list.length, true);
}

/* What a caller would send to say the same; a value that is not set may be none that is allowed. */
static char *write_record(const struct record *record, const void *object)
{
	struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &out };

	json_begin_object(&w);
	for (size_t i = 0; i < record->count; i++) {
		const struct field *field = &record->fields[i];

		if (!field_is_set(field, object) && !field->fallback)
			continue;
		json_put_name(&w, field->name);
		field_to_json(field, object, &w);
	}
	json_end_object(&w);
	return buf_take(&out);
}

static int read_record(const struct record *record, void *object, const char *text, size_t length,
		       struct err *err)
{
	_cleanup_json_ struct json *document = json_parse(text, length, err);

	record_init(record, object);
	return document ? record_from_json(record, object, document, err) : -1;
}

static void try_record(const struct record *record, const char *text, size_t length)
{
	_cleanup_free_ void *object = xcalloc(1, record->size), *copy = xcalloc(1, record->size);
	_cleanup_free_ char *once = NULL, *twice = NULL;
	struct err err = { 0 };

	if (read_record(record, object, text, length, &err) == 0) {
		once = write_record(record, object);
		MUST(read_record(record, copy, once, strlen(once), &err) == 0);
		twice = write_record(record, copy);
		must_equal(once, twice);
		record_check_required(record, object, &err);
	}
	must_be_sound(&err);
	record_clear(record, object);
	record_clear(record, copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned variant = take_byte(&data, &size) % 16;
	unsigned choice = variant == 2 || variant == 3 ? take_byte(&data, &size) : 0;
	_cleanup_free_ char *text = xstrndup((const char *)data, 0);

	/* A copy of exactly this size, so that the sanitizer sees any byte read beyond it. */
	text = xrealloc(text, size ? size : 1);
	memcpy(text, data, size);
	if (variant == 2)
		try_record(methods[choice % METHOD_COUNT].args, text, size);
	else if (variant == 3)
		try_repeated(text, size,
			     size <= REPEATED_TEXT_MAX && choice <= POWER_MAX ? choice : 0);
	else
		try_text(text, size, variant != 1);
	return 0;
}
