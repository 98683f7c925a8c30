/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Whether secrets are wiped from memory that is not used any more. For programs that are linked
 * with wiping_dep, which puts functions of its own in front of those that allocate, free and wipe.
 */

#include <stdbool.h>
#include <stddef.h>

/* From now on, on this thread: texts, ended by NULL, which live as long as they are watched. NULL
 * ends the watch. */
void wiping_watch(const char *const *secrets);
/* A secret that was in a block of memory when the block was freed, NULL for none. */
const char *wiping_missed(void);
/* True if just these bytes, as a whole or as a part of more, were wiped since the watch began. */
bool wiping_saw(const void *bytes, size_t length);
