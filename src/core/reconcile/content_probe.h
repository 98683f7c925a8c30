/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is on the disks of mapped volumes. */

struct mapping;

/* Looks at what is on its disk. */
void mapping_probe(struct mapping *mapping);
