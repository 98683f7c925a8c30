/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Volumes that CloudStack has lost together with the job of an attachment, until CloudStack shows
 * them again or a client gives them up. */

#include <stddef.h>

struct engine;
struct lost_volumes;
struct model;
struct operation_record;

struct lost_volumes *lost_volumes_new(struct model *model, struct engine *engine);
struct lost_volumes *lost_volumes_free(struct lost_volumes *lost); /* returns NULL, takes NULL */
/* origin: the ended operation with the lost job. */
void lost_volumes_put(struct lost_volumes *lost, const struct operation_record *origin);
void lost_volumes_drop(struct lost_volumes *lost, const char *volume_id);
/* Their ids, separated by ", ", cut to size bytes; "" if there is none. */
void lost_volumes_names(const struct lost_volumes *lost, char *out, size_t size);
