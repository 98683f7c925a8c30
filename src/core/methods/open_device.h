/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An open descriptor of a volume's disk. */

struct call;

void volume_open(struct call *call);
