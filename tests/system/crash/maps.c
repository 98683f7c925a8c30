/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A device mapper that outlives the process, for machines without one and for disks that are files:
 * what a killed daemon has done to a name must be there for the next one.
 *
 * A map is a link <dev_root>/maps/<volume id> whose text is the map: "vol01234567 linear 254:16
 * 1073741824 runs". Links because a rename replaces one in a single step: a process that is killed
 * leaves the old map or the new one. The name is a link to the node of the disk, as udevd makes it,
 * and is made before its map and taken after it. Nobody waits for a map that is suspended, and it
 * is not known who has one open.
 */

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "dm/devmap.h"

/* The linker sends the daemon here. */
struct devmap *__wrap_devmap_new(struct loop *loop, const struct devmap_options *options,
				 struct err *err);

static char *dev_root;

static int failed(struct err *err, const char *what)
{
	return err_set(err, ERR_INTERNAL, "%s: %s", what, strerror(errno));
}

static int put_link(const char *text, const char *path, struct err *err)
{
	_cleanup_free_ char *fresh = xasprintf("%s/fresh", dev_root);

	unlink(fresh);
	if (symlink(text, fresh) < 0 || rename(fresh, path) < 0)
		return failed(err, path);
	return 0;
}

static char *map_path(const char *volume_id)
{
	return xasprintf("%s/maps/%s", dev_root, volume_id);
}

static char *node_path(const char *name)
{
	return xasprintf("%s/mapper/%s", dev_root, name);
}

static bool read_map(const char *volume_id, struct devmap_map *out)
{
	_cleanup_free_ char *path = map_path(volume_id);
	char text[PATH_MAX], target[8], state[10];
	ssize_t length = readlink(path, text, sizeof(text) - 1);

	if (length < 0)
		return false;
	text[length] = '\0';
	memset(out, 0, sizeof(*out));
	snprintf(out->volume_id, sizeof(out->volume_id), "%s", volume_id);
	if (sscanf(text, "%127s %7s %23s %" SCNu64 " %9s", out->name, target, out->device,
		   &out->size, state) != 5)
		return false;
	out->target = streq(target, "linear") ? DEVMAP_LINEAR : DEVMAP_ERROR;
	out->suspended = streq(state, "suspended");
	return true;
}

static int write_map(const struct devmap_map *map, struct err *err)
{
	_cleanup_free_ char *path = map_path(map->volume_id);
	_cleanup_free_ char *text =
		xasprintf("%s %s %s %" PRIu64 " %s", map->name,
			  map->target == DEVMAP_LINEAR ? "linear" : "error", map->device, map->size,
			  map->suspended ? "suspended" : "runs");

	return put_link(text, path, err);
}

/* ---- the verbs ---- */

static int list(void *context, struct devmap_map **out, size_t *count, struct err *err)
{
	_cleanup_free_ char *path = map_path("");
	DIR *folder = opendir(path);
	const struct dirent *entry;

	if (!folder)
		return failed(err, path);
	while ((entry = readdir(folder))) {
		*out = xrealloc(*out, (*count + 1) * sizeof(**out));
		if (read_map(entry->d_name, &(*out)[*count]))
			(*count)++;
	}
	closedir(folder);
	return 0;
}

/* The disk with this number, by its entry beside the nodes. */
static char *find_disk(const char *number)
{
	_cleanup_free_ char *path = xasprintf("%s/../block", dev_root);
	_cleanup_free_ char *line = xasprintf("%s\n", number);
	DIR *folder = opendir(path);
	const struct dirent *entry;
	char *found = NULL;

	while (folder && !found && (entry = readdir(folder))) {
		_cleanup_free_ char *attribute = xasprintf("%s/dev", entry->d_name);
		_cleanup_free_ char *text = read_file_at(dirfd(folder), attribute, 64, NULL);

		if (streq(text, line))
			found = xstrdup(entry->d_name);
	}
	if (folder)
		closedir(folder);
	return found;
}

static int activate(void *context, const char *name, const char *volume_id, const char *device,
		    uint64_t size, struct err *err)
{
	_cleanup_free_ char *node = node_path(name);
	_cleanup_free_ char *disk = find_disk(device);
	_cleanup_free_ char *target = xasprintf("../%s", str_or(disk, ""));
	struct devmap_map map = { .target = DEVMAP_LINEAR, .size = size };

	if (!disk)
		return err_set(err, ERR_NOT_FOUND, "there is no disk %s", device);
	snprintf(map.name, sizeof(map.name), "%s", name);
	snprintf(map.volume_id, sizeof(map.volume_id), "%s", volume_id);
	snprintf(map.device, sizeof(map.device), "%s", device);
	return put_link(target, node, err) < 0 ? -1 : write_map(&map, err);
}

static int suspend(void *context, const char *volume_id, struct err *err)
{
	struct devmap_map map;

	if (!read_map(volume_id, &map))
		return err_set(err, ERR_NOT_FOUND, "there is no map of volume %s", volume_id);
	map.suspended = true;
	return write_map(&map, err);
}

static int wipe(void *context, const char *volume_id, struct err *err)
{
	struct devmap_map map;

	if (!read_map(volume_id, &map))
		return 0;
	map.target = DEVMAP_ERROR;
	map.suspended = false;
	return write_map(&map, err);
}

static int take_away(void *context, const char *volume_id, struct err *err)
{
	_cleanup_free_ char *path = map_path(volume_id);
	_cleanup_free_ char *node = NULL;
	struct devmap_map map;

	if (!read_map(volume_id, &map))
		return 0;
	node = node_path(map.name);
	if (unlink(path) < 0 || unlink(node) < 0)
		return failed(err, path);
	return 0;
}

static bool give_up_udev(void *context, int64_t cookie_ms, int64_t *left_ms)
{
	*left_ms = cookie_ms;
	return false;
}

struct devmap *__wrap_devmap_new(struct loop *loop, const struct devmap_options *options,
				 struct err *err)
{
	static const struct devmap_backend backend = {
		.list = list,
		.activate = activate,
		.suspend = suspend,
		.wipe = wipe,
		.remove = take_away,
		.give_up_udev = give_up_udev,
	};
	static const char *const folders[] = { "maps", "mapper" };

	str_set(&dev_root, options->dev_root);
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", dev_root, folders[i]);

		if (mkdir(path, 0755) < 0 && errno != EEXIST) {
			failed(err, path);
			return NULL;
		}
	}
	return devmap_new_with(loop, options, &backend, NULL);
}
