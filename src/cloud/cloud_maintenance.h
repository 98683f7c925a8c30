/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The time in which CloudStack takes no changes, although it answers. Private to cloud/. */

#include "cloud/cloud_reply.h"

/* Times are clock_waking_ms(). Zeroed: CloudStack takes changes. */
struct cloud_maintenance {
	struct err words; /* the last refusal */
	int64_t until_ms; /* the refusal counts until then, 0: there was none */
	int64_t next_ms;  /* the next change may be sent */
	bool asking;      /* a change is on the wire, whose answer tells whether it is over */
};

bool cloud_maintenance_is_on(const struct cloud_maintenance *maintenance);
/* True: a change may be sent. Sets *asks if its answer is to tell whether the maintenance is over;
 * then cloud_maintenance_answered() follows, also if the change is cancelled. */
bool cloud_maintenance_admits(struct cloud_maintenance *maintenance, bool *asks);
void cloud_maintenance_answered(struct cloud_maintenance *maintenance);
/* Notes the answer to a change that CloudStack wrote itself. */
void cloud_maintenance_note(struct cloud_maintenance *maintenance, const struct err *err);
void cloud_maintenance_health(const struct cloud_maintenance *maintenance,
			      struct cloud_health *out);
