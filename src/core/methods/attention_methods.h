/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The methods by which an administrator settles what needs attention. */

struct call;

void operation_resolve_asked(struct call *call);
void volume_forget(struct call *call);
