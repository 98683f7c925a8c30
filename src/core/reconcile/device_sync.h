/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Mappings stay true. */

#include "spec/records.h"

struct core;

void follow_begin(struct core *core);
void follow_end(struct core *core);

/*
 * On the next turn: compares every mapping on this VM with the kernel and commits what is different - another name
 * after a reboot, a device that is gone or is back.
 */
void mappings_follow_kernel(struct core *core);
