/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a scan of the disks costs, beside a plain listing of their folder, in turns: it prints the
 * median microseconds of both.
 */

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "disk/sysblock.h"

#define ROUNDS 101

static double now_us(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1000;
}

static _Noreturn void fail(const char *what, const char *why)
{
	fprintf(stderr, "bench_scan: %s: %s\n", what, why);
	exit(1);
}

/* As scans do it: the folder stays open. */
static double list(DIR *folder)
{
	double begin = now_us();

	rewinddir(folder);
	while (readdir(folder))
		;
	return now_us() - begin;
}

static double scan(struct sysblock *sysblock)
{
	double begin = now_us();
	struct err err;

	if (sysblock_scan(sysblock, &err) < 0)
		fail("scan", err.text);
	return now_us() - begin;
}

static int compare(const void *a, const void *b)
{
	const double *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

int main(int argc, char **argv)
{
	static const struct sysblock_listener listener;
	struct sysblock_options options = { .scan_ms = 60000, .buses = ~0U };
	double scans[ROUNDS], lists[ROUNDS];
	_cleanup_free_ char *block = NULL;
	struct sysblock *sysblock;
	struct loop *loop;
	struct err err;
	DIR *folder;

	if (argc != 3) {
		fprintf(stderr, "usage: bench_scan SYSFS-ROOT DEV-ROOT\n");
		return 2;
	}
	options.sysfs_root = argv[1];
	options.dev_root = argv[2];
	loop = loop_new();
	sysblock = sysblock_open(loop, &options, &listener, &err);
	if (!sysblock)
		fail(argv[1], err.text);
	block = xasprintf("%s/block", argv[1]);
	folder = opendir(block);
	if (!folder)
		fail(block, strerror(errno));
	for (size_t i = 0; i < ROUNDS; i++) {
		scans[i] = scan(sysblock);
		lists[i] = list(folder);
	}
	qsort(scans, ROUNDS, sizeof(*scans), compare);
	qsort(lists, ROUNDS, sizeof(*lists), compare);
	printf("%.1f us, %.1f us, %zu disks\n", scans[ROUNDS / 2], lists[ROUNDS / 2],
	       sysblock_count(sysblock));
	closedir(folder);
	sysblock_close(sysblock);
	loop_free(loop);
	return 0;
}
