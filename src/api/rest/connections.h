/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The connections of the server, and what they may cost: their number, the time that a request
 * takes to come and its answer to go, and the bytes that wait in memory, of requests not yet
 * complete and of answers not yet read. Private to api/rest/.
 */

#include <event2/http.h>

#include "api/rest/limits.h"
#include "api/rest/listener.h"

struct connections;
struct rest_tls;

/* From accept() or the last answer to a complete request, and from an answer to its last byte. */
#define CONNECTION_MS 30000
/* Of all connections together. */
#define CONNECTION_BYTES_MAX ((size_t)64 << 20)

/*
 * For the connections from the listeners (copied). Above max, connections whose client is to act
 * are closed, the oldest first, and so may be the new one if core works on all others. The same
 * holds for the connections of one owner (limits.h) above its own limit, and of one user or token
 * above the half of max; but if core works on all others of that owner, connections_admit() refuses
 * the requests of the new one.
 */
struct connections *connections_new(struct loop *loop, const struct rest_listeners *listeners,
				    size_t max, const struct limits *limits);
void connections_set_max(struct connections *all, size_t max); /* closes none at once */
/*
 * Counts those that http accepts, before the first one is accepted. tls: all of them are encrypted;
 * NULL: none is. Once with and once without it at most; tls outlives the last connection.
 */
void connections_accept(struct connections *all, struct evhttp *http, struct rest_tls *tls);
void connections_drain(struct connections *all); /* before the listeners go */
/* Those on which a request, also a first one that has not begun, or an answer is on its way. */
size_t connections_under_way(const struct connections *all);
/* After the evhttp was freed. Returns NULL, takes NULL. */
struct connections *connections_free(struct connections *all);
/*
 * The process can have no more descriptors: closes connections whose client is to act, and accepts
 * none for a moment.
 */
void connections_lack_descriptors(struct connections *all);

/*
 * To be asked once for each request that evhttp hands over: why it is refused, and its connection
 * ends with the answer; NULL: it is not.
 */
const struct err *connections_refusal(struct connections *all, struct evhttp_request *http);
/* The client of a request, valid while its connection lasts. One that has gone may do nothing. */
const struct rest_peer *connections_peer(const struct connections *all,
					 struct evhttp_request *http);
/*
 * The connection is this owner's from now on. ERR_TOO_MANY: the owner has too many connections, and
 * core works on all others.
 */
int connections_admit(struct connections *all, struct evhttp_request *http,
		      const struct rest_owner *owner, struct err *err);

/* The request waits to be looked at, and is not closed for the sake of others. */
void connections_hold(struct connections *all, struct evhttp_request *http);
/*
 * Core has the request: it may take any time, and its headers and body are dropped (but for the
 * header Connection).
 */
void connections_work(struct connections *all, struct evhttp_request *http);
/*
 * May an answer of this size be kept until its client has read it? If need be, connections that
 * hold the most bytes are closed.
 */
bool connections_have_room(struct connections *all, struct evhttp_request *http, size_t size);
/*
 * The answer is a stream of portions that goes on until the client leaves, which closed is told.
 * What the client sends meanwhile is not read.
 */
void connections_stream(struct connections *all, struct evhttp_request *http,
			void (*closed)(void *arg), void *arg);
/* The answer will be sent now, or a stream has sent its last portion; headers and body of the
 * request are dropped. */
void connections_answer(struct connections *all, struct evhttp_request *http);
/*
 * evhttp has the answer of the connection with this descriptor (-1: it is gone): what its socket
 * takes is sent at once. Not inside callbacks of the connection, which may end with its answer.
 */
void connections_push(struct connections *all, int fd);
/*
 * The answer was given to evhttp without its end: it is the last one, and the request belongs to
 * its connection, which ends when the client has read the answer.
 */
void connections_end(struct connections *all, struct evhttp_request *http);
