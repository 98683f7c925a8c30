/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The objects that clients see, as self-describing structs. Member names are the JSON names of the
 * contract and, for operations and mappings, the column names of the store. All texts are heap
 * copies owned by the struct; use record_init(), record_copy() and record_clear().
 */

#include "base/field.h"

enum operation_type {
	OPERATION_CREATE,
	OPERATION_ATTACH,
	OPERATION_DETACH,
	OPERATION_DELETE,
	OPERATION_RESIZE,
	OPERATION_CLEANUP,
	OPERATION_SNAPSHOT,
	OPERATION_REVERT,
	OPERATION_DELETE_SNAPSHOT,
	OPERATION_TYPE_COUNT
};
enum operation_status {
	OPERATION_PENDING, /* accepted and durable, waits for its turn */
	OPERATION_EXECUTING,
	OPERATION_COMPLETED,
	OPERATION_FAILED,
	OPERATION_CANCELLED,
	OPERATION_STATUS_COUNT
};
extern const char *const operation_type_names[OPERATION_TYPE_COUNT + 1];
extern const char *const operation_status_names[OPERATION_STATUS_COUNT + 1];

static inline bool operation_status_is_final(int status)
{
	return status >= OPERATION_COMPLETED;
}

struct operation_record {
	char *id; /* "op-" and a UUID version 7: ids sort by creation time */
	int type;
	int status;
	char *volume_id; /* "" until known */
	char *vm_id;
	char *request;        /* JSON object: the arguments */
	char *request_id;     /* the caller's own key of the request, NULL if none */
	char *response;       /* JSON object, when completed */
	char *error;          /* when failed */
	char *error_code;     /* a word of the error table */
	char *error_reason;   /* a word of the table of reasons, NULL if none */
	char *step;           /* the step under way or last run */
	int64_t step_since;   /* when that step was entered */
	char *time_spent;     /* JSON object: where its time went; the store has it in context */
	bool needs_attention; /* an undo failed: something is left over */
	int64_t created_at;
	int64_t updated_at;
	int64_t completed_at;
	/* JSON object: who asked for the operation; NULL: an earlier version did not note that */
	char *caller;
	/* stored only */
	char *context;       /* JSON object: the memory of the steps */
	char *error_details; /* JSON object: CloudStack's own code and text */
	bool undoing;        /* steps run backwards */
	/* shown, not stored; the last members */
	char *waits_for;      /* what it waits for, for people; NULL: nothing */
	int64_t started_at;   /* when its first step began; the store has it in context */
	double progress;      /* 0 to 1, or -1 if it cannot be told */
	int64_t expected_end; /* 0 if it cannot be told, or the operation has ended */
};
extern const struct record operation_record, operation_row; /* as shown, and as stored */

/* One transition of one operation. */
struct history_record {
	char *id; /* made by the daemon, so that a batch written twice is one row; sorts by time */
	char *operation_id;
	char *previous_status;
	char *new_status;
	int64_t changed_at;
	char *details; /* JSON object or NULL */
	/* JSON object: who asked for this transition; NULL: it followed from an earlier one */
	char *caller;
	/* shown, not stored; the last members */
	char *step; /* of the details */
	/* the caller in words, of the latest transition that has one; NULL: not known */
	char *asked_by;
};
extern const struct record history_record, history_row; /* as shown, and as stored */

enum matched_by { MATCHED_NOT, MATCHED_BY_IDENTITY, MATCHED_BY_SIZE, MATCHED_BY_COUNT };
extern const char *const matched_by_names[MATCHED_BY_COUNT + 1];

struct mapping_record {
	char *id;
	char *volume_id;
	char *volume_uuid; /* the same value, for older clients */
	char *vm_id;
	char *device_path; /* "/dev/vdb", or "remote-vm-<vm>-<volume>" on another VM */
	char *by_id_path;
	char *persistent_device_name;
	char *symlink_path;
	int64_t cloudstack_device_id;
	char *cloudstack_state; /* "attached" */
	char *linux_state;      /* "detected", "n/a" on another VM */
	uint64_t size;          /* bytes, as the kernel shows it (CloudStack's on another VM) */
	int matched_by;
	char *operation_mode; /* "oma" for the appliance, "failover" for another VM */
	char *filesystem;     /* found by libblkid, else NULL */
	char *label;
	char *filesystem_uuid;
	char *partition_table;
	int64_t last_sync;
	int64_t attached_at;
	int64_t created_at;
	int64_t updated_at;
	/* stored only */
	/* kernel's sequence number of the disk this mapping was made for, 0 unknown */
	int64_t diskseq;
	char *boot_id; /* the boot that diskseq belongs to */
};
extern const struct record mapping_record;

/*
 * The name a volume's device has on the appliance. It outlives mappings: a volume that comes back
 * gets the same name.
 */
struct name_record {
	char *id;
	char *volume_id;
	/* "vol" and the first 8 hex digits of the volume's UUID, more if that name is taken */
	char *name;
	int64_t created_at;
};
extern const struct record name_record;

enum export_status {
	EXPORT_PENDING, /* wanted; the engine does not serve it yet, or its device is away */
	EXPORT_ACTIVE,  /* an NBD client was answered */
	EXPORT_FAILED,  /* the engine refuses it */
	EXPORT_STATUS_COUNT
};
extern const char *const export_status_names[EXPORT_STATUS_COUNT + 1];

struct export_record {
	char *id;
	char *volume_id;
	char *export_name; /* "migration-vol-<volume uuid>" */
	/* the served device by its stable name, or by the kernel's if there are none */
	char *device_path;
	int64_t port; /* 0: a unix socket */
	int status;
	bool read_only;
	uint64_t size; /* bytes, as served */
	char *vm_name; /* this and the next two as the caller gave them */
	char *vm_id;
	int64_t disk_number;
	char *error;    /* why it is not active */
	char *metadata; /* JSON object */
	int64_t created_at;
	int64_t updated_at;
	/* shown, not stored; the last members */
	char *uri; /* for a client on this machine; NULL: not known yet */
	/* JSON object: addresses[], and certain: whether these very clients use this export */
	char *clients;
};
extern const struct record export_record, export_row; /* as shown, and as stored */

/*
 * The snapshot that a client keeps of a volume, as the client has told. It outlives attachments of
 * the volume.
 */
struct snapshot_record {
	char *id; /* of the volume */
	char *vm_context_id;
	char *snapshot_id;
	char *snapshot_name;
	char *snapshot_status; /* the client's word */
	char *disk_id;
	int64_t snapshot_created_at;
	int64_t updated_at;
	/* shown, not stored; the last members */
	char *volume_uuid; /* the same as id */
	char *device_path; /* of the mapping, "" if there is none */
	char *operation_mode;
};
extern const struct record snapshot_record, snapshot_row; /* as shown, and as stored */

/* A snapshot in CloudStack. */
struct volume_snapshot_record {
	char *id;
	char *volume_id;
	char *name;
	char *state; /* CloudStack's word: BackedUp, BackingUp, Error, … */
	uint64_t size;
	int64_t created_at;
	bool revertable;
};
extern const struct record volume_snapshot_record;

struct snapshot_change_record {
	char *message;
	char *volume_uuid;
	char *snapshot_id;
	char *vm_context_id;
	int64_t snapshots_cleared;
};
extern const struct record snapshot_tracked_record, snapshot_updated_record,
	snapshot_untracked_record; /* the members that each answer has */

/* The right that a caller needs: decides the polkit action and the token scope. */
enum method_access { ACCESS_READ, ACCESS_CHANGE, ACCESS_ADMIN };
extern const char *const access_names[]; /* by that enum, ended by NULL */

/* What a program shows over REST to say who it is. */
struct token_record {
	char *id;     /* stored: the name */
	int scope;    /* enum method_access: the most that the token allows */
	char *digest; /* stored: SHA-256 of the token, as hex digits */
	int64_t created_at;
	char *caller; /* JSON object: who made it */
	char *name;   /* shown: the id */
	char *token;  /* shown once, in the answer to its creation */
};
extern const struct record token_row;                          /* as stored */
extern const struct record token_record, token_created_record; /* as shown */

struct message_record {
	char *message;
};
extern const struct record message_record;

struct export_report_record {
	char *message;
	int64_t timestamp;
	/* JSON object: checked, dry_run, and differences[] or orphaned[], removed[] and failed[] */
	char *report;
};
extern const struct record export_report_record;

struct orphan_count_record {
	int64_t orphaned_exports_count;
	int64_t timestamp;
};
extern const struct record orphan_count_record;

struct store_backup_record {
	char *message;
	uint64_t bytes;
	int64_t schema_version;
	char *newest_operation; /* NULL if the store has none */
	int64_t timestamp;
};
extern const struct record store_backup_record;

struct store_check_record {
	char *message;
	int64_t rows;
	int64_t faults;
	int64_t timestamp;
	char *report; /* JSON object: faults[], at most 200 */
};
extern const struct record store_check_record;

struct volume_record {
	char *volume_id;
	char *name;
	char *vm_id;       /* NULL if detached */
	char *device_path; /* NULL if not attached */
	char *linux_state; /* of the mapping, NULL if not attached */
	char *state;       /* CloudStack's word: Allocated, Ready, … */
	uint64_t size;     /* bytes */
	char *type;        /* CloudStack's word: DATADISK, or ROOT for the disk a VM starts from */
	int64_t attached_at; /* when the attachment was first seen; 0: not attached, or not known */
	char *zone_id;
	char *cloudstack_data; /* JSON object: the fields CloudStack gave */
	char *linux_data;      /* JSON object: the view of kernel and libblkid */
	char *last_operation;  /* JSON object: id, type, status */
};
extern const struct record volume_record;

struct device_record {
	char *device_path; /* "/dev/vdb" */
	char *bus;         /* virtio, scsi, loop, other */
	char *serial;      /* as the device reports it, else NULL */
	uint64_t size;
	int64_t diskseq;
	bool read_only;
	char *volume_id; /* the volume that it is, else NULL */
	char *persistent_device_name;
	char *symlink_path;
};
extern const struct record device_record;

struct volume_user_record {
	char *device_path; /* the disk, or the device on top of it that is used */
	char *use;         /* "mounted at /mnt/x" */
	bool is_system;    /* this system depends on it */
};
extern const struct record volume_user_record;

struct opened_device_record {
	int disk; /* an open file */
};
extern const struct record opened_device_record;

/* What CloudStack lists, besides volumes; each begins with its id. */
struct offering_record {
	char *id;
	char *name;
	char *description;
	uint64_t size; /* bytes; 0: a volume has a size of its own */
	char *storage_type;
	char *zone_ids; /* NULL: all zones */
};
struct zone_record {
	char *id;
	char *name;
	char *network_type;
	char *allocation_state;
};
struct vm_record {
	char *id;
	char *name;
	char *display_name;
	char *state;
	char *zone_id;
	bool is_appliance;
};
extern const struct record offering_record, zone_record, vm_record;

/* May the keys use it in CloudStack? */
enum right_kind { RIGHT_COMMAND, RIGHT_PROJECT, RIGHT_KIND_COUNT };
enum right_answer { RIGHT_NO, RIGHT_YES, RIGHT_UNNEEDED, RIGHT_UNKNOWN, RIGHT_ANSWER_COUNT };
struct right_record {
	char *name; /* of the command; of a project, its UUID */
	int kind, allowed;
	bool for_checks; /* see cloud_command_fn */
	char *needed_to;
	char *text; /* more about the answer, or NULL */
};
extern const struct record right_record;

/* How store, CloudStack and kernel can disagree; core/rules/drift.h tells them apart. */
enum drift_kind {
	DRIFT_NONE,
	DRIFT_ATTACHED_OUTSIDE,
	DRIFT_DETACHED_OUTSIDE,
	DRIFT_DELETED_OUTSIDE,
	DRIFT_MOVED,
	DRIFT_DEVICE_RENAMED,
	DRIFT_DEVICE_MISSING,
	DRIFT_DEVICE_UNEXPECTED,
	DRIFT_SIZE_CHANGED,
	DRIFT_OPERATION_LOST,
	DRIFT_NOT_TAKEN_BACK,
	DRIFT_ORPHAN,
	DRIFT_VOLUME_LOST,
	DRIFT_NOT_RENAMED,
	DRIFT_KIND_COUNT
};
extern const char *const drift_kind_names[DRIFT_KIND_COUNT + 1];

struct drift_record {
	int kind;
	char *volume_id;
	char *vm_id;        /* the VM according to CloudStack, else NULL */
	char *device_path;  /* the device according to the kernel, else NULL */
	char *operation_id; /* the operation that left, lost or repairs the volume, else NULL */
	char *found;
	char *action; /* the repair: done, under way, or left to an operator */
	bool repaired;
};
extern const struct record drift_record;

struct reload_record {
	char *message;
	int64_t timestamp;
	char *report; /* {"changed":[…],"needs_restart":[…]} */
};
extern const struct record reload_record;

struct sync_record {
	char *message;
	int64_t timestamp;
	/* JSON object: checked, dry_run, and drift[], repaired[], failed[] of drift records */
	char *report;
};
extern const struct record sync_record;

struct store_plan_record {
	char *state;  /* current, checking, past */
	char *reason; /* "" if it is current */
	/* JSON object: operations[] with id, type, status, step, volume_id, vm_id and plan */
	char *report;
};
extern const struct record store_plan_record;

struct health_record {
	char *status; /* healthy, degraded, unhealthy */
	int64_t timestamp;
	char *cloudstack_health;
	char *database_health;
	char *device_monitor;
	char *nbd_health;
	char *details; /* JSON object */
};
extern const struct record health_record;

struct metrics_record {
	int64_t timestamp;
	int64_t total_operations;
	int64_t pending_operations;
	int64_t active_mappings;
	char *operations_by_type;   /* JSON object: a number for each type */
	char *operations_by_status; /* JSON object */
	int64_t average_response_time_ms;
	int64_t error_rate_percent;
	char *details; /* JSON object */
};
extern const struct record metrics_record;

/* The plan of a change: the change would happen if nothing refuses it. The lists are JSON arrays.
 */
struct plan_record {
	char *method;
	char *would;      /* plan_step_record: in their order */
	char *refused_by; /* plan_refusal_record */
	char *unchecked;  /* plan_doubt_record: what might refuse it as well */
};
struct plan_step_record {
	char *step; /* of the operation, or what it does first */
	char *text;
};
struct plan_refusal_record {
	char *check;
	char *code;   /* the words of an error */
	char *reason; /* NULL: there is none */
	char *text;
};
struct plan_doubt_record {
	char *check;
	char *text;
};
extern const struct record plan_record, plan_step_record, plan_refusal_record, plan_doubt_record;

/* Arguments: one struct for a method, or for a family of methods that take the same. */

struct no_args {
	char unused;
};
struct volume_create_args {
	char *name;
	char *disk_offering_id;
	uint64_t size;
	char *zone_id;
	char *project_id;
	char *metadata;
	bool dry_run;
	char *request_id; /* here and below: REST takes it from the header Idempotency-Key */
};
struct volume_attach_args {
	char *volume_id;
	char *vm_id;
	char *vm_name;
	char *disk_id;
	bool request_persistent_name;
	bool dry_run;
	char *request_id;
};
struct volume_attach_root_args {
	char *volume_id;
	char *vm_id;
	bool replace;
	int64_t device_id;
	int attach_as;
	bool dry_run;
	char *request_id;
};
struct volume_detach_args {
	char *volume_id;
	bool force;
	bool keep_name;
	bool dry_run;
	char *request_id;
};
struct volume_delete_args {
	char *volume_id;
	bool dry_run;
	char *request_id;
};
struct volume_resize_args {
	char *volume_id;
	uint64_t size;
	bool allow_shrink;
	bool dry_run;
	char *request_id;
};
struct volume_cleanup_args {
	char *test_vm_id;
	char *volume_id;
	char *oma_vm_id;
	bool delete_vm;
	bool force_clean;
	bool dry_run;
	char *request_id;
};
struct volume_open_args {
	char *volume_id;
	bool read_only;
};
struct volume_args {
	char *volume_id;
};
struct volume_forget_args {
	char *volume_id;
	bool dry_run;
};
struct volume_get_args {
	char *volume_id;
	bool refresh;
};
struct volume_list_args {
	char *state;
	char *vm_id;
	char *name;
	int64_t limit;
	char *cursor;
	bool refresh;
};
struct mapping_list_args {
	int64_t limit;
	char *cursor;
};
struct cloud_list_args {
	char *name;
	int64_t limit;
	char *cursor;
};
struct sync_args {
	bool dry_run;
};
struct pause_args {
	char *reason;
	bool dry_run;
};
struct reload_args {
	bool dry_run;
};
struct operation_resolve_args {
	char *operation_id;
	char *as; /* "done" or "undone" */
	bool dry_run;
};
struct snapshot_create_args {
	char *volume_id;
	char *name;
	bool dry_run;
	char *request_id;
};
struct snapshot_args {
	char *id; /* CloudStack's, of the snapshot */
	bool dry_run;
	char *request_id;
};
struct snapshot_track_args {
	char *volume_uuid;
	char *vm_context_id;
	char *snapshot_id;
	char *snapshot_name;
	char *snapshot_status;
	char *disk_id;
	bool dry_run;
};
struct snapshot_update_args {
	char *id; /* of the volume */
	char *snapshot_id;
	char *snapshot_name;
	char *snapshot_status;
	bool dry_run;
};
struct vm_context_args {
	char *vm_context_id;
};
struct snapshot_untrack_args {
	char *vm_context_id;
	bool dry_run;
};
struct export_create_args {
	char *volume_id;
	char *vm_name;
	char *vm_id;
	int64_t disk_number;
	bool read_only;
	char *metadata;
	bool dry_run;
};
struct export_list_args {
	char *volume_id;
	char *status;
	char *vm_name;
	int64_t limit;
	char *cursor;
};
struct export_delete_args {
	char *volume_id;
	bool force;
	bool dry_run;
};
struct export_cleanup_args {
	bool dry_run;
};
struct export_cleanup_age_args {
	int64_t max_age_hours;
	bool dry_run;
};
enum volume_choice { VOLUMES_OF_DATA, VOLUMES_ALL, VOLUME_CHOICE_COUNT };
extern const char *const volume_choice_names[VOLUME_CHOICE_COUNT + 1];
struct vm_volumes_args {
	char *vm_id;
	int type;
};
struct token_create_args {
	char *name;
	int scope;
	bool dry_run;
};
struct token_args {
	char *name;
	bool dry_run;
};
struct device_args {
	char *device;
};
struct operation_args {
	char *operation_id;
};
struct operation_history_args {
	char *operation_id;
	int64_t limit;
	char *cursor;
};
struct operation_cancel_args {
	char *operation_id;
	bool dry_run;
};
struct operation_get_args {
	char *operation_id;
	int64_t wait;
};
struct operation_list_args {
	char *type;
	char *status;
	char *volume_id;
	char *vm_id;
	int64_t since;
	int64_t until;
	int64_t limit;
	char *cursor;
};

struct plan_args {
	char *method;
	char *arguments; /* JSON object */
};

struct store_backup_args {
	int file;
};

extern const struct record snapshot_create_args, snapshot_args;
extern const struct record no_args, store_backup_args, volume_create_args, volume_attach_args,
	volume_attach_root_args, volume_open_args, volume_detach_args, volume_delete_args,
	volume_resize_args, volume_cleanup_args, volume_args, volume_forget_args,
	snapshot_untrack_args, operation_cancel_args, plan_args, volume_get_args, volume_list_args,
	mapping_list_args, cloud_list_args, sync_args, pause_args, resume_args, reload_args,
	operation_resolve_args, snapshot_track_args, snapshot_update_args, vm_context_args,
	export_create_args, export_list_args, export_delete_args, export_cleanup_args,
	export_cleanup_age_args, vm_volumes_args, token_create_args, token_args, device_args,
	operation_args, operation_history_args, operation_get_args, operation_list_args;
