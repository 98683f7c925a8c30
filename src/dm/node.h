/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * /dev/mapper/<name> where udevd does not make it. It is the link udevd would have made, so udevd
 * takes it over when it comes back, and it needs no privilege to make device nodes. Both functions
 * are to be called when udevd has had its time.
 */

#include <sys/types.h>

#include "base/err.h"

/*
 * <dev_root>/mapper/<name> is made to lead to the block device: as it is already, or by a link to
 * ../<kernel_name>.
 */
int node_link(const char *dev_root, const char *name, const char *kernel_name, dev_t number,
	      struct err *err);
/* Removes such a link to ../<kernel_name>. A link that leads elsewhere is not touched. */
void node_unlink(const char *dev_root, const char *name, const char *kernel_name);
