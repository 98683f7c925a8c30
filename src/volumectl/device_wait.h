/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* "volumectl wait-device" */

#include "volumectl/ctl.h"

int wait_device_main(struct ctl *ctl, int argc, char **argv);
