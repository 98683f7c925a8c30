/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Worker threads for what may hang in the kernel for ever: a disk that does not answer a read, a flush, device mapper.
 *
 * Calls run at_once side by side, the others wait in line. One that does not end within timeout_ms of being begun is
 * given up (ERR_TIMEOUT). Its thread cannot be stopped, so it is left behind and the next call gets a new one; while
 * stuck_max threads hang, calls are refused (ERR_UNAVAILABLE). Nothing ever waits for a thread that hangs.
 */

#include "base/err.h"
#include "io/worker.h"

struct patient;
struct patient_lane;

struct patient_options {
	const char *name; /* of the threads */
	size_t at_once;
	size_t stuck_max;
	int64_t timeout_ms;
	void (*run)(void *work);       /* on a thread */
	void (*free_work)(void *work); /* on the loop, or on a thread that was given up */
};

/* Embedded in what its owner knows of the call. */
struct patient_call {
	/*
	 * On the loop, never inside patient_start(): the call is over and its owner's to free. work is what run() has
	 * made of it, until done returns; NULL when err says why there is nothing.
	 */
	void (*done)(struct patient_call *call, void *work, const struct err *err);
	/* patient.c's own */
	char *what;
	TAILQ_ENTRY(patient_call) entry;
	struct patient *patient;
	struct patient_lane *lane; /* that runs it, NULL while it waits */
	void *work;                /* NULL once a lane has it */
	struct loop_task refused;
};

struct patient *patient_new(struct loop *loop, const struct patient_options *options);
/* All calls must have been cancelled: what still runs is left behind. Returns NULL, takes NULL. */
struct patient *patient_free(struct patient *patient);
/*
 * what ("reading /dev/vdb") begins the text of errors. It and the work are taken over; until done() the work is the
 * thread's alone.
 */
void patient_start(struct patient *patient, struct patient_call *call, char *what, void *work);
/* done will not run; what is under way goes on to its end or its deadline. Not from inside done. */
void patient_cancel(struct patient_call *call);
/* One that has not ended, NULL when there is none. */
struct patient_call *patient_first(const struct patient *patient);
