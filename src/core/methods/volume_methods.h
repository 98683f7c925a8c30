/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Methods about volumes. Each answers the call, now or on a later turn. */

struct call;
struct err;

/* -1: CloudStack cannot store the name. */
int volume_check_name(const char *name, struct err *err);

void volume_create(struct call *call);
void volume_attach(struct call *call);
void volume_detach(struct call *call);
void volume_delete(struct call *call);
void volume_attach_root(struct call *call);
void volume_resize(struct call *call);
void volume_cleanup(struct call *call);
void volume_list(struct call *call);
void volume_get(struct call *call);
void vm_volumes(struct call *call);
