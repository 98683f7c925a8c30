/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The progress of an operation on stderr, while somebody waits for it. */

#include <volume-client.h>

struct progress;

struct progress *progress_begin(void);
/* The operation as it is now; NULL: the daemon has left the bus. */
void progress_show(struct progress *progress, const struct volume_client_value *operation);
/* Time has gone by. */
void progress_tick(struct progress *progress);
#define PROGRESS_TICK_MS 1000
/* Takes the line off the terminal. Returns NULL. */
struct progress *progress_end(struct progress *progress);
