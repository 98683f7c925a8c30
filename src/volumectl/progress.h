/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The progress of an operation on stderr, while somebody waits for it. */

#include <volume-client.h>

#include "base/buf.h"

struct progress;

struct progress *progress_begin(void);
/* The operation as it is now; NULL: the daemon has left the bus. */
void progress_show(struct progress *progress, const struct volume_client_value *operation);
/* Time has gone by. */
void progress_tick(struct progress *progress);
#define PROGRESS_TICK_MS 1000
/* Takes the line off the terminal. Returns NULL. */
struct progress *progress_end(struct progress *progress);

/* --- how an operation (a dict of fields) is told --- */

/* "pending", "executing, await-job", "undoing, ask-cloud"; brief: "await-job". The caller's. */
char *progress_doing(const struct volume_client_value *operation, bool brief);
/* A field of a time, as milliseconds since 1970; 0: it has none. */
int64_t progress_time(const struct volume_client_value *operation, const char *name);
/* "12 s of about 3 min 5 s"; nothing if begun_ms is 0. */
void progress_add_times(struct buf *out, int64_t begun_ms, int64_t expected_ms);
