/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one place that maps an error code to its names outside: the REST code and status, the D-Bus
 * name, volumectl's exit code; and an error's reason to its word. Two codes may share a REST word
 * where the contract has no finer one (a cancelled operation is a conflict over REST), but D-Bus
 * names and exit codes are all different, so that nothing is lost between our own programs. Exit
 * codes 1 and 2 are left to "something went wrong" and "wrong usage", as shells and getopt have
 * them.
 *
 * Error texts travel through JSON, D-Bus, logs and terminals, and quote a client's input. They are
 * therefore made plain text once, here: well-formed UTF-8 without control characters, cut between
 * characters.
 */
#include "base/err.h"

#include <assert.h>
#include <stdio.h>

#define CUT_MARK " [cut]"

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

static const char *const reason_words[] = {
	[ERR_REASON_NONE] = NULL,
	[ERR_REASON_IN_USE] = "in_use",
	[ERR_REASON_DISK_REMAINS] = "disk_remains",
	[ERR_REASON_MAINTENANCE] = "maintenance",
	[ERR_REASON_BUSY] = "busy",
	[ERR_REASON_VM_SNAPSHOTS] = "vm_snapshots",
	[ERR_REASON_VM_BACKUPS] = "vm_backups",
	[ERR_REASON_VM_RUNNING] = "vm_running",
	[ERR_REASON_NO_DEVICE_SLOT] = "no_device_slot",
	[ERR_REASON_QUOTA] = "quota",
	[ERR_REASON_DELETE_PROTECTION] = "delete_protection",
	[ERR_REASON_FORBIDDEN_COMMAND] = "forbidden_command",
	[ERR_REASON_OTHER_ACCOUNT] = "other_account",
	[ERR_REASON_UNKNOWN_OFFERING] = "unknown_offering",
	[ERR_REASON_UNKNOWN_ZONE] = "unknown_zone",
	[ERR_REASON_UNKNOWN_PROJECT] = "unknown_project",
	[ERR_REASON_UNKNOWN_VM] = "unknown_vm",
};
_Static_assert(ARRAY_SIZE(reason_words) == ERR_REASON_COUNT, "each reason has one word");

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

const char *err_reason_word(enum err_reason reason)
{
	assert((unsigned)reason < ERR_REASON_COUNT);
	return reason_words[reason];
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

/* The text is plain, and its last whole character may be anywhere. */
static void mark_cut(char *text)
{
	size_t length = strlen(text), keep = length - (sizeof(CUT_MARK) - 1);

	if (length < 4 * sizeof(CUT_MARK))
		return;
	while (((unsigned char)text[keep] & 0xc0) == 0x80)
		keep--;
	memcpy(text + keep, CUT_MARK, sizeof(CUT_MARK));
}

static void make_plain_and_mark(char *text, bool was_cut)
{
	make_plain(text, was_cut);
	if (was_cut)
		mark_cut(text);
}

void err_text_vformat(char *out, size_t size, const char *format, va_list args)
{
	int length = vsnprintf(out, size, format, args);

	assert(length >= 0);
	make_plain_and_mark(out, (size_t)length >= size);
}

void err_text_format(char *out, size_t size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	err_text_vformat(out, size, format, args);
	va_end(args);
}

static void plain_copy(char *out, size_t size, const char *text)
{
	size_t length = strnlen(text, size - 1);

	memcpy(out, text, length);
	out[length] = '\0';
	make_plain_and_mark(out, text[length] != '\0');
}

static _printf_(4, 0) void err_fill(struct err *err, const char *field, enum err_code code,
				    const char *format, va_list args)
{
	char text[sizeof(err->text)];

	/* The arguments may point into the error that is being replaced. */
	err_text_vformat(text, sizeof(text), format, args);
	err_clear(err);
	err->code = code;
	memcpy(err->text, text, strlen(text) + 1);
	plain_copy(err->field, sizeof(err->field), str_or(field, ""));
}

int err_vset(struct err *err, enum err_code code, const char *format, va_list args)
{
	assert(code != ERR_NONE && (unsigned)code < ERR_CODE_COUNT);
	if (err)
		err_fill(err, NULL, code, format, args);
	return -1;
}

int err_set(struct err *err, enum err_code code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	err_vset(err, code, format, args);
	va_end(args);
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

int err_set_reason(struct err *err, enum err_reason reason, enum err_code code, const char *format,
		   ...)
{
	va_list args;

	assert(code != ERR_NONE && (unsigned)code < ERR_CODE_COUNT);
	if (err) {
		va_start(args, format);
		err_fill(err, NULL, code, format, args);
		va_end(args);
		err->reason = reason;
	}
	return -1;
}

void err_clear(struct err *err)
{
	if (!err)
		return;
	err->code = ERR_NONE;
	err->reason = ERR_REASON_NONE;
	err->cloud_code = 0;
	err->field[0] = err->text[0] = err->cloud_text[0] = '\0';
}

void err_copy(struct err *to, const struct err *from)
{
	to->code = from->code;
	to->reason = from->reason;
	to->cloud_code = from->cloud_code;
	memcpy(to->field, from->field, strlen(from->field) + 1);
	memcpy(to->text, from->text, strlen(from->text) + 1);
	memcpy(to->cloud_text, from->cloud_text, strlen(from->cloud_text) + 1);
}

void err_keep(struct err **slot, const struct err *err)
{
	struct err *kept = NULL;

	if (err && err->code != ERR_NONE) {
		kept = xnew(struct err);
		*kept = *err;
	}
	free(*slot);
	*slot = kept;
}

void err_prefix(struct err *err, const char *format, ...)
{
	char before[sizeof(err->text)];
	_cleanup_free_ char *whole = NULL;
	va_list args;

	if (!err)
		return;
	va_start(args, format);
	err_text_vformat(before, sizeof(before), format, args);
	va_end(args);
	whole = xasprintf("%s: %s", before, err->text);
	plain_copy(err->text, sizeof(err->text), whole);
}

void err_reword(struct err *err, const char *format, ...)
{
	char text[sizeof(err->text)];
	va_list args;

	assert(err->code != ERR_NONE);
	va_start(args, format);
	err_text_vformat(text, sizeof(text), format, args);
	va_end(args);
	memcpy(err->text, text, strlen(text) + 1);
}
