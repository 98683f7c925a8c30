/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A caller may make the requests of one second at once, and then goes on at its rate. One time says
 * it all: when the requests so far will have been paid. A caller whose time has passed is as one
 * that was never seen, and is forgotten, so there are never more of them than asked within the last
 * second.
 */

#include "api/rest/limits.h"

#include <stdio.h>

#include "api/rest/rest.h"
#include "base/clock.h"
#include "base/queue.h"

#define BURST_US INT64_C(1000000)

struct bucket {
	TAILQ_ENTRY(bucket) entry;
	struct rest_owner owner;
	int64_t paid_us; /* clock_mono_ms() * 1000, later while requests are to be paid */
};

struct limits {
	struct rest_limits numbers;
	TAILQ_HEAD(, bucket) buckets;
};

void rest_owner_of_caller(const struct rest_caller *caller, struct rest_owner *out)
{
	*out = (struct rest_owner){ .kind = REST_OWNER_ANONYMOUS };
	if (caller->caller.token) {
		out->kind = REST_OWNER_TOKEN;
		snprintf(out->token, sizeof(out->token), "%s", caller->caller.token);
	} else if (caller->is_local) {
		out->kind = caller->is_trusted ? REST_OWNER_FREE : REST_OWNER_USER;
		out->user = caller->caller.uid;
	}
}

bool rest_owner_equals(const struct rest_owner *a, const struct rest_owner *b)
{
	return a->kind == b->kind && a->user == b->user && streq(a->token, b->token);
}

static size_t rate_of(const struct limits *limits, const struct rest_owner *owner)
{
	switch (owner->kind) {
	case REST_OWNER_FREE:
		return 0;
	case REST_OWNER_ANONYMOUS:
		return limits->numbers.anonymous_requests;
	case REST_OWNER_USER:
	case REST_OWNER_TOKEN:
		return limits->numbers.requests;
	}
	abort();
}

size_t limits_connections(const struct limits *limits, const struct rest_owner *owner)
{
	switch (owner->kind) {
	case REST_OWNER_FREE:
		return 0;
	case REST_OWNER_ANONYMOUS:
		return limits->numbers.anonymous_connections;
	case REST_OWNER_USER:
	case REST_OWNER_TOKEN:
		return limits->numbers.connections;
	}
	abort();
}

/* Forgets the others whose requests are paid. */
static struct bucket *find_bucket(struct limits *limits, const struct rest_owner *owner,
				  int64_t now_us)
{
	struct bucket *bucket, *next, *found = NULL;

	for (bucket = TAILQ_FIRST(&limits->buckets); bucket; bucket = next) {
		next = TAILQ_NEXT(bucket, entry);
		if (rest_owner_equals(&bucket->owner, owner)) {
			found = bucket;
		} else if (bucket->paid_us <= now_us) {
			TAILQ_REMOVE(&limits->buckets, bucket, entry);
			free(bucket);
		}
	}
	if (found)
		return found;
	found = xnew(struct bucket);
	found->owner = *owner;
	TAILQ_INSERT_TAIL(&limits->buckets, found, entry);
	return found;
}

static int refuse(const struct rest_owner *owner, size_t rate, struct err *err)
{
	static const char *const words[] = {
		[REST_OWNER_ANONYMOUS] = "programs that show no token together make",
		[REST_OWNER_USER] = "your user makes",
		[REST_OWNER_TOKEN] = "programs with this token make",
	};

	return err_set(err, ERR_TOO_MANY,
		       "%s more than %zu requests a second (http.%s_requests); try again later",
		       words[owner->kind], rate,
		       owner->kind == REST_OWNER_ANONYMOUS ? "anonymous" : "caller");
}

int limits_take(struct limits *limits, const struct rest_owner *owner, struct err *err)
{
	size_t rate = rate_of(limits, owner);
	int64_t now_us = clock_mono_ms() * 1000, cost_us;
	struct bucket *bucket;

	if (!rate)
		return 0;
	cost_us = BURST_US / (int64_t)rate;
	bucket = find_bucket(limits, owner, now_us);
	if (bucket->paid_us < now_us)
		bucket->paid_us = now_us;
	if (bucket->paid_us + cost_us > now_us + BURST_US)
		return refuse(owner, rate, err);
	bucket->paid_us += cost_us;
	return 0;
}

void limits_set(struct limits *limits, const struct rest_limits *numbers)
{
	limits->numbers = *numbers;
}

struct limits *limits_new(const struct rest_limits *numbers)
{
	struct limits *limits = xnew(struct limits);

	limits->numbers = *numbers;
	TAILQ_INIT(&limits->buckets);
	return limits;
}

struct limits *limits_free(struct limits *limits)
{
	struct bucket *bucket;

	if (!limits)
		return NULL;
	while ((bucket = TAILQ_FIRST(&limits->buckets))) {
		TAILQ_REMOVE(&limits->buckets, bucket, entry);
		free(bucket);
	}
	free(limits);
	return NULL;
}
