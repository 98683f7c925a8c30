/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What fake_server.c and fake_cloud.c share: jobs and requests. */

#include "fake_cloud.h"

enum fake_job_state { JOB_WAITING, JOB_RUNNING, JOB_SUCCEEDED, JOB_FAILED };

struct fake_job {
	TAILQ_ENTRY(fake_job) entry;
	struct fake_server *server;
	char id[37], vm_id[37], name[256]; /* vm_id: whose queue it stands in, "" none */
	enum fake_command command;
	struct fake_volume *volume;
	struct fake_snapshot *snapshot;
	uint64_t size;     /* of a resize */
	int64_t device_id; /* of an attachment, -1: any */
	bool shrink_ok;
	bool expunge;
	bool as_root;
	enum fake_job_state state;
	int code; /* not 0: it fails, or has failed */
	const char *text;
	struct fake_fault fault;
	struct loop_timer timer;
};

/* A request on its way: it arrives whether or not somebody still waits for the answer. */
typedef void (*fake_tell_fn)(const struct fake_facts *facts, const char *name,
			     struct cloud_result *result);

struct fake_request {
	TAILQ_ENTRY(fake_request) entry;
	struct fake_server *server;
	struct cloud_call *call; /* NULL: nobody waits any more */
	enum fake_command command;
	struct fake_fault fault;     /* on the way */
	struct fake_fault job_fault; /* of the job it becomes */
	struct loop_timer arrive, answer;
	fake_tell_fn tell; /* FAKE_TELL */
	char *volume_id, *vm_id, *name, *job_id, *project_id, *snapshot_id;
	uint64_t size_gib;
	int64_t device_id; /* of an attachment, -1: any */
	bool shrink_ok;
	bool expunge;
	bool as_root;
	int64_t expires_ms; /* clock_mono_ms(): refused when it arrives later */
	/* the answer */
	int code; /* refused */
	char text[256];
	char entity_id[37];
};

bool server_vm_runs(const struct fake_server *server, const char *vm_id);
void request_free(struct fake_request *request);
void server_receive(struct fake_server *server, struct fake_request *request);
struct fake_job *server_job(const struct fake_server *server, const char *id);
const char *server_pending_job(const struct fake_server *server, const struct fake_volume *volume);
