/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Walking through a list of many rows.
 *
 * How long a page may be is known only to CloudStack: an administrator may have lowered the limit
 * (the refusal names it), rows may be so long that a page is beyond our bound, and a page may take
 * the server longer than a request may last. So a walk learns the length, and later walks begin
 * with it. If no answer comes, the walk asks for a page of one row: if CloudStack answers that, the
 * longer page was too much. Once full pages are quick, later walks try longer ones again, since the
 * server may have been busy only for a while.
 *
 * The rows alone show the end: a page that is not full is the last. If a page shows nothing new, or
 * there are too many pages, the walk fails, since it would never come to an end.
 */

#include "cloud/cloud_walk.h"

#include <assert.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "cloud/cloud_command.h"
#include "cloud/cloud_error.h"

#define PAGE_SIZE 500
#define VOLUME_PAGES_MAX 1000
/* Of other lists, which are kept whole in memory while they are answered. */
#define LIST_PAGES_MAX 100
#define QUICK_MS 1000 /* twice as many rows would not be slow */

struct seen_row {
	UT_hash_handle hh;
	char *id;
};

struct cloud_walk {
	struct cloud_list list;
	char *vm_id, *volume_id, *keyword;
	struct cloud_call *call; /* a page, or the look whether CloudStack is there */
	int64_t passed;          /* rows before the page */
	int64_t page;
	int64_t size;
	int64_t asked; /* pages so far */
	int64_t asked_ms;
	int64_t slowest_ms;
	struct err silence; /* what came instead of the page */
	bool was_too_long;
	struct seen_row *seen;
	cloud_done_fn on_page;
	cloud_done_fn done;
	void *arg;
};

void cloud_page_size_init(struct cloud_page_size *size)
{
	size->now = size->limit = PAGE_SIZE;
}

static void walk_free(struct cloud_walk *walk)
{
	struct seen_row *row, *next;

	HASH_ITER(hh, walk->seen, row, next) {
		HASH_DEL(walk->seen, row);
		free(row->id);
		free(row);
	}
	free(walk->vm_id);
	free(walk->volume_id);
	free(walk->keyword);
	free(walk);
}

/* ---- ends ---- */

static void end(struct cloud_walk *walk, const struct cloud_result *result)
{
	walk->done(walk->arg, result);
	walk_free(walk);
}

static void end_whole(struct cloud_walk *walk)
{
	struct cloud_page_size *size = walk->list.size;

	if (walk->passed > 0 && walk->slowest_ms <= QUICK_MS)
		size->now = size->now < size->limit / 2 ? size->now * 2 : size->limit;
	end(walk, &(struct cloud_result){ .outcome = CLOUD_OK });
}

static void end_silent(struct cloud_walk *walk)
{
	end(walk, &(struct cloud_result){ .outcome = CLOUD_AWAY, .err = walk->silence });
}

static void end_endless(struct cloud_walk *walk, const char *why)
{
	struct cloud_result result = { .outcome = CLOUD_AWAY, .endless = true };

	err_set(&result.err, ERR_UNAVAILABLE,
		"CloudStack's list of %s does not end: %s %lld with %lld rows a page",
		walk->list.what, why, (long long)walk->page, (long long)walk->size);
	end(walk, &result);
}

/* ---- pages ---- */

static void on_page(void *arg, const struct cloud_result *result);

/* With another size than before, some rows may come once more. */
static void ask_page(struct cloud_walk *walk)
{
	if (walk->asked == walk->list.pages_max) {
		end_endless(walk, "it goes on after page");
		return;
	}
	walk->asked++;
	walk->asked_ms = clock_waking_ms();
	walk->size = walk->list.size->now;
	walk->page = walk->passed / walk->size + 1;
	walk->call = walk->list.ask(&walk->list, walk->page, walk->size, on_page, walk);
}

/* Later walks begin with the smaller size, too. */
static void ask_smaller(struct cloud_walk *walk, int64_t size, bool is_limit)
{
	struct cloud_page_size *sizes = walk->list.size;

	log_notice("cloud: the list of %s is read with %lld rows a page instead of %lld",
		   walk->list.what, (long long)size, (long long)walk->size);
	if (is_limit)
		sizes->limit = size;
	sizes->now = size;
	ask_page(walk);
}

static void on_refused(struct cloud_walk *walk, const struct cloud_result *result)
{
	int64_t limit, size = walk->size / 2;

	if (walk->size == 1 || !cloud_error_page_size(&result->err, &limit)) {
		end(walk, result);
		return;
	}
	if (limit > 0 && limit < walk->size)
		size = limit;
	ask_smaller(walk, size, true);
}

static void on_there(void *arg, const struct cloud_result *result)
{
	struct cloud_walk *walk = arg;

	walk->call = NULL;
	if (result->outcome == CLOUD_OK)
		ask_smaller(walk, walk->size / 2, walk->was_too_long);
	else
		end_silent(walk);
}

/* CloudStack itself has not answered. */
static void on_silence(struct cloud_walk *walk, const struct cloud_result *result)
{
	walk->silence = result->err;
	walk->was_too_long = result->too_long;
	if (walk->size == 1)
		end_silent(walk);
	else
		walk->call = walk->list.ask(&walk->list, 1, 1, on_there, walk);
}

static bool note_row(struct cloud_walk *walk, const char *id)
{
	struct seen_row *row;

	HASH_FIND_STR(walk->seen, id, row);
	if (row)
		return false;
	row = xnew(struct seen_row);
	row->id = xstrdup(id);
	HASH_ADD_KEYPTR(hh, walk->seen, row->id, strlen(row->id), row);
	return true;
}

static const char *id_of_row(const struct cloud_result *result, size_t index)
{
	if (result->volumes)
		return result->volumes[index].id;
	if (result->vms)
		return result->vms[index].id;
	if (result->zones)
		return result->zones[index].id;
	if (result->offerings)
		return result->offerings[index].id;
	if (result->snapshots)
		return result->snapshots[index].id;
	return result->jobs[index];
}

/* A page whose rows are all left out may be followed by others. */
static bool brings_new_rows(struct cloud_walk *walk, const struct cloud_result *result)
{
	size_t fresh = 0;

	for (size_t i = 0; i < result->count; i++)
		fresh += note_row(walk, id_of_row(result, i));
	return result->count == 0 || fresh > 0;
}

static void on_rows(struct cloud_walk *walk, const struct cloud_result *result)
{
	int64_t took_ms = clock_waking_ms() - walk->asked_ms;
	bool fresh = brings_new_rows(walk, result);

	if (took_ms > walk->slowest_ms)
		walk->slowest_ms = took_ms;
	walk->on_page(walk->arg, result);
	if ((int64_t)result->rows < walk->size) {
		end_whole(walk);
	} else if (!fresh) {
		end_endless(walk, "nothing new is on page");
	} else {
		walk->passed = walk->page * walk->size;
		ask_page(walk);
	}
}

static void on_page(void *arg, const struct cloud_result *result)
{
	struct cloud_walk *walk = arg;

	walk->call = NULL;
	if (result->outcome == CLOUD_OK)
		on_rows(walk, result);
	else if (result->outcome == CLOUD_REFUSED)
		on_refused(walk, result);
	else if (result->err.cloud_code == 0)
		on_silence(walk, result);
	else
		end(walk, result);
}

/* ---- from outside ---- */

struct cloud_walk *cloud_walk_new(const struct cloud_list *list, cloud_done_fn on_page_fn,
				  cloud_done_fn done, void *arg)
{
	struct cloud_walk *walk = xnew(struct cloud_walk);

	assert(list->pages_max > 0 && on_page_fn && done);

	walk->list = *list;
	walk->vm_id = xstrdup(list->vm_id);
	walk->list.vm_id = walk->vm_id;
	walk->volume_id = xstrdup(list->volume_id);
	walk->list.volume_id = walk->volume_id;
	walk->keyword = xstrdup(list->keyword);
	walk->list.keyword = walk->keyword;
	walk->on_page = on_page_fn;
	walk->done = done;
	walk->arg = arg;
	ask_page(walk);
	return walk;
}

struct cloud_walk *cloud_walk_volumes(struct cloud *cloud, const char *vm_id,
				      cloud_done_fn on_page_fn, cloud_done_fn done, void *arg)
{
	const struct cloud_list list = {
		.cloud = cloud,
		.vm_id = vm_id,
		.what = "volumes",
		.ask = cloud_list_volume_page,
		.size = &cloud->volume_pages,
		.pages_max = VOLUME_PAGES_MAX,
	};

	return cloud_walk_new(&list, on_page_fn, done, arg);
}

struct cloud_walk *cloud_walk_named(struct cloud *cloud, const char *part, cloud_done_fn on_page_fn,
				    cloud_done_fn done, void *arg)
{
	const struct cloud_list list = {
		.cloud = cloud,
		.keyword = part,
		.what = "volumes",
		.ask = cloud_list_volume_page,
		.size = &cloud->volume_pages,
		.pages_max = VOLUME_PAGES_MAX,
	};

	assert(!str_empty(part));
	return cloud_walk_new(&list, on_page_fn, done, arg);
}

struct cloud_walk *cloud_walk_own_jobs(struct cloud *cloud, cloud_done_fn on_page_fn,
				       cloud_done_fn done, void *arg)
{
	const struct cloud_list list = {
		.cloud = cloud,
		.own = true,
		.what = "jobs",
		.ask = cloud_list_job_page,
		.size = &cloud->job_pages,
		.pages_max = CLOUD_JOB_PAGES_MAX,
	};

	return cloud_walk_new(&list, on_page_fn, done, arg);
}

static struct cloud_walk *walk_list(struct cloud *cloud, const char *what, cloud_page_fn ask,
				    struct cloud_page_size *size, cloud_done_fn on_page_fn,
				    cloud_done_fn done, void *arg)
{
	const struct cloud_list list = {
		.cloud = cloud,
		.what = what,
		.ask = ask,
		.size = size,
		.pages_max = LIST_PAGES_MAX,
	};

	return cloud_walk_new(&list, on_page_fn, done, arg);
}

struct cloud_walk *cloud_walk_vms(struct cloud *cloud, cloud_done_fn on_page_fn, cloud_done_fn done,
				  void *arg)
{
	return walk_list(cloud, "VMs", cloud_list_vm_page, &cloud->vm_pages, on_page_fn, done, arg);
}

struct cloud_walk *cloud_walk_zones(struct cloud *cloud, cloud_done_fn on_page_fn,
				    cloud_done_fn done, void *arg)
{
	return walk_list(cloud, "zones", cloud_list_zone_page, &cloud->catalog_pages, on_page_fn,
			 done, arg);
}

struct cloud_walk *cloud_walk_offerings(struct cloud *cloud, cloud_done_fn on_page_fn,
					cloud_done_fn done, void *arg)
{
	return walk_list(cloud, "disk offerings", cloud_list_offering_page, &cloud->catalog_pages,
			 on_page_fn, done, arg);
}

struct cloud_walk *cloud_walk_snapshots(struct cloud *cloud, const char *volume_id,
					cloud_done_fn on_page_fn, cloud_done_fn done, void *arg)
{
	const struct cloud_list list = {
		.cloud = cloud,
		.volume_id = volume_id,
		.what = "snapshots",
		.ask = cloud_list_snapshot_page,
		.size = &cloud->snapshot_pages,
		.pages_max = LIST_PAGES_MAX,
	};

	return cloud_walk_new(&list, on_page_fn, done, arg);
}

void cloud_walk_cancel(struct cloud_walk *walk)
{
	cloud_call_cancel(walk->call);
	walk_free(walk);
}
