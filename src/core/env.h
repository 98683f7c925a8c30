/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What core stands on: its options, the loop, the store, CloudStack, the kernel's disks and the workers that look at
 * them. It holds no state of core; every room of core may use it.
 */

#include "base/util.h"

struct core;
struct devmap;
struct exporter;

struct core_options {
	const char *appliance_id; /* CloudStack's UUID of this VM, NULL when unknown */
	const char *sysfs_root;   /* "/sys" */
	const char *dev_root;     /* "/dev" */
	const char *proc_root;    /* "/proc" */
	const char *run_dir;      /* a folder of ours that lasts until the machine is switched off; made when needed */
	unsigned buses;           /* as sysblock_options.buses */
	int64_t scan_ms;
	int64_t device_wait_ms; /* how long an attach waits for its device, a detach for its going */
	int64_t cloud_wait_ms;  /* how long one step waits for a CloudStack job */
	int64_t request_ms;     /* time-out of one CloudStack request */
	int64_t probe_ms;
	int64_t reconcile_ms;      /* how often the volumes are listed anew and compared with store and kernel */
	int64_t retention_ms;      /* ended operations older than this leave the store; 0: they stay for ever */
	int64_t hold_ms;           /* how long the users of a name wait for a volume that shall come back */
	struct devmap *devmap;     /* stable names; borrowed, NULL: none */
	struct devmap *old_names;  /* where names are turned off: to take away those there were; borrowed, NULL: none */
	struct exporter *exporter; /* NBD exports; borrowed, NULL: none */
	size_t max_operations;     /* unfinished at once; more is ERR_TOO_MANY */
};

void options_copy(struct core_options *to, const struct core_options *from);
void options_clear(struct core_options *options);
void read_boot_id(struct core *core);
bool core_is_appliance(const struct core *core, const char *vm_id);
