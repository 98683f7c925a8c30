/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The commands, and the parameters of each.
 *
 * A command that changes something is a POST, and a command that becomes a job carries a job id of
 * the caller's choice (customjobid). That parameter is undocumented, works since 4.5, and lets the
 * caller ask about a command that was cut off. A server that ignores it answers with a job id of
 * its own, which the caller must keep instead.
 */

#include <assert.h>

#include "cloud/cloud_command.h"
#include "cloud/cloud_queue.h"

#define LOOKUP_PARAM 1 /* place of the id in a list's parameters */

struct cloud_call *cloud_create_volume(struct cloud *cloud, const char *name, const char *zone_id,
				       const char *offering_id, uint64_t size_gib,
				       const char *job_id, cloud_done_fn done, void *arg)
{
	struct cloud_call *call =
		cloud_call_new(cloud->queue, CLOUD_COMMAND_CREATE_VOLUME, done, arg);

	assert(!str_empty(name) && !str_empty(zone_id) && !str_empty(offering_id) &&
	       !str_empty(job_id));
	assert(size_gib <= INT64_MAX);

	cloud_call_add(call, "name", name);
	cloud_call_add(call, "zoneid", zone_id);
	cloud_call_add(call, "diskofferingid", offering_id);
	/* Offerings of a fixed size refuse a size. */
	if (size_gib > 0)
		cloud_call_add_int(call, "size", (int64_t)size_gib);
	cloud_call_add(call, "customjobid", job_id);
	return cloud_queue_add(call);
}

struct cloud_call *cloud_attach_volume(struct cloud *cloud, const char *volume_id,
				       const char *vm_id, const char *job_id, cloud_done_fn done,
				       void *arg)
{
	struct cloud_call *call =
		cloud_call_new(cloud->queue, CLOUD_COMMAND_ATTACH_VOLUME, done, arg);

	assert(!str_empty(volume_id) && !str_empty(vm_id) && !str_empty(job_id));

	/*
	 * No deviceid: the number says nothing about the device in the guest, and 0 would turn the
	 * volume into a root disk.
	 */
	cloud_call_add(call, "id", volume_id);
	cloud_call_add(call, "virtualmachineid", vm_id);
	cloud_call_add(call, "customjobid", job_id);
	return cloud_queue_add(call);
}

struct cloud_call *cloud_detach_volume(struct cloud *cloud, const char *volume_id,
				       const char *job_id, cloud_done_fn done, void *arg)
{
	struct cloud_call *call =
		cloud_call_new(cloud->queue, CLOUD_COMMAND_DETACH_VOLUME, done, arg);

	assert(!str_empty(volume_id) && !str_empty(job_id));

	cloud_call_add(call, "id", volume_id);
	cloud_call_add(call, "customjobid", job_id);
	return cloud_queue_add(call);
}

struct cloud_call *cloud_resize_volume(struct cloud *cloud, const char *volume_id,
				       uint64_t size_gib, bool shrink_ok, const char *job_id,
				       cloud_done_fn done, void *arg)
{
	struct cloud_call *call =
		cloud_call_new(cloud->queue, CLOUD_COMMAND_RESIZE_VOLUME, done, arg);

	assert(!str_empty(volume_id) && !str_empty(job_id));
	assert(size_gib > 0 && size_gib <= INT64_MAX);

	/*
	 * No disk offering: even an offering of a fixed size allows another size of the same
	 * volume, and a move to another offering is a different change.
	 */
	cloud_call_add(call, "id", volume_id);
	cloud_call_add_int(call, "size", (int64_t)size_gib);
	cloud_call_add(call, "shrinkok", shrink_ok ? "true" : NULL);
	cloud_call_add(call, "customjobid", job_id);
	return cloud_queue_add(call);
}

/*
 * Not deleteVolume, which keeps the connection waiting until the storage is done and has no job to
 * query.
 */
struct cloud_call *cloud_destroy_volume(struct cloud *cloud, const char *volume_id,
					const char *job_id, cloud_done_fn done, void *arg)
{
	struct cloud_call *call =
		cloud_call_new(cloud->queue, CLOUD_COMMAND_DESTROY_VOLUME, done, arg);

	assert(!str_empty(volume_id) && !str_empty(job_id));

	cloud_call_add(call, "id", volume_id);
	cloud_call_add(call, "expunge", "true");
	cloud_call_add(call, "customjobid", job_id);
	return cloud_queue_add(call);
}

struct cloud_call *cloud_rename_volume(struct cloud *cloud, const char *volume_id, const char *name,
				       const char *job_id, cloud_done_fn done, void *arg)
{
	struct cloud_call *call =
		cloud_call_new(cloud->queue, CLOUD_COMMAND_UPDATE_VOLUME, done, arg);

	assert(!str_empty(volume_id) && !str_empty(name) && !str_empty(job_id));

	cloud_call_add(call, "id", volume_id);
	cloud_call_add(call, "name", name);
	cloud_call_add(call, "customjobid", job_id);
	return cloud_queue_add(call);
}

struct cloud_call *cloud_list_volumes(struct cloud *cloud, const struct cloud_volume_filter *filter,
				      cloud_done_fn done, void *arg)
{
	struct cloud_call *call =
		cloud_call_new(cloud->queue, CLOUD_COMMAND_LIST_VOLUMES, done, arg);

	assert(filter && filter->page >= 0);

	cloud_call_add(call, "listall", "true");
	cloud_call_add(call, "id", filter->id); /* LOOKUP_PARAM */
	cloud_call_add(call, "name", filter->name);
	cloud_call_add(call, "virtualmachineid", filter->vm_id);
	if (filter->page > 0) {
		cloud_call_add_int(call, "page", filter->page);
		cloud_call_add_int(call, "pagesize", CLOUD_PAGE_SIZE);
	}
	call->name = xstrdup(filter->name);
	if (filter->id && !filter->name && !filter->vm_id && filter->page == 0)
		call->lookup = call->params[LOOKUP_PARAM].value;
	return cloud_queue_add(call);
}

struct cloud_call *cloud_find_job(struct cloud *cloud, const char *job_id, cloud_done_fn done,
				  void *arg)
{
	struct cloud_call *call = cloud_call_new(cloud->queue, CLOUD_COMMAND_QUERY_JOB, done, arg);

	assert(!str_empty(job_id));

	cloud_call_add(call, "jobid", job_id);
	return cloud_queue_add(call);
}

struct cloud_call *cloud_list_jobs(struct cloud *cloud, int64_t page, cloud_done_fn done, void *arg)
{
	struct cloud_call *call = cloud_call_new(cloud->queue, CLOUD_COMMAND_LIST_JOBS, done, arg);

	/* Not only this user's jobs: the keys may belong to another user of the account by now. */
	cloud_call_add(call, "listall", "true");
	cloud_call_add_int(call, "page", page);
	cloud_call_add_int(call, "pagesize", CLOUD_PAGE_SIZE);
	return cloud_queue_add(call);
}
