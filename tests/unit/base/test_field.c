/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One record with a member of each type, taken through JSON, text, limits, defaults and copies. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/field.h"
#include "lack.h"

struct sample {
	char *name;
	char *vm_id;
	bool force;
	int64_t disk_number;
	uint64_t size;
	int64_t created_at;
	int64_t wait;
	int state;
	char *metadata;
	char *secret_note;
	int64_t limit;
};

static const char *const states[] = { "free", "busy", "gone", NULL };

static const struct field fields[] = {
	FIELD(sample, name, TEXT, .flags = FIELD_REQUIRED, .min = 1, .max = 5, .doc = "A name."),
	FIELD(sample, vm_id, UUID, .flags = FIELD_REQUIRED, .doc = "A machine."),
	FIELD(sample, force, BOOL, .flags = FIELD_OMIT, .doc = "Whether."),
	FIELD(sample, disk_number, INT, .flags = FIELD_REQUIRED, .max = 15, .doc = "Which disk."),
	FIELD(sample, size, SIZE, .flags = FIELD_REQUIRED, .min = INT64_C(1) << 30,
	      .max = INT64_C(64) << 40, .doc = "How large."),
	FIELD(sample, created_at, TIME, .doc = "When."),
	FIELD(sample, wait, DURATION, .fallback = "2s", .max = 60000, .doc = "How long."),
	FIELD(sample, state, ENUM, .names = states, .fallback = "busy", .doc = "State."),
	FIELD(sample, metadata, OBJECT, .max = 40, .doc = "Anything."),
	FIELD(sample, secret_note, TEXT, .flags = FIELD_PRIVATE, .doc = "Ours."),
	FIELD(sample, limit, INT, .flags = FIELD_OMIT, .min = 1, .doc = "At least one."),
};
static const struct record record = RECORD("sample", sample, fields);

#define VM "0d9ef9f6-3f7e-4b2a-9c8d-3f1f6f0f2a11"
#define VM_UPPER "0D9EF9F6-3F7E-4B2A-9C8D-3F1F6F0F2A11"

static struct sample sample;
static struct err err;

static int fresh(void **state)
{
	record_init(&record, &sample);
	memset(&err, 0, sizeof(err));
	return 0;
}

static int clear(void **state)
{
	record_clear(&record, &sample);
	return 0;
}

static int read_json(const char *text)
{
	_cleanup_json_ struct json *document = json_parse(text, strlen(text), NULL);

	assert_non_null(document);
	return record_from_json(&record, &sample, document, &err);
}

static int read_text(const char *name, const char *text)
{
	return field_from_text(record_find(&record, name), &sample, text, &err);
}

static void assert_refused(int result, const char *field, const char *text)
{
	assert_int_equal(result, -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_string_equal(err.field, field);
	assert_string_equal(err.text, text);
}

static void defaults(void **state)
{
	assert_null(sample.name);
	assert_int_equal(sample.wait, 2000);
	assert_int_equal(sample.state, 1);
	assert_string_equal(field_word(record_find(&record, "state"), &sample), "busy");
	assert_null(record_find(&record, "nothing"));
	for (int type = 0; type < FIELD_TYPE_COUNT; type++) {
		const struct field_type_view *view = field_type_view((enum field_type)type);

		assert_non_null(view->json);
		assert_non_null(view->bus);
		assert_non_null(view->what);
	}
}

static void json_in_and_out(void **state)
{
	_cleanup_buf_ struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &out };

	assert_int_equal(
		read_json(
			"{\"name\":\"gr\\u00fcn\",\"vm_id\":\"" VM_UPPER
			"\",\"force\":true,\"disk_number\":3,"
			"\"size\":5368709120,\"created_at\":\"2026-11-22T22:50:03+0100\",\"wait\":250,"
			"\"state\":\"gone\",\"metadata\":{ \"a\" : [1, 2.5] },\"secret_note\":\"s\",\"limit\":9}"),
		0);
	assert_string_equal(sample.vm_id, VM);
	assert_true(sample.size == UINT64_C(5) << 30);
	assert_string_equal(sample.metadata, "{\"a\":[1,2.5]}");
	record_to_json(&record, &sample, false, &w);
	assert_string_equal(
		out.data,
		"{\"name\":\"gr\xc3\xbcn\",\"vm_id\":\"" VM "\",\"force\":true,\"disk_number\":3,"
		"\"size\":5368709120,\"created_at\":\"2026-11-22T21:50:03.000Z\",\"wait\":250,"
		"\"state\":\"gone\",\"metadata\":{\"a\":[1,2.5]},\"limit\":9}");
	buf_reset(&out);
	w = (struct json_writer){ .out = &out };
	record_to_json(&record, &sample, true, &w);
	assert_non_null(strstr(out.data, "\"secret_note\":\"s\""));
}

static void json_of_nothing_has_the_declared_types(void **state)
{
	_cleanup_buf_ struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &out };

	record_to_json(&record, &sample, false, &w);
	assert_string_equal(
		out.data,
		"{\"name\":\"\",\"vm_id\":\"\",\"disk_number\":0,\"size\":0,\"created_at\":null,"
		"\"wait\":2000,\"state\":\"busy\",\"metadata\":{}}");
}

static void sizes_beyond_a_doubles_reach_are_written_exactly(void **state)
{
	_cleanup_buf_ struct buf out = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &out };

	sample.size = UINT64_C(9007199254740993);
	field_to_json(record_find(&record, "size"), &sample, &w);
	assert_string_equal(out.data, "9007199254740993");
}

static void wrong_types_are_named(void **state)
{
	assert_refused(read_json("{\"size\":\"5\"}"), "size",
		       "size must be a whole number of bytes, got a string");
	assert_refused(read_json("{\"size\":1.5}"), "size",
		       "size must be a whole number of bytes, got 1.5");
	assert_refused(read_json("{\"size\":-5}"), "size",
		       "size must be a whole number of bytes, got -5");
	assert_refused(read_json("{\"size\":null}"), "size",
		       "size must be a whole number of bytes, got null");
	assert_refused(read_json("{\"size\":1e30}"), "size",
		       "size must be a whole number of bytes, got 1e+30");
}

static void wrong_types_of_the_others(void **state)
{
	assert_refused(read_json("{\"name\":5}"), "name", "name must be a string, got 5");
	assert_refused(read_json("{\"name\":{}}"), "name", "name must be a string, got an object");
	assert_refused(read_json("{\"force\":\"yes\"}"), "force",
		       "force must be true or false, got a string");
	assert_refused(read_json("{\"wait\":[]}"), "wait",
		       "wait must be a whole number of milliseconds, got an array");
	assert_refused(read_json("{\"state\":1}"), "state", "state must be a string, got 1");
	assert_refused(read_json("{\"metadata\":\"{}\"}"), "metadata",
		       "metadata must be an object, got a string");
	assert_refused(read_json("{\"created_at\":\"yesterday\"}"), "created_at",
		       "created_at must be a time such as 2026-11-22T21:50:03Z, got \"yesterday\"");
	assert_refused(read_json("[]"), "", "a JSON object is needed, got an array");
	/* Nothing was changed by any of it. */
	assert_null(sample.name);
	assert_int_equal(sample.wait, 2000);
	assert_int_equal(sample.state, 1);
}

static void null_means_not_given(void **state)
{
	assert_int_equal(read_json("{\"wait\":null,\"state\":null,\"metadata\":null}"), 0);
	assert_int_equal(sample.wait, 2000);
	assert_int_equal(sample.state, 1);
	assert_refused(read_json("{\"name\":null}"), "name", "name must be a string, got null");
}

static void unknown_fields_name_the_known_ones(void **state)
{
	assert_refused(
		read_json("{\"nmae\":\"x\"}"), "nmae",
		"unknown field \"nmae\"; known are: name, vm_id, force, disk_number, size, created_at, wait, state, "
		"metadata, limit");
	assert_int_equal(read_json("{\"Name\":\"x\"}"), -1);
}

static void limits_of_numbers(void **state)
{
	assert_refused(read_json("{\"size\":536870912}"), "size",
		       "size must be at least 1 GiB (1073741824), got 536870912");
	assert_refused(read_json("{\"size\":70368744177665}"), "size",
		       "size must be at most 64 TiB (70368744177664), got 70368744177665");
	assert_refused(read_text("size", "17179869183G"), "size",
		       "size is far too large: 18446744072635809792 bytes");
	assert_true(sample.size == 0);
	assert_int_equal(read_json("{\"size\":1073741824}"), 0);
	assert_int_equal(read_json("{\"size\":70368744177664}"), 0);
	assert_refused(read_json("{\"disk_number\":16}"), "disk_number",
		       "disk_number must be at most 15, got 16");
	assert_refused(read_json("{\"disk_number\":-1}"), "disk_number",
		       "disk_number must be at least 0, got -1");
	assert_refused(read_text("wait", "61s"), "wait", "wait must be at most 1min, got 61s");
	assert_refused(read_json("{\"limit\":0}"), "limit", "limit must be at least 1, got 0");
	/* .min alone is no upper limit */
	assert_int_equal(read_json("{\"limit\":9007199254740991}"), 0);
}

static void limits_of_texts_count_characters(void **state)
{
	assert_int_equal(read_json("{\"name\":\"\\u00fc\\u00fc\\u00fc\\u00fc\\u00fc\"}"), 0);
	assert_refused(read_json("{\"name\":\"abcdef\"}"), "name",
		       "name must have at most 5 characters, got 6");
	assert_refused(read_json("{\"name\":\"\"}"), "name", "name must not be empty");
	assert_refused(read_json("{\"name\":\"a\\nb\"}"), "name",
		       "name must be UTF-8 text without control characters, line ends, and "
		       "noncharacters such as U+FFFE");
	assert_refused(read_text("name", "a\xff"), "name",
		       "name must be UTF-8 text without control characters, line ends, and "
		       "noncharacters such as U+FFFE");
	assert_string_equal(sample.name, "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc");
	assert_int_equal(
		read_json("{\"metadata\":{\"a\":\"0123456789012345678901234567890123456789\"}}"),
		-1);
	assert_string_equal(err.field, "metadata");
}

static void ids_and_words(void **state)
{
	assert_int_equal(read_text("vm_id", VM_UPPER), 0);
	assert_string_equal(sample.vm_id, VM);
	assert_int_equal(read_text("vm_id", "vm-7"), -1);
	assert_string_equal(err.field, "vm_id");
	assert_non_null(strstr(err.text, "got \"vm-7\""));
	assert_string_equal(sample.vm_id, VM);
	assert_int_equal(read_text("vm_id", ""), 0);
	assert_null(sample.vm_id);
	assert_refused(read_text("state", "lost"), "state",
		       "state must be one of free, busy, gone; got \"lost\"");
	assert_int_equal(read_text("state", "free"), 0);
	assert_int_equal(sample.state, 0);
}

static void texts_there_and_back(void **state)
{
	static const struct {
		const char *field, *in, *out;
	} rows[] = {
		{ "name", "vol", "vol" },
		{ "vm_id", VM_UPPER, VM },
		{ "force", "on", "yes" },
		{ "force", "0", "no" },
		{ "disk_number", "7", "7" },
		{ "size", "5368709120", "5GiB" },
		{ "size", "1025M", "1025MiB" },
		{ "size", "1073741825", "1073741825" },
		{ "size", "64T", "64TiB" },
		{ "created_at", "2026-11-22T21:50:03.5Z", "2026-11-22T21:50:03.500Z" },
		{ "created_at", "", "" },
		{ "wait", "60s", "1min" },
		{ "wait", "1500ms", "1500ms" },
		{ "wait", "0", "0s" },
		{ "state", "gone", "gone" },
		{ "metadata", " { \"a\" : 1 } ", "{\"a\":1}" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct field *field = record_find(&record, rows[i].field);
		_cleanup_buf_ struct buf out = BUF_NULL, again = BUF_NULL;

		assert_int_equal(field_from_text(field, &sample, rows[i].in, &err), 0);
		field_to_text(field, &sample, &out);
		assert_string_equal(str_or(out.data, ""), rows[i].out);
		assert_int_equal(field_from_text(field, &sample, rows[i].out, &err), 0);
		field_to_text(field, &sample, &again);
		assert_string_equal(str_or(again.data, ""), rows[i].out);
	}
}

static void texts_refused(void **state)
{
	assert_refused(
		read_text("size", "abc"), "size",
		"size must be a size such as 5GiB (units: KiB, MiB, GiB, TiB; bytes without a unit), got \"abc\"");
	assert_refused(read_text("disk_number", "1.5"), "disk_number",
		       "disk_number must be a whole number, got \"1.5\"");
	assert_refused(read_text("force", "maybe"), "force",
		       "force must be yes or no, got \"maybe\"");
	assert_refused(read_text("wait", "soon"), "wait",
		       "wait must be a duration such as 2s, 250ms or 5min, got \"soon\"");
	assert_int_equal(read_text("metadata", "{"), -1);
	assert_string_equal(err.field, "metadata");
	assert_true(str_has_prefix(err.text, "metadata: not JSON"));
	assert_refused(read_text("metadata", "[1]"), "metadata",
		       "metadata must be an object, got an array");
}

static void values_set_by_other_means_are_checked(void **state)
{
	sample.size = 5;
	assert_refused(field_check(record_find(&record, "size"), &sample, &err), "size",
		       "size must be at least 1 GiB (1073741824), got 5");
	sample.state = 3;
	assert_int_equal(field_check(record_find(&record, "state"), &sample, &err), -1);
	sample.state = -1;
	assert_int_equal(field_check(record_find(&record, "state"), &sample, &err), -1);
	sample.state = 2;
	assert_int_equal(field_check(record_find(&record, "state"), &sample, &err), 0);
	sample.wait = -1;
	assert_int_equal(field_check(record_find(&record, "wait"), &sample, &err), -1);
	str_set(&sample.name, "abcdef");
	assert_int_equal(field_check(record_find(&record, "name"), &sample, &err), -1);
	str_set(&sample.vm_id, "x");
	assert_int_equal(field_check(record_find(&record, "vm_id"), &sample, &err), -1);
	assert_int_equal(field_check(record_find(&record, "metadata"), &sample, &err), 0);
	assert_int_equal(field_check(record_find(&record, "created_at"), &sample, &err), 0);
}

static void required_ones_are_asked_for_in_order(void **state)
{
	assert_refused(record_check_required(&record, &sample, &err), "name", "name is required");
	str_set(&sample.name, "");
	assert_int_equal(record_check_required(&record, &sample, &err), -1);
	str_set(&sample.name, "a");
	assert_refused(record_check_required(&record, &sample, &err), "vm_id", "vm_id is required");
	str_set(&sample.vm_id, VM);
	/* Disk number 0 is a disk; a size of 0 is none. */
	assert_refused(record_check_required(&record, &sample, &err), "size", "size is required");
	sample.size = UINT64_C(1) << 30;
	assert_int_equal(record_check_required(&record, &sample, &err), 0);
}

static void copies_are_deep(void **state)
{
	struct sample copy;

	record_init(&record, &copy);
	str_set(&copy.secret_note, "old");
	str_set(&sample.name, "one");
	sample.size = 77;
	sample.force = true;
	sample.state = 2;
	record_copy(&record, &copy, &sample);
	assert_string_equal(copy.name, "one");
	assert_ptr_not_equal(copy.name, sample.name);
	assert_null(copy.secret_note);
	assert_true(copy.size == 77 && copy.force && copy.state == 2 && copy.wait == 2000);
	record_clear(&record, &copy);
	assert_null(copy.name);
	assert_true(copy.size == 0 && copy.wait == 0);
	assert_string_equal(sample.name, "one");
}

struct opened {
	int file;
};
static const struct field opened_fields[] = {
	FIELD(opened, file, DESCRIPTOR, .flags = FIELD_REQUIRED, .doc = "An open file."),
};
static const struct record opened_record = RECORD("opened", opened, opened_fields);

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void an_open_file_belongs_to_its_struct(void **state)
{
	struct opened opened = { .file = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3) }, copy = { 0 };
	int first = opened.file, second;

	record_copy(&opened_record, &copy, &opened);
	second = copy.file;
	assert_true(second > 2 && second != first && is_open(second));
	assert_int_equal(record_check_required(&opened_record, &copy, &err), 0);
	record_clear(&opened_record, &opened);
	assert_false(is_open(first));
	assert_true(is_open(second));
	record_clear(&opened_record, &copy);
	assert_false(is_open(second));
	assert_int_equal(record_check_required(&opened_record, &copy, &err), -1);
	assert_string_equal(err.text, "file is required");
}

static void a_lack_of_descriptors_is_no_missing_field(void **state)
{
	struct opened opened = { .file = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3) }, copy = { 0 };
	struct lack lack;

	lack_of_descriptors(&lack, 0);
	record_copy(&opened_record, &copy, &opened);
	lack_end(&lack);
	assert_int_equal(record_check_required(&opened_record, &copy, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_string_equal(err.text, "the open file cannot be kept: Too many open files");
	record_clear(&opened_record, &copy);
	record_clear(&opened_record, &opened);
}

static void no_text_is_an_open_file(void **state)
{
	_cleanup_json_ struct json *number = json_parse("1", 1, NULL);
	struct opened opened = { 0 };

	assert_int_equal(field_from_text(&opened_fields[0], &opened, "1", &err), -1);
	assert_non_null(strstr(err.text, "an open file"));
	assert_int_equal(field_from_json(&opened_fields[0], &opened, number, &err), -1);
	assert_non_null(strstr(err.text, "only D-Bus"));
	assert_int_equal(opened.file, 0);
}

static void set_or_not(void **state)
{
	for (size_t i = 0; i < record.count; i++) {
		record_clear(&record, &sample);
		assert_false(field_is_set(&record.fields[i], &sample));
	}
	str_set(&sample.name, "");
	sample.force = true;
	sample.limit = -1;
	sample.size = 1;
	sample.state = 1;
	assert_true(field_is_set(record_find(&record, "name"), &sample));
	assert_true(field_is_set(record_find(&record, "force"), &sample));
	assert_true(field_is_set(record_find(&record, "limit"), &sample));
	assert_true(field_is_set(record_find(&record, "size"), &sample));
	assert_true(field_is_set(record_find(&record, "state"), &sample));
}

static void same_for_a_reader(void **state)
{
	struct sample other;

	record_init(&record, &other);
	record_copy(&record, &other, &sample);
	for (size_t i = 0; i < record.count; i++)
		assert_true(field_is_same(&record.fields[i], &other, &sample));
	/* Not given and empty look the same to a reader. */
	str_set(&other.name, NULL);
	str_set(&sample.name, "");
	str_set(&other.metadata, NULL);
	str_set(&sample.metadata, "{}");
	assert_true(field_is_same(record_find(&record, "name"), &other, &sample));
	assert_true(field_is_same(record_find(&record, "metadata"), &other, &sample));
	/* Every type has a difference that shows, and other members do not change with it. */
	str_set(&other.name, "b");
	str_set(&other.vm_id, "0d9ef9f6-3f7e-4b2a-9c8d-3f1f6f0f2a12");
	str_set(&other.metadata, "{\"a\":1}");
	other.force = !sample.force;
	other.disk_number = sample.disk_number + 1;
	other.size = sample.size + 1;
	other.created_at = sample.created_at + 1;
	other.wait = sample.wait + 1;
	other.state = sample.state + 1;
	for (size_t i = 0; i < record.count; i++) {
		const char *name = record.fields[i].name;
		bool is_same = streq(name, "secret_note") || streq(name, "limit");

		assert_int_equal(field_is_same(&record.fields[i], &other, &sample), is_same);
	}
	record_clear(&record, &other);
}

struct link {
	int64_t port;
	double load;
};

static const struct field link_fields[] = {
	FIELD(link, port, PORT, .min = 1, .max = 65535, .doc = "Which port."),
	FIELD(link, load, RATIO, .doc = "How much of it is in use."),
};
static const struct record link_record = RECORD("link", link, link_fields);

static void ports_and_ratios(void **state)
{
	static const char wrong[] = "{\"port\":1,\"load\":\"x\"}";
	_cleanup_json_ struct json *document = json_parse(wrong, strlen(wrong), NULL);
	_cleanup_buf_ struct buf out = BUF_NULL, text = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &out };
	struct link link = { 0 }, other = { .load = 0.5 };

	assert_int_equal(field_from_text(&link_fields[0], &link, "10809", &err), 0);
	assert_refused(field_from_text(&link_fields[0], &link, "65536", &err), "port",
		       "port must be at most 65535, got 65536");
	assert_false(field_is_set(&link_fields[1], &link));
	assert_false(field_is_same(&link_fields[1], &link, &other));
	link.load = -0.25;
	field_to_text(&link_fields[1], &link, &text);
	assert_string_equal(text.data, "-0.25");
	record_to_json(&link_record, &link, false, &w);
	assert_string_equal(out.data, "{\"port\":10809,\"load\":-0.25}");
	assert_refused(record_from_json(&link_record, &other, document, &err), "load",
		       "load must be a number, got a string");
	json_free(document);
	document = json_parse(out.data, out.length, NULL);
	assert_int_equal(record_from_json(&link_record, &other, document, &err), 0);
	assert_true(other.load == link.load && other.port == link.port);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fresh, clear)
RUN_TESTS(T(defaults), T(json_in_and_out), T(json_of_nothing_has_the_declared_types),
	  T(sizes_beyond_a_doubles_reach_are_written_exactly), T(wrong_types_are_named),
	  T(wrong_types_of_the_others), T(null_means_not_given),
	  T(unknown_fields_name_the_known_ones), T(limits_of_numbers),
	  T(limits_of_texts_count_characters), T(ids_and_words), T(texts_there_and_back),
	  T(texts_refused), T(values_set_by_other_means_are_checked),
	  T(required_ones_are_asked_for_in_order), T(copies_are_deep),
	  T(an_open_file_belongs_to_its_struct), T(a_lack_of_descriptors_is_no_missing_field),
	  T(no_text_is_an_open_file), T(set_or_not), T(same_for_a_reader), T(ports_and_ratios))
