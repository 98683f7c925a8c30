/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A signal of the daemon in the few words that fit a line. */

#include <volume-client.h>

#include "base/buf.h"

/* Adds clean text without a line's end; the arguments are those of volume_client_signal_fn. */
void watch_event_add(struct buf *out, const char *member, const char *path,
		     const struct volume_client_value *arguments);
