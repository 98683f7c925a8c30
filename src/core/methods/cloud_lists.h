/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The methods about what CloudStack lists besides volumes: disk offerings, zones and VMs. */

struct call;
struct calls;
struct cloud_lists;

struct cloud_lists *cloud_lists_new(struct calls *calls);
struct cloud_lists *cloud_lists_free(struct cloud_lists *lists); /* no call waits for one */

void offering_list(struct call *call);
void zone_list(struct call *call);
void vm_list(struct call *call);
