/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The thread opens and proves, and the loop hands a copy of the descriptor on. The thread closes
 * the descriptor: the last close of a disk writes what was left in memory, and may wait for the
 * disk. */

#include "disk/opener.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

#include "disk/block_device.h"
#include "disk/proof.h"
#include "io/blocking.h"

struct task {
	struct device disk;
	char *volume_id, *sysfs_root;
	bool read_only;
	int fd;
	struct err err;
};

struct disk_opening {
	struct blocking_call call;
	disk_opened_fn done;
	void *arg;
};

struct disk_opener {
	struct blocking_pool *pool;
	char *sysfs_root;
};

/* ---- the thread ---- */

static int cannot_open(const struct task *task, struct err *err)
{
	switch (errno) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return err_set(err, ERR_CONFLICT, "the disk of volume %s has just gone",
			       task->volume_id);
	case EACCES:
	case EPERM:
	case EROFS:
		return err_set(err, ERR_FORBIDDEN, "the kernel does not let %s be opened%s: %s",
			       task->disk.path, task->read_only ? "" : " for writing",
			       strerror(errno));
	default:
		return err_set(err, ERR_UNAVAILABLE, "%s cannot be opened: %s", task->disk.path,
			       strerror(errno));
	}
}

static void task_close(void *work)
{
	struct task *task = work;

	if (task->fd >= 0)
		close(task->fd);
	task->fd = -1;
}

static void task_run(void *work)
{
	struct task *task = work;

	task->fd = block_device_open(task->disk.path, task->read_only);
	if (task->fd < 0) {
		cannot_open(task, &task->err);
	} else if (disk_prove(task->fd, &task->disk, task->volume_id, task->sysfs_root,
			      &task->err) < 0) {
		task_close(task);
	}
}

static void task_free(void *work)
{
	struct task *task = work;

	task_close(task);
	free(task->volume_id);
	free(task->sysfs_root);
	free(task);
}

/* ---- the loop's side ---- */

static void on_opened(struct blocking_call *call, void *work, const struct err *err)
{
	struct disk_opening *opening = container_of(call, struct disk_opening, call);
	const struct task *task = work;
	disk_opened_fn done = opening->done;
	void *arg = opening->arg;

	free(opening);
	done(arg, task ? task->fd : -1, task ? &task->err : err);
}

struct disk_opener *disk_opener_new(struct loop *loop, const char *sysfs_root, int64_t timeout_ms,
				    const char *setting)
{
	const struct blocking_options pool = {
		.name = "open",
		.at_once = OPENER_AT_ONCE,
		.hung_max = OPENER_STUCK_MAX,
		.timeout_ms = timeout_ms,
		.setting = setting,
		.one_hangs_per_object = true,
		.run = task_run,
		.discard = task_close,
		.free_work = task_free,
	};
	struct disk_opener *opener = xnew(struct disk_opener);

	opener->pool = blocking_pool_new(loop, &pool);
	opener->sysfs_root = xstrdup(sysfs_root);
	return opener;
}

struct disk_opener *disk_opener_free(struct disk_opener *opener)
{
	struct blocking_call *call;

	if (!opener)
		return NULL;
	while ((call = blocking_first(opener->pool)))
		disk_open_cancel(container_of(call, struct disk_opening, call));
	blocking_pool_free(opener->pool);
	free(opener->sysfs_root);
	free(opener);
	return NULL;
}

struct disk_opening *disk_open_start(struct disk_opener *opener, const struct device *disk,
				     const char *volume_id, bool read_only, disk_opened_fn done,
				     void *arg)
{
	struct disk_opening *opening = xnew(struct disk_opening);
	struct task *task = xnew(struct task);

	assert(disk && volume_id && done);
	task->disk = *disk;
	task->volume_id = xstrdup(volume_id);
	task->sysfs_root = xstrdup(opener->sysfs_root);
	task->read_only = read_only;
	task->fd = -1;
	opening->done = done;
	opening->arg = arg;
	opening->call.done = on_opened;
	blocking_start(opener->pool, &opening->call, "opening", disk->path, task);
	return opening;
}

void disk_open_cancel(struct disk_opening *opening)
{
	blocking_cancel(&opening->call);
	free(opening);
}
