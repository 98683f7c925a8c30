/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fake_process.h"

#include <assert.h>

#define PID 4711

struct fake_process fake_process;

static struct export_process {
	export_process_ended_fn ended;
	void *arg;
} process;

char *__wrap_export_process_find(const char *program);
struct export_process *__wrap_export_process_start(struct loop *loop, const char *const *argv,
						   export_process_ended_fn ended, void *arg, struct err *err);
pid_t __wrap_export_process_pid(const struct export_process *process);
void __wrap_export_process_end(struct export_process *process);
struct export_process *__wrap_export_process_free(struct export_process *process);
struct export_process *__wrap_export_process_forget(struct export_process *process);

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

char *__wrap_export_process_find(const char *program)
{
	return xasprintf("/usr/bin/%s", program);
}

struct export_process *__wrap_export_process_start(struct loop *loop, const char *const *argv,
						   export_process_ended_fn ended, void *arg, struct err *err)
{
	assert(!fake_process.runs);
	fake_process.runs = true;
	fake_process.starts++;
	process = (struct export_process){ .ended = ended, .arg = arg };
	return &process;
}

pid_t __wrap_export_process_pid(const struct export_process *it)
{
	return PID;
}

void __wrap_export_process_end(struct export_process *it)
{
	fake_process.ends++;
}

struct export_process *__wrap_export_process_free(struct export_process *it)
{
	fake_process.runs = false;
	return NULL;
}

struct export_process *__wrap_export_process_forget(struct export_process *it)
{
	return NULL;
}
