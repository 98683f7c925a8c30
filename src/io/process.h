/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A program we run for as long as we live: started without a shell, in a process group of its own, what it says written
 * to our log. Or one that an earlier run of ours started, found again by its pid.
 */

#include <sys/types.h>

#include "base/err.h"
#include "io/loop.h"

struct export_process;

/* how: "ended with status 1: its last words", valid during the call. Once; the process is freed by its owner still. */
typedef void (*export_process_ended_fn)(void *arg, const char *how);

/* The full path of a program in $PATH; NULL when it is not installed. The caller's. */
char *export_process_find(const char *program);
/* argv[0] is a full path; argv ends with NULL. */
struct export_process *export_process_start(struct loop *loop, const char *const *argv, export_process_ended_fn ended,
					    void *arg, struct err *err);
/* Not our child: its end is seen, its status is not. */
struct export_process *export_process_adopt(struct loop *loop, pid_t pid, export_process_ended_fn ended, void *arg,
					    struct err *err);
pid_t export_process_pid(const struct export_process *process);
/* Asks it to end, and kills it if it does not; ended() tells. */
void export_process_end(struct export_process *process);
/* Ends it and waits, for some seconds at the most; for the end of the program. ended() does not run. NULL, takes NULL. */
struct export_process *export_process_free(struct export_process *process);
/* Forgets it, whether it runs or not. ended() does not run. NULL, takes NULL. */
struct export_process *export_process_forget(struct export_process *process);
