/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Read from /proc at each look. A file that cannot be read leaves its figures out. */

#include "api/rest/process_figures.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/metric.h"

/* Fields of /proc/self/stat, counted from 0 at the one behind the program's name. */
enum {
	STAT_UTIME = 11,
	STAT_STIME = 12,
	STAT_START = 19,
	STAT_VSIZE = 20,
	STAT_RSS = 21,
	STAT_COUNT
};

static void put(struct buf *out, const char *name, enum metric_type type, double value,
		const char *help)
{
	metric_family(out, name, type, help);
	metric_value(out, name, NULL, value);
}

static bool read_file(const char *path, char *out, size_t size)
{
	FILE *file = fopen(path, "re");
	size_t got;

	if (!file)
		return false;
	got = fread(out, 1, size - 1, file);
	out[got] = '\0';
	fclose(file);
	return got > 0;
}

/* The name of a program may have blanks and parentheses, so the last one ends it. */
static bool read_stat(double out[STAT_COUNT])
{
	char text[1024], *word;

	if (!read_file("/proc/self/stat", text, sizeof(text)) || !(word = strrchr(text, ')')))
		return false;
	word++;
	for (size_t i = 0; i < STAT_COUNT; i++) {
		word += strspn(word, " ");
		if (!*word)
			return false;
		out[i] = strtod(word, NULL);
		word += strcspn(word, " ");
	}
	return true;
}

static double seconds_of(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The start is computed once: the wall clock may be set later, and another number would look like
 * another start. */
static double start_time(double ticks_after_boot, double ticks)
{
	static double start;

	if (!(start > 0))
		start = seconds_of(CLOCK_REALTIME) - seconds_of(CLOCK_BOOTTIME) +
			ticks_after_boot / ticks;
	return start;
}

static void put_stat(struct buf *out)
{
	double stat[STAT_COUNT], ticks = (double)sysconf(_SC_CLK_TCK);

	if (!read_stat(stat))
		return;
	put(out, "process_cpu_seconds_total", METRIC_COUNTER,
	    (stat[STAT_UTIME] + stat[STAT_STIME]) / ticks, "CPU time that the process has used.");
	put(out, "process_virtual_memory_bytes", METRIC_GAUGE, stat[STAT_VSIZE],
	    "Size of the address space.");
	put(out, "process_resident_memory_bytes", METRIC_GAUGE,
	    stat[STAT_RSS] * (double)sysconf(_SC_PAGESIZE), "Resident memory.");
	put(out, "process_start_time_seconds", METRIC_GAUGE, start_time(stat[STAT_START], ticks),
	    "Start of the process since 1970.");
}

static void put_descriptors(struct buf *out)
{
	DIR *folder = opendir("/proc/self/fd");
	struct rlimit limit;
	size_t count = 0;

	if (folder) {
		while (readdir(folder))
			count++;
		closedir(folder);
		/* without ".", ".." and the descriptor of the folder itself */
		put(out, "process_open_fds", METRIC_GAUGE, (double)(count - 3),
		    "Open descriptors.");
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		put(out, "process_max_fds", METRIC_GAUGE, (double)limit.rlim_cur,
		    "Descriptors that the process may have open.");
}

void process_put_metrics(struct buf *out)
{
	put_stat(out);
	put_descriptors(out);
}
