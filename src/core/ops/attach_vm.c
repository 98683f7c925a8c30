/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The VM of an attachment.
 *
 * The daemon knows only from its configuration, from ossea_configs or from DMI which VM this
 * machine is. The id is wrong if CloudStack does not know such a VM. It is also wrong if CloudStack
 * attaches a volume to a VM with another id, and the volume's disk appears here. The attachment is
 * then undone: the disk would have neither a name nor an export.
 */

#include "core/ops/attach_vm.h"

#include "base/uuid.h"
#include "cloud/cloud.h"
#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/model/notice.h"
#include "core/ops/attach_device.h"
#include "core/ops/cloud_step.h"
#include "core/ops/ops.h"

static void fail_as_here(struct operation *operation, const struct device *device)
{
	struct env *env = operation->ops->env;
	_cleanup_free_ char *why = NULL;

	env_prove_appliance(env, operation->record.vm_id);
	notice_tell(operation->ops->model, NOTICE_APPLIANCE_WRONG);
	why = env_appliance_error(env);
	operation_failf(operation, ERR_CONFLICT,
			"volume %s was attached to VM %s and became %s here: %s",
			operation->record.volume_id, operation->record.vm_id, device->path, why);
}

/* Another client of CloudStack may have moved the volume here meanwhile. */
static void on_listed(void *arg, const struct cloud_result *result)
{
	struct operation *operation = arg;
	const struct device *device;

	if (!cloud_step_succeeded_or_end(operation, result))
		return;
	device = op_attach_new_disk(operation);
	if (device && op_attach_is_here(operation, cloud_step_volume(operation, result,
								     operation->record.volume_id)))
		fail_as_here(operation, device);
	else
		operation_next(operation);
}

bool op_attach_is_remote_or_end(struct operation *operation)
{
	if (!op_attach_new_disk(operation))
		return true;
	cloud_step_list(operation, on_listed);
	return false;
}

void op_attach_explain(const struct operation *operation, struct err *err)
{
	char swapped[UUID_TEXT_SIZE];

	if (err->reason != ERR_REASON_UNKNOWN_VM || !op_on_appliance(operation))
		return;
	uuid_swap(operation->record.vm_id, swapped);
	err_reword(
		err,
		"%s. The daemon takes this machine for that VM: set appliance.vm_id (if this id comes "
		"from the machine's DMI, the true one may be %s, with the bytes in the other order)",
		err->text, swapped);
}
