/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Maps through libdevmapper.
 *
 * The library keeps its state in globals (control device, log, udev), so one lock guards every use
 * of it, for the whole process. The lock may be held during a wait for udevd, which ends; it must
 * never be held during a wait for a disk, which may not end. Of all actions here only a suspend
 * waits for a disk (for the I/O that is under way below), and therefore that one ioctl is made
 * without the library and without the lock. For the same reason a map is never resumed with a new
 * table while it runs: the kernel would suspend it first.
 *
 * Maps are found by their uuid and by nothing else. The kernel refuses a second map of the same
 * name or uuid, so a race with another program ends in an error, never in that program's map.
 *
 * udevd makes the nodes, and the library is told to make none. If udevd is missing, or was not done
 * in time, /dev/mapper/<name> is made and removed here instead, see dm/node.h.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libdevmapper.h>
#include <linux/dm-ioctl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/uuid.h"
#include "dm/devmap.h"
#include "dm/node.h"

_Static_assert(DEVMAP_NAME_SIZE == DM_NAME_LEN, "a name of ours is a name of the kernel's");

/* udevd opens a device that a writer has closed, to read its contents; that is over soon. */
#define REMOVE_TRIES 20
#define REMOVE_PAUSE_MS 50

/*
 * Global, like the state of the library. The first devmap_new() sets this and nothing frees it,
 * since a thread that hangs may use it even after the last devmap_free().
 */
static struct {
	pthread_mutex_t lock;
	int control; /* an open /dev/mapper/control */
	char *dev_root;
	char *run_root;
	/*
	 * The cookie whose semaphore the thread waits for, 0 if the thread does not wait, and the
	 * start of the wait.
	 */
	atomic_uint cookie;
	_Atomic int64_t cookie_since;
} dm = { .lock = PTHREAD_MUTEX_INITIALIZER, .control = -1 };

/* A map of ours as it is. */
struct view {
	bool exists;
	bool has_table;
	struct devmap_map map;
	dev_t number;
};

/* A map as it shall be. */
struct table {
	const char *type;
	const char *parameters;
	const char *disk; /* for people */
	uint64_t sectors;
};

static void task_destroyp(struct dm_task **task)
{
	if (*task)
		dm_task_destroy(*task);
}

#define _cleanup_task_ _cleanup_(task_destroyp)

/* The beginning and the end of every verb on a map. */
static void enter(char uuid[DM_UUID_LEN], const char *volume_id)
{
	snprintf(uuid, DM_UUID_LEN, DEVMAP_UUID_PREFIX "%s", volume_id);
	pthread_mutex_lock(&dm.lock);
}

static int leave(int r)
{
	pthread_mutex_unlock(&dm.lock);
	return r;
}

/* ---- udevd ---- */

static bool has_udevd(void)
{
	_cleanup_free_ char *path = xasprintf("%s/udev/control", dm.run_root);

	return access(path, F_OK) == 0;
}

/*
 * Runs a task that makes the kernel send an event, and waits until udevd has dealt with it. 0 or an
 * errno.
 */
static int run_with_udev(struct dm_task *task)
{
	uint32_t cookie = 0;
	int error = 0;

	dm_udev_set_sync_support(has_udevd());
	if (!dm_task_set_cookie(task, &cookie, DM_UDEV_DISABLE_LIBRARY_FALLBACK))
		return ENOMEM;
	if (!dm_task_run(task))
		error = dm_task_get_errno(task) ? dm_task_get_errno(task) : EIO;
	atomic_store(&dm.cookie_since, clock_waking_ms());
	atomic_store(&dm.cookie, cookie);
	dm_udev_wait(cookie);
	atomic_store(&dm.cookie, 0);
	return error;
}

static bool dm_give_up_udev(void *context, int64_t cookie_ms, int64_t *left_ms)
{
	unsigned cookie = atomic_load(&dm.cookie);
	int64_t left = atomic_load(&dm.cookie_since) + cookie_ms - clock_waking_ms();

	*left_ms = cookie && left > 0 ? left : cookie_ms;
	if (!cookie || left > 0 || !atomic_compare_exchange_strong(&dm.cookie, &cookie, 0))
		return false;
	/*
	 * Takes no lock of the library's and waits for nothing. Fails if udevd was quicker after
	 * all.
	 */
	return dm_udev_complete(cookie);
}

/* ---- looking at maps ---- */

static struct dm_task *task_for(int type, const char *uuid)
{
	struct dm_task *task = dm_task_create(type);

	if (task && dm_task_set_uuid(task, uuid))
		return task;
	task_destroyp(&task);
	return NULL;
}

static int unavailable(struct err *err, const char *what, const char *whose, int error)
{
	return err_set(err, ERR_UNAVAILABLE, "device mapper does not %s %s: %s", what, whose,
		       strerror(error ? error : EIO));
}

static void read_targets(struct dm_task *task, struct view *view)
{
	struct devmap_map *map = &view->map;
	uint64_t start, length, offset;
	char *type, *parameters;
	size_t count = 0;
	void *next = NULL;

	map->target = DEVMAP_OTHER;
	do {
		next = dm_get_next_target(task, next, &start, &length, &type, &parameters);
		if (!type)
			break;
		count++;
		map->size = (start + length) * 512;
		if (streq(type, "error"))
			map->target = DEVMAP_ERROR;
		else if (streq(type, "linear") &&
			 sscanf(parameters, "%23s %" SCNu64, map->device, &offset) == 2 &&
			 offset == 0)
			map->target = DEVMAP_LINEAR;
	} while (next);
	view->has_table = count > 0;
	if (count > 1)
		map->target = DEVMAP_OTHER;
	if (map->target != DEVMAP_LINEAR)
		map->device[0] = '\0';
}

/* The kernel's view of one map. A missing map is no error. */
static int look(const char *uuid, struct view *view, struct err *err)
{
	_cleanup_task_ struct dm_task *task = task_for(DM_DEVICE_INFO, uuid);
	_cleanup_task_ struct dm_task *table = task_for(DM_DEVICE_TABLE, uuid);
	struct dm_info info;

	*view = (struct view){ 0 };
	if (!task || !table || !dm_task_run(task) || !dm_task_get_info(task, &info))
		return unavailable(err, "tell about", uuid, task ? dm_task_get_errno(task) : 0);
	if (!info.exists)
		return 0;
	if (!dm_task_run(table)) {
		if (dm_task_get_errno(table) == ENXIO)
			return 0; /* gone meanwhile */
		return unavailable(err, "tell about", uuid, dm_task_get_errno(table));
	}
	if (!dm_task_get_info(table, &info))
		return unavailable(err, "tell about", uuid, 0);
	view->exists = true;
	view->number = makedev((unsigned)info.major, info.minor);
	view->map.suspended = info.suspended;
	view->map.open_count = (uint32_t)info.open_count;
	snprintf(view->map.name, sizeof(view->map.name), "%s", dm_task_get_name(table));
	snprintf(view->map.volume_id, sizeof(view->map.volume_id), "%s",
		 uuid + strlen(DEVMAP_UUID_PREFIX));
	snprintf(view->map.kernel_name, sizeof(view->map.kernel_name), "dm-%u", info.minor);
	read_targets(table, view);
	return 0;
}

/* The uuid of the map that has the name; "" for none, or if there is no such map. */
static int uuid_of(const char *name, char uuid[DM_UUID_LEN], struct err *err)
{
	_cleanup_task_ struct dm_task *task = dm_task_create(DM_DEVICE_INFO);
	struct dm_info info;

	if (!task || !dm_task_set_name(task, name) || !dm_task_run(task) ||
	    !dm_task_get_info(task, &info))
		return unavailable(err, "tell about", name, task ? dm_task_get_errno(task) : 0);
	snprintf(uuid, DM_UUID_LEN, "%s", info.exists ? str_or(dm_task_get_uuid(task), "") : "");
	return 0;
}

static bool is_ours(const char *uuid)
{
	return str_has_prefix(uuid, DEVMAP_UUID_PREFIX) &&
	       uuid_is_valid(uuid + strlen(DEVMAP_UUID_PREFIX));
}

static int list_locked(struct devmap_map **out, size_t *count, struct err *err)
{
	_cleanup_task_ struct dm_task *task = dm_task_create(DM_DEVICE_LIST);
	struct dm_names *names;
	char uuid[DM_UUID_LEN];
	struct view view;

	if (!task || !dm_task_run(task) || !(names = dm_task_get_names(task)))
		return unavailable(err, "list", "its maps", task ? dm_task_get_errno(task) : 0);
	for (; names->dev; names = (struct dm_names *)(void *)((char *)names + names->next)) {
		if (uuid_of(names->name, uuid, err) < 0)
			return -1;
		if (is_ours(uuid)) {
			if (look(uuid, &view, err) < 0)
				return -1;
			if (view.exists) {
				*out = xrealloc(*out, (*count + 1) * sizeof(**out));
				(*out)[(*count)++] = view.map;
			}
		}
		if (!names->next)
			break;
	}
	return 0;
}

static int dm_list_maps(void *context, struct devmap_map **out, size_t *count, struct err *err)
{
	pthread_mutex_lock(&dm.lock);
	return leave(list_locked(out, count, err));
}

/* ---- changing one ---- */

/*
 * The users of the map wait from now on. Not flushed: unsent I/O stays with the map and goes to its
 * next table. The lock is released meanwhile.
 */
static int suspend(const char *uuid, struct err *err)
{
	struct dm_ioctl call = {
		.version = { DM_VERSION_MAJOR, 0, 0 },
		.data_size = sizeof(call),
		.data_start = sizeof(call),
		.flags = DM_SUSPEND_FLAG | DM_SKIP_LOCKFS_FLAG | DM_NOFLUSH_FLAG,
	};
	int r, error;

	snprintf(call.uuid, sizeof(call.uuid), "%s", uuid);
	pthread_mutex_unlock(&dm.lock);
	do
		r = ioctl(dm.control, DM_DEV_SUSPEND, &call);
	while (r < 0 && errno == EINTR);
	error = errno;
	pthread_mutex_lock(&dm.lock);
	if (r < 0 && error == ENXIO)
		return err_set(err, ERR_NOT_FOUND, "there is no map %s", uuid);
	return r < 0 ? unavailable(err, "suspend", uuid, error) : 0;
}

static int resume(const char *uuid, struct err *err)
{
	_cleanup_task_ struct dm_task *task = task_for(DM_DEVICE_RESUME, uuid);
	int error = task ? run_with_udev(task) : ENOMEM;

	return error ? unavailable(err, "resume", uuid, error) : 0;
}

/* Forgets a table that was loaded and not swapped in. */
static void clear(const char *uuid)
{
	_cleanup_task_ struct dm_task *task = task_for(DM_DEVICE_CLEAR, uuid);

	if (task)
		(void)dm_task_run(task);
}

static int load(const char *uuid, const struct view *view, const struct table *table,
		struct err *err)
{
	_cleanup_task_ struct dm_task *task = task_for(DM_DEVICE_RELOAD, uuid);
	int error;

	if (task && dm_task_add_target(task, 0, table->sectors, table->type, table->parameters) &&
	    dm_task_run(task))
		return 0;
	error = task && dm_task_get_errno(task) ? dm_task_get_errno(task) : ENOMEM;
	if (error == EBUSY)
		return err_set_field(
			err, "disk", ERR_CONFLICT,
			"%s cannot lead to disk %s: the disk or a partition of it is mounted, or "
			"held by another program",
			view->map.name, table->disk);
	return err_set(
		err, ERR_UNAVAILABLE,
		"%s cannot lead to disk %s with %llu bytes: %s. Is the disk there, and that large?",
		view->map.name, table->disk, (unsigned long long)table->sectors * 512,
		strerror(error));
}

/* Gives the map this table and runs it. On an error the map stays as it was. */
static int swap(const char *uuid, const struct view *view, const struct table *table,
		struct err *err)
{
	bool runs = view->has_table && !view->map.suspended;

	if (load(uuid, view, table, err) < 0)
		return -1;
	if (runs && suspend(uuid, err) < 0) {
		clear(uuid);
		return -1;
	}
	if (resume(uuid, err) == 0)
		return 0;
	clear(uuid);
	if (runs)
		(void)resume(uuid, NULL);
	return -1;
}

static int remove_map(const char *uuid, const struct view *view)
{
	_cleanup_task_ struct dm_task *task = task_for(DM_DEVICE_REMOVE, uuid);
	int error = task ? run_with_udev(task) : ENOMEM;

	if (error && error != ENXIO)
		return error;
	node_unlink(dm.dev_root, view->map.name, view->map.kernel_name);
	return 0;
}

static int name_taken(struct err *err, const char *name)
{
	return err_set_field(err, "name", ERR_CONFLICT,
			     "the name %s belongs to another device-mapper map", name);
}

/* A map without a table. */
static int create(const char *uuid, const char *name, struct view *view, struct err *err)
{
	_cleanup_task_ struct dm_task *task = task_for(DM_DEVICE_CREATE, uuid);

	if (!task || !dm_task_set_name(task, name) ||
	    !dm_task_set_add_node(task, DM_ADD_NODE_ON_RESUME))
		return unavailable(err, "make", name, ENOMEM);
	if (!dm_task_run(task)) {
		if (dm_task_get_errno(task) == EBUSY)
			return name_taken(err, name);
		return unavailable(err, "make", name, dm_task_get_errno(task));
	}
	return look(uuid, view, err);
}

static int rename_map(const char *uuid, const char *name, struct view *view, struct err *err)
{
	_cleanup_task_ struct dm_task *task = dm_task_create(DM_DEVICE_RENAME);
	int error;

	/* The kernel finds the map to rename by its name alone. */
	if (!task || !dm_task_set_name(task, view->map.name) || !dm_task_set_newname(task, name))
		return unavailable(err, "rename", view->map.name, ENOMEM);
	error = run_with_udev(task);
	if (error == EBUSY)
		return name_taken(err, name);
	if (error)
		return unavailable(err, "rename", view->map.name, error);
	node_unlink(dm.dev_root, view->map.name, view->map.kernel_name);
	return look(uuid, view, err);
}

/*
 * True if the disk that now has this number is the disk that the map holds. If a disk goes while a
 * map holds it, its number may go to the next disk, and the table does not show the difference.
 */
static bool holds_disk(const struct view *view, const char *device)
{
	_cleanup_free_ char *path =
		xasprintf("/sys/dev/block/%s/holders/%s", device, view->map.kernel_name);

	return access(path, F_OK) == 0;
}

static int activate_table(const char *uuid, struct view *view, const char *device, uint64_t size,
			  struct err *err)
{
	char parameters[40];
	struct table linear = { "linear", parameters, device, size / 512 };
	bool same_number = view->map.target == DEVMAP_LINEAR && streq(view->map.device, device);
	bool same_disk = same_number && holds_disk(view, device);

	if (same_disk && view->map.size == size && !view->map.suspended)
		return 0;
	snprintf(parameters, sizeof(parameters), "%s 0", device);
	if (same_number && !same_disk) {
		/*
		 * As long as the map has the former disk, the kernel takes that disk for this
		 * number; waiting users get errors.
		 */
		struct table error = { "error", "", "none", view->map.size / 512 };

		if (swap(uuid, view, &error, err) < 0 || look(uuid, view, err) < 0)
			return -1;
	}
	return swap(uuid, view, &linear, err);
}

static int activate_locked(const char *uuid, const char *name, const char *device, uint64_t size,
			   struct err *err)
{
	struct view view;
	bool created;

	if (look(uuid, &view, err) < 0)
		return -1;
	created = !view.exists;
	if (created && create(uuid, name, &view, err) < 0)
		return -1;
	if (!streq(view.map.name, name) && rename_map(uuid, name, &view, err) < 0)
		return -1;
	if (activate_table(uuid, &view, device, size, err) < 0) {
		if (created)
			(void)remove_map(uuid, &view);
		return -1;
	}
	return node_link(dm.dev_root, name, view.map.kernel_name, view.number, err);
}

static int dm_activate(void *context, const char *name, const char *volume_id, const char *device,
		       uint64_t size, struct err *err)
{
	char uuid[DM_UUID_LEN];

	enter(uuid, volume_id);
	return leave(activate_locked(uuid, name, device, size, err));
}

static int suspend_locked(const char *uuid, struct err *err)
{
	struct view view;

	if (look(uuid, &view, err) < 0)
		return -1;
	if (!view.exists)
		return err_set(err, ERR_NOT_FOUND, "there is no map %s", uuid);
	return view.map.suspended ? 0 : suspend(uuid, err);
}

static int dm_suspend(void *context, const char *volume_id, struct err *err)
{
	char uuid[DM_UUID_LEN];

	enter(uuid, volume_id);
	return leave(suspend_locked(uuid, err));
}

static int wipe_locked(const char *uuid, struct err *err)
{
	struct table error = { .type = "error", .parameters = "", .disk = "none" };
	struct view view;

	if (look(uuid, &view, err) < 0)
		return -1;
	/* Without a table every access fails already. */
	if (!view.exists || !view.has_table ||
	    (view.map.target == DEVMAP_ERROR && !view.map.suspended))
		return 0;
	error.sectors = view.map.size / 512;
	return swap(uuid, &view, &error, err);
}

static int dm_wipe(void *context, const char *volume_id, struct err *err)
{
	char uuid[DM_UUID_LEN];

	enter(uuid, volume_id);
	return leave(wipe_locked(uuid, err));
}

static void pause_unlocked(void)
{
	const struct timespec pause = { .tv_nsec = REMOVE_PAUSE_MS * 1000000L };

	pthread_mutex_unlock(&dm.lock);
	nanosleep(&pause, NULL);
	pthread_mutex_lock(&dm.lock);
}

static int remove_locked(const char *uuid, struct err *err)
{
	struct view view;
	int error = EBUSY;

	for (int i = 0; i < REMOVE_TRIES && error == EBUSY; i++) {
		if (i > 0)
			pause_unlocked();
		if (look(uuid, &view, err) < 0)
			return -1;
		if (!view.exists)
			return 0;
		if (view.map.open_count == 0)
			error = remove_map(uuid, &view);
	}
	if (error == EBUSY)
		return err_set_reason(
			err, ERR_REASON_IN_USE, ERR_CONFLICT,
			"%s/mapper/%s is open %u times: its users have to close it first",
			dm.dev_root, view.map.name, view.map.open_count);
	return error ? unavailable(err, "remove", view.map.name, error) : 0;
}

static int dm_remove(void *context, const char *volume_id, struct err *err)
{
	char uuid[DM_UUID_LEN];

	enter(uuid, volume_id);
	return leave(remove_locked(uuid, err));
}

/* ---- life ---- */

static const struct devmap_backend dm_backend = {
	.list = dm_list_maps,
	.activate = dm_activate,
	.suspend = dm_suspend,
	.wipe = dm_wipe,
	.remove = dm_remove,
	.give_up_udev = dm_give_up_udev,
};

/* The user gets our error; the library's messages in the debug log help to understand it. */
static _printf_(5, 6) void on_dm_log(int level, const char *file, int line, int error,
				     const char *format, ...)
{
	char text[512];
	va_list args;

	if (!log_enabled(LOG_LEVEL_DEBUG))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_debug("device mapper: %s", text);
}

/* Opening the device loads the module, and asking for the version shows that we may use it. */
static int open_control(const char *dev_root, struct err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/mapper/control", dev_root);
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
	struct dm_ioctl call = {
		.version = { DM_VERSION_MAJOR, 0, 0 },
		.data_size = sizeof(call),
		.data_start = sizeof(call),
	};

	if (fd < 0 || ioctl(fd, DM_VERSION, &call) < 0)
		return err_set(err, ERR_UNAVAILABLE, "there is no device mapper for us: %s: %s",
			       path, strerror(errno));
	return TAKE_FD(fd);
}

struct devmap *devmap_new(struct loop *loop, const struct devmap_options *options, struct err *err)
{
	if (dm.control < 0) {
		dm.control = open_control(options->dev_root, err);
		if (dm.control < 0)
			return NULL;
		dm.dev_root = xstrdup(options->dev_root);
		dm.run_root = xstrdup(options->run_root);
		dm_log_with_errno_init(on_dm_log);
		dm_set_dev_dir(options->dev_root);
		dm_set_name_mangling_mode(DM_STRING_MANGLING_NONE);
	}
	return devmap_new_with(loop, options, &dm_backend, NULL);
}
