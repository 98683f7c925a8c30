/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The ground of core: its options, the loop, the store, CloudStack, the kernel's disks and the
 * workers that read them. It holds no state of core; every directory of core may use it. */

#include "base/util.h"

struct cloud;
struct devmap;
struct exporter;
struct flusher;
struct loop;
struct prober;
struct store;
struct sysblock;
struct usage_checker;

struct core_options {
	const char *appliance_id; /* CloudStack's UUID of this VM, NULL when unknown */
	const char *sysfs_root;   /* "/sys" */
	const char *dev_root;     /* "/dev" */
	const char *proc_root;    /* "/proc" */
	/* a folder of ours that lasts until the machine is switched off; made when needed */
	const char *run_dir;
	unsigned buses; /* as sysblock_options.buses */
	int64_t scan_ms;
	/* how long an attach waits for its device, a detach for its going */
	int64_t device_wait_ms;
	int64_t cloud_wait_ms; /* how long one step waits for a CloudStack job */
	int64_t request_ms;    /* time-out of one CloudStack request */
	int64_t probe_ms;
	/* how often the volumes are listed anew and compared with store and kernel */
	int64_t reconcile_ms;
	/* ended operations older than this leave the store; 0: they stay indefinitely */
	int64_t retention_ms;
	/* how long the users of a name wait for a volume that shall come back */
	int64_t hold_ms;
	struct devmap *devmap; /* stable names; borrowed, NULL: none */
	/* for removing earlier names after names were turned off; borrowed, NULL: none */
	struct devmap *old_names;
	struct exporter *exporter; /* NBD exports; borrowed, NULL: none */
	size_t max_operations;     /* unfinished at once; more is ERR_TOO_MANY */
};

struct env {
	struct loop *loop;
	struct core_options options; /* texts owned */
	struct store *store;
	struct cloud *cloud; /* NULL: none is configured */
	char *zone_id;       /* for creations that name none, or NULL */
	struct sysblock *sysblock;
	struct prober *prober;
	struct usage_checker *usage_checker;
	struct flusher *flusher;
	char boot_id[37]; /* of the running kernel, "" when it cannot be read */
	bool draining;    /* the daemon is stopping: nothing new begins */
	int64_t started_ms;
};

/* Everything but the disks, which are opened by core. The options are copied; loop, store and cloud
 * are borrowed. */
void env_init(struct env *env, struct loop *loop, const struct core_options *options,
	      struct store *store, struct cloud *cloud);
void env_fini(struct env *env);
void env_set_appliance(struct env *env, const char *vm_id);
const char *env_appliance_id(const struct env *env); /* "" when unknown */
bool env_is_appliance(const struct env *env, const char *vm_id);
