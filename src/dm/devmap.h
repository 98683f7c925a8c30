/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Stable names: device-mapper maps of ours, one for each volume, linear over the whole of its disk.
 *
 * A map of ours has the uuid "VOLD-<volume uuid>"; a map with another uuid belongs to another
 * program and is never touched. Every verb names the desired state: a repeated verb changes
 * nothing. All verbs run on a worker of their own, one after the other in the order of the calls,
 * since device mapper may block for as long as I/O below it hangs. A verb that does not end within
 * its deadline answers ERR_TIMEOUT, its worker is replaced, and the next list shows its later
 * effects. Until that verb has come back, other verbs on the same volume are refused
 * (ERR_UNAVAILABLE); verbs on other volumes are refused only while DEVMAP_HUNG_MAX verbs hang.
 */

#include "base/err.h"
#include "io/loop.h"

#define DEVMAP_UUID_PREFIX "VOLD-"
#define DEVMAP_NAME_SIZE 128 /* DM_NAME_LEN */
#define DEVMAP_HUNG_MAX 8

struct devmap;
struct devmap_call;

struct devmap_options {
	/* "/dev": <dev_root>/mapper/control must be there, or there is no device mapper */
	const char *dev_root;
	/* "/run": without <run_root>/udev/control nodes are made here, not by udevd */
	const char *run_root;
	int64_t timeout_ms; /* for one verb */
	int64_t cookie_ms;  /* a udev cookie that stays open is completed after this long */
};

enum devmap_target {
	DEVMAP_LINEAR, /* over a disk */
	DEVMAP_ERROR,  /* every access fails */
	DEVMAP_OTHER,  /* a table that is not one of ours: several targets, another type, or none */
};

struct devmap_map {
	char name[DEVMAP_NAME_SIZE];
	char volume_id[37];
	char kernel_name[32]; /* "dm-3" */
	char device[24];      /* DEVMAP_LINEAR: "254:16", the disk below */
	enum devmap_target target;
	uint64_t size;  /* bytes */
	bool suspended; /* its users wait */
	uint32_t open_count;
};

/*
 * err->code is ERR_NONE if the desired state is reached; ERR_CONFLICT if the name or the disk is
 * another program's (activate; err->field is "name" or "disk"), or the map is in use (remove).
 */
typedef void (*devmap_done_fn)(void *arg, const struct err *err);
/* maps is valid during the callback. */
typedef void (*devmap_listed_fn)(void *arg, const struct devmap_map *maps, size_t count,
				 const struct err *err);

/*
 * The functions behind a devmap; tests put a device mapper of their own there. The functions run on
 * the worker and may block.
 */
struct devmap_backend {
	int (*list)(void *context, struct devmap_map **out, size_t *count, struct err *err);
	int (*activate)(void *context, const char *name, const char *volume_id, const char *device,
			uint64_t size, struct err *err);
	int (*suspend)(void *context, const char *volume_id, struct err *err);
	int (*wipe)(void *context, const char *volume_id, struct err *err);
	int (*remove)(void *context, const char *volume_id, struct err *err);
	/*
	 * Called on the loop: while a verb is under way, again after *left_ms, and with cookie_ms 0
	 * before devmap_free() gives the verb up. If the verb has waited for udevd for cookie_ms,
	 * the verb goes on without udevd, and this returns true.
	 */
	bool (*give_up_udev)(void *context, int64_t cookie_ms, int64_t *left_ms);
};

/*
 * Backed by libdevmapper; the first devmap decides about the roots of all. NULL and ERR_UNAVAILABLE
 * with the reason if this kernel or machine has no device mapper.
 */
struct devmap *devmap_new(struct loop *loop, const struct devmap_options *options, struct err *err);
/* backend and context outlive the devmap. */
struct devmap *devmap_new_with(struct loop *loop, const struct devmap_options *options,
			       const struct devmap_backend *backend, void *context);
/* No done() runs any more; waits for no disk. Not from inside done(). Returns NULL, takes NULL. */
struct devmap *devmap_free(struct devmap *devmap);

/*
 * The map of the volume is called name (letters, digits, ".", "_", "-"), is linear over device
 * ("254:16", size in bytes, whole sectors), and runs. A missing map is made; a map that is there
 * gets the table loaded and swapped in (suspend noflush, resume) under its users, and waiting I/O
 * goes on. A map of the volume under another name is renamed. The node under <dev_root>/mapper is
 * there when the verb has ended.
 */
struct devmap_call *devmap_activate(struct devmap *devmap, const char *name, const char *volume_id,
				    const char *device, uint64_t size, devmap_done_fn done,
				    void *arg);
/* The map is suspended without flushing: its users wait. No map: ERR_NOT_FOUND. */
struct devmap_call *devmap_suspend(struct devmap *devmap, const char *volume_id,
				   devmap_done_fn done, void *arg);
/* The map is all errors and runs: waiting users get an error. No map: nothing to do. */
struct devmap_call *devmap_wipe(struct devmap *devmap, const char *volume_id, devmap_done_fn done,
				void *arg);
/* There is no map of the volume. ERR_CONFLICT and no change while a program has the map open. */
struct devmap_call *devmap_remove(struct devmap *devmap, const char *volume_id, devmap_done_fn done,
				  void *arg);
/* All maps of ours. */
struct devmap_call *devmap_list(struct devmap *devmap, devmap_listed_fn done, void *arg);
/* done() will not run; a verb under way may still take effect. Not from inside its done(). */
void devmap_cancel(struct devmap_call *call);
