/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The method that tells the rights of the daemon's keys in CloudStack. */

struct call;
struct calls;
struct cloud_rights;

struct cloud_rights *cloud_rights_new(struct calls *calls);
struct cloud_rights *cloud_rights_free(struct cloud_rights *rights); /* no call waits for one */

void right_list(struct call *call);
