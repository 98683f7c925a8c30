/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A device mapper in memory, to stand behind devmap_new_with(). Each verb can be told to fail, to
 * hang until it is released, and to lie; udevd can be told to keep silent. It may be asked and
 * changed at any time, also while a verb hangs in it, and it knows no disks: an activation always
 * finds the disk there and large enough.
 */

#include "dm/devmap.h"

enum fake_verb { FAKE_LIST, FAKE_ACTIVATE, FAKE_SUSPEND, FAKE_WIPE, FAKE_REMOVE, FAKE_VERB_COUNT };

struct fake_devmap;

extern const struct devmap_backend fake_devmap_backend; /* its context is a struct fake_devmap */

struct fake_devmap *fake_devmap_new(void);
/* With fake_devmap_release(). Returns NULL, takes NULL. After devmap_free(). */
struct fake_devmap *fake_devmap_free(struct fake_devmap *fake);

/* ---- what goes wrong ---- */

/* The next `times` of the verb fail like this and do nothing. */
void fake_devmap_fail(struct fake_devmap *fake, enum fake_verb verb, int times, enum err_code code);
/* The next of the verb hangs, before it has done anything, until fake_devmap_release(). Then it
 * does its work. */
void fake_devmap_hang(struct fake_devmap *fake, enum fake_verb verb);
/* Waits until so many hang at the same time. */
void fake_devmap_wait_hanging(struct fake_devmap *fake, int count);
/* Lets all go that hang. */
void fake_devmap_go_on(struct fake_devmap *fake);
/* The same, also those that wait for udevd, and waits until they are through. */
void fake_devmap_release(struct fake_devmap *fake);
/* The next `times` of the verb say it is so and do nothing; a list is empty. */
void fake_devmap_lie(struct fake_devmap *fake, enum fake_verb verb, int times);
/* Whatever changes a map waits for udevd, which keeps silent, until devmap gives up on it. */
void fake_devmap_silence_udev(struct fake_devmap *fake, bool silent);

/* ---- what there is ---- */

/* How often the verb was begun. */
int fake_devmap_count(struct fake_devmap *fake, enum fake_verb verb);
/* The map of the volume; false when there is none. */
bool fake_devmap_get(struct fake_devmap *fake, const char *volume_id, struct devmap_map *out);
/* A left-over: there is this map now. kernel_name "" gets one. */
void fake_devmap_put(struct fake_devmap *fake, const struct devmap_map *map);
/* Another program's map has the name. */
void fake_devmap_put_foreign(struct fake_devmap *fake, const char *name);
/* The map of the volume is open so many times. */
void fake_devmap_set_open(struct fake_devmap *fake, const char *volume_id, uint32_t count);
