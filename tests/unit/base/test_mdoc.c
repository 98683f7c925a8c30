/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Prose of the tables in manual pages: a sentence a line, and no request to the formatter. */
#include "unit.h"

#include "base/mdoc.h"

static void assert_lines(const char *text, const char *expected)
{
	_cleanup_buf_ struct buf out = BUF_NULL;

	mdoc_add_text(&out, text);
	assert_string_equal(out.data, expected);
}

static void each_sentence_has_its_line(void **state)
{
	(void)state;
	assert_lines("", "\n");
	assert_lines("One.", "One.\n");
	assert_lines("One. Two: 1.5 s. Three", "One.\nTwo: 1.5 s.\nThree\n");
	/* Neither ends a sentence. */
	assert_lines("See no. 5, e.g. this", "See no. 5, e.g. this\n");
}

static void nothing_is_a_request_to_the_formatter(void **state)
{
	(void)state;
	assert_lines(".Sh is text", "\\&.Sh is text\n");
	assert_lines("'quoted'", "\\&'quoted'\n");
	assert_lines("C:\\fB", "C:\\efB\n");
	assert_lines("a .b 'c", "a .b 'c\n");
}

RUN_TESTS(cmocka_unit_test(each_sentence_has_its_line),
	  cmocka_unit_test(nothing_is_a_request_to_the_formatter))
