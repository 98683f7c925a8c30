/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The operations: the parts of an operation, the registry of those in memory, and the queue of each
 * volume. */

#include "base/hash.h"
#include "base/queue.h"
#include "core/engine/time_spent.h"
#include "io/loop.h"
#include "spec/methods.h"
#include "store/store.h"

struct cloud_refusals;
struct engine;
struct device;
struct op_checks;
struct operation;
struct ops;

/* How long a step may take, counted from its first run in this process; the times are
 * configuration. */
enum step_deadline {
	STEP_CLOUD,  /* answers of CloudStack; stands still while CloudStack is away */
	STEP_DEVICE, /* the kernel */
};

struct step {
	const char *name;
	const char *would; /* what the step does, for people: "Ask CloudStack to …." */
	/* False: this operation has nothing to do in this step, which is left out. NULL: it always
	 * has. */
	bool (*applies)(const struct operation *operation);
	/* True: the step has no effect outside the store now, and hardly ever waits, so it runs
	 * without a commit before it. After a crash, the step before it runs again. NULL: never. */
	bool (*at_once)(const struct operation *operation);
	/* the command of CloudStack that the step cannot do without, and another one that serves as
	 * well; NULL: none */
	const char *command, *command_instead;
	void (*run)(struct operation *operation);
	void (*undo)(struct operation *operation); /* NULL: nothing to undo */
	enum step_deadline deadline;
	/* once it is entered, the operation cannot be cancelled; its own effect stays, the steps
	 * before it are undone */
	bool no_return;
	/* once it is entered, nothing is undone any more: the step is marked no_return as well */
	bool no_undo;
	/* The step asks CloudStack for the change: until it is entered, CloudStack has not been
	 * asked. */
	bool asks;
	/* the step, or its undo, runs only while the operation has the turn of the VM in its record
	 * (vm_turn.h), if the record names a VM */
	bool vm_turn, undo_vm_turn;
	/* CloudStack is done, and the step waits until the kernel shows that */
	bool awaits_kernel;
};

/* Steps that follow each other; several kinds may share a group. */
struct step_group {
	const struct step *steps;
	size_t count;
};
#define STEP_GROUP(STEPS)                                                                          \
	{                                                                                          \
		.steps = (STEPS), .count = ARRAY_SIZE(STEPS)                                       \
	}
#define STEP_GROUPS_MAX 3

struct operation_kind {
	enum operation_type type;
	/* Another kind of the same type and with the same context, and the records that are of it;
	 * NULL: there is none. */
	const struct operation_kind *variant;
	bool (*is_variant)(const struct operation_record *record);
	const struct record *context;
	struct step_group groups[STEP_GROUPS_MAX]; /* one after the other */
	/* Writes the response object's members after the last step. */
	void (*respond)(struct operation *operation, struct json_writer *writer);
	/* Names what the operation may have left behind, and where, if its undo failed or it ended
	 * in silence: half a sentence, to be freed. */
	char *(*left_over)(const struct operation *operation);
	/* Names the effects that the steps so far have had for good, although the operation fails:
	 * half a sentence, to be freed; NULL if there are none. The hook may be NULL as well. */
	char *(*stays)(const struct operation *operation);
	const struct op_checks *checks; /* for ops/; the engine does not look inside */
};

enum operation_phase {
	PHASE_QUEUED,     /* waits for its volume, then for its VM */
	PHASE_COMMITTING, /* waits for the store */
	PHASE_READY,      /* the step runs on the next turn */
	PHASE_RUNNING,    /* inside the step function */
	PHASE_WAITING,    /* for a callback */
	PHASE_SLEEPING,   /* runs again later, or when woken; or waits for its VM */
	PHASE_ENDED
};

/* How the engine speaks to one kind of object that operations wait for. */
struct wait_kind {
	void (*cancel)(void *awaited); /* its callback will not run */
	/* One of the volume's devices came, went or changed; NULL: that does not matter. May end
	 * the wait: then it cancels the awaited object and speaks a verb. */
	void (*poke)(struct operation *operation);
	/* The last thing that is known about the awaited object, to be freed, for the error if the
	 * step becomes overdue. NULL: its words add nothing. */
	char *(*seen)(const void *awaited);
};

TAILQ_HEAD(operation_list, operation);

/* All operations on one volume, of which the first runs. Lives as long as it has members. */
struct volume_queue {
	char *volume_id;
	struct operation_list operations;
	UT_hash_handle hh;
};

typedef void (*operation_accepted_fn)(void *arg, struct operation *operation,
				      const struct err *err);

/* A caller that requested an operation, and has not been told yet whether it was accepted. */
struct operation_asker {
	TAILQ_ENTRY(operation_asker) entry;
	struct operation *operation;
	operation_accepted_fn accepted;
	void *arg;
};

struct operation {
	struct operation_record record;
	const struct operation_kind *kind;
	struct engine *engine;
	struct ops *ops; /* for its steps */
	void *context;
	size_t step;
	enum operation_phase phase;
	unsigned runs; /* of this step in this process */
	bool resumed;  /* this step may have run before this process */
	/* It stands in a store that was accepted as one from the past: CloudStack is not asked for
	 * its change any more. */
	bool from_past;
	/* clock_mono_ms() of the commit that this run of the step follows, or of the run itself */
	int64_t asked_ms;
	bool job_lost; /* this step's job was lost, and that was reported */
	/* although the step is marked no_return, it has had no effect so far, and has asked for
	 * none: the operation can still be cancelled */
	bool untouched;
	/* CloudStack refuses to show the effect of this step */
	bool effect_unknown;
	struct operation_memory *memory; /* operation_alloc(); NULL: none */
	/* of a read of this step, see operation_refusals(); NULL: none so far */
	struct cloud_refusals *refusals;
	TAILQ_ENTRY(operation) refused_entry; /* while it has refusals */
	/* On the heap, since thousands of operations may be unfinished and hardly any has one of
	 * these. */
	struct err *failure; /* the first error; the undo begins with it, or soon */
	/* The step of that error, one of the kind's names; NULL: it ended before its first step. */
	const char *failed_step;
	bool undo_worked; /* an undo had something to do */
	/* an attachment whose disk is here and proven: clients know of it and may use it */
	bool has_disk;
	/* a cancel or time-out that arrived while it could not be handled */
	struct err *interruption;
	/* the error if the step becomes overdue; ERR_NONE: a time-out */
	enum err_code reason_code;
	/* its first commit: its askers have not been told yet */
	bool accepting;
	TAILQ_HEAD(, operation_asker) askers; /* until it has been accepted */
	char *owner;                          /* operation_owner() of its caller */
	/* JSON: who asked for the transition that the next commit makes durable; NULL: it follows
	 * from an earlier one */
	char *asked_by;
	struct loop_task turn;
	struct loop_timer sleep;
	struct loop_timer deadline;
	/* clock_missed_ms() up to which this step has had a look at what came meanwhile */
	int64_t looked_missed_ms;
	/* the wait slot: the object whose callback goes on; NULL: nothing is awaited */
	void *awaited;
	const struct wait_kind *wait_kind;
	/* The record after the last commit, NULL before that. Until the commit is durable, the
	 * operation shows as unfinished. */
	struct operation_record *ended;
	/* The record as the store has it, while the record is changed and that is not durable yet;
	 * NULL: the record itself is durable. */
	struct operation_record *durable;
	/* staged for the next commit, or on its way with it; NULL: nothing is */
	struct change *change;

	enum time_part part;   /* where the time goes, */
	int64_t part_since_ms; /* clock_mono_ms() from which on; 0 not begun */
	int64_t spent_ms[TIME_PART_COUNT];
	/* The step whose time runs, NULL none; with undo, and over the commits around it. */
	const char *timed_step;
	int64_t timed_since_ms;

	struct volume_queue *queue;
	TAILQ_ENTRY(operation) queue_entry;
	struct vm_queue *vm_queue;
	TAILQ_ENTRY(operation) vm_entry;
	bool has_vm_turn;
	bool keeps_vm_turn; /* until its end, also in steps that do not need the turn */
	TAILQ_ENTRY(operation) age_entry;
	UT_hash_handle hh;
	UT_hash_handle request_hh; /* in engine->requests, if has_request */
	bool has_request;
};

/* The step with this number; NULL behind the last. */
static inline const struct step *operation_kind_step(const struct operation_kind *kind,
						     size_t number)
{
	for (size_t i = 0; i < STEP_GROUPS_MAX; i++) {
		if (number < kind->groups[i].count)
			return &kind->groups[i].steps[number];
		number -= kind->groups[i].count;
	}
	return NULL;
}

static inline const struct step *operation_step(const struct operation *operation)
{
	return operation_kind_step(operation->kind, operation->step);
}

/* True if this step may have had its effect before: look before doing it again. */
static inline bool operation_is_rerun(const struct operation *operation)
{
	return operation->resumed || operation->runs > 1;
}

struct operation *operation_find(struct engine *engine, const char *id);
/* The unfinished ones, oldest first; NULL after the last. */
struct operation *operation_first(const struct engine *engine);
struct operation *operation_after(const struct operation *operation);
size_t operation_count(const struct engine *engine); /* of the unfinished */
/* Its refusals so far; of a first one, they are made. */
struct cloud_refusals *operation_refusals(struct operation *operation);
/* The unfinished ones with refusals, since hardly any of thousands has some; NULL after the last.
 */
struct operation *operation_refused_first(const struct engine *engine);
struct operation *operation_refused_after(const struct operation *operation);
/* The operation in memory that was requested under this key. */
struct operation *operation_find_request(struct engine *engine, const char *request_id);
/* For unfinished and recently ended operations. */
void operation_each(struct engine *engine, void (*fn)(void *arg, const char *operation_id),
		    void *arg);
/* True while an operation on the volume is under way or queued. */
bool operation_busy(struct engine *engine, const char *volume_id);
/* The operation that has the turn on the volume is an attachment that has its disk. */
bool operation_volume_has_disk(struct engine *engine, const char *volume_id);
/* The operation has learned its volume; from now on it stands at the head of that volume's
 * queue. */
void operation_set_volume(struct operation *operation, const char *volume_id);

/* The record, to be changed: clients see the durable one until the next commit. */
struct operation_record *operation_edit(struct operation *operation);
/* The record for clients: all in it is durable, but what the operation waits for. */
const struct operation_record *operation_shown(const struct operation *operation);

/* Notes for people what the operation waits for, NULL: for nothing. Listeners hear of it if it has
 * changed. */
void operation_waits_for(struct operation *operation, const char *text);

/* Joins another asker to an operation that is being accepted: accepted runs once, as for the first
 * asker. */
struct operation_asker *operation_join(struct operation *operation, operation_accepted_fn accepted,
				       void *arg);
/* The asker has left before it was told: accepted will not run. */
void operation_leave(struct operation_asker *asker);

/* ---- for the engine ---- */

/* Into the registry and the list of the unfinished. */
void operation_add(struct operation *operation);
/* Into the hashes, by id and by the request's key. */
void operation_link(struct operation *operation);
/* From the hashes and from its list: the unfinished, or the ended. */
void operation_unlink(struct operation *operation);
void operation_free(struct operation *operation);
/* By its type, and by the request that it keeps. */
const struct operation_kind *operation_kind_of(const struct engine *engine,
					       const struct operation_record *record);
/* Zeroed memory that lasts as long as the operation, for what only few operations need. */
void *operation_alloc(struct operation *operation, size_t size);
/* The context of an operation that is not begun. */
void operation_context_free(struct engine *engine, enum operation_type type, void *context);
void operation_join_queue(struct operation *operation, const char *volume_id);
void operation_leave_queue(struct operation *operation);
/* At the head of its volume's queue, or in none. If not, the operation says behind which other one
 * it waits. */
bool operation_is_first(struct operation *operation);
/* Stops all that the operation waits for; none of its callbacks will run. */
void operation_stop_waiting(struct operation *operation);
void operation_drop_ended(struct operation *operation);
void operation_drop_durable(struct operation *operation);
/* Drops the change that is staged and not on its way yet. */
void operation_change_drop(struct operation *operation);
