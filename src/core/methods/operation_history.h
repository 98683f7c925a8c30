/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What has happened to an operation, and who asked for it. */

struct call;

void operation_history(struct call *call);
