/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The log: one line per event on stderr. Under systemd each line starts with "<N>", which journald
 * turns into its priority; on a terminal the level is written out. Layers below core/ return errors
 * and do not log. The exceptions are debug lines (they tell the story of a run), the rows that a
 * migration had to move, and a udevd that stays silent.
 *
 * Logging never waits: a line that stderr does not take at once is dropped, and the next line that
 * is taken comes behind a line with the number of those dropped.
 */

#include "base/util.h"

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_NOTICE,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_COUNT
};

extern const char *const log_level_names[LOG_LEVEL_COUNT + 1];

void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *format, ...) _printf_(2, 3);

/*
 * For lines that any caller can cause: LOG_LINES_A_SECOND of them are written, and the others are
 * counted in a line before the next one. The limit belongs to one place in the code and one thread.
 */
#define LOG_LINES_A_SECOND 10
struct log_limit {
	int64_t since_ms;
	size_t lines; /* since then, written or not */
};
bool log_limit_allows(struct log_limit *limit, enum log_level level);

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...) log_write(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
	do {                                                                                       \
		if (log_enabled(LOG_LEVEL_DEBUG))                                                  \
			log_write(LOG_LEVEL_DEBUG, __VA_ARGS__);                                   \
	} while (0)
