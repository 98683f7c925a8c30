/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Answers of CloudStack. The first character holds the question in its bits above '0' (see
 * question_of()), the second one the HTTP status; the rest is the body.
 *
 * Whatever CloudStack answers, a question gets an outcome that it can have, with all that the
 * outcome promises, within bounds. The same answer, given to lists that travel together, ends each
 * list or sends it again, once.
 */

#include "base/uuid.h"
#include "cloud/cloud_error.h"
#include "cloud/cloud_merge.h"
#include "fuzz.h"

#define NAME "data"
#define ZONE "sim"
/* Of a volume: its text, read by cJSON, and the texts of struct cloud_volume. */
#define MEMORY_FOR(SIZE) ((SIZE)*256 + ((size_t)256 << 10))
#define RAW_MAX ((size_t)64 << 10)
#define ROWS_MAX 10000
#define WAIT_MAX_MS 3600000

static struct cloud_question question_of(unsigned bits)
{
	static const enum cloud_reply_kind kinds[] = {
		CLOUD_REPLY_ANY,       CLOUD_REPLY_JOB_ID,   CLOUD_REPLY_VOLUMES, CLOUD_REPLY_JOB,
		CLOUD_REPLY_JOBS,      CLOUD_REPLY_VMS,      CLOUD_REPLY_ZONE,    CLOUD_REPLY_ZONES,
		CLOUD_REPLY_OFFERINGS, CLOUD_REPLY_SNAPSHOTS
	};
	struct cloud_question question = {
		.what = "do as it is told",
		.kind = kinds[((bits & 7) | (bits >> 3 & 8)) % ARRAY_SIZE(kinds)],
	};

	question.change = question.kind <= CLOUD_REPLY_JOB_ID;
	question.creates = question.kind == CLOUD_REPLY_JOB_ID && bits & 8;
	question.is_page = question.kind >= CLOUD_REPLY_VOLUMES && bits & 16;
	if (question.kind == CLOUD_REPLY_ZONE)
		question.name = ZONE;
	else if (question.kind == CLOUD_REPLY_VOLUMES && bits & 32)
		question.name = NAME;
	return question;
}

static int status_of(unsigned choice)
{
	static const int statuses[] = { 200, 401, 429, 430, 431, 432, 503, 530, 531, 535, 302, 0 };

	return statuses[choice % ARRAY_SIZE(statuses)];
}

static void check_raw(const char *raw)
{
	_cleanup_json_ struct json *document = json_parse_lenient(raw, strlen(raw), NULL);

	MUST(strlen(raw) <= RAW_MAX);
	MUST(document && json_kind(document) == JSON_OBJECT);
}

static void check_text(const char *text)
{
	MUST(!text || (*text && str_is_plain_text(text)));
}

static void check_volume(const struct cloud_question *question, const struct cloud_volume *volume)
{
	MUST(volume->id && *volume->id && str_is_plain_text(volume->id));
	if (question->is_page || question->kind == CLOUD_REPLY_JOB)
		MUST(uuid_is_valid(volume->id));
	MUST(!question->name || streq(volume->name, question->name));
	MUST(volume->vm_id || volume->device_id == -1);
	check_text(volume->name);
	check_text(volume->zone_id);
	check_text(volume->type);
	check_text(volume->state);
	check_text(volume->vm_id);
	check_text(volume->job_id);
	check_text(volume->hypervisor);
	check_raw(volume->raw);
}

static void check_zone(const struct cloud_zone *zone)
{
	MUST(zone->id && uuid_is_valid(zone->id));
	check_text(zone->name);
	check_text(zone->network_type);
	check_text(zone->allocation_state);
}

static void check_offering(const struct cloud_offering *offering)
{
	MUST(offering->id && uuid_is_valid(offering->id));
	check_text(offering->name);
	check_text(offering->description);
	check_text(offering->zone_ids);
	check_text(offering->storage_type);
}

static void check_snapshot(const struct cloud_question *question,
			   const struct cloud_snapshot *snapshot)
{
	MUST(snapshot->id && uuid_is_valid(snapshot->id));
	MUST(!question->name || streq(snapshot->name, question->name));
	MUST(snapshot->created_ms >= 0);
	check_text(snapshot->name);
	check_text(snapshot->volume_id);
	check_text(snapshot->state);
}

static void check_vm(const struct cloud_question *question, const struct cloud_vm *vm)
{
	MUST(!question->is_page || uuid_is_valid(vm->id));
	MUST(vm->id && *vm->id && str_is_plain_text(vm->id));
	check_text(vm->name);
	check_text(vm->display_name);
	check_text(vm->zone_id);
	check_text(vm->state);
	check_text(vm->job_id);
}

/* The outcome is one that the question can have, and has an error unless all is well. */
static void check_outcome(const struct cloud_question *question, const struct cloud_result *result)
{
	must_be_sound(&result->err);
	MUST(question->change || result->outcome != CLOUD_UNKNOWN);
	if (result->outcome != CLOUD_OK || result->job_status == CLOUD_JOB_FAILED)
		MUST(result->err.code != ERR_NONE);
	else
		MUST(result->err.code == ERR_NONE);
	if (result->outcome == CLOUD_OK && question->kind == CLOUD_REPLY_JOB_ID)
		MUST(result->job_id);
	if (result->outcome != CLOUD_OK)
		MUST(!result->volumes && !result->vms && !result->zones && !result->offerings &&
		     !result->snapshots && !result->jobs && result->count == 0);
	cloud_err_is_not_attached(&result->err);
	cloud_err_is_attached(&result->err);
	cloud_err_is_no_pci_slot(&result->err);
	cloud_err_is_only_expunge(&result->err);
	cloud_err_is_duplicate_job(&result->err);
	cloud_err_is_lost_job(&result->err);
}

static void check_reply(const struct cloud_question *question, const struct cloud_reply *reply)
{
	const struct cloud_result *result = &reply->result;

	check_outcome(question, result);
	MUST(reply->wait_ms >= 0 && reply->wait_ms <= WAIT_MAX_MS);
	MUST(result->count <= result->rows || question->kind == CLOUD_REPLY_JOB);
	MUST(result->rows <= ROWS_MAX);
	check_text(result->job_id);
	check_text(result->entity_id);
	MUST(!result->left_out || str_is_plain_text(result->left_out));
	for (size_t i = 0; i < result->count; i++) {
		if (result->volumes)
			check_volume(question, &result->volumes[i]);
		else if (result->vms)
			check_vm(question, &result->vms[i]);
		else if (result->zones)
			check_zone(&result->zones[i]);
		else if (result->offerings)
			check_offering(&result->offerings[i]);
		else if (result->snapshots)
			check_snapshot(question, &result->snapshots[i]);
		else
			check_text(result->jobs[i]);
	}
}

/* ---- lists that travel together ---- */

#define MEMBERS 3

struct member {
	const char *id;
	size_t answers;
};

static void on_member(void *arg, const struct cloud_result *result)
{
	struct member *member = arg;

	member->answers++;
	MUST(result->count <= 1);
	if (result->count == 1)
		MUST(strcasecmp(result->volumes->id, member->id) == 0);
}

static struct cloud_call *list_of(struct member *member)
{
	/* Calls only remember their queue. */
	struct cloud_queue *queue = (struct cloud_queue *)member;
	struct cloud_call *call =
		cloud_call_new(queue, CLOUD_COMMAND_LIST_VOLUMES, on_member, member);

	cloud_call_add(call, "id", member->id);
	call->lookup = call->params[0].value;
	return call;
}

static void check_merge(const struct cloud_reply *reply, int http_status)
{
	struct member members[MEMBERS] = { { .id = "0195a1f0-7c3e-7b11-8f00-000000000000" },
					   { .id = "0195a1f0-7c3e-7b11-8f00-000000000001" },
					   { .id = "0195a1f0-7c3e-7b11-8f00-000000000002" } };
	size_t ended = 0, returned = 0, members_max = MEMBERS;
	struct cloud_call_list waiting;
	struct cloud_call *carrier, *call;

	cloud_call_list_init(&waiting);
	for (size_t i = 1; i < MEMBERS; i++)
		cloud_call_put_last(list_of(&members[i]), &waiting);
	carrier = cloud_merge(list_of(&members[0]), &waiting, members_max);
	MUST(carrier->members.count == MEMBERS && waiting.count == 0);
	cloud_merge_answer(carrier, &waiting, reply, http_status, &members_max);
	MUST(members_max <= MEMBERS);
	while ((call = TAILQ_FIRST(&waiting.calls))) {
		MUST(call->alone && ((const struct member *)call->arg)->answers == 0);
		cloud_call_unlink(call);
		cloud_call_free(call);
		returned++;
	}
	for (size_t i = 0; i < MEMBERS; i++) {
		MUST(members[i].answers <= 1);
		ended += members[i].answers;
	}
	MUST(ended + returned == MEMBERS);
	cloud_call_free(carrier);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct cloud_question question = question_of(take_byte(&data, &size) - (unsigned)'0');
	struct http_response response = { .status = status_of(take_byte(&data, &size)),
					  .content_type = "application/json",
					  .redirect = "",
					  .sent = true };
	_cleanup_free_ char *body = xstrndup("", 0);
	struct cloud_reply reply;

	body = xrealloc(body, size + 1);
	memcpy(body, data, size);
	body[size] = '\0';
	response.body = body;
	response.body_length = size;
	if (response.status == 0)
		err_set(&response.err, ERR_TIMEOUT, "there is no answer");
	memory_watch();
	cloud_reply_read(&reply, &question, &response);
	MUST(memory_peak() <= MEMORY_FOR(size));
	check_reply(&question, &reply);
	if (question.kind == CLOUD_REPLY_VOLUMES && !question.name)
		check_merge(&reply, response.status);
	cloud_reply_clear(&reply);
	return 0;
}
