/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A machine that gives no more threads or descriptors, for a moment. Between the two calls the test
 * must not open anything itself.
 */

#include <pthread.h>
#include <stddef.h>
#include <sys/resource.h>

struct lack {
	struct rlimit descriptors;
	pthread_attr_t threads;
};

void lack_of_threads(struct lack *lack);
/* So many more can still be opened. */
void lack_of_descriptors(struct lack *lack, int left);
void lack_end(struct lack *lack);
