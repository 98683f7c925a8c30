/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* "volumectl store prune" */

#include "storectl/place.h"

/* Removes operations that ended longer ago than older_than_ms. dry_run: only counts them. */
int prune_store(struct place *place, int64_t older_than_ms, bool dry_run, struct err *err);
