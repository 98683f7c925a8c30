/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Writes what the kernel still holds in memory for a disk to it (fsync) and drops what it keeps of
 * it (BLKFLSBUF), as is due before the disk is taken away.
 *
 * A disk may never end a write, so each flush is made on a thread, FLUSH_AT_ONCE side by side. One
 * that does not end within its deadline is given up (ERR_TIMEOUT) and its thread replaced, at most
 * FLUSH_STUCK_MAX times while the stuck ones stay stuck; after that ERR_UNAVAILABLE. The deadline
 * counts from when the thread begins.
 */

#include "base/err.h"
#include "disk/usage.h"
#include "io/loop.h"

struct flusher;
struct flush;

#define FLUSH_AT_ONCE 4
#define FLUSH_STUCK_MAX 8

/*
 * No error: all that was written before flush_start() is on the disk. ERR_NOT_FOUND: there is no
 * such disk, or no more. Any other: it may be there or not. Never inside flush_start().
 */
typedef void (*flush_done_fn)(void *arg, const struct err *err);

/* options say where the kernel shows what stands on a disk, and how long one flush may take. */
struct flusher *flusher_new(struct loop *loop, const struct usage_options *options);
/* pending ones are dropped; takes and returns NULL */
struct flusher *flusher_free(struct flusher *flusher);
/* path is a block device, "/dev/vdb", or a file, which has no cache of its own to drop; it is
 * copied. */
struct flush *flush_start(struct flusher *flusher, const char *path, flush_done_fn done, void *arg);
/*
 * The same for all that stands on a disk ("vdb", the kernel's name), from the top down and without
 * the disk itself: maps, arrays, partitions, each with the file system that is mounted from it in
 * whatever namespace. What fails does not keep the others from it; the first error is the answer.
 */
struct flush *flush_upper_start(struct flusher *flusher, const char *name, flush_done_fn done,
				void *arg);
void flush_cancel(struct flush *flush); /* done will not run; not from inside done */
