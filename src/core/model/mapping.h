/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which volume is which device. */

#include "base/hash.h"
#include "core/model/local_disk.h"

struct model;

struct mapping {
	struct mapping_record record;
	UT_hash_handle hh;
};

/* All mappings, in the order they came; mapping_next() is NULL after the last. */
struct mapping *mapping_first(const struct model *model);
static inline struct mapping *mapping_next(const struct mapping *mapping)
{
	return mapping->hh.next;
}
size_t mapping_count(const struct model *model);
struct mapping *mapping_find(struct model *model, const char *volume_id);
/* The device is the volume's disk: it identifies itself as the volume, or it has no identity and is
 * the disk that the volume was mapped to. */
bool mapping_is_disk(struct model *model, const char *volume_id, const struct device *device);
/* The next disk of the volume after previous, in the kernel's order, according to the last scan;
 * previous NULL: the first. */
const struct device *mapping_next_disk(struct model *model, const char *volume_id,
				       const struct device *previous);
/* The mapping of a kernel device on this VM, NULL if there is none. */
struct mapping *mapping_of_device(struct model *model, const struct device *device);
/* The device behind a mapping on this VM, read again from the kernel at this moment; NULL if it is
 * not there. */
const struct device *mapping_device(struct model *model, const struct mapping *mapping);
void device_to_record(struct model *model, const struct device *device, struct device_record *out);
/* The device is this volume, which has a stable name or none. */
void device_note_volume(struct model *model, const char *volume_id, struct device_record *out);
/*
 * The mapping for clients: an address is given only if the disk is there at this moment. The record
 * is the model's, or own, which is zeroed and which the caller clears.
 */
const struct mapping_record *mapping_show(struct model *model, const struct mapping *mapping,
					  struct mapping_record *own);
/* A new mapping of a volume to a VM, without its place; the caller clears it. */
void mapping_make(struct model *model, const char *volume_id, const char *vm_id,
		  struct mapping_record *out);
/* Sets the place: the disk on this VM (NULL: gone), or CloudStack's slot and size on another VM. */
void mapping_place(struct model *model, struct mapping_record *record, int64_t device_id,
		   uint64_t size, const struct device *device);
void mapping_describe(struct model *model, struct mapping_record *record,
		      const struct device *device);
/* The record agrees with the kernel, and with the present name of the volume's device. */
bool mapping_is_up_to_date(struct model *model, const struct mapping_record *record,
			   const struct device *device);
/* Puts the store's record into the model, which takes its texts, without an event: after a start
 * all listeners read everything anew. */
void mapping_load(struct model *model, struct mapping_record *taken);
/* After the commit: puts the record into the model, and queues its event. */
void mapping_put(struct model *model, const struct mapping_record *record);
void mapping_remove(struct model *model, const char *volume_id);
void mappings_free(struct model *model);
