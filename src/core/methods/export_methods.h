/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Methods about exports. Each answers the call, now or on a later turn. */

struct call;

void export_create(struct call *call);
void export_list_asked(struct call *call);
void export_get(struct call *call);
void export_delete(struct call *call);
