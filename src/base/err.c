/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one place that maps an error code to its names outside: the REST code and status, the D-Bus
 * name, volumectl's exit code. Two codes may share a REST word where the contract has no finer one
 * (a cancelled operation is a conflict over REST), but D-Bus names and exit codes are all
 * different, so that nothing is lost between our own programs. Exit codes 1 and 2 are left to
 * "something went wrong" and "wrong usage", as shells and getopt have them.
 *
 * Error texts travel through JSON, D-Bus, logs and terminals, and quote a client's input. They are
 * therefore made plain text once, here: well-formed UTF-8 without control characters, cut between
 * characters.
 */
#include "base/err.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

static const struct err_view views[] = {
	[ERR_NONE] = { "OK", 200, "None", 0, false },
	[ERR_INVALID] = { "INVALID_REQUEST", 400, "InvalidRequest", 3, false },
	[ERR_UNAUTHORIZED] = { "UNAUTHORIZED", 401, "Unauthorized", 4, false },
	[ERR_FORBIDDEN] = { "FORBIDDEN", 403, "Forbidden", 5, false },
	[ERR_NOT_FOUND] = { "NOT_FOUND", 404, "NotFound", 6, false },
	[ERR_NO_SUCH_PATH] = { "NOT_FOUND", 404, "NoSuchPath", 7, false },
	[ERR_BAD_VERB] = { "METHOD_NOT_ALLOWED", 405, "MethodNotAllowed", 8, false },
	[ERR_CONFLICT] = { "CONFLICT", 409, "Conflict", 9, false },
	[ERR_CANCELLED] = { "CONFLICT", 409, "Cancelled", 10, false },
	[ERR_TOO_LARGE] = { "TOO_LARGE", 413, "TooLarge", 11, false },
	[ERR_MEDIA_TYPE] = { "UNSUPPORTED_MEDIA_TYPE", 415, "UnsupportedMediaType", 12, false },
	[ERR_MISDIRECTED] = { "MISDIRECTED", 421, "Misdirected", 13, false },
	[ERR_TOO_MANY] = { "TOO_MANY_REQUESTS", 429, "TooManyRequests", 14, true },
	[ERR_CLOUD] = { "CLOUDSTACK_ERROR", 422, "CloudStackError", 15, false },
	[ERR_INTERNAL] = { "INTERNAL_ERROR", 500, "InternalError", 16, false },
	[ERR_UNAVAILABLE] = { "SERVICE_UNAVAILABLE", 503, "ServiceUnavailable", 17, true },
	[ERR_TIMEOUT] = { "TIMEOUT", 504, "Timeout", 18, true },
};
_Static_assert(ARRAY_SIZE(views) == ERR_CODE_COUNT, "each error code has one row");

const struct err_view *err_view(enum err_code code)
{
	assert((unsigned)code < ERR_CODE_COUNT);
	return &views[code];
}

enum err_code err_from_bus_name(const char *name)
{
	if (!str_has_prefix(name, ERR_BUS_PREFIX))
		return ERR_INTERNAL;
	name += strlen(ERR_BUS_PREFIX);
	for (unsigned code = ERR_NONE + 1; code < ERR_CODE_COUNT; code++) {
		if (streq(views[code].bus_name, name))
			return (enum err_code)code;
	}
	return ERR_INTERNAL;
}

enum err_code err_from_word(const char *word)
{
	for (unsigned code = ERR_NONE + 1; code < ERR_CODE_COUNT; code++) {
		if (streq(views[code].word, word))
			return (enum err_code)code;
	}
	return ERR_INTERNAL;
}

/* In place: broken bytes and control characters become '?', an incomplete last one is removed. */
static void make_plain(char *text, bool was_cut)
{
	size_t left = strlen(text);

	while (left > 0) {
		uint32_t code;
		size_t step = utf8_next(text, left, &code);

		if (step == 0 && was_cut && left < 4 && (unsigned char)*text >= 0xc2) {
			*text = '\0';
			return;
		}
		if (step == 0 || utf8_is_control(code)) {
			memset(text, '?', step ? step : 1);
			step = step ? step : 1;
		}
		text += step;
		left -= step;
	}
}

static _printf_(3, 0) void plain_format(char *out, size_t size, const char *format, va_list args)
{
	int length = vsnprintf(out, size, format, args);

	assert(length >= 0);
	make_plain(out, (size_t)length >= size);
}

static void plain_copy(char *out, size_t size, const char *text)
{
	size_t length = strnlen(text, size - 1);

	memcpy(out, text, length);
	out[length] = '\0';
	make_plain(out, text[length] != '\0');
}

static _printf_(4, 0) void err_fill(struct err *err, const char *field, enum err_code code,
				    const char *format, va_list args)
{
	char text[sizeof(err->text)];

	/* The arguments may point into the error that is being replaced. */
	plain_format(text, sizeof(text), format, args);
	memset(err, 0, sizeof(*err));
	err->code = code;
	memcpy(err->text, text, sizeof(text));
	plain_copy(err->field, sizeof(err->field), str_or(field, ""));
}

int err_set(struct err *err, enum err_code code, const char *format, ...)
{
	va_list args;

	assert(code != ERR_NONE && (unsigned)code < ERR_CODE_COUNT);
	if (err) {
		va_start(args, format);
		err_fill(err, NULL, code, format, args);
		va_end(args);
	}
	return -1;
}

int err_set_field(struct err *err, const char *field, enum err_code code, const char *format, ...)
{
	char name[sizeof(err->field)];
	va_list args;

	assert(code != ERR_NONE && (unsigned)code < ERR_CODE_COUNT);
	if (err) {
		plain_copy(name, sizeof(name), str_or(field, ""));
		va_start(args, format);
		err_fill(err, name, code, format, args);
		va_end(args);
	}
	return -1;
}

void err_clear(struct err *err)
{
	if (err)
		memset(err, 0, sizeof(*err));
}

void err_prefix(struct err *err, const char *format, ...)
{
	char before[sizeof(err->text)], whole[2 * sizeof(err->text) + 2];
	va_list args;

	if (!err)
		return;
	va_start(args, format);
	plain_format(before, sizeof(before), format, args);
	va_end(args);
	snprintf(whole, sizeof(whole), "%s: %s", before, err->text);
	plain_copy(err->text, sizeof(err->text), whole);
}
