/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A program we run for as long as we live: started without a shell, in a process group of its own,
 * what it says written to our log. Or one that an earlier run of ours started, found again by its
 * pid.
 */

#include <sys/types.h>

#include "base/err.h"
#include "io/loop.h"

struct process;

/* how: "ended with status 1: its last words", valid during the call. Once; the process is freed by
 * its owner still. */
typedef void (*process_ended_fn)(void *arg, const char *how);

/* The full path of a program in $PATH; NULL when it is not installed. The caller's. */
char *process_find(const char *program);
/* argv[0] is a full path; argv ends with NULL. */
struct process *process_start(struct loop *loop, const char *const *argv, process_ended_fn ended,
			      void *arg, struct err *err);
/* Not our child: its end is seen, its status is not. */
struct process *process_adopt(struct loop *loop, pid_t pid, process_ended_fn ended, void *arg,
			      struct err *err);
pid_t process_pid(const struct process *process);
/* Asks it to end, and kills it if it does not; ended() tells. */
void process_end(struct process *process);
/* Ends it and waits, for some seconds at the most; for the end of the program. ended() does not
 * run. NULL, takes NULL. */
struct process *process_free(struct process *process);
/* Forgets it, whether it runs or not. ended() does not run. NULL, takes NULL. */
struct process *process_forget(struct process *process);
