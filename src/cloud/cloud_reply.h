/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Turns an HTTP answer into a cloud_result: pure, so that a test can try every shape of answer that
 * CloudStack is known for.
 */

#include "base/buf.h"
#include "cloud/cloud.h"
#include "io/http_client.h"

/* bytes of one answer; a full page of volumes is about 1 MiB */
#define CLOUD_REPLY_MAX ((size_t)8 << 20)

enum cloud_reply_kind {
	CLOUD_REPLY_ANY,    /* any success will do */
	CLOUD_REPLY_JOB_ID, /* an asynchronous command: a job id */
	CLOUD_REPLY_VOLUMES,
	CLOUD_REPLY_VMS,
	CLOUD_REPLY_JOB,
	CLOUD_REPLY_JOBS,
	CLOUD_REPLY_ZONE, /* the zone of this name */
	CLOUD_REPLY_ZONES,
	CLOUD_REPLY_OFFERINGS,
	CLOUD_REPLY_SNAPSHOTS,
	CLOUD_REPLY_VM_SNAPSHOTS, /* their number */
	CLOUD_REPLY_COMMANDS,     /* their number */
	CLOUD_REPLY_ACCOUNTS,     /* their limits */
	CLOUD_REPLY_PROJECTS,     /* likewise */
	CLOUD_REPLY_HYPERVISORS   /* the disks that they take */
};

/* The question, as far as the meaning of the answer depends on it. */
struct cloud_question {
	const char *what; /* "attach the volume": follows "refused to" and "asked to" */
	enum cloud_reply_kind kind;
	bool change;  /* may have an effect */
	bool creates; /* CloudStack makes the object before it accepts the job */
	/* CLOUD_REPLY_VOLUMES, CLOUD_REPLY_SNAPSHOTS: only those with exactly this name; NULL all.
	 * CLOUD_REPLY_ZONE: the
	 * name of the zone. */
	const char *name;
	/* a page of many, which one strange row must not spoil */
	bool is_page;
};

struct cloud_reply {
	bool answered;   /* CloudStack itself wrote the answer */
	int64_t wait_ms; /* send nothing before this has passed; 0 = no wait */
	char *job_id;
	char *entity_id;
	struct cloud_volume *volumes;
	struct cloud_vm *vms;
	struct cloud_zone *zones;
	struct cloud_offering *offerings;
	struct cloud_snapshot *snapshots;
	struct cloud_limits *limits;
	char **jobs;
	struct buf left_out;
	size_t count;               /* of the rows in one of these */
	struct cloud_result result; /* points into the members above */
};

/* Fills an uninitialised reply from any response; the caller clears it afterwards. */
void cloud_reply_read(struct cloud_reply *reply, const struct cloud_question *question,
		      const struct http_response *response);
void cloud_reply_clear(struct cloud_reply *reply);
