/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A buffer that doubles. Code that builds a text of unknown length (JSON, log lines, pages) appends
 * here, and the zero behind the last byte is kept at all times so that data can be handed to any C
 * function without a copy.
 */
#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#define BUF_FIRST_ROOM 128

/* And for the zero. */
void buf_reserve(struct buf *buf, size_t length)
{
	size_t need, room = buf->room ? buf->room : BUF_FIRST_ROOM;
	bool overflow;

	if (length < buf->room - buf->length)
		return;
	overflow = __builtin_add_overflow(buf->length, length, &need) || need > SIZE_MAX / 4;
	assert(!overflow);
	need++;
	while (room < need)
		room *= 2;
	buf->data = xrealloc(buf->data, room);
	buf->room = room;
}

void buf_add(struct buf *buf, const void *bytes, size_t length)
{
	if (length == 0)
		return;
	buf_reserve(buf, length);
	memcpy(buf->data + buf->length, bytes, length);
	buf->length += length;
	buf->data[buf->length] = '\0';
}

void buf_add_text(struct buf *buf, const char *text)
{
	buf_add(buf, text, strlen(text));
}

void buf_add_char(struct buf *buf, char c)
{
	buf_reserve(buf, 1);
	buf->data[buf->length++] = c;
	buf->data[buf->length] = '\0';
}

void buf_printf(struct buf *buf, const char *format, ...)
{
	va_list args;
	size_t left;
	int length;

	buf_reserve(buf, 63);
	left = buf->room - buf->length;
	va_start(args, format);
	length = vsnprintf(buf->data + buf->length, left, format, args);
	va_end(args);
	assert(length >= 0);
	if ((size_t)length >= left) {
		buf_reserve(buf, (size_t)length);
		va_start(args, format);
		length = vsnprintf(buf->data + buf->length, (size_t)length + 1, format, args);
		va_end(args);
		assert(length >= 0);
	}
	buf->length += (size_t)length;
}

void buf_cut(struct buf *buf, size_t length)
{
	assert(length <= buf->length);
	buf->length = length;
	if (buf->data)
		buf->data[length] = '\0';
}

void buf_reset(struct buf *buf)
{
	buf_cut(buf, 0);
}

void buf_wipe(struct buf *buf)
{
	if (buf->data)
		explicit_bzero(buf->data, buf->room);
	buf_clear(buf);
}

void buf_clear(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf)BUF_NULL;
}

char *buf_take(struct buf *buf)
{
	char *text = buf->data ? buf->data : xstrdup("");

	*buf = (struct buf)BUF_NULL;
	return text;
}
