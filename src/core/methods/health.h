/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How the daemon is, and whether it may begin a change. */

#include "base/err.h"
#include "spec/records.h"

struct calls;

/* ERR_UNAVAILABLE when a change can't be accepted now; of a change that needs no CloudStack, only
 * the store is asked. */
int health_check_store(struct calls *calls, struct err *err);
int health_check_changes(struct calls *calls, struct err *err);
bool health_to_record(struct calls *calls, struct health_record *out); /* false: unhealthy */
