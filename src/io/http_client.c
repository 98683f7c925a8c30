/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * curl's multi interface on the loop. curl names the sockets to watch and the time of its next
 * call; those two callbacks only take notes. When events come, curl is driven, and a task of the
 * next turn takes the transfers that have finished. So done() runs neither inside a curl callback
 * nor inside http_client_start(), and may start or cancel other calls freely.
 *
 * A request is put on the wire at most once. If a kept connection turns out to be dead before any
 * answer came, curl by itself sends the request again on a new one, but the server may well have
 * acted on the first. curl asks before each sending (the "prereq" callback): the first time is
 * noted, which makes `sent` exact, the second time is refused, and the caller decides, since it
 * knows whether its request may be repeated. Connections are dropped before a server would drop
 * them (MAXAGE), and curl checks a kept one before using it, so this stays rare.
 *
 * The time limit of a call is a deadline of the loop. curl itself limits only the time to connect,
 * since its clock would count the time in which this process was stopped.
 * QUICK_EXIT leaves behind a resolver thread that hangs; without it, cancelling would wait for that
 * thread, and so would the whole loop.
 */
#include "io/http_client.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>

#include "io/certificate.h"

/*
 * Longer than any sane handshake; a server that is away is reported this early even if the call may
 * take longer.
 */
#define CONNECT_TIMEOUT_MS INT64_C(10000)
/* CloudStack's Jetty closes idle connections after 30 s. */
#define KEEP_CONNECTION_S 25L

/* CURLINFO_SSL_VERIFYRESULT unless OpenSSL has refused a certificate. */
#define CURL_UNVERIFIED 1

TAILQ_HEAD(call_list, http_call);

struct http_client {
	struct loop *loop;
	CURLM *multi;
	char *ca_file, *user_agent, *url_setting, *ca_setting;
	struct curl_slist *headers;
	size_t max_parallel;
	size_t on_wire, waiting_count;
	struct call_list wire, waiting;
	struct loop_timer curl_timer;
	struct loop_task reap_task;
	bool reaping;
};

/* Parts of a URL that may stand in texts. */
struct address_parts {
	char *origin; /* "https://cloud.example.org:8443" */
	char *host;   /* "cloud.example.org:8443" */
	char *name;   /* "cloud.example.org" */
	char *path;   /* "/client/api" */
};

struct http_call {
	TAILQ_ENTRY(http_call) entry;
	struct http_client *client;
	CURL *easy;
	http_done_fn done;
	void *arg;
	/* for texts; the URL itself is curl's alone */
	struct address_parts address;
	char curl_words[CURL_ERROR_SIZE];
	char *body; /* wiped when freed */
	size_t body_length;
	int64_t timeout_ms;
	size_t max_response;
	struct buf answer;
	struct loop_timer timer;
	bool on_wire;
	bool sent; /* curl was about to send, or has sent */
	bool too_large;
};

/* One socket that curl wants watched. */
struct watch {
	struct http_client *client;
	struct event *event;
};

/* ---- sockets and time, for curl ---- */

static void drive(struct http_client *client, curl_socket_t fd, int what)
{
	int running;

	curl_multi_socket_action(client->multi, fd, what, &running);
	loop_task_queue(client->loop, &client->reap_task);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct watch *watch = arg;

	drive(watch->client, fd,
	      ((what & EV_READ) ? CURL_CSELECT_IN : 0) |
		      ((what & EV_WRITE) ? CURL_CSELECT_OUT : 0));
}

static void on_curl_timer(struct loop_timer *timer)
{
	drive(container_of(timer, struct http_client, curl_timer), CURL_SOCKET_TIMEOUT, 0);
}

/* CURLMOPT_SOCKETFUNCTION */
static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct http_client *client = arg;
	struct watch *watch = socket_arg;
	short mask = EV_PERSIST;

	if (what == CURL_POLL_REMOVE) {
		/*
		 * At once: curl closes the descriptor next, and its number may come back as another
		 * socket's.
		 */
		if (watch)
			event_free(watch->event);
		free(watch);
		curl_multi_assign(client->multi, fd, NULL);
		return 0;
	}
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		mask |= EV_READ;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		mask |= EV_WRITE;
	if (!watch) {
		watch = xnew(struct watch);
		watch->client = client;
		watch->event = event_new(loop_base(client->loop), fd, mask, on_socket, watch);
		if (!watch->event)
			abort();
		curl_multi_assign(client->multi, fd, watch);
	} else {
		event_del(watch->event);
		event_assign(watch->event, loop_base(client->loop), fd, mask, on_socket, watch);
	}
	event_add(watch->event, NULL);
	return 0;
}

/* CURLMOPT_TIMERFUNCTION */
static int set_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct http_client *client = arg;

	if (timeout_ms < 0)
		loop_timer_clear(client->loop, &client->curl_timer);
	else
		loop_timer_set(client->loop, &client->curl_timer, timeout_ms);
	return 0;
}

/* ---- callbacks of one transfer ---- */

/* CURLOPT_WRITEFUNCTION */
static size_t take_bytes(char *bytes, size_t size, size_t count, void *arg)
{
	struct http_call *call = arg;

	if (size * count > call->max_response - call->answer.length) {
		call->too_large = true;
		return 0;
	}
	buf_add(&call->answer, bytes, size * count);
	return size * count;
}

/* CURLOPT_PREREQFUNCTION */
static int before_sending(void *arg, char *remote_ip, char *local_ip, int remote_port,
			  int local_port)
{
	struct http_call *call = arg;

	if (call->sent)
		return CURL_PREREQFUNC_ABORT;
	call->sent = true;
	return CURL_PREREQFUNC_OK;
}

/* ---- the parts of a URL that may stand in texts ---- */

static void parts_clear(struct address_parts *parts)
{
	free(parts->origin);
	free(parts->host);
	free(parts->name);
	free(parts->path);
}

static char *part_of(CURLU *url, CURLUPart part)
{
	char *text = NULL, *copy;

	curl_url_get(url, part, &text, CURLU_NO_DEFAULT_PORT);
	copy = xstrdup(text);
	curl_free(text);
	return copy;
}

/* Only host has a value if the text is no URL. */
static struct address_parts parts_of(const char *text)
{
	CURLU *url = curl_url();
	_cleanup_free_ char *scheme = NULL, *port = NULL;
	struct address_parts parts = { 0 };

	if (!url)
		abort();
	if (curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK) {
		scheme = part_of(url, CURLUPART_SCHEME);
		port = part_of(url, CURLUPART_PORT);
		parts.name = part_of(url, CURLUPART_HOST);
		parts.path = part_of(url, CURLUPART_PATH);
	}
	curl_url_cleanup(url);
	parts.host = parts.name ? xasprintf("%s%s%s", parts.name, port ? ":" : "", str_or(port, ""))
				: xstrdup("the server (its address is no URL)");
	if (scheme && parts.name)
		parts.origin = xasprintf("%s://%s", scheme, parts.host);
	return parts;
}

/* ---- the end of a call ---- */

static void call_free(struct http_call *call)
{
	loop_timer_clear(call->client->loop, &call->timer);
	curl_easy_cleanup(call->easy);
	if (call->body)
		explicit_bzero(call->body, call->body_length);
	free(call->body);
	parts_clear(&call->address);
	if (call->answer.data)
		explicit_bzero(call->answer.data, call->answer.room);
	buf_clear(&call->answer);
	free(call);
}

static void start_waiting(struct http_client *client);

/* Off the wire or out of the queue. */
static void call_detach(struct http_call *call)
{
	struct http_client *client = call->client;

	if (call->on_wire) {
		curl_multi_remove_handle(client->multi, call->easy);
		TAILQ_REMOVE(&client->wire, call, entry);
		client->on_wire--;
		call->on_wire = false;
	} else {
		TAILQ_REMOVE(&client->waiting, call, entry);
		client->waiting_count--;
	}
	loop_timer_clear(client->loop, &call->timer);
}

/* The request's URL at the place that the redirect names; NULL if the place is the same. */
static char *find_redirect(const struct http_call *call)
{
	const char *url = NULL;
	struct address_parts to;
	char *text = NULL;

	curl_easy_getinfo(call->easy, CURLINFO_REDIRECT_URL, &url);
	if (!url)
		return NULL;
	to = parts_of(url);
	if (to.origin && !streq(to.origin, call->address.origin))
		text = xasprintf("%s%s", to.origin, str_or(call->address.path, "/"));
	parts_clear(&to);
	return text;
}

static void fill_answer(struct http_call *call, struct http_response *response)
{
	const char *type = NULL;
	long status = 0;

	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(call->easy, CURLINFO_CONTENT_TYPE, &type);
	response->status = (int)status;
	response->body = str_or(call->answer.data, "");
	response->body_length = call->answer.length;
	response->content_type = str_or(type, "");
}

static int64_t connect_ms(int64_t timeout_ms)
{
	return timeout_ms < CONNECT_TIMEOUT_MS ? timeout_ms : CONNECT_TIMEOUT_MS;
}

/* True if the failure is about the server's certificate, or about the authorities that may sign
 * one. */
static bool explain_certificate(struct http_call *call, CURLcode code, struct err *err)
{
	const struct http_client *client = call->client;
	_cleanup_free_ char *file =
		client->ca_file ? xasprintf("%s (%s)", client->ca_file, client->ca_setting)
				: xasprintf("the system's, or into a file that %s names",
					    client->ca_setting);
	const struct certificate_place place = { .name = call->address.name,
						 .address = client->url_setting,
						 .authorities = file };
	_cleanup_free_ char *words = NULL;
	long result = 0;

	if (code == CURLE_SSL_CACERT_BADFILE) {
		err_set(err, ERR_UNAVAILABLE,
			"no connection to %s: there are no CA certificates in %s, or the file cannot be read",
			call->address.host, str_or(client->ca_file, "the system's file"));
		return true;
	}
	if (code != CURLE_PEER_FAILED_VERIFICATION)
		return false;
	curl_easy_getinfo(call->easy, CURLINFO_SSL_VERIFYRESULT, &result);
	/* curl compares the name itself, after OpenSSL has accepted the certificate. */
	words = certificate_fault_text(result > CURL_UNVERIFIED ? certificate_fault_of(result)
								: CERTIFICATE_OTHER_NAME,
				       &place);
	err_set(err, ERR_UNAVAILABLE, "no connection to %s: %s%s", call->address.host,
		words ? "" : "its certificate is refused: ", words ? words : call->curl_words);
	return true;
}

/* Why there is no answer, without curl's own texts where these may quote the URL. */
static void explain(struct http_call *call, CURLcode code, struct err *err)
{
	const char *host = call->address.host;
	long os_error = 0;

	curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &os_error);
	if (call->too_large) {
		err_set(err, ERR_TOO_LARGE, "the answer of %s is longer than %zu bytes", host,
			call->max_response);
	} else if (code == CURLE_OPERATION_TIMEDOUT && call->sent) {
		err_set(err, ERR_TIMEOUT, "%s did not answer within %lld ms", host,
			(long long)call->timeout_ms);
	} else if (code == CURLE_OPERATION_TIMEDOUT) {
		err_set(err, ERR_UNAVAILABLE, "no connection to %s within %lld ms", host,
			(long long)connect_ms(call->timeout_ms));
	} else if (code == CURLE_COULDNT_CONNECT && os_error) {
		err_set(err, ERR_UNAVAILABLE, "no connection to %s: %s", host,
			strerror((int)os_error));
	} else if (explain_certificate(call, code, err)) {
		return;
	} else if (code == CURLE_ABORTED_BY_CALLBACK || code == CURLE_GOT_NOTHING ||
		   code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR) {
		err_set(err, ERR_UNAVAILABLE, "%s closed the connection without an answer", host);
	} else if (code == CURLE_PARTIAL_FILE) {
		err_set(err, ERR_UNAVAILABLE,
			"%s closed the connection in the middle of its answer", host);
	} else {
		err_set(err, ERR_UNAVAILABLE, "no answer from %s: %s", host,
			curl_easy_strerror(code));
	}
}

/* Tells the owner and frees the call. */
static void call_finish(struct http_call *call, CURLcode code)
{
	struct http_response response;
	_cleanup_free_ char *redirect = NULL;

	response.status = 0;
	response.body = response.content_type = response.redirect = "";
	response.body_length = 0;
	response.sent = call->sent;
	err_clear(&response.err);
	if (code == CURLE_OK) {
		fill_answer(call, &response);
		redirect = find_redirect(call);
		response.redirect = str_or(redirect, "");
	} else {
		explain(call, code, &response.err);
	}
	call_detach(call);
	start_waiting(call->client);
	call->done(call->arg, &response);
	call_free(call);
}

static void on_timeout(struct loop_timer *timer)
{
	call_finish(container_of(timer, struct http_call, timer), CURLE_OPERATION_TIMEDOUT);
}

/*
 * Takes the transfers that have finished. Each message is asked for anew, since done() may cancel
 * calls, which removes their messages too.
 */
static void reap(struct loop_task *task)
{
	struct http_client *client = container_of(task, struct http_client, reap_task);
	CURLMsg *message;
	int left;

	client->reaping = true;
	while ((message = curl_multi_info_read(client->multi, &left))) {
		CURLcode code = message->data.result;
		char *call = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
		call_finish((struct http_call *)(void *)call, code);
	}
	client->reaping = false;
}

/* ---- the beginning ---- */

#define SET(option, value)                                                                         \
	do {                                                                                       \
		CURLcode set_ = curl_easy_setopt(easy, option, value);                             \
		assert(set_ == CURLE_OK);                                                          \
	} while (0)

static void set_transport(CURL *easy, const struct http_client *client, int64_t timeout_ms)
{
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	if (client->ca_file)
		SET(CURLOPT_CAINFO, client->ca_file);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_MAXAGE_CONN, KEEP_CONNECTION_S);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms(timeout_ms));
}

static CURL *easy_new(struct http_call *call, const char *url)
{
	const struct http_client *client = call->client;
	CURL *easy = curl_easy_init();

	if (!easy)
		abort();
	set_transport(easy, client, call->timeout_ms);
	SET(CURLOPT_URL, url);
	SET(CURLOPT_PRIVATE, (void *)call);
	SET(CURLOPT_ERRORBUFFER, call->curl_words);
	SET(CURLOPT_WRITEFUNCTION, take_bytes);
	SET(CURLOPT_WRITEDATA, (void *)call);
	SET(CURLOPT_PREREQFUNCTION, before_sending);
	SET(CURLOPT_PREREQDATA, (void *)call);
	SET(CURLOPT_HTTPHEADER, client->headers);
	if (client->user_agent)
		SET(CURLOPT_USERAGENT, client->user_agent);
	if (call->body) {
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_length);
		SET(CURLOPT_POSTFIELDS, call->body);
	}
	return easy;
}

static void call_to_wire(struct http_call *call)
{
	struct http_client *client = call->client;
	CURLMcode r;

	TAILQ_INSERT_TAIL(&client->wire, call, entry);
	client->on_wire++;
	call->on_wire = true;
	loop_deadline_set(client->loop, &call->timer, call->timeout_ms);
	r = curl_multi_add_handle(client->multi, call->easy);
	assert(r == CURLM_OK);
}

static void start_waiting(struct http_client *client)
{
	while (client->on_wire < client->max_parallel && !TAILQ_EMPTY(&client->waiting)) {
		struct http_call *call = TAILQ_FIRST(&client->waiting);

		TAILQ_REMOVE(&client->waiting, call, entry);
		client->waiting_count--;
		call_to_wire(call);
	}
}

struct http_call *http_client_start(struct http_client *client, const struct http_request *request,
				    http_done_fn done, void *arg)
{
	struct http_call *call = xnew(struct http_call);

	assert(request->url && request->timeout_ms > 0 && done);
	call->client = client;
	call->done = done;
	call->arg = arg;
	call->address = parts_of(request->url);
	call->timeout_ms = request->timeout_ms;
	call->max_response = request->max_response;
	call->timer.fire = on_timeout;
	if (request->body) {
		call->body = xmalloc(request->body_length + 1);
		memcpy(call->body, request->body, request->body_length);
		call->body[request->body_length] = '\0';
		call->body_length = request->body_length;
	}
	call->easy = easy_new(call, request->url);
	TAILQ_INSERT_TAIL(&client->waiting, call, entry);
	client->waiting_count++;
	start_waiting(client);
	return call;
}

void http_call_cancel(struct http_call *call)
{
	struct http_client *client = call->client;

	call_detach(call);
	call_free(call);
	start_waiting(client);
}

/* ---- the client ---- */

static void init_curl(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		abort();
}

struct http_client *http_client_new(struct loop *loop, const struct http_client_options *options)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct http_client *client = xnew(struct http_client);

	assert(options->max_parallel > 0 && options->url_setting && options->ca_setting);
	pthread_once(&once, init_curl);
	client->loop = loop;
	client->ca_file = xstrdup(options->ca_file);
	client->user_agent = xstrdup(options->user_agent);
	client->url_setting = xstrdup(options->url_setting);
	client->ca_setting = xstrdup(options->ca_setting);
	client->max_parallel = options->max_parallel;
	client->curl_timer.fire = on_curl_timer;
	client->reap_task.run = reap;
	TAILQ_INIT(&client->wire);
	TAILQ_INIT(&client->waiting);
	/*
	 * Without this header a long body waits a second for a "100 Continue" that many servers
	 * never send.
	 */
	client->headers = curl_slist_append(NULL, "Expect:");
	client->multi = curl_multi_init();
	if (!client->multi || !client->headers)
		abort();
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
	curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)options->max_parallel);
	return client;
}

void http_client_set(struct http_client *client, size_t max_parallel, const char *ca_file)
{
	client->max_parallel = max_parallel;
	curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)max_parallel);
	str_set(&client->ca_file, ca_file);
}

struct http_client *http_client_free(struct http_client *client)
{
	if (!client)
		return NULL;
	assert(TAILQ_EMPTY(&client->wire) && TAILQ_EMPTY(&client->waiting) && !client->reaping);
	curl_multi_cleanup(client->multi);
	curl_slist_free_all(client->headers);
	loop_timer_clear(client->loop, &client->curl_timer);
	loop_task_cancel(client->loop, &client->reap_task);
	free(client->ca_file);
	free(client->user_agent);
	free(client->url_setting);
	free(client->ca_setting);
	free(client);
	return NULL;
}

size_t http_client_active(const struct http_client *client)
{
	return client->on_wire + client->waiting_count;
}
