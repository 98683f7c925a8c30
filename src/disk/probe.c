/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Asking libblkid what is on a device, without ever waiting for the device.
 *
 * One worker reads, one probe at a time; the others wait here in a queue. The deadline of a probe runs from the moment
 * it is handed to the worker. A thread that sits in a read the device never answers cannot be stopped: its worker is
 * abandoned, the caller gets ERR_TIMEOUT, and the next probe gets a new worker. Each such thread costs a stack, so
 * there are at most PROBE_STUCK_MAX; from then on probes are refused until one comes back.
 *
 * A look (struct look) is what the loop and a thread share: path in, result out. Who lets go last frees it, decided by
 * one exchange on its stage. The loop takes LOOK_WAITING to LOOK_DROPPED to take back what the thread has not begun, and
 * swaps LOOK_DROPPED into one it gives up; the thread swaps in LOOK_ENDED when it is through, and frees the look if it
 * finds it dropped.
 */

#include <assert.h>
#include <blkid/blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

#include "disk/probe.h"
#include "io/worker.h"

enum look_stage { LOOK_WAITING, LOOK_RUNNING, LOOK_ENDED, LOOK_DROPPED };

/* Threads that hang, and the prober itself while it lives. Shared by all of them, freed by the last. */
struct owners {
	atomic_uint count;
};

struct look {
	struct worker_job job;
	struct prober *prober; /* the loop's alone */
	struct owners *owners; /* the thread's share, once it is dropped */
	_Atomic(enum look_stage) stage;
	char *path;
	struct probe_result result;
};

struct probe {
	TAILQ_ENTRY(probe) entry;
	struct prober *prober;
	struct loop_task refused; /* answers in the next turn */
	char *path;
	probe_done_fn done;
	void *arg;
};

struct prober {
	struct loop *loop;
	int64_t timeout_ms;
	struct owners *owners;
	struct worker *worker; /* NULL until needed, and after one was abandoned */
	struct look *look;     /* what the worker has, NULL when it is idle */
	struct probe *current; /* who waits for it; NULL when idle or cancelled */
	struct loop_timer deadline;
	TAILQ_HEAD(, probe) waiting;
	struct loop_task next; /* gives the worker its next look */
};

/* ---- shared by loop and thread ---- */

static void owners_leave(struct owners *owners)
{
	if (atomic_fetch_sub(&owners->count, 1) == 1)
		free(owners);
}

static void look_free(struct look *look)
{
	free(look->path);
	free(look);
}

/* ---- the thread ---- */

static void copy_value(blkid_probe probe, const char *name, char *out, size_t size)
{
	const char *value = NULL;

	if (blkid_probe_lookup_value(probe, name, &value, NULL) < 0 || !value)
		return;
	snprintf(out, size, "%s", value);
	/* Labels are whatever somebody once wrote there. */
	if (!str_is_plain_text(out))
		out[0] = '\0';
}

static int open_device(const char *path, struct err *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, errno == ENOENT || errno == ENXIO ? ERR_NOT_FOUND : ERR_UNAVAILABLE,
			       "%s cannot be opened: %s", path, strerror(errno));
	if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "%s is neither a block device nor a file", path);
	return TAKE_FD(fd);
}

static int read_signatures(blkid_probe probe, struct look *look)
{
	struct probe_result *result = &look->result;
	int r;

	blkid_probe_enable_superblocks(probe, true);
	blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_LABEL | BLKID_SUBLKS_UUID | BLKID_SUBLKS_TYPE);
	blkid_probe_enable_partitions(probe, true);
	errno = 0;
	r = blkid_do_safeprobe(probe);
	if (r == -2) {
		/* Two signatures contradict each other; to name one of them would be a guess. */
		snprintf(result->filesystem, sizeof(result->filesystem), "ambiguous");
		return 0;
	}
	if (r < 0)
		return err_set(&result->err, ERR_UNAVAILABLE, "%s cannot be read: %s", look->path,
			       strerror(errno ? errno : EIO));
	copy_value(probe, "TYPE", result->filesystem, sizeof(result->filesystem));
	copy_value(probe, "LABEL", result->label, sizeof(result->label));
	copy_value(probe, "UUID", result->uuid, sizeof(result->uuid));
	copy_value(probe, "PTTYPE", result->partition_table, sizeof(result->partition_table));
	return 0;
}

static void look_run(struct look *look)
{
	_cleanup_close_ int fd = open_device(look->path, &look->result.err);
	blkid_probe probe;

	if (fd < 0)
		return;
	probe = blkid_new_probe();
	if (!probe || blkid_probe_set_device(probe, fd, 0, 0) < 0)
		err_set(&look->result.err, ERR_UNAVAILABLE, "%s cannot be read: %s", look->path, strerror(errno));
	else
		(void)read_signatures(probe, look);
	blkid_free_probe(probe);
}

static void thread_run(void *context, struct worker_jobs *jobs, size_t count)
{
	struct look *look = container_of(STAILQ_FIRST(jobs), struct look, job);
	enum look_stage stage = LOOK_WAITING;

	assert(count == 1);
	if (!atomic_compare_exchange_strong(&look->stage, &stage, LOOK_RUNNING))
		return; /* taken back: nothing is touched */
	look_run(look);
	if (atomic_exchange(&look->stage, LOOK_ENDED) != LOOK_DROPPED)
		return;
	/* The worker is abandoned already, so nobody else looks at its jobs any more. */
	owners_leave(look->owners);
	look_free(look);
}

/* ---- the loop's side ---- */

static struct probe *probe_free(struct probe *probe)
{
	loop_task_cancel(probe->prober->loop, &probe->refused);
	free(probe->path);
	free(probe);
	return NULL;
}

static void answer(struct probe *probe, const struct probe_result *result)
{
	probe_done_fn done = probe->done;
	void *arg = probe->arg;

	probe_free(probe);
	done(arg, result);
}

static size_t stuck_count(const struct prober *prober)
{
	return atomic_load(&prober->owners->count) - 1;
}

static void on_look_done(struct worker_job *job)
{
	struct look *look = container_of(job, struct look, job);
	struct prober *prober = look->prober;
	struct probe *probe = TAKE_PTR(prober->current);

	prober->look = NULL;
	loop_timer_clear(prober->loop, &prober->deadline);
	if (!TAILQ_EMPTY(&prober->waiting))
		loop_task_queue(prober->loop, &prober->next);
	if (probe)
		answer(probe,
		       &look->result); /* may free the prober's other probes, not the prober: we are in its worker */
	look_free(look);
}

/* Gives up on the worker, and on what it reads. */
static void abandon(struct prober *prober)
{
	struct look *look = TAKE_PTR(prober->look);

	atomic_fetch_add(&prober->owners->count, 1);
	look->owners = prober->owners;
	prober->worker = worker_abandon(prober->worker);
	loop_timer_clear(prober->loop, &prober->deadline);
	if (atomic_exchange(&look->stage, LOOK_DROPPED) == LOOK_ENDED) {
		/* It came back in the last moment: the thread is free and needs its share no more. */
		owners_leave(prober->owners);
		look_free(look);
	}
}

static void on_deadline(struct loop_timer *timer)
{
	struct prober *prober = container_of(timer, struct prober, deadline);
	struct probe *probe = prober->current;
	struct probe_result result = { 0 };

	/* A thread that has not begun is not stuck in the device; this machine is slow. */
	if (atomic_load(&prober->look->stage) == LOOK_WAITING) {
		loop_timer_set(prober->loop, timer, prober->timeout_ms);
		return;
	}
	prober->current = NULL;
	abandon(prober);
	if (!TAILQ_EMPTY(&prober->waiting))
		loop_task_queue(prober->loop, &prober->next);
	if (!probe)
		return;
	err_set(&result.err, ERR_TIMEOUT, "%s did not answer within %lld ms", probe->path,
		(long long)prober->timeout_ms);
	answer(probe, &result);
}

static void refuse(struct loop_task *task)
{
	struct probe *probe = container_of(task, struct probe, refused);
	struct prober *prober = probe->prober;
	struct probe_result result = { 0 };

	TAILQ_REMOVE(&prober->waiting, probe, entry);
	err_set(&result.err, ERR_UNAVAILABLE, "%s is not looked at: %d devices that were looked at before still hang",
		probe->path, PROBE_STUCK_MAX);
	answer(probe, &result);
}

/* Refuses all that wait; each by a task of its own, since an answer may cancel any of the others. */
static void refuse_waiting(struct prober *prober)
{
	struct probe *probe;

	TAILQ_FOREACH(probe, &prober->waiting, entry)
		loop_task_queue(prober->loop, &probe->refused);
}

/* The first that waits and is not refused already. */
static struct probe *first_waiting(struct prober *prober)
{
	struct probe *probe;

	TAILQ_FOREACH(probe, &prober->waiting, entry) {
		if (!probe->refused.queued)
			return probe;
	}
	return NULL;
}

static void on_next(struct loop_task *task)
{
	struct prober *prober = container_of(task, struct prober, next);
	struct probe *probe = first_waiting(prober);
	struct look *look;

	if (prober->look || !probe)
		return;
	if (!prober->worker) {
		if (stuck_count(prober) >= PROBE_STUCK_MAX) {
			refuse_waiting(prober);
			return;
		}
		prober->worker = worker_new(prober->loop, "probe", 1, thread_run, NULL);
	}
	TAILQ_REMOVE(&prober->waiting, probe, entry);
	look = xnew(struct look);
	look->job.done = on_look_done;
	look->prober = prober;
	look->path = xstrdup(probe->path);
	prober->look = look;
	prober->current = probe;
	loop_timer_set(prober->loop, &prober->deadline, prober->timeout_ms);
	worker_submit(prober->worker, &look->job);
}

struct prober *prober_new(struct loop *loop, int64_t timeout_ms)
{
	struct prober *prober = xnew(struct prober);

	assert(loop && timeout_ms > 0);
	prober->loop = loop;
	prober->timeout_ms = timeout_ms;
	prober->owners = xnew(struct owners);
	atomic_init(&prober->owners->count, 1);
	prober->deadline.fire = on_deadline;
	prober->next.run = on_next;
	TAILQ_INIT(&prober->waiting);
	return prober;
}

/* Ends the worker without waiting for a device: what runs is abandoned, what has not begun is taken back. */
static void end_worker(struct prober *prober)
{
	enum look_stage stage = LOOK_WAITING;

	if (prober->look && !atomic_compare_exchange_strong(&prober->look->stage, &stage, LOOK_DROPPED))
		abandon(prober);
	prober->worker = worker_free(prober->worker);
}

struct prober *prober_free(struct prober *prober)
{
	struct probe *probe;

	if (!prober)
		return NULL;
	while ((probe = TAILQ_FIRST(&prober->waiting)))
		probe_cancel(probe);
	if (prober->current)
		prober->current = probe_free(prober->current);
	end_worker(prober);
	loop_timer_clear(prober->loop, &prober->deadline);
	loop_task_cancel(prober->loop, &prober->next);
	assert(!prober->look && TAILQ_EMPTY(&prober->waiting));
	owners_leave(prober->owners);
	free(prober);
	return NULL;
}

struct probe *probe_start(struct prober *prober, const char *path, probe_done_fn done, void *arg)
{
	struct probe *probe = xnew(struct probe);

	assert(path && done);
	probe->prober = prober;
	probe->path = xstrdup(path);
	probe->done = done;
	probe->arg = arg;
	probe->refused.run = refuse;
	TAILQ_INSERT_TAIL(&prober->waiting, probe, entry);
	if (!prober->look)
		loop_task_queue(prober->loop, &prober->next);
	return probe;
}

void probe_cancel(struct probe *probe)
{
	struct prober *prober = probe->prober;

	/* What the worker reads goes on, and its deadline with it; nobody is told. */
	if (probe == prober->current)
		prober->current = NULL;
	else
		TAILQ_REMOVE(&prober->waiting, probe, entry);
	probe_free(probe);
}
