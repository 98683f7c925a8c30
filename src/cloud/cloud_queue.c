/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Commands on their way to CloudStack.
 *
 * A call waits in one queue until fewer than max_parallel calls are on the wire and the throttle
 * allows a request, and only then gets its expiry time and signature: a signed read lives ten
 * minutes, and the wait may be longer than that.
 *
 * A change expires one time-out after its caller committed that the change is to be made. If a copy
 * of the request is late, on the way to CloudStack or because this process stood still, CloudStack
 * refuses it. Requests expire by CloudStack's clock, so no change is sent before that clock is
 * known, or a measurement has failed (cloud_probe.h).
 */

#include <assert.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "cloud/cloud_error.h"
#include "cloud/cloud_maintenance.h"
#include "cloud/cloud_merge.h"
#include "cloud/cloud_probe.h"
#include "cloud/cloud_queue.h"
#include "cloud/cloud_reader.h"
#include "cloud/cloud_throttle.h"

#define READ_EXPIRES_MS (INT64_C(10) * 60 * 1000) /* servers that enforce it allow 15 minutes */
#define EXPIRES_SIZE sizeof("2030-01-02T03:04:05+0000")
/* of every request: apikey, command, response, signatureversion, expires */
#define FRAME_PARAMS 5
#define USER_AGENT "volume-daemon"

struct cloud_queue {
	struct loop *loop;
	struct http_client *http;
	struct cloud_reader *reader;
	char *url;
	struct secret *api_key;
	struct secret *secret_key;
	char *project_id; /* see cloud_options */
	int64_t timeout_ms;

	/* in the order of arrival; a call is signed only when its turn comes */
	struct cloud_call_list waiting;
	struct cloud_call_list running; /* on the wire, or its answer is read */
	/* answered on the next turn without a request, as CloudStack takes no changes */
	struct cloud_call_list held;
	struct loop_task refuse;
	struct loop_task send; /* calls that were added in one turn are sent together */
	size_t members_max;    /* of lists that travel together */
	struct cloud_throttle throttle;
	struct cloud_probe *probe;
	bool pumping;
	struct loop_timer resume; /* armed while calls wait for the throttle */

	struct cloud_health health;
	struct cloud_figures figures;
	unsigned lost; /* answers missing in a row */
	struct cloud_maintenance maintenance;
};

static void pump(struct cloud_queue *queue);

/* --- health --- */

/* So many answers missing in a row mean that CloudStack is away. */
#define LOST_MAX 2
static void note_health(struct cloud_queue *queue, const struct cloud_call *call,
			const struct cloud_reply *reply)
{
	struct cloud_health *health = &queue->health;
	bool is_change = call->command->change && reply->answered;
	bool maintained = is_change && reply->result.err.reason == ERR_REASON_MAINTENANCE;
	bool well = reply->result.outcome == CLOUD_OK || reply->result.outcome == CLOUD_REFUSED ||
		    maintained;

	if (call->command->optional && !well)
		return;
	if (is_change)
		cloud_maintenance_note(&queue->maintenance, &reply->result.err);

	/*
	 * Refused keys make CloudStack unusable at once; a rate limit only asks for patience. A
	 * single lost answer is normal and must not make the daemon refuse every change; a second
	 * one in a row counts, unless the request was for a long page: CloudStack may fail to
	 * answer that one and answer all others.
	 */
	if (reply->answered && (maintained || reply->result.err.code != ERR_UNAVAILABLE)) {
		if (!health->usable)
			health->usable_since_ms = clock_waking_ms();
		health->usable = true;
		queue->lost = 0;
	} else if (reply->answered || (++queue->lost >= LOST_MAX && !call->is_bulk)) {
		health->usable = false;
	}
	memcpy(health->reason, reply->result.err.text, strlen(reply->result.err.text) + 1);
	if (well)
		health->reason[0] = '\0';
	if (reply->answered)
		health->last_answer_ms = clock_wall_ms();
}

void cloud_queue_health(const struct cloud_queue *queue, struct cloud_health *out)
{
	assert(out);

	memcpy(out, &queue->health, offsetof(struct cloud_health, reason));
	memcpy(out->reason, queue->health.reason, strlen(queue->health.reason) + 1);
	out->in_flight = queue->running.count + queue->waiting.count + queue->held.count;
	out->skew_ms = cloud_clock_skew_ms(cloud_probe_clock(queue->probe));
	cloud_maintenance_health(&queue->maintenance, out);
	cloud_throttle_health(&queue->throttle, out);
}

const struct cloud_figures *cloud_queue_figures(const struct cloud_queue *queue)
{
	return &queue->figures;
}

bool cloud_queue_in_maintenance(const struct cloud_queue *queue)
{
	return cloud_maintenance_is_on(&queue->maintenance);
}

/* --- the way of a call --- */

int64_t cloud_queue_late_until_ms(struct cloud_queue *queue, int64_t asked_ms)
{
	const struct cloud_clock *clock = cloud_probe_clock(queue->probe);

	/* A change may be requested next, and waits for the clock: the measurement begins now. */
	(void)cloud_probe_clock_is_settled(queue->probe);
	return cloud_clock_passed_ms(clock,
				     cloud_clock_second(clock, asked_ms + queue->timeout_ms));
}

static void send_first(struct cloud_call *call)
{
	struct cloud_queue *queue = call->queue;

	cloud_call_put_first(call, &queue->waiting);
	pump(queue);
}

struct cloud_call *cloud_queue_add(struct cloud_call *call)
{
	struct cloud_queue *queue = call->queue;

	assert(call->done);

	cloud_call_put_last(call, &queue->waiting);
	loop_task_queue(queue->loop, &queue->send);
	return call;
}

void cloud_call_cancel(struct cloud_call *call)
{
	struct cloud_call *carrier;
	struct cloud_queue *queue;

	assert(call);

	queue = call->queue;
	carrier = call->carrier;
	cloud_call_unlink(call);
	if (call->http)
		http_call_cancel(call->http);
	if (call->reading)
		cloud_reading_cancel(call->reading);
	if (call->asks)
		cloud_maintenance_answered(&queue->maintenance);
	cloud_call_free(call);
	/* No member is left to get the answer, unless the answer is being given out now. */
	if (carrier && carrier->members.count == 0 && carrier->list)
		cloud_call_cancel(carrier);
	pump(queue);
}

static void answer(struct cloud_call *call, struct cloud_reply *reply, int http_status)
{
	struct cloud_queue *queue = call->queue;

	if (call->asks)
		cloud_maintenance_answered(&queue->maintenance);
	if (!call->probe)
		note_health(queue, call, reply);
	cloud_throttle_note(&queue->throttle, call->sent_ms, reply);
	/* Before done: calls that wait already go before calls that done may add. */
	pump(queue);
	if (call->members.count > 0)
		cloud_merge_answer(call, &queue->waiting, reply, http_status, &queue->members_max);
	else
		call->done(call->arg, &reply->result);
	cloud_reply_clear(reply);
	cloud_call_free(call);
	pump(queue);
}

/* True: the answer is a 401 whose cause is looked for first, and the call waits at the probe.
 * False: the answer is for the call's owner; the error names the cause of a 401 if it is known. */
static bool is_kept(struct cloud_call *call, struct cloud_reply *reply)
{
	struct cloud_queue *queue = call->queue;
	struct err *err = &reply->result.err;
	char words[ERR_CLOUD_TEXT_SIZE];

	if (call->probe || err->cloud_code != CLOUD_CODE_UNAUTHORIZED)
		return false;
	memcpy(words, err->cloud_text, sizeof(words));
	if (cloud_clock_may_have_passed(cloud_probe_clock(queue->probe), call->expires_s,
					clock_mono_ms())) {
		cloud_error_late(call->command->what, words, err);
		return false;
	}
	if (call->denied) {
		reply->result.outcome = CLOUD_REFUSED;
		cloud_error_unknown_command(call->command->name, call->command->what, words, err);
		return false;
	}
	cloud_reply_clear(reply);
	cloud_probe_denied(queue->probe, call, words);
	return true;
}

static void on_read(void *arg, struct cloud_reply *reply, int http_status)
{
	struct cloud_call *call = arg;
	struct cloud_queue *queue = call->queue;

	cloud_call_unlink(call);
	call->reading = NULL;
	cloud_figures_note(&queue->figures, cloud_call_command(call), &reply->result,
			   clock_mono_ms() - call->sent_ms);
	log_debug("cloud: %s: HTTP %d, outcome %d %s", call->command->name, http_status,
		  (int)reply->result.outcome, reply->result.err.text);
	if (is_kept(call, reply))
		pump(queue);
	else
		answer(call, reply, http_status);
}

static void on_answer(void *arg, const struct http_response *response)
{
	struct cloud_call *call = arg;
	const struct cloud_question question = {
		.what = call->command->what,
		.kind = call->command->reply,
		.change = call->command->change,
		.creates = call->command->creates,
		.name = call->name,
		.is_page = call->is_page,
	};
	struct cloud_reply reply;

	call->http = NULL;
	if (response->body_length >= CLOUD_LARGE_MIN) {
		call->reading =
			cloud_reader_read(call->queue->reader, &question, response, on_read, call);
		return;
	}
	cloud_reply_read(&reply, &question, response);
	on_read(call, &reply, response->status);
}

/* --- the wire --- */

static void format_expires(int64_t second, char out[EXPIRES_SIZE])
{
	time_t when = (time_t)second;
	struct tm parts;

	gmtime_r(&when, &parts);
	strftime(out, EXPIRES_SIZE, "%Y-%m-%dT%H:%M:%S+0000", &parts);
}

static void set_expiry(struct cloud_call *call)
{
	const struct cloud_queue *queue = call->queue;
	int64_t until_ms = call->sent_ms + READ_EXPIRES_MS;

	if (call->probe)
		return;
	if (call->command->change)
		until_ms = call->asked_ms + queue->timeout_ms;
	call->expires_s = cloud_clock_second(cloud_probe_clock(queue->probe), until_ms);
}

/* The signed query, to be wiped by the caller. */
static void build_query(const struct cloud_call *call, struct buf *out)
{
	const struct cloud_queue *queue = call->queue;
	size_t key_length = secret_length(queue->api_key), count = 0;
	struct cloud_param params[FRAME_PARAMS + CLOUD_PARAMS_MAX];
	char *key = xmalloc(key_length + 1);
	char expires[EXPIRES_SIZE];

	memcpy(key, secret_bytes(queue->api_key), key_length);
	key[key_length] = '\0';
	params[count++] = (struct cloud_param){ "apikey", key };
	params[count++] = (struct cloud_param){ "command", call->command->name };
	params[count++] = (struct cloud_param){ "response", "json" };
	if (call->probe != CLOUD_PROBE_PLAIN) {
		format_expires(call->expires_s, expires);
		params[count++] = (struct cloud_param){ "expires", expires };
		params[count++] = (struct cloud_param){ "signatureversion", "3" };
	}
	for (size_t i = 0; i < call->param_count; i++)
		params[count++] = call->params[i];
	cloud_sign_query(params, count, queue->secret_key, out);

	explicit_bzero(key, key_length);
	free(key);
}

static void wipe(struct buf *buf)
{
	if (buf->data)
		explicit_bzero(buf->data, buf->length);
	buf_clear(buf);
}

static void call_send(struct cloud_call *call)
{
	struct cloud_queue *queue = call->queue;
	struct http_request request = { .timeout_ms = queue->timeout_ms,
					.max_response = CLOUD_REPLY_MAX };
	struct buf query = BUF_NULL;
	char *url = NULL;
	size_t url_size = 0;

	call->sent_ms = clock_mono_ms();
	set_expiry(call);
	build_query(call, &query);
	if (call->command->change) {
		request.url = queue->url;
		request.body = query.data;
		request.body_length = query.length;
	} else {
		size_t prefix = strlen(queue->url) + 1;

		url_size = prefix + query.length + 1;
		url = xmalloc(url_size);
		memcpy(url, queue->url, prefix - 1);
		url[prefix - 1] = '?';
		memcpy(url + prefix, query.data, query.length + 1);
		request.url = url;
	}
	call->http = http_client_start(queue->http, &request, on_answer, call);
	assert(call->http);
	queue->health.calls++;

	wipe(&query);
	if (url)
		explicit_bzero(url, url_size);
	free(url);
}

/* The next call that may be sent: changes wait for the clock, and reads pass them. */
static struct cloud_call *next_call(struct cloud_queue *queue)
{
	struct cloud_call *call;
	bool asked = false;

	TAILQ_FOREACH(call, &queue->waiting.calls, entry) {
		if (!call->command->change)
			return call;
		if (asked)
			continue;
		if (cloud_probe_clock_is_settled(queue->probe))
			return call;
		asked = true;
		/* The read that was put first by this question. */
		if (TAILQ_FIRST(&queue->waiting.calls)->probe)
			return TAILQ_FIRST(&queue->waiting.calls);
	}
	return NULL;
}

/* True: CloudStack takes no changes at the moment, and the call is answered without a request. */
static bool is_held(struct cloud_call *call)
{
	struct cloud_queue *queue = call->queue;

	if (!call->command->change || call->asks ||
	    cloud_maintenance_admits(&queue->maintenance, &call->asks))
		return false;
	cloud_call_put_last(call, &queue->held);
	loop_task_queue(queue->loop, &queue->refuse);
	return true;
}

static void on_refuse(struct loop_task *task)
{
	struct cloud_queue *queue = container_of(task, struct cloud_queue, refuse);
	struct cloud_call *call;

	/* Each round begins with the first call, since done may cancel any other call. */
	while ((call = TAILQ_FIRST(&queue->held.calls))) {
		const struct cloud_result result = { .outcome = CLOUD_AWAY,
						     .err = queue->maintenance.words };

		cloud_call_unlink(call);
		call->done(call->arg, &result);
		cloud_call_free(call);
	}
}

/* Sends the calls that may be sent. Runs no callback, so it can be called from anywhere. */
static void pump(struct cloud_queue *queue)
{
	int64_t wait = cloud_throttle_wait_ms(&queue->throttle);
	struct cloud_call *call;

	if (queue->pumping)
		return;
	if (queue->waiting.count == 0) {
		loop_timer_clear(queue->loop, &queue->resume);
		return;
	}
	if (wait > 0) {
		loop_timer_set(queue->loop, &queue->resume, wait);
		return;
	}
	queue->pumping = true;
	while (queue->running.count < queue->throttle.window && (call = next_call(queue))) {
		cloud_call_unlink(call);
		if (is_held(call))
			continue;
		call = cloud_merge(call, &queue->waiting, queue->members_max);
		cloud_call_put_last(call, &queue->running);
		call_send(call);
	}
	queue->pumping = false;
}

static void on_send(struct loop_task *task)
{
	pump(container_of(task, struct cloud_queue, send));
}

static void on_resume(struct loop_timer *timer)
{
	pump(container_of(timer, struct cloud_queue, resume));
}

/* --- the queue --- */

static void replace(struct secret **secret, const struct secret *by)
{
	secret_free(*secret);
	*secret = secret_new(secret_bytes(by), secret_length(by));
}

void cloud_queue_set_access(struct cloud_queue *queue, const char *url,
			    const struct secret *api_key, const struct secret *secret_key)
{
	queue->lost = 0;
	queue->maintenance = (struct cloud_maintenance){ .asking = queue->maintenance.asking };
	queue->members_max = CLOUD_MEMBERS_MAX;
	cloud_probe_reset(queue->probe);
	str_set(&queue->url, url);
	replace(&queue->api_key, api_key);
	replace(&queue->secret_key, secret_key);
	err_text_format(queue->health.reason, sizeof(queue->health.reason),
			"CloudStack has not been asked anything yet");
}

const char *cloud_queue_project_id(const struct cloud_queue *queue)
{
	return queue->project_id;
}

void cloud_queue_set_pace(struct cloud_queue *queue, const struct cloud_options *options)
{
	queue->timeout_ms = options->timeout_ms;
	cloud_probe_set_timeout(queue->probe, options->timeout_ms);
	cloud_throttle_set_max(&queue->throttle, options->max_parallel);
	http_client_set(queue->http, options->max_parallel, options->ca_file);
	pump(queue);
}

struct cloud_queue *cloud_queue_new(struct loop *loop, const struct cloud_options *options,
				    struct err *err)
{
	const struct http_client_options http_options = {
		.max_parallel = options->max_parallel,
		.ca_file = options->ca_file,
		.user_agent = USER_AGENT,
		.url_setting = "cloud.url",
		.ca_setting = "cloud.ca_file",
	};
	struct cloud_reader *reader = cloud_reader_new(loop, err);
	struct cloud_queue *queue;

	if (!reader)
		return NULL;
	queue = xnew(struct cloud_queue);
	queue->loop = loop;
	queue->reader = reader;
	queue->project_id = xstrdup(options->project_id);
	queue->timeout_ms = options->timeout_ms;
	queue->resume.fire = on_resume;
	cloud_call_list_init(&queue->waiting);
	cloud_call_list_init(&queue->running);
	cloud_call_list_init(&queue->held);
	queue->refuse.run = on_refuse;
	queue->send.run = on_send;
	cloud_throttle_init(&queue->throttle, options->max_parallel);
	queue->http = http_client_new(loop, &http_options);
	queue->probe = cloud_probe_new(&(struct cloud_probe_way){
		.queue = queue,
		.send_first = send_first,
		.answer = answer,
		.cancel = cloud_call_cancel,
		.resume = pump,
		.timeout_ms = options->timeout_ms,
	});
	cloud_queue_set_access(queue, options->url, options->api_key, options->secret_key);
	return queue;
}

struct cloud_queue *cloud_queue_free(struct cloud_queue *queue)
{
	if (!queue)
		return NULL;
	cloud_probe_free(queue->probe);
	assert(queue->waiting.count == 0 && queue->running.count == 0 && queue->held.count == 0);

	loop_timer_clear(queue->loop, &queue->resume);
	loop_task_cancel(queue->loop, &queue->refuse);
	loop_task_cancel(queue->loop, &queue->send);
	cloud_figures_clear(&queue->figures);
	http_client_free(queue->http);
	cloud_reader_free(queue->reader);
	secret_free(queue->api_key);
	secret_free(queue->secret_key);
	free(queue->url);
	free(queue->project_id);
	free(queue);
	return NULL;
}
