/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Commands on their way to CloudStack.
 *
 * A call is a row of the command table and a few parameters. It waits in one queue until fewer than max_parallel are
 * on the wire and CloudStack is willing to listen, and only then gets its expiry time and signature: a signed request
 * lives ten minutes, and a queue may be longer than that.
 *
 * It is CloudStack's clock that requests expire by. Every answer tells what it is, so when ours is off by more than the
 * time a request may take, the difference is added: a wrong clock on this machine is then no reason not to work. A
 * clock that is off by more than a day is left alone, since a forged Date must not make requests that live for years.
 */

#include <assert.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "cloud/cloud_error.h"
#include "cloud/cloud_internal.h"

#define EXPIRES_MS (10 * 60 * 1000) /* servers that enforce it allow at most 15 minutes */
#define SKEW_MIN_MS 60000
#define SKEW_MAX_MS (24 * 60 * 60 * 1000)
#define EXPIRES_SIZE sizeof("2030-01-02T03:04:05+0000")
#define FRAME_PARAMS 5 /* of every request: apikey, command, response, signatureversion, expires */
#define USER_AGENT "volume-daemon"

static const struct cloud_command commands[CLOUD_COMMAND_COUNT] = {
	[CLOUD_COMMAND_CREATE_VOLUME] = { "createVolume", "create the volume", CLOUD_REPLY_JOB_ID, true, false },
	[CLOUD_COMMAND_ATTACH_VOLUME] = { "attachVolume", "attach the volume", CLOUD_REPLY_JOB_ID, true, false },
	[CLOUD_COMMAND_DETACH_VOLUME] = { "detachVolume", "detach the volume", CLOUD_REPLY_JOB_ID, true, false },
	[CLOUD_COMMAND_RESIZE_VOLUME] = { "resizeVolume", "resize the volume", CLOUD_REPLY_JOB_ID, true, false },
	[CLOUD_COMMAND_DESTROY_VOLUME] = { "destroyVolume", "delete the volume", CLOUD_REPLY_JOB_ID, true, false },
	[CLOUD_COMMAND_UPDATE_VOLUME] = { "updateVolume", "rename the volume", CLOUD_REPLY_JOB_ID, true, false },
	[CLOUD_COMMAND_LIST_VOLUMES] = { "listVolumes", "list volumes", CLOUD_REPLY_VOLUMES, false, false },
	[CLOUD_COMMAND_QUERY_JOB] = { "queryAsyncJobResult", "look at a job", CLOUD_REPLY_JOB, false, false },
	[CLOUD_COMMAND_LIST_JOBS] = { "listAsyncJobs", "list jobs", CLOUD_REPLY_JOBS, false, true },
};

static void cloud_pump(struct cloud *cloud);

/* --- health --- */

/* So many answers missing in a row mean that CloudStack is away. */
#define LOST_MAX 2

static void note_health(struct cloud *cloud, const struct cloud_command *command, const struct cloud_reply *reply)
{
	struct cloud_health *health = &cloud->health;
	bool well = reply->result.outcome == CLOUD_OK || reply->result.outcome == CLOUD_REFUSED;

	if (reply->answered && reply->has_skew)
		health->skew_ms = reply->skew_ms;
	if (command->optional && !well)
		return;

	/*
	 * Refused keys and a server about to stop are final; a rate limit only asks for patience. One answer lost on the
	 * way happens to everybody and must not turn every change away; the next one lost tells.
	 */
	if (reply->answered && reply->result.err.code != ERR_UNAVAILABLE) {
		if (!health->usable)
			health->usable_since_ms = clock_mono_ms();
		health->usable = true;
		cloud->lost = 0;
	} else if (reply->answered || ++cloud->lost >= LOST_MAX) {
		health->usable = false;
	}
	cloud_text_copy(health->reason, sizeof(health->reason), well ? "" : reply->result.err.text);
	if (reply->answered)
		health->last_answer_ms = clock_wall_ms();
}

void cloud_health(const struct cloud *cloud, struct cloud_health *out)
{
	assert(cloud && out);

	*out = cloud->health;
	out->in_flight = cloud->running_count + cloud->waiting_count;
	cloud_throttle_health(cloud, out);
}

/* --- a call's life --- */

struct cloud_call *cloud_call_new(struct cloud *cloud, enum cloud_command_id id, cloud_done_fn done, void *arg)
{
	struct cloud_call *call = xnew(struct cloud_call);

	assert(cloud);

	call->cloud = cloud;
	call->command = &commands[id];
	call->done = done;
	call->arg = arg;
	TAILQ_INIT(&call->members);
	return call;
}

void cloud_call_free(struct cloud_call *call)
{
	assert(TAILQ_EMPTY(&call->members));

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
	call->params[call->param_count++] = (struct cloud_param){ .name = name, .value = xstrdup(value) };
}

void cloud_call_add_int(struct cloud_call *call, const char *name, int64_t value)
{
	_cleanup_free_ char *text = xasprintf("%lld", (long long)value);

	cloud_call_add(call, name, text);
}

struct cloud_call *cloud_call_queue(struct cloud_call *call)
{
	struct cloud *cloud = call->cloud;

	assert(call->done);

	TAILQ_INSERT_TAIL(&cloud->waiting, call, entry);
	cloud->waiting_count++;
	cloud_pump(cloud);
	return call;
}

void cloud_call_requeue_first(struct cloud_call *call)
{
	TAILQ_INSERT_HEAD(&call->cloud->waiting, call, entry);
	call->cloud->waiting_count++;
}

void cloud_call_unlink(struct cloud_call *call)
{
	struct cloud *cloud = call->cloud;

	if (call->carrier) {
		TAILQ_REMOVE(&call->carrier->members, call, entry);
		call->carrier->member_count--;
		call->carrier = NULL;
	} else if (call->http) {
		TAILQ_REMOVE(&cloud->running, call, entry);
		cloud->running_count--;
	} else {
		TAILQ_REMOVE(&cloud->waiting, call, entry);
		cloud->waiting_count--;
	}
}

void cloud_call_cancel(struct cloud_call *call)
{
	struct cloud_call *carrier;
	struct cloud *cloud;

	assert(call);

	cloud = call->cloud;
	carrier = call->carrier;
	cloud_call_unlink(call);
	if (call->http)
		http_call_cancel(call->http);
	cloud_call_free(call);
	/* Nobody is left to hear the answer, unless it is just being told. */
	if (carrier && carrier->member_count == 0 && carrier->http)
		cloud_call_cancel(carrier);
	cloud_pump(cloud);
}

static void on_answer(void *arg, const struct http_response *response)
{
	struct cloud_call *call = arg;
	struct cloud *cloud = call->cloud;
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
	log_debug("cloud: %s: HTTP %d, outcome %d %s", call->command->name, response->status, (int)reply.result.outcome,
		  reply.result.err.text);
	note_health(cloud, call->command, &reply);
	cloud_throttle_note(cloud, call, &reply);
	/* Before done: whoever has waited longer goes before what done may ask. */
	cloud_pump(cloud);
	if (call->member_count > 0)
		cloud_merge_answer(call, &reply, response->status);
	else
		call->done(call->arg, &reply.result);
	cloud_reply_clear(&reply);
	cloud_call_free(call);
	cloud_pump(cloud);
}

/* --- the wire --- */

/* What has to be added to our clock to be understood. */
static int64_t correction_ms(const struct cloud *cloud)
{
	int64_t skew_ms = cloud->health.skew_ms, size_ms = skew_ms < 0 ? -skew_ms : skew_ms;

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
	const struct cloud *cloud = call->cloud;
	size_t key_length = secret_length(cloud->api_key), count = 0;
	struct cloud_param params[FRAME_PARAMS + CLOUD_PARAMS_MAX];
	char *key = xmalloc(key_length + 1);
	char expires[EXPIRES_SIZE];

	memcpy(key, secret_bytes(cloud->api_key), key_length);
	key[key_length] = '\0';
	format_expires(clock_wall_ms() + call->correction_ms, expires);
	params[count++] = (struct cloud_param){ "apikey", key };
	params[count++] = (struct cloud_param){ "command", call->command->name };
	params[count++] = (struct cloud_param){ "expires", expires };
	params[count++] = (struct cloud_param){ "response", "json" };
	params[count++] = (struct cloud_param){ "signatureversion", "3" };
	for (size_t i = 0; i < call->param_count; i++)
		params[count++] = call->params[i];
	cloud_sign_query(params, count, cloud->secret_key, out);

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
	struct cloud *cloud = call->cloud;
	struct http_request request = { .timeout_ms = cloud->timeout_ms, .max_response = CLOUD_REPLY_MAX };
	struct buf query = BUF_NULL;
	char *url = NULL;
	size_t url_size = 0;

	call->sent_ms = clock_mono_ms();
	call->correction_ms = correction_ms(cloud);
	build_query(call, &query);
	if (call->command->change) {
		request.url = cloud->url;
		request.body = query.data;
		request.body_length = query.length;
	} else {
		size_t prefix = strlen(cloud->url) + 1;

		url_size = prefix + query.length + 1;
		url = xmalloc(url_size);
		memcpy(url, cloud->url, prefix - 1);
		url[prefix - 1] = '?';
		memcpy(url + prefix, query.data, query.length + 1);
		request.url = url;
	}
	call->http = http_client_start(cloud->http, &request, on_answer, call);
	assert(call->http);
	cloud->health.calls++;

	wipe(&query);
	if (url)
		explicit_bzero(url, url_size);
	free(url);
}

/* Sends what may be sent. Runs no callback, so it can be called from anywhere. */
static void cloud_pump(struct cloud *cloud)
{
	int64_t wait = cloud_throttle_wait_ms(cloud);
	struct cloud_call *call;

	if (TAILQ_EMPTY(&cloud->waiting)) {
		loop_timer_clear(cloud->loop, &cloud->resume);
		return;
	}
	if (wait > 0) {
		loop_timer_set(cloud->loop, &cloud->resume, wait);
		return;
	}
	while (cloud->running_count < cloud->throttle.window && (call = TAILQ_FIRST(&cloud->waiting))) {
		cloud_call_unlink(call);
		call = cloud_merge(call);
		TAILQ_INSERT_TAIL(&cloud->running, call, entry);
		cloud->running_count++;
		call_send(call);
	}
}

static void on_resume(struct loop_timer *timer)
{
	cloud_pump(container_of(timer, struct cloud, resume));
}

/* --- the cloud --- */

static int check_access(const char *url, const struct secret *api_key, const struct secret *secret_key, struct err *err)
{
	/* Never quoted: whoever put a key or a password there must not find it in the log. */
	if (str_empty(url) || !(str_has_prefix(url, "http://") || str_has_prefix(url, "https://")))
		return err_set(err, ERR_INVALID,
			       "CloudStack's address must begin with http:// or https://, such as "
			       "http://10.1.1.1:8080/client/api");
	if (strpbrk(url, "?#@ ") || !str_is_plain_text(url))
		return err_set(err, ERR_INVALID,
			       "CloudStack's address must be host, port and path only, such as "
			       "http://10.1.1.1:8080/client/api; user names, questions and blanks have no place in it");
	if (!api_key || secret_length(api_key) == 0)
		return err_set(err, ERR_INVALID, "CloudStack's API key is missing");
	if (!secret_key || secret_length(secret_key) == 0)
		return err_set(err, ERR_INVALID, "CloudStack's secret key is missing");
	return 0;
}

static void replace(struct secret **secret, const struct secret *by)
{
	secret_free(*secret);
	*secret = secret_new(secret_bytes(by), secret_length(by));
}

static void set_access(struct cloud *cloud, const char *url, const struct secret *api_key,
		       const struct secret *secret_key)
{
	str_set(&cloud->url, url);
	replace(&cloud->api_key, api_key);
	replace(&cloud->secret_key, secret_key);
	cloud_text_copy(cloud->health.reason, sizeof(cloud->health.reason),
			"CloudStack has not been asked anything yet");
}

int cloud_set_access(struct cloud *cloud, const char *url, const struct secret *api_key,
		     const struct secret *secret_key, struct err *err)
{
	if (check_access(url, api_key, secret_key, err) < 0)
		return -1;
	set_access(cloud, url, api_key, secret_key);
	cloud->lost = 0;
	cloud_jobs_allow(cloud);
	return 0;
}

struct cloud *cloud_new(struct loop *loop, const struct cloud_options *options, struct err *err)
{
	struct http_client_options http_options;
	struct cloud *cloud;

	assert(loop && options);
	assert(options->timeout_ms > 0 && options->max_parallel > 0);
	assert(options->poll_min_ms > 0 && options->poll_max_ms >= options->poll_min_ms);

	if (check_access(options->url, options->api_key, options->secret_key, err) < 0)
		return NULL;
	cloud = xnew(struct cloud);
	cloud->loop = loop;
	set_access(cloud, options->url, options->api_key, options->secret_key);
	cloud->timeout_ms = options->timeout_ms;
	cloud->poll_min_ms = options->poll_min_ms;
	cloud->poll_max_ms = options->poll_max_ms;
	cloud->max_parallel = options->max_parallel;
	cloud->resume.fire = on_resume;
	TAILQ_INIT(&cloud->waiting);
	TAILQ_INIT(&cloud->running);
	cloud->throttle.window = options->max_parallel;
	cloud_jobs_init(cloud);
	http_options = (struct http_client_options){
		.max_parallel = options->max_parallel,
		.ca_file = options->ca_file,
		.user_agent = USER_AGENT,
	};
	cloud->http = http_client_new(loop, &http_options);
	return cloud;
}

struct cloud *cloud_free(struct cloud *cloud)
{
	if (!cloud)
		return NULL;
	cloud_jobs_release(cloud);
	assert(TAILQ_EMPTY(&cloud->waiting) && TAILQ_EMPTY(&cloud->running));

	loop_timer_clear(cloud->loop, &cloud->resume);
	http_client_free(cloud->http);
	secret_free(cloud->api_key);
	secret_free(cloud->secret_key);
	free(cloud->url);
	free(cloud);
	return NULL;
}
