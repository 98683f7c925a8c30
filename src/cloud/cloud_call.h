/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A call is a command for CloudStack: a row of the command table and a few parameters. Private to
 * cloud/.
 */

#include "cloud/cloud.h"
#include "cloud/cloud_reply.h"
#include "cloud/cloud_sign.h"

struct cloud_queue;
struct cloud_reading;

enum cloud_command_id {
	CLOUD_COMMAND_CREATE_VOLUME,
	CLOUD_COMMAND_ATTACH_VOLUME,
	CLOUD_COMMAND_DETACH_VOLUME,
	CLOUD_COMMAND_RESIZE_VOLUME,
	CLOUD_COMMAND_DESTROY_VOLUME,
	CLOUD_COMMAND_DELETE_VOLUME,
	CLOUD_COMMAND_UPDATE_VOLUME,
	CLOUD_COMMAND_STOP_VM,
	CLOUD_COMMAND_START_VM,
	CLOUD_COMMAND_DESTROY_VM,
	CLOUD_COMMAND_CREATE_SNAPSHOT,
	CLOUD_COMMAND_REVERT_SNAPSHOT,
	CLOUD_COMMAND_DELETE_SNAPSHOT,
	CLOUD_COMMAND_LIST_VOLUMES,
	CLOUD_COMMAND_LIST_VMS,
	CLOUD_COMMAND_QUERY_JOB,
	CLOUD_COMMAND_LIST_JOBS,
	CLOUD_COMMAND_FIND_ZONE,
	CLOUD_COMMAND_LIST_ZONES,
	CLOUD_COMMAND_LIST_OFFERINGS,
	CLOUD_COMMAND_LIST_SNAPSHOTS,
	CLOUD_COMMAND_LIST_CAPABILITIES,
	CLOUD_COMMAND_LIST_VM_SNAPSHOTS,
	CLOUD_COMMAND_LIST_APIS,
	CLOUD_COMMAND_LIST_ACCOUNTS,
	CLOUD_COMMAND_LIST_PROJECTS,
	CLOUD_COMMAND_LIST_HYPERVISORS,
	CLOUD_COMMAND_COUNT
};

struct cloud_command {
	const char *name; /* in this case: CloudStack knows no listvolumes */
	const char *what; /* see struct cloud_question */
	enum cloud_reply_kind reply;
	bool change;
	bool optional;   /* a role may lack this command: its refusal says nothing about our keys */
	bool creates;    /* see struct cloud_question */
	bool for_checks; /* see cloud_command_fn */
};

struct cloud_call_list {
	TAILQ_HEAD(cloud_calls, cloud_call) calls;
	size_t count;
};

#define CLOUD_PARAMS_MAX 8 /* of one command */

/* Reads that only show whether CloudStack accepts their signature (cloud_probe.h). */
enum cloud_probe_kind {
	CLOUD_PROBE_NONE,
	CLOUD_PROBE_EXPIRING, /* expires_s is set before */
	CLOUD_PROBE_PLAIN     /* signed so that it never expires */
};

struct cloud_call {
	TAILQ_ENTRY(cloud_call) entry;
	/* the call waits, is on the wire, or travels in a carrier; NULL while done runs */
	struct cloud_call_list *list;
	struct cloud_queue *queue;
	const struct cloud_command *command;
	struct cloud_param params[CLOUD_PARAMS_MAX]; /* names are literals, values ours */
	size_t param_count;
	char *name;                    /* see struct cloud_question */
	struct http_call *http;        /* while on the wire */
	struct cloud_reading *reading; /* while the answer is read by the thread */
	int64_t asked_ms;              /* monotonic; a change expires one time-out later */
	int64_t sent_ms;               /* monotonic */
	int64_t expires_s; /* by CloudStack's clock, since 1970; 0 before it is signed */
	enum cloud_probe_kind probe;
	bool is_page; /* one page of many */
	/* The answer may be too long or come too late while CloudStack answers all else. */
	bool is_bulk;
	bool asks;   /* whether CloudStack's maintenance is over (cloud_maintenance.h) */
	bool denied; /* answered with 401 before, and neither clock nor keys were the cause */
	cloud_done_fn done;
	void *arg;

	/* set if the call lists this one id and can travel with others; borrowed from params */
	const char *lookup;
	bool alone;                     /* must not travel with others again */
	struct cloud_call *carrier;     /* the call this one travels in */
	struct cloud_call_list members; /* the calls that travel in this one */
};

/* done is NULL for a carrier, whose members get the answer. */
const struct cloud_command *cloud_command_at(enum cloud_command_id id);
enum cloud_command_id cloud_call_command(const struct cloud_call *call);
struct cloud_call *cloud_call_new(struct cloud_queue *queue, enum cloud_command_id id,
				  cloud_done_fn done, void *arg);
void cloud_call_free(struct cloud_call *call); /* the call stands in no list and has no members */
/* name is a literal; NULL values are left out. */
void cloud_call_add(struct cloud_call *call, const char *name, const char *value);
void cloud_call_add_int(struct cloud_call *call, const char *name, int64_t value);

void cloud_call_list_init(struct cloud_call_list *list);
/* The call stood in no list. */
void cloud_call_put_first(struct cloud_call *call, struct cloud_call_list *list);
void cloud_call_put_last(struct cloud_call *call, struct cloud_call_list *list);
void cloud_call_unlink(struct cloud_call *call);
