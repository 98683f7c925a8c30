/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Looks into what is freed and wiped; see wiping.h. Only calls of objects in the program itself
 * come here, not a library's. A library may well leave a secret in what it frees, so a new block is
 * cleared: what is in it when it is freed was put there by the program.
 */

#include "wiping.h"

#include <malloc.h>

#include "base/buf.h"

/* what a fake server on a thread of its own frees is not meant */
static _Thread_local const char *const *watched;
static const char *missed;
static struct buf wiped; /* all that was wiped, one behind the other */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size);
void __real_free(void *block);
void __wrap_free(void *block);
void __real_explicit_bzero(void *bytes, size_t length);
void __wrap_explicit_bzero(void *bytes, size_t length);

static void *clear_from(void *block, size_t used)
{
	size_t room = block ? malloc_usable_size(block) : 0;

	if (room > used)
		memset((char *)block + used, 0, room - used);
	return block;
}

void *__wrap_malloc(size_t size)
{
	return clear_from(__real_malloc(size), 0);
}

void *__wrap_realloc(void *block, size_t size)
{
	size_t used = block ? malloc_usable_size(block) : 0;

	return clear_from(__real_realloc(block, size), used);
}

void __wrap_free(void *block)
{
	for (size_t i = 0; block && watched && watched[i] && !missed; i++) {
		if (memmem(block, malloc_usable_size(block), watched[i], strlen(watched[i])))
			missed = watched[i];
	}
	__real_free(block);
}

void __wrap_explicit_bzero(void *bytes, size_t length)
{
	if (watched) {
		buf_add(&wiped, bytes, length);
		buf_add_char(&wiped, '\0');
	}
	__real_explicit_bzero(bytes, length);
}

void wiping_watch(const char *const *secrets)
{
	watched = NULL;
	missed = NULL;
	buf_clear(&wiped);
	watched = secrets;
}

const char *wiping_missed(void)
{
	return missed;
}

bool wiping_saw(const void *bytes, size_t length)
{
	return wiped.data && memmem(wiped.data, wiped.length, bytes, length);
}
