/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The stable name of a volume's device.
 *
 * A name is given once and kept for as long as the volume exists, whether it is attached or not: a
 * client that was told /dev/mapper/vol01234567 last year finds that volume there, or no device. So
 * the next volume whose UUID begins with the same digits gets a longer name, even while the first
 * volume is away.
 *
 * A new name is in the model at once, so that no other volume is given it. The name becomes durable
 * with the next commit about its volume; the engine commits before a step uses the name.
 */

#include "core/model/stable_name.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/uuid.h"
#include "core/env.h"
#include "core/model/model.h"
#include "disk/device.h"
#include "store/store.h"

#define PREFIX "vol"
#define DIGITS_MIN 8
#define DIGITS_MAX 32 /* all of a UUID */
#define DIGITS_MORE 4

struct name {
	struct name_record record;
	bool staged; /* the present name, in a batch on its way */
	bool durable;
	UT_hash_handle hh;
};

static struct name *find(struct model *model, const char *volume_id)
{
	struct name *name;

	HASH_FIND_STR(model->names, volume_id, name);
	return name;
}

static bool is_taken(struct model *model, const char *text, const struct name *by_other_than)
{
	struct name *name, *next;

	HASH_ITER(hh, model->names, name, next) {
		if (name != by_other_than && streq(name->record.name, text))
			return true;
	}
	return false;
}

/* A free name of at least so many of the UUID's first digits; NULL if even the longest is taken. */
static char *choose(struct model *model, const struct name *name, size_t digits)
{
	char all[DIGITS_MAX + 1];
	size_t count = 0;

	for (const char *c = name->record.volume_id; *c && count < DIGITS_MAX; c++) {
		if (*c != '-')
			all[count++] = *c;
	}
	all[count] = '\0';
	for (; digits <= DIGITS_MAX; digits += DIGITS_MORE) {
		_cleanup_free_ char *text = xasprintf(PREFIX "%.*s", (int)digits, all);

		if (!is_taken(model, text, name))
			return TAKE_PTR(text);
	}
	return NULL;
}

static struct name *add(struct model *model, const char *volume_id)
{
	struct name *name = xnew(struct name);

	str_set(&name->record.volume_id, volume_id);
	HASH_ADD_KEYPTR(hh, model->names, name->record.volume_id, strlen(name->record.volume_id),
			name);
	return name;
}

void name_load(struct model *model, const struct name_record *record)
{
	struct name *name = add(model, record->volume_id);

	str_set(&name->record.id, record->id);
	str_set(&name->record.name, record->name);
	name->record.created_at = record->created_at;
	name->durable = true;
}

const char *name_find(struct model *model, const char *volume_id)
{
	const struct name *name = find(model, volume_id);

	return name ? name->record.name : NULL;
}

const char *name_give(struct model *model, const char *volume_id)
{
	struct name *name = find(model, volume_id);
	char uuid[UUID_TEXT_SIZE];

	if (name)
		return name->record.name;
	name = add(model, volume_id);
	uuid_make_v7(uuid);
	str_set(&name->record.id, uuid);
	/* No other volume has all 32 digits. */
	name->record.name = choose(model, name, DIGITS_MIN);
	name->record.created_at = clock_record_ms();
	return name->record.name;
}

int name_lengthen(struct model *model, const char *volume_id)
{
	struct name *name = find(model, volume_id);
	char *longer =
		name ? choose(model, name, strlen(name->record.name) - strlen(PREFIX) + DIGITS_MORE)
		     : NULL;

	if (!longer)
		return -1;
	free(name->record.name);
	name->record.name = longer;
	name->staged = name->durable = false;
	return 0;
}

void name_stage(struct model *model, const char *volume_id, struct store_batch *batch)
{
	struct name *name = find(model, volume_id);

	if (!name || name->durable)
		return;
	name->staged = true;
	store_batch_name(batch, &name->record);
}

void name_on_committed(struct model *model, const char *volume_id)
{
	struct name *name = find(model, volume_id);

	if (name && name->staged)
		name->durable = true;
}

static void name_free(struct model *model, struct name *name)
{
	HASH_DEL(model->names, name);
	record_clear(&name_record, &name->record);
	free(name);
}

void name_drop(struct model *model, const char *volume_id)
{
	struct name *name = find(model, volume_id);

	if (name)
		name_free(model, name);
}

void names_free(struct model *model)
{
	struct name *name, *next;

	HASH_ITER(hh, model->names, name, next)
		name_free(model, name);
}

char *name_path(struct model *model, const char *volume_id, const struct device *device)
{
	if (model->env->options.devmap)
		return xasprintf("%s/mapper/%s", model->env->options.dev_root,
				 name_give(model, volume_id));
	return xstrdup(device->path);
}
