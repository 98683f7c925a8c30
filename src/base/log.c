/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A line is put together in memory and leaves with a single write(2), so lines of different threads
 * never mix. A message often quotes the outside (a volume's name, CloudStack's error text); a line
 * end in the quote could forge a line of its own, and bytes that are not UTF-8 make journalctl show
 * "[blob data]" instead of the line. Both are written as \n and \xNN. The program goes on if stderr
 * does not take a line: losing the log must not lose the work.
 */
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

/* journald splits at 48 KiB; no line of ours needs a tenth of that. */
#define LOG_LINE_MAX 4096

const char *const log_level_names[LOG_LEVEL_COUNT + 1] = {
	[LOG_LEVEL_ERROR] = "error", [LOG_LEVEL_WARNING] = "warning", [LOG_LEVEL_NOTICE] = "notice",
	[LOG_LEVEL_INFO] = "info",   [LOG_LEVEL_DEBUG] = "debug",
};

/* syslog(3)'s numbers, which are journald's. */
static const char priorities[] = {
	[LOG_LEVEL_ERROR] = '3', [LOG_LEVEL_WARNING] = '4', [LOG_LEVEL_NOTICE] = '5',
	[LOG_LEVEL_INFO] = '6',  [LOG_LEVEL_DEBUG] = '7',
};
_Static_assert(ARRAY_SIZE(priorities) == LOG_LEVEL_COUNT, "each level has a priority");

static _Atomic int threshold = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
	assert((unsigned)level < LOG_LEVEL_COUNT);
	atomic_store_explicit(&threshold, (int)level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&threshold, memory_order_relaxed);
}

/* One character of the message; at most 16 bytes are written. Returns the bytes of text it took. */
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

static void write_line(const char *line, size_t length)
{
	while (write(STDERR_FILENO, line, length) < 0 && errno == EINTR)
		;
}

void log_write(enum log_level level, const char *format, ...)
{
	char message[LOG_LINE_MAX], line[LOG_LINE_MAX + 64];
	int saved = errno, length;
	size_t used, left;
	const char *next = message;
	va_list args;

	assert((unsigned)level < LOG_LEVEL_COUNT);
	if (!log_enabled(level))
		return;
	if (isatty(STDERR_FILENO))
		used = (size_t)snprintf(line, sizeof(line), "%s: ", log_level_names[level]);
	else
		used = (size_t)snprintf(line, sizeof(line), "<%c>", priorities[level]);
	errno = saved; /* for %m */
	va_start(args, format);
	length = vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	left = length < 0 ? 0 : strlen(message);
	while (left > 0 && used < LOG_LINE_MAX) {
		size_t step = put_character(next, left, line, &used);

		next += step;
		left -= step;
	}
	if (left > 0 || (size_t)length >= sizeof(message))
		used += (size_t)snprintf(line + used, sizeof(line) - used, " [cut]");
	line[used++] = '\n';
	write_line(line, used);
	errno = saved;
}
