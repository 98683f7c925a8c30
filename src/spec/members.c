/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The members of objects. The code that writes such an object writes JSON by hand; these tables say
 * what it writes. Tests compare all that passes on the bus with the manual page, which is made of
 * these tables: a member without a row fails there.
 */

#include "spec/members.h"

#include "spec/records.h"

#define M(NAME, TYPE, ...)                                                                         \
	{                                                                                          \
		.name = (NAME), .type = FIELD_##TYPE, __VA_ARGS__                                  \
	}
#define MEMBERS(NAME, TABLE)                                                                       \
	{                                                                                          \
		.name = (NAME), .fields = (TABLE), .count = ARRAY_SIZE(TABLE)                      \
	}
#define VOLUME M("volume_id", UUID, .doc = "The volume.")
#define DEVICE M("device_path", TEXT, .bus_text = bus_device, .doc = "The kernel device.")
#define CONTENTS                                                                                   \
	M("filesystem", TEXT, .doc = "File system or other signature found on the device."),       \
		M("label", TEXT, .doc = "Label of that file system."),                             \
		M("filesystem_uuid", TEXT, .doc = "UUID of that file system."),                    \
		M("partition_table", TEXT, .doc = "Type of the partition table.")
#define EXPORT_STATUS                                                                              \
	M("export_status", TEXT, .doc = "Whether the export is served: active or pending."),       \
		M("export_error", TEXT, .doc = "Why the export is not served yet.")

/* ---- operations ---- */

static const struct field request_table[] = {
	VOLUME,
	M("vm_id", UUID, .doc = "The virtual machine."),
	M("name", TEXT, .doc = "Name of the new volume or snapshot."),
	M("disk_offering_id", UUID, .doc = "CloudStack's disk offering."),
	M("size", SIZE, .doc = "Bytes."),
	M("zone_id", UUID, .doc = "CloudStack's zone."),
	M("project_id", UUID, .doc = "Project that gets the volume."),
	M("metadata", OBJECT, .doc = "The caller's own."),
	M("vm_name", TEXT, .doc = "As given over REST."),
	M("disk_id", TEXT, .doc = "As given over REST."),
	M("request_persistent_name", BOOL, .doc = "As given over REST."),
	M("replace", BOOL, .doc = "Whether the present root disk is detached."),
	M("device_id", INT, .doc = "CloudStack's deviceid: 0."),
	M("attach_as", TEXT, .doc = "root, if the volume becomes a root disk."),
	M("force", BOOL, .doc = "Whether a held device is detached."),
	M("keep_name", BOOL, .doc = "Whether users of the name wait for the volume."),
	M("allow_shrink", BOOL, .doc = "Whether the volume may become smaller."),
	M("test_vm_id", UUID, .doc = "The virtual machine of the failover test."),
	M("oma_vm_id", UUID, .doc = "The appliance."),
	M("delete_vm", BOOL, .doc = "Whether the test's virtual machine is deleted."),
	M("force_clean", BOOL, .doc = "Whether the test's virtual machine is not stopped before."),
	M("id", UUID, .doc = "The snapshot."),
	M("repairs", TEXT, .doc = "The drift that the operation repairs."),
};
const struct record request_members = MEMBERS("request", request_table);

static const struct field response_table[] = {
	VOLUME,
	M("vm_id", UUID, .doc = "The virtual machine that the volume is attached to."),
	DEVICE,
	M("by_id_path", TEXT, .doc = "The link that udev makes from the serial."),
	M("persistent_device_name", TEXT, .doc = "The name that never changes."),
	M("symlink_path", TEXT, .doc = "The path of the name that never changes."),
	M("size", SIZE, .doc = "Bytes."),
	M("previous_size", SIZE, .doc = "resize: bytes before."),
	M("export_size", SIZE, .doc = "resize: bytes that NBD clients see."),
	M("matched_by", TEXT, .doc = "How the device was recognised: identity or size."),
	EXPORT_STATUS,
	CONTENTS,
	M("device_id", INT, .doc = "Root disk: CloudStack's deviceid, 0."),
	M("name", TEXT, .doc = "create: the volume's name; snapshot: the snapshot's."),
	M("snapshot_id", UUID, .doc = "CloudStack's UUID of the snapshot."),
	M("test_vm_id", UUID, .doc = "cleanup: the virtual machine of the failover test."),
	M("oma_vm_id", UUID, .doc = "cleanup: the appliance."),
	M("vm_deleted", BOOL, .doc = "cleanup: true if the test's virtual machine was deleted."),
	M("message", TEXT, .doc = "The outcome in one sentence."),
};
const struct record response_members = MEMBERS("response", response_table);

static const struct field caller_table[] = {
	M("surface", TEXT, .doc = "bus, rest, or daemon if the daemon itself asked."),
	M("uid", INT, .doc = "The user's number."),
	M("user", TEXT, .doc = "The user's name."),
	M("token", TEXT, .doc = "The name of the token of REST."),
	M("bus_name", TEXT, .doc = "The unique name on the bus."),
	M("address", TEXT, .doc = "The address of a client of REST."),
};
const struct record caller_members = MEMBERS("caller", caller_table);

static const struct field time_spent_table[] = {
	M("own_ms", DURATION, .doc = "The daemon and its store."),
	M("waiting_ms", DURATION, .doc = "For other operations."),
	M("cloudstack_ms", DURATION, .doc = "CloudStack, with its queue and its jobs."),
	M("kernel_ms", DURATION, .doc = "From CloudStack to the kernel."),
};
const struct record time_spent_members = MEMBERS("time_spent", time_spent_table);

static const struct field transition_table[] = {
	M("step", TEXT, .doc = "The step that was entered."),
	M("undoing", BOOL, .doc = "True if the step is undone."),
	M("error", TEXT, .doc = "The error so far."),
	M("settled", BOOL, .doc = "True if nothing needs attention any more."),
	M("resolved", TEXT, .doc = "As an administrator has settled it: done or undone."),
};
const struct record transition_members = MEMBERS("details_of_transition", transition_table);

/* ---- volumes and exports ---- */

static const struct field cloudstack_table[] = {
	M("size", SIZE, .doc = "Bytes."),
};
const struct record cloudstack_members = MEMBERS("cloudstack_data", cloudstack_table);

static const struct field linux_table[] = {
	DEVICE,
	M("state", TEXT, .doc = "detected, gone, or n/a on another virtual machine."),
	M("size", SIZE, .doc = "Bytes, as the kernel shows the device."),
	M("by_id_path", TEXT, .doc = "The link that udev makes from the serial."),
	CONTENTS,
	EXPORT_STATUS,
};
const struct record linux_members = MEMBERS("linux_data", linux_table);

static const struct field last_operation_table[] = {
	M("id", TEXT, .doc = "The operation."),
	M("type", TEXT, .doc = "The kind of change."),
	M("status", TEXT, .doc = "Its status."),
};
const struct record last_operation_members = MEMBERS("last_operation", last_operation_table);

static const struct field client_table[] = {
	M("addresses", TEXT, .flags = FIELD_LIST, .doc = "Addresses of the connected clients."),
	M("certain", BOOL, .doc = "False if they may use another export, or none."),
};
const struct record client_members = MEMBERS("clients", client_table);

/* ---- reports ---- */

static const struct field export_difference_table[] = {
	M("export_name", TEXT, .doc = "The export."),
	VOLUME,
	M("kind", TEXT, .doc = "The kind of difference, in one word."),
	M("found", TEXT, .doc = "The difference in one sentence."),
	M("error", TEXT, .doc = "Why the export was not removed."),
};
static const struct record export_difference_members =
	MEMBERS("export_difference", export_difference_table);

#define DIFFERENCES .flags = FIELD_LIST, .members = &export_difference_members
static const struct field export_report_table[] = {
	M("checked", INT, .doc = "How many exports."),
	M("dry_run", BOOL, .doc = "True if nothing was to be removed."),
	M("differences", OBJECT, DIFFERENCES, .doc = "Between the store, the server and devices."),
	M("orphaned", OBJECT, DIFFERENCES, .doc = "Exports of volumes that are not attached."),
	M("removed", OBJECT, DIFFERENCES, .doc = "Those that were removed."),
	M("failed", OBJECT, DIFFERENCES, .doc = "Those that could not be removed."),
};
const struct record export_report_members = MEMBERS("report_on_exports", export_report_table);

static const struct field store_check_table[] = {
	M("faults", TEXT, .flags = FIELD_LIST, .doc = "Each fault in a sentence, at most 200."),
};
const struct record store_check_members = MEMBERS("report_on_store", store_check_table);

/* Also a record of its own, of signals and events. */
const char *const drift_kind_names[] = {
	[DRIFT_NONE] = "none",
	[DRIFT_ATTACHED_OUTSIDE] = "attached-outside",
	[DRIFT_DETACHED_OUTSIDE] = "detached-outside",
	[DRIFT_DELETED_OUTSIDE] = "deleted-outside",
	[DRIFT_MOVED] = "moved",
	[DRIFT_DEVICE_RENAMED] = "device-renamed",
	[DRIFT_DEVICE_MISSING] = "device-missing",
	[DRIFT_DEVICE_UNEXPECTED] = "device-unexpected",
	[DRIFT_SIZE_CHANGED] = "size-changed",
	[DRIFT_OPERATION_LOST] = "operation-lost",
	[DRIFT_NOT_TAKEN_BACK] = "not-taken-back",
	[DRIFT_ORPHAN] = "orphan",
	[DRIFT_VOLUME_LOST] = "volume-lost",
	[DRIFT_NOT_RENAMED] = "not-renamed",
	[DRIFT_KIND_COUNT] = NULL,
};

#define F(MEMBER, TYPE, ...) FIELD(drift_record, MEMBER, TYPE, __VA_ARGS__)
static const struct field drift_fields[] = {
	F(kind, ENUM, .flags = FIELD_COLUMN, .names = drift_kind_names,
	  .doc = "How store, CloudStack and kernel disagree."),
	F(volume_id, UUID, .flags = FIELD_COLUMN, .doc = "The volume."),
	F(vm_id, UUID, .flags = FIELD_OMIT,
	  .doc = "The volume's virtual machine according to CloudStack."),
	F(device_path, TEXT, .flags = FIELD_OMIT, .bus_text = bus_device,
	  .doc = "The volume's device according to the kernel."),
	F(operation_id, TEXT, .flags = FIELD_OMIT,
	  .doc = "The operation that left the difference behind, or that repairs it."),
	F(found, TEXT, .flags = FIELD_COLUMN, .doc = "The difference in one sentence."),
	F(action, TEXT, .flags = FIELD_COLUMN,
	  .doc = "The repair that was done, or that an operator has to do."),
	F(repaired, BOOL, .flags = FIELD_COLUMN,
	  .doc = "True if the daemon has repaired the difference or is about to."),
};
#undef F
const struct record drift_record = RECORD("drift", drift_record, drift_fields);

#define DRIFTS .flags = FIELD_LIST, .members = &drift_record
static const struct field sync_table[] = {
	M("checked", INT, .doc = "How many volumes."),
	M("dry_run", BOOL, .doc = "True if nothing was to be repaired."),
	M("drift", OBJECT, DRIFTS, .doc = "All differences."),
	M("repaired", OBJECT, DRIFTS, .doc = "Those that are repaired, or are about to be."),
	M("failed", OBJECT, DRIFTS, .doc = "Those that are left to an administrator."),
};
const struct record sync_members = MEMBERS("report_on_volumes", sync_table);

static const struct field planned_table[] = {
	M("id", TEXT, .doc = "The operation."),
	M("type", TEXT, .doc = "The kind of change."),
	M("status", TEXT, .doc = "Its status."),
	M("step", TEXT, .doc = "Its step."),
	VOLUME,
	M("vm_id", UUID, .doc = "The virtual machine."),
	M("plan", TEXT, .doc = "What happens to it if the store is accepted."),
};
static const struct record planned_members = MEMBERS("planned_operation", planned_table);

static const struct field store_plan_table[] = {
	M("operations", OBJECT, .flags = FIELD_LIST, .members = &planned_members,
	  .doc = "The unfinished ones."),
};
const struct record store_plan_members = MEMBERS("plan", store_plan_table);

static const struct field reload_table[] = {
	M("changed", TEXT, .flags = FIELD_LIST, .doc = "Keys whose new values are in force."),
	M("needs_restart", TEXT, .flags = FIELD_LIST,
	  .doc = "Keys whose new values wait for a restart."),
};
const struct record reload_members = MEMBERS("report_on_configuration", reload_table);

/* ---- figures ---- */

#define FIGURES                                                                                    \
	M("cloudstack_api_calls", INT, .doc = "Requests to CloudStack."),                          \
		M("device_events_processed", INT, .doc = "Changes of disks."),                     \
		M("database_transactions", INT, .doc = "Commits of the store."),                   \
		M("loop_turns", INT, .doc = "Turns of the daemon's loop."),                        \
		M("uptime_seconds", INT, .doc = "Time since the start.")

static const struct field health_table[] = {
	M("implementation_status", TEXT, .doc = "complete."),
	M("polling_interval", TEXT, .doc = "Time between two looks at the kernel's disks."),
	M("accepting_changes", BOOL, .doc = "True if a change would be accepted now."),
	M("paused", TEXT, .doc = "Why changes are paused; empty if they are not."),
	M("store_state", TEXT, .doc = "current, checking or past."),
	M("active_operations", INT, .doc = "Unfinished operations."),
	M("device_count", INT, .doc = "Disks that the kernel shows."),
	M("active_mappings", INT, .doc = "Volumes that are attached."),
	M("known_volumes", INT, .doc = "Volumes that CloudStack shows."),
	M("volume_list_age_seconds", INT, .doc = "Age of CloudStack's list; -1 if there is none."),
	M("volumes_left_out", TEXT, .doc = "Why volumes may be missing from the list."),
	M("volumes_lost", TEXT, .doc = "Volumes that CloudStack does not show any more."),
	M("cloudstack_throttled", BOOL, .doc = "True if CloudStack refuses for too many requests."),
	M("cloudstack_throttled_count", INT, .doc = "How often it did."),
	M("cloudstack_clock_ahead_ms", DURATION, .doc = "CloudStack's clock against the one here."),
	M("clock", TEXT, .doc = "Whether the clock can be trusted."),
	M("cloudstack_reads", OBJECT, .doc = "The state of each command that reads, by its name."),
	M("store_waiting", INT, .doc = "Commits that wait for the store."),
	FIGURES,
	M("loop_late_count", INT, .doc = "How often the loop was late."),
	M("loop_late", TEXT, .doc = "The last time, if that is not long ago."),
	M("uevents", BOOL, .doc = "True if the kernel tells of its disks."),
	M("stable_names", BOOL, .doc = "True if volumes get names under /dev/mapper."),
	M("stable_names_health", TEXT, .doc = "healthy, turned off, or why volumes get none."),
	M("nbd_engine", TEXT, .doc = "The program that serves the exports."),
	M("nbd_pid", INT, .doc = "Its process; 0 if it does not run."),
	M("nbd_restarts", INT, .doc = "How often it began anew."),
	M("exports", INT, .doc = "Volumes that are served."),
	M("rest_access", TEXT, .doc = "Who may use REST."),
	M("rest_certificate", TEXT,
	  .doc = "Whether the certificate of REST is well; empty without TLS."),
	M("nbd_access", TEXT, .doc = "Who may use the exports."),
	M("appliance_id", TEXT, .doc = "CloudStack's UUID of this virtual machine."),
};
const struct record health_members = MEMBERS("details_of_health", health_table);

static const struct field metrics_table[] = { FIGURES };
const struct record metrics_members = MEMBERS("details_of_metrics", metrics_table);

#define COUNT(NAME) M(NAME, INT, .doc = "How many operations.")
static const struct field type_count_table[] = {
	COUNT("create"),   COUNT("attach"), COUNT("detach"),
	COUNT("delete"),   COUNT("resize"), COUNT("cleanup"),
	COUNT("snapshot"), COUNT("revert"), COUNT("delete-snapshot"),
};
const struct record type_count_members = MEMBERS("operations_by_type", type_count_table);

static const struct field status_count_table[] = {
	COUNT("pending"), COUNT("executing"), COUNT("completed"),
	COUNT("failed"),  COUNT("cancelled"),
};
const struct record status_count_members = MEMBERS("operations_by_status", status_count_table);

/* ---- on D-Bus ---- */

const char *bus_device(const char *path, const void *object)
{
	return path && *path == '/' ? path : "";
}

/* Over REST a cancellation is a conflict. */
const char *bus_error_name(const char *word, const void *object)
{
	const struct operation_record *operation = object;

	if (str_empty(word))
		return "";
	if (operation->status == OPERATION_CANCELLED)
		return err_view(ERR_CANCELLED)->bus_name;
	return err_view(err_from_word(word))->bus_name;
}
