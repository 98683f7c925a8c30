/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Methods for an administrator. Each answers the call, now or on a later turn. */

struct call;

void force_sync(struct call *call);
void health_get(struct call *call);
void changes_pause(struct call *call);
void changes_resume(struct call *call);
void config_reload(struct call *call);
