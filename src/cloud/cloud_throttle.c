/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How much may be asked.
 *
 * When CloudStack answers 429, the account has asked too much, not the one call that got to hear it, so nothing at all
 * is sent until the time it names has passed. If all that has gathered were sent then at once, the limit would be hit
 * again at once. So it begins with one request, and each good answer allows one more, up to the usual number. A 429 with
 * no good answer since the last one says that the time was too short, and doubles it.
 *
 * Holds are durations, so they are measured on the monotonic clock.
 */

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "cloud/cloud_internal.h"

#define HOLD_MAX_MS 60000
#define STREAK_MAX 16

static void hold_back(struct cloud *cloud, const struct cloud_call *call, int64_t wait_ms)
{
	struct cloud_throttle *throttle = &cloud->throttle;
	int64_t now = clock_mono_ms();

	cloud->health.throttled++;
	/* What was under way when the first 429 came hears the same, which is no new reason. */
	if (call->sent_ms >= throttle->not_before_ms && throttle->streak < STREAK_MAX)
		throttle->streak++;
	for (unsigned i = 1; i < throttle->streak && wait_ms < HOLD_MAX_MS; i++)
		wait_ms *= 2;
	if (wait_ms > HOLD_MAX_MS)
		wait_ms = HOLD_MAX_MS;
	if (now + wait_ms > throttle->not_before_ms)
		throttle->not_before_ms = now + wait_ms;
	throttle->window = 1;
	log_debug("cloud: CloudStack limits the rate, nothing is sent for %lld ms",
		  (long long)(throttle->not_before_ms - now));
}

void cloud_throttle_note(struct cloud *cloud, const struct cloud_call *call, const struct cloud_reply *reply)
{
	struct cloud_throttle *throttle = &cloud->throttle;

	if (reply->wait_ms > 0) {
		hold_back(cloud, call, reply->wait_ms);
		return;
	}
	if (!reply->answered || call->sent_ms < throttle->not_before_ms)
		return;
	throttle->streak = 0;
	if (throttle->window < cloud->max_parallel)
		throttle->window++;
}

int64_t cloud_throttle_wait_ms(const struct cloud *cloud)
{
	int64_t wait_ms = cloud->throttle.not_before_ms - clock_mono_ms();

	return wait_ms > 0 ? wait_ms : 0;
}

void cloud_throttle_health(const struct cloud *cloud, struct cloud_health *out)
{
	int64_t wait_ms = cloud_throttle_wait_ms(cloud);

	if (wait_ms == 0)
		return;
	out->throttled_until_ms = cloud->throttle.not_before_ms;
	if (out->usable)
		snprintf(
			out->reason, sizeof(out->reason),
			"CloudStack limits how much this account may ask (code 429); nothing is sent to it for another "
			"%lld ms. If that happens often, raise the account's limit or lower cloud.parallel",
			(long long)wait_ms);
}
