/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Methods about tokens. Each answers the call, now or on a later turn. */

struct call;

void token_create(struct call *call);
void token_list_asked(struct call *call);
void token_revoke(struct call *call);
