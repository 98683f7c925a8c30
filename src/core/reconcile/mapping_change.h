/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Mappings follow the kernel: a disk with another name or size than before is told as drift when
 * the change is durable. */

struct change;
struct model;

void mapping_change_submit(struct model *model, struct change *change);
