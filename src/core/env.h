/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The ground of core: its options, the loop, the store, CloudStack, the kernel's disks and the
 * workers that read them. It holds no state of core; every directory of core may use it. */

#include "base/util.h"

struct cloud;
struct devmap;
struct disk_opener;
struct exporter;
struct flusher;
struct loop;
struct prober;
struct reloader;
struct rescanner;
struct store;
struct sysblock;
struct usage_checker;

/* Is the store of this machine, and of this time? reconcile/store_guard.h decides. */
enum store_state {
	STORE_CHECKING, /* CloudStack has not shown yet what it knows of the store */
	STORE_CURRENT,
	STORE_PAST, /* one from the past or of another machine: nothing is changed */
};
extern const char *const store_state_names[];

struct core_options {
	const char *appliance_id; /* CloudStack's UUID of this VM, NULL when unknown */
	/* tells this machine from its clones with another machine id; NULL when unknown */
	const char *machine_id;
	/* the project whose volumes CloudStack's lists show, as cloud_options.project_id */
	const char *project_id;
	const char *sysfs_root; /* "/sys" */
	const char *dev_root;   /* "/dev" */
	const char *proc_root;  /* "/proc" */
	/* a folder of ours that lasts until the machine is switched off; made when needed */
	const char *run_dir;
	unsigned buses; /* as sysblock_options.buses */
	int64_t scan_ms;
	/* how long an attach waits for its device, a detach for its going */
	int64_t device_wait_ms;
	int64_t cloud_wait_ms; /* how long one step waits for a CloudStack job */
	int64_t probe_ms;
	/* how often the volumes that matter here are compared with store and kernel; all volumes
	 * are compared at most so often */
	int64_t reconcile_ms;
	/* ended operations older than this leave the store; 0: they stay indefinitely */
	int64_t retention_ms;
	/* how long the users of a name wait for a volume that shall come back */
	int64_t hold_ms;
	struct devmap *devmap; /* stable names; borrowed, NULL: none */
	/* why there are none, for health; NULL: there are some */
	const char *no_stable_names;
	/* for removing earlier names after names were turned off; borrowed, NULL: none */
	struct devmap *old_names;
	struct exporter *exporter; /* NBD exports; borrowed, NULL: none */
	/* the users with full access, in words, for health; NULL: not known */
	const char *rest_access;
	const char *nbd_access;
	/* see core/reload.h; borrowed, NULL: there is no configuration to read */
	const struct reloader *reloader;
	bool allow_vm_expunge; /* a cleanup may delete the VM of a test for good */
	size_t max_operations; /* unfinished at once; more is ERR_TOO_MANY */
	/* the same of one user or one token over REST; 0: no such limit */
	size_t max_operations_per_caller;
};

struct env {
	struct loop *loop;
	struct core_options options; /* texts owned */
	struct store *store;
	struct cloud *cloud; /* NULL: none is configured */
	char *zone;          /* for creations that name none: an id or a name, or NULL */
	/* the id of that zone; NULL while CloudStack has not been asked for it */
	char *zone_id;
	/* CloudStack's name of this machine, if the appliance's id is proven wrong; else NULL */
	char *true_appliance_id;
	struct sysblock *sysblock;
	struct prober *prober;
	struct usage_checker *usage_checker;
	struct flusher *flusher;
	struct rescanner *rescanner;
	struct disk_opener *opener;
	char boot_id[37]; /* of the running kernel, "" when it cannot be read */
	bool draining;    /* the daemon is stopping: nothing new begins */
	char *paused;     /* why an administrator lets no change begin; NULL: changes begin */
	enum store_state store_state;
	char *rest_certificate; /* as health shows it; NULL: REST has no certificate */
	int64_t started_ms;
};

/* False: a loop that follows disks or CloudStack must change nothing. */
static inline bool env_may_change(const struct env *env)
{
	return !env->draining && env->store_state != STORE_PAST;
}

/* False: the store may be one from the past, so no name and no export that stands is changed or
 * taken away for its sake. */
static inline bool env_trusts_store(const struct env *env)
{
	return env->store_state == STORE_CURRENT;
}

/* Everything but the disks, which are opened by core. The options are copied; loop, store and cloud
 * are borrowed. */
void env_init(struct env *env, struct loop *loop, const struct core_options *options,
	      struct store *store, struct cloud *cloud);
void env_fini(struct env *env);
/* See core_retune(). */
void env_retune(struct env *env, const struct core_options *options);
void env_set_zone(struct env *env, const char *zone);
/* CloudStack has told the id of the zone with this name. */
void env_note_zone(struct env *env, const char *name, const char *id);
/* CloudStack may have another id for the name of the zone. */
void env_forget_zone(struct env *env);
void env_set_appliance(struct env *env, const char *vm_id);
/* NULL or "": changes go on. */
void env_set_paused(struct env *env, const char *reason);
/* The kernel here shows a disk that CloudStack has attached to this VM. */
void env_prove_appliance(struct env *env, const char *vm_id);
/* An error that names the wrong id of the appliance and the remedy; the caller frees it. NULL: no
 * id is proven wrong. */
char *env_appliance_error(const struct env *env);
const char *env_appliance_id(const struct env *env); /* "" when unknown */
bool env_is_appliance(const struct env *env, const char *vm_id);
