/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Watching /sys/block by scans.
 *
 * A scan lists the directory (names and inodes: two system calls for most machines), walks the
 * sorted list beside the sorted entries it knows, and so finds entries that are gone and entries
 * that are new; a name with another inode is both. Then it looks at entries: at all that wait for
 * something (new ones, and disks that have not given their identity yet), and at a slice of the
 * others, since a size or the file behind a loop device changes without any event.
 *
 * look() applies the findings of one look: an entry is empty (no size: a loop device without a
 * file), held (has a size, may still tell its identity) or listed. Callers see listed ones only. An
 * entry that was empty, or whose diskseq changed, is another disk than before and gets a new
 * `seen`.
 *
 * Changes are collected and reported after all entries are up to date, so that a callback sees the
 * same disks as all other code.
 */

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "disk/attribute.h"
#include "disk/identity.h"
#include "disk/sysblock.h"
#include "disk/uevent.h"

#define SLICE 200   /* entries looked at again per scan: about a millisecond */
#define PAUSE_MS 50 /* one hot-plug raises a handful of uevents */

enum entry_state { ENTRY_EMPTY, ENTRY_HELD, ENTRY_LISTED };

struct entry {
	struct device device;
	enum entry_state state;
	/* after a read at this time or later, the identity is not read any more */
	int64_t held_until_ms;
	bool settled;
	uint64_t scan; /* the last scan that looked at it */
	bool is_new;   /* never looked at */
};

/* One line of the directory. */
struct found {
	char name[DEVICE_NAME_SIZE];
	uint64_t inode;
};

enum change_kind { CHANGE_REMOVED, CHANGE_RESIZED, CHANGE_ADDED, CHANGE_COUNT };

struct change {
	enum change_kind kind;
	struct device device;
	uint64_t old_size;
};

struct sysblock {
	struct loop *loop;
	struct sysblock_listener listener;
	struct uevent *uevent;
	struct loop_timer tick;
	char *block_path;
	char *dev_root;
	int64_t scan_ms;
	int64_t quiet_until_ms; /* monotonic; no scan is brought forward to before that */
	unsigned buses;

	DIR *dir;            /* of block_path; NULL while it cannot be opened */
	struct found *found; /* the last listing, sorted by name */
	size_t found_count, found_room;

	struct entry **entries; /* sorted by name */
	size_t entry_count;
	size_t cursor; /* where the next slice begins */

	struct device *devices; /* the listed disks, sorted by name; callers see these */
	size_t device_count;

	struct change *changes;
	size_t change_count, change_room;

	uint64_t last_diskseq, last_seen;
	struct sysblock_health health;
	bool opening; /* the first scan */
	bool scanning;
};

/* ---- the directory ---- */

/* Makes sure that dir is the directory that block_path names now, at its beginning. */
static int open_directory(struct sysblock *sysblock, struct err *err)
{
	struct stat now, held;

	if (sysblock->dir && stat(sysblock->block_path, &now) == 0 &&
	    fstat(dirfd(sysblock->dir), &held) == 0 && now.st_dev == held.st_dev &&
	    now.st_ino == held.st_ino) {
		rewinddir(sysblock->dir);
		return 0;
	}
	if (sysblock->dir)
		closedir(sysblock->dir);
	sysblock->dir = opendir(sysblock->block_path);
	if (!sysblock->dir)
		return err_set(err, ERR_UNAVAILABLE, "the list of disks, %s, cannot be opened: %s",
			       sysblock->block_path, strerror(errno));
	return 0;
}

static void add_found(struct sysblock *sysblock, const struct dirent *line)
{
	struct found *found;

	if (sysblock->found_count == sysblock->found_room) {
		sysblock->found_room = sysblock->found_room ? 2 * sysblock->found_room : 64;
		sysblock->found =
			xrealloc(sysblock->found, sysblock->found_room * sizeof(*sysblock->found));
	}
	found = &sysblock->found[sysblock->found_count++];
	memcpy(found->name, line->d_name, strlen(line->d_name) + 1);
	found->inode = line->d_ino;
}

static int compare_found(const void *a, const void *b)
{
	return strcmp(((const struct found *)a)->name, ((const struct found *)b)->name);
}

/* Fills found[]. -1 unless the whole directory could be read. */
static int list_directory(struct sysblock *sysblock, struct err *err)
{
	const struct dirent *line;
	size_t lines = 0;

	if (open_directory(sysblock, err) < 0)
		return -1;
	sysblock->found_count = 0;
	for (;;) {
		errno = 0;
		line = readdir(sysblock->dir);
		if (!line)
			break;
		if (++lines > SYSBLOCK_ENTRIES_MAX)
			return err_set(err, ERR_TOO_MANY, "%s has more than %d entries",
				       sysblock->block_path, SYSBLOCK_ENTRIES_MAX);
		if (line->d_name[0] != '.' && strlen(line->d_name) < DEVICE_NAME_SIZE)
			add_found(sysblock, line);
	}
	if (errno)
		return err_set(err, ERR_UNAVAILABLE, "the list of disks, %s, cannot be read: %s",
			       sysblock->block_path, strerror(errno));
	if (sysblock->found_count > 1)
		qsort(sysblock->found, sysblock->found_count, sizeof(*sysblock->found),
		      compare_found);
	return 0;
}

/*
 * Size, diskseq, read-only, and the number, which an inode keeps. -1 if there is no size to be
 * read; then the others stay as they are.
 */
static int read_numbers(int block_fd, struct device *device)
{
	_cleanup_free_ char *number = NULL;
	uint64_t read_only;

	if (attribute_read_size(block_fd, device->name, &device->size) < 0)
		return -1;
	attribute_read_number(block_fd, device->name, "diskseq", &device->diskseq);
	if (attribute_read_number(block_fd, device->name, "ro", &read_only) == 0)
		device->read_only = read_only != 0;
	if (!device->number[0]) {
		number = attribute_read(block_fd, device->name, "dev");
		snprintf(device->number, sizeof(device->number), "%s", str_or(number, ""));
	}
	return 0;
}

/* ---- changes ---- */

static void note_change(struct sysblock *sysblock, enum change_kind kind,
			const struct device *device, uint64_t old_size)
{
	if (sysblock->change_count == sysblock->change_room) {
		sysblock->change_room = sysblock->change_room ? 2 * sysblock->change_room : 16;
		sysblock->changes = xrealloc(sysblock->changes,
					     sysblock->change_room * sizeof(*sysblock->changes));
	}
	sysblock->changes[sysblock->change_count++] =
		(struct change){ .kind = kind, .device = *device, .old_size = old_size };
}

static void tell_change(struct sysblock *sysblock, const struct change *change)
{
	const struct sysblock_listener *listener = &sysblock->listener;

	switch (change->kind) {
	case CHANGE_REMOVED:
		if (listener->removed)
			listener->removed(listener->arg, &change->device);
		break;
	case CHANGE_RESIZED:
		if (listener->resized)
			listener->resized(listener->arg, &change->device, change->old_size);
		break;
	case CHANGE_ADDED:
		if (listener->added)
			listener->added(listener->arg, &change->device);
		break;
	case CHANGE_COUNT:
		break;
	}
}

static void tell_changes(struct sysblock *sysblock)
{
	if (!sysblock->opening)
		sysblock->health.changes += sysblock->change_count;
	for (enum change_kind kind = 0; kind < CHANGE_COUNT && !sysblock->opening; kind++) {
		for (size_t i = 0; i < sysblock->change_count; i++) {
			if (sysblock->changes[i].kind == kind)
				tell_change(sysblock, &sysblock->changes[i]);
		}
	}
	sysblock->change_count = 0;
}

/* ---- one entry ---- */

static void clear_identity(struct device *device)
{
	memset(device->serial, 0, sizeof(device->serial));
	memset(device->identity, 0, sizeof(device->identity));
	device->has_identity = false;
}

static void entry_unlist(struct sysblock *sysblock, struct entry *entry)
{
	if (entry->state == ENTRY_LISTED)
		note_change(sysblock, CHANGE_REMOVED, &entry->device, 0);
	entry->state = ENTRY_EMPTY;
}

/* NULL if the name is not that of a disk to look at. */
static struct entry *entry_new(struct sysblock *sysblock, const struct found *found)
{
	struct entry *entry;
	enum device_bus bus;

	if (identity_find_bus(dirfd(sysblock->dir), found->name, &bus) < 0 ||
	    !(sysblock->buses & 1U << bus))
		return NULL;
	entry = xnew(struct entry);
	memcpy(entry->device.name, found->name, sizeof(entry->device.name));
	/* Fits: checked by sysblock_open(). */
	snprintf(entry->device.path, sizeof(entry->device.path), "%s/%.*s", sysblock->dev_root,
		 DEVICE_NAME_SIZE - 1, found->name);
	for (char *c = entry->device.path + strlen(sysblock->dev_root); *c; c++) {
		if (*c == '!') /* how the kernel writes "cciss/c0d0" in sysfs */
			*c = '/';
	}
	entry->device.bus = bus;
	entry->device.inode = found->inode;
	entry->is_new = true;
	return entry;
}

/* A new disk is there, which callers do not see yet. */
static void entry_begin(struct sysblock *sysblock, struct entry *entry)
{
	entry->device.seen = ++sysblock->last_seen;
	entry->held_until_ms = clock_mono_ms() + SYSBLOCK_HELD_MS;
	entry->settled = false;
	entry->state = ENTRY_HELD;
	clear_identity(&entry->device);
}

static bool may_ask_identity(const struct entry *entry)
{
	return !entry->device.has_identity && !entry->settled &&
	       identity_can_have(entry->device.bus);
}

/*
 * Reads the identity, unless it is final. A listed disk that gives another serial than before is
 * held again.
 */
static void look_at_identity(struct sysblock *sysblock, struct entry *entry)
{
	struct device now = entry->device;
	bool required = identity_buses[now.bus].required;

	if (!required && !may_ask_identity(entry))
		return;
	entry->settled = clock_mono_ms() >= entry->held_until_ms;
	identity_read(dirfd(sysblock->dir), &now);
	if (required && !now.has_identity) {
		entry_unlist(sysblock, entry);
		return;
	}
	if (entry->state == ENTRY_LISTED && !streq(now.serial, entry->device.serial)) {
		entry_unlist(sysblock, entry);
		entry->state = ENTRY_HELD;
		if (entry->device.has_identity)
			now.seen = ++sysblock->last_seen;
	}
	entry->device = now;
}

static void entry_list(struct sysblock *sysblock, struct entry *entry)
{
	entry->state = ENTRY_LISTED;
	note_change(sysblock, CHANGE_ADDED, &entry->device, 0);
}

/* Reads the values of an entry that may have changed, and moves it to the state that follows. */
static void look(struct sysblock *sysblock, struct entry *entry)
{
	struct device now = entry->device;
	uint64_t old_size = now.size;

	entry->scan = sysblock->health.scans;
	entry->is_new = false;
	/*
	 * An unreadable disk is either not complete yet or about to go; the next listing shows
	 * that.
	 */
	if (read_numbers(dirfd(sysblock->dir), &now) < 0)
		return;
	if (now.diskseq != entry->device.diskseq || now.size == 0)
		entry_unlist(sysblock, entry);
	if (now.diskseq > sysblock->last_diskseq)
		sysblock->last_diskseq = now.diskseq;
	entry->device = now;
	if (now.size == 0)
		return;
	if (entry->state == ENTRY_EMPTY)
		entry_begin(sysblock, entry);
	look_at_identity(sysblock, entry);
	if (entry->state == ENTRY_LISTED && now.size != old_size)
		note_change(sysblock, CHANGE_RESIZED, &entry->device, old_size);
	if (entry->state == ENTRY_HELD && (sysblock->opening || !may_ask_identity(entry)))
		entry_list(sysblock, entry);
}

/* ---- a scan ---- */

/* Brings entries[] in line with found[]; both are sorted by name. */
static void merge(struct sysblock *sysblock)
{
	struct entry **merged =
		xcalloc(sysblock->found_count ? sysblock->found_count : 1, sizeof(struct entry *));
	size_t count = 0, e = 0, f = 0;

	while (e < sysblock->entry_count || f < sysblock->found_count) {
		struct entry *entry = e < sysblock->entry_count ? sysblock->entries[e] : NULL;
		const struct found *found = f < sysblock->found_count ? &sysblock->found[f] : NULL;
		int order = !entry ? 1 : !found ? -1 : strcmp(entry->device.name, found->name);

		assert(entry || found);
		if (order == 0 && entry->device.inode == found->inode) {
			merged[count++] = entry;
		} else {
			if (order <= 0) {
				entry_unlist(sysblock, entry);
				free(entry);
			}
			if (order >= 0) {
				merged[count] = entry_new(sysblock, found);
				count += merged[count] ? 1 : 0;
			}
		}
		e += order <= 0 ? 1 : 0;
		f += order >= 0 ? 1 : 0;
	}
	free(sysblock->entries);
	sysblock->entries = merged;
	sysblock->entry_count = count;
}

/* Looks at all entries that wait for something, then at the next slice of the others. */
static void look_around(struct sysblock *sysblock)
{
	size_t left = SLICE < sysblock->entry_count ? SLICE : sysblock->entry_count;

	for (size_t i = 0; i < sysblock->entry_count; i++) {
		struct entry *entry = sysblock->entries[i];

		if (entry->is_new || entry->state == ENTRY_HELD ||
		    (entry->state == ENTRY_LISTED && may_ask_identity(entry)))
			look(sysblock, entry);
	}
	for (; left > 0; left--) {
		if (sysblock->cursor >= sysblock->entry_count)
			sysblock->cursor = 0;
		if (sysblock->entries[sysblock->cursor]->scan != sysblock->health.scans)
			look(sysblock, sysblock->entries[sysblock->cursor]);
		sysblock->cursor++;
	}
}

static void publish(struct sysblock *sysblock)
{
	size_t count = 0;

	sysblock->devices = xrealloc(sysblock->devices,
				     (sysblock->entry_count + 1) * sizeof(*sysblock->devices));
	for (size_t i = 0; i < sysblock->entry_count; i++) {
		if (sysblock->entries[i]->state == ENTRY_LISTED)
			sysblock->devices[count++] = sysblock->entries[i]->device;
	}
	sysblock->device_count = count;
}

bool sysblock_is_settling(const struct sysblock *sysblock)
{
	for (size_t i = 0; i < sysblock->entry_count; i++) {
		if (sysblock->entries[i]->state == ENTRY_HELD)
			return true;
	}
	return false;
}

static void plan_next(struct sysblock *sysblock)
{
	int64_t delay_ms = sysblock->scan_ms;

	if (delay_ms > SYSBLOCK_SETTLE_MS && sysblock_is_settling(sysblock))
		delay_ms = SYSBLOCK_SETTLE_MS;
	loop_timer_set(sysblock->loop, &sysblock->tick, delay_ms);
}

int sysblock_scan(struct sysblock *sysblock, struct err *err)
{
	struct err trouble;
	bool ok;

	assert(!sysblock->scanning);
	err_clear(&trouble);
	sysblock->scanning = true;
	sysblock->health.scans++;
	ok = sysblock->health.ok = list_directory(sysblock, &trouble) == 0;
	memcpy(sysblock->health.reason, trouble.text, strlen(trouble.text) + 1);
	if (ok) {
		merge(sysblock);
		look_around(sysblock);
		publish(sysblock);
	}
	plan_next(sysblock);
	tell_changes(sysblock);
	sysblock->scanning = false;
	if (!ok && err)
		*err = trouble;
	return ok ? 0 : -1;
}

static void on_tick(struct loop_timer *timer)
{
	/* The error is in health; the next tick tries again. */
	(void)sysblock_scan(container_of(timer, struct sysblock, tick), NULL);
}

void sysblock_wake(struct sysblock *sysblock)
{
	int64_t now_ms = clock_mono_ms();
	int64_t due_ms = sysblock->quiet_until_ms > now_ms ? sysblock->quiet_until_ms : now_ms;

	/* Never later than planned: a stream of events must not put the scan off without end. */
	if (loop_timer_is_set(&sysblock->tick) && sysblock->tick.due_ms <= due_ms)
		return;
	loop_timer_set(sysblock->loop, &sysblock->tick, due_ms - now_ms);
	sysblock->quiet_until_ms = due_ms + PAUSE_MS;
}

void sysblock_ask_identities(struct sysblock *sysblock)
{
	bool is_anything_asked = false;

	for (size_t i = 0; i < sysblock->entry_count; i++) {
		struct entry *entry = sysblock->entries[i];

		if (entry->state != ENTRY_LISTED || entry->device.has_identity ||
		    !identity_can_have(entry->device.bus))
			continue;
		/* The time in which the disk is held back is over, so one read settles it again. */
		entry->settled = false;
		is_anything_asked = true;
	}
	if (is_anything_asked)
		sysblock_wake(sysblock);
}

static void on_block_event(void *arg)
{
	struct sysblock *sysblock = arg;

	sysblock_wake(sysblock);
	if (sysblock->listener.stirred)
		sysblock->listener.stirred(sysblock->listener.arg);
}

/* ---- life ---- */

static int check_dev_root(const char *dev_root, struct err *err)
{
	if (strlen(dev_root) + 1 + DEVICE_NAME_SIZE <= DEVICE_PATH_SIZE)
		return 0;
	return err_set(err, ERR_INVALID, "the folder of device nodes, %s, has too long a name",
		       dev_root);
}

int sysblock_check(const char *sysfs_root, const char *dev_root, struct err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/block", sysfs_root);
	DIR *dir = opendir(path);

	if (!dir)
		return err_set(err, ERR_UNAVAILABLE, "the list of disks, %s, cannot be opened: %s",
			       path, strerror(errno));
	closedir(dir);
	return check_dev_root(dev_root, err);
}

void sysblock_set_interval(struct sysblock *sysblock, int64_t scan_ms)
{
	sysblock->scan_ms = scan_ms;
	sysblock_wake(sysblock);
}

struct sysblock *sysblock_open(struct loop *loop, const struct sysblock_options *options,
			       const struct sysblock_listener *listener, struct err *err)
{
	struct sysblock *sysblock;

	assert(loop && options->sysfs_root && options->dev_root && options->scan_ms > 0);
	if (check_dev_root(options->dev_root, err) < 0)
		return NULL;
	sysblock = xnew(struct sysblock);
	sysblock->loop = loop;
	if (listener)
		sysblock->listener = *listener;
	sysblock->tick.fire = on_tick;
	sysblock->block_path = xasprintf("%s/block", options->sysfs_root);
	sysblock->dev_root = xstrdup(options->dev_root);
	sysblock->scan_ms = options->scan_ms;
	sysblock->buses = options->buses;
	/*
	 * Listening begins before the first look, so that no change falls in between. Without
	 * uevents the scan is enough.
	 */
	if (options->uevents)
		sysblock->uevent = uevent_open(loop, on_block_event, sysblock, NULL);
	sysblock->health.uevents = sysblock->uevent != NULL;
	sysblock->opening = true;
	if (sysblock_scan(sysblock, err) < 0)
		return sysblock_close(sysblock);
	sysblock->opening = false;
	return sysblock;
}

struct sysblock *sysblock_close(struct sysblock *sysblock)
{
	if (!sysblock)
		return NULL;
	assert(!sysblock->scanning);
	loop_timer_clear(sysblock->loop, &sysblock->tick);
	uevent_close(sysblock->uevent);
	if (sysblock->dir)
		closedir(sysblock->dir);
	for (size_t i = 0; i < sysblock->entry_count; i++)
		free(sysblock->entries[i]);
	free(sysblock->entries);
	free(sysblock->found);
	free(sysblock->devices);
	free(sysblock->changes);
	free(sysblock->block_path);
	free(sysblock->dev_root);
	free(sysblock);
	return NULL;
}

/* ---- questions ---- */

size_t sysblock_count(const struct sysblock *sysblock)
{
	return sysblock->device_count;
}

const struct device *sysblock_at(const struct sysblock *sysblock, size_t index)
{
	assert(index < sysblock->device_count);
	return &sysblock->devices[index];
}

static int compare_name(const void *name, const void *device)
{
	return strcmp(name, ((const struct device *)device)->name);
}

const struct device *sysblock_find(const struct sysblock *sysblock, const char *name)
{
	if (sysblock->device_count == 0)
		return NULL;
	return bsearch(name, sysblock->devices, sysblock->device_count, sizeof(*sysblock->devices),
		       compare_name);
}

/*
 * Opens the directory anew, so that neither the place in a listing nor an old directory can
 * mislead.
 */
static DIR *open_at_name(const struct sysblock *sysblock, const char *name, uint64_t *inode)
{
	DIR *dir = opendir(sysblock->block_path);
	const struct dirent *line;

	if (!dir)
		return NULL;
	while ((line = readdir(dir))) {
		if (streq(line->d_name, name)) {
			*inode = line->d_ino;
			return dir;
		}
	}
	closedir(dir);
	return NULL;
}

bool sysblock_verify(struct sysblock *sysblock, const struct device *device)
{
	struct device now = *device;
	bool same;
	DIR *dir;

	now.diskseq = 0;
	dir = open_at_name(sysblock, device->name, &now.inode);
	if (!dir)
		return false;
	same = now.inode == device->inode && read_numbers(dirfd(dir), &now) == 0;
	if (same)
		identity_read(dirfd(dir), &now);
	closedir(dir);
	return same && now.diskseq == device->diskseq && now.size == device->size &&
	       now.has_identity == device->has_identity && streq(now.serial, device->serial) &&
	       streq(now.identity, device->identity);
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
	*out = sysblock->health;
}
