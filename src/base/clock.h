/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Two clocks. Durations and deadlines use the monotonic one; the wall clock is only for times that
 * people or CloudStack read. Tests turn both by hand: after clock_test_start() the clocks stand
 * still until clock_test_advance().
 */

#include "base/util.h"

int64_t clock_mono_ms(void); /* CLOCK_MONOTONIC, milliseconds */
int64_t clock_wall_ms(void); /* milliseconds since 1970, UTC */

void clock_test_start(int64_t mono_ms, int64_t wall_ms);
void clock_test_advance(int64_t ms);
bool clock_is_test(void);

/* "2026-11-22T21:50:03.123Z", always this length. */
#define TIME_TEXT_SIZE 25
void time_format(int64_t wall_ms, char out[TIME_TEXT_SIZE]);
/* RFC 3339 with 0 to 9 fraction digits and Z or an offset with or without colon. 0 or -1. */
int time_parse(const char *text, int64_t *out_wall_ms) _must_check_;
