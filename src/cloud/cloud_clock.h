/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * CloudStack's clock, as far as it is known. Private to cloud/; pure, no request is made here.
 *
 * A signed request carries the moment at which CloudStack stops accepting the request (`expires`,
 * whole seconds of its clock). CloudStack sends no date with its answers, and a date that a proxy
 * adds is the proxy's. But a read that is signed to expire at a chosen moment is answered if
 * CloudStack's clock is not past that moment, and refused with 401 otherwise. A few such reads find
 * the clock to about two seconds; a clock that is hours off takes some dozens. The caller makes
 * these reads and notes the answers here.
 *
 * The result is kept as two bounds of the difference between CloudStack's clock and our monotonic
 * clock. So a step of this machine's wall clock changes nothing afterwards.
 */

#include <stdbool.h>
#include <stdint.h>

struct cloud_clock {
	bool measured;       /* low_ms and high_ms hold */
	int64_t measured_ms; /* monotonic, the end of the last measurement that succeeded */
	int64_t low_ms;      /* CloudStack's clock is at least this ahead of the monotonic clock */
	int64_t high_ms;     /* and at most so far ahead */

	/* the measurement under way */
	int64_t guess_ms;
	int64_t step_ms;
	bool has_low, has_high;
	int64_t new_low_ms, new_high_ms;
	int64_t expires_s; /* of the read under way */
	unsigned reads;
	bool near_only; /* see cloud_clock_begin() */
	bool found;     /* of the last measurement that has ended */
};

/*
 * Begins a measurement. The results of the last one hold until this one has ended.
 *
 * near_only: CloudStack also refuses a request that expires more than 15 minutes ahead
 * (enforce.post.requests.and.timestamps). Then a refusal does not tell the direction, and the
 * search tries a few hours around the guess, and whole hours, as wrong time zones make them.
 */
void cloud_clock_begin(struct cloud_clock *clock, bool near_only);
/* The moment of expiry that the next read shall have, in seconds since 1970; 0: the measurement has
 * ended. If it found nothing, older results hold. */
int64_t cloud_clock_next(struct cloud_clock *clock);
/* The read was accepted, or was refused with 401. The times are monotonic. */
void cloud_clock_note(struct cloud_clock *clock, bool accepted, int64_t sent_ms,
		      int64_t answered_ms);
/* The first whole second, in seconds since 1970, that CloudStack's clock has not passed at this
 * moment of the monotonic clock: a request that expires then is certainly accepted until then. */
int64_t cloud_clock_second(const struct cloud_clock *clock, int64_t mono_ms);
/* The moment of the monotonic clock at which CloudStack's clock has certainly passed this second.
 * If the clock is not measured this is 15 minutes later than our own clock says. */
int64_t cloud_clock_passed_ms(const struct cloud_clock *clock, int64_t second);
/* CloudStack's clock may have passed this second at this moment of the monotonic clock. */
bool cloud_clock_may_have_passed(const struct cloud_clock *clock, int64_t second, int64_t mono_ms);
/* CloudStack's clock minus this machine's wall clock as it is now; 0 if it is not measured. */
int64_t cloud_clock_skew_ms(const struct cloud_clock *clock);
