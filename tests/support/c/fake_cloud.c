/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The client's side of the CloudStack in memory: cloud/cloud.h, with each call a request that takes
 * its time to arrive and whose answer takes its time to come back, and with the scripted faults in
 * between.
 */

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/clock.h"
#include "cloud/cloud_error.h"
#include "fake_server.h"

#define POLL_MS 400
#define MAINTAINED_MS 60000

struct cloud {
	struct fake_server *server;
	size_t open; /* calls and jobs */
	bool usable;
	int64_t usable_since_ms;
	int64_t maintained_until_ms; /* clock_waking_ms() */
	uint64_t calls;
};

struct cloud_call {
	struct cloud *cloud;
	struct fake_request *request;
	cloud_done_fn done;
	void *arg;
};

struct cloud_job {
	struct cloud *cloud;
	char *id;
	struct loop_timer timer;
	cloud_done_fn done;
	void *arg;
};

struct cloud *server_connect(struct fake_server *server)
{
	struct cloud *cloud = xnew(struct cloud);

	cloud->server = server;
	return cloud;
}

struct cloud *cloud_free(struct cloud *cloud)
{
	if (cloud)
		assert_int_equal(cloud->open, 0);
	free(cloud);
	return NULL;
}

bool cloud_in_maintenance(const struct cloud *cloud)
{
	return clock_waking_ms() < cloud->maintained_until_ms;
}

void cloud_each_read(const struct cloud *cloud, cloud_read_health_fn fn, void *arg)
{
	fn(arg, "listVolumes", cloud->calls > 0, NULL);
}

void cloud_put_metrics(const struct cloud *cloud, struct buf *out)
{
}

void cloud_health(const struct cloud *cloud, struct cloud_health *out)
{
	*out = (struct cloud_health){
		.usable = cloud->usable,
		.usable_since_ms = cloud->usable_since_ms,
		.in_maintenance = cloud_in_maintenance(cloud),
		.maintained_until_ms = cloud->maintained_until_ms,
		.calls = cloud->calls,
		.in_flight = cloud->open,
	};
	if (!cloud->usable)
		snprintf(out->reason, sizeof(out->reason), "CloudStack does not answer");
	else if (out->in_maintenance)
		snprintf(out->reason, sizeof(out->reason), "CloudStack takes no new commands");
}

static void note_maintenance(struct cloud *cloud, enum fake_command command,
			     const struct cloud_result *result)
{
	if (command >= FAKE_LIST)
		return;
	if (result->err.reason == ERR_REASON_MAINTENANCE)
		cloud->maintained_until_ms = clock_waking_ms() + MAINTAINED_MS;
	else if (clock_waking_ms() < cloud->maintained_until_ms)
		cloud->maintained_until_ms = clock_waking_ms();
}

static void note_usable(struct cloud *cloud, bool usable)
{
	if (usable && !cloud->usable)
		cloud->usable_since_ms = clock_mono_ms();
	cloud->usable = usable;
}

/* ---- results ---- */

struct listing {
	struct cloud_volume *volumes;
	size_t count;
	struct cloud_vm vm;
	struct cloud_snapshot *snapshots;
};

static void list_one(struct listing *listing, const struct fake_server *server,
		     const struct fake_volume *volume)
{
	struct cloud_volume *out;
	const char *job_id = server_pending_job(server, volume);

	listing->volumes =
		xrealloc(listing->volumes, (listing->count + 1) * sizeof(*listing->volumes));
	out = &listing->volumes[listing->count++];
	*out = (struct cloud_volume){
		.id = xstrdup(volume->id),
		.name = xstrdup(volume->name),
		.zone_id = xstrdup("cccccccc-0000-4000-8000-00000000000c"),
		.type = xstrdup(volume->is_root ? "ROOT" : "DATADISK"),
		.state = xstrdup(volume->snapshotting ? "Snapshotting"
				 : volume->in_bin     ? "Destroy"
				 : volume->used       ? "Ready"
						      : "Allocated"),
		.vm_id = volume->vm_id[0] ? xstrdup(volume->vm_id) : NULL,
		.job_id = xstrdup(job_id),
		.size = volume->size,
		.device_id = volume->device_id,
		.is_protected = volume->is_protected,
		.raw = xasprintf("{\"id\":\"%s\",\"name\":\"%s\",\"vm\":\"%s\",\"size\":%" PRIu64
				 "}",
				 volume->id, volume->name, volume->vm_id, volume->size),
	};
}

static void list(struct listing *listing, struct fake_server *server,
		 const struct fake_request *request)
{
	const struct fake_volume *volume;

	TAILQ_FOREACH(volume, &server->volumes, entry) {
		if (volume->gone || volume->hidden || (volume->unlisted && !request->volume_id) ||
		    (request->volume_id && !streq(request->volume_id, volume->id)) ||
		    (request->name && !streq(request->name, volume->name)) ||
		    (request->vm_id && !streq(request->vm_id, volume->vm_id)))
			continue;
		list_one(listing, server, volume);
	}
}

static char *borrow(const char *text)
{
	return (char *)(intptr_t)text;
}

static void list_snapshots(struct cloud_result *result, struct listing *listing, const char *id,
			   const char *volume_id, const char *name,
			   const struct fake_server *server)
{
	const struct fake_snapshot *snapshot;
	size_t count = 0;

	listing->snapshots = xcalloc(server_snapshots(server) + 1, sizeof(*listing->snapshots));
	TAILQ_FOREACH(snapshot, &server->snapshots, entry) {
		if (snapshot->gone || (id && !streq(id, snapshot->id)) ||
		    (volume_id && !streq(volume_id, snapshot->volume_id)) ||
		    (name && !streq(name, snapshot->name)))
			continue;
		listing->snapshots[count++] =
			(struct cloud_snapshot){ .id = borrow(snapshot->id),
						 .name = borrow(snapshot->name),
						 .volume_id = borrow(snapshot->volume_id),
						 .state = borrow(snapshot->state),
						 .size = snapshot->size };
	}
	result->snapshots = listing->snapshots;
	result->count = result->rows = count;
}

static void list_vm(struct cloud_result *result, struct listing *listing,
		    const struct fake_request *request)
{
	static char running[] = "Running", stopped[] = "Stopped";
	bool is_known = streq(request->vm_id, APPLIANCE) ||
			(streq(request->vm_id, OTHER_VM) && !request->server->other_gone);

	listing->vm.id = request->vm_id;
	listing->vm.state = server_vm_runs(request->server, request->vm_id) ? running : stopped;
	result->vms = &listing->vm;
	result->count = result->rows = is_known ? 1 : 0;
}

static void listing_clear(struct listing *listing)
{
	for (size_t i = 0; i < listing->count; i++) {
		free(listing->volumes[i].id);
		free(listing->volumes[i].name);
		free(listing->volumes[i].zone_id);
		free(listing->volumes[i].type);
		free(listing->volumes[i].state);
		free(listing->volumes[i].vm_id);
		free(listing->volumes[i].job_id);
		free(listing->volumes[i].raw);
	}
	free(listing->volumes);
	free(listing->snapshots);
}

static void put_job(struct cloud_result *result, struct listing *listing,
		    const struct fake_job *job)
{
	result->entity_id = job->snapshot ? job->snapshot->id
			    : job->volume ? job->volume->id
					  : job->vm_id;
	if (job->state == JOB_SUCCEEDED)
		result->job_status = CLOUD_JOB_SUCCEEDED;
	if (job->state == JOB_FAILED) {
		result->job_status = CLOUD_JOB_FAILED;
		cloud_error_job(job->code, job->text[0] ? job->text : NULL, &result->err);
	}
	if (job->state == JOB_SUCCEEDED && job->volume && !job->snapshot &&
	    job->command != FAKE_DESTROY) {
		list_one(listing, job->server, job->volume);
		free(TAKE_PTR(listing->volumes[0].job_id));
		result->volumes = listing->volumes;
		result->count = 1;
	}
}

static void put_refusal(struct cloud_result *result, bool change, int code, const char *text)
{
	struct cloud_question question = { .what = "do what was asked", .change = change };
	struct cloud_fault fault = { .code = code, .text = text };

	result->outcome = cloud_error_answer(&question, &fault, &result->err);
}

static void put_unknown_job(struct cloud_result *result)
{
	put_refusal(result, false, 431,
		    "Invalid parameter jobid value=X due to: entity does not exist");
	assert_int_equal(result->err.code, ERR_NOT_FOUND);
}

static void put_silence(struct cloud_result *result, const struct fake_request *request)
{
	bool reads = request->command >= FAKE_LIST;

	result->outcome = request->fault.kind == FAULT_AWAY || reads ? CLOUD_AWAY : CLOUD_UNKNOWN;
	err_set(&result->err, ERR_UNAVAILABLE, "CloudStack did not answer");
}

static void put_answer(struct cloud_result *result, struct listing *listing,
		       struct fake_request *request)
{
	struct fake_server *server = request->server;
	const struct fake_job *job;

	if (request->code) {
		put_refusal(result, request->command < FAKE_LIST, request->code, request->text);
	} else if (request->command == FAKE_LIST) {
		list(listing, server, request);
		result->volumes = listing->volumes;
		result->count = listing->count;
		result->rows = listing->count;
	} else if (request->command == FAKE_LIST_SNAPSHOTS) {
		list_snapshots(result, listing, request->snapshot_id, request->volume_id,
			       request->name, server);
	} else if (request->command == FAKE_LIST_VM) {
		list_vm(result, listing, request);
	} else if (request->command == FAKE_FIND_JOB) {
		job = server_job(server, request->job_id);
		if (job)
			put_job(result, listing, job);
		else
			put_unknown_job(result);
	} else if (request->command == FAKE_FIND_ZONE) {
		result->entity_id = streq(server->zone, request->name) ? ZONE : NULL;
	} else if (request->command == FAKE_TELL) {
		request->tell(&server->facts, request->name, result);
	} else if (request->command != FAKE_DELETE) {
		result->job_id = request->job_id;
		result->entity_id = request->entity_id[0] ? request->entity_id : NULL;
	}
}

/* ---- requests ---- */

void request_free(struct fake_request *request)
{
	TAILQ_REMOVE(&request->server->requests, request, entry);
	loop_timer_clear(request->server->loop, &request->arrive);
	loop_timer_clear(request->server->loop, &request->answer);
	free(request->volume_id);
	free(request->vm_id);
	free(request->name);
	free(request->project_id);
	free(request->snapshot_id);
	free(request->job_id);
	free(request);
}

static bool is_silent(const struct fake_request *request)
{
	return request->fault.kind >= FAULT_AWAY && request->fault.kind <= FAULT_LATE;
}

static void answer(struct fake_request *request)
{
	struct cloud_call *call = TAKE_PTR(request->call);
	struct cloud_result result = { .outcome = CLOUD_OK };
	struct listing listing = { 0 };

	if (!call)
		return;
	if (is_silent(request))
		put_silence(&result, request);
	else
		put_answer(&result, &listing, request);
	note_usable(call->cloud, result.outcome <= CLOUD_REFUSED ||
					 result.err.reason == ERR_REASON_MAINTENANCE ||
					 result.err.code == ERR_TOO_MANY ||
					 cloud_err_is_refusal(&result.err));
	if (!is_silent(request))
		note_maintenance(call->cloud, request->command, &result);
	call->cloud->open--;
	call->done(call->arg, &result);
	listing_clear(&listing);
	free(call);
}

static void on_answer(struct loop_timer *timer)
{
	struct fake_request *request = container_of(timer, struct fake_request, answer);

	answer(request);
	if (!loop_timer_is_set(&request->arrive))
		request_free(request);
}

static void on_arrive(struct loop_timer *timer)
{
	struct fake_request *request = container_of(timer, struct fake_request, arrive);
	const struct fake_fault *fault = &request->fault;

	if (clock_mono_ms() > request->expires_ms && fault->kind != FAULT_LATE)
		request->fault.kind = FAULT_AWAY;
	if (clock_mono_ms() > request->expires_ms) {
		/* refused, whether or not a client still hears it */
	} else if (request->server->maintained && request->command < FAKE_LIST) {
		request->code = 530;
		snprintf(request->text, sizeof(request->text), "Can not accept new jobs");
	} else if (fault->kind == FAULT_REFUSED) {
		request->code = fault->code ? fault->code : 530;
		snprintf(request->text, sizeof(request->text), "%s",
			 str_or(fault->text, "Scripted refusal"));
	} else if (fault->kind != FAULT_AWAY && fault->kind != FAULT_LOST_BEFORE) {
		server_receive(request->server, request);
	}
	if (fault->kind == FAULT_LATE && !loop_timer_is_set(&request->answer))
		request_free(request);
	else if (fault->kind != FAULT_LATE)
		loop_timer_set(request->server->loop, &request->answer, request->server->trip_ms);
}

/* The last one scripted counts first. */
static struct fake_fault find_fault(const struct fake_server *server, enum fake_command command,
				    bool of_job)
{
	for (size_t i = server->fault_count; i-- > 0;) {
		const struct fake_fault *fault = &server->faults[i];
		unsigned nth = server->calls[fault->command];

		if ((fault->kind >= FAULT_JOB_FAILED) == of_job &&
		    (fault->command == command || fault->command == FAKE_ANY) &&
		    nth >= fault->nth && nth < fault->nth + (fault->times ? fault->times : 1))
			return *fault;
	}
	return (struct fake_fault){ .kind = server->down && !of_job ? FAULT_AWAY : FAULT_NONE };
}

static int64_t expiry_of(const struct fake_server *server, int64_t asked_ms)
{
	return asked_ms + server->request_ms;
}

/* A second more, as CloudStack counts by seconds. */
int64_t cloud_late_until_ms(struct cloud *cloud, int64_t asked_ms)
{
	return expiry_of(cloud->server, asked_ms) + 1000;
}

static struct fake_request *request_new(struct cloud *cloud, enum fake_command command,
					cloud_done_fn done, void *arg)
{
	struct fake_server *server = cloud->server;
	struct fake_request *request = xnew(struct fake_request);

	request->server = server;
	request->command = command;
	request->expires_ms = INT64_MAX;
	request->arrive.fire = on_arrive;
	request->answer.fire = on_answer;
	request->call = xnew(struct cloud_call);
	*request->call =
		(struct cloud_call){ .cloud = cloud, .request = request, .done = done, .arg = arg };
	server->calls[command]++;
	server->calls[FAKE_ANY]++;
	request->fault = find_fault(server, command, false);
	request->job_fault = find_fault(server, command, true);
	cloud->open++;
	cloud->calls++;
	TAILQ_INSERT_TAIL(&server->requests, request, entry);
	if (request->fault.kind == FAULT_LATE)
		loop_timer_set(server->loop, &request->answer, server->trip_ms);
	loop_timer_set(server->loop, &request->arrive,
		       request->fault.kind == FAULT_LATE ? server->late_ms : server->trip_ms);
	return request;
}

void cloud_call_cancel(struct cloud_call *call)
{
	call->request->call = NULL;
	call->cloud->open--;
	free(call);
}

struct cloud_call *cloud_create_volume(struct cloud *cloud, const struct cloud_creation *creation,
				       const char *job_id, int64_t asked_ms, cloud_done_fn done,
				       void *arg)
{
	struct fake_request *request = request_new(cloud, FAKE_CREATE, done, arg);

	request->name = xstrdup(creation->name);
	request->project_id = xstrdup(creation->project_id);
	request->job_id = xstrdup(job_id);
	request->size_gib = creation->size_gib;
	request->expires_ms = expiry_of(cloud->server, asked_ms);
	return request->call;
}

struct cloud_call *cloud_attach_volume(struct cloud *cloud, const char *volume_id,
				       const char *vm_id, int64_t device_id, const char *job_id,
				       int64_t asked_ms, cloud_done_fn done, void *arg)
{
	struct fake_request *request = request_new(cloud, FAKE_ATTACH, done, arg);

	request->device_id = device_id;
	request->volume_id = xstrdup(volume_id);
	request->vm_id = xstrdup(vm_id);
	request->job_id = xstrdup(job_id);
	request->expires_ms = expiry_of(cloud->server, asked_ms);
	return request->call;
}

struct cloud_call *cloud_attach_root(struct cloud *cloud, const char *volume_id, const char *vm_id,
				     const char *job_id, int64_t asked_ms, cloud_done_fn done,
				     void *arg)
{
	struct cloud_call *call =
		cloud_attach_volume(cloud, volume_id, vm_id, 0, job_id, asked_ms, done, arg);

	call->request->as_root = true;
	return call;
}

static struct cloud_call *ask_about(struct cloud *cloud, enum fake_command command,
				    const char *volume_id, const char *name, const char *job_id,
				    int64_t expires_ms, cloud_done_fn done, void *arg)
{
	struct fake_request *request = request_new(cloud, command, done, arg);

	request->volume_id = xstrdup(volume_id);
	request->name = xstrdup(name);
	request->job_id = xstrdup(job_id);
	request->expires_ms = expires_ms;
	return request->call;
}

struct cloud_call *cloud_detach_volume(struct cloud *cloud, const char *volume_id,
				       const char *job_id, int64_t asked_ms, cloud_done_fn done,
				       void *arg)
{
	return ask_about(cloud, FAKE_DETACH, volume_id, NULL, job_id,
			 expiry_of(cloud->server, asked_ms), done, arg);
}

struct cloud_call *cloud_resize_volume(struct cloud *cloud, const char *volume_id,
				       uint64_t size_gib, bool shrink_ok, const char *job_id,
				       int64_t asked_ms, cloud_done_fn done, void *arg)
{
	struct cloud_call *call = ask_about(cloud, FAKE_RESIZE, volume_id, NULL, job_id,
					    expiry_of(cloud->server, asked_ms), done, arg);

	call->request->size_gib = size_gib;
	call->request->shrink_ok = shrink_ok;
	return call;
}

struct cloud_call *cloud_destroy_volume(struct cloud *cloud, const char *volume_id, bool expunge,
					const char *job_id, int64_t asked_ms, cloud_done_fn done,
					void *arg)
{
	struct cloud_call *call = ask_about(cloud, FAKE_DESTROY, volume_id, NULL, job_id,
					    expiry_of(cloud->server, asked_ms), done, arg);

	call->request->expunge = expunge;
	return call;
}

struct cloud_call *cloud_delete_volume(struct cloud *cloud, const char *volume_id, int64_t asked_ms,
				       cloud_done_fn done, void *arg)
{
	return ask_about(cloud, FAKE_DELETE, volume_id, NULL, NULL,
			 expiry_of(cloud->server, asked_ms), done, arg);
}

struct cloud_call *cloud_rename_volume(struct cloud *cloud, const char *volume_id, const char *name,
				       const char *job_id, int64_t asked_ms, cloud_done_fn done,
				       void *arg)
{
	return ask_about(cloud, FAKE_RENAME, volume_id, name, job_id,
			 expiry_of(cloud->server, asked_ms), done, arg);
}

struct cloud_call *cloud_create_snapshot(struct cloud *cloud, const char *volume_id,
					 const char *name, const char *job_id, int64_t asked_ms,
					 cloud_done_fn done, void *arg)
{
	return ask_about(cloud, FAKE_SNAPSHOT, volume_id, name, job_id,
			 expiry_of(cloud->server, asked_ms), done, arg);
}

static struct cloud_call *change_snapshot(struct cloud *cloud, enum fake_command command,
					  const char *snapshot_id, const char *job_id,
					  int64_t asked_ms, cloud_done_fn done, void *arg)
{
	struct cloud_call *call = ask_about(cloud, command, NULL, NULL, job_id,
					    expiry_of(cloud->server, asked_ms), done, arg);

	call->request->snapshot_id = xstrdup(snapshot_id);
	return call;
}

struct cloud_call *cloud_revert_snapshot(struct cloud *cloud, const char *snapshot_id,
					 const char *job_id, int64_t asked_ms, cloud_done_fn done,
					 void *arg)
{
	return change_snapshot(cloud, FAKE_REVERT, snapshot_id, job_id, asked_ms, done, arg);
}

struct cloud_call *cloud_delete_snapshot(struct cloud *cloud, const char *snapshot_id,
					 const char *job_id, int64_t asked_ms, cloud_done_fn done,
					 void *arg)
{
	return change_snapshot(cloud, FAKE_DELETE_SNAPSHOT, snapshot_id, job_id, asked_ms, done,
			       arg);
}

struct cloud_call *cloud_list_snapshots(struct cloud *cloud,
					const struct cloud_snapshot_filter *filter,
					cloud_done_fn done, void *arg)
{
	struct cloud_call *call = ask_about(cloud, FAKE_LIST_SNAPSHOTS, filter->volume_id,
					    filter->name, NULL, INT64_MAX, done, arg);

	call->request->snapshot_id = xstrdup(filter->id);
	return call;
}

static struct cloud_call *change_vm(struct cloud *cloud, enum fake_command command,
				    const char *vm_id, const char *job_id, int64_t asked_ms,
				    cloud_done_fn done, void *arg)
{
	struct cloud_call *call = ask_about(cloud, command, NULL, NULL, job_id,
					    expiry_of(cloud->server, asked_ms), done, arg);

	call->request->vm_id = xstrdup(vm_id);
	return call;
}

struct cloud_call *cloud_stop_vm(struct cloud *cloud, const char *vm_id, const char *job_id,
				 int64_t asked_ms, cloud_done_fn done, void *arg)
{
	return change_vm(cloud, FAKE_STOP_VM, vm_id, job_id, asked_ms, done, arg);
}

struct cloud_call *cloud_start_vm(struct cloud *cloud, const char *vm_id, const char *job_id,
				  int64_t asked_ms, cloud_done_fn done, void *arg)
{
	return change_vm(cloud, FAKE_START_VM, vm_id, job_id, asked_ms, done, arg);
}

struct cloud_call *cloud_expunge_vm(struct cloud *cloud, const char *vm_id, const char *job_id,
				    int64_t asked_ms, cloud_done_fn done, void *arg)
{
	return change_vm(cloud, FAKE_EXPUNGE_VM, vm_id, job_id, asked_ms, done, arg);
}

struct cloud_call *cloud_find_job(struct cloud *cloud, const char *job_id, cloud_done_fn done,
				  void *arg)
{
	return ask_about(cloud, FAKE_FIND_JOB, NULL, NULL, job_id, INT64_MAX, done, arg);
}

struct cloud_call *cloud_list_vm(struct cloud *cloud, const char *vm_id, cloud_done_fn done,
				 void *arg)
{
	struct fake_request *request = request_new(cloud, FAKE_LIST_VM, done, arg);

	request->vm_id = xstrdup(vm_id);
	return request->call;
}

struct cloud_call *cloud_list_volumes(struct cloud *cloud, const struct cloud_volume_filter *filter,
				      cloud_done_fn done, void *arg)
{
	struct fake_request *request = request_new(cloud, FAKE_LIST, done, arg);

	request->volume_id = xstrdup(filter->id);
	request->name = xstrdup(filter->name);
	request->vm_id = xstrdup(filter->vm_id);
	return request->call;
}

struct cloud_call *cloud_find_zone(struct cloud *cloud, const char *name, cloud_done_fn done,
				   void *arg)
{
	struct fake_request *request = request_new(cloud, FAKE_FIND_ZONE, done, arg);

	request->name = xstrdup(name);
	return request->call;
}

static struct cloud_call *ask_fact(struct cloud *cloud, const char *name, fake_tell_fn tell,
				   cloud_done_fn done, void *arg)
{
	struct fake_request *request = request_new(cloud, FAKE_TELL, done, arg);

	request->name = xstrdup(name);
	request->tell = tell;
	return request->call;
}

static void tell_zone(const struct fake_facts *facts, const char *name, struct cloud_result *result)
{
	result->count = result->rows = streq(name, ZONE);
}

struct cloud_call *cloud_list_zone(struct cloud *cloud, const char *id, cloud_done_fn done,
				   void *arg)
{
	return ask_fact(cloud, id, tell_zone, done, arg);
}

static void tell_offering(const struct fake_facts *facts, const char *name,
			  struct cloud_result *result)
{
	static const struct cloud_offering any;

	result->offerings = &any;
	result->count = result->rows = 1;
}

struct cloud_call *cloud_list_offering(struct cloud *cloud, const char *id, cloud_done_fn done,
				       void *arg)
{
	return ask_fact(cloud, id, tell_offering, done, arg);
}

static void tell_vm_snapshots(const struct fake_facts *facts, const char *name,
			      struct cloud_result *result)
{
	result->rows = facts->vm_snapshots;
}

struct cloud_call *cloud_list_vm_snapshots(struct cloud *cloud, const char *id, cloud_done_fn done,
					   void *arg)
{
	return ask_fact(cloud, id, tell_vm_snapshots, done, arg);
}

static void tell_command(const struct fake_facts *facts, const char *name,
			 struct cloud_result *result)
{
	result->rows = !streq(name, facts->forbidden);
}

void cloud_each_command(cloud_command_fn fn, void *arg)
{
	fn(arg, "attachVolume", "attach the volume", false);
}

struct cloud_call *cloud_find_command(struct cloud *cloud, const char *name, cloud_done_fn done,
				      void *arg)
{
	return ask_fact(cloud, name, tell_command, done, arg);
}

static void tell_limits(const struct fake_facts *facts, const char *name,
			struct cloud_result *result)
{
	result->limits = facts->limits;
	result->count = result->rows = facts->limits != NULL;
}

struct cloud_call *cloud_find_limits(struct cloud *cloud, const char *owner, cloud_done_fn done,
				     void *arg)
{
	return ask_fact(cloud, owner, tell_limits, done, arg);
}

struct cloud_call *cloud_find_project_limits(struct cloud *cloud, const char *id,
					     cloud_done_fn done, void *arg)
{
	return ask_fact(cloud, id, tell_limits, done, arg);
}

static void tell_disk_limit(const struct fake_facts *facts, const char *name,
			    struct cloud_result *result)
{
	result->least_disks = result->most_disks = facts->data_disks;
}

struct cloud_call *cloud_find_disk_limit(struct cloud *cloud, const char *hypervisor,
					 cloud_done_fn done, void *arg)
{
	return ask_fact(cloud, hypervisor, tell_disk_limit, done, arg);
}

struct cloud_walk {
	struct cloud *cloud;
	struct cloud_call *call; /* NULL: a look of the store guard, which no script disturbs */
	struct loop_timer answer;
	enum { LOOK_NAMED, LOOK_JOBS, LOOK_OTHERS } look;
	char *part; /* LOOK_NAMED: of names */
	/* LOOK_OTHERS: shows what it lists */
	void (*show)(const struct fake_server *server, struct cloud_result *result);
	bool is_whole;
	cloud_done_fn on_page;
	cloud_done_fn done;
	void *arg;
};

static void on_walked(void *arg, const struct cloud_result *result)
{
	const struct fake_server *server;
	struct cloud_walk *walk = arg;
	struct cloud_result shown = *result;

	server = walk->cloud->server;
	if (walk->is_whole && result->outcome == CLOUD_OK && server->no_list) {
		shown = (struct cloud_result){ .outcome = CLOUD_AWAY };
		err_set(&shown.err, ERR_UNAVAILABLE, "%s", server->no_list);
	}
	if (walk->is_whole)
		shown.left_out = server->left_out;
	if (shown.outcome == CLOUD_OK)
		walk->on_page(walk->arg, &shown);
	walk->done(walk->arg, &shown);
	free(walk);
}

/* All are on one page. */
struct cloud_walk *cloud_walk_volumes(struct cloud *cloud, const char *vm_id, cloud_done_fn on_page,
				      cloud_done_fn done, void *arg)
{
	const struct cloud_volume_filter filter = { .vm_id = vm_id };
	struct cloud_walk *walk = xnew(struct cloud_walk);

	*walk = (struct cloud_walk){
		.cloud = cloud, .is_whole = !vm_id, .on_page = on_page, .done = done, .arg = arg
	};
	walk->call = cloud_list_volumes(cloud, &filter, on_walked, walk);
	if (walk->is_whole)
		cloud->server->whole_lists++;
	if (walk->is_whole && cloud->server->list_ms > 0) {
		loop_timer_set(cloud->server->loop, &walk->call->request->arrive,
			       cloud->server->trip_ms + cloud->server->list_ms);
	}
	return walk;
}

static void list_named(struct listing *listing, struct fake_server *server, const char *part)
{
	const struct fake_volume *volume;

	TAILQ_FOREACH(volume, &server->volumes, entry) {
		if (!volume->gone && !volume->hidden && strstr(volume->name, part))
			list_one(listing, server, volume);
	}
}

static const char **list_jobs(struct fake_server *server, size_t *count)
{
	const char **ids = NULL;
	const struct fake_job *job;

	*count = 0;
	TAILQ_FOREACH(job, &server->jobs, entry) {
		if (job->state > JOB_RUNNING)
			continue;
		ids = xrealloc(ids, (*count + 1) * sizeof(*ids));
		ids[(*count)++] = job->id;
	}
	return ids;
}

static void walk_free(struct cloud_walk *walk)
{
	loop_timer_clear(walk->cloud->server->loop, &walk->answer);
	walk->cloud->open--;
	free(walk->part);
	free(walk);
}

static void on_look_answered(struct loop_timer *timer)
{
	struct cloud_walk *walk = container_of(timer, struct cloud_walk, answer);
	struct fake_server *server = walk->cloud->server;
	struct cloud_result result = { .outcome = CLOUD_OK };
	struct listing listing = { 0 };
	const char **ids = NULL;

	note_usable(walk->cloud, !server->down);
	if (server->down) {
		result.outcome = CLOUD_AWAY;
		err_set(&result.err, ERR_UNAVAILABLE, "CloudStack did not answer");
	} else if (server->no_looks) {
		put_refusal(&result, false, server->no_looks, "the test refuses it");
	} else if (walk->look == LOOK_OTHERS) {
		walk->show(server, &result);
	} else if (walk->look == LOOK_NAMED) {
		list_named(&listing, server, walk->part);
		result.volumes = listing.volumes;
		result.count = listing.count;
	} else {
		result.jobs = ids = list_jobs(server, &result.count);
	}
	if (result.outcome == CLOUD_OK)
		walk->on_page(walk->arg, &result);
	walk->done(walk->arg, &result);
	listing_clear(&listing);
	free(ids);
	walk_free(walk);
}

static struct cloud_walk *look_new(struct cloud *cloud, const char *part, cloud_done_fn on_page,
				   cloud_done_fn done, void *arg)
{
	struct cloud_walk *walk = xnew(struct cloud_walk);

	*walk = (struct cloud_walk){ .cloud = cloud,
				     .answer.fire = on_look_answered,
				     .look = part ? LOOK_NAMED : LOOK_JOBS,
				     .part = xstrdup(part),
				     .on_page = on_page,
				     .done = done,
				     .arg = arg };
	cloud->open++;
	cloud->calls++;
	cloud->server->calls[FAKE_ANY]++;
	loop_timer_set(cloud->server->loop, &walk->answer, cloud->server->trip_ms);
	return walk;
}

struct cloud_walk *cloud_walk_named(struct cloud *cloud, const char *part, cloud_done_fn on_page,
				    cloud_done_fn done, void *arg)
{
	return look_new(cloud, part, on_page, done, arg);
}

struct cloud_walk *cloud_walk_own_jobs(struct cloud *cloud, cloud_done_fn on_page,
				       cloud_done_fn done, void *arg)
{
	return look_new(cloud, NULL, on_page, done, arg);
}

static struct cloud_walk *others_new(struct cloud *cloud,
				     void (*show)(const struct fake_server *server,
						  struct cloud_result *result),
				     cloud_done_fn on_page, cloud_done_fn done, void *arg)
{
	struct cloud_walk *walk = look_new(cloud, NULL, on_page, done, arg);

	walk->look = LOOK_OTHERS;
	walk->show = show;
	cloud->server->other_lists++;
	return walk;
}

static char appliance_id[] = APPLIANCE, other_vm_id[] = OTHER_VM, zone_id[] = ZONE;
static char running[] = "Running", stopped[] = "Stopped";
static char appliance_name[] = "appliance", other_name[] = "other", zone_name[] = "zone-1";
static char small_id[] = "dddddddd-0000-4000-8000-00000000000d", small_name[] = "small";
static char large_id[] = "eeeeeeee-0000-4000-8000-00000000000e", large_name[] = "large";

/* In no order, and one twice, as when pages have shifted. */
static void show_vms(const struct fake_server *server, struct cloud_result *result)
{
	static struct cloud_vm vms[3];

	vms[0] = vms[2] = (struct cloud_vm){ .id = other_vm_id, .name = other_name };
	vms[0].state = vms[2].state = server_vm_runs(server, OTHER_VM) ? running : stopped;
	vms[1] = (struct cloud_vm){ .id = appliance_id, .name = appliance_name, .state = running };
	result->vms = vms;
	result->count = result->rows = 3;
}

static void show_zones(const struct fake_server *server, struct cloud_result *result)
{
	static const struct cloud_zone zone = { .id = zone_id, .name = zone_name };

	result->zones = &zone;
	result->count = result->rows = 1;
}

static void show_offerings(const struct fake_server *server, struct cloud_result *result)
{
	static const struct cloud_offering offerings[] = {
		{ .id = small_id, .name = small_name, .size = 5 * GIB },
		{ .id = large_id, .name = large_name },
	};

	result->offerings = offerings;
	result->count = result->rows = 2;
}

/* On one page, as with volumes. */
struct cloud_walk *cloud_walk_snapshots(struct cloud *cloud, const char *volume_id,
					cloud_done_fn on_page, cloud_done_fn done, void *arg)
{
	const struct cloud_snapshot_filter filter = { .volume_id = volume_id };
	struct cloud_walk *walk = xnew(struct cloud_walk);

	*walk = (struct cloud_walk){ .cloud = cloud, .on_page = on_page, .done = done, .arg = arg };
	walk->call = cloud_list_snapshots(cloud, &filter, on_walked, walk);
	return walk;
}

struct cloud_walk *cloud_walk_vms(struct cloud *cloud, cloud_done_fn on_page, cloud_done_fn done,
				  void *arg)
{
	return others_new(cloud, show_vms, on_page, done, arg);
}

struct cloud_walk *cloud_walk_zones(struct cloud *cloud, cloud_done_fn on_page, cloud_done_fn done,
				    void *arg)
{
	return others_new(cloud, show_zones, on_page, done, arg);
}

struct cloud_walk *cloud_walk_offerings(struct cloud *cloud, cloud_done_fn on_page,
					cloud_done_fn done, void *arg)
{
	return others_new(cloud, show_offerings, on_page, done, arg);
}

void cloud_walk_cancel(struct cloud_walk *walk)
{
	if (!walk->call) {
		walk_free(walk);
		return;
	}
	cloud_call_cancel(walk->call);
	free(walk);
}

/* ---- watching jobs ---- */

static void on_look(struct loop_timer *timer)
{
	struct cloud_job *job = container_of(timer, struct cloud_job, timer);
	struct fake_server *server = job->cloud->server;
	struct cloud_result result = { .outcome = CLOUD_OK };
	struct listing listing = { 0 };
	const struct fake_job *there = server_job(server, job->id);

	note_usable(job->cloud, !server->down);
	if (server->down || (there && there->state <= JOB_RUNNING)) {
		loop_timer_set(server->loop, timer, POLL_MS);
		return;
	}
	if (server->no_query)
		put_refusal(&result, false, 432,
			    "The API [queryAsyncJobResult] does not exist or is not available for "
			    "the account A");
	else if (there)
		put_job(&result, &listing, there);
	else
		put_unknown_job(&result);
	job->cloud->open--;
	job->done(job->arg, &result);
	listing_clear(&listing);
	free(job->id);
	free(job);
}

struct cloud_job *cloud_job_watch(struct cloud *cloud, const struct cloud_watch *watch,
				  cloud_done_fn done, void *arg)
{
	struct cloud_job *job = xnew(struct cloud_job);

	/* The real one would learn that jobs of this kind take no time. */
	assert_false(watch->kind && watch->at_once);
	*job = (struct cloud_job){
		.cloud = cloud, .id = xstrdup(watch->job_id), .done = done, .arg = arg
	};
	job->timer.fire = on_look;
	cloud->open++;
	loop_timer_set(cloud->server->loop, &job->timer, watch->at_once ? 0 : POLL_MS);
	return job;
}

void cloud_job_poke(struct cloud_job *job)
{
	loop_timer_set(job->cloud->server->loop, &job->timer, 0);
}

char *cloud_job_seen(const struct cloud_job *job)
{
	return xasprintf("job %s in progress, 0 s ago", job->id);
}

void cloud_job_cancel(struct cloud_job *job)
{
	loop_timer_clear(job->cloud->server->loop, &job->timer);
	job->cloud->open--;
	free(job->id);
	free(job);
}
