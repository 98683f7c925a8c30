/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * When jobs of a kind are looked at.
 *
 * How long a job takes differs from one CloudStack to the next by a factor of a hundred, but little
 * from one job to the next of the same kind. Each look costs CloudStack a request, and each moment
 * between the end of a job and the look that shows it costs the client. So mean and spread are kept
 * as TCP keeps its round-trip times, and the looks are placed around the expected end: the first a
 * spread before it, the others at growing distances behind.
 *
 * The end of a job is only known to lie between two looks. A mean between them is as right as any,
 * so looks that were far apart do not make jobs appear scattered. The spread falls quicker than it
 * grows: the first looks of all are seconds apart, and jobs of one length shall not be looked at in
 * such steps for long. If the first look shows that a job has ended, the job may have ended long
 * before. Then the next job is looked at a little earlier, and if that one has ended, too, twice as
 * much earlier, until a look comes before the end again. So about every other job costs one look,
 * and the rest two.
 */

#include "cloud/cloud_pace.h"

#define GAP_MIN_MS 40
#define GAPS_PER_SPREAD 2
#define EARLY_MAX 10 /* doublings */

static int64_t at_least(int64_t value, int64_t least)
{
	return value > least ? value : least;
}

int64_t cloud_pace_first_ms(const struct cloud_pace *pace)
{
	return at_least(pace->mean_ms - pace->spread_ms, pace->mean_ms / 4);
}

int64_t cloud_pace_gap_ms(const struct cloud_pace *pace)
{
	return at_least(pace->spread_ms / GAPS_PER_SPREAD, GAP_MIN_MS);
}

int64_t cloud_pace_wider_ms(int64_t gap_ms)
{
	return gap_ms + gap_ms / 4;
}

/* It ended at some time before its first look. The spread stays, since nothing is known of it. */
static void learn_early(struct cloud_pace *pace, int64_t running_ms, int64_t ended_ms)
{
	int64_t guess_ms = ended_ms - (cloud_pace_gap_ms(pace) << pace->early);

	if (pace->early < EARLY_MAX)
		pace->early++;
	guess_ms = at_least(guess_ms, at_least(running_ms, ended_ms / 4));
	pace->mean_ms = at_least(pace->mean_ms + (guess_ms - pace->mean_ms) / 2, 1);
}

/* The first jobs make up the mean in equal parts; later ones push the older aside. */
static int64_t share(const struct cloud_pace *pace, int64_t change_ms)
{
	return change_ms / (int64_t)pace->count;
}

/* From the mean to the time in which the job must have ended. */
static int64_t distance_ms(const struct cloud_pace *pace, int64_t running_ms, int64_t ended_ms)
{
	if (pace->mean_ms < running_ms)
		return running_ms - pace->mean_ms;
	return pace->mean_ms > ended_ms ? pace->mean_ms - ended_ms : 0;
}

void cloud_pace_learn(struct cloud_pace *pace, int64_t running_ms, int64_t ended_ms)
{
	int64_t middle_ms = at_least((running_ms + ended_ms) / 2, 1), distance;

	if (pace->count < CLOUD_PACE_SAMPLES)
		pace->count++;
	if (!cloud_pace_is_known(pace)) {
		pace->mean_ms = middle_ms;
		pace->spread_ms = (ended_ms - running_ms) / 2;
		return;
	}
	if (running_ms < cloud_pace_first_ms(pace)) {
		learn_early(pace, running_ms, ended_ms);
		return;
	}
	distance = distance_ms(pace, running_ms, ended_ms);
	pace->early = 0;
	pace->mean_ms = at_least(pace->mean_ms + share(pace, middle_ms - pace->mean_ms), 1);
	pace->spread_ms += distance < pace->spread_ms ? (distance - pace->spread_ms) / 2
						      : share(pace, distance - pace->spread_ms);
}
