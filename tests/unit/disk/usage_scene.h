/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A kernel of made-up proc and sys folders, with the disks vda, which carries the root file system,
 * vdb and vdc. In them a link to "block:254:16" is a descriptor of that device, and one disk may be
 * claimed by the kernel, and one path not be opened for lack of descriptors (the linker puts
 * __wrap_statx, __wrap_open64 and __wrap_opendir in front of the real ones).
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "disk/usage.h"
#include "tree.h"

#define ROOT_LINE "26 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
#define TIMEOUT_MS 5000
#define OUR_NAMESPACE "4026531841"
#define OUR_MAP "VOLD-01234567-89ab-cdef-0123-456789abcdef"

extern const char *claimed;            /* the name of a disk */
extern const char *out_of_descriptors; /* the end of a path */
extern unsigned claims;                /* tried so far */

struct scene {
	struct tree tree;
	char *sys, *proc, *dev;
	struct usage_options options;
	struct loop *loop;
	struct usage_checker *checker;
	int answers, wanted;
	struct err err; /* of the last one */
	enum usage_kind kind;
	bool beside;
	char what[512], left_out[256];
};

int scene_setup(void **state);
int scene_teardown(void **state);

/* "vdb/vdb1" is a partition */
void disk(struct scene *scene, const char *folder, const char *number);
void hold(struct scene *scene, const char *folder, const char *holder);
void mounts(struct scene *scene, const char *lines); /* besides the root file system */
void swaps(struct scene *scene, const char *lines);
/* A process in a mount namespace of its own (or in ours), which sees these mounts. */
void process(struct scene *scene, const char *pid, const char *name, const char *namespace,
	     const char *lines);
void opens(struct scene *scene, const char *pid, const char *fd, const char *number);
