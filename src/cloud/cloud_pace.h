/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How long the jobs of one kind take, learned from jobs that have ended: when is the next job of
 * this kind looked at? All times count from the acceptance of a job, in milliseconds. */

#include <stdbool.h>
#include <stdint.h>

#define CLOUD_PACE_SAMPLES 4 /* so many jobs make a new mean */

/* Zeroed: nothing is known yet. */
struct cloud_pace {
	int64_t mean_ms;   /* 0: not known */
	int64_t spread_ms; /* a typical distance from the mean */
	unsigned count;    /* of jobs, up to CLOUD_PACE_SAMPLES */
	unsigned early;    /* jobs that had ended at their first look, one after the other */
};

static inline bool cloud_pace_is_known(const struct cloud_pace *pace)
{
	return pace->mean_ms > 0;
}

/* The time of the first look, when few of the jobs have ended. */
int64_t cloud_pace_first_ms(const struct cloud_pace *pace);
/* From the first look to the second. */
int64_t cloud_pace_gap_ms(const struct cloud_pace *pace);
/* The gap behind this one: many looks at a job that takes much longer than usual cost more than
 * they tell. */
int64_t cloud_pace_wider_ms(int64_t gap_ms);
/* A job has ended after running_ms and before ended_ms; running_ms is 0 if it was never seen to
 * run. */
void cloud_pace_learn(struct cloud_pace *pace, int64_t running_ms, int64_t ended_ms);
