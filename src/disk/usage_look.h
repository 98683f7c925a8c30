/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One look at who uses a disk, as the worker makes it; and what the files that make it share. Only disk/ uses this. */

#include "base/buf.h"
#include "disk/device.h"
#include "disk/usage.h"

/* What is asked and answered; the texts are its own. */
struct usage_look {
	char *proc_root, *sysfs_root, *dev_root;
	char *name;
	char *map_uuid; /* of struct usage_ignore */
	int pid;        /* likewise */
	struct err err;
	enum usage_kind kind;
	bool only_open, beside; /* of struct usage_result */
	struct buf what;
	bool passing; /* nothing but descriptors that somebody has open: it may be over in a moment */
};

void usage_look_init(struct usage_look *look, const struct usage_options *options, const char *name,
		     const struct usage_ignore *ignore);
void usage_look_clear(struct usage_look *look);
/* Blocks, and may hang. To be called once. */
void usage_look(struct usage_look *look);

#define USAGE_ALIAS_SIZE 160 /* DM_NAME_LEN is 128 */
#define USAGE_UUID_SIZE 160  /* DM_UUID_LEN is 129 */

/* The disk asked about, or something that stands on it. */
struct usage_node {
	char name[DEVICE_NAME_SIZE];
	char folder[2 * DEVICE_NAME_SIZE]; /* below block/; "" for another member of a btrfs, which is not gone into */
	char number[24];                   /* "254:1" */
	char path[DEVICE_NAME_SIZE + 8];   /* "/dev/vdb1" */
	char alias[USAGE_ALIAS_SIZE];      /* "/dev/mapper/vg-root", "" when it has none */
	bool is_partition;
	bool is_map; /* the one that is ours */
	bool by_map; /* that one, or what stands on it */
};

struct usage {
	struct usage_look *look;
	struct usage_node *nodes; /* the disk first */
	size_t node_count;
	size_t users;
};

#define USAGE_NODE_LABEL_SIZE (DEVICE_NAME_SIZE + 1)

/* ---- usage_stack.c ---- */

/* Fills nodes with the disk and everything that stands on it; who holds whom is added as users. */
int usage_climb(struct usage *usage);
/* Somebody uses this node. */
void usage_add(struct usage *usage, const struct usage_node *node, enum usage_kind kind, const char *format, ...)
	_printf_(4, 5);
/* Says that who uses the disk cannot be found out, because of errno at path. -1. */
int usage_cannot_read(const struct usage *usage, const char *path);
int usage_too_many(const struct usage *usage, const char *what);
/* "vdb1 " in front of what is said about a node, nothing for the disk itself. */
void usage_label(const struct usage *usage, const struct usage_node *node, char out[USAGE_NODE_LABEL_SIZE]);
bool usage_is_path_of(const struct usage_node *node, const char *path);

/* ---- usage_mounts.c ---- */

/* In the mount namespaces of this process and of those in pids. */
int usage_find_mounts(struct usage *usage, const int *pids, size_t count);
int usage_find_swaps(struct usage *usage);

/* ---- usage_open.c ---- */

/* The processes there are, in ascending order; the caller's to free. */
int usage_list_processes(struct usage *usage, int **pids, size_t *count);
/* The name of a process, "?" when it has none to show. */
void usage_process_name(const struct usage *usage, int pid, char name[64]);
int usage_find_openers(struct usage *usage, const int *pids, size_t count);
void usage_find_claim(struct usage *usage);
