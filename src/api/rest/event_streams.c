/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A stream is a place in the ring of events: the number of the event that its client needs next.
 * What a client has missed and what happens now are sent in the same way, and a stream keeps no
 * events of its own. Only one portion of bytes is on its way to each client. When it is written,
 * the next one follows. So a client that reads slowly costs one portion of memory, and is cut off
 * if it takes nothing for too long, or if the ring drops an event that the client has not got.
 *
 * A client that was cut off comes back with the id of its last event. If the ring has all that
 * happened since, the client gets it. If not, the event "resync" says that the client must read
 * anew what it wants to know.
 *
 * Nobody can know an id of this start of the daemon before the first stream is there. So until then
 * the ring stays empty and events cost nothing.
 */

#include "api/rest/event_streams.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <inttypes.h>
#include <sys/random.h>

#include "api/rest/event_ring.h"
#include "api/rest/event_text.h"
#include "base/log.h"

/* A portion ends with the event that reaches this size. */
#define PORTION ((size_t)32 << 10)
#define BACK_MS 2000   /* a client whose stream has ended comes back after this time */
#define LATER_MS 30000 /* a client without a place */

struct stream {
	TAILQ_ENTRY(stream) entry;
	struct event_streams *streams;
	struct evhttp_request *http;
	struct rest_owner owner;
	struct buf words; /* to be sent before the next event */
	uint64_t next;    /* the event that the client needs next */
	bool is_writing;
	unsigned beats; /* since the present portion was sent */
	struct loop_timer beat;
};

struct event_streams {
	struct loop *loop;
	struct core *core;
	struct connections *connections;
	struct event_ring *ring; /* NULL until the first stream */
	struct event_listener listener;
	TAILQ_HEAD(, stream) list;
	size_t count;
	struct loop_task pump;
};

/* "retry:" spread over a half more, so that not all clients come back at one moment. */
static void put_retry(struct buf *out, int64_t ms)
{
	uint16_t random = 0;

	(void)getrandom(&random, sizeof(random), GRND_NONBLOCK);
	buf_printf(out, "retry: %" PRId64 "\n\n", ms + ms / 2 * random / UINT16_MAX);
}

static void stream_free(struct stream *stream)
{
	struct event_streams *streams = stream->streams;

	TAILQ_REMOVE(&streams->list, stream, entry);
	streams->count--;
	if (streams->count == 0)
		core_watch_health(streams->core, false);
	loop_timer_clear(streams->loop, &stream->beat);
	buf_clear(&stream->words);
	free(stream);
}

/* If the client has ended the connection, evhttp leaves the request to its owner. */
static void on_closed(void *arg)
{
	struct stream *stream = arg;
	struct evhttp_request *http = stream->http;

	stream_free(stream);
	if (!evhttp_request_get_connection(http))
		evhttp_request_free(http);
}

static void cut(const struct stream *stream, const char *why)
{
	log_debug("a stream of events is cut off: %s", why);
	evhttp_connection_free(evhttp_request_get_connection(stream->http));
}

/* ---- sending ---- */

static void on_written(struct evhttp_connection *evcon, void *arg)
{
	struct stream *stream = arg;

	stream->is_writing = false;
	loop_task_queue(stream->streams->loop, &stream->streams->pump);
}

static bool has_missed(const struct stream *stream)
{
	return stream->next < event_ring_oldest(stream->streams->ring);
}

static void fill(struct stream *stream, struct evbuffer *out)
{
	const struct event_ring *ring = stream->streams->ring;

	if (stream->words.length > 0)
		evbuffer_add(out, stream->words.data, stream->words.length);
	buf_clear(&stream->words);
	while (stream->next < event_ring_end(ring) && evbuffer_get_length(out) < PORTION) {
		const struct buf *event = event_ring_at(ring, stream->next++);

		evbuffer_add(out, event->data, event->length);
	}
}

static void send_portion(struct stream *stream)
{
	struct event_streams *streams = stream->streams;
	struct evbuffer *portion = evbuffer_new();

	if (!portion)
		abort(); /* out of memory */
	fill(stream, portion);
	if (evbuffer_get_length(portion) > 0) {
		stream->is_writing = true;
		stream->beats = 0;
		loop_deadline_set(streams->loop, &stream->beat, EVENT_BEAT_MS);
		evhttp_send_reply_chunk_with_cb(stream->http, portion, on_written, stream);
	}
	evbuffer_free(portion);
}

static void pump(struct stream *stream)
{
	if (has_missed(stream))
		cut(stream, "its client is too slow");
	else if (stream->is_writing)
		return;
	else if (!connections_have_room(stream->streams->connections, stream->http, 2 * PORTION))
		cut(stream, "there is no room for what it would send");
	else
		send_portion(stream);
}

static void on_pump(struct loop_task *task)
{
	struct event_streams *streams = container_of(task, struct event_streams, pump);
	struct stream *stream, *next;

	for (stream = TAILQ_FIRST(&streams->list); stream; stream = next) {
		next = TAILQ_NEXT(stream, entry);
		pump(stream);
	}
}

/* A comment keeps proxies from ending a quiet stream, and finds a client that is no more. */
static void on_beat(struct loop_timer *timer)
{
	struct stream *stream = container_of(timer, struct stream, beat);

	if (stream->is_writing && stream->beats++ > 0) {
		cut(stream, "its client has taken nothing for too long");
		return;
	}
	loop_deadline_set(stream->streams->loop, timer, EVENT_BEAT_MS);
	if (stream->is_writing)
		return;
	buf_add_text(&stream->words, ": still here\n\n");
	pump(stream);
}

/* The client gets what was sent already. */
static void end(struct stream *stream)
{
	struct connections *connections = stream->streams->connections;
	struct evhttp_request *http = stream->http;

	stream_free(stream);
	connections_answer(connections, http);
	evhttp_send_reply_end(http);
}

static void end_those_of(struct event_streams *streams, const char *token)
{
	struct stream *stream, *next;

	for (stream = TAILQ_FIRST(&streams->list); stream; stream = next) {
		next = TAILQ_NEXT(stream, entry);
		if (stream->owner.kind == REST_OWNER_TOKEN && streq(stream->owner.token, token))
			end(stream);
	}
}

static void on_event(struct event_listener *listener, const struct core_event *event)
{
	struct event_streams *streams = container_of(listener, struct event_streams, listener);
	_cleanup_buf_ struct buf data = BUF_NULL;
	const char *kind = event_text(streams->core, event, &data);

	if (event->type == EVENT_TOKEN_REVOKED)
		end_those_of(streams, event->id);
	if (!kind)
		return;
	event_ring_add(streams->ring, kind, &data);
	loop_task_queue(streams->loop, &streams->pump);
}

/* ---- the beginning of a stream ---- */

static void begin_ring(struct event_streams *streams)
{
	if (streams->ring)
		return;
	streams->ring = event_ring_new();
	core_listen(streams->core, &streams->listener);
}

static void put_resync(struct stream *stream, enum event_ring_gap gap)
{
	char id[EVENT_ID_SIZE];

	event_ring_last_id(stream->streams->ring, id);
	buf_printf(&stream->words,
		   "id: %s\nevent: resync\ndata: {\"kind\":\"resync\",\"reason\":\"%s\"}\n\n", id,
		   gap == EVENT_RING_TOO_OLD ? "too-old" : "unknown-id");
}

/* The place of a client that begins: an id without data makes no event, but the client keeps it. */
static void put_place(struct stream *stream)
{
	char id[EVENT_ID_SIZE];

	event_ring_last_id(stream->streams->ring, id);
	buf_printf(&stream->words, "id: %s\n\n", id);
}

static void find_place(struct stream *stream, const char *last_id)
{
	const struct event_ring *ring = stream->streams->ring;
	enum event_ring_gap gap = EVENT_RING_WHOLE;

	stream->next = event_ring_end(ring);
	put_retry(&stream->words, BACK_MS);
	if (last_id) {
		uint64_t next = 0;

		gap = event_ring_after(ring, last_id, &next);
		if (gap == EVENT_RING_WHOLE)
			stream->next = next;
		else
			put_resync(stream, gap);
	} else {
		put_place(stream);
	}
}

static void add_headers(struct evhttp_request *http)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(http);

	evhttp_add_header(headers, "Content-Type", "text/event-stream");
	evhttp_add_header(headers, "Cache-Control", "no-store");
	evhttp_add_header(headers, "X-Accel-Buffering", "no"); /* nginx passes events on at once */
	evhttp_add_header(headers, "Connection", "close");     /* after the end of the stream */
}

/* HEAD ends here, and so does a refusal, after these words. */
static void answer_and_end(struct event_streams *streams, struct evhttp_request *http,
			   const struct buf *words)
{
	struct evbuffer *portion = evbuffer_new();

	if (!portion)
		abort(); /* out of memory */
	add_headers(http);
	connections_answer(streams->connections, http);
	evhttp_send_reply_start(http, 200, NULL);
	if (words->length > 0)
		evbuffer_add(portion, words->data, words->length);
	evhttp_send_reply_chunk(http, portion);
	evbuffer_free(portion);
	evhttp_send_reply_end(http);
}

void event_streams_refuse(struct event_streams *streams, struct evhttp_request *http)
{
	_cleanup_buf_ struct buf words = BUF_NULL;

	put_retry(&words, LATER_MS);
	answer_and_end(streams, http, &words);
}

void event_streams_open(struct event_streams *streams, struct evhttp_request *http,
			const struct rest_owner *owner, const char *last_id)
{
	struct stream *stream;

	if (evhttp_request_get_command(http) == EVHTTP_REQ_HEAD) {
		answer_and_end(streams, http, &(struct buf)BUF_NULL);
		return;
	}
	begin_ring(streams);
	stream = xnew(struct stream);
	stream->streams = streams;
	stream->http = http;
	stream->owner = *owner;
	stream->beat.fire = on_beat;
	TAILQ_INSERT_TAIL(&streams->list, stream, entry);
	streams->count++;
	core_watch_health(streams->core, true);
	find_place(stream, last_id);
	add_headers(http);
	connections_stream(streams->connections, http, on_closed, stream);
	evhttp_send_reply_start(http, 200, NULL);
	send_portion(stream);
}

size_t event_streams_count(const struct event_streams *streams)
{
	return streams->count;
}

size_t event_streams_count_anonymous(const struct event_streams *streams)
{
	return event_streams_count_of(streams,
				      &(struct rest_owner){ .kind = REST_OWNER_ANONYMOUS });
}

size_t event_streams_count_of(const struct event_streams *streams, const struct rest_owner *owner)
{
	const struct stream *stream;
	size_t count = 0;

	TAILQ_FOREACH(stream, &streams->list, entry)
		count += rest_owner_equals(&stream->owner, owner);
	return count;
}

/* ---- life ---- */

void event_streams_end(struct event_streams *streams)
{
	struct stream *stream;

	while ((stream = TAILQ_FIRST(&streams->list)))
		end(stream);
}

struct event_streams *event_streams_new(struct loop *loop, struct core *core,
					struct connections *connections)
{
	struct event_streams *streams = xnew(struct event_streams);

	streams->loop = loop;
	streams->core = core;
	streams->connections = connections;
	streams->listener.on_event = on_event;
	streams->pump.run = on_pump;
	TAILQ_INIT(&streams->list);
	return streams;
}

struct event_streams *event_streams_free(struct event_streams *streams)
{
	if (!streams)
		return NULL;
	loop_task_cancel(streams->loop, &streams->pump);
	if (streams->ring)
		core_unlisten(streams->core, &streams->listener);
	event_ring_free(streams->ring);
	free(streams);
	return NULL;
}
