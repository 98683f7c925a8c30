/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The last events as a stream sends them, each with its number. Clients know an event by its id:
 * the start of this daemon, a dot, and the number. So an id of an earlier start is never taken for
 * one of this start. Private to api/rest/.
 */

#include "base/json.h"

#define EVENT_RING_MAX 4096
/* Of all texts; the oldest events are left out above it. */
#define EVENT_RING_BYTES_MAX ((size_t)8 << 20)
/* "0123456789ab.18446744073709551615" */
#define EVENT_ID_SIZE 40

struct event_ring;
struct event_ring *event_ring_new(void);
struct event_ring *event_ring_free(struct event_ring *ring); /* returns NULL, takes NULL */

/* Adds "id:", "event:" and "data:" lines. data is JSON in one line. */
void event_ring_add(struct event_ring *ring, const char *kind, const struct buf *data);
uint64_t event_ring_oldest(const struct event_ring *ring); /* the number of the first one kept */
uint64_t event_ring_end(const struct event_ring *ring);    /* the number that the next one gets */
/* The lines of an event from oldest to end - 1. */
const struct buf *event_ring_at(const struct event_ring *ring, uint64_t number);
/* The id of the last event; number 0 if there was none. */
void event_ring_last_id(const struct event_ring *ring, char out[EVENT_ID_SIZE]);

/* What a client still needs if the event with this id was the last that it has got. */
enum event_ring_gap {
	EVENT_RING_WHOLE,     /* the events from *next on, all of which are kept */
	EVENT_RING_TOO_OLD,   /* more than that: some of them are not kept any more */
	EVENT_RING_UNKNOWN_ID /* of another start of the daemon, or no id at all */
};
enum event_ring_gap event_ring_after(const struct event_ring *ring, const char *id, uint64_t *next);
