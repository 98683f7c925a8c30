/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A body of 1 MiB with 50,000 values of JSON takes some milliseconds to parse, and a few callers
 * can send such bodies all the time. On the loop, every other request would wait for their sum. So
 * a thread parses the large bodies, and the loop answers the requests that come meanwhile. A body
 * that waits for the thread is memory that its caller has chosen, so the sum of all is bounded.
 */

#include "api/rest/large.h"

#include <event2/buffer.h>

#include "io/worker.h"

struct large {
	large_done_fn done;
	void *arg;
	struct worker *worker;
	size_t bytes;
	bool closing;
};

struct large_job {
	struct worker_job job;
	struct large *large;
	struct evhttp_request *http;
	char *text;
	size_t length;
	struct large_body body;
};

static void parse(void *context, struct worker_jobs *jobs, size_t count)
{
	struct large_job *job = container_of(STAILQ_FIRST(jobs), struct large_job, job);

	job->body.document = json_parse(job->text, job->length, &job->body.err);
}

static void on_parsed(struct worker_job *worker_job)
{
	struct large_job *job = container_of(worker_job, struct large_job, job);
	struct large *large = job->large;

	large->bytes -= job->length;
	large->done(job->http, large->closing ? NULL : &job->body, large->arg);
	json_free(job->body.document);
	free(job->text);
	free(job);
}

struct large *large_new(struct loop *loop, large_done_fn done, void *arg, struct err *err)
{
	struct large *large = xnew(struct large);

	large->done = done;
	large->arg = arg;
	large->worker = worker_new(loop, "rest-json", 1, parse, NULL, err);
	return large->worker ? large : large_free(large);
}

struct large *large_free(struct large *large)
{
	if (!large)
		return NULL;
	large->closing = true;
	worker_free(large->worker);
	free(large);
	return NULL;
}

int large_parse(struct large *large, struct evhttp_request *http, struct err *err)
{
	struct evbuffer *body = evhttp_request_get_input_buffer(http);
	size_t length = evbuffer_get_length(body);
	struct large_job *job;
	char *text;

	if (large->bytes + length > LARGE_BYTES_MAX || large_count(large) >= LARGE_COUNT_MAX)
		return err_set(
			err, ERR_TOO_MANY,
			"%zu requests with large bodies wait already, which is the limit; try again",
			large_count(large));
	text = malloc(length);
	if (!text)
		return err_set(err, ERR_UNAVAILABLE, "there is no memory for a body of %zu bytes",
			       length);
	job = xnew(struct large_job);
	job->job.done = on_parsed;
	job->large = large;
	job->http = http;
	job->text = text;
	job->length = length;
	evbuffer_remove(body, job->text, length);
	large->bytes += length;
	worker_submit(large->worker, &job->job);
	return 0;
}

size_t large_count(const struct large *large)
{
	return worker_pending(large->worker);
}
