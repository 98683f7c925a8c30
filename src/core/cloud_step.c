/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Shared by the steps that talk to CloudStack; see cloud_step.h. */

#include "core/cloud_step.h"
#include "base/uuid.h"

#define LOOK_AGAIN_MS 1000
#define RETRY_FIRST_MS 500
#define RETRY_MAX_MS 15000

/* Doubling from half a second: CloudStack is shared by many. */
static int64_t retry_delay_ms(const struct operation *operation)
{
	int64_t delay_ms = RETRY_FIRST_MS;

	for (unsigned i = 1; i < operation->runs && delay_ms < RETRY_MAX_MS; i++)
		delay_ms *= 2;
	return delay_ms < RETRY_MAX_MS ? delay_ms : RETRY_MAX_MS;
}

bool cloud_step_retried(struct operation *operation, const struct cloud_result *result)
{
	switch (result->outcome) {
	case CLOUD_OK:
	case CLOUD_REFUSED:
		return false;
	case CLOUD_AWAY:
	case CLOUD_UNKNOWN:
		operation_again(operation, retry_delay_ms(operation), "%s", result->err.text);
		return true;
	}
	abort();
}

bool cloud_step_failed(struct operation *operation, const struct cloud_result *result)
{
	if (cloud_step_retried(operation, result))
		return true;
	if (result->outcome == CLOUD_OK)
		return false;
	operation_fail(operation, &result->err);
	return true;
}

const struct cloud_volume *cloud_step_volume(struct operation *operation, const struct cloud_result *result,
					     const char *volume_id)
{
	for (size_t i = 0; i < result->count; i++) {
		if (!streq(result->volumes[i].id, volume_id))
			continue;
		volume_update(operation->core, &result->volumes[i]);
		volume_note_operation(operation->core, &operation->record);
		return &result->volumes[i];
	}
	return NULL;
}

void cloud_step_list(struct operation *operation, cloud_done_fn done)
{
	struct cloud_volume_filter filter = { .id = operation->record.volume_id };

	operation_wait_call(operation, cloud_list_volumes(operation->core->cloud, &filter, done, operation));
}

void cloud_step_busy(struct operation *operation, const struct cloud_volume *volume)
{
	operation_again(operation, LOOK_AGAIN_MS, "CloudStack still works on the volume (job %s)", volume->job_id);
}

void cloud_step_new_job(char **slot)
{
	char uuid[UUID_TEXT_SIZE];

	uuid_make_v4(uuid);
	str_set(slot, uuid);
}

void cloud_step_note_job(char **slot, const struct cloud_result *result)
{
	if (result->job_id)
		str_set(slot, result->job_id);
}
