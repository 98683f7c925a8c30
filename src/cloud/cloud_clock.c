/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A search in two parts: from a guess, in steps that double, until one read was accepted and one
 * was refused; then by halving the distance between the two. If the guess is right, as it is after
 * an earlier measurement, a few reads are enough.
 *
 * If a read is accepted, CloudStack's clock was not past the expiry at the moment when the request
 * was sent. If a read is refused, the clock was past the expiry at the moment when the answer came.
 * Thus a slow network widens the bounds and does not shift them.
 */

#include "cloud/cloud_clock.h"

#include <assert.h>

#include "base/clock.h"

/* As close as whole seconds allow. */
#define PRECISION_MS 2500
#define FIRST_STEP_MS 2000
/* Beyond a day no clock is believed. */
#define STEP_MAX_MS (INT64_C(24) * 60 * 60 * 1000)
#define READS_MAX 64
/* A server that refuses requests for the distant future takes those that expire within this. */
#define NEAR_MS (INT64_C(15) * 60 * 1000)
#define NEAR_STEP_MS (INT64_C(14) * 60 * 1000)
#define NEAR_STEPS 24 /* to 168 minutes on both sides */
#define HOUR_MS (INT64_C(60) * 60 * 1000)
#define FIRST_HOUR 3
#define LAST_HOUR 14 /* the time zone furthest from UTC */
#define NEAR_READS (1 + NEAR_STEPS + 2 * (LAST_HOUR - FIRST_HOUR + 1))
/* For how much this machine's clock may be wrong where CloudStack's clock is not known. */
#define UNKNOWN_MS (INT64_C(15) * 60 * 1000)

static int64_t own_offset_ms(void)
{
	return clock_wall_ms() - clock_mono_ms();
}

void cloud_clock_begin(struct cloud_clock *clock, bool near_only)
{
	assert(clock);

	clock->guess_ms = clock->measured ? clock->low_ms + (clock->high_ms - clock->low_ms) / 2
					  : own_offset_ms();
	clock->step_ms = FIRST_STEP_MS;
	clock->has_low = clock->has_high = false;
	clock->reads = 0;
	clock->near_only = near_only;
	clock->found = false;
}

/* The two bounds contradict each other if the clock was set meanwhile, or if several servers with
 * clocks of their own answer. */
static void end(struct cloud_clock *clock)
{
	if (clock->new_low_ms > clock->new_high_ms)
		return;
	clock->measured = clock->found = true;
	clock->measured_ms = clock_mono_ms();
	clock->low_ms = clock->new_low_ms;
	clock->high_ms = clock->new_high_ms;
}

/* The nth place to look at, alternately after and before the guess. The middle of what is accepted
 * there is the guess itself. */
static int64_t near_offset_ms(unsigned n)
{
	int64_t distance_ms = (n + 1) / 2 * NEAR_STEP_MS;

	if (n > NEAR_STEPS)
		distance_ms = ((n - NEAR_STEPS - 1) / 2 + FIRST_HOUR) * HOUR_MS;
	return (n % 2 ? distance_ms : -distance_ms) + NEAR_MS / 2;
}

int64_t cloud_clock_next(struct cloud_clock *clock)
{
	int64_t offset_ms;

	assert(clock);

	if (clock->step_ms > STEP_MAX_MS || clock->reads == READS_MAX)
		return 0;
	if (clock->near_only && !clock->has_high && clock->reads == NEAR_READS)
		return 0;
	if (clock->near_only && !clock->has_high) {
		offset_ms = clock->guess_ms + near_offset_ms(clock->reads);
	} else if (!clock->has_high) {
		offset_ms = clock->guess_ms + clock->step_ms;
	} else if (!clock->has_low) {
		offset_ms = clock->guess_ms - clock->step_ms;
	} else if (clock->new_high_ms - clock->new_low_ms > PRECISION_MS) {
		offset_ms = clock->new_low_ms + (clock->new_high_ms - clock->new_low_ms) / 2;
	} else {
		end(clock);
		return 0;
	}
	clock->expires_s = (clock_mono_ms() + offset_ms + 500) / 1000;
	clock->reads++;
	return clock->expires_s;
}

static void note_low(struct cloud_clock *clock, int64_t offset_ms)
{
	if (!clock->has_low || offset_ms > clock->new_low_ms)
		clock->new_low_ms = offset_ms;
	clock->has_low = true;
}

static void note_high(struct cloud_clock *clock, int64_t offset_ms)
{
	if (!clock->has_high || offset_ms < clock->new_high_ms)
		clock->new_high_ms = offset_ms;
	clock->has_high = true;
}

void cloud_clock_note(struct cloud_clock *clock, bool accepted, int64_t sent_ms,
		      int64_t answered_ms)
{
	bool searching;

	assert(clock && answered_ms >= sent_ms);

	if (clock->near_only && !clock->has_high) {
		if (accepted) {
			note_high(clock, clock->expires_s * 1000 - sent_ms);
			note_low(clock, clock->expires_s * 1000 - NEAR_MS - answered_ms);
		}
		return;
	}
	searching = !clock->has_low || !clock->has_high;
	if (accepted)
		note_high(clock, clock->expires_s * 1000 - sent_ms);
	else
		note_low(clock, clock->expires_s * 1000 - answered_ms);
	if (searching && clock->has_low && clock->has_high)
		clock->step_ms = FIRST_STEP_MS;
	else if (searching && clock->step_ms < STEP_MAX_MS && clock->step_ms * 2 > STEP_MAX_MS)
		clock->step_ms = STEP_MAX_MS;
	else if (searching)
		clock->step_ms *= 2;
}

int64_t cloud_clock_second(const struct cloud_clock *clock, int64_t mono_ms)
{
	int64_t offset_ms = clock->measured ? clock->high_ms : own_offset_ms();

	return (mono_ms + offset_ms + 999) / 1000;
}

int64_t cloud_clock_passed_ms(const struct cloud_clock *clock, int64_t second)
{
	int64_t offset_ms = clock->measured ? clock->low_ms : own_offset_ms() - UNKNOWN_MS;

	return (second + 1) * 1000 - offset_ms;
}

bool cloud_clock_may_have_passed(const struct cloud_clock *clock, int64_t second, int64_t mono_ms)
{
	int64_t offset_ms = clock->measured ? clock->high_ms : own_offset_ms();

	return mono_ms + offset_ms >= second * 1000;
}

int64_t cloud_clock_skew_ms(const struct cloud_clock *clock)
{
	if (!clock->measured)
		return 0;
	return clock->low_ms + (clock->high_ms - clock->low_ms) / 2 - own_offset_ms();
}
