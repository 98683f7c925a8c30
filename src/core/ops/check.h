/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * May the operation be done? Each kind has one list of checks, and every answer to that question
 * comes from the list: the first step of the operation makes those checks whose facts it has, and
 * the plan of a change (methods/plan_operation.h) finds out the facts of all.
 */

#include "cloud/cloud.h"
#include "core/host/disk_users.h"

struct operation;

/* What a check has to know. */
enum op_fact {
	FACT_VOLUME = 1 << 0,         /* the operation's volume */
	FACT_FROM = 1 << 1,           /* the VM that has the volume; known, and NULL, if none has */
	FACT_FROM_SNAPSHOTS = 1 << 2, /* VM snapshots of it */
	FACT_TO = 1 << 3,             /* the VM that is to get the volume */
	FACT_TO_SNAPSHOTS = 1 << 4,
	FACT_TO_DISKS = 1 << 5,    /* the volumes that it has */
	FACT_TO_SLOTS = 1 << 6,    /* how many data disks it takes */
	FACT_LIMITS = 1 << 7,      /* how much more the owner of the volume may have */
	FACT_COMMANDS = 1 << 8,    /* the commands that the account may use */
	FACT_OFFERING = 1 << 9,    /* of a new volume */
	FACT_ZONE = 1 << 10,       /* likewise */
	FACT_USERS = 1 << 11,      /* of the volume's disks here */
	FACT_NBD_CLIENTS = 1 << 12 /* of the volume's export */
};
#define FACT_COUNT 13

/* Texts and objects are borrowed. */
struct op_facts {
	unsigned known;                    /* of enum op_fact */
	const struct cloud_volume *volume; /* NULL: CloudStack does not list it; also for the VMs */
	const struct cloud_vm *from, *to;
	size_t from_snapshots, to_snapshots;
	const struct cloud_volume *to_root; /* NULL: none */
	size_t to_data_disks;
	int64_t least_disks,
		most_disks; /* data disks that a VM takes, by the hypervisor's version */
	const struct cloud_limits *limits;
	uint64_t forbidden; /* bit n: the account may not use the command of step n */
	bool has_zone, has_offering;
	uint64_t offering_size;            /* bytes; 0: each volume has a size of its own */
	const struct err *users, *clients; /* why they do not allow the change; ERR_NONE: they do */
};

struct op_check {
	const char *name; /* "device-slot", for clients */
	unsigned needs;   /* of enum op_fact */
	/* -1: the operation would be refused, and err says why. The facts that it needs are known.
	 */
	int (*judge)(const struct operation *operation, const struct op_facts *facts,
		     struct err *err);
};

/* What an operation asks for, as far as checks of several kinds need it. */
struct op_wish {
	const char *to_vm_id;              /* the VM that gets the volume, or NULL */
	const char *zone_id, *offering_id; /* of a new volume, or NULL */
	const char *project_id;            /* of a new volume; NULL: the account's own */
	uint64_t gib;                      /* the volume's size afterwards; 0: the same */
	bool creates;                      /* a new volume */
};

struct op_checks {
	const struct op_check *const *list; /* ended by NULL; the order of the answers */
	void (*wish)(const struct operation *operation, struct op_wish *out); /* NULL: nothing */
	/* Notes in the operation's context what the facts so far mean for it, as its first step
	 * does: which steps apply. The hook may be NULL. */
	void (*foresee)(struct operation *operation, const struct op_facts *facts);
	/* Judges the users of the volume's disks, with the operation as arg; NULL: they do not
	 * matter. The hook may be NULL as well. */
	disk_users_judge_fn (*users)(const struct operation *operation);
	/* The volume must have no NBD clients; NULL: it may have some. */
	bool (*needs_no_clients)(const struct operation *operation);
};

/* All checks of the operation's kind whose facts are known, in their order, until one refuses: -1,
 * with its error. */
int op_check(const struct operation *operation, const struct op_facts *facts, struct err *err);
/* The facts that the checks of its kind need. */
unsigned op_check_needs(const struct operation *operation);

/* The volume as a first step needs it: CloudStack has answered, no check refuses, and CloudStack
 * works on nothing of the volume. NULL: the step has ended. */
const struct cloud_volume *op_check_volume_or_end(struct operation *operation,
						  const struct cloud_result *result);

/* CloudStack shows the volume, and works on nothing of it; else its state says little. */
bool op_volume_is_settled(const struct op_facts *facts);

/* ---- checks that several kinds have in common ---- */

extern const struct op_check check_volume_exists, check_volume_kept, check_own_root,
	check_protection, check_zone, check_offering, check_new_zone, check_vm_exists,
	check_vm_state, check_owner, check_from_snapshots, check_to_snapshots, check_device_slot,
	check_root_state, check_quota, check_rights, check_disk_users, check_clients;
