/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A worker asks the kernel about one disk after the other. A detachment pulls out the disks that
 * CloudStack attached, and not the disk that we noted: so every disk that is the volume is checked,
 * and a disk that comes during a check has its turn, too.
 */

#include "core/host/disk_users.h"

#include "base/log.h"
#include "core/env.h"
#include "core/host/host.h"
#include "core/host/volume_disk.h"
#include "disk/device.h"
#include "disk/sysblock.h"
#include "disk/usage.h"
#include "dm/devmap.h"
#include "nbd/exporter.h"

#define CLIENTS_NAMED 8

static struct usage_check *start(struct host *host, const char *volume_id,
				 const struct device *device, bool openers_may_stay,
				 usage_done_fn done, void *arg)
{
	_cleanup_free_ char *map = xasprintf(DEVMAP_UUID_PREFIX "%s", volume_id);
	struct usage_ignore ours = { .map_uuid = map, .openers = openers_may_stay };
	struct export_health engine = { 0 };

	/* The engine is asked for its clients when the export is closed. */
	if (host->env->options.exporter)
		exporter_health(host->env->options.exporter, &engine);
	ours.pid = engine.pid;
	return usage_check_start(host->env->usage_checker, device->name, &ours, done, arg);
}

struct usage_check *usage_start(struct host *host, const char *volume_id,
				const struct device *device, usage_done_fn done, void *arg)
{
	return start(host, volume_id, device, false, done, arg);
}

struct usage_check *usage_start_for_sharing(struct host *host, const char *volume_id,
					    const struct device *device, usage_done_fn done,
					    void *arg)
{
	return start(host, volume_id, device, true, done, arg);
}

int usage_allows_sharing(const char *volume_id, const struct usage_result *result,
			 const char *doing, struct err *err)
{
	if (result->err.code) {
		*err = result->err;
		return -1;
	}
	if (result->kind == USAGE_NONE)
		return 0;
	return err_set_reason(err, ERR_REASON_IN_USE, ERR_CONFLICT,
			      "the disk of volume %s is in use: %s; release it before it is %s",
			      volume_id, result->what, doing);
}

void export_clients_refuse(const char *volume_id, const struct export_seen *seen, struct err *err)
{
	_cleanup_buf_ struct buf clients = BUF_NULL;

	for (size_t i = 0; i < seen->client_count && i < CLIENTS_NAMED; i++)
		buf_printf(&clients, "%sNBD client %s", i ? ", " : "", seen->clients[i].address);
	err_set_reason(err, ERR_REASON_IN_USE, ERR_CONFLICT,
		       "volume %s is in use: %s; disconnect the client, or use force", volume_id,
		       clients.data);
}

struct disk_users {
	struct host *host;
	char *volume_id;
	uint64_t checked; /* device.seen of the disk that was checked last */
	char *path;       /* the path of that disk */
	bool guessed;
	struct usage_check *usage_check;
	disk_users_judge_fn judge;
	disk_users_done_fn done;
	void *arg;
};

static void disk_users_free(struct disk_users *check)
{
	free(check->volume_id);
	free(check->path);
	free(check);
}

static void on_usage(void *arg, const struct usage_result *result);

/* True: a disk is being checked. False: no disk is left, or the check failed, and *err tells
 * which. */
static bool check_next(struct disk_users *check, struct err *err)
{
	struct host *host = check->host;
	const struct device *device;

	*err = (struct err){ 0 };
	if (sysblock_scan(host->env->sysblock, err) < 0)
		return false;
	device = volume_disk_after(host, check->volume_id, check->checked, &check->guessed);
	if (!device)
		return false;
	check->checked = device->seen;
	str_set(&check->path, device->path);
	check->usage_check = usage_start(host, check->volume_id, device, on_usage, check);
	return true;
}

static void on_usage(void *arg, const struct usage_result *result)
{
	struct disk_users *check = arg;
	const struct disk_use use = { .path = check->path,
				      .guessed = check->guessed,
				      .result = result };
	disk_users_done_fn done = check->done;
	struct err err = result->err;

	check->usage_check = NULL;
	if (result->left_out[0])
		log_notice("volume=%s: the look for users of disk %s left out %s", check->volume_id,
			   check->path, result->left_out);
	if (!err.code && check->judge(check->arg, &use, &err) == 0 && check_next(check, &err))
		return;
	arg = check->arg;
	disk_users_free(check);
	done(arg, &err);
}

struct disk_users *disk_users_check(struct host *host, const char *volume_id,
				    disk_users_judge_fn judge, disk_users_done_fn done, void *arg,
				    struct err *err)
{
	struct disk_users *check = xnew(struct disk_users);

	check->host = host;
	check->volume_id = xstrdup(volume_id);
	check->judge = judge;
	check->done = done;
	check->arg = arg;
	if (check_next(check, err))
		return check;
	disk_users_free(check);
	return NULL;
}

void disk_users_cancel(struct disk_users *check)
{
	if (check->usage_check)
		usage_check_cancel(check->usage_check);
	disk_users_free(check);
}
