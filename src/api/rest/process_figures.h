/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the process uses, under the names that Prometheus' own libraries have for it. Private to
 * api/rest/. */

#include "base/buf.h"

void process_put_metrics(struct buf *out);
