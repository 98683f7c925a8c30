/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The kernel that usage_scene.h describes. */

#include "usage_scene.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"

#define SWAPS_HEADING "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"

/* ---- the kernel ---- */

const char *claimed, *out_of_descriptors;
unsigned claims;

static bool is_out_of_descriptors(const char *path)
{
	size_t length = strlen(path), end = strlen(str_or(out_of_descriptors, ""));

	if (end == 0 || length < end || !streq(path + length - end, out_of_descriptors))
		return false;
	errno = EMFILE;
	return true;
}

DIR *__real_opendir(const char *path);
DIR *__wrap_opendir(const char *path);

DIR *__wrap_opendir(const char *path)
{
	return is_out_of_descriptors(path) ? NULL : __real_opendir(path);
}

int __real_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *out);
int __wrap_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *out);

int __wrap_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *out)
{
	char link[64] = "";
	unsigned major, minor;

	if (readlinkat(dirfd, path, link, sizeof(link) - 1) < 0 ||
	    sscanf(link, "block:%u:%u", &major, &minor) != 2)
		return __real_statx(dirfd, path, flags, mask, out);
	*out = (struct statx){ .stx_mode = S_IFBLK,
			       .stx_rdev_major = major,
			       .stx_rdev_minor = minor };
	return 0;
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);

int __wrap_open64(const char *path, int flags, ...)
{
	const char *slash = strrchr(path, '/');

	if (is_out_of_descriptors(path))
		return -1;
	claims += (flags & O_EXCL) != 0;
	if (claimed && flags & O_EXCL && slash && streq(slash + 1, claimed)) {
		errno = EBUSY;
		return -1;
	}
	return __real_open64(path, flags, 0600);
}

/* ---- the scene ---- */

void disk(struct scene *scene, const char *folder, const char *number)
{
	_cleanup_free_ char *dev = xasprintf("sys/block/%s/dev", folder);
	_cleanup_free_ char *holders = xasprintf("sys/block/%s/holders", folder);
	_cleanup_free_ char *partition = xasprintf("sys/block/%s/partition", folder);
	_cleanup_free_ char *line = xasprintf("%s\n", number);

	tree_write(&scene->tree, dev, line);
	tree_folder(&scene->tree, holders);
	if (strchr(folder, '/'))
		tree_write(&scene->tree, partition, "1\n");
}

void hold(struct scene *scene, const char *folder, const char *holder)
{
	_cleanup_free_ char *path = xasprintf("sys/block/%s/holders/%s", folder, holder);
	_cleanup_free_ char *target = xasprintf("../../%s", holder);

	tree_link(&scene->tree, target, path);
}

void mounts(struct scene *scene, const char *lines)
{
	_cleanup_free_ char *text =
		xasprintf("22 26 0:21 / /sys rw - sysfs sysfs rw\n" ROOT_LINE "%s", lines);

	tree_write(&scene->tree, "proc/self/mountinfo", text);
}

void swaps(struct scene *scene, const char *lines)
{
	_cleanup_free_ char *text = xasprintf(SWAPS_HEADING "%s", lines);

	tree_write(&scene->tree, "proc/swaps", text);
}

void process(struct scene *scene, const char *pid, const char *name, const char *namespace,
	     const char *lines)
{
	_cleanup_free_ char *comm = xasprintf("proc/%s/comm", pid), *line = xasprintf("%s\n", name);
	_cleanup_free_ char *folder = xasprintf("proc/%s/ns", pid),
			    *link = xasprintf("%s/mnt", folder);
	_cleanup_free_ char *target = xasprintf("mnt:[%s]", namespace);
	_cleanup_free_ char *mountinfo = xasprintf("proc/%s/mountinfo", pid),
			    *fd = xasprintf("proc/%s/fd", pid);

	tree_write(&scene->tree, comm, line);
	tree_write(&scene->tree, mountinfo, lines);
	tree_folder(&scene->tree, folder);
	tree_folder(&scene->tree, fd);
	tree_link(&scene->tree, target, link);
}

void opens(struct scene *scene, const char *pid, const char *fd, const char *number)
{
	_cleanup_free_ char *path = xasprintf("proc/%s/fd/%s", pid, fd),
			    *target = xasprintf("block:%s", number);

	tree_link(&scene->tree, target, path);
}

int scene_setup(void **state)
{
	struct scene *scene = xnew(struct scene);

	claimed = out_of_descriptors = NULL;
	claims = 0;
	clock_test_start(1000000, 1700000000000);
	tree_make(&scene->tree);
	scene->sys = tree_path(&scene->tree, "sys");
	scene->proc = tree_path(&scene->tree, "proc");
	scene->dev = tree_path(&scene->tree, "dev");
	scene->options = (struct usage_options){ .proc_root = scene->proc,
						 .sysfs_root = scene->sys,
						 .dev_root = scene->dev,
						 .timeout_ms = TIMEOUT_MS };
	scene->loop = loop_new();
	scene->checker = usage_checker_new(scene->loop, &scene->options);
	tree_folder(&scene->tree, "proc/self/ns");
	tree_link(&scene->tree, "mnt:[" OUR_NAMESPACE "]", "proc/self/ns/mnt");
	disk(scene, "vda", "254:0");
	disk(scene, "vdb", "254:16");
	tree_folder(&scene->tree, "sys/block/vdb/queue");
	disk(scene, "vdc", "254:32");
	mounts(scene, "");
	swaps(scene, "");
	*state = scene;
	return 0;
}

int scene_teardown(void **state)
{
	struct scene *scene = *state;

	usage_checker_free(scene->checker);
	loop_free(scene->loop);
	tree_destroy(&scene->tree);
	free(scene->sys);
	free(scene->proc);
	free(scene->dev);
	free(scene);
	return 0;
}
