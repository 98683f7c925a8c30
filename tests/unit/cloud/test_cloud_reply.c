/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Every shape of answer CloudStack, and what stands in front of it, is known for. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/json.h"
#include "cloud/cloud_error.h"
#include "cloud/cloud_reply.h"

#define VOLUME_ID "774fd83e-147a-4cc1-a8cc-7aeb50247a3b"
#define JOB_ID "1dfe67ed-1632-49bf-bbaf-16cbdc48bfd8"
#define UNKNOWN_ENTITY(PARAM)                                                                                        \
	"Unable to execute API command x due to invalid value. Invalid parameter " PARAM                             \
	" value=U due to incorrect "                                                                                 \
	"long value format, or entity does not exist or due to incorrect parameter annotation for the field in api " \
	"cmd "                                                                                                       \
	"class."
#define ERROR_BODY(KEY, CODE, TEXT)                                                                \
	"{\"" KEY "\":{\"uuidList\":[],\"errorcode\":" #CODE                                       \
	",\"cserrorcode\":4350,\"errortext\":\"" TEXT "\"}}"
#define MOVED "<html>moved</html>"
#define HTML "<html><body><h1>502 Bad Gateway</h1></body></html>"

static const struct cloud_question change = { "attach the volume", CLOUD_REPLY_JOB_ID, true };
static const struct cloud_question listing = { "list volumes", CLOUD_REPLY_VOLUMES, false };
static const struct cloud_question machines = { "list VMs", CLOUD_REPLY_VMS, false };
static const struct cloud_question zones = { "list zones", CLOUD_REPLY_ZONES, false };
static const struct cloud_question offerings = { "list disk offerings", CLOUD_REPLY_OFFERINGS,
						 false };
static const struct cloud_question snapshots = { .what = "list snapshots",
						 .kind = CLOUD_REPLY_SNAPSHOTS };
static const struct cloud_question job = { "look at a job", CLOUD_REPLY_JOB, false };
static const struct cloud_question ping = { "do anything", CLOUD_REPLY_ANY, false };

static struct http_response answer(int status, const char *body)
{
	return (struct http_response){
		.status = status,
		.body = body,
		.body_length = strlen(body),
		.content_type = body[0] == '<' ? "text/html" : "application/json; charset=UTF-8",
		.redirect = streq(body, MOVED) ? "https://cloud.example/client/api" : "",
		.sent = true,
	};
}

struct shape {
	const char *label;
	const struct cloud_question *question;
	int status;
	const char *body;
	enum cloud_outcome outcome;
	enum err_code code;
	int cloud_code;
	const char *text; /* in err.text */
	bool answered;
};

static const struct shape shapes[] = {
	/* --- it worked --- */
	{ "job id", &change, 200, "{\"attachvolumeresponse\":{\"jobid\":\"" JOB_ID "\"}}", CLOUD_OK,
	  .answered = true },
	{ "any top-level name", &change, 200, "{\"whatever\":{\"jobid\":\"" JOB_ID "\"}}", CLOUD_OK,
	  .answered = true },
	{ "white space around", &change, 200, "\r\n {\"x\" : {\"jobid\":\"" JOB_ID "\"} } \n",
	  CLOUD_OK, .answered = true },
	{ "success of any kind", &ping, 200, "{\"listcapabilitiesresponse\":{\"capability\":{}}}",
	  CLOUD_OK, .answered = true },
	{ "empty list", &listing, 200, "{\"listvolumesresponse\":{}}", CLOUD_OK, .answered = true },
	{ "page past the end", &listing, 200, "{\"listvolumesresponse\":{\"count\":7}}", CLOUD_OK,
	  .answered = true },
	{ "unknown id lists nothing", &listing, 431,
	  ERROR_BODY("listvolumesresponse", 431, UNKNOWN_ENTITY("id")), CLOUD_OK,
	  .answered = true },
	{ "an unknown volume has no snapshots", &snapshots, 431,
	  ERROR_BODY("listsnapshotsresponse", 431, UNKNOWN_ENTITY("volumeid")), CLOUD_OK,
	  .answered = true },
	{ "no VM", &machines, 200, "{\"listvirtualmachinesresponse\":{}}", CLOUD_OK,
	  .answered = true },
	{ "unknown VM lists nothing", &machines, 431,
	  ERROR_BODY("listvirtualmachinesresponse", 431, UNKNOWN_ENTITY("id")), CLOUD_OK,
	  .answered = true },
	{ "VMs that are no list", &machines, 200, "{\"x\":{\"virtualmachine\":{}}}", CLOUD_AWAY,
	  ERR_UNAVAILABLE, 0, "its list is not a list" },
	{ "pending job", &job, 200, "{\"x\":{\"jobid\":\"" JOB_ID "\",\"jobstatus\":0}}", CLOUD_OK,
	  .answered = true },

	/* --- redirected: a redirect is not followed --- */
	{ "redirect to another server", &change, 302, MOVED, CLOUD_AWAY, ERR_UNAVAILABLE, 0,
	  "HTTP 302), and this daemon follows no redirect. Nothing was done. If the other address is "
	  "this CloudStack's, set cloud.url to https://cloud.example/client/api",
	  false },
	{ "redirect within the server", &listing, 301, "", CLOUD_AWAY, ERR_UNAVAILABLE, 0,
	  "another path of the same server (HTTP 301)", false },

	/* --- refused --- */
	{ "business rule", &change, 431,
	  ERROR_BODY("attachvolumeresponse", 431,
		     "Please specify a volume that is not attached to any VM."),
	  CLOUD_REFUSED, ERR_CLOUD, 431,
	  "CloudStack refused to attach the volume: Please specify a volume that is not attached to any VM. (code 431)",
	  true },
	{ "role forbids", &change, 432,
	  ERROR_BODY("errorresponse", 432, "The API [attachVolume] does not exist"), CLOUD_REFUSED,
	  ERR_CLOUD, 432, "does not exist", true },
	{ "quota", &change, 535,
	  ERROR_BODY("createvolumeresponse", 535, "Maximum number of resources"), CLOUD_REFUSED,
	  ERR_CLOUD, 535, "Maximum number of resources", true },
	{ "internal error of a submit", &change, 530,
	  ERROR_BODY("x", 530, "Internal error executing command"), CLOUD_REFUSED, ERR_CLOUD, 530,
	  "Internal error", true },
	{ "unknown volume", &change, 431, ERROR_BODY("x", 431, UNKNOWN_ENTITY("id")), CLOUD_REFUSED,
	  ERR_NOT_FOUND, 431, "entity does not exist", true },
	{ "unknown VM is not an unknown volume", &change, 431,
	  ERROR_BODY("x", 431, UNKNOWN_ENTITY("virtualmachineid")), CLOUD_REFUSED, ERR_CLOUD, 431,
	  "virtualmachineid", true },
	{ "unknown VM is not an empty list", &listing, 431,
	  ERROR_BODY("x", 431, UNKNOWN_ENTITY("virtualmachineid")), CLOUD_REFUSED, ERR_CLOUD, 431,
	  "virtualmachineid", true },
	{ "volume deleted long ago", &change, 431,
	  ERROR_BODY("x", 431, "Unable to find volume with ID: 12"), CLOUD_REFUSED, ERR_NOT_FOUND,
	  431, "Unable to find", true },
	{ "volume deleted, in the words of a command", &change, 431,
	  ERROR_BODY("x", 431, "Unable to find UUID for id [65] of type [Volume]"), CLOUD_REFUSED,
	  ERR_NOT_FOUND, 431, "of type [Volume]", true },
	{ "deleted VM is not a deleted volume", &change, 431,
	  ERROR_BODY("x", 431, "Unable to find UUID for id [16] of type [VirtualMachine]"),
	  CLOUD_REFUSED, ERR_CLOUD, 431, "of type [VirtualMachine]", true },
	{ "the same words with another code prove nothing", &change, 530,
	  ERROR_BODY("x", 530, "Unable to find UUID for id [65] of type [Volume]"), CLOUD_REFUSED,
	  ERR_CLOUD, 530, "of type [Volume]", true },
	{ "4350 with 431 is not always not found", &change, 431,
	  ERROR_BODY(
		  "x", 431,
		  "There are snapshot operations in progress on the volume, unable to delete it"),
	  CLOUD_REFUSED, ERR_CLOUD, 431, "snapshot", true },
	{ "unknown job", &job, 431,
	  ERROR_BODY("queryasyncjobresultresponse", 431, UNKNOWN_ENTITY("jobid")), CLOUD_REFUSED,
	  ERR_NOT_FOUND, 431, "refused to look at a job", true },
	{ "somebody else's job", &job, 531, ERROR_BODY("x", 531, "no permission"), CLOUD_REFUSED,
	  ERR_CLOUD, 531, "permission", true },
	{ "error without a text", &change, 431, "{\"x\":{\"errorcode\":431}}", CLOUD_REFUSED,
	  ERR_CLOUD, 431, "no reason given", true },
	{ "text without a code", &change, 431, "{\"x\":{\"errortext\":\"why\"}}", CLOUD_REFUSED,
	  ERR_CLOUD, 431, "why", true },
	{ "the payload's code counts", &change, 200, ERROR_BODY("x", 431, "why"), CLOUD_REFUSED,
	  ERR_CLOUD, 431, "why", true },

	/* --- it did not happen --- */
	{ "401 of CloudStack", &change, 401,
	  ERROR_BODY("errorresponse", 401, "unable to verify user credentials"), CLOUD_AWAY,
	  ERR_UNAVAILABLE, 401, "unable to verify", true },
	{ "401 under the name null", &change, 401,
	  ERROR_BODY("null", 401, "unable to verify user credentials"), CLOUD_AWAY, ERR_UNAVAILABLE,
	  401, "unable to verify", true },
	{ "401 of a proxy", &change, 401, HTML, CLOUD_AWAY, ERR_UNAVAILABLE, 401, "code 401",
	  false },
	{ "rate limit", &change, 429, ERROR_BODY("x", 429, "please retry after [250] ms."),
	  CLOUD_AWAY, ERR_TOO_MANY, 429, "request limit", true },
	{ "rate limit of a proxy", &change, 429, HTML, CLOUD_AWAY, ERR_TOO_MANY, 429,
	  "request limit", false },
	{ "maintenance", &change, 503,
	  ERROR_BODY("x", 503, "Maintenance or shutdown has been initiated"), CLOUD_AWAY,
	  ERR_UNAVAILABLE, 503, "Maintenance", true },
	{ "internal error of a look", &job, 530, ERROR_BODY("x", 530, "Internal error"), CLOUD_AWAY,
	  ERR_CLOUD, 530, "Internal error", true },
	{ "HTML 404", &change, 404, HTML, CLOUD_AWAY, ERR_UNAVAILABLE, 0, "Nothing was done",
	  false },
	{ "HTML 431 is Jetty's, not CloudStack's", &change, 431, HTML, CLOUD_AWAY, ERR_UNAVAILABLE,
	  0, "HTTP 431, text/html", false },
	{ "redirection", &change, 302, "", CLOUD_AWAY, ERR_UNAVAILABLE, 0, "HTTP 302", false },
	{ "HTML 502 for a look", &listing, 502, HTML, CLOUD_AWAY, ERR_UNAVAILABLE, 0, "HTTP 502",
	  false },
	{ "empty 200 for a look", &listing, 200, "", CLOUD_AWAY, ERR_UNAVAILABLE, 0, "it is empty",
	  false },
	{ "volumes that are no list", &listing, 200, "{\"x\":{\"count\":1,\"volume\":{}}}",
	  CLOUD_AWAY, ERR_UNAVAILABLE, 0, "not a list", false },
	{ "volume without an id", &listing, 200,
	  "{\"x\":{\"count\":2,\"volume\":[{\"id\":\"a\"},{\"name\":\"b\"}]}}", CLOUD_AWAY,
	  ERR_UNAVAILABLE, 0, "no id", false },
	{ "job without a status", &job, 200, "{\"x\":{\"jobid\":\"" JOB_ID "\"}}", CLOUD_AWAY,
	  ERR_UNAVAILABLE, 0, "how the job stands", false },

	/* --- nobody can know --- */
	{ "HTML 502", &change, 502, HTML, CLOUD_UNKNOWN, ERR_UNAVAILABLE, 0,
	  "The command may have happened", false },
	{ "HTML 503", &change, 503, HTML, CLOUD_UNKNOWN, ERR_UNAVAILABLE, 0,
	  "The command may have happened", false },
	{ "HTML 530 is a CDN's", &change, 530, HTML, CLOUD_UNKNOWN, ERR_UNAVAILABLE, 0,
	  "The command may have happened", false },
	{ "a proxy out of patience", &change, 408, HTML, CLOUD_UNKNOWN, ERR_UNAVAILABLE, 0,
	  "The command may have happened", false },
	{ "empty 200", &change, 200, "", CLOUD_UNKNOWN, ERR_UNAVAILABLE, 0, "it is empty", false },
	{ "broken JSON", &change, 200, "{\"x\":{\"jobid\":\"1d", CLOUD_UNKNOWN, ERR_UNAVAILABLE, 0,
	  "not CloudStack's JSON", false },
	{ "XML", &change, 200, "<attachvolumeresponse/>", CLOUD_UNKNOWN, ERR_UNAVAILABLE, 0,
	  "not CloudStack's JSON", false },
	{ "array", &change, 200, "[{\"jobid\":\"x\"}]", CLOUD_UNKNOWN, ERR_UNAVAILABLE, 0,
	  "not CloudStack's JSON", false },
	{ "empty object", &change, 200, "{}", CLOUD_UNKNOWN, ERR_UNAVAILABLE, 0,
	  "not CloudStack's JSON", false },
	{ "payload of no use", &change, 200, "{\"x\":null}", CLOUD_UNKNOWN, ERR_UNAVAILABLE, 0,
	  "not CloudStack's JSON", false },
	{ "no job", &change, 200, "{\"x\":{}}", CLOUD_UNKNOWN, ERR_UNAVAILABLE, 0,
	  "it names no job", false },
	{ "somebody else's JSON with a 5xx", &change, 500, "{\"x\":{\"jobid\":\"a\"}}",
	  CLOUD_UNKNOWN, ERR_UNAVAILABLE, 0, "HTTP status does not fit", false },
};

static void test_shapes(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		const struct shape *shape = &shapes[i];
		struct http_response response = answer(shape->status, shape->body);
		struct cloud_reply reply;

		print_message("  %s\n", shape->label);
		cloud_reply_read(&reply, shape->question, &response);
		assert_int_equal(reply.result.outcome, shape->outcome);
		assert_int_equal(reply.result.err.code, shape->code);
		assert_int_equal(reply.result.err.cloud_code, shape->cloud_code);
		if (shape->text)
			assert_non_null(strstr(reply.result.err.text, shape->text));
		else
			assert_string_equal(reply.result.err.text, "");
		assert_int_equal(reply.answered, shape->answered);
		assert_int_equal(reply.result.count, 0);
		assert_null(reply.result.volumes);
		cloud_reply_clear(&reply);
	}
}

/* --- no answer --- */

struct silence {
	const char *label;
	const struct cloud_question *question;
	bool sent;
	enum err_code why;
	enum cloud_outcome outcome;
	enum err_code code;
};

static void test_silence(void **state)
{
	static const struct silence rows[] = {
		{ "change not sent", &change, false, ERR_UNAVAILABLE, CLOUD_AWAY, ERR_UNAVAILABLE },
		{ "change not sent in time", &change, false, ERR_TIMEOUT, CLOUD_AWAY, ERR_TIMEOUT },
		{ "change cut", &change, true, ERR_UNAVAILABLE, CLOUD_UNKNOWN, ERR_UNAVAILABLE },
		{ "change timed out", &change, true, ERR_TIMEOUT, CLOUD_UNKNOWN, ERR_TIMEOUT },
		{ "change answered at too great length", &change, true, ERR_TOO_LARGE,
		  CLOUD_UNKNOWN, ERR_UNAVAILABLE },
		{ "look cut", &listing, true, ERR_UNAVAILABLE, CLOUD_AWAY, ERR_UNAVAILABLE },
		{ "look timed out", &job, true, ERR_TIMEOUT, CLOUD_AWAY, ERR_TIMEOUT },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct http_response response = { .body = "",
						  .content_type = "",
						  .sent = rows[i].sent };
		struct cloud_reply reply;

		print_message("  %s\n", rows[i].label);
		err_set(&response.err, rows[i].why, "connection refused by 10.1.1.1");
		cloud_reply_read(&reply, rows[i].question, &response);
		assert_int_equal(reply.result.outcome, rows[i].outcome);
		assert_int_equal(reply.result.err.code, rows[i].code);
		assert_non_null(strstr(reply.result.err.text, "connection refused by 10.1.1.1"));
		assert_false(reply.answered);
		cloud_reply_clear(&reply);
	}
}

/* --- contents --- */

static void read_body(struct cloud_reply *reply, const struct cloud_question *question,
		      const char *body)
{
	struct http_response response = answer(200, body);

	cloud_reply_read(reply, question, &response);
	assert_int_equal(reply->result.outcome, CLOUD_OK);
}

static void test_submit(void **state)
{
	struct cloud_reply reply;

	read_body(&reply, &change,
		  "{\"createvolumeresponse\":{\"id\":\"" VOLUME_ID "\",\"jobid\":\"" JOB_ID "\"}}");
	assert_string_equal(reply.result.job_id, JOB_ID);
	assert_string_equal(reply.result.entity_id, VOLUME_ID);
	cloud_reply_clear(&reply);

	read_body(&reply, &change, "{\"attachvolumeresponse\":{\"jobid\":\"" JOB_ID "\"}}");
	assert_null(reply.result.entity_id);
	cloud_reply_clear(&reply);
}

static void test_volumes(void **state)
{
	const struct cloud_volume *volume;
	_cleanup_json_ struct json *raw = NULL;
	struct cloud_reply reply;
	int64_t size;

	read_body(
		&reply, &listing,
		"{\"listvolumesresponse\":{\"count\":812,\"volume\":[{\"id\":\"" VOLUME_ID
		"\",\"name\":\"data\","
		"\"zoneid\":\"z\",\"type\":\"DATADISK\",\"size\":9007199254740991,\"state\":\"Ready\",\"deviceid\":4,"
		"\"virtualmachineid\":\"vm\",\"jobid\":\"" JOB_ID
		"\",\"hypervisor\":\"KVM\",\"tags\":[],\"destroyed\":false},"
		"{\"id\":\"second\",\"deviceid\":2}]}}");
	assert_int_equal(reply.result.count, 2);
	assert_int_equal(reply.result.rows, 2);
	volume = &reply.result.volumes[0];
	assert_string_equal(volume->id, VOLUME_ID);
	assert_string_equal(volume->name, "data");
	assert_string_equal(volume->zone_id, "z");
	assert_string_equal(volume->type, "DATADISK");
	assert_string_equal(volume->state, "Ready");
	assert_string_equal(volume->vm_id, "vm");
	assert_string_equal(volume->job_id, JOB_ID);
	assert_string_equal(volume->hypervisor, "KVM");
	assert_true(volume->size == 9007199254740991);
	assert_int_equal(volume->device_id, 4);
	raw = json_parse(volume->raw, strlen(volume->raw), NULL);
	assert_non_null(raw);
	assert_int_equal(json_integer(json_get(raw, "size"), &size), 0);
	assert_true(size == 9007199254740991);
	assert_non_null(json_get(raw, "destroyed"));

	volume = &reply.result.volumes[1];
	assert_string_equal(volume->id, "second");
	assert_null(volume->name);
	assert_null(volume->vm_id);
	assert_null(volume->job_id);
	assert_true(volume->size == 0);
	assert_int_equal(volume->device_id, -1);
	cloud_reply_clear(&reply);
}

static void test_vms(void **state)
{
	const struct cloud_vm *vm;
	struct cloud_reply reply;

	read_body(
		&reply, &machines,
		"{\"listvirtualmachinesresponse\":{\"count\":1,\"virtualmachine\":[{\"id\":\"vm\","
		"\"name\":\"test\",\"state\":\"Stopping\",\"jobid\":\"" JOB_ID "\",\"nic\":[]}]}}");
	assert_int_equal(reply.result.count, 1);
	vm = &reply.result.vms[0];
	assert_string_equal(vm->id, "vm");
	assert_string_equal(vm->name, "test");
	assert_string_equal(vm->state, "Stopping");
	assert_string_equal(vm->job_id, JOB_ID);
	cloud_reply_clear(&reply);
}

#define UUID_1 "774fd83e-147a-4cc1-a8cc-7aeb50247001"
#define UUID_2 "774fd83e-147a-4cc1-a8cc-7aeb50247002"

static void test_zones(void **state)
{
	const struct cloud_zone *zone;
	struct cloud_reply reply;

	read_body(&reply, &zones,
		  "{\"x\":{\"count\":1,\"zone\":[{\"id\":\"" UUID_1
		  "\",\"name\":\"z\",\"networktype\":"
		  "\"Advanced\",\"allocationstate\":\"Enabled\"}]}}");
	assert_int_equal(reply.result.count, 1);
	zone = &reply.result.zones[0];
	assert_string_equal(zone->id, UUID_1);
	assert_string_equal(zone->name, "z");
	assert_string_equal(zone->network_type, "Advanced");
	assert_string_equal(zone->allocation_state, "Enabled");
	cloud_reply_clear(&reply);
}

/* An offering that is customized has a size of 0, whatever stands beside it. */
static void test_offerings(void **state)
{
	const struct cloud_offering *offering;
	struct cloud_reply reply;

	read_body(&reply, &offerings,
		  "{\"x\":{\"diskoffering\":[{\"id\":\"" UUID_1
		  "\",\"name\":\"five\",\"displaytext\":\"5 GiB\","
		  "\"disksize\":5,\"iscustomized\":false,\"storagetype\":\"shared\","
		  "\"zoneid\":\"" UUID_1 "," UUID_2 "\"},{\"id\":\"" UUID_2
		  "\",\"disksize\":7,\"iscustomized\":true}]}}");
	assert_int_equal(reply.result.count, 2);
	offering = &reply.result.offerings[0];
	assert_string_equal(offering->name, "five");
	assert_string_equal(offering->description, "5 GiB");
	assert_true(offering->size == 5 * CLOUD_GIB);
	assert_string_equal(offering->storage_type, "shared");
	assert_string_equal(offering->zone_ids, UUID_1 "," UUID_2);
	offering = &reply.result.offerings[1];
	assert_null(offering->name);
	assert_null(offering->zone_ids);
	assert_true(offering->size == 0);
	cloud_reply_clear(&reply);
}

/* A snapshot that is being made has no size yet. */
static void test_snapshots(void **state)
{
	const struct cloud_snapshot *snapshot;
	struct cloud_reply reply;

	read_body(&reply, &snapshots,
		  "{\"listsnapshotsresponse\":{\"count\":2,\"snapshot\":[{\"id\":\"" UUID_1
		  "\",\"name\":\"s\",\"volumeid\":\"" UUID_2
		  "\",\"state\":\"BackedUp\",\"virtualsize\":1073741824,"
		  "\"created\":\"2026-11-28T10:00:00+0000\",\"revertable\":true},{\"id\":\"" UUID_2
		  "\",\"state\":\"Creating\",\"created\":\"yesterday\"}]}}");
	assert_int_equal(reply.result.count, 2);
	snapshot = &reply.result.snapshots[0];
	assert_string_equal(snapshot->id, UUID_1);
	assert_string_equal(snapshot->name, "s");
	assert_string_equal(snapshot->volume_id, UUID_2);
	assert_string_equal(snapshot->state, "BackedUp");
	assert_true(snapshot->size == CLOUD_GIB && snapshot->revertable);
	assert_true(snapshot->created_ms == INT64_C(1795860000000));
	snapshot = &reply.result.snapshots[1];
	assert_true(snapshot->size == 0 && snapshot->created_ms == 0 && !snapshot->revertable);
	cloud_reply_clear(&reply);
}

static void test_rows_of_empty_lists(void **state)
{
	struct cloud_reply reply;

	read_body(&reply, &listing, "{\"listvolumesresponse\":{}}");
	assert_int_equal(reply.result.count, 0);
	assert_int_equal(reply.result.rows, 0);
	cloud_reply_clear(&reply);

	read_body(&reply, &listing, "{\"listvolumesresponse\":{\"count\":7}}");
	assert_int_equal(reply.result.count, 0);
	assert_int_equal(reply.result.rows, 0);
	cloud_reply_clear(&reply);
}

/* One strange volume is no reason to know nothing of the others. */
static void test_strange_volumes_on_a_page(void **state)
{
	struct cloud_question page = listing;
	struct cloud_reply reply;

	page.is_page = true;
	read_body(
		&reply, &page,
		"{\"x\":{\"count\":4,\"volume\":[{\"id\":\"not-a-uuid\",\"name\":\"odd\"},{\"id\":"
		"\"" VOLUME_ID "\",\"name\":\"good\"},{\"id\":7,\"name\":\"old\"},{}]}}");
	assert_int_equal(reply.result.outcome, CLOUD_OK);
	assert_int_equal(reply.result.count, 1);
	assert_string_equal(reply.result.volumes[0].id, VOLUME_ID);
	assert_int_equal(reply.result.rows, 4);
	assert_string_equal(reply.result.left_out,
			    "\"odd\" (not-a-uuid), \"old\" (no id), \"\" (no id)");
	cloud_reply_clear(&reply);

	read_body(&reply, &page, "{\"x\":{\"volume\":[{\"id\":\"" VOLUME_ID "\"}]}}");
	assert_null(reply.result.left_out);
	cloud_reply_clear(&reply);
}

static void test_many_strange_volumes_are_not_all_named(void **state)
{
	_cleanup_buf_ struct buf body = BUF_NULL;
	struct cloud_question page = listing;
	struct cloud_reply reply;

	page.is_page = true;
	buf_add_text(&body, "{\"x\":{\"volume\":[{\"id\":\"first\"}");
	for (int i = 0; i < 400; i++)
		buf_add_text(&body, ",{\"id\":\"and-more\"}");
	buf_add_text(&body, "]}}");
	read_body(&reply, &page, body.data);
	assert_int_equal(reply.result.outcome, CLOUD_OK);
	assert_int_equal(reply.result.rows, 401);
	assert_int_equal(reply.result.count, 0);
	assert_non_null(strstr(reply.result.left_out, "first"));
	assert_non_null(strstr(reply.result.left_out, " and others"));
	assert_true(strlen(reply.result.left_out) < 300);
	cloud_reply_clear(&reply);
}

/* The server compares names without regard to case. */
static void test_name_is_checked_again(void **state)
{
	struct cloud_question named = listing;
	struct cloud_reply reply;

	named.name = "data";
	read_body(
		&reply, &named,
		"{\"x\":{\"count\":3,\"volume\":[{\"id\":\"a\",\"name\":\"DATA\"},{\"id\":\"b\",\"name\":\"data\"},"
		"{\"id\":\"c\",\"name\":\"dat\\u00e4\"}]}}");
	assert_int_equal(reply.result.count, 1);
	assert_string_equal(reply.result.volumes[0].id, "b");
	cloud_reply_clear(&reply);
}

static void test_finished_job(void **state)
{
	struct cloud_reply reply;

	read_body(
		&reply, &job,
		"{\"queryasyncjobresultresponse\":{\"cmd\":\"AttachVolumeCmd\",\"jobstatus\":1,\"jobprocstatus\":0,"
		"\"jobresultcode\":0,\"jobresulttype\":\"object\",\"jobresult\":{\"volume\":{\"id\":\"" VOLUME_ID
		"\","
		"\"deviceid\":1,\"virtualmachineid\":\"vm\",\"jobid\":\"" JOB_ID
		"\",\"jobstatus\":0,"
		"\"chaininfo\":\"{\\\"diskDeviceBusName\\\":\\\"scsi0:0\\\"}\"}},\"jobinstancetype\":\"Volume\","
		"\"jobinstanceid\":\"" VOLUME_ID "\",\"jobid\":\"" JOB_ID "\"}}");
	assert_int_equal(reply.result.job_status, CLOUD_JOB_SUCCEEDED);
	assert_string_equal(reply.result.entity_id, VOLUME_ID);
	assert_int_equal(reply.result.count, 1);
	assert_int_equal(reply.result.volumes[0].device_id, 1);
	assert_null(reply.result.volumes[0].job_id);
	assert_null(reply.result.job_id);
	cloud_reply_clear(&reply);

	read_body(&reply, &job, "{\"x\":{\"jobstatus\":1,\"jobresult\":{\"success\":true}}}");
	assert_int_equal(reply.result.job_status, CLOUD_JOB_SUCCEEDED);
	assert_int_equal(reply.result.count, 0);
	cloud_reply_clear(&reply);

	/* Its id would be of no use to the store, to clients or to disks. */
	read_body(
		&reply, &job,
		"{\"x\":{\"jobstatus\":1,\"jobresult\":{\"volume\":{\"id\":\"4711\",\"name\":\"a\"}}}}");
	assert_int_equal(reply.result.job_status, CLOUD_JOB_SUCCEEDED);
	assert_int_equal(reply.result.count, 0);
	assert_null(reply.result.entity_id);
	cloud_reply_clear(&reply);
}

struct failure {
	const char *label;
	const char *body;
	enum err_code code;
	int cloud_code;
	const char *text;
	bool lost;
};

static void test_failed_job(void **state)
{
	static const struct failure rows[] = {
		{ "refused inside the job",
		  "{\"x\":{\"jobstatus\":2,\"jobresultcode\":431,\"jobresult\":{\"errorcode\":431,\"errortext\":"
		  "\"Please specify a "
		  "valid User VM.\"}}}",
		  ERR_CLOUD, 431,
		  "CloudStack's job failed: Please specify a valid User VM. (code 431)", false },
		{ "volume gone meanwhile",
		  "{\"x\":{\"jobstatus\":2,\"jobresult\":{\"errorcode\":431,\"errortext\":\"Unable to find volume with "
		  "ID: 4\"}}}",
		  ERR_NOT_FOUND, 431, "Unable to find", false },
		{ "management server restarted", "{\"x\":{\"jobstatus\":2,\"jobresultcode\":530}}",
		  ERR_CLOUD, 530, "management server lost the job", true },
		{ "blocked its queue for too long",
		  "{\"x\":{\"jobstatus\":2,\"jobresult\":{\"errorcode\":530,\"errortext\":\"Job is cancelled as it has "
		  "been blocking "
		  "others for too long\"}}}",
		  ERR_CLOUD, 530, "cancelled", true },
		{ "cancelled",
		  "{\"x\":{\"jobstatus\":3,\"jobresult\":{\"errorcode\":530,\"errortext\":\"because\"}}}",
		  ERR_CLOUD, 530, "because", false },
		{ "without any code", "{\"x\":{\"jobstatus\":2}}", ERR_CLOUD, 530, "lost the job",
		  true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct cloud_reply reply;

		print_message("  %s\n", rows[i].label);
		read_body(&reply, &job, rows[i].body);
		assert_int_equal(reply.result.job_status, CLOUD_JOB_FAILED);
		assert_int_equal(reply.result.err.code, rows[i].code);
		assert_int_equal(reply.result.err.cloud_code, rows[i].cloud_code);
		assert_non_null(strstr(reply.result.err.text, rows[i].text));
		assert_int_equal(cloud_err_is_lost_job(&reply.result.err), rows[i].lost);
		cloud_reply_clear(&reply);
	}
}

/* --- texts nobody should trust --- */

static void test_raw_control_characters(void **state)
{
	struct cloud_reply reply;

	read_body(&reply, &listing,
		  "{\"x\":{\"volume\":[{\"id\":\"a\",\"name\":\"tab\there\nand \x01\"}]}}");
	assert_string_equal(reply.result.volumes[0].name, "tab here and  ");
	cloud_reply_clear(&reply);
}

/* A volume named a\u0041 arrives as "a\A"; the others must be seen all the same. */
static void test_impossible_escapes(void **state)
{
	struct cloud_reply reply;

	read_body(
		&reply, &listing,
		"{\"x\":{\"volume\":[{\"id\":\"a\",\"name\":\"a\\A\"},{\"id\":\"b\",\"name\":\"q\\\"\\\\ "
		"\\u00e9\"}]}}");
	assert_int_equal(reply.result.count, 2);
	assert_string_equal(reply.result.volumes[0].name, "a\\A");
	assert_string_equal(reply.result.volumes[1].name, "q\"\\ \xc3\xa9");
	cloud_reply_clear(&reply);
}

static void test_texts_are_bounded(void **state)
{
	_cleanup_buf_ struct buf body = BUF_NULL;
	struct cloud_reply reply;

	buf_add_text(&body, "{\"x\":{\"volume\":[{\"id\":\"a\",\"name\":\"");
	for (int i = 0; i < 40000; i++)
		buf_add_text(&body, "\xc3\xa9");
	buf_add_text(&body, "\"}]}}");
	read_body(&reply, &listing, body.data);
	assert_true(strlen(reply.result.volumes[0].name) <= 1024);
	assert_true(str_is_plain_text(reply.result.volumes[0].name));
	assert_string_equal(reply.result.volumes[0].raw, "{}");
	cloud_reply_clear(&reply);
}

static void test_lists_are_bounded(void **state)
{
	_cleanup_buf_ struct buf body = BUF_NULL;
	struct http_response response;
	struct cloud_reply reply;

	buf_add_text(&body, "{\"x\":{\"volume\":[{\"id\":\"a\"}");
	for (int i = 0; i < 20000; i++)
		buf_add_text(&body, ",{\"id\":\"a\"}");
	buf_add_text(&body, "]}}");
	response = answer(200, body.data);
	cloud_reply_read(&reply, &listing, &response);
	assert_int_equal(reply.result.outcome, CLOUD_AWAY);
	assert_null(reply.result.volumes);
	cloud_reply_clear(&reply);
}

static void test_text_copy(void **state)
{
	char out[6];

	cloud_text_copy(out, sizeof(out), "a\nb\x7f");
	assert_string_equal(out, "a b ");
	cloud_text_copy(out, sizeof(out), "abcd\xc3\xa9");
	assert_string_equal(out, "abcd");
	cloud_text_copy(out, sizeof(out), "abc\xc3\xa9");
	assert_string_equal(out, "abc\xc3\xa9");
	cloud_text_copy(out, sizeof(out), "a\xff");
	assert_string_equal(out, "a?");
	cloud_text_copy(out, sizeof(out), NULL);
	assert_string_equal(out, "");
}

/* --- meanings --- */

static void test_wait(void **state)
{
	assert_int_equal(cloud_error_wait_ms("account api limit, please retry after [250] ms."),
			 250);
	assert_int_equal(cloud_error_wait_ms("please retry after [86400000] ms."), 60000);
	assert_int_equal(cloud_error_wait_ms("please retry after [] ms."), 1000);
	assert_int_equal(cloud_error_wait_ms("please retry after [-5] ms."), 1000);
	assert_int_equal(cloud_error_wait_ms("please retry after [5"), 5);
	assert_int_equal(cloud_error_wait_ms("slow down"), 1000);
	assert_int_equal(cloud_error_wait_ms(NULL), 1000);
}

static void test_rate_limit_asks_for_a_wait(void **state)
{
	struct http_response response =
		answer(429, ERROR_BODY("x", 429, "please retry after [250] ms."));
	struct cloud_reply reply;

	cloud_reply_read(&reply, &change, &response);
	assert_int_equal(reply.wait_ms, 250);
	cloud_reply_clear(&reply);
	response = answer(429, HTML);
	cloud_reply_read(&reply, &change, &response);
	assert_int_equal(reply.wait_ms, 1000);
	cloud_reply_clear(&reply);
}

static struct err refusal(const char *text)
{
	struct cloud_fault fault = { .code = 431, .text = text };
	struct err err;

	cloud_error_answer(&change, &fault, &err);
	return err;
}

static void test_predicates(void **state)
{
	struct err attached = refusal("Please specify a volume that is not attached to any VM.");
	struct err already = refusal("This volume is already attached to a VM.");
	struct err other = refusal("volume: V is already attached to a VM: M");
	struct err loose = refusal("The specified volume is not attached to a VM.");
	struct err twice =
		refusal("UUID: " JOB_ID " already exists so can't create/update with custom id");
	struct err no_expunge = refusal("Expunging a volume can only be done by an Admin. Or when "
					"the allow.user.expunge.recover.volume key is set.");
	struct err only_expunge = refusal("The volume in Allocated/Uploaded state can only be "
					  "expunged not destroyed/recovered");
	struct err ours = { 0 };

	assert_true(cloud_err_is_no_expunge(&no_expunge));
	assert_false(cloud_err_is_no_expunge(&only_expunge));
	assert_true(cloud_err_is_only_expunge(&only_expunge));
	assert_false(cloud_err_is_only_expunge(&no_expunge));
	assert_true(cloud_err_is_attached(&attached));
	assert_true(cloud_err_is_attached(&already));
	assert_true(cloud_err_is_attached(&other));
	assert_false(cloud_err_is_attached(&loose));
	assert_false(cloud_err_is_attached(&twice));

	assert_true(cloud_err_is_not_attached(&loose));
	assert_false(cloud_err_is_not_attached(&attached));
	assert_false(cloud_err_is_not_attached(&already));

	assert_true(cloud_err_is_duplicate_job(&twice));
	assert_false(cloud_err_is_duplicate_job(&attached));
	assert_false(cloud_err_is_lost_job(&attached));

	err_set(&ours, ERR_CLOUD, "The specified volume is not attached to a VM.");
	cloud_text_copy(ours.cloud_text, sizeof(ours.cloud_text), ours.text);
	assert_false(cloud_err_is_not_attached(&ours));
	assert_false(cloud_err_is_lost_job(&ours));
	assert_false(cloud_err_is_attached(NULL));
}

static int set_clock(void **state)
{
	clock_test_start(1000, 1893553445000);
	return 0;
}

/* ---- what plans ask for ---- */

static void test_limits(void **state)
{
	static const struct cloud_question accounts = { "tell limits", CLOUD_REPLY_ACCOUNTS,
							false };
	struct http_response response = answer(
		200,
		"{\"listaccountsresponse\":{\"count\":1,\"account\":[{\"name\":\"alice\","
		"\"volumeavailable\":\"17\",\"primarystorageavailable\":\"Unlimited\","
		"\"snapshotavailable\":-3}, {\"name\":\"bob\",\"volumeavailable\":\"many\"}]}}");
	struct cloud_reply reply;

	cloud_reply_read(&reply, &accounts, &response);
	assert_int_equal(reply.result.count, 2);
	assert_string_equal(reply.result.limits[0].name, "alice");
	assert_int_equal(reply.result.limits[0].volumes, 17);
	assert_true(reply.result.limits[0].gib == CLOUD_UNLIMITED);
	assert_int_equal(reply.result.limits[0].snapshots, 0);
	assert_int_equal(reply.result.limits[1].volumes, CLOUD_NOT_TOLD);
	assert_int_equal(reply.result.limits[1].gib, CLOUD_NOT_TOLD);
	cloud_reply_clear(&reply);
}

static void test_rights(void **state)
{
	static const struct cloud_question rights = { "tell rights", CLOUD_REPLY_COMMANDS, false };
	struct http_response known =
		answer(200, "{\"listapisresponse\":{\"count\":1,\"api\":[{\"name\":\"x\"}]}}");
	struct http_response unknown =
		answer(530, ERROR_BODY("listapisresponse", 530,
				       "Api Discovery plugin was unable to find an api by that "
				       "name or process any apis"));
	struct http_response broken =
		answer(530, ERROR_BODY("listapisresponse", 530, "Internal error"));
	struct cloud_reply reply;

	cloud_reply_read(&reply, &rights, &known);
	assert_int_equal(reply.result.rows, 1);
	cloud_reply_clear(&reply);
	cloud_reply_read(&reply, &rights, &unknown);
	assert_int_equal(reply.result.outcome, CLOUD_OK);
	assert_int_equal(reply.result.rows, 0);
	cloud_reply_clear(&reply);
	cloud_reply_read(&reply, &rights, &broken);
	assert_int_equal(reply.result.outcome, CLOUD_AWAY);
	cloud_reply_clear(&reply);
}

static void test_disk_limits(void **state)
{
	static const struct cloud_question disks = { "tell disks", CLOUD_REPLY_HYPERVISORS, false };
	struct http_response response =
		answer(200, "{\"x\":{\"hypervisorCapabilities\":[{\"maxdatavolumeslimit\":32},"
			    "{\"maxdatavolumeslimit\":6},{\"maxdatavolumeslimit\":0},{}]}}");
	struct cloud_reply reply;

	cloud_reply_read(&reply, &disks, &response);
	assert_int_equal(reply.result.least_disks, 6);
	assert_int_equal(reply.result.most_disks, 32);
	cloud_reply_clear(&reply);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_rights),
		cmocka_unit_test(test_disk_limits),
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_submit),
		cmocka_unit_test(test_volumes),
		cmocka_unit_test(test_vms),
		cmocka_unit_test(test_zones),
		cmocka_unit_test(test_offerings),
		cmocka_unit_test(test_snapshots),
		cmocka_unit_test(test_rows_of_empty_lists),
		cmocka_unit_test(test_strange_volumes_on_a_page),
		cmocka_unit_test(test_many_strange_volumes_are_not_all_named),
		cmocka_unit_test(test_name_is_checked_again),
		cmocka_unit_test(test_finished_job),
		cmocka_unit_test(test_failed_job),
		cmocka_unit_test(test_raw_control_characters),
		cmocka_unit_test(test_impossible_escapes),
		cmocka_unit_test(test_texts_are_bounded),
		cmocka_unit_test(test_lists_are_bounded),
		cmocka_unit_test(test_text_copy),
		cmocka_unit_test(test_wait),
		cmocka_unit_test(test_rate_limit_asks_for_a_wait),
		cmocka_unit_test(test_predicates),
	};

	return cmocka_run_group_tests(tests, set_clock, NULL);
}
