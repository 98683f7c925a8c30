/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * /dev/mapper/<name> where udevd does not make it. The link is the one that udevd would have made,
 * so udevd takes the link over when it comes back, and making the link needs no privilege for
 * device nodes. Both functions are called only after udevd has had its time.
 */

#include <sys/types.h>

#include "base/err.h"

/*
 * Makes <dev_root>/mapper/<name> lead to the block device: by a link to ../<kernel_name>, unless it
 * leads there already.
 */
int node_link(const char *dev_root, const char *name, const char *kernel_name, dev_t number,
	      struct err *err);
/* Removes such a link to ../<kernel_name>. A link that leads elsewhere is not touched. */
void node_unlink(const char *dev_root, const char *name, const char *kernel_name);
