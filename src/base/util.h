/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Small things every layer uses.
 *
 * Memory: the x-allocators never return NULL; out of memory ends the process, because the recovery
 * from a dead process is tested, while no test can run the branches for a failed allocation. A size
 * that a client chooses is bounded before the allocation.
 *
 * Ownership: a local that owns something carries a cleanup attribute; TAKE_PTR() moves it out.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		typeof(p) taken_ = (p);                                                            \
		(p) = NULL;                                                                        \
		taken_;                                                                            \
	})
#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int taken_ = (fd);                                                                 \
		(fd) = -1;                                                                         \
		taken_;                                                                            \
	})

#define _cleanup_(fn) __attribute__((cleanup(fn)))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))
#define _unused_ __attribute__((unused))
#define _must_check_ __attribute__((warn_unused_result))

void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t size);
char *xstrdup(const char *text); /* NULL gives NULL */
char *xstrndup(const char *text, size_t length);
char *xasprintf(const char *format, ...) _printf_(1, 2);

#define xnew(type) ((type *)xcalloc(1, sizeof(type)))

/* Replaces *slot by a copy of text (NULL empties it) and frees the old text. */
void str_set(char **slot, const char *text);

static inline bool streq(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

static inline bool str_empty(const char *text)
{
	return !text || !*text;
}

static inline const char *str_or(const char *text, const char *otherwise)
{
	return text ? text : otherwise;
}

bool str_has_prefix(const char *text, const char *prefix);

/*
 * True for well-formed UTF-8 (no surrogates, no overlong forms) without control characters (C0,
 * DEL, C1).
 */
bool str_is_plain_text(const char *text);

/*
 * Bytes (1 to 4) of the well-formed character at the start of text, its code point in *out_code; 0:
 * there is none.
 */
size_t utf8_next(const char *text, size_t length, uint32_t *out_code);
/*
 * Bytes of the blank at the start of text, 0: there is none. Blanks are spaces, tabs, line ends,
 * and characters that text from elsewhere brings along and no editor shows: byte order marks,
 * no-break spaces and characters without width.
 */
size_t utf8_blank(const char *text, size_t length);
/* A name for a blank that is not ASCII, "a byte order mark (U+FEFF)"; NULL: text holds none. */
const char *str_hidden_blank(const char *text);
/* The part of a text between the blanks at its ends; *length bytes from there. */
const char *utf8_trim(const char *text, size_t *length);
/* Characters in well-formed text. */
size_t utf8_count(const char *text);
/* Unicode gives it to no character, such as U+FFFE; sd-bus neither writes nor reads it. */
bool utf8_is_noncharacter(uint32_t code);
static inline bool utf8_is_control(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

/*
 * Checked numbers: the whole text must be a decimal number of the type. 0 or -1; *out untouched on
 * error. No white space, no '+', no hexadecimal, nothing behind.
 */
int parse_u64(const char *text, uint64_t *out) _must_check_;
int parse_i64(const char *text, int64_t *out) _must_check_;

/* "5GiB", "512M", "1073741824" to bytes. Suffixes K M G T with optional "iB" are powers of 1024. */
int parse_size(const char *text, uint64_t *out) _must_check_;
/* "250ms", "2s", "5min", "24h", "7d"; a bare number is seconds. Result in milliseconds. */
int parse_duration(const char *text, int64_t *out_ms) _must_check_;

/* The units of a duration, largest first; for writing durations that parse_duration() reads. */
struct duration_unit {
	const char *name;
	int64_t ms;
};
#define DURATION_UNIT_COUNT 5
extern const struct duration_unit duration_units[DURATION_UNIT_COUNT];
/* yes/no, true/false, on/off, 1/0. */
int parse_bool(const char *text, bool *out) _must_check_;

/*
 * Whole file into a zero-terminated heap text of at most max bytes; NULL and errno on failure
 * (EFBIG if longer).
 */
char *read_file_at(int dirfd, const char *path, size_t max, size_t *out_length);

void freep(void *pointer_to_pointer);
void closep(int *fd);

#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(closep)
