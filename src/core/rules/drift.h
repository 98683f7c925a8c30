/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Do store, CloudStack and kernel agree about a volume? A pure function: what each of the three
 * says gives the kind of disagreement, the repair, and words for people. The first that applies:
 *
 * kind               CloudStack says       we have noted        the kernel shows   repair
 * (none)             a job is under way on it, or it is a root disk: nothing is judged
 * deleted-outside    no such volume        a mapping            no disk            the mapping is
 * dropped device-unexpected  detached or deleted                        its disk           noted; a
 * person must look detached-outside   detached              a mapping            no disk the
 * mapping is dropped attached-outside   attached here         nothing, or that it  its disk the
 * volume is mapped was detached device-missing     attached here                              no
 * disk            none; a person must look moved              attached elsewhere,   a mapping to
 * another no disk            the mapping follows or in another slot    VM or slot device-renamed
 * attached here         another device       its disk           the mapping follows size-changed
 * another size          or another size      or another size    the mapping follows the kernel
 *
 * Attachments to other VMs that we never had a part in are nobody's drift. What an operation left
 * behind is judged by drift_judge_left_over(): a volume made or attached for nothing is taken back
 * by an ordinary operation, unless it may hold data; then only a person may decide.
 */

#include "cloud/cloud.h"
#include "disk/device.h"
#include "spec/records.h"

enum drift_repair {
	REPAIR_NONE,   /* nothing the daemon may do */
	REPAIR_MAP,    /* the mapping is made, or made to agree */
	REPAIR_UNMAP,  /* the mapping is dropped */
	REPAIR_NOTE,   /* the mapping stays, and says that CloudStack knows no attachment */
	REPAIR_DETACH, /* an operation detaches the volume */
	REPAIR_DELETE, /* an operation deletes the volume */
};

struct drift_facts {
	const char *volume_id;
	const char *appliance_id;             /* NULL: unknown, then nothing is here */
	const struct cloud_volume *cloud;     /* NULL: CloudStack has no such volume */
	const struct mapping_record *mapping; /* NULL: none */
	const struct device *device;          /* its disk on this VM, NULL: none */
	/* ended, may have left the volume behind; NULL: none */
	const struct operation_record *origin;
};

struct drift {
	enum drift_kind kind; /* DRIFT_NONE: they agree, and nothing else is set */
	enum drift_repair repair;
	char found[320];
	char action[200];
};

void drift_judge(const struct drift_facts *facts, struct drift *out);
/* By origin alone; DRIFT_NONE: nothing of it is left. */
void drift_judge_left_over(const struct drift_facts *facts, struct drift *out);
