/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The facts that all parts of core share: the options of core, the identity of this machine, and
 * the boot. */

#include "core/env.h"

#include <fcntl.h>
#include <strings.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "disk/flush.h"
#include "disk/opener.h"
#include "disk/probe.h"
#include "disk/rescan.h"
#include "disk/usage.h"

#define PROBE_SETTING "device.probe_timeout"
#define FLUSH_SHARE 3 /* of device.wait */

const char *const store_state_names[] = {
	[STORE_CHECKING] = "checking",
	[STORE_CURRENT] = "current",
	[STORE_PAST] = "past",
};

static void options_copy(struct core_options *to, const struct core_options *from)
{
	*to = *from;
	to->appliance_id = xstrdup(from->appliance_id);
	to->machine_id = xstrdup(from->machine_id);
	to->project_id = xstrdup(from->project_id);
	to->sysfs_root = xstrdup(from->sysfs_root);
	to->dev_root = xstrdup(from->dev_root);
	to->proc_root = xstrdup(from->proc_root);
	to->run_dir = xstrdup(from->run_dir);
	to->rest_access = xstrdup(from->rest_access);
	to->nbd_access = xstrdup(from->nbd_access);
	to->no_stable_names = xstrdup(from->no_stable_names);
}

static void options_clear(struct core_options *options)
{
	freep(&options->appliance_id);
	freep(&options->machine_id);
	freep(&options->project_id);
	freep(&options->sysfs_root);
	freep(&options->dev_root);
	freep(&options->proc_root);
	freep(&options->run_dir);
	freep(&options->rest_access);
	freep(&options->nbd_access);
	freep(&options->no_stable_names);
}

static void read_boot_id(struct env *env)
{
	_cleanup_free_ char *path =
		xasprintf("%s/sys/kernel/random/boot_id", env->options.proc_root);
	_cleanup_free_ char *text = read_file_at(AT_FDCWD, path, 64, NULL);

	if (text)
		memcpy(env->boot_id, text, strnlen(text, sizeof(env->boot_id) - 1));
}

void env_init(struct env *env, struct loop *loop, const struct core_options *options,
	      struct store *store, struct cloud *cloud)
{
	struct usage_options usage = {
		.proc_root = options->proc_root,
		.sysfs_root = options->sysfs_root,
		.dev_root = options->dev_root,
		.timeout_ms = options->probe_ms,
		.setting = PROBE_SETTING,
	};

	*env = (struct env){
		.loop = loop, .store = store, .cloud = cloud, .started_ms = clock_mono_ms()
	};
	options_copy(&env->options, options);
	read_boot_id(env);
	env->prober = prober_new(loop, options->probe_ms, PROBE_SETTING);
	env->usage_checker = usage_checker_new(loop, &usage);
	env->rescanner = rescanner_new(loop, options->sysfs_root, options->probe_ms, PROBE_SETTING);
	env->opener = disk_opener_new(loop, options->sysfs_root, options->probe_ms, PROBE_SETTING);
	/* A flush of a disk and of the devices on it ends before the step's own deadline, so that a
	 * forced operation can go on. */
	usage.timeout_ms = options->device_wait_ms / FLUSH_SHARE;
	usage.setting = "a third of device.wait";
	env->flusher = flusher_new(loop, &usage);
}

void env_retune(struct env *env, const struct core_options *options)
{
	struct core_options *mine = &env->options;

	mine->scan_ms = options->scan_ms;
	mine->device_wait_ms = options->device_wait_ms;
	mine->cloud_wait_ms = options->cloud_wait_ms;
	mine->reconcile_ms = options->reconcile_ms;
	mine->retention_ms = options->retention_ms;
	mine->hold_ms = options->hold_ms;
	mine->allow_vm_expunge = options->allow_vm_expunge;
	mine->max_operations = options->max_operations;
	mine->max_operations_per_caller = options->max_operations_per_caller;
	freep(&mine->rest_access);
	freep(&mine->nbd_access);
	mine->rest_access = xstrdup(options->rest_access);
	mine->nbd_access = xstrdup(options->nbd_access);
	flusher_set_timeout(env->flusher, options->device_wait_ms / FLUSH_SHARE);
}

void env_fini(struct env *env)
{
	prober_free(env->prober);
	usage_checker_free(env->usage_checker);
	flusher_free(env->flusher);
	rescanner_free(env->rescanner);
	disk_opener_free(env->opener);
	options_clear(&env->options);
	free(env->zone);
	free(env->zone_id);
	free(env->true_appliance_id);
	free(env->paused);
	free(env->rest_certificate);
}

void env_forget_zone(struct env *env)
{
	str_set(&env->zone_id, env->zone && uuid_is_valid(env->zone) ? env->zone : NULL);
}

void env_set_zone(struct env *env, const char *zone)
{
	if (streq(env->zone, zone))
		return;
	str_set(&env->zone, zone);
	env_forget_zone(env);
}

void env_note_zone(struct env *env, const char *name, const char *id)
{
	if (streq(env->zone, name))
		str_set(&env->zone_id, id);
}

void env_set_appliance(struct env *env, const char *vm_id)
{
	freep(&env->options.appliance_id);
	env->options.appliance_id = xstrdup(vm_id);
	str_set(&env->true_appliance_id, NULL);
}

void env_set_paused(struct env *env, const char *reason)
{
	str_set(&env->paused, str_empty(reason) ? NULL : reason);
}

void env_prove_appliance(struct env *env, const char *vm_id)
{
	str_set(&env->true_appliance_id, vm_id);
}

static bool is_swapped(const char *a, const char *b)
{
	char swapped[UUID_TEXT_SIZE];

	uuid_swap(a, swapped);
	return strcasecmp(swapped, b) == 0;
}

char *env_appliance_error(const struct env *env)
{
	const char *id = env->options.appliance_id, *true_id = env->true_appliance_id;

	if (!true_id)
		return NULL;
	if (!id)
		return xasprintf(
			"this machine is VM %s in CloudStack, and the daemon does not know that; set appliance.vm_id to %s",
			true_id, true_id);
	return xasprintf(
		"this machine is VM %s in CloudStack, and not VM %s%s; set appliance.vm_id to %s",
		true_id, id,
		is_swapped(id, true_id)
			? ", which is the same id with its bytes in the order of this "
			  "machine's DMI"
			: "",
		true_id);
}

const char *env_appliance_id(const struct env *env)
{
	return str_or(env->options.appliance_id, "");
}

bool env_is_appliance(const struct env *env, const char *vm_id)
{
	return env->options.appliance_id && vm_id &&
	       strcasecmp(env->options.appliance_id, vm_id) == 0;
}
