/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The kernel in memory: disk/sysblock.h, usage.h and probe.h on a table instead of a file system,
 * since a hundred thousand worlds of files would take a day.
 *
 * There are two pictures of it. The table is the truth and changes at any moment; what the daemon
 * has scanned is as old as its last scan, which uevents bring forward if they are not lost. Only
 * sysblock_verify() and a new scan read the truth, as with the real one, and a disk that does not
 * say who it is is held back for as long.
 */

#include "disk/flush.h"
#include "disk/identity.h"
#include "disk/probe.h"
#include "disk/rescan.h"
#include "disk/usage.h"
#include "sim.h"

#define PAUSE_MS 50
#define PROBE_MS 30
#define USAGE_MS 20

/* ---- the truth ---- */

void disk_name(size_t index, char name[16])
{
	snprintf(name, 16, "vd%c", (char)('a' + index));
}

int disk_index(const char *name)
{
	return strlen(name) == 3 && name[0] == 'v' && name[1] == 'd' && name[2] >= 'a' &&
			       name[2] <= 'z'
		       ? name[2] - 'a'
		       : -1;
}

static void tell(struct sim_kernel *kernel)
{
	kernel->generation++;
	if (kernel->watcher && !random_percent(&kernel->sim->chance, kernel->lost_percent))
		sysblock_wake(kernel->watcher);
}

void kernel_free_name(const struct fake_kernel *face, char name[16])
{
	const struct sim_kernel *kernel = &sim_now->kernel;
	size_t index = kernel->in_order ? 1 : (size_t)random_between(&kernel->sim->chance, 1, 6);

	while (kernel->disks[index].there)
		index = index + 1 < DISKS_MAX ? index + 1 : 1;
	disk_name(index, name);
}

uint64_t kernel_plug(struct fake_kernel *face, const char *name, const char *serial, uint64_t size)
{
	struct sim_kernel *kernel = &sim_now->kernel;
	struct disk *disk = &kernel->disks[disk_index(name)];
	struct random *chance = &kernel->sim->chance;

	disk->there = true;
	disk->held = false;
	disk->inode = ++kernel->last_inode;
	disk->diskseq = ++kernel->last_diskseq;
	disk->size = size;
	snprintf(disk->serial, sizeof(disk->serial), "%s", str_or(serial, ""));
	disk->serial_at_ms =
		clock_mono_ms() + (random_percent(chance, 10) ? random_between(chance, 1, 200) : 0);
	sim_say(kernel->sim, "kernel: %s appears, %llu bytes, serial %s", name,
		(unsigned long long)size, str_or(serial, "none"));
	tell(kernel);
	return disk->diskseq;
}

void kernel_unplug(struct fake_kernel *face, const char *name)
{
	struct sim_kernel *kernel = &sim_now->kernel;
	struct disk *disk = &kernel->disks[disk_index(name)];
	const struct fake_volume *volume;

	disk->there = false;
	disk->left = NULL;
	disk->left_ms = clock_mono_ms();
	TAILQ_FOREACH(volume, &kernel->sim->server.volumes, entry) {
		if (streq(volume->disk, name))
			disk->left = volume;
	}
	sim_say(kernel->sim, "kernel: %s goes", name);
	tell(kernel);
}

void kernel_resize(struct fake_kernel *face, const char *name, uint64_t size)
{
	struct sim_kernel *kernel = &sim_now->kernel;

	kernel->disks[disk_index(name)].size = size;
	sim_say(kernel->sim, "kernel: %s has %llu bytes", name, (unsigned long long)size);
	tell(kernel);
}

void sim_kernel_init(struct sim_kernel *kernel, struct sim *sim)
{
	*kernel = (struct sim_kernel){ .sim = sim, .boots = 1 };
}

void sim_kernel_reboot(struct sim_kernel *kernel)
{
	struct disk old[DISKS_MAX];
	struct fake_volume *volume;

	memcpy(old, kernel->disks, sizeof(old));
	for (size_t i = 1; i < DISKS_MAX; i++)
		kernel->disks[i] = (struct disk){ 0 };
	kernel->boots++;
	kernel->disks[0].diskseq = kernel->last_diskseq = 1;
	for (size_t i = 1; i < DISKS_MAX; i++) {
		size_t to = (size_t)random_between(&kernel->sim->chance, 1, 6);
		char from_name[16], to_name[16];

		if (!old[i].there)
			continue;
		while (kernel->disks[to].there)
			to = to + 1 < DISKS_MAX ? to + 1 : 1;
		disk_name(i, from_name);
		disk_name(to, to_name);
		kernel->disks[to] = old[i];
		kernel->disks[to].held = false;
		kernel->disks[to].diskseq = ++kernel->last_diskseq;
		kernel->disks[to].inode = ++kernel->last_inode;
		sim_say(kernel->sim, "kernel: what was %s is %s", from_name, to_name);
		TAILQ_FOREACH(volume, &kernel->sim->server.volumes, entry) {
			if (!streq(volume->disk, from_name))
				continue;
			memcpy(volume->disk, to_name, sizeof(to_name));
			volume->disk[0] = 'V'; /* lest it be renamed twice */
		}
	}
	TAILQ_FOREACH(volume, &kernel->sim->server.volumes, entry) {
		if (volume->disk[0] == 'V')
			volume->disk[0] = 'v';
	}
	kernel->generation++;
}

/* ---- what the daemon scans ---- */

struct entry {
	bool there, listed;
	int64_t held_until_ms;
	bool settled;
	struct device device;
};

struct sysblock {
	struct loop *loop;
	struct sim_kernel *kernel;
	struct sysblock_listener listener;
	struct loop_timer tick;
	int64_t scan_ms;
	int64_t quiet_until_ms;
	bool opening;
	struct entry entries[DISKS_MAX];
	struct device devices[DISKS_MAX]; /* the listed ones */
	size_t count;
	uint64_t last_diskseq, last_seen, scans;
};

/* Through the real parser of serials. */
void disk_read_identity(const struct disk *disk, struct device *device)
{
	memset(device->serial, 0, sizeof(device->serial));
	memset(device->identity, 0, sizeof(device->identity));
	device->has_identity = false;
	if (disk->serial[0] && clock_mono_ms() >= disk->serial_at_ms)
		identity_buses[BUS_VIRTIO].attributes[0].parse(disk->serial, strlen(disk->serial),
							       device);
}

static void entry_begin(struct sysblock *sysblock, struct entry *entry, size_t index)
{
	const struct disk *disk = &sysblock->kernel->disks[index];
	struct device *device = &entry->device;

	*entry = (struct entry){ .there = true,
				 .held_until_ms = clock_mono_ms() + SYSBLOCK_HELD_MS };
	disk_name(index, device->name);
	snprintf(device->path, sizeof(device->path), "/dev/vd%c", (char)('a' + index));
	device->bus = BUS_VIRTIO;
	device->inode = disk->inode;
	device->diskseq = disk->diskseq;
	device->size = disk->size;
	device->seen = ++sysblock->last_seen;
	if (disk->diskseq > sysblock->last_diskseq)
		sysblock->last_diskseq = disk->diskseq;
}

/* One that speaks up after it was listed is removed and added again. */
static void entry_look(struct sysblock *sysblock, struct entry *entry, size_t index,
		       struct device *removed, size_t *removed_count)
{
	if (entry->device.has_identity || entry->settled)
		return;
	entry->settled = clock_mono_ms() >= entry->held_until_ms;
	if (entry->listed) {
		struct device now = entry->device;

		disk_read_identity(&sysblock->kernel->disks[index], &now);
		if (!now.has_identity)
			return;
		removed[(*removed_count)++] = entry->device;
		entry->listed = false;
		entry->device = now;
		return;
	}
	disk_read_identity(&sysblock->kernel->disks[index], &entry->device);
}

static void plan_next(struct sysblock *sysblock)
{
	int64_t delay_ms = sysblock->scan_ms;

	for (size_t i = 0; i < DISKS_MAX; i++) {
		if (sysblock->entries[i].there && !sysblock->entries[i].listed &&
		    delay_ms > SYSBLOCK_SETTLE_MS)
			delay_ms = SYSBLOCK_SETTLE_MS;
	}
	loop_timer_set(sysblock->loop, &sysblock->tick, delay_ms);
}

int sysblock_scan(struct sysblock *sysblock, struct err *err)
{
	struct device removed[2 * DISKS_MAX], added[DISKS_MAX], resized[DISKS_MAX];
	size_t removed_count = 0, added_count = 0, resized_count = 0;

	sysblock->scans++;
	sysblock->count = 0;
	for (size_t i = 0; i < DISKS_MAX; i++) {
		const struct disk *disk = &sysblock->kernel->disks[i];
		struct entry *entry = &sysblock->entries[i];

		if (entry->there && (!disk->there || disk->inode != entry->device.inode)) {
			if (entry->listed)
				removed[removed_count++] = entry->device;
			entry->there = entry->listed = false;
		}
		if (disk->there && !entry->there)
			entry_begin(sysblock, entry, i);
		if (!entry->there)
			continue;
		entry_look(sysblock, entry, i, removed, &removed_count);
		if (entry->device.size != disk->size) {
			entry->device.size = disk->size;
			if (entry->listed)
				resized[resized_count++] = entry->device;
		}
		if (!entry->listed &&
		    (sysblock->opening || entry->device.has_identity || entry->settled)) {
			entry->listed = true;
			added[added_count++] = entry->device;
		}
		if (entry->listed)
			sysblock->devices[sysblock->count++] = entry->device;
	}
	plan_next(sysblock);
	for (size_t i = 0; i < removed_count && !sysblock->opening; i++)
		sysblock->listener.removed(sysblock->listener.arg, &removed[i]);
	for (size_t i = 0; i < resized_count && !sysblock->opening; i++)
		sysblock->listener.resized(sysblock->listener.arg, &resized[i], 0);
	for (size_t i = 0; i < added_count && !sysblock->opening; i++)
		sysblock->listener.added(sysblock->listener.arg, &added[i]);
	return 0;
}

static void on_tick(struct loop_timer *timer)
{
	(void)sysblock_scan(container_of(timer, struct sysblock, tick), NULL);
}

void sysblock_wake(struct sysblock *sysblock)
{
	int64_t now_ms = clock_mono_ms();
	int64_t due_ms = sysblock->quiet_until_ms > now_ms ? sysblock->quiet_until_ms : now_ms;

	if (loop_timer_is_set(&sysblock->tick) && sysblock->tick.due_ms <= due_ms)
		return;
	loop_timer_set(sysblock->loop, &sysblock->tick, due_ms - now_ms);
	sysblock->quiet_until_ms = due_ms + PAUSE_MS;
}

/* Here each disk has its identity from the beginning. */
void sysblock_ask_identities(struct sysblock *sysblock)
{
}

struct sysblock *sysblock_open(struct loop *loop, const struct sysblock_options *options,
			       const struct sysblock_listener *listener, struct err *err)
{
	struct sysblock *sysblock = xnew(struct sysblock);

	sysblock->loop = loop;
	sysblock->kernel = &sim_now->kernel;
	sysblock->kernel->watcher = sysblock;
	sysblock->listener = *listener;
	sysblock->tick.fire = on_tick;
	sysblock->scan_ms = options->scan_ms;
	sysblock->opening = true;
	(void)sysblock_scan(sysblock, err);
	sysblock->opening = false;
	return sysblock;
}

struct sysblock *sysblock_close(struct sysblock *sysblock)
{
	if (!sysblock)
		return NULL;
	sysblock->kernel->watcher = NULL;
	loop_timer_clear(sysblock->loop, &sysblock->tick);
	free(sysblock);
	return NULL;
}

size_t sysblock_count(const struct sysblock *sysblock)
{
	return sysblock->count;
}

const struct device *sysblock_at(const struct sysblock *sysblock, size_t index)
{
	return &sysblock->devices[index];
}

const struct device *sysblock_find(const struct sysblock *sysblock, const char *name)
{
	for (size_t i = 0; i < sysblock->count; i++) {
		if (streq(sysblock->devices[i].name, name))
			return &sysblock->devices[i];
	}
	return NULL;
}

bool sysblock_verify(struct sysblock *sysblock, const struct device *device)
{
	const struct disk *disk = &sysblock->kernel->disks[disk_index(device->name)];
	struct device now = *device;

	if (!disk->there)
		return false;
	disk_read_identity(disk, &now);
	return disk->inode == device->inode && disk->diskseq == device->diskseq &&
	       disk->size == device->size && now.has_identity == device->has_identity &&
	       streq(now.serial, device->serial) && streq(now.identity, device->identity);
}

void sysblock_set_interval(struct sysblock *sysblock, int64_t scan_ms)
{
}

bool sysblock_is_settling(const struct sysblock *sysblock)
{
	for (size_t i = 0; i < DISKS_MAX; i++) {
		if (sysblock->entries[i].there && !sysblock->entries[i].listed)
			return true;
	}
	return false;
}

uint64_t sysblock_last_diskseq(const struct sysblock *sysblock)
{
	return sysblock->last_diskseq;
}

uint64_t sysblock_last_seen(const struct sysblock *sysblock)
{
	return sysblock->last_seen;
}

void sysblock_health(const struct sysblock *sysblock, struct sysblock_health *out)
{
	*out = (struct sysblock_health){ .ok = true, .uevents = true, .scans = sysblock->scans };
}

/* ---- who uses it, and what is on it ---- */

struct usage_checker {
	struct loop *loop;
};

struct usage_check {
	struct usage_checker *checker;
	struct loop_timer timer;
	int index;
	usage_done_fn done;
	void *arg;
};

struct usage_checker *usage_checker_new(struct loop *loop, const struct usage_options *options)
{
	struct usage_checker *checker = xnew(struct usage_checker);

	checker->loop = loop;
	return checker;
}

struct usage_checker *usage_checker_free(struct usage_checker *checker)
{
	free(checker);
	return NULL;
}

static void on_usage_check(struct loop_timer *timer)
{
	struct usage_check *check = container_of(timer, struct usage_check, timer);
	struct usage_result result = { .what = "mounted", .left_out = "" };

	result.kind = check->index == 0                          ? USAGE_ROOT
		      : sim_now->kernel.disks[check->index].held ? USAGE_HELD
								 : USAGE_NONE;
	check->done(check->arg, &result);
	free(check);
}

struct usage_check *usage_check_start(struct usage_checker *checker, const char *name,
				      const struct usage_ignore *ignore, usage_done_fn done,
				      void *arg)
{
	struct usage_check *check = xnew(struct usage_check);

	*check = (struct usage_check){ .checker = checker,
				       .timer.fire = on_usage_check,
				       .index = disk_index(name),
				       .done = done,
				       .arg = arg };
	loop_timer_set(checker->loop, &check->timer, USAGE_MS);
	return check;
}

void usage_check_cancel(struct usage_check *check)
{
	loop_timer_clear(check->checker->loop, &check->timer);
	free(check);
}

/* No disk is on a bus that needs a rescan. */
struct rescanner *rescanner_new(struct loop *loop, const char *sysfs_root, int64_t timeout_ms,
				const char *setting)
{
	return NULL;
}

struct rescanner *rescanner_free(struct rescanner *rescanner)
{
	return NULL;
}

struct rescan *rescan_start(struct rescanner *rescanner, const char *name, rescan_done_fn done,
			    void *arg)
{
	return NULL;
}

void rescan_cancel(struct rescan *rescan)
{
}

struct flusher {
	struct loop *loop;
};

struct flush {
	struct flusher *flusher;
	struct loop_timer timer;
	flush_done_fn done;
	void *arg;
};

struct flusher *flusher_new(struct loop *loop, const struct usage_options *options)
{
	struct flusher *flusher = xnew(struct flusher);

	flusher->loop = loop;
	return flusher;
}

void flusher_set_timeout(struct flusher *flusher, int64_t timeout_ms)
{
}

struct flusher *flusher_free(struct flusher *flusher)
{
	free(flusher);
	return NULL;
}

static void on_flush(struct loop_timer *timer)
{
	struct flush *flush = container_of(timer, struct flush, timer);

	flush->done(flush->arg, &(struct err){ 0 });
	free(flush);
}

struct flush *flush_start(struct flusher *flusher, const char *path, flush_done_fn done, void *arg)
{
	struct flush *flush = xnew(struct flush);

	*flush = (struct flush){
		.flusher = flusher, .timer.fire = on_flush, .done = done, .arg = arg
	};
	loop_timer_set(flusher->loop, &flush->timer, USAGE_MS);
	return flush;
}

struct flush *flush_upper_start(struct flusher *flusher, const char *name, flush_done_fn done,
				void *arg)
{
	return flush_start(flusher, name, done, arg);
}

void flush_cancel(struct flush *flush)
{
	loop_timer_clear(flush->flusher->loop, &flush->timer);
	free(flush);
}

struct prober {
	struct loop *loop;
};

struct probe {
	struct prober *prober;
	struct loop_timer timer;
	char path[32];
	probe_done_fn done;
	void *arg;
};

struct prober *prober_new(struct loop *loop, int64_t timeout_ms, const char *setting)
{
	struct prober *prober = xnew(struct prober);

	prober->loop = loop;
	return prober;
}

struct prober *prober_free(struct prober *prober)
{
	free(prober);
	return NULL;
}

/* Reads the disk that has the name now, whoever's that is; its contents are its owner's id. */
static void on_probe(struct loop_timer *timer)
{
	struct probe *probe = container_of(timer, struct probe, timer);
	struct probe_result result = { .filesystem = "ext4" };
	const struct fake_volume *volume;

	TAILQ_FOREACH(volume, &sim_now->server.volumes, entry) {
		if (volume->disk[0] && streq(probe->path + strlen("/dev/"), volume->disk))
			snprintf(result.uuid, sizeof(result.uuid), "%s", volume->id);
	}
	probe->done(probe->arg, &result);
	free(probe);
}

struct probe *probe_start(struct prober *prober, const char *path, probe_done_fn done, void *arg)
{
	struct probe *probe = xnew(struct probe);

	*probe = (struct probe){
		.prober = prober, .timer.fire = on_probe, .done = done, .arg = arg
	};
	snprintf(probe->path, sizeof(probe->path), "%s", path);
	loop_timer_set(prober->loop, &probe->timer, PROBE_MS);
	return probe;
}

void probe_cancel(struct probe *probe)
{
	loop_timer_clear(probe->prober->loop, &probe->timer);
	free(probe);
}
