/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How many requests may be sent.
 *
 * A 429 means that the account has asked too much, not only the call that got this answer, so
 * nothing at all is sent until the time named in it has passed. If all waiting calls were sent
 * then, they would hit the limit again at once. So the throttle begins with one request, and each
 * good answer allows one more, up to the usual number. A 429 with no good answer since the last 429
 * shows that the time was too short, and doubles it. But one request in a few seconds does no harm,
 * and each operation waits until the limit is over and a request has shown that; so a time is not
 * doubled beyond those seconds.
 *
 * Holds are durations, so they are measured on the monotonic clock.
 */

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "cloud/cloud_throttle.h"

#define DOUBLED_MAX_MS 4000
#define STREAK_MAX 16

void cloud_throttle_init(struct cloud_throttle *throttle, size_t window_max)
{
	*throttle = (struct cloud_throttle){ .window = window_max, .window_max = window_max };
}

void cloud_throttle_set_max(struct cloud_throttle *throttle, size_t window_max)
{
	/* A window below its usual number goes on growing, to the new number. */
	if (throttle->window == throttle->window_max || throttle->window > window_max)
		throttle->window = window_max;
	throttle->window_max = window_max;
}

static void hold_back(struct cloud_throttle *throttle, int64_t sent_ms, int64_t wait_ms)
{
	int64_t now = clock_mono_ms();
	int64_t max_ms = wait_ms > DOUBLED_MAX_MS ? wait_ms : DOUBLED_MAX_MS;

	throttle->count++;
	/* Requests that were under way at the first 429 get a 429 too, which is no new reason. */
	if (sent_ms >= throttle->not_before_ms && throttle->streak < STREAK_MAX)
		throttle->streak++;
	for (unsigned i = 1; i < throttle->streak && wait_ms < max_ms; i++)
		wait_ms *= 2;
	if (wait_ms > max_ms)
		wait_ms = max_ms;
	if (now + wait_ms > throttle->not_before_ms)
		throttle->not_before_ms = now + wait_ms;
	throttle->window = 1;
	log_debug("cloud: CloudStack limits the rate, nothing is sent for %lld ms",
		  (long long)(throttle->not_before_ms - now));
}

void cloud_throttle_note(struct cloud_throttle *throttle, int64_t sent_ms,
			 const struct cloud_reply *reply)
{
	if (reply->wait_ms > 0) {
		hold_back(throttle, sent_ms, reply->wait_ms);
		return;
	}
	if (!reply->answered || sent_ms < throttle->not_before_ms)
		return;
	throttle->streak = 0;
	if (throttle->window < throttle->window_max)
		throttle->window++;
}

int64_t cloud_throttle_wait_ms(const struct cloud_throttle *throttle)
{
	int64_t wait_ms = throttle->not_before_ms - clock_mono_ms();

	return wait_ms > 0 ? wait_ms : 0;
}

void cloud_throttle_health(const struct cloud_throttle *throttle, struct cloud_health *out)
{
	int64_t wait_ms = cloud_throttle_wait_ms(throttle);

	out->throttled = throttle->count;
	if (wait_ms == 0)
		return;
	out->throttled_until_ms = throttle->not_before_ms;
	if (out->usable)
		snprintf(
			out->reason, sizeof(out->reason),
			"CloudStack limits how much this account may ask (code 429); nothing is sent to it for another "
			"%lld ms. If that happens often, raise the account's limit or lower cloud.parallel",
			(long long)wait_ms);
}
