/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Mappings stay true. */

#include "spec/records.h"

struct core;
struct err;

void follow_begin(struct core *core);
void follow_end(struct core *core);

typedef void (*mapping_done_fn)(void *arg, const struct err *err);
/*
 * Commits a changed mapping, or drops the volume's (record NULL); the model follows. done, if given, runs once, after
 * that, and what waits for it is given back when the store is away.
 */
void mapping_commit(struct core *core, const char *volume_id, const struct mapping_record *record, mapping_done_fn done,
		    void *arg);
/*
 * On the next turn: compares every mapping on this VM with the kernel and commits what is different - another name
 * after a reboot, a device that is gone or is back.
 */
void mappings_follow_kernel(struct core *core);
