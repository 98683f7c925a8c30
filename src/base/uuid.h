/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* UUIDs in their lower-case text form, 36 characters. */

#include "base/util.h"

#define UUID_TEXT_SIZE 37

void uuid_make_v4(char out[UUID_TEXT_SIZE]);
/*
 * Version 7: the first 48 bits are the wall clock in milliseconds, so ids sort by their time. Ids
 * made by one process in the same millisecond still sort in the order they were made.
 */
void uuid_make_v7(char out[UUID_TEXT_SIZE]);
bool uuid_is_valid(const char *text); /* exactly 8-4-4-4-12 hex digits, either case */
