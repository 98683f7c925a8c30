/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * CloudStack words a refusal for its own developers: it names the VM by its number in the database
 * or by an internal name, says "specify an Instance that does not have …" where the client has no
 * choice, and blames parameters that the client never gave. So the error says the same in other
 * words, with the ids of the client's request. The cloud layer has found the reason
 * (cloud/cloud_error.c).
 */

#include "core/ops/refusal.h"

#include "base/json.h"
#include "base/log.h"
#include "cloud/cloud.h"
#include "core/engine/operation.h"
#include "core/engine/operation_table.h"
#include "core/env.h"
#include "core/ops/ops.h"

static const char *const done_to_volume[OPERATION_TYPE_COUNT] = {
	[OPERATION_CREATE] = "created",
	[OPERATION_ATTACH] = "attached",
	[OPERATION_DETACH] = "detached",
	[OPERATION_DELETE] = "deleted",
	[OPERATION_RESIZE] = "resized",
	[OPERATION_CLEANUP] = "taken back",
	[OPERATION_REVERT] = "reverted to its snapshot",
};

/* "volume V cannot be attached"; a volume that is not there yet has no id. */
static char *goal_of(const struct operation *operation)
{
	const struct operation_record *record = &operation->record;

	if (record->type == OPERATION_CREATE)
		return xstrdup("the volume cannot be created");
	if (record->type == OPERATION_SNAPSHOT)
		return xasprintf("no snapshot of volume %s can be taken", record->volume_id);
	if (record->type == OPERATION_DELETE_SNAPSHOT)
		return xasprintf("the snapshot of volume %s cannot be deleted", record->volume_id);
	return xasprintf("volume %s cannot be %s", record->volume_id, done_to_volume[record->type]);
}

static void explain_no_slot(const char *goal, const char *vm, struct err *err)
{
	if (cloud_err_is_no_pci_slot(err))
		err_reword(
			err,
			"%s: %s has no free PCI slot for another disk while it runs. Stop the VM, "
			"attach the volume and start the VM again, or detach another volume from it",
			goal, vm);
	else
		err_reword(
			err,
			"%s: %s has as many disks as its hypervisor takes. Detach another volume "
			"from it, or attach the volume to another VM",
			goal, vm);
}

/* Only stopping the VM makes its hypervisor begin again with the disks that CloudStack knows. */
static void explain_remaining(const char *goal, const char *vm, struct err *err)
{
	err_reword(
		err,
		"%s: the hypervisor has a disk of which CloudStack does not know: a disk in the place of %s "
		"that CloudStack has chosen, or this volume's own disk in some VM. Stop that VM in CloudStack "
		"and start it again, or ask the administrator of CloudStack to remove the disk (virsh "
		"domblklist, virsh detach-disk); then try again. CloudStack's words: %s (code %d)",
		goal, vm, err->cloud_text, err->cloud_code);
}

/* Found out before CloudStack was asked, or by its refusal. */
static void explain_quota(const char *goal, struct err *err)
{
	if (!err->cloud_code)
		err_reword(
			err,
			"%s: %s. Delete what is not needed, or ask the administrator of CloudStack for more",
			goal, err->text);
	else
		err_reword(
			err,
			"%s: the account, its project or its domain has reached a limit. Delete what is "
			"not needed, or ask the administrator of CloudStack for more. CloudStack's words: "
			"%s (code %d)",
			goal, err->cloud_text, err->cloud_code);
}

static void explain_owner(const struct operation *operation, const char *goal, struct err *err)
{
	const struct operation_record *record = &operation->record;

	if (record->type == OPERATION_ATTACH)
		err_reword(
			err,
			"volume %s and VM %s belong to different accounts or projects, and CloudStack "
			"attaches a volume only to a VM of the same owner",
			record->volume_id, record->vm_id);
	else if (record->type != OPERATION_CREATE)
		err_reword(
			err,
			"%s: it belongs to another account or project, which the keys of this daemon may "
			"not change; see cloud.project_id",
			goal);
}

/* Arguments that name objects of CloudStack's, and the commands that list such objects. */
static const struct {
	const char *argument, *object, *command;
} listed[ERR_REASON_COUNT] = {
	[ERR_REASON_UNKNOWN_OFFERING] = { "disk_offering_id", "disk offering",
					  "listDiskOfferings" },
	[ERR_REASON_UNKNOWN_ZONE] = { "zone_id", "zone", "listZones" },
	[ERR_REASON_UNKNOWN_PROJECT] = { "project_id", "project", "listProjects" },
	[ERR_REASON_UNKNOWN_VM] = { "vm_id", "VM", "listVirtualMachines" },
};

static void explain_unknown(const struct operation *operation, const char *goal, struct err *err)
{
	const char *text = str_or(operation->record.request, "{}");
	_cleanup_json_ struct json *request = json_parse(text, strlen(text), NULL);
	const char *id = json_text(json_get(request, listed[err->reason].argument));

	/* The request need not contain these two. */
	if (!id && err->reason == ERR_REASON_UNKNOWN_ZONE)
		id = operation->ops->env->zone_id;
	if (!id && err->reason == ERR_REASON_UNKNOWN_VM)
		id = operation->record.vm_id;
	err_reword(
		err,
		"%s: the %s %s (%s) does not exist in CloudStack, or belongs to another account or "
		"project; CloudStack's %s shows the right ones",
		goal, listed[err->reason].object, str_or(id, ""), listed[err->reason].argument,
		listed[err->reason].command);
}

/* goal: "volume V cannot be attached"; vm: "VM M" */
static void explain(const struct operation *operation, const char *goal, const char *vm,
		    struct err *err)
{
	switch (err->reason) {
	case ERR_REASON_VM_SNAPSHOTS:
		err_reword(
			err,
			"%s: %s has VM snapshots, and CloudStack attaches, detaches and resizes no "
			"volumes of such a VM. Delete the snapshots in CloudStack (listVMSnapshot shows "
			"them) and try again; if it shows none, ask the administrator of CloudStack",
			goal, vm);
		return;
	case ERR_REASON_VM_BACKUPS:
		err_reword(
			err,
			"%s: %s has backups, and CloudStack then changes its volumes only if "
			"backup.enable.attach.detach.of.volumes is true. Remove the VM from its backup "
			"offering, or ask the administrator of CloudStack to change that setting",
			goal, vm);
		return;
	case ERR_REASON_VM_RUNNING:
		err_reword(
			err,
			"%s: %s is not stopped, and CloudStack %s of a stopped VM only. Stop the VM and "
			"try again",
			goal, vm,
			operation->record.type == OPERATION_REVERT ? "reverts volumes"
								   : "changes the root disk");
		return;
	case ERR_REASON_NO_DEVICE_SLOT:
		explain_no_slot(goal, vm, err);
		return;
	case ERR_REASON_QUOTA:
		explain_quota(goal, err);
		return;
	case ERR_REASON_BUSY:
		err_reword(
			err,
			"%s: another job of CloudStack's works on it or on %s, and did not end in time. Try "
			"again when that job has ended. CloudStack's words: %s (code %d)",
			goal, vm, err->cloud_text, err->cloud_code);
		return;
	case ERR_REASON_DELETE_PROTECTION:
		err_reword(
			err,
			"%s: it is protected from deletion in CloudStack. If it shall go, turn that off "
			"(updateVolume with deleteprotection=false) and try again",
			goal);
		return;
	case ERR_REASON_OTHER_ACCOUNT:
		explain_owner(operation, goal, err);
		return;
	case ERR_REASON_UNKNOWN_OFFERING:
	case ERR_REASON_UNKNOWN_ZONE:
	case ERR_REASON_UNKNOWN_PROJECT:
	case ERR_REASON_UNKNOWN_VM:
		explain_unknown(operation, goal, err);
		return;
	case ERR_REASON_DISK_REMAINS:
		explain_remaining(goal, vm, err);
		return;
	case ERR_REASON_NONE:
	case ERR_REASON_IN_USE:
	case ERR_REASON_MAINTENANCE:
	case ERR_REASON_FORBIDDEN_COMMAND: /* the cloud layer's words need no ids */
	case ERR_REASON_COUNT:
		return;
	}
}

void refusal_explain(const struct operation *operation, const char *vm_id, struct err *err)
{
	_cleanup_free_ char *goal = goal_of(operation);
	_cleanup_free_ char *vm = vm_id ? xasprintf("VM %s", vm_id) : xstrdup("its VM");

	if (err->reason != ERR_REASON_NONE && err->cloud_code)
		log_info("operation=%s CloudStack's words (code %d): %s", operation->record.id,
			 err->cloud_code, err->cloud_text);
	explain(operation, goal, vm, err);
}
