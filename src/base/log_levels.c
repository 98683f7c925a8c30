/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which lines are written. The module of a line is the folder of its source file, so no list of
 * files has to be kept. */

#include "base/log_private.h"

#include <assert.h>
#include <stdatomic.h>

#include "base/buf.h"

const char *const log_level_names[LOG_LEVEL_COUNT + 1] = {
	[LOG_LEVEL_ERROR] = "error", [LOG_LEVEL_WARNING] = "warning", [LOG_LEVEL_NOTICE] = "notice",
	[LOG_LEVEL_INFO] = "info",   [LOG_LEVEL_DEBUG] = "debug",
};

const char *const log_module_names[LOG_MODULE_COUNT + 1] = {
	[LOG_MODULE_DAEMON] = "daemon", [LOG_MODULE_BASE] = "base",
	[LOG_MODULE_BUS] = "bus",       [LOG_MODULE_CLOUD] = "cloud",
	[LOG_MODULE_CONFIG] = "config", [LOG_MODULE_CORE] = "core",
	[LOG_MODULE_DISK] = "disk",     [LOG_MODULE_DM] = "dm",
	[LOG_MODULE_IO] = "io",         [LOG_MODULE_NBD] = "nbd",
	[LOG_MODULE_REST] = "rest",     [LOG_MODULE_STORE] = "store",
};

static _Atomic int all = LOG_LEVEL_INFO;
static _Atomic int most = LOG_LEVEL_INFO; /* of all modules: a quick no for most debug lines */
static _Atomic int thresholds[LOG_MODULE_COUNT] = {
	[LOG_MODULE_DAEMON] = LOG_LEVEL_INFO, [LOG_MODULE_BASE] = LOG_LEVEL_INFO,
	[LOG_MODULE_BUS] = LOG_LEVEL_INFO,    [LOG_MODULE_CLOUD] = LOG_LEVEL_INFO,
	[LOG_MODULE_CONFIG] = LOG_LEVEL_INFO, [LOG_MODULE_CORE] = LOG_LEVEL_INFO,
	[LOG_MODULE_DISK] = LOG_LEVEL_INFO,   [LOG_MODULE_DM] = LOG_LEVEL_INFO,
	[LOG_MODULE_IO] = LOG_LEVEL_INFO,     [LOG_MODULE_NBD] = LOG_LEVEL_INFO,
	[LOG_MODULE_REST] = LOG_LEVEL_INFO,   [LOG_MODULE_STORE] = LOG_LEVEL_INFO,
};

enum log_module log_module_of(const char *file)
{
	static const char source[] = "src/", api[] = "api/";
	const char *folder = file;

	for (const char *at = file; (at = strstr(at, source)); at++)
		folder = at + strlen(source);
	if (str_has_prefix(folder, api))
		folder += strlen(api);
	for (enum log_module module = 0; module < LOG_MODULE_COUNT; module++) {
		size_t length = strlen(log_module_names[module]);

		if (strncmp(folder, log_module_names[module], length) == 0 && folder[length] == '/')
			return module;
	}
	return LOG_MODULE_DAEMON;
}

void log_set_levels(const struct log_levels *levels)
{
	int highest = 0;

	for (size_t i = 0; i < LOG_MODULE_COUNT; i++) {
		assert((unsigned)levels->of[i] < LOG_LEVEL_COUNT);
		atomic_store_explicit(&thresholds[i], (int)levels->of[i], memory_order_relaxed);
		if ((int)levels->of[i] > highest)
			highest = (int)levels->of[i];
	}
	atomic_store_explicit(&all, (int)levels->all, memory_order_relaxed);
	atomic_store_explicit(&most, highest, memory_order_relaxed);
}

static void set_all(struct log_levels *levels, enum log_level level)
{
	levels->all = level;
	for (size_t i = 0; i < LOG_MODULE_COUNT; i++)
		levels->of[i] = level;
}

void log_set_level(enum log_level level)
{
	struct log_levels levels;

	set_all(&levels, level);
	log_set_levels(&levels);
}

enum log_level log_get_level(void)
{
	return (enum log_level)atomic_load_explicit(&all, memory_order_relaxed);
}

bool log_enabled_in(const char *file, enum log_level level)
{
	assert((unsigned)level < LOG_LEVEL_COUNT);
	if ((int)level > atomic_load_explicit(&most, memory_order_relaxed))
		return false;
	return (int)level <=
	       atomic_load_explicit(&thresholds[log_module_of(file)], memory_order_relaxed);
}

/* ---- from text ---- */

static int find_word(const char *const *words, const char *word)
{
	for (int i = 0; words[i]; i++) {
		if (streq(words[i], word))
			return i;
	}
	return -1;
}

static int refuse(const char *what, const char *const *words, const char *word, struct err *err)
{
	_cleanup_buf_ struct buf allowed = BUF_NULL;

	for (size_t i = 0; words[i]; i++)
		buf_printf(&allowed, "%s%s", i ? ", " : "", words[i]);
	return err_set(err, ERR_INVALID, "there is no %s \"%.40s\"; there are: %s", what, word,
		       allowed.data);
}

static int take_word(char *word, bool first, struct log_levels *out, struct err *err)
{
	char *equals = strchr(word, '=');
	int level = find_word(log_level_names, equals ? equals + 1 : word), module;

	if (level < 0)
		return refuse("level", log_level_names, equals ? equals + 1 : word, err);
	if (!equals && !first)
		return err_set(err, ERR_INVALID,
			       "the level of all modules, \"%s\", must be the first word", word);
	if (!equals) {
		set_all(out, (enum log_level)level);
		return 0;
	}
	*equals = '\0';
	module = find_word(log_module_names, word);
	if (module < 0)
		return refuse("module", log_module_names, word, err);
	out->of[module] = (enum log_level)level;
	return 0;
}

int log_levels_parse(const char *text, struct log_levels *out, struct err *err)
{
	_cleanup_free_ char *words = xstrdup(text);
	char *rest = NULL;
	bool first = true;

	set_all(out, LOG_LEVEL_INFO);
	for (char *word = strtok_r(words, ", ", &rest); word; word = strtok_r(NULL, ", ", &rest)) {
		if (take_word(word, first, out, err) < 0)
			return -1;
		first = false;
	}
	return first ? err_set(err, ERR_INVALID, "name a level, such as info") : 0;
}
