/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* CloudStack's volumes, fetched into the model: all of them, or those that this machine has to do
 * with. */

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct cloud_result;
struct engine;
struct env;
struct model;
struct volume_list;

/* err NULL: the volumes are in the model, and those that are gone are forgotten. */
typedef void (*volume_list_fn)(void *arg, const struct err *err);

struct volume_list_health {
	int64_t known_since_ms; /* clock_mono_ms() when the last whole list was asked for, 0 never
				 */
	struct err err;         /* why the last attempt failed; ERR_NONE if it did not */
	char left_out[ERR_TEXT_SIZE]; /* listed volumes that cannot be understood; "" none */
	/* The single volume that CloudStack refuses to show, and its reason; "" none. */
	char refused[ERR_TEXT_SIZE];
};

struct volume_list *volume_list_new(struct env *env, struct model *model, struct engine *engine);
struct volume_list *volume_list_free(struct volume_list *list); /* returns NULL, takes NULL */
/* One fetch at a time, of either kind. done runs once, on a later turn, but not while the daemon is
 * stopping. */
void volume_list_fetch(struct volume_list *list, volume_list_fn done, void *arg);
/* The volumes of the appliance, and by their ids those that have a mapping or were seen attached to
 * the appliance. The appliance is known. */
void volume_list_fetch_ours(struct volume_list *list, volume_list_fn done, void *arg);
/* How long the next whole list should wait, so that it costs CloudStack little; 0 it is due. */
int64_t volume_list_wait_ms(const struct volume_list *list);
void volume_list_expire(struct volume_list *list); /* the next whole list is due now */
/* CloudStack has answered a look at one volume, for this list or another purpose. */
void volume_list_note_look(struct volume_list *list, const char *volume_id,
			   const struct cloud_result *result);
void volume_list_health(const struct volume_list *list, struct volume_list_health *out);
