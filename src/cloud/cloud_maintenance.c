/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Maintenance of CloudStack's management server.
 *
 * A server that is about to stop answers every question, and refuses every change. Nothing but a
 * change tells when that is over. If each operation tried its own, a thousand of them would ask the
 * server a thousand times. So after a refusal one change in two seconds is sent, and its answer
 * counts for all; the others get the words of the last refusal at once, without a request.
 *
 * If no operation asks for a change any more (the client has cancelled it), nothing tells the end,
 * so a refusal counts for a minute only.
 */

#include "cloud/cloud_maintenance.h"

#include <assert.h>

#include "base/clock.h"
#include "base/log.h"
#include "cloud/cloud_error.h"

#define ASK_EVERY_MS 2000
#define LASTS_MS 60000

bool cloud_maintenance_is_on(const struct cloud_maintenance *maintenance)
{
	return clock_waking_ms() < maintenance->until_ms;
}

bool cloud_maintenance_admits(struct cloud_maintenance *maintenance, bool *asks)
{
	*asks = false;
	if (!cloud_maintenance_is_on(maintenance))
		return true;
	if (maintenance->asking || clock_waking_ms() < maintenance->next_ms)
		return false;
	*asks = maintenance->asking = true;
	return true;
}

void cloud_maintenance_answered(struct cloud_maintenance *maintenance)
{
	assert(maintenance->asking);

	maintenance->asking = false;
	maintenance->next_ms = clock_waking_ms() + ASK_EVERY_MS;
}

void cloud_maintenance_note(struct cloud_maintenance *maintenance, const struct err *err)
{
	int64_t now_ms = clock_waking_ms();

	if (err->reason == ERR_REASON_MAINTENANCE) {
		if (!cloud_maintenance_is_on(maintenance))
			log_notice("cloud: changes wait: %s", err->text);
		maintenance->words = *err;
		maintenance->until_ms = now_ms + LASTS_MS;
		maintenance->next_ms = now_ms + ASK_EVERY_MS;
	} else if (cloud_maintenance_is_on(maintenance)) {
		log_notice("cloud: CloudStack takes changes again");
		maintenance->until_ms = now_ms;
	}
}

void cloud_maintenance_health(const struct cloud_maintenance *maintenance, struct cloud_health *out)
{
	out->in_maintenance = cloud_maintenance_is_on(maintenance);
	out->maintained_until_ms = maintenance->until_ms;
	if (out->in_maintenance && out->usable)
		cloud_text_copy(out->reason, sizeof(out->reason), maintenance->words.text);
}
