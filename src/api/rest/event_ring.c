/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * An event is written once, for all streams and for clients that come back. The ring has a place
 * for each number, modulo its size; the number of the oldest event says which places are used.
 */

#include "api/rest/event_ring.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/uuid.h"

struct event_ring {
	char start[UUID_MAKER_SIZE]; /* of this daemon: a random word */
	uint64_t oldest, end;
	size_t bytes;
	struct buf events[EVENT_RING_MAX];
};

struct event_ring *event_ring_new(void)
{
	struct event_ring *ring = xnew(struct event_ring);

	uuid_make_maker(ring->start);
	ring->oldest = ring->end = 1;
	return ring;
}

static void drop_oldest(struct event_ring *ring)
{
	struct buf *event = &ring->events[ring->oldest++ % EVENT_RING_MAX];

	ring->bytes -= event->length;
	buf_clear(event);
}

struct event_ring *event_ring_free(struct event_ring *ring)
{
	if (!ring)
		return NULL;
	while (ring->oldest < ring->end)
		drop_oldest(ring);
	assert(ring->bytes == 0);
	free(ring);
	return NULL;
}

void event_ring_add(struct event_ring *ring, const char *kind, const struct buf *data)
{
	struct buf *event;

	assert(!strchr(data->data, '\n'));
	if (ring->end - ring->oldest == EVENT_RING_MAX)
		drop_oldest(ring);
	event = &ring->events[ring->end % EVENT_RING_MAX];
	buf_printf(event, "id: %s.%" PRIu64 "\nevent: %s\ndata: ", ring->start, ring->end, kind);
	buf_add(event, data->data, data->length);
	buf_add_text(event, "\n\n");
	ring->end++;
	ring->bytes += event->length;
	while (ring->bytes > EVENT_RING_BYTES_MAX && ring->end - ring->oldest > 1)
		drop_oldest(ring);
}

uint64_t event_ring_oldest(const struct event_ring *ring)
{
	return ring->oldest;
}

uint64_t event_ring_end(const struct event_ring *ring)
{
	return ring->end;
}

const struct buf *event_ring_at(const struct event_ring *ring, uint64_t number)
{
	assert(number >= ring->oldest && number < ring->end);
	return &ring->events[number % EVENT_RING_MAX];
}

void event_ring_last_id(const struct event_ring *ring, char out[EVENT_ID_SIZE])
{
	snprintf(out, EVENT_ID_SIZE, "%s.%" PRIu64, ring->start, ring->end - 1);
}

/* Digits only: strtoull() alone would take a sign and blanks. */
static bool parse_number(const char *text, uint64_t *out)
{
	size_t length = strlen(text);

	if (length == 0 || length > 19 || strspn(text, "0123456789") != length)
		return false;
	*out = strtoull(text, NULL, 10);
	return true;
}

enum event_ring_gap event_ring_after(const struct event_ring *ring, const char *id, uint64_t *next)
{
	size_t length = strlen(ring->start);
	uint64_t last;

	if (strncmp(id, ring->start, length) != 0 || id[length] != '.' ||
	    !parse_number(id + length + 1, &last) || last >= ring->end)
		return EVENT_RING_UNKNOWN_ID;
	*next = last + 1;
	return *next < ring->oldest ? EVENT_RING_TOO_OLD : EVENT_RING_WHOLE;
}
