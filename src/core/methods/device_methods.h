/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Methods about the devices of volumes. Each answers the call, now or on a later turn. */

struct call;

void volume_device(struct call *call);
void mapping_list(struct call *call);
void device_list(struct call *call);
void device_volume(struct call *call);
