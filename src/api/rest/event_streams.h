/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Streams of events to clients that keep listening (server-sent events). Private to api/rest/. */

#include <event2/http.h>

#include "api/rest/connections.h"
#include "core/core.h"

#define EVENTS_PATH "/api/v1/events"
/* A client that has not taken what was sent to it within two of these is cut off. */
#define EVENT_BEAT_MS 15000

struct event_streams;

struct event_streams *event_streams_new(struct loop *loop, struct core *core,
					struct connections *connections);
/* Ends all streams; their clients get what was sent already. */
void event_streams_end(struct event_streams *streams);
/* When the connections are closed. Returns NULL, takes NULL. */
struct event_streams *event_streams_free(struct event_streams *streams);

/* The stream of a token ends when it is revoked. last_id: the last event that the client has got,
 * NULL none. The stream owns the request now. */
void event_streams_open(struct event_streams *streams, struct evhttp_request *http,
			const struct rest_owner *owner, const char *last_id);
size_t event_streams_count(const struct event_streams *streams);
size_t event_streams_count_of(const struct event_streams *streams, const struct rest_owner *owner);
size_t event_streams_count_anonymous(const struct event_streams *streams);
/* There is no place for a stream now: the client is asked to come back later. An error's status
 * would make a browser give up for good. */
void event_streams_refuse(struct event_streams *streams, struct evhttp_request *http);
