/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A line is put together in memory and leaves under a lock, so lines of different threads
 * never mix. A message often quotes the outside (a volume's name, CloudStack's error text); a line
 * end in the quote could forge a line of its own, and bytes that are not UTF-8 make journalctl show
 * "[blob data]" instead of the line. Both are written as \n and \xNN.
 *
 * Losing the log must not lose the work: a reader that stands still would stop the program in
 * write(2), so a line that stderr does not take at once is dropped. A pipe that poll(2) calls
 * writable has room for PIPE_BUF bytes, so a line goes into it in such pieces; the lock keeps our
 * own threads from taking the room in between. A socket (journald's) is asked not to wait.
 * O_NONBLOCK is no way: it would hold for each program that shares stderr with us.
 */
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/clock.h"

/* journald splits at 48 KiB; no line of ours needs a tenth of that. */
#define LOG_LINE_MAX 16384 /* more than the longest text of an error */

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

static pthread_mutex_t stderr_lock = PTHREAD_MUTEX_INITIALIZER;
static size_t dropped; /* under the lock */

static bool torn; /* likewise: the begin of a dropped line was taken */

/* Returns the bytes that are taken without waiting. */
static size_t put(const char *line, size_t length)
{
	size_t done = 0;
	ssize_t sent = 1;

	while (done < length && sent > 0) {
		size_t part = length - done < PIPE_BUF ? length - done : PIPE_BUF;
		struct pollfd room = { .fd = STDERR_FILENO, .events = POLLOUT };

		sent = send(STDERR_FILENO, line + done, part, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0 && errno == ENOTSOCK && poll(&room, 1, 0) == 1 &&
		    room.revents & POLLOUT)
			sent = write(STDERR_FILENO, line + done, part);
		done += sent > 0 ? (size_t)sent : 0;
	}
	return done;
}

static bool takes_line(const char *line, size_t length)
{
	size_t done = put(line, length);

	torn = torn || (done > 0 && done < length);
	return done == length;
}

static const char *prefix_of(enum log_level level, char out[16])
{
	if (isatty(STDERR_FILENO))
		snprintf(out, 16, "%s: ", log_level_names[level]);
	else
		snprintf(out, 16, "<%c>", priorities[level]);
	return out;
}

static void write_line(const char *line, size_t length)
{
	char told[128], prefix[16];

	pthread_mutex_lock(&stderr_lock);
	if (dropped) {
		snprintf(told, sizeof(told),
			 "%s%s%zu lines were dropped: the log did not take them\n",
			 torn ? "\n" : "", prefix_of(LOG_LEVEL_WARNING, prefix), dropped);
		if (takes_line(told, strlen(told))) {
			dropped = 0;
			torn = false;
		}
	}
	if (dropped || !takes_line(line, length))
		dropped++;
	pthread_mutex_unlock(&stderr_lock);
}

void log_write(enum log_level level, const char *format, ...)
{
	char message[LOG_LINE_MAX], line[LOG_LINE_MAX + 64], prefix[16];
	int saved = errno, length;
	size_t used, left;
	const char *next = message;
	va_list args;

	assert((unsigned)level < LOG_LEVEL_COUNT);
	if (!log_enabled(level))
		return;
	used = (size_t)snprintf(line, sizeof(line), "%s", prefix_of(level, prefix));
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

#define SECOND_MS 1000

bool log_limit_allows(struct log_limit *limit, enum log_level level)
{
	int64_t now_ms = clock_mono_ms();

	if (!log_enabled(level))
		return false;
	if (limit->lines == 0 || now_ms - limit->since_ms >= SECOND_MS) {
		if (limit->lines > LOG_LINES_A_SECOND)
			log_write(level, "%zu more lines like the last were not logged",
				  limit->lines - LOG_LINES_A_SECOND);
		*limit = (struct log_limit){ .since_ms = now_ms };
	}
	return ++limit->lines <= LOG_LINES_A_SECOND;
}
