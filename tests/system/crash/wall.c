/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A wall clock that tests set. clock_gettime() is linked through here; the file named by
 * VOLD_WALL_AHEAD holds how many seconds the clock is ahead, as a text that a test may change at
 * any time. Without the file the clock is right.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int __real_clock_gettime(clockid_t id, struct timespec *out);
int __wrap_clock_gettime(clockid_t id, struct timespec *out);

static long seconds_ahead(void)
{
	const char *path = getenv("VOLD_WALL_AHEAD");
	FILE *file = path ? fopen(path, "re") : NULL;
	long ahead = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%ld", &ahead) != 1)
		ahead = 0;
	fclose(file);
	return ahead;
}

int __wrap_clock_gettime(clockid_t id, struct timespec *out)
{
	int r = __real_clock_gettime(id, out);

	if (r == 0 && id == CLOCK_REALTIME)
		out->tv_sec += seconds_ahead();
	return r;
}
