/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Finds out the facts that the checks of an operation need. CloudStack is asked for all of them
 * side by side, the kernel for the users of the disk; a question that depends on the answer to
 * another one follows it. Nothing is changed. Facts that do not come in time stay unknown, and the
 * finder can say why.
 */

#include "core/ops/check.h"

struct fact_finder;

/* The facts are valid while the finder is. */
typedef void (*facts_done_fn)(void *arg, const struct op_facts *facts);
/*
 * wanted: of enum op_fact. done runs once, on a later turn and after patience_ms at the latest.
 * foresees: the operation's context takes the notes of its kind's foresee(), as that of an
 * operation which has not begun. The operation must outlast the finder.
 */
struct fact_finder *facts_find(struct operation *operation, unsigned wanted, bool foresees,
			       int64_t patience_ms, facts_done_fn done, void *arg);
/* The first of these facts that is unknown, and why: half a sentence. NULL: all are known. */
const char *facts_why_unknown(const struct fact_finder *finder, unsigned facts);
/* Before done, inside it or after it; returns NULL, takes NULL. */
struct fact_finder *fact_finder_free(struct fact_finder *finder);
