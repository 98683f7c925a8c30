/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A message often quotes the outside (a volume's name, CloudStack's error text); a line end in the
 * quote could forge a line of its own, or a field of the journal, and bytes that are not UTF-8 make
 * journalctl show "[blob data]" instead of the line. Both are written as \n and \xNN.
 */

#include "base/log_private.h"

#include <stdio.h>

#define CHARACTER_MAX 16 /* bytes of one, escaped */

static const char priorities[] = {
	[LOG_LEVEL_ERROR] = '3', [LOG_LEVEL_WARNING] = '4', [LOG_LEVEL_NOTICE] = '5',
	[LOG_LEVEL_INFO] = '6',  [LOG_LEVEL_DEBUG] = '7',
};
_Static_assert(ARRAY_SIZE(priorities) == LOG_LEVEL_COUNT, "each level has a priority");

char log_priority(enum log_level level)
{
	return priorities[level];
}

/* One character of the message; at most CHARACTER_MAX bytes are written. Returns the bytes of text
 * it took. */
static size_t put_character(const char *text, size_t left, char *out, size_t *used)
{
	uint32_t code;
	size_t step = utf8_next(text, left, &code);

	if (step > 0 && !utf8_is_control(code)) {
		memcpy(out + *used, text, step);
		*used += step;
		return step;
	}
	if (step == 0)
		step = 1;
	if (*text == '\n') {
		out[(*used)++] = '\\';
		out[(*used)++] = 'n';
		return step;
	}
	for (size_t i = 0; i < step; i++)
		*used += (size_t)snprintf(out + *used, 5, "\\x%02x", (unsigned char)text[i]);
	return step;
}

size_t log_escape(const char *text, size_t length, char *out, size_t size, bool *cut)
{
	size_t used = 0;

	while (length > 0) {
		char one[CHARACTER_MAX];
		size_t bytes = 0, step = put_character(text, length, one, &bytes);

		if (used + bytes > size)
			break;
		memcpy(out + used, one, bytes);
		used += bytes;
		text += step;
		length -= step;
	}
	*cut = length > 0;
	return used;
}
