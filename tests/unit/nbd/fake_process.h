/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Behind the functions of disk/process.h, one process that does nothing: it runs from the moment it
 * is started until the test says that it has ended. Programs that link it put it in front of the
 * real functions (meson.build).
 */

#include "io/process.h"

struct fake_process {
	unsigned starts;
	unsigned ends; /* how often it was asked to end */
	bool runs;
};
extern struct fake_process fake_process;

void fake_process_reset(void);
/* The process ends by itself, in this way. */
void fake_process_die(const char *how);
