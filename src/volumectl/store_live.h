/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* "volumectl store" on the store of the running daemon. */

#include "volumectl/ctl.h"

/* argv[0] is "backup". Returns the exit code. */
int store_live_backup(struct ctl *ctl, int argc, char **argv);
/*
 * argv[0] is "check". The exit code; -1: the arguments name a store, or no daemon runs, so the
 * store must be opened here.
 */
int store_live_check(struct ctl *ctl, int argc, char **argv);
