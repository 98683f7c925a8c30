/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The stable name of a volume's device. */

#include "spec/records.h"

struct model;
struct device;
struct store_batch;

const char *name_find(struct model *model, const char *volume_id); /* NULL if the volume has none */
/* The volume's name, or a new one, which becomes durable with the next commit about the volume. */
const char *name_give(struct model *model, const char *volume_id);
/* Gives the name more digits, since another program has the name. -1 if the name has all digits
 * already. */
int name_lengthen(struct model *model, const char *volume_id);
void name_load(struct model *model, const struct name_record *record);
/* Adds a name that is not durable yet to this batch; name_on_committed(): the batch has landed. */
void name_stage(struct model *model, const char *volume_id, struct store_batch *batch);
void name_on_committed(struct model *model, const char *volume_id);
void name_drop(struct model *model, const char *volume_id); /* the volume is gone for good */
void names_free(struct model *model);
/* The path where users find the volume: its stable name, or, if names are turned off, the kernel's
 * name of the device. The caller frees it. */
char *name_path(struct model *model, const char *volume_id, const struct device *device);
