/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*-
 * Do store, CloudStack and kernel agree about a volume? A pure function: from the three answers it
 * makes the kind of disagreement, the repair, and words for people. The first line that applies:
 *
 * kind               CloudStack says      our mapping           kernel shows     repair
 * (none)             a job is under way on the volume, or it is a root disk: no judgement
 * deleted-outside    no such volume       exists                no disk          mapping is dropped
 * device-unexpected  detached or deleted  none, or of this VM   its disk         noted; see below
 * detached-outside   detached             exists                no disk, or any  mapping is dropped
 * attached-outside   attached here        none, or notes that   its disk         volume is mapped
 *                                         it was detached
 * device-missing     attached here                              no disk          none; see below
 * moved              attached elsewhere,  another VM or slot    no disk          mapping follows
 *                    or in another slot
 * device-renamed     attached here        another device        its disk         mapping follows
 * size-changed       another size         or another size       or another size  mapping follows
 *
 * "See below": a person must look at the volume. But if a volume that the daemon has mapped here
 * is attached to nothing, and its disk proves that it is the volume, an ordinary operation attaches
 * it where its disk is: CloudStack then agrees with the hypervisor, and can detach it. An
 * attachment to another VM is no drift if the daemon never had a part in the attachment.
 * drift_judge_left_over() judges the remains of an operation: an ordinary operation detaches a
 * volume that was attached for nothing, or deletes a volume that was made for nothing. If the
 * volume to delete may hold data, or if CloudStack has lost the volume, only a person may decide.
 * drift_judge_name() finds a volume that still has the name under which it was created; it works as
 * well under that name, so only a person renames it.
 */

#include "cloud/cloud.h"
#include "disk/device.h"
#include "spec/records.h"

enum drift_repair {
	REPAIR_NONE,  /* no repair that the daemon may make */
	REPAIR_MAP,   /* the mapping is made, or made to agree */
	REPAIR_UNMAP, /* the mapping is dropped */
	REPAIR_NOTE,  /* the mapping stays, and says that CloudStack knows no attachment */
	/* an operation attaches the volume where its disk is, unless something uses the disk */
	REPAIR_ATTACH,
	REPAIR_DETACH, /* an operation detaches the volume */
	REPAIR_DELETE, /* an operation deletes the volume */
};

struct drift_facts {
	const char *volume_id;
	const char *appliance_id;             /* NULL: unknown; no VM counts as this one */
	const struct cloud_volume *cloud;     /* NULL: CloudStack has no such volume */
	const struct mapping_record *mapping; /* NULL: none */
	const struct device *device;          /* the volume's disk on this VM, NULL: none */
	/* an ended operation that may have left the volume behind; NULL: none */
	const struct operation_record *origin;
	/* origin's job was lost, and the volume with it; nothing has proven the volume deleted */
	bool is_lost;
};

struct drift {
	enum drift_kind kind; /* DRIFT_NONE: the three agree, and no other member is set */
	enum drift_repair repair;
	char found[ERR_TEXT_SIZE];
	const char *action;
};

void drift_judge(const struct drift_facts *facts, struct drift *out);
/* Judges by origin alone; DRIFT_NONE: nothing of the operation is left. */
void drift_judge_left_over(const struct drift_facts *facts, struct drift *out);
/* origin is the operation whose id the volume's name contains. */
void drift_judge_name(const struct drift_facts *facts, struct drift *out);
