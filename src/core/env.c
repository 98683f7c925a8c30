/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The facts that all parts of core share: the options of core, the identity of this machine, and
 * the boot. */

#include "core/env.h"

#include <fcntl.h>
#include <strings.h>

#include "base/clock.h"
#include "disk/flush.h"
#include "disk/probe.h"
#include "disk/usage.h"

static void options_copy(struct core_options *to, const struct core_options *from)
{
	*to = *from;
	to->appliance_id = xstrdup(from->appliance_id);
	to->sysfs_root = xstrdup(from->sysfs_root);
	to->dev_root = xstrdup(from->dev_root);
	to->proc_root = xstrdup(from->proc_root);
	to->run_dir = xstrdup(from->run_dir);
}

static void options_clear(struct core_options *options)
{
	freep(&options->appliance_id);
	freep(&options->sysfs_root);
	freep(&options->dev_root);
	freep(&options->proc_root);
	freep(&options->run_dir);
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
	};

	*env = (struct env){
		.loop = loop, .store = store, .cloud = cloud, .started_ms = clock_mono_ms()
	};
	options_copy(&env->options, options);
	read_boot_id(env);
	env->prober = prober_new(loop, options->probe_ms, "device.probe_timeout");
	env->usage_checker = usage_checker_new(loop, &usage);
	/* A flush of a disk and of the devices on it ends before the step's own deadline, so that a
	 * forced operation can go on. */
	usage.timeout_ms = options->device_wait_ms / 3;
	env->flusher = flusher_new(loop, &usage);
}

void env_fini(struct env *env)
{
	prober_free(env->prober);
	usage_checker_free(env->usage_checker);
	flusher_free(env->flusher);
	options_clear(&env->options);
	free(env->zone_id);
}

void env_set_appliance(struct env *env, const char *vm_id)
{
	freep(&env->options.appliance_id);
	env->options.appliance_id = xstrdup(vm_id);
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
