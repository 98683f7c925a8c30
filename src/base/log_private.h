/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the log share. Private to base/. */

#include "base/log.h"

enum log_module log_module_of(const char *file);

/* A line that is ready: one line of UTF-8, without its end. */
struct log_entry {
	enum log_level level;
	enum log_module module;
	const struct log_about *about; /* NULL: nothing */
	const char *text;
	size_t length;
};

/* Text as it may stand in a line: line ends and other control characters are escaped. Writes no
 * more than fits into size, returns the bytes written; *cut: there was more. */
size_t log_escape(const char *text, size_t length, char *out, size_t size, bool *cut);

/* "3" for an error: syslog(3)'s numbers, which are journald's. */
char log_priority(enum log_level level);

/* journald's own protocol. True if stderr leads to the journal. */
bool log_journal_is_stderr(void);
int log_journal_socket(void);
enum log_taken { LOG_TAKEN, LOG_FULL, LOG_AWAY /* no journald listens */ };
/* fd: of log_journal_socket(), which the caller closes. */
enum log_taken log_journal_send(int fd, const char *socket_path, const struct log_entry *entry);
