/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Disks that are looked at without workers; see fake_disk.h. */

#include "fake_disk.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "disk/usage_scan.h"

#define ANSWER_MS 20

struct fake_disk fake_disk;

void fake_disk_init(void)
{
	fake_disk = (struct fake_disk){ 0 };
}

/* ---- disk/probe.h ---- */

struct prober {
	struct loop *loop;
	int64_t timeout_ms;
	size_t pending;
};

struct probe {
	struct prober *prober;
	struct loop_timer timer;
	bool hangs;
	probe_done_fn done;
	void *arg;
};

struct prober *prober_new(struct loop *loop, int64_t timeout_ms, const char *setting)
{
	struct prober *prober = xnew(struct prober);

	prober->loop = loop;
	prober->timeout_ms = timeout_ms;
	return prober;
}

struct prober *prober_free(struct prober *prober)
{
	if (prober && prober->pending)
		abort(); /* whoever asked is gone, or leaks */
	free(prober);
	return NULL;
}

static void on_probe(struct loop_timer *timer)
{
	struct probe *probe = container_of(timer, struct probe, timer);
	struct probe_result result = fake_disk.contents;

	if (probe->hangs)
		err_set(&result.err, ERR_TIMEOUT, "the disk hangs");
	probe->prober->pending--;
	probe->done(probe->arg, &result);
	free(probe);
}

struct probe *probe_start(struct prober *prober, const char *path, probe_done_fn done, void *arg)
{
	struct probe *probe = xnew(struct probe);

	*probe = (struct probe){ .prober = prober,
				 .timer.fire = on_probe,
				 .hangs = fake_disk.hangs,
				 .done = done,
				 .arg = arg };
	prober->pending++;
	loop_timer_set(prober->loop, &probe->timer, probe->hangs ? prober->timeout_ms : ANSWER_MS);
	return probe;
}

void probe_cancel(struct probe *probe)
{
	probe->prober->pending--;
	loop_timer_clear(probe->prober->loop, &probe->timer);
	free(probe);
}

/* ---- disk/usage.h ---- */

struct usage_checker {
	struct loop *loop;
	struct usage_options options;
	size_t pending;
};

struct usage_check {
	struct usage_checker *checker;
	struct loop_timer timer;
	struct usage_report report;
	bool hangs;
	usage_done_fn done;
	void *arg;
};

struct usage_checker *usage_checker_new(struct loop *loop, const struct usage_options *options)
{
	struct usage_checker *checker = xnew(struct usage_checker);

	checker->loop = loop;
	checker->options = *options;
	checker->options.proc_root = xstrdup(options->proc_root);
	checker->options.sysfs_root = xstrdup(options->sysfs_root);
	checker->options.dev_root = xstrdup(options->dev_root);
	return checker;
}

struct usage_checker *usage_checker_free(struct usage_checker *checker)
{
	if (!checker)
		return NULL;
	if (checker->pending)
		abort();
	freep(&checker->options.proc_root);
	freep(&checker->options.sysfs_root);
	freep(&checker->options.dev_root);
	free(checker);
	return NULL;
}

static void check_free(struct usage_check *check)
{
	check->checker->pending--;
	loop_timer_clear(check->checker->loop, &check->timer);
	usage_report_clear(&check->report);
	free(check);
}

/* Descriptors of a block device are not in a folder of files. */
static void add_opener(struct usage_report *report)
{
	if (!fake_disk.opener || fake_disk.opener == report->pid || report->openers)
		return;
	if (report->kind < USAGE_HELD)
		report->kind = USAGE_HELD;
	report->beside = true;
	buf_printf(&report->what, "open in process %d", fake_disk.opener);
}

static void on_check(struct loop_timer *timer)
{
	struct usage_check *check = container_of(timer, struct usage_check, timer);
	struct usage_result result = { .what = "", .left_out = "" };

	if (check->hangs) {
		err_set(&result.err, ERR_TIMEOUT, "the disk hangs");
	} else {
		usage_scan(&check->report);
		add_opener(&check->report);
		result.err = check->report.err;
		result.kind = check->report.kind;
		result.only_open = check->report.only_open;
		result.beside = check->report.beside;
		usage_report_users(&check->report, &result);
	}
	check->done(check->arg, &result);
	check_free(check);
}

struct usage_check *usage_check_start(struct usage_checker *checker, const char *name,
				      const struct usage_ignore *ignore, usage_done_fn done,
				      void *arg)
{
	struct usage_check *check = xnew(struct usage_check);
	int64_t answer_ms = fake_disk.usage_ms ? fake_disk.usage_ms : ANSWER_MS;

	fake_disk.usage_checks++;
	checker->pending++;
	*check = (struct usage_check){ .checker = checker,
				       .timer.fire = on_check,
				       .hangs = fake_disk.hangs,
				       .done = done,
				       .arg = arg };
	usage_report_init(&check->report, &checker->options, name, ignore);
	if (check->hangs)
		answer_ms = checker->options.timeout_ms;
	loop_timer_set(checker->loop, &check->timer, answer_ms);
	return check;
}

void usage_check_cancel(struct usage_check *check)
{
	check_free(check);
}

/* ---- disk/flush.h ---- */

struct flusher {
	struct loop *loop;
	int64_t timeout_ms;
	size_t pending;
};

struct flush {
	struct flusher *flusher;
	struct loop_timer timer;
	bool hangs;
	flush_done_fn done;
	void *arg;
};

struct flusher *flusher_new(struct loop *loop, const struct usage_options *options)
{
	struct flusher *flusher = xnew(struct flusher);

	flusher->loop = loop;
	flusher->timeout_ms = options->timeout_ms;
	return flusher;
}

void flusher_set_timeout(struct flusher *flusher, int64_t timeout_ms)
{
}

struct flusher *flusher_free(struct flusher *flusher)
{
	if (flusher && flusher->pending)
		abort();
	free(flusher);
	return NULL;
}

static void on_flush(struct loop_timer *timer)
{
	struct flush *flush = container_of(timer, struct flush, timer);
	struct err err = fake_disk.flush_err;

	if (flush->hangs)
		err_set(&err, ERR_TIMEOUT, "the disk hangs");
	flush->flusher->pending--;
	flush->done(flush->arg, &err);
	free(flush);
}

static struct flush *flush_begin(struct flusher *flusher, const char *mark, const char *name,
				 flush_done_fn done, void *arg)
{
	struct flush *flush = xnew(struct flush);

	fake_disk.flushes++;
	snprintf(fake_disk.flushed + strlen(fake_disk.flushed),
		 sizeof(fake_disk.flushed) - strlen(fake_disk.flushed), "%s%s ", mark, name);
	flusher->pending++;
	*flush = (struct flush){ .flusher = flusher,
				 .timer.fire = on_flush,
				 .hangs = fake_disk.hangs,
				 .done = done,
				 .arg = arg };
	loop_timer_set(flusher->loop, &flush->timer,
		       flush->hangs ? flusher->timeout_ms : ANSWER_MS);
	return flush;
}

struct flush *flush_start(struct flusher *flusher, const char *path, flush_done_fn done, void *arg)
{
	return flush_begin(flusher, "", strrchr(path, '/') + 1, done, arg);
}

struct flush *flush_upper_start(struct flusher *flusher, const char *name, flush_done_fn done,
				void *arg)
{
	return flush_begin(flusher, "on-", name, done, arg);
}

void flush_cancel(struct flush *flush)
{
	flush->flusher->pending--;
	loop_timer_clear(flush->flusher->loop, &flush->timer);
	free(flush);
}

/* ---- disk/rescan.h ---- */

struct rescanner {
	struct loop *loop;
	size_t pending;
};

struct rescan {
	struct rescanner *rescanner;
	struct loop_timer timer;
	rescan_done_fn done;
	void *arg;
};

struct rescanner *rescanner_new(struct loop *loop, const char *sysfs_root, int64_t timeout_ms,
				const char *setting)
{
	struct rescanner *rescanner = xnew(struct rescanner);

	rescanner->loop = loop;
	return rescanner;
}

struct rescanner *rescanner_free(struct rescanner *rescanner)
{
	if (rescanner && rescanner->pending)
		abort();
	free(rescanner);
	return NULL;
}

static void on_rescan(struct loop_timer *timer)
{
	struct rescan *rescan = container_of(timer, struct rescan, timer);

	rescan->rescanner->pending--;
	rescan->done(rescan->arg, &fake_disk.rescan_err);
	free(rescan);
}

struct rescan *rescan_start(struct rescanner *rescanner, const char *name, rescan_done_fn done,
			    void *arg)
{
	struct rescan *rescan = xnew(struct rescan);

	fake_disk.rescans++;
	rescanner->pending++;
	*rescan = (struct rescan){
		.rescanner = rescanner, .timer.fire = on_rescan, .done = done, .arg = arg
	};
	loop_timer_set(rescanner->loop, &rescan->timer, ANSWER_MS);
	return rescan;
}

void rescan_cancel(struct rescan *rescan)
{
	rescan->rescanner->pending--;
	loop_timer_clear(rescan->rescanner->loop, &rescan->timer);
	free(rescan);
}

/* ---- disk/opener.h ---- */

struct disk_opener {
	struct loop *loop;
	size_t pending;
};

struct disk_opening {
	struct disk_opener *opener;
	struct loop_timer timer;
	disk_opened_fn done;
	void *arg;
};

struct disk_opener *disk_opener_new(struct loop *loop, const char *sysfs_root, int64_t timeout_ms,
				    const char *setting)
{
	struct disk_opener *opener = xnew(struct disk_opener);

	opener->loop = loop;
	return opener;
}

struct disk_opener *disk_opener_free(struct disk_opener *opener)
{
	if (opener && opener->pending)
		abort();
	free(opener);
	return NULL;
}

static void on_open(struct loop_timer *timer)
{
	struct disk_opening *opening = container_of(timer, struct disk_opening, timer);
	int fd = fake_disk.open_err.code ? -1 : open("/dev/null", O_RDWR | O_CLOEXEC);

	opening->opener->pending--;
	opening->done(opening->arg, fd, &fake_disk.open_err);
	if (fd >= 0)
		close(fd);
	free(opening);
}

struct disk_opening *disk_open_start(struct disk_opener *opener, const struct device *disk,
				     const char *volume_id, bool read_only, disk_opened_fn done,
				     void *arg)
{
	struct disk_opening *opening = xnew(struct disk_opening);

	snprintf(fake_disk.opened, sizeof(fake_disk.opened), "%s%s", disk->name,
		 read_only ? " read-only" : "");
	opener->pending++;
	*opening = (struct disk_opening){
		.opener = opener, .timer.fire = on_open, .done = done, .arg = arg
	};
	loop_timer_set(opener->loop, &opening->timer, ANSWER_MS);
	return opening;
}

void disk_open_cancel(struct disk_opening *opening)
{
	opening->opener->pending--;
	loop_timer_clear(opening->opener->loop, &opening->timer);
	free(opening);
}
