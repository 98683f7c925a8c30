/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The commands CloudStack knows, and the life of a call. A call stands in one list at a time and
 * remembers which; the lists get their meaning from the queue (cloud_queue.c) and from the calls
 * that travel together (cloud_merge.c).
 */

#include <assert.h>

#include "cloud/cloud_call.h"

static const struct cloud_command commands[CLOUD_COMMAND_COUNT] = {
	[CLOUD_COMMAND_CREATE_VOLUME] = { "createVolume", "create the volume", CLOUD_REPLY_JOB_ID,
					  true, false, .creates = true },
	[CLOUD_COMMAND_ATTACH_VOLUME] = { "attachVolume", "attach the volume", CLOUD_REPLY_JOB_ID,
					  true, false },
	[CLOUD_COMMAND_DETACH_VOLUME] = { "detachVolume", "detach the volume", CLOUD_REPLY_JOB_ID,
					  true, false },
	[CLOUD_COMMAND_RESIZE_VOLUME] = { "resizeVolume", "resize the volume", CLOUD_REPLY_JOB_ID,
					  true, false },
	[CLOUD_COMMAND_DESTROY_VOLUME] = { "destroyVolume", "delete the volume", CLOUD_REPLY_JOB_ID,
					   true, false },
	[CLOUD_COMMAND_DELETE_VOLUME] = { "deleteVolume", "delete the volume", CLOUD_REPLY_ANY,
					  true, false },
	[CLOUD_COMMAND_UPDATE_VOLUME] = { "updateVolume", "rename the volume", CLOUD_REPLY_JOB_ID,
					  true, false },
	[CLOUD_COMMAND_STOP_VM] = { "stopVirtualMachine", "stop the VM", CLOUD_REPLY_JOB_ID, true,
				    false },
	[CLOUD_COMMAND_START_VM] = { "startVirtualMachine", "start the VM", CLOUD_REPLY_JOB_ID,
				     true, false },
	[CLOUD_COMMAND_DESTROY_VM] = { "destroyVirtualMachine", "delete the VM", CLOUD_REPLY_JOB_ID,
				       true, false },
	[CLOUD_COMMAND_CREATE_SNAPSHOT] = { "createSnapshot", "take a snapshot of the volume",
					    CLOUD_REPLY_JOB_ID, true, true, .creates = true },
	[CLOUD_COMMAND_REVERT_SNAPSHOT] = { "revertSnapshot", "revert the volume to its snapshot",
					    CLOUD_REPLY_JOB_ID, true, true },
	[CLOUD_COMMAND_DELETE_SNAPSHOT] = { "deleteSnapshot", "delete the snapshot",
					    CLOUD_REPLY_JOB_ID, true, true },
	[CLOUD_COMMAND_LIST_VOLUMES] = { "listVolumes", "list volumes", CLOUD_REPLY_VOLUMES, false,
					 false },
	[CLOUD_COMMAND_LIST_VMS] = { "listVirtualMachines", "list VMs", CLOUD_REPLY_VMS, false,
				     false },
	[CLOUD_COMMAND_QUERY_JOB] = { "queryAsyncJobResult", "look at a job", CLOUD_REPLY_JOB,
				      false, false },
	[CLOUD_COMMAND_FIND_ZONE] = { "listZones", "list zones", CLOUD_REPLY_ZONE, false, true },
	[CLOUD_COMMAND_LIST_ZONES] = { "listZones", "list zones", CLOUD_REPLY_ZONES, false, true },
	[CLOUD_COMMAND_LIST_OFFERINGS] = { "listDiskOfferings", "list disk offerings",
					   CLOUD_REPLY_OFFERINGS, false, true },
	[CLOUD_COMMAND_LIST_CAPABILITIES] = { "listCapabilities", "list its capabilities",
					      CLOUD_REPLY_ANY, false, true },
	[CLOUD_COMMAND_LIST_SNAPSHOTS] = { "listSnapshots", "list snapshots", CLOUD_REPLY_SNAPSHOTS,
					   false, true },
	[CLOUD_COMMAND_LIST_VM_SNAPSHOTS] = { "listVMSnapshot", "list VM snapshots",
					      CLOUD_REPLY_VM_SNAPSHOTS, false, true,
					      .for_checks = true },
	[CLOUD_COMMAND_LIST_APIS] = { "listApis", "tell whether a command may be used",
				      CLOUD_REPLY_COMMANDS, false, true, .for_checks = true },
	[CLOUD_COMMAND_LIST_ACCOUNTS] = { "listAccounts", "tell the limits of an account",
					  CLOUD_REPLY_ACCOUNTS, false, true, .for_checks = true },
	[CLOUD_COMMAND_LIST_PROJECTS] = { "listProjects", "tell the limits of a project",
					  CLOUD_REPLY_PROJECTS, false, true, .for_checks = true },
	[CLOUD_COMMAND_LIST_HYPERVISORS] = { "listHypervisorCapabilities",
					     "tell how many disks a VM takes",
					     CLOUD_REPLY_HYPERVISORS, false, true,
					     .for_checks = true },
	[CLOUD_COMMAND_LIST_JOBS] = { "listAsyncJobs", "list jobs", CLOUD_REPLY_JOBS, false, true },
};

void cloud_each_command(cloud_command_fn fn, void *arg)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		/* Two questions may be of one command; anybody may ask for the capabilities. */
		if (i != CLOUD_COMMAND_LIST_CAPABILITIES && i != CLOUD_COMMAND_FIND_ZONE)
			fn(arg, commands[i].name, commands[i].what, commands[i].for_checks);
	}
}

const struct cloud_command *cloud_command_at(enum cloud_command_id id)
{
	return &commands[id];
}

enum cloud_command_id cloud_call_command(const struct cloud_call *call)
{
	return (enum cloud_command_id)(call->command - commands);
}

struct cloud_call *cloud_call_new(struct cloud_queue *queue, enum cloud_command_id id,
				  cloud_done_fn done, void *arg)
{
	struct cloud_call *call = xnew(struct cloud_call);

	assert(queue);

	call->queue = queue;
	call->command = &commands[id];
	call->done = done;
	call->arg = arg;
	cloud_call_list_init(&call->members);
	return call;
}

void cloud_call_free(struct cloud_call *call)
{
	assert(!call->list && call->members.count == 0);

	for (size_t i = 0; i < call->param_count; i++)
		free((void *)(uintptr_t)call->params[i].value);
	free(call->name);
	free(call);
}

void cloud_call_add(struct cloud_call *call, const char *name, const char *value)
{
	if (!value)
		return;
	assert(call->param_count < CLOUD_PARAMS_MAX);
	call->params[call->param_count++] =
		(struct cloud_param){ .name = name, .value = xstrdup(value) };
}

void cloud_call_add_int(struct cloud_call *call, const char *name, int64_t value)
{
	_cleanup_free_ char *text = xasprintf("%lld", (long long)value);

	cloud_call_add(call, name, text);
}

/* --- lists --- */

void cloud_call_list_init(struct cloud_call_list *list)
{
	TAILQ_INIT(&list->calls);
	list->count = 0;
}

void cloud_call_put_first(struct cloud_call *call, struct cloud_call_list *list)
{
	assert(!call->list);

	TAILQ_INSERT_HEAD(&list->calls, call, entry);
	list->count++;
	call->list = list;
}

void cloud_call_put_last(struct cloud_call *call, struct cloud_call_list *list)
{
	assert(!call->list);

	TAILQ_INSERT_TAIL(&list->calls, call, entry);
	list->count++;
	call->list = list;
}

void cloud_call_unlink(struct cloud_call *call)
{
	assert(call->list);

	TAILQ_REMOVE(&call->list->calls, call, entry);
	call->list->count--;
	call->list = NULL;
	call->carrier = NULL;
}
