/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fake_process.h"

#include <assert.h>

#define PID 4711

struct fake_process fake_process;

static struct process {
	process_ended_fn ended;
	void *arg;
} process;

char *__wrap_process_find(const char *program);
struct process *__wrap_process_start(struct loop *loop, const char *const *argv,
				     process_ended_fn ended, void *arg, struct err *err);
pid_t __wrap_process_pid(const struct process *process);
void __wrap_process_end(struct process *process);
struct process *__wrap_process_free(struct process *process);
struct process *__wrap_process_forget(struct process *process);

void fake_process_reset(void)
{
	fake_process = (struct fake_process){ 0 };
}

void fake_process_die(const char *how)
{
	assert(fake_process.runs);
	fake_process.runs = false;
	process.ended(process.arg, how);
}

char *__wrap_process_find(const char *program)
{
	return xasprintf("/usr/bin/%s", program);
}

struct process *__wrap_process_start(struct loop *loop, const char *const *argv,
				     process_ended_fn ended, void *arg, struct err *err)
{
	assert(!fake_process.runs);
	fake_process.runs = true;
	fake_process.starts++;
	process = (struct process){ .ended = ended, .arg = arg };
	return &process;
}

pid_t __wrap_process_pid(const struct process *it)
{
	return PID;
}

void __wrap_process_end(struct process *it)
{
	fake_process.ends++;
}

struct process *__wrap_process_free(struct process *it)
{
	fake_process.runs = false;
	return NULL;
}

struct process *__wrap_process_forget(struct process *it)
{
	return NULL;
}
