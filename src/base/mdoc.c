/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * To a formatter of manual pages a line that begins with a dot or a quote is a request, and a
 * backslash begins an escape. It sets the space behind a sentence by the end of its line, so a
 * sentence ends its line: the text of a table is split at each dot before a blank and a capital.
 */

#include "base/mdoc.h"

#include <ctype.h>

static bool is_end_of_sentence(const char *at)
{
	return at[0] == '.' && at[1] == ' ' && isupper((unsigned char)at[2]);
}

void mdoc_add_text(struct buf *out, const char *text)
{
	if (*text == '.' || *text == '\'')
		buf_add_text(out, "\\&");
	for (; *text; text++) {
		if (*text == '\\') {
			buf_add_text(out, "\\e");
		} else if (is_end_of_sentence(text)) {
			buf_add_text(out, ".\n");
			text++;
		} else {
			buf_add_char(out, *text);
		}
	}
	buf_add_char(out, '\n');
}
