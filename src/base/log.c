/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A line is put together in memory and leaves under a lock, so lines of different threads
 * never mix.
 *
 * Losing the log must not lose the work: a reader that stands still would stop the program in
 * write(2), so a line that stderr does not take at once is dropped. A pipe that poll(2) calls
 * writable has room for PIPE_BUF bytes, so a line goes into it in such pieces; the lock keeps our
 * own threads from taking the room in between. A socket (journald's) is asked not to wait.
 * O_NONBLOCK is no way: it would hold for each program that shares stderr with us.
 */
#include "base/log.h"
#include "base/log_private.h"

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

const char *const log_target_names[LOG_TARGET_COUNT + 1] = {
	[LOG_TARGET_AUTO] = "auto",
	[LOG_TARGET_JOURNAL] = "journal",
	[LOG_TARGET_CONSOLE] = "console",
};

/* ---- where to ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* All under the lock. */
static const char *journal_socket; /* NULL: not opened */
static int journal_fd = -1;
static bool has_journal; /* stderr leads there */
static enum log_target target;
static size_t dropped;
static bool torn; /* the begin of a dropped line was taken by stderr */

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
		snprintf(out, 16, "<%c>", log_priority(level));
	return out;
}

static bool stderr_takes(const struct log_entry *entry)
{
	char line[LOG_LINE_MAX + 64], prefix[16];
	int length = snprintf(line, sizeof(line), "%s%s%.*s\n", torn ? "\n" : "",
			      prefix_of(entry->level, prefix), (int)entry->length, entry->text);

	if (!takes_line(line, (size_t)length))
		return false;
	torn = false;
	return true;
}

static bool takes(const struct log_entry *entry)
{
	bool to_journal = journal_socket && (target == LOG_TARGET_JOURNAL ||
					     (target == LOG_TARGET_AUTO && has_journal));
	enum log_taken taken =
		to_journal ? log_journal_send(journal_fd, journal_socket, entry) : LOG_AWAY;

	return taken == LOG_AWAY ? stderr_takes(entry) : taken == LOG_TAKEN;
}

static void write_entry(const struct log_entry *entry)
{
	pthread_mutex_lock(&lock);
	if (dropped) {
		char text[96];
		struct log_entry told = { .level = LOG_LEVEL_WARNING,
					  .module = LOG_MODULE_BASE,
					  .text = text };

		told.length = (size_t)snprintf(text, sizeof(text),
					       "%zu lines were dropped: the log did not take them",
					       dropped);
		if (takes(&told))
			dropped = 0;
	}
	if (dropped || !takes(entry))
		dropped++;
	pthread_mutex_unlock(&lock);
}

void log_open(const char *socket)
{
	pthread_mutex_lock(&lock);
	if (journal_fd >= 0)
		close(journal_fd);
	journal_fd = socket ? log_journal_socket() : -1;
	journal_socket = socket;
	has_journal = log_journal_is_stderr();
	pthread_mutex_unlock(&lock);
}

void log_set_target(enum log_target wanted)
{
	pthread_mutex_lock(&lock);
	target = wanted;
	pthread_mutex_unlock(&lock);
}

enum log_target log_get_target(void)
{
	enum log_target now;

	pthread_mutex_lock(&lock);
	now = target;
	pthread_mutex_unlock(&lock);
	return now;
}

/* ---- lines ---- */

void log_write_in(const char *file, enum log_level level, const struct log_about *about,
		  const char *format, ...)
{
	char message[LOG_LINE_MAX], text[LOG_LINE_MAX + 16];
	struct log_entry entry = {
		.level = level, .module = log_module_of(file), .about = about, .text = text
	};
	int saved = errno, length;
	va_list args;
	bool cut;

	if (!log_enabled_in(file, level))
		return;
	errno = saved; /* for %m */
	va_start(args, format);
	length = vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	entry.length =
		log_escape(message, length < 0 ? 0 : strlen(message), text, LOG_LINE_MAX, &cut);
	if (cut || (size_t)length >= sizeof(message))
		entry.length += (size_t)snprintf(text + entry.length, 16, " [cut]");
	write_entry(&entry);
	errno = saved;
}

#define SECOND_MS 1000

bool log_limit_allows_in(const char *file, struct log_limit *limit, enum log_level level)
{
	int64_t now_ms = clock_mono_ms();

	if (!log_enabled_in(file, level))
		return false;
	if (limit->lines == 0 || now_ms - limit->since_ms >= SECOND_MS) {
		if (limit->lines > LOG_LINES_A_SECOND)
			log_write_in(file, level, NULL,
				     "%zu more lines like the last were not logged",
				     limit->lines - LOG_LINES_A_SECOND);
		*limit = (struct log_limit){ .since_ms = now_ms };
	}
	return ++limit->lines <= LOG_LINES_A_SECOND;
}
