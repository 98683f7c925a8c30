/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The log: one line per event. In systemd's journal an entry has fields besides its text, so that
 * it can be found by them; elsewhere it is a line on stderr, which starts with "<N>" for a program
 * that reads it and with the level in words on a terminal. Layers below core/ return errors and do
 * not log. The exceptions are debug lines (they tell the story of a run), the rows that a migration
 * had to move, and a udevd that stays silent.
 *
 * Each line belongs to the module whose source file writes it, and each module has a level. Levels
 * may change at any time, on any thread.
 *
 * Logging never waits: a line that is not taken at once is dropped, and the next line that is taken
 * comes behind a line with the number of those dropped.
 */

#include "base/err.h"

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_NOTICE,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_COUNT
};

extern const char *const log_level_names[LOG_LEVEL_COUNT + 1];

/* The folders of src/, and of src/api/. */
enum log_module {
	LOG_MODULE_DAEMON, /* and every file that is in no other folder of this list */
	LOG_MODULE_BASE,
	LOG_MODULE_BUS,
	LOG_MODULE_CLOUD,
	LOG_MODULE_CONFIG,
	LOG_MODULE_CORE,
	LOG_MODULE_DISK,
	LOG_MODULE_DM,
	LOG_MODULE_IO,
	LOG_MODULE_NBD,
	LOG_MODULE_REST,
	LOG_MODULE_STORE,
	LOG_MODULE_COUNT
};

extern const char *const log_module_names[LOG_MODULE_COUNT + 1];

/* ---- levels ---- */

struct log_levels {
	enum log_level all; /* of modules that have none of their own */
	enum log_level of[LOG_MODULE_COUNT];
};

/* "info", or "info,cloud=debug,rest=warning": the level of all modules, then those of some. */
int log_levels_parse(const char *text, struct log_levels *out, struct err *err);
void log_set_levels(const struct log_levels *levels);
void log_set_level(enum log_level level); /* of all modules */
enum log_level log_get_level(void);       /* see log_levels.all */
#define log_enabled(LEVEL) log_enabled_in(__FILE__, LEVEL)

/* ---- where to ---- */

enum log_target {
	LOG_TARGET_AUTO,    /* the journal if stderr leads there, else stderr */
	LOG_TARGET_JOURNAL, /* with fields */
	LOG_TARGET_CONSOLE, /* stderr */
	LOG_TARGET_COUNT
};

extern const char *const log_target_names[LOG_TARGET_COUNT + 1]; /* as LogControl1 has them */

#define LOG_JOURNAL_SOCKET "/run/systemd/journal/socket"

/* Lines go to stderr until this is called. journal_socket (a literal): where journald listens;
 * NULL: as before the first call. */
void log_open(const char *journal_socket);
void log_set_target(enum log_target wanted);
enum log_target log_get_target(void);

/* ---- lines ---- */

/* What a line is about, for fields of the journal. NULL: not known, or not about any. */
struct log_about {
	const char *message_id; /* of a kind of message, see spec/messages.h */
	const char *operation_id, *operation_type, *step;
	const char *volume_id, *vm_id;
	const char *device;     /* "/dev/vdb" */
	const char *error_code; /* a word of err_view() */
	const char *actor;      /* who has asked, as JSON */
};

#define log_write(LEVEL, ...) log_write_in(__FILE__, LEVEL, NULL, __VA_ARGS__)
/* log_tell(LOG_LEVEL_INFO, (.volume_id = id), "volume=%s …", id) */
#define log_tell(LEVEL, ABOUT, ...)                                                                \
	log_write_in(__FILE__, LEVEL, &(const struct log_about)LOG_UNWRAP ABOUT, __VA_ARGS__)
#define LOG_UNWRAP(...)                                                                            \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

void log_write_in(const char *file, enum log_level level, const struct log_about *about,
		  const char *format, ...) _printf_(4, 5);
bool log_enabled_in(const char *file, enum log_level level);

/*
 * For lines that any caller can cause: LOG_LINES_A_SECOND of them are written, and the others are
 * counted in a line before the next one. The limit belongs to one place in the code and one thread.
 */
#define LOG_LINES_A_SECOND 10
struct log_limit {
	int64_t since_ms;
	size_t lines; /* since then, written or not */
};
#define log_limit_allows(LIMIT, LEVEL) log_limit_allows_in(__FILE__, LIMIT, LEVEL)
bool log_limit_allows_in(const char *file, struct log_limit *limit, enum log_level level);

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...) log_write(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
	do {                                                                                       \
		if (log_enabled(LOG_LEVEL_DEBUG))                                                  \
			log_write(LOG_LEVEL_DEBUG, __VA_ARGS__);                                   \
	} while (0)
