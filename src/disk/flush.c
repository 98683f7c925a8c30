/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Flushing a disk.
 *
 * The disk is opened for reading only: that is enough to flush it, and udev takes the close of a disk that was open for
 * writing for a change of what is on it, and reads it again.
 *
 * BLKFLSBUF writes as well but tells nobody whether that succeeded, so fsync comes first. What it adds is that nothing
 * old is read from memory when the kernel gives the same numbers to the next disk.
 */

#include "disk/flush.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "io/patient.h"

struct task {
	char *path;
	struct err err;
};

struct flush {
	struct patient_call call;
	flush_done_fn done;
	void *arg;
};

struct flusher {
	struct patient *patient;
};

/* ---- the thread ---- */

static bool is_gone(int error)
{
	return error == ENOENT || error == ENXIO || error == ENODEV;
}

static void task_run(void *work)
{
	struct task *task = work;
	_cleanup_close_ int fd = open(task->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		err_set(&task->err, is_gone(errno) ? ERR_NOT_FOUND : ERR_UNAVAILABLE, "%s cannot be opened: %s",
			task->path, strerror(errno));
	else if (fsync(fd) < 0)
		err_set(&task->err, is_gone(errno) ? ERR_NOT_FOUND : ERR_UNAVAILABLE,
			"not all that was written to %s is on it: %s", task->path, strerror(errno));
	else if (ioctl(fd, BLKFLSBUF, 0) < 0 && errno != ENOTTY)
		err_set(&task->err, is_gone(errno) ? ERR_NOT_FOUND : ERR_UNAVAILABLE,
			"what memory holds of %s cannot be dropped: %s", task->path, strerror(errno));
}

static void task_free(void *work)
{
	struct task *task = work;

	free(task->path);
	free(task);
}

/* ---- the loop's side ---- */

static void on_flushed(struct patient_call *call, void *work, const struct err *err)
{
	struct flush *flush = container_of(call, struct flush, call);
	const struct task *task = work;
	flush_done_fn done = flush->done;
	void *arg = flush->arg;

	free(flush);
	done(arg, task ? &task->err : err);
}

struct flusher *flusher_new(struct loop *loop, int64_t timeout_ms)
{
	struct patient_options options = {
		.name = "flush",
		.at_once = FLUSH_AT_ONCE,
		.stuck_max = FLUSH_STUCK_MAX,
		.timeout_ms = timeout_ms,
		.run = task_run,
		.free_work = task_free,
	};
	struct flusher *flusher = xnew(struct flusher);

	flusher->patient = patient_new(loop, &options);
	return flusher;
}

struct flusher *flusher_free(struct flusher *flusher)
{
	struct patient_call *call;

	if (!flusher)
		return NULL;
	while ((call = patient_first(flusher->patient)))
		flush_cancel(container_of(call, struct flush, call));
	patient_free(flusher->patient);
	free(flusher);
	return NULL;
}

struct flush *flush_start(struct flusher *flusher, const char *path, flush_done_fn done, void *arg)
{
	struct flush *flush = xnew(struct flush);
	struct task *task = xnew(struct task);

	assert(path && done);
	task->path = xstrdup(path);
	flush->done = done;
	flush->arg = arg;
	flush->call.done = on_flushed;
	patient_start(flusher->patient, &flush->call, xasprintf("flushing %s", path), task);
	return flush;
}

void flush_cancel(struct flush *flush)
{
	patient_cancel(&flush->call);
	free(flush);
}
