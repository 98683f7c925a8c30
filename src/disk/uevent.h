/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Kernel uevents of block devices, a hint only: lost ones are harmless, forged ones cost a scan. */

#include "base/err.h"
#include "io/loop.h"

struct uevent;

struct uevent *uevent_open(struct loop *loop, void (*on_block)(void *arg), void *arg,
			   struct err *err);
struct uevent *uevent_close(struct uevent *uevent);
