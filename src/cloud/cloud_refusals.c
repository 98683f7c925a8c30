/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * CloudStack answers a read with 530 for any trouble of its own. If its database restarts, a later
 * read succeeds. If it cannot read a row, every later read fails in the same words.
 */

#include "cloud/cloud_refusals.h"

#include <assert.h>

#include "base/clock.h"
#include "cloud/cloud.h"

#define COUNT_MAX 10
#define REPEATED_MAX_MS (INT64_C(5) * 60 * 1000)

void cloud_refusals_clear(struct cloud_refusals *refusals)
{
	free(refusals->words);
	*refusals = (struct cloud_refusals){ 0 };
}

bool cloud_refusals_note(struct cloud_refusals *refusals, const struct err *err)
{
	int64_t now_ms = clock_waking_ms();

	assert(cloud_err_is_refusal(err));

	if (!streq(refusals->words, err->text)) {
		cloud_refusals_clear(refusals);
		refusals->words = xstrdup(err->text);
		refusals->since_ms = now_ms;
	}
	refusals->count++;
	return refusals->count >= COUNT_MAX || now_ms - refusals->since_ms >= REPEATED_MAX_MS;
}
