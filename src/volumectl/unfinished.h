/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The operations that have not ended: after a pause, and for a drain. */

#include "volumectl/ctl.h"

/* Shows what still runs. */
void unfinished_show(struct ctl *ctl);
/* "volumectl drain": pauses, and waits until nothing runs. */
int drain_main(struct ctl *ctl, int argc, char **argv);
