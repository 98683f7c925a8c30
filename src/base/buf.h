/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A growing byte buffer that is always zero-terminated. data is NULL until the first byte. */

#include "base/util.h"

struct buf {
	char *data;
	size_t length;
	size_t room;
};

#define BUF_NULL                                                                                   \
	{                                                                                          \
		NULL, 0, 0                                                                         \
	}
#define _cleanup_buf_ _cleanup_(buf_clear)

void buf_add(struct buf *buf, const void *bytes, size_t length);
void buf_add_text(struct buf *buf, const char *text);
void buf_add_char(struct buf *buf, char c);
void buf_printf(struct buf *buf, const char *format, ...) _printf_(2, 3);
void buf_reset(struct buf *buf);                  /* empties, keeps the memory */
void buf_cut(struct buf *buf, size_t length);     /* drops what follows the first bytes */
void buf_reserve(struct buf *buf, size_t length); /* room for so much more, which moves nothing */
void buf_wipe(struct buf *buf);                   /* clears a buffer that has held a secret */
void buf_clear(struct buf *buf);                  /* frees; the buffer may be used again */
/* the text, now the caller's ("" if empty); the buffer is empty again */
char *buf_take(struct buf *buf);
