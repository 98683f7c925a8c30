/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How far an operation is and when it ends, by the times that the steps of earlier operations of
 * its type took in this installation. */

struct engine;
struct engine_estimates;
struct operation;
struct operation_record;

struct engine_estimates *engine_estimates_new(void);
/* returns NULL; stops engine_estimates_recall() */
struct engine_estimates *engine_estimates_free(struct engine_estimates *estimates);
/*
 * Learns from operations that the store shows, one after the other and beside other work. A store
 * that cannot be read now teaches nothing; operations of this process do.
 */
void engine_estimates_recall(struct engine *engine);

/* The present step has ended well. */
void estimate_learn(const struct operation *operation);
/* Shows in the operation's record how far it is, at the begin of its present step. */
void estimate_show(struct operation *operation);
/* The same where the status says all there is to say: the operation waits, or has ended. */
void estimate_show_status(struct operation_record *record);
