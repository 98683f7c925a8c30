/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Disks that are opened: disk/opener.h and disk/block_device.h on the kernel in memory, around the
 * real disk/proof.c.
 *
 * In each moment between the call and the last look at the open disk, the disk may be pulled and
 * another one come under its name: a stranger of the same size, or the same disk once more. The
 * number of a disk that is gone is given away again at once, also while the disk is open; a real
 * kernel is not that careless.
 */

#include <errno.h>

#include "disk/block_device.h"
#include "disk/opener.h"
#include "disk/proof.h"
#include "sim.h"

#define OPEN_MS 20
#define OPENED_MAX 8
#define FIRST_HANDLE 1000
#define SWAP_PERCENT 12

struct open_score open_score;

/* ---- open disks ---- */

static struct opened {
	bool is_used;
	bool read_only;
	size_t index; /* its name, and its number */
	uint64_t inode, diskseq, size;
	const struct fake_volume *owner; /* whose disk it is, NULL: a stranger's */
} opened[OPENED_MAX];

static struct opened *opened_of(int fd)
{
	return &opened[fd - FIRST_HANDLE];
}

static struct fake_volume *owner_of(struct sim *sim, size_t index)
{
	struct fake_volume *volume;
	char name[16];

	disk_name(index, name);
	TAILQ_FOREACH(volume, &sim->server.volumes, entry) {
		if (streq(volume->disk, name))
			return volume;
	}
	return NULL;
}

bool opened_is_of(int fd, const char *volume_id)
{
	const struct opened *disk = opened_of(fd);

	return disk->owner && streq(disk->owner->id, volume_id);
}

/* ---- names that change hands ---- */

static void swap(struct sim *sim, size_t index)
{
	struct fake_volume *owner = owner_of(sim, index);
	const struct disk was = sim->kernel.disks[index];
	char name[16], serial[21];

	open_score.swaps++;
	disk_name(index, name);
	kernel_unplug(&sim->kernel.face, name);
	if (owner && owner->serial == SERIAL_OWN && random_percent(&sim->chance, 20)) {
		kernel_plug(&sim->kernel.face, name, was.serial, was.size);
		return;
	}
	if (owner)
		owner->disk[0] = '\0';
	snprintf(serial, sizeof(serial), "6%019llx",
		 (unsigned long long)random_between(&sim->chance, 0, UINT32_MAX));
	/* Where no disk has a serial, one of a volume's size that comes during an attachment could
	 * not be told apart. */
	if (sim->server.serial == SERIAL_NONE)
		kernel_plug(&sim->kernel.face, name, NULL, was.size + 512);
	else
		kernel_plug(&sim->kernel.face, name,
			    random_percent(&sim->chance, 50) ? serial : NULL, was.size);
}

static void maybe_swap(size_t index)
{
	if (sim_now->kernel.disks[index].there && index > 0 &&
	    random_percent(&sim_now->chance, SWAP_PERCENT))
		swap(sim_now, index);
}

/* ---- disk/block_device.h ---- */

int block_device_open(const char *path, bool read_only)
{
	size_t index = (size_t)disk_index(path + strlen("/dev/"));
	const struct disk *disk = &sim_now->kernel.disks[index];

	maybe_swap(index);
	errno = ENOENT;
	if (!disk->there)
		return -1;
	for (int i = 0; i < OPENED_MAX; i++) {
		if (opened[i].is_used)
			continue;
		opened[i] = (struct opened){ .is_used = true,
					     .read_only = read_only,
					     .index = index,
					     .inode = disk->inode,
					     .diskseq = disk->diskseq,
					     .size = disk->size,
					     .owner = owner_of(sim_now, index) };
		return FIRST_HANDLE + i;
	}
	errno = EMFILE;
	return -1;
}

int block_device_size(int fd, uint64_t *bytes)
{
	const struct opened *disk = opened_of(fd);

	maybe_swap(disk->index);
	*bytes = disk->size;
	return 0;
}

int block_device_diskseq(int fd, uint64_t *diskseq)
{
	const struct opened *disk = opened_of(fd);

	maybe_swap(disk->index);
	*diskseq = disk->diskseq;
	return 0;
}

int block_device_in_sysfs(int fd, const char *sysfs_root, struct device *device)
{
	const struct opened *disk = opened_of(fd);
	const struct disk *there = &sim_now->kernel.disks[disk->index];

	maybe_swap(disk->index);
	errno = ENOENT;
	if (!there->there)
		return -1;
	device->diskseq = there->diskseq;
	disk_read_identity(there, device);
	return 0;
}

/* ---- disk/opener.h ---- */

struct disk_opener {
	struct loop *loop;
};

struct disk_opening {
	struct disk_opener *opener;
	struct loop_timer timer;
	struct device disk;
	char volume_id[37];
	bool read_only;
	disk_opened_fn done;
	void *arg;
};

struct disk_opener *disk_opener_new(struct loop *loop, const char *sysfs_root, int64_t timeout_ms,
				    const char *setting)
{
	struct disk_opener *opener = xnew(struct disk_opener);

	opener->loop = loop;
	return opener;
}

struct disk_opener *disk_opener_free(struct disk_opener *opener)
{
	free(opener);
	return NULL;
}

static void on_open(struct loop_timer *timer)
{
	struct disk_opening *opening = container_of(timer, struct disk_opening, timer);
	unsigned long swaps = open_score.swaps;
	struct err err = { 0 };
	int fd = block_device_open(opening->disk.path, opening->read_only);

	if (fd < 0)
		err_set(&err, ERR_CONFLICT, "%s", strerror(errno));
	else
		disk_prove(fd, &opening->disk, opening->volume_id, "/sys", &err);
	open_score.given += !err.code;
	open_score.refused += err.code != ERR_NONE;
	if (swaps != open_score.swaps)
		sim_say(sim_now, "kernel: %s changed hands while it was opened: %s",
			opening->disk.name, err.code ? "refused" : "given");
	opening->done(opening->arg, err.code ? -1 : fd, &err);
	if (fd >= 0)
		opened_of(fd)->is_used = false;
	free(opening);
}

struct disk_opening *disk_open_start(struct disk_opener *opener, const struct device *disk,
				     const char *volume_id, bool read_only, disk_opened_fn done,
				     void *arg)
{
	struct disk_opening *opening = xnew(struct disk_opening);

	*opening = (struct disk_opening){ .opener = opener,
					  .timer.fire = on_open,
					  .disk = *disk,
					  .read_only = read_only,
					  .done = done,
					  .arg = arg };
	snprintf(opening->volume_id, sizeof(opening->volume_id), "%s", volume_id);
	loop_timer_set(opener->loop, &opening->timer, OPEN_MS);
	return opening;
}

void disk_open_cancel(struct disk_opening *opening)
{
	loop_timer_clear(opening->opener->loop, &opening->timer);
	free(opening);
}
