/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* CloudStack's volumes, as last seen. These copies decide nothing: operations ask CloudStack when
 * their turn comes. They answer questions quickly. */

#include "base/hash.h"
#include "base/queue.h"
#include "cloud/cloud.h"
#include "spec/records.h"

struct model;

struct volume {
	char *id;
	struct cloud_volume cloud; /* as CloudStack last told; owned copies */
	char *last_operation_id;
	int64_t last_operation_ms; /* when it was accepted */
	int last_operation_type;
	int last_operation_status;
	uint64_t round; /* of the last list that showed the volume */
	/* the list that was the newest when CloudStack last answered about the volume alone */
	uint64_t asked_round;
	/* found by its id, and no list has shown it so far, such as a volume of a project */
	bool by_id;
	TAILQ_ENTRY(volume) touched_entry;
	bool is_touched; /* a change event is due, */
	bool is_new;     /* but another event of the same turn tells that the volume is there */
	UT_hash_handle hh;
};

/* Makes *to an owned copy of *from, in place of the owned copy that it was, or of zeroes; but for
 * the job under way. Zeroes free it. */
void cloud_volume_assign(struct cloud_volume *to, const struct cloud_volume *from);
/* All volumes, in the order they came; volume_next() is NULL after the last. */
struct volume *volume_first(const struct model *model);
static inline struct volume *volume_next(const struct volume *volume)
{
	return volume->hh.next;
}
size_t volume_count(const struct model *model);
struct volume *volume_find(struct model *model, const char *id);
/* CloudStack shows the volume in an answer about it alone (volume_update), or in a list. A page of
 * a list may be older than an answer that came after the list was begun, so it does not replace
 * that answer. */
struct volume *volume_update(struct model *model, const struct cloud_volume *cloud);
struct volume *volume_update_listed(struct model *model, const struct cloud_volume *cloud);
/* CloudStack's list of this id is empty, which proves no deletion: writes err and returns -1. */
int volume_missing(struct model *model, const char *id, struct err *err);
void volume_remove(struct model *model, const char *id);
/* a fact that is shown with the volume has changed */
void volume_touch(struct model *model, const char *id);
void volume_note_operation(struct model *model, const struct operation_record *record);
/* The volume that this machine was started from, even if its disk cannot be told from the
 * others. */
bool volume_is_own_root(const struct model *model, const struct cloud_volume *cloud);
/* False if the volume was seen attached to another VM, or to no VM. Then another VM may have it now
 * or get it at any moment. */
bool volume_may_be_here(struct model *model, const char *id);
/* Tells one event for each volume that was touched since the last call. */
void volumes_tell_changed(struct model *model);
/* A whole list is about to be fetched. Each volume in the list is updated; volume_is_listed() is
 * false for the others. */
void volumes_begin_list(struct model *model);
bool volume_is_listed(const struct model *model, const struct volume *volume);
void volumes_end_list(struct model *model);
/* One whole list has been fetched. */
bool volumes_are_known(const struct model *model);
/* The volumes of the appliance have been fetched, in one list with all others or alone. */
void volumes_end_list_here(struct model *model);
bool volumes_here_are_known(const struct model *model);
/* Another machine is the appliance. */
void volumes_here_anew(struct model *model);
void volumes_free(struct model *model);
