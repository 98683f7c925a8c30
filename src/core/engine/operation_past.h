/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Operations that stand unfinished in a store from the past: what becomes of them after an
 * administrator has accepted the store. */

#include "base/err.h"
#include "spec/records.h"

struct engine;
struct operation;

/* The store was accepted when this was its newest id: all its unfinished operations are from the
 * past. For operations that are loaded, and for those that will be. */
void operations_set_past(struct engine *engine, const char *newest_id);
bool operation_is_past(const struct engine *engine, const struct operation_record *record);
/* True if CloudStack has not been asked for the change yet, and so will not be asked: err says
 * why the operation ends. */
bool operation_past_ends(const struct operation *operation, struct err *err);
/* Half a sentence for people: what will happen to this unfinished operation if the store is
 * accepted as one from the past. */
const char *operation_past_plan(const struct engine *engine, const struct operation_record *record);
