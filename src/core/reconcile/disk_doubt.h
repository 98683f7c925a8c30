/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Does a disk of this machine contradict the last known word of CloudStack? If so, a comparison
 * follows at once, and not only when the next one is due. */

struct device;
struct disk_doubt;
struct engine;
struct model;

struct disk_doubt *disk_doubt_new(struct model *model, struct engine *engine);
struct disk_doubt *disk_doubt_free(struct disk_doubt *doubt); /* returns NULL, takes NULL */
/* The kernel shows this disk, which was not there before. */
void disk_doubt_added(struct disk_doubt *doubt, const struct device *device);
