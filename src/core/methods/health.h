/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The daemon's health, and whether it may begin a change. */

#include "base/err.h"
#include "spec/records.h"

struct calls;
struct buf;
struct json_writer;

/* ERR_UNAVAILABLE if a change cannot be accepted now; for a change that needs no CloudStack, only
 * the store is asked. */
int health_check_store(struct calls *calls, struct err *err);
int health_check_changes(struct calls *calls, struct err *err);
/* The members that count from the start, which health and metrics have in common. */
void health_put_figures(struct calls *calls, struct json_writer *writer);
void health_put_metrics(struct calls *calls, struct buf *out);
bool health_to_record(struct calls *calls, struct health_record *out); /* false: unhealthy */
