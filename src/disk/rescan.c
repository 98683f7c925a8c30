/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any text that is written to device/rescan has the effect; "1" is the custom. */

#include "disk/rescan.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "io/blocking.h"

struct task {
	char *path;
	struct err err;
};

struct rescan {
	struct blocking_call call;
	rescan_done_fn done;
	void *arg;
};

struct rescanner {
	struct blocking_pool *pool;
	char *sysfs_root;
};

/* ---- the thread ---- */

static enum err_code code_of(int error)
{
	switch (error) {
	case EACCES:
	case EPERM:
	case EROFS:
		return ERR_FORBIDDEN;
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return ERR_NOT_FOUND;
	default:
		return ERR_UNAVAILABLE;
	}
}

static void task_run(void *work)
{
	struct task *task = work;
	_cleanup_close_ int fd = open(task->path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "1", 1) != 1)
		err_set(&task->err, code_of(errno), "%s cannot be written: %s", task->path,
			strerror(errno));
}

static void task_free(void *work)
{
	struct task *task = work;

	free(task->path);
	free(task);
}

/* ---- the loop's side ---- */

static void on_rescanned(struct blocking_call *call, void *work, const struct err *err)
{
	struct rescan *rescan = container_of(call, struct rescan, call);
	const struct task *task = work;
	rescan_done_fn done = rescan->done;
	void *arg = rescan->arg;

	free(rescan);
	done(arg, task ? &task->err : err);
}

struct rescanner *rescanner_new(struct loop *loop, const char *sysfs_root, int64_t timeout_ms,
				const char *setting)
{
	const struct blocking_options pool = {
		.name = "rescan",
		.at_once = 1,
		.hung_max = RESCAN_STUCK_MAX,
		.timeout_ms = timeout_ms,
		.setting = setting,
		.one_hangs_per_object = true,
		.run = task_run,
		.free_work = task_free,
	};
	struct rescanner *rescanner = xnew(struct rescanner);

	rescanner->pool = blocking_pool_new(loop, &pool);
	rescanner->sysfs_root = xstrdup(sysfs_root);
	return rescanner;
}

struct rescanner *rescanner_free(struct rescanner *rescanner)
{
	struct blocking_call *call;

	if (!rescanner)
		return NULL;
	while ((call = blocking_first(rescanner->pool)))
		rescan_cancel(container_of(call, struct rescan, call));
	blocking_pool_free(rescanner->pool);
	free(rescanner->sysfs_root);
	free(rescanner);
	return NULL;
}

struct rescan *rescan_start(struct rescanner *rescanner, const char *name, rescan_done_fn done,
			    void *arg)
{
	struct rescan *rescan = xnew(struct rescan);
	struct task *task = xnew(struct task);

	assert(name && done);
	task->path = xasprintf("%s/block/%s/device/rescan", rescanner->sysfs_root, name);
	rescan->done = done;
	rescan->arg = arg;
	rescan->call.done = on_rescanned;
	blocking_start(rescanner->pool, &rescan->call, "rescanning", name, task);
	return rescan;
}

void rescan_cancel(struct rescan *rescan)
{
	blocking_cancel(&rescan->call);
	free(rescan);
}
