/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Two clocks. Durations and deadlines use the monotonic one; the wall clock is only for times that
 * people or CloudStack read. Tests turn both by hand: after clock_test_start() the clocks stand
 * still until clock_test_advance().
 *
 * Two times are made from them. The time of records keeps records in order although the wall clock
 * can be set back. The waking time is for deadlines: it stands still while this process is stopped
 * or its machine is paused, since an answer that comes in that time cannot be looked at.
 */

#include "base/util.h"

int64_t clock_mono_ms(void); /* CLOCK_MONOTONIC, milliseconds */
int64_t clock_wall_ms(void); /* milliseconds since 1970, UTC */

/*
 * The monotonic clock without the time in which the loop was kept from running (io/loop.h), for
 * deadlines and for how long an answer is awaited.
 */
int64_t clock_waking_ms(void);
int64_t clock_missed_ms(void);     /* how far waking time is behind the monotonic clock */
void clock_add_missed(int64_t ms); /* for the loop */

/*
 * The time for a record that is stored: the wall clock, but never before a time that this function
 * has returned or that clock_record_after() was given. After the wall clock was set back, this time
 * goes on at half pace until the wall clock has caught up.
 */
int64_t clock_record_ms(void);
void clock_record_after(int64_t wall_ms); /* a time that stands in a record already */

void clock_test_start(int64_t mono_ms, int64_t wall_ms); /* forgets the time of records */
void clock_test_advance(int64_t ms);
void clock_test_set_wall(int64_t wall_ms);
bool clock_is_test(void);

/* From year 0 to the end of year 9999: the years of four digits. */
#define TIME_MIN_MS (-INT64_C(62167219200000))
#define TIME_MAX_MS INT64_C(253402300799999)

/* "2026-11-22T21:50:03.123Z", always this length. */
#define TIME_TEXT_SIZE 25
void time_format(int64_t wall_ms, char out[TIME_TEXT_SIZE]);
/* RFC 3339 with 0 to 9 fraction digits and Z or an offset with or without colon. 0 or -1. */
int time_parse(const char *text, int64_t *out_wall_ms) _must_check_;
