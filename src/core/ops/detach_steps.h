/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The steps that detach a volume, shared by the operations that do: detach, and delete of an attached volume. Their
 * context starts with a struct detaching.
 */

#include "core/ops/cloud_step.h"

struct detaching {
	char *job_id;
	bool force;        /* also a device that is held */
	bool keep_name;    /* the name and its users wait for the volume to come back; others do not */
	bool if_attached;  /* not attached is no error: there is nothing to detach */
	bool attached;     /* found by the check */
	char *vm_id;       /* from which VM */
	char *device_path; /* the disk it was, for the response */
	char *users;       /* who has come while nobody ran that could look; NULL or empty: nobody */
	/* not stored */
	uint64_t checked;                             /* device->seen of the disk whose users were looked for last */
	bool is_guessed;                              /* that disk may be another's */
	bool looked;                                  /* this process has, and nobody is in the way */
	void (*on_free)(struct operation *operation); /* what comes after the look */
	void (*on_used)(struct operation *operation, const struct err *err);
	uint64_t flushed; /* the same of the disk that was flushed last */
	bool upper;       /* what stands on it was, rather than the disk itself */
	struct cloud_change change;
};

/* Rows of the field table of a context whose first member is `struct detaching detaching`. */
#define DETACHING_FIELD(CONTEXT, MEMBER, TYPE, DOC)                                                                    \
	{                                                                                                              \
		.name = #MEMBER, .type = FIELD_##TYPE,                                                                 \
		.offset = offsetof(struct CONTEXT, detaching) + offsetof(struct detaching, MEMBER),                    \
		.size = FIELD_SIZE_OF(detaching, MEMBER, TYPE), .doc = DOC                                             \
	}
#define DETACHING_FIELDS(CONTEXT)                                                                                      \
	DETACHING_FIELD(CONTEXT, job_id, UUID, "Job of the detachment."),                                              \
		DETACHING_FIELD(CONTEXT, force, BOOL, "Detach although it is held."),                                  \
		DETACHING_FIELD(CONTEXT, keep_name, BOOL, "The name and its users wait for it to come back."),         \
		DETACHING_FIELD(CONTEXT, if_attached, BOOL, "Not attached is no error."),                              \
		DETACHING_FIELD(CONTEXT, attached, BOOL, "It was attached when the turn came."),                       \
		DETACHING_FIELD(CONTEXT, users, TEXT, "Who has come to use it since the look at its users."),          \
		DETACHING_FIELD(CONTEXT, vm_id, UUID, "The virtual machine it is detached from."),                     \
		DETACHING_FIELD(CONTEXT, device_path, TEXT, "The device it was.")

/* Is it attached, and does anybody use it? Nothing has been changed when this fails. */
void detaching_check(struct operation *operation);
/* Nobody else uses it from here on; taken back when CloudStack refuses. */
void detaching_close_export(struct operation *operation);
void detaching_reopen_export(struct operation *operation);
/* What the kernel still suspended of it is written to it. By force what cannot be is given up. */
void detaching_flush(struct operation *operation);
void detaching_take_name(struct operation *operation);
void detaching_return_name(struct operation *operation);
/* After a restart whoever has come meanwhile is looked for once more. */
void detaching_ask_cloud(struct operation *operation);
void detaching_await_job(struct operation *operation);
/* The kernel lets go of the device; the mapping is dropped with the commit that follows. */
void detaching_await_gone(struct operation *operation);

char *detaching_left_over(const struct operation *operation); /* of an operation_kind */

#define DETACHING_STEPS                                                                                                \
	{ .name = "check", .run = detaching_check, .deadline = STEP_CLOUD },                                           \
		{ .name = "close-export",                                                                              \
		  .run = detaching_close_export,                                                                       \
		  .undo = detaching_reopen_export,                                                                     \
		  .deadline = STEP_DEVICE },                                                                           \
		{ .name = "flush", .run = detaching_flush, .deadline = STEP_DEVICE },                                  \
		{ .name = "take-name",                                                                                 \
		  .run = detaching_take_name,                                                                          \
		  .undo = detaching_return_name,                                                                       \
		  .deadline = STEP_DEVICE },                                                                           \
		{ .name = "ask-cloud", .run = detaching_ask_cloud, .deadline = STEP_CLOUD, .no_return = true },        \
		{ .name = "await-job", .run = detaching_await_job, .deadline = STEP_CLOUD },                           \
	{                                                                                                              \
		.name = "await-gone", .run = detaching_await_gone, .deadline = STEP_DEVICE                             \
	}
