/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Limits on the number of threads do not bind root, under whom tests may run. But no machine has
 * the memory for a stack of a petabyte, and the kernel answers in the same way.
 */

#include "lack.h"

#include <assert.h>
#include <unistd.h>

#define PETABYTE ((size_t)1 << 50)

static void begin(struct lack *lack)
{
	int r = getrlimit(RLIMIT_NOFILE, &lack->descriptors);

	assert(r == 0);
	r = pthread_getattr_default_np(&lack->threads);
	assert(r == 0);
}

void lack_of_threads(struct lack *lack)
{
	pthread_attr_t huge;
	int r;

	begin(lack);
	pthread_attr_init(&huge);
	r = pthread_attr_setstacksize(&huge, PETABYTE);
	assert(r == 0);
	r = pthread_setattr_default_np(&huge);
	assert(r == 0);
	pthread_attr_destroy(&huge);
}

void lack_of_descriptors(struct lack *lack, int left)
{
	struct rlimit limit;
	int fds[16] = { 0 }, r;

	assert(left < 16);
	begin(lack);
	limit = lack->descriptors;
	for (int i = 0; i <= left; i++)
		fds[i] = dup(STDIN_FILENO);
	/* The limit is a bound of their numbers. */
	limit.rlim_cur = (rlim_t)fds[left];
	for (int i = 0; i <= left; i++)
		close(fds[i]);
	r = setrlimit(RLIMIT_NOFILE, &limit);
	assert(r == 0);
}

void lack_end(struct lack *lack)
{
	int r = setrlimit(RLIMIT_NOFILE, &lack->descriptors);

	assert(r == 0);
	r = pthread_setattr_default_np(&lack->threads);
	assert(r == 0);
	pthread_attr_destroy(&lack->threads);
}
