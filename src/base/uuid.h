/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* UUIDs in their lower-case text form, 36 characters. */

#include "base/util.h"

#define UUID_TEXT_SIZE 37

/* The last group of a UUID: 12 hex digits. */
#define UUID_MAKER_SIZE 13

void uuid_make_v4(char out[UUID_TEXT_SIZE]);
/*
 * Version 7: the first 48 bits are the time of records (base/clock.h) in milliseconds, so ids sort
 * by their time. Ids sort in the order they were made, also in the same millisecond and after the
 * clock was set back.
 */
void uuid_make_v7(char out[UUID_TEXT_SIZE]);
/*
 * The ids of version 7 that are made from now on end with these 12 lower-case hex digits in place
 * of random ones, so that their maker can be recognised. They stay unique in one process, and among
 * processes that follow each other (uuid_continue_after()).
 */
void uuid_set_maker(const char *maker);
void uuid_make_maker(char out[UUID_MAKER_SIZE]); /* a random one */
bool uuid_is_maker(const char *text);
bool uuid_is_made_by(const char *v7, const char *maker); /* false for other versions */
bool uuid_is_v7(const char *text); /* false: its first bits may be random, and tell no time */
/* Ids made from now on sort behind this version 7 id, which another process may have made. */
void uuid_continue_after(const char *v7);
/*
 * The same 16 bytes with those of the first three groups in the opposite order: SMBIOS keeps these
 * groups as little-endian numbers, and not all hypervisors and kernels agree on that.
 */
void uuid_swap(const char *uuid, char out[UUID_TEXT_SIZE]);
bool uuid_is_valid(const char *text); /* exactly 8-4-4-4-12 hex digits, either case */
