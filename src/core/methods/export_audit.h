/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Methods that compare exports and clean them up. Each answers the call, now or on a later turn. */

struct call;

void export_validate(struct call *call);
void export_cleanup(struct call *call);
void export_cleanup_age(struct call *call);
void export_orphans(struct call *call);
