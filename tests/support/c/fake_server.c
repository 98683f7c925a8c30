/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The inside of the CloudStack in memory: volumes, jobs, the queue of each virtual machine and the
 * disks that come of it. What is asked comes in through server_receive(), at the moment the request
 * arrives; fake_cloud.c is the way there.
 */

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "fake_server.h"

#define NO_EXPUNGE                                                                                 \
	"Expunging a volume can only be done by an Admin. Or when the "                            \
	"allow.user.expunge.recover.volume key is set."

/* ---- volumes and their disks ---- */

void volume_serial(const struct fake_volume *volume, char serial[21])
{
	size_t length = 0;

	for (const char *c = volume->id; *c && length < 20; c++) {
		if (*c != '-')
			serial[length++] = *c;
	}
	serial[length] = '\0';
}

uint64_t server_stored_size(const struct fake_volume *volume)
{
	uint64_t unit = volume->server->storage_unit;

	if (volume->used || unit == 0)
		return volume->size;
	return (volume->size + unit - 1) / unit * unit;
}

static void on_plug(struct loop_timer *timer)
{
	struct fake_volume *volume = container_of(timer, struct fake_volume, plug);
	char serial[21];

	volume_serial(volume, serial);
	kernel_free_name(volume->server->kernel, volume->disk);
	kernel_plug(volume->server->kernel, volume->disk,
		    volume->serial == SERIAL_NONE  ? NULL
		    : volume->serial == SERIAL_OWN ? serial
						   : "ffffffffffffffffffff",
		    server_stored_size(volume) + (uint64_t)volume->size_error);
}

static void on_resize(struct loop_timer *timer)
{
	struct fake_volume *volume = container_of(timer, struct fake_volume, resize);

	if (volume->disk[0])
		kernel_resize(volume->server->kernel, volume->disk,
			      volume->next_size + (uint64_t)volume->size_error);
}

static void on_unplug(struct loop_timer *timer)
{
	struct fake_volume *volume = container_of(timer, struct fake_volume, unplug);

	loop_timer_clear(volume->server->loop, &volume->plug);
	loop_timer_clear(volume->server->loop, &volume->resize);
	if (volume->disk[0])
		kernel_unplug(volume->server->kernel, volume->disk);
	volume->disk[0] = '\0';
}

static void plug_soon(struct fake_volume *volume, const char *vm_id)
{
	if (streq(vm_id, APPLIANCE) && volume->plug_ms >= 0 && !volume->disk[0])
		loop_timer_set(volume->server->loop, &volume->plug, volume->plug_ms);
}

static void unplug_soon(struct fake_volume *volume)
{
	/* What has not come by then does not come any more. */
	loop_timer_clear(volume->server->loop, &volume->plug);
	if (volume->unplug_ms >= 0)
		loop_timer_set(volume->server->loop, &volume->unplug, volume->unplug_ms);
}

static void resize_soon(struct fake_volume *volume, uint64_t size)
{
	volume->next_size = size;
	if (volume->resize_ms >= 0)
		loop_timer_set(volume->server->loop, &volume->resize, volume->resize_ms);
}

static bool device_id_taken(struct fake_server *server, const char *vm_id, int64_t device_id)
{
	struct fake_volume *volume;

	TAILQ_FOREACH(volume, &server->volumes, entry) {
		if (streq(volume->vm_id, vm_id) && volume->device_id == device_id)
			return true;
	}
	return false;
}

static int64_t free_device_id(struct fake_server *server, const char *vm_id)
{
	int64_t device_id = 1;

	while (device_id_taken(server, vm_id, device_id) || device_id == 3)
		device_id++;
	return device_id;
}

static void set_vm(struct fake_volume *volume, const char *vm_id, int64_t device_id)
{
	if (device_id < 0)
		device_id = volume->is_root ? 0 : free_device_id(volume->server, vm_id);
	snprintf(volume->vm_id, sizeof(volume->vm_id), "%s", vm_id);
	if (*vm_id)
		volume->size = server_stored_size(volume);
	volume->device_id = *vm_id ? device_id : -1;
	volume->used = volume->used || *vm_id;
}

struct fake_volume *server_add(struct fake_server *server, const char *name, uint64_t gib)
{
	struct fake_volume *volume = xnew(struct fake_volume);

	volume->server = server;
	snprintf(volume->id, sizeof(volume->id), "%08x-1111-4222-8333-444444444444",
		 ++server->volumes_made);
	snprintf(volume->name, sizeof(volume->name), "%s", name);
	volume->size = gib * GIB;
	volume->device_id = -1;
	volume->serial = server->serial;
	volume->plug_ms = server->plug_ms;
	volume->unplug_ms = server->unplug_ms;
	volume->resize_ms = server->resize_ms;
	volume->plug.fire = on_plug;
	volume->unplug.fire = on_unplug;
	volume->resize.fire = on_resize;
	TAILQ_INSERT_TAIL(&server->volumes, volume, entry);
	return volume;
}

struct fake_volume *server_find(struct fake_server *server, const char *id)
{
	struct fake_volume *volume;

	TAILQ_FOREACH(volume, &server->volumes, entry) {
		if (streq(volume->id, id) && !volume->gone)
			return volume;
	}
	return NULL;
}

void server_attach(struct fake_server *server, struct fake_volume *volume, const char *vm_id)
{
	set_vm(volume, vm_id, -1);
	/* A disk that was still to come, or to go, for what was before it: a volume is one disk. */
	loop_timer_clear(server->loop, &volume->plug);
	loop_timer_clear(server->loop, &volume->unplug);
	if (streq(vm_id, APPLIANCE) && volume->plug_ms >= 0)
		on_plug(&volume->plug);
}

void server_detach(struct fake_server *server, struct fake_volume *volume)
{
	set_vm(volume, "", -1);
	on_unplug(&volume->unplug);
}

void server_resize(struct fake_server *server, struct fake_volume *volume, uint64_t size)
{
	volume->size = volume->next_size = size;
	on_resize(&volume->resize);
}

size_t server_count(const struct fake_server *server)
{
	const struct fake_volume *volume;
	size_t count = 0;

	TAILQ_FOREACH(volume, &server->volumes, entry)
		count += volume->gone ? 0 : 1;
	return count;
}

static bool has_root(struct fake_server *server, const char *vm_id)
{
	const struct fake_volume *volume;

	TAILQ_FOREACH(volume, &server->volumes, entry) {
		if (streq(volume->vm_id, vm_id) && volume->is_root && !volume->gone)
			return true;
	}
	return false;
}

bool server_vm_runs(const struct fake_server *server, const char *vm_id)
{
	return streq(vm_id, APPLIANCE) || (server->other_runs && !server->other_gone);
}

/* ---- snapshots ---- */

struct fake_snapshot *server_add_snapshot(struct fake_server *server, const char *volume_id,
					  const char *name)
{
	struct fake_snapshot *snapshot = xnew(struct fake_snapshot);

	snprintf(snapshot->id, sizeof(snapshot->id), "%08x-5555-4666-8777-888888888888",
		 ++server->snapshots_made);
	snprintf(snapshot->name, sizeof(snapshot->name), "%s", name);
	snprintf(snapshot->volume_id, sizeof(snapshot->volume_id), "%s", volume_id);
	snapshot->state = "Allocated";
	TAILQ_INSERT_TAIL(&server->snapshots, snapshot, entry);
	return snapshot;
}

struct fake_snapshot *server_find_snapshot(const struct fake_server *server, const char *id)
{
	struct fake_snapshot *snapshot;

	TAILQ_FOREACH(snapshot, &server->snapshots, entry) {
		if (streq(snapshot->id, id) && !snapshot->gone)
			return snapshot;
	}
	return NULL;
}

size_t server_snapshots(const struct fake_server *server)
{
	const struct fake_snapshot *snapshot;
	size_t count = 0;

	TAILQ_FOREACH(snapshot, &server->snapshots, entry)
		count += snapshot->gone ? 0 : 1;
	return count;
}

/* ---- jobs ---- */

struct fake_job *server_job(const struct fake_server *server, const char *id)
{
	struct fake_job *job;

	TAILQ_FOREACH(job, &server->jobs, entry) {
		if (streq(job->id, id))
			return job;
	}
	return NULL;
}

const char *server_pending_job(const struct fake_server *server, const struct fake_volume *volume)
{
	const struct fake_job *job;

	TAILQ_FOREACH(job, &server->jobs, entry) {
		if (job->volume == volume && job->state <= JOB_RUNNING)
			return job->id;
	}
	return NULL;
}

static void fail_job(struct fake_job *job, int code, const char *text)
{
	job->code = code;
	job->text = text;
}

static void fail_scripted(struct fake_job *job)
{
	fail_job(job, job->fault.code ? job->fault.code : 530,
		 str_or(job->fault.text, "Scripted failure"));
}

static void change_disk_soon(const struct fake_job *job)
{
	if (job->command == FAKE_ATTACH)
		plug_soon(job->volume, job->vm_id);
	else if (job->command == FAKE_RESIZE)
		resize_soon(job->volume, job->size);
	else if (job->command == FAKE_DETACH)
		unplug_soon(job->volume);
}

#define ONLY_STOPPED "Root volume detach can happen only when vm is in states: Stopped or Destroyed"

/* Why CloudStack does not change the root disk of the VM; NULL: it does. */
static const char *root_refusal(const struct fake_job *job)
{
	if (job->command == FAKE_ATTACH && job->as_root && server_vm_runs(job->server, job->vm_id))
		return ONLY_STOPPED;
	if (job->command == FAKE_ATTACH && job->as_root && has_root(job->server, job->vm_id))
		return "Vm already has root volume attached to it";
	if (job->command == FAKE_DETACH && job->volume->is_root &&
	    server_vm_runs(job->server, job->volume->vm_id))
		return ONLY_STOPPED;
	return NULL;
}

/* Why the job of a snapshot fails; NULL: it does not. A failed one leaves its row. */
static const char *snapshot_refusal(const struct fake_job *job)
{
	if (job->command == FAKE_REVERT && server_vm_runs(job->server, job->volume->vm_id) &&
	    job->volume->vm_id[0])
		return "The VM the specified disk is attached to is not in the shutdown state.";
	if (job->command == FAKE_DELETE_SNAPSHOT && job->snapshot->gone)
		return "Snapshot with id: 20 is already destroyed";
	return NULL;
}

static void begin_job(struct fake_job *job)
{
	struct fake_volume *volume = job->volume;

	job->state = JOB_RUNNING;
	if (job->fault.kind == FAULT_JOB_FAILED)
		fail_scripted(job);
	else if (job->fault.kind == FAULT_JOB_LOST)
		fail_job(job, 530, "");
	else if (job->command == FAKE_ATTACH && volume->vm_id[0])
		fail_job(job, 431, "Please specify a volume that is not attached to any VM.");
	else if (job->command == FAKE_ATTACH && volume->gone)
		fail_job(job, 431, "Please specify a volume that is not destroyed.");
	else if (job->command == FAKE_ATTACH && !job->as_root &&
		 device_id_taken(volume->server, job->vm_id, job->device_id))
		fail_job(job, 530, "deviceId is used by another volume of the vm");
	else if (job->command == FAKE_DETACH && !volume->vm_id[0])
		fail_job(job, 431, "The specified volume is not attached to a VM.");
	else if (job->snapshot && snapshot_refusal(job))
		fail_job(job, 431, snapshot_refusal(job));
	else if (root_refusal(job))
		fail_job(job, 431, root_refusal(job));
	else if (job->command == FAKE_DESTROY && volume->vm_id[0])
		fail_job(job, 431, "Please specify a volume that is not attached to any VM.");
	else if (job->command == FAKE_DESTROY && job->expunge && job->server->no_expunge)
		fail_job(job, 530, NO_EXPUNGE);
	else if (job->command == FAKE_DESTROY && !job->expunge && !volume->used)
		fail_job(
			job, 431,
			"The volume in Allocated/Uploaded state can only be expunged not destroyed/recovered");
	else if (job->command == FAKE_RESIZE && job->size < volume->size && !job->shrink_ok)
		fail_job(
			job, 432,
			"Need to sign off by supplying the shrinkok parameter with value of true.");
	else if (job->fault.kind != FAULT_JOB_IDLE)
		change_disk_soon(job);
	if (job->fault.kind != FAULT_JOB_STUCK)
		loop_timer_set(job->server->loop, &job->timer, job->server->job_ms);
}

static void begin_waiting(struct fake_server *server, const char *vm_id)
{
	struct fake_job *job;

	TAILQ_FOREACH(job, &server->jobs, entry) {
		if (!streq(job->vm_id, vm_id) || job->state > JOB_RUNNING)
			continue;
		if (job->state == JOB_WAITING)
			begin_job(job);
		return;
	}
}

/* CloudStack reports a failure for a volume that was never attached before, and has attached it. */
static void attach_root(struct fake_job *job)
{
	if (!job->volume->used)
		fail_job(job, 530, "Command failed due to Internal Server Error");
	job->volume->is_root = true;
	set_vm(job->volume, job->vm_id, 0);
}

static void detach(struct fake_volume *volume)
{
	volume->is_root = false;
	set_vm(volume, "", -1);
}

/* Its root disk goes with it, its data disks are detached. */
static void expunge_vm(struct fake_server *server)
{
	struct fake_volume *volume;

	server->other_gone = true;
	TAILQ_FOREACH(volume, &server->volumes, entry) {
		if (!streq(volume->vm_id, OTHER_VM))
			continue;
		volume->gone |= volume->is_root;
		detach(volume);
	}
}

static void take_snapshot(struct fake_job *job)
{
	job->snapshot->state = "BackedUp";
	job->snapshot->size = job->volume->size;
}

static void have_effect(struct fake_job *job)
{
	struct fake_volume *volume = job->volume;

	if (job->command == FAKE_STOP_VM || job->command == FAKE_START_VM)
		job->server->other_runs = job->command == FAKE_START_VM;
	else if (job->command == FAKE_EXPUNGE_VM)
		expunge_vm(job->server);
	if (!volume)
		return;
	if (job->command == FAKE_ATTACH && job->as_root)
		attach_root(job);
	else if (job->command == FAKE_ATTACH)
		set_vm(volume, job->vm_id, job->device_id);
	else if (job->command == FAKE_DETACH)
		detach(volume);
	else if (job->command == FAKE_RESIZE)
		volume->size = job->size;
	else if (job->command == FAKE_DESTROY && job->expunge)
		volume->gone = true;
	else if (job->command == FAKE_DESTROY)
		volume->in_bin = true;
	else if (job->command == FAKE_SNAPSHOT)
		take_snapshot(job);
	else if (job->command == FAKE_REVERT)
		job->server->reverts++;
	else if (job->command == FAKE_DELETE_SNAPSHOT)
		job->snapshot->gone = true;
	else if (job->command == FAKE_RENAME && !job->server->no_rename)
		snprintf(volume->name, sizeof(volume->name), "%s", job->name);
}

static void on_job_timer(struct loop_timer *timer)
{
	struct fake_job *job = container_of(timer, struct fake_job, timer);

	if (!job->code && job->fault.kind != FAULT_JOB_IDLE)
		have_effect(job);
	if (job->fault.kind == FAULT_JOB_LOST_AFTER)
		fail_job(job, 530, "");
	else if (job->fault.kind == FAULT_JOB_FAILED_AFTER)
		fail_scripted(job);
	if (job->code && job->command == FAKE_SNAPSHOT && !streq(job->snapshot->state, "BackedUp"))
		job->snapshot->state = "Error";
	job->state = job->code ? JOB_FAILED : JOB_SUCCEEDED;
	if (job->vm_id[0])
		begin_waiting(job->server, job->vm_id);
}

static bool has_job(const struct fake_server *server, const char *vm_id)
{
	const struct fake_job *job;

	TAILQ_FOREACH(job, &server->jobs, entry) {
		if (streq(job->vm_id, vm_id) && job->state <= JOB_RUNNING)
			return true;
	}
	return false;
}

static void add_job(struct fake_server *server, const struct fake_request *request,
		    struct fake_volume *volume, struct fake_snapshot *snapshot)
{
	struct fake_job *job = xnew(struct fake_job);

	job->server = server;
	job->command = request->command;
	job->volume = volume;
	job->snapshot = snapshot;
	job->fault = request->job_fault;
	job->size = request->size_gib * GIB;
	job->device_id = request->device_id;
	job->shrink_ok = request->shrink_ok;
	job->expunge = request->expunge;
	job->as_root = request->as_root;
	job->timer.fire = on_job_timer;
	snprintf(job->id, sizeof(job->id), "%s", request->job_id);
	snprintf(job->name, sizeof(job->name), "%s", str_or(request->name, ""));
	if (request->command == FAKE_ATTACH || !volume)
		snprintf(job->vm_id, sizeof(job->vm_id), "%s", request->vm_id);
	else if (request->command == FAKE_DETACH || request->command == FAKE_RESIZE ||
		 request->command == FAKE_SNAPSHOT)
		snprintf(job->vm_id, sizeof(job->vm_id), "%s", volume->vm_id);
	if (job->vm_id[0] && has_job(server, job->vm_id))
		server->crossed++;
	TAILQ_INSERT_TAIL(&server->jobs, job, entry);
	if (job->vm_id[0])
		begin_waiting(server, job->vm_id);
	else
		begin_job(job);
}

void server_release_stuck(struct fake_server *server)
{
	struct fake_job *job;

	TAILQ_FOREACH(job, &server->jobs, entry) {
		if (job->state == JOB_RUNNING && job->fault.kind == FAULT_JOB_STUCK)
			loop_timer_set(server->loop, &job->timer, 0);
	}
}

unsigned server_jobs(const struct fake_server *server, enum fake_command command)
{
	const struct fake_job *job;
	unsigned count = 0;

	TAILQ_FOREACH(job, &server->jobs, entry)
		count += job->command == command ? 1 : 0;
	return count;
}

size_t server_busy(const struct fake_server *server)
{
	const struct fake_request *request;
	const struct fake_job *job;
	size_t count = 0;

	TAILQ_FOREACH(job, &server->jobs, entry)
		count += job->state <= JOB_RUNNING ? 1 : 0;
	TAILQ_FOREACH(request, &server->requests, entry)
		count++;
	return count;
}

/* ---- requests that change something, at the moment they arrive ---- */

static void refuse(struct fake_request *request, int code, const char *text)
{
	request->code = code;
	snprintf(request->text, sizeof(request->text), "%s", text);
}

static void delete_now(struct fake_server *server, struct fake_request *request,
		       struct fake_volume *volume)
{
	if (volume->vm_id[0])
		refuse(request, 431, "Please specify a volume that is not attached to any VM.");
	else if (server->no_expunge)
		refuse(request, 531, NO_EXPUNGE);
	else
		volume->gone = true;
}

static bool is_duplicate(struct fake_server *server, struct fake_request *request)
{
	char text[128];

	if (!server_job(server, request->job_id))
		return false;
	if (server->is_4_18) {
		refuse(request, 530, "Entity already exists ");
		return true;
	}
	snprintf(text, sizeof(text),
		 "UUID: %s already exists so can't create/update with custom id", request->job_id);
	refuse(request, 431, text);
	return true;
}

/* False: the request is refused. */
static bool receive_snapshot(struct fake_server *server, struct fake_request *request,
			     struct fake_volume **volume, struct fake_snapshot **snapshot)
{
	if (request->command == FAKE_SNAPSHOT && !*volume) {
		refuse(request, 431,
		       "Invalid parameter volumeid value=X due to: entity does not exist");
		return false;
	}
	if (request->command == FAKE_SNAPSHOT && !(*volume)->used) {
		refuse(request, 431,
		       "VolumeId: 42 is not in Ready state but Allocated. Cannot take snapshot.");
		return false;
	}
	/* As in CloudStack: the row is there before anybody looks at the job's id. */
	if (request->command == FAKE_SNAPSHOT) {
		*snapshot = server_add_snapshot(server, (*volume)->id, request->name);
		snprintf(request->entity_id, sizeof(request->entity_id), "%s", (*snapshot)->id);
		return true;
	}
	TAILQ_FOREACH(*snapshot, &server->snapshots, entry) {
		if (streq((*snapshot)->id, request->snapshot_id))
			break;
	}
	if (!*snapshot || ((*snapshot)->gone && request->command == FAKE_REVERT)) {
		refuse(request, 431, "Unable to find UUID for id [20] of type [Snapshot]");
		return false;
	}
	*volume = server_find(server, (*snapshot)->volume_id);
	return true;
}

void server_receive(struct fake_server *server, struct fake_request *request)
{
	struct fake_snapshot *snapshot = NULL;
	struct fake_volume *volume =
		request->volume_id ? server_find(server, request->volume_id) : NULL;

	if (request->command >= FAKE_LIST)
		return;
	if (request->command >= FAKE_SNAPSHOT && request->command <= FAKE_DELETE_SNAPSHOT) {
		if (!receive_snapshot(server, request, &volume, &snapshot))
			return;
	} else if (request->command == FAKE_CREATE) {
		/* As in CloudStack: the row is there before anybody looks at the job's id. */
		volume = server_add(server, request->name, request->size_gib);
		snprintf(volume->project_id, sizeof(volume->project_id), "%s",
			 str_or(request->project_id, ""));
		snprintf(request->entity_id, sizeof(request->entity_id), "%s", volume->id);
	} else if (request->vm_id && request->command != FAKE_ATTACH) {
		if (server->other_gone) {
			refuse(request, 431,
			       "Unable to find UUID for id [7] of type [VirtualMachine]");
			return;
		}
	} else if (!volume) {
		refuse(request, 431, "Unable to find volume with ID: 42");
		return;
	}
	if (request->command == FAKE_DELETE)
		delete_now(server, request, volume);
	else if (!is_duplicate(server, request))
		add_job(server, request, volume, snapshot);
}

/* ---- life ---- */

void server_init(struct fake_server *server, struct loop *loop, struct fake_kernel *kernel)
{
	*server = (struct fake_server){
		.loop = loop,
		.kernel = kernel,
		.trip_ms = 20,
		.job_ms = 500,
		.late_ms = 25000,
		.request_ms = 30000,
		.plug_ms = 200,
		.unplug_ms = 200,
		.resize_ms = 200,
	};
	TAILQ_INIT(&server->volumes);
	TAILQ_INIT(&server->snapshots);
	TAILQ_INIT(&server->jobs);
	TAILQ_INIT(&server->requests);
}

void server_fini(struct fake_server *server)
{
	struct fake_snapshot *snapshot;
	struct fake_volume *volume;
	struct fake_request *request;
	struct fake_job *job;

	while ((request = TAILQ_FIRST(&server->requests)))
		request_free(request);
	while ((job = TAILQ_FIRST(&server->jobs))) {
		TAILQ_REMOVE(&server->jobs, job, entry);
		loop_timer_clear(server->loop, &job->timer);
		free(job);
	}
	while ((snapshot = TAILQ_FIRST(&server->snapshots))) {
		TAILQ_REMOVE(&server->snapshots, snapshot, entry);
		free(snapshot);
	}
	while ((volume = TAILQ_FIRST(&server->volumes))) {
		TAILQ_REMOVE(&server->volumes, volume, entry);
		loop_timer_clear(server->loop, &volume->plug);
		loop_timer_clear(server->loop, &volume->unplug);
		loop_timer_clear(server->loop, &volume->resize);
		free(volume);
	}
}

void server_fault(struct fake_server *server, struct fake_fault fault)
{
	assert_true(server->fault_count < ARRAY_SIZE(server->faults));
	server->faults[server->fault_count++] = fault;
}
