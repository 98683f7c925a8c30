/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The buffer grows, stays terminated, and can be emptied and given away. */
#include "unit.h"

#include "base/buf.h"

static void grows(void **state)
{
	_cleanup_buf_ struct buf buf = BUF_NULL;

	assert_null(buf.data);
	buf_add(&buf, "", 0);
	assert_null(buf.data);
	for (int i = 0; i < 100000; i++) {
		buf_add_char(&buf, (char)('a' + i % 26));
		assert_int_equal(buf.data[buf.length], 0);
	}
	assert_int_equal(buf.length, 100000);
	for (int i = 0; i < 100000; i++)
		assert_int_equal(buf.data[i], 'a' + i % 26);
}

static void prints_short_and_long(void **state)
{
	_cleanup_buf_ struct buf buf = BUF_NULL;

	buf_printf(&buf, "%s-%d", "a", 5);
	assert_string_equal(buf.data, "a-5");
	buf_printf(&buf, "%*d", 5000, 7);
	assert_int_equal(buf.length, 5003);
	assert_int_equal(buf.data[5002], '7');
	assert_int_equal(strlen(buf.data), 5003);
	/* Every length around the end of the room. */
	for (int width = 1; width < 400; width++) {
		buf_reset(&buf);
		buf_clear(&buf);
		buf_printf(&buf, "%*d", width, 1);
		assert_int_equal(strlen(buf.data), width);
		buf_printf(&buf, "%*d", width, 2);
		assert_int_equal(strlen(buf.data), 2 * width);
	}
}

static void keeps_zero_bytes(void **state)
{
	_cleanup_buf_ struct buf buf = BUF_NULL;

	buf_add(&buf, "a\0b", 3);
	buf_add_text(&buf, "c");
	assert_int_equal(buf.length, 4);
	assert_memory_equal(buf.data, "a\0bc", 5);
}

static void empties_and_gives_away(void **state)
{
	struct buf buf = BUF_NULL;
	char *text;

	buf_add_text(&buf, "one");
	buf_reset(&buf);
	assert_int_equal(buf.length, 0);
	assert_string_equal(buf.data, "");
	buf_add_text(&buf, "two");
	text = buf_take(&buf);
	assert_string_equal(text, "two");
	assert_null(buf.data);
	free(text);
	text = buf_take(&buf);
	assert_string_equal(text, "");
	free(text);
	buf_clear(&buf);
}

RUN_TESTS(cmocka_unit_test(grows), cmocka_unit_test(prints_short_and_long),
	  cmocka_unit_test(keeps_zero_bytes), cmocka_unit_test(empties_and_gives_away))
