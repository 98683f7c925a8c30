/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A program that runs for as long as this process: started without a shell, in a process group of
 * its own, its output written to our log. Or a program that an earlier run of the daemon started,
 * found again by its pid.
 */

#include <sys/types.h>

#include "base/err.h"
#include "io/loop.h"

struct process;

/*
 * how: "ended with status 1: its last words", valid during the call. Called once; the owner still
 * has to free the process.
 */
typedef void (*process_ended_fn)(void *arg, const char *how);

/* The full path of a program in $PATH; NULL if it is not installed. The caller frees it. */
char *process_find(const char *program);
/* argv[0] is a full path; argv ends with NULL. */
struct process *process_start(struct loop *loop, const char *const *argv, process_ended_fn ended,
			      void *arg, struct err *err);
/* Not our child: its end is seen, its status is not. */
struct process *process_adopt(struct loop *loop, pid_t pid, process_ended_fn ended, void *arg,
			      struct err *err);
pid_t process_pid(const struct process *process);
/* Asks the process to end, and kills it if it does not; ended() reports the end. */
void process_end(struct process *process);
/*
 * Ends the process and waits for that, some seconds at the most; for use while the daemon itself
 * ends. ended() does not run. Returns NULL, takes NULL.
 */
struct process *process_free(struct process *process);
/* Forgets the process, running or not. ended() does not run. Returns NULL, takes NULL. */
struct process *process_forget(struct process *process);
