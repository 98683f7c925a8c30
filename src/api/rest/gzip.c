/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * JSON in gzip has a tenth of its length, but a list of 1 MB takes some milliseconds to compress,
 * in which the loop would answer nothing else. So the loop compresses short answers alone, and a
 * thread the others. The sum of those that wait is bounded: above it, answers go as they are.
 */

#include "api/rest/gzip.h"

#include <assert.h>
#include <strings.h>
#include <zlib.h>

#include "io/worker.h"

#define GZIP_FORMAT (15 + 16) /* the largest window, and zlib's sign for the header of gzip */
#define MEMORY_LEVEL 8        /* zlib's default */
#define BLANKS " \t"

struct gzip {
	gzip_done_fn done;
	void *arg;
	struct worker *worker;
	size_t bytes;
	bool closing;
};

struct gzip_job {
	struct worker_job job;
	struct gzip *gzip;
	struct evhttp_request *http;
	size_t length; /* of the body before */
	struct gzip_answer answer;
};

/* The speed counts, since clients are near. */
bool gzip_compress(struct buf *body)
{
	z_stream stream = { 0 };
	struct buf out = BUF_NULL;
	int r;

	if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, GZIP_FORMAT, MEMORY_LEVEL,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		abort(); /* out of memory */
	assert(body->length <= UINT32_MAX);
	out.room = body->length;
	out.data = xmalloc(out.room);
	stream.next_in = (Bytef *)body->data;
	stream.avail_in = (uInt)body->length;
	stream.next_out = (Bytef *)out.data;
	stream.avail_out = (uInt)out.room - 1; /* a buf ends with a zero */
	r = deflate(&stream, Z_FINISH);
	out.length = stream.total_out;
	deflateEnd(&stream);
	if (r != Z_STREAM_END) {
		buf_clear(&out);
		return false;
	}
	/* The answer counts by its length, and may wait for its client as long as any other. */
	out.room = out.length + 1;
	out.data = xrealloc(out.data, out.room);
	out.data[out.length] = '\0';
	buf_clear(body);
	*body = out;
	return true;
}

static void compress_answer(void *context, struct worker_jobs *jobs, size_t count)
{
	struct gzip_job *job = container_of(STAILQ_FIRST(jobs), struct gzip_job, job);

	job->answer.is_compressed = gzip_compress(&job->answer.body);
}

static void on_compressed(struct worker_job *worker_job)
{
	struct gzip_job *job = container_of(worker_job, struct gzip_job, job);
	struct gzip *gzip = job->gzip;

	gzip->bytes -= job->length;
	gzip->done(job->http, gzip->closing ? NULL : &job->answer, gzip->arg);
	buf_clear(&job->answer.body);
	free(job);
}

struct gzip *gzip_new(struct loop *loop, gzip_done_fn done, void *arg, struct err *err)
{
	struct gzip *gzip = xnew(struct gzip);

	gzip->done = done;
	gzip->arg = arg;
	gzip->worker = worker_new(loop, "rest-gzip", 1, compress_answer, NULL, err);
	return gzip->worker ? gzip : gzip_free(gzip);
}

struct gzip *gzip_free(struct gzip *gzip)
{
	if (!gzip)
		return NULL;
	gzip->closing = true;
	worker_free(gzip->worker);
	free(gzip);
	return NULL;
}

bool gzip_submit(struct gzip *gzip, struct evhttp_request *http, int status, struct buf *body)
{
	struct gzip_job *job;

	if (gzip->bytes + body->length > GZIP_BYTES_MAX)
		return false;
	job = xnew(struct gzip_job);
	job->job.done = on_compressed;
	job->gzip = gzip;
	job->http = http;
	job->length = body->length;
	job->answer.status = status;
	job->answer.body = *body;
	*body = (struct buf)BUF_NULL;
	gzip->bytes += job->length;
	worker_submit(gzip->worker, &job->job);
	return true;
}

size_t gzip_count(const struct gzip *gzip)
{
	return worker_pending(gzip->worker);
}

/* ---- the wish of a client ---- */

/* "q=0", "q=0.000" and the like: the weight of an encoding that is not wanted. */
static bool is_refused(const char *weight)
{
	return strncasecmp(weight, "q=0", 3) == 0 && weight[3 + strspn(weight + 3, "0.")] == '\0';
}

bool gzip_is_accepted(const char *accept)
{
	_cleanup_free_ char *items = xstrdup(str_or(accept, ""));
	char *rest = items, *item;
	bool is_any = false;

	while ((item = strsep(&rest, ","))) {
		char *name = strsep(&item, ";");
		bool is_wanted = !item || !is_refused(item + strspn(item, BLANKS));

		name += strspn(name, BLANKS);
		name[strcspn(name, BLANKS)] = '\0';
		if (strcasecmp(name, "gzip") == 0)
			return is_wanted;
		if (streq(name, "*"))
			is_any = is_wanted;
	}
	return is_any;
}
