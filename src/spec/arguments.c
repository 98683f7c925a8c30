/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The arguments of the methods, as tables like those of records.c. The order of the required rows
 * is the order of positions on D-Bus. */

#include "spec/records.h"

#define GIB (INT64_C(1) << 30)
#define TIB (INT64_C(1) << 40)
#define VOLUME_SIZE_LIMITS .min = GIB, .max = 64 * TIB

#define VOLUME_ID(STRUCT, FLAGS)                                                                   \
	FIELD(STRUCT, volume_id, UUID, .flags = (FLAGS), .option = "volume",                       \
	      .refers_to = &volume_record, .doc = "The volume's UUID.")
#define VM_ID(STRUCT, FLAGS)                                                                       \
	FIELD(STRUCT, vm_id, UUID, .flags = (FLAGS), .option = "vm", .refers_to = &vm_record,      \
	      .doc = "The virtual machine's UUID.")
#define METADATA_MAX (16 << 10)
#define PLAN_ARGUMENTS_MAX (64 << 10)
#define REQUEST_ID(STRUCT)                                                                         \
	FIELD(STRUCT, request_id, TEXT, .flags = FIELD_KEY, .min = 1, .max = 255,                  \
	      .doc = "Your own key of the request: a repeat with it within 24 hours is the same operation.")
/* A plan is no request: nothing of it is kept. */
#define PLAN(STRUCT)                                                                               \
	FIELD(STRUCT, dry_run, BOOL, .flags = FIELD_PLAN | FIELD_REST_ONLY | FIELD_OMIT,           \
	      .doc = "Change nothing; only answer what would happen, and what would refuse it.")
#define LIMIT(STRUCT)                                                                              \
	FIELD(STRUCT, limit, INT, .min = 1, .max = 1000, .fallback = "100",                        \
	      .doc = "At most this many; a page of large records has fewer. No more come if a page is empty.")
#define CURSOR(STRUCT)                                                                             \
	FIELD(STRUCT, cursor, TEXT, .max = 255, .doc = "The end of the page before this one.")

static const struct field store_backup_arg_fields[] = {
	FIELD(store_backup_args, file, DESCRIPTOR, .flags = FIELD_REQUIRED,
	      .doc = "An empty regular file, open for writing, that becomes the backup."),
};
const struct record store_backup_args =
	RECORD("store_backup_args", store_backup_args, store_backup_arg_fields);

const struct record no_args = { .name = "nothing", .size = sizeof(struct no_args) };

#define F(MEMBER, TYPE, ...) FIELD(volume_create_args, MEMBER, TYPE, __VA_ARGS__)
static const struct field volume_create_fields[] = {
	F(name, TEXT, .flags = FIELD_REQUIRED, .min = 1, .max = 255,
	  .doc = "Name of the new volume."),
	F(disk_offering_id, UUID, .flags = FIELD_REQUIRED, .option = "offering",
	  .refers_to = &offering_record, .doc = "CloudStack's disk offering."),
	F(size, SIZE, .flags = FIELD_REQUIRED, VOLUME_SIZE_LIMITS,
	  .doc = "Bytes; rounded up to whole GiB."),
	F(zone_id, UUID, .flags = FIELD_REQUIRED | FIELD_DEFAULTED, .option = "zone",
	  .refers_to = &zone_record,
	  .doc = "CloudStack's zone; needed unless the configuration names one."),
	F(project_id, UUID, .flags = FIELD_OMIT, .option = "project",
	  .doc = "Project that gets the volume; needs cloud.project_id = all in the configuration."),
	F(metadata, OBJECT, .max = METADATA_MAX,
	  .doc = "Kept with the operation, for the caller's own use; at most 16 KiB of JSON."),
	PLAN(volume_create_args),
	REQUEST_ID(volume_create_args),
};
#undef F
const struct record volume_create_args =
	RECORD("volume_create", volume_create_args, volume_create_fields);

#define F(MEMBER, TYPE, ...) FIELD(volume_attach_args, MEMBER, TYPE, __VA_ARGS__)
static const struct field volume_attach_fields[] = {
	VOLUME_ID(volume_attach_args, FIELD_REQUIRED | FIELD_MANY),
	VM_ID(volume_attach_args, FIELD_REQUIRED | FIELD_APPLIANCE),
	F(vm_name, TEXT, .flags = FIELD_REST_ONLY, .max = 255,
	  .doc = "Accepted for existing clients; kept in the request."),
	F(disk_id, TEXT, .flags = FIELD_REST_ONLY, .max = 255,
	  .doc = "Accepted for existing clients; kept in the request."),
	F(request_persistent_name, BOOL, .flags = FIELD_REST_ONLY,
	  .doc = "Accepted for existing clients."),
	PLAN(volume_attach_args),
	REQUEST_ID(volume_attach_args),
};
#undef F
const struct record volume_attach_args =
	RECORD("volume_attach", volume_attach_args, volume_attach_fields);

/* The request shows the two members that follow from the method; a client may give no others. */
static const char *const attach_as_names[] = { "root", NULL };
#define F(MEMBER, TYPE, ...) FIELD(volume_attach_root_args, MEMBER, TYPE, __VA_ARGS__)
static const struct field volume_attach_root_fields[] = {
	VOLUME_ID(volume_attach_root_args, FIELD_REQUIRED),
	VM_ID(volume_attach_root_args, FIELD_REQUIRED),
	F(replace, BOOL, .doc = "Detach the root disk that the virtual machine has now."),
	F(device_id, INT, .flags = FIELD_REST_ONLY, .doc = "CloudStack's deviceid: 0."),
	F(attach_as, ENUM, .flags = FIELD_REST_ONLY, .names = attach_as_names,
	  .doc = "Always root."),
	PLAN(volume_attach_root_args),
	REQUEST_ID(volume_attach_root_args),
};
#undef F
const struct record volume_attach_root_args =
	RECORD("volume_attach_root", volume_attach_root_args, volume_attach_root_fields);

static const struct field volume_open_fields[] = {
	VOLUME_ID(volume_open_args, FIELD_REQUIRED),
	FIELD(volume_open_args, read_only, BOOL, .doc = "Open the disk for reading alone."),
};
const struct record volume_open_args = RECORD("volume_open", volume_open_args, volume_open_fields);

static const struct field volume_detach_fields[] = {
	VOLUME_ID(volume_detach_args, FIELD_REQUIRED | FIELD_MANY),
	FIELD(volume_detach_args, force, BOOL,
	      .doc = "Detach even while the device is held; never the root disk."),
	FIELD(volume_detach_args, keep_name, BOOL,
	      .doc = "The volume comes back soon: users of its name or export wait for it."),
	PLAN(volume_detach_args),
	REQUEST_ID(volume_detach_args),
};
const struct record volume_detach_args =
	RECORD("volume_detach", volume_detach_args, volume_detach_fields);

static const struct field volume_delete_fields[] = {
	VOLUME_ID(volume_delete_args, FIELD_REQUIRED | FIELD_MANY),
	PLAN(volume_delete_args),
	REQUEST_ID(volume_delete_args),
};
const struct record volume_delete_args =
	RECORD("volume_delete", volume_delete_args, volume_delete_fields);

#define F(MEMBER, TYPE, ...) FIELD(volume_resize_args, MEMBER, TYPE, __VA_ARGS__)
static const struct field volume_resize_fields[] = {
	VOLUME_ID(volume_resize_args, FIELD_REQUIRED),
	F(size, SIZE, .flags = FIELD_REQUIRED | FIELD_POSITIONAL, VOLUME_SIZE_LIMITS,
	  .doc = "New size in bytes; rounded up to whole GiB."),
	F(allow_shrink, BOOL,
	  .doc = "Allow a smaller size, which cuts off the data behind the new end."),
	PLAN(volume_resize_args),
	REQUEST_ID(volume_resize_args),
};
#undef F
const struct record volume_resize_args =
	RECORD("volume_resize", volume_resize_args, volume_resize_fields);

#define F(MEMBER, TYPE, ...) FIELD(volume_cleanup_args, MEMBER, TYPE, __VA_ARGS__)
static const struct field volume_cleanup_fields[] = {
	F(test_vm_id, UUID, .flags = FIELD_REQUIRED, .option = "test-vm", .refers_to = &vm_record,
	  .doc = "The virtual machine of the test, which the volume is detached from."),
	VOLUME_ID(volume_cleanup_args, FIELD_REQUIRED | FIELD_POSITIONAL),
	F(oma_vm_id, UUID, .flags = FIELD_REQUIRED | FIELD_APPLIANCE, .option = "oma-vm",
	  .refers_to = &vm_record,
	  .doc = "The appliance, which is this virtual machine: the volume is attached to it."),
	F(delete_vm, BOOL,
	  .doc = "Delete the virtual machine of the test for good; needs operations.allow_vm_expunge."),
	F(force_clean, BOOL,
	  .doc = "Do not stop the virtual machine of the test before, unless the volume is its root disk."),
	PLAN(volume_cleanup_args),
	REQUEST_ID(volume_cleanup_args),
};
#undef F
const struct record volume_cleanup_args =
	RECORD("volume_cleanup", volume_cleanup_args, volume_cleanup_fields);

static const struct field volume_fields_args[] = { VOLUME_ID(volume_args, FIELD_REQUIRED) };
const struct record volume_args = RECORD("volume_id", volume_args, volume_fields_args);

static const struct field volume_forget_fields[] = {
	VOLUME_ID(volume_forget_args, FIELD_REQUIRED),
	PLAN(volume_forget_args),
};
const struct record volume_forget_args =
	RECORD("volume_forget", volume_forget_args, volume_forget_fields);

static const struct field volume_get_fields[] = {
	VOLUME_ID(volume_get_args, FIELD_REQUIRED),
	FIELD(volume_get_args, refresh, BOOL, .flags = FIELD_REST_ONLY,
	      .doc = "Ask CloudStack now."),
};
const struct record volume_get_args = RECORD("volume_get", volume_get_args, volume_get_fields);

static const struct field volume_list_fields[] = {
	FIELD(volume_list_args, state, TEXT, .max = 64,
	      .doc = "Only volumes in this CloudStack state."),
	VM_ID(volume_list_args, 0),
	FIELD(volume_list_args, name, TEXT, .max = 255,
	      .doc = "Only volumes with exactly this name."),
	LIMIT(volume_list_args),
	CURSOR(volume_list_args),
	FIELD(volume_list_args, refresh, BOOL, .flags = FIELD_REST_ONLY,
	      .doc = "Ask CloudStack for a new list now, which may take it long."),
};
const struct record volume_list_args = RECORD("volume_list", volume_list_args, volume_list_fields);

static const struct field mapping_list_fields[] = {
	LIMIT(mapping_list_args),
	CURSOR(mapping_list_args),
};
const struct record mapping_list_args =
	RECORD("mapping_list", mapping_list_args, mapping_list_fields);

static const struct field cloud_list_fields[] = {
	FIELD(cloud_list_args, name, TEXT, .max = 255, .doc = "Only those with exactly this name."),
	LIMIT(cloud_list_args),
	CURSOR(cloud_list_args),
};
const struct record cloud_list_args = RECORD("cloud_list", cloud_list_args, cloud_list_fields);

static const struct field sync_args_fields[] = {
	FIELD(sync_args, dry_run, BOOL, .doc = "Only report differences; repair nothing."),
};
const struct record sync_args = RECORD("sync_options", sync_args, sync_args_fields);

static const struct field pause_fields[] = {
	FIELD(pause_args, reason, TEXT, .flags = FIELD_REQUIRED | FIELD_POSITIONAL, .min = 1,
	      .max = 250, .doc = "The reason; the error of each refused change shows it."),
	PLAN(pause_args),
};
const struct record pause_args = RECORD("pause", pause_args, pause_fields);

static const struct field resume_fields[] = {
	FIELD(pause_args, reason, TEXT, .max = 250, .doc = "The reason, for the log."),
	PLAN(pause_args),
};
const struct record resume_args = RECORD("resume", pause_args, resume_fields);

static const struct field reload_arg_fields[] = {
	PLAN(reload_args),
};
const struct record reload_args = RECORD("reload_options", reload_args, reload_arg_fields);

static const struct field snapshot_create_fields[] = {
	VOLUME_ID(snapshot_create_args, FIELD_REQUIRED | FIELD_MANY),
	FIELD(snapshot_create_args, name, TEXT, .flags = FIELD_OMIT, .min = 1, .max = 200,
	      .doc = "The beginning of the snapshot's name, which ends with the operation's id."),
	PLAN(snapshot_create_args),
	REQUEST_ID(snapshot_create_args),
};
const struct record snapshot_create_args =
	RECORD("snapshot_create", snapshot_create_args, snapshot_create_fields);

static const struct field snapshot_args_fields[] = {
	FIELD(snapshot_args, id, UUID, .flags = FIELD_REQUIRED, .option = "snapshot",
	      .doc = "CloudStack's UUID of the snapshot."),
	PLAN(snapshot_args),
	REQUEST_ID(snapshot_args),
};
const struct record snapshot_args = RECORD("snapshot_id", snapshot_args, snapshot_args_fields);

#define SNAPSHOT_ID(STRUCT, FLAGS)                                                                 \
	FIELD(STRUCT, snapshot_id, TEXT, .flags = (FLAGS), .max = 191, .doc = "The snapshot.")
#define SNAPSHOT_NAME(STRUCT)                                                                      \
	FIELD(STRUCT, snapshot_name, TEXT, .max = 255, .doc = "Kept with the snapshot.")
#define VM_CONTEXT_ID(STRUCT)                                                                      \
	FIELD(STRUCT, vm_context_id, TEXT, .flags = FIELD_REQUIRED | FIELD_POSITIONAL, .min = 1,   \
	      .max = 64, .doc = "The caller's name for the virtual machine of the volumes.")
static const struct field snapshot_track_fields[] = {
	FIELD(snapshot_track_args, volume_uuid, UUID, .flags = FIELD_REQUIRED | FIELD_POSITIONAL,
	      .refers_to = &volume_record, .doc = "The volume's UUID."),
	VM_CONTEXT_ID(snapshot_track_args),
	SNAPSHOT_ID(snapshot_track_args, FIELD_REQUIRED | FIELD_POSITIONAL),
	SNAPSHOT_NAME(snapshot_track_args),
	FIELD(snapshot_track_args, snapshot_status, TEXT, .max = 50, .fallback = "ready",
	      .doc = "The caller's word for the state of the snapshot."),
	FIELD(snapshot_track_args, disk_id, TEXT, .max = 255, .doc = "Kept with the snapshot."),
	PLAN(snapshot_track_args),
};
const struct record snapshot_track_args =
	RECORD("snapshot_track", snapshot_track_args, snapshot_track_fields);

static const struct field snapshot_update_fields[] = {
	FIELD(snapshot_update_args, id, UUID, .flags = FIELD_REQUIRED, .refers_to = &volume_record,
	      .doc = "The volume's UUID."),
	SNAPSHOT_ID(snapshot_update_args, 0),
	SNAPSHOT_NAME(snapshot_update_args),
	FIELD(snapshot_update_args, snapshot_status, TEXT, .max = 50,
	      .doc = "The caller's word for the state of the snapshot."),
	PLAN(snapshot_update_args),
};
const struct record snapshot_update_args =
	RECORD("snapshot_update", snapshot_update_args, snapshot_update_fields);

static const struct field vm_context_fields[] = { VM_CONTEXT_ID(vm_context_args) };
const struct record vm_context_args = RECORD("vm_context", vm_context_args, vm_context_fields);

static const struct field snapshot_untrack_fields[] = {
	VM_CONTEXT_ID(snapshot_untrack_args),
	PLAN(snapshot_untrack_args),
};
const struct record snapshot_untrack_args =
	RECORD("snapshot_untrack", snapshot_untrack_args, snapshot_untrack_fields);

#define F(MEMBER, TYPE, ...) FIELD(export_create_args, MEMBER, TYPE, __VA_ARGS__)
static const struct field export_create_fields[] = {
	VOLUME_ID(export_create_args, FIELD_REQUIRED | FIELD_POSITIONAL),
	F(vm_name, TEXT, .max = 255, .doc = "Kept with the export, for the caller's own use."),
	F(vm_id, TEXT, .max = 64, .option = "vm",
	  .doc = "Kept with the export, for the caller's own use: an id of any kind."),
	F(disk_number, INT, .max = 1000000,
	  .doc = "Kept with the export, for the caller's own use."),
	F(read_only, BOOL, .doc = "Clients cannot write."),
	F(metadata, OBJECT, .max = METADATA_MAX,
	  .doc = "Kept with the export, for the caller's own use; at most 16 KiB of JSON."),
	PLAN(export_create_args),
};
#undef F
const struct record export_create_args =
	RECORD("export_create", export_create_args, export_create_fields);

#define F(MEMBER, TYPE, ...) FIELD(export_list_args, MEMBER, TYPE, __VA_ARGS__)
static const struct field export_list_fields[] = {
	VOLUME_ID(export_list_args, 0),
	F(status, TEXT, .max = 32, .doc = "Only exports in this status."),
	F(vm_name, TEXT, .max = 255,
	  .doc = "Only exports that were made with this name of a virtual machine."),
	LIMIT(export_list_args),
	CURSOR(export_list_args),
};
#undef F
const struct record export_list_args = RECORD("export_list", export_list_args, export_list_fields);

static const struct field export_delete_fields[] = {
	VOLUME_ID(export_delete_args, FIELD_REQUIRED),
	FIELD(export_delete_args, force, BOOL,
	      .doc = "Disconnect the clients that use the export."),
	PLAN(export_delete_args),
};
const struct record export_delete_args =
	RECORD("export_delete", export_delete_args, export_delete_fields);

#define DRY_RUN(STRUCT)                                                                            \
	FIELD(STRUCT, dry_run, BOOL, .fallback = "yes",                                            \
	      .doc = "Only report orphaned exports; remove nothing.")
static const struct field export_cleanup_fields[] = { DRY_RUN(export_cleanup_args) };
const struct record export_cleanup_args =
	RECORD("export_cleanup", export_cleanup_args, export_cleanup_fields);

static const struct field export_cleanup_age_fields[] = {
	FIELD(export_cleanup_age_args, max_age_hours, INT, .min = 1, .max = 87600, .fallback = "24",
	      .doc = "Only exports that have not changed for this many hours."),
	DRY_RUN(export_cleanup_age_args),
};
const struct record export_cleanup_age_args =
	RECORD("export_cleanup_age", export_cleanup_age_args, export_cleanup_age_fields);

const char *const volume_choice_names[] = {
	[VOLUMES_OF_DATA] = "data",
	[VOLUMES_ALL] = "all",
	[VOLUME_CHOICE_COUNT] = NULL,
};

static const struct field vm_volumes_fields[] = {
	VM_ID(vm_volumes_args, FIELD_REQUIRED),
	FIELD(vm_volumes_args, type, ENUM, .names = volume_choice_names,
	      .doc = "data: only data disks, which is the default; all: root disks too."),
};
const struct record vm_volumes_args = RECORD("vm_volumes", vm_volumes_args, vm_volumes_fields);

static const struct field token_create_fields[] = {
	FIELD(token_create_args, name, TEXT, .flags = FIELD_REQUIRED | FIELD_POSITIONAL, .min = 1,
	      .max = 64,
	      .doc = "A name for the token, which the history shows; letters, digits, -, _ and . only."),
	FIELD(token_create_args, scope, ENUM, .names = access_names, .fallback = "read",
	      .doc = "The most that the token allows: read, change (volumes, snapshots and exports too), or admin (everything)."),
	PLAN(token_create_args),
};
const struct record token_create_args =
	RECORD("token_create", token_create_args, token_create_fields);

static const struct field token_args_fields[] = {
	FIELD(token_args, name, TEXT, .flags = FIELD_REQUIRED, .min = 1, .max = 64,
	      .doc = "The name of the token."),
	PLAN(token_args),
};
const struct record token_args = RECORD("token_named", token_args, token_args_fields);

static const struct field device_args_fields[] = {
	FIELD(device_args, device, TEXT, .flags = FIELD_REQUIRED, .min = 1, .max = 255,
	      .doc = "A device: /dev/vdb, dev/vdb, vdb, a name under /dev/disk/by-id, or a stable name."),
};
const struct record device_args = RECORD("device", device_args, device_args_fields);

#define OPERATION_ID(STRUCT)                                                                       \
	FIELD(STRUCT, operation_id, TEXT, .flags = FIELD_REQUIRED, .min = 1, .max = 64,            \
	      .option = "operation", .doc = "The operation's id.")
static const struct field operation_args_fields[] = { OPERATION_ID(operation_args) };
const struct record operation_args = RECORD("operation_id", operation_args, operation_args_fields);

static const struct field operation_history_fields[] = {
	OPERATION_ID(operation_history_args),
	LIMIT(operation_history_args),
	CURSOR(operation_history_args),
};
const struct record operation_history_args =
	RECORD("operation_history", operation_history_args, operation_history_fields);

static const struct field operation_cancel_fields[] = {
	OPERATION_ID(operation_cancel_args),
	PLAN(operation_cancel_args),
};
const struct record operation_cancel_args =
	RECORD("operation_cancel", operation_cancel_args, operation_cancel_fields);

static const struct field operation_resolve_fields[] = {
	OPERATION_ID(operation_resolve_args),
	FIELD(operation_resolve_args, as, TEXT, .flags = FIELD_REQUIRED, .min = 1, .max = 64,
	      .doc = "done: the operation's change is made; undone: nothing of the change is left."),
	PLAN(operation_resolve_args),
};
const struct record operation_resolve_args =
	RECORD("operation_resolve", operation_resolve_args, operation_resolve_fields);

static const struct field operation_get_fields[] = {
	OPERATION_ID(operation_get_args),
	FIELD(operation_get_args, wait, INT, .flags = FIELD_REST_ONLY | FIELD_WAIT, .max = 60,
	      .doc = "Answer when the operation ends, or after this many seconds."),
};
const struct record operation_get_args =
	RECORD("operation_get", operation_get_args, operation_get_fields);

#define F(MEMBER, TYPE, ...) FIELD(operation_list_args, MEMBER, TYPE, __VA_ARGS__)
static const struct field operation_list_fields[] = {
	F(type, TEXT, .max = 32, .doc = "Only operations of this type."),
	F(status, TEXT, .max = 32, .doc = "Only operations in this status."),
	VOLUME_ID(operation_list_args, 0),
	VM_ID(operation_list_args, 0),
	F(since, TIME, .doc = "Only operations accepted at or after this time."),
	F(until, TIME, .doc = "Only operations accepted before this time."),
	LIMIT(operation_list_args),
	CURSOR(operation_list_args),
};
#undef F
const struct record operation_list_args =
	RECORD("operation_list", operation_list_args, operation_list_fields);

static const struct field plan_arg_fields[] = {
	FIELD(plan_args, method, TEXT, .flags = FIELD_REQUIRED, .min = 1, .max = 64,
	      .doc = "The change: a method of the Manager such as AttachVolume, or its name such as "
		     "volume.attach."),
	FIELD(plan_args, arguments, OBJECT, .flags = FIELD_REQUIRED, .max = PLAN_ARGUMENTS_MAX,
	      .doc = "All arguments of the change by their names, the required ones too."),
};
const struct record plan_args = RECORD("plan_args", plan_args, plan_arg_fields);
