/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * uthash, with a hash function that clang compiles without a warning: the default one falls through
 * switch labels without marking it. Everything hashed here is an id of ours or CloudStack's, so
 * speed and distribution are no concern.
 */

#define HASH_FUNCTION(key, length, value) HASH_OAT(key, length, value)
#include <uthash.h>

/*
 * For clang's analyzer alone: the original reaches the neighbours of an element through pointers
 * whose targets the analyzer cannot know, so the analyzer takes a neighbour for an element that was
 * freed before.
 */
#ifdef __clang_analyzer__
#undef HASH_DELETE
#define HASH_DELETE(hh, head, element)                                                             \
	do {                                                                                       \
		if ((head) == (element))                                                           \
			(head) = (element)->hh.next;                                               \
	} while (0)
#endif
