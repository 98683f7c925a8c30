/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The identity of the installation that this process runs on. */

/*
 * 32 hex digits that stay the same until /etc/machine-id changes, and that only volume-daemon can
 * make of it: machine-id(5) asks programs not to show the id itself. NULL: there is none, as in
 * some containers. The caller frees it.
 */
char *machine_id(void);
