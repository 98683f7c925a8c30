/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The loop's side of finding the users of a disk.
 *
 * A scan that finds nothing but open descriptors is not believed at once: a program that probes a
 * disk after an event has the disk open for a moment, and a detachment asked for in that moment
 * would be refused for no reason. The scan is repeated until it finds other users, or none, or
 * until it has found the same for long enough to be no passing use.
 */

#include <assert.h>
#include <pthread.h>
#include <unistd.h>

#include "base/clock.h"
#include "disk/usage_scan.h"
#include "io/blocking.h"

#define SCAN_AGAIN_MS 200

struct usage_check {
	struct blocking_call call;
	TAILQ_ENTRY(usage_check) entry;
	struct usage_checker *checker;
	struct loop_timer again; /* set between two scans, when call is not begun */
	int64_t since_ms;        /* clock_waking_ms() */
	char *name, *map_uuid;
	struct usage_ignore ignore; /* its map_uuid is the one above */
	usage_done_fn done;
	void *arg;
};

struct usage_checker {
	struct loop *loop;
	struct usage_options options; /* texts owned */
	struct blocking_pool *pool;
	TAILQ_HEAD(, usage_check) checks;
};

/* ---- the thread ---- */

/*
 * A thread with a table of descriptors of its own, in which only the standard streams are open: the
 * daemon's connections cannot use it up. Without the table (a kernel before 5.9) the scan shares
 * the daemon's.
 */
static void *scan_apart(void *work)
{
	close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_UNSHARE);
	usage_scan(work);
	return NULL;
}

static void scan_run(void *work)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, scan_apart, work) == 0)
		pthread_join(thread, NULL);
	else
		usage_scan(work);
}

static void scan_free(void *work)
{
	struct usage_report *report = work;

	usage_report_clear(report);
	free(report);
}

/* ---- the loop's side ---- */

static void start_scan(struct usage_check *check)
{
	const struct usage_checker *checker = check->checker;
	struct usage_report *report = xnew(struct usage_report);

	usage_report_init(report, &checker->options, check->name, &check->ignore);
	blocking_start(checker->pool, &check->call, "finding the users of", check->name, report);
}

static void on_again(struct loop_timer *timer)
{
	start_scan(container_of(timer, struct usage_check, again));
}

static void check_free(struct usage_check *check)
{
	TAILQ_REMOVE(&check->checker->checks, check, entry);
	loop_timer_clear(check->checker->loop, &check->again);
	free(check->name);
	free(check->map_uuid);
	free(check);
}

static void answer(struct usage_check *check, const struct usage_result *result)
{
	usage_done_fn done = check->done;
	void *arg = check->arg;

	check_free(check);
	done(arg, result);
}

static void on_scanned(struct blocking_call *call, void *work, const struct err *err)
{
	struct usage_check *check = container_of(call, struct usage_check, call);
	const struct usage_report *report = work;
	struct usage_result result = { .err = *err, .what = "", .left_out = "" };

	if (report && report->kind == USAGE_HELD && report->passing &&
	    clock_waking_ms() - check->since_ms < USAGE_PATIENCE_MS) {
		loop_timer_set(check->checker->loop, &check->again, SCAN_AGAIN_MS);
		return;
	}
	if (report) {
		result.err = report->err;
		result.kind = report->kind;
		result.only_open = report->only_open;
		result.beside = report->beside;
		usage_report_users(report, &result);
		result.left_out = str_or(report->left_out.data, "");
	}
	answer(check, &result);
}

struct usage_checker *usage_checker_new(struct loop *loop, const struct usage_options *options)
{
	const struct blocking_options pool = {
		.name = "usage",
		.at_once = 1,
		.hung_max = USAGE_STUCK_MAX,
		.timeout_ms = options->timeout_ms,
		.setting = options->setting,
		.run = scan_run,
		.free_work = scan_free,
	};
	struct usage_checker *checker = xnew(struct usage_checker);

	checker->loop = loop;
	checker->options = *options;
	checker->options.proc_root = xstrdup(options->proc_root);
	checker->options.sysfs_root = xstrdup(options->sysfs_root);
	checker->options.dev_root = xstrdup(options->dev_root);
	checker->pool = blocking_pool_new(loop, &pool);
	TAILQ_INIT(&checker->checks);
	return checker;
}

struct usage_checker *usage_checker_free(struct usage_checker *checker)
{
	struct usage_check *check;

	if (!checker)
		return NULL;
	while ((check = TAILQ_FIRST(&checker->checks)))
		usage_check_cancel(check);
	blocking_pool_free(checker->pool);
	freep(&checker->options.proc_root);
	freep(&checker->options.sysfs_root);
	freep(&checker->options.dev_root);
	free(checker);
	return NULL;
}

struct usage_check *usage_check_start(struct usage_checker *checker, const char *name,
				      const struct usage_ignore *ignore, usage_done_fn done,
				      void *arg)
{
	struct usage_check *check = xnew(struct usage_check);

	assert(name && ignore && done);
	check->call.done = on_scanned;
	check->checker = checker;
	check->again.fire = on_again;
	check->since_ms = clock_waking_ms();
	check->name = xstrdup(name);
	check->map_uuid = xstrdup(ignore->map_uuid);
	check->ignore = *ignore;
	check->ignore.map_uuid = check->map_uuid;
	check->done = done;
	check->arg = arg;
	TAILQ_INSERT_TAIL(&checker->checks, check, entry);
	start_scan(check);
	return check;
}

void usage_check_cancel(struct usage_check *check)
{
	if (!loop_timer_is_set(&check->again))
		blocking_cancel(&check->call);
	check_free(check);
}
