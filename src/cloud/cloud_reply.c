/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reading CloudStack's answers.
 *
 * An answer is an object with one member, whose name is the command's in lower case plus
 * "response", except when it is "errorresponse" or even "null"; so the name is never read. Inside
 * is the payload: the list (empty lists have no array, and the count beside it is not read, since
 * it is the length of the page in some versions and of the list in others), the job id, the job, or
 * an error with errorcode and errortext. The payload's errorcode counts; the HTTP status only
 * repeats it.
 *
 * The server undoes Java's \uXXXX escapes after the JSON is made. That puts raw control characters
 * into strings, and a volume named a\u0041 comes out as "a\A", which is no JSON: one such name
 * would hide all other volumes. So a text that does not parse is parsed again, with its impossible
 * escapes taken as plain backslashes.
 *
 * All kept text is bounded and cleaned, since it goes on to the log, the store and the bus.
 */

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <strings.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/uuid.h"
#include "cloud/cloud_error.h"
#include "cloud/cloud_reply.h"
#include "cloud/cloud_reply_limits.h"

#define TEXT_MAX 1024 /* bytes of one stored member; names have at most 255 characters */
#define ID_MAX 64
#define IDS_MAX 8192
#define RAW_MAX ((size_t)64 << 10)
#define ITEMS_MAX 10000 /* a page has 500 unless an administrator has changed it */
#define OFFERING_GIB_MAX (INT64_C(1) << 30)
#define LEFT_OUT_MAX 160 /* bytes; after that, volumes that are left out are not named */
#define LEFT_OUT_NAME_SIZE 41
#define HTTP_OK 200

/*
 * NULL if absent, empty or not a text. Some old servers write numbers as texts, none writes texts
 * as numbers.
 */
static char *get_text(const struct json *object, const char *name)
{
	char text[TEXT_MAX];

	cloud_text_copy(text, sizeof(text), json_text(json_get(object, name)));
	return *text ? xstrdup(text) : NULL;
}

/*
 * NULL also if the text is too long for an id. Ids are UUIDs, except those of rows older than
 * CloudStack 3, which kept their numbers.
 */
static char *get_id(const struct json *object, const char *name)
{
	const char *text = json_text(json_get(object, name));

	if (str_empty(text) || strlen(text) > ID_MAX || !str_is_plain_text(text))
		return NULL;
	return xstrdup(text);
}

/* Ids with commas between, of which a list may be long. */
static char *get_ids(const struct json *object, const char *name)
{
	char text[IDS_MAX];

	cloud_text_copy(text, sizeof(text), json_text(json_get(object, name)));
	return *text ? xstrdup(text) : NULL;
}

static int64_t get_integer(const struct json *object, const char *name, int64_t otherwise)
{
	const struct json *node = json_get(object, name);
	int64_t value;

	if (!node)
		return otherwise;
	if (json_integer(node, &value) == 0)
		return value;
	if (json_text(node) && parse_i64(json_text(node), &value) == 0)
		return value;
	return otherwise;
}

/* NULL if that is not told. */
static char *get_owner(const struct json *object)
{
	const char *project_id = json_text(json_get(object, "projectid"));
	const char *account = json_text(json_get(object, "account"));
	const char *domain_id = json_text(json_get(object, "domainid"));
	char text[TEXT_MAX];

	if (project_id)
		snprintf(text, sizeof(text), CLOUD_OWNER_PROJECT "%.*s", ID_MAX, project_id);
	else if (account && domain_id)
		snprintf(text, sizeof(text), "%.*s %s", ID_MAX, domain_id, account);
	else
		return NULL;
	return str_is_plain_text(text) ? xstrdup(text) : NULL;
}

/* The volume's object, without the job that happened to be under way when it was written. */
static char *get_raw(const struct json *object)
{
	_cleanup_buf_ struct buf text = BUF_NULL;
	_cleanup_json_writer_ struct json_writer w = { .out = &text };

	json_begin_object(&w);
	for (const struct json *member = json_first(object); member; member = json_next(member)) {
		if (streq(json_name(member), "jobid") || streq(json_name(member), "jobstatus"))
			continue;
		json_put_name(&w, json_name(member));
		json_put_node(&w, member);
	}
	json_end_object(&w);
	if (text.length > RAW_MAX)
		return xstrdup("{}");
	return buf_take(&text);
}

static void volume_clear(struct cloud_volume *volume)
{
	free(volume->id);
	free(volume->name);
	free(volume->zone_id);
	free(volume->type);
	free(volume->state);
	free(volume->vm_id);
	free(volume->job_id);
	free(volume->hypervisor);
	free(volume->owner);
	free(volume->raw);
}

static void vm_clear(struct cloud_vm *vm)
{
	free(vm->id);
	free(vm->name);
	free(vm->display_name);
	free(vm->zone_id);
	free(vm->state);
	free(vm->job_id);
	free(vm->hypervisor);
	free(vm->owner);
}

static void zone_clear(struct cloud_zone *zone)
{
	free(zone->id);
	free(zone->name);
	free(zone->network_type);
	free(zone->allocation_state);
}

static void snapshot_clear(struct cloud_snapshot *snapshot)
{
	free(snapshot->id);
	free(snapshot->name);
	free(snapshot->volume_id);
	free(snapshot->state);
}

static void offering_clear(struct cloud_offering *offering)
{
	free(offering->id);
	free(offering->name);
	free(offering->description);
	free(offering->zone_ids);
	free(offering->storage_type);
}

static void leave_out(struct cloud_reply *reply, const struct json *object)
{
	char name[LEFT_OUT_NAME_SIZE], id[LEFT_OUT_NAME_SIZE];
	struct buf *out = &reply->left_out;

	if (out->length >= LEFT_OUT_MAX)
		return;
	cloud_text_copy(name, sizeof(name), json_text(json_get(object, "name")));
	cloud_text_copy(id, sizeof(id), json_text(json_get(object, "id")));
	buf_printf(out, "%s\"%s\" (%s)", out->length ? ", " : "", name, *id ? id : "no id");
	if (out->length >= LEFT_OUT_MAX)
		buf_add_text(out, " and others");
}

/* Ids of volumes are UUIDs for the clients of this daemon, for its store and for the disks. */
static bool is_understood(const struct json *object)
{
	const char *id = json_text(json_get(object, "id"));

	return id && uuid_is_valid(id);
}

/* -1 if the object is not a volume. */
static int volume_read(struct cloud_volume *volume, const struct json *object)
{
	_cleanup_free_ char *id = get_id(object, "id");
	int64_t size = get_integer(object, "size", 0);

	if (!id)
		return -1;
	*volume = (struct cloud_volume){
		.id = TAKE_PTR(id),
		.name = get_text(object, "name"),
		.zone_id = get_id(object, "zoneid"),
		.type = get_text(object, "type"),
		.state = get_text(object, "state"),
		.vm_id = get_id(object, "virtualmachineid"),
		.job_id = get_id(object, "jobid"),
		.hypervisor = get_text(object, "hypervisor"),
		.owner = get_owner(object),
		.size = size > 0 ? (uint64_t)size : 0,
		.device_id = get_integer(object, "deviceid", -1),
		.is_protected = json_true(json_get(object, "deleteprotection")),
		.raw = get_raw(object),
	};
	if (!volume->vm_id)
		volume->device_id = -1;
	return 0;
}

/* NULL if all is well, else a phrase that says why the list is wrong. */
static const char *read_volumes(struct cloud_reply *reply, const struct cloud_question *question,
				const struct json *payload)
{
	const struct json *array = json_get(payload, "volume"), *item;
	size_t found = 0;

	if (array && json_kind(array) != JSON_ARRAY)
		return "its list of volumes is not a list";
	for (item = json_first(array); item; item = json_next(item))
		if (++found > ITEMS_MAX)
			return "its list of volumes is too long";
	if (found > 0)
		reply->volumes = xcalloc(found, sizeof(*reply->volumes));
	for (item = json_first(array); item; item = json_next(item)) {
		/* The server compares names as its database does, without regard to case. */
		if (question->name && !streq(json_text(json_get(item, "name")), question->name))
			continue;
		if (question->is_page && !is_understood(item)) {
			leave_out(reply, item);
			continue;
		}
		if (volume_read(&reply->volumes[reply->count], item) < 0)
			return "a volume in it has no id";
		reply->count++;
	}
	reply->result.rows = found;
	return NULL;
}

/* The rows of a list, whose number is kept in the result. NULL if all is well, else a phrase that
 * says why the list is wrong. */
static const char *find_rows(struct cloud_reply *reply, const struct json *payload,
			     const char *name, const struct json **first)
{
	const struct json *array = json_get(payload, name), *item;
	size_t found = 0;

	if (array && json_kind(array) != JSON_ARRAY)
		return "its list is not a list";
	for (item = json_first(array); item; item = json_next(item))
		if (++found > ITEMS_MAX)
			return "its list is too long";
	*first = json_first(array);
	reply->result.rows = found;
	return NULL;
}

static const char *read_vms(struct cloud_reply *reply, const struct cloud_question *question,
			    const struct json *payload)
{
	const struct json *item;
	const char *why = find_rows(reply, payload, "virtualmachine", &item);

	if (why)
		return why;
	reply->vms = xcalloc(reply->result.rows + 1, sizeof(*reply->vms));
	for (; item; item = json_next(item)) {
		_cleanup_free_ char *id = get_id(item, "id");

		if (question->is_page && !is_understood(item))
			continue;
		if (!id)
			return "a VM in it has no id";
		reply->vms[reply->count++] = (struct cloud_vm){
			.id = TAKE_PTR(id),
			.name = get_text(item, "name"),
			.display_name = get_text(item, "displayname"),
			.zone_id = get_id(item, "zoneid"),
			.state = get_text(item, "state"),
			.job_id = get_id(item, "jobid"),
			.hypervisor = get_text(item, "hypervisor"),
			.owner = get_owner(item),
		};
	}
	return NULL;
}

static const char *read_zones(struct cloud_reply *reply, const struct json *payload)
{
	const struct json *item;
	const char *why = find_rows(reply, payload, "zone", &item);

	if (why)
		return why;
	reply->zones = xcalloc(reply->result.rows + 1, sizeof(*reply->zones));
	for (; item; item = json_next(item)) {
		if (!is_understood(item))
			continue;
		reply->zones[reply->count++] = (struct cloud_zone){
			.id = get_id(item, "id"),
			.name = get_text(item, "name"),
			.network_type = get_text(item, "networktype"),
			.allocation_state = get_text(item, "allocationstate"),
		};
	}
	return NULL;
}

/* An offering whose volumes choose their size has a disksize of 0. */
static uint64_t offering_size(const struct json *object)
{
	int64_t gib = get_integer(object, "disksize", 0);

	if (json_true(json_get(object, "iscustomized")) || gib <= 0 || gib > OFFERING_GIB_MAX)
		return 0;
	return (uint64_t)gib * CLOUD_GIB;
}

static const char *read_offerings(struct cloud_reply *reply, const struct json *payload)
{
	const struct json *item;
	const char *why = find_rows(reply, payload, "diskoffering", &item);

	if (why)
		return why;
	reply->offerings = xcalloc(reply->result.rows + 1, sizeof(*reply->offerings));
	for (; item; item = json_next(item)) {
		if (!is_understood(item))
			continue;
		reply->offerings[reply->count++] = (struct cloud_offering){
			.id = get_id(item, "id"),
			.name = get_text(item, "name"),
			.description = get_text(item, "displaytext"),
			.zone_ids = get_ids(item, "zoneid"),
			.storage_type = get_text(item, "storagetype"),
			.size = offering_size(item),
		};
	}
	return NULL;
}

static int64_t get_time(const struct json *object, const char *name)
{
	const char *text = json_text(json_get(object, name));
	int64_t ms;

	return text && time_parse(text, &ms) == 0 && ms > 0 ? ms : 0;
}

/* The member virtualsize is missing while a snapshot is being made. */
static const char *read_snapshots(struct cloud_reply *reply, const struct cloud_question *question,
				  const struct json *payload)
{
	const struct json *item;
	const char *why = find_rows(reply, payload, "snapshot", &item);

	if (why)
		return why;
	reply->snapshots = xcalloc(reply->result.rows + 1, sizeof(*reply->snapshots));
	for (; item; item = json_next(item)) {
		int64_t size = get_integer(item, "virtualsize", 0);

		if (!is_understood(item))
			continue;
		if (question->name && !streq(json_text(json_get(item, "name")), question->name))
			continue;
		reply->snapshots[reply->count++] = (struct cloud_snapshot){
			.id = get_id(item, "id"),
			.name = get_text(item, "name"),
			.volume_id = get_id(item, "volumeid"),
			.state = get_text(item, "state"),
			.size = size > 0 ? (uint64_t)size : 0,
			.created_ms = get_time(item, "created"),
			.revertable = json_true(json_get(item, "revertable")),
		};
	}
	return NULL;
}

/* Only the ids of a list of jobs are read. The list holds pending jobs only. */
static const char *read_jobs(struct cloud_reply *reply, const struct json *payload)
{
	const struct json *array = json_get(payload, "asyncjobs"), *item;
	size_t found = 0;

	if (array && json_kind(array) != JSON_ARRAY)
		return "its list of jobs is not a list";
	for (item = json_first(array); item; item = json_next(item))
		if (++found > ITEMS_MAX)
			return "its list of jobs is too long";
	if (found > 0)
		reply->jobs = xcalloc(found, sizeof(*reply->jobs));
	for (item = json_first(array); item; item = json_next(item)) {
		/* A job that is not in the list is queried by itself. */
		reply->jobs[reply->count] = get_id(item, "jobid");
		if (reply->jobs[reply->count])
			reply->count++;
	}
	reply->result.rows = found;
	return NULL;
}

/* Zones have no two names that differ in case only. */
static const char *read_zone(struct cloud_reply *reply, const struct cloud_question *question,
			     const struct json *payload)
{
	const struct json *array = json_get(payload, "zone"), *item;
	const char *name;

	if (array && json_kind(array) != JSON_ARRAY)
		return "its list of zones is not a list";
	for (item = json_first(array); item && !reply->entity_id; item = json_next(item)) {
		name = json_text(json_get(item, "name"));
		if (name && strcasecmp(name, question->name) == 0)
			reply->entity_id = get_id(item, "id");
	}
	return NULL;
}

static const char *read_job_id(struct cloud_reply *reply, const struct json *payload)
{
	reply->job_id = get_id(payload, "jobid");
	reply->entity_id = get_id(payload, "id");
	return reply->job_id ? NULL : "it names no job";
}

/*
 * The volume inside a finished job carries a jobid with status pending: this very job, as it was
 * when the object was made. The job is over, so its id is left out.
 */
static void read_job_volume(struct cloud_reply *reply, const struct json *object)
{
	reply->volumes = xcalloc(1, sizeof(*reply->volumes));
	if (!is_understood(object) || volume_read(reply->volumes, object) < 0)
		return;
	reply->count = 1;
	str_set(&reply->volumes[0].job_id, NULL);
	if (!reply->entity_id)
		reply->entity_id = xstrdup(reply->volumes[0].id);
}

static int clamp_code(int64_t code)
{
	return code > 0 && code < INT_MAX ? (int)code : CLOUD_CODE_INTERNAL;
}

static const char *read_job(struct cloud_reply *reply, const struct json *payload)
{
	const struct json *result = json_get(payload, "jobresult");
	const struct json *volume = json_get(result, "volume");
	int64_t status = get_integer(payload, "jobstatus", -1), code;

	if (status < 0)
		return "it does not say how the job stands";
	reply->entity_id = get_id(payload, "jobinstanceid");
	if (status == 0) {
		reply->result.job_status = CLOUD_JOB_PENDING;
	} else if (status == 1) {
		reply->result.job_status = CLOUD_JOB_SUCCEEDED;
		if (volume && json_kind(volume) == JSON_OBJECT)
			read_job_volume(reply, volume);
	} else {
		reply->result.job_status = CLOUD_JOB_FAILED;
		code = get_integer(result, "errorcode", get_integer(payload, "jobresultcode", 0));
		cloud_error_job(clamp_code(code), json_text(json_get(result, "errortext")),
				&reply->result.err);
	}
	return NULL;
}

static const char *read_payload(struct cloud_reply *reply, const struct cloud_question *question,
				const struct json *payload)
{
	switch (question->kind) {
	case CLOUD_REPLY_ANY:
		return NULL;
	case CLOUD_REPLY_JOB_ID:
		return read_job_id(reply, payload);
	case CLOUD_REPLY_VOLUMES:
		return read_volumes(reply, question, payload);
	case CLOUD_REPLY_VMS:
		return read_vms(reply, question, payload);
	case CLOUD_REPLY_JOB:
		return read_job(reply, payload);
	case CLOUD_REPLY_JOBS:
		return read_jobs(reply, payload);
	case CLOUD_REPLY_ZONE:
		return read_zone(reply, question, payload);
	case CLOUD_REPLY_ZONES:
		return read_zones(reply, payload);
	case CLOUD_REPLY_OFFERINGS:
		return read_offerings(reply, payload);
	case CLOUD_REPLY_SNAPSHOTS:
		return read_snapshots(reply, question, payload);
	case CLOUD_REPLY_VM_SNAPSHOTS:
		return cloud_reply_read_number(reply, payload, "vmSnapshot");
	case CLOUD_REPLY_COMMANDS:
		return cloud_reply_read_number(reply, payload, "api");
	case CLOUD_REPLY_ACCOUNTS:
		return cloud_reply_read_limits(reply, payload, "account");
	case CLOUD_REPLY_PROJECTS:
		return cloud_reply_read_limits(reply, payload, "project");
	case CLOUD_REPLY_HYPERVISORS:
		return cloud_reply_read_disk_limit(reply, payload);
	}
	return "it was not asked for";
}

/* 0 and a fault if the payload is an error, else -1. */
static int read_fault(struct cloud_fault *fault, const struct json *payload,
		      const struct http_response *response)
{
	const char *text = json_text(json_get(payload, "errortext"));
	int64_t code = get_integer(payload, "errorcode", 0);

	if (code <= 0 && response->status >= 400 && text)
		code = response->status;
	if (code <= 0)
		return -1;
	fault->code = clamp_code(code);
	fault->text = text;
	return 0;
}

/* Doubles the backslashes that begin no JSON escape. NULL if there are none. */
static char *repair_escapes(const char *body, size_t length, size_t *out_length)
{
	_cleanup_buf_ struct buf text = BUF_NULL;
	bool repaired = false;

	for (size_t i = 0; i < length; i++) {
		char next = (char)(i + 1 < length ? body[i + 1] : '\0');

		buf_add_char(&text, body[i]);
		if (body[i] != '\\')
			continue;
		if (next && strchr("\"\\/bfnrtu", next)) {
			buf_add_char(&text, next);
			i++;
			continue;
		}
		buf_add_char(&text, '\\');
		repaired = true;
	}
	*out_length = text.length;
	return repaired ? buf_take(&text) : NULL;
}

static struct json *parse_body(const char *body, size_t length, struct err *err)
{
	struct json *document = json_parse_lenient(body, length, err);
	_cleanup_free_ char *repaired = NULL;

	if (document || err->code == ERR_TOO_LARGE || !memchr(body, '\\', length))
		return document;
	repaired = repair_escapes(body, length, &length);
	if (!repaired)
		return NULL;
	err_clear(err);
	return json_parse_lenient(repaired, length, err);
}

static const char *why_nonsense(const struct http_response *response, const struct err *err)
{
	if (response->body_length == 0)
		return "it is empty";
	return err->code == ERR_TOO_LARGE ? err->text : "it is not CloudStack's JSON";
}

/* An unknown id lists nothing, like a deleted one: the server tells them apart only by accident. */
static bool is_empty_list(const struct cloud_question *question, const struct cloud_reply *reply)
{
	static const enum cloud_reply_kind kinds[] = { CLOUD_REPLY_VOLUMES, CLOUD_REPLY_VMS,
						       CLOUD_REPLY_SNAPSHOTS, CLOUD_REPLY_ZONES,
						       CLOUD_REPLY_OFFERINGS };

	if (question->kind == CLOUD_REPLY_COMMANDS)
		return cloud_error_is_no_command(&reply->result.err);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (question->kind == kinds[i])
			return reply->result.outcome == CLOUD_REFUSED &&
			       reply->result.err.code == ERR_NOT_FOUND;
	}
	return false;
}

static void read_error(struct cloud_reply *reply, const struct cloud_question *question,
		       struct cloud_fault *fault)
{
	struct cloud_result *result = &reply->result;

	result->outcome = cloud_error_answer(question, fault, &result->err);
	if (fault->code == CLOUD_CODE_LIMIT)
		reply->wait_ms = cloud_error_wait_ms(fault->text);
	if (is_empty_list(question, reply)) {
		result->outcome = CLOUD_OK;
		result->is_unknown = true;
		err_clear(&result->err);
	}
}

static void read_nonsense(struct cloud_reply *reply, const struct cloud_question *question,
			  const struct http_response *response, const char *why)
{
	/* Half of a list is worse than none. */
	cloud_reply_clear(reply);
	reply->result.outcome = cloud_error_nonsense(question, response, why, &reply->result.err);
}

/* 401 and 429 mean the same from CloudStack and from a proxy in front of it. */
static int fault_of_status(struct cloud_fault *fault, const struct http_response *response)
{
	if (response->status != CLOUD_CODE_UNAUTHORIZED && response->status != CLOUD_CODE_LIMIT)
		return -1;
	fault->code = response->status;
	return 0;
}

static void read_answer(struct cloud_reply *reply, const struct cloud_question *question,
			const struct http_response *response)
{
	_cleanup_json_ struct json *document = NULL;
	struct cloud_fault fault = { 0 };
	const struct json *payload;
	struct err err;
	const char *why;

	err_clear(&err);
	if (response->body_length > 0)
		document = parse_body(response->body, response->body_length, &err);
	payload = document && json_kind(document) == JSON_OBJECT ? json_first(document) : NULL;
	if (!payload || json_kind(payload) != JSON_OBJECT) {
		if (fault_of_status(&fault, response) == 0)
			read_error(reply, question, &fault);
		else
			read_nonsense(reply, question, response, why_nonsense(response, &err));
		return;
	}
	if (read_fault(&fault, payload, response) == 0) {
		reply->answered = true;
		read_error(reply, question, &fault);
		return;
	}
	why = response->status == HTTP_OK ? read_payload(reply, question, payload)
					  : "its HTTP status does not fit it";
	if (why) {
		read_nonsense(reply, question, response, why);
		return;
	}
	reply->answered = true;
}

static bool is_redirect(const struct http_response *response)
{
	return response->status >= 300 && response->status < 400;
}

void cloud_result_init(struct cloud_result *result)
{
	memset(result, 0, offsetof(struct cloud_result, err));
	err_clear(&result->err);
}

static void reply_init(struct cloud_reply *reply)
{
	memset(reply, 0, offsetof(struct cloud_reply, result));
	cloud_result_init(&reply->result);
}

void cloud_reply_read(struct cloud_reply *reply, const struct cloud_question *question,
		      const struct http_response *response)
{
	assert(reply && question && question->what && response);

	reply_init(reply);
	if (response->status == 0 || response->err.code != ERR_NONE) {
		reply->result.outcome = cloud_error_silence(question, response, &reply->result.err);
		reply->result.too_long = response->err.code == ERR_TOO_LARGE;
		return;
	}
	if (is_redirect(response)) {
		reply->result.outcome =
			cloud_error_redirect(question, response, &reply->result.err);
		return;
	}
	read_answer(reply, question, response);
	reply->result.job_id = reply->job_id;
	reply->result.entity_id = reply->entity_id;
	reply->result.volumes = reply->volumes;
	reply->result.vms = reply->vms;
	reply->result.zones = reply->zones;
	reply->result.offerings = reply->offerings;
	reply->result.snapshots = reply->snapshots;
	reply->result.limits = reply->limits;
	reply->result.left_out = reply->left_out.data;
	reply->result.jobs = (const char *const *)reply->jobs;
	reply->result.count = reply->count;
}

void cloud_reply_clear(struct cloud_reply *reply)
{
	for (size_t i = 0; i < reply->count; i++) {
		if (reply->volumes)
			volume_clear(&reply->volumes[i]);
		else if (reply->vms)
			vm_clear(&reply->vms[i]);
		else if (reply->zones)
			zone_clear(&reply->zones[i]);
		else if (reply->offerings)
			offering_clear(&reply->offerings[i]);
		else if (reply->snapshots)
			snapshot_clear(&reply->snapshots[i]);
		else if (reply->limits)
			free(reply->limits[i].name);
		else
			free(reply->jobs[i]);
	}
	free(reply->volumes);
	free(reply->vms);
	free(reply->zones);
	free(reply->offerings);
	free(reply->snapshots);
	free(reply->limits);
	free(reply->jobs);
	free(reply->job_id);
	free(reply->entity_id);
	buf_clear(&reply->left_out);
	reply_init(reply);
}
