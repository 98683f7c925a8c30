/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The way of a snapshot:
 *
 *      look at the target ─► copy, step by step ─► check the copy ─► write the target ─► answer
 *           thread              store's thread        thread            thread
 *
 * A server shows one moment of its rows by itself, so a check of its store needs no copy.
 *
 * The target belongs to a caller: it can be anything, on a file system that hangs or is full. So
 * the daemon never opens a file by a caller's name, and touches the target only on a thread of its
 * own with a deadline. The copy lies beside the store. It is opened as a store is opened at the
 * start, so a backup that was told is one that the daemon can start with.
 *
 * There is one snapshot at a time: each takes the room of a second store. A cancelled snapshot goes
 * on until its step has come back, and then ends without a word. A thread that is left behind while
 * it writes has nothing any more that the next snapshot uses, since the name of the copy is removed
 * before the writing; while it checks, the next snapshot waits for it in the pool's line.
 */

#include "store/snapshot.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/secret.h"
#include "io/blocking.h"
#include "store/backend.h"
#include "store/copy.h"

/* For the check and the writing of a large store on a slow disk. */
#define THREAD_MS (INT64_C(1000) * 60 * 15)
/* Each thread that hangs has a target on a file system that hangs. */
#define HUNG_MAX 4
/* For all steps together. */
#define COPY_MS (INT64_C(1000) * 60 * 15)
#define CHUNK_BYTES (256 << 10)

/* The thread's part. */
struct work {
	bool look;  /* only look at the target */
	int target; /* -1: none */
	const struct store_backend *backend;
	char *path; /* of the copy, NULL: the store itself is read */
	char *url;
	struct secret *password;
	struct snapshot_result result;
};

struct snapshots {
	struct loop *loop;
	struct store *store;
	struct blocking_pool *pool;
	struct snapshot *current;
};

struct snapshot {
	struct snapshots *snapshots;
	snapshot_done_fn done; /* NULL: cancelled */
	void *arg;
	int target;
	unsigned schema_version;
	struct blocking_call call;
	bool is_copying; /* a step is under way */
	struct loop_timer copy_deadline;
	char *path; /* of the finished copy */
	struct loop_task refused;
	struct err err; /* of the refusal */
};

/* ---- on the thread ---- */

static int refuse_target(const char *got, struct err *err)
{
	return err_set_field(err, "file", ERR_INVALID,
			     "file must be an empty regular file that is open for writing, got %s",
			     got);
}

static const char *kind_word(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFIFO:
		return "a pipe";
	case S_IFSOCK:
		return "a socket";
	case S_IFDIR:
		return "a folder";
	case S_IFCHR:
	case S_IFBLK:
		return "a device";
	default:
		return "something else";
	}
}

static int look_at_target(int target, struct err *err)
{
	int flags = fcntl(target, F_GETFL);
	struct stat st;

	if (target < 0)
		return 0;
	if (flags < 0 || fstat(target, &st) < 0)
		return err_set_field(err, "file", ERR_UNAVAILABLE, "file cannot be looked at: %s",
				     strerrordesc_np(errno));
	if (!S_ISREG(st.st_mode))
		return refuse_target(kind_word(st.st_mode), err);
	if ((flags & O_ACCMODE) == O_RDONLY)
		return refuse_target("one that is open for reading", err);
	if (flags & O_APPEND)
		return refuse_target("one that is open for appending", err);
	if (st.st_size > 0)
		return refuse_target("one that has content", err);
	return 0;
}

static void keep_fault(void *arg, const char *text)
{
	struct snapshot_result *result = arg;

	if (result->fault_count == SNAPSHOT_FAULTS_MAX)
		return;
	result->faults =
		xrealloc(result->faults, (result->fault_count + 1) * sizeof(result->faults[0]));
	result->faults[result->fault_count++] = xstrdup(text);
}

static int check_copy(struct work *work, struct err *err)
{
	const struct store_options options = { .url = work->url,
					       .password = work->password,
					       .beside = !work->path,
					       .must_exist = true,
					       .unchecked = true };
	struct loop *loop = loop_new();
	struct store *store = NULL;
	int r = -1;

	if (!loop)
		return err_set(err, ERR_UNAVAILABLE, "the check of the store cannot begin: %s",
			       strerrordesc_np(errno));
	store = work->backend->open(loop, &options, err);
	if (store)
		r = store_check(store, keep_fault, &work->result, &work->result.checked, err);
	store_close(store);
	loop_free(loop);
	return r;
}

static int write_all(int target, const char *data, size_t size, off_t offset)
{
	while (size > 0) {
		ssize_t written = pwrite(target, data, size, offset);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return -1;
		data += written;
		size -= (size_t)written;
		offset += written;
	}
	return 0;
}

static int write_failed(off_t offset, off_t size, struct err *err)
{
	return err_set_field(err, "file", ERR_UNAVAILABLE,
			     "the backup cannot be written, %lld of its %lld bytes were: %s",
			     (long long)offset, (long long)size, strerrordesc_np(errno));
}

static int write_target(struct work *work, int copy, struct err *err)
{
	off_t offset = 0, size = (off_t)work->result.bytes;
	_cleanup_free_ char *chunk = xmalloc(CHUNK_BYTES);

	while (offset < size) {
		ssize_t got = pread(copy, chunk, CHUNK_BYTES, offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return err_set(err, ERR_UNAVAILABLE, "the copy %s cannot be read: %s",
				       work->path, got ? strerrordesc_np(errno) : "it is cut off");
		if (write_all(work->target, chunk, (size_t)got, offset) < 0)
			return write_failed(offset, size, err);
		offset += got;
	}
	if (fsync(work->target) < 0)
		return write_failed(offset, size, err);
	return 0;
}

static int finish_copy(struct work *work, struct err *err)
{
	int _cleanup_close_ copy = -1;
	struct stat st;

	int checked = check_copy(work, err);

	if (!work->path)
		return checked;
	if (checked == 0)
		copy = open(work->path, O_RDONLY | O_CLOEXEC);
	unlink(work->path);
	if (checked < 0)
		return -1;
	if (copy < 0 || fstat(copy, &st) < 0)
		return err_set(err, ERR_UNAVAILABLE, "the copy %s cannot be read: %s", work->path,
			       strerrordesc_np(errno));
	work->result.bytes = (uint64_t)st.st_size;
	if (work->target < 0)
		return 0;
	if (work->result.checked.faults > 0 && work->result.checked.rows == 0)
		return err_set(
			err, ERR_UNAVAILABLE,
			"the store is damaged, so no backup was made: %s; keep the earlier backups, and restore "
			"the last one that is sound",
			work->result.faults[0]);
	return write_target(work, copy, err);
}

static void run_work(void *arg)
{
	struct work *work = arg;

	if (work->look)
		look_at_target(work->target, &work->result.err);
	else
		finish_copy(work, &work->result.err);
}

static void free_work(void *arg)
{
	struct work *work = arg;

	if (work->target >= 0)
		close(work->target);
	store_checked_clear(&work->result.checked);
	for (size_t i = 0; i < work->result.fault_count; i++)
		free(work->result.faults[i]);
	free(work->result.faults);
	free(work->path);
	free(work->url);
	secret_free(work->password);
	free(work);
}

/* ---- on the loop ---- */

static void end(struct snapshot *snapshot, const struct snapshot_result *result)
{
	if (snapshot->done)
		snapshot->done(snapshot->arg, result);
	snapshot->snapshots->current = NULL;
	loop_timer_clear(snapshot->snapshots->loop, &snapshot->copy_deadline);
	if (snapshot->target >= 0)
		close(snapshot->target);
	free(snapshot->path);
	free(snapshot);
}

/* err: NULL if nobody waits for the result. */
static void end_with(struct snapshot *snapshot, const struct err *err)
{
	struct snapshot_result result = { 0 };

	if (err)
		result.err = *err;
	end(snapshot, &result);
}

static void on_finished(struct blocking_call *call, void *arg, const struct err *err)
{
	struct snapshot *snapshot = container_of(call, struct snapshot, call);
	struct work *work = arg;

	if (!work) {
		if (snapshot->path)
			unlink(snapshot->path);
		end_with(snapshot, err);
		return;
	}
	work->result.schema_version = snapshot->schema_version;
	end(snapshot, &work->result);
}

static void begin_work(struct snapshot *snapshot, struct work *work, const char *doing,
		       void (*done)(struct blocking_call *call, void *work, const struct err *err))
{
	snapshot->call.done = done;
	blocking_start(snapshot->snapshots->pool, &snapshot->call, doing, NULL, work);
}

static void on_step(void *arg, const struct store_copy *copy)
{
	struct snapshot *snapshot = arg;
	struct snapshots *snapshots = snapshot->snapshots;
	struct work *work;

	snapshot->is_copying = false;
	if (copy->item.err) {
		end_with(snapshot, copy->item.err);
		return;
	}
	if (!snapshot->done) {
		if (copy->complete)
			unlink(copy->path);
		else
			store_copy_give_up(snapshots->store);
		end_with(snapshot, NULL);
		return;
	}
	if (!copy->complete) {
		snapshot->is_copying = true;
		store_copy_step(snapshots->store, on_step, snapshot);
		return;
	}
	loop_timer_clear(snapshots->loop, &snapshot->copy_deadline);
	snapshot->schema_version = copy->schema_version;
	snapshot->path = xstrdup(copy->path);
	work = xnew(struct work);
	work->target = TAKE_FD(snapshot->target);
	work->backend = snapshots->store->backend;
	work->path = xstrdup(copy->path);
	work->url = xstrdup(copy->url);
	begin_work(snapshot, work, "checking and writing a copy of the store", on_finished);
}

static void check_beside(struct snapshot *snapshot)
{
	const struct store *store = snapshot->snapshots->store;
	struct work *work = xnew(struct work);

	work->target = -1;
	work->backend = store->backend;
	store->backend->opening(store, &work->url, &work->password);
	begin_work(snapshot, work, "checking the store", on_finished);
}

static void on_copy_deadline(struct loop_timer *timer)
{
	struct snapshot *snapshot = container_of(timer, struct snapshot, copy_deadline);
	struct snapshot_result result = { 0 };

	err_set(&result.err, ERR_TIMEOUT,
		"copying the store took longer than %d minutes; see database_health for its state",
		(int)(COPY_MS / 60000));
	snapshot->done(snapshot->arg, &result);
	snapshot->done = NULL;
}

static void begin_copy(struct snapshot *snapshot)
{
	loop_deadline_set(snapshot->snapshots->loop, &snapshot->copy_deadline, COPY_MS);
	snapshot->is_copying = true;
	store_copy_step(snapshot->snapshots->store, on_step, snapshot);
}

static void on_looked(struct blocking_call *call, void *arg, const struct err *err)
{
	struct snapshot *snapshot = container_of(call, struct snapshot, call);
	struct work *work = arg;

	if (!work) {
		end_with(snapshot, err);
	} else if (work->result.err.code) {
		end_with(snapshot, &work->result.err);
	} else {
		snapshot->target = TAKE_FD(work->target);
		if (snapshot->snapshots->store->backend->no_copy)
			check_beside(snapshot);
		else
			begin_copy(snapshot);
	}
}

static void on_refused(struct loop_task *task)
{
	struct snapshot *snapshot = container_of(task, struct snapshot, refused);
	const struct snapshot_result result = { .err = snapshot->err };

	snapshot->done(snapshot->arg, &result);
	free(snapshot);
}

static int check_start(const struct snapshots *snapshots, int target, struct err *err)
{
	const struct store_backend *backend = snapshots->store->backend;

	if (backend->no_copy && (target >= 0 || !backend->opening))
		return err_set(err, ERR_INVALID, "%s", backend->no_copy);
	if (snapshots->current)
		return err_set(
			err, ERR_TOO_MANY,
			"a backup or a check of the store is under way; ask again when it has ended");
	return 0;
}

/* The caller's file, which the work takes over; -1 for none. A lack of descriptors must not look as
 * if there were none. */
static int keep_target(int target, int *out, struct err *err)
{
	*out = target < 0 ? -1 : fcntl(target, F_DUPFD_CLOEXEC, 3);
	if (target >= 0 && *out < 0)
		return err_set(err, ERR_UNAVAILABLE, "the file for the backup cannot be used: %s",
			       strerrordesc_np(errno));
	return 0;
}

struct snapshot *snapshot_start(struct snapshots *snapshots, int target, snapshot_done_fn done,
				void *arg)
{
	struct snapshot *snapshot = xnew(struct snapshot);
	struct work *work;
	int kept;

	snapshot->snapshots = snapshots;
	snapshot->done = done;
	snapshot->arg = arg;
	snapshot->target = -1;
	snapshot->refused.run = on_refused;
	snapshot->copy_deadline.fire = on_copy_deadline;
	if (check_start(snapshots, target, &snapshot->err) < 0 ||
	    keep_target(target, &kept, &snapshot->err) < 0) {
		loop_task_queue(snapshots->loop, &snapshot->refused);
		return snapshot;
	}
	snapshots->current = snapshot;
	work = xnew(struct work);
	work->look = true;
	work->target = kept;
	begin_work(snapshot, work, "looking at the file for a backup", on_looked);
	return snapshot;
}

void snapshot_cancel(struct snapshot *snapshot)
{
	if (snapshot->refused.queued) {
		loop_task_cancel(snapshot->snapshots->loop, &snapshot->refused);
		free(snapshot);
		return;
	}
	loop_timer_clear(snapshot->snapshots->loop, &snapshot->copy_deadline);
	snapshot->done = NULL;
	/* The step that is under way ends the snapshot. */
	if (snapshot->is_copying)
		return;
	blocking_cancel(&snapshot->call);
	if (snapshot->path)
		unlink(snapshot->path);
	end_with(snapshot, NULL);
}

struct snapshots *snapshots_new(struct loop *loop, struct store *store)
{
	static const struct blocking_options options = { .name = "snapshot",
							 .at_once = 1,
							 .hung_max = HUNG_MAX,
							 .timeout_ms = THREAD_MS,
							 .run = run_work,
							 .free_work = free_work };
	struct snapshots *snapshots = xnew(struct snapshots);

	snapshots->loop = loop;
	snapshots->store = store;
	snapshots->pool = blocking_pool_new(loop, &options);
	return snapshots;
}

struct snapshots *snapshots_free(struct snapshots *snapshots)
{
	if (!snapshots)
		return NULL;
	assert(!snapshots->current);
	blocking_pool_free(snapshots->pool);
	free(snapshots);
	return NULL;
}
