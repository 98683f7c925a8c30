/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The tables behind spec/records.h. A row here is all that is needed for a member to appear in
 * JSON, on D-Bus, in the store and in volumectl; the order of rows is the order people see. The
 * arguments of the methods are in arguments.c.
 */

#include "spec/records.h"

#include "spec/members.h"

const char *const operation_type_names[] = {
	[OPERATION_CREATE] = "create",
	[OPERATION_ATTACH] = "attach",
	[OPERATION_DETACH] = "detach",
	[OPERATION_DELETE] = "delete",
	[OPERATION_RESIZE] = "resize",
	[OPERATION_CLEANUP] = "cleanup",
	[OPERATION_SNAPSHOT] = "snapshot",
	[OPERATION_REVERT] = "revert",
	[OPERATION_DELETE_SNAPSHOT] = "delete-snapshot",
	[OPERATION_TYPE_COUNT] = NULL,
};

const char *const operation_status_names[] = {
	[OPERATION_PENDING] = "pending",     [OPERATION_EXECUTING] = "executing",
	[OPERATION_COMPLETED] = "completed", [OPERATION_FAILED] = "failed",
	[OPERATION_CANCELLED] = "cancelled", [OPERATION_STATUS_COUNT] = NULL,
};

const char *const export_status_names[] = {
	[EXPORT_PENDING] = "pending",
	[EXPORT_ACTIVE] = "active",
	[EXPORT_FAILED] = "failed",
	[EXPORT_STATUS_COUNT] = NULL,
};

const char *const matched_by_names[] = {
	[MATCHED_NOT] = "none",
	[MATCHED_BY_IDENTITY] = "identity",
	[MATCHED_BY_SIZE] = "size",
	[MATCHED_BY_COUNT] = NULL,
};

#define F(MEMBER, TYPE, ...) FIELD(operation_record, MEMBER, TYPE, __VA_ARGS__)
static const struct field operation_fields[] = {
	F(id, TEXT, .flags = FIELD_COLUMN | FIELD_CONST,
	  .doc = "Identifier: \"op-\" and a UUID version 7."),
	F(type, ENUM, .flags = FIELD_COLUMN | FIELD_CONST, .names = operation_type_names,
	  .doc = "The kind of change."),
	F(status, ENUM, .flags = FIELD_COLUMN, .names = operation_status_names,
	  .doc = "The progress of the operation."),
	F(volume_id, TEXT, .flags = FIELD_COLUMN, .fallback = "",
	  .doc = "The volume; empty until it is known."),
	F(vm_id, UUID, .flags = FIELD_OMIT, .doc = "The virtual machine, if there is one."),
	F(request, OBJECT, .flags = FIELD_OMIT | FIELD_CONST, .members = &request_members,
	  .doc = "The arguments as they were accepted."),
	F(request_id, TEXT, .flags = FIELD_OMIT | FIELD_CONST,
	  .doc = "The caller's own key of the request."),
	F(response, OBJECT, .flags = FIELD_OMIT, .members = &response_members,
	  .doc = "The outcome, once completed."),
	F(error, TEXT, .flags = FIELD_OMIT, .doc = "Why the operation failed and what to do."),
	F(error_code, TEXT, .flags = FIELD_OMIT, .bus_text = bus_error_name,
	  .doc = "The error's code: a word of the errors of the surface that shows the operation."),
	F(error_reason, TEXT, .flags = FIELD_OMIT,
	  .doc = "One word about the cause, where there is more to say than the code does."),
	F(step, TEXT, .flags = FIELD_OMIT | FIELD_COLUMN,
	  .doc = "The step under way, or the last one run."),
	F(needs_attention, BOOL, .flags = FIELD_OMIT,
	  .doc = "True if an undo failed; the error says what is left and where."),
	F(step_since, TIME, .flags = FIELD_OMIT, .doc = "When that step was entered."),
	F(created_at, TIME, .flags = FIELD_COLUMN | FIELD_CONST,
	  .doc = "When the operation was accepted."),
	F(updated_at, TIME, .doc = "Time of the last change."),
	F(completed_at, TIME, .flags = FIELD_OMIT, .doc = "When the operation ended."),
	F(context, OBJECT, .flags = FIELD_PRIVATE,
	  .doc = "The memory of the steps across a restart."),
	F(error_details, OBJECT, .flags = FIELD_PRIVATE,
	  .doc = "CloudStack's own error code and text."),
	F(undoing, BOOL, .flags = FIELD_PRIVATE, .doc = "True while steps are undone."),
	F(caller, OBJECT, .flags = FIELD_OMIT | FIELD_CONST, .members = &caller_members,
	  .doc = "The caller that asked for the operation: surface, and uid, user, token, bus_name and address as far as known."),
	F(waits_for, TEXT, .flags = FIELD_OMIT,
	  .doc = "What the operation waits for, such as another operation, by its id."),
	F(time_spent, OBJECT, .flags = FIELD_OMIT, .members = &time_spent_members,
	  .doc = "Milliseconds up to the last change: own_ms (the daemon and its store), waiting_ms (for other "
		 "operations), cloudstack_ms (with its queue and jobs), kernel_ms (from CloudStack to the kernel)."),
	F(started_at, TIME, .flags = FIELD_OMIT, .doc = "When the first step began."),
	F(progress, RATIO,
	  .doc = "From 0 to 1: the part of the expected time that the steps before the present one take; 1 when "
		 "completed, -1 if it cannot be told."),
	F(expected_end, TIME, .flags = FIELD_OMIT,
	  .doc = "When the operation ends if each step takes as long as such steps took lately; absent if that is "
		 "not known yet, and at the end."),
};
#undef F
const struct record operation_record = RECORD("operation", operation_record, operation_fields);
const struct record operation_row = {
	.name = "operation",
	.size = sizeof(struct operation_record),
	.fields = operation_fields,
	.count = ARRAY_SIZE(operation_fields) - 5, /* without waits_for and what follows it */
};

#define F(MEMBER, TYPE, ...) FIELD(history_record, MEMBER, TYPE, __VA_ARGS__)
static const struct field history_fields[] = {
	F(id, TEXT, .flags = FIELD_PRIVATE, .doc = "Identifier of the transition; sorts by time."),
	F(operation_id, TEXT, .flags = FIELD_PRIVATE, .doc = "The operation."),
	F(previous_status, TEXT,
	  .doc = "The operation's status before; empty for the first transition."),
	F(new_status, TEXT, .flags = FIELD_COLUMN,
	  .doc = "The operation's status after; the same if only the step changed."),
	F(changed_at, TIME, .flags = FIELD_COLUMN, .doc = "Time of the transition."),
	F(details, OBJECT, .flags = FIELD_OMIT, .members = &transition_members,
	  .doc = "The step and, if there was one, the error."),
	F(caller, OBJECT, .flags = FIELD_OMIT, .members = &caller_members,
	  .doc = "The caller that asked for this transition; absent if it followed from an earlier one."),
	F(step, TEXT, .flags = FIELD_OMIT | FIELD_COLUMN, .doc = "The step that was entered."),
	F(asked_by, TEXT, .flags = FIELD_OMIT | FIELD_COLUMN,
	  .doc = "The latest caller up to this transition, in words."),
};
#undef F
const struct record history_record = RECORD("transition", history_record, history_fields);
const struct record history_row = {
	.name = "transition",
	.size = sizeof(struct history_record),
	.fields = history_fields,
	.count = ARRAY_SIZE(history_fields) - 2, /* without the last two */
};

#define F(MEMBER, TYPE, ...) FIELD(mapping_record, MEMBER, TYPE, __VA_ARGS__)
static const struct field mapping_fields[] = {
	F(id, TEXT, .doc = "Identifier of the mapping."),
	F(volume_id, UUID, .flags = FIELD_COLUMN, .doc = "The volume."),
	F(volume_uuid, UUID, .doc = "The same as volume_id."),
	F(vm_id, UUID, .flags = FIELD_COLUMN,
	  .doc = "The virtual machine the volume is attached to."),
	F(device_path, TEXT, .flags = FIELD_COLUMN, .bus_text = bus_device,
	  .doc = "The kernel device. If there is none here, D-Bus shows nothing and REST a word: "
		 "remote-vm-<vm>-<volume> or gone-<volume>."),
	F(by_id_path, TEXT, .flags = FIELD_OMIT, .doc = "The link udev makes from the serial."),
	F(persistent_device_name, TEXT, .flags = FIELD_OMIT, .doc = "The name that never changes."),
	F(symlink_path, TEXT, .flags = FIELD_OMIT,
	  .doc = "The path of the name that never changes."),
	F(cloudstack_device_id, INT,
	  .doc = "CloudStack's deviceid, which does not tell the kernel name."),
	F(cloudstack_state, TEXT, .doc = "The state in CloudStack: attached."),
	F(linux_state, TEXT, .flags = FIELD_COLUMN,
	  .doc = "The state in the kernel: detected, gone, n/a elsewhere."),
	F(size, SIZE, .flags = FIELD_COLUMN, .doc = "Bytes, as the kernel shows the device."),
	F(matched_by, ENUM, .flags = FIELD_COLUMN, .names = matched_by_names,
	  .doc = "How the device was recognised."),
	F(operation_mode, TEXT,
	  .doc = "oma on the appliance, failover on another virtual machine."),
	F(filesystem, TEXT, .flags = FIELD_OMIT,
	  .doc = "File system or other signature found on the device."),
	F(label, TEXT, .flags = FIELD_OMIT, .doc = "Label of that file system."),
	F(filesystem_uuid, TEXT, .flags = FIELD_OMIT, .doc = "UUID of that file system."),
	F(partition_table, TEXT, .flags = FIELD_OMIT,
	  .doc = "Type of the partition table found on the device."),
	F(last_sync, TIME, .doc = "When the mapping was last compared with the kernel."),
	F(attached_at, TIME, .doc = "When the volume was attached."),
	F(created_at, TIME, .doc = "When the mapping was made."),
	F(updated_at, TIME, .doc = "Time of the last change."),
	F(diskseq, INT, .flags = FIELD_PRIVATE,
	  .doc = "The kernel's sequence number of this disk."),
	F(boot_id, TEXT, .flags = FIELD_PRIVATE,
	  .doc = "The boot that the sequence number belongs to."),
};
#undef F
const struct record mapping_record = RECORD("mapping", mapping_record, mapping_fields);

#define F(MEMBER, TYPE, ...) FIELD(name_record, MEMBER, TYPE, __VA_ARGS__)
static const struct field name_fields[] = {
	F(id, TEXT, .doc = "Identifier of the row."),
	F(volume_id, UUID, .doc = "The volume."),
	F(name, TEXT, .doc = "The name of its device under /dev/mapper."),
	F(created_at, TIME, .doc = "When the name was given."),
};
#undef F
const struct record name_record = RECORD("name", name_record, name_fields);

#define F(MEMBER, TYPE, ...) FIELD(export_record, MEMBER, TYPE, __VA_ARGS__)
static const struct field export_fields[] = {
	F(id, TEXT, .flags = FIELD_CONST, .doc = "Identifier of the export."),
	F(volume_id, UUID, .flags = FIELD_COLUMN | FIELD_CONST, .doc = "The volume."),
	F(export_name, TEXT, .flags = FIELD_COLUMN | FIELD_CONST,
	  .doc = "The name an NBD client asks for."),
	F(device_path, TEXT, .flags = FIELD_COLUMN, .doc = "The device that is served."),
	F(port, PORT, .flags = FIELD_COLUMN, .max = 65535,
	  .doc = "TCP port of the server, 0 on a unix socket."),
	F(status, ENUM, .flags = FIELD_COLUMN, .names = export_status_names,
	  .doc = "Whether the export is served."),
	F(read_only, BOOL, .doc = "True if clients cannot write."),
	F(size, SIZE, .doc = "Bytes, as clients see them."),
	F(vm_name, TEXT, .flags = FIELD_OMIT, .doc = "As given when the export was made."),
	F(vm_id, TEXT, .flags = FIELD_OMIT, .doc = "As given when the export was made."),
	F(disk_number, INT, .flags = FIELD_OMIT, .doc = "As given when the export was made."),
	F(error, TEXT, .flags = FIELD_OMIT, .doc = "Why the export is not served."),
	F(metadata, OBJECT, .doc = "Kept for the caller's own use."),
	F(created_at, TIME, .flags = FIELD_CONST, .doc = "When the export was made."),
	F(updated_at, TIME, .doc = "Time of the last change."),
	F(uri, TEXT, .flags = FIELD_OMIT,
	  .doc = "Where an NBD client on this machine finds the export: nbd://… or nbd+unix://…, nbds with TLS."),
	F(clients, OBJECT, .flags = FIELD_ASKED, .members = &client_members,
	  .doc = "addresses: the connected clients; certain: false if they may use another export, or none."),
};
#undef F
const struct record export_record = RECORD("export", export_record, export_fields);
const struct record export_row = {
	.name = "export",
	.size = sizeof(struct export_record),
	.fields = export_fields,
	.count = ARRAY_SIZE(export_fields) - 2, /* without uri and clients */
};

#define F(MEMBER, TYPE, ...) FIELD(snapshot_record, MEMBER, TYPE, __VA_ARGS__)
static const struct field snapshot_fields[] = {
	F(id, UUID, .doc = "The volume."),
	F(vm_context_id, TEXT, .flags = FIELD_COLUMN, .fallback = "",
	  .doc = "The client's name for the virtual machine that the volume belongs to."),
	F(snapshot_id, TEXT, .flags = FIELD_OMIT | FIELD_COLUMN, .doc = "The snapshot."),
	F(snapshot_name, TEXT, .flags = FIELD_OMIT, .doc = "As given with the snapshot."),
	F(snapshot_status, TEXT, .flags = FIELD_COLUMN, .fallback = "none",
	  .doc = "The client's word: none, creating, ready, failed, rollback_complete."),
	F(disk_id, TEXT, .flags = FIELD_OMIT, .doc = "As given with the snapshot."),
	F(snapshot_created_at, TIME, .flags = FIELD_OMIT,
	  .doc = "When a client noted the snapshot."),
	F(updated_at, TIME, .doc = "Time of the last change."),
	F(volume_uuid, UUID, .flags = FIELD_COLUMN, .doc = "The same as id."),
	F(device_path, TEXT, .bus_text = bus_device,
	  .doc = "The device of the volume, empty if it is not attached."),
	F(operation_mode, TEXT,
	  .doc = "oma on the appliance, failover on another virtual machine, else empty."),
};
#undef F
const struct record snapshot_record = RECORD("snapshot", snapshot_record, snapshot_fields);
const struct record snapshot_row = {
	.name = "snapshot",
	.size = sizeof(struct snapshot_record),
	.fields = snapshot_fields,
	.count = ARRAY_SIZE(snapshot_fields) - 3, /* without the last three */
};

#define F(MEMBER, TYPE, ...) FIELD(volume_snapshot_record, MEMBER, TYPE, __VA_ARGS__)
static const struct field volume_snapshot_fields[] = {
	F(id, UUID, .flags = FIELD_COLUMN, .doc = "CloudStack's UUID of the snapshot."),
	F(volume_id, UUID, .doc = "The volume."),
	F(name, TEXT, .flags = FIELD_COLUMN, .doc = "The name of the snapshot in CloudStack."),
	F(state, TEXT, .flags = FIELD_COLUMN,
	  .doc = "CloudStack's word: BackedUp when it is complete, BackingUp, Error, …"),
	F(size, SIZE, .flags = FIELD_COLUMN,
	  .doc = "Bytes of the volume when the snapshot was taken."),
	F(created_at, TIME, .flags = FIELD_OMIT | FIELD_COLUMN,
	  .doc = "When the snapshot was taken."),
	F(revertable, BOOL,
	  .doc = "CloudStack's word: true if the storage can revert the volume to the snapshot."),
};
#undef F
const struct record volume_snapshot_record =
	RECORD("volume_snapshot", volume_snapshot_record, volume_snapshot_fields);

#define F(MEMBER, TYPE, ...) FIELD(snapshot_change_record, MEMBER, TYPE, __VA_ARGS__)
#define MESSAGE F(message, TEXT, .flags = FIELD_COLUMN, .doc = "The outcome in one sentence.")
static const struct field snapshot_tracked_fields[] = {
	MESSAGE,
	F(volume_uuid, UUID, .doc = "The volume."),
	F(snapshot_id, TEXT, .doc = "Its snapshot."),
	F(vm_context_id, TEXT, .doc = "As given."),
};
const struct record snapshot_tracked_record =
	RECORD("snapshot_tracked", snapshot_change_record, snapshot_tracked_fields);

static const struct field snapshot_updated_fields[] = {
	MESSAGE,
	F(volume_uuid, UUID, .doc = "The volume."),
};
const struct record snapshot_updated_record =
	RECORD("snapshot_updated", snapshot_change_record, snapshot_updated_fields);

static const struct field snapshot_untracked_fields[] = {
	MESSAGE,
	F(vm_context_id, TEXT, .doc = "As given."),
	F(snapshots_cleared, INT, .doc = "How many snapshots were forgotten."),
};
#undef MESSAGE
#undef F
const struct record snapshot_untracked_record =
	RECORD("snapshot_untracked", snapshot_change_record, snapshot_untracked_fields);

const char *const access_names[] = {
	[ACCESS_READ] = "read",
	[ACCESS_CHANGE] = "change",
	[ACCESS_ADMIN] = "admin",
	NULL,
};

#define F(MEMBER, TYPE, ...) FIELD(token_record, MEMBER, TYPE, __VA_ARGS__)
#define TOKEN_SCOPE                                                                                \
	F(scope, ENUM, .flags = FIELD_COLUMN, .names = access_names,                               \
	  .doc = "The most that the token allows: read, change, or admin.")
#define TOKEN_NAME F(name, TEXT, .flags = FIELD_COLUMN, .doc = "The name of the token.")
#define TOKEN_CREATED F(created_at, TIME, .flags = FIELD_COLUMN, .doc = "When the token was made.")
#define TOKEN_CALLER                                                                               \
	F(caller, OBJECT, .flags = FIELD_OMIT, .members = &caller_members,                         \
	  .doc = "The caller that made the token.")
static const struct field token_row_fields[] = {
	F(id, TEXT, .doc = "The name of the token."),
	TOKEN_SCOPE,
	F(digest, TEXT, .doc = "SHA-256 of the token."),
	TOKEN_CREATED,
	TOKEN_CALLER,
};
const struct record token_row = RECORD("token", token_record, token_row_fields);

static const struct field token_fields[] = { TOKEN_NAME, TOKEN_SCOPE, TOKEN_CREATED, TOKEN_CALLER };
const struct record token_record = RECORD("token", token_record, token_fields);

static const struct field token_created_fields[] = {
	TOKEN_NAME,
	TOKEN_SCOPE,
	TOKEN_CREATED,
	TOKEN_CALLER,
	F(token, TEXT, .flags = FIELD_SECRET, .doc = "The token itself; no later answer shows it."),
};
#undef TOKEN_CALLER
#undef TOKEN_CREATED
#undef TOKEN_NAME
#undef TOKEN_SCOPE
#undef F
const struct record token_created_record =
	RECORD("token_created", token_record, token_created_fields);

static const struct field message_fields[] = {
	FIELD(message_record, message, TEXT, .flags = FIELD_COLUMN,
	      .doc = "The outcome in one sentence."),
};
const struct record message_record = RECORD("message", message_record, message_fields);

#define F(MEMBER, TYPE, ...) FIELD(export_report_record, MEMBER, TYPE, __VA_ARGS__)
static const struct field export_report_fields[] = {
	F(message, TEXT, .doc = "The outcome in one sentence."),
	F(timestamp, TIME, .doc = "When the exports were checked."),
	F(report, OBJECT, .members = &export_report_members,
	  .doc = "checked: how many exports; differences, or orphaned, removed and failed: each by name."),
};
#undef F
const struct record export_report_record =
	RECORD("export_report", export_report_record, export_report_fields);

#define F(MEMBER, TYPE, ...) FIELD(orphan_count_record, MEMBER, TYPE, __VA_ARGS__)
static const struct field orphan_count_fields[] = {
	F(orphaned_exports_count, INT,
	  .doc = "Exports whose volume is not attached to the appliance."),
	F(timestamp, TIME, .doc = "When the exports were counted."),
};
#undef F
const struct record orphan_count_record =
	RECORD("orphan_count", orphan_count_record, orphan_count_fields);

#define F(MEMBER, TYPE, ...) FIELD(volume_record, MEMBER, TYPE, __VA_ARGS__)
static const struct field volume_fields[] = {
	F(volume_id, UUID, .flags = FIELD_COLUMN | FIELD_CONST,
	  .doc = "CloudStack's UUID of the volume."),
	F(name, TEXT, .flags = FIELD_COLUMN, .doc = "The volume's name in CloudStack."),
	F(vm_id, UUID, .flags = FIELD_OMIT | FIELD_COLUMN,
	  .doc = "The virtual machine the volume is attached to."),
	F(device_path, TEXT, .flags = FIELD_OMIT | FIELD_COLUMN, .bus_text = bus_device,
	  .doc = "The kernel device of the volume."),
	F(linux_state, TEXT, .flags = FIELD_OMIT,
	  .doc = "The state in the kernel: detected, gone, n/a on another virtual machine; absent if not attached."),
	F(state, TEXT, .flags = FIELD_COLUMN, .doc = "CloudStack's state of the volume."),
	F(size, SIZE, .flags = FIELD_COLUMN, .doc = "Bytes."),
	F(type, TEXT, .doc = "DATADISK, or ROOT for the disk that a virtual machine starts from."),
	F(attached_at, TIME, .flags = FIELD_OMIT, .doc = "When the volume was attached."),
	F(zone_id, UUID, .flags = FIELD_OMIT, .doc = "CloudStack's zone."),
	F(cloudstack_data, OBJECT, .flags = FIELD_DETAIL | FIELD_APART,
	  .members = &cloudstack_members, .doc = "The volume as CloudStack describes it."),
	F(linux_data, OBJECT, .members = &linux_members,
	  .doc = "The device as the kernel and its contents describe it, and the state of its export."),
	F(last_operation, OBJECT, .flags = FIELD_OMIT, .members = &last_operation_members,
	  .doc = "Id, type and status of the latest operation."),
};
#undef F
const struct record volume_record = RECORD("volume", volume_record, volume_fields);

#define F(MEMBER, TYPE, ...) FIELD(device_record, MEMBER, TYPE, __VA_ARGS__)
static const struct field device_fields[] = {
	F(device_path, TEXT, .flags = FIELD_COLUMN, .doc = "The kernel's name of the device."),
	F(bus, TEXT, .flags = FIELD_COLUMN, .doc = "How the device is connected."),
	F(serial, TEXT, .flags = FIELD_OMIT | FIELD_COLUMN,
	  .doc = "The serial that the device reports."),
	F(size, SIZE, .flags = FIELD_COLUMN, .doc = "Bytes."),
	F(diskseq, INT, .doc = "The kernel's sequence number; no two disks of one boot share it."),
	F(read_only, BOOL, .doc = "True if the kernel refuses writes."),
	F(volume_id, UUID, .flags = FIELD_OMIT | FIELD_COLUMN,
	  .doc = "The volume mapped to the device."),
	F(persistent_device_name, TEXT, .flags = FIELD_OMIT,
	  .doc = "The volume's name that never changes."),
	F(symlink_path, TEXT, .flags = FIELD_OMIT,
	  .doc = "The path of the name that never changes."),
};
#undef F
const struct record device_record = RECORD("device", device_record, device_fields);

#define F(MEMBER, TYPE, ...) FIELD(volume_user_record, MEMBER, TYPE, __VA_ARGS__)
static const struct field volume_user_fields[] = {
	F(device_path, TEXT, .flags = FIELD_COLUMN,
	  .doc = "The disk, or the device on top of it that is used."),
	F(use, TEXT, .flags = FIELD_COLUMN, .doc = "How the device is used, and by which program."),
	F(is_system, BOOL, .doc = "True if this system depends on this use."),
};
#undef F
const struct record volume_user_record =
	RECORD("volume_user", volume_user_record, volume_user_fields);

static const struct field opened_device_fields[] = {
	FIELD(opened_device_record, disk, DESCRIPTOR,
	      .doc = "The answer is an open file: the disk itself."),
};
const struct record opened_device_record =
	RECORD("opened_device", opened_device_record, opened_device_fields);

#define F(MEMBER, TYPE, ...) FIELD(offering_record, MEMBER, TYPE, __VA_ARGS__)
static const struct field offering_fields[] = {
	F(id, UUID, .flags = FIELD_COLUMN, .doc = "CloudStack's UUID of the disk offering."),
	F(name, TEXT, .flags = FIELD_COLUMN, .doc = "Its name."),
	F(description, TEXT, .flags = FIELD_OMIT, .doc = "Its description in CloudStack."),
	F(size, SIZE, .flags = FIELD_COLUMN | FIELD_ANY,
	  .doc = "Bytes of each volume; 0 if a volume has the size that its creation names."),
	F(storage_type, TEXT, .flags = FIELD_OMIT | FIELD_COLUMN,
	  .doc = "CloudStack's word: shared or local."),
	F(zone_ids, TEXT, .flags = FIELD_OMIT,
	  .doc = "The zones that have it, with commas between; absent if all have it."),
};
#undef F
const struct record offering_record = RECORD("offering", offering_record, offering_fields);

#define F(MEMBER, TYPE, ...) FIELD(zone_record, MEMBER, TYPE, __VA_ARGS__)
static const struct field zone_fields[] = {
	F(id, UUID, .flags = FIELD_COLUMN, .doc = "CloudStack's UUID of the zone."),
	F(name, TEXT, .flags = FIELD_COLUMN, .doc = "Its name."),
	F(network_type, TEXT, .flags = FIELD_OMIT | FIELD_COLUMN,
	  .doc = "CloudStack's word: Basic or Advanced."),
	F(allocation_state, TEXT, .flags = FIELD_OMIT | FIELD_COLUMN,
	  .doc = "CloudStack's word: Enabled, or Disabled if nothing new is made in it."),
};
#undef F
const struct record zone_record = RECORD("zone", zone_record, zone_fields);

static const char *const right_kind_names[] = {
	[RIGHT_COMMAND] = "command",
	[RIGHT_PROJECT] = "project",
	[RIGHT_KIND_COUNT] = NULL,
};
static const char *const right_answer_names[] = {
	[RIGHT_NO] = "no",           [RIGHT_YES] = "yes",         [RIGHT_UNNEEDED] = "unneeded",
	[RIGHT_UNKNOWN] = "unknown", [RIGHT_ANSWER_COUNT] = NULL,
};
#define F(MEMBER, TYPE, ...) FIELD(right_record, MEMBER, TYPE, __VA_ARGS__)
static const struct field right_fields[] = {
	F(name, TEXT, .flags = FIELD_COLUMN,
	  .doc = "CloudStack's command, or the UUID of cloud.project_id."),
	F(kind, ENUM, .names = right_kind_names, .doc = "The thing that it names."),
	F(allowed, ENUM, .flags = FIELD_COLUMN, .names = right_answer_names,
	  .doc = "yes; no; unneeded: no, but another command does the same; unknown: CloudStack did not tell."),
	F(for_checks, BOOL,
	  .doc = "True if changes can be made without it, and only fewer checks of them."),
	F(needed_to, TEXT, .flags = FIELD_COLUMN, .doc = "The use that the daemon has for it."),
	F(text, TEXT, .flags = FIELD_OMIT, .doc = "More about the answer."),
};
#undef F
const struct record right_record = RECORD("right", right_record, right_fields);

#define F(MEMBER, TYPE, ...) FIELD(vm_record, MEMBER, TYPE, __VA_ARGS__)
static const struct field vm_fields[] = {
	F(id, UUID, .flags = FIELD_COLUMN, .doc = "CloudStack's UUID of the virtual machine."),
	F(name, TEXT, .flags = FIELD_COLUMN, .doc = "Its name."),
	F(display_name, TEXT, .flags = FIELD_OMIT,
	  .doc = "The name of the virtual machine for people."),
	F(state, TEXT, .flags = FIELD_COLUMN, .doc = "CloudStack's word: Running, Stopped, …"),
	F(zone_id, UUID, .flags = FIELD_OMIT, .doc = "Its zone."),
	F(is_appliance, BOOL, .flags = FIELD_COLUMN, .doc = "True for this virtual machine."),
};
#undef F
const struct record vm_record = RECORD("vm", vm_record, vm_fields);

#define F(MEMBER, TYPE, ...) FIELD(reload_record, MEMBER, TYPE, __VA_ARGS__)
static const struct field reload_fields[] = {
	F(message, TEXT, .doc = "The outcome in one sentence."),
	F(timestamp, TIME, .doc = "When the new configuration came into force."),
	F(report, OBJECT, .members = &reload_members,
	  .doc = "changed: the keys whose new values are in force, such as log.level; needs_restart: "
		 "the keys whose new values wait for a restart of the daemon."),
};
#undef F
const struct record reload_record = RECORD("reload", reload_record, reload_fields);

#define F(MEMBER, TYPE, ...) FIELD(sync_record, MEMBER, TYPE, __VA_ARGS__)
static const struct field sync_fields[] = {
	F(message, TEXT, .doc = "The outcome in one sentence."),
	F(timestamp, TIME, .doc = "When the comparison ended."),
	F(report, OBJECT, .members = &sync_members,
	  .doc = "checked: how many volumes; drift, repaired and failed: the differences of each kind."),
};
#undef F
const struct record sync_record = RECORD("sync", sync_record, sync_fields);

#define F(MEMBER, TYPE, ...) FIELD(store_backup_record, MEMBER, TYPE, __VA_ARGS__)
static const struct field store_backup_fields[] = {
	F(message, TEXT, .flags = FIELD_COLUMN, .doc = "The outcome in one sentence."),
	F(bytes, SIZE, .flags = FIELD_COLUMN, .doc = "Bytes of the backup."),
	F(schema_version, INT, .flags = FIELD_COLUMN,
	  .doc = "Version of the tables in the backup."),
	F(newest_operation, TEXT, .flags = FIELD_COLUMN | FIELD_OMIT,
	  .doc = "The operation in the backup that was accepted last."),
	F(timestamp, TIME, .doc = "When the backup was complete."),
};
#undef F
const struct record store_backup_record =
	RECORD("store_backup", store_backup_record, store_backup_fields);

#define F(MEMBER, TYPE, ...) FIELD(store_check_record, MEMBER, TYPE, __VA_ARGS__)
static const struct field store_check_fields[] = {
	F(message, TEXT, .doc = "The outcome in one sentence."),
	F(rows, INT, .doc = "How many rows were checked."),
	F(faults, INT, .doc = "How many faults were found."),
	F(timestamp, TIME, .doc = "When the check ended."),
	F(report, OBJECT, .members = &store_check_members,
	  .doc = "faults: each fault in a sentence, at most 200."),
};
#undef F
const struct record store_check_record =
	RECORD("store_check", store_check_record, store_check_fields);

#define F(MEMBER, TYPE, ...) FIELD(store_plan_record, MEMBER, TYPE, __VA_ARGS__)
static const struct field store_plan_fields[] = {
	F(state, TEXT,
	  .doc = "current; past: nothing is changed until the store is accepted; or checking: CloudStack "
		 "has not shown yet which of the two."),
	F(reason, TEXT, .flags = FIELD_OMIT, .doc = "What shows that, and what to do."),
	F(report, OBJECT, .members = &store_plan_members,
	  .doc = "operations: for each unfinished one, what happens to it if the store is accepted."),
};
#undef F
const struct record store_plan_record = RECORD("store_plan", store_plan_record, store_plan_fields);

#define F(MEMBER, TYPE, ...) FIELD(health_record, MEMBER, TYPE, __VA_ARGS__)
static const struct field health_fields[] = {
	F(status, TEXT, .flags = FIELD_COLUMN, .doc = "healthy, degraded or unhealthy."),
	F(timestamp, TIME, .doc = "When the health was checked."),
	F(cloudstack_health, TEXT, .flags = FIELD_COLUMN, .doc = "Whether CloudStack answers."),
	F(database_health, TEXT, .flags = FIELD_COLUMN, .doc = "Whether the store commits."),
	F(device_monitor, TEXT, .flags = FIELD_COLUMN,
	  .doc = "Whether the kernel's devices can be read."),
	F(nbd_health, TEXT, .flags = FIELD_COLUMN, .doc = "Whether the exports are served."),
	F(details, OBJECT, .flags = FIELD_DETAIL, .members = &health_members, .doc = "Figures."),
};
#undef F
const struct record health_record = RECORD("health", health_record, health_fields);

#define F(MEMBER, TYPE, ...) FIELD(metrics_record, MEMBER, TYPE, __VA_ARGS__)
static const struct field metrics_fields[] = {
	F(timestamp, TIME, .doc = "When the operations were counted."),
	F(total_operations, INT, .doc = "Operations in the store."),
	F(pending_operations, INT, .doc = "Operations that wait for their turn."),
	F(active_mappings, INT, .doc = "Volumes that are attached."),
	F(operations_by_type, OBJECT, .members = &type_count_members,
	  .doc = "How many operations of each type."),
	F(operations_by_status, OBJECT, .members = &status_count_members,
	  .doc = "How many operations in each status."),
	F(average_response_time_ms, INT,
	  .doc = "Mean time from acceptance to end, of operations that were accepted in the last 24 hours."),
	F(error_rate_percent, INT,
	  .doc = "Failed operations, in percent of the ended operations that were accepted in the last 24 hours; rounded up."),
	F(details, OBJECT, .flags = FIELD_DETAIL, .members = &metrics_members,
	  .doc = "Figures since the daemon was started."),
};
#undef F
const struct record metrics_record = RECORD("metrics", metrics_record, metrics_fields);

#define CHECK(STRUCT)                                                                              \
	FIELD(STRUCT, check, TEXT, .doc = "The question whose answer matters, in a word or two.")

static const struct field plan_step_fields[] = {
	FIELD(plan_step_record, step, TEXT,
	      .doc = "The step, as the operation would show it; before the first: queue."),
	FIELD(plan_step_record, text, TEXT, .doc = "The step in a sentence."),
};
const struct record plan_step_record = RECORD("plan_step", plan_step_record, plan_step_fields);

static const struct field plan_refusal_fields[] = {
	CHECK(plan_refusal_record),
	FIELD(plan_refusal_record, code, TEXT, .doc = "The code of the error."),
	FIELD(plan_refusal_record, reason, TEXT, .flags = FIELD_OMIT,
	      .doc = "The cause in one word, if it tells more than the code."),
	FIELD(plan_refusal_record, text, TEXT, .doc = "The refusal, its cause, and the remedy."),
};
const struct record plan_refusal_record =
	RECORD("plan_refusal", plan_refusal_record, plan_refusal_fields);

static const struct field plan_doubt_fields[] = {
	CHECK(plan_doubt_record),
	FIELD(plan_doubt_record, text, TEXT, .doc = "Why the answer could not be found out."),
};
const struct record plan_doubt_record = RECORD("plan_doubt", plan_doubt_record, plan_doubt_fields);

#define F(MEMBER, TYPE, ...) FIELD(plan_record, MEMBER, TYPE, __VA_ARGS__)
static const struct field plan_fields[] = {
	F(method, TEXT, .doc = "The change."),
	F(would, ITEMS, .items = &plan_step_record,
	  .doc = "The steps of the change in their order, if nothing refuses it."),
	F(refused_by, ITEMS, .items = &plan_refusal_record,
	  .doc = "What refuses the change now; empty: nothing that is known."),
	F(unchecked, ITEMS, .items = &plan_doubt_record,
	  .doc = "What could not be checked, and may refuse the change as well."),
};
#undef F
const struct record plan_record = RECORD("plan", plan_record, plan_fields);
