/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is the same for every part of core: the options it was made with, and which machine and which boot this is.
 */

#include "core/env.h"

#include <fcntl.h>
#include <strings.h>

#include "core/core.h"
#include "core/core_parts.h"

void options_copy(struct core_options *to, const struct core_options *from)
{
	*to = *from;
	to->appliance_id = xstrdup(from->appliance_id);
	to->sysfs_root = xstrdup(from->sysfs_root);
	to->dev_root = xstrdup(from->dev_root);
	to->proc_root = xstrdup(from->proc_root);
	to->run_dir = xstrdup(from->run_dir);
}

void options_clear(struct core_options *options)
{
	freep(&options->appliance_id);
	freep(&options->sysfs_root);
	freep(&options->dev_root);
	freep(&options->proc_root);
	freep(&options->run_dir);
}

void read_boot_id(struct core *core)
{
	_cleanup_free_ char *path = xasprintf("%s/sys/kernel/random/boot_id", core->options.proc_root);
	_cleanup_free_ char *text = read_file_at(AT_FDCWD, path, 64, NULL);

	if (text)
		memcpy(core->boot_id, text, strnlen(text, sizeof(core->boot_id) - 1));
}

const char *core_appliance_id(const struct core *core)
{
	return str_or(core->options.appliance_id, "");
}

bool core_is_appliance(const struct core *core, const char *vm_id)
{
	return core->options.appliance_id && vm_id && strcasecmp(core->options.appliance_id, vm_id) == 0;
}
