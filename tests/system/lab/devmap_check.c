/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The real device mapper, one verb after the other, for test_devmap.py to run in the appliance:
 *
 * devmap_check TIMEOUT_MS COOKIE_MS [activate NAME VOLUME DEVICE SIZE | suspend VOLUME | wipe
 * VOLUME |
 *              remove VOLUME | list]...
 *
 * Each verb prints its outcome, "ok" or the error's word and text; list prints a line a map before.
 */

#include <stdio.h>
#include <stdlib.h>

#include "dm/devmap.h"

struct check {
	struct loop *loop;
	struct devmap *devmap;
	char **next; /* words that are left */
};

static void on_done(void *arg, const struct err *err)
{
	struct check *check = arg;

	if (err->code)
		printf("%s %s\n", err_view(err->code)->word, err->text);
	else
		puts("ok");
	fflush(stdout);
	loop_stop(check->loop);
}

static void on_listed(void *arg, const struct devmap_map *maps, size_t count, const struct err *err)
{
	static const char *const targets[] = {
		[DEVMAP_LINEAR] = "linear", [DEVMAP_ERROR] = "error", [DEVMAP_OTHER] = "other"
	};

	for (size_t i = 0; i < count; i++)
		printf("map %s %s %s %s %s %llu %s open=%u\n", maps[i].name, maps[i].volume_id,
		       maps[i].kernel_name, targets[maps[i].target],
		       maps[i].device[0] ? maps[i].device : "-", (unsigned long long)maps[i].size,
		       maps[i].suspended ? "suspended" : "runs", maps[i].open_count);
	on_done(arg, err);
}

static const char *word(struct check *check)
{
	if (!*check->next) {
		fputs("devmap_check: a word is missing\n", stderr);
		exit(2);
	}
	return *check->next++;
}

static void activate(struct check *check)
{
	const char *name = word(check), *volume = word(check), *device = word(check);
	uint64_t size;

	if (parse_u64(word(check), &size) < 0)
		exit(2);
	devmap_activate(check->devmap, name, volume, device, size, on_done, check);
}

static void start_verb(struct check *check)
{
	const char *verb = word(check);

	if (streq(verb, "list"))
		devmap_list(check->devmap, on_listed, check);
	else if (streq(verb, "activate"))
		activate(check);
	else if (streq(verb, "suspend"))
		devmap_suspend(check->devmap, word(check), on_done, check);
	else if (streq(verb, "wipe"))
		devmap_wipe(check->devmap, word(check), on_done, check);
	else if (streq(verb, "remove"))
		devmap_remove(check->devmap, word(check), on_done, check);
	else
		exit(2);
}

int main(int argc, char **argv)
{
	struct devmap_options options = { .dev_root = "/dev", .run_root = "/run" };
	struct check check = { .loop = loop_new(), .next = argv + 1 };
	struct err err = { 0 };

	if (parse_i64(word(&check), &options.timeout_ms) < 0 ||
	    parse_i64(word(&check), &options.cookie_ms) < 0)
		return 2;
	check.devmap = devmap_new(check.loop, &options, &err);
	if (!check.devmap) {
		printf("%s %s\n", err_view(err.code)->word, err.text);
		return 1;
	}
	while (*check.next) {
		start_verb(&check);
		loop_run(check.loop);
	}
	devmap_free(check.devmap);
	loop_free(check.loop);
	return 0;
}
