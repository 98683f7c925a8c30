/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Flushing a disk.
 *
 * The disk is opened for reading only: that is enough to flush it. If the disk were opened for
 * writing, udev would take the close for a change of the contents, and read the disk again.
 *
 * BLKFLSBUF writes as well but does not tell whether that succeeded, so fsync comes first.
 * BLKFLSBUF adds two things: old data is dropped from memory, so that the next disk with the same
 * numbers does not show it; and a file system on the device writes its pending data, which fsync of
 * a device does not reach. Each partition and each map has a cache and a file system of its own, so
 * the devices on top of a disk are flushed one by one.
 */

#include "disk/flush.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "disk/attribute.h"
#include "disk/usage_stack.h"
#include "io/blocking.h"

struct task {
	char *path;                  /* NULL: the devices on top of a disk */
	struct usage_report *report; /* then its name, and where it is shown */
	struct err err;
};

struct flush {
	struct blocking_call call;
	struct flusher *flusher;
	char *disk; /* the kernel's name, for sysfs */
	flush_done_fn done;
	void *arg;
};

struct flusher {
	struct blocking_pool *pool;
	struct usage_options options; /* texts owned */
};

/* ---- the thread ---- */

static bool is_gone(int error)
{
	return error == ENOENT || error == ENXIO || error == ENODEV;
}

static int flush_device(const char *path, struct err *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return err_set(err, is_gone(errno) ? ERR_NOT_FOUND : ERR_UNAVAILABLE,
			       "%s cannot be opened: %s", path, strerror(errno));
	if (fsync(fd) < 0)
		return err_set(err, is_gone(errno) ? ERR_NOT_FOUND : ERR_UNAVAILABLE,
			       "not all data written to %s is on it: %s", path, strerror(errno));
	if (ioctl(fd, BLKFLSBUF, 0) < 0 && errno != ENOTTY)
		return err_set(err, is_gone(errno) ? ERR_NOT_FOUND : ERR_UNAVAILABLE,
			       "the data of %s in memory cannot be dropped: %s", path,
			       strerror(errno));
	return 0;
}

/* A device on top of another comes after it in the list. */
static void flush_upper(struct usage_report *report, struct err *first)
{
	struct err err;

	if (usage_climb(report) < 0)
		*first = report->err;
	for (size_t i = report->node_count; i-- > 1;) {
		_cleanup_free_ char *path = xasprintf("%s/%s", report->dev_root,
						      report->nodes[i].path + strlen("/dev/"));

		if (flush_device(path, &err) < 0 && err.code != ERR_NOT_FOUND && !first->code)
			*first = err;
	}
}

static void task_run(void *work)
{
	struct task *task = work;

	if (task->report)
		flush_upper(task->report, &task->err);
	else
		(void)flush_device(task->path, &task->err);
}

static void task_free(void *work)
{
	struct task *task = work;

	if (task->report)
		usage_report_clear(task->report);
	free(task->report);
	free(task->path);
	free(task);
}

/* ---- the loop's side ---- */

/* The kernel counts the requests that the disk has not answered. */
static void add_last_seen(const struct flush *flush, struct err *err)
{
	_cleanup_free_ char *folder =
		xasprintf("%s/block/%s", flush->flusher->options.sysfs_root, flush->disk);
	_cleanup_free_ char *inflight = attribute_read(AT_FDCWD, folder, "inflight");
	_cleanup_free_ char *text = xstrdup(err->text);
	unsigned reads, writes;

	if (inflight && sscanf(inflight, "%u %u", &reads, &writes) == 2)
		err_set(err, err->code, "%s; last seen: %u reads and %u writes under way on %s",
			text, reads, writes, flush->disk);
}

static void flush_free(struct flush *flush)
{
	free(flush->disk);
	free(flush);
}

static void on_flushed(struct blocking_call *call, void *work, const struct err *err)
{
	struct flush *flush = container_of(call, struct flush, call);
	const struct task *task = work;
	flush_done_fn done = flush->done;
	void *arg = flush->arg;
	struct err result = task ? task->err : *err;

	if (result.code == ERR_TIMEOUT)
		add_last_seen(flush, &result);
	flush_free(flush);
	done(arg, &result);
}

struct flusher *flusher_new(struct loop *loop, const struct usage_options *options)
{
	const struct blocking_options pool = {
		.name = "flush",
		.at_once = FLUSH_AT_ONCE,
		.hung_max = FLUSH_STUCK_MAX,
		.timeout_ms = options->timeout_ms,
		.setting = options->setting,
		.run = task_run,
		.free_work = task_free,
	};
	struct flusher *flusher = xnew(struct flusher);

	flusher->pool = blocking_pool_new(loop, &pool);
	flusher->options = *options;
	flusher->options.proc_root = xstrdup(options->proc_root);
	flusher->options.sysfs_root = xstrdup(options->sysfs_root);
	flusher->options.dev_root = xstrdup(options->dev_root);
	return flusher;
}

void flusher_set_timeout(struct flusher *flusher, int64_t timeout_ms)
{
	blocking_pool_set_timeout(flusher->pool, timeout_ms);
}

struct flusher *flusher_free(struct flusher *flusher)
{
	struct blocking_call *call;

	if (!flusher)
		return NULL;
	while ((call = blocking_first(flusher->pool)))
		flush_cancel(container_of(call, struct flush, call));
	blocking_pool_free(flusher->pool);
	freep(&flusher->options.proc_root);
	freep(&flusher->options.sysfs_root);
	freep(&flusher->options.dev_root);
	free(flusher);
	return NULL;
}

static struct flush *start(struct flusher *flusher, struct task *task, const char *doing,
			   const char *object, flush_done_fn done, void *arg)
{
	struct flush *flush = xnew(struct flush);
	const char *slash = strrchr(object, '/');

	assert(done);
	flush->flusher = flusher;
	flush->disk = xstrdup(slash ? slash + 1 : object);
	flush->done = done;
	flush->arg = arg;
	flush->call.done = on_flushed;
	blocking_start(flusher->pool, &flush->call, doing, object, task);
	return flush;
}

struct flush *flush_start(struct flusher *flusher, const char *path, flush_done_fn done, void *arg)
{
	struct task *task = xnew(struct task);

	task->path = xstrdup(path);
	return start(flusher, task, "flushing", path, done, arg);
}

struct flush *flush_upper_start(struct flusher *flusher, const char *name, flush_done_fn done,
				void *arg)
{
	static const struct usage_ignore nothing = { 0 };
	struct task *task = xnew(struct task);

	task->report = xnew(struct usage_report);
	usage_report_init(task->report, &flusher->options, name, &nothing);
	return start(flusher, task, "flushing the devices on top of", name, done, arg);
}

void flush_cancel(struct flush *flush)
{
	blocking_cancel(&flush->call);
	flush_free(flush);
}
