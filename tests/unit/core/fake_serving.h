/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A device mapper and an NBD engine in memory, behind dm/devmap.h and nbd/exporter.h. Like the
 * kernel and an engine that runs by itself they outlive a core: what they hold stays when it is
 * killed. Each verb is carried out one turn after it was asked for, and can be told to fail, to
 * take a long time, or to end in silence.
 */

#include "dm/devmap.h"
#include "nbd/exporter.h"

#define FAKE_MAPS_MAX 64

enum fake_verb {
	VERB_ACTIVATE,
	VERB_SUSPEND,
	VERB_WIPE,
	VERB_UNMAP,
	VERB_LIST_MAPS,
	VERB_ADD,
	VERB_REMOVE,
	VERB_LIST_EXPORTS,
	VERB_CHECK,
	VERB_COUNT
};

struct fake_map {
	struct devmap_map map;
	bool foreign; /* somebody else's; its volume_id is empty */
};

struct fake_export {
	char name[64];
	char path[300];
	bool read_only;
	uint64_t size;               /* of what it is made of, when it was made */
	struct export_client client; /* connected when its address is set */
};

/* One serves as both, so that order between them can be looked at. */
struct fake_serving {
	struct loop *loop;
	struct fake_map maps[FAKE_MAPS_MAX];
	size_t map_count;
	struct fake_export exports[FAKE_MAPS_MAX];
	size_t export_count;
	/* The next so many of this verb answer this, and have their effect or not. ERR_NONE: they
	 * are only late. */
	struct {
		unsigned times;
		enum err_code code;
		bool effect;
		int64_t after_ms;
	} fault[VERB_COUNT];
	unsigned asked[VERB_COUNT];
	int engine_pid;
	bool disks_taken; /* somebody else has each disk to himself, so no name can be led to one */
};

void serving_fake_init(struct fake_serving *fake, struct loop *loop);
struct devmap *fake_devmap(struct fake_serving *fake);
struct exporter *fake_exporter(struct fake_serving *fake);
void fake_fault(struct fake_serving *fake, enum fake_verb verb, unsigned times, enum err_code code,
		bool effect);

/* By volume; NULL when there is none. */
struct fake_map *fake_map_of(struct fake_serving *fake, const char *volume_id);
struct fake_export *fake_export_of(struct fake_serving *fake, const char *volume_id);
/* Somebody else's map. */
void fake_foreign_map(struct fake_serving *fake, const char *name);
