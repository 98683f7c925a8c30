/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Version 7 as RFC 9562 lays it out: 48 bits of milliseconds, 12 bits that count within one
 * millisecond (method 1, with a random start below half so that at least 2048 ids fit), 62 random
 * bits. If the count runs over, or the wall clock steps back, the stored millisecond stays in use
 * or moves on by one: order matters more than an exact time.
 */
#include "base/uuid.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/clock.h"

static void random_bytes(unsigned char *out, size_t size)
{
	size_t got = 0;

	while (got < size) {
		ssize_t n = getrandom(out + got, size - got, 0);

		/* Without randomness two ids could be equal, and ids decide about volumes. */
		assert(n > 0 || errno == EINTR);
		if (n > 0)
			got += (size_t)n;
	}
}

static void uuid_finish(unsigned char id[16], unsigned version, char out[UUID_TEXT_SIZE])
{
	id[6] = (unsigned char)((id[6] & 0x0f) | version << 4);
	id[8] = (unsigned char)((id[8] & 0x3f) | 0x80);
	snprintf(out, UUID_TEXT_SIZE,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", id[0],
		 id[1], id[2], id[3], id[4], id[5], id[6], id[7], id[8], id[9], id[10], id[11],
		 id[12], id[13], id[14], id[15]);
}

void uuid_make_v4(char out[UUID_TEXT_SIZE])
{
	unsigned char id[16];

	random_bytes(id, sizeof(id));
	uuid_finish(id, 4, out);
}

/*
 * The next (millisecond, count), greater than any given before. start: random bits to begin a
 * millisecond with.
 */
static void next_stamp(unsigned start, uint64_t *out_ms, unsigned *out_count)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static uint64_t last_ms;
	static unsigned last_count;
	int64_t wall = clock_wall_ms();
	uint64_t now = wall < 0 ? 0 : (uint64_t)wall;

	pthread_mutex_lock(&lock);
	if (now > last_ms) {
		last_ms = now;
		last_count = start & 0x7ff;
	} else if (last_count == 0xfff) {
		last_ms++;
		last_count = start & 0x7ff;
	} else {
		last_count++;
	}
	*out_ms = last_ms;
	*out_count = last_count;
	pthread_mutex_unlock(&lock);
}

void uuid_make_v7(char out[UUID_TEXT_SIZE])
{
	unsigned char id[16];
	unsigned count;
	uint64_t ms;

	random_bytes(id, sizeof(id));
	next_stamp((unsigned)id[6] << 8 | id[7], &ms, &count);
	for (int i = 0; i < 6; i++)
		id[i] = (unsigned char)(ms >> (40 - 8 * i));
	id[6] = (unsigned char)(count >> 8);
	id[7] = (unsigned char)count;
	uuid_finish(id, 7, out);
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool uuid_is_valid(const char *text)
{
	if (!text || strlen(text) != UUID_TEXT_SIZE - 1)
		return false;
	for (int i = 0; i < UUID_TEXT_SIZE - 1; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? text[i] != '-' : !is_hex(text[i]))
			return false;
	}
	return true;
}
