/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Commands on their way to CloudStack.
 *
 * A call waits in one queue until fewer than max_parallel calls are on the wire and the throttle
 * allows a request, and only then gets its expiry time and signature: a signed request lives ten
 * minutes, and the wait may be longer than that.
 *
 * Requests expire by CloudStack's clock. Every answer carries its time, so if our clock is off by
 * more than a minute, the difference is added: a wrong clock on this machine does not stop the
 * work. A difference of more than a day is not added, since a forged Date must not make requests
 * that live for years.
 */

#include <assert.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "cloud/cloud_error.h"
#include "cloud/cloud_merge.h"
#include "cloud/cloud_queue.h"
#include "cloud/cloud_throttle.h"

#define EXPIRES_MS (INT64_C(10) * 60 * 1000) /* servers that enforce it allow 15 minutes */
#define SKEW_MIN_MS 60000
#define SKEW_MAX_MS (INT64_C(24) * 60 * 60 * 1000)
#define EXPIRES_SIZE sizeof("2030-01-02T03:04:05+0000")
/* of every request: apikey, command, response, signatureversion, expires */
#define FRAME_PARAMS 5
#define USER_AGENT "volume-daemon"

struct cloud_queue {
	struct loop *loop;
	struct http_client *http;
	char *url;
	struct secret *api_key;
	struct secret *secret_key;
	int64_t timeout_ms;

	/* in the order of arrival; a call is signed only when its turn comes */
	struct cloud_call_list waiting;
	struct cloud_call_list running; /* on the wire */
	struct cloud_throttle throttle;
	struct loop_timer resume; /* armed while calls wait for the throttle */

	struct cloud_health health;
	unsigned lost; /* answers missing in a row */
};

static void pump(struct cloud_queue *queue);

/* --- health --- */

/* So many answers missing in a row mean that CloudStack is away. */
#define LOST_MAX 2

static void note_health(struct cloud_queue *queue, const struct cloud_command *command,
			const struct cloud_reply *reply)
{
	struct cloud_health *health = &queue->health;
	bool well = reply->result.outcome == CLOUD_OK || reply->result.outcome == CLOUD_REFUSED;

	if (reply->answered && reply->has_skew)
		health->skew_ms = reply->skew_ms;
	if (command->optional && !well)
		return;

	/*
	 * Refused keys or a server about to stop make CloudStack unusable at once; a rate limit
	 * only asks for patience. A single lost answer is normal and must not make the daemon
	 * refuse every change; a second one in a row counts.
	 */
	if (reply->answered && reply->result.err.code != ERR_UNAVAILABLE) {
		if (!health->usable)
			health->usable_since_ms = clock_mono_ms();
		health->usable = true;
		queue->lost = 0;
	} else if (reply->answered || ++queue->lost >= LOST_MAX) {
		health->usable = false;
	}
	cloud_text_copy(health->reason, sizeof(health->reason), well ? "" : reply->result.err.text);
	if (reply->answered)
		health->last_answer_ms = clock_wall_ms();
}

void cloud_queue_health(const struct cloud_queue *queue, struct cloud_health *out)
{
	assert(out);

	*out = queue->health;
	out->in_flight = queue->running.count + queue->waiting.count;
	cloud_throttle_health(&queue->throttle, out);
}

/* --- the way of a call --- */

struct cloud_call *cloud_queue_add(struct cloud_call *call)
{
	struct cloud_queue *queue = call->queue;

	assert(call->done);

	cloud_call_put_last(call, &queue->waiting);
	pump(queue);
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
	cloud_call_free(call);
	/* No member is left to get the answer, unless the answer is being given out now. */
	if (carrier && carrier->members.count == 0 && carrier->http)
		cloud_call_cancel(carrier);
	pump(queue);
}

static void on_answer(void *arg, const struct http_response *response)
{
	struct cloud_call *call = arg;
	struct cloud_queue *queue = call->queue;
	const struct cloud_question question = {
		.what = call->command->what,
		.kind = call->command->reply,
		.change = call->command->change,
		.name = call->name,
		.correction_ms = call->correction_ms,
	};
	struct cloud_reply reply;

	cloud_call_unlink(call);
	call->http = NULL;
	cloud_reply_read(&reply, &question, response);
	log_debug("cloud: %s: HTTP %d, outcome %d %s", call->command->name, response->status,
		  (int)reply.result.outcome, reply.result.err.text);
	note_health(queue, call->command, &reply);
	cloud_throttle_note(&queue->throttle, call->sent_ms, &reply);
	/* Before done: calls that wait already go before calls that done may add. */
	pump(queue);
	if (call->members.count > 0)
		cloud_merge_answer(call, &queue->waiting, &reply, response->status);
	else
		call->done(call->arg, &reply.result);
	cloud_reply_clear(&reply);
	cloud_call_free(call);
	pump(queue);
}

/* --- the wire --- */

/* The time to add to our clock, so that CloudStack accepts the expiry time. */
static int64_t correction_ms(const struct cloud_queue *queue)
{
	int64_t skew_ms = queue->health.skew_ms, size_ms = skew_ms < 0 ? -skew_ms : skew_ms;

	return size_ms > SKEW_MIN_MS && size_ms <= SKEW_MAX_MS ? skew_ms : 0;
}

static void format_expires(int64_t now_ms, char out[EXPIRES_SIZE])
{
	time_t when = (time_t)((now_ms + EXPIRES_MS) / 1000);
	struct tm parts;

	gmtime_r(&when, &parts);
	strftime(out, EXPIRES_SIZE, "%Y-%m-%dT%H:%M:%S+0000", &parts);
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
	format_expires(clock_wall_ms() + call->correction_ms, expires);
	params[count++] = (struct cloud_param){ "apikey", key };
	params[count++] = (struct cloud_param){ "command", call->command->name };
	params[count++] = (struct cloud_param){ "expires", expires };
	params[count++] = (struct cloud_param){ "response", "json" };
	params[count++] = (struct cloud_param){ "signatureversion", "3" };
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
	call->correction_ms = correction_ms(queue);
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

/* Sends the calls that may be sent. Runs no callback, so it can be called from anywhere. */
static void pump(struct cloud_queue *queue)
{
	int64_t wait = cloud_throttle_wait_ms(&queue->throttle);
	struct cloud_call *call;

	if (queue->waiting.count == 0) {
		loop_timer_clear(queue->loop, &queue->resume);
		return;
	}
	if (wait > 0) {
		loop_timer_set(queue->loop, &queue->resume, wait);
		return;
	}
	while (queue->running.count < queue->throttle.window &&
	       (call = TAILQ_FIRST(&queue->waiting.calls))) {
		cloud_call_unlink(call);
		call = cloud_merge(call, &queue->waiting);
		cloud_call_put_last(call, &queue->running);
		call_send(call);
	}
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
	str_set(&queue->url, url);
	replace(&queue->api_key, api_key);
	replace(&queue->secret_key, secret_key);
	cloud_text_copy(queue->health.reason, sizeof(queue->health.reason),
			"CloudStack has not been asked anything yet");
}

struct cloud_queue *cloud_queue_new(struct loop *loop, const struct cloud_options *options)
{
	const struct http_client_options http_options = {
		.url_setting = "cloud.url",
		.ca_setting = "cloud.ca_file",
		.max_parallel = options->max_parallel,
		.ca_file = options->ca_file,
		.user_agent = USER_AGENT,
	};
	struct cloud_queue *queue = xnew(struct cloud_queue);

	queue->loop = loop;
	queue->timeout_ms = options->timeout_ms;
	queue->resume.fire = on_resume;
	cloud_call_list_init(&queue->waiting);
	cloud_call_list_init(&queue->running);
	cloud_throttle_init(&queue->throttle, options->max_parallel);
	queue->http = http_client_new(loop, &http_options);
	cloud_queue_set_access(queue, options->url, options->api_key, options->secret_key);
	return queue;
}

struct cloud_queue *cloud_queue_free(struct cloud_queue *queue)
{
	if (!queue)
		return NULL;
	assert(queue->waiting.count == 0 && queue->running.count == 0);

	loop_timer_clear(queue->loop, &queue->resume);
	http_client_free(queue->http);
	secret_free(queue->api_key);
	secret_free(queue->secret_key);
	free(queue->url);
	free(queue);
	return NULL;
}
