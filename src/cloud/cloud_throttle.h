/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How many requests may be sent to CloudStack. Private to cloud/. */

#include "cloud/cloud_reply.h"

struct cloud_throttle {
	int64_t not_before_ms; /* monotonic; nothing is sent until then */
	/* calls that may be on the wire: 1 after a 429, then one more with each good answer */
	size_t window;
	size_t window_max;
	unsigned streak; /* holds in a row */
	uint64_t count;  /* answers that were 429 */
};

void cloud_throttle_init(struct cloud_throttle *throttle, size_t window_max);
void cloud_throttle_set_max(struct cloud_throttle *throttle, size_t window_max);
/* Notes the answer to a request that was sent at sent_ms. */
void cloud_throttle_note(struct cloud_throttle *throttle, int64_t sent_ms,
			 const struct cloud_reply *reply);
int64_t cloud_throttle_wait_ms(const struct cloud_throttle *throttle); /* 0: send now */
void cloud_throttle_health(const struct cloud_throttle *throttle, struct cloud_health *out);
