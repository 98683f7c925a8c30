/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See fake_devmap.h. One lock guards all of it, since verbs come on threads; hanging is waiting for
 * its condition. */

#include "fake_devmap.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>

#include "base/clock.h"

#define MAPS_MAX 64

struct plan {
	int fail_times, lie_times, count;
	bool hang;
	enum err_code code;
};

struct fake_devmap {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct plan plans[FAKE_VERB_COUNT];
	int inside;  /* verbs under way */
	int hanging; /* of these */
	unsigned releases;
	bool udev_silent;
	bool waiting_for_udev;
	int64_t waiting_since;
	struct devmap_map maps[MAPS_MAX]; /* a foreign one has no volume_id */
	size_t count;
	unsigned last_minor;
};

static const char *const verb_names[] = {
	[FAKE_LIST] = "list", [FAKE_ACTIVATE] = "activate", [FAKE_SUSPEND] = "suspend",
	[FAKE_WIPE] = "wipe", [FAKE_REMOVE] = "remove",
};
_Static_assert(ARRAY_SIZE(verb_names) == FAKE_VERB_COUNT, "each verb has a name");

/* ---- the maps; with the lock held ---- */

static struct devmap_map *find(struct fake_devmap *fake, const char *volume_id)
{
	for (size_t i = 0; i < fake->count; i++) {
		if (streq(fake->maps[i].volume_id, volume_id))
			return &fake->maps[i];
	}
	return NULL;
}

static struct devmap_map *find_name(struct fake_devmap *fake, const char *name)
{
	for (size_t i = 0; i < fake->count; i++) {
		if (streq(fake->maps[i].name, name))
			return &fake->maps[i];
	}
	return NULL;
}

static struct devmap_map *add(struct fake_devmap *fake, const char *name, const char *volume_id)
{
	struct devmap_map *map = &fake->maps[fake->count++];

	assert(fake->count <= MAPS_MAX);
	*map = (struct devmap_map){ 0 };
	snprintf(map->name, sizeof(map->name), "%s", name);
	snprintf(map->volume_id, sizeof(map->volume_id), "%s", volume_id);
	snprintf(map->kernel_name, sizeof(map->kernel_name), "dm-%u", fake->last_minor++);
	return map;
}

/* ---- a verb's way through ---- */

/* 1: do it; 0: say it is done; -1: it failed. To be followed by leave(). */
static int enter(struct fake_devmap *fake, enum fake_verb verb, struct err *err)
{
	struct plan *plan = &fake->plans[verb];

	pthread_mutex_lock(&fake->lock);
	fake->inside++;
	plan->count++;
	if (plan->hang) {
		unsigned releases = fake->releases;

		plan->hang = false;
		fake->hanging++;
		pthread_cond_broadcast(&fake->changed);
		while (releases == fake->releases)
			pthread_cond_wait(&fake->changed, &fake->lock);
		fake->hanging--;
	}
	if (plan->fail_times > 0) {
		plan->fail_times--;
		return err_set(err, plan->code, "the fake device mapper was told to fail %s",
			       verb_names[verb]);
	}
	if (plan->lie_times > 0) {
		plan->lie_times--;
		return 0;
	}
	return 1;
}

static int leave(struct fake_devmap *fake, int r)
{
	fake->inside--;
	pthread_cond_broadcast(&fake->changed);
	pthread_mutex_unlock(&fake->lock);
	return r < 0 ? -1 : 0;
}

static void wait_for_udev(struct fake_devmap *fake)
{
	if (!fake->udev_silent)
		return;
	fake->waiting_for_udev = true;
	fake->waiting_since = clock_mono_ms();
	fake->hanging++;
	pthread_cond_broadcast(&fake->changed);
	while (fake->waiting_for_udev)
		pthread_cond_wait(&fake->changed, &fake->lock);
	fake->hanging--;
}

static bool fake_give_up_udev(void *context, int64_t cookie_ms, int64_t *left_ms)
{
	struct fake_devmap *fake = context;
	bool overdue;

	pthread_mutex_lock(&fake->lock);
	overdue = fake->waiting_for_udev && clock_mono_ms() >= fake->waiting_since + cookie_ms;
	*left_ms = fake->waiting_for_udev && !overdue
			   ? fake->waiting_since + cookie_ms - clock_mono_ms()
			   : cookie_ms;
	if (overdue)
		fake->waiting_for_udev = false;
	pthread_cond_broadcast(&fake->changed);
	pthread_mutex_unlock(&fake->lock);
	return overdue;
}

/* ---- the verbs ---- */

static int fake_list(void *context, struct devmap_map **out, size_t *count, struct err *err)
{
	struct fake_devmap *fake = context;
	int r = enter(fake, FAKE_LIST, err);

	if (r > 0) {
		*out = xcalloc(fake->count + 1, sizeof(**out));
		for (size_t i = 0; i < fake->count; i++) {
			if (fake->maps[i].volume_id[0])
				(*out)[(*count)++] = fake->maps[i];
		}
	}
	return leave(fake, r);
}

static int fake_activate(void *context, const char *name, const char *volume_id, const char *device,
			 uint64_t size, struct err *err)
{
	struct fake_devmap *fake = context;
	int r = enter(fake, FAKE_ACTIVATE, err);
	struct devmap_map *map = find_name(fake, name);

	if (r > 0 && map && !streq(map->volume_id, volume_id)) {
		r = err_set(err, ERR_CONFLICT, "the name %s belongs to another device-mapper map",
			    name);
	} else if (r > 0) {
		map = find(fake, volume_id);
		if (!map)
			map = add(fake, name, volume_id);
		snprintf(map->name, sizeof(map->name), "%s", name);
		snprintf(map->device, sizeof(map->device), "%s", device);
		map->target = DEVMAP_LINEAR;
		map->size = size;
		map->suspended = false;
		wait_for_udev(fake);
	}
	return leave(fake, r);
}

static int fake_suspend(void *context, const char *volume_id, struct err *err)
{
	struct fake_devmap *fake = context;
	int r = enter(fake, FAKE_SUSPEND, err);
	struct devmap_map *map = find(fake, volume_id);

	if (r > 0 && !map)
		r = err_set(err, ERR_NOT_FOUND, "there is no map of volume %s", volume_id);
	else if (r > 0)
		map->suspended = true;
	return leave(fake, r);
}

static int fake_wipe(void *context, const char *volume_id, struct err *err)
{
	struct fake_devmap *fake = context;
	int r = enter(fake, FAKE_WIPE, err);
	struct devmap_map *map = find(fake, volume_id);

	if (r > 0 && map) {
		map->target = DEVMAP_ERROR;
		map->device[0] = '\0';
		map->suspended = false;
		wait_for_udev(fake);
	}
	return leave(fake, r);
}

static int fake_remove(void *context, const char *volume_id, struct err *err)
{
	struct fake_devmap *fake = context;
	int r = enter(fake, FAKE_REMOVE, err);
	struct devmap_map *map = find(fake, volume_id);

	if (r > 0 && map && map->open_count > 0) {
		r = err_set(err, ERR_CONFLICT, "/dev/mapper/%s is open %u times", map->name,
			    map->open_count);
	} else if (r > 0 && map) {
		*map = fake->maps[--fake->count];
		wait_for_udev(fake);
	}
	return leave(fake, r);
}

const struct devmap_backend fake_devmap_backend = {
	.list = fake_list,
	.activate = fake_activate,
	.suspend = fake_suspend,
	.wipe = fake_wipe,
	.remove = fake_remove,
	.give_up_udev = fake_give_up_udev,
};

/* ---- life ---- */

struct fake_devmap *fake_devmap_new(void)
{
	struct fake_devmap *fake = xnew(struct fake_devmap);

	pthread_mutex_init(&fake->lock, NULL);
	pthread_cond_init(&fake->changed, NULL);
	return fake;
}

struct fake_devmap *fake_devmap_free(struct fake_devmap *fake)
{
	if (!fake)
		return NULL;
	fake_devmap_silence_udev(fake, false);
	fake_devmap_release(fake);
	pthread_cond_destroy(&fake->changed);
	pthread_mutex_destroy(&fake->lock);
	free(fake);
	return NULL;
}

/* ---- what goes wrong ---- */

void fake_devmap_fail(struct fake_devmap *fake, enum fake_verb verb, int times, enum err_code code)
{
	pthread_mutex_lock(&fake->lock);
	fake->plans[verb].fail_times = times;
	fake->plans[verb].code = code;
	pthread_mutex_unlock(&fake->lock);
}

void fake_devmap_hang(struct fake_devmap *fake, enum fake_verb verb)
{
	pthread_mutex_lock(&fake->lock);
	fake->plans[verb].hang = true;
	pthread_mutex_unlock(&fake->lock);
}

void fake_devmap_wait_hanging(struct fake_devmap *fake, int count)
{
	pthread_mutex_lock(&fake->lock);
	while (fake->hanging != count)
		pthread_cond_wait(&fake->changed, &fake->lock);
	pthread_mutex_unlock(&fake->lock);
}

void fake_devmap_go_on(struct fake_devmap *fake)
{
	pthread_mutex_lock(&fake->lock);
	fake->releases++;
	pthread_cond_broadcast(&fake->changed);
	pthread_mutex_unlock(&fake->lock);
}

void fake_devmap_release(struct fake_devmap *fake)
{
	fake_devmap_go_on(fake);
	pthread_mutex_lock(&fake->lock);
	fake->waiting_for_udev = false;
	pthread_cond_broadcast(&fake->changed);
	while (fake->inside > 0)
		pthread_cond_wait(&fake->changed, &fake->lock);
	pthread_mutex_unlock(&fake->lock);
}

void fake_devmap_lie(struct fake_devmap *fake, enum fake_verb verb, int times)
{
	pthread_mutex_lock(&fake->lock);
	fake->plans[verb].lie_times = times;
	pthread_mutex_unlock(&fake->lock);
}

void fake_devmap_silence_udev(struct fake_devmap *fake, bool silent)
{
	pthread_mutex_lock(&fake->lock);
	fake->udev_silent = silent;
	if (!silent)
		fake->waiting_for_udev = false;
	pthread_cond_broadcast(&fake->changed);
	pthread_mutex_unlock(&fake->lock);
}

/* ---- what there is ---- */

int fake_devmap_count(struct fake_devmap *fake, enum fake_verb verb)
{
	int count;

	pthread_mutex_lock(&fake->lock);
	count = fake->plans[verb].count;
	pthread_mutex_unlock(&fake->lock);
	return count;
}

bool fake_devmap_get(struct fake_devmap *fake, const char *volume_id, struct devmap_map *out)
{
	const struct devmap_map *map;

	pthread_mutex_lock(&fake->lock);
	map = find(fake, volume_id);
	if (map)
		*out = *map;
	pthread_mutex_unlock(&fake->lock);
	return map;
}

void fake_devmap_put(struct fake_devmap *fake, const struct devmap_map *map)
{
	struct devmap_map *added;
	char kernel_name[sizeof(map->kernel_name)];

	pthread_mutex_lock(&fake->lock);
	added = add(fake, map->name, map->volume_id);
	memcpy(kernel_name, added->kernel_name, sizeof(kernel_name));
	*added = *map;
	if (!map->kernel_name[0])
		memcpy(added->kernel_name, kernel_name, sizeof(kernel_name));
	pthread_mutex_unlock(&fake->lock);
}

void fake_devmap_put_foreign(struct fake_devmap *fake, const char *name)
{
	pthread_mutex_lock(&fake->lock);
	add(fake, name, "");
	pthread_mutex_unlock(&fake->lock);
}

void fake_devmap_set_open(struct fake_devmap *fake, const char *volume_id, uint32_t count)
{
	struct devmap_map *map;

	pthread_mutex_lock(&fake->lock);
	map = find(fake, volume_id);
	assert(map);
	map->open_count = count;
	pthread_mutex_unlock(&fake->lock);
}
