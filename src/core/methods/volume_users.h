/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The method about the users of a volume's disk on this machine. */

struct call;

void volume_users(struct call *call);
