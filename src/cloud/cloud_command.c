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

static struct cloud_call *add_change(struct cloud_call *call, const char *job_id, int64_t asked_ms)
{
	cloud_call_add(call, "customjobid", job_id);
	call->asked_ms = asked_ms;
	return cloud_queue_add(call);
}

struct cloud_call *cloud_create_volume(struct cloud *cloud, const struct cloud_creation *creation,
				       const char *job_id, int64_t asked_ms, cloud_done_fn done,
				       void *arg)
{
	struct cloud_call *call =
		cloud_call_new(cloud->queue, CLOUD_COMMAND_CREATE_VOLUME, done, arg);

	assert(!str_empty(creation->name) && !str_empty(creation->zone_id) &&
	       !str_empty(creation->offering_id) && !str_empty(job_id));
	assert(creation->size_gib <= INT64_MAX);

	cloud_call_add(call, "name", creation->name);
	cloud_call_add(call, "zoneid", creation->zone_id);
	cloud_call_add(call, "diskofferingid", creation->offering_id);
	cloud_call_add(call, "projectid", creation->project_id);
	/* Offerings of a fixed size refuse a size. */
	if (creation->size_gib > 0)
		cloud_call_add_int(call, "size", (int64_t)creation->size_gib);
	return add_change(call, job_id, asked_ms);
}

static struct cloud_call *attach_new(struct cloud *cloud, const char *volume_id, const char *vm_id,
				     int64_t device_id, cloud_done_fn done, void *arg)
{
	struct cloud_call *call =
		cloud_call_new(cloud->queue, CLOUD_COMMAND_ATTACH_VOLUME, done, arg);

	assert(!str_empty(volume_id) && !str_empty(vm_id));

	cloud_call_add(call, "id", volume_id);
	cloud_call_add(call, "virtualmachineid", vm_id);
	if (device_id >= 0)
		cloud_call_add_int(call, "deviceid", device_id);
	return call;
}

struct cloud_call *cloud_attach_volume(struct cloud *cloud, const char *volume_id,
				       const char *vm_id, int64_t device_id, const char *job_id,
				       int64_t asked_ms, cloud_done_fn done, void *arg)
{
	assert(!str_empty(job_id));
	/* 0 would turn the volume into a root disk. */
	assert(device_id == -1 || device_id > 0);

	return add_change(attach_new(cloud, volume_id, vm_id, device_id, done, arg), job_id,
			  asked_ms);
}

struct cloud_call *cloud_attach_root(struct cloud *cloud, const char *volume_id, const char *vm_id,
				     const char *job_id, int64_t asked_ms, cloud_done_fn done,
				     void *arg)
{
	assert(!str_empty(job_id));

	return add_change(attach_new(cloud, volume_id, vm_id, 0, done, arg), job_id, asked_ms);
}

struct cloud_call *cloud_detach_volume(struct cloud *cloud, const char *volume_id,
				       const char *job_id, int64_t asked_ms, cloud_done_fn done,
				       void *arg)
{
	struct cloud_call *call =
		cloud_call_new(cloud->queue, CLOUD_COMMAND_DETACH_VOLUME, done, arg);

	assert(!str_empty(volume_id) && !str_empty(job_id));

	cloud_call_add(call, "id", volume_id);
	return add_change(call, job_id, asked_ms);
}

struct cloud_call *cloud_resize_volume(struct cloud *cloud, const char *volume_id,
				       uint64_t size_gib, bool shrink_ok, const char *job_id,
				       int64_t asked_ms, cloud_done_fn done, void *arg)
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
	return add_change(call, job_id, asked_ms);
}

struct cloud_call *cloud_destroy_volume(struct cloud *cloud, const char *volume_id, bool expunge,
					const char *job_id, int64_t asked_ms, cloud_done_fn done,
					void *arg)
{
	struct cloud_call *call =
		cloud_call_new(cloud->queue, CLOUD_COMMAND_DESTROY_VOLUME, done, arg);

	assert(!str_empty(volume_id) && !str_empty(job_id));

	cloud_call_add(call, "id", volume_id);
	cloud_call_add(call, "expunge", expunge ? "true" : NULL);
	return add_change(call, job_id, asked_ms);
}

struct cloud_call *cloud_delete_volume(struct cloud *cloud, const char *volume_id, int64_t asked_ms,
				       cloud_done_fn done, void *arg)
{
	struct cloud_call *call =
		cloud_call_new(cloud->queue, CLOUD_COMMAND_DELETE_VOLUME, done, arg);

	assert(!str_empty(volume_id));

	cloud_call_add(call, "id", volume_id);
	call->asked_ms = asked_ms;
	return cloud_queue_add(call);
}

struct cloud_call *cloud_rename_volume(struct cloud *cloud, const char *volume_id, const char *name,
				       const char *job_id, int64_t asked_ms, cloud_done_fn done,
				       void *arg)
{
	struct cloud_call *call =
		cloud_call_new(cloud->queue, CLOUD_COMMAND_UPDATE_VOLUME, done, arg);

	assert(!str_empty(volume_id) && !str_empty(name) && !str_empty(job_id));

	cloud_call_add(call, "id", volume_id);
	cloud_call_add(call, "name", name);
	return add_change(call, job_id, asked_ms);
}

static struct cloud_call *vm_change_new(struct cloud *cloud, enum cloud_command_id id,
					const char *vm_id, cloud_done_fn done, void *arg)
{
	struct cloud_call *call = cloud_call_new(cloud->queue, id, done, arg);

	assert(!str_empty(vm_id));

	cloud_call_add(call, "id", vm_id);
	return call;
}

struct cloud_call *cloud_stop_vm(struct cloud *cloud, const char *vm_id, const char *job_id,
				 int64_t asked_ms, cloud_done_fn done, void *arg)
{
	struct cloud_call *call = vm_change_new(cloud, CLOUD_COMMAND_STOP_VM, vm_id, done, arg);

	cloud_call_add(call, "forced", "true");
	return add_change(call, job_id, asked_ms);
}

struct cloud_call *cloud_start_vm(struct cloud *cloud, const char *vm_id, const char *job_id,
				  int64_t asked_ms, cloud_done_fn done, void *arg)
{
	return add_change(vm_change_new(cloud, CLOUD_COMMAND_START_VM, vm_id, done, arg), job_id,
			  asked_ms);
}

struct cloud_call *cloud_expunge_vm(struct cloud *cloud, const char *vm_id, const char *job_id,
				    int64_t asked_ms, cloud_done_fn done, void *arg)
{
	struct cloud_call *call = vm_change_new(cloud, CLOUD_COMMAND_DESTROY_VM, vm_id, done, arg);

	cloud_call_add(call, "expunge", "true");
	return add_change(call, job_id, asked_ms);
}

struct cloud_call *cloud_create_snapshot(struct cloud *cloud, const char *volume_id,
					 const char *name, const char *job_id, int64_t asked_ms,
					 cloud_done_fn done, void *arg)
{
	struct cloud_call *call =
		cloud_call_new(cloud->queue, CLOUD_COMMAND_CREATE_SNAPSHOT, done, arg);

	assert(!str_empty(volume_id) && !str_empty(name) && !str_empty(job_id));

	cloud_call_add(call, "volumeid", volume_id);
	cloud_call_add(call, "name", name);
	return add_change(call, job_id, asked_ms);
}

static struct cloud_call *snapshot_change(struct cloud *cloud, enum cloud_command_id id,
					  const char *snapshot_id, const char *job_id,
					  int64_t asked_ms, cloud_done_fn done, void *arg)
{
	struct cloud_call *call = cloud_call_new(cloud->queue, id, done, arg);

	assert(!str_empty(snapshot_id) && !str_empty(job_id));

	cloud_call_add(call, "id", snapshot_id);
	return add_change(call, job_id, asked_ms);
}

struct cloud_call *cloud_revert_snapshot(struct cloud *cloud, const char *snapshot_id,
					 const char *job_id, int64_t asked_ms, cloud_done_fn done,
					 void *arg)
{
	return snapshot_change(cloud, CLOUD_COMMAND_REVERT_SNAPSHOT, snapshot_id, job_id, asked_ms,
			       done, arg);
}

struct cloud_call *cloud_delete_snapshot(struct cloud *cloud, const char *snapshot_id,
					 const char *job_id, int64_t asked_ms, cloud_done_fn done,
					 void *arg)
{
	return snapshot_change(cloud, CLOUD_COMMAND_DELETE_SNAPSHOT, snapshot_id, job_id, asked_ms,
			       done, arg);
}

struct cloud_call *cloud_list_snapshots(struct cloud *cloud,
					const struct cloud_snapshot_filter *filter,
					cloud_done_fn done, void *arg)
{
	struct cloud_call *call =
		cloud_call_new(cloud->queue, CLOUD_COMMAND_LIST_SNAPSHOTS, done, arg);

	cloud_call_add(call, "listall", "true");
	cloud_call_add(call, "id", filter->id);
	cloud_call_add(call, "volumeid", filter->volume_id);
	cloud_call_add(call, "name", filter->name);
	cloud_call_add(call, "projectid", cloud_queue_project_id(cloud->queue));
	call->name = xstrdup(filter->name);
	return cloud_queue_add(call);
}

struct cloud_call *cloud_list_volumes(struct cloud *cloud, const struct cloud_volume_filter *filter,
				      cloud_done_fn done, void *arg)
{
	struct cloud_call *call =
		cloud_call_new(cloud->queue, CLOUD_COMMAND_LIST_VOLUMES, done, arg);

	assert(filter);

	cloud_call_add(call, "listall", "true");
	cloud_call_add(call, "id", filter->id); /* LOOKUP_PARAM */
	cloud_call_add(call, "projectid", cloud_queue_project_id(cloud->queue));
	cloud_call_add(call, "name", filter->name);
	cloud_call_add(call, "virtualmachineid", filter->vm_id);
	call->name = xstrdup(filter->name);
	if (filter->id && !filter->name && !filter->vm_id)
		call->lookup = call->params[LOOKUP_PARAM].value;
	return cloud_queue_add(call);
}

struct cloud_call *cloud_list_vm(struct cloud *cloud, const char *vm_id, cloud_done_fn done,
				 void *arg)
{
	struct cloud_call *call = cloud_call_new(cloud->queue, CLOUD_COMMAND_LIST_VMS, done, arg);

	assert(!str_empty(vm_id));

	cloud_call_add(call, "listall", "true");
	cloud_call_add(call, "id", vm_id);
	cloud_call_add(call, "projectid", cloud_queue_project_id(cloud->queue));
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

struct cloud_call *cloud_find_zone(struct cloud *cloud, const char *name, cloud_done_fn done,
				   void *arg)
{
	struct cloud_call *call = cloud_call_new(cloud->queue, CLOUD_COMMAND_FIND_ZONE, done, arg);

	assert(!str_empty(name));

	cloud_call_add(call, "name", name);
	call->name = xstrdup(name);
	return cloud_queue_add(call);
}

static struct cloud_call *one_of_list(struct cloud *cloud, enum cloud_command_id id,
				      const char *name, const char *value, cloud_done_fn done,
				      void *arg)
{
	struct cloud_call *call = cloud_call_new(cloud->queue, id, done, arg);

	assert(!str_empty(value));

	cloud_call_add(call, name, value);
	return call;
}

struct cloud_call *cloud_list_zone(struct cloud *cloud, const char *zone_id, cloud_done_fn done,
				   void *arg)
{
	return cloud_queue_add(
		one_of_list(cloud, CLOUD_COMMAND_LIST_ZONES, "id", zone_id, done, arg));
}

struct cloud_call *cloud_list_offering(struct cloud *cloud, const char *offering_id,
				       cloud_done_fn done, void *arg)
{
	return cloud_queue_add(
		one_of_list(cloud, CLOUD_COMMAND_LIST_OFFERINGS, "id", offering_id, done, arg));
}

struct cloud_call *cloud_list_vm_snapshots(struct cloud *cloud, const char *vm_id,
					   cloud_done_fn done, void *arg)
{
	struct cloud_call *call = one_of_list(cloud, CLOUD_COMMAND_LIST_VM_SNAPSHOTS,
					      "virtualmachineid", vm_id, done, arg);

	cloud_call_add(call, "listall", "true");
	cloud_call_add(call, "projectid", cloud_queue_project_id(cloud->queue));
	return cloud_queue_add(call);
}

struct cloud_call *cloud_find_command(struct cloud *cloud, const char *name, cloud_done_fn done,
				      void *arg)
{
	return cloud_queue_add(
		one_of_list(cloud, CLOUD_COMMAND_LIST_APIS, "name", name, done, arg));
}

struct cloud_call *cloud_find_project_limits(struct cloud *cloud, const char *project_id,
					     cloud_done_fn done, void *arg)
{
	return cloud_queue_add(
		one_of_list(cloud, CLOUD_COMMAND_LIST_PROJECTS, "id", project_id, done, arg));
}

struct cloud_call *cloud_find_limits(struct cloud *cloud, const char *owner, cloud_done_fn done,
				     void *arg)
{
	const char *name = owner ? strchr(owner, ' ') : NULL;
	_cleanup_free_ char *domain_id = NULL;
	struct cloud_call *call;

	if (str_has_prefix(owner, CLOUD_OWNER_PROJECT))
		return cloud_find_project_limits(cloud, owner + strlen(CLOUD_OWNER_PROJECT), done,
						 arg);
	call = cloud_call_new(cloud->queue, CLOUD_COMMAND_LIST_ACCOUNTS, done, arg);
	if (name) {
		domain_id = xstrndup(owner, (size_t)(name - owner));
		cloud_call_add(call, "domainid", domain_id);
		cloud_call_add(call, "name", name + 1);
	}
	return cloud_queue_add(call);
}

struct cloud_call *cloud_find_disk_limit(struct cloud *cloud, const char *hypervisor,
					 cloud_done_fn done, void *arg)
{
	return cloud_queue_add(one_of_list(cloud, CLOUD_COMMAND_LIST_HYPERVISORS, "hypervisor",
					   hypervisor, done, arg));
}

static struct cloud_call *page_new(const struct cloud_list *list, enum cloud_command_id id,
				   int64_t page, int64_t size, cloud_done_fn done, void *arg)
{
	struct cloud_call *call = cloud_call_new(list->cloud->queue, id, done, arg);

	assert(page > 0 && size > 0);

	/* Not only this user's: the keys may belong to another user of the account by now. */
	cloud_call_add(call, "listall", list->own ? NULL : "true");
	cloud_call_add(call, "virtualmachineid", list->vm_id);
	cloud_call_add(call, "volumeid", list->volume_id);
	cloud_call_add(call, "keyword", list->keyword);
	cloud_call_add_int(call, "page", page);
	cloud_call_add_int(call, "pagesize", size);
	call->is_page = true;
	call->is_bulk = size > 1;
	return call;
}

struct cloud_call *cloud_list_volume_page(const struct cloud_list *list, int64_t page, int64_t size,
					  cloud_done_fn done, void *arg)
{
	struct cloud_call *call = page_new(list, CLOUD_COMMAND_LIST_VOLUMES, page, size, done, arg);

	cloud_call_add(call, "projectid", cloud_queue_project_id(list->cloud->queue));
	return cloud_queue_add(call);
}

struct cloud_call *cloud_list_job_page(const struct cloud_list *list, int64_t page, int64_t size,
				       cloud_done_fn done, void *arg)
{
	return cloud_queue_add(page_new(list, CLOUD_COMMAND_LIST_JOBS, page, size, done, arg));
}

struct cloud_call *cloud_list_vm_page(const struct cloud_list *list, int64_t page, int64_t size,
				      cloud_done_fn done, void *arg)
{
	struct cloud_call *call = page_new(list, CLOUD_COMMAND_LIST_VMS, page, size, done, arg);

	/* The rest of a VM costs the server ten times as much. */
	cloud_call_add(call, "details", "min");
	cloud_call_add(call, "projectid", cloud_queue_project_id(list->cloud->queue));
	return cloud_queue_add(call);
}

struct cloud_call *cloud_list_zone_page(const struct cloud_list *list, int64_t page, int64_t size,
					cloud_done_fn done, void *arg)
{
	return cloud_queue_add(page_new(list, CLOUD_COMMAND_LIST_ZONES, page, size, done, arg));
}

struct cloud_call *cloud_list_offering_page(const struct cloud_list *list, int64_t page,
					    int64_t size, cloud_done_fn done, void *arg)
{
	return cloud_queue_add(page_new(list, CLOUD_COMMAND_LIST_OFFERINGS, page, size, done, arg));
}

struct cloud_call *cloud_list_snapshot_page(const struct cloud_list *list, int64_t page,
					    int64_t size, cloud_done_fn done, void *arg)
{
	struct cloud_call *call =
		page_new(list, CLOUD_COMMAND_LIST_SNAPSHOTS, page, size, done, arg);

	cloud_call_add(call, "projectid", cloud_queue_project_id(list->cloud->queue));
	return cloud_queue_add(call);
}
