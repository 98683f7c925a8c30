/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An administrator's methods for a store from the past. */

struct call;

void store_plan(struct call *call);
void store_accept(struct call *call);
