/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Writes the data that the kernel still holds in memory for a disk (fsync) and drops the kernel's
 * cache of the disk (BLKFLSBUF), as is due before the disk is taken away.
 *
 * A write to a disk can hang without end, so each flush is made on a thread, FLUSH_AT_ONCE side by
 * side. A flush that does not end within its deadline is given up (ERR_TIMEOUT) and its thread is
 * replaced; while FLUSH_STUCK_MAX threads are stuck, flushes are refused (ERR_UNAVAILABLE). The
 * deadline counts from when the thread begins.
 */

#include "base/err.h"
#include "disk/usage.h"
#include "io/loop.h"

struct flusher;
struct flush;

#define FLUSH_AT_ONCE 4
#define FLUSH_STUCK_MAX 8

/*
 * No error: all data written before flush_start() is on the disk. ERR_NOT_FOUND: there is no such
 * disk (any more). Any other error: the data may be there or not. Never inside flush_start().
 */
typedef void (*flush_done_fn)(void *arg, const struct err *err);

/*
 * options hold the roots where the kernel shows the devices on top of a disk, and the deadline of
 * one flush.
 */
struct flusher *flusher_new(struct loop *loop, const struct usage_options *options);
/* For flushes that begin from now on. */
void flusher_set_timeout(struct flusher *flusher, int64_t timeout_ms);
/* pending ones are dropped; takes and returns NULL */
struct flusher *flusher_free(struct flusher *flusher);
/*
 * path is a block device, "/dev/vdb", or a file, which has no cache of its own to drop; it is
 * copied.
 */
struct flush *flush_start(struct flusher *flusher, const char *path, flush_done_fn done, void *arg);
/*
 * The same for all devices on top of a disk ("vdb", the kernel's name), from the top down and
 * without the disk itself: maps, arrays, partitions, each with the file system that is mounted from
 * it in any namespace. A failure does not stop the other flushes; the first error is the answer.
 */
struct flush *flush_upper_start(struct flusher *flusher, const char *name, flush_done_fn done,
				void *arg);
void flush_cancel(struct flush *flush); /* done will not run; not from inside done */
