/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A read that CloudStack refuses again and again. */

#include <stdbool.h>
#include <stdint.h>

struct err;

/* Zeroed: no refusal so far. */
struct cloud_refusals {
	char *words;      /* the text of the last refusal */
	unsigned count;   /* in these words, one after the other */
	int64_t since_ms; /* clock_waking_ms() of the first of them */
};

/* After an answer that is no refusal. */
void cloud_refusals_clear(struct cloud_refusals *refusals);
/* True: CloudStack has given the same reason ten times, or for five minutes, so that the read is
 * hopeless. Only for refusals, see cloud_err_is_refusal(). */
bool cloud_refusals_note(struct cloud_refusals *refusals, const struct err *err);
