/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * evhttp has no limits but those of one request, and tells nothing of a connection before its first
 * request is complete. But evhttp takes the bufferevent of each new connection from us
 * (evhttp_set_bevcb). Its buffers tell of each byte that comes or goes, and one turn later it leads
 * to the evhttp_connection, whose end is told.
 *
 * A connection works while core has its request, for as long as core needs. At any other time the
 * client is to act: it sends a request, it reads an answer, or it rests. Such connections stand in
 * a list in the order in which they came there, so that the first is the first to run out of time,
 * and the first to go when there are too many. A client that sends its request at once is never
 * there for long, however many others do nothing.
 *
 * While a request comes, all its bytes count. The first of them may be headers, each of which costs
 * evhttp some blocks of memory, so they count for more. A request that core has costs nothing any
 * more: its arguments are copied, so headers and body are dropped.
 *
 * If a socket is closed while bytes of its client are unread, or come later, the kernel resets the
 * connection, and the client may lose the answer that it has not read yet. So after an answer that
 * ends a connection in the middle of a request, only one direction is closed. What comes in the
 * other one is thrown away until the client closes it, or is to go as others who do nothing.
 *
 * evhttp must not see a request that it would refuse itself, since it has an answer of its own for
 * that. So the bytes that have come are replaced, while the buffer tells of them, by those that
 * evhttp may see (framing.c).
 *
 * No connection can be closed inside the callbacks of its buffers: if they find that the bytes are
 * too many, the next turn closes connections.
 *
 * TLS stands below all of this: a handshake is a part of the time in which the first request must
 * come, and bytes count as they are decrypted. But an encrypted stream writes at once, so an answer
 * that evhttp gets in parts may be sent before its last part is there (connections_end()). And it
 * reads for as long as its client sends, so that a client as fast as OpenSSL would keep the loop
 * for itself: after so many bytes in one turn, it goes on in the next one. (libevent's own limits
 * of a rate leave bytes behind that OpenSSL has decrypted already.)
 */

#include "api/rest/connections.h"

#include <assert.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <malloc.h>
#include <sys/socket.h>

#include "api/rest/framing.h"
#include "api/rest/peer.h"
#include "api/rest/tls.h"
#include "base/clock.h"
#include "base/log.h"

/* One look at the listener accepts at most so many, for their descriptors are not counted yet. */
#define ACCEPTS_MAX 64
#define ACCEPT_PAUSE_MS 100             /* after the process ran out of descriptors */
#define ACCEPT_ROOM 64                  /* connections that are closed then */
#define HEADERS_PART ((size_t)16 << 10) /* the first bytes of a request */
#define HEADERS_PRICE 40                /* a header of 3 bytes is three blocks, 112 bytes */
/* The C library keeps freed memory, a peak of which is given back to the kernel. */
#define PEAK ((size_t)8 << 20)
#define TRIM_MS 1000
#define STREAM_SOCKET_BYTES (64 << 10) /* that the kernel keeps of a stream */
#define STREAM_READ_MAX 4096
#define TURN_BYTES ((size_t)64 << 10) /* of one connection */
#define READ_PIECES_MAX 8 /* blocks of memory that one read may fill; libevent fills four */

/* Why nothing is accepted. */
enum pause {
	PAUSE_FRESH = 1, /* until fresh connections are counted */
	PAUSE_LACK = 2   /* of descriptors, for ACCEPT_PAUSE_MS */
};

enum connection_state {
	CONNECTION_RECEIVES, /* a request, or its first one is not there yet */
	CONNECTION_WORKS,
	CONNECTION_ANSWERS, /* the client does not have all of the answer yet */
	CONNECTION_RESTS
};

struct connection {
	TAILQ_ENTRY(connection) entry; /* of fresh, clients or works */
	struct connections *all;
	struct bufferevent *stream;
	struct evhttp_connection *evcon; /* NULL while fresh */
	int fd;
	struct rest_peer peer;
	struct rest_owner owner;
	bool is_over;   /* its owner has too many, and core works on all others */
	bool is_stream; /* it ends with the answer */
	enum connection_state state;
	struct framing framing;
	size_t served;               /* requests */
	struct evhttp_request *last; /* whose answer ends the connection; NULL: none */
	int64_t since_ms;            /* in clients: since when the client is to act */
	size_t received;             /* bytes of the request that comes */
	size_t in, out;              /* the price of both directions */
	uint64_t turn;               /* of the loop, in which it last read, */
	size_t turn_bytes;           /* and how much */
	bool has_paused;             /* until the next turn */
	void (*closed)(void *arg);   /* told to a stream */
	void *arg;
};

TAILQ_HEAD(connection_list, connection);

struct connections {
	struct loop *loop;
	struct rest_listeners listeners; /* none once draining */
	size_t max;
	const struct limits *limits;
	struct rest_tls *tls;           /* NULL: no connection is encrypted */
	struct connection_list fresh;   /* accepted in this turn */
	struct connection_list clients; /* whose client is to act, for the longest time first */
	struct connection_list works;   /* whose request is worked on */
	size_t count, fresh_count;
	struct connection **by_fd;
	size_t by_fd_size;
	size_t bytes, peak;
	unsigned pauses;       /* the listeners, a set of enum pause */
	struct evbuffer *seen; /* empty: while bytes are checked, those that were checked before */
	struct buf passed;     /* the same, of those that are being checked */
	bool is_checking;
	struct loop_task adopt;
	struct loop_task shrink;
	struct loop_task resume;
	struct loop_timer deadline;
	struct loop_timer trim;
	struct loop_timer accept_again;
};

/* ---- the price ---- */

static void set_price(struct connection *connection, size_t *price, size_t value)
{
	struct connections *all = connection->all;

	all->bytes += value - *price;
	*price = value;
	if (all->bytes > all->peak)
		all->peak = all->bytes;
	if (all->bytes > CONNECTION_BYTES_MAX)
		loop_task_queue(all->loop, &all->shrink);
	else if (all->peak > PEAK && all->bytes < PEAK / 2 && !loop_timer_is_set(&all->trim))
		loop_timer_set(all->loop, &all->trim, TRIM_MS);
}

static size_t price_of(size_t received)
{
	size_t headers = received < HEADERS_PART ? received : HEADERS_PART;

	return received + headers * (HEADERS_PRICE - 1);
}

static void on_trim(struct loop_timer *timer)
{
	struct connections *all = container_of(timer, struct connections, trim);

	if (all->bytes >= PEAK / 2)
		return; /* the next fall sets the timer again */
	all->peak = all->bytes;
	malloc_trim(0);
}

/* ---- states ---- */

static void set_deadline(struct connections *all)
{
	if (TAILQ_EMPTY(&all->clients))
		loop_timer_clear(all->loop, &all->deadline);
	else if (!loop_timer_is_set(&all->deadline))
		loop_deadline_set(all->loop, &all->deadline, CONNECTION_MS);
}

static struct connection_list *list_of(const struct connection *connection)
{
	struct connections *all = connection->all;

	if (!connection->evcon)
		return &all->fresh;
	return connection->state == CONNECTION_WORKS ? &all->works : &all->clients;
}

static void enter(struct connection *connection, enum connection_state state)
{
	TAILQ_REMOVE(list_of(connection), connection, entry);
	connection->state = state;
	connection->since_ms = clock_waking_ms();
	TAILQ_INSERT_TAIL(list_of(connection), connection, entry);
	set_deadline(connection->all);
}

/* Appends to passed what evhttp may see of the last bytes of the buffer. False: just these bytes.
 */
static bool check_bytes(struct connection *connection, struct evbuffer *buffer, size_t count)
{
	struct buf *passed = &connection->all->passed;
	struct evbuffer_iovec pieces[READ_PIECES_MAX];
	struct evbuffer_ptr start;
	bool is_same = true;
	int n;

	evbuffer_ptr_set(buffer, &start, evbuffer_get_length(buffer) - count, EVBUFFER_PTR_SET);
	n = evbuffer_peek(buffer, (ev_ssize_t)count, &start, pieces, READ_PIECES_MAX);
	assert(n > 0 && n <= READ_PIECES_MAX);
	for (int i = 0; i < n; i++) {
		size_t before = passed->length, length = pieces[i].iov_len;

		framing_feed(&connection->framing, pieces[i].iov_base, length, passed);
		is_same = is_same && passed->length - before == length &&
			  memcmp(passed->data + before, pieces[i].iov_base, length) == 0;
	}
	return !is_same;
}

/* Replaces the last bytes of the buffer by those that evhttp may see, and returns their number. */
static size_t filter(struct connection *connection, struct evbuffer *buffer, size_t count)
{
	struct connections *all = connection->all;
	size_t before = evbuffer_get_length(buffer) - count;

	buf_reset(&all->passed);
	if (!check_bytes(connection, buffer, count))
		return count;
	all->is_checking = true;
	if (evbuffer_remove_buffer(buffer, all->seen, before) < 0 ||
	    evbuffer_drain(buffer, count) < 0 || evbuffer_add_buffer(buffer, all->seen) < 0 ||
	    (all->passed.length > 0 &&
	     evbuffer_add(buffer, all->passed.data, all->passed.length) < 0))
		abort(); /* out of memory */
	all->is_checking = false;
	return all->passed.length;
}

static void note_bytes(struct connection *connection, size_t count)
{
	struct connections *all = connection->all;
	uint64_t turn = loop_turns(all->loop);

	connection->turn_bytes = connection->turn == turn ? connection->turn_bytes + count : count;
	connection->turn = turn;
	if (connection->turn_bytes < TURN_BYTES)
		return;
	connection->has_paused = true;
	bufferevent_disable(connection->stream, EV_READ);
	loop_task_queue(all->loop, &all->resume);
}

/* While core works on its request, evhttp reads none of its bytes; it goes on with the answer. */
static void on_resume(struct loop_task *task)
{
	struct connections *all = container_of(task, struct connections, resume);
	struct connection *connection;

	TAILQ_FOREACH(connection, &all->clients, entry) {
		if (connection->has_paused)
			bufferevent_enable(connection->stream, EV_READ);
		connection->has_paused = false;
	}
}

static void on_input(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *arg)
{
	struct connection *connection = arg;
	size_t passed;

	if (info->n_added == 0 || connection->all->is_checking)
		return;
	/* No request follows a stream: what comes fills the buffer, which ends the reading. */
	if (connection->is_stream)
		return;
	if (connection->state == CONNECTION_RESTS)
		enter(connection, CONNECTION_RECEIVES);
	passed = filter(connection, buffer, info->n_added);
	connection->received += framing_discards(&connection->framing) ? passed : info->n_added;
	set_price(connection, &connection->in, price_of(connection->received));
	note_bytes(connection, info->n_added);
}

/* The client has the answer, as far as we can know. */
static void finish_answer(struct connection *connection)
{
	enter(connection, connection->received > 0 ? CONNECTION_RECEIVES : CONNECTION_RESTS);
	if (connection->last)
		stream_end_output(connection->stream);
}

static void on_output(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *arg)
{
	struct connection *connection = arg;
	size_t left = evbuffer_get_length(buffer);

	/* An answer is one block of memory, which is freed with its last byte. */
	if (left == 0 || left > connection->out)
		set_price(connection, &connection->out, left);
	if (connection->state != CONNECTION_ANSWERS || left > 0 || info->n_deleted == 0)
		return;
	finish_answer(connection);
}

/* ---- the end of a connection ---- */

/* libevent frees a stream later in the turn, and until then much more could be added. */
static void drop_output(struct connection *connection)
{
	struct evbuffer *output = bufferevent_get_output(connection->stream);

	evbuffer_unfreeze(output, 1);
	evbuffer_drain(output, evbuffer_get_length(output));
}

static void on_closed(struct evhttp_connection *evcon, void *arg)
{
	struct connection *connection = arg;
	struct connections *all = connection->all;

	stream_leave(connection->stream);
	evbuffer_remove_cb(bufferevent_get_input(connection->stream), on_input, connection);
	evbuffer_remove_cb(bufferevent_get_output(connection->stream), on_output, connection);
	drop_output(connection);
	if (connection->closed)
		connection->closed(connection->arg);
	/* evhttp frees the request, unless it was the client that has ended the connection. */
	if (connection->last && !evhttp_request_get_connection(connection->last))
		evhttp_request_free(connection->last);
	framing_clear(&connection->framing);
	set_price(connection, &connection->in, 0);
	set_price(connection, &connection->out, 0);
	TAILQ_REMOVE(list_of(connection), connection, entry);
	set_deadline(all);
	all->by_fd[connection->fd] = NULL;
	all->count--;
	free(connection);
}

static void on_deadline(struct loop_timer *timer)
{
	struct connections *all = container_of(timer, struct connections, deadline);
	int64_t latest = clock_waking_ms() - CONNECTION_MS;
	const struct connection *first;

	while ((first = TAILQ_FIRST(&all->clients)) && first->since_ms <= latest)
		evhttp_connection_free(first->evcon);
	if (first)
		loop_deadline_set(all->loop, timer, first->since_ms - latest);
}

static void close_oldest(struct connections *all, size_t count)
{
	const struct connection *first;

	while (count-- > 0 && (first = TAILQ_FIRST(&all->clients)))
		evhttp_connection_free(first->evcon);
}

/* The one that holds the most bytes, the oldest of several; NULL: none holds any. */
static const struct connection *find_largest(const struct connections *all,
					     const struct connection *but)
{
	const struct connection *connection, *largest = NULL;
	size_t most = 0;

	TAILQ_FOREACH(connection, &all->clients, entry) {
		if (connection == but || connection->in + connection->out <= most)
			continue;
		most = connection->in + connection->out;
		largest = connection;
	}
	return largest;
}

/* False if other connections cannot free enough. */
static bool make_room(struct connections *all, size_t size, const struct connection *but)
{
	const struct connection *largest;

	while (all->bytes + size > CONNECTION_BYTES_MAX) {
		largest = find_largest(all, but);
		if (!largest)
			return false;
		evhttp_connection_free(largest->evcon);
	}
	return true;
}

static void on_shrink(struct loop_task *task)
{
	make_room(container_of(task, struct connections, shrink), 0, NULL);
}

/* ---- the beginning of a connection ---- */

static void set_pauses(struct connections *all, unsigned pauses)
{
	bool was_paused = all->pauses;

	all->pauses = pauses;
	for (size_t i = 0; i < all->listeners.count && !pauses == was_paused; i++) {
		if (pauses)
			evconnlistener_disable(all->listeners.items[i]);
		else
			evconnlistener_enable(all->listeners.items[i]);
	}
}

static void on_accept_again(struct loop_timer *timer)
{
	struct connections *all = container_of(timer, struct connections, accept_again);

	set_pauses(all, all->pauses & ~PAUSE_LACK);
}

/* A socket stays readable, so going on at once would be a loop at full speed. */
void connections_lack_descriptors(struct connections *all)
{
	close_oldest(all, ACCEPT_ROOM);
	set_pauses(all, all->pauses | PAUSE_LACK);
	loop_timer_set(all->loop, &all->accept_again, ACCEPT_PAUSE_MS);
}

static void note_fd(struct connections *all, struct connection *connection)
{
	size_t size = all->by_fd_size ? all->by_fd_size : 64;

	while (size <= (size_t)connection->fd)
		size *= 2;
	if (size > all->by_fd_size) {
		all->by_fd = xrealloc(all->by_fd, size * sizeof(*all->by_fd));
		memset(all->by_fd + all->by_fd_size, 0,
		       (size - all->by_fd_size) * sizeof(*all->by_fd));
		all->by_fd_size = size;
	}
	all->by_fd[connection->fd] = connection;
}

/* 0: the owner may have all. */
static size_t most_of(const struct connections *all, const struct rest_owner *owner)
{
	size_t most = limits_connections(all->limits, owner), half = all->max / REST_USER_SHARE;

	return rest_owner_has_share(owner) && (!most || half < most) ? half : most;
}

/* An owner's own connections make room for more than it may have. */
static void bound_owner(struct connection *new)
{
	struct connections *all = new->all;
	size_t count = 0, most = most_of(all, &new->owner);
	const struct connection *connection, *oldest = NULL;

	new->is_over = false;
	if (!most)
		return;
	TAILQ_FOREACH(connection, &all->works, entry)
		count += rest_owner_equals(&connection->owner, &new->owner);
	TAILQ_FOREACH(connection, &all->clients, entry) {
		if (!rest_owner_equals(&connection->owner, &new->owner))
			continue;
		count++;
		if (!oldest && connection != new)
			oldest = connection;
	}
	if (count > most && oldest)
		evhttp_connection_free(oldest->evcon);
	else
		new->is_over = count > most;
}

static void adopt(struct connection *connection)
{
	struct connections *all = connection->all;
	struct rest_caller caller;
	void *evcon;

	bufferevent_getcb(connection->stream, NULL, NULL, NULL, &evcon);
	TAILQ_REMOVE(&all->fresh, connection, entry);
	connection->evcon = evcon;
	connection->fd = bufferevent_getfd(connection->stream);
	rest_peer_find(connection->fd, &connection->peer);
	/* Before a request is known. */
	rest_caller_of_peer(&connection->peer, &caller);
	rest_owner_of_caller(&caller, &connection->owner);
	TAILQ_INSERT_TAIL(&all->clients, connection, entry);
	note_fd(all, connection);
	evhttp_connection_set_closecb(connection->evcon, on_closed, connection);
	bound_owner(connection);
}

static void on_adopt(struct loop_task *task)
{
	struct connections *all = container_of(task, struct connections, adopt);
	struct connection *connection;

	all->fresh_count = 0;
	while ((connection = TAILQ_FIRST(&all->fresh)))
		adopt(connection);
	set_deadline(all);
	if (all->count > all->max) {
		log_debug("more than %zu connections: the oldest without work are closed",
			  all->max);
		close_oldest(all, all->count - all->max);
	}
	set_pauses(all, all->pauses & ~PAUSE_FRESH);
}

static struct bufferevent *add(struct connections *all, struct bufferevent *stream)
{
	struct connection *connection = xnew(struct connection);

	connection->all = all;
	connection->stream = stream;
	if (!stream ||
	    !evbuffer_add_cb(bufferevent_get_input(connection->stream), on_input, connection) ||
	    !evbuffer_add_cb(bufferevent_get_output(connection->stream), on_output, connection))
		abort(); /* out of memory */
	connection->framing.is_encrypted = stream_is_encrypted(stream);
	connection->since_ms = clock_waking_ms();
	TAILQ_INSERT_TAIL(&all->fresh, connection, entry);
	all->count++;
	loop_task_queue(all->loop, &all->adopt);
	if (++all->fresh_count >= ACCEPTS_MAX)
		set_pauses(all, all->pauses | PAUSE_FRESH);
	return stream;
}

static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
	return add(arg, bufferevent_socket_new(base, -1, 0));
}

static struct bufferevent *on_accept_tls(struct event_base *base, void *arg)
{
	struct connections *all = arg;

	return add(all, rest_tls_accept(all->tls, base));
}

/* ---- requests ---- */

static struct connection *connection_with(const struct connections *all, int fd)
{
	return fd >= 0 && (size_t)fd < all->by_fd_size ? all->by_fd[fd] : NULL;
}

/* NULL if the client has gone. */
static struct connection *connection_of(const struct connections *all, struct evhttp_request *http)
{
	struct evhttp_connection *evcon = evhttp_request_get_connection(http);
	int fd = evcon ? bufferevent_getfd(evhttp_connection_get_bufferevent(evcon)) : -1;

	return connection_with(all, fd);
}

/* evhttp looks at the header Connection when it has sent the answer. */
static void drop_headers(struct evkeyvalq *headers)
{
	_cleanup_free_ char *wish = xstrdup(evhttp_find_header(headers, "Connection"));

	evhttp_clear_headers(headers);
	if (wish)
		evhttp_add_header(headers, "Connection", wish);
}

static void drop_request(struct connection *connection, struct evhttp_request *http)
{
	struct evbuffer *body = evhttp_request_get_input_buffer(http);

	evbuffer_drain(body, evbuffer_get_length(body));
	drop_headers(evhttp_request_get_input_headers(http));
	/* the bytes of a next request that have come already */
	connection->received = evbuffer_get_length(bufferevent_get_input(connection->stream)) +
			       connection->framing.held.length;
	set_price(connection, &connection->in, price_of(connection->received));
}

/* Until the answer, nothing but the server frees the request. */
static void hold(struct connection *connection)
{
	/*
	 * The body may have come before "100 Continue" was written. If that write failed now,
	 * evhttp would free the connection of a request that core has. The answer takes the words
	 * along.
	 */
	bufferevent_disable(connection->stream, EV_WRITE);
	enter(connection, CONNECTION_WORKS);
}

int connections_admit(struct connections *all, struct evhttp_request *http,
		      const struct rest_owner *owner, struct err *err)
{
	struct connection *connection = connection_of(all, http);

	if (!connection)
		return 0;
	if (connection->is_over || !rest_owner_equals(&connection->owner, owner)) {
		connection->owner = *owner;
		bound_owner(connection);
	}
	if (!connection->is_over)
		return 0;
	return err_set(
		err, ERR_TOO_MANY,
		"%zu connections of this caller wait for answers already, which is the limit "
		"(http.%s_connections); try again later",
		most_of(all, owner), owner->kind == REST_OWNER_ANONYMOUS ? "anonymous" : "caller");
}

void connections_hold(struct connections *all, struct evhttp_request *http)
{
	struct connection *connection = connection_of(all, http);

	if (connection)
		hold(connection);
}

void connections_work(struct connections *all, struct evhttp_request *http)
{
	struct connection *connection = connection_of(all, http);

	if (!connection)
		return;
	drop_request(connection, http);
	hold(connection);
}

bool connections_have_room(struct connections *all, struct evhttp_request *http, size_t size)
{
	return make_room(all, size, connection_of(all, http));
}

void connections_stream(struct connections *all, struct evhttp_request *http,
			void (*closed)(void *arg), void *arg)
{
	struct connection *connection = connection_of(all, http);
	const int size = STREAM_SOCKET_BYTES;

	if (!connection)
		return;
	drop_request(connection, http);
	connection->is_stream = true;
	connection->closed = closed;
	connection->arg = arg;
	/* Otherwise the kernel alone would take megabytes before a slow client is noticed. */
	(void)setsockopt(connection->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	/* Reading goes on, for only so the end of the connection is noticed. */
	bufferevent_setwatermark(connection->stream, EV_READ, 0, STREAM_READ_MAX);
	bufferevent_set_timeouts(connection->stream, NULL, NULL);
	enter(connection, CONNECTION_WORKS);
}

void connections_answer(struct connections *all, struct evhttp_request *http)
{
	struct connection *connection = connection_of(all, http);

	if (!connection)
		return;
	drop_request(connection, http);
	connection->closed = NULL;
	enter(connection, CONNECTION_ANSWERS);
}

/*
 * libevent would first wait for room in the socket, for two changes of the epoll set and a turn of
 * the loop, and nearly every socket has room. If this one has none, or fails, libevent goes on.
 */
void connections_push(struct connections *all, int fd)
{
	struct connection *connection = connection_with(all, fd);
	struct evbuffer *output;

	if (!connection || connection->state != CONNECTION_ANSWERS ||
	    stream_is_encrypted(connection->stream))
		return;
	output = bufferevent_get_output(connection->stream);
	evbuffer_unfreeze(output, 1);
	(void)evbuffer_write_atmost(output, fd, TURN_BYTES);
	evbuffer_freeze(output, 1);
	/* evhttp goes on with the next request, or ends the connection */
	if (evbuffer_get_length(output) == 0)
		bufferevent_trigger(connection->stream, EV_WRITE, 0);
}

const struct err *connections_refusal(struct connections *all, struct evhttp_request *http)
{
	struct connection *connection = connection_of(all, http);

	if (!connection)
		return NULL;
	connection->served++;
	return connection->served == connection->framing.passed ? connection->framing.refusal
								: NULL;
}

const struct rest_peer *connections_peer(const struct connections *all, struct evhttp_request *http)
{
	static const struct rest_peer gone = { .is_local = true,
					       .uid = (uid_t)-1,
					       .gid = (gid_t)-1 };
	const struct connection *connection = connection_of(all, http);

	return connection ? &connection->peer : &gone;
}

void connections_end(struct connections *all, struct evhttp_request *http)
{
	struct connection *connection = connection_of(all, http);

	assert(connection);
	connection->last = http;
	enter(connection, CONNECTION_ANSWERS);
	if (evbuffer_get_length(bufferevent_get_output(connection->stream)) == 0)
		finish_answer(connection);
}

/* ---- life ---- */

void connections_set_max(struct connections *all, size_t max)
{
	all->max = max;
}

struct connections *connections_new(struct loop *loop, const struct rest_listeners *listeners,
				    size_t max, const struct limits *limits)
{
	struct connections *all = xnew(struct connections);

	assert(max > 0);
	all->loop = loop;
	all->listeners = *listeners;
	all->max = max;
	all->limits = limits;
	all->adopt.run = on_adopt;
	all->shrink.run = on_shrink;
	all->resume.run = on_resume;
	all->deadline.fire = on_deadline;
	all->trim.fire = on_trim;
	all->accept_again.fire = on_accept_again;
	all->seen = evbuffer_new();
	if (!all->seen)
		abort(); /* out of memory */
	TAILQ_INIT(&all->fresh);
	TAILQ_INIT(&all->clients);
	TAILQ_INIT(&all->works);
	return all;
}

void connections_accept(struct connections *all, struct evhttp *http, struct rest_tls *tls)
{
	if (tls)
		all->tls = tls;
	evhttp_set_bevcb(http, tls ? on_accept_tls : on_accept, all);
}

void connections_drain(struct connections *all)
{
	all->listeners.count = 0;
	on_adopt(&all->adopt);
}

size_t connections_under_way(const struct connections *all)
{
	const struct connection *connection;
	size_t count = all->fresh_count;

	TAILQ_FOREACH(connection, &all->clients, entry)
		count += connection->state != CONNECTION_RESTS;
	return count;
}

struct connections *connections_free(struct connections *all)
{
	if (!all)
		return NULL;
	assert(all->count == 0);
	loop_task_cancel(all->loop, &all->adopt);
	loop_task_cancel(all->loop, &all->shrink);
	loop_task_cancel(all->loop, &all->resume);
	loop_timer_clear(all->loop, &all->deadline);
	loop_timer_clear(all->loop, &all->trim);
	loop_timer_clear(all->loop, &all->accept_again);
	evbuffer_free(all->seen);
	buf_clear(&all->passed);
	free(all->by_fd);
	free(all);
	return NULL;
}
