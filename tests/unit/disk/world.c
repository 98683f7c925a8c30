/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The surroundings of a sysblock under test; see world.h. */

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/clock.h"
#include "world.h"

static void say(struct world *world, const struct device *device, char sign, uint64_t old_size)
{
	char *said = sign == '='
			     ? xasprintf("%s=%s(%" PRIu64 ") ", world->said, device->name, old_size)
			     : xasprintf("%s%c%s ", world->said, sign, device->name);

	free(world->said);
	world->said = said;
	world->last = *device;
}

static void on_added(void *arg, const struct device *device)
{
	struct world *world = arg;

	say(world, device, '+', 0);
	if (world->ask_inside) {
		assert_int_equal(sysblock_find(world->sysblock, device->name)->seen, device->seen);
		assert_true(sysblock_verify(world->sysblock, device));
		sysblock_wake(world->sysblock);
	}
}

static void on_removed(void *arg, const struct device *device)
{
	struct world *world = arg;
	const struct device *now;

	say(world, device, '-', 0);
	if (world->ask_inside) {
		now = sysblock_find(world->sysblock, device->name);
		assert_true(!now || now->seen > device->seen);
	}
}

static void on_resized(void *arg, const struct device *device, uint64_t old_size)
{
	say(arg, device, '=', old_size);
}

int world_setup(void **state)
{
	struct world *world = xnew(struct world);

	clock_test_start(1000000, 1700000000000);
	tree_make(&world->tree);
	tree_folder(&world->tree, "block");
	tree_folder(&world->tree, "devices");
	world->loop = loop_new();
	world->dev_root = tree_path(&world->tree, "dev");
	world->said = xstrdup("");
	world->options = (struct sysblock_options){
		.sysfs_root = world->tree.root,
		.dev_root = world->dev_root,
		.scan_ms = SCAN_MS,
		.buses = ALL_BUSES,
	};
	*state = world;
	return 0;
}

int world_teardown(void **state)
{
	struct world *world = *state;

	sysblock_close(world->sysblock);
	loop_free(world->loop);
	tree_destroy(&world->tree);
	free(world->dev_root);
	free(world->said);
	free(world);
	return 0;
}

void world_open(struct world *world)
{
	struct sysblock_listener listener = {
		.arg = world, .added = on_added, .removed = on_removed, .resized = on_resized
	};
	struct err err = { 0 };

	world->sysblock = sysblock_open(world->loop, &world->options, &listener, &err);
	if (!world->sysblock)
		fail_msg("%s", err.text);
}

void world_said(struct world *world, const char *text)
{
	if (*world->said)
		world->said[strlen(world->said) - 1] = '\0';
	assert_string_equal(world->said, text);
	world->said[0] = '\0';
}

void world_expect(struct world *world, const char *text)
{
	struct err err = { 0 };

	if (sysblock_scan(world->sysblock, &err) < 0)
		fail_msg("%s", err.text);
	world_said(world, text);
}

const struct device *world_get(struct world *world, const char *name)
{
	const struct device *device = sysblock_find(world->sysblock, name);

	if (!device)
		fail_msg("%s is not listed", name);
	return device;
}

static void write_at(struct world *world, const char *name, const char *attribute, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", name, attribute);

	tree_write(&world->tree, path, text);
}

void disk_number(struct world *world, const char *name, const char *attribute, uint64_t value)
{
	_cleanup_free_ char *path = xasprintf("block/%s", name);
	_cleanup_free_ char *text = xasprintf("%" PRIu64 "\n", value);

	write_at(world, path, attribute, text);
}

void disk_add(struct world *world, const char *name, uint64_t bytes, uint64_t diskseq,
	      const char *serial)
{
	_cleanup_free_ char *path = xasprintf("block/%s", name);

	tree_folder(&world->tree, path);
	disk_number(world, name, "size", bytes / 512);
	disk_number(world, name, "ro", 0);
	if (diskseq)
		disk_number(world, name, "diskseq", diskseq);
	if (serial)
		write_at(world, path, "serial", serial);
}

void disk_remove(struct world *world, const char *name)
{
	_cleanup_free_ char *path = xasprintf("block/%s", name);

	tree_bury(&world->tree, path);
}
