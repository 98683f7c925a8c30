/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Asking libblkid for the contents of a device. Only the thread that reads the device waits for it;
 * io/blocking takes care of a thread that never comes back.
 */

#include <assert.h>
#include <blkid/blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "disk/probe.h"
#include "io/blocking.h"

struct task {
	char *path;
	struct probe_result result;
};

struct probe {
	struct blocking_call call;
	probe_done_fn done;
	void *arg;
};

struct prober {
	struct blocking_pool *pool;
};

/* ---- the thread ---- */

static void copy_value(blkid_probe probe, const char *name, char *out, size_t size)
{
	const char *value = NULL;

	if (blkid_probe_lookup_value(probe, name, &value, NULL) < 0 || !value)
		return;
	snprintf(out, size, "%s", value);
	/* A label can hold any bytes. */
	if (!str_is_plain_text(out))
		out[0] = '\0';
}

static int open_device(const char *path, struct err *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err,
			       errno == ENOENT || errno == ENXIO ? ERR_NOT_FOUND : ERR_UNAVAILABLE,
			       "%s cannot be opened: %s", path, strerror(errno));
	if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "%s is neither a block device nor a file", path);
	return TAKE_FD(fd);
}

static int read_signatures(blkid_probe probe, struct task *task)
{
	struct probe_result *result = &task->result;
	int r;

	blkid_probe_enable_superblocks(probe, true);
	blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_LABEL | BLKID_SUBLKS_UUID |
							 BLKID_SUBLKS_TYPE);
	blkid_probe_enable_partitions(probe, true);
	errno = 0;
	r = blkid_do_safeprobe(probe);
	if (r == -2) {
		/* Two signatures contradict each other; to name one of them would be a guess. */
		snprintf(result->filesystem, sizeof(result->filesystem), "ambiguous");
		return 0;
	}
	if (r < 0)
		return err_set(&result->err, ERR_UNAVAILABLE, "%s cannot be read: %s", task->path,
			       strerror(errno ? errno : EIO));
	copy_value(probe, "TYPE", result->filesystem, sizeof(result->filesystem));
	copy_value(probe, "LABEL", result->label, sizeof(result->label));
	copy_value(probe, "UUID", result->uuid, sizeof(result->uuid));
	copy_value(probe, "PTTYPE", result->partition_table, sizeof(result->partition_table));
	return 0;
}

static void task_run(void *work)
{
	struct task *task = work;
	_cleanup_close_ int fd = open_device(task->path, &task->result.err);
	blkid_probe probe;

	if (fd < 0)
		return;
	probe = blkid_new_probe();
	if (!probe || blkid_probe_set_device(probe, fd, 0, 0) < 0)
		err_set(&task->result.err, ERR_UNAVAILABLE, "%s cannot be read: %s", task->path,
			strerror(errno));
	else
		(void)read_signatures(probe, task);
	blkid_free_probe(probe);
}

static void task_free(void *work)
{
	struct task *task = work;

	free(task->path);
	free(task);
}

/* ---- the loop's side ---- */

static void on_probed(struct blocking_call *call, void *work, const struct err *err)
{
	struct probe *probe = container_of(call, struct probe, call);
	const struct task *task = work;
	struct probe_result nothing = { .err = *err };
	probe_done_fn done = probe->done;
	void *arg = probe->arg;

	free(probe);
	done(arg, task ? &task->result : &nothing);
}

struct prober *prober_new(struct loop *loop, int64_t timeout_ms, const char *setting)
{
	const struct blocking_options options = {
		.name = "probe",
		.at_once = 1,
		.hung_max = PROBE_STUCK_MAX,
		.timeout_ms = timeout_ms,
		.setting = setting,
		.run = task_run,
		.free_work = task_free,
	};
	struct prober *prober = xnew(struct prober);

	prober->pool = blocking_pool_new(loop, &options);
	return prober;
}

struct prober *prober_free(struct prober *prober)
{
	struct blocking_call *call;

	if (!prober)
		return NULL;
	while ((call = blocking_first(prober->pool)))
		probe_cancel(container_of(call, struct probe, call));
	blocking_pool_free(prober->pool);
	free(prober);
	return NULL;
}

struct probe *probe_start(struct prober *prober, const char *path, probe_done_fn done, void *arg)
{
	struct probe *probe = xnew(struct probe);
	struct task *task = xnew(struct task);

	assert(path && done);
	task->path = xstrdup(path);
	probe->done = done;
	probe->arg = arg;
	probe->call.done = on_probed;
	blocking_start(prober->pool, &probe->call, "reading", path, task);
	return probe;
}

void probe_cancel(struct probe *probe)
{
	blocking_cancel(&probe->call);
	free(probe);
}
