/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tools below everything else: allocation that cannot fail, numbers that are checked to the
 * last character, UTF-8, and reading a small file. The number parsers take no white space, no sign
 * where none is meant and nothing behind the number, because these numbers decide about disks:
 * "0x10", or "10" and a blank, is an error for the user to correct, not a value.
 */
#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>

static __attribute__((noreturn)) void out_of_memory(void)
{
	static const char text[] = "<2>out of memory\n";
	ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);

	(void)ignored;
	abort();
}

void *xmalloc(size_t size)
{
	void *memory = malloc(size ? size : 1);

	if (!memory)
		out_of_memory();
	return memory;
}

void *xcalloc(size_t count, size_t size)
{
	void *memory = calloc(count ? count : 1, size ? size : 1);

	if (!memory)
		out_of_memory();
	return memory;
}

void *xrealloc(void *old, size_t size)
{
	void *memory = realloc(old, size ? size : 1);

	if (!memory)
		out_of_memory();
	return memory;
}

char *xstrdup(const char *text)
{
	return text ? xstrndup(text, strlen(text)) : NULL;
}

char *xstrndup(const char *text, size_t length)
{
	size_t used = strnlen(text, length);
	char *copy = xmalloc(used + 1);

	memcpy(copy, text, used);
	copy[used] = '\0';
	return copy;
}

char *xasprintf(const char *format, ...)
{
	char *text;
	va_list args;
	int length;

	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0)
		out_of_memory();
	return text;
}

void str_set(char **slot, const char *text)
{
	/* The copy is made first: text may point into the old value. */
	char *copy = xstrdup(text);

	free(*slot);
	*slot = copy;
}

bool str_has_prefix(const char *text, const char *prefix)
{
	return text && strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool utf8_continues(const unsigned char *bytes, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return false;
	}
	return true;
}

size_t utf8_next(const char *text, size_t length, uint32_t *out_code)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *bytes = (const unsigned char *)text;
	uint32_t code;
	size_t count;

	if (length == 0)
		return 0;
	if (bytes[0] < 0x80) {
		*out_code = bytes[0];
		return 1;
	}
	if (bytes[0] < 0xc2 || bytes[0] > 0xf4)
		return 0;
	count = bytes[0] >= 0xf0 ? 4 : bytes[0] >= 0xe0 ? 3 : 2;
	if (count > length || !utf8_continues(bytes, count))
		return 0;
	code = bytes[0] & (0x7fU >> count);
	for (size_t i = 1; i < count; i++)
		code = code << 6 | (bytes[i] & 0x3fU);
	if (code < smallest[count] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*out_code = code;
	return count;
}

static const struct {
	uint32_t code;
	const char *name; /* NULL: it shows in every editor */
} blanks[] = {
	{ ' ', NULL },
	{ '\t', NULL },
	{ '\r', NULL },
	{ '\n', NULL },
	{ 0x00a0, "a no-break space (U+00A0)" },
	{ 0x200b, "a space without width (U+200B)" },
	{ 0x200c, "a character without width (U+200C)" },
	{ 0x200d, "a character without width (U+200D)" },
	{ 0x202f, "a narrow no-break space (U+202F)" },
	{ 0x2060, "a character without width (U+2060)" },
	{ 0xfeff, "a byte order mark (U+FEFF)" },
};

/* The row of the blank at the start of the text, its bytes in *step; -1: none, or not UTF-8. */
static int find_blank(const char *text, size_t length, size_t *step)
{
	uint32_t code;

	*step = length ? utf8_next(text, length, &code) : 0;
	for (size_t i = 0; *step && i < ARRAY_SIZE(blanks); i++) {
		if (blanks[i].code == code)
			return (int)i;
	}
	return -1;
}

size_t utf8_blank(const char *text, size_t length)
{
	size_t step;

	return find_blank(text, length, &step) < 0 ? 0 : step;
}

const char *str_hidden_blank(const char *text)
{
	size_t left = strlen(text), step;

	for (; left > 0; text += step, left -= step) {
		int row = find_blank(text, left, &step);

		if (row >= 0 && blanks[row].name)
			return blanks[row].name;
		step = step ? step : 1;
	}
	return NULL;
}

const char *utf8_trim(const char *text, size_t *length)
{
	size_t left = *length, end = 0, step;

	while (left > 0 && (step = utf8_blank(text, left))) {
		text += step;
		left -= step;
	}
	for (size_t at = 0; at < left; at += step) {
		step = utf8_blank(text + at, left - at);
		if (step)
			continue;
		step = 1;
		end = at + step;
	}
	*length = end;
	return text;
}

size_t utf8_count(const char *text)
{
	size_t count = 0;

	for (; *text; text++)
		count += ((unsigned char)*text & 0xc0) != 0x80;
	return count;
}

bool utf8_is_noncharacter(uint32_t code)
{
	return (code & 0xfffe) == 0xfffe || (code >= 0xfdd0 && code <= 0xfdef);
}

bool str_is_plain_text(const char *text)
{
	size_t left;

	/* Nearly all texts are plain ASCII, and each text on D-Bus is looked at. */
	while (*text >= ' ' && *text < 0x7f)
		text++;
	left = strlen(text);
	while (left > 0) {
		uint32_t code;
		size_t step = utf8_next(text, left, &code);

		if (step == 0 || utf8_is_control(code) || utf8_is_noncharacter(code))
			return false;
		text += step;
		left -= step;
	}
	return true;
}

/*
 * Reads the digits at *text, at least one, up to the first other character; afterwards *text points
 * to that character.
 */
static int take_digits(const char **text, uint64_t *out)
{
	uint64_t value = 0;
	const char *p = *text;

	if (*p < '0' || *p > '9')
		return -1;
	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return -1;
	}
	*text = p;
	*out = value;
	return 0;
}

int parse_u64(const char *text, uint64_t *out)
{
	uint64_t value;

	if (take_digits(&text, &value) < 0 || *text)
		return -1;
	*out = value;
	return 0;
}

int parse_i64(const char *text, int64_t *out)
{
	bool negative = *text == '-';
	uint64_t value;

	if (negative)
		text++;
	if (parse_u64(text, &value) < 0 || value > (uint64_t)INT64_MAX + negative)
		return -1;
	*out = negative ? (int64_t)-value : (int64_t)value;
	return 0;
}

int parse_size(const char *text, uint64_t *out)
{
	static const char units[] = "KMGT";
	unsigned shift = 0;
	uint64_t value;

	if (take_digits(&text, &value) < 0)
		return -1;
	if (*text) {
		const char *unit = strchr(units, *text);

		if (!unit || (text[1] && !streq(text + 1, "iB")))
			return -1;
		shift = 10 * (unsigned)(unit - units + 1);
	}
	if (value > UINT64_MAX >> shift)
		return -1;
	*out = value << shift;
	return 0;
}

const struct duration_unit duration_units[DURATION_UNIT_COUNT] = {
	{ "d", INT64_C(24) * 60 * 60 * 1000 },
	{ "h", INT64_C(60) * 60 * 1000 },
	{ "min", INT64_C(60) * 1000 },
	{ "s", 1000 },
	{ "ms", 1 },
};

int parse_duration(const char *text, int64_t *out_ms)
{
	uint64_t value;

	if (take_digits(&text, &value) < 0 || value > INT64_MAX)
		return -1;
	if (!*text)
		text = "s";
	for (size_t i = 0; i < DURATION_UNIT_COUNT; i++) {
		int64_t ms;

		if (!streq(text, duration_units[i].name))
			continue;
		if (__builtin_mul_overflow((int64_t)value, duration_units[i].ms, &ms))
			return -1;
		*out_ms = ms;
		return 0;
	}
	return -1;
}

int parse_bool(const char *text, bool *out)
{
	static const char *const words[][2] = {
		{ "no", "yes" }, { "false", "true" }, { "off", "on" }, { "0", "1" }
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		for (int value = 0; value < 2; value++) {
			if (streq(text, words[i][value])) {
				*out = value;
				return 0;
			}
		}
	}
	return -1;
}

char *read_file_at(int dirfd, const char *path, size_t max, size_t *out_length)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	_cleanup_free_ char *bytes = NULL;
	size_t length = 0, room = 256;

	if (fd < 0)
		return NULL;
	/* The size that a file reports is not used: sysfs reports 4096 for every file, procfs 0. */
	bytes = xmalloc(room + 1);
	for (;;) {
		ssize_t got = read(fd, bytes + length, room - length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return NULL;
		length += (size_t)got;
		if (length > max) {
			errno = EFBIG;
			return NULL;
		}
		if (got == 0)
			break;
		if (length == room) {
			room *= 2;
			bytes = xrealloc(bytes, room + 1);
		}
	}
	bytes[length] = '\0';
	if (out_length)
		*out_length = length;
	return TAKE_PTR(bytes);
}

void freep(void *pointer_to_pointer)
{
	void *pointer;

	/* memcpy, since the slot is declared with another pointer type. */
	memcpy(&pointer, pointer_to_pointer, sizeof(pointer));
	free(pointer);
}

void closep(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}
