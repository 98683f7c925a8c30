/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The method table. To add a method is to add a row here, its arguments in records.c and its
 * handler in core/; every surface then has it.
 */

#include "spec/methods.h"

const char *const http_verb_names[] = {
	[HTTP_GET] = "GET",       [HTTP_POST] = "POST",     [HTTP_PUT] = "PUT",
	[HTTP_DELETE] = "DELETE", [HTTP_VERB_COUNT] = NULL,
};

const struct method methods[METHOD_COUNT] = {
	[METHOD_VOLUME_CREATE] = {
		.name = "volume.create", .command = "create", .member = "CreateVolume",
		.summary = "Create a volume in CloudStack.",
		.scope = SCOPE_MANAGER, .access = ACCESS_CHANGE, .operation = OPERATION_CREATE,
		.verb = HTTP_POST, .path = "/api/v1/volumes",
		.args = &volume_create_args, .answer = ANSWER_OPERATION, .result = &operation_record,
	},
	[METHOD_VOLUME_ATTACH] = {
		.name = "volume.attach", .command = "attach", .member = "AttachVolume", .object_member = "Attach",
		.summary = "Attach a volume to a virtual machine and find the device that it becomes.",
		.scope = SCOPE_VOLUME, .access = ACCESS_CHANGE, .operation = OPERATION_ATTACH,
		.verb = HTTP_POST, .path = "/api/v1/volumes/{volume_id}/attach",
		.args = &volume_attach_args, .answer = ANSWER_OPERATION, .result = &operation_record,
	},
	[METHOD_VOLUME_ATTACH_ROOT] = {
		.name = "volume.attach-root", .command = "attach-root", .member = "AttachVolumeAsRoot",
		.object_member = "AttachAsRoot",
		.summary = "Attach a volume to a stopped virtual machine as its root disk.",
		.scope = SCOPE_VOLUME, .access = ACCESS_CHANGE, .operation = OPERATION_ATTACH,
		.verb = HTTP_POST, .path = "/api/v1/volumes/{volume_id}/attach-root",
		.args = &volume_attach_root_args, .answer = ANSWER_OPERATION, .result = &operation_record,
	},
	[METHOD_VOLUME_DETACH] = {
		.name = "volume.detach", .command = "detach", .member = "DetachVolume", .object_member = "Detach",
		.summary = "Detach a volume from the virtual machine it is attached to.",
		.scope = SCOPE_VOLUME, .access = ACCESS_CHANGE, .operation = OPERATION_DETACH,
		.verb = HTTP_POST, .path = "/api/v1/volumes/{volume_id}/detach",
		.args = &volume_detach_args, .answer = ANSWER_OPERATION, .result = &operation_record,
	},
	[METHOD_VOLUME_DELETE] = {
		.name = "volume.delete", .command = "delete", .member = "DeleteVolume", .object_member = "Delete",
		.summary = "Delete a volume and all its data, detaching it first.",
		.scope = SCOPE_VOLUME, .access = ACCESS_CHANGE, .operation = OPERATION_DELETE,
		.verb = HTTP_DELETE, .path = "/api/v1/volumes/{volume_id}",
		.args = &volume_delete_args, .answer = ANSWER_OPERATION, .result = &operation_record,
	},
	[METHOD_VOLUME_RESIZE] = {
		.name = "volume.resize", .command = "resize", .member = "ResizeVolume", .object_member = "Resize",
		.summary = "Give a volume another size, also while it is in use; the device follows.",
		.scope = SCOPE_VOLUME, .access = ACCESS_CHANGE, .operation = OPERATION_RESIZE,
		.verb = HTTP_POST, .path = "/api/v1/volumes/{volume_id}/resize",
		.args = &volume_resize_args, .answer = ANSWER_OPERATION, .result = &operation_record,
	},
	[METHOD_VOLUME_CLEANUP] = {
		.name = "volume.cleanup", .command = "cleanup", .member = "CleanupTestFailover",
		.summary = "Take a volume back from the virtual machine of a failover test to the appliance.",
		.scope = SCOPE_MANAGER, .access = ACCESS_CHANGE, .operation = OPERATION_CLEANUP,
		.verb = HTTP_POST, .path = "/api/v1/cleanup/test-failover",
		.args = &volume_cleanup_args, .answer = ANSWER_OPERATION, .result = &operation_record,
	},
	[METHOD_VOLUME_LIST] = {
		.name = "volume.list", .command = "list", .member = "ListVolumes",
		.summary = "List the volumes that CloudStack shows.",
		.scope = SCOPE_MANAGER, .access = ACCESS_READ,
		.verb = HTTP_GET, .path = "/api/v1/volumes",
		.args = &volume_list_args, .answer = ANSWER_MANY, .result = &volume_record, .list_key = "volumes",
	},
	[METHOD_VOLUME_GET] = {
		.name = "volume.get", .command = "show", .member = "GetVolume",
		.summary = "Show one volume.",
		.scope = SCOPE_VOLUME, .access = ACCESS_READ,
		.verb = HTTP_GET, .path = "/api/v1/volumes/{volume_id}",
		.args = &volume_get_args, .answer = ANSWER_ONE, .result = &volume_record, .bus_object = SCOPE_VOLUME,
	},
	[METHOD_VOLUME_DEVICE] = {
		.name = "volume.device", .command = "device", .member = "GetDevice",
		.summary = "Show the device of a volume.",
		.scope = SCOPE_VOLUME, .access = ACCESS_READ,
		.verb = HTTP_GET, .path = "/api/v1/volumes/{volume_id}/device",
		.args = &volume_args, .answer = ANSWER_ONE, .result = &mapping_record,
	},
	[METHOD_VOLUME_USERS] = {
		.name = "volume.users", .command = "users", .member = "ListVolumeUsers",
		.summary = "List the programs and devices that use a volume's disk on this machine.",
		.scope = SCOPE_VOLUME, .access = ACCESS_READ,
		.verb = HTTP_GET, .path = "/api/v1/volumes/{volume_id}/users",
		.args = &volume_args, .answer = ANSWER_MANY, .result = &volume_user_record, .list_key = "users",
	},
	[METHOD_VOLUME_OPEN] = {
		.name = "volume.open", .member = "OpenDevice",
		.summary = "Open the disk of a volume on this machine; the open file is proven to be this disk.",
		.scope = SCOPE_VOLUME, .access = ACCESS_CHANGE, .surfaces = SURFACES_BUS,
		.args = &volume_open_args, .answer = ANSWER_DESCRIPTOR, .result = &opened_device_record,
	},
	[METHOD_VOLUME_FORGET] = {
		.name = "volume.forget", .command = "forget", .member = "ForgetVolume",
		.object_member = "Forget",
		.summary = "Drop the mapping of a volume whose disk is gone; nothing is done in CloudStack.",
		.scope = SCOPE_VOLUME, .access = ACCESS_ADMIN,
		.verb = HTTP_POST, .path = "/api/v1/volumes/{volume_id}/forget",
		.args = &volume_forget_args, .answer = ANSWER_ONE, .result = &message_record,
	},
	[METHOD_VM_VOLUMES] = {
		.name = "vm.volumes", .command = "vm-volumes", .member = "ListVolumesOfVM",
		.summary = "List the data volumes attached to a virtual machine.",
		.scope = SCOPE_MANAGER, .access = ACCESS_READ,
		.verb = HTTP_GET, .path = "/api/v1/vms/{vm_id}/volumes",
		.args = &vm_volumes_args, .answer = ANSWER_MANY, .result = &volume_record,
	},
	[METHOD_VM_LIST] = {
		.name = "vm.list", .command = "vms", .member = "ListVMs",
		.summary = "List the virtual machines that CloudStack shows.",
		.scope = SCOPE_MANAGER, .access = ACCESS_READ,
		.verb = HTTP_GET, .path = "/api/v1/vms",
		.args = &cloud_list_args, .answer = ANSWER_MANY, .result = &vm_record, .list_key = "vms",
	},
	[METHOD_OFFERING_LIST] = {
		.name = "offering.list", .command = "offerings", .member = "ListOfferings",
		.summary = "List the disk offerings that CloudStack shows.",
		.scope = SCOPE_MANAGER, .access = ACCESS_READ,
		.verb = HTTP_GET, .path = "/api/v1/offerings",
		.args = &cloud_list_args, .answer = ANSWER_MANY, .result = &offering_record, .list_key = "offerings",
	},
	[METHOD_ZONE_LIST] = {
		.name = "zone.list", .command = "zones", .member = "ListZones",
		.summary = "List the zones that CloudStack shows.",
		.scope = SCOPE_MANAGER, .access = ACCESS_READ,
		.verb = HTTP_GET, .path = "/api/v1/zones",
		.args = &cloud_list_args, .answer = ANSWER_MANY, .result = &zone_record, .list_key = "zones",
	},
	[METHOD_RIGHT_LIST] = {
		.name = "right.list", .command = "rights", .member = "ListRights",
		.summary = "List the CloudStack commands and the project that the daemon needs, and whether its keys may use them.",
		.scope = SCOPE_MANAGER, .access = ACCESS_READ,
		.verb = HTTP_GET, .path = "/api/v1/rights",
		.args = &no_args, .answer = ANSWER_MANY, .result = &right_record, .list_key = "rights",
	},
	[METHOD_MAPPING_LIST] = {
		.name = "mapping.list", .command = "mappings", .member = "ListMappings",
		.summary = "List volumes and their devices.",
		.scope = SCOPE_MANAGER, .access = ACCESS_READ,
		.verb = HTTP_GET, .path = "/api/v1/mappings",
		.args = &mapping_list_args, .answer = ANSWER_MANY, .result = &mapping_record, .list_key = "mappings",
	},
	[METHOD_DEVICE_LIST] = {
		.name = "device.list", .command = "devices", .member = "ListDevices",
		.summary = "List the disks that the kernel shows, also those that are no volumes.",
		.scope = SCOPE_MANAGER, .access = ACCESS_READ,
		.verb = HTTP_GET, .path = "/api/v1/devices",
		.args = &no_args, .answer = ANSWER_MANY, .result = &device_record, .list_key = "devices",
	},
	[METHOD_DEVICE_VOLUME] = {
		.name = "device.volume", .command = "which", .member = "GetVolumeForDevice",
		.summary = "Show the volume of a device.",
		.scope = SCOPE_MANAGER, .access = ACCESS_READ,
		.verb = HTTP_GET, .path = "/api/v1/devices/{device}/volume",
		.args = &device_args, .answer = ANSWER_ONE, .result = &mapping_record, .bus_object = SCOPE_VOLUME,
	},
	[METHOD_EXPORT_CREATE] = {
		.name = "export.create", .command = "export", .member = "CreateExport",
		.summary = "Serve a volume attached to the appliance over NBD.",
		.scope = SCOPE_MANAGER, .access = ACCESS_CHANGE,
		.verb = HTTP_POST, .path = "/api/v1/exports",
		.args = &export_create_args, .answer = ANSWER_CREATED, .result = &export_record, .bus_object = SCOPE_EXPORT,
	},
	[METHOD_EXPORT_LIST] = {
		.name = "export.list", .command = "exports", .member = "ListExports",
		.summary = "List the volumes that are served over NBD.",
		.scope = SCOPE_MANAGER, .access = ACCESS_READ,
		.verb = HTTP_GET, .path = "/api/v1/exports",
		.args = &export_list_args, .answer = ANSWER_MANY, .result = &export_record, .list_key = "exports",
	},
	[METHOD_EXPORT_GET] = {
		.name = "export.get", .command = "export-show", .member = "GetExport",
		.summary = "Show how a volume is served over NBD, and the connected clients.",
		.scope = SCOPE_EXPORT, .access = ACCESS_READ,
		.verb = HTTP_GET, .path = "/api/v1/exports/{volume_id}",
		.args = &volume_args, .answer = ANSWER_ONE, .result = &export_record,
	},
	[METHOD_EXPORT_DELETE] = {
		.name = "export.delete", .command = "unexport", .member = "DeleteExport", .object_member = "Delete",
		.summary = "Stop serving a volume over NBD.",
		.scope = SCOPE_EXPORT, .access = ACCESS_CHANGE,
		.verb = HTTP_DELETE, .path = "/api/v1/exports/{volume_id}",
		.args = &export_delete_args, .answer = ANSWER_ONE, .result = &message_record,
	},
	[METHOD_EXPORT_VALIDATE] = {
		.name = "export.validate", .command = "exports-validate", .member = "ValidateExports",
		.summary = "Compare exports, NBD server and devices, and name each difference.",
		.scope = SCOPE_MANAGER, .access = ACCESS_READ,
		.verb = HTTP_POST, .path = "/api/v1/exports/validate",
		.args = &no_args, .answer = ANSWER_ONE, .result = &export_report_record,
	},
	[METHOD_EXPORT_CLEANUP] = {
		.name = "export.cleanup", .command = "exports-cleanup", .member = "CleanupExports",
		.summary = "Remove orphaned exports, whose volume is not attached to the appliance.",
		.scope = SCOPE_MANAGER, .access = ACCESS_CHANGE,
		.verb = HTTP_POST, .path = "/api/v1/exports/cleanup",
		.args = &export_cleanup_args, .answer = ANSWER_ONE, .result = &export_report_record,
	},
	[METHOD_EXPORT_CLEANUP_AGE] = {
		.name = "export.cleanup-age", .command = "exports-cleanup-age", .member = "CleanupExportsByAge",
		.summary = "Remove orphaned exports that have not changed for some time.",
		.scope = SCOPE_MANAGER, .access = ACCESS_CHANGE,
		.verb = HTTP_POST, .path = "/api/v1/exports/cleanup/age",
		.args = &export_cleanup_age_args, .answer = ANSWER_ONE, .result = &export_report_record,
	},
	[METHOD_EXPORT_ORPHANS] = {
		.name = "export.orphans", .command = "exports-orphaned", .member = "CountOrphanedExports",
		.summary = "Count the orphaned exports, whose volume is not attached to the appliance.",
		.scope = SCOPE_MANAGER, .access = ACCESS_READ,
		.verb = HTTP_GET, .path = "/api/v1/exports/orphaned/count",
		.args = &no_args, .answer = ANSWER_ONE, .result = &orphan_count_record,
	},
	[METHOD_VOLUME_SNAPSHOT] = {
		.name = "volume.snapshot", .command = "snapshot", .member = "CreateSnapshot",
		.object_member = "Snapshot",
		.summary = "Take a snapshot of a volume in CloudStack, as it is on its storage at that moment.",
		.scope = SCOPE_VOLUME, .access = ACCESS_CHANGE, .operation = OPERATION_SNAPSHOT,
		.verb = HTTP_POST, .path = "/api/v1/volumes/{volume_id}/snapshots",
		.args = &snapshot_create_args, .answer = ANSWER_OPERATION, .result = &operation_record,
	},
	[METHOD_VOLUME_SNAPSHOTS] = {
		.name = "volume.snapshots", .command = "snapshots", .member = "ListSnapshots",
		.summary = "List the snapshots of a volume in CloudStack.",
		.scope = SCOPE_VOLUME, .access = ACCESS_READ,
		.verb = HTTP_GET, .path = "/api/v1/volumes/{volume_id}/snapshots",
		.args = &volume_args, .answer = ANSWER_MANY, .result = &volume_snapshot_record, .list_key = "snapshots",
	},
	[METHOD_VOLUME_REVERT] = {
		.name = "volume.revert", .command = "revert", .member = "RevertSnapshot",
		.summary = "Give a volume the data of its snapshot; all data written since then is lost.",
		.scope = SCOPE_MANAGER, .access = ACCESS_CHANGE, .operation = OPERATION_REVERT,
		.verb = HTTP_POST, .path = "/api/v1/snapshots/{id}/revert",
		.args = &snapshot_args, .answer = ANSWER_OPERATION, .result = &operation_record,
	},
	[METHOD_VOLUME_DELETE_SNAPSHOT] = {
		.name = "volume.delete-snapshot", .command = "delete-snapshot", .member = "DeleteSnapshot",
		.summary = "Delete a snapshot in CloudStack.",
		.scope = SCOPE_MANAGER, .access = ACCESS_CHANGE, .operation = OPERATION_DELETE_SNAPSHOT,
		.verb = HTTP_DELETE, .path = "/api/v1/snapshots/{id}",
		.args = &snapshot_args, .answer = ANSWER_OPERATION, .result = &operation_record,
	},
	[METHOD_SNAPSHOT_TRACK] = {
		.name = "snapshot.track", .command = "snapshot-track", .member = "TrackSnapshot",
		.summary = "Note the snapshot of a volume for other programs; nothing is done in CloudStack.",
		.scope = SCOPE_MANAGER, .access = ACCESS_CHANGE,
		.verb = HTTP_POST, .path = "/api/v1/snapshots/track",
		.args = &snapshot_track_args, .answer = ANSWER_ONE, .result = &snapshot_tracked_record,
	},
	[METHOD_SNAPSHOT_LIST] = {
		.name = "snapshot.list", .command = "snapshots-tracked", .member = "ListTrackedSnapshots",
		.summary = "List the snapshots that clients have noted for a virtual machine.",
		.scope = SCOPE_MANAGER, .access = ACCESS_READ,
		.verb = HTTP_GET, .path = "/api/v1/snapshots/vm/{vm_context_id}",
		.args = &vm_context_args, .answer = ANSWER_MANY, .result = &snapshot_record, .list_key = "snapshots",
		.list_subject = "vm_context_id",
	},
	[METHOD_SNAPSHOT_UPDATE] = {
		.name = "snapshot.update", .command = "snapshot-update", .member = "UpdateTrackedSnapshot",
		.summary = "Change what is kept about the snapshot of a volume.",
		.scope = SCOPE_MANAGER, .access = ACCESS_CHANGE,
		.verb = HTTP_PUT, .path = "/api/v1/snapshots/{id}",
		.args = &snapshot_update_args, .answer = ANSWER_ONE, .result = &snapshot_updated_record,
	},
	[METHOD_SNAPSHOT_UNTRACK] = {
		.name = "snapshot.untrack", .command = "snapshots-untrack", .member = "UntrackSnapshots",
		.summary = "Forget the snapshots that clients have noted for a virtual machine; they stay in CloudStack.",
		.scope = SCOPE_MANAGER, .access = ACCESS_CHANGE,
		.verb = HTTP_DELETE, .path = "/api/v1/snapshots/vm/{vm_context_id}",
		.args = &snapshot_untrack_args, .answer = ANSWER_ONE, .result = &snapshot_untracked_record,
	},
	[METHOD_OPERATION_LIST] = {
		.name = "operation.list", .command = "operations", .member = "ListOperations",
		.summary = "List operations, newest first.",
		.scope = SCOPE_MANAGER, .access = ACCESS_READ,
		.verb = HTTP_GET, .path = "/api/v1/operations",
		.args = &operation_list_args, .answer = ANSWER_MANY, .result = &operation_record,
	},
	[METHOD_OPERATION_GET] = {
		.name = "operation.get", .command = "operation", .member = "GetOperation",
		.summary = "Show one operation.",
		.scope = SCOPE_OPERATION, .access = ACCESS_READ,
		.verb = HTTP_GET, .path = "/api/v1/operations/{operation_id}",
		.args = &operation_get_args, .answer = ANSWER_ONE, .result = &operation_record,
		.bus_object = SCOPE_OPERATION,
	},
	[METHOD_OPERATION_HISTORY] = {
		.name = "operation.history", .command = "history", .member = "GetOperationHistory",
		.object_member = "GetHistory",
		.summary = "List the steps of an operation, oldest first, and the callers that asked for them.",
		.scope = SCOPE_OPERATION, .access = ACCESS_READ,
		.verb = HTTP_GET, .path = "/api/v1/operations/{operation_id}/history",
		.args = &operation_history_args, .answer = ANSWER_MANY, .result = &history_record,
		.list_key = "history",
	},
	[METHOD_OPERATION_CANCEL] = {
		.name = "operation.cancel", .command = "cancel", .member = "CancelOperation", .object_member = "Cancel",
		.summary = "Stop an operation and undo its steps.",
		.scope = SCOPE_OPERATION, .access = ACCESS_CHANGE,
		.verb = HTTP_POST, .path = "/api/v1/operations/{operation_id}/cancel",
		.args = &operation_cancel_args, .answer = ANSWER_ONE, .result = &operation_record,
	},
	[METHOD_OPERATION_RESOLVE] = {
		.name = "operation.resolve", .command = "resolve", .member = "ResolveOperation",
		.object_member = "Resolve",
		.summary = "Settle an ended operation that needs attention, after a look at its volume in CloudStack.",
		.scope = SCOPE_OPERATION, .access = ACCESS_ADMIN,
		.verb = HTTP_POST, .path = "/api/v1/operations/{operation_id}/resolve",
		.args = &operation_resolve_args, .answer = ANSWER_ONE, .result = &operation_record,
	},
	[METHOD_TOKEN_CREATE] = {
		.name = "token.create", .command = "token-create", .member = "CreateToken",
		.summary = "Make a token for a program that uses REST; no later answer shows the token.",
		.scope = SCOPE_MANAGER, .access = ACCESS_ADMIN,
		.verb = HTTP_POST, .path = "/api/v1/tokens",
		.args = &token_create_args, .answer = ANSWER_CREATED, .result = &token_created_record,
	},
	[METHOD_TOKEN_LIST] = {
		.name = "token.list", .command = "token-list", .member = "ListTokens",
		.summary = "List the tokens, without their texts.",
		.scope = SCOPE_MANAGER, .access = ACCESS_ADMIN,
		.verb = HTTP_GET, .path = "/api/v1/tokens",
		.args = &no_args, .answer = ANSWER_MANY, .result = &token_record, .list_key = "tokens",
	},
	[METHOD_TOKEN_REVOKE] = {
		.name = "token.revoke", .command = "token-revoke", .member = "RevokeToken",
		.summary = "Revoke a token: from the next request on it is not accepted any more.",
		.scope = SCOPE_MANAGER, .access = ACCESS_ADMIN,
		.verb = HTTP_DELETE, .path = "/api/v1/tokens/{name}",
		.args = &token_args, .answer = ANSWER_ONE, .result = &message_record,
	},
	[METHOD_FORCE_SYNC] = {
		.name = "admin.force-sync", .command = "sync", .member = "ForceSync",
		.summary = "Compare store, CloudStack and kernel now, and repair differences.",
		.scope = SCOPE_MANAGER, .access = ACCESS_ADMIN,
		.verb = HTTP_POST, .path = "/api/v1/admin/force-sync",
		.args = &sync_args, .answer = ANSWER_ONE, .result = &sync_record,
	},
	[METHOD_CHANGES_PAUSE] = {
		.name = "admin.pause", .command = "pause", .member = "Pause",
		.summary = "Let no further change begin, also after a restart; running operations finish.",
		.scope = SCOPE_MANAGER, .access = ACCESS_ADMIN,
		.verb = HTTP_POST, .path = "/api/v1/admin/pause",
		.args = &pause_args, .answer = ANSWER_ONE, .result = &message_record,
	},
	[METHOD_CHANGES_RESUME] = {
		.name = "admin.resume", .command = "resume", .member = "Resume",
		.summary = "Let changes begin again after a pause.",
		.scope = SCOPE_MANAGER, .access = ACCESS_ADMIN,
		.verb = HTTP_POST, .path = "/api/v1/admin/resume",
		.args = &resume_args, .answer = ANSWER_ONE, .result = &message_record,
	},
	[METHOD_CONFIG_RELOAD] = {
		.name = "admin.reload", .command = "reload", .member = "Reload",
		.summary = "Read the configuration anew; one with an error is refused, and the old one stays.",
		.scope = SCOPE_MANAGER, .access = ACCESS_ADMIN,
		.verb = HTTP_POST, .path = "/api/v1/admin/reload",
		.args = &reload_args, .answer = ANSWER_ONE, .result = &reload_record,
	},
	[METHOD_HEALTH_GET] = {
		.name = "health.get", .command = "health", .member = "GetHealth",
		.summary = "Show the health of the daemon and of its dependencies.",
		.scope = SCOPE_MANAGER, .access = ACCESS_READ,
		.verb = HTTP_GET, .path = "/api/v1/health", .path_alias = "/health",
		.args = &no_args, .answer = ANSWER_ONE, .result = &health_record,
	},
	[METHOD_METRICS_GET] = {
		.name = "metrics.get", .command = "metrics", .member = "GetMetrics",
		.summary = "Show how many operations there were, how long they took and how many failed.",
		.scope = SCOPE_MANAGER, .access = ACCESS_READ,
		.verb = HTTP_GET, .path = "/api/v1/metrics",
		.args = &no_args, .answer = ANSWER_ONE, .result = &metrics_record,
	},
	[METHOD_PLAN_GET] = {
		.name = "plan.get", .member = "GetPlan",
		.summary = "Say what a change would do and what would refuse it; nothing is changed.",
		.scope = SCOPE_MANAGER, .access = ACCESS_READ, .surfaces = SURFACES_BUS,
		.args = &plan_args, .answer = ANSWER_ONE, .result = &plan_record,
	},
	[METHOD_STORE_BACKUP] = {
		.name = "store.backup", .member = "StoreBackup",
		.summary = "Write a checked backup of the store, as it is now, into an open file.",
		.scope = SCOPE_MANAGER, .access = ACCESS_ADMIN, .surfaces = SURFACES_BUS,
		.args = &store_backup_args, .answer = ANSWER_ONE, .result = &store_backup_record,
	},
	[METHOD_STORE_CHECK] = {
		.name = "store.check", .member = "StoreCheck",
		.summary = "Look for rows of the store that break a rule, and for damage, and name them.",
		.scope = SCOPE_MANAGER, .access = ACCESS_ADMIN, .surfaces = SURFACES_BUS,
		.args = &no_args, .answer = ANSWER_ONE, .result = &store_check_record,
	},
	[METHOD_STORE_PLAN] = {
		.name = "store.plan", .member = "StorePlan",
		.summary = "Show whether the store is one from the past, and what happens to its operations if it is accepted.",
		.scope = SCOPE_MANAGER, .access = ACCESS_READ, .surfaces = SURFACES_BUS,
		.args = &no_args, .answer = ANSWER_ONE, .result = &store_plan_record,
	},
	[METHOD_STORE_ACCEPT] = {
		.name = "store.accept", .member = "StoreAccept",
		.summary = "Accept a store from the past, and let its operations go on.",
		.scope = SCOPE_MANAGER, .access = ACCESS_ADMIN, .surfaces = SURFACES_BUS,
		.args = &no_args, .answer = ANSWER_ONE, .result = &message_record,
	},
};

const struct scope scopes[SCOPE_COUNT] = {
	[SCOPE_MANAGER] = { .name = "manager", .path = BUS_ROOT, .interface = BUS_NAME ".Manager" },
	[SCOPE_VOLUME] = {
		.name = "volume", .path = BUS_ROOT "/volume", .interface = BUS_NAME ".Volume",
		.record = &volume_record, .id = "volume_id", .argument = "volume_id", .show = METHOD_VOLUME_GET,
	},
	[SCOPE_OPERATION] = {
		.name = "operation", .path = BUS_ROOT "/operation", .interface = BUS_NAME ".Operation",
		.record = &operation_record, .id = "id", .argument = "operation_id", .show = METHOD_OPERATION_GET,
	},
	[SCOPE_EXPORT] = {
		.name = "export", .path = BUS_ROOT "/export", .interface = BUS_NAME ".Export",
		.record = &export_record, .id = "volume_id", .argument = "volume_id", .show = METHOD_EXPORT_GET,
	},
};

bool method_path_has(const struct method *method, const char *field_name)
{
	const char *open = method->path;
	size_t length = strlen(field_name);

	while (open && (open = strchr(open, '{'))) {
		open++;
		if (strncmp(open, field_name, length) == 0 && open[length] == '}')
			return true;
	}
	return false;
}

const struct field *method_object_field(const struct method *method)
{
	const struct scope *scope = &scopes[method->scope];

	return scope->record ? record_find(method->args, scope->argument) : NULL;
}

const char *scope_id_of(enum method_scope scope, const void *object)
{
	const struct field *field = record_find(scopes[scope].record, scopes[scope].id);

	return *(char *const *)field_of_const(field, object);
}

enum method_scope method_answer_scope(const struct method *method)
{
	return method->answer == ANSWER_OPERATION ? SCOPE_OPERATION : method->bus_object;
}

static const struct field *plan_field(const struct method *method)
{
	for (size_t i = 0; i < method->args->count; i++) {
		if (method->args->fields[i].flags & FIELD_PLAN)
			return &method->args->fields[i];
	}
	return NULL;
}

bool method_can_plan(const struct method *method)
{
	return plan_field(method) != NULL;
}

bool method_asks_plan(const struct method *method, const void *args)
{
	const struct field *field = plan_field(method);

	return field && field_is_set(field, args);
}

void method_ask_plan(const struct method *method, void *args)
{
	*(bool *)field_of(plan_field(method), args) = true;
}

const struct method *method_of_plan(const struct plan_args *args)
{
	for (size_t i = 0; i < METHOD_COUNT; i++) {
		if (streq(methods[i].name, args->method) || streq(methods[i].member, args->method))
			return &methods[i];
	}
	return NULL;
}

enum method_access method_needs(const struct method *method, const void *args)
{
	const struct method *change =
		method == &methods[METHOD_PLAN_GET] ? method_of_plan(args) : NULL;

	return change ? change->access : method->access;
}

bool method_bus_has_options(const struct method *method)
{
	if (method->access != ACCESS_READ)
		return true;
	for (size_t i = 0; i < method->args->count; i++) {
		if (!(method->args->fields[i].flags & (FIELD_REQUIRED | FIELD_REST_ONLY)))
			return true;
	}
	return false;
}

char *method_bus_signature(const struct method *method, bool on_object)
{
	const struct field *self = on_object ? method_object_field(method) : NULL;
	struct buf out = BUF_NULL;

	for (size_t i = 0; i < method->args->count; i++) {
		const struct field *field = &method->args->fields[i];

		if ((field->flags & FIELD_REQUIRED) && field != self)
			buf_add_text(&out, field_type_view(field->type)->bus);
	}
	if (method_bus_has_options(method))
		buf_add_text(&out, "a{sv}");
	return buf_take(&out);
}

bool method_has_pages(const struct method *method)
{
	return record_find(method->args, "cursor") != NULL;
}

const char *method_bus_result(const struct method *method)
{
	if (method_answer_scope(method) != SCOPE_MANAGER)
		return "o";
	if (method->answer == ANSWER_DESCRIPTOR)
		return field_type_view(FIELD_DESCRIPTOR)->bus;
	if (method->answer != ANSWER_MANY)
		return "a{sv}";
	return method_has_pages(method) ? "aa{sv}s" : "aa{sv}";
}

void method_bus_property(const char *field_name, char out[BUS_PROPERTY_SIZE])
{
	size_t length = 0;
	bool upper = true;

	for (const char *p = field_name; *p && length < BUS_PROPERTY_SIZE - 1; p++) {
		if (*p == '_') {
			upper = true;
			continue;
		}
		out[length++] = (char)(upper && *p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p);
		upper = false;
	}
	out[length] = '\0';
}
