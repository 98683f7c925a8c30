/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Reads that are made for the sake of being accepted or refused. Private to cloud/.
 *
 * They measure CloudStack's clock (cloud_clock.h), and find the cause of a 401, for which
 * CloudStack has one text and four causes:
 *  - the request was late. The known clock shows this without a read;
 *  - CloudStack does not know the command: a read with the same expiry is accepted, and the command
 *    is refused with 401 once more;
 *  - a clock is wrong: only a read that never expires is accepted. The clock is measured, and the
 *    command is signed anew;
 *  - the keys: no read is accepted. On servers that accept no request without an expiry, the clock
 *    is searched nearby before the keys are blamed.
 */

#include "cloud/cloud_call.h"
#include "cloud/cloud_clock.h"

struct cloud_probe;

/* The queue that the reads and the refused calls go through. */
struct cloud_probe_way {
	struct cloud_queue *queue;
	/* A call that stands in no list goes before all others that wait. */
	void (*send_first)(struct cloud_call *call);
	/* Tells the call's owner, and frees the call, which stands in no list. Clears reply. */
	void (*answer)(struct cloud_call *call, struct cloud_reply *reply, int http_status);
	void (*cancel)(struct cloud_call *call);
	/* The clock is settled: changes that waited for it go on. */
	void (*resume)(struct cloud_queue *queue);
	int64_t timeout_ms; /* of one request */
};

/* The way is copied. */
struct cloud_probe *cloud_probe_new(const struct cloud_probe_way *way);
/* Asserts that no call waits here. Returns NULL, takes NULL. */
struct cloud_probe *cloud_probe_free(struct cloud_probe *probe);
/* The keys or the server have changed: the results of earlier reads are forgotten. */
void cloud_probe_reset(struct cloud_probe *probe);

void cloud_probe_set_timeout(struct cloud_probe *probe, int64_t timeout_ms);

const struct cloud_clock *cloud_probe_clock(const struct cloud_probe *probe);
/* True: changes may be sent, as the clock is known, or a measurement has just failed. False: the
 * clock is not known yet, and resume runs when this becomes true. Once an hour the clock is
 * measured anew, while changes go on. */
bool cloud_probe_clock_is_settled(struct cloud_probe *probe);
/* The call was answered with 401, and not because it was late. Takes the call; it is sent
 * again, or answered. words are CloudStack's. */
void cloud_probe_denied(struct cloud_probe *probe, struct cloud_call *call, const char *words);
