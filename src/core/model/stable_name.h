/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a volume's device is always called. */

#include "spec/records.h"

struct model;
struct device;
struct store_batch;

const char *name_find(struct model *model, const char *volume_id); /* NULL when it has none */
/* The one it has, or a new one, which is durable with the next commit about the volume. */
const char *name_give(struct model *model, const char *volume_id);
/* Somebody else has the name: more digits. -1 when it has all of them. */
int name_lengthen(struct model *model, const char *volume_id);
void name_load(struct model *model, const struct name_record *record);
/* What is not durable yet goes with this batch; and it has landed. */
void name_stage(struct model *model, const char *volume_id, struct store_batch *batch);
void name_on_committed(struct model *model, const char *volume_id);
void name_drop(struct model *model, const char *volume_id); /* the volume is gone for good */
void names_free(struct model *model);
/* Where the volume's users find it: under its name, or, where there are no names, at the kernel's.
 * The caller frees it. */
char *name_path(struct model *model, const char *volume_id, const struct device *device);
