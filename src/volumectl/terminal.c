/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Terminals.
 *
 * The width of a character comes from the C library's table for UTF-8, whatever the user's locale
 * is: a name of Chinese characters takes two columns each, and a combining accent takes none. The
 * locale is set for the look-up alone, so it changes nothing else.
 */

#include "volumectl/terminal.h"

#include <locale.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <wchar.h>

const char *const style_begins[STYLE_COUNT] = {
	[STYLE_PLAIN] = "",           [STYLE_HEADING] = "\033[1m", [STYLE_GOOD] = "\033[32m",
	[STYLE_WARNING] = "\033[33m", [STYLE_BAD] = "\033[31m",
};

static const struct {
	const char *word;
	enum style style;
} words[] = {
	{ "completed", STYLE_GOOD },   { "healthy", STYLE_GOOD },
	{ "active", STYLE_GOOD },      { "detected", STYLE_GOOD },
	{ "pending", STYLE_WARNING },  { "executing", STYLE_WARNING },
	{ "degraded", STYLE_WARNING }, { "cancelled", STYLE_WARNING },
	{ "failed", STYLE_BAD },       { "unhealthy", STYLE_BAD },
	{ "gone", STYLE_BAD },
};

enum style style_of_word(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (streq(word, words[i].word))
			return words[i].style;
	}
	return STYLE_PLAIN;
}

size_t terminal_columns(int fd)
{
	struct winsize size;

	return isatty(fd) && ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

bool terminal_can_draw(int fd)
{
	return isatty(fd) && !streq(str_or(getenv("TERM"), "dumb"), "dumb");
}

bool terminal_has_colours(int fd)
{
	return terminal_can_draw(fd) && str_empty(getenv("NO_COLOR"));
}

/* --- characters --- */

#define ELLIPSIS "…"

/* -1: it is not to be printed. */
static int columns_of(uint32_t code)
{
	static locale_t utf8;
	locale_t before;
	int columns;

	if (utf8_is_control(code) || (code >= 0x202a && code <= 0x202e) ||
	    (code >= 0x2066 && code <= 0x2069))
		return -1;
	if (code < 0x7f)
		return 1;
	if (!utf8)
		utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL);
	if (!utf8)
		return 1;
	before = uselocale(utf8);
	columns = wcwidth((wchar_t)code);
	uselocale(before);
	return columns;
}

void text_add_clean(struct buf *out, const char *text)
{
	size_t left = strlen(text), step;
	uint32_t code;

	for (; left > 0; text += step, left -= step) {
		step = utf8_next(text, left, &code);
		if (step > 0 && columns_of(code) >= 0) {
			buf_add(out, text, step);
			continue;
		}
		if (step == 0)
			step = 1;
		buf_add_char(out, '?');
	}
}

/* The bytes of the beginning of text that takes at most this many columns, in *columns. */
static size_t bytes_that_fit(const char *text, size_t *columns)
{
	size_t length = strlen(text), done = 0, used = 0, step;
	uint32_t code;

	while (done < length && (step = utf8_next(text + done, length - done, &code)) > 0) {
		size_t width = (size_t)columns_of(code);

		if (used + width > *columns)
			break;
		used += width;
		done += step;
	}
	*columns = used;
	return done;
}

size_t text_columns(const char *text)
{
	size_t columns = SIZE_MAX / 2;

	bytes_that_fit(text, &columns);
	return columns;
}

void text_add_cut(struct buf *out, const char *text, size_t columns)
{
	size_t room = columns > 0 ? columns - 1 : 0;

	if (text_columns(text) <= columns) {
		buf_add_text(out, text);
		return;
	}
	buf_add(out, text, bytes_that_fit(text, &room));
	buf_add_text(out, ELLIPSIS);
}

/* --- questions --- */

bool terminal_can_ask(void)
{
	return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

bool terminal_ask(const char *question)
{
	char line[16] = "";

	fflush(stdout);
	fprintf(stderr, "%s [y/N] ", question);
	fflush(stderr);
	if (!fgets(line, sizeof(line), stdin))
		return false;
	return line[0] == 'y' || line[0] == 'Y';
}
