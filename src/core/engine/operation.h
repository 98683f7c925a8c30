/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The operation engine.
 *
 * An operation is a table of steps and a context. The engine alone moves it: it commits the step number and the
 * context, then runs the step, and the step ends in exactly one verb - next, fail, again or wait. Every step is written
 * to be run twice, because after a crash the engine simply runs the stored step again. When a step fails, is cancelled
 * or overdue (the same path), the steps are taken back from there, the failed one included, by their undo functions
 * and the same verbs.
 *
 * Operations on one volume queue first-in first-out; the others run side by side. There is one exit, which commits,
 * frees the queue and tells everybody once.
 */

#include <sys/queue.h>

#include "base/hash.h"
#include "core/core.h"
#include "spec/methods.h"
#include "store/store.h"

struct device;
struct operation;

/* How long a step may take, counted from its first run in this process; the figures are configuration. */
enum step_deadline {
	STEP_CLOUD,  /* answers of CloudStack; stands still while CloudStack cannot be reached */
	STEP_DEVICE, /* the kernel */
};

struct step {
	const char *name;
	void (*run)(struct operation *operation);
	void (*undo)(struct operation *operation); /* NULL: nothing to take back */
	enum step_deadline deadline;
	bool no_return; /* once entered, no cancel; what it did itself stays, the steps before it are taken back */
};

struct operation_kind {
	enum operation_type type;
	const struct record *context;
	const struct step *steps;
	size_t step_count;
	/* The response object's members, once the last step is through. */
	void (*respond)(struct operation *operation, struct json_writer *writer);
	/* What may be where when it could not be taken back or ended in silence, as half a sentence; to be freed. */
	char *(*left_over)(const struct operation *operation);
};

extern const struct operation_kind *const operation_kinds[OPERATION_TYPE_COUNT];

enum operation_phase {
	PHASE_QUEUED,     /* waits for its volume */
	PHASE_COMMITTING, /* waits for the store */
	PHASE_READY,      /* the step runs on the next turn */
	PHASE_RUNNING,    /* inside the step function */
	PHASE_WAITING,    /* for a callback */
	PHASE_SLEEPING,   /* runs again later, or when woken */
	PHASE_ENDED
};

/* How the engine speaks to one kind of thing that operations wait for. */
struct wait_kind {
	void (*cancel)(void *awaited); /* its callback will not run */
	/*
	 * One of the volume's devices came, went or changed; NULL: no matter. May end the wait: it cancels what is
	 * awaited and says a verb.
	 */
	void (*poke)(struct operation *operation);
};

struct volume_queue;

typedef void (*operation_accepted_fn)(void *arg, struct operation *operation, const struct err *err);

struct operation {
	struct operation_record record;
	const struct operation_kind *kind;
	struct core *core;
	void *context;
	size_t step;
	enum operation_phase phase;
	unsigned runs; /* of this step in this process */
	bool resumed;  /* this step may have run before this process */
	bool job_lost; /* this step's, and that was told */
	/* Thousands may be unfinished and hardly any of them has one of these, so they are not part of it. */
	struct err *failure;       /* the first error */
	struct err *interruption;  /* cancel or time-out that arrived while it could not be handled */
	char *reason;              /* why it last asked to run again */
	enum err_code reason_code; /* overdue, it fails with this one; ERR_NONE with a time-out */
	bool accepting;            /* its first commit: the asker has not been told yet */
	operation_accepted_fn accepted;
	void *accepted_arg;
	struct loop_task turn;
	struct loop_timer sleep;
	struct loop_timer deadline;
	/* the wait slot: whose callback will go on, NULL when nothing is awaited */
	void *awaited;
	const struct wait_kind *wait_kind;
	/* as it will be once its last commit is durable, NULL before: until then nobody sees it ended */
	struct operation_record *ended;
	/* staged for the next commit, applied to the model after it */
	struct mapping_record *stage_map;
	struct export_record *stage_export;
	bool stage_unmap, stage_unexport, stage_unname;

	struct volume_queue *queue;
	TAILQ_ENTRY(operation) queue_entry;
	TAILQ_ENTRY(operation) age_entry;
	UT_hash_handle hh;
	UT_hash_handle request_hh; /* in core->requests, if has_request */
	bool has_request;
};

/* ---- verbs: for steps and for the callbacks they wait for ---- */

void operation_next(struct operation *operation);
void operation_fail(struct operation *operation, const struct err *err);
void operation_failf(struct operation *operation, enum err_code code, const char *format, ...) _printf_(3, 4);
/* Run this step again after delay_ms or when woken; the text says what it waits for and is shown when it is overdue. */
void operation_again(struct operation *operation, int64_t delay_ms, const char *format, ...) _printf_(3, 4);
/*
 * A callback will come, once and on a later turn, and say one of these verbs; it is cancelled if the operation is
 * interrupted before. Whoever has something to wait for brings its kind, which outlives the operation.
 */
void operation_wait(struct operation *operation, void *awaited, const struct wait_kind *kind);

/* ---- for steps ---- */

/* True when this step may have had its effect before: look before doing it again. */
static inline bool operation_is_rerun(const struct operation *operation)
{
	return operation->resumed || operation->runs > 1;
}
/* The operation has learned which volume it is about; it holds that volume's queue from now on. */
void operation_set_volume(struct operation *operation, const char *volume_id);
/* With the next commit: the volume is this device (takes the record's texts), or is no device any more. */
void operation_stage_mapping(struct operation *operation, struct mapping_record *mapping);
void operation_stage_unmap(struct operation *operation);
/* After those: it is served like this (takes the texts), or not any more; its name is given up. */
void operation_stage_export(struct operation *operation, struct export_record *record);
void operation_stage_unexport(struct operation *operation);
void operation_stage_unname(struct operation *operation);

/* ---- for the rest of core ---- */

/* What a new operation is begun with. */
struct operation_order {
	enum operation_type type;
	const char *volume_id; /* NULL when it is not known yet */
	const char *vm_id;
	const char *request_id; /* NULL when the asker gave none */
	char *request;          /* JSON kept with it; taken over */
	void *context;          /* heap struct of the kind; taken over */
};

/* accepted runs once, on a later turn, when it is durable or was refused by the store (then operation is NULL). */
struct operation *operation_start(struct core *core, const struct operation_order *order,
				  operation_accepted_fn accepted, void *arg);
/* The one in memory that was asked for under this key. */
struct operation *operation_find_request(struct core *core, const char *request_id);
/* The asker has left before it was told: accepted will not run. */
void operation_forget_asker(struct operation *operation);
/* Puts a stored, unfinished operation back to work. */
void operation_resume(struct core *core, const struct operation_record *record);
struct operation *operation_find(struct core *core, const char *id);
/* Nothing is left of what this ended operation could not take back: it needs no attention any more. */
void operation_settle(struct core *core, const struct operation_record *record);
/* ERR_CONFLICT when it has ended or can only go forward. */
int operation_cancel(struct operation *operation, struct err *err);
/* A device came, went or changed: steps that wait for the kernel look again, and so do jobs it may belong to. */
void operation_on_device(struct core *core, const struct device *device);
/* CloudStack is back: steps that wait for it try at once. */
void operation_on_cloud_back(struct core *core);
/* True while an operation on the volume is under way or queued. */
bool operation_busy(struct core *core, const char *volume_id);
void operation_free_all(struct core *core);
