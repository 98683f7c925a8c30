/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A tree, a loop whose clock stands still, a sysblock looking at the tree, and a record of what it
 * said. */

#include "disk/sysblock.h"
#include "tree.h"

#define VOLUME "0c8f5a1e-3b7d-4e2f-9a6c-1d2e3f4a5b6c"
#define SERIAL "0c8f5a1e3b7d4e2f9a6c"
#define OTHER_SERIAL "1111111122223333aaaa"

#define SCAN_MS 2000
#define ALL_BUSES ((1u << BUS_COUNT) - 1)

struct world {
	struct tree tree;
	struct loop *loop;
	struct sysblock *sysblock;
	struct sysblock_options options;
	char *dev_root;
	char *said;         /* "-vdb +vdc =vdd(old size) …" in the order told */
	struct device last; /* of the last callback */
	/* each added() and removed() compares with what the questions answer */
	bool ask_inside;
};

/* makes the tree with an empty block folder; nothing is open yet */
int world_setup(void **state);
int world_teardown(void **state);
void world_open(struct world *world);
/* Scans, and compares what was told with text. */
void world_expect(struct world *world, const char *text);
/* Compares what was told since the last time. */
void world_said(struct world *world, const char *text);
/* fails when it is not listed */
const struct device *world_get(struct world *world, const char *name);

/* A disk as virtio shows it; serial NULL: no such attribute. */
void disk_add(struct world *world, const char *name, uint64_t bytes, uint64_t diskseq,
	      const char *serial);
void disk_number(struct world *world, const char *name, const char *attribute, uint64_t value);
void disk_remove(struct world *world, const char *name);
