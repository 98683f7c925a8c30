/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * CloudStack's API: one asynchronous function for each command.
 *
 * Every answer is sorted into one of four outcomes, because the caller's next step depends on
 * nothing else: the command worked, was refused (final, with CloudStack's code and text), certainly
 * never happened, or has an unknown effect. The caller chooses job ids (customjobid) and must have
 * stored them durably before the call.
 */

#include "base/buf.h"
#include "base/err.h"
#include "base/secret.h"
#include "io/loop.h"

struct cloud;
struct cloud_call;
struct cloud_job;
struct cloud_walk;

struct cloud_options {
	/* "http://10.1.1.1:8080/client/api"; the path is added if there is none */
	const char *url;
	const struct secret *api_key; /* both are copied */
	const struct secret *secret_key;
	const char *ca_file; /* NULL: the system's */
	/* The project whose volumes lists show, as a UUID; CLOUD_ALL_PROJECTS: every project's and
	 * those of no project; NULL: those of no project. */
	const char *project_id;
	int64_t timeout_ms; /* of one request */
	/* first wait between two queries of a job of unknown length, doubled up to poll_max_ms */
	int64_t poll_min_ms;
	int64_t poll_max_ms;
	size_t max_parallel;
};

#define CLOUD_ALL_PROJECTS "-1"

/* The form of the address alone. */
int cloud_check_url(const char *url, struct err *err);
struct cloud *cloud_new(struct loop *loop, const struct cloud_options *options, struct err *err);
/*
 * Sets another address and other keys, which are copied. Requests on the wire keep the old ones,
 * waiting calls are sent with the new ones. Lost answers and a refused list of jobs under the old
 * ones no longer count. -1: the new ones cannot be right, and the old ones stay.
 */
int cloud_set_access(struct cloud *cloud, const char *url, const struct secret *api_key,
		     const struct secret *secret_key, struct err *err);
/*
 * Sets what else may change: ca_file, the times and max_parallel of the options, for requests that
 * are sent, and waits that begin, from now on.
 */
void cloud_set_pace(struct cloud *cloud, const struct cloud_options *options);
/* Asserts that no call or job is left; not from inside a done. Returns NULL, takes NULL. */
struct cloud *cloud_free(struct cloud *cloud);

enum cloud_outcome {
	CLOUD_OK,
	/* CloudStack refused the command: ERR_CLOUD, or ERR_NOT_FOUND if its text proves that;
	 * err.reason says what its text means */
	CLOUD_REFUSED,
	/* the command did not happen (no connection, 503, 429, 401, a read answered with 530 …); it
	 * may work later */
	CLOUD_AWAY,
	/* may have happened: the answer was lost or makes no sense; never a list or find */
	CLOUD_UNKNOWN
};

enum cloud_job_status { CLOUD_JOB_PENDING, CLOUD_JOB_SUCCEEDED, CLOUD_JOB_FAILED };

/* An owner is "project <id>", or "<domain id> <name of the account>". */
#define CLOUD_OWNER_PROJECT "project "

struct cloud_volume {
	char *id;
	char *name;
	char *zone_id;
	char *type;        /* ROOT or DATADISK */
	char *state;       /* Allocated, Ready, … */
	char *vm_id;       /* NULL if detached */
	char *job_id;      /* a job under way on the volume, else NULL */
	char *hypervisor;  /* only administrators see it */
	char *owner;       /* CLOUD_OWNER_PROJECT; NULL: not told */
	uint64_t size;     /* bytes */
	int64_t device_id; /* -1 if detached */
	bool is_protected; /* from deletion; servers before 4.20 protect none */
	char *raw;         /* the whole object as JSON; "{}" beyond 64 KiB */
};

struct cloud_vm {
	char *id;
	char *name;
	char *display_name;
	char *zone_id;
	char *state;  /* Running, Stopped, Stopping, … */
	char *job_id; /* a job under way on the VM, else NULL */
	char *hypervisor;
	char *owner; /* as of a volume */
};

/* How much more an account or a project may have; its domain may have limits of its own, which only
 * administrators see. */
struct cloud_limits {
	char *name;
	int64_t volumes, gib, snapshots;
};
#define CLOUD_UNLIMITED INT64_MAX
#define CLOUD_NOT_TOLD (-1)

struct cloud_zone {
	char *id;
	char *name;
	char *network_type;     /* Basic or Advanced */
	char *allocation_state; /* Enabled or Disabled */
};

struct cloud_offering {
	char *id;
	char *name;
	char *description;
	char *zone_ids;     /* with commas between; NULL: all zones */
	char *storage_type; /* shared or local */
	uint64_t size;      /* bytes; 0: each volume has a size of its own */
};

struct cloud_snapshot {
	char *id;
	char *name;
	char *volume_id;
	char *state;        /* BackedUp, BackingUp, Error, … */
	uint64_t size;      /* bytes, of the volume when it was taken */
	int64_t created_ms; /* wall clock, 0: not told */
	bool revertable;    /* the hypervisor can put it back */
};

struct cloud_result {
	enum cloud_outcome outcome;
	/* of a submitted command: the id CloudStack really gave the job; NULL: the command has no
	 * job */
	const char *job_id;
	/* create: the new volume's id; finished job: its instance; zone: its id; else NULL */
	const char *entity_id;
	enum cloud_job_status job_status; /* cloud_find_job() and cloud_job_watch() */
	/* list; finished create, attach, detach, resize jobs: the volume */
	const struct cloud_volume *volumes;
	size_t count;
	/* lists of other objects: they, count of them */
	const struct cloud_vm *vms;
	const struct cloud_zone *zones;
	const struct cloud_offering *offerings;
	const struct cloud_snapshot *snapshots;
	const struct cloud_limits *limits;
	/* data disks that a VM of a hypervisor takes: the least and the most of its versions; 0 not
	 * told */
	int64_t least_disks, most_disks;
	/* list: the objects in the answer, also those that are in neither volumes nor jobs */
	size_t rows;
	/* page: names and ids of the volumes whose ids are no UUIDs, as one text; NULL none */
	const char *left_out;
	/* ids of a page of jobs, count of them */
	const char *const *jobs;
	bool is_unknown; /* list of one id: CloudStack says that it has never had this id */
	bool too_long;   /* the answer was beyond our bound */
	bool endless;    /* of a walk: CloudStack answers, but its list does not come to an end */
	/* also set for CLOUD_OK with CLOUD_JOB_FAILED: why the job failed; the last member, since
	 * it is large (cloud_result_init) */
	struct err err;
};
/* Zeroes all but the texts of the error, which are empty. */
void cloud_result_init(struct cloud_result *result);
/* Everything the result points to is valid during the callback only. */
typedef void (*cloud_done_fn)(void *arg, const struct cloud_result *result);

#define CLOUD_GIB (UINT64_C(1) << 30)
/* CloudStack counts in whole GiB; a size is rounded up. */
static inline uint64_t cloud_gib(uint64_t bytes)
{
	return bytes / CLOUD_GIB + (bytes % CLOUD_GIB ? 1 : 0);
}

/*
 * done of every call runs once, on a later turn, unless the call is cancelled. Cancelling does not
 * undo a command that was sent.
 *
 * asked_ms is the monotonic time of the commit that precedes a change: CloudStack refuses the
 * request if it arrives later than one time-out after that.
 */
struct cloud_creation {
	const char *name;
	const char *zone_id;
	const char *offering_id;
	const char *project_id; /* NULL: a volume of the account */
	uint64_t size_gib;      /* 0 for an offering of a fixed size, which refuses a size */
};
struct cloud_call *cloud_create_volume(struct cloud *cloud, const struct cloud_creation *creation,
				       const char *job_id, int64_t asked_ms, cloud_done_fn done,
				       void *arg);
/* device_id: the slot of the VM; -1: CloudStack chooses a free one. */
struct cloud_call *cloud_attach_volume(struct cloud *cloud, const char *volume_id,
				       const char *vm_id, int64_t device_id, const char *job_id,
				       int64_t asked_ms, cloud_done_fn done, void *arg);
/* As the root disk of a VM, which must be stopped and have no root disk. */
struct cloud_call *cloud_attach_root(struct cloud *cloud, const char *volume_id, const char *vm_id,
				     const char *job_id, int64_t asked_ms, cloud_done_fn done,
				     void *arg);
struct cloud_call *cloud_detach_volume(struct cloud *cloud, const char *volume_id,
				       const char *job_id, int64_t asked_ms, cloud_done_fn done,
				       void *arg);
/*
 * size_gib is the new size. shrink_ok allows a smaller one, which cuts off the data behind it;
 * otherwise CloudStack refuses to shrink a volume.
 */
struct cloud_call *cloud_resize_volume(struct cloud *cloud, const char *volume_id,
				       uint64_t size_gib, bool shrink_ok, const char *job_id,
				       int64_t asked_ms, cloud_done_fn done, void *arg);
/* expunge: all data is gone at once, and not only after CloudStack's purge delay. */
struct cloud_call *cloud_destroy_volume(struct cloud *cloud, const char *volume_id, bool expunge,
					const char *job_id, int64_t asked_ms, cloud_done_fn done,
					void *arg);
/* Destroys and expunges without a job: the answer comes when all data is gone. */
struct cloud_call *cloud_delete_volume(struct cloud *cloud, const char *volume_id, int64_t asked_ms,
				       cloud_done_fn done, void *arg);
struct cloud_call *cloud_rename_volume(struct cloud *cloud, const char *volume_id, const char *name,
				       const char *job_id, int64_t asked_ms, cloud_done_fn done,
				       void *arg);

/* By force: CloudStack counts the VM as stopped even if its host does not answer. */
struct cloud_call *cloud_stop_vm(struct cloud *cloud, const char *vm_id, const char *job_id,
				 int64_t asked_ms, cloud_done_fn done, void *arg);
struct cloud_call *cloud_start_vm(struct cloud *cloud, const char *vm_id, const char *job_id,
				  int64_t asked_ms, cloud_done_fn done, void *arg);
/* With its root disk, for good; CloudStack says that it detaches the data disks before. */
struct cloud_call *cloud_expunge_vm(struct cloud *cloud, const char *vm_id, const char *job_id,
				    int64_t asked_ms, cloud_done_fn done, void *arg);

/* The id of the new snapshot is the entity of the result, as for a new volume. */
struct cloud_call *cloud_create_snapshot(struct cloud *cloud, const char *volume_id,
					 const char *name, const char *job_id, int64_t asked_ms,
					 cloud_done_fn done, void *arg);
/* The volume gets the data of its snapshot. */
struct cloud_call *cloud_revert_snapshot(struct cloud *cloud, const char *snapshot_id,
					 const char *job_id, int64_t asked_ms, cloud_done_fn done,
					 void *arg);
struct cloud_call *cloud_delete_snapshot(struct cloud *cloud, const char *snapshot_id,
					 const char *job_id, int64_t asked_ms, cloud_done_fn done,
					 void *arg);

struct cloud_volume_filter {
	const char *id;   /* NULL any */
	const char *name; /* exact: answers are checked again here */
	const char *vm_id;
};
/*
 * An id CloudStack never knew is CLOUD_OK with count 0, like a deleted one. Lists of one id that
 * have to wait for their turn are sent together in one request, which a caller does not notice.
 */
struct cloud_call *cloud_list_volumes(struct cloud *cloud, const struct cloud_volume_filter *filter,
				      cloud_done_fn done, void *arg);
struct cloud_snapshot_filter {
	const char *id; /* NULL any, as the next two */
	const char *volume_id;
	const char *name; /* exact */
};
/* An id that CloudStack never knew is CLOUD_OK with count 0, like a deleted one. */
struct cloud_call *cloud_list_snapshots(struct cloud *cloud,
					const struct cloud_snapshot_filter *filter,
					cloud_done_fn done, void *arg);
/* The VM with this id; an unknown or deleted one is CLOUD_OK with count 0. */
struct cloud_call *cloud_list_vm(struct cloud *cloud, const char *vm_id, cloud_done_fn done,
				 void *arg);
/* One query of a job. An id CloudStack does not know is CLOUD_REFUSED with ERR_NOT_FOUND. */
struct cloud_call *cloud_find_job(struct cloud *cloud, const char *job_id, cloud_done_fn done,
				  void *arg);
/* The id of the zone with this name, in any case of letters. A name that CloudStack does not show
 * is CLOUD_OK without an id. */
struct cloud_call *cloud_find_zone(struct cloud *cloud, const char *name, cloud_done_fn done,
				   void *arg);
/* The zone, or the disk offering, with this id; an unknown one is CLOUD_OK with count 0. */
struct cloud_call *cloud_list_zone(struct cloud *cloud, const char *zone_id, cloud_done_fn done,
				   void *arg);
struct cloud_call *cloud_list_offering(struct cloud *cloud, const char *offering_id,
				       cloud_done_fn done, void *arg);
/* How many VM snapshots the VM has: result->rows. */
struct cloud_call *cloud_list_vm_snapshots(struct cloud *cloud, const char *vm_id,
					   cloud_done_fn done, void *arg);
/* May the account use this command? result->rows is 0 if it may not, or if CloudStack does not know
 * the command. */
struct cloud_call *cloud_find_command(struct cloud *cloud, const char *name, cloud_done_fn done,
				      void *arg);
/*
 * Runs for each command that the daemon uses; the names are static. what: "attach the volume".
 * for_checks: without the command, changes can be made, but fewer of their checks.
 */
typedef void (*cloud_command_fn)(void *arg, const char *name, const char *what, bool for_checks);
void cloud_each_command(cloud_command_fn fn, void *arg);
/* The limits of an owner; NULL: of the account that the keys belong to. If the setting
 * allow.user.view.all.domain.accounts is on, CloudStack then lists all accounts of a domain. */
struct cloud_call *cloud_find_limits(struct cloud *cloud, const char *owner, cloud_done_fn done,
				     void *arg);
struct cloud_call *cloud_find_project_limits(struct cloud *cloud, const char *project_id,
					     cloud_done_fn done, void *arg);
/* How many data disks a VM takes: least_disks and most_disks. Only administrators may ask. */
struct cloud_call *cloud_find_disk_limit(struct cloud *cloud, const char *hypervisor,
					 cloud_done_fn done, void *arg);
void cloud_call_cancel(struct cloud_call *call); /* not from inside done */
/*
 * All volumes of a VM (NULL: of all VMs and of none), page by page: on_page runs for each page,
 * then done once, with CLOUD_OK if the list is whole. Pages shift while they are read, so a volume
 * may come twice, or be missed. A page that is too long or too slow for CloudStack is asked for in
 * smaller ones.
 */
struct cloud_walk *cloud_walk_volumes(struct cloud *cloud, const char *vm_id, cloud_done_fn on_page,
				      cloud_done_fn done, void *arg);
/* The same for the volumes whose names contain this part. CloudStack may count others among them,
 * such as volumes with this part in their type. */
struct cloud_walk *cloud_walk_named(struct cloud *cloud, const char *part, cloud_done_fn on_page,
				    cloud_done_fn done, void *arg);
/* The same for all VMs, zones and disk offerings that the account sees. */
struct cloud_walk *cloud_walk_vms(struct cloud *cloud, cloud_done_fn on_page, cloud_done_fn done,
				  void *arg);
struct cloud_walk *cloud_walk_zones(struct cloud *cloud, cloud_done_fn on_page, cloud_done_fn done,
				    void *arg);
struct cloud_walk *cloud_walk_offerings(struct cloud *cloud, cloud_done_fn on_page,
					cloud_done_fn done, void *arg);
/* The same for the snapshots of a volume. */
struct cloud_walk *cloud_walk_snapshots(struct cloud *cloud, const char *volume_id,
					cloud_done_fn on_page, cloud_done_fn done, void *arg);
/* The same for the jobs that have not ended and that this account has asked for: result->jobs. */
struct cloud_walk *cloud_walk_own_jobs(struct cloud *cloud, cloud_done_fn on_page,
				       cloud_done_fn done, void *arg);
void cloud_walk_cancel(struct cloud_walk *walk); /* not from inside on_page or done */
/* clock_mono_ms() of when a change that was asked for at asked_ms, by this process or by one before
 * it, can no longer reach CloudStack. */
int64_t cloud_late_until_ms(struct cloud *cloud, int64_t asked_ms);

struct cloud_watch {
	const char *job_id;
	/*
	 * A text that lasts: jobs of one kind take alike, and jobs that have succeeded tell when
	 * the first query is worth its cost. NULL: the job has been running for an unknown time,
	 * or there is a sign that it has ended.
	 */
	const char *kind;
	/* If a list of the jobs that run does not show the job, that is enough: the caller asks for
	 * the object of the job, which costs less if there are many. */
	bool list_is_enough;
	/* There is a sign that the job has ended, as for cloud_job_poke(); not with a kind. */
	bool at_once;
};
/*
 * Queries a job until it has ended, with back-off; trouble on the way (CLOUD_AWAY, CLOUD_UNKNOWN)
 * only delays the next query, by at most 30 s or poll_max_ms if that is longer. The first query
 * comes when the job is expected to end, or after poll_min_ms if the kind is not known. If many
 * jobs are watched, one list shows which of them still run, and only the others are queried. done
 * runs once: with CLOUD_OK and job_status succeeded or failed (err says why), or with
 * CLOUD_REFUSED. Then err is ERR_NOT_FOUND if CloudStack does not know the job, and another error
 * if CloudStack does not allow the query, or refuses it again and again. With list_is_enough,
 * job_status can also be pending: no list shows the job, so it has probably ended.
 */
struct cloud_job *cloud_job_watch(struct cloud *cloud, const struct cloud_watch *watch,
				  cloud_done_fn done, void *arg);
/*
 * For a caller that has a sign of the job's end: queries at once, and often again. Cheap to repeat;
 * not from inside the job's own done.
 */
void cloud_job_poke(struct cloud_job *job);
/* The state that CloudStack last told: half a sentence, to be freed. */
char *cloud_job_seen(const struct cloud_job *job);
/* stop watching; the job itself goes on; not from inside done */
void cloud_job_cancel(struct cloud_job *job);

/*
 * The meaning of an error, for cases where CloudStack's codes are too broad (431 covers half of all
 * refusals) and only the text tells it. All are false for errors that don't come from CloudStack.
 * They hold for refused commands and failed jobs alike.
 */
/* CloudStack refuses this command, and answers others; it does not ask for patience */
bool cloud_err_is_refusal(const struct err *err);
/* the volume is attached to nothing: a detach has happened */
bool cloud_err_is_not_attached(const struct err *err);
/* the volume is attached already, to this VM or another */
bool cloud_err_is_attached(const struct err *err);
/* of ERR_REASON_NO_DEVICE_SLOT: the VM would take the disk while it is stopped */
bool cloud_err_is_no_pci_slot(const struct err *err);
/* of ERR_REASON_FORBIDDEN_COMMAND: the account may destroy the volume, but not expunge it */
bool cloud_err_is_no_expunge(const struct err *err);
/* a volume in its state can be expunged, but not destroyed alone */
bool cloud_err_is_only_expunge(const struct err *err);
/* the job id is known: the command was accepted before */
bool cloud_err_is_duplicate_job(const struct err *err);
/*
 * The job ended because CloudStack lost it. Its effects are not undone, so the caller must look at
 * the volume.
 */
bool cloud_err_is_lost_job(const struct err *err);

struct cloud_health {
	/* CloudStack answers and knows our keys; a single lost answer does not count */
	bool usable;
	int64_t usable_since_ms; /* clock_waking_ms() when this last became true, 0 never */
	/* it answers, but took no change when it was last asked for one; reason has its words */
	bool in_maintenance;
	/* clock_waking_ms() until which its last refusal of a change counts, or counted; 0 none */
	int64_t maintained_until_ms;
	int64_t last_answer_ms; /* wall clock, 0 never */
	/* CloudStack's clock minus this machine's, as last measured; 0 not known */
	int64_t skew_ms;
	/* clock_mono_ms() from which CloudStack may be asked again after a 429; 0 now */
	int64_t throttled_until_ms;
	uint64_t throttled;         /* answers that were 429 */
	uint64_t calls;             /* requests sent, queries of jobs included */
	size_t in_flight;           /* on the wire and waiting */
	char reason[ERR_TEXT_SIZE]; /* "" if well; never holds a key or a URL with a key */
};
void cloud_health(const struct cloud *cloud, struct cloud_health *out);
/* Tells of each command that reads: whether it was asked so far, and the failure of the last time,
 * NULL none. */
typedef void (*cloud_read_health_fn)(void *arg, const char *command, bool was_asked,
				     const char *failure);
void cloud_each_read(const struct cloud *cloud, cloud_read_health_fn fn, void *arg);
/* Writes the figures of all requests, and of the state above, for Prometheus. */
void cloud_put_metrics(const struct cloud *cloud, struct buf *out);
/* The member in_maintenance alone, without the texts. */
bool cloud_in_maintenance(const struct cloud *cloud);
