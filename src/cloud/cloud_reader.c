/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A thread that reads large answers; see cloud_reader.h. */

#include "cloud/cloud_reader.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "io/worker.h"

struct cloud_reader {
	struct worker *worker;
	size_t wanted; /* readings that are not cancelled */
};

struct cloud_reading {
	struct worker_job job;
	struct cloud_reader *reader;
	struct cloud_question question;
	struct http_response response;
	char *name, *body, *content_type, *redirect; /* of the two */
	struct cloud_reply reply;
	cloud_read_fn done; /* NULL: cancelled */
	void *arg;
};

static void read_one(void *context, struct worker_jobs *jobs, size_t count)
{
	struct cloud_reading *reading = container_of(STAILQ_FIRST(jobs), struct cloud_reading, job);

	cloud_reply_read(&reading->reply, &reading->question, &reading->response);
}

static void on_read(struct worker_job *job)
{
	struct cloud_reading *reading = container_of(job, struct cloud_reading, job);

	if (reading->done) {
		reading->reader->wanted--;
		reading->done(reading->arg, &reading->reply, reading->response.status);
	} else {
		cloud_reply_clear(&reading->reply);
	}
	free(reading->name);
	free(reading->body);
	free(reading->content_type);
	free(reading->redirect);
	free(reading);
}

struct cloud_reader *cloud_reader_new(struct loop *loop, struct err *err)
{
	struct cloud_reader *reader = xnew(struct cloud_reader);

	reader->worker = worker_new(loop, "cloud-reader", 1, read_one, NULL, err);
	return reader->worker ? reader : cloud_reader_free(reader);
}

struct cloud_reader *cloud_reader_free(struct cloud_reader *reader)
{
	if (!reader)
		return NULL;
	assert(reader->wanted == 0);
	worker_free(reader->worker);
	free(reader);
	return NULL;
}

struct cloud_reading *cloud_reader_read(struct cloud_reader *reader,
					const struct cloud_question *question,
					const struct http_response *response, cloud_read_fn done,
					void *arg)
{
	struct cloud_reading *reading = xnew(struct cloud_reading);

	reading->job.done = on_read;
	reading->reader = reader;
	reading->done = done;
	reading->arg = arg;
	reading->question = *question;
	reading->question.name = reading->name = xstrdup(question->name);
	reading->response = *response;
	reading->body = xmalloc(response->body_length + 1);
	memcpy(reading->body, response->body, response->body_length);
	reading->body[response->body_length] = '\0';
	reading->response.body = reading->body;
	reading->response.content_type = reading->content_type = xstrdup(response->content_type);
	reading->response.redirect = reading->redirect = xstrdup(response->redirect);
	reader->wanted++;
	worker_submit(reader->worker, &reading->job);
	return reading;
}

void cloud_reading_cancel(struct cloud_reading *reading)
{
	reading->reader->wanted--;
	reading->done = NULL;
}
