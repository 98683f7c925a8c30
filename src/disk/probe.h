/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The contents of a device: libblkid on a worker of its own, since reading a device may hang
 * without end. A probe that does not answer within its deadline is given up (ERR_TIMEOUT) and its
 * worker is replaced; while PROBE_STUCK_MAX workers are stuck, probes are refused
 * (ERR_UNAVAILABLE).
 */

#include "base/err.h"
#include "io/loop.h"

struct prober;
struct probe;

#define PROBE_STUCK_MAX 8

struct probe_result {
	struct err err;
	char filesystem[32]; /* "ext4", "LVM2_member", …; "" if nothing is known */
	char label[256];
	char uuid[64];
	char partition_table[16]; /* "gpt", "dos", … */
};
typedef void (*probe_done_fn)(void *arg, const struct probe_result *result);

struct prober *prober_new(struct loop *loop, int64_t timeout_ms, const char *setting);
struct prober *prober_free(struct prober *prober); /* pending probes are dropped; returns NULL */
struct probe *probe_start(struct prober *prober, const char *path, probe_done_fn done, void *arg);
void probe_cancel(struct probe *probe); /* not from inside done */
