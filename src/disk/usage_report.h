/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The question to a scan of a disk, and its findings so far. Private to disk/. */

#include "base/buf.h"
#include "disk/device.h"
#include "disk/usage.h"

#define USAGE_MAP_NAME_SIZE 144 /* DM_NAME_LEN is 128 */
#define USAGE_UUID_SIZE 160     /* DM_UUID_LEN is 129 */

/* The disk in question, or a device on top of it. */
struct usage_node {
	char name[DEVICE_NAME_SIZE];
	/* below block/; "" for another member of a btrfs, on which no devices are looked for */
	char folder[2 * DEVICE_NAME_SIZE];
	char number[24];                    /* "254:1" */
	char path[DEVICE_NAME_SIZE + 8];    /* "/dev/vdb1" */
	char map_name[USAGE_MAP_NAME_SIZE]; /* "vg-root" of /dev/mapper/vg-root, "": no map */
	bool is_partition;
	bool is_btrfs; /* a member of a mounted btrfs */
	bool is_map;   /* our own map */
	bool by_map;   /* our own map, or a device on top of it */
};

struct usage_report {
	/* the question; the report owns the texts */
	char *proc_root, *sysfs_root, *dev_root;
	char *name;
	char *map_uuid; /* of struct usage_ignore */
	int pid;        /* likewise */
	bool openers;   /* likewise */

	/* the answer */
	struct err err;
	enum usage_kind kind;
	bool only_open, beside; /* of struct usage_result */
	struct buf what;
	/* the mount lists of other namespaces were not read to their end */
	bool mounts_unread;
	struct buf left_out; /* of struct usage_result */
	bool passing;        /* nothing but open descriptors: the use may end in a moment */

	struct usage_node *nodes; /* the disk first */
	size_t node_count;
	struct usage_user named[USAGE_USERS_SHOWN];
	size_t users; /* also those that are not named */
};

#define USAGE_NODE_LABEL_SIZE (USAGE_MAP_NAME_SIZE + 1)

void usage_report_init(struct usage_report *report, const struct usage_options *options,
		       const char *name, const struct usage_ignore *ignore);
void usage_report_clear(struct usage_report *report);

/* The parts of a result that name users; they live as long as the report. */
void usage_report_users(const struct usage_report *report, struct usage_result *result);

/* Adds a user of this node. */
void usage_add(struct usage_report *report, const struct usage_node *node, enum usage_kind kind,
	       const char *format, ...) _printf_(4, 5);
/* Sets the error that the users of the disk cannot be found, because of errno at path. -1. */
int usage_cannot_read(struct usage_report *report, const char *path);
/* This errno is no fact about a process or a disk, only a lack of ours. */
bool usage_is_shortage(int error);
int usage_too_many(struct usage_report *report, const char *what);
/* "vdb1 " in front of the words about a node, "vg-root " for a map, nothing for the disk itself. */
void usage_label(const struct usage_report *report, const struct usage_node *node,
		 char out[USAGE_NODE_LABEL_SIZE]);
bool usage_is_path_of(const struct usage_node *node, const char *path);
