/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checked numbers, UTF-8, texts and small files: mostly what must be refused. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/util.h"

static void numbers_at_their_limits(void **state)
{
	uint64_t u = 7;
	int64_t i = 7;

	assert_int_equal(parse_u64("18446744073709551615", &u), 0);
	assert_true(u == UINT64_MAX);
	assert_int_equal(parse_u64("18446744073709551616", &u), -1);
	assert_true(u == UINT64_MAX);
	assert_int_equal(parse_i64("-9223372036854775808", &i), 0);
	assert_true(i == INT64_MIN);
	assert_int_equal(parse_i64("9223372036854775807", &i), 0);
	assert_true(i == INT64_MAX);
	assert_int_equal(parse_i64("9223372036854775808", &i), -1);
	assert_int_equal(parse_i64("-9223372036854775809", &i), -1);
	assert_true(i == INT64_MAX);
	assert_int_equal(parse_i64("-0", &i), 0);
	assert_true(i == 0);
}

static void numbers_refused(void **state)
{
	static const char *const bad[] = { "",  " 1",  "1 ",  "+1",  "0x10", "1a",
					   "-", "--1", "1.0", "1e3", "\n1" };
	uint64_t u = 7;
	int64_t i = 7;

	for (size_t n = 0; n < ARRAY_SIZE(bad); n++) {
		assert_int_equal(parse_u64(bad[n], &u), -1);
		assert_int_equal(parse_i64(bad[n], &i), -1);
	}
	assert_int_equal(parse_u64("-1", &u), -1);
	assert_true(u == 7 && i == 7);
}

static void sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{ "0", 0 },
		{ "1073741824", 1073741824 },
		{ "5GiB", UINT64_C(5) << 30 },
		{ "512M", UINT64_C(512) << 20 },
		{ "1K", 1024 },
		{ "64TiB", UINT64_C(64) << 40 },
		{ "16777215T", UINT64_C(16777215) << 40 },
	};
	static const char *const bad[] = { "",    "GiB", "5 GiB",     "5gib",
					   "5GB", "5Gi", "5GiBx",     "1.5G",
					   "-5G", "5P",  "16777216T", "18446744073709551616" };
	uint64_t bytes = 7;

	for (size_t n = 0; n < ARRAY_SIZE(good); n++) {
		assert_int_equal(parse_size(good[n].text, &bytes), 0);
		assert_true(bytes == good[n].bytes);
	}
	bytes = 7;
	for (size_t n = 0; n < ARRAY_SIZE(bad); n++)
		assert_int_equal(parse_size(bad[n], &bytes), -1);
	assert_true(bytes == 7);
}

static void durations(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = { { "0", 0 },          { "2", 2000 },
		     { "250ms", 250 },    { "2s", 2000 },
		     { "5min", 300000 },  { "24h", 86400000 },
		     { "7d", 604800000 }, { "9223372036854775807ms", INT64_MAX } };
	static const char *const bad[] = {
		"", "s", "5m", "-1s", "1.5s", "2 s", "9223372036854775807s", "9223372036854775808ms"
	};
	int64_t ms = 7;

	for (size_t n = 0; n < ARRAY_SIZE(good); n++) {
		assert_int_equal(parse_duration(good[n].text, &ms), 0);
		assert_true(ms == good[n].ms);
	}
	ms = 7;
	for (size_t n = 0; n < ARRAY_SIZE(bad); n++)
		assert_int_equal(parse_duration(bad[n], &ms), -1);
	assert_true(ms == 7);
}

static void truth(void **state)
{
	static const char *const yes[] = { "yes", "true", "on", "1" }, *const no[] = { "no",
										       "false",
										       "off", "0" };
	bool value;

	for (size_t n = 0; n < ARRAY_SIZE(yes); n++) {
		value = false;
		assert_int_equal(parse_bool(yes[n], &value), 0);
		assert_true(value);
		assert_int_equal(parse_bool(no[n], &value), 0);
		assert_false(value);
	}
	assert_int_equal(parse_bool("YES", &value), -1);
	assert_int_equal(parse_bool("", &value), -1);
}

static void plain_text(void **state)
{
	static const char *const good[] = { "",
					    "volume 1",
					    "gr\xc3\xbc\xc3\x9f",
					    "\xe2\x82\xac",
					    "\xf0\x9f\x92\xbe",
					    "\xf4\x8f\xbf\xbd" };
	static const char *const bad[] = { "a\nb",
					   "\x7f",
					   "\x1b[31m",
					   "\xc2\x85" /* C1 */,
					   "\x80",
					   "\xc3",
					   "\xc0\xaf" /* overlong */,
					   "\xe0\x80\xaf",
					   "\xed\xa0\x80" /* surrogate */,
					   "\xf4\x90\x80\x80",
					   "\xf8\x88\x80\x80\x80",
					   "\xf0\x8f\xbf\xbf",
					   "\xef\xbf\xbf" /* noncharacters */,
					   "\xef\xb7\x90",
					   "\xf4\x8f\xbf\xbe",
					   "a\xff" };

	for (size_t n = 0; n < ARRAY_SIZE(good); n++)
		assert_true(str_is_plain_text(good[n]));
	for (size_t n = 0; n < ARRAY_SIZE(bad); n++)
		assert_false(str_is_plain_text(bad[n]));
	assert_int_equal(utf8_count("gr\xc3\xbc\xc3\x9f"), 4);
}

static void texts(void **state)
{
	char *slot = NULL;

	assert_null(xstrdup(NULL));
	str_set(&slot, "long text");
	str_set(&slot, slot + 5); /* a part of itself */
	assert_string_equal(slot, "text");
	str_set(&slot, NULL);
	assert_null(slot);
	assert_true(str_has_prefix("volume", "vol"));
	assert_false(str_has_prefix("vo", "vol"));
	assert_false(str_has_prefix(NULL, "vol"));
	assert_false(streq(NULL, NULL));

	_cleanup_free_ char *cut = xstrndup("volume", 3);
	assert_string_equal(cut, "vol");
}

static void small_files(void **state)
{
	char folder[] = "/tmp/test-util-XXXXXX";
	size_t length = 0;
	FILE *file;
	int dir;

	assert_non_null(mkdtemp(folder));
	dir = open(folder, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	file = fdopen(openat(dir, "f", O_CREAT | O_WRONLY | O_CLOEXEC, 0600), "w");
	for (int i = 0; i < 1000; i++)
		fputc('a' + i % 26, file);
	fclose(file);

	_cleanup_free_ char *exact = read_file_at(dir, "f", 1000, &length);
	assert_non_null(exact);
	assert_int_equal(length, 1000);
	assert_int_equal(strlen(exact), 1000);
	assert_int_equal(exact[999], 'a' + 999 % 26);

	errno = 0;
	assert_null(read_file_at(dir, "f", 999, NULL));
	assert_int_equal(errno, EFBIG);
	assert_null(read_file_at(dir, "absent", 10, NULL));
	assert_int_equal(errno, ENOENT);
	/* procfs claims a size of 0. */
	_cleanup_free_ char *proc = read_file_at(AT_FDCWD, "/proc/self/stat", 65536, &length);
	assert_non_null(proc);
	assert_true(length > 10);

	unlinkat(dir, "f", 0);
	rmdir(folder);
	close(dir);
}

RUN_TESTS(cmocka_unit_test(numbers_at_their_limits), cmocka_unit_test(numbers_refused),
	  cmocka_unit_test(sizes), cmocka_unit_test(durations), cmocka_unit_test(truth),
	  cmocka_unit_test(plain_text), cmocka_unit_test(texts), cmocka_unit_test(small_files))
