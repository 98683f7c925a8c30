/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A thread that reads large answers. A page of 500 volumes takes some milliseconds to read, and the
 * most values of JSON that an answer may have take a fifth of a second; on the loop, all clients of
 * the daemon would wait. Private to cloud/.
 */

#include "cloud/cloud_reply.h"
#include "io/loop.h"

#define CLOUD_LARGE_MIN ((size_t)64 << 10) /* bytes of an answer that is read here */

struct cloud_reader;
struct cloud_reading;

/* On the loop, never inside cloud_reader_read(). The reply is taken over. */
typedef void (*cloud_read_fn)(void *arg, struct cloud_reply *reply, int http_status);

/* NULL and err if its thread cannot be started. */
struct cloud_reader *cloud_reader_new(struct loop *loop, struct err *err);
/* Asserts that each answer was read, or is not wanted any more. Returns NULL, takes NULL. */
struct cloud_reader *cloud_reader_free(struct cloud_reader *reader);
/* Copies question and response. Callers bound the number of answers that are read. */
struct cloud_reading *cloud_reader_read(struct cloud_reader *reader,
					const struct cloud_question *question,
					const struct http_response *response, cloud_read_fn done,
					void *arg);
void cloud_reading_cancel(struct cloud_reading *reading); /* done will not run */
