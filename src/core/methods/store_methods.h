/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

struct call;

void store_backup(struct call *call);
void store_check_asked(struct call *call);
