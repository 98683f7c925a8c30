/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* CloudStack's list of volumes, fetched into the model. */

struct engine;
struct env;
struct err;
struct model;
struct volume_list;

/* err NULL: the whole list is in the model, and the volumes that it did not show are forgotten. */
typedef void (*volume_list_fn)(void *arg, const struct err *err);

struct volume_list *volume_list_new(struct env *env, struct model *model, struct engine *engine);
struct volume_list *volume_list_free(struct volume_list *list); /* returns NULL, takes NULL */
/* One fetch at a time. done runs once, on a later turn, but not while the daemon is stopping. */
void volume_list_fetch(struct volume_list *list, volume_list_fn done, void *arg);
