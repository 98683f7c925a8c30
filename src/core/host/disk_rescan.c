/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A disk has a note from the first call of disk_rescan() until the kernel shows another size, or
 * another disk in its place. Only the attempt tells whether this process may rescan the disk.
 */

#include "core/host/disk_rescan.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/env.h"
#include "core/host/host.h"
#include "disk/rescan.h"
#include "disk/sysblock.h"

#define AGAIN_MS 5000

struct disk_rescan {
	TAILQ_ENTRY(disk_rescan) entry;
	struct host *host;
	struct device device; /* with the size that it has outgrown */
	struct rescan *call;  /* under way, or NULL */
	struct err err;       /* of the last rescan */
	int64_t next_ms;      /* clock_mono_ms(); not rescanned before */
};

static void note_free(struct disk_rescan *note)
{
	TAILQ_REMOVE(&note->host->rescans, note, entry);
	if (note->call)
		rescan_cancel(note->call);
	free(note);
}

static bool is_over(const struct disk_rescan *note)
{
	const struct device *now = sysblock_find(note->host->env->sysblock, note->device.name);

	return !now || now->seen != note->device.seen || now->size != note->device.size;
}

static void drop_notes_that_are_over(struct host *host)
{
	struct disk_rescan *note, *next;

	for (note = TAILQ_FIRST(&host->rescans); note; note = next) {
		next = TAILQ_NEXT(note, entry);
		if (is_over(note))
			note_free(note);
	}
}

static struct disk_rescan *note_of(struct host *host, const struct device *device)
{
	struct disk_rescan *note;

	TAILQ_FOREACH(note, &host->rescans, entry) {
		if (note->device.seen == device->seen)
			return note;
	}
	note = xnew(struct disk_rescan);
	note->host = host;
	note->device = *device;
	TAILQ_INSERT_TAIL(&host->rescans, note, entry);
	return note;
}

static void on_rescanned(void *arg, const struct err *err)
{
	struct disk_rescan *note = arg;

	note->call = NULL;
	note->next_ms = clock_mono_ms() + AGAIN_MS;
	if (err->code && !streq(err->text, note->err.text))
		log_warning("device %s: its size could not be read anew: %s", note->device.path,
			    err->text);
	note->err = *err;
	if (!err->code)
		sysblock_wake(note->host->env->sysblock);
}

void disk_rescan(struct host *host, const struct device *device)
{
	struct disk_rescan *note;

	drop_notes_that_are_over(host);
	if (device->bus != BUS_SCSI)
		return;
	note = note_of(host, device);
	if (!note->call && clock_mono_ms() >= note->next_ms)
		note->call = rescan_start(host->env->rescanner, device->name, on_rescanned, note);
}

/* A disk without the kernel's file cannot be rescanned by an operator either. */
static bool is_trouble(const struct disk_rescan *note)
{
	return note->err.code && note->err.code != ERR_NOT_FOUND && !is_over(note);
}

char *disk_rescan_trouble(const struct host *host, const struct device *device)
{
	const struct disk_rescan *note;

	TAILQ_FOREACH(note, &host->rescans, entry) {
		if (!is_trouble(note) || (device && device->seen != note->device.seen))
			continue;
		return xasprintf(
			"%s has another size in CloudStack than the %" PRIu64
			" bytes that the kernel shows, and the daemon cannot make the kernel look "
			"again (%s); run as root: echo 1 > %s/block/%s/device/rescan",
			note->device.path, note->device.size, note->err.text,
			host->env->options.sysfs_root, note->device.name);
	}
	return NULL;
}

void disk_rescans_free(struct host *host)
{
	struct disk_rescan *note;

	while ((note = TAILQ_FIRST(&host->rescans)))
		note_free(note);
}
