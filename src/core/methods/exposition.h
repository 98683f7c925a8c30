/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* All figures of core and of what it stands on, in the text for Prometheus. */

#include "base/buf.h"

struct calls;

void exposition_put(struct calls *calls, struct buf *out);
