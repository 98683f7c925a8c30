/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A CloudStack in memory, behind the very functions of cloud/cloud.h.
 *
 * The server (struct fake_server) outlives the daemon's client (struct cloud): volumes, jobs and
 * requests that are on their way go on when a core has "crashed". It keeps CloudStack's rules: one
 * job at a time per virtual machine, a job id is accepted once, but a create inserts its row before
 * it looks at the job id. Faults are scripted by the call. Attached to the appliance, a volume
 * becomes a disk of the fake kernel, sooner or later or never.
 */

#include "cloud/cloud.h"
#include "fake_kernel.h"

#define APPLIANCE "aaaaaaaa-0000-4000-8000-00000000000a"
#define OTHER_VM "bbbbbbbb-0000-4000-8000-00000000000b"
#define ZONE "cccccccc-0000-4000-8000-00000000000c"
#define GIB (UINT64_C(1) << 30)

enum fake_command {
	FAKE_CREATE,
	FAKE_ATTACH,
	FAKE_DETACH,
	FAKE_RESIZE,
	FAKE_DESTROY,
	FAKE_RENAME,
	FAKE_STOP_VM,
	FAKE_START_VM,
	FAKE_EXPUNGE_VM,
	FAKE_SNAPSHOT,
	FAKE_REVERT,
	FAKE_DELETE_SNAPSHOT,
	FAKE_DELETE, /* deleteVolume, which has no job */
	FAKE_LIST,
	FAKE_LIST_VM,
	FAKE_FIND_JOB,
	FAKE_FIND_ZONE,
	FAKE_LIST_SNAPSHOTS,
	FAKE_TELL, /* the facts of struct fake_facts */
	FAKE_ANY,  /* and their number */
};

enum fault_kind {
	FAULT_NONE,
	FAULT_AWAY,        /* it did not happen, and that is known */
	FAULT_LOST_BEFORE, /* nobody knows; it did not happen */
	FAULT_LOST_AFTER,  /* nobody knows; it did */
	FAULT_LATE,        /* nobody knows; it will happen in late_ms */
	FAULT_REFUSED,
	FAULT_JOB_FAILED,
	FAULT_JOB_LOST,         /* the job vanishes without effect */
	FAULT_JOB_LOST_AFTER,   /* the job vanishes after its effect */
	FAULT_JOB_STUCK,        /* never ends */
	FAULT_JOB_FAILED_AFTER, /* the job fails after its effect */
	FAULT_JOB_IDLE,         /* the job succeeds without effect */
	FAULT_KIND_COUNT
};

/* What only plans ask for. */
struct fake_facts {
	size_t vm_snapshots;               /* of each VM */
	const char *forbidden;             /* a command that the account may not use */
	const struct cloud_limits *limits; /* of every owner; NULL: not told */
	int64_t data_disks;                /* that a VM takes; 0: not told */
};

struct fake_fault {
	enum fake_command command;
	unsigned nth, times; /* times 0: once */
	enum fault_kind kind;
	int code;         /* 0: 530 */
	const char *text; /* NULL: some text */
};

enum serial_kind { SERIAL_OWN, SERIAL_NONE, SERIAL_FOREIGN };

struct fake_server;

struct fake_volume {
	TAILQ_ENTRY(fake_volume) entry;
	struct fake_server *server;
	char id[37], name[256], vm_id[37]; /* vm_id "" when detached */
	char project_id[37];               /* as its creation named it, "" none */
	uint64_t size;
	int64_t device_id;
	bool gone, used; /* used: was attached once, and so has storage */
	bool in_bin;     /* destroyed, but not expunged */
	bool is_protected;
	bool snapshotting; /* by another client: its state says so, and no job is shown */
	bool is_root;      /* CloudStack calls it the root volume of its VM */
	bool unlisted;     /* only a list of its id shows it */
	bool hidden;       /* no list shows it */
	char disk[16];     /* the kernel's name at the moment it was plugged, "" when it is not */
	struct loop_timer plug, unplug, resize;
	uint64_t next_size; /* for resize */
	/* how its disk will look */
	enum serial_kind serial;
	int64_t size_error;
	int64_t plug_ms, unplug_ms, resize_ms; /* after the job began; -1 never */
};

struct fake_snapshot {
	TAILQ_ENTRY(fake_snapshot) entry;
	char id[37], name[256], volume_id[37];
	const char *state; /* "Allocated", "BackedUp", "Error" */
	uint64_t size;
	bool gone;
};

struct fake_server {
	struct loop *loop;
	struct fake_kernel *kernel;
	TAILQ_HEAD(fake_volumes, fake_volume) volumes;
	TAILQ_HEAD(fake_snapshots, fake_snapshot) snapshots;
	TAILQ_HEAD(, fake_job) jobs;
	TAILQ_HEAD(, fake_request) requests;
	unsigned volumes_made, snapshots_made;
	struct fake_facts facts;
	unsigned reverts;             /* that had their effect */
	unsigned calls[FAKE_ANY + 1]; /* received by the client functions */
	struct fake_fault faults[8];
	size_t fault_count;
	bool no_query; /* the account may not ask for the end of a job */
	int no_looks;  /* the code with which the looks of the store guard are refused; 0: none */
	bool down;     /* every call is away, no look at a job is answered */
	int64_t trip_ms, job_ms, late_ms;
	bool other_runs;      /* OTHER_VM is not stopped */
	bool other_gone;      /* OTHER_VM is expunged */
	const char *no_list;  /* why whole lists fail while all else is answered; NULL: they work */
	const char *left_out; /* what a whole list shows that cannot be understood */
	int64_t list_ms;      /* so much longer a whole list takes */
	unsigned whole_lists; /* of volumes, asked for so far */
	unsigned other_lists; /* of VMs, zones and offerings, asked for so far */
	unsigned crossed;     /* jobs that came while an earlier one of the same VM had not ended */
	bool is_4_18;         /* its words for a job id that was used before */
	bool maintained;      /* it refuses every change, as it is about to stop */
	bool no_rename;       /* as before 4.16: a renaming succeeds and changes nothing */
	const char *zone;     /* the name of its zone, whose id is ZONE */
	bool no_expunge;      /* the account may destroy volumes, but not expunge them */
	int64_t request_ms;   /* after which a change that was asked for is refused */
	/* a volume's first attachment gives it a storage of so many bytes or a multiple; 0: of its
	 * size */
	uint64_t storage_unit;
	/* for volumes made from now on */
	enum serial_kind serial;
	int64_t plug_ms, unplug_ms, resize_ms;
};

void server_init(struct fake_server *server, struct loop *loop, struct fake_kernel *kernel);
void server_fini(struct fake_server *server);
struct cloud *server_connect(struct fake_server *server);
void server_fault(struct fake_server *server, struct fake_fault fault);

struct fake_volume *server_add(struct fake_server *server, const char *name, uint64_t gib);
struct fake_volume *server_find(struct fake_server *server, const char *id);
/* As somebody else would do it: at once, without a job. */
void server_attach(struct fake_server *server, struct fake_volume *volume, const char *vm_id);
void server_detach(struct fake_server *server, struct fake_volume *volume);
void server_resize(struct fake_server *server, struct fake_volume *volume, uint64_t size);
/* The size that the volume has, or gets with its storage. */
uint64_t server_stored_size(const struct fake_volume *volume);
struct fake_snapshot *server_add_snapshot(struct fake_server *server, const char *volume_id,
					  const char *name);
struct fake_snapshot *server_find_snapshot(const struct fake_server *server, const char *id);
size_t server_snapshots(const struct fake_server *server);
/* What exists. */
size_t server_count(const struct fake_server *server);
/* Jobs and requests that have not ended. */
size_t server_busy(const struct fake_server *server);
/* Jobs that were accepted for this command. */
unsigned server_jobs(const struct fake_server *server, enum fake_command command);
void server_release_stuck(struct fake_server *server); /* they end well */
void volume_serial(const struct fake_volume *volume, char serial[21]);
