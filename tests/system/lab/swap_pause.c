/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What who writes notices of a name that is led to another disk. One thread writes block after
 * block through the name; the other one leads the name to the two disks in turns:
 *
 * swap_pause NAME VOLUME SIZE SWAPS DEVICE DEVICE
 *
 * prints a line a swap, "swap MICROSECONDS FIRST LAST": how long the longest write took that the
 * swap could concern, and which blocks were certainly written to the disk it led to. Block n holds
 * n in decimal digits, as long as the block. Every other swap is made by dmsetup, as a person would
 * make it, and its line begins with "dmsetup".
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "dm/devmap.h"

#define BLOCK 4096
#define SECTOR 512
#define WRITES_BETWEEN 16

static struct {
	int fd;
	uint64_t blocks;
	_Atomic uint64_t written; /* blocks that are */
	_Atomic int64_t longest_us;
	_Atomic bool enough;
} writer;

static _Noreturn void fail(const char *what, const char *why)
{
	fprintf(stderr, "swap_pause: %s: %s\n", what, why);
	exit(1);
}

static int64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void pause_1ms(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

/* It does not take the processor from udevd, which has a part in each swap. */
static void *write_on(void *arg)
{
	char *block = aligned_alloc(BLOCK, (size_t)2 * BLOCK);

	while (!writer.enough) {
		uint64_t number = writer.written;
		int64_t begin, taken;

		if (number >= writer.blocks)
			fail("the disk", "full");
		snprintf(block, BLOCK + 1, "%0*llu", BLOCK, (unsigned long long)number);
		begin = now_us();
		if (pwrite(writer.fd, block, BLOCK, (off_t)(number * BLOCK)) != BLOCK)
			fail("write", strerror(errno));
		taken = now_us() - begin;
		if (taken > writer.longest_us)
			writer.longest_us = taken;
		writer.written = number + 1;
		pause_1ms();
	}
	free(block);
	return arg;
}

static void await_writes(void)
{
	uint64_t until = writer.written + WRITES_BETWEEN;

	while (writer.written < until)
		pause_1ms();
}

static void on_pointed(void *arg, const struct err *err)
{
	if (err->code)
		fail("swap", err->text);
	loop_stop(arg);
}

static void swap(struct loop *loop, struct devmap *devmap, char *const *argv, const char *device)
{
	devmap_activate(devmap, argv[1], argv[2], device, writer.blocks * BLOCK, on_pointed, loop);
	loop_run(loop);
}

static void swap_by_hand(const char *name, const char *device)
{
	char command[512];

	snprintf(command, sizeof(command),
		 "dmsetup load %s --table '0 %" PRIu64
		 " linear %s 0' && dmsetup resume --noflush %s",
		 name, writer.blocks * BLOCK / SECTOR, device, name);
	/* the arguments are the test's own */
	if (system(command) != 0) /* NOLINT(cert-env33-c,bugprone-command-processor) */
		fail("dmsetup", command);
}

int main(int argc, char **argv)
{
	const struct devmap_options options = {
		.dev_root = "/dev", .run_root = "/run", .timeout_ms = 60000, .cookie_ms = 10000
	};
	struct loop *loop = loop_new();
	struct err err = { 0 };
	struct devmap *devmap = devmap_new(loop, &options, &err);
	uint64_t size, swaps, first;
	bool by_hand;
	char node[200];
	pthread_t thread;

	if (argc != 7 || parse_u64(argv[3], &size) < 0 || parse_u64(argv[4], &swaps) < 0)
		fail("usage", "swap_pause NAME VOLUME SIZE SWAPS DEVICE DEVICE");
	if (!devmap)
		fail("device mapper", err.text);
	writer.blocks = size / BLOCK;
	swap(loop, devmap, argv, argv[5]);
	snprintf(node, sizeof(node), "/dev/mapper/%s", argv[1]);
	writer.fd = open(node, O_WRONLY | O_DIRECT | O_CLOEXEC);
	if (writer.fd < 0)
		fail(node, strerror(errno));
	if (pthread_create(&thread, NULL, write_on, NULL) != 0)
		fail("thread", strerror(errno));
	await_writes();
	for (uint64_t i = 0; i < swaps; i++) {
		by_hand = i % 2 == 1;
		writer.longest_us = 0;
		if (by_hand)
			swap_by_hand(argv[1], argv[5 + (i + 1) % 2]);
		else
			swap(loop, devmap, argv, argv[5 + (i + 1) % 2]);
		first = writer.written + 1; /* the one under way may have begun before */
		await_writes();
		printf("%s %lld %llu %llu\n", by_hand ? "dmsetup" : "swap",
		       (long long)writer.longest_us, (unsigned long long)first,
		       (unsigned long long)writer.written - 1);
	}
	writer.enough = true;
	pthread_join(thread, NULL);
	close(writer.fd);
	devmap_free(devmap);
	loop_free(loop);
	return 0;
}
