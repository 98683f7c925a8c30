/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One disk after the other. The kernel keeps unwritten data of a file system or a program with the
 * partition or the map that it uses, and not with the disk below; so partitions and maps that may
 * still be in use are flushed before the disk.
 */

#include "core/host/flush_volume.h"

#include "base/log.h"
#include "core/env.h"
#include "core/host/host.h"
#include "core/host/volume_disk.h"
#include "disk/device.h"
#include "disk/flush.h"

struct flush_volume {
	struct host *host;
	char *volume_id;
	bool force;
	/* the partitions and maps on the disks are being flushed, and not yet the disks */
	bool upper;
	uint64_t flushed; /* device.seen of the disk that was flushed last */
	struct flush *flush;
	flush_volume_fn done;
	void *arg;
};

static void flush_volume_free(struct flush_volume *flush)
{
	free(flush->volume_id);
	free(flush);
}

static void finish(struct flush_volume *flush, const struct err *err)
{
	flush_volume_fn done = flush->done;
	void *arg = flush->arg;
	struct err copy = *err;

	flush_volume_free(flush);
	done(arg, &copy);
}

static void on_flushed(void *arg, const struct err *err);

/* First the partitions and maps on the disks, if they are to be flushed, and then the disks. */
static const struct device *next_to_flush(struct flush_volume *flush)
{
	const struct device *device =
		volume_disk_after(flush->host, flush->volume_id, flush->flushed, NULL);

	if (device || !flush->upper)
		return device;
	flush->upper = false;
	return volume_disk_after(flush->host, flush->volume_id, 0, NULL);
}

/* False: all is flushed. */
static bool flush_next(struct flush_volume *flush)
{
	struct flusher *flusher = flush->host->env->flusher;
	const struct device *device = next_to_flush(flush);

	if (!device)
		return false;
	flush->flushed = device->seen;
	flush->flush = flush->upper ? flush_upper_start(flusher, device->name, on_flushed, flush)
				    : flush_start(flusher, device->path, on_flushed, flush);
	return true;
}

static void on_flushed(void *arg, const struct err *err)
{
	struct flush_volume *flush = arg;

	flush->flush = NULL;
	if (err->code && err->code != ERR_NOT_FOUND && !flush->force) {
		finish(flush, err);
		return;
	}
	if (err->code && err->code != ERR_NOT_FOUND)
		log_warning("volume=%s is detached by force, and written data may be lost: %s",
			    flush->volume_id, err->text);
	if (!flush_next(flush))
		finish(flush, &(struct err){ 0 });
}

struct flush_volume *flush_volume(struct host *host, const char *volume_id, bool force,
				  flush_volume_fn done, void *arg)
{
	struct flush_volume *flush = xnew(struct flush_volume);

	flush->host = host;
	flush->volume_id = xstrdup(volume_id);
	flush->force = flush->upper = force;
	flush->done = done;
	flush->arg = arg;
	if (flush_next(flush))
		return flush;
	flush_volume_free(flush);
	return NULL;
}

void flush_volume_cancel(struct flush_volume *flush)
{
	if (flush->flush)
		flush_cancel(flush->flush);
	flush_volume_free(flush);
}
