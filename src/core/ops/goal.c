/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Whether the volume or the snapshot, as CloudStack shows it, is as an ended operation wanted to
 * make it. The stored request tells the goal, so that this holds for operations of an earlier
 * process as well. Nothing shows whether a volume was reverted.
 */

#include <strings.h>

#include "base/json.h"
#include "core/ops/cloud_step.h"
#include "core/ops/ops.h"

static enum op_goal goal_if(bool reached)
{
	return reached ? GOAL_REACHED : GOAL_MISSED;
}

static bool is_on_vm(const struct cloud_volume *volume, const char *vm_id)
{
	return volume && volume->vm_id && vm_id && strcasecmp(volume->vm_id, vm_id) == 0;
}

/* Some storages round up further than to whole GiB. */
static enum op_goal look_at_size(const struct json *request, const struct cloud_volume *volume)
{
	int64_t wanted = 0;

	if (!volume || json_integer(json_get(request, "size"), &wanted) < 0)
		return GOAL_UNKNOWN;
	if (cloud_gib(volume->size) > cloud_gib((uint64_t)wanted))
		return GOAL_UNKNOWN;
	return goal_if(cloud_gib(volume->size) == cloud_gib((uint64_t)wanted));
}

enum op_goal op_goal_look(const struct operation_record *record, const struct cloud_volume *volume)
{
	const char *text = str_or(record->request, "{}");
	_cleanup_json_ struct json *request = json_parse(text, strlen(text), NULL);
	bool is_there = volume && !cloud_volume_is_destroyed(volume);

	switch ((enum operation_type)record->type) {
	case OPERATION_CREATE:
		return goal_if(is_there);
	case OPERATION_ATTACH:
		return goal_if(is_on_vm(volume, record->vm_id));
	case OPERATION_DETACH:
		return goal_if(!is_there || !volume->vm_id);
	case OPERATION_DELETE:
		return goal_if(!is_there);
	case OPERATION_RESIZE:
		return look_at_size(request, volume);
	case OPERATION_CLEANUP:
		return goal_if(is_on_vm(volume, json_text(json_get(request, "oma_vm_id"))));
	case OPERATION_SNAPSHOT:
	case OPERATION_REVERT:
	case OPERATION_DELETE_SNAPSHOT:
	case OPERATION_TYPE_COUNT:
		break;
	}
	return GOAL_UNKNOWN;
}

bool op_goal_snapshot(const struct operation_record *record, char **id, char **name)
{
	const char *text = str_or(record->request, "{}");
	_cleanup_json_ struct json *request = json_parse(text, strlen(text), NULL);

	*id = *name = NULL;
	if (record->type == OPERATION_DELETE_SNAPSHOT)
		*id = xstrdup(json_text(json_get(request, "id")));
	else if (record->type == OPERATION_SNAPSHOT)
		*name = op_snapshot_name(json_text(json_get(request, "name")), record->id);
	return *id || *name;
}

enum op_goal op_goal_look_at_snapshot(const struct operation_record *record,
				      const struct cloud_snapshot *snapshot)
{
	bool is_there = snapshot && !streq(snapshot->state, "Destroyed");

	if (record->type == OPERATION_DELETE_SNAPSHOT)
		return goal_if(!is_there);
	return is_there && !op_snapshot_is_taken(snapshot) ? GOAL_HALF : goal_if(is_there);
}
