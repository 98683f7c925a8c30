/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which volumes are exported. */

#include "base/hash.h"
#include "spec/records.h"

#define EXPORT_NAME_PREFIX "migration-vol-"

struct model;
struct device;

struct export
{
	struct export_record record;
	UT_hash_handle hh;
};

/* All exports, in the order they came; export_next() is NULL after the last. */
struct export *export_first(const struct model *model);
static inline struct export *export_next(const struct export *export)
{
	return export->hh.next;
}
size_t export_count(const struct model *model);
struct export *export_find(struct model *model, const char *volume_id);
char *export_name_of(const char *volume_id); /* the caller frees it */
/* points into name; NULL if the daemon did not make the name */
const char *export_volume_of(const char *name);
/* The present record, or a new one; the caller clears it. */
void export_make(struct model *model, const char *volume_id, struct export_record *out);
/* Notes that the export is served from this disk. */
void export_place(struct model *model, struct export_record *record, const struct device *device);
/* Shows where a client finds the export. */
void export_show_place(struct model *model, struct export_record *record);
/* After the commit: puts the record into the model, and queues its event. */
void export_put(struct model *model, const struct export_record *record);
void export_drop(struct model *model, const char *volume_id);
void exports_free(struct model *model);
