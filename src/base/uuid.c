/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Version 7 as RFC 9562 lays it out: 48 bits of milliseconds, 12 bits that count within one
 * millisecond (method 1, with a random start below half so that at least 2048 ids fit), 62 random
 * bits, of which the last 48 may name the maker. If the count runs over, or an earlier process has
 * made ids with a later time, the last millisecond stays in use or moves on by one: order matters
 * more than an exact time.
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

/* An operation makes half a dozen ids, so without printf(). */
static void uuid_finish(unsigned char id[16], unsigned version, char out[UUID_TEXT_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	id[6] = (unsigned char)((id[6] & 0x0f) | version << 4);
	id[8] = (unsigned char)((id[8] & 0x3f) | 0x80);
	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*out++ = '-';
		*out++ = digits[id[i] >> 4];
		*out++ = digits[id[i] & 0x0f];
	}
	*out = '\0';
}

void uuid_make_v4(char out[UUID_TEXT_SIZE])
{
	unsigned char id[16];

	random_bytes(id, sizeof(id));
	uuid_finish(id, 4, out);
}

/* Set before threads make ids. */
static unsigned char maker_bytes[6];
static bool has_maker;

/* The (millisecond, count) of the last id. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t last_ms;
static unsigned last_count;

/*
 * The next (millisecond, count), greater than any given before. start: random bits to begin a
 * millisecond with.
 */
static void next_stamp(unsigned start, uint64_t *out_ms, unsigned *out_count)
{
	int64_t wall = clock_record_ms();
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
	if (has_maker)
		memcpy(id + sizeof(id) - sizeof(maker_bytes), maker_bytes, sizeof(maker_bytes));
	next_stamp((unsigned)id[6] << 8 | id[7], &ms, &count);
	for (int i = 0; i < 6; i++)
		id[i] = (unsigned char)(ms >> (40 - 8 * i));
	id[6] = (unsigned char)(count >> 8);
	id[7] = (unsigned char)count;
	uuid_finish(id, 7, out);
}

bool uuid_is_maker(const char *text)
{
	return text && strlen(text) == UUID_MAKER_SIZE - 1 &&
	       strspn(text, "0123456789abcdef") == UUID_MAKER_SIZE - 1;
}

void uuid_set_maker(const char *maker)
{
	assert(uuid_is_maker(maker));
	for (size_t i = 0; i < sizeof(maker_bytes); i++) {
		const char pair[3] = { maker[2 * i], maker[2 * i + 1], '\0' };

		maker_bytes[i] = (unsigned char)strtoul(pair, NULL, 16);
	}
	has_maker = true;
}

void uuid_make_maker(char out[UUID_MAKER_SIZE])
{
	unsigned char bytes[sizeof(maker_bytes)];

	random_bytes(bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

bool uuid_is_made_by(const char *v7, const char *maker)
{
	return uuid_is_v7(v7) && streq(v7 + UUID_TEXT_SIZE - UUID_MAKER_SIZE, maker);
}

void uuid_continue_after(const char *v7)
{
	unsigned high = 0, middle = 0, count = 0;
	uint64_t ms;

	assert(uuid_is_v7(v7));
	sscanf(v7, "%8x-%4x-7%3x", &high, &middle, &count);
	ms = (uint64_t)high << 16 | middle;
	pthread_mutex_lock(&lock);
	if (ms > last_ms || (ms == last_ms && count > last_count)) {
		last_ms = ms;
		last_count = count;
	}
	pthread_mutex_unlock(&lock);
}

void uuid_swap(const char *uuid, char out[UUID_TEXT_SIZE])
{
	static const struct {
		size_t begin, bytes;
	} groups[] = { { 0, 4 }, { 9, 2 }, { 14, 2 } };

	assert(uuid_is_valid(uuid));

	memcpy(out, uuid, UUID_TEXT_SIZE);
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		for (size_t j = 0; j < groups[i].bytes; j++)
			memcpy(out + groups[i].begin + 2 * j,
			       uuid + groups[i].begin + 2 * (groups[i].bytes - 1 - j), 2);
	}
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

bool uuid_is_v7(const char *text)
{
	return uuid_is_valid(text) && text[14] == '7';
}
